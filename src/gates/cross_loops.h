/** The loops behind cross_kernels.h, written once; each tier's file compiles them with its own instructions. Included
 * by those files only. All of it is free of branches on secrets. */
#ifndef FUSION_GATES_CROSS_LOOPS_H
#define FUSION_GATES_CROSS_LOOPS_H

#include "gates/cross_kernels.h"

/* -1 where bit e of a plane's word is set, else 0. */
static inline uint64_t bit_mask(uint64_t word, size_t e) {
  return (uint64_t)0 - (word >> e & 1);
}

static void correct_common(uint64_t *restrict pad1, const uint64_t *restrict pad0, const uint64_t *restrict values,
                           size_t count) {
  for (size_t e = 0; e < count; e++) pad1[e] = values[e] - pad1[e] + pad0[e];
}

static inline void receive_word(uint64_t *restrict share, const uint64_t *restrict pad,
                                const uint64_t *restrict correction, uint64_t choice, uint64_t flip, unsigned shift,
                                size_t n) {
  for (size_t e = 0; e < n; e++) {
    const uint64_t sum = (pad[e] + (correction[e] & bit_mask(choice, e))) << shift, sign = bit_mask(flip, e);
    share[e] += (sum ^ sign) - sign;
  }
}

static void receive_common(uint64_t *share, const uint64_t *pad, const uint64_t *correction, const uint64_t *choice,
                           const uint64_t *own, struct cross_factor factor, size_t count) {
  const uint64_t negative = factor.negative ? UINT64_MAX : 0;
  for (size_t at = 0; at < count; at += 64) {
    const uint64_t flip = choice[at / 64] ^ own[at / 64] ^ negative;
    if (count - at >= 64)
      receive_word(share + at, pad + at, correction + at, choice[at / 64], flip, factor.shift, 64);
    else
      receive_word(share + at, pad + at, correction + at, choice[at / 64], flip, factor.shift, count - at);
  }
}

static inline void send_word(uint64_t *restrict share, const uint64_t *restrict pad0, const uint64_t *restrict values,
                             uint64_t flip, uint64_t negative, unsigned shift, size_t n) {
  for (size_t e = 0; e < n; e++) {
    /* -r0, or r0 + v where flipped; a negative is the complement plus one. */
    const uint64_t mask = bit_mask(flip, e), sign = ~mask;
    const uint64_t sum = (((pad0[e] ^ sign) - sign) + (values[e] & mask)) << shift;
    share[e] += (sum ^ negative) - negative;
  }
}

static void send_common(uint64_t *share, const uint64_t *pad0, const uint64_t *values, const uint64_t *flip,
                        struct cross_factor factor, size_t count) {
  const uint64_t negative = factor.negative ? UINT64_MAX : 0;
  for (size_t at = 0; at < count; at += 64) {
    if (count - at >= 64)
      send_word(share + at, pad0 + at, values + at, flip[at / 64], negative, factor.shift, 64);
    else
      send_word(share + at, pad0 + at, values + at, flip[at / 64], negative, factor.shift, count - at);
  }
}

static void add_bits_common(uint64_t *share, const uint64_t *bits, uint64_t addend, size_t count) {
  for (size_t at = 0; at < count; at += 64) {
    const size_t n = size_min(64, count - at);
    const uint64_t word = bits[at / 64];
    for (size_t e = 0; e < n; e++) share[at + e] += addend & bit_mask(word, e);
  }
}

static void take_top_common(uint64_t *restrict plane, uint64_t *restrict share, unsigned bits, size_t count) {
  const uint64_t mask = low_mask(bits);
  for (size_t at = 0; at < count; at += 64) {
    const size_t n = size_min(64, count - at);
    uint64_t word = 0;
    for (size_t e = 0; e < n; e++) {
      word |= (share[at + e] >> (bits - 1) & 1) << e;
      share[at + e] &= mask;
    }
    plane[at / 64] = word;
  }
}

static void negate_common(uint64_t *restrict values, const uint64_t *restrict row, const uint64_t *restrict bits,
                          size_t count) {
  for (size_t at = 0; at < count; at += 64) {
    const size_t n = size_min(64, count - at);
    const uint64_t word = bits[at / 64];
    for (size_t e = at; e < at + n; e++) {
      const uint64_t sign = bit_mask(word, e - at);
      values[e] = (row[e] ^ sign) - sign;
    }
  }
}

static void keep_common(uint64_t *restrict share, const uint64_t *restrict bits, size_t count) {
  for (size_t at = 0; at < count; at += 64) {
    const size_t n = size_min(64, count - at);
    const uint64_t word = bits[at / 64];
    for (size_t e = 0; e < n; e++) share[at + e] &= bit_mask(word, e);
  }
}

#define CROSS_KERNELS                                                                                       \
  {                                                                                                         \
    .correct = correct_common, .receive = receive_common, .send = send_common, .add_bits = add_bits_common, \
    .take_top = take_top_common, .negate = negate_common, .keep = keep_common                               \
  }

#endif
