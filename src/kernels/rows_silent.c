/* Rows of the silent extension: GGM trees, the LPN code, the field of the consistency check. */
#include "kernels/kernel_registry.h"
#include "silent/ggm.h"
#include "silent/lpn_kernels.h"
#include "silent/silent_field_kernels.h"
#include "silent/silent_set.h"

/* A key of the tier's AES. */
struct silent_key {
  struct aes_key key;
  bool opened;
};

static void open_key(struct kernel_run *r, struct silent_key *k) {
  uint8_t bytes[AES_KEY_LEN];
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)kernel_word(r);
  const fusion_status opened = aes_kernels_of(r->shape.tier)->open(&k->key, bytes);
  k->opened = opened == FUSION_OK;
  if (!k->opened) r->status = opened;
}
static void close_key(const struct kernel_run *r, struct silent_key *k) {
  if (k->opened) aes_kernels_of(r->shape.tier)->close(&k->key);
}

/* --- GGM trees: size is the depth, the parameter how many trees --- */

enum { TREES = 16 };

struct ggm_work {
  struct silent_key key; /* first: close_ggm */
  const struct ggm_kernels *kernels;
  block *leaves, *sums, *seeds;
  uint64_t *turns;
};

/* Without memory for leaves. */
static void open_roots(struct kernel_run *r) {
  struct ggm_work *w = r->work;
  w->kernels = ggm_kernels_of(r->shape.tier);
  open_key(r, &w->key);
  w->seeds = kernel_blocks(r, KERNEL_INPUT, 2 * r->shape.parameter);
  w->sums = kernel_memory(r, KERNEL_OUTPUT, r->shape.parameter * r->shape.size, sizeof *w->sums);
}
static void close_ggm(struct kernel_run *r) {
  struct ggm_work *w = r->work;
  close_key(r, &w->key);
}

static void open_expand(struct kernel_run *r) {
  struct ggm_work *w = r->work;
  open_roots(r);
  w->leaves = kernel_memory(r, KERNEL_OUTPUT, (size_t)r->shape.parameter << r->shape.size, sizeof *w->leaves);
}
static void run_expand(struct kernel_run *r) {
  const struct ggm_work *w = r->work;
  const unsigned depth = (unsigned)r->shape.size;
  for (size_t i = 0; i < r->shape.parameter; i++)
    ggm_expand(w->kernels, &w->key.key, w->leaves + (i << depth), w->sums + i * depth, w->seeds[2 * i],
               w->seeds[2 * i + 1], depth);
}

static void open_left_sums(struct kernel_run *r) {
  struct ggm_work *w = r->work;
  open_roots(r);
  w->leaves = kernel_memory(r, KERNEL_INPUT, (size_t)1 << r->shape.size, sizeof *w->leaves);
}
static void run_left_sums(struct kernel_run *r) {
  const struct ggm_work *w = r->work;
  const unsigned depth = (unsigned)r->shape.size;
  for (size_t i = 0; i < r->shape.parameter; i++)
    ggm_left_sums(w->kernels, &w->key.key, w->leaves, w->sums + i * depth, w->seeds[2 * i], w->seeds[2 * i + 1], depth);
}

static void open_expand_punctured(struct kernel_run *r) {
  struct ggm_work *w = r->work;
  w->kernels = ggm_kernels_of(r->shape.tier);
  open_key(r, &w->key);
  w->sums = kernel_blocks(r, KERNEL_INPUT, r->shape.size);
  w->turns = kernel_words(r, KERNEL_INPUT, r->shape.parameter);
  w->leaves = kernel_memory(r, KERNEL_OUTPUT, (size_t)r->shape.parameter << r->shape.size, sizeof *w->leaves);
}
static void run_expand_punctured(struct kernel_run *r) {
  const struct ggm_work *w = r->work;
  const unsigned depth = (unsigned)r->shape.size;
  for (size_t i = 0; i < r->shape.parameter; i++)
    ggm_expand_punctured(w->kernels, &w->key.key, w->leaves + (i << depth), w->sums, w->turns[i] & low_mask(depth),
                         depth);
}

/* One AES call makes two nodes, and all levels together have twice the leaves: one call a leaf. */
#define TREE_POINT(title, depth)                                                                                   \
  {                                                                                                                \
    .name = title, .unit = "leaf", .size = depth, .parameter = TREES, .units = (double)((size_t)TREES << (depth)), \
    .demand = {                                                                                                    \
      {CEILING_AES, 1},                                                                                            \
      {CEILING_L2, 48}                                                                                             \
    }                                                                                                              \
  }
#define GGM_ROW(member)                                                                                               \
  .name = #member, .members = KERNEL_MEMBER(ggm, member), .work_len = sizeof(struct ggm_work), .open = open_##member, \
  .run = run_##member, .close = close_ggm

static const struct kernel_row ggm_rows[] = {
    {GGM_ROW(expand), KERNEL_SIZES(1, 2, 3, 4, 5, 6, 7, 8, 9), .first_parameter = 1, .last_parameter = 2,
     .points = {TREE_POINT("GGM tree, depth 9", 9), TREE_POINT("GGM tree, depth 11", 11)}},
    {GGM_ROW(left_sums), KERNEL_SIZES(1, 2, 3, 4, 5, 6, 7, 8, 9), .first_parameter = 1, .last_parameter = 2,
     .points = {TREE_POINT("GGM tree, depth 9, sums alone", 9)}},
    {GGM_ROW(expand_punctured), KERNEL_SIZES(1, 2, 3, 4, 5, 6, 7, 8, 9), .first_parameter = 1, .last_parameter = 8,
     .points = {TREE_POINT("GGM tree, depth 9, punctured", 9), TREE_POINT("GGM tree, depth 11, punctured", 11)}},
};
const struct kernel_module kernels_of_ggm = KERNEL_MODULE(ggm, "ot", 0, ggm_rows);

/* --- the LPN code: size is rows, a multiple of 64 --- */

enum {
  LPN_LENGTHS = 8,                       /* the last one for a single vector only: it is large */
  LPN_SETS = LPN_TOGETHER * LPN_LENGTHS, /* from this parameter on: the sets of silent_set.h */
  LPN_BENCH_ROWS = 1 << 14,              /* of all vectors */
  LAN_TOGETHER = 4,
  WAN_TOGETHER = 1,
};

struct lpn_work {
  struct silent_key key;
  const struct lpn_kernels *kernels;
  struct lpn_vectors vectors;
  block *rows;
  uint64_t first_row;
};

/* The parameter chooses a length and how many vectors go together. */
static struct lpn_vectors lpn_shape(unsigned parameter) {
  static const struct lpn_vectors lengths[LPN_LENGTHS] = {{.factor = 1, .shift = 4},    {.factor = 1, .shift = 10},
                                                          {.factor = 33, .shift = 11},  {.factor = 1, .shift = 16},
                                                          {.factor = 1023, .shift = 0}, {.factor = 3, .shift = 16},
                                                          {.factor = 1, .shift = 18},   {.factor = 1, .shift = 21}};
  struct lpn_vectors v;
  if (parameter < LPN_SETS) {
    v = lengths[parameter / LPN_TOGETHER];
    v.count = 1 + parameter % LPN_TOGETHER;
  } else {
    const struct silent_set *set = parameter == LPN_SETS ? &silent_set_lan : &silent_set_wan;
    assert(silent_set_lan.together == LAN_TOGETHER && silent_set_wan.together == WAN_TOGETHER);
    v = (struct lpn_vectors){.factor = set->factor, .shift = set->shift, .count = set->together};
  }
  v.width = lpn_width(v.count);
  return v;
}

static void open_lpn(struct kernel_run *r) {
  struct lpn_work *w = r->work;
  const bool set = r->shape.parameter >= LPN_SETS;
  w->kernels = lpn_kernels_of(r->shape.tier);
  w->vectors = lpn_shape(r->shape.parameter);
  open_key(r, &w->key);
  w->first_row = set ? 0 : LPN_BATCH_ROWS * kernel_value(r, 100000);
  w->vectors.blocks =
      kernel_blocks(r, KERNEL_INPUT, ((size_t)w->vectors.factor << w->vectors.shift) * w->vectors.width);
  w->rows = kernel_blocks(r, KERNEL_OUTPUT, w->vectors.count * r->shape.size);
}
static void close_lpn(struct kernel_run *r) {
  struct lpn_work *w = r->work;
  close_key(r, &w->key);
}
/* Other rows each time: the same ones would find their places in a nearer cache. */
static void run_encode(struct kernel_run *r) {
  struct lpn_work *w = r->work;
  w->kernels->encode(&w->key.key, w->rows, r->shape.size, w->first_row, r->shape.size, &w->vectors);
  w->first_row += r->shape.size;
}

/* What is read from one place, and the places themselves, serve all that share the matrix. */
#define LPN_POINT(title, set, together)                                                                       \
  {                                                                                                           \
    .name = title, .unit = "correlation", .size = LPN_BENCH_ROWS / (together), .parameter = LPN_SETS + (set), \
    .units = LPN_BENCH_ROWS, .demand = {                                                                      \
      {CEILING_GATHER_4M, LPN_WEIGHT / (double)(together)},                                                   \
      {CEILING_AES, LPN_BATCH_BLOCKS / (double)LPN_BATCH_ROWS / (together)}                                   \
    }                                                                                                         \
  }

static const struct kernel_row lpn_rows[] = {
    {.name = "encode",
     .members = KERNEL_MEMBER(lpn, encode),
     .work_len = sizeof(struct lpn_work),
     .open = open_lpn,
     .run = run_encode,
     .close = close_lpn,
     KERNEL_SIZES(0, 64, 192),
     .last_parameter = LPN_SETS - LPN_TOGETHER,
     .points = {LPN_POINT("LPN code, LAN set", 0, LAN_TOGETHER), LPN_POINT("LPN code, WAN set", 1, WAN_TOGETHER)}},
};
const struct kernel_module kernels_of_lpn = KERNEL_MODULE(lpn, "ot", 0, lpn_rows);

/* --- the field --- */

struct field_work {
  const struct silent_field_kernels *kernels;
  block *a, *b, *out;
};

/* Size is products. */
static void open_multiply(struct kernel_run *r) {
  struct field_work *w = r->work;
  w->kernels = silent_field_kernels_of(r->shape.tier);
  w->a = kernel_blocks(r, KERNEL_INPUT, r->shape.size);
  w->b = kernel_blocks(r, KERNEL_INPUT, r->shape.size);
  w->out = kernel_blocks(r, KERNEL_OUTPUT, r->shape.size);
}
static void run_multiply(struct kernel_run *r) {
  const struct field_work *w = r->work;
  for (size_t i = 0; i < r->shape.size; i++) w->out[i] = w->kernels->multiply(w->a[i], w->b[i]);
}

/* Size is calls, all with the same first operand. */
static void open_fold(struct kernel_run *r) {
  struct field_work *w = r->work;
  w->kernels = silent_field_kernels_of(r->shape.tier);
  w->a = kernel_blocks(r, KERNEL_INPUT, FIELD_FOLD);
  w->b = kernel_blocks(r, KERNEL_INPUT, FIELD_FOLD * r->shape.size);
  w->out = kernel_blocks(r, KERNEL_OUTPUT, r->shape.size);
}
static void run_fold(struct kernel_run *r) {
  const struct field_work *w = r->work;
  for (size_t i = 0; i < r->shape.size; i++) w->out[i] = w->kernels->fold(w->a, w->b + FIELD_FOLD * i);
}

static const struct kernel_row field_rows[] = {
    {.name = "multiply",
     .members = KERNEL_MEMBER(silent_field, multiply),
     .work_len = sizeof(struct field_work),
     .open = open_multiply,
     .run = run_multiply,
     KERNEL_SIZES(0, 1, 500),
     .points = {{.name = "consistency check, product",
                 .unit = "product",
                 .size = 256,
                 .units = 256,
                 .demand = {{CEILING_CARRYLESS, 4}, {CEILING_L1, 48}}}}},
    {.name = "fold",
     .members = KERNEL_MEMBER(silent_field, fold),
     .work_len = sizeof(struct field_work),
     .open = open_fold,
     .run = run_fold,
     KERNEL_SIZES(1, 5),
     .points = {{.name = "consistency check, fold",
                 .unit = "block",
                 .size = 4,
                 .units = 4 * FIELD_FOLD,
                 .demand = {{CEILING_CARRYLESS, 4}, {CEILING_L1, 32}}}}},
};
const struct kernel_module kernels_of_silent_field = KERNEL_MODULE(silent_field, "ot", 0, field_rows);
