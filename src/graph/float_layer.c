/* The float executor's layers without weights (and AFFINE): plain loops. */
#include "graph/float_layer.h"

#include <math.h>

static void affine(const struct graph_node *n, float *out, const float *x) {
  const size_t area = (size_t)n->shape.height * n->shape.width;
  for (size_t c = 0; c < n->shape.channels; c++) {
    const float scale = n->weights[c], bias = n->bias ? n->bias[c] : 0;
    for (size_t i = c * area; i < (c + 1) * area; i++) out[i] = scale * x[i] + bias;
  }
}

/* The part of a window that lies inside one side of the input: first tap and number of taps. */
struct taps {
  size_t first, count;
  size_t start; /* input index of the first */
};

static struct taps taps_of(size_t o, uint32_t in, const uint32_t p[4]) {
  const uint32_t kernel = p[0], stride = p[1], dilation = p[2], before = p[3];
  const int64_t from = (int64_t)(o * stride) - before;
  struct taps t = {.first = from >= 0 ? 0 : div_up((size_t)-from, dilation)};
  const int64_t left = (int64_t)in - from;
  const size_t end = left <= 0 ? 0 : size_min(kernel, div_up((size_t)left, dilation));
  t.count = end > t.first ? end - t.first : 0;
  t.start = (size_t)(from + (int64_t)(t.first * dilation));
  return t;
}

static float window_value(const struct graph_node *n, const float *plane, uint32_t width, struct taps v,
                          struct taps h) {
  const bool max = n->op == GRAPH_MAXPOOL;
  float acc = max ? -INFINITY : 0;
  for (size_t i = 0; i < v.count; i++) {
    const float *row = plane + (v.start + i * n->window.dilation_h) * width + h.start;
    for (size_t j = 0; j < h.count; j++) {
      const float x = row[j * n->window.dilation_w];
      acc = max ? (x > acc ? x : acc) : acc + x;
    }
  }
  if (max || n->sum) return acc;
  const size_t whole = (size_t)n->window.kernel_h * n->window.kernel_w;
  return acc / (float)(n->count_pad ? whole : v.count * h.count);
}

static void pool(const struct graph_node *n, struct shape in, float *out, const float *x) {
  const struct window *w = &n->window;
  const uint32_t vertical[4] = {w->kernel_h, w->stride_h, w->dilation_h, w->pad_top};
  const uint32_t horizontal[4] = {w->kernel_w, w->stride_w, w->dilation_w, w->pad_left};
  for (size_t c = 0; c < in.channels; c++, x += (size_t)in.height * in.width) {
    for (size_t oy = 0; oy < n->shape.height; oy++) {
      const struct taps v = taps_of(oy, in.height, vertical);
      for (size_t ox = 0; ox < n->shape.width; ox++)
        *out++ = window_value(n, x, in.width, v, taps_of(ox, in.width, horizontal));
    }
  }
}

/* In double, the largest subtracted first. */
static void softmax(const struct graph_node *n, float *out, const float *x) {
  const size_t count = shape_size(n->shape);
  double sum = 0;
  float largest = x[0];
  /* A comparison: on fmax of floats gcc 12 for arm64 ends in an internal error (vect_transform_reduction). */
  for (size_t i = 1; i < count; i++)
    if (x[i] > largest) largest = x[i];
  const double top = (double)largest;
  for (size_t i = 0; i < count; i++) sum += exp((double)x[i] - top);
  for (size_t i = 0; i < count; i++) {
    const double d = (double)x[i] - top;
    out[i] = (float)(n->log ? d - log(sum) : exp(d) / sum);
  }
}

static void sigmoid(size_t count, float *out, const float *x) {
  for (size_t i = 0; i < count; i++) out[i] = (float)(1 / (1 + exp(-(double)x[i])));
}

/* In single precision, as the file's own runtime does it. */
static void quantise(const struct graph_node *n, float *out, const float *x) {
  const size_t count = shape_size(n->shape);
  const float low = (float)n->low, high = (float)n->high;
  for (size_t i = 0; i < count; i++) {
    const float q = nearbyintf(x[i] / n->step);
    out[i] = n->step * (q < low ? low : q > high ? high : q);
  }
}

static float argmax(size_t count, const float *x) {
  size_t best = 0;
  for (size_t i = 1; i < count; i++) best = x[i] > x[best] ? i : best;
  return (float)best;
}

/* In single precision, sums in the order of the inner axis. */
static void matmul(const struct graph_node *n, uint32_t depth, float *out, const float *a, const float *b) {
  const struct shape s = n->shape;
  for (size_t row = 0; row < (size_t)s.channels * s.height; row++, a += depth, out += s.width) {
    const float *matrix = b + row / s.height * depth * s.width;
    for (size_t c = 0; c < s.width; c++) {
      float sum = 0;
      for (size_t j = 0; j < depth; j++) sum += a[j] * matrix[n->transpose ? c * depth + j : j * s.width + c];
      out[c] = sum;
    }
  }
}

static void sample_run(const struct graph *g, const struct graph_node *n, float *out, const float *const *in,
                       size_t sample) {
  const size_t size = shape_size(n->shape);
  const struct shape from = g->nodes[n->inputs[0]].shape;
  const float *x = in[0] + sample * shape_size(from);
  const float *y = n->input_count > 1 && n->op != GRAPH_GATHER ? in[1] + sample * size : NULL;
  out += sample * size;
  switch (n->op) {
    case GRAPH_AFFINE: affine(n, out, x); break;
    case GRAPH_ADD:
      for (size_t i = 0; i < size; i++) out[i] = x[i] + y[i];
      break;
    case GRAPH_MUL:
      for (size_t i = 0; i < size; i++) out[i] = x[i] * y[i];
      break;
    case GRAPH_MATMUL: matmul(n, from.width, out, x, in[1] + sample * shape_size(g->nodes[n->inputs[1]].shape)); break;
    case GRAPH_RELU:
      for (size_t i = 0; i < size; i++) out[i] = x[i] > 0 ? x[i] : 0;
      break;
    case GRAPH_MAXPOOL:
    case GRAPH_AVGPOOL: pool(n, from, out, x); break;
    case GRAPH_GATHER:
      for (size_t i = 0; i < size; i++) {
        const struct gather_source s = n->gather[i];
        out[i] =
            s.index == GATHER_ZERO ? 0 : in[s.input][sample * shape_size(g->nodes[n->inputs[s.input]].shape) + s.index];
      }
      break;
    case GRAPH_SOFTMAX: softmax(n, out, x); break;
    case GRAPH_SIGMOID: sigmoid(size, out, x); break;
    case GRAPH_ACTIVATION:
      for (size_t i = 0; i < size; i++) out[i] = (float)activation_value(&n->use, (double)x[i]);
      break;
    case GRAPH_COMPARE:
      for (size_t i = 0; i < size; i++) out[i] = x[i] >= 0 ? 1.0F : 0.0F;
      break;
    case GRAPH_QUANTISE: quantise(n, out, x); break;
    case GRAPH_ARGMAX: out[0] = argmax(shape_size(from), x); break;
    default: assert(0);
  }
}

void float_layer_run(const struct graph *g, const struct graph_node *n, float *out, const float *const *in,
                     size_t samples) {
  for (size_t i = 0; i < samples; i++) sample_run(g, n, out, in, i);
}
