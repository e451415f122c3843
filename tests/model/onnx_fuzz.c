/* Fuzz target of the ONNX importer. Whatever imports must be valid, run, and relax its limits. Half of the mutations
 * are of the protobuf tree, so that they get past its lengths: operators, names, attributes and sizes are exchanged. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "onnx/onnx.h"
#include "reader/onnx.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
size_t LLVMFuzzerMutate(uint8_t *data, size_t len, size_t max_len);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t max_len, unsigned seed);

enum { RUN_LIMIT = 1 << 16 };

/* Runs one sample of zeros when no tensor is large. */
static void run_small(struct graph *g) {
  size_t total = 0;
  for (uint32_t i = 0; i < g->count; i++) total += shape_size(g->nodes[i].shape);
  if (total > RUN_LIMIT) return;
  float *x = mem_alloc(shape_size(g->nodes[0].shape), sizeof *x);
  float *y = mem_alloc(shape_size(g->nodes[g->count - 1].shape), sizeof *y);
  if (!x || !y || graph_run(g, x, 1, y, NULL, NULL) != FUSION_OK) abort();
  if (graph_fit_masks(g, x, 1, NULL) == FUSION_E_MEMORY) abort();
  if (graph_relax_limits(g, x, 1) != FUSION_OK || graph_validate(g, NULL) != FUSION_OK) abort();
  mem_free(x);
  mem_free(y);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  char path[64];
  struct graph *g = NULL;
  fusion_error err = {0};
  const int fd = memfd_create("model", 0);
  if (fd < 0 || pwrite(fd, data, len, 0) != (ssize_t)len) abort();
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  const fusion_status status = graph_from_onnx(&g, path, &err);
  close(fd);
  if (status != FUSION_OK) {
    if (g || !err.text[0]) abort();
    return 0;
  }
  if (graph_validate(g, NULL) != FUSION_OK) abort();
  run_small(g);
  graph_free(g);
  return 0;
}

static uint64_t next(uint64_t *s) {
  *s ^= *s << 13;
  *s ^= *s >> 7;
  *s ^= *s << 17;
  return *s;
}

static void put_text(char **to, const char *text) {
  char *copy = strdup(text ? text : "");
  if (!copy) abort();
  if (*to != (const char *)protobuf_c_empty_string) free(*to);
  *to = copy;
}

/* Numbers at which sizes, axes and counts turn. */
static int64_t telling(uint64_t *s) {
  static const int64_t values[] = {0,  1,  2,  3,   4,   5,     6,       7,         8,         16,        -1,
                                   -2, -3, -4, 127, 255, 65535, 1 << 16, INT32_MAX, INT64_MAX, INT64_MIN, 1 << 28};
  return values[next(s) % (sizeof values / sizeof values[0])];
}

static void mutate_attribute(Onnx__AttributeProto *a, uint64_t *s) {
  static const float reals[] = {0, 1, -1, 0.5f, 6, 1e30f, -1e30f, 0x1p-140f};
  int64_t *i = a->n_ints ? &a->ints[next(s) % a->n_ints] : &a->i;
  if ((a->n_ints || a->has_i) && next(s) % 4)
    *i = next(s) % 2 ? telling(s) : (int64_t)((uint64_t)*i + 1);
  else if (a->n_floats)
    a->floats[next(s) % a->n_floats] = reals[next(s) % 8];
  else if (a->has_f)
    a->f = reals[next(s) % 8];
}

static void mutate_node(const Onnx__GraphProto *g, Onnx__NodeProto *n, uint64_t *s) {
  static const char *const types[] = {"Add",
                                      "Sub",
                                      "Mul",
                                      "Div",
                                      "Relu",
                                      "Clip",
                                      "Concat",
                                      "Slice",
                                      "Split",
                                      "Gather",
                                      "Pad",
                                      "Transpose",
                                      "Reshape",
                                      "Squeeze",
                                      "Unsqueeze",
                                      "Flatten",
                                      "Expand",
                                      "Tile",
                                      "MatMul",
                                      "Gemm",
                                      "Conv",
                                      "ConvTranspose",
                                      "MaxPool",
                                      "AveragePool",
                                      "GlobalAveragePool",
                                      "ReduceMean",
                                      "ReduceSum",
                                      "ReduceMax",
                                      "ReduceL1",
                                      "Softmax",
                                      "Sigmoid",
                                      "Tanh",
                                      "Gelu",
                                      "Elu",
                                      "ArgMax",
                                      "ArgMin",
                                      "QuantizeLinear",
                                      "DequantizeLinear",
                                      "Resize",
                                      "Upsample",
                                      "Identity",
                                      "Shape",
                                      "Cast",
                                      "Where",
                                      "Constant",
                                      "ConstantOfShape",
                                      "Range",
                                      "Max",
                                      "Min",
                                      "Sum",
                                      "Mean",
                                      "Pow",
                                      "Abs",
                                      "Neg",
                                      "LeakyRelu",
                                      "PRelu",
                                      "HardSigmoid",
                                      "HardSwish",
                                      "BatchNormalization",
                                      "DepthToSpace",
                                      "SpaceToDepth",
                                      "Scaler",
                                      "LinearClassifier",
                                      "LinearRegressor",
                                      "Normalizer",
                                      "ZipMap",
                                      "Dropout",
                                      "Size"};
  const Onnx__NodeProto *other = g->node[next(s) % g->n_node];
  switch (next(s) % 6) {
    case 0: put_text(&n->op_type, types[next(s) % (sizeof types / sizeof types[0])]); break;
    case 1:
      if (n->n_input && other->n_output)
        put_text(&n->input[next(s) % n->n_input], other->output[next(s) % other->n_output]);
      break;
    case 2:
      if (n->n_input && g->n_initializer)
        put_text(&n->input[next(s) % n->n_input], g->initializer[next(s) % g->n_initializer]->name);
      break;
    case 3:
      if (n->n_input && next(s) % 4 == 0) put_text(&n->input[next(s) % n->n_input], "");
      break;
    default:
      if (n->n_attribute) mutate_attribute(n->attribute[next(s) % n->n_attribute], s);
  }
}

static void mutate_tensor(Onnx__TensorProto *t, uint64_t *s) {
  if (t->n_dims && next(s) % 2) {
    const size_t a = next(s) % t->n_dims, b = next(s) % t->n_dims;
    const int64_t kept = t->dims[a];
    t->dims[a] = next(s) % 3 ? t->dims[b] : telling(s);
    t->dims[b] = next(s) % 2 ? kept : t->dims[b];
  } else if (t->has_raw_data && t->raw_data.len) {
    const size_t at = next(s) % t->raw_data.len & ~(size_t)7;
    const int64_t v = telling(s);
    if (at + sizeof v <= t->raw_data.len) memcpy(t->raw_data.data + at, &v, sizeof v);
  } else {
    t->data_type = (int32_t)(next(s) % 17);
  }
}

/* False when the bytes are no model with nodes. */
static bool mutate_tree(Onnx__ModelProto *m, uint64_t *s) {
  if (!m || !m->graph || m->graph->n_node == 0) return false;
  const Onnx__GraphProto *g = m->graph;
  for (uint64_t k = next(s) % 3 + 1; k > 0; k--) {
    const uint64_t what = next(s) % 8;
    if (what == 0 && m->n_opset_import)
      m->opset_import[0]->version = (int64_t)(next(s) % 25);
    else if (what <= 2 && g->n_initializer)
      mutate_tensor(g->initializer[next(s) % g->n_initializer], s);
    else
      mutate_node(g, g->node[next(s) % g->n_node], s);
  }
  return true;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t max_len, unsigned seed) {
  uint64_t s = UINT64_C(0x9e3779b97f4a7c15) ^ seed;
  if (next(&s) % 2) return LLVMFuzzerMutate(data, len, max_len);
  Onnx__ModelProto *m = len ? onnx__model_proto__unpack(NULL, len, data) : NULL;
  size_t packed = 0;
  if (mutate_tree(m, &s)) packed = onnx__model_proto__get_packed_size(m);
  if (packed && packed <= max_len) onnx__model_proto__pack(m, data);
  if (m) onnx__model_proto__free_unpacked(m, NULL);
  return packed && packed <= max_len ? packed : LLVMFuzzerMutate(data, len, max_len);
}
