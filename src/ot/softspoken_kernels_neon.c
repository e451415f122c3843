#include "base/pmull_neon.h"
#include "base/swap_bits_neon.h"
#include "ot/softspoken_no_cipher.h"
#include "rand/aes_neon.h"

/* ---- AES-128 in counter mode ---- */

static void schedule_neon(struct leaf_key *out, block seed) {
  out->round[0] = seed;
  aes_expand_neon(out->round);
}

enum { LANES = SOFTSPOKEN_GRANULE }; /* blocks in flight */

static void stream_neon(block *out, const struct leaf_key *key, uint64_t nonce, uint64_t counter, size_t blocks,
                        void *cipher) {
  const struct aes_rounds_neon r = aes_rounds_neon(key->round);
  (void)cipher;
  for (size_t j = 0; j < blocks; j += LANES) {
    uint8x16_t x[LANES];
    for (size_t i = 0; i < LANES; i++) x[i] = aes_make_neon(nonce, counter + j + i);
    aes_some_neon(&r, x, LANES);
    for (size_t i = 0; i < LANES; i++) aes_store_neon(&out[j + i], x[i]);
  }
}

/* The sum of a tree's leaf streams and its planes, leaf by leaf, as a binary counter counts. Where bit b of the leaf's
 * number is set, the sum of the 2^b leaves up to it is that of bit b's plane, and joins the sum of the 2^b before. So
 * what is touched stays in the first-level cache, whatever the number of leaves. */
enum { TILE = AES_TILE_NEON, DEPTH_MOST = 8 };

struct tree_sums {
  uint8x16_t waiting[DEPTH_MOST + 1][TILE]; /* [depth]: the sum of all */
  uint8x16_t plane[DEPTH_MOST][TILE];
};

/* Adds leaf x, one after the other. */
static inline void add_leaf(struct tree_sums *s, size_t x, unsigned depth, uint8x16_t v[TILE]) {
  unsigned b = 0;
  for (; b < depth && (x >> b & 1); b++)
    for (size_t i = 0; i < TILE; i++) {
      s->plane[b][i] = veorq_u8(s->plane[b][i], v[i]);
      v[i] = veorq_u8(v[i], s->waiting[b][i]);
    }
  for (size_t i = 0; i < TILE; i++) s->waiting[b][i] = v[i];
}

static inline void store_sums(const struct tree_sums *s, const struct tree_job *job, size_t at) {
  const size_t count = size_min(TILE, job->blocks - at);
  for (size_t i = 0; i < count; i++) aes_store_neon(&job->total[at + i], s->waiting[job->depth][i]);
  for (unsigned b = 0; b < job->depth; b++)
    for (size_t i = 0; i < count; i++) aes_store_neon(&job->planes[b * job->stride + at + i], s->plane[b][i]);
}

static void tree_neon(const struct tree_job *job) {
  struct tree_sums sums;
  for (size_t at = 0; at < job->blocks; at += TILE) {
    memset(&sums, 0, sizeof sums); /* leaf 0 is zero unless it is added */
    for (size_t x = job->punctured; x < (size_t)1 << job->depth; x++) {
      const struct aes_rounds_neon r = aes_rounds_neon(job->leaves[x].round);
      uint8x16_t v[TILE];
      for (size_t i = 0; i < TILE; i++) v[i] = aes_make_neon(job->nonce, job->counter + at + i);
      aes_tile_neon(&r, v);
      add_leaf(&sums, x, job->depth, v);
    }
    store_sums(&sums, job, at);
  }
  mem_wipe(&sums, sizeof sums);
}

/* ---- the universal hash ---- */

/* Modulo X^128 + X^7 + X^2 + X + 1: twice times 0x87, upper word first. */
static inline uint64x2_t reduce_neon(struct pmull_sum s) {
  const uint64x2_t zero = vdupq_n_u64(0), poly = vdupq_n_u64(0x87);
  uint64x2_t low = veorq_u64(s.low, vextq_u64(zero, s.middle, 1)),
             high = veorq_u64(s.high, vextq_u64(s.middle, zero, 1));
  const uint64x2_t upper = pmull_high(high, poly);
  low = veorq_u64(low, vextq_u64(zero, upper, 1));
  high = veorq_u64(high, vextq_u64(upper, zero, 1));
  return veorq_u64(low, pmull_low(high, poly));
}

static void hash_neon(block out[128], const block *planes, size_t stride, const block *chi, size_t blocks) {
  for (size_t p = 0; p < 128; p++) {
    struct pmull_sum sum = pmull_zero();
    for (size_t j = 0; j < blocks; j++) pmull_add(&sum, pmull_load(&planes[p * stride + j]), pmull_load(&chi[j]));
    vst1q_u64(&out[p].lo, reduce_neon(sum));
  }
}

/* ---- transposition ----
 *
 * A matrix of 128 x 128 bits: one pass for each bit of the seven in which the numbers of a row and of a column differ
 * after it. Rows whose numbers differ in that bit exchange the parts whose column numbers do. */

/* Parts of 1, 2 or 4 bytes, or of 8. */
#define SWAP_PARTS(a, b, type)                                                                                \
  do {                                                                                                        \
    const uint8x16_t a_ = a, b_ = b;                                                                          \
    a = vreinterpretq_u8_##type(vtrn1q_##type(vreinterpretq_##type##_u8(a_), vreinterpretq_##type##_u8(b_))); \
    b = vreinterpretq_u8_##type(vtrn2q_##type(vreinterpretq_##type##_u8(a_), vreinterpretq_##type##_u8(b_))); \
  } while (0)

#define FOR_PAIRS(i, count, distance) for (size_t i = 0; i < (count); i = (i + (distance) + 1) & ~(size_t)(distance))

/* Sixteen rows: their four lowest bits. */
static inline void swap_low(uint8x16_t r[16]) {
  FOR_PAIRS(i, 16, 1) SWAP_BITS(r[i], r[i + 1], 1, 0xaa);
  FOR_PAIRS(i, 16, 2) SWAP_BITS(r[i], r[i + 2], 2, 0xcc);
  FOR_PAIRS(i, 16, 4) SWAP_BITS(r[i], r[i + 4], 4, 0xf0);
  for (size_t i = 0; i < 8; i++) {
    const uint8x16_t a = r[i], b = r[i + 8];
    r[i] = vtrn1q_u8(a, b);
    r[i + 8] = vtrn2q_u8(a, b);
  }
}

/* Eight rows, sixteen apart: their three highest bits. */
static inline void swap_high(uint8x16_t r[8]) {
  FOR_PAIRS(i, 8, 1) SWAP_PARTS(r[i], r[i + 1], u16);
  FOR_PAIRS(i, 8, 2) SWAP_PARTS(r[i], r[i + 2], u32);
  FOR_PAIRS(i, 8, 4) SWAP_PARTS(r[i], r[i + 4], u64);
}

static void transpose_neon(block *out, const block *planes, size_t stride, size_t blocks) {
  for (size_t j = 0; j < blocks; j++, out += 128) {
    for (size_t group = 0; group < 8; group++) {
      uint8x16_t r[16];
      for (size_t i = 0; i < 16; i++) r[i] = aes_load_neon(&planes[(16 * group + i) * stride + j]);
      swap_low(r);
      for (size_t i = 0; i < 16; i++) aes_store_neon(&out[16 * group + i], r[i]);
    }
    for (size_t i = 0; i < 16; i++) {
      uint8x16_t r[8];
      for (size_t group = 0; group < 8; group++) r[group] = aes_load_neon(&out[16 * group + i]);
      swap_high(r);
      for (size_t group = 0; group < 8; group++) aes_store_neon(&out[16 * group + i], r[group]);
    }
  }
}

const struct softspoken_kernels softspoken_kernels_neon = {
    .cipher_new = no_cipher,
    .cipher_free = no_cipher_free,
    .schedule = schedule_neon,
    .tree = tree_neon,
    .stream = stream_neon,
    .hash = hash_neon,
    .transpose = transpose_neon,
};
