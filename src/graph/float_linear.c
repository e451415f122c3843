/* Convolutions in float: an implicit matrix product, tile by tile. A tile takes a few output positions (across samples,
 * so that dense layers fill it too), lays their inputs out as [k][position], and multiplies by all panels of weights.
 * Every output is one sum over k in the same order, whatever the chunk or tile it falls into. */
#include "graph/float_layer.h"

enum { DIRECT_BELOW = 4 /* output channels a group */, MAX_COLUMNS = 64 };

static size_t depth_of(const struct float_linear *l) {
  return (size_t)l->in.channels / l->node->groups * l->node->window.kernel_h * l->node->window.kernel_w;
}

fusion_status float_linear_open(struct float_linear *l, const struct graph *g, const struct graph_node *n) {
  *l = (struct float_linear){.node = n, .in = g->nodes[n->inputs[0]].shape, .tile = float_tile_kernels()};
  const size_t out_group = n->shape.channels / n->groups, rows = l->tile->rows, depth = depth_of(l);
  if (out_group < DIRECT_BELOW && n->groups > 1) return FUSION_OK;
  const size_t panels = div_up(out_group, rows);
  l->panels = mem_alloc(n->groups * panels * depth, rows * sizeof *l->panels);
  if (!l->panels) return FUSION_E_MEMORY;
  for (size_t p = 0; p < n->groups * panels; p++) {
    const size_t first = p % panels * rows, count = size_min(rows, out_group - first);
    const float *from = n->weights + (p / panels * out_group + first) * depth;
    float *panel = l->panels + p * depth * rows;
    for (size_t k = 0; k < depth; k++) {
      for (size_t r = 0; r < count; r++) panel[k * rows + r] = from[r * depth + k];
    }
  }
  return FUSION_OK;
}

void float_linear_close(struct float_linear *l) {
  mem_free(l->panels);
}

size_t float_linear_scratch(const struct float_linear *l) {
  return l->panels ? depth_of(l) * l->tile->columns : 0;
}

/* Sizes of one convolution; a 1x1 one without stride or padding sees each map as a single row. */
struct geometry {
  struct shape in, out;
  struct window w;
  size_t samples, in_group, out_group;
};

static struct geometry geometry_of(const struct float_linear *l, size_t samples) {
  const struct graph_node *n = l->node;
  struct geometry s = {.in = l->in, .out = n->shape, .w = n->window, .samples = samples};
  s.in_group = s.in.channels / n->groups;
  s.out_group = s.out.channels / n->groups;
  const struct window *w = &n->window;
  if (w->kernel_h == 1 && w->kernel_w == 1 && w->stride_h == 1 && w->stride_w == 1 &&
      !(w->pad_top | w->pad_left | w->pad_bottom | w->pad_right)) {
    s.in = (struct shape){s.in.channels, 1, s.in.height * s.in.width};
    s.out = (struct shape){s.out.channels, 1, s.out.height * s.out.width};
  }
  return s;
}

/* Consecutive positions of a tile that lie in one row of one sample's output. */
struct run {
  size_t column, count;
  size_t in_base, out_base; /* the sample's first input element; the run's first output element of channel 0 */
  int64_t y, x;             /* input place under the kernel's first tap */
};

static size_t tile_runs(const struct geometry *s, size_t position, size_t columns, struct run *runs) {
  const size_t area = (size_t)s->out.height * s->out.width, total = s->samples * area;
  size_t count = 0;
  for (size_t column = 0; column < columns && position < total; count++) {
    const size_t sample = position / area, at = position % area, y = at / s->out.width, x = at % s->out.width;
    struct run *r = &runs[count];
    r->column = column;
    r->count = size_min(columns - column, s->out.width - x);
    r->in_base = sample * shape_size(s->in);
    r->out_base = sample * shape_size(s->out) + at;
    r->y = (int64_t)(y * s->w.stride_h) - s->w.pad_top;
    r->x = (int64_t)(x * s->w.stride_w) - s->w.pad_left;
    column += r->count;
    position += r->count;
  }
  return count;
}

/* dst[j] = row[x + j * stride], 0 outside [0, width). */
static void copy_row(float *dst, size_t count, const float *row, int64_t x, size_t stride, uint32_t width) {
  const size_t head = x >= 0 ? 0 : size_min(count, div_up((size_t)-x, stride));
  const int64_t left = (int64_t)width - x;
  const size_t end = left <= 0 ? 0 : size_min(count, div_up((size_t)left, stride));
  if (head) memset(dst, 0, head * sizeof *dst);
  if (end > head && stride == 1) memcpy(dst + head, row + x + (int64_t)head, (end - head) * sizeof *dst);
  for (size_t j = head; stride > 1 && j < end; j++) dst[j] = row[x + (int64_t)(j * stride)];
  const size_t tail = size_max(head, end);
  if (tail < count) memset(dst + tail, 0, (count - tail) * sizeof *dst);
}

/* The inputs of a tile: b[k][column], k running over channels of the group, rows and columns of the kernel. */
static void fill_tile(float *b, size_t columns, const struct geometry *s, const float *x, const struct run *runs,
                      size_t run_count) {
  const size_t plane = (size_t)s->in.height * s->in.width;
  for (size_t c = 0; c < s->in_group; c++) {
    for (size_t ky = 0; ky < s->w.kernel_h; ky++) {
      for (size_t kx = 0; kx < s->w.kernel_w; kx++, b += columns) {
        for (size_t i = 0; i < run_count; i++) {
          const struct run *r = &runs[i];
          const int64_t y = r->y + (int64_t)(ky * s->w.dilation_h);
          if (y < 0 || y >= s->in.height) {
            memset(b + r->column, 0, r->count * sizeof *b);
            continue;
          }
          const float *row = x + r->in_base + c * plane + (size_t)y * s->in.width;
          copy_row(b + r->column, r->count, row, r->x + (int64_t)(kx * s->w.dilation_w), s->w.stride_w, s->in.width);
        }
      }
    }
  }
}

/* Results of one panel, with the bias, to their places. */
static void store_tile(float *out, const float *c, size_t columns, size_t rows, size_t area, const float *bias,
                       const struct run *runs, size_t run_count) {
  for (size_t r = 0; r < rows; r++) {
    const float b = bias ? bias[r] : 0;
    for (size_t i = 0; i < run_count; i++) {
      float *to = out + runs[i].out_base + r * area;
      const float *from = c + r * columns + runs[i].column;
      for (size_t j = 0; j < runs[i].count; j++) to[j] = from[j] + b;
    }
  }
}

static void linear_group(const struct float_linear *l, const struct geometry *s, size_t group, float *out,
                         const float *x, float *scratch) {
  const size_t columns = l->tile->columns, rows = l->tile->rows, depth = depth_of(l);
  const size_t area = (size_t)s->out.height * s->out.width, panels = div_up(s->out_group, rows);
  const float *weights = l->panels + group * panels * depth * rows;
  struct run runs[MAX_COLUMNS];
  _Alignas(64) float c[FLOAT_TILE_MAX];
  x += group * s->in_group * s->in.height * s->in.width;
  for (size_t position = 0; position < s->samples * area; position += columns) {
    const size_t run_count = tile_runs(s, position, columns, runs);
    fill_tile(scratch, columns, s, x, runs, run_count);
    for (size_t p = 0; p < panels; p++) {
      l->tile->multiply(c, weights + p * depth * rows, scratch, depth);
      const size_t first = group * s->out_group + p * rows, left = s->out_group - p * rows;
      store_tile(out + first * area, c, columns, size_min(rows, left), area,
                 l->node->bias ? l->node->bias + first : NULL, runs, run_count);
    }
  }
}

/* out[x] += w * row[x * stride + from] where that lies inside. */
static void add_row(float *out, size_t count, const float *row, int64_t from, size_t stride, uint32_t width, float w) {
  const size_t head = from >= 0 ? 0 : size_min(count, div_up((size_t)-from, stride));
  const int64_t left = (int64_t)width - from;
  const size_t end = left <= 0 ? 0 : size_min(count, div_up((size_t)left, stride));
  const float *at = row + from;
  if (stride == 1) {
    for (size_t j = head; j < end; j++) out[j] += w * at[j];
    return;
  }
  for (size_t j = head; j < end; j++) out[j] += w * at[j * stride];
}

/* One output channel of one sample, tap by tap. */
static void direct_channel(const struct geometry *s, float *out, const float *x, const float *weights, float bias) {
  const size_t area = (size_t)s->out.height * s->out.width, plane = (size_t)s->in.height * s->in.width;
  for (size_t i = 0; i < area; i++) out[i] = bias;
  for (size_t c = 0; c < s->in_group; c++) {
    for (size_t ky = 0; ky < s->w.kernel_h; ky++) {
      for (size_t kx = 0; kx < s->w.kernel_w; kx++, weights++) {
        for (size_t oy = 0; oy < s->out.height; oy++) {
          const int64_t y = (int64_t)(oy * s->w.stride_h + ky * s->w.dilation_h) - s->w.pad_top;
          if (y < 0 || y >= s->in.height) continue;
          add_row(out + oy * s->out.width, s->out.width, x + c * plane + (size_t)y * s->in.width,
                  (int64_t)(kx * s->w.dilation_w) - s->w.pad_left, s->w.stride_w, s->in.width, *weights);
        }
      }
    }
  }
}

void float_linear_run(const struct float_linear *l, float *out, const float *x, size_t samples, float *scratch) {
  const struct graph_node *n = l->node;
  const struct geometry s = geometry_of(l, samples);
  for (size_t group = 0; l->panels && group < n->groups; group++) linear_group(l, &s, group, out, x, scratch);
  if (l->panels) return;
  const size_t area = (size_t)s.out.height * s.out.width, depth = depth_of(l);
  for (size_t i = 0; i < samples; i++) {
    for (size_t o = 0; o < n->shape.channels; o++) {
      const float *from = x + i * shape_size(s.in) + o / s.out_group * s.in_group * s.in.height * s.in.width;
      direct_channel(&s, out + i * shape_size(s.out) + o * area, from, n->weights + o * depth,
                     n->bias ? n->bias[o] : 0);
    }
  }
}
