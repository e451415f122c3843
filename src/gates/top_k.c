#include "gates/top_k.h"

#include "gates/maxpool.h"
#include "gates/relu_truncate.h"

enum { PAD = UINT32_MAX };

/* Puts the larger key on wire `high`, the smaller on `low`. */
struct comparator {
  uint32_t high, low, level;
};

/* The public network of comparators for one row, on wires 0 .. width-1; level by level. */
struct network {
  struct comparator *comparators;
  size_t count, capacity;
  uint32_t *slots;   /* wire at each place of the sorted runs; PAD = minus infinity */
  uint32_t *depth;   /* [width] */
  uint8_t *needed;   /* [width] */
  size_t *level_end; /* [levels + 1] */
  unsigned levels;
  bool failed;
};

static void network_free(struct network *n) {
  mem_free(n->comparators);
  mem_free(n->slots);
  mem_free(n->depth);
  mem_free(n->needed);
  mem_free(n->level_end);
}

static void emit(struct network *n, uint32_t high, uint32_t low) {
  if (n->count == n->capacity) {
    const size_t capacity = size_max(64, 2 * n->capacity);
    struct comparator *grown = mem_alloc(capacity, sizeof *grown);
    n->failed |= !grown;
    if (n->failed) return;
    if (n->count) memcpy(grown, n->comparators, n->count * sizeof *grown);
    mem_free(n->comparators);
    n->comparators = grown;
    n->capacity = capacity;
  }
  n->comparators[n->count++] = (struct comparator){high, low, 0};
}

/* Orders two slots, the larger first. Which slots are padding is public: those are renamed, not compared. */
static void order(struct network *n, size_t i, size_t j) {
  const uint32_t high = n->slots[i], low = n->slots[j];
  if (low == PAD || n->failed) return;
  if (high == PAD) {
    n->slots[i] = low;
    n->slots[j] = PAD;
    return;
  }
  emit(n, high, low);
}

/* Batcher's odd-even merge sort of `run` slots from `at`, descending. */
static void sort_run(struct network *n, size_t at, size_t run) {
  for (size_t p = 1; p < run; p *= 2) {
    for (size_t q = p; q; q /= 2) {
      for (size_t j = q % p; j + q < run; j += 2 * q) {
        for (size_t i = j; i < j + q && i + q < run; i++) {
          if (i / (2 * p) == (i + q) / (2 * p)) order(n, at + i, at + i + q);
        }
      }
    }
  }
}

/* The larger half of two descending runs into the first, descending again. */
static void merge_runs(struct network *n, size_t a, size_t b, size_t run) {
  for (size_t i = 0; i < run; i++) order(n, a + i, b + run - 1 - i);
  for (size_t q = run / 2; q; q /= 2) {
    for (size_t i = 0; i < run; i++) {
      if (!(i & q)) order(n, a + i, a + i + q);
    }
  }
}

/* Drops comparators that no output depends on, then sorts the others by level. */
static fusion_status finish(struct network *n, const struct top_k *params) {
  fusion_status status = FUSION_OK;
  struct comparator *sorted = NULL;
  for (uint32_t i = 0; i < params->k; i++) n->needed[n->slots[i]] = 1;
  size_t kept = n->count;
  for (size_t i = n->count; i-- > 0;) {
    const struct comparator c = n->comparators[i];
    if (!n->needed[c.high] && !n->needed[c.low]) continue;
    n->needed[c.high] = n->needed[c.low] = 1;
    n->comparators[--kept] = c;
  }
  for (size_t i = kept; i < n->count; i++) {
    struct comparator *c = &n->comparators[i];
    c->level = (uint32_t)size_max(n->depth[c->high], n->depth[c->low]) + 1;
    n->depth[c->high] = n->depth[c->low] = c->level;
    n->levels = (unsigned)size_max(n->levels, c->level);
  }
  sorted = mem_alloc(n->count - kept, sizeof *sorted);
  n->level_end = mem_alloc(n->levels + 1u, sizeof *n->level_end);
  FAIL_IF(!sorted || !n->level_end, FUSION_E_MEMORY);
  size_t at = 0;
  for (uint32_t level = 1; level <= n->levels; level++) {
    for (size_t i = kept; i < n->count; i++) {
      if (n->comparators[i].level == level) sorted[at++] = n->comparators[i];
    }
    n->level_end[level] = at;
  }
  mem_free(n->comparators);
  n->comparators = sorted;
  n->count = at;
cleanup:
  return status;
}

static fusion_status network_make(struct network *n, const struct top_k *params) {
  fusion_status status = FUSION_OK;
  const size_t run = (size_t)1 << log2_up(params->k);
  const size_t runs = div_up(params->width, run);
  *n = (struct network){0};
  n->slots = mem_alloc(runs * run, sizeof *n->slots);
  n->depth = mem_alloc(params->width, sizeof *n->depth);
  n->needed = mem_alloc(params->width, 1);
  FAIL_IF(!n->slots || !n->depth || !n->needed, FUSION_E_MEMORY);
  for (size_t i = 0; i < runs * run; i++) n->slots[i] = i < params->width ? (uint32_t)i : PAD;
  for (size_t i = 0; i < runs; i++) sort_run(n, i * run, run);
  for (size_t step = 1; step < runs; step *= 2) {
    for (size_t i = 0; i + step < runs; i += 2 * step) merge_runs(n, i * run, (i + step) * run, run);
  }
  FAIL_IF(n->failed, FUSION_E_MEMORY);
  TRY(finish(n, params));
cleanup:
  return status;
}

/* Rings and sizes that follow from the parameters. */
struct course {
  unsigned index_bits, key_bits; /* a key is signed, of key_bits; its ring has one bit more */
  size_t rows_at_once;
  struct relu_truncate extension; /* x from value_bits to value_bits + 1, if it comes so narrow */
  struct relu_truncate value;     /* a key's value */
  bool extend;
};

static struct course course_of(const struct top_k *params) {
  struct course c = {.index_bits = top_k_index_bits(params)};
  c.key_bits = params->value_bits + c.index_bits;
  c.rows_at_once = size_max(1, RELU_TRUNCATE_CHUNK / params->width);
  c.extend = params->in_bits == params->value_bits;
  c.extension = (struct relu_truncate){.in_bits = params->value_bits,
                                       .out_bits = (uint8_t)(params->value_bits + 1),
                                       .garbled = params->garbled,
                                       .shape = params->shape};
  c.value = (struct relu_truncate){.in_bits = (uint8_t)(c.key_bits + 1),
                                   .shift = (uint8_t)c.index_bits,
                                   .out_bits = params->in_bits,
                                   .garbled = params->garbled,
                                   .shape = params->shape};
  return c;
}

static struct maximum level_maximum(const struct top_k *params, const struct course *c, bool last) {
  /* The last comparison of an argmax need not give more than the index. */
  const bool narrow = last && params->k == 1 && params->indices_only;
  return (struct maximum){(uint8_t)c->key_bits, (uint8_t)(c->key_bits + 1),
                          (uint8_t)(narrow ? c->index_bits : c->key_bits + 1), params->garbled, params->shape};
}

static fusion_status run_network(struct party *p, const struct top_k *params, const struct course *c,
                                 const struct network *n, uint64_t *keys, uint64_t *pair, size_t rows) {
  fusion_status status = FUSION_OK;
  for (unsigned level = 1; level <= n->levels; level++) {
    const struct comparator *comparators = n->comparators + n->level_end[level - 1];
    const size_t count = n->level_end[level] - n->level_end[level - 1], len = rows * sizeof *keys;
    const struct maximum params_of_level = level_maximum(params, c, level == n->levels);
    uint64_t *x = pair, *y = pair + count * rows, *z = y + count * rows;
    for (size_t i = 0; i < count; i++) {
      memcpy(x + i * rows, keys + comparators[i].high * rows, len);
      memcpy(y + i * rows, keys + comparators[i].low * rows, len);
    }
    TRY(maximum(p, &params_of_level, x, y, z, count * rows));
    for (size_t i = 0; i < count; i++) {
      uint64_t *high = keys + comparators[i].high * rows, *low = keys + comparators[i].low * rows;
      for (size_t row = 0; row < rows; row++) {
        const uint64_t sum = high[row] + low[row];
        high[row] = z[i * rows + row];
        low[row] = sum - high[row];
      }
    }
  }
cleanup:
  return status;
}

static fusion_status run_rows(struct party *p, const struct top_k *params, const struct course *c,
                              const struct network *n, uint64_t *keys, const uint64_t *x, uint64_t *indices,
                              uint64_t *values, size_t rows) {
  fusion_status status = FUSION_OK;
  const size_t width = params->width, k = params->k;
  const uint64_t index_mask = low_mask(c->index_bits), server = p->role == ROLE_SERVER ? UINT64_MAX : 0;
  uint64_t *pair = keys + width * rows;
  for (size_t row = 0; row < rows; row++) {
    for (size_t i = 0; i < width; i++) keys[i * rows + row] = x[row * width + i];
  }
  if (c->extend) TRY(relu_truncate(p, &c->extension, keys, keys, width * rows));
  for (size_t i = 0; i < width; i++) {
    const uint64_t tail = (index_mask - i) & server;
    for (size_t row = 0; row < rows; row++) keys[i * rows + row] = (keys[i * rows + row] << c->index_bits) + tail;
  }
  TRY(run_network(p, params, c, n, keys, pair, rows));
  for (size_t i = 0; i < k; i++) {
    for (size_t row = 0; row < rows; row++) {
      pair[row * k + i] = keys[n->slots[i] * rows + row];
      indices[row * k + i] = ((index_mask & server) - pair[row * k + i]) & index_mask;
    }
  }
  if (params->indices_only) goto cleanup;
  TRY(relu_truncate(p, &c->value, pair, pair, rows * k));
  if (values) memcpy(values, pair, rows * k * sizeof *values);
cleanup:
  return status;
}

/* Keys, and the operands and results of at most width/2 comparisons; at least a row of results. */
static size_t row_words(const struct top_k *params) {
  return (size_t)params->width + 3 * (size_t)(params->width / 2) + params->k;
}

static bool valid(const struct top_k *params) {
  return params->k >= 1 && params->k <= params->width && params->width <= UINT32_C(1) << 31 &&
         params->value_bits >= 2 && params->value_bits <= params->in_bits && params->in_bits <= 62 &&
         params->value_bits + top_k_index_bits(params) + 1 <= 62;
}

fusion_status top_k(struct party *p, const struct top_k *params, const uint64_t *x, uint64_t *indices, uint64_t *values,
                    size_t rows) {
  if (!valid(params)) return FUSION_E_INTERNAL;
  if (!rows) return FUSION_OK;
  fusion_status status = FUSION_OK;
  struct network n;
  const struct course c = course_of(params);
  const size_t width = params->width, at_once = size_min(rows, c.rows_at_once);
  const size_t words = row_words(params) * at_once;
  uint64_t *keys = heap_take(p->heap, words, sizeof *keys);
  TRY(network_make(&n, params));
  FAIL_IF(!keys, FUSION_E_MEMORY);
  for (size_t done = 0; done < rows; done += c.rows_at_once) {
    TRY(run_rows(p, params, &c, &n, keys, x + done * width, indices + done * params->k,
                 values ? values + done * params->k : NULL, size_min(c.rows_at_once, rows - done)));
  }
cleanup:
  network_free(&n);
  heap_give(p->heap, keys, words * sizeof *keys);
  return status;
}

void top_k_cost(struct cost *cost, const struct top_k *params, size_t rows) {
  struct network n;
  const struct course c = course_of(params);
  if (valid(params) && network_make(&n, params) == FUSION_OK) {
    for (size_t done = 0; done < rows; done += c.rows_at_once) {
      const size_t at_once = size_min(c.rows_at_once, rows - done);
      if (c.extend) relu_truncate_cost(cost, &c.extension, params->width * at_once);
      for (unsigned level = 1; level <= n.levels; level++) {
        const struct maximum m = level_maximum(params, &c, level == n.levels);
        maximum_cost(cost, &m, (n.level_end[level] - n.level_end[level - 1]) * at_once);
      }
      if (!params->indices_only) relu_truncate_cost(cost, &c.value, params->k * at_once);
    }
    network_free(&n);
  } else {
    cost->out_of_memory = true;
  }
}

size_t top_k_memory(const struct top_k *params, enum role role, size_t rows) {
  const struct course c = course_of(params);
  const struct maximum m = level_maximum(params, &c, false);
  const size_t at_once = size_min(rows, c.rows_at_once), most = params->width * at_once;
  return row_words(params) * at_once * sizeof(uint64_t) + maximum_memory(&m, role, most);
}
