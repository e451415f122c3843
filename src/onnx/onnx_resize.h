/** What the files of Resize and Upsample share. */
#ifndef FUSION_ONNX_ONNX_RESIZE_H
#define FUSION_ONNX_ONNX_RESIZE_H

#include "onnx/onnx_layout.h"

/** What the operator asks for, for every axis. Numbers are in single precision, as in the reference implementations:
 * which neighbour is the nearest depends on the rounding. */
struct resize {
  char mode[16], coordinates[32], nearest[24], policy[24];
  bool old;  /* Upsample, and Resize before operator set 11 */
  bool crop; /* coordinates are those of a region of the input; outside of the input lies `fill` */
  float fill;
  uint32_t count; /* axes that are resized */
  uint32_t axes[MAX_RANK];
  float scales[MAX_RANK]; /* all axes; 1 where nothing is resized */
  uint32_t sizes[MAX_RANK];
  float from[MAX_RANK], to[MAX_RANK]; /* the region, in parts of the input */
};

/** The place that output index o of axis k reads, before rounding. `in`: the axis's size. */
float resize_place(const struct resize *r, uint32_t k, float o, float in);

/* onnx_interpolate.c */
/** Modes linear and cubic. */
fusion_status resize_interpolate(struct call *c, const struct resize *r, bool cubic);

#endif
