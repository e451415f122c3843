/** Parameter sets of the silent extension. An iteration of set S spends S's base correlations and yields S's `outputs`;
 *  which set when: silent_schedule.h.
 *
 *  An iteration may have fewer trees than its set. It is LPN with the first of the set's samples, so whoever solves it
 *  solves the set. A copy of the set with its number of trees stands for it.
 *
 *  Bit security: the cheapest of the known attacks on LPN with regular noise, recomputed by scripts/lpn_security.py. */
#ifndef FUSION_SILENT_SILENT_SET_H
#define FUSION_SILENT_SILENT_SET_H

#include "net/channel.h"

enum {
  SILENT_CHECK_COTS = 128, /**< correlations spent by the consistency check of one iteration */
  SILENT_CHUNK_TREES = 64, /**< trees whose corrections travel in one message */
  SILENT_ROW_WEIGHT = 10,  /**< ones in a row of the LPN matrix */
};

/** Primal LPN over F_2: `outputs` samples, dimension k, one noise position in each of `trees` blocks of 2^depth. */
struct silent_set {
  const char *name;
  uint32_t depth;
  uint32_t trees;
  uint32_t factor, shift; /* k = factor << shift */
  uint32_t together;      /* so many iterations of a batch share a matrix, and go through it side by side */
  uint32_t security_bits; /* floor of the estimate, less log2(together) */
  uint32_t batch;         /* most iterations of a batch in one direction */
};

static inline size_t silent_set_k(const struct silent_set *s) {
  return (size_t)s->factor << s->shift;
}
static inline size_t silent_set_outputs(const struct silent_set *s) {
  return (size_t)s->trees << s->depth;
}
/** Correlations that one iteration starts from. */
static inline size_t silent_set_base(const struct silent_set *s) {
  return silent_set_k(s) + (size_t)s->trees * s->depth + SILENT_CHECK_COTS;
}

/** Light on computing: 0.28 bytes a correlation, 0.31 from SoftSpoken. Four LPN vectors side by side are 4 MiB, of
 * which a row reads ten lines for four correlations. Also starts every direction, from SoftSpoken correlations. */
extern const struct silent_set silent_set_lan;
/** Light on traffic: 0.085 bytes a correlation; the LPN vector is 4 MiB. */
extern const struct silent_set silent_set_wan;

enum silent_profile { SILENT_LAN, SILENT_WAN };

/** Public; the same on both sides. */
struct silent_params {
  enum silent_profile profile;
  /** Correlations that the session is expected to take, by who is the sender; 0: unknown, taken as many. A hint: it
   *  steers the choice of sets only, and more or fewer may be taken. */
  uint64_t expected_server_sends, expected_client_sends;
  bool begun_early; /* cot_begin() is called before anything is taken */
};

#endif
