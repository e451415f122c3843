/** Samples beside the input range that a model was calibrated for: what lies beyond is clipped, and answered wrongly.
 */
#ifndef FUSION_PROGRAM_INPUT_RANGE_H
#define FUSION_PROGRAM_INPUT_RANGE_H

#include "program/program.h"

/** Of a group of samples. */
struct input_range {
  size_t values, samples; /* values beyond the range, and samples that have such */
  size_t first;           /* the first of these samples */
  double reach;           /* the largest magnitude of a value, whether or not beyond, in units of the range's end */
};

/** `real`: [samples][input size], preprocessed. Its time does not depend on the values; what it finds is declassified:
 *  it goes to the samples' owner, and decides whether a job begins. */
void program_input_range(const struct program *program, const float *real, size_t samples, struct input_range *out);

/** The magnitude where the range ends, for preprocessed values. */
double program_input_end(const struct program *program);

enum { INPUT_RANGE_TEXT = 300 };
/** One line about samples beyond the range, or about `count` samples that are scaled differently from the model's;
 * empty when there is nothing to say. `what`: "queries"; `place`: where the first of those beyond stands. */
void input_range_text(char out[INPUT_RANGE_TEXT], const struct program *program, const struct input_range *r,
                      size_t count, const char *what, const char *place);

/** How many classes a model tells apart: labels are 0 to this - 1. A single logit decides between two by its sign. */
size_t program_class_count(const struct program *program);

#endif
