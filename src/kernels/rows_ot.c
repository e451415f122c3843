/* Rows of AES and its hash, the tables of 1-of-n transfer, SoftSpoken, and packed bits. */
#include "base/bits.h"
#include "base/bits_kernels.h"
#include "kernels/kernel_registry.h"
#include "ot/one_of_n.h"
#include "ot/one_of_n_kernels.h"
#include "ot/softspoken_kernels.h"
#include "rand/aes_kernels.h"

enum { BLOCKS = 1024 /* in `fusion bench` */ };

/* --- AES: size is blocks; an odd parameter works in place --- */

struct aes_work {
  const struct aes_kernels *kernels;
  struct aes_key key;
  bool opened;
  block *in, *out, offset, tweak;
  uint64_t first;
};

static void open_aes(struct kernel_run *r) {
  struct aes_work *w = r->work;
  uint8_t bytes[AES_KEY_LEN];
  w->kernels = aes_kernels_of(r->shape.tier);
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)kernel_word(r);
  w->out = kernel_blocks(r, KERNEL_OUTPUT, r->shape.size);
  w->in = r->shape.parameter % 2 ? w->out : kernel_blocks(r, KERNEL_INPUT, r->shape.size);
  w->offset = block_make(kernel_word(r), 1);
  /* Counters run over 32 bits, tweaks over 64. */
  const bool extreme = r->shape.fill == KERNEL_EXTREME;
  w->first = extreme ? UINT32_MAX - r->shape.size / 2 : kernel_word(r);
  w->tweak = block_make(kernel_word(r), extreme ? UINT64_MAX - r->shape.size / 2 : kernel_word(r));
  if (r->status == FUSION_OK) r->status = w->kernels->open(&w->key, bytes);
  w->opened = r->status == FUSION_OK;
}
static void close_aes(struct kernel_run *r) {
  struct aes_work *w = r->work;
  if (w->opened) w->kernels->close(&w->key);
}
static void run_encrypt(struct kernel_run *r) {
  const struct aes_work *w = r->work;
  w->kernels->encrypt(&w->key, w->out, w->in, r->shape.size);
}
static void run_counter(struct kernel_run *r) {
  const struct aes_work *w = r->work;
  w->kernels->counter(&w->key, w->out, w->first, r->shape.size);
}
static void run_tccr(struct kernel_run *r) {
  const struct aes_work *w = r->work;
  w->kernels->tccr(w->out, w->in, r->shape.size, w->offset, w->tweak);
}

#define AES_SIZES                                                                                                    \
  KERNEL_SIZES(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, \
               28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 63, 64, 65, 109, 203)
#define AES_ROW(member)                                                                                          \
  .name = #member, .members = KERNEL_MEMBER(aes, member) | KERNEL_MEMBER(aes, open) | KERNEL_MEMBER(aes, close), \
  .work_len = sizeof(struct aes_work), .open = open_aes, .run = run_##member, .close = close_aes, AES_SIZES

static const struct kernel_row aes_rows[] = {
    {AES_ROW(encrypt), .last_parameter = 1,
     .points = {{.name = "AES, fixed key",
                 .unit = "block",
                 .size = BLOCKS,
                 .units = BLOCKS,
                 .demand = {{CEILING_AES, 1}, {CEILING_L1, 32}}}}},
    {AES_ROW(counter), .points = {{.name = "AES, counter mode",
                                   .unit = "block",
                                   .size = BLOCKS,
                                   .units = BLOCKS,
                                   .demand = {{CEILING_AES, 1}, {CEILING_L1, 16}}}}},
    {AES_ROW(tccr), .last_parameter = 1,
     .points = {{.name = "TCCR hash",
                 .unit = "hash",
                 .size = BLOCKS,
                 .units = BLOCKS,
                 .demand = {{CEILING_AES, 2}, {CEILING_L1, 32}}}}},
};
const struct kernel_module kernels_of_aes = KERNEL_MODULE(aes, "ot", 0, aes_rows);

/* --- 1-of-n tables --- */

struct table_work {
  const struct one_of_n_kernels *kernels;
  block *in, *out;
  uint64_t *plane[2];
};

/* Size is blocks, a multiple of 4; the parameter is the width. */
static void open_pack(struct kernel_run *r) {
  struct table_work *w = r->work;
  w->kernels = one_of_n_kernels_of(r->shape.tier);
  w->in = kernel_blocks(r, KERNEL_INPUT, r->shape.size * r->shape.parameter);
  w->out = kernel_blocks(r, KERNEL_OUTPUT, r->shape.size);
}
static void run_pack_tables(struct kernel_run *r) {
  const struct table_work *w = r->work;
  w->kernels->pack(w->out, w->in, r->shape.size, r->shape.parameter);
}

/* Size is words; an odd parameter wants no second plane and begins off a line of the cache. */
static void open_bit_planes(struct kernel_run *r) {
  struct table_work *w = r->work;
  const unsigned odd = r->shape.parameter % 2;
  w->kernels = one_of_n_kernels_of(r->shape.tier);
  w->in = kernel_blocks(r, KERNEL_INPUT, 64 * r->shape.size + odd);
  if (w->in) w->in += odd;
  w->plane[0] = kernel_words(r, KERNEL_OUTPUT, r->shape.size);
  if (!odd) w->plane[1] = kernel_words(r, KERNEL_OUTPUT, r->shape.size);
}
static void run_bit_planes(struct kernel_run *r) {
  const struct table_work *w = r->work;
  w->kernels->bit_planes(w->plane[0], w->plane[1], w->in, r->shape.size);
}

/* Size is blocks, a multiple of 4. */
static void open_low_words(struct kernel_run *r) {
  struct table_work *w = r->work;
  w->kernels = one_of_n_kernels_of(r->shape.tier);
  w->in = kernel_blocks(r, KERNEL_INPUT, r->shape.size);
  w->plane[0] = kernel_words(r, KERNEL_OUTPUT, r->shape.size);
}
static void run_low_words(struct kernel_run *r) {
  const struct table_work *w = r->work;
  w->kernels->low_words(w->plane[0], w->in, r->shape.size);
}

#define TABLE_ROW(member, opened, runner)                                                                             \
  .name = #member, .members = KERNEL_MEMBER(one_of_n, member), .work_len = sizeof(struct table_work), .open = opened, \
  .run = runner

static const struct kernel_row one_of_n_rows[] = {
    {TABLE_ROW(pack, open_pack, run_pack_tables), KERNEL_SIZES(0, 4, 8, 12, 60, 64, 68, 320), .first_parameter = 1,
     .last_parameter = OT_WIDTH_MAX,
     .points = {{.name = "OT table, three correlations into one",
                 .unit = "block",
                 .size = BLOCKS,
                 .parameter = 3,
                 .units = BLOCKS,
                 .demand = {{CEILING_L1, 64}}}}},
    {TABLE_ROW(bit_planes, open_bit_planes, run_bit_planes), KERNEL_SIZES(0, 1, 2, 3, 5, 8), .last_parameter = 1,
     .points = {{.name = "OT table, two bit planes",
                 .unit = "block",
                 .size = BLOCKS / 64,
                 .units = BLOCKS,
                 .demand = {{CEILING_L1, 16.25}}}}},
    {TABLE_ROW(low_words, open_low_words, run_low_words), KERNEL_SIZES(0, 4, 8, 12, 60, 64, 68, 320),
     .points = {{.name = "OT table, low words",
                 .unit = "block",
                 .size = BLOCKS,
                 .units = BLOCKS,
                 .demand = {{CEILING_L1, 24}}}}},
};
const struct kernel_module kernels_of_one_of_n = KERNEL_MODULE(one_of_n, "ot", 0, one_of_n_rows);

/* --- SoftSpoken: size is blocks --- */

enum { TREE_DEPTH_MAX = 8, TREE_DEPTH = 4, STRIDE = 64 };

struct softspoken_work {
  const struct softspoken_kernels *kernels;
  struct leaf_key *leaves;
  struct tree_job job;
  block *planes, *chi, *out;
  uint64_t counter, nonce;
  size_t stride;
};

/* Keys of 2^depth leaves. */
static void open_leaves(struct kernel_run *r, unsigned depth) {
  struct softspoken_work *w = r->work;
  bool ok;
  w->kernels = softspoken_kernels_of(r->shape.tier);
  w->job.cipher = w->kernels->cipher_new(&ok);
  w->leaves = kernel_memory(r, KERNEL_INPUT, (size_t)1 << depth, sizeof *w->leaves);
  if (!ok) r->status = FUSION_E_MEMORY;
  if (r->status != FUSION_OK) return;
  for (size_t x = 0; x < (size_t)1 << depth; x++) {
    const uint64_t high = kernel_word(r);
    w->kernels->schedule(&w->leaves[x], block_make(high, kernel_word(r)));
  }
  w->nonce = kernel_word(r);
  w->counter = r->shape.fill == KERNEL_EXTREME ? UINT32_MAX - 5 : kernel_word(r) >> 1;
}
static void close_leaves(struct kernel_run *r) {
  struct softspoken_work *w = r->work;
  if (w->job.cipher) w->kernels->cipher_free(w->job.cipher);
}

/* The parameter is twice the depth, plus one for a punctured tree. */
static void open_tree(struct kernel_run *r) {
  struct softspoken_work *w = r->work;
  const unsigned depth = r->shape.parameter / 2;
  void *cipher;
  open_leaves(r, depth);
  cipher = w->job.cipher;
  w->job = (struct tree_job){.leaves = w->leaves,
                             .depth = depth,
                             .punctured = r->shape.parameter % 2,
                             .counter = w->counter,
                             .nonce = w->nonce,
                             .total = kernel_blocks(r, KERNEL_OUTPUT, r->shape.size),
                             .planes = kernel_blocks(r, KERNEL_OUTPUT, r->shape.size * depth),
                             .stride = r->shape.size,
                             .blocks = r->shape.size,
                             .scratch = kernel_memory(r, KERNEL_INPUT, (size_t)SOFTSPOKEN_TILE << depth, sizeof(block)),
                             .cipher = cipher};
}
static void run_tree(struct kernel_run *r) {
  const struct softspoken_work *w = r->work;
  w->kernels->tree(&w->job);
}

static void open_stream(struct kernel_run *r) {
  struct softspoken_work *w = r->work;
  open_leaves(r, 0);
  w->out = kernel_blocks(r, KERNEL_OUTPUT, r->shape.size);
}
static void run_stream(struct kernel_run *r) {
  const struct softspoken_work *w = r->work;
  w->kernels->stream(w->out, w->leaves, w->nonce, w->counter, r->shape.size, w->job.cipher);
}

static void open_planes(struct kernel_run *r, size_t out_count) {
  struct softspoken_work *w = r->work;
  w->kernels = softspoken_kernels_of(r->shape.tier);
  w->stride = div_up(r->shape.size, SOFTSPOKEN_GRANULE) * SOFTSPOKEN_GRANULE;
  w->planes = kernel_blocks(r, KERNEL_INPUT, 128 * w->stride);
  w->chi = kernel_blocks(r, KERNEL_INPUT, w->stride);
  w->out = kernel_blocks(r, KERNEL_OUTPUT, out_count);
}
static void open_hash(struct kernel_run *r) {
  open_planes(r, 128);
}
static void open_transpose(struct kernel_run *r) {
  open_planes(r, 128 * r->shape.size);
}
static void run_hash(struct kernel_run *r) {
  const struct softspoken_work *w = r->work;
  w->kernels->hash(w->out, w->planes, w->stride, w->chi, r->shape.size);
}
static void run_transpose(struct kernel_run *r) {
  const struct softspoken_work *w = r->work;
  w->kernels->transpose(w->out, w->planes, w->stride, r->shape.size);
}

#define SOFTSPOKEN_ROW(member, also)                                                                                  \
  .name = #member, .members = KERNEL_MEMBER(softspoken, member) | (also), .work_len = sizeof(struct softspoken_work), \
  .open = open_##member, .run = run_##member
#define LEAVES \
  KERNEL_MEMBER(softspoken, cipher_new) | KERNEL_MEMBER(softspoken, cipher_free) | KERNEL_MEMBER(softspoken, schedule)

static const struct kernel_row softspoken_rows[] = {
    {SOFTSPOKEN_ROW(tree, LEAVES), .close = close_leaves, KERNEL_SIZES(4, 28, 32, 36, 44, 64),
     .last_parameter = 2 * TREE_DEPTH_MAX + 1,
     .points = {{.name = "SoftSpoken tree, 16 leaves",
                 .unit = "AES block",
                 .size = STRIDE,
                 .parameter = 2 * TREE_DEPTH,
                 .units = STRIDE << TREE_DEPTH,
                 .demand = {{CEILING_AES, 1}}}}},
    {SOFTSPOKEN_ROW(stream, LEAVES), .close = close_leaves, KERNEL_SIZES(4, 8, 28, 32, 36, 44, 100),
     .points = {{.name = "SoftSpoken stream",
                 .unit = "block",
                 .size = BLOCKS,
                 .units = BLOCKS,
                 .demand = {{CEILING_AES, 1}, {CEILING_L1, 16}}}}},
    {SOFTSPOKEN_ROW(hash, 0), KERNEL_SIZES(0, 1, 2, 3, 4, 5, 7, 8, 44),
     .points = {{.name = "SoftSpoken check, hash of 128 planes",
                 .unit = "block",
                 .size = STRIDE,
                 .units = 128 * STRIDE,
                 .demand = {{CEILING_CARRYLESS, 4}, {CEILING_L2, 16}}}}},
    {SOFTSPOKEN_ROW(transpose, 0), KERNEL_SIZES(0, 1, 2, 3, 4, 5, 7, 8, 44),
     .points = {{.name = "SoftSpoken transposition",
                 .unit = "block",
                 .size = STRIDE,
                 .units = 128 * STRIDE,
                 .demand = {{CEILING_L2, 32}}}}},
};
const struct kernel_module kernels_of_softspoken = KERNEL_MODULE(softspoken, "ot", 0, softspoken_rows);

/* --- packed bits: size is values; the parameter is 64 * skip + bits - 1 --- */

struct bits_work {
  const struct bits_kernels *kernels;
  uint64_t *values;
  uint8_t *packed;
  unsigned bits, skip;
};

static struct bits_work *start_bits(struct kernel_run *r) {
  struct bits_work *w = r->work;
  *w = (struct bits_work){
      .kernels = bits_kernels_of(r->shape.tier), .bits = r->shape.parameter % 64 + 1, .skip = r->shape.parameter / 64};
  return w;
}
static void open_pack_bits(struct kernel_run *r) {
  struct bits_work *w = start_bits(r);
  w->values = kernel_words(r, KERNEL_INPUT, r->shape.size);
  w->packed = kernel_memory(r, KERNEL_OUTPUT, bits_len(r->shape.size, w->bits), 1);
}
static void run_pack_bits(struct kernel_run *r) {
  const struct bits_work *w = r->work;
  w->kernels->pack(w->packed, w->values, r->shape.size, w->bits);
}
static void open_unpack_bits(struct kernel_run *r) {
  struct bits_work *w = start_bits(r);
  const size_t len = div_up(w->skip + r->shape.size * w->bits, 8);
  w->values = kernel_words(r, KERNEL_OUTPUT, r->shape.size);
  w->packed = kernel_memory(r, KERNEL_INPUT, len, 1);
  for (size_t i = 0; w->packed && i < len; i++) w->packed[i] = (uint8_t)kernel_word(r);
}
static void run_unpack_bits(struct kernel_run *r) {
  const struct bits_work *w = r->work;
  w->kernels->unpack(w->values, w->packed, r->shape.size, w->bits, w->skip);
}

#define BITS_SIZES KERNEL_SIZES(0, 1, 7, 8, 9, 31, 32, 33, 39, 64, 65, 129)
#define BITS_POINT(title)                                                                                           \
  {                                                                                                                 \
    .name = title, .unit = "value", .size = 1024, .parameter = 17, .units = 1024, .demand = { {CEILING_L1, 10.25} } \
  }

static const struct kernel_row bits_rows[] = {
    {.name = "pack",
     .members = KERNEL_MEMBER(bits, pack),
     .work_len = sizeof(struct bits_work),
     .open = open_pack_bits,
     .run = run_pack_bits,
     BITS_SIZES,
     .last_parameter = 63,
     .points = {BITS_POINT("pack 18-bit values")}},
    {.name = "unpack",
     .members = KERNEL_MEMBER(bits, unpack),
     .work_len = sizeof(struct bits_work),
     .open = open_unpack_bits,
     .run = run_unpack_bits,
     BITS_SIZES,
     .last_parameter = 8 * 64 - 1,
     .points = {BITS_POINT("unpack 18-bit values")}},
};
const struct kernel_module kernels_of_bits = KERNEL_MODULE(bits, "ot", 0, bits_rows);
