/** Samples that are tokens. */
#ifndef FUSION_PROGRAM_TOKENS_H
#define FUSION_PROGRAM_TOKENS_H

#include "program/preprocess.h"

/** preprocess_apply() where p->tokens is not 0. Every token is compared with every entry: its time does not depend on
 * them. */
void tokens_apply(const struct preprocess *p, struct shape shape, const double *raw, size_t samples, float *out);

/** A raw number, without denormals. */
float preprocess_number(double raw);

#endif
