#include "program/defence.h"

#include <math.h>

/* beta * max(1, gamma) up to which answers of different classes stay apart. */
static const double bend_most = 0.95;
static const double gamma_least = 0.01, gamma_most = 100;

const char *defence_check(const struct defence *d) {
  switch (d->kind) {
    case DEFENCE_NONE: return NULL;
    case DEFENCE_REVERSE_SIGMOID:
      if (!(d->beta >= 0.01 && d->beta <= bend_most))
        return "beta is not between 0.01 and 0.95; near 1, answers no longer tell classes apart";
      if (!(d->gamma >= gamma_least && d->gamma <= gamma_most)) return "gamma is not between 0.01 and 100";
      if (d->beta * d->gamma > bend_most) return "beta times gamma is above 0.95, which takes labels away";
      return NULL;
    case DEFENCE_ROUND:
      return d->digits >= 1 && d->digits <= DEFENCE_DIGITS_MAX ? NULL : "rounding takes 1 to 3 digits";
    case DEFENCE_COUNT: break;
  }
  return "the defence is unknown";
}

bool defence_unit_fits(const struct defence *d, double scale) {
  return d->kind != DEFENCE_ROUND || fabs(scale * pow(10, d->digits) - 1) < 1e-4;
}

static double rounded(double steps, int64_t value) {
  return fmin(fmax(((double)value + steps / 2) / steps, 0), 1);
}

void defence_real(const struct defence *d, double scale, const int64_t *values, size_t count, double *out) {
  const double steps = pow(10, d->digits);
  for (size_t i = 0; i < count; i++)
    out[i] = d->kind == DEFENCE_ROUND ? rounded(steps, values[i]) : (double)values[i] * scale + 0.5;
}

void defence_normalise(double *values, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; i++) sum += values[i];
  for (size_t i = 0; i < count; i++) values[i] = sum > 0 ? values[i] / sum : 1 / (double)count;
}
