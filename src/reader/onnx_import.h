/** An ONNX file in memory: its values, element types and calls, which the operators in src/onnx work on. The model is
 * read as the function of one sample: the batch dimension becomes 1. A value is either a constant, which is computed
 * away at once, or an activation: a node of the graph under construction together with the tensor's dimensions. Layout
 * operators (Reshape, Transpose, Slice,
 * ...) are one mechanism for both: where each element comes from. */
#ifndef FUSION_READER_ONNX_IMPORT_H
#define FUSION_READER_ONNX_IMPORT_H

#include "graph/graph.h"
#include "reader/onnx.pb-c.h"

enum { MAX_RANK = 8, MIN_OPSET = 6, MAX_OPSET = 25 };

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

/** A constant: floats, or integers and truth values as int64 (unsigned ones of 64 bits by their bits). One of f and i
 * is set. */
struct tensor {
  struct dims dims;
  int32_t type; /* element type, by ONNX's number; 0 for reals that are of no type of the file's */
  float *f;
  int64_t *i;
};

/** Zeros. Reals when the type is 0. NULL when memory is out. */
struct tensor *tensor_alloc(const struct dims *dims, int32_t type);
void tensor_free(struct tensor *t);
double tensor_get(const struct tensor *t, size_t index);
/** Rounded to what the type holds; to integers by truncation, wrapping. */
void tensor_set(struct tensor *t, size_t index, double v);
/** Element by element without a way through floating point; both are integers or both are reals. */
void tensor_copy(struct tensor *to, size_t index, const struct tensor *from, size_t from_index);

/** What a name in the file stands for. */
struct value {
  char *name;              /* owned */
  struct tensor *constant; /* owned; NULL for an activation */
  uint32_t node;           /* activation: number in the graph */
  struct dims dims;        /* activation: its dimensions, the batch being 1 */
  bool batched;            /* activation: one dimension holds the batch, so no operator may look along it */
  uint32_t batch_axis;     /* which; the batch is its outermost part, alone at the input */
  bool integer;            /* activation: integers (ArgMax, integer inputs, quantised) */
  bool tokens;             /* the network's input, a row of tokens: its node holds columns of zeros and a one */
  bool pair;               /* an input of tokens 0 and 1, whose tables have two entries: its node holds the numbers */
  bool quantised;          /* between QuantizeLinear and DequantizeLinear: the node holds (q - zero) * step */
  double step, zero;
  size_t uses;                     /* in the table of what is needed: inputs that name it, one more for the answer */
  const Onnx__TypeProto *declared; /* in the same table: what the file says of it, NULL when nothing; borrowed */
};

static inline bool value_is_batched(const struct value *v) {
  return !v->constant && v->batched;
}
/** The axis holds the batch. */
static inline bool value_batch_at(const struct value *v, uint32_t axis) {
  return value_is_batched(v) && v->batch_axis == axis;
}

/** A node of the file, or of one of its functions under the caller's names. */
struct flat_node {
  const Onnx__NodeProto *node;
  int64_t opset;  /* of the standard operators where it stands */
  bool shared;    /* its tensors belong to a function that may be called again */
  uint32_t guard; /* number of the guard of the branch that it is in, from 1; 0: none */
};

/* A branch of an If. */
struct guard {
  const char *condition; /* borrowed */
  bool wanted;           /* what the condition is where the branch is read */
  uint32_t outer;        /* the guard of the branch around it; 0: none */
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
  struct flat_node *nodes; /* owned: in the order of computation */
  size_t node_count, node_room;
  struct onnx_function *functions; /* owned (onnx_expand.h) */
  size_t function_count;
  struct owned_block *blocks; /* owned: what expanded nodes are made of */
  struct guard *guards;       /* owned */
  size_t guard_count, guard_room;
  int64_t opset;  /* of the node at hand */
  bool shared;    /* of the node at hand */
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

/** True when a message is not nested too deeply and has not too many parts to be unpacked. */
bool onnx_scan(const uint8_t *data, size_t len, const ProtobufCMessageDescriptor *type);

/* onnx_expand.c */
/** Fills `nodes` from the file: functions expanded, in the order of computation. */
fusion_status expand_nodes(struct importer *im) FUSION_MUST_CHECK;
void expand_free(struct importer *im);
/** The node is in no branch, or in one whose condition is constant and as it wants it. */
bool expand_is_read(const struct importer *im, const struct flat_node *node);

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
/** Marks the axes of a list in `set`; false when one lies outside or is given twice. */
bool axes_set(const int64_t *axes, size_t count, uint32_t rank, bool set[MAX_RANK]);
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

/** The dimensions of either kind. */
const struct dims *value_dims(const struct value *v);

/* onnx_integer.c: element types */
enum { TYPE_UINT4 = 21, TYPE_INT4 = 22 }; /* newer than some descriptions of the format */
enum type_kind { TYPE_UNKNOWN, TYPE_REAL, TYPE_INTEGER };
enum type_kind type_kind(int64_t type);
/** "FLOAT8E4M3FN"; "?" for a number that the standard does not have. */
const char *type_name(int64_t type);
/** The integer that a type's lowest bits say. */
int64_t integer_wrap(int64_t type, uint64_t bits);
/** The nearest number that a 16-bit real type holds; others as they are. */
float real_round(int64_t type, float v);
struct integer_op {
  const char *name;
  bool divides, compares;
  int64_t (*run)(int64_t a, int64_t b);
  int64_t (*run_unsigned)(int64_t a, int64_t b); /* both of 64 bits */
};
/** NULL when there is none. "Mod" has the sign of the divisor, "Fmod" that of the dividend. */
const struct integer_op *integer_op_find(const char *name);
/** False on a division by zero. */
bool integer_apply(const struct integer_op *op, int64_t type, int64_t a, int64_t b, int64_t *out);
/** False when the operator does not work on integers. */
bool integer_unary(const char *op, int64_t type, int64_t a, int64_t *out);

#endif
