/** The lowered network: the program's steps with real weights, between the graph (what the file said) and the program
 * (integers). A node's real value is that of a graph node, its `origin`; SUMPOOL's is the average, its divisor living
 * in the scale. */
#ifndef FUSION_COMPILE_NETWORK_H
#define FUSION_COMPILE_NETWORK_H

#include "graph/graph.h"
#include "program/operators.h"

/** What a threshold divides: the largest calibrated value below it and the smallest that is not. */
struct threshold {
  double below, above; /* infinite where there is none */
};

struct network_node {
  enum program_op op;
  char name[MODEL_NAME_LEN];
  struct shape shape;
  uint32_t input_count;
  uint32_t *inputs; /* owned */
  struct window window;
  uint32_t groups;
  float *weights;               /* owned. LINEAR */
  float *bias;                  /* owned. LINEAR, OFFSET: always there */
  bool negate;                  /* OFFSET */
  bool transpose;               /* MATMUL */
  bool sum;                     /* SUMPOOL: the sum itself; a TRUNCATE is the next node and its only reader */
  struct activation_use use;    /* LOOKUP; a TRUNCATE is the next node and its only reader, or it has a `step` */
  double table_low, table_high; /* LOOKUP: what 0 and the largest argument stand for */
  double table_least;           /* LOOKUP: the function is flat below */
  double span;                  /* largest magnitude, where it is known and `origin` has other values; 0 elsewhere */
  uint8_t octaves;              /* additional bits that its class gets: values of many sizes count alike */
  struct gather_source *gather; /* owned. GATHER */
  uint32_t origin;              /* graph node with the same real values */
  bool rectified;               /* its range counts as that of max(origin, 0): a Relu follows */
  int64_t twin;                 /* graph node whose values these are; below 0: none, a step within an operator */
  bool whole;                   /* clean: whole numbers, 0 or 1 and what is made of them; `step` is 1 */
  struct threshold *thresholds; /* owned: [channels]. LINEAR of one weight a row, 1 or -1, that a COMPARE reads */
  uint8_t raw_terms;            /* linear outputs that it is the sum of; 0: clean */
  float step;                   /* clean: the grid that the file quantises these values to; 0 when it does not.
                                   LOOKUP: the unit of a table in steps, which nothing truncates */
  float *low, *high, *mean;     /* owned: calibrated range and average of each channel; NULL before calibration */
  double *factor;               /* owned: what equalisation multiplied each channel by; NULL: nothing */
};

/** The operator's row. */
static inline const struct program_operator *node_operator(const struct network_node *d) {
  return program_operator(d->op);
}
static inline bool node_is_raw(const struct network_node *d) {
  return d->raw_terms > 0;
}

struct network {
  struct network_node *nodes;
  uint32_t count, capacity;
  uint32_t parted;                            /* tensors that network_lower() gave a scale of their own */
  uint32_t logits;                            /* graph node whose values the answers are made of */
  bool softmax, log_softmax, sigmoid, argmax; /* what the graph ended in */
  struct input_units input_units;             /* that the first layers undo; none before network_fold_input */
};

/** A layer that a COMPARE reads: makes the weights of a row that has one alone 1 or -1, and such a layer one of
 * thresholds. */
fusion_status network_find_thresholds(struct network *n, uint32_t node) FUSION_MUST_CHECK;
/** Finds what the thresholds of the input divide. input [samples][input size]. */
void network_set_thresholds(struct network *n, const float *input, size_t samples);
/** The smallest distance between values of the input on the two sides of a threshold: a unit below it tells all apart.
 * Infinite without thresholds. */
double network_threshold_gap(const struct network *n);
/** The largest magnitude that calibration saw of a node's values. */
double network_node_magnitude(const struct network_node *d);

/** What calibration saw: [graph node] -> [channels]. */
struct network_ranges {
  float *const *low, *const *high, *const *mean;
};

/** Which tensors keep a scale of their own where an addition or a concatenation would give them that of a much larger
 * one. */
enum network_parting { PART_NONE, PART_FACTORS /* factors of products */, PART_ALL };

/** Graph to network: raw and clean tensors told apart, truncations inserted where a clean tensor is needed, Relu put
 *  behind a MaxPool that shrinks, average pools as sums, affine maps as offsets where they only add a
 *  constant to x or -x, else as depthwise layers, functions as tables. `graph` must be valid. `ranges` may be NULL for
 * a graph without functions whose range calibration shows. Small tensors go through a
 * layer of ones where they are kept `apart`; out->parted says how many do. */
fusion_status network_lower(struct network *out, const struct graph *graph, const struct network_ranges *ranges,
                            enum network_parting apart, fusion_error *err) FUSION_MUST_CHECK;
void network_free(struct network *n);

/** Takes each channel's range and average from the graph's. */
fusion_status network_set_ranges(struct network *n, const struct graph *graph,
                                 const struct network_ranges *ranges) FUSION_MUST_CHECK;

/** Rescales channels between layers so that small ones use the ranges of weights and activations better; the network's
 *  real outputs stay as they are (Relu is positively homogeneous). Needs ranges. Source: Nagel et al., "Data-free
 *  quantization through weight equalization and bias correction", ICCV 2019, sec. 4.1; here over groups of channels
 * that additions and concatenations tie together, and bounded by the activations' ranges. */
fusion_status network_equalise(struct network *n) FUSION_MUST_CHECK;

/** Gives each feature or channel of the input a unit of its own and undoes it in the layers that read it, where they
 * are all linear and the samples ([samples][input size]) show ranges that differ; else does nothing. Needs ranges,
 * renews those of the input. */
fusion_status network_fold_input(struct network *n, const float *input, size_t samples) FUSION_MUST_CHECK;

#endif
