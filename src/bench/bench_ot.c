/* Rows of oblivious transfer: AES, the hash, GGM trees, the LPN code, the consistency check, tables of bits,
 * SoftSpoken. */
#include "base/bits_kernels.h"
#include "bench/bench_suite.h"
#include "ot/one_of_n_kernels.h"
#include "ot/softspoken_kernels.h"
#include "silent/ggm.h"
#include "silent/lpn_kernels.h"
#include "silent/silent_field_kernels.h"
#include "silent/silent_set.h"

enum { BLOCKS = 1024, TREES = 16, LPN_ROWS = 1 << 14, VALUES = 1024, STRIDE = 64 };

struct ot_work {
  const struct aes_kernels *aes;
  const struct ggm_kernels *ggm;
  const struct lpn_kernels *lpn;
  const struct silent_field_kernels *field;
  const struct one_of_n_kernels *tables;
  const struct bits_kernels *bits;
  const struct softspoken_kernels *softspoken;
  const struct silent_set *set;
  struct aes_key key;
  block *in, *out; /* TREES << GGM depth; LPN_ROWS */
  block *vector;   /* of the larger set, or four of the smaller */
  uint64_t *values, *planes;
  uint8_t *packed;
  struct tree_job tree;
  block sum;
};

static void encrypt(void *context) {
  const struct ot_work *w = context;
  w->aes->encrypt(&w->key, w->out, w->in, BLOCKS);
}
static void counter(void *context) {
  const struct ot_work *w = context;
  w->aes->counter(&w->key, w->out, 7, BLOCKS);
}
static void hash(void *context) {
  const struct ot_work *w = context;
  w->aes->tccr(w->out, w->in, BLOCKS, block_make(1, 1), block_make(2, 0));
}
static void grow(void *context) {
  const struct ot_work *w = context;
  block sums[GGM_DEPTH_MAX];
  for (size_t i = 0; i < TREES; i++)
    ggm_expand(w->ggm, &w->key, w->out + (i << w->set->depth), sums, block_make(0, i), block_make(5, 1), w->set->depth);
}
static void grow_punctured(void *context) {
  const struct ot_work *w = context;
  block sums[GGM_DEPTH_MAX] = {{0, 0}};
  struct ggm_hole hole;
  for (size_t i = 0; i < TREES; i++)
    ggm_expand_punctured(w->ggm, &w->key, w->out + (i << w->set->depth), &hole, sums, i, w->set->depth);
}
static void encode(void *context) {
  const struct ot_work *w = context;
  const struct silent_set *set = w->set;
  const struct lpn_vectors vectors = {.blocks = w->vector,
                                      .factor = set->factor,
                                      .shift = set->shift,
                                      .width = set->together > 1 ? LPN_TOGETHER : 1,
                                      .count = set->together};
  const size_t rows = LPN_ROWS / set->together;
  w->lpn->encode(&w->key, w->out, rows, 0, rows, &vectors);
}
static void fold(void *context) {
  struct ot_work *w = context;
  for (size_t i = 0; i < BLOCKS; i += FIELD_FOLD) w->sum = block_xor(w->sum, w->field->fold(w->vector, w->in + i));
}
static void pack_tables(void *context) {
  const struct ot_work *w = context;
  w->tables->pack(w->out, w->in, BLOCKS, 3);
}
static void bit_planes(void *context) {
  const struct ot_work *w = context;
  w->tables->bit_planes(w->planes, w->planes + BLOCKS / 64, w->in, BLOCKS / 64);
}
static void low_words(void *context) {
  const struct ot_work *w = context;
  w->tables->low_words(w->values, w->in, BLOCKS);
}
static void pack_bits(void *context) {
  const struct ot_work *w = context;
  w->bits->pack(w->packed, w->values, VALUES, 18);
}
static void unpack_bits(void *context) {
  const struct ot_work *w = context;
  w->bits->unpack(w->values, w->packed, VALUES, 18, 0);
}
static void sum_tree(void *context) {
  const struct ot_work *w = context;
  w->softspoken->tree(&w->tree);
}
static void transpose(void *context) {
  const struct ot_work *w = context;
  w->softspoken->transpose(w->out, w->in, STRIDE, STRIDE);
}

static void symmetric(struct bench *b, struct ot_work *w) {
  const struct bench_row aes = {.group = "ot",
                                .name = "AES, fixed key",
                                .unit = "block",
                                .units = BLOCKS,
                                .demand = {{CEILING_AES, 1}, {CEILING_L1, 32}}};
  struct bench_row stream = aes, tccr = aes;
  stream.name = "AES, counter mode";
  stream.demand[1].amount = 16;
  tccr.name = "TCCR hash";
  tccr.unit = "hash";
  tccr.demand[0].amount = 2;
  bench_kernel(b, &aes, encrypt, w);
  bench_kernel(b, &stream, counter, w);
  bench_kernel(b, &tccr, hash, w);
}

static void silent(struct bench *b, struct ot_work *w) {
  static const struct {
    const struct silent_set *set;
    const char *tree, *punctured, *code;
    enum ceiling gather;
  } sets[] = {
      {&silent_set_lan, "GGM tree, depth 10", "GGM tree, depth 10, punctured", "LPN code, LAN set", CEILING_GATHER_4M},
      {&silent_set_wan, "GGM tree, depth 12", "GGM tree, depth 12, punctured", "LPN code, WAN set", CEILING_GATHER_4M}};
  for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
    w->set = sets[i].set;
    /* One AES call makes two nodes, and all levels together have twice the leaves: one call a leaf. */
    struct bench_row row = {.group = "ot",
                            .name = sets[i].tree,
                            .unit = "leaf",
                            .units = (double)((size_t)TREES << w->set->depth),
                            .demand = {{CEILING_AES, 1}, {CEILING_L2, 48}}};
    bench_kernel(b, &row, grow, w);
    row.name = sets[i].punctured;
    bench_kernel(b, &row, grow_punctured, w);
    /* What is read from one place, and the places themselves, serve all that share the matrix. */
    const double places = 1 / (double)w->set->together;
    const struct bench_row code = {
        .group = "ot",
        .name = sets[i].code,
        .unit = "correlation",
        .units = LPN_ROWS,
        .demand = {{sets[i].gather, LPN_WEIGHT * places}, {CEILING_AES, places * LPN_BATCH_BLOCKS / LPN_BATCH_ROWS}}};
    bench_kernel(b, &code, encode, w);
  }
  const struct bench_row check = {.group = "ot",
                                  .name = "consistency check, fold",
                                  .unit = "block",
                                  .units = BLOCKS,
                                  .demand = {{CEILING_CARRYLESS, 4}, {CEILING_L1, 32}}};
  bench_kernel(b, &check, fold, w);
}

static void tables(struct bench *b, struct ot_work *w) {
  static const struct {
    const char *name, *unit;
    bench_call call;
    double units;
    struct bench_demand demand[FUSION_BENCH_DEMANDS];
  } rows[] = {
      {"OT table, three correlations into one", "block", pack_tables, BLOCKS, {{CEILING_L1, 64}}},
      {"OT table, two bit planes", "block", bit_planes, BLOCKS, {{CEILING_L1, 16.25}}},
      {"OT table, low words", "block", low_words, BLOCKS, {{CEILING_L1, 24}}},
      {"pack 18-bit values", "value", pack_bits, VALUES, {{CEILING_L1, 10.25}}},
      {"unpack 18-bit values", "value", unpack_bits, VALUES, {{CEILING_L1, 10.25}}},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct bench_row row = {.group = "ot", .name = rows[i].name, .unit = rows[i].unit, .units = rows[i].units};
    memcpy(row.demand, rows[i].demand, sizeof row.demand);
    bench_kernel(b, &row, rows[i].call, w);
  }
}

static void softspoken(struct bench *b, struct ot_work *w) {
  enum { DEPTH = 4 };
  bool ok = true;
  struct leaf_key *leaves = bench_alloc(b, 1 << DEPTH, sizeof *leaves);
  w->tree = (struct tree_job){.leaves = leaves,
                              .depth = DEPTH,
                              .total = w->out,
                              .planes = w->out + STRIDE,
                              .stride = STRIDE,
                              .blocks = STRIDE,
                              .scratch = bench_alloc(b, SOFTSPOKEN_TILE << DEPTH, sizeof(block)),
                              .cipher = w->softspoken->cipher_new(&ok)};
  bench_check(b, ok ? FUSION_OK : FUSION_E_MEMORY);
  if (bench_ready(b)) {
    for (uint64_t i = 0; i < 1 << DEPTH; i++) w->softspoken->schedule(&leaves[i], block_make(1, i));
    const struct bench_row tree = {.group = "ot",
                                   .name = "SoftSpoken tree, 16 leaves",
                                   .unit = "AES block",
                                   .units = (1 << DEPTH) * STRIDE,
                                   .demand = {{CEILING_AES, 1}}};
    const struct bench_row turn = {.group = "ot",
                                   .name = "SoftSpoken transposition",
                                   .unit = "block",
                                   .units = 128 * STRIDE,
                                   .demand = {{CEILING_L2, 32}}};
    bench_kernel(b, &tree, sum_tree, w);
    bench_kernel(b, &turn, transpose, w);
  }
  if (w->tree.cipher) w->softspoken->cipher_free(w->tree.cipher);
  mem_free(w->tree.scratch);
  mem_free(leaves);
}

void bench_ot(struct bench *b) {
  static const uint8_t bytes[AES_KEY_LEN] = {1};
  struct ot_work w = {.aes = aes_kernels_of(b->tier),
                      .ggm = ggm_kernels_of(b->tier),
                      .lpn = lpn_kernels_of(b->tier),
                      .field = silent_field_kernels_of(b->tier),
                      .tables = one_of_n_kernels_of(b->tier),
                      .bits = bits_kernels_of(b->tier),
                      .softspoken = softspoken_kernels_of(b->tier)};
  const size_t blocks = (size_t)TREES << silent_set_wan.depth;
  const fusion_status opened = w.aes->open(&w.key, bytes);
  bench_check(b, opened);
  w.in = bench_alloc(b, blocks, sizeof *w.in);
  w.out = bench_alloc(b, blocks, sizeof *w.out);
  w.vector = bench_alloc(b, size_max(silent_set_k(&silent_set_wan), silent_set_k(&silent_set_lan) * LPN_TOGETHER),
                         sizeof *w.vector);
  w.values = bench_alloc(b, VALUES, sizeof *w.values);
  w.planes = bench_alloc(b, VALUES, sizeof *w.planes);
  w.packed = bench_alloc(b, VALUES * sizeof *w.values, 1);
  if (bench_ready(b)) {
    for (size_t i = 0; i < blocks; i++) w.in[i] = block_make(i * UINT64_C(0x9e3779b97f4a7c15), i);
    symmetric(b, &w);
    silent(b, &w);
    tables(b, &w);
    softspoken(b, &w);
  }
  if (opened == FUSION_OK) w.aes->close(&w.key);
  mem_free(w.in);
  mem_free(w.out);
  mem_free(w.vector);
  mem_free(w.values);
  mem_free(w.planes);
  mem_free(w.packed);
}
