/* LSTM, GRU and RNN: unrolled. A step is a dense layer on what it reads, the input beside the state, and tables. */
#include <float.h>
#include <math.h>

#include "onnx/onnx_ops.h"

enum kind { KIND_RNN, KIND_GRU, KIND_LSTM };
enum { DIRECTIONS = 2, SEQUENCE_MAX = 1024, FUNCTIONS = 3 };

enum function { FUNCTION_SIGMOID, FUNCTION_TANH, FUNCTION_RELU, FUNCTION_HARD_SIGMOID, FUNCTION_COUNT };

/* An activation function; HardSigmoid: min(max(alpha x + beta, 0), 1). */
struct use {
  enum function function;
  float alpha, beta;
};

struct recurrent {
  enum kind kind;
  struct call *c;
  uint32_t length, inputs, hidden, directions;
  uint32_t rows;                      /* 1, but where the file's batch is part of a sample */
  bool layout;                        /* the batch before the sequence */
  bool reset_before;                  /* GRU: the reset gate before the product, not after */
  bool backward;                      /* of a single direction */
  bool coupled;                       /* LSTM: the forget gate is 1 less the input gate */
  float clip;                         /* what gates and fresh states read lies from -clip to clip; 0: anywhere */
  const struct tensor *w, *r, *b, *p; /* [directions][gates * hidden][inputs], [..][hidden], [directions][2 * gates *
                                         hidden], [directions][3 * hidden] */
  struct use use[DIRECTIONS][FUNCTIONS];
};

/* One direction on its way. */
struct walk {
  const struct recurrent *n;
  uint32_t direction, row;
  uint32_t state, cell;     /* nodes, [hidden][1][1] */
  bool has_state, has_cell; /* else zeros */
};

static uint32_t gates_of(enum kind kind) {
  return kind == KIND_LSTM ? 4 : kind == KIND_GRU ? 3 : 1;
}

/* ---- what the node says ---- */

static bool same_name(const ProtobufCBinaryData *s, const char *name) {
  if (s->len != strlen(name)) return false;
  for (size_t i = 0; i < s->len; i++) {
    const char a = (char)(s->data[i] | 0x20), b = (char)(name[i] | 0x20);
    if (a != b) return false;
  }
  return true;
}

static float list_entry(const Onnx__AttributeProto *a, size_t *at, float preset) {
  return a && *at < a->n_floats ? a->floats[(*at)++] : preset;
}

/* The functions of gates, state and, for an LSTM, cell. Those that have numbers take the next of the lists. */
static bool take_functions(struct recurrent *n) {
  static const char *const names[FUNCTION_COUNT] = {"Sigmoid", "Tanh", "Relu", "HardSigmoid"};
  static const enum function usual[3][FUNCTIONS] = {
      {FUNCTION_TANH}, {FUNCTION_SIGMOID, FUNCTION_TANH}, {FUNCTION_SIGMOID, FUNCTION_TANH, FUNCTION_TANH}};
  static const size_t counts[3] = {1, 2, 3};
  const Onnx__AttributeProto *given = attr_find(n->c, "activations"), *alpha = attr_find(n->c, "activation_alpha"),
                             *beta = attr_find(n->c, "activation_beta");
  const size_t each = counts[n->kind], count = given ? given->n_strings : 0;
  size_t alphas = 0, betas = 0;
  if (count && count != each * n->directions) return false;
  for (size_t i = 0; i < each * n->directions; i++) {
    struct use *u = &n->use[i / each][i % each];
    u->function = count ? FUNCTION_COUNT : usual[n->kind][i % each];
    for (int k = 0; count && k < FUNCTION_COUNT; k++)
      if (same_name(&given->strings[i], names[k])) u->function = (enum function)k;
    if (u->function == FUNCTION_COUNT) return false;
    if (u->function != FUNCTION_HARD_SIGMOID) continue;
    u->alpha = list_entry(alpha, &alphas, 0.2F);
    u->beta = list_entry(beta, &betas, 0.5F);
  }
  return (!alpha || alphas == alpha->n_floats) && (!beta || betas == beta->n_floats);
}

static fusion_status read_attributes(struct recurrent *n) {
  const struct call *c = n->c;
  char direction[16];
  attr_string(c, "direction", direction, sizeof direction);
  n->backward = !strcmp(direction, "reverse");
  n->directions = strcmp(direction, "bidirectional") ? 1 : DIRECTIONS;
  if (direction[0] && !n->backward && n->directions == 1 && strcmp(direction, "forward"))
    return call_malformed(c, "has an unknown direction");
  n->layout = attr_int(c, "layout", 0) != 0;
  n->reset_before = attr_int(c, "linear_before_reset", 0) == 0;
  n->clip = (float)attr_float(c, "clip", 0);
  if (attr_find(c, "clip") && !(n->clip > 0 && n->clip <= FLT_MAX))
    return call_malformed(c, "has a 'clip' that is not a number above 0");
  n->coupled = attr_int(c, "input_forget", 0) != 0;
  if (!take_functions(n))
    return call_refuse(c, "use Sigmoid, HardSigmoid, Tanh and Relu", "has other activation functions");
  return FUSION_OK;
}

static bool weights_fit(const struct tensor *t, uint32_t directions, uint64_t rows, uint64_t columns) {
  return t && t->dims.rank == 3 && t->dims.d[0] == directions && t->dims.d[1] == rows && t->dims.d[2] == columns;
}

/* NULL, or all of them the whole length. */
static bool lengths_whole(const struct recurrent *n) {
  const struct value *v = call_input(n->c, 4);
  if (!v) return true;
  if (!v->constant || !v->constant->i) return false;
  for (size_t i = 0; i < dims_size(&v->constant->dims); i++)
    if (v->constant->i[i] != n->length) return false;
  return true;
}

static fusion_status read_inputs(struct recurrent *n) {
  const struct call *c = n->c;
  const struct value *x = c->in[0];
  const uint32_t batch_axis = n->layout ? 0 : 1;
  if (x->constant || x->dims.rank != 3 || (x->batched && (x->batch_axis != batch_axis || x->dims.d[batch_axis] != 1)))
    return call_refuse(c, "give the network [batch][sequence][features] (in PyTorch: batch_first)",
                       "has an input of another shape");
  n->rows = x->dims.d[batch_axis];
  n->length = x->dims.d[1 - batch_axis];
  n->inputs = x->dims.d[2];
  n->w = call_constant(c, 1);
  n->r = call_constant(c, 2);
  n->b = call_constant(c, 3);
  if (!n->w || !n->r || (call_input(c, 3) && !n->b))
    return call_refuse(c, "use constant weights", "has weights that depend on the input");
  n->hidden = n->r->dims.rank == 3 ? n->r->dims.d[2] : 0;
  const uint64_t rows = (uint64_t)gates_of(n->kind) * n->hidden;
  if (!n->hidden || attr_int(c, "hidden_size", n->hidden) != n->hidden ||
      !weights_fit(n->w, n->directions, rows, n->inputs) || !weights_fit(n->r, n->directions, rows, n->hidden) ||
      (n->b && (n->b->dims.rank != 2 || n->b->dims.d[0] != n->directions || n->b->dims.d[1] != 2 * rows)))
    return call_malformed(c, "has weights that do not fit each other");
  if (n->length > SEQUENCE_MAX)
    return call_refuse(c, "use shorter sequences", "has a sequence of more than %d steps", SEQUENCE_MAX);
  if (!lengths_whole(n)) return call_refuse(c, "use sequences of one length", "has sequences of different lengths");
  n->p = call_constant(c, 7);
  if (call_input(c, 7) && !n->p) return call_refuse(c, "use constant weights", "has weights that depend on the input");
  if (n->p && (n->p->dims.rank != 2 || n->p->dims.d[0] != n->directions || n->p->dims.d[1] != 3 * (uint64_t)n->hidden))
    return call_malformed(c, "has peepholes that do not fit its weights");
  return FUSION_OK;
}

/* ---- pieces of the graph ---- */

static fusion_status added(const struct recurrent *n, fusion_status status, uint32_t node) {
  if (status == FUSION_OK) call_name_node(n->c, node);
  return call_added(n->c, status);
}

/* Elements [from, from + count) of a node, as [count][1][1]; `beside` (its first `beside_count` elements) after them.
 */
static fusion_status slice(const struct recurrent *n, uint32_t node, size_t from, uint32_t count, uint32_t beside,
                           uint32_t beside_count, uint32_t *out) {
  const uint32_t inputs[] = {node, beside}, all = count + beside_count;
  struct gather_source *sources = mem_alloc(all, sizeof *sources);
  if (!sources) return call_out_of_memory(n->c);
  for (uint32_t i = 0; i < all; i++)
    sources[i] = i < count ? (struct gather_source){.input = 0, .index = (uint32_t)(from + i)}
                           : (struct gather_source){.input = 1, .index = i - count};
  const struct graph_gather_spec spec = {
      .name = "", .inputs = inputs, .input_count = beside_count ? 2 : 1, .shape = {all, 1, 1}, .sources = sources};
  const fusion_status status = graph_add_gather(n->c->im->g, &spec, out);
  mem_free(sources);
  return added(n, status, *out);
}

static fusion_status part(const struct recurrent *n, uint32_t node, uint32_t k, uint32_t *out) {
  return slice(n, node, (size_t)k * n->hidden, n->hidden, 0, 0, out);
}

static fusion_status binary(const struct recurrent *n, enum graph_op op, uint32_t a, uint32_t b, uint32_t *out) {
  const fusion_status status = graph_add_binary(n->c->im->g, op, a, b, out);
  return added(n, status, *out);
}

/* scale[i] * x + bias, for each element; `scales` NULL: one scale for all. */
static fusion_status line(const struct recurrent *n, uint32_t node, const struct tensor *scales, size_t first,
                          float scale, float bias, uint32_t *out) {
  const uint32_t count = n->c->im->g->nodes[node].shape.channels;
  float *s = mem_alloc(count, sizeof *s), *b = mem_alloc(count, sizeof *b);
  fusion_status status = s && b ? FUSION_OK : call_out_of_memory(n->c);
  for (uint32_t i = 0; status == FUSION_OK && i < count; i++) {
    s[i] = scales ? (float)tensor_get(scales, first + i) : scale;
    b[i] = bias;
  }
  if (status == FUSION_OK) {
    status = graph_add_affine(n->c->im->g, node, s, bias > 0 || bias < 0 ? b : NULL, out);
    status = added(n, status, *out);
  }
  mem_free(s);
  mem_free(b);
  return status;
}

static fusion_status negate(const struct recurrent *n, uint32_t node, uint32_t *out) {
  return line(n, node, NULL, 0, -1, 0, out);
}

static fusion_status rectify(const struct recurrent *n, uint32_t node, uint32_t *out) {
  const fusion_status status = graph_add_unary(n->c->im->g, GRAPH_RELU, node, out);
  return added(n, status, *out);
}

/* min(x, high) */
static fusion_status cap(const struct recurrent *n, uint32_t node, float high, uint32_t *out) {
  fusion_status status;
  TRY(line(n, node, NULL, 0, -1, high, out));
  TRY(rectify(n, *out, out));
  TRY(line(n, *out, NULL, 0, -1, high, out));
cleanup:
  return status;
}

static fusion_status activate(const struct recurrent *n, uint32_t node, const struct use *u, uint32_t *out) {
  const struct activation_use use = {u->function == FUNCTION_TANH ? ACTIVATION_TANH : ACTIVATION_SIGMOID, 1, 1, 0, 0};
  fusion_status status;
  if (u->function == FUNCTION_RELU) return rectify(n, node, out);
  if (u->function != FUNCTION_HARD_SIGMOID) {
    status = graph_add_activation(n->c->im->g, node, use, out);
    return added(n, status, *out);
  }
  TRY(line(n, node, NULL, 0, u->alpha, u->beta, out));
  TRY(rectify(n, *out, out));
  TRY(cap(n, *out, 1, out));
cleanup:
  return status;
}

/* From here on floats of the function do not change any more. */
static float level_from(enum function f) {
  return f == FUNCTION_SIGMOID ? 18 : f == FUNCTION_TANH ? 10 : INFINITY;
}

/* The function of what is clipped. The standard clips "the input of activations"; ONNX Runtime clips what gates and
 * fresh states read, but not the cell on its way into the state, and so do we. */
static fusion_status clipped(const struct recurrent *n, uint32_t node, const struct use *u, uint32_t *out) {
  fusion_status status;
  *out = node;
  if (n->clip > 0 && n->clip < level_from(u->function)) {
    if (u->function != FUNCTION_RELU) {
      TRY(line(n, node, NULL, 0, 1, n->clip, out));
      TRY(rectify(n, *out, out));
      TRY(line(n, *out, NULL, 0, 1, -n->clip, out));
    }
    TRY(cap(n, *out, n->clip, out));
  }
  TRY(activate(n, *out, u, out));
cleanup:
  return status;
}

/* Rows of a dense layer on [input; state]: gate `gate` of the file's weights. With `of_input` or `of_state` false that
 * half is zeros, its bias left out. */
struct rows {
  uint32_t gate;
  bool of_input, of_state;
};

/* The layer; without a state its columns are left out. */
static fusion_status dense(const struct walk *k, const struct rows *rows, uint32_t count, uint32_t from, bool state,
                           uint32_t *out) {
  const struct recurrent *n = k->n;
  const uint32_t h = n->hidden, columns = n->inputs + (state ? h : 0), gates = gates_of(n->kind);
  float *weights = mem_alloc((size_t)count * h * columns, sizeof *weights),
        *bias = mem_alloc((size_t)count * h, sizeof *bias);
  fusion_status status = weights && bias ? FUSION_OK : call_out_of_memory(n->c);
  for (size_t i = 0; i < (size_t)count * h && status == FUSION_OK; i++) {
    const struct rows *p = &rows[i / h];
    const size_t row = (size_t)k->direction * gates * h + p->gate * h + i % h;
    float *to = weights + i * columns;
    for (uint32_t j = 0; j < n->inputs; j++) to[j] = p->of_input ? (float)tensor_get(n->w, row * n->inputs + j) : 0;
    for (uint32_t j = 0; state && j < h; j++)
      to[n->inputs + j] = p->of_state ? (float)tensor_get(n->r, row * h + j) : 0;
    const size_t at = (size_t)k->direction * 2 * gates * h + p->gate * h + i % h;
    bias[i] = 0;
    if (n->b && p->of_input) bias[i] += (float)tensor_get(n->b, at);
    if (n->b && p->of_state) bias[i] += (float)tensor_get(n->b, at + (size_t)gates * h);
  }
  if (status == FUSION_OK) {
    status = graph_add_dense(n->c->im->g, from, count * h, weights, bias, out);
    status = added(n, status, *out);
  }
  mem_free(weights);
  mem_free(bias);
  return status;
}

/* What step t reads: the input, and the state (if there is one). */
static fusion_status gathered(const struct walk *k, uint32_t t, uint32_t state, uint32_t *out) {
  const struct recurrent *n = k->n;
  const size_t at = n->layout ? (size_t)k->row * n->length + t : (size_t)t * n->rows + k->row;
  return slice(n, n->c->in[0]->node, at * n->inputs, n->inputs, state, k->has_state ? n->hidden : 0, out);
}

/* ---- a step of each ---- */

static fusion_status step_rnn(struct walk *k, uint32_t t) {
  static const struct rows rows[] = {{0, true, true}};
  fusion_status status;
  uint32_t read, sum;
  TRY(gathered(k, t, k->state, &read));
  TRY(dense(k, rows, 1, read, k->has_state, &sum));
  TRY(clipped(k->n, sum, &k->n->use[k->direction][0], &k->state));
cleanup:
  return status;
}

/* A gate: part `gate` of the sums (LSTM: input, output, forget), with a peephole on the cell where there is one. */
static fusion_status peep(const struct walk *k, uint32_t sums, uint32_t gate, bool cell, uint32_t *out) {
  const struct recurrent *n = k->n;
  fusion_status status;
  uint32_t seen;
  TRY(part(n, sums, gate, out));
  if (n->p && cell) {
    TRY(line(n, k->cell, n->p, ((size_t)k->direction * 3 + gate) * n->hidden, 0, 0, &seen));
    TRY(binary(n, GRAPH_ADD, *out, seen, out));
  }
  TRY(clipped(n, *out, &n->use[k->direction][0], out));
cleanup:
  return status;
}

/* Gates in the file: input, output, forget, cell. Without peepholes they are one table. */
static fusion_status lstm_gates(const struct walk *k, uint32_t sums, uint32_t *in, uint32_t *forget, uint32_t *out) {
  const struct recurrent *n = k->n;
  fusion_status status;
  uint32_t gates;
  if (n->p) {
    TRY(peep(k, sums, 0, k->has_cell, in));
    if (!n->coupled) TRY(peep(k, sums, 2, k->has_cell, forget));
  } else {
    TRY(slice(n, sums, 0, 3 * n->hidden, 0, 0, &gates));
    TRY(clipped(n, gates, &n->use[k->direction][0], &gates));
    TRY(part(n, gates, 0, in));
    TRY(part(n, gates, 1, out));
    if (!n->coupled) TRY(part(n, gates, 2, forget));
  }
  if (n->coupled) TRY(line(n, *in, NULL, 0, -1, 1, forget));
cleanup:
  return status;
}

/* cell' = forget * cell + input * tanh(..), state' = output * tanh(cell'). */
static fusion_status step_lstm(struct walk *k, uint32_t t) {
  static const struct rows rows[] = {{0, true, true}, {1, true, true}, {2, true, true}, {3, true, true}};
  const struct recurrent *n = k->n;
  const struct use *use = n->use[k->direction];
  fusion_status status;
  uint32_t read, sums, in = 0, out = 0, forget = 0, fresh, kept, level;
  TRY(gathered(k, t, k->state, &read));
  TRY(dense(k, rows, 4, read, k->has_state, &sums));
  TRY(lstm_gates(k, sums, &in, &forget, &out));
  TRY(part(n, sums, 3, &fresh));
  TRY(clipped(n, fresh, &use[1], &fresh));
  TRY(binary(n, GRAPH_MUL, in, fresh, &fresh));
  if (k->has_cell) {
    TRY(binary(n, GRAPH_MUL, forget, k->cell, &kept));
    TRY(binary(n, GRAPH_ADD, kept, fresh, &fresh));
  }
  k->cell = fresh;
  if (n->p) TRY(peep(k, sums, 1, true, &out));
  TRY(activate(n, k->cell, &use[2], &level));
  TRY(binary(n, GRAPH_MUL, out, level, &k->state));
cleanup:
  return status;
}

/* fresh = tanh(W x + b + reset * (R state + b)), or R (reset * state); state' = fresh + update * (state - fresh). */
static fusion_status gru_fresh(struct walk *k, uint32_t read, uint32_t t, uint32_t *update, uint32_t *fresh) {
  static const struct rows after[] = {{0, true, true}, {1, true, true}, {2, true, false}, {2, false, true}};
  static const struct rows before[] = {{2, true, true}};
  const struct recurrent *n = k->n;
  fusion_status status;
  uint32_t sums, gates, reset, from;
  const bool inside = n->reset_before;
  TRY(dense(k, after, inside ? 2 : 4, read, k->has_state, &sums));
  TRY(slice(n, sums, 0, 2 * n->hidden, 0, 0, &gates));
  TRY(clipped(n, gates, &n->use[k->direction][0], &gates));
  TRY(part(n, gates, 0, update));
  TRY(part(n, gates, 1, &reset));
  if (inside) {
    if (k->has_state) TRY(binary(n, GRAPH_MUL, reset, k->state, &reset));
    TRY(gathered(k, t, reset, &from));
    TRY(dense(k, before, 1, from, k->has_state, fresh));
  } else {
    TRY(part(n, sums, 3, &from));
    TRY(binary(n, GRAPH_MUL, reset, from, &reset));
    TRY(part(n, sums, 2, &from));
    TRY(binary(n, GRAPH_ADD, from, reset, fresh));
  }
  TRY(clipped(n, *fresh, &n->use[k->direction][1], fresh));
cleanup:
  return status;
}

static fusion_status step_gru(struct walk *k, uint32_t t) {
  const struct recurrent *n = k->n;
  fusion_status status;
  uint32_t read, update, fresh, away;
  TRY(gathered(k, t, k->state, &read));
  TRY(gru_fresh(k, read, t, &update, &fresh));
  TRY(negate(n, fresh, &away));
  if (k->has_state) TRY(binary(n, GRAPH_ADD, k->state, away, &away));
  TRY(binary(n, GRAPH_MUL, update, away, &away));
  TRY(binary(n, GRAPH_ADD, fresh, away, &k->state));
cleanup:
  return status;
}

/* ---- the whole ---- */

/* A constant state: zeros, to which it is added. */
static fusion_status constant_state(const struct recurrent *n, const struct tensor *t, size_t first, uint32_t *node) {
  const uint32_t from = n->c->in[0]->node;
  struct gather_source *zeros = mem_alloc(n->hidden, sizeof *zeros);
  float *scale = mem_alloc(n->hidden, sizeof *scale), *bias = mem_alloc(n->hidden, sizeof *bias);
  const struct graph_gather_spec spec = {
      .name = "", .inputs = &from, .input_count = 1, .shape = {n->hidden, 1, 1}, .sources = zeros};
  fusion_status status;
  FAIL_IF(!zeros || !scale || !bias, call_out_of_memory(n->c));
  for (uint32_t i = 0; i < n->hidden; i++) {
    zeros[i].index = GATHER_ZERO;
    scale[i] = 1;
    bias[i] = (float)tensor_get(t, first + i);
  }
  status = graph_add_gather(n->c->im->g, &spec, node);
  TRY(added(n, status, *node));
  status = graph_add_affine(n->c->im->g, *node, scale, bias, node);
  TRY(added(n, status, *node));
cleanup:
  mem_free(zeros);
  mem_free(scale);
  mem_free(bias);
  return status;
}

/* A state that is given; zeros are none. */
static fusion_status initial(const struct walk *k, size_t input, uint32_t *node, bool *there) {
  const struct recurrent *n = k->n;
  const struct value *v = call_input(n->c, input);
  *there = false;
  if (!v) return FUSION_OK;
  const struct dims *d = value_dims(v);
  if (dims_size(d) != (size_t)n->directions * n->rows * n->hidden)
    return call_malformed(n->c, "has an initial state that does not fit");
  const size_t row =
      n->layout ? (size_t)k->row * n->directions + k->direction : (size_t)k->direction * n->rows + k->row;
  const size_t first = row * n->hidden;
  *there = !v->constant;
  for (size_t i = first; v->constant && i < first + n->hidden; i++)
    *there = *there || tensor_get(v->constant, i) > 0 || tensor_get(v->constant, i) < 0;
  if (!*there) return FUSION_OK;
  return v->constant ? constant_state(n, v->constant, first, node) : slice(n, v->node, first, n->hidden, 0, 0, node);
}

/* Nodes that are made, by place in the output: the states, the last of them, the last cells. */
struct made {
  uint32_t *states, *last, *cells; /* owned */
};

/* One direction of one row. */
static fusion_status run_direction(const struct recurrent *n, uint32_t direction, uint32_t row, struct made *made) {
  static fusion_status (*const steps[])(struct walk *, uint32_t) = {step_rnn, step_gru, step_lstm};
  struct walk k = {.n = n, .direction = direction, .row = row};
  fusion_status status;
  TRY(initial(&k, 5, &k.state, &k.has_state));
  if (n->kind == KIND_LSTM) TRY(initial(&k, 6, &k.cell, &k.has_cell));
  const bool backward = n->backward || direction == 1;
  for (uint32_t i = 0; i < n->length; i++) {
    const uint32_t t = backward ? n->length - 1 - i : i;
    TRY(steps[n->kind](&k, t));
    k.has_state = k.has_cell = true;
    const size_t at = n->layout ? ((size_t)row * n->length + t) * n->directions + direction
                                : ((size_t)t * n->directions + direction) * n->rows + row;
    made->states[at] = k.state;
  }
  const size_t at = n->layout ? (size_t)row * n->directions + direction : (size_t)direction * n->rows + row;
  made->last[at] = k.state;
  made->cells[at] = k.cell;
cleanup:
  return status;
}

/* nodes[i], each [hidden], one after the other; as an output of `dims`, the batch in dimension `batch_axis`. */
static fusion_status join(const struct recurrent *n, const uint32_t *nodes, uint32_t count, struct dims dims,
                          uint32_t batch_axis, size_t output) {
  if (!call_uses_output(n->c, output)) return FUSION_OK;
  const size_t size = (size_t)count * n->hidden;
  struct gather_source *sources = mem_alloc(size, sizeof *sources);
  if (!sources) return call_out_of_memory(n->c);
  for (size_t i = 0; i < size; i++)
    sources[i] = (struct gather_source){.input = (uint32_t)(i / n->hidden), .index = (uint32_t)(i % n->hidden)};
  struct value out = *n->c->in[0];
  out.dims = dims;
  out.batch_axis = batch_axis;
  const struct graph_gather_spec spec = {
      .name = "", .inputs = nodes, .input_count = count, .shape = dims_shape(&dims), .sources = sources};
  fusion_status status = graph_add_gather(n->c->im->g, &spec, &out.node);
  mem_free(sources);
  status = added(n, status, out.node);
  return status == FUSION_OK ? call_set(n->c, output, &out) : status;
}

/* All states: [sequence][direction][batch][hidden], or [batch][sequence][direction][hidden]; the last state and cell:
 * [direction][batch][hidden], or [batch][direction][hidden]. */
static fusion_status outputs(const struct recurrent *n, const struct made *made) {
  const uint32_t l = n->length, d = n->directions, h = n->hidden, rows = n->rows;
  fusion_status status;
  const struct dims all = n->layout ? (struct dims){4, {rows, l, d, h}} : (struct dims){4, {l, d, rows, h}};
  const struct dims end = n->layout ? (struct dims){3, {rows, d, h}} : (struct dims){3, {d, rows, h}};
  TRY(join(n, made->states, rows * l * d, all, n->layout ? 0 : 2, 0));
  TRY(join(n, made->last, rows * d, end, n->layout ? 0 : 1, 1));
  if (n->kind == KIND_LSTM) TRY(join(n, made->cells, rows * d, end, n->layout ? 0 : 1, 2));
cleanup:
  return status;
}

static fusion_status unroll(const struct recurrent *n) {
  const size_t ends = (size_t)n->rows * n->directions;
  struct made made = {.states = mem_alloc(ends * n->length, sizeof *made.states),
                      .last = mem_alloc(ends, sizeof *made.last),
                      .cells = mem_alloc(ends, sizeof *made.cells)};
  fusion_status status = made.states && made.last && made.cells ? FUSION_OK : call_out_of_memory(n->c);
  for (uint32_t k = 0; k < ends && status == FUSION_OK; k++)
    status = run_direction(n, k % n->directions, k / n->directions, &made);
  if (status == FUSION_OK) status = outputs(n, &made);
  mem_free(made.states);
  mem_free(made.last);
  mem_free(made.cells);
  return status;
}

fusion_status op_recurrent(struct call *c) {
  const char *type = c->node->op_type;
  struct recurrent n = {.c = c, .kind = !strcmp(type, "LSTM") ? KIND_LSTM : !strcmp(type, "GRU") ? KIND_GRU : KIND_RNN};
  fusion_status status = read_attributes(&n);
  if (status == FUSION_OK) status = read_inputs(&n);
  return status == FUSION_OK ? unroll(&n) : status;
}
