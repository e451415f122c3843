#include "program/input_range.h"

#include <math.h>
#include <stdio.h>

#include "base/secret.h"

/* Samples of another scale, as bytes where the model takes 0 to 1, are told as such: when most are beyond, by at least
 * FAR, or when none comes nearer to the range's end than NEAR. */
#define FAR 2.0
#define NEAR (1.0 / 32)
/* That many times what calibrated the model: bytes where it takes 0 to 1. */
#define BYTES_LEAST 100.0
#define BYTES_MOST 256.0

enum { RANGE_TEXT = 64, PLACE_TEXT = 96, JUDGED_LEAST = 10 /* samples of which a share says something */ };

static double end_of(unsigned bits) {
  return ldexp(1, (int)bits - 1) - 1;
}

/* Signed width of what calibrated the model. */
static unsigned reach_of(const struct program *program) {
  const unsigned bits = program->steps[0].out.value_bits;
  return program->reach_bits ? program->reach_bits : bits;
}

double program_input_end(const struct program *program) {
  const struct program_tensor *t = &program->steps[0].out;
  return end_of(t->value_bits) * t->scale;
}

/* Entry of the units that an element belongs to. */
static uint32_t entry_of(const struct program *program, size_t element) {
  const uint32_t count = program->input_units.count;
  return count ? (uint32_t)(element / (shape_size(program->steps[0].out.shape) / count)) : 0;
}

static double centre_of(const struct program *program, uint32_t entry) {
  return program->input_units.count ? input_units_centre(&program->input_units, entry) : 0;
}

static double unit_of(const struct program *program, uint32_t entry) {
  const double scale = program->steps[0].out.scale;
  return program->input_units.count ? input_units_unit(&program->input_units, entry) * scale : scale;
}

/* Of one sample. */
struct sample_look {
  uint64_t beyond, unusual; /* values beyond the range; beyond what calibrated the model */
  double farthest;          /* in units of the quantised input */
  uint64_t element;         /* where it is */
};

static struct sample_look look_at_sample(const struct program *program, const float *real) {
  const struct program_tensor *t = &program->steps[0].out;
  const size_t size = shape_size(t->shape);
  const double low = -ldexp(1, t->value_bits - 1) - 0.5, high = -low - 1; /* what rounding brings back is not clipped */
  const double usual = fmin(end_of(reach_of(program)) + 0.5, high);
  struct sample_look look = {.farthest = 0};
  for (size_t i = 0; i < size; i++) {
    const uint32_t k = entry_of(program, i);
    const double v = ((double)real[i] - centre_of(program, k)) / unit_of(program, k), magnitude = fabs(v);
    const uint64_t beyond = (uint64_t)((v < low) | (v > high));
    look.beyond += beyond;
    look.unusual += beyond | (uint64_t)(magnitude > usual);
    look.element ^= (0 - (uint64_t)(magnitude > look.farthest)) & (look.element ^ i);
    look.farthest = magnitude > look.farthest ? magnitude : look.farthest;
  }
  return look;
}

/* All ones when it is not 0. */
static uint64_t mask_any(uint64_t v) {
  return 0 - ((v | (0 - v)) >> 63);
}

void program_input_range(const struct program *program, const float *real, size_t samples, struct input_range *out) {
  const struct program_tensor *t = &program->steps[0].out;
  const size_t size = shape_size(t->shape);
  uint64_t values = 0, bad = 0, unusual = 0, first_bad = 0, first_unusual = 0;
  double farthest = 0;
  for (size_t s = 0; s < samples; s++) {
    const struct sample_look look = look_at_sample(program, real + s * size);
    first_bad |= s & mask_any(look.beyond) & ~mask_any(bad);
    first_unusual |= s & mask_any(look.unusual) & ~mask_any(unusual);
    bad += mask_any(look.beyond) & 1;
    unusual += mask_any(look.unusual) & 1;
    values += look.beyond;
    farthest = look.farthest > farthest ? look.farthest : farthest;
  }
  const uint64_t first = (first_bad & mask_any(bad)) | (first_unusual & ~mask_any(bad));
  *out = (struct input_range){
      .values = values, .samples = bad, .unusual = unusual, .first = first, .reach = farthest / end_of(t->value_bits)};
  secret_declassify(out, sizeof *out, "told to the samples' owner; whether the job begins depends on it");
  if (!samples) return;
  struct sample_look look = look_at_sample(program, real + out->first * size);
  secret_declassify(&look.element, sizeof look.element, "told to the samples' owner");
  out->element = look.element;
  out->value = (double)real[out->first * size + look.element];
  secret_declassify(&out->value, sizeof out->value, "told to the samples' owner");
}

void input_range_add(struct input_range *all, const struct input_range *part, size_t first) {
  const bool better = part->samples ? !all->samples : part->unusual && !all->unusual;
  if (better) {
    all->first = first + part->first;
    all->element = part->element;
    all->value = part->value;
  }
  all->samples += part->samples;
  all->unusual += part->unusual;
  all->values += part->values;
  all->reach = fmax(all->reach, part->reach);
}

static bool most_are_unusual(const struct input_range *r, size_t count) {
  return r->unusual * 2 > count;
}

bool input_range_refuses(const struct input_range *r, size_t count) {
  return r->samples || (count >= JUDGED_LEAST && most_are_unusual(r, count));
}

const char *input_range_remedy(const struct input_range *r) {
  return r->samples ? "--clip yes clips them" : "--clip yes takes them as they are";
}

/* "-1 to 1, preprocessed", of values of at most this signed width; `entry` of the units. */
static void say_range(char out[RANGE_TEXT], const struct program *program, unsigned bits, uint32_t entry) {
  const struct preprocess *p = &program->preprocess;
  const double end = end_of(bits) * unit_of(program, entry), centre = centre_of(program, entry);
  snprintf(out, RANGE_TEXT, "%.4g to %.4g%s", centre - end, centre + end,
           p->count || p->scale != 1 ? ", preprocessed" : "");
}

/* "feature 3 is 9.19", or where in a picture. */
static void say_value(char out[PLACE_TEXT], struct shape shape, size_t element, double value) {
  const size_t plane = (size_t)shape.height * shape.width, at = element % plane;
  if (plane == 1)
    snprintf(out, PLACE_TEXT, "feature %zu is %.5g", element, value);
  else
    snprintf(out, PLACE_TEXT, "channel %zu, row %zu, column %zu is %.5g", element / plane, at / shape.width,
             at % shape.width, value);
}

static const char *say_scale(const struct program *program, const struct input_range *r, size_t count) {
  const bool other_scale =
      most_are_unusual(r, count) && (r->samples ? r->samples * 2 > count && r->reach >= FAR : count >= JUDGED_LEAST);
  const double times = r->reach * end_of(program->steps[0].out.value_bits) / end_of(reach_of(program));
  if (!other_scale) return "";
  return times > BYTES_LEAST && times < BYTES_MOST
             ? " (scaled differently from the calibration samples: did you forget to divide by 255?)"
             : " (scaled differently from the calibration samples?)";
}

/* Samples beyond the range, or most of them beyond what calibrated the model. */
static void say_beyond(char out[INPUT_RANGE_TEXT], const struct program *program, const struct input_range *r,
                       size_t count, const char *what, const char *place) {
  const unsigned bits = r->samples ? program->steps[0].out.value_bits : reach_of(program);
  char range[RANGE_TEXT], value[PLACE_TEXT];
  say_range(range, program, bits, entry_of(program, r->element));
  say_value(value, program->steps[0].out.shape, r->element, r->value);
  const double times = r->reach * end_of(program->steps[0].out.value_bits) / end_of(bits);
  snprintf(out, INPUT_RANGE_TEXT, "%zu of %zu %s go beyond %s, by up to %.3g times it%s; the first is %s: %s, %s %s",
           r->samples ? r->samples : r->unusual, count, what,
           r->samples ? "the model's input range" : "what calibrated the model", times, say_scale(program, r, count),
           place, value, r->samples ? "the range is" : "calibrated were", range);
}

void input_range_text(char out[INPUT_RANGE_TEXT], const struct program *program, const struct input_range *r,
                      size_t count, const char *what, const char *place) {
  const bool units = program->input_units.count;
  out[0] = '\0';
  if (r->samples || (count && most_are_unusual(r, count))) {
    say_beyond(out, program, r, count, what, place);
  } else if (count && r->reach == 0 && !units) {
    snprintf(out, INPUT_RANGE_TEXT, "all %zu %s are zero", count, what);
  } else if (count && r->reach < NEAR) {
    char range[RANGE_TEXT];
    say_range(range, program, program->steps[0].out.value_bits, 0);
    snprintf(out, INPUT_RANGE_TEXT,
             "all %zu %s lie within 1/%.0f of the model's input range %s%s%s: are they scaled as the samples that "
             "calibrated the model?",
             count, what, fmin(floor(1 / r->reach), 1e9), units ? "of each feature" : "(", units ? "" : range,
             units ? "" : ")");
  }
}

size_t program_class_count(const struct program *program) {
  const size_t outputs = shape_size(program->steps[program->count - 1].out.shape);
  return outputs == 1 ? 2 : outputs;
}
