/** The two ends of an execution: raw arrays to integers, integers to real answers. */
#include <math.h>

#include "base/secret.h"
#include "program/program.h"
#include "program/tokens.h"

/* Denormals take a processor several times as long as other numbers, and a client computes between the server's
 * manifest and its own first message. What is below these limits is 0 in every quantised input: by program_validate the
 * numbers that follow lie within 2^-60 and 2^60. And nothing above them becomes a denormal on the way. */
enum { RAW_EXPONENT_LEAST = -600, REAL_EXPONENT_LEAST = -100 };

/* v, or 0 when |v| < 2^least; NaN stays. By bits: no branch, no flag of the processor's. */
static double flush(double v, int least) {
  uint64_t bits;
  memcpy(&bits, &v, sizeof bits);
  const uint64_t exponent = bits >> 52 & 0x7ff; /* biased by 1023 */
  bits &= UINT64_C(0) - (uint64_t)(exponent >= (uint64_t)(1023 + least));
  memcpy(&v, &bits, sizeof bits);
  return v;
}

/* The same of a prepared number, before it is a double: the exponent of a double made from a secret float is public to
 * MemorySanitizer, whose marks of the float go to the double's low half. */
static float flush_real(float v) {
  uint32_t bits;
  memcpy(&bits, &v, sizeof bits);
  const uint32_t exponent = bits >> 23 & 0xff; /* biased by 127 */
  bits &= UINT32_C(0) - (uint32_t)(exponent >= (uint32_t)(127 + REAL_EXPONENT_LEAST));
  memcpy(&v, &bits, sizeof bits);
  return v;
}

float preprocess_number(double raw) {
  return (float)flush(flush(raw, RAW_EXPONENT_LEAST), REAL_EXPONENT_LEAST);
}

void preprocess_apply(const struct preprocess *p, struct shape shape, const double *raw, size_t samples, float *out) {
  if (p->tokens) {
    tokens_apply(p, shape, raw, samples, out);
    return;
  }
  const size_t plane = (size_t)shape.height * shape.width, size = shape_size(shape);
  for (size_t sample = 0; sample < samples; sample++) {
    const double *x = raw + sample * size;
    for (size_t c = 0; c < shape.channels; c++) {
      const size_t from = p->reverse_channels ? shape.channels - 1 - c : c;
      const size_t k = p->count == 1 ? 0 : c;
      const double mean = p->count ? p->mean[k] : 0, deviation = p->count ? p->deviation[k] : 1;
      for (size_t i = 0; i < plane; i++) {
        const double v = p->channels_last ? x[i * shape.channels + from] : x[from * plane + i];
        const double real = (flush(v, RAW_EXPONENT_LEAST) * p->scale - mean) / deviation;
        *out++ = (float)flush(real, REAL_EXPONENT_LEAST);
      }
    }
  }
}

static bool is_near(double a, double b) {
  return fabs(a - b) <= 1e-6 * fmax(1e-3, fmax(fabs(a), fabs(b)));
}

/** The two normalise alike; a count of 0 means 0 and 1, a count of 1 holds for every channel. */
static bool preprocess_equal(const struct preprocess *a, const struct preprocess *b, uint32_t channels) {
  for (uint32_t c = 0; c < channels; c++) {
    const uint32_t i = a->count == 1 ? 0 : c, j = b->count == 1 ? 0 : c;
    if (!is_near(a->count ? a->mean[i] : 0, b->count ? b->mean[j] : 0)) return false;
    if (!is_near(a->count ? a->deviation[i] : 1, b->count ? b->deviation[j] : 1)) return false;
  }
  return is_near(a->scale, b->scale);
}

fusion_status preprocess_choose(struct preprocess *out, const struct preprocess *model, struct shape shape,
                                const struct picture_form *pictures, fusion_error *err) {
  *out = *model;
  if (!pictures) return FUSION_OK;
  const struct shape is = pictures->shape;
  const struct preprocess *own = &pictures->preprocess;
  if (is.channels != shape.channels || is.height != shape.height || is.width != shape.width)
    return error_set(err, FUSION_E_INPUT,
                     "images of %ux%u with %u channels: the model takes %ux%u with %u; resize and crop them with "
                     "--preprocess",
                     is.height, is.width, is.channels, shape.height, shape.width, shape.channels);
  const bool model_has_numbers = model->scale != 1 || model->count;
  if (pictures->normalise && model_has_numbers && !preprocess_equal(model, own, shape.channels))
    return error_set(err, FUSION_E_INPUT,
                     "images: the model normalises by itself, with other numbers than --preprocess gives (scale %.6g, "
                     "not %.6g, or mean and std); leave them out",
                     model->scale, own->scale);
  if (pictures->normalise && !model_has_numbers) *out = *own;
  out->channels_last = true;
  out->reverse_channels = model->reverse_channels || own->reverse_channels;
  return FUSION_OK;
}

/* Nearest, halves to even, for |v| <= 2^62. Without a call that may branch on the value. */
static int64_t round_to_even(double v) {
  const int64_t whole = (int64_t)v;
  const double rest = v - (double)whole;
  const int odd = (int)(whole & 1);
  const int up = (rest > 0.5) | ((rest == 0.5) & odd), down = (rest < -0.5) | ((rest == -0.5) & odd);
  return whole + up - down;
}

static fusion_status refuse_nan(const float *real, size_t count, size_t size, fusion_error *err) {
  size_t i = 0;
  secret_declassify(real, count * sizeof *real, "the job ends before it began; its owner is told which sample it is");
  while (i < count && !isnan(real[i])) i++;
  return error_set(err, FUSION_E_INPUT, "input: sample %zu holds a NaN", i / size);
}

fusion_status input_units_open(struct input_units *u, uint32_t count) {
  *u = (struct input_units){.count = count,
                            .exponent = mem_alloc(count, sizeof *u->exponent),
                            .quarters = mem_alloc(count, sizeof *u->quarters)};
  if (u->exponent && u->quarters) return FUSION_OK;
  input_units_free(u);
  return FUSION_E_MEMORY;
}

void input_units_free(struct input_units *u) {
  mem_free(u->exponent);
  mem_free(u->quarters);
  *u = (struct input_units){0};
}

double input_units_unit(const struct input_units *u, uint32_t k) {
  return ldexp(1, u->exponent[k]);
}

double input_units_centre(const struct input_units *u, uint32_t k) {
  return ldexp(u->quarters[k], u->exponent[k] - 2);
}

/* The integers of `count` real values that share a unit; returns 1 if one is a NaN, else 0. The centre is a multiple of
 * 2^-62 and a real value one of 2^-123, so no difference is a denormal. */
static uint32_t quantise_values(int64_t *out, const float *real, size_t count, double centre, double unit, double low) {
  const double high = -low - 1;
  uint32_t bad = 0;
  for (size_t i = 0; i < count; i++) {
    const double v = ((double)flush_real(real[i]) - centre) / unit;
    bad |= (uint32_t)(v != v);
    const double above = v > low ? v : low; /* of a NaN: low */
    out[i] = round_to_even(above < high ? above : high);
  }
  return bad;
}

fusion_status program_quantise_input(const struct program *program, const float *real, size_t samples, int64_t *out,
                                     fusion_error *err) {
  const struct program_tensor *t = &program->steps[0].out;
  const size_t size = shape_size(t->shape);
  const struct input_units *u = &program->input_units;
  const double low = -ldexp(1, t->value_bits - 1);
  const size_t entries = u->count ? u->count : 1, part = size / entries;
  uint32_t bad = 0;
  for (size_t i = 0; i < samples * entries; i++) {
    const uint32_t k = (uint32_t)(i % entries);
    const double centre = u->count ? input_units_centre(u, k) : 0;
    const double unit = u->count ? input_units_unit(u, k) * t->scale : t->scale;
    bad |= quantise_values(out + i * part, real + i * part, part, centre, unit, low);
  }
  secret_declassify(&bad, sizeof bad, "a NaN among the inputs ends the job before it begins");
  return bad ? refuse_nan(real, samples * size, size, err) : FUSION_OK;
}

void program_dequantise(const struct program *program, const int64_t *values, size_t count, double *out) {
  const double scale = program->steps[program->count - 1].out.scale;
  if (program->defence.kind != DEFENCE_NONE) {
    defence_real(&program->defence, scale, values, count, out);
    return;
  }
  for (size_t i = 0; i < count; i++) out[i] = (double)values[i] * scale;
}

void softmax_in_place(double *values, size_t count) {
  double largest = -INFINITY, sum = 0;
  for (size_t i = 0; i < count; i++) largest = fmax(largest, values[i]);
  for (size_t i = 0; i < count; i++) sum += values[i] = exp(values[i] - largest);
  for (size_t i = 0; i < count; i++) values[i] /= sum;
}

void log_softmax_in_place(double *values, size_t count) {
  double largest = -INFINITY, sum = 0;
  for (size_t i = 0; i < count; i++) largest = fmax(largest, values[i]);
  for (size_t i = 0; i < count; i++) sum += exp(values[i] - largest);
  for (size_t i = 0; i < count; i++) values[i] -= largest + log(sum);
}

void sigmoid_in_place(double *values, size_t count) {
  for (size_t i = 0; i < count; i++) values[i] = 1 / (1 + exp(-values[i]));
}
