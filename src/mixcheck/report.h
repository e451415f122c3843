/** The verdict's sentence. */
#ifndef FUSION_MIXCHECK_REPORT_H
#define FUSION_MIXCHECK_REPORT_H

#include <fusion/verdict.h>

/** Fills accuracy, its bound, and the sentence `reason` from the counts and `accepted`. */
void verdict_explain(fusion_verdict *verdict);

#endif
