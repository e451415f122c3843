/** The program's plaintext meaning: an exact executor on integers. The two-party run equals it bit for bit.
 *
 *  A tensor's value is an integer modulo 2^ring_bits read as signed; the executor keeps that representative, so an
 * overflow wraps here exactly as it does on shares. Guard bits do not exist here. */
#ifndef FUSION_EXECUTE_EXECUTE_H
#define FUSION_EXECUTE_EXECUTE_H

#include "program/program.h"

/** Sees each step's values of one sample, in step order for a sample; called from several threads at once. */
typedef void (*execute_observer)(void *context, uint32_t step, size_t sample, const int64_t *values, size_t count);

struct execute_options {
  unsigned threads;         /* 0: one for every online core */
  execute_observer observe; /* may be NULL */
  void *context;
  uint64_t
      dither; /* not 0: RELU and TRUNCATE round up or down at random, right on average, as fast rounding does; a seed */
};

/** inputs [samples][input size], answers [samples][program_answer_size]. The program must be valid and hold weights.
 * The result does not depend on the number of threads. `options` may be NULL. FUSION_E_MEMORY, FUSION_E_RESOURCE. */
fusion_status program_execute(const struct model *model, const int64_t *inputs, size_t samples, int64_t *answers,
                              const struct execute_options *options) FUSION_MUST_CHECK;

/** The answer that an output mode makes of one sample's last tensor. */
void program_select_answer(const struct program *program, const int64_t *logits, int64_t *answer);

#endif
