#include "gates/maxpool.h"

#include "base/base.h"
#include "gates/relu_truncate.h"

static struct relu_truncate difference_of(const struct maximum *params, size_t count) {
  return (struct relu_truncate){.in_bits = (uint8_t)(params->value_bits + 1),
                                .out_bits = params->out_bits,
                                .relu = true,
                                .planned_count = count,
                                .garbled = params->garbled,
                                .shape = params->shape};
}

fusion_status maximum(struct party *p, const struct maximum *params, const uint64_t *x, const uint64_t *y, uint64_t *z,
                      size_t count) {
  if (params->value_bits >= params->in_bits || params->out_bits > params->in_bits) return FUSION_E_INTERNAL;
  if (!count) return FUSION_OK;
  fusion_status status = FUSION_OK;
  const struct relu_truncate relu = difference_of(params, count);
  const uint64_t mask = low_mask(params->out_bits);
  const size_t capacity = size_min(count, RELU_TRUNCATE_CHUNK);
  uint64_t *d = heap_take(p->heap, capacity, sizeof *d);
  FAIL_IF(!d, FUSION_E_MEMORY);
  for (size_t done = 0; done < count; done += RELU_TRUNCATE_CHUNK) {
    const size_t n = size_min(RELU_TRUNCATE_CHUNK, count - done);
    for (size_t e = 0; e < n; e++) d[e] = x[done + e] - y[done + e];
    TRY(relu_truncate(p, &relu, d, d, n));
    for (size_t e = 0; e < n; e++) z[done + e] = (y[done + e] + d[e]) & mask;
  }
cleanup:
  heap_give(p->heap, d, capacity * sizeof *d);
  return status;
}

void maximum_cost(struct cost *cost, const struct maximum *params, size_t count) {
  const struct relu_truncate relu = difference_of(params, count);
  relu_truncate_cost(cost, &relu, count);
}

size_t maximum_memory(const struct maximum *params, enum role role, size_t count) {
  const struct relu_truncate relu = difference_of(params, count);
  return size_min(count, RELU_TRUNCATE_CHUNK) * sizeof(uint64_t) + relu_truncate_memory(&relu, role, count);
}

/* Windows along one axis, as a list of public maxima. Node numbers 0 .. len-1 are the positions themselves; a further
 * node is the maximum of two earlier ones and covers `size` taps from `start`. Nodes are sorted by level. */
enum { LEVELS_MAX = 33 };

struct axis {
  uint32_t len, out_len, kernel, stride, pad, dilation;
};

struct tree {
  uint32_t *node;         /* [kernel + 1][len]: number of node (size, start), 0 = none; sizes from 2 */
  uint32_t *left, *right; /* [nodes - len] */
  uint32_t *output;       /* [out_len]: the node of each window */
  size_t len, nodes, capacity;
  size_t level_end[LEVELS_MAX]; /* nodes of levels 0 .. i */
  unsigned levels;
};

static void tree_free(struct tree *t) {
  mem_free(t->node);
  mem_free(t->left);
  mem_free(t->right);
  mem_free(t->output);
}

/* The taps of window `o` inside the axis. */
static bool window_of(const struct axis *a, uint32_t o, uint32_t *start, uint32_t *size) {
  const int64_t first = (int64_t)o * a->stride - a->pad, len = a->len, step = a->dilation;
  const int64_t skip = first < 0 ? (-first + step - 1) / step : 0;
  const int64_t at = first + skip * step;
  if (skip >= a->kernel || at >= len) return false;
  const int64_t fit = (len - 1 - at) / step + 1, left = (int64_t)a->kernel - skip;
  *start = (uint32_t)at;
  *size = (uint32_t)(fit < left ? fit : left);
  return true;
}

static uint32_t half_of(uint32_t size) {
  return 1u << (log2_up(size) - 1);
}

/* Marks (size, start) and what it is made of; marks become numbers in tree_make. */
static void mark(struct tree *t, const struct axis *a, uint32_t size, uint32_t start) {
  if (size < 2) return;
  uint32_t *node = &t->node[(size_t)size * a->len + start];
  if (*node) return;
  *node = 1;
  const uint32_t half = half_of(size);
  mark(t, a, half, start);
  mark(t, a, size - half, start + half * a->dilation);
  t->capacity++;
}

static uint32_t number_of(const struct tree *t, const struct axis *a, uint32_t size, uint32_t start) {
  return size < 2 ? start : t->node[(size_t)size * a->len + start];
}

static void number_nodes(struct tree *t, const struct axis *a) {
  t->nodes = t->level_end[0] = a->len;
  t->levels = log2_up(a->kernel);
  for (unsigned level = 1; level <= t->levels; level++) {
    const uint32_t low = (1u << (level - 1)) + 1;
    const uint64_t high = UINT64_C(1) << level;
    for (uint32_t size = low; size <= high && size <= a->kernel; size++) {
      for (uint32_t start = 0; start < a->len; start++) {
        uint32_t *node = &t->node[(size_t)size * a->len + start];
        if (!*node) continue;
        const uint32_t half = half_of(size);
        t->left[t->nodes - a->len] = number_of(t, a, half, start);
        t->right[t->nodes - a->len] = number_of(t, a, size - half, start + half * a->dilation);
        *node = (uint32_t)t->nodes++;
      }
    }
    t->level_end[level] = t->nodes;
  }
}

static fusion_status tree_make(struct tree *t, const struct axis *axis) {
  fusion_status status = FUSION_OK;
  *t = (struct tree){.len = axis->len};
  /* A kernel longer than the axis never has more taps in it than the axis has positions. */
  struct axis a = *axis;
  FAIL_IF(!a.len || !a.out_len || !a.kernel || !a.stride || !a.dilation, FUSION_E_INTERNAL);
  uint32_t longest = 1, start, size;
  for (uint32_t o = 0; o < a.out_len; o++) {
    FAIL_IF(!window_of(axis, o, &start, &size), FUSION_E_INTERNAL);
    longest = (uint32_t)size_max(longest, size);
  }
  a.kernel = longest;
  t->node = mem_alloc(((size_t)longest + 1) * a.len, sizeof *t->node);
  t->output = mem_alloc(a.out_len, sizeof *t->output);
  FAIL_IF(!t->node || !t->output, FUSION_E_MEMORY);
  for (uint32_t o = 0; o < a.out_len && window_of(axis, o, &start, &size); o++) mark(t, &a, size, start);
  t->left = mem_alloc(t->capacity, sizeof *t->left);
  t->right = mem_alloc(t->capacity, sizeof *t->right);
  FAIL_IF(!t->left || !t->right, FUSION_E_MEMORY);
  number_nodes(t, &a);
  for (uint32_t o = 0; o < a.out_len && window_of(axis, o, &start, &size); o++) {
    t->output[o] = number_of(t, &a, size, start);
  }
cleanup:
  return status;
}

/* Both axes of a pooling with the rings in between. */
struct pool {
  struct axis columns, rows; /* along the width, along the height */
  struct tree across, down;
  struct maximum maximum; /* every pairwise maximum */
  bool extend;            /* x comes in value_bits and is extended by one bit first */
  size_t planes_at_once;
};

static struct relu_truncate extension_of(const struct maxpool *params) {
  return (struct relu_truncate){.in_bits = params->value_bits,
                                .out_bits = (uint8_t)(params->value_bits + 1),
                                .garbled = params->garbled,
                                .shape = params->shape};
}

static void pool_free(struct pool *pool) {
  tree_free(&pool->across);
  tree_free(&pool->down);
}

static fusion_status pool_make(struct pool *pool, const struct maxpool *q) {
  fusion_status status = FUSION_OK;
  *pool = (struct pool){
      .columns = {q->in_w, q->out_w, q->kernel_w, q->stride_w, q->pad_left, q->dilation_w},
      .rows = {q->in_h, q->out_h, q->kernel_h, q->stride_h, q->pad_top, q->dilation_h},
      .extend = q->in_bits == q->value_bits,
  };
  FAIL_IF(q->value_bits > q->in_bits || q->out_bits > q->in_bits || q->out_bits < 1, FUSION_E_INTERNAL);
  const uint8_t ring = (uint8_t)size_max(q->value_bits + 1u, q->out_bits);
  pool->maximum = (struct maximum){q->value_bits, ring, ring, q->garbled, q->shape};
  TRY(tree_make(&pool->across, &pool->columns));
  TRY(tree_make(&pool->down, &pool->rows));
  pool->planes_at_once = size_max(1, RELU_TRUNCATE_CHUNK / ((size_t)q->in_h * q->in_w));
cleanup:
  return status;
}

/* Walks up a tree: nodes [0, len) of `vector` elements each are filled; fills the others. pair: room for two operands.
 */
static fusion_status climb(struct party *p, const struct tree *t, const struct maximum *maximum_params, uint64_t *nodes,
                           uint64_t *pair, size_t vector) {
  fusion_status status = FUSION_OK;
  for (unsigned level = 1; level <= t->levels; level++) {
    const size_t first = t->level_end[level - 1], count = t->level_end[level] - first;
    uint64_t *left = pair, *right = pair + count * vector;
    for (size_t i = 0; i < count; i++) {
      memcpy(left + i * vector, nodes + t->left[first + i - t->len] * vector, vector * sizeof *left);
      memcpy(right + i * vector, nodes + t->right[first + i - t->len] * vector, vector * sizeof *right);
    }
    TRY(maximum(p, maximum_params, left, right, nodes + first * vector, count * vector));
  }
cleanup:
  return status;
}

static void climb_cost(struct cost *cost, const struct tree *t, const struct maximum *maximum_params, size_t vector) {
  for (unsigned level = 1; level <= t->levels; level++) {
    maximum_cost(cost, maximum_params, (t->level_end[level] - t->level_end[level - 1]) * vector);
  }
}

struct buffers {
  uint64_t *nodes, *pair, *middle;
  size_t nodes_len, pair_len, middle_len;
};

static size_t widest_level(const struct tree *t) {
  size_t widest = 0;
  for (unsigned i = 1; i <= t->levels; i++) widest = size_max(widest, t->level_end[i] - t->level_end[i - 1]);
  return widest;
}

static void buffers_size(struct buffers *b, const struct pool *pool, size_t planes) {
  const size_t across = planes * pool->rows.len, down = planes * pool->columns.out_len;
  b->nodes_len = size_max(pool->across.nodes * across, pool->down.nodes * down) * sizeof *b->nodes;
  b->pair_len = 2 * size_max(widest_level(&pool->across) * across, widest_level(&pool->down) * down) * sizeof *b->pair;
  b->middle_len = across * pool->columns.out_len * sizeof *b->middle;
}

static fusion_status buffers_open(struct buffers *b, const struct pool *pool, struct heap *heap, size_t planes) {
  buffers_size(b, pool, planes);
  b->nodes = heap_take(heap, b->nodes_len, 1);
  b->pair = heap_take(heap, b->pair_len, 1);
  b->middle = heap_take(heap, b->middle_len, 1);
  return b->nodes && b->pair && b->middle ? FUSION_OK : FUSION_E_MEMORY;
}

static void buffers_close(struct buffers *b, struct heap *heap) {
  heap_give(heap, b->nodes, b->nodes_len);
  heap_give(heap, b->pair, b->pair_len);
  heap_give(heap, b->middle, b->middle_len);
}

static fusion_status run_planes(struct party *p, const struct maxpool *q, const struct pool *pool,
                                const struct buffers *b, const uint64_t *x, uint64_t *y, size_t planes) {
  fusion_status status = FUSION_OK;
  const size_t lines = planes * q->in_h, vector = planes * q->out_w;
  for (size_t line = 0; line < lines; line++) {
    for (size_t i = 0; i < q->in_w; i++) b->nodes[i * lines + line] = x[line * q->in_w + i];
  }
  if (pool->extend) {
    const struct relu_truncate extension = extension_of(q);
    TRY(relu_truncate(p, &extension, b->nodes, b->nodes, lines * q->in_w));
  }
  TRY(climb(p, &pool->across, &pool->maximum, b->nodes, b->pair, lines));
  /* middle [in_h][planes][out_w]: the positions of the second tree. */
  for (size_t plane = 0; plane < planes; plane++) {
    for (size_t row = 0; row < q->in_h; row++) {
      uint64_t *to = b->middle + row * vector + plane * q->out_w;
      for (size_t o = 0; o < q->out_w; o++) to[o] = b->nodes[pool->across.output[o] * lines + plane * q->in_h + row];
    }
  }
  memcpy(b->nodes, b->middle, q->in_h * vector * sizeof *b->nodes);
  TRY(climb(p, &pool->down, &pool->maximum, b->nodes, b->pair, vector));
  for (size_t plane = 0; plane < planes; plane++) {
    for (size_t o = 0; o < q->out_h; o++) {
      const uint64_t *from = b->nodes + pool->down.output[o] * vector + plane * q->out_w;
      uint64_t *to = y + (plane * q->out_h + o) * q->out_w;
      for (size_t i = 0; i < q->out_w; i++) to[i] = from[i] & low_mask(q->out_bits);
    }
  }
cleanup:
  return status;
}

fusion_status maxpool(struct party *p, const struct maxpool *params, const uint64_t *x, uint64_t *y, size_t planes) {
  fusion_status status = FUSION_OK;
  struct pool pool = {0};
  struct buffers b = {0};
  TRY(pool_make(&pool, params));
  if (!planes) goto cleanup;
  TRY(buffers_open(&b, &pool, p->heap, size_min(planes, pool.planes_at_once)));
  const size_t in_len = (size_t)params->in_h * params->in_w, out_len = (size_t)params->out_h * params->out_w;
  for (size_t done = 0; done < planes; done += pool.planes_at_once) {
    const size_t n = size_min(pool.planes_at_once, planes - done);
    TRY(run_planes(p, params, &pool, &b, x + done * in_len, y + done * out_len, n));
  }
cleanup:
  buffers_close(&b, p->heap);
  pool_free(&pool);
  return status;
}

void maxpool_cost(struct cost *cost, const struct maxpool *params, size_t planes) {
  struct pool pool = {0};
  if (pool_make(&pool, params) == FUSION_OK) {
    for (size_t done = 0; done < planes; done += pool.planes_at_once) {
      const size_t n = size_min(pool.planes_at_once, planes - done);
      const struct relu_truncate extension = extension_of(params);
      if (pool.extend) relu_truncate_cost(cost, &extension, n * params->in_h * params->in_w);
      climb_cost(cost, &pool.across, &pool.maximum, n * params->in_h);
      climb_cost(cost, &pool.down, &pool.maximum, n * params->out_w);
    }
  } else {
    cost->out_of_memory = true;
  }
  pool_free(&pool);
}

size_t maxpool_memory(const struct maxpool *params, enum role role, size_t planes) {
  struct pool pool = {0};
  struct buffers b = {0};
  size_t len = SIZE_MAX;
  if (pool_make(&pool, params) == FUSION_OK) {
    buffers_size(&b, &pool, size_min(planes, pool.planes_at_once));
    len =
        b.nodes_len + b.pair_len + b.middle_len + maximum_memory(&pool.maximum, role, b.pair_len / sizeof *b.pair / 2);
  }
  pool_free(&pool);
  return len;
}
