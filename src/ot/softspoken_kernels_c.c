#include "ot/softspoken_kernels.h"

#include <openssl/evp.h>

static void *cipher_new_c(bool *ok) {
  EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
  *ok = cipher && EVP_EncryptInit_ex(cipher, EVP_aes_128_ecb(), NULL, NULL, NULL) == 1;
  if (*ok) EVP_CIPHER_CTX_set_padding(cipher, 0);
  return cipher;
}

static void cipher_free_c(void *cipher) {
  EVP_CIPHER_CTX_free(cipher);
}

static void schedule_c(struct leaf_key *out, block seed) {
  memset(out, 0, sizeof *out);
  out->round[0] = seed;
}

static void stream_c(block *out, const struct leaf_key *key, uint64_t nonce, uint64_t counter, size_t blocks,
                     void *cipher) {
  int written = 0;
  const int len = (int)(blocks * sizeof *out);
  for (size_t j = 0; j < blocks; j++) out[j] = block_make(nonce, counter + j);
  /* With a context that was set up these cannot fail; should they, counters must not go out as randomness. */
  if (EVP_EncryptInit_ex(cipher, NULL, NULL, (const uint8_t *)&key->round[0], NULL) != 1 ||
      EVP_EncryptUpdate(cipher, (uint8_t *)out, &written, (const uint8_t *)out, len) != 1 || written != len)
    __builtin_trap();
}

/* a ^= b, plane ^= b (or plane = b the first time), `blocks` long. */
static inline void fold_row(block *restrict a, block *restrict plane, const block *restrict b, size_t blocks,
                            bool first) {
  if (first) {
    for (size_t j = 0; j < blocks; j++) {
      a[j] = block_xor(a[j], b[j]);
      plane[j] = b[j];
    }
    return;
  }
  for (size_t j = 0; j < blocks; j++) {
    a[j] = block_xor(a[j], b[j]);
    plane[j] = block_xor(plane[j], b[j]);
  }
}

/* rows[x * SOFTSPOKEN_TILE ..]: the tile of leaf x, overwritten; the results go to job->total and job->planes from
 *  block `at` on. The rows are halved bit by bit: what stood in the upper half is the plane of that bit. */
static inline void fold_tile(const struct tree_job *job, block *rows, size_t at, size_t blocks) {
  for (unsigned b = job->depth; b-- > 0;) {
    const size_t half = (size_t)1 << b;
    for (size_t x = 0; x < half; x++)
      fold_row(rows + x * SOFTSPOKEN_TILE, job->planes + b * job->stride + at, rows + (half + x) * SOFTSPOKEN_TILE,
               blocks, x == 0);
  }
  memcpy(job->total + at, rows, blocks * sizeof *rows);
}

static void tree_c(const struct tree_job *job) {
  const size_t leaves = (size_t)1 << job->depth;
  for (size_t at = 0; at < job->blocks; at += SOFTSPOKEN_TILE) {
    const size_t blocks = size_min(SOFTSPOKEN_TILE, job->blocks - at);
    if (job->punctured) memset(job->scratch, 0, blocks * sizeof *job->scratch);
    for (size_t x = job->punctured; x < leaves; x++)
      stream_c(job->scratch + x * SOFTSPOKEN_TILE, &job->leaves[x], job->nonce, job->counter + at, blocks, job->cipher);
    fold_tile(job, job->scratch, at, blocks);
  }
}

/* a * X in GF(2^128). */
static inline block times_x(block a) {
  const uint64_t carry = (uint64_t)0 - (a.hi >> 63);
  return block_make(a.hi << 1 | a.lo >> 63, (a.lo << 1) ^ (carry & 0x87));
}

/* The bits of chi are public: they select, the plane's bits never do. */
static void hash_c(block out[128], const block *planes, size_t stride, const block *chi, size_t blocks) {
  for (size_t p = 0; p < 128; p++) {
    block sum = block_make(0, 0);
    for (unsigned t = 128; t-- > 0;) { /* Horner in X over all products at once */
      sum = times_x(sum);
      for (size_t j = 0; j < blocks; j++) {
        const uint64_t word = t < 64 ? chi[j].lo >> t : chi[j].hi >> (t - 64);
        sum = block_xor(sum, block_and_mask(planes[p * stride + j], (uint64_t)0 - (word & 1)));
      }
    }
    out[p] = sum;
  }
}

/* An 8x8 bit matrix, row r in byte r, transposed (Warren, "Hacker's Delight", 7-3). */
static inline uint64_t transpose8(uint64_t x) {
  uint64_t t = (x ^ (x >> 7)) & UINT64_C(0x00aa00aa00aa00aa);
  x ^= t ^ (t << 7);
  t = (x ^ (x >> 14)) & UINT64_C(0x0000cccc0000cccc);
  x ^= t ^ (t << 14);
  t = (x ^ (x >> 28)) & UINT64_C(0x00000000f0f0f0f0);
  return x ^ t ^ (t << 28);
}

static void transpose_c(block *out, const block *planes, size_t stride, size_t blocks) {
  for (size_t j = 0; j < blocks; j++)
    for (size_t c = 0; c < 16; c++)     /* 8 correlations */
      for (size_t r = 0; r < 16; r++) { /* 8 planes */
        uint64_t square = 0;
        for (size_t i = 0; i < 8; i++) {
          const block b = planes[(8 * r + i) * stride + j];
          const uint64_t word = c < 8 ? b.lo : b.hi;
          square |= (word >> (8 * (c % 8)) & 0xff) << (8 * i);
        }
        square = transpose8(square);
        for (size_t i = 0; i < 8; i++) {
          block *to = &out[128 * j + 8 * c + i];
          uint64_t *half = r < 8 ? &to->lo : &to->hi;
          const uint64_t byte = square >> (8 * i) & 0xff;
          *half = r % 8 ? *half | byte << (8 * (r % 8)) : byte;
        }
      }
}

const struct softspoken_kernels softspoken_kernels_c = {
    .cipher_new = cipher_new_c,
    .cipher_free = cipher_free_c,
    .schedule = schedule_c,
    .tree = tree_c,
    .stream = stream_c,
    .hash = hash_c,
    .transpose = transpose_c,
};
