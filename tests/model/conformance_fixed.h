/** A conformance case in fixed point, against the error that its program predicts. */
#ifndef FUSION_TESTS_MODEL_CONFORMANCE_FIXED_H
#define FUSION_TESTS_MODEL_CONFORMANCE_FIXED_H

#include "graph/graph.h"
#include "program/program.h"

struct fixed_result {
  bool compiled;
  double error, bound, top; /* of the logits: largest error, largest that the program allows, largest magnitude */
  double own_error;         /* largest beside the float network on the rounded inputs that the program reads */
  double input_unit;
  char why[256]; /* not compiled: the reason */
};

/** Largest error that the program's widths and scales allow on its last tensor, in real units. For each step: half a
 * unit for every rounding, the errors of what it reads passed on, and half a unit of every weight times the largest
 * value that `seen` [step] has there. A comparison is right where nothing that it reads comes as near to 0 as that may
 * be wrong; else it may be off by 1. */
struct step_seen {
  double top, nearest; /* largest and smallest |value| */
};
/** `rounding`: largest error of the input's integers. */
double program_predicted_error(const struct model *m, const struct step_seen *seen, double rounding);

/** Compiles the graph with these samples as calibration and runs them. */
struct fixed_result fixed_run(struct graph *g, const float *input, size_t samples);

#endif
