#include "adversary/randomness.h"

#include <math.h>

#include "support/support.h"

enum { PAIRS = 4096, DISTANCES = 2048, LAGS = 256, LAGS_FAR = 16, LAG_WORDS = 1 << 13 };

const char *const statistic_names[STATISTIC_COUNT] = {
    [STATISTIC_ONES] = "ones",
    [STATISTIC_POSITIONS] = "positions",
    [STATISTIC_POSITION] = "worst position",
    [STATISTIC_BYTES] = "bytes",
    [STATISTIC_LAGS] = "lags",
    [STATISTIC_PAIRS] = "pairs",
    [STATISTIC_DISTANCES] = "distance",
    [STATISTIC_TWO_ONES] = "two: ones",
    [STATISTIC_TWO_PLACES] = "two: positions",
    [STATISTIC_TWO_PLACE] = "two: worst",
    [STATISTIC_TWO_BYTES] = "two: bytes",
};

static uint64_t word_at(const uint8_t *bytes, size_t at) {
  uint64_t v;
  memcpy(&v, bytes + at, sizeof v);
  return v;
}

static unsigned bit_at(const uint8_t *bytes, size_t bit) {
  return bytes[bit / 8] >> (bit % 8) & 1;
}

/* Standard deviations of a chi-square: Wilson and Hilferty's cube root. */
static double of_chi_square(double chi, double freedom) {
  const double spread = 2 / (9 * freedom);
  return (cbrt(chi / freedom) - (1 - spread)) / sqrt(spread);
}

/* Hoeffding: a sum of `terms` independent +-scale with zero mean exceeds x with probability below
 * 2 exp(-x^2 / (2 terms scale^2)); `places` of them are looked at. At the limit the union bound is 1e-12. */
static double of_extreme(double x, double terms, double scale, double places) {
  const double limit = scale * sqrt(2 * terms * log(2 * places / 1e-12));
  return STATISTIC_LIMIT * x / limit;
}

static void by_position(const struct strings *s, double out[STATISTIC_COUNT]) {
  const size_t half = s->runs / 2, places = 8 * s->len;
  double total[2] = {0, 0}, squares = 0, two_squares = 0, worst = 0, two_worst = 0;
  for (size_t at = 0; at < s->len; at++) {
    unsigned ones[2][8] = {{0}};
    for (size_t r = 0; r < s->runs; r++)
      for (unsigned b = 0; b < 8; b++) ones[r >= half][b] += s->bytes[r][at] >> b & 1;
    for (unsigned b = 0; b < 8; b++) {
      const double first = ones[0][b], second = ones[1][b], off = 2 * (first + second) - (double)s->runs;
      total[0] += first;
      total[1] += second;
      squares += off * off / (double)s->runs;
      two_squares += (first - second) * (first - second) / (0.25 * (double)s->runs);
      worst = fmax(worst, fabs(off));
      two_worst = fmax(two_worst, fabs(first - second));
    }
  }
  const double n = (double)s->runs, d = (double)places;
  out[STATISTIC_ONES] = fabs(2 * (total[0] + total[1]) - n * d) / sqrt(n * d);
  out[STATISTIC_POSITIONS] = fabs(squares - d) / sqrt(2 * d * (1 - 1 / n));
  out[STATISTIC_POSITION] = of_extreme(worst, n, 1, d);
  /* first - second: less its mean, a sum of n terms of +-1/2. */
  out[STATISTIC_TWO_PLACES] = fabs(two_squares - d) / sqrt(2 * d * (1 - 1 / n));
  out[STATISTIC_TWO_PLACE] = of_extreme(two_worst, n, 0.5, d);
  out[STATISTIC_TWO_ONES] = fabs(total[0] - total[1]) / sqrt(n * d / 4);
}

static void by_byte(const struct strings *s, double out[STATISTIC_COUNT]) {
  double counts[2][256] = {{0}};
  const double all = (double)s->runs * (double)s->len;
  for (size_t r = 0; r < s->runs; r++)
    for (size_t i = 0; i < s->len; i++) counts[r >= s->runs / 2][s->bytes[r][i]]++;
  double chi = 0, two = 0;
  for (int v = 0; v < 256; v++) {
    const double both = counts[0][v] + counts[1][v], apart = counts[0][v] - counts[1][v];
    chi += (both - all / 256) * (both - all / 256) / (all / 256);
    if (both > 0) two += apart * apart / both;
  }
  out[STATISTIC_BYTES] = fabs(of_chi_square(chi, 255));
  out[STATISTIC_TWO_BYTES] = fabs(of_chi_square(two, 255));
}

/* Bits that agree with those `lag` further on: a fair coin's count. */
static double lag_deviation(const struct strings *s, size_t lag) {
  uint64_t differ = 0, compared = 0;
  const size_t words = size_min(s->len / 8, LAG_WORDS);
  if (lag / 64 + 1 >= words) return 0;
  for (size_t r = 0; r < s->runs; r++) {
    for (size_t w = 0; w + lag / 64 + 1 < words; w++) {
      const uint64_t here = word_at(s->bytes[r], 8 * w), low = word_at(s->bytes[r], 8 * (w + lag / 64)),
                     high = word_at(s->bytes[r], 8 * (w + lag / 64 + 1));
      const uint64_t there = lag % 64 ? low >> lag % 64 | high << (64 - lag % 64) : low;
      differ += (uint64_t)__builtin_popcountll(here ^ there);
      compared += 64;
    }
  }
  return fabs(2 * (double)differ - (double)compared) / sqrt((double)compared);
}

static uint64_t distance(const struct strings *s, size_t a, size_t b) {
  uint64_t differ = 0;
  for (size_t at = 0; at < s->len; at += 8)
    differ += (uint64_t)__builtin_popcountll(word_at(s->bytes[a], at) ^ word_at(s->bytes[b], at));
  return differ;
}

static void by_pair(const struct strings *s, uint64_t *random, double out[STATISTIC_COUNT]) {
  const double places = 8 * (double)s->len;
  double worst = 0;
  for (size_t i = 0; i < PAIRS; i++) {
    const size_t a = test_random(random) % (8 * s->len), b = test_random(random) % (8 * s->len);
    int64_t balance = 0;
    if (a == b) continue;
    for (size_t r = 0; r < s->runs; r++) balance += bit_at(s->bytes[r], a) == bit_at(s->bytes[r], b) ? 1 : -1;
    worst = fmax(worst, fabs((double)balance));
  }
  out[STATISTIC_PAIRS] = of_extreme(worst, (double)s->runs, 1, PAIRS);
  out[STATISTIC_DISTANCES] = 0;
  for (size_t i = 0; i < s->runs + DISTANCES; i++) {
    /* Every run with the next, then any two. */
    const size_t a = i < s->runs ? i : test_random(random) % s->runs;
    const size_t b = i < s->runs ? (i + 1) % s->runs : test_random(random) % s->runs;
    if (a == b) continue;
    const double off = fabs(2 * (double)distance(s, a, b) - places) / sqrt(places);
    out[STATISTIC_DISTANCES] = fmax(out[STATISTIC_DISTANCES], off);
  }
}

void statistics_of(const struct strings *s, uint64_t *random, double out[STATISTIC_COUNT]) {
  by_position(s, out);
  by_byte(s, out);
  by_pair(s, random, out);
  out[STATISTIC_LAGS] = 0;
  for (size_t lag = 1; lag <= LAGS; lag++) out[STATISTIC_LAGS] = fmax(out[STATISTIC_LAGS], lag_deviation(s, lag));
  for (size_t k = 1; k <= LAGS_FAR; k++) out[STATISTIC_LAGS] = fmax(out[STATISTIC_LAGS], lag_deviation(s, 512 * k));
}
