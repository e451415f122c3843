/* What every operator of the importer needs: dimensions, constants, the table of names, attributes, error lines. */
#include <stdarg.h>
#include <stdio.h>

#include "reader/onnx_import.h"

size_t dims_span(const struct dims *d, uint32_t from, uint32_t to) {
  size_t size = 1;
  for (uint32_t i = from; i < to; i++) size *= d->d[i];
  return size;
}

size_t dims_size(const struct dims *d) {
  return dims_span(d, 0, d->rank);
}

bool dims_equal(const struct dims *a, const struct dims *b) {
  return a->rank == b->rank && !memcmp(a->d, b->d, a->rank * sizeof a->d[0]);
}

bool dims_push(struct dims *d, uint64_t size) {
  if (d->rank == MAX_RANK || size > MODEL_MAX_TENSOR) return false;
  /* Dimensions of 0 count as 1 here, so that every product of a part stays within the limit too. */
  size_t total = (size_t)(size ? size : 1);
  for (uint32_t i = 0; i < d->rank; i++) total *= d->d[i] ? d->d[i] : 1;
  if (total > MODEL_MAX_TENSOR) return false;
  d->d[d->rank++] = (uint32_t)size;
  return true;
}

bool dims_broadcast(const struct dims *a, const struct dims *b, struct dims *out) {
  struct dims r = {0};
  const uint32_t rank = a->rank > b->rank ? a->rank : b->rank;
  for (uint32_t i = 0; i < rank; i++) {
    const uint32_t x = i + a->rank < rank ? 1 : a->d[i + a->rank - rank];
    const uint32_t y = i + b->rank < rank ? 1 : b->d[i + b->rank - rank];
    if (x != y && x != 1 && y != 1) return false;
    if (!dims_push(&r, x == 1 ? y : x)) return false;
  }
  *out = r;
  return true;
}

struct tensor *tensor_alloc(const struct dims *dims, int32_t type) {
  const bool integer = type_kind(type) == TYPE_INTEGER;
  struct tensor *t = mem_alloc(1, sizeof *t);
  if (!t) return NULL;
  t->dims = *dims;
  t->type = type;
  void *data = mem_alloc(dims_size(dims), integer ? sizeof *t->i : sizeof *t->f);
  if (integer) t->i = data;
  if (!integer) t->f = data;
  if (data) return t;
  mem_free(t);
  return NULL;
}

void tensor_free(struct tensor *t) {
  if (!t) return;
  mem_free(t->f);
  mem_free(t->i);
  mem_free(t);
}

double tensor_get(const struct tensor *t, size_t index) {
  if (t->i && t->type == ONNX__TENSOR_PROTO__DATA_TYPE__UINT64) return (double)(uint64_t)t->i[index];
  return t->i ? (double)t->i[index] : (double)t->f[index];
}

/* Out of range (or not a number) is undefined in C and in the standard: saturate at 64 bits. */
static int64_t truncated(double v) {
  if (v >= 0x1p63) return v < 0x1p64 ? (int64_t)(uint64_t)v : -1;
  return v >= -0x1p63 ? (int64_t)v : INT64_MIN;
}

void tensor_set(struct tensor *t, size_t index, double v) {
  if (t->f) t->f[index] = real_round(t->type, (float)v);
  if (t->i && t->type == ONNX__TENSOR_PROTO__DATA_TYPE__BOOL) t->i[index] = !(v >= 0 && v <= 0);
  if (t->i && t->type != ONNX__TENSOR_PROTO__DATA_TYPE__BOOL)
    t->i[index] = v >= 0x1p63 && t->type != ONNX__TENSOR_PROTO__DATA_TYPE__UINT64
                      ? integer_wrap(t->type, INT64_MAX)
                      : integer_wrap(t->type, (uint64_t)truncated(v));
}

void tensor_copy(struct tensor *to, size_t index, const struct tensor *from, size_t from_index) {
  if (to->i && from->i) to->i[index] = from->i[from_index];
  if (to->f && from->f) to->f[index] = from->f[from_index];
}

void name_for_print(char out[64], const char *name) {
  size_t n = 0;
  for (; name && name[n] && n < 60; n++)
    out[n] = (char)((unsigned char)name[n] < 0x20 || name[n] == 0x7f ? '?' : name[n]);
  if (name && name[n]) {
    out[n++] = '~';
  }
  out[n] = 0;
}

/* The node's own name, else that of its first output. */
static void node_name(char out[64], const Onnx__NodeProto *node) {
  const bool named = node->name && node->name[0];
  name_for_print(out, named ? node->name : node->n_output ? node->output[0] : "");
}

fusion_status call_refuse(const struct call *c, const char *remedy, const char *what, ...) {
  char node[64], type[64], text[160];
  node_name(node, c->node);
  name_for_print(type, c->node->op_type);
  va_list args;
  va_start(args, what);
  vsnprintf(text, sizeof text, what, args);
  va_end(args);
  return error_set(c->im->err, FUSION_E_UNSUPPORTED, "'%s': operator %s %s (node '%s'); %s", c->im->path, type, text,
                   node, remedy);
}

fusion_status call_malformed(const struct call *c, const char *what) {
  char node[64], type[64];
  node_name(node, c->node);
  name_for_print(type, c->node->op_type);
  return error_set(c->im->err, FUSION_E_MODEL, "'%s': operator %s %s (node '%s'); export the model again", c->im->path,
                   type, what, node);
}

fusion_status call_out_of_memory(const struct call *c) {
  return error_set(c->im->err, FUSION_E_MEMORY, "'%s': out of memory while reading the model", c->im->path);
}

fusion_status call_added(const struct call *c, fusion_status status) {
  if (status == FUSION_OK) return FUSION_OK;
  if (status == FUSION_E_MEMORY) return call_out_of_memory(c);
  return call_malformed(c, "has sizes that do not fit its input, or a tensor above the limit");
}

void call_name_node(const struct call *c, uint32_t index) {
  char name[64];
  node_name(name, c->node);
  snprintf(c->im->g->nodes[index].name, MODEL_NAME_LEN, "%s", name);
}

const Onnx__AttributeProto *attr_find(const struct call *c, const char *name) {
  for (size_t i = 0; i < c->node->n_attribute; i++) {
    if (c->node->attribute[i]->name && !strcmp(c->node->attribute[i]->name, name)) return c->node->attribute[i];
  }
  return NULL;
}

int64_t attr_int(const struct call *c, const char *name, int64_t preset) {
  const Onnx__AttributeProto *a = attr_find(c, name);
  return a && a->has_i ? a->i : preset;
}

double attr_float(const struct call *c, const char *name, double preset) {
  const Onnx__AttributeProto *a = attr_find(c, name);
  return a && a->has_f ? (double)a->f : preset;
}

size_t attr_ints(const struct call *c, const char *name, const int64_t **out) {
  const Onnx__AttributeProto *a = attr_find(c, name);
  *out = a ? a->ints : NULL;
  return a ? a->n_ints : 0;
}

void attr_string(const struct call *c, const char *name, char *out, size_t capacity) {
  const Onnx__AttributeProto *a = attr_find(c, name);
  const size_t len = a && a->has_s ? size_min(a->s.len, capacity - 1) : 0;
  if (len) memcpy(out, a->s.data, len);
  out[len] = 0;
}

const struct dims *value_dims(const struct value *v) {
  return v->constant ? &v->constant->dims : &v->dims;
}

struct value *call_input(const struct call *c, size_t index) {
  return index < c->in_count ? c->in[index] : NULL;
}

const struct tensor *call_constant(const struct call *c, size_t index) {
  const struct value *v = call_input(c, index);
  return v ? v->constant : NULL;
}

fusion_status call_integers(const struct call *c, const char *attr, size_t input, int64_t out[MAX_RANK],
                            size_t *count) {
  const int64_t *given;
  *count = SIZE_MAX;
  if (attr && attr_find(c, attr)) {
    *count = attr_ints(c, attr, &given);
    if (*count > MAX_RANK) return call_malformed(c, "has too many numbers in an attribute");
    if (*count) memcpy(out, given, *count * sizeof *out);
    return FUSION_OK;
  }
  const struct value *v = call_input(c, input);
  if (!v) return FUSION_OK;
  if (!v->constant)
    return call_refuse(c, "export the model with fixed shapes", "takes its '%s' from data", attr ? attr : "shape");
  if (!v->constant->i || v->constant->dims.rank > 1 || dims_size(&v->constant->dims) > MAX_RANK)
    return call_malformed(c, "has a list of integers of the wrong kind");
  *count = dims_size(&v->constant->dims);
  if (*count) memcpy(out, v->constant->i, *count * sizeof *out);
  return FUSION_OK;
}

bool axis_fix(int64_t axis, uint32_t rank, uint32_t *out) {
  if (axis < -(int64_t)rank || axis >= (int64_t)rank) return false;
  *out = (uint32_t)(axis < 0 ? axis + rank : axis);
  return true;
}

bool axes_set(const int64_t *axes, size_t count, uint32_t rank, bool set[MAX_RANK]) {
  for (size_t i = 0; i < count; i++) {
    uint32_t axis;
    if (!axis_fix(axes[i], rank, &axis) || set[axis]) return false;
    set[axis] = true;
  }
  return true;
}

bool call_uses_output(const struct call *c, size_t index) {
  return index < c->node->n_output && c->node->output[index] && c->node->output[index][0];
}

/* FNV-1a. */
static size_t name_hash(const char *name) {
  uint64_t h = UINT64_C(0xcbf29ce484222325);
  for (; *name; name++) h = (h ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
  return (size_t)(h ^ h >> 32);
}

/* The slot of a name, or the free one where it belongs. The table is never full. */
static struct value **slot_of(const struct importer *im, const char *name) {
  size_t at = name_hash(name) & (im->value_slots - 1);
  while (im->values[at] && strcmp(im->values[at]->name, name)) at = (at + 1) & (im->value_slots - 1);
  return &im->values[at];
}

struct value *importer_find(const struct importer *im, const char *name) {
  return im->value_slots ? *slot_of(im, name) : NULL;
}

static bool table_grow(struct importer *im) {
  if (2 * (im->value_count + 1) <= im->value_slots) return true;
  struct importer wider = {.value_slots = im->value_slots ? 2 * im->value_slots : 256};
  wider.values = mem_alloc(wider.value_slots, sizeof *wider.values);
  if (!wider.values) return false;
  for (size_t i = 0; i < im->value_slots; i++) {
    if (im->values[i]) *slot_of(&wider, im->values[i]->name) = im->values[i];
  }
  mem_free(im->values);
  im->values = wider.values;
  im->value_slots = wider.value_slots;
  return true;
}

static void value_free(struct value *v) {
  if (!v) return;
  tensor_free(v->constant);
  mem_free(v->name);
  mem_free(v);
}

/* Takes v->constant over, also when it fails. */
fusion_status importer_define(struct importer *im, const char *name, const struct value *v) {
  char shown[64];
  name_for_print(shown, name);
  struct value *own = mem_alloc(1, sizeof *own);
  const size_t len = strlen(name);
  if (own) {
    *own = *v;
    own->name = mem_alloc(len + 1, 1);
  }
  if (!own || !own->name || !table_grow(im)) {
    if (!own) tensor_free(v->constant);
    value_free(own);
    return error_set(im->err, FUSION_E_MEMORY, "'%s': out of memory while reading the model", im->path);
  }
  memcpy(own->name, name, len);
  struct value **slot = slot_of(im, name);
  if (*slot) {
    value_free(own);
    return error_set(im->err, FUSION_E_MODEL, "'%s': the name '%s' is given twice; export the model again", im->path,
                     shown);
  }
  *slot = own;
  im->value_count++;
  return FUSION_OK;
}

void importer_clear(struct importer *im) {
  for (size_t i = 0; i < im->value_slots; i++) value_free(im->values[i]);
  mem_free(im->values);
  mem_free(im->owned_path);
  expand_free(im);
  if (im->model) onnx__model_proto__free_unpacked(im->model, NULL);
  graph_free(im->g);
}

size_t importer_uses(const struct importer *im, const char *name) {
  const struct value *v = importer_find(im->needed, name);
  return v ? v->uses : 0;
}

bool importer_needs(const struct importer *im, const char *name) {
  return importer_uses(im, name) > 0;
}

fusion_status call_set(struct call *c, size_t output, const struct value *v) {
  if (call_uses_output(c, output)) return importer_define(c->im, c->node->output[output], v);
  tensor_free(v->constant);
  return FUSION_OK;
}

fusion_status call_set_constant(struct call *c, size_t output, struct tensor *owned) {
  return call_set(c, output, &(struct value){.constant = owned});
}
