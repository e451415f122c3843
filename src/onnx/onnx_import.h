/** The inside of the ONNX importer, shared by the onnx_*.c files. The model is read as the function of one sample: the
 *  batch dimension becomes 1. A value is either a constant, which is computed away at once, or an activation: a node of
 *  the graph under construction together with the tensor's dimensions. Layout operators (Reshape, Transpose, Slice,
 * ...) are one mechanism for both: where each element comes from. */
#ifndef FUSION_ONNX_ONNX_IMPORT_H
#define FUSION_ONNX_ONNX_IMPORT_H

#include "graph/graph.h"
#include "onnx/onnx.pb-c.h"

enum { MAX_RANK = 8, MIN_OPSET = 6, MAX_OPSET = 23 };

/** Dimensions, leading one first. Constants may have a dimension of 0; activations may not. */
struct dims {
  uint32_t rank;
  uint32_t d[MAX_RANK];
};

size_t dims_size(const struct dims *d);
/** Product of d[from..to). */
size_t dims_span(const struct dims *d, uint32_t from, uint32_t to);
bool dims_equal(const struct dims *a, const struct dims *b);
/** Appends a dimension; false when the rank or the size limit is passed. */
bool dims_push(struct dims *d, uint64_t size);
/** NumPy broadcasting; false when the two do not fit. */
bool dims_broadcast(const struct dims *a, const struct dims *b, struct dims *out);

/** A constant: floats, or integers and truth values as int64. One of f and i is set. */
struct tensor {
  struct dims dims;
  int32_t type; /* the file's element type; 0 for what was computed */
  float *f;
  int64_t *i;
};

struct tensor *tensor_alloc(const struct dims *dims, bool integer);
void tensor_free(struct tensor *t);
double tensor_get(const struct tensor *t, size_t index);
void tensor_set(struct tensor *t, size_t index, double v);

/** What a name in the file stands for. */
struct value {
  char *name;              /* owned */
  struct tensor *constant; /* owned; NULL for an activation */
  uint32_t node;           /* activation: number in the graph */
  struct dims dims;        /* activation: its dimensions, the batch being 1 */
  bool batched;            /* activation: dimension 0 holds the batch, so no operator may look along it */
  bool integer;            /* activation: integers (ArgMax, integer inputs, quantised) */
  bool quantised;          /* between QuantizeLinear and DequantizeLinear: the node holds (q - zero) * step */
  double step, zero;
  size_t uses;                     /* in the table of what is needed: inputs that name it, one more for the answer */
  const Onnx__TypeProto *declared; /* in the same table: what the file says of it, NULL when nothing; borrowed */
};

struct importer {
  const char *path;
  char *owned_path;   /* owned: what `path` points to */
  const char *wanted; /* the tensor that is the answer; borrowed from owned_path or the model */
  fusion_error *err;
  Onnx__ModelProto *model;       /* owned */
  struct graph *g;               /* owned until handed over */
  const struct importer *needed; /* its table names all that the answer depends on */
  struct value **values;         /* owned: open-addressing table by name */
  size_t value_count, value_slots;
  int64_t opset;
  bool whole;     /* the first dimension is no batch */
  uint64_t batch; /* the batch size that the file fixes, 1 when it leaves it open */
};

/** One node of the file with its inputs looked up; an absent optional input is NULL. */
struct call {
  struct importer *im;
  const Onnx__NodeProto *node;
  struct value **in; /* owned array */
  size_t in_count;
};

/* onnx_file.c */
fusion_status onnx_load(struct importer *im);
/** May take the data out of `proto`. */
fusion_status tensor_from_proto(const struct importer *im, Onnx__TensorProto *proto, struct tensor **out);

/* onnx_call.c: errors, attributes, inputs, outputs */
/** FUSION_E_UNSUPPORTED with "'file': operator X: <what> (node 'name'); <remedy>". */
fusion_status call_refuse(const struct call *c, const char *remedy, const char *what, ...) FUSION_PRINTF(3, 4);
/** FUSION_E_MODEL in the same form: the file contradicts itself. */
fusion_status call_malformed(const struct call *c, const char *what);
fusion_status call_out_of_memory(const struct call *c);
const Onnx__AttributeProto *attr_find(const struct call *c, const char *name);
int64_t attr_int(const struct call *c, const char *name, int64_t preset);
double attr_float(const struct call *c, const char *name, double preset);
/** Number of values; *out borrowed. 0 when absent. */
size_t attr_ints(const struct call *c, const char *name, const int64_t **out);
/** Text of at most capacity - 1 characters; empty when absent. */
void attr_string(const struct call *c, const char *name, char *out, size_t capacity);
/** The input, NULL when absent. */
struct value *call_input(const struct call *c, size_t index);
/** The constant that an input holds, NULL when absent or not constant. */
const struct tensor *call_constant(const struct call *c, size_t index);
/** Integers from an attribute (older opsets) or from a constant input (newer): up to MAX_RANK of them. *count =
 * SIZE_MAX when neither is given. */
fusion_status call_integers(const struct call *c, const char *attr, size_t input, int64_t out[MAX_RANK], size_t *count);
/** An axis counted from either end, within [0, rank). */
bool axis_fix(int64_t axis, uint32_t rank, uint32_t *out);
bool call_uses_output(const struct call *c, size_t index);
/** Gives an output its value; a constant is taken over, also when this fails. */
fusion_status call_set(struct call *c, size_t output, const struct value *v);
fusion_status call_set_constant(struct call *c, size_t output, struct tensor *owned);
fusion_status importer_define(struct importer *im, const char *name, const struct value *v);
struct value *importer_find(const struct importer *im, const char *name);
void importer_clear(struct importer *im);
/** How many inputs name a tensor, the answer counted as one. */
size_t importer_uses(const struct importer *im, const char *name);
/** Whether the answer depends on this tensor. */
bool importer_needs(const struct importer *im, const char *name);
/** Maps a failed graph_add_* into an error that names the node. */
fusion_status call_added(const struct call *c, fusion_status status);
/** Copies the file's node name onto the graph's last node. */
void call_name_node(const struct call *c, uint32_t index);
/** One line for a name from the file: printable and short. */
void name_for_print(char out[64], const char *name);

/* onnx_output.c */
/** Sets path, and `wanted` when `path` is "FILE:TENSOR". */
fusion_status output_split(struct importer *im, const char *path) FUSION_MUST_CHECK;
/** Chooses `wanted` where it is not given, and puts the names of all that it depends on into the table of `needed`. */
fusion_status output_find_needed(struct importer *im, struct importer *needed) FUSION_MUST_CHECK;
/** FUSION_E_MODEL when a shape that was computed is not the one that the file declares. */
fusion_status output_check_shapes(const struct call *c) FUSION_MUST_CHECK;
bool output_is_needed(const struct importer *needed, const Onnx__NodeProto *node);
/** The graph node of the answer. */
fusion_status output_find(const struct importer *im, uint32_t *node) FUSION_MUST_CHECK;

/* onnx_layout.c */
/** The graph's shape for dimensions: the leading 1 dropped, then [c], [c, w] or [c, h, w]; more are merged. */
struct shape dims_shape(const struct dims *d);
/** A node that holds `v` under the given shape (equal size). */
fusion_status value_view(struct call *c, const struct value *v, struct shape shape, uint32_t *node);
/** The dimensions of either kind. */
const struct dims *value_dims(const struct value *v);
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
fusion_status op_pad(struct call *c);
fusion_status op_expand(struct call *c);
fusion_status op_tile(struct call *c);
fusion_status op_concat(struct call *c);
fusion_status op_depth_to_space(struct call *c);
fusion_status op_space_to_depth(struct call *c);

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

/* onnx_math.c: arithmetic on activations */
/** One operand pair: Add, Sub, Mul, Div. Either side may be constant. */
fusion_status value_binary(struct call *c, char op, const struct value *a, const struct value *b, struct value *out);
/** y = scale * x + bias for every element. */
fusion_status value_scale(struct call *c, const struct value *x, double scale, double bias, struct value *out);
/** |x| = 2 relu(x) - x. */
fusion_status value_abs(struct call *c, const struct value *x, struct value *out);
fusion_status value_relu(struct call *c, const struct value *x, struct value *out);
fusion_status op_binary(struct call *c);
fusion_status op_sum(struct call *c);
fusion_status op_pow(struct call *c);
fusion_status op_neg(struct call *c);
fusion_status op_relu(struct call *c);
fusion_status op_clip(struct call *c);
fusion_status op_leaky_relu(struct call *c);
fusion_status op_prelu(struct call *c);
fusion_status op_hard_sigmoid(struct call *c);
fusion_status op_hard_swish(struct call *c);
fusion_status op_max_min(struct call *c);
fusion_status op_abs(struct call *c);
fusion_status op_dropout(struct call *c);

/* onnx_linear.c */
fusion_status op_gemm(struct call *c);
fusion_status op_matmul(struct call *c);
fusion_status op_conv(struct call *c);
fusion_status op_batch_norm(struct call *c);

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
fusion_status op_softmax(struct call *c);
fusion_status op_sigmoid(struct call *c);
fusion_status op_argmax(struct call *c);

/* onnx_quant.c */
fusion_status op_quantize(struct call *c);
fusion_status op_dequantize(struct call *c);

/* onnx_resize.c */
fusion_status op_resize(struct call *c);
fusion_status op_conv_transpose(struct call *c);

/* onnx_ml.c: domain ai.onnx.ml */
fusion_status op_scaler(struct call *c);
fusion_status op_linear_regressor(struct call *c);
fusion_status op_linear_classifier(struct call *c);
fusion_status op_normalizer(struct call *c);
fusion_status op_zip_map(struct call *c);

/* onnx_tail.c */
/** Rewrites the end of a simplified graph where several nodes are one final layer. */
fusion_status tail_fold(struct graph *g) FUSION_MUST_CHECK;

#endif
