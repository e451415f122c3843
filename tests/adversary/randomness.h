/** Do transcripts look like fair and independent bits, and the same for two inputs? Each statistic is scaled to
 * standard deviations from what fair bits give. */
#ifndef FUSION_TESTS_RANDOMNESS_H
#define FUSION_TESTS_RANDOMNESS_H

#include "base/base.h"

/** Everything of one kind of message: one string of `len` bytes a run, the first half of the runs with one input, the
 *  second half with the other. */
struct strings {
  size_t runs, len; /* an even number of runs */
  uint8_t **bytes;  /* [runs][len], len a multiple of 8, with 8 bytes of room behind */
};

enum statistic {
  STATISTIC_ONES,       /* all bits together */
  STATISTIC_POSITIONS,  /* ones at each position over the runs: sum of squares */
  STATISTIC_POSITION,   /* the same: the worst position, by Hoeffding's bound */
  STATISTIC_BYTES,      /* each byte's frequency: chi-square */
  STATISTIC_LAGS,       /* correlation of bits at distances 1 to 256, and 512 to 8192, in the first 64 KiB */
  STATISTIC_PAIRS,      /* agreement over the runs of pairs of positions drawn at random: the worst, by Hoeffding */
  STATISTIC_DISTANCES,  /* Hamming distance of two runs: the worst */
  STATISTIC_TWO_ONES,   /* the two inputs compared: all bits together */
  STATISTIC_TWO_PLACES, /* ... ones at each position: sum of squares */
  STATISTIC_TWO_PLACE,  /* ... the worst position, by Hoeffding */
  STATISTIC_TWO_BYTES,  /* ... each byte's frequency: chi-square */
  STATISTIC_COUNT,
};

extern const char *const statistic_names[STATISTIC_COUNT];

/** A statistic beyond this many deviations is no chance: a normal variable passes it with probability 1.3e-15, the chi-
 *  squares used (255 and more degrees of freedom) with less than 1e-10. The worst-of-many ones are scaled so that they
 *  reach it with probability below 1e-12. All statistics of all kinds (fewer than 2^20): below 1e-4 * 2^-10 < 1e-6. */
#define STATISTIC_LIMIT 8.0

/** Absolute values. `random` chooses pairs. */
void statistics_of(const struct strings *s, uint64_t *random, double out[STATISTIC_COUNT]);

#endif
