/* Tokens to columns of numbers. */
#include "program/tokens.h"

#include "base/secret.h"

size_t preprocess_row_size(const struct preprocess *p, struct shape shape) {
  return p->tokens ? (size_t)shape.height * shape.width : shape_size(shape);
}

/* Adds entry `v` where the token is v. */
static void add_entry(const struct preprocess *p, struct shape shape, uint32_t v, double token, float *out) {
  const size_t plane = (size_t)shape.height * shape.width;
  const float is = (float)(token == (double)v);
  if (!p->table) {
    out[v * plane] = is;
    return;
  }
  const float *entry = p->table + (size_t)v * shape.channels;
  for (size_t c = 0; c < shape.channels; c++) out[c * plane] += is * entry[c];
}

void tokens_apply(const struct preprocess *p, struct shape shape, const double *raw, size_t samples, float *out) {
  const size_t plane = (size_t)shape.height * shape.width, size = shape_size(shape);
  memset(out, 0, samples * size * sizeof *out);
  for (size_t s = 0; s < samples; s++)
    for (size_t i = 0; i < plane; i++)
      for (uint32_t v = 0; v < p->tokens; v++) add_entry(p, shape, v, raw[s * plane + i], out + s * size + i);
}

/* 1 where it is a whole number from 0 to count - 1; a NaN is none. */
static uint32_t is_token(double v, uint32_t count) {
  const uint32_t within = (uint32_t)(v >= 0) & (uint32_t)(v < (double)count);
  const double above = v > 0 ? v : 0, held = above < (double)count ? above : 0;
  return within & (uint32_t)(held == (double)(uint32_t)held);
}

fusion_status preprocess_check_tokens(const struct preprocess *p, struct shape shape, const double *raw, size_t samples,
                                      size_t first, fusion_error *err) {
  const size_t width = preprocess_row_size(p, shape), count = samples * width;
  uint32_t good = 1;
  if (!p->tokens) return FUSION_OK;
  for (size_t i = 0; i < count; i++) good &= is_token(raw[i], p->tokens);
  secret_declassify(&good, sizeof good, "a token that is none ends the job before it begins");
  if (good) return FUSION_OK;
  secret_declassify(raw, count * sizeof *raw, "the job ends before it began; its owner is told which token it is");
  size_t bad = 0;
  while (is_token(raw[bad], p->tokens)) bad++;
  return error_set(err, FUSION_E_INPUT,
                   "input: sample %zu has %.10g in place %zu; tokens are whole numbers from 0 to %u",
                   first + bad / width, raw[bad], bad % width, p->tokens - 1);
}
