/* The inputs that the answer depends on: what a sample is. */
#include "onnx/onnx_ops.h"

static fusion_status refuse_input(const struct importer *im, const char *name, const char *what) {
  char shown[64];
  name_for_print(shown, name);
  return error_set(im->err, FUSION_E_UNSUPPORTED, "'%s': input '%s' %s", im->path, shown, what);
}

static bool is_fixed(const Onnx__TensorShapeProto__Dimension *d) {
  return d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE && d->dim_value > 0;
}

static bool is_recurrent(const Onnx__NodeProto *n) {
  return n->op_type && (!strcmp(n->op_type, "LSTM") || !strcmp(n->op_type, "GRU") || !strcmp(n->op_type, "RNN"));
}

/* The node's sequence is this input, and its second dimension the batch. */
static bool is_sequence_of(const Onnx__NodeProto *n, const char *name) {
  for (size_t i = 0; i < n->n_attribute; i++)
    if (n->attribute[i]->name && !strcmp(n->attribute[i]->name, "layout") && n->attribute[i]->i) return false;
  return n->n_input && n->input[0] && name && !strcmp(n->input[0], name);
}

/* The batch is the first dimension. It is the second of sequences and states of a recurrent layer where only that is
 * open, and of a sequence that such a layer reads where it is 1. */
static size_t batch_place(const struct importer *im, const Onnx__ValueInfoProto *in) {
  const Onnx__TensorShapeProto *shape = in->type->tensor_type->shape;
  if (shape->n_dim != 3 || !is_fixed(shape->dim[0]) || !is_fixed(shape->dim[2])) return 0;
  const bool open = !is_fixed(shape->dim[1]), one = !open && shape->dim[1]->dim_value == 1;
  for (size_t i = 0; i < im->node_count; i++) {
    const Onnx__NodeProto *n = im->nodes[i].node;
    if (is_recurrent(n) && (open || (one && is_sequence_of(n, in->name)))) return 1;
  }
  return 0;
}

/* Dimensions of the network's input, the batch being 1 (left out when there is only one dimension). */
static fusion_status input_dims(struct importer *im, const Onnx__ValueInfoProto *in, struct value *v) {
  const Onnx__TypeProto__Tensor *t =
      in->type && in->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ? in->type->tensor_type : NULL;
  if (!t || !t->shape || t->shape->n_dim == 0 || t->shape->n_dim > MAX_RANK)
    return refuse_input(im, in->name, "has no shape; export the model with its input's shape");
  const size_t rank = t->shape->n_dim, place = batch_place(im, in);
  for (size_t k = 0; k < rank; k++) {
    const Onnx__TensorShapeProto__Dimension *d = t->shape->dim[k];
    const bool fixed = is_fixed(d), batch = k == place && !im->whole && (rank > 1 || !fixed);
    if (!fixed && !batch)
      return refuse_input(im, in->name, "has an open dimension; export with all but the batch dimension fixed");
    if (batch && !(fixed && d->dim_value == 1)) v->batched = true;
    if (batch) v->batch_axis = (uint32_t)place;
    if (batch && fixed) im->batch = (uint64_t)d->dim_value;
    if (!dims_push(&v->dims, batch ? 1 : (uint64_t)d->dim_value))
      return refuse_input(im, in->name, "is too large; a sample has at most 2^28 values");
  }
  v->integer =
      t->elem_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT && t->elem_type != ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE &&
      t->elem_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16 && t->elem_type != ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16;
  if (t->elem_type == ONNX__TENSOR_PROTO__DATA_TYPE__STRING || t->elem_type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16)
    return refuse_input(im, in->name, "has an element type that is not supported; export a model with float inputs");
  return FUSION_OK;
}

/* Inputs of the file that the answer depends on. */
static bool is_input(struct importer *im, const struct importer *needed, const Onnx__ValueInfoProto *in) {
  /* Older files list initialisers as inputs. */
  return in->name && importer_find(needed, in->name) && !importer_find(im, in->name);
}

static fusion_status out_of_memory(const struct importer *im) {
  return error_set(im->err, FUSION_E_MEMORY, "'%s': out of memory", im->path);
}

/* The network's only input. */
static fusion_status import_single(struct importer *im, const Onnx__ValueInfoProto *in) {
  struct value v = {0};
  const fusion_status status = input_dims(im, in, &v);
  if (status != FUSION_OK) return status;
  struct shape shape = dims_shape(&v.dims);
  const uint32_t tokens = v.integer && v.dims.rank == 2 && v.dims.d[0] == 1 ? tokens_count(im, in->name) : 0;
  if (tokens) shape = (struct shape){tokens, 1, v.dims.d[1]};
  if (!shape_valid(shape)) return refuse_input(im, in->name, "has too many tokens for the size of its tables");
  if (graph_add_input(im->g, shape, &v.node) != FUSION_OK) return out_of_memory(im);
  const bool whole = tokens || in->type->tensor_type->elem_type == ONNX__TENSOR_PROTO__DATA_TYPE__BOOL;
  if (whole) im->g->nodes[v.node].step = 1;
  im->g->tokens = tokens;
  v.tokens = tokens > 0;
  return importer_define(im, in->name, &v);
}

/* One of several: the part of a sample's row from `first` on, which goes on to the next one's. */
static fusion_status import_part(struct importer *im, const Onnx__ValueInfoProto *in, uint32_t *first) {
  const uint32_t row = 0;
  struct value v = {0};
  fusion_status status;
  TRY(input_dims(im, in, &v));
  const size_t size = dims_size(&v.dims);
  struct gather_source *sources = mem_alloc(size, sizeof *sources);
  if (!sources) return out_of_memory(im);
  for (size_t i = 0; i < size; i++) sources[i].index = *first + (uint32_t)i;
  const struct graph_gather_spec spec = {
      .name = in->name, .inputs = &row, .input_count = 1, .shape = dims_shape(&v.dims), .sources = sources};
  status = graph_add_gather(im->g, &spec, &v.node);
  mem_free(sources);
  if (status != FUSION_OK) return out_of_memory(im);
  *first += (uint32_t)size;
  TRY(importer_define(im, in->name, &v));
cleanup:
  return status;
}

/* Several inputs are one row of numbers: each after the one before, as the file lists them. */
static fusion_status import_several(struct importer *im, const struct importer *needed) {
  const Onnx__GraphProto *g = im->model->graph;
  size_t total = 0;
  uint32_t first = 0;
  fusion_status status;
  for (size_t i = 0; i < g->n_input; i++) {
    struct value v = {0};
    if (!is_input(im, needed, g->input[i])) continue;
    TRY(input_dims(im, g->input[i], &v));
    total += dims_size(&v.dims);
    if (total > MODEL_MAX_TENSOR) return refuse_input(im, g->input[i]->name, "is too large beside the others");
  }
  if (graph_add_input(im->g, (struct shape){(uint32_t)total, 1, 1}, NULL) != FUSION_OK) return out_of_memory(im);
  for (size_t i = 0; i < g->n_input; i++)
    if (is_input(im, needed, g->input[i])) TRY(import_part(im, g->input[i], &first));
cleanup:
  return status;
}

fusion_status import_input(struct importer *im, const struct importer *needed) {
  const Onnx__GraphProto *g = im->model->graph;
  const Onnx__ValueInfoProto *single = NULL;
  size_t count = 0;
  for (size_t i = 0; i < g->n_input; i++) {
    if (!is_input(im, needed, g->input[i])) continue;
    single = g->input[i];
    count++;
  }
  if (count > 1) return import_several(im, needed);
  if (single) return import_single(im, single);
  return error_set(im->err, FUSION_E_MODEL, "'%s' has no input; export a model with one input", im->path);
}
