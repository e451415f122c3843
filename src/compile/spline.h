/** Tables of functions for LOOKUP steps: plain ones where they are small, else straight pieces. */
#ifndef FUSION_COMPILE_SPLINE_H
#define FUSION_COMPILE_SPLINE_H

#include "graph/activation.h"
#include "program/program.h"

struct spline {
  struct activation_use use;
  double low, high; /* the argument's range; the function goes on flat below `least` */
  double least;
  double in_unit;  /* real value of a step of the table's argument, which is 0 at `low` */
  double out_unit; /* what the values are rounded to later: pieces are as few as keep within half of it. Of a function
                      in steps: what the table's own values are multiples of */
};

/** Fills `table`; *unit: the real value of one unit of what it gives, out_unit over a power of two. False when the
 * range has more than 2^PROGRAM_TABLE_BITS steps. */
bool spline_make(struct program_table *table, double *unit, const struct spline *s);

#endif
