/* Tokens to columns of numbers. */
#include "program/tokens.h"

#include "base/secret.h"

static size_t plane_of(struct shape shape) {
  return (size_t)shape.height * shape.width;
}

uint32_t preprocess_number_channels(uint32_t numbers, struct shape shape) {
  const size_t plane = plane_of(shape);
  return plane ? (uint32_t)div_up(numbers, plane) : 0;
}

size_t preprocess_row_size(const struct preprocess *p, struct shape shape) {
  return p->tokens ? plane_of(shape) + p->numbers : shape_size(shape);
}

/* Adds entry `v` where the token is v. */
static void add_entry(const struct preprocess *p, struct shape shape, uint32_t v, double token, float *out) {
  const size_t plane = plane_of(shape), channels = shape.channels - preprocess_number_channels(p->numbers, shape);
  const float is = (float)(token == (double)v);
  if (!p->table) {
    out[v * plane] = is;
    return;
  }
  const float *entry = p->table + (size_t)v * channels;
  for (size_t c = 0; c < channels; c++) out[c * plane] += is * entry[c];
}

void tokens_apply(const struct preprocess *p, struct shape shape, const double *raw, size_t samples, float *out) {
  const size_t plane = plane_of(shape), size = shape_size(shape), width = preprocess_row_size(p, shape);
  const size_t behind = size - preprocess_number_channels(p->numbers, shape) * plane;
  memset(out, 0, samples * size * sizeof *out);
  for (size_t s = 0; s < samples; s++) {
    const double *row = raw + s * width;
    for (size_t i = 0; i < plane; i++)
      for (uint32_t v = 0; v < p->tokens; v++) add_entry(p, shape, v, row[p->numbers_first + i], out + s * size + i);
    for (size_t k = 0; k < p->numbers; k++)
      out[s * size + behind + k] = preprocess_number(row[k < p->numbers_first ? k : plane + k]);
  }
}

/* 1 where it is a whole number from 0 to count - 1; a NaN is none. */
static uint32_t is_token(double v, uint32_t count) {
  const uint32_t within = (uint32_t)(v >= 0) & (uint32_t)(v < (double)count);
  const double above = v > 0 ? v : 0, held = above < (double)count ? above : 0;
  return within & (uint32_t)(held == (double)(uint32_t)held);
}

fusion_status preprocess_check_tokens(const struct preprocess *p, struct shape shape, const double *raw, size_t samples,
                                      size_t first, fusion_error *err) {
  const size_t width = preprocess_row_size(p, shape), plane = plane_of(shape);
  uint32_t good = 1;
  if (!p->tokens) return FUSION_OK;
  for (size_t s = 0; s < samples; s++)
    for (size_t i = 0; i < plane; i++) good &= is_token(raw[s * width + p->numbers_first + i], p->tokens);
  secret_declassify(&good, sizeof good, "a token that is none ends the job before it begins");
  if (good) return FUSION_OK;
  secret_declassify(raw, samples * width * sizeof *raw,
                    "the job ends before it began; its owner is told which token it is");
  size_t bad = p->numbers_first;
  while (is_token(raw[bad], p->tokens)) bad += bad % width + 1 == p->numbers_first + plane ? p->numbers + 1 : 1;
  return error_set(err, FUSION_E_INPUT,
                   "input: sample %zu has %.10g in place %zu; tokens are whole numbers from 0 to %u",
                   first + bad / width, raw[bad], bad % width, p->tokens - 1);
}
