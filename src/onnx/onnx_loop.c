/* Loop and Scan, unrolled: each time the body's nodes are read anew, under names of their own. How often is known while
 * reading: from constants and shapes. */
#include <stdio.h>

#include "onnx/onnx_layout.h"

enum { TIMES_MOST = 1024, BODY_MOST = 1024, NODES_MOST = 1 << 17, NAME_ROOM = 16 };

struct loop {
  struct call *c;
  const Onnx__GraphProto *body; /* names as its surroundings call them (onnx_expand.c) */
  size_t states, stacks;        /* values that go on to the next time; outputs that all times together make */
  size_t first;                 /* the body's first output that is a state */
  size_t times;
  struct value *state;   /* owned: [states]; constants owned */
  struct value *stacked; /* owned: [times][stacks]; constants borrowed from the table of names */
};

static fusion_status refuse_times(const struct call *c) {
  return call_refuse(c, "export the model with its loops unrolled", "runs more than %d times, or too many nodes",
                     TIMES_MOST);
}

/* The value with a constant of its own; false when memory is out. */
static bool own_value(const struct value *v, struct value *out) {
  *out = *v;
  out->name = NULL;
  if (!v->constant) return true;
  out->constant = tensor_alloc(&v->constant->dims, v->constant->type);
  for (size_t i = 0; out->constant && i < dims_size(&v->constant->dims); i++)
    tensor_copy(out->constant, i, v->constant, i);
  return out->constant != NULL;
}

static fusion_status define_copy(const struct loop *l, const char *name, const struct value *v) {
  struct value own;
  return own_value(v, &own) ? importer_define(l->c->im, name, &own) : call_out_of_memory(l->c);
}

static fusion_status define_number(const struct loop *l, const char *name, int32_t type, int64_t number) {
  struct tensor *t = tensor_alloc(&(struct dims){0}, type);
  if (!t) return call_out_of_memory(l->c);
  t->i[0] = number;
  return importer_define(l->c->im, name, &(struct value){.constant = t});
}

/* ---- names ---- */

/* The body makes it, or it is the body's input. */
static bool is_local(const Onnx__GraphProto *g, const char *name) {
  for (size_t i = 0; i < g->n_input; i++)
    if (!strcmp(g->input[i]->name, name)) return true;
  for (size_t i = 0; i < g->n_node; i++)
    for (size_t k = 0; k < g->node[i]->n_output; k++)
      if (!strcmp(g->node[i]->output[k], name)) return true;
  return false;
}

/* What the body's tensor is called at time t; owned. NULL when memory is out. */
static char *name_at(const struct loop *l, const char *name, size_t t) {
  const size_t len = strlen(name) + NAME_ROOM;
  char *out = mem_alloc(len, 1);
  const bool local = name[0] && is_local(l->body, name);
  if (out && local) snprintf(out, len, "%s/%zu", name, t);
  if (out && !local) snprintf(out, len, "%s", name);
  return out;
}

static char **names_at(const struct loop *l, char *const *names, size_t count, size_t t, bool *memory) {
  char **out = mem_alloc(size_max(count, 1), sizeof *out);
  for (size_t i = 0; out && i < count; i++) {
    out[i] = name_at(l, names[i], t);
    *memory = *memory && out[i];
  }
  *memory = *memory && out;
  return out;
}

static void names_free(char **names, size_t count) {
  for (size_t i = 0; names && i < count; i++) mem_free(names[i]);
  mem_free(names);
}

/* ---- one time ---- */

static fusion_status run_node(const struct loop *l, const Onnx__NodeProto *node, size_t t) {
  Onnx__NodeProto copy = *node;
  bool memory = true;
  copy.input = names_at(l, node->input, node->n_input, t, &memory);
  copy.output = names_at(l, node->output, node->n_output, t, &memory);
  const fusion_status status = memory ? import_node(l->c->im, &copy) : call_out_of_memory(l->c);
  names_free(copy.input, copy.n_input);
  names_free(copy.output, copy.n_output);
  return status;
}

/* An output of the body at time t. */
static fusion_status find_output(const struct loop *l, size_t output, size_t t, const struct value **v) {
  char *name = name_at(l, l->body->output[output]->name, t);
  if (!name) return call_out_of_memory(l->c);
  *v = importer_find(l->c->im, name);
  mem_free(name);
  return *v ? FUSION_OK : call_malformed(l->c, "has a body that does not make its outputs");
}

/* States and stacks from the body's outputs. */
static fusion_status take_outputs(struct loop *l, size_t t) {
  const struct value *v = NULL;
  fusion_status status = FUSION_OK;
  for (size_t i = 0; i < l->states; i++) {
    struct value next;
    TRY(find_output(l, l->first + i, t, &v));
    FAIL_IF(!own_value(v, &next), call_out_of_memory(l->c));
    tensor_free(l->state[i].constant);
    l->state[i] = next;
  }
  for (size_t k = 0; k < l->stacks; k++) {
    TRY(find_output(l, l->first + l->states + k, t, &v));
    l->stacked[t * l->stacks + k] = *v;
  }
cleanup:
  return status;
}

static fusion_status run_body(const struct loop *l, size_t t) {
  fusion_status status = FUSION_OK;
  for (size_t i = 0; i < l->body->n_node && status == FUSION_OK; i++) status = run_node(l, l->body->node[i], t);
  return status;
}

/* The body's input `number` is `v` at time t. */
static fusion_status define_input(const struct loop *l, size_t number, size_t t, const struct value *v) {
  char *name = name_at(l, l->body->input[number]->name, t);
  const fusion_status status = name ? define_copy(l, name, v) : call_out_of_memory(l->c);
  mem_free(name);
  return status;
}

/* ---- outputs ---- */

static fusion_status stack_constants(const struct loop *l, size_t k, const struct dims *dims, struct value *out) {
  const struct tensor *one = l->stacked[k].constant;
  const size_t size = dims_size(&one->dims);
  struct tensor *all = tensor_alloc(dims, one->type);
  *out = (struct value){.constant = all};
  if (!all) return call_out_of_memory(l->c);
  for (size_t i = 0; i < l->times * size; i++)
    tensor_copy(all, i, l->stacked[i / size * l->stacks + k].constant, i % size);
  return FUSION_OK;
}

static fusion_status stack_activations(const struct loop *l, size_t k, bool backwards, const struct dims *dims,
                                       struct value *out) {
  const size_t all = dims_size(dims), size = all / l->times;
  struct gather_source *sources = mem_alloc(all, sizeof *sources);
  uint32_t *nodes = mem_alloc(l->times, sizeof *nodes);
  fusion_status status;
  FAIL_IF(!sources || !nodes, call_out_of_memory(l->c));
  for (size_t t = 0; t < l->times; t++) nodes[t] = l->stacked[(backwards ? l->times - 1 - t : t) * l->stacks + k].node;
  for (size_t i = 0; i < all; i++) sources[i] = (struct gather_source){(uint32_t)(i / size), (uint32_t)(i % size)};
  const struct graph_gather_spec spec = {
      .name = "", .inputs = nodes, .input_count = (uint32_t)l->times, .shape = dims_shape(dims), .sources = sources};
  *out = l->stacked[k];
  out->name = NULL;
  out->dims = *dims;
  out->batch_axis += out->batched;
  TRY(call_added(l->c, graph_add_gather(l->c->im->g, &spec, &out->node)));
  call_name_node(l->c, out->node);
cleanup:
  mem_free(sources);
  mem_free(nodes);
  return status;
}

/* All times' values of an output, along a new first dimension. */
static fusion_status stack(const struct loop *l, size_t k, bool backwards) {
  const size_t output = l->states + k;
  if (!call_uses_output(l->c, output)) return FUSION_OK;
  if (!l->times) return call_refuse(l->c, "remove the node", "leaves an empty tensor");
  const struct dims *one = value_dims(&l->stacked[k]);
  const bool constant = l->stacked[k].constant != NULL;
  struct dims dims = {0};
  bool fits = dims_push(&dims, l->times);
  for (uint32_t i = 0; i < one->rank && fits; i++) fits = dims_push(&dims, one->d[i]);
  for (size_t t = 0; t < l->times && fits; t++) {
    const struct value *v = &l->stacked[t * l->stacks + k];
    fits = dims_equal(value_dims(v), one) && (v->constant != NULL) == constant &&
           (!constant || (v->constant->i != NULL) == (l->stacked[k].constant->i != NULL));
  }
  if (!fits || (constant && backwards))
    return call_refuse(l->c, "export the model with its loops unrolled", "stacks values of different kinds");
  struct value out;
  const fusion_status status =
      constant ? stack_constants(l, k, &dims, &out) : stack_activations(l, k, backwards, &dims, &out);
  return status == FUSION_OK ? call_set(l->c, output, &out) : status;
}

static fusion_status set_states(const struct loop *l) {
  fusion_status status = FUSION_OK;
  for (size_t i = 0; i < l->states && status == FUSION_OK; i++) {
    struct value own;
    if (!own_value(&l->state[i], &own)) return call_out_of_memory(l->c);
    status = call_set(l->c, i, &own);
  }
  return status;
}

/* ---- the operators ---- */

static void loop_close(struct loop *l) {
  for (size_t i = 0; l->state && i < l->states; i++) tensor_free(l->state[i].constant);
  mem_free(l->state);
  mem_free(l->stacked);
}

/* The states begin as inputs from `input` on. `times`: at most. */
static fusion_status loop_open(struct loop *l, size_t input, size_t times) {
  const Onnx__AttributeProto *a = attr_find(l->c, "body");
  fusion_status status = FUSION_OK;
  l->body = a->g;
  if (times > TIMES_MOST || l->body->n_node > BODY_MOST || times * l->body->n_node > NODES_MOST)
    return refuse_times(l->c);
  l->state = mem_alloc(size_max(l->states, 1), sizeof *l->state);
  l->stacked = mem_alloc(size_max(times * l->stacks, 1), sizeof *l->stacked);
  FAIL_IF(!l->state || !l->stacked, call_out_of_memory(l->c));
  for (size_t i = 0; i < l->states; i++) {
    const struct value *v = call_input(l->c, input + i);
    FAIL_IF(!v, call_malformed(l->c, "lacks an input"));
    FAIL_IF(!own_value(v, &l->state[i]), call_out_of_memory(l->c));
  }
cleanup:
  return status;
}

/* A scalar that is known, `preset` where it is left out. */
static fusion_status known(const struct call *c, size_t input, int64_t preset, int64_t *out) {
  const struct value *v = call_input(c, input);
  *out = preset;
  if (!v) return FUSION_OK;
  if (!v->constant || !v->constant->i || dims_size(&v->constant->dims) != 1)
    return call_refuse(c, "export the model with its loops unrolled", "runs as often as the input says");
  *out = v->constant->i[0];
  return FUSION_OK;
}

/* Body: (number, condition, states) to (condition, states, stacks). */
static fusion_status loop_time(struct loop *l, size_t t, bool *on) {
  const struct value *v = NULL;
  char *number = name_at(l, l->body->input[0]->name, t), *condition = name_at(l, l->body->input[1]->name, t);
  fusion_status status;
  FAIL_IF(!number || !condition, call_out_of_memory(l->c));
  TRY(define_number(l, number, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, (int64_t)t));
  TRY(define_number(l, condition, ONNX__TENSOR_PROTO__DATA_TYPE__BOOL, 1));
  for (size_t i = 0; i < l->states; i++) TRY(define_input(l, 2 + i, t, &l->state[i]));
  TRY(run_body(l, t));
  TRY(find_output(l, 0, t, &v));
  FAIL_IF(!v->constant || !v->constant->i || dims_size(&v->constant->dims) != 1,
          call_refuse(l->c, "export the model with its loops unrolled", "runs as often as the input says"));
  *on = v->constant->i[0] != 0;
  TRY(take_outputs(l, t));
cleanup:
  mem_free(number);
  mem_free(condition);
  return status;
}

fusion_status op_loop(struct call *c) {
  const Onnx__AttributeProto *a = attr_find(c, "body");
  struct loop l = {.c = c, .first = 1};
  int64_t most, condition;
  fusion_status status;
  if (!a || !a->g || a->g->n_input < 2 || a->g->n_output + 1 < a->g->n_input || a->g->n_output < 1)
    return call_malformed(c, "has a body that does not fit it");
  l.states = a->g->n_input - 2;
  l.stacks = a->g->n_output - 1 - l.states;
  TRY(known(c, 0, TIMES_MOST + 1, &most));
  TRY(known(c, 1, 1, &condition));
  const bool open = most > TIMES_MOST; /* a condition may still end it */
  TRY(loop_open(&l, 2, open ? TIMES_MOST : most < 0 ? 0 : (size_t)most));
  const size_t limit = open ? TIMES_MOST : most < 0 ? 0 : (size_t)most;
  for (bool on = condition != 0; on && l.times < limit; l.times++) TRY(loop_time(&l, l.times, &on));
  FAIL_IF(open && l.times == limit, refuse_times(c));
  TRY(set_states(&l));
  for (size_t k = 0; k < l.stacks; k++) TRY(stack(&l, k, false));
cleanup:
  loop_close(&l);
  return status;
}

/* Place t along an axis, which goes. */
static fusion_status slice(struct call *c, const struct value *v, uint32_t axis, size_t t, struct value *out) {
  const struct dims *in = value_dims(v);
  const size_t behind = dims_span(in, axis + 1, in->rank), size = in->d[axis];
  struct dims dims = {0};
  for (uint32_t k = 0; k < in->rank; k++)
    if (k != axis) dims_push(&dims, in->d[k]);
  const size_t count = dims_size(&dims);
  struct gather_source *sources = mem_alloc(size_max(count, 1), sizeof *sources);
  if (!sources) return call_out_of_memory(c);
  for (size_t i = 0; i < count; i++) sources[i].index = (uint32_t)((i / behind * size + t) * behind + i % behind);
  const fusion_status status = value_rearrange(c, v, sources, &dims, out);
  mem_free(sources);
  if (value_is_batched(v) && axis < v->batch_axis) out->batch_axis--;
  return status;
}

struct scans {
  size_t count; /* inputs that are walked along */
  uint32_t axis[MAX_RANK];
  bool backwards[MAX_RANK];
  size_t length;
};

static int64_t entry(const int64_t *list, size_t count, size_t i) {
  return i < count ? list[i] : 0;
}

static fusion_status take_scans(struct loop *l, struct scans *s) {
  const struct call *c = l->c;
  const int64_t *axes, *ways, *outputs;
  const size_t axis_count = attr_ints(c, "scan_input_axes", &axes),
               way_count = attr_ints(c, "scan_input_directions", &ways);
  const size_t output_count = attr_ints(c, "scan_output_axes", &outputs);
  for (size_t k = 0; k < output_count; k++)
    if (outputs[k]) return call_refuse(c, "stack along the first dimension", "stacks along another dimension");
  for (size_t k = 0; k < s->count; k++) {
    const struct value *v = call_input(c, l->states + k);
    if (!v) return call_malformed(c, "lacks an input");
    if (!axis_fix(entry(axes, axis_count, k), value_dims(v)->rank, &s->axis[k]))
      return call_malformed(c, "has an axis outside its input");
    if (value_batch_at(v, s->axis[k]))
      return call_refuse(c, "keep the samples of a batch apart", "works across the batch dimension");
    s->backwards[k] = entry(ways, way_count, k) != 0;
    const size_t length = value_dims(v)->d[s->axis[k]];
    if (k && length != s->length) return call_malformed(c, "walks along inputs of different lengths");
    s->length = length;
  }
  return FUSION_OK;
}

/* Body: (states, slices) to (states, stacks). */
static fusion_status scan_time(struct loop *l, const struct scans *s, size_t t) {
  struct value part = {0};
  fusion_status status = FUSION_OK;
  for (size_t i = 0; i < l->states; i++) TRY(define_input(l, i, t, &l->state[i]));
  for (size_t k = 0; k < s->count; k++) {
    TRY(slice(l->c, call_input(l->c, l->states + k), s->axis[k], s->backwards[k] ? s->length - 1 - t : t, &part));
    TRY(define_input(l, l->states + k, t, &part));
    tensor_free(part.constant);
    part.constant = NULL;
  }
  TRY(run_body(l, t));
  TRY(take_outputs(l, t));
cleanup:
  tensor_free(part.constant);
  return status;
}

fusion_status op_scan(struct call *c) {
  const Onnx__AttributeProto *a = attr_find(c, "body");
  struct loop l = {.c = c};
  struct scans s = {0};
  const int64_t *ways, count = attr_int(c, "num_scan_inputs", 0);
  fusion_status status;
  if (c->im->opset < 9) return call_refuse(c, "export with operator set 13", "has the form before operator set 9");
  if (!a || !a->g || count < 1 || count > MAX_RANK || a->g->n_input < (uint64_t)count)
    return call_malformed(c, "has a body that does not fit it");
  s.count = (size_t)count;
  l.states = a->g->n_input - s.count;
  if (a->g->n_output < l.states) return call_malformed(c, "has a body that does not fit it");
  l.stacks = a->g->n_output - l.states;
  TRY(take_scans(&l, &s));
  TRY(loop_open(&l, 0, s.length));
  for (; l.times < s.length; l.times++) TRY(scan_time(&l, &s, l.times));
  TRY(set_states(&l));
  const size_t way_count = attr_ints(c, "scan_output_directions", &ways);
  for (size_t k = 0; k < l.stacks; k++) TRY(stack(&l, k, entry(ways, way_count, k) != 0));
cleanup:
  loop_close(&l);
  return status;
}
