/** From a graph and calibration samples to a model: scales, integer weights, rings. */
#ifndef FUSION_MODEL_QUANTISE_H
#define FUSION_MODEL_QUANTISE_H

#include "model/calibrate.h"

struct quantise_options {
  unsigned weight_bits;     /* 2..16; 0: searched, together with activation_bits */
  unsigned activation_bits; /* signed width of what steps exchange, 4..16; 0: searched */
  unsigned input_bits;      /* 2..16; 0: the activation width, at least 9 (bytes stay exact) */
  unsigned output_bits;     /* of the last tensor, 2..32; 0: 16 */
  unsigned margin_bits;     /* room above the calibrated ranges, 0..8 */
  double agreement;         /* share of calibration samples whose argmax the search must keep, 0..1 */
  double logit_error;       /* root mean square error of the logits, relative to their spread, that the search allows */
  bool equalise;
  enum plan_output output;
  uint32_t top_k;
  enum plan_rounding rounding;
  unsigned threads; /* 0: every core */
};

/** The defaults: searched widths, margin 2, agreement 0.995, logit error 1/16, equalisation, logits, exact. */
struct quantise_options quantise_defaults(void);

struct quantise_report {
  unsigned weight_bits, activation_bits;
  size_t samples;      /* calibration samples */
  double agreement;    /* share of them with the float network's argmax */
  double logit_error;  /* relative, as above */
  bool enough;         /* both are within the limits of the options */
  unsigned candidates; /* pairs of widths that were tried */
};

/** Returns owned (model_free). `input` [samples][input size], at least one sample. The plan's preprocess is left at
 * "none"; rlwe_set at 0. FUSION_E_UNSUPPORTED, FUSION_E_UNREACHABLE (rings too wide), FUSION_E_MODEL, FUSION_E_MEMORY.
 */
fusion_status quantise_graph(struct model **out, const struct graph *graph, const float *input, size_t samples,
                             const struct quantise_options *options, struct quantise_report *report,
                             fusion_error *err) FUSION_MUST_CHECK;

#endif
