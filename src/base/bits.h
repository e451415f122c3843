/** Bit packing: `count` values of `bits` bits each, back to back, little-endian, the last byte filled with zeros. */
#ifndef FUSION_BASE_BITS_H
#define FUSION_BASE_BITS_H

#include <endian.h>

#include "base/base.h"

/** Bytes of `count` values of `bits` bits, 0 <= bits <= 64. The caller keeps count * bits below 2^64. */
static inline size_t bits_len(size_t count, unsigned bits) {
  return div_up(count * bits, 8);
}

/** Packs the low `bits` bits of each value. out has bits_len(count, bits) bytes. Constant time in the values. */
void bits_pack(uint8_t *out, const uint64_t *values, size_t count, unsigned bits);
void bits_unpack(uint64_t *values, const uint8_t *in, size_t count, unsigned bits);

/* The same format value by value. Both directions touch whole words: a buffer has BITS_SLACK bytes more than its
 * stream. */
enum { BITS_SLACK = 8, BITS_WORD = 56 /* widest value that is handled in one step */ };

struct bit_writer {
  uint8_t *out; /* borrowed; the caller sized it */
  uint64_t pending;
  unsigned fill; /* bits in pending, below 8 between calls */
};

static inline void bits_put_word(struct bit_writer *w, uint64_t v, unsigned bits) {
  w->pending |= v << w->fill;
  const uint64_t word = htole64(w->pending);
  memcpy(w->out, &word, sizeof word);
  w->fill += bits;
  w->out += w->fill / 8;
  w->pending >>= w->fill & ~7u; /* at most 56 + 7 bits were held */
  w->fill &= 7;
}

/** v < 2^bits, bits <= 64. */
static inline void bits_put(struct bit_writer *w, uint64_t v, unsigned bits) {
  if (bits <= BITS_WORD) {
    bits_put_word(w, v, bits);
    return;
  }
  bits_put_word(w, v & UINT32_MAX, 32);
  bits_put_word(w, v >> 32, bits - 32);
}

/** Writes what is pending; the stream then ends at w->out. */
static inline void bits_finish(struct bit_writer *w) {
  if (w->fill) bits_put_word(w, 0, 8 - w->fill);
}

struct bit_reader {
  const uint8_t *in; /* borrowed */
  size_t position;   /* bits */
};

static inline uint64_t bits_get_word(struct bit_reader *r, unsigned bits) {
  uint64_t word;
  memcpy(&word, r->in + r->position / 8, sizeof word);
  const uint64_t v = (le64toh(word) >> (r->position % 8)) & low_mask(bits);
  r->position += bits;
  return v;
}

/** The next value; the caller checked the length. bits <= 64. */
static inline uint64_t bits_get(struct bit_reader *r, unsigned bits) {
  if (bits <= BITS_WORD) return bits_get_word(r, bits);
  const uint64_t low = bits_get_word(r, 32);
  return low | bits_get_word(r, bits - 32) << 32;
}

/** As bits_put() of each value's low bits and bits_get() of each value, 1 <= bits <= 64, by the tier's kernels. A
 * writer needs BITS_SLACK bytes after the stream; a reader touches nothing after the last value's byte. */
void bits_put_all(struct bit_writer *w, const uint64_t *values, size_t count, unsigned bits);
void bits_get_all(struct bit_reader *r, uint64_t *values, size_t count, unsigned bits);

#endif
