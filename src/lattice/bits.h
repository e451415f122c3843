/** Streams of fixed-width values packed without gaps, least significant bit first. Constant time in the values. */
#ifndef FUSION_LATTICE_BITS_H
#define FUSION_LATTICE_BITS_H

#include <endian.h>

#include "base/base.h"

/** Bytes that `count` values of `bits` bits take. */
static inline size_t bits_len(uint64_t count, unsigned bits) {
  return (size_t)((count * bits + 7) / 8);
}

struct bit_writer {
  uint8_t *out; /* borrowed; the caller sized it */
  unsigned __int128 pending;
  unsigned fill; /* bits in pending, below 64 between calls */
};

/** v < 2^bits, bits <= 64. */
static inline void bits_put(struct bit_writer *w, uint64_t v, unsigned bits) {
  w->pending |= (unsigned __int128)v << w->fill;
  w->fill += bits;
  if (w->fill < 64) return;
  const uint64_t word = htole64((uint64_t)w->pending);
  memcpy(w->out, &word, sizeof word);
  w->out += sizeof word;
  w->pending >>= 64;
  w->fill -= 64;
}

static inline void bits_finish(struct bit_writer *w) {
  for (; w->fill; w->fill -= w->fill < 8 ? w->fill : 8) {
    *w->out++ = (uint8_t)w->pending;
    w->pending >>= 8;
  }
}

struct bit_reader {
  const uint8_t *in; /* borrowed */
  size_t left;       /* bytes not yet loaded */
  unsigned __int128 pending;
  unsigned fill;
};

/** The next value; the caller checked the length. bits <= 64. */
static inline uint64_t bits_get(struct bit_reader *r, unsigned bits) {
  if (r->fill < bits) {
    uint64_t word = 0;
    const size_t take = size_min(sizeof word, r->left);
    if (take == sizeof word)
      memcpy(&word, r->in, sizeof word);
    else if (take)
      memcpy(&word, r->in, take);
    r->in += take;
    r->left -= take;
    r->pending |= (unsigned __int128)le64toh(word) << r->fill;
    r->fill += 64;
  }
  const uint64_t v = (uint64_t)r->pending & low_mask(bits);
  r->pending >>= bits;
  r->fill -= bits;
  return v;
}

#endif
