/** Samples beside the input range that a model was calibrated for. What lies beyond the range is clipped; values
 * between what calibrated the model and the range's end are taken as they are, but when most samples have such, they
 * are scaled otherwise, and accumulators may overflow.
 */
#ifndef FUSION_PROGRAM_INPUT_RANGE_H
#define FUSION_PROGRAM_INPUT_RANGE_H

#include "program/program.h"

/** Of a group of samples. */
struct input_range {
  size_t values, samples; /* values beyond the range, and samples that have such */
  size_t unusual;         /* samples with values beyond what calibrated the model, these included */
  size_t first;           /* the first sample beyond the range; without one, the first unusual one */
  size_t element;         /* of that sample: its farthest value */
  double value;           /* that value, preprocessed */
  double reach;           /* the largest magnitude of a value, whether or not beyond, in units of the range's end */
};

/** `real`: [samples][input size], preprocessed. Its time does not depend on the values; what it finds is declassified:
 *  it goes to the samples' owner, and decides whether a job begins. */
void program_input_range(const struct program *program, const float *real, size_t samples, struct input_range *out);
/** Adds what was found in the samples from `first` on to what was found in those before. */
void input_range_add(struct input_range *all, const struct input_range *part, size_t first);

/** Are `count` samples to be refused? Some are beyond the range; or of ten or more, most are unusual. */
bool input_range_refuses(const struct input_range *r, size_t count);
/** "--clip yes ...": what the user may do about it. */
const char *input_range_remedy(const struct input_range *r);

/** The magnitude where the range ends, for preprocessed values. */
double program_input_end(const struct program *program);

enum { INPUT_RANGE_TEXT = 400 };
/** One line about samples beyond the range, or about `count` samples that are scaled differently from the model's;
 * empty when there is nothing to say. `what`: "queries"; `place`: where r->first stands. */
void input_range_text(char out[INPUT_RANGE_TEXT], const struct program *program, const struct input_range *r,
                      size_t count, const char *what, const char *place);

/** How many classes a model tells apart: labels are 0 to this - 1. A single logit decides between two by its sign. */
size_t program_class_count(const struct program *program);

#endif
