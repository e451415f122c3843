/** The loops behind lookup_kernels.h, written once; each tier's file compiles them with its own instructions. Included
 * by those files only. All of it is free of branches on secrets. */
#ifndef FUSION_GATES_LOOKUP_LOOPS_H
#define FUSION_GATES_LOOKUP_LOOPS_H

#include "base/lanes.h"
#include "gates/lookup_kernels.h"

enum { LOOKUP_ENTRIES_MAX = 32 };

/* V(z ^ e) for LANES elements from `at`; returns which of the buffers holds them. */
static inline const lanes *lookup_permuted(lanes buffers[2][LOOKUP_ENTRIES_MAX], const struct lookup_entries *t,
                                           unsigned index_bits, size_t at) {
  const unsigned pieces = 1u << index_bits;
  unsigned now = 0;
  lanes low, mask;
  memcpy(&low, t->low + at, sizeof low);
  for (unsigned j = 0; j < pieces; j++) {
    const uint64_t base = t->base ? (uint64_t)t->base[j] : 0, slope = t->slope ? (uint64_t)t->slope[j] : 0;
    buffers[0][j] = base + slope * low;
  }
  for (unsigned i = 0; i < index_bits; i++, now ^= 1) {
    lanes_mask(&mask, t->bits[i * t->stride + at / 64] >> (at % 64));
    lanes_rotate(buffers[now ^ 1], buffers[now], pieces, i, &mask);
  }
  for (unsigned i = 0; i < index_bits; i++, now ^= 1) {
    lanes_mask(&mask, t->said[i * t->stride + at / 64] >> (at % 64));
    lanes_exchange(buffers[now ^ 1], buffers[now], pieces, i, &mask);
  }
  return buffers[now];
}

static inline void lookup_answer(uint64_t *share, uint64_t *pads, const struct lookup_entries *t, unsigned index_bits,
                                 size_t count) {
  lanes buffers[2][LOOKUP_ENTRIES_MAX], own, entry;
  for (size_t at = 0; at < count; at += LANES) {
    const lanes *v = lookup_permuted(buffers, t, index_bits, at);
    memcpy(&own, pads + at, sizeof own);
    own += v[0];
    for (unsigned z = 1; z < 1u << index_bits; z++) {
      memcpy(&entry, pads + z * t->row + at, sizeof entry);
      entry += v[z] - own;
      memcpy(pads + z * t->row + at, &entry, sizeof entry);
    }
    memcpy(share + at, &own, sizeof own);
  }
  mem_wipe(buffers, sizeof buffers);
}

/* A loop for each number of pieces, which the compiler then knows. */
static void answer_common(uint64_t *share, uint64_t *pads, const struct lookup_entries *entries, size_t count) {
  switch (entries->index_bits) {
    case 1: lookup_answer(share, pads, entries, 1, count); break;
    case 2: lookup_answer(share, pads, entries, 2, count); break;
    case 3: lookup_answer(share, pads, entries, 3, count); break;
    case 4: lookup_answer(share, pads, entries, 4, count); break;
    default: lookup_answer(share, pads, entries, 5, count); break;
  }
}

static inline void lookup_select_word(uint64_t *restrict share, const uint64_t *restrict entry, uint64_t chosen,
                                      size_t n) {
  for (size_t e = 0; e < n; e++) share[e] += entry[e] & ((uint64_t)0 - (chosen >> e & 1));
}

static void select_common(uint64_t *share, const uint64_t *entry, const struct lookup_choices *choices, unsigned z,
                          size_t count) {
  for (size_t at = 0; at < count; at += 64) {
    uint64_t chosen = UINT64_MAX;
    for (unsigned i = 0; i < choices->index_bits; i++)
      chosen &= choices->planes[i * choices->stride + at / 64] ^ ((uint64_t)(z >> i & 1) - 1);
    if (count - at >= 64)
      lookup_select_word(share + at, entry + at, chosen, 64);
    else
      lookup_select_word(share + at, entry + at, chosen, count - at);
  }
}

#define LOOKUP_KERNELS \
  { .answer = answer_common, .select = select_common }

#endif
