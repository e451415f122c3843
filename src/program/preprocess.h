/** From a user's numbers to the network's real input, and from real logits to probabilities. */
#ifndef FUSION_PROGRAM_PREPROCESS_H
#define FUSION_PROGRAM_PREPROCESS_H

#include "program/shape.h"

/** How a user's raw array becomes the network's real-valued input: real = (raw * scale - mean[c]) / deviation[c], after
 *  bringing it to [channels][height][width]. Public; the client applies it before quantising. */
struct preprocess {
  bool channels_last;    /* raw samples are [height][width][channels] */
  bool reverse_channels; /* raw channels come in the opposite order (BGR for RGB) */
  double scale;          /* its magnitude within 2^-60 and 2^60 */
  uint32_t count;        /* values in mean and deviation: 0 (none), 1 (for all) or the input's channels */
  double *mean;          /* owned; 0, or its magnitude within 2^-500 and 2^60 */
  double *deviation;     /* owned; within 2^-60 and 2^60 */
};

/** Raw samples [samples][input size] to [channels][height][width], real. Its time does not depend on their values. */
void preprocess_apply(const struct preprocess *p, struct shape shape, const double *raw, size_t samples, float *out);

/** Samples that are pictures: their size, and the preprocessing that they bring along. */
struct picture_form {
  struct shape shape;           /* channels, height, width of every picture */
  bool normalise;               /* `preprocess` holds numbers; else the model's are to be used */
  struct preprocess preprocess; /* channels_last; mean and deviation borrowed */
};

/** The preprocessing of rows for a model: its own for raw rows (`pictures` NULL). Pictures know their layout, so any
 *  model takes them; normalised are they by the model or, if it has no numbers, by their own. FUSION_E_INPUT when both
 *  have numbers that differ, or the size is not the model's. *out borrows. */
fusion_status preprocess_choose(struct preprocess *out, const struct preprocess *model, struct shape shape,
                                const struct picture_form *pictures, fusion_error *err) FUSION_MUST_CHECK;

/** Probabilities from real logits, in place; `count` values of one sample. */
void softmax_in_place(double *values, size_t count);
/** The same, as logarithms. */
void log_softmax_in_place(double *values, size_t count);
/** Each value by itself. */
void sigmoid_in_place(double *values, size_t count);

#endif
