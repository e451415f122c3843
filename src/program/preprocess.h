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
  uint32_t tokens;       /* 0: raw samples are numbers. Else they are [height * width] whole numbers below it, each of
                            which becomes a column of channels: of zeros and a one in its place, or of the table */
  uint32_t numbers;      /* beside tokens: numbers of a raw sample that stay what they are, in the last channels, behind
                            which zeros fill up */
  uint32_t numbers_first; /* of them, those before the tokens in a raw sample; the others follow the tokens */
  float *table;           /* owned: [tokens][channels of a token], public; NULL: those are `tokens` */
};

/** Units of the quantised input where one for all would not do: integer = (real - centre) / (2^exponent * scale of step
 *  0), centre = quarters * 2^(exponent - 2). One entry for each channel or for each element of the input. Public. They
 *  are powers of two, and centres multiples of a quarter of them, so that they tell no more of a feature than about
 *  where and how far it ranges. */
struct input_units {
  uint32_t count;    /* 0 (none: centre 0, exponent 0), the input's channels or its elements */
  int8_t *exponent;  /* owned; within -INPUT_EXPONENT_MAX and INPUT_EXPONENT_MAX */
  int32_t *quarters; /* owned; within -INPUT_QUARTERS_MAX and INPUT_QUARTERS_MAX */
};
enum { INPUT_EXPONENT_MAX = 60, INPUT_QUARTERS_MAX = 1 << 26 /* a float has 24 bits */ };

/** Empty entries. FUSION_E_MEMORY. input_units_free leaves none. */
fusion_status input_units_open(struct input_units *u, uint32_t count) FUSION_MUST_CHECK;
void input_units_free(struct input_units *u);
/** Entry `k`, in real values. */
double input_units_centre(const struct input_units *u, uint32_t k);
double input_units_unit(const struct input_units *u, uint32_t k);

/** Numbers of a raw sample. */
size_t preprocess_row_size(const struct preprocess *p, struct shape shape);
/** Channels that `numbers` take behind those of tokens. */
uint32_t preprocess_number_channels(uint32_t numbers, struct shape shape);
enum { PREPROCESS_TOKENS_MAX = 1 << 20, PREPROCESS_TABLE_MAX = 1 << 24 /* numbers of a table */ };
/** FUSION_E_INPUT, with the sample (counted from `first`) and the place, when a token is no whole number below
 * p->tokens. Its time does not depend on the tokens but for the first such. Nothing to check without tokens. */
fusion_status preprocess_check_tokens(const struct preprocess *p, struct shape shape, const double *raw, size_t samples,
                                      size_t first, fusion_error *err) FUSION_MUST_CHECK;

/** Raw samples [samples][preprocess_row_size()] to [channels][height][width], real. Its time does not depend on their
 * values. */
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
