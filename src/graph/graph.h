/** model: from an ONNX file to a program of integer steps, its plaintext meaning, and the .fsn file. No cryptography
 * here. This file: the graph of a network after import: float weights, per-sample shapes, few operators.
 *
 *  A tensor is [channels][height][width] per sample (the batch leads and is not part of the shape); a feature vector is
 *  [features][1][1]; flattening is in that order, so Flatten and most Reshapes move nothing. */
#ifndef FUSION_GRAPH_GRAPH_H
#define FUSION_GRAPH_GRAPH_H

#include "graph/activation.h"
#include "program/class_labels.h"
#include "program/defence.h"
#include "program/shape.h"

enum graph_op {
  GRAPH_INPUT,
  GRAPH_LINEAR,  /**< convolution with groups and bias; dense is the 1x1 case on [features][1][1] */
  GRAPH_AFFINE,  /**< y = scale[c] * x + bias[c] per channel (BatchNormalization that could not be folded, constants) */
  GRAPH_ADD,     /**< x + y, same shape */
  GRAPH_MUL,     /**< x * y elementwise, same shape; both inputs may be one tensor (square) */
  GRAPH_MATMUL,  /**< a product of matrices for each channel: [height][width] times [height][width], or `transpose` */
  GRAPH_RELU,    /**< max(x, 0) */
  GRAPH_MAXPOOL, /**< padding never wins */
  GRAPH_AVGPOOL, /**< `count_pad`: padding counts in the divisor */
  GRAPH_GATHER,  /**< any fixed rearrangement: Concat, Slice, Pad with 0, Transpose, Split, Gather */
  GRAPH_SOFTMAX, /**< last only; the client applies it */
  GRAPH_ARGMAX,  /**< last only */
  GRAPH_SIGMOID, /**< last only; the client applies it, to each output by itself */
  GRAPH_QUANTISE,   /**< y = step * min(max(x / step to the nearest whole, even ones at ties, low), high): the grid and
                       range that the file quantises a tensor to */
  GRAPH_ACTIVATION, /**< a function of each element: activation.h */
  GRAPH_COMPARE,    /**< 1 where x >= 0, else 0 */
};

struct graph_node {
  enum graph_op op;
  char name[MODEL_NAME_LEN];
  struct shape shape; /* of the output */
  uint32_t input_count;
  uint32_t *inputs;             /* owned: node numbers, all below this node's own (topological order) */
  struct window window;         /* LINEAR, MAXPOOL, AVGPOOL */
  uint32_t groups;              /* LINEAR */
  bool count_pad;               /* AVGPOOL */
  bool sum;                     /* AVGPOOL: no divisor; without padding */
  bool transpose;               /* MATMUL: times the transpose of the second */
  bool log;                     /* SOFTMAX: logarithms of the probabilities */
  struct activation_use use;    /* ACTIVATION */
  float step;                   /* QUANTISE: positive. INPUT: 1 where all samples are whole numbers, else 0 */
  int32_t low, high;            /* QUANTISE: low <= 0 <= high */
  bool keep_low, keep_high;     /* QUANTISE: fixed point has to cut the values there (see graph_relax_limits) */
  float *weights;               /* owned. LINEAR: [out][in/groups][kernel_h][kernel_w]; AFFINE: [channels] scales */
  float *bias;                  /* owned. LINEAR, AFFINE: [out channels], or NULL for zero */
  uint8_t more_bits;            /* ADD: of its clean tensor beyond other tensors', where masks make its range long */
  struct gather_source *gather; /* owned. GATHER: one per output element */
};

/** node[0] is the single input; the last node is the output. */
struct graph {
  struct graph_node *nodes;
  uint32_t count, capacity;
  uint32_t tokens; /* not 0: the input is a row of tokens below it, as columns of zeros and a one: [tokens][1][count] */
  uint32_t numbers;           /* beside tokens: the last channels hold so many numbers, and zeros behind them */
  uint32_t numbers_first;     /* of them, those before the tokens in a sample */
  struct class_labels labels; /* owned: what the file calls its classes */
  char note[160];             /* what the file's answers have and the graph's lack; empty when they are the same */
};

/** An empty graph, NULL when memory is out. graph_free takes NULL too. */
struct graph *graph_alloc(void);
void graph_free(struct graph *g);
/** Frees what a node owns. */
void graph_node_clear(struct graph_node *n);

/** Appends a node whose number is g->count - 1 after the call. `name` and `inputs` are copied. Preset, for the caller
 * to change: shape = that of the first input, window 1x1 with strides and dilations 1, groups 1. The pointer lives
 * until the next append. NULL when memory is out or an input is no earlier node. */
struct graph_node *graph_add_node(struct graph *g, enum graph_op op, const char *name, const uint32_t *inputs,
                                  uint32_t input_count);

/** The same with everything that the operator needs; weights, bias (may be NULL) and gather are copied.
 *  FUSION_E_MODEL when the sizes do not fit each other, FUSION_E_MEMORY. The number goes to *index (may be NULL). */
fusion_status graph_add_input(struct graph *g, struct shape shape, uint32_t *index) FUSION_MUST_CHECK;
struct graph_linear_spec {
  const char *name;
  uint32_t input, out_channels, groups;
  struct window window;
  const float *weights; /* [out][in/groups][kernel_h][kernel_w] */
  float *taken;         /* instead of `weights`: the node's own from success on (mem_free) */
  const float *bias;
};
fusion_status graph_add_linear(struct graph *g, const struct graph_linear_spec *spec,
                               uint32_t *index) FUSION_MUST_CHECK;
/** Linear layer on [features][1][1]: weights [out][features]. */
fusion_status graph_add_dense(struct graph *g, uint32_t input, uint32_t out, const float *weights, const float *bias,
                              uint32_t *index) FUSION_MUST_CHECK;
fusion_status graph_add_affine(struct graph *g, uint32_t input, const float *scale, const float *bias,
                               uint32_t *index) FUSION_MUST_CHECK;
/** MAXPOOL or AVGPOOL (padding does not count). */
fusion_status graph_add_pool(struct graph *g, enum graph_op op, uint32_t input, struct window window,
                             uint32_t *index) FUSION_MUST_CHECK;
/** RELU, COMPARE, SOFTMAX, ARGMAX, SIGMOID. */
fusion_status graph_add_unary(struct graph *g, enum graph_op op, uint32_t input, uint32_t *index) FUSION_MUST_CHECK;
fusion_status graph_add_quantise(struct graph *g, uint32_t input, float step, int32_t low, int32_t high,
                                 uint32_t *index) FUSION_MUST_CHECK;
fusion_status graph_add_activation(struct graph *g, uint32_t input, struct activation_use use,
                                   uint32_t *index) FUSION_MUST_CHECK;
/** ADD, MUL. */
fusion_status graph_add_binary(struct graph *g, enum graph_op op, uint32_t left, uint32_t right,
                               uint32_t *index) FUSION_MUST_CHECK;
fusion_status graph_add_matmul(struct graph *g, uint32_t left, uint32_t right, bool transpose,
                               uint32_t *index) FUSION_MUST_CHECK;
struct graph_gather_spec {
  const char *name;
  const uint32_t *inputs;
  uint32_t input_count;
  struct shape shape;
  const struct gather_source *sources; /* one per element of the output */
};
fusion_status graph_add_gather(struct graph *g, const struct graph_gather_spec *spec,
                               uint32_t *index) FUSION_MUST_CHECK;
/** The same values in the same order under another shape of equal size. */
fusion_status graph_add_reshape(struct graph *g, uint32_t input, struct shape shape, uint32_t *index) FUSION_MUST_CHECK;

/** "LINEAR", "MAXPOOL", ... */
const char *graph_op_name(enum graph_op op);

/** Structural check: topology, sizes of every array against shapes, window results, SOFTMAX, SIGMOID and ARGMAX last.
 */
fusion_status graph_validate(const struct graph *g, fusion_error *err) FUSION_MUST_CHECK;

/** QUANTISE nodes: drops the limits that no value of these samples goes beyond, so that fixed point need not compare
 *  there. The float reference keeps them. FUSION_E_MEMORY, FUSION_E_RESOURCE. */
fusion_status graph_relax_limits(struct graph *g, const float *input, size_t samples) FUSION_MUST_CHECK;

/** Makes constants that mask scores of softmaxes as small as these samples allow (graph_mask.c). FUSION_E_INPUT when a
 *  sample masks everything, FUSION_E_MEMORY, FUSION_E_RESOURCE. */
fusion_status graph_fit_masks(struct graph *g, const float *input, size_t samples, fusion_error *err) FUSION_MUST_CHECK;

/** Float reference: input [samples][input size], output [samples][output size] (ARGMAX: the index as float). Any number
 * of threads gives the same result. `observe` (may be NULL) sees every node's output for each sample, for calibration:
 * one call at a time, samples in order and within each the nodes in order. FUSION_E_MEMORY, FUSION_E_RESOURCE. */
typedef void (*graph_observer)(void *context, uint32_t node, size_t sample, const float *values, size_t count);
fusion_status graph_run(const struct graph *g, const float *input, size_t samples, float *output,
                        graph_observer observe, void *context) FUSION_MUST_CHECK;

/** Of a network whose input is tokens, which one layer alone reads: makes the input what the layer gives, and *table
 * the layer's, [tokens][channels], owned by the caller. FUSION_E_UNSUPPORTED, FUSION_E_MEMORY. */
fusion_status graph_publish_embeddings(struct graph *g, float **table, fusion_error *err) FUSION_MUST_CHECK;

/** Makes the answers those of a defence: puts it behind the node that answers are made of, whose number goes to
 *  *outputs; a final SOFTMAX, SIGMOID or ARGMAX gives way. *classes: the outputs are classes, of which one is true;
 * else each counts by itself. FUSION_E_USAGE for numbers that defence_check() refuses, FUSION_E_UNSUPPORTED,
 * FUSION_E_MEMORY.
 */
fusion_status graph_defend(struct graph *g, const struct defence *defence, uint32_t *outputs, bool *classes,
                           fusion_error *err) FUSION_MUST_CHECK;

/** A rounded answer in units of 10^-digits * 2^-finer: on the coarse grid, coarser inner values would seem to change
 * nothing. `finer` 0: the answer itself. Nothing where `defence` does not round. */
void graph_refine_rounding(struct graph *g, const struct defence *defence, unsigned finer);

/** The node that answers are made of: the last, or what a final SOFTMAX, SIGMOID or ARGMAX reads. */
uint32_t graph_logits(const struct graph *graph);

/** Rewrites to fewer, cheaper nodes of the same meaning; keeps what `output` needs, which becomes the last node. */
fusion_status graph_simplify(struct graph *g, uint32_t output) FUSION_MUST_CHECK;

#endif
