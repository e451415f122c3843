/** The operators of the ONNX importer, shared by the onnx_*.c files: each turns a call into constants or graph nodes.
 */
#ifndef FUSION_ONNX_ONNX_OPS_H
#define FUSION_ONNX_ONNX_OPS_H

#include "reader/onnx_import.h"

/* onnx_input.c */
/** Gives the inputs that the answer depends on their values: one, or several as parts of a row. */
fusion_status import_input(struct importer *im, const struct importer *needed) FUSION_MUST_CHECK;

/* onnx.c */
/** Reads a node: constants are computed, or the graph grows. */
fusion_status import_node(struct importer *im, const Onnx__NodeProto *node) FUSION_MUST_CHECK;

/* onnx_loop.c */
fusion_status op_loop(struct call *c);
fusion_status op_scan(struct call *c);

/* onnx_layout.c */
/** The graph's shape for dimensions: the leading 1 dropped, then [c], [c, w] or [c, h, w]; more are merged. */
struct shape dims_shape(const struct dims *d);
/** A node that holds `v` under the given shape (equal size). */
fusion_status value_view(struct call *c, const struct value *v, struct shape shape, uint32_t *node);
/** `v` repeated along dimensions of 1 up to `dims`. */
fusion_status value_expand(struct call *c, const struct value *v, const struct dims *dims, struct value *out);
/** Axes permuted. */
fusion_status value_transpose(struct call *c, const struct value *v, const uint32_t *perm, struct value *out);
fusion_status op_reshape(struct call *c);
fusion_status op_flatten(struct call *c);
fusion_status op_squeeze(struct call *c);
fusion_status op_unsqueeze(struct call *c);
fusion_status op_identity(struct call *c);
fusion_status op_transpose(struct call *c);
fusion_status op_slice(struct call *c);
fusion_status op_split(struct call *c);
fusion_status op_gather(struct call *c);
/** A constant table's rows for the network's tokens: a layer; of a pair: a line. */
fusion_status op_embedding(struct call *c);
/** Entries of the tables that alone read the input `name`, by Gather along their first axis; 0 when anything else reads
 * it, or their sizes differ. */
uint32_t tokens_count(const struct importer *im, const char *name);
fusion_status op_pad(struct call *c);
fusion_status op_expand(struct call *c);
fusion_status op_tile(struct call *c);
fusion_status op_concat(struct call *c);
fusion_status op_depth_to_space(struct call *c);
fusion_status op_space_to_depth(struct call *c);

/* onnx_elements.c */
fusion_status op_trilu(struct call *c);
fusion_status op_gather_elements(struct call *c);

/* onnx_fold.c: constants only */
fusion_status fold_binary(const struct call *c, const char *op, const struct tensor *a, const struct tensor *b,
                          struct tensor **out);
fusion_status op_constant(struct call *c);
fusion_status op_constant_of_shape(struct call *c);
fusion_status op_shape(struct call *c);
fusion_status op_size(struct call *c);
fusion_status op_range(struct call *c);
fusion_status op_fold_binary(struct call *c);
fusion_status op_fold_unary(struct call *c);
fusion_status op_where(struct call *c);
fusion_status op_cast(struct call *c);
fusion_status op_cast_like(struct call *c);

/* onnx_math.c: arithmetic on activations */
/** One operand pair: Add, Sub, Mul, Div. Either side may be constant. */
fusion_status value_binary(struct call *c, char op, const struct value *a, const struct value *b, struct value *out);
/** y = scale * x + bias for every element. */
fusion_status value_scale(struct call *c, const struct value *x, double scale, double bias, struct value *out);
/** |x| = 2 relu(x) - x. */
fusion_status value_abs(struct call *c, const struct value *x, struct value *out);
fusion_status value_relu(struct call *c, const struct value *x, struct value *out);
/** x^power of a power from 1 on. */
fusion_status value_whole_power(struct call *c, const struct value *x, unsigned power, struct value *out);
fusion_status op_binary(struct call *c);
fusion_status op_sum(struct call *c);
fusion_status op_pow(struct call *c);
fusion_status op_neg(struct call *c);
fusion_status op_relu(struct call *c);
fusion_status op_clip(struct call *c);
fusion_status op_leaky_relu(struct call *c);
fusion_status op_prelu(struct call *c);
fusion_status op_hard_sigmoid(struct call *c);
fusion_status op_max_min(struct call *c);
fusion_status op_abs(struct call *c);
fusion_status op_dropout(struct call *c);

/* onnx_logic.c: comparisons and logic on activations */
fusion_status op_compare(struct call *c);
fusion_status op_logic(struct call *c);
fusion_status op_not(struct call *c);
fusion_status op_sign(struct call *c);
/** The node holds whole numbers, whatever the sample. */
bool value_is_whole(const struct graph *g, uint32_t node);
/** Whether whole numbers differ from 0. */
fusion_status op_to_truth(struct call *c);
fusion_status op_choose(struct call *c);

/* onnx_activation.c: functions by tables */
fusion_status value_activation(struct call *c, const struct value *x, struct activation_use use, struct value *out);
/** x^power, x > 0; of a power one power. */
fusion_status value_power(struct call *c, const struct value *x, double power, struct value *out);
fusion_status op_activation(struct call *c);
fusion_status op_log(struct call *c);
fusion_status op_elu(struct call *c);
fusion_status op_softplus(struct call *c);
fusion_status op_swish(struct call *c);
fusion_status op_gelu(struct call *c);
fusion_status op_mish(struct call *c);
fusion_status op_hard_swish(struct call *c);
fusion_status op_softsign(struct call *c);
/** Sigmoids that other layers follow: tables, too. */
void sigmoids_inside(struct graph *g);

/* onnx_fuse.c */
/** What a node is of another: scale * inner + bias, the same for all channels. */
struct line {
  uint32_t inner;
  double scale, bias;
};
struct line line_of(const struct graph *g, uint32_t node);
/** The argument x of a power or logarithm, where it is a line of an average: the sum instead, whose unit is finer and
 *  costs no layer; the divisor goes into the use's stretch. */
fusion_status value_sum_for_mean(struct call *c, struct value *x, struct activation_use *use);
/** x * sigmoid(x), Gelu, Mish and the like, where the product a * b is one; *done says whether it was. */
fusion_status value_fused(struct call *c, const struct value *a, const struct value *b, struct value *out, bool *done);

/* onnx_linear.c */
fusion_status op_gemm(struct call *c);
fusion_status op_matmul(struct call *c);
fusion_status op_conv(struct call *c);
fusion_status op_batch_norm(struct call *c);

/* onnx_recurrent.c */
fusion_status op_recurrent(struct call *c);

/** x [.., in] times a constant of in * out numbers as [in][out], along the last dimension. */
fusion_status value_times_constant(struct call *c, const struct value *x, const struct tensor *w, struct value *out);

/* onnx_matmul.c: products of activations */
/** a [.., m, k] times b [.., k, n], leading dimensions broadcast. */
fusion_status value_matmul(struct call *c, const struct value *a, const struct value *b, struct value *out);
fusion_status op_einsum(struct call *c);

/* onnx_pool.c */
/** The shape [C][H][W] of an activation [1, C, ...]; refuses others. */
fusion_status call_spatial(const struct call *c, const struct value *v, struct shape *out);
/** Window from kernel_shape, strides, pads, dilations, auto_pad; ceil_mode lengthens the trailing padding, told in
 *  `overhang` (rows, columns). */
fusion_status call_window(const struct call *c, const struct value *v, const uint32_t kernel[2], struct window *w,
                          uint32_t overhang[2]);
fusion_status op_pool(struct call *c);
fusion_status op_global_pool(struct call *c);
fusion_status op_reduce(struct call *c);
fusion_status op_sigmoid(struct call *c);

/* onnx_reduce.c */
enum reduce { REDUCE_MEAN, REDUCE_SUM, REDUCE_MAX };
/** Along the marked axes, which become 1. */
fusion_status value_reduce(struct call *c, enum reduce kind, const struct value *x, const bool axis[MAX_RANK],
                           struct value *out);

/* onnx_argmax.c */
fusion_status op_argmax(struct call *c);

/* onnx_normalise.c: rows less their average, over their size; softmax */
/** log(sum of exp(x)) along the marked axes, which become 1. */
fusion_status value_log_sum_exp(struct call *c, const struct value *x, const bool axis[MAX_RANK], struct value *out);
/** Softmaxes and ArgMaxes that other layers follow: what they are made of takes their place. FUSION_E_MEMORY. */
fusion_status ends_inside(struct graph *g) FUSION_MUST_CHECK;
fusion_status op_softmax(struct call *c);
/** Over all values of a sample, or its logarithm. */
fusion_status softmax_of_all(struct call *c, const struct value *x, bool log);
fusion_status op_layer_norm(struct call *c);
fusion_status op_group_norm(struct call *c);
fusion_status op_instance_norm(struct call *c);
fusion_status op_mean_variance_norm(struct call *c);
fusion_status op_lp_norm(struct call *c);

/* onnx_quant.c */
fusion_status op_quantize(struct call *c);
fusion_status op_dequantize(struct call *c);

/* onnx_resize.c */
fusion_status op_resize(struct call *c);
fusion_status op_conv_transpose(struct call *c);

/* onnx_ml.c: domain ai.onnx.ml */
/** How many features a row has; refuses what is no row. */
fusion_status ml_features(const struct call *c, const struct value *x, uint32_t *features);
/** Keeps the class labels of these attributes. `classes`: how many there are; 0 when the node does not say. */
fusion_status ml_take_labels(struct call *c, const char *numbers, const char *texts, size_t classes);
/** Output 0: the place of the best score. */
fusion_status ml_classifier_label(struct call *c, struct value x);
fusion_status op_scaler(struct call *c);
fusion_status op_linear_regressor(struct call *c);
fusion_status op_linear_classifier(struct call *c);
fusion_status op_normalizer(struct call *c);
fusion_status op_zip_map(struct call *c);

/* onnx_features.c: domain ai.onnx.ml */
fusion_status op_binarizer(struct call *c);
fusion_status op_imputer(struct call *c);
fusion_status op_feature_vectorizer(struct call *c);
fusion_status op_feature_extractor(struct call *c);
fusion_status op_one_hot(struct call *c);

/* onnx_round.c */
fusion_status op_round(struct call *c);

/* onnx_couple.c */
/** Probabilities of three classes from the three pairs' [.., 3]: of each the probability of its first class. */
fusion_status value_couple(struct call *c, const struct value *pairs, struct value *out);

/* onnx_svm.c: domain ai.onnx.ml */
fusion_status op_svm_regressor(struct call *c);
fusion_status op_svm_classifier(struct call *c);

/* onnx_trees.c: domain ai.onnx.ml */
fusion_status op_tree_classifier(struct call *c);
fusion_status op_tree_regressor(struct call *c);

/* onnx_tree_places.c: domain ai.onnx.ml */
fusion_status op_tree_ensemble(struct call *c);

/* onnx_tail.c */
/** Rewrites the end of a simplified graph where several nodes are one final layer. */
fusion_status tail_fold(struct graph *g) FUSION_MUST_CHECK;

#endif
