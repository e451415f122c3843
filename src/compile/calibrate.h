/** Calibration: what the float network does on sample inputs. Ranges choose scales; logits judge the fixed-point
 * result. */
#ifndef FUSION_COMPILE_CALIBRATE_H
#define FUSION_COMPILE_CALIBRATE_H

#include "compile/network.h"

struct calibration {
  uint32_t nodes;              /* of the graph */
  float **low, **high, **mean; /* owned: [node][channel] */
  float *logits;               /* owned: [samples][logit_count] */
  float *chances;              /* owned: the same, where probabilities are the softmax of other values; else NULL */
  size_t samples, logit_count;
};

/** Runs the graph on input [samples][input size]. `logits` is the graph node that answers are made of, `chances` the
 * one whose softmax is the network's probabilities: the same, or what a defence hides. */
fusion_status calibrate(struct calibration *out, const struct graph *graph, uint32_t logits, uint32_t chances,
                        const float *input, size_t samples) FUSION_MUST_CHECK;
void calibration_free(struct calibration *c);

#endif
