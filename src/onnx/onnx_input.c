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
  /* Clients send real numbers: those of 16 bits are what they are in all types. */
  v->integer = type_kind(t->elem_type) == TYPE_INTEGER;
  if (type_kind(t->elem_type) == TYPE_UNKNOWN)
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

/* Entries of the tables that read an input of tokens; 0 of other inputs. */
static uint32_t entries_of(const struct importer *im, const Onnx__ValueInfoProto *in, const struct value *v) {
  return v->integer && v->dims.rank == 2 && v->dims.d[0] == 1 ? tokens_count(im, in->name) : 0;
}

/* The network's only input. */
static fusion_status import_single(struct importer *im, const Onnx__ValueInfoProto *in) {
  struct value v = {0};
  const fusion_status status = input_dims(im, in, &v);
  if (status != FUSION_OK) return status;
  struct shape shape = dims_shape(&v.dims);
  const uint32_t tokens = entries_of(im, in, &v);
  if (tokens) shape = (struct shape){tokens, 1, v.dims.d[1]};
  if (!shape_valid(shape)) return refuse_input(im, in->name, "has too many tokens for the size of its tables");
  if (graph_add_input(im->g, shape, &v.node) != FUSION_OK) return out_of_memory(im);
  const bool whole = tokens || in->type->tensor_type->elem_type == ONNX__TENSOR_PROTO__DATA_TYPE__BOOL;
  if (whole) im->g->nodes[v.node].step = 1;
  im->g->tokens = tokens;
  v.tokens = tokens > 0;
  return importer_define(im, in->name, &v);
}

/* Several inputs: a row of numbers, one of them perhaps of tokens. */
struct several {
  size_t numbers;                     /* of a row, without tokens */
  size_t first;                       /* of them, those before the tokens */
  const Onnx__ValueInfoProto *tokens; /* NULL: none is of tokens */
  uint32_t entries, places;           /* of the tokens' tables; of the tokens */
  bool whole;                         /* all are integers */
};

/* One more input. Tokens of tables with two entries may as well be numbers. */
static fusion_status survey_part(struct importer *im, const Onnx__ValueInfoProto *in, struct several *s) {
  enum { PAIR = 2 };
  struct value v = {0};
  const fusion_status status = input_dims(im, in, &v);
  if (status != FUSION_OK) return status;
  const uint32_t entries = entries_of(im, in, &v);
  if (entries > PAIR && s->tokens)
    return refuse_input(im, in->name, "is a second input of tokens; give the network one row of tokens");
  s->whole = s->whole && v.integer;
  if (entries <= PAIR) {
    s->numbers += dims_size(&v.dims);
  } else {
    s->tokens = in;
    s->entries = entries;
    s->places = v.dims.d[1];
    s->first = s->numbers;
  }
  const size_t columns = (size_t)s->entries * s->places;
  if (columns + s->numbers > MODEL_MAX_TENSOR) return refuse_input(im, in->name, "is too large beside the others");
  return FUSION_OK;
}

/* One of several: the elements of the graph's input from `first` on, which goes on to the next one's. */
static fusion_status import_part(struct importer *im, const Onnx__ValueInfoProto *in, uint32_t *first) {
  const uint32_t row = 0;
  struct value v = {0};
  fusion_status status;
  TRY(input_dims(im, in, &v));
  v.pair = entries_of(im, in, &v) > 1;
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

/* A row, or columns of zeros and a one for each token with the numbers in channels behind them. */
static fusion_status add_row(struct importer *im, const struct several *s) {
  struct shape shape = {(uint32_t)s->numbers, 1, 1};
  struct graph *g = im->g;
  if (s->tokens) {
    shape = (struct shape){s->entries + (uint32_t)div_up(s->numbers, s->places), 1, s->places};
    g->tokens = s->entries;
    g->numbers = (uint32_t)s->numbers;
    g->numbers_first = (uint32_t)s->first;
  }
  if (!shape_valid(shape)) return refuse_input(im, s->tokens->name, "is too large beside the others");
  if (graph_add_input(g, shape, NULL) != FUSION_OK) return out_of_memory(im);
  if (s->tokens && s->whole) g->nodes[0].step = 1;
  return FUSION_OK;
}

/* Several inputs are one row: each after the one before, as the file lists them. */
static fusion_status import_several(struct importer *im, const struct importer *needed) {
  const Onnx__GraphProto *g = im->model->graph;
  struct several s = {.whole = true};
  fusion_status status;
  for (size_t i = 0; i < g->n_input; i++)
    if (is_input(im, needed, g->input[i])) TRY(survey_part(im, g->input[i], &s));
  TRY(add_row(im, &s));
  uint32_t first = s.entries * s.places;
  for (size_t i = 0; i < g->n_input; i++) {
    if (!is_input(im, needed, g->input[i])) continue;
    if (g->input[i] != s.tokens) {
      TRY(import_part(im, g->input[i], &first));
      continue;
    }
    struct value v = {.tokens = true};
    TRY(input_dims(im, g->input[i], &v));
    TRY(importer_define(im, g->input[i]->name, &v));
  }
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
