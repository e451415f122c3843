#include "program/input_range.h"

#include <math.h>
#include <stdio.h>

#include "base/secret.h"

/* Samples of another scale, as bytes where the model takes 0 to 1, are told as such: when most are beyond, by at least
 * FAR, or when none comes nearer to the range's end than NEAR. */
#define FAR 2.0
#define NEAR (1.0 / 32)

enum { RANGE_TEXT = 80 };

double program_input_end(const struct program *program) {
  const struct program_tensor *t = &program->steps[0].out;
  return (ldexp(1, t->value_bits - 1) - 1) * t->scale;
}

/* Of one sample: values beyond, and the largest magnitude, in units of the quantised input. */
static uint64_t look_at_sample(const struct program *program, const float *real, double *largest) {
  const struct program_tensor *t = &program->steps[0].out;
  const struct input_units *u = &program->input_units;
  const size_t size = shape_size(t->shape), entries = u->count ? u->count : 1, part = size / entries;
  const double low = -ldexp(1, t->value_bits - 1) - 0.5, high = -low - 1; /* what rounding brings back is not clipped */
  uint64_t bad = 0;
  for (size_t i = 0; i < size; i++) {
    const uint32_t k = (uint32_t)(i / part);
    const double centre = u->count ? input_units_centre(u, k) : 0;
    const double unit = u->count ? input_units_unit(u, k) * t->scale : t->scale;
    const double v = ((double)real[i] - centre) / unit, magnitude = fabs(v);
    bad += (uint64_t)((v < low) | (v > high));
    *largest = magnitude > *largest ? magnitude : *largest;
  }
  return bad;
}

void program_input_range(const struct program *program, const float *real, size_t samples, struct input_range *out) {
  const struct program_tensor *t = &program->steps[0].out;
  const size_t size = shape_size(t->shape);
  uint64_t values = 0, bad_samples = 0, first = 0;
  double largest = 0;
  for (size_t s = 0; s < samples; s++) {
    const uint64_t bad = look_at_sample(program, real + s * size, &largest);
    const uint64_t is_bad = (bad | (0 - bad)) >> 63, found = (bad_samples | (0 - bad_samples)) >> 63;
    first |= s & (0 - (is_bad & ~found));
    bad_samples += is_bad;
    values += bad;
  }
  *out = (struct input_range){values, bad_samples, first, largest / (ldexp(1, t->value_bits - 1) - 1)};
  secret_declassify(out, sizeof *out, "told to the samples' owner; whether the job begins depends on it");
}

/* "-1 to 1, preprocessed"; with units of its own each feature has another. */
static void say_range(char out[RANGE_TEXT], const struct program *program) {
  const struct preprocess *p = &program->preprocess;
  const double end = program_input_end(program);
  if (program->input_units.count)
    snprintf(out, RANGE_TEXT, "of each feature");
  else
    snprintf(out, RANGE_TEXT, "(-%.4g to %.4g%s)", end, end, p->count || p->scale != 1 ? ", preprocessed" : "");
}

void input_range_text(char out[INPUT_RANGE_TEXT], const struct program *program, const struct input_range *r,
                      size_t count, const char *what, const char *place) {
  const bool other_scale = r->samples * 2 > count && r->reach >= FAR;
  char range[RANGE_TEXT];
  say_range(range, program);
  out[0] = '\0';
  if (r->samples)
    snprintf(out, INPUT_RANGE_TEXT,
             "%zu of %zu %s go beyond the model's input range %s, by up to %.3g times it; the first is %s%s",
             r->samples, count, what, range, r->reach, place,
             other_scale ? "; they look scaled differently from the samples that calibrated the model" : "");
  else if (count && r->reach == 0 && !program->input_units.count)
    snprintf(out, INPUT_RANGE_TEXT, "all %zu %s are zero", count, what);
  else if (count && r->reach < NEAR)
    snprintf(
        out, INPUT_RANGE_TEXT,
        "all %zu %s lie within 1/%.0f of the model's input range %s: are they scaled as the samples that calibrated "
        "the model?",
        count, what, fmin(floor(1 / r->reach), 1e9), range);
}

size_t program_class_count(const struct program *program) {
  const size_t outputs = shape_size(program->steps[program->count - 1].out.shape);
  return outputs == 1 ? 2 : outputs;
}
