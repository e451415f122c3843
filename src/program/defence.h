/** Answers that say less than the network's outputs, computed on shares: what a program's last tensor is then. Its
 *  integers are numbers near probabilities less 1/2, so that those of one output have a sign, as a logit has. Labels
 * and the best K are other kinds of answers (program.h). */
#ifndef FUSION_PROGRAM_DEFENCE_H
#define FUSION_PROGRAM_DEFENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum defence_kind {
  DEFENCE_NONE = 0,
  DEFENCE_REVERSE_SIGMOID, /**< s(u) - beta * (s(gamma * u) - 1/2), s the logistic function and u = log(p / (1 - p)) */
  DEFENCE_ROUND,           /**< probabilities in units of 10^-digits */
  DEFENCE_COUNT
};

struct defence {
  enum defence_kind kind;
  double beta, gamma; /* REVERSE_SIGMOID */
  uint8_t digits;     /* ROUND: 1..DEFENCE_DIGITS_MAX */
};

enum { DEFENCE_DIGITS_MAX = 3 };

/** What is wrong with the numbers, or NULL. A probability above 1/2 must stay the largest, and clearly: the answer
 * rises through 1/2 at u = 0 only where beta * max(1, gamma) < 1. */
const char *defence_check(const struct defence *d);

/** Bits by which a rounded answer's grid is finer while widths are searched: the values themselves, nearly. */
static inline unsigned defence_finer(const struct defence *d) {
  enum { DIGIT_BITS = 3, LEAST = 4 };
  return d->kind == DEFENCE_ROUND ? LEAST + DIGIT_BITS * (DEFENCE_DIGITS_MAX - (unsigned)d->digits) : 0;
}

/** The unit of rounded probabilities is 10^-digits, nearly. */
bool defence_unit_fits(const struct defence *d, double scale);

/** What integer answers stand for: [0, 1] for rounded probabilities. `scale`: of the last tensor. */
void defence_real(const struct defence *d, double scale, const int64_t *values, size_t count, double *out);

/** Rows of such numbers over their sums: probabilities of classes. */
void defence_normalise(double *values, size_t count);

#endif
