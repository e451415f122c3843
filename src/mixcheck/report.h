/** The verdict's sentence and figures. */
#ifndef FUSION_MIXCHECK_REPORT_H
#define FUSION_MIXCHECK_REPORT_H

#include <fusion/verdict.h>

/** Fills accuracy, its bound, and the sentence `reason` from the counts and `accepted`. */
void verdict_explain(fusion_verdict *verdict);

/** Fills the accuracy and bounds of the audit whose counts the verdict has, and those of its classes, [class_count], of
 * which the counts are there; the verdict borrows them. After verdict_explain. */
void verdict_rate_audit(fusion_verdict *verdict, fusion_verdict_class *classes);

#endif
