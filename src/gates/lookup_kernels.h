/** Kernels of lookup.c, one struct of function pointers for each CPU tier. */
#ifndef FUSION_GATES_LOOKUP_KERNELS_H
#define FUSION_GATES_LOOKUP_KERNELS_H

#include "base/kernel_tables.h"

/** What the sender of a table knows of a chunk. h, low and said are secret. A row is a multiple of 64 elements, none of
 * which are undefined. */
struct lookup_entries {
  const int64_t *base;  /* [2^index_bits]; NULL: zeros */
  const int64_t *slope; /* the same */
  const uint64_t *low;  /* [row] */
  const uint64_t *bits; /* planes of h, [index_bits][stride] */
  const uint64_t *said; /* planes of e, the same */
  size_t stride;        /* words */
  size_t row;
  unsigned index_bits; /* 1..5 */
};

/** What the receiver of a table chose: X, as planes [index_bits][stride]. */
struct lookup_choices {
  const uint64_t *planes;
  size_t stride;
  unsigned index_bits;
};

struct lookup_kernels {
  /** With V(j) = base[h + j] + slope[h + j] * low: share = V(e) + pads[0], and pads[z] += V(z ^ e) - share for z from 1
   *  on, for the elements [0, count) rounded up to 8. share: [row]; pads: [2^index_bits][row]. */
  void (*answer)(uint64_t *share, uint64_t *pads, const struct lookup_entries *entries, size_t count);
  /** share[e] += entry[e] where X is z, for the elements [0, count). */
  void (*select)(uint64_t *share, const uint64_t *entry, const struct lookup_choices *choices, unsigned z,
                 size_t count);
};

KERNEL_TABLES(lookup);

#endif
