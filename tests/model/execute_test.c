/** The executor against a naive one, on inputs that overflow rings too; every CPU tier, every number of threads. */
#include "execute/execute.h"

#include <math.h>

#include "base/cpu_tier.h"
#include "model/model_support.h"

enum { SAMPLES = 7, TAPS_MAX = 16 };

static int64_t at(const struct shape s, const int64_t *x, size_t c, int64_t y, int64_t z) {
  if (y < 0 || z < 0 || y >= s.height || z >= s.width) return 0;
  return x[(c * s.height + (size_t)y) * s.width + (size_t)z];
}

/* The program's maximum of a list, which wraps where values are out of range. */
static int64_t naive_maximum(const int64_t *v, uint32_t count, unsigned value_bits) {
  if (count == 1) return v[0];
  uint32_t half = 1;
  while (2 * half < count) half *= 2;
  const int64_t a = naive_maximum(v, half, value_bits), b = naive_maximum(v + half, count - half, value_bits);
  const int64_t difference = ring_signed((uint64_t)a - (uint64_t)b, value_bits + 1);
  return difference > 0 ? (int64_t)((uint64_t)b + (uint64_t)difference) : b;
}

static int64_t naive_pool(const struct program_step *s, const struct program_tensor *in, const int64_t *x, uint32_t c,
                          uint32_t oy, uint32_t ox) {
  int64_t rows[TAPS_MAX], taps[TAPS_MAX];
  uint32_t height = 0;
  for (uint32_t ky = 0; ky < s->window.kernel_h; ky++) {
    const int64_t y = (int64_t)oy * s->window.stride_h + (int64_t)ky * s->window.dilation_h - s->window.pad_top;
    uint32_t width = 0;
    if (y < 0 || y >= in->shape.height) continue;
    for (uint32_t kx = 0; kx < s->window.kernel_w; kx++) {
      const int64_t z = (int64_t)ox * s->window.stride_w + (int64_t)kx * s->window.dilation_w - s->window.pad_left;
      assert_true(width < TAPS_MAX);
      if (z >= 0 && z < in->shape.width) taps[width++] = at(in->shape, x, c, y, z);
    }
    assert_true(width && height < TAPS_MAX);
    rows[height++] = naive_maximum(taps, width, in->value_bits);
  }
  return naive_maximum(rows, height, in->value_bits);
}

static uint64_t naive_window(const struct model *m, uint32_t i, const int64_t *x, uint32_t c, uint32_t oy,
                             uint32_t ox) {
  const struct program_step *s = &m->program.steps[i];
  const struct window *w = &s->window;
  const struct shape in = m->program.steps[s->inputs[0]].out.shape;
  const bool linear = s->op == OP_LINEAR;
  const uint32_t depth = linear ? in.channels / s->groups : 1;
  const uint32_t first = linear ? c / (s->out.shape.channels / s->groups) * depth : c;
  uint64_t sum = linear ? (uint64_t)m->weights[i].bias[c] : 0;
  if (s->op == OP_MAXPOOL) return (uint64_t)naive_pool(s, &m->program.steps[s->inputs[0]].out, x, c, oy, ox);
  for (uint32_t d = 0; d < depth; d++)
    for (uint32_t ky = 0; ky < w->kernel_h; ky++)
      for (uint32_t kx = 0; kx < w->kernel_w; kx++) {
        const int64_t y = (int64_t)oy * w->stride_h + (int64_t)ky * w->dilation_h - w->pad_top;
        const int64_t z = (int64_t)ox * w->stride_w + (int64_t)kx * w->dilation_w - w->pad_left;
        const int64_t v = at(in, x, first + d, y, z);
        const size_t k = (((size_t)c * depth + d) * w->kernel_h + ky) * w->kernel_w + kx;
        sum += (uint64_t)v * (linear ? (uint64_t)(int64_t)m->weights[i].weights[k] : 1);
      }
  return sum;
}

static uint64_t naive_matmul(const struct program_step *s, struct shape in, const int64_t *x, const int64_t *y,
                             size_t k) {
  const struct shape o = s->out.shape;
  const size_t c = k / o.width / o.height, row = k / o.width % o.height, column = k % o.width, depth = in.width;
  uint64_t sum = 0;
  for (size_t j = 0; j < depth; j++) {
    const size_t place = s->transpose ? column * depth + j : j * o.width + column;
    sum += (uint64_t)x[(c * o.height + row) * depth + j] * (uint64_t)y[c * depth * o.width + place];
  }
  return sum;
}

static uint64_t naive_element(const struct model *m, uint32_t i, int64_t *const *values, size_t k) {
  const struct program_step *s = &m->program.steps[i];
  const struct shape o = s->out.shape;
  const int64_t *x = values[s->inputs[0]];
  const uint64_t round = s->shift ? UINT64_C(1) << (s->shift - 1) : 0;
  const unsigned in_bits = m->program.steps[s->inputs[0]].out.ring_bits;
  int64_t v;
  switch (s->op) {
    case OP_RELU:
    case OP_TRUNCATE:
      v = ring_signed((uint64_t)x[k] + round, in_bits);
      if (s->op == OP_RELU && v < 0) v = 0;
      return (uint64_t)(v >> s->shift);
    case OP_ADD: return ((uint64_t)x[k] << s->shift_left[0]) + ((uint64_t)values[s->inputs[1]][k] << s->shift_left[1]);
    case OP_OFFSET:
      return (uint64_t)m->weights[i].bias[k / o.width / o.height] + (s->negate ? 0 - (uint64_t)x[k] : (uint64_t)x[k]);
    case OP_COMPARE: return ring_signed((uint64_t)x[k], in_bits) >= 0;
    case OP_LOOKUP: {
      const int64_t width = INT64_C(1) << s->table->low_bits, at = x[k] & ((width << s->table->index_bits) - 1);
      const int64_t middle = s->table->low_bits ? width / 2 : 0;
      return (uint64_t)s->table->base[at / width] +
             (uint64_t)s->table->slope[at / width] * (uint64_t)(at % width - middle);
    }
    case OP_MATMUL: return naive_matmul(s, m->program.steps[s->inputs[0]].out.shape, x, values[s->inputs[1]], k);
    case OP_MUL: return (uint64_t)x[k] * (uint64_t)values[s->inputs[1]][k];
    case OP_GATHER:
      if (s->gather[k].input == GATHER_ZERO) return 0;
      return (uint64_t)values[s->inputs[s->gather[k].input]][s->gather[k].index];
    default:
      return naive_window(m, i, x, (uint32_t)(k / o.width / o.height), (uint32_t)(k / o.width % o.height),
                          (uint32_t)(k % o.width));
  }
}

static void naive_execute(const struct model *m, const int64_t *input, int64_t *output) {
  int64_t **values = mem_alloc(m->program.count, sizeof *values);
  assert_non_null(values);
  for (uint32_t i = 0; i < m->program.count; i++) {
    const struct program_tensor *t = &m->program.steps[i].out;
    const size_t size = shape_size(t->shape);
    values[i] = mem_alloc(size, sizeof **values);
    assert_non_null(values[i]);
    for (size_t k = 0; k < size; k++)
      values[i][k] = ring_signed(i ? naive_element(m, i, values, k) : (uint64_t)input[k], t->ring_bits);
  }
  const uint32_t last = m->program.count - 1;
  memcpy(output, values[last], shape_size(m->program.steps[last].out.shape) * sizeof *output);
  for (uint32_t i = 0; i < m->program.count; i++) mem_free(values[i]);
  mem_free(values);
}

/** Inputs of `bits` signed bits: small ones, and such as wrap every ring. */
static void check_model(const struct model *m, uint64_t *seed, unsigned bits, unsigned threads) {
  const size_t in = shape_size(m->program.steps[0].out.shape), out = program_answer_size(&m->program);
  int64_t *x = mem_alloc(SAMPLES * in, sizeof *x), *y = mem_alloc(SAMPLES * out, sizeof *y);
  int64_t *expected = mem_alloc(out, sizeof *expected);
  const struct execute_options options = {.threads = threads};
  assert_true(x && y && expected);
  for (size_t i = 0; i < SAMPLES * in; i++) x[i] = ring_signed(test_random(seed), bits);
  assert_ok(program_execute(m, x, SAMPLES, y, &options));
  for (size_t k = 0; k < SAMPLES; k++) {
    naive_execute(m, x + k * in, expected);
    assert_memory_equal(y + k * out, expected, out * sizeof *y);
  }
  mem_free(x);
  mem_free(y);
  mem_free(expected);
}

static void program_execute__equals_naive(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  for (int tier = 0; tier <= (int)cpu_tier_best(); tier++) {
    assert_ok(cpu_tier_force((enum cpu_tier)tier));
    for (size_t k = 0; network_kinds[k]; k++) {
      for (unsigned width = 6; width <= 16; width += 5) {
        struct model *m = random_model(network_kinds[k], &seed, width, width > 14 ? 14 : width);
        check_model(m, &seed, width, 1);
        check_model(m, &seed, m->program.steps[0].out.ring_bits, 2);
        model_free(m);
      }
    }
  }
  assert_ok(cpu_tier_force(cpu_tier_best()));
}

/** Rings above 32 bits, where the narrow accumulator may or may not serve. */
static void program_execute__wide_rings(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  for (size_t k = 0; network_kinds[k]; k++) {
    struct model *m = random_model(network_kinds[k], &seed, 9, 9);
    for (uint32_t i = 0; i < m->program.count; i++) {
      m->program.steps[i].out.ring_bits = 58;
      if (m->program.steps[i].out.raw) m->program.steps[i].out.ring_bits = 50;
    }
    assert_ok(program_validate(&m->program, NULL));
    for (unsigned bits = 8; bits <= 56; bits += 12) check_model(m, &seed, bits, 1);
    model_free(m);
  }
}

/** Rounding at random: reproducible from its seed on any number of threads, near the exact result, and different. */
static void program_execute__dither(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct model *m = random_model("conv", &seed, 12, 14);
  const size_t in = shape_size(m->program.steps[0].out.shape), out = program_answer_size(&m->program),
               count = SAMPLES * out;
  int64_t *x = mem_alloc(SAMPLES * in, sizeof *x), *y = mem_alloc(4 * count, sizeof *y);
  assert_true(x && y);
  for (size_t i = 0; i < SAMPLES * in; i++)
    x[i] = ring_signed(test_random(&seed), m->program.steps[0].out.value_bits - 2);
  const struct execute_options runs[4] = {
      {.threads = 1}, {.dither = 1, .threads = 1}, {.dither = 1, .threads = 3}, {.dither = 2, .threads = 1}};
  for (size_t r = 0; r < 4; r++) assert_ok(program_execute(m, x, SAMPLES, y + r * count, &runs[r]));
  assert_memory_equal(y + count, y + 2 * count, count * sizeof *y);
  double off = 0, apart = 0, size = 0;
  for (size_t i = 0; i < count; i++) {
    off += pow((double)(y[count + i] - y[i]), 2);
    apart += pow((double)(y[3 * count + i] - y[count + i]), 2);
    size += pow((double)y[i], 2);
  }
  assert_true(apart > 0 && off > 0);
  assert_true(sqrt(off / size) < 0.05 && sqrt(apart / size) < 0.05);
  mem_free(x);
  mem_free(y);
  model_free(m);
}

static void program_select_answer__ties_and_order(void **state) {
  (void)state;
  struct program_step step = {.out = {.shape = {5, 1, 1}}};
  struct program program = {.steps = &step, .count = 1, .output = OUTPUT_TOP_K, .top_k = 5};
  const int64_t logits[5] = {3, 9, 9, -4, 3};
  const int64_t order[10] = {1, 9, 2, 9, 0, 3, 4, 3, 3, -4};
  int64_t answer[10];
  program_select_answer(&program, logits, answer);
  assert_memory_equal(answer, order, sizeof order);
  program.output = OUTPUT_LABEL;
  program_select_answer(&program, logits, answer);
  assert_int_equal(answer[0], 1);
}

static void preprocess_apply__layouts(void **state) {
  (void)state;
  double mean[2] = {1, 2}, deviation[2] = {2, 4};
  const struct shape shape = {2, 1, 3};
  const double first[6] = {10, 20, 30, 40, 50, 60}, last[6] = {40, 10, 50, 20, 60, 30};
  const float expected[6] = {0, .5f, 1, .5f, .75f, 1};
  float out[6];
  struct preprocess p = {.scale = 0.1, .count = 2, .mean = mean, .deviation = deviation};
  preprocess_apply(&p, shape, first, 1, out);
  for (int i = 0; i < 6; i++) assert_float_equal(out[i], expected[i], 1e-6);
  p.channels_last = p.reverse_channels = true;
  preprocess_apply(&p, shape, last, 1, out);
  for (int i = 0; i < 6; i++) assert_float_equal(out[i], expected[i], 1e-6);
}

/* Halves, denormals, infinities and random numbers of every magnitude, by every width. */
static void program_quantise_input__equals_the_formula(void **state) {
  (void)state;
  enum { COUNT = 256 };
  uint64_t seed = test_seed();
  float real[COUNT];
  int64_t out[COUNT];
  for (int round = 0; round < 500; round++) {
    const uint8_t bits = (uint8_t)(1 + round % 40);
    const double scale = round % 2 ? ldexp(1, round % 60 - 30) : ldexp(1 + random_unit(&seed) / 2, round % 60 - 30);
    struct program_step step = {.out = {.shape = {COUNT, 1, 1}, .value_bits = bits, .scale = scale}};
    const struct program program = {.steps = &step, .count = 1};
    for (int i = 0; i < COUNT; i++) {
      const float halves = (float)((round % 7 + i - COUNT / 2) * 0.5 * scale);
      real[i] = i % 2 ? halves : ldexpf(random_unit(&seed), (int)(test_random(&seed) % 276) - 148);
    }
    real[0] = INFINITY, real[2] = -INFINITY, real[4] = 1e-45f;
    assert_ok(program_quantise_input(&program, real, 1, out, NULL));
    const double low = -ldexp(1, bits - 1), high = -low - 1;
    for (int i = 0; i < COUNT; i++) {
      const int64_t expected = (int64_t)fmin(fmax(rint(real[i] / scale), low), high);
      if (out[i] != expected) fail_msg("%a / %a in %u bits: %lld", (double)real[i], scale, bits, (long long)out[i]);
    }
  }
}

static void program_quantise_input__rounds_and_clamps(void **state) {
  (void)state;
  struct program_step step = {.out = {.shape = {6, 1, 1}, .value_bits = 4, .scale = 0.5}};
  const struct program program = {.steps = &step, .count = 1};
  const float real[6] = {0.25f, 0.75f, -0.26f, 100, -100, 3.5f};
  const int64_t expected[6] = {0, 2, -1, 7, -8, 7};
  int64_t out[6];
  assert_ok(program_quantise_input(&program, real, 1, out, NULL));
  assert_memory_equal(out, expected, sizeof out);
  const float bad[6] = {0, 0, 0.0f / 0.0f, 0, 0, 0};
  fusion_error err = {.status = FUSION_OK};
  assert_int_equal(program_quantise_input(&program, bad, 1, out, &err), FUSION_E_INPUT);
  assert_true(err.text[0] != '\0');
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(program_execute__equals_naive),
      cmocka_unit_test(program_execute__wide_rings),
      cmocka_unit_test(program_execute__dither),
      cmocka_unit_test(program_select_answer__ties_and_order),
      cmocka_unit_test(preprocess_apply__layouts),
      cmocka_unit_test(program_quantise_input__rounds_and_clamps),
      cmocka_unit_test(program_quantise_input__equals_the_formula),
  };
  return cmocka_run_group_tests_name("execute", tests, NULL, NULL);
}
