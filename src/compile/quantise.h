/** From a graph and calibration samples to a model: scales, integer weights, rings. */
#ifndef FUSION_COMPILE_QUANTISE_H
#define FUSION_COMPILE_QUANTISE_H

#include "compile/calibrate.h"

struct quantise_options {
  unsigned weight_bits;     /* 2..16; 0: searched, for each layer */
  unsigned activation_bits; /* signed width of what steps exchange, 4..16; 0: searched, for each tensor */
  unsigned input_bits;      /* 2..16; 0: the activation width, at least 9 (bytes stay exact) */
  unsigned output_bits;     /* of the last tensor, 2..32; 0: 16 */
  unsigned margin_bits;     /* room above the calibrated ranges where overflow is 0 or samples are few, 0..8 */
  double overflow;          /* probability for a sample that any ring overflows, estimated, to be allowed, 0..0.1 */
  double agreement;         /* share of samples whose argmax the search must keep, expected, 0..1 */
  double accuracy_loss;     /* accuracy that a test of 1,000 samples may lose, with 95 % confidence, 0..1 */
  double logit_error;       /* root mean square error of the logits, relative to their spread, that the search allows */
  const int64_t *labels; /* [samples], or NULL; then the search also keeps the samples' accuracy, within half a point */
  bool equalise;         /* with given widths only where it errs less */
  bool single_input_scale; /* never units for each feature of the input */
  bool step_errors;        /* measure each step's error too */
  enum program_output output;
  uint32_t top_k;
  struct defence defence; /* what the end of the graph is (graph_defend, its rounding refined by defence_finer()) */
  uint32_t defended;      /* the graph node of the network's own outputs */
  bool classes;           /* the outputs are classes, of which one is true */
  enum program_rounding rounding;
  unsigned threads; /* 0: every core */
  /* Bytes that a private run of the model sends for a sample, which the search makes few; it may choose the engine's
   * parameters in the model. NULL: ring bits times elements. */
  fusion_status (*cost)(void *context, struct model *model, double *bytes);
  void *context;
};

/** The defaults: searched widths, overflow 1e-3, margin 2, agreement 0.9, accuracy loss 0.005, logit
 * error 1/16, equalisation, logits, exact. */
struct quantise_options quantise_defaults(void);

/** What a step adds to the mean square error of the logits, relative to their spread (estimated, where widths were
 *  searched): by rounding its values, and by rounding the weights before it. */
struct quantise_step_report {
  double value_error, weight_error;
  double error;    /* measured where the options ask for it: root mean square error of its values, all steps before it
                      included, relative to the float values' spread about each sample's mean; 0 where they have none */
  double overflow; /* estimated probability for a sample; 0: no input can */
  bool guaranteed; /* no input can overflow it */
};

struct quantise_report {
  unsigned weight_bits, activation_bits;         /* the widest */
  double mean_weight_bits, mean_activation_bits; /* over weights, over hidden values */
  size_t samples;                                /* calibration samples */
  double agreement;                              /* share of them with the float network's argmax */
  double expected, expected_error;               /* the same, expected of others (likeness_foresee), +- one deviation */
  double loss;                                   /* accuracy expected to be lost */
  double loss_bound;                             /* a test of 1,000 samples loses no more, with 95 % confidence */
  double logit_error;                            /* relative, as above */
  double logit_deviation;                        /* largest deviation of a logit from the float network's, real */
  double overflow;                               /* estimated probability for a sample */
  size_t trees, guaranteed;                      /* accumulators, and how many of them no input can overflow */
  bool enough;                                   /* all are within the limits of the options */
  uint32_t worst;                                /* where not: the step whose values err most beside what it reads */
  size_t features, constants, first_constant;    /* an input that is a row of features: how many, and never changing */
  unsigned candidates;                           /* models that were tried */
  uint64_t tolerance; /* rounding fast: units by which the logits of two honest runs of a sample differ but with
                         probability 1e-6, estimated; else 0 */
  struct quantise_step_report *steps; /* owned by the caller (mem_free): one for each step of the program */
};

/** Returns owned (model_free). `input` [samples][input size], at least one sample. The program's preprocess is left at
 * "none"; no sections. FUSION_E_UNSUPPORTED, FUSION_E_UNREACHABLE (rings too wide), FUSION_E_MODEL, FUSION_E_MEMORY.
 */
fusion_status quantise_graph(struct model **out, const struct graph *graph, const float *input, size_t samples,
                             const struct quantise_options *options, struct quantise_report *report,
                             fusion_error *err) FUSION_MUST_CHECK;

#endif
