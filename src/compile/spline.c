#include "compile/spline.h"

#include <math.h>

enum {
  INDEX_BITS_LEAST = 2,
  SAMPLE_BITS = 12, /* more values than 2^12 are sampled at equal distances */
};

/* Steps of the range: the argument is 0 .. steps. */
static double steps_of(const struct spline *s) {
  return rint((s->high - s->low) / s->in_unit);
}

/* The function at 2^width places of the range, `stride` steps apart. What lies beyond the range is never read, and goes
 * on in a line: the last piece is fitted to what is. */
static void sample(double *f, const struct spline *s, unsigned width, size_t stride) {
  const size_t steps = (size_t)steps_of(s);
  const double low = rint(s->low / s->in_unit) * s->in_unit; /* as the step that takes it off rounds it */
  for (size_t v = 0; v < (size_t)1 << width; v++) {
    const double x = fmin(low + (double)(v * stride) * s->in_unit, s->high);
    if (v * stride > steps && v >= 2)
      f[v] = 2 * f[v - 1] - f[v - 2];
    else
      f[v] = activation_value(&s->use, fmax(x, s->least));
  }
}

struct piece {
  double base, slope, error; /* at the middle; a step; of the best base */
};

/* The best base for a slope: half way between the extremes of what it leaves. */
static struct piece fit(const double *f, size_t count, double slope) {
  const double middle = (double)count / 2;
  double least = INFINITY, most = -INFINITY;
  for (size_t k = 0; k < count; k++) {
    const double rest = f[k] - slope * ((double)k - middle);
    least = fmin(least, rest);
    most = fmax(most, rest);
  }
  return (struct piece){(least + most) / 2, slope, (most - least) / 2};
}

/* The slope of the chord is the best one for a function that bends one way. */
static struct piece fit_chord(const double *f, size_t count) {
  return fit(f, count, (f[count - 1] - f[0]) / (double)(count - 1));
}

static double worst_error(const double *f, unsigned index_bits, unsigned low_bits) {
  const size_t count = (size_t)1 << low_bits;
  double worst = 0;
  for (size_t h = 0; h < (size_t)1 << index_bits; h++) worst = fmax(worst, fit_chord(f + h * count, count).error);
  return worst;
}

/* The fewest pieces that keep the error, else the most that there may be. Pieces of two values are not worth it. */
static unsigned choose_index_bits(const double *f, unsigned width, double error) {
  if (width <= PROGRAM_TABLE_INDEX_BITS) return width;
  const unsigned most = width - 2 < PROGRAM_TABLE_INDEX_BITS ? width - 2 : PROGRAM_TABLE_INDEX_BITS;
  for (unsigned bits = INDEX_BITS_LEAST; bits < most; bits++)
    if (worst_error(f, bits, width - bits) <= error) return bits;
  return most;
}

static unsigned width_of(double steps) {
  unsigned width = 1;
  while ((double)(UINT64_C(1) << width) <= steps) width++;
  return width;
}

/* Each piece has the value at its last place: that of the lowest octave where it holds several. */
static void make_steps(struct program_table *table, const double *f, size_t count, double unit) {
  for (size_t h = 0; h < (size_t)1 << table->index_bits; h++)
    table->base[h] = (int64_t)rint(f[(h + 1) * count - 1] / unit);
}

bool spline_make(struct program_table *table, double *unit, const struct spline *s) {
  double f[1 << SAMPLE_BITS];
  const double steps = steps_of(s);
  if (!(steps < (double)(1 << PROGRAM_TABLE_BITS))) return false;
  const unsigned width = width_of(steps), coarse = width > SAMPLE_BITS ? width - SAMPLE_BITS : 0;
  const size_t stride = (size_t)1 << coarse;
  const bool in_steps = activation_is_step(s->use.kind);
  sample(f, s, width - coarse, stride);
  const unsigned index_bits = choose_index_bits(f, width - coarse, in_steps ? 0 : s->out_unit / 2);
  const unsigned low_bits = width - index_bits;
  const size_t count = ((size_t)1 << low_bits) / stride;
  *table = (struct program_table){.index_bits = (uint8_t)index_bits, .low_bits = (uint8_t)low_bits};
  /* So fine that half a unit of slope moves the ends of a piece by half a unit of the result. */
  *unit = in_steps ? s->out_unit : ldexp(s->out_unit, low_bits > 2 ? 1 - (int)low_bits : -1);
  if (in_steps) make_steps(table, f, count, *unit);
  for (size_t h = 0; !in_steps && h < (size_t)1 << index_bits; h++) {
    const double slope = low_bits ? rint(fit_chord(f + h * count, count).slope / (*unit * (double)stride)) : 0;
    table->slope[h] = (int64_t)slope;
    table->base[h] =
        (int64_t)rint((low_bits ? fit(f + h * count, count, slope * *unit * (double)stride).base : f[h]) / *unit);
  }
  return true;
}
