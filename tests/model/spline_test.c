/** Tables of functions against the functions, at every value of the argument. */
#include "compile/spline.h"

#include <math.h>

#include "base/base.h"
#include "support/support.h"

struct fitted {
  struct program_table table;
  double unit;
  unsigned width;
};

static struct spline spline_of(enum activation kind, unsigned width, double out_unit) {
  const struct activation_use use = {.kind = kind, .gain = 1, .stretch = 1};
  const double low = activation_low(&use), high = activation_high(&use);
  return (struct spline){.use = use,
                         .low = low,
                         .high = high,
                         .least = low,
                         .in_unit = exp2(ceil(log2(high - low))) / ldexp(1, (int)width),
                         .out_unit = out_unit};
}

static struct fitted fit(const struct spline *s) {
  struct fitted f;
  assert_true(spline_make(&f.table, &f.unit, s));
  f.width = (unsigned)f.table.index_bits + f.table.low_bits;
  return f;
}

static int64_t value_at(const struct fitted *f, size_t v) {
  const struct program_table *t = &f->table;
  const int64_t middle = t->low_bits ? INT64_C(1) << (t->low_bits - 1) : 0;
  const size_t h = v >> t->low_bits & (PROGRAM_TABLE_PIECES - 1);
  return t->base[h] + t->slope[h] * ((int64_t)(v & low_mask(t->low_bits)) - middle);
}

/* The range begins at a whole unit. */
static double real_at(const struct spline *s, size_t v) {
  const double low = rint(s->low / s->in_unit) * s->in_unit;
  return activation_value(&s->use, fmin(low + (double)v * s->in_unit, s->high));
}

/* What a piece bends: the most that its slope changes from one value to the next, over all of it. */
static double bend_of(const struct spline *s, size_t first, size_t count, size_t steps) {
  double most = 0;
  for (size_t v = first + 1; v + 1 < first + count && v < steps; v++)
    most = fmax(most, fabs(real_at(s, v - 1) - 2 * real_at(s, v) + real_at(s, v + 1)));
  return most * (double)count * (double)count / 16;
}

/* A piece is off by a sixteenth of its bend, or by half a unit where fewer pieces do; the roundings of its slope and
 * base are another half. */
static void check_table(const struct spline *s, const char *name) {
  const struct fitted f = fit(s);
  const size_t count = (size_t)1 << f.table.low_bits, steps = (size_t)rint((s->high - s->low) / s->in_unit);
  for (size_t v = 0; v <= steps; v++) {
    const double error = fabs((double)value_at(&f, v) * f.unit - real_at(s, v));
    const double fitting = fmax(bend_of(s, v / count * count, count, steps), 0.5 * s->out_unit);
    if (error <= fitting + 0.6 * s->out_unit) continue;
    fail_msg("%s, %u bits, unit %g: %g off at %zu, expected at most %g", name, f.width, s->out_unit, error, v, fitting);
  }
}

static void spline_make__every_value_is_near(void **state) {
  (void)state;
  static const struct {
    enum activation kind;
    const char *name;
  } kinds[] = {{ACTIVATION_SIGMOID, "sigmoid"},
               {ACTIVATION_TANH, "tanh"},
               {ACTIVATION_ERF, "erf"},
               {ACTIVATION_EXP_TAIL, "exp tail"},
               {ACTIVATION_SOFTPLUS, "softplus"},
               {ACTIVATION_GELU, "gelu"},
               {ACTIVATION_SILU, "silu"},
               {ACTIVATION_GELU_TANH, "gelu tanh"},
               {ACTIVATION_MISH, "mish"},
               {ACTIVATION_EXP_BELOW, "exp"},
               {ACTIVATION_HARD_SWISH, "hard swish"}};
  static const unsigned widths[] = {4, 5, 7, 9, 10};
  for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
    for (size_t w = 0; w < sizeof widths / sizeof widths[0]; w++)
      for (int unit = 4; unit <= 12; unit += 4) {
        const struct spline s = spline_of(kinds[k].kind, widths[w], ldexp(1, -unit));
        check_table(&s, kinds[k].name);
      }
}

/* Beyond 12 bits the function is sampled at distances: the same pieces, so the same values at every one. */
static void spline_make__wide_arguments_have_the_same_pieces(void **state) {
  (void)state;
  const struct spline narrow = spline_of(ACTIVATION_SIGMOID, 12, 0x1p-10);
  const struct spline wide = spline_of(ACTIVATION_SIGMOID, 16, 0x1p-10);
  const struct fitted a = fit(&narrow), b = fit(&wide);
  assert_int_equal(a.width, 12);
  assert_int_equal(b.width, 16);
  assert_int_equal(a.table.index_bits, b.table.index_bits);
  for (size_t v = 0; v < 1 << 16; v++) {
    const double error = fabs((double)value_at(&b, v) * b.unit - real_at(&wide, v));
    assert_true(error <= 0.004);
  }
  for (size_t v = 0; v < 1 << 12; v++)
    assert_true(fabs((double)value_at(&a, v) * a.unit - (double)value_at(&b, v << 4) * b.unit) <= 0x1p-10);
}

static void spline_make__refuses_more_than_16_bits(void **state) {
  (void)state;
  const struct spline s = spline_of(ACTIVATION_SIGMOID, 17, 0x1p-10);
  struct program_table table;
  double unit;
  assert_false(spline_make(&table, &unit, &s));
}

/* x * p lies in the top octave for every x of the upper six, and never beyond it. */
static void spline_make__octaves_are_exact(void **state) {
  (void)state;
  for (unsigned width = 2; width <= 16; width++) {
    const double top = ldexp(1, (int)width);
    const struct spline s = {
        .use = {.kind = ACTIVATION_OCTAVE, .gain = 1, .stretch = (float)top, .power = -1},
        .high = top * 31 / 32,
        .in_unit = 1,
        .out_unit = 1,
    };
    const struct fitted f = fit(&s);
    assert_true(f.unit >= 1 && f.unit <= 1);
    /* With fewer than six bits the range is not 31/32 of a power of two, with six there are 16 pieces. */
    const unsigned octaves = width > 6 ? 6 : width > 4 ? 4 : 0;
    for (size_t x = 0; x <= (size_t)rint(s.high); x++) {
      const uint64_t m = x * (uint64_t)value_at(&f, x);
      if (m >= UINT64_C(1) << f.width) fail_msg("%u bits: %zu becomes %llu", width, x, (unsigned long long)m);
      if (octaves && x >> (width - octaves) && m < UINT64_C(1) << (width - 1))
        fail_msg("%u bits: %zu becomes %llu, below its octave", width, x, (unsigned long long)m);
    }
  }
}

/* p^-a and log(1/p) are those of the same p. */
static void spline_make__factors_fit_their_octaves(void **state) {
  (void)state;
  const struct spline octave = {.use = {.kind = ACTIVATION_OCTAVE, .gain = 1, .stretch = 4096, .power = -1},
                                .high = 4096 * 31.0 / 32,
                                .in_unit = 1,
                                .out_unit = 1};
  struct spline root = octave, log_of = octave;
  root.use.power = 0.5f;
  log_of.use.kind = ACTIVATION_OCTAVE_LOG;
  root.out_unit = log_of.out_unit = 0x1p-14;
  const struct fitted p = fit(&octave), r = fit(&root), l = fit(&log_of);
  for (size_t x = 1; x < 4096 - 128; x++) {
    const double factor = (double)value_at(&p, x);
    assert_true(fabs((double)value_at(&r, x) * r.unit - pow(factor, -0.5)) <= 0x1p-14);
    assert_true(fabs((double)value_at(&l, x) * l.unit + log(factor)) <= 0x1p-14);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(spline_make__every_value_is_near),
      cmocka_unit_test(spline_make__wide_arguments_have_the_same_pieces),
      cmocka_unit_test(spline_make__refuses_more_than_16_bits),
      cmocka_unit_test(spline_make__octaves_are_exact),
      cmocka_unit_test(spline_make__factors_fit_their_octaves),
  };
  return cmocka_run_group_tests_name("spline", tests, NULL, NULL);
}
