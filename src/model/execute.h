/** The plan's plaintext meaning: an exact executor on integers. The two-party run equals it bit for bit.
 *
 *  A tensor's value is an integer modulo 2^ring_bits read as signed; the executor keeps that representative, so an
 * overflow wraps here exactly as it does on shares. Guard bits do not exist here. */
#ifndef FUSION_MODEL_EXECUTE_H
#define FUSION_MODEL_EXECUTE_H

#include "model/plan.h"

/** Sees each step's values of one sample, in step order for a sample; called from several threads at once. */
typedef void (*plan_observer)(void *context, uint32_t step, size_t sample, const int64_t *values, size_t count);

struct execute_options {
  unsigned threads;      /* 0: one for every online core */
  plan_observer observe; /* may be NULL */
  void *context;
  uint64_t
      dither; /* not 0: RELU and TRUNCATE round up or down at random, right on average, as fast rounding does; a seed */
};

/** inputs [samples][input size], answers [samples][plan_answer_size]. The plan must be valid and hold weights. The
 * result does not depend on the number of threads. `options` may be NULL. FUSION_E_MEMORY, FUSION_E_RESOURCE. */
fusion_status plan_execute(const struct model *model, const int64_t *inputs, size_t samples, int64_t *answers,
                           const struct execute_options *options) FUSION_MUST_CHECK;

/** The answer that an output mode makes of one sample's last tensor. */
void plan_select_answer(const struct plan *plan, const int64_t *logits, int64_t *answer);

/** Raw samples [samples][input size] to the network's real input, in [channels][height][width] order. */
void preprocess_apply(const struct plan_preprocess *p, struct shape shape, const double *raw, size_t samples,
                      float *out);

/** Samples that are pictures: their size, and the preprocessing that they bring along. */
struct picture_form {
  struct shape shape;                /* channels, height, width of every picture */
  bool normalise;                    /* `preprocess` holds numbers; else the model's are to be used */
  struct plan_preprocess preprocess; /* channels_last; mean and deviation borrowed */
};

/** The preprocessing of rows for a model: its own for raw rows (`pictures` NULL). Pictures know their layout, so any
 *  model takes them; normalised are they by the model or, if it has no numbers, by their own. FUSION_E_INPUT when both
 *  have numbers that differ, or the size is not the model's. *out borrows. */
fusion_status preprocess_choose(struct plan_preprocess *out, const struct plan_preprocess *model, struct shape shape,
                                const struct picture_form *pictures, fusion_error *err) FUSION_MUST_CHECK;

/** Real inputs to integers: nearest, halves to even, clamped to the input's value_bits. FUSION_E_INPUT on a NaN. */
fusion_status plan_quantise_input(const struct plan *plan, const float *real, size_t samples, int64_t *out,
                                  fusion_error *err) FUSION_MUST_CHECK;

/** Integers of the last tensor to real values. */
void plan_dequantise(const struct plan *plan, const int64_t *values, size_t count, double *out);

/** Probabilities from real logits, in place; `count` values of one sample. */
void softmax_in_place(double *values, size_t count);
/** Each value by itself. */
void sigmoid_in_place(double *values, size_t count);

#endif
