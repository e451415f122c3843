/* Building and checking graphs: the importer, the tests and hand-written networks all come through here, so that every
 * consumer may rely on graph_validate's rules. */
#include "graph/graph.h"

#include <stdio.h>

enum { FIRST_CAPACITY = 16 };

static const char *const op_names[] = {"INPUT",   "LINEAR",   "AFFINE",     "ADD",    "MUL",     "MATMUL",
                                       "RELU",    "MAXPOOL",  "AVGPOOL",    "GATHER", "SOFTMAX", "ARGMAX",
                                       "SIGMOID", "QUANTISE", "ACTIVATION", "COMPARE"};

const char *graph_op_name(enum graph_op op) {
  return (size_t)op < sizeof op_names / sizeof op_names[0] ? op_names[op] : "?";
}

struct graph *graph_alloc(void) {
  return mem_alloc(1, sizeof(struct graph));
}

void graph_node_clear(struct graph_node *n) {
  mem_free(n->inputs);
  mem_free(n->weights);
  mem_free(n->bias);
  mem_free(n->gather);
}

void graph_free(struct graph *g) {
  if (!g) return;
  for (uint32_t i = 0; i < g->count; i++) graph_node_clear(&g->nodes[i]);
  mem_free(g->nodes);
  class_labels_free(&g->labels);
  mem_free(g);
}

static bool graph_grow(struct graph *g) {
  if (g->count < g->capacity) return true;
  if (g->capacity >= MODEL_MAX_NODES) return false;
  const uint32_t capacity = g->capacity ? 2 * g->capacity : FIRST_CAPACITY;
  struct graph_node *nodes = mem_alloc(capacity, sizeof *nodes);
  if (!nodes) return false;
  if (g->count) memcpy(nodes, g->nodes, g->count * sizeof *nodes);
  mem_free(g->nodes);
  g->nodes = nodes;
  g->capacity = capacity;
  return true;
}

struct graph_node *graph_add_node(struct graph *g, enum graph_op op, const char *name, const uint32_t *inputs,
                                  uint32_t input_count) {
  for (uint32_t i = 0; i < input_count; i++) {
    if (inputs[i] >= g->count) return NULL;
  }
  if (!graph_grow(g)) return NULL;
  struct graph_node *n = &g->nodes[g->count];
  *n = (struct graph_node){.op = op, .input_count = input_count, .window = window_make(1, 1, 1), .groups = 1};
  snprintf(n->name, sizeof n->name, "%s", name ? name : "");
  if (input_count) {
    n->inputs = mem_alloc(input_count, sizeof *n->inputs);
    if (!n->inputs) return NULL;
    memcpy(n->inputs, inputs, input_count * sizeof *inputs);
    n->shape = g->nodes[inputs[0]].shape;
  }
  g->count++;
  return n;
}

/* Copies `count` floats into *out; nothing when there are none to copy. */
static bool copy_floats(float **out, const float *from, size_t count) {
  if (!from) return true;
  *out = mem_alloc(count, sizeof **out);
  if (*out) memcpy(*out, from, count * sizeof *from);
  return *out != NULL;
}

static void tell(const struct graph *g, uint32_t *index) {
  if (index) *index = g->count - 1;
}

/* Takes the last node away again: an append that failed leaves the graph as it was. */
static fusion_status drop_last(struct graph *g, fusion_status status) {
  graph_node_clear(&g->nodes[--g->count]);
  return status;
}

fusion_status graph_add_input(struct graph *g, struct shape shape, uint32_t *index) {
  if (g->count || !shape_valid(shape)) return FUSION_E_MODEL;
  struct graph_node *n = graph_add_node(g, GRAPH_INPUT, "input", NULL, 0);
  if (!n) return FUSION_E_MEMORY;
  n->shape = shape;
  tell(g, index);
  return FUSION_OK;
}

/* Elements of a LINEAR node's weights; 0 when channels, groups and window do not fit or the limit is passed. */
static size_t linear_weight_count(uint32_t in, uint32_t out, uint32_t groups, const struct window *w) {
  if (groups == 0 || in % groups || out % groups) return 0;
  size_t count;
  if (!size_mul(out, in / groups, &count) || !size_mul(count, w->kernel_h, &count) ||
      !size_mul(count, w->kernel_w, &count) || count > MODEL_MAX_TENSOR)
    return 0;
  return count;
}

fusion_status graph_add_linear(struct graph *g, const struct graph_linear_spec *spec, uint32_t *index) {
  if (spec->input >= g->count || (!spec->weights && !spec->taken)) return FUSION_E_MODEL;
  const struct shape in = g->nodes[spec->input].shape;
  const size_t count = linear_weight_count(in.channels, spec->out_channels, spec->groups, &spec->window);
  struct shape out;
  if (!count || !window_apply(in, &spec->window, &out)) return FUSION_E_MODEL;
  out.channels = spec->out_channels;
  if (!shape_valid(out)) return FUSION_E_MODEL;
  struct graph_node *n = graph_add_node(g, GRAPH_LINEAR, spec->name, &spec->input, 1);
  if (!n) return FUSION_E_MEMORY;
  n->shape = out;
  n->window = spec->window;
  n->groups = spec->groups;
  if (!copy_floats(&n->bias, spec->bias, out.channels)) return drop_last(g, FUSION_E_MEMORY);
  if (!spec->taken && !copy_floats(&n->weights, spec->weights, count)) return drop_last(g, FUSION_E_MEMORY);
  if (spec->taken) n->weights = spec->taken;
  tell(g, index);
  return FUSION_OK;
}

fusion_status graph_add_dense(struct graph *g, uint32_t input, uint32_t out, const float *weights, const float *bias,
                              uint32_t *index) {
  const struct graph_linear_spec spec = {.name = "dense",
                                         .input = input,
                                         .out_channels = out,
                                         .groups = 1,
                                         .window = window_make(1, 1, 1),
                                         .weights = weights,
                                         .bias = bias};
  return graph_add_linear(g, &spec, index);
}

fusion_status graph_add_affine(struct graph *g, uint32_t input, const float *scale, const float *bias,
                               uint32_t *index) {
  if (input >= g->count || !scale) return FUSION_E_MODEL;
  struct graph_node *n = graph_add_node(g, GRAPH_AFFINE, "affine", &input, 1);
  if (!n) return FUSION_E_MEMORY;
  if (!copy_floats(&n->weights, scale, n->shape.channels) || !copy_floats(&n->bias, bias, n->shape.channels))
    return drop_last(g, FUSION_E_MEMORY);
  tell(g, index);
  return FUSION_OK;
}

fusion_status graph_add_pool(struct graph *g, enum graph_op op, uint32_t input, struct window window, uint32_t *index) {
  struct shape out;
  if ((op != GRAPH_MAXPOOL && op != GRAPH_AVGPOOL) || input >= g->count) return FUSION_E_MODEL;
  if (!window_apply(g->nodes[input].shape, &window, &out)) return FUSION_E_MODEL;
  struct graph_node *n = graph_add_node(g, op, "pool", &input, 1);
  if (!n) return FUSION_E_MEMORY;
  n->shape = out;
  n->window = window;
  tell(g, index);
  return FUSION_OK;
}

fusion_status graph_add_unary(struct graph *g, enum graph_op op, uint32_t input, uint32_t *index) {
  const bool unary =
      op == GRAPH_RELU || op == GRAPH_SOFTMAX || op == GRAPH_ARGMAX || op == GRAPH_SIGMOID || op == GRAPH_COMPARE;
  if (!unary || input >= g->count) return FUSION_E_MODEL;
  struct graph_node *n = graph_add_node(g, op, graph_op_name(op), &input, 1);
  if (!n) return FUSION_E_MEMORY;
  if (op == GRAPH_ARGMAX) n->shape = (struct shape){1, 1, 1};
  tell(g, index);
  return FUSION_OK;
}

static bool use_ok(const struct activation_use *use) {
  return (unsigned)use->kind < ACTIVATION_COUNT && use->stretch >= 1e-6f && use->stretch <= 1e6f &&
         use->gain >= -1e6f && use->gain <= 1e6f && use->power >= -8 && use->power <= 8 && use->inner >= 0 &&
         use->inner <= 100;
}

fusion_status graph_add_activation(struct graph *g, uint32_t input, struct activation_use use, uint32_t *index) {
  if (input >= g->count || !use_ok(&use)) return FUSION_E_MODEL;
  struct graph_node *n = graph_add_node(g, GRAPH_ACTIVATION, "activation", &input, 1);
  if (!n) return FUSION_E_MEMORY;
  n->use = use;
  tell(g, index);
  return FUSION_OK;
}

static bool quantise_ok(float step, int32_t low, int32_t high) {
  return step > 0 && step <= 1e30f && low <= 0 && high >= 0 && low < high;
}

fusion_status graph_add_quantise(struct graph *g, uint32_t input, float step, int32_t low, int32_t high,
                                 uint32_t *index) {
  if (input >= g->count || !quantise_ok(step, low, high)) return FUSION_E_MODEL;
  struct graph_node *n = graph_add_node(g, GRAPH_QUANTISE, "quantise", &input, 1);
  if (!n) return FUSION_E_MEMORY;
  n->step = step;
  n->low = low;
  n->high = high;
  n->keep_low = n->keep_high = true;
  tell(g, index);
  return FUSION_OK;
}

static bool shape_equal(struct shape a, struct shape b) {
  return a.channels == b.channels && a.height == b.height && a.width == b.width;
}

fusion_status graph_add_binary(struct graph *g, enum graph_op op, uint32_t left, uint32_t right, uint32_t *index) {
  if ((op != GRAPH_ADD && op != GRAPH_MUL) || left >= g->count || right >= g->count) return FUSION_E_MODEL;
  if (!shape_equal(g->nodes[left].shape, g->nodes[right].shape)) return FUSION_E_MODEL;
  if (!graph_add_node(g, op, graph_op_name(op), (const uint32_t[]){left, right}, 2)) return FUSION_E_MEMORY;
  tell(g, index);
  return FUSION_OK;
}

static struct shape matmul_shape(struct shape left, struct shape right, bool transpose) {
  return (struct shape){left.channels, left.height, transpose ? right.height : right.width};
}

static bool matmul_ok(struct shape left, struct shape right, const struct graph_node *n) {
  if (left.channels != right.channels || left.width != (n->transpose ? right.width : right.height)) return false;
  return shape_equal(n->shape, matmul_shape(left, right, n->transpose));
}

fusion_status graph_add_matmul(struct graph *g, uint32_t left, uint32_t right, bool transpose, uint32_t *index) {
  if (left >= g->count || right >= g->count) return FUSION_E_MODEL;
  const struct shape a = g->nodes[left].shape, b = g->nodes[right].shape;
  const struct graph_node wanted = {.shape = matmul_shape(a, b, transpose), .transpose = transpose};
  if (!matmul_ok(a, b, &wanted) || !shape_valid(wanted.shape)) return FUSION_E_MODEL;
  struct graph_node *n = graph_add_node(g, GRAPH_MATMUL, "matmul", (const uint32_t[]){left, right}, 2);
  if (!n) return FUSION_E_MEMORY;
  n->shape = wanted.shape;
  n->transpose = transpose;
  tell(g, index);
  return FUSION_OK;
}

/* Every source lies in its input. */
static bool gather_ok(const struct graph *g, const struct graph_node *n) {
  const size_t size = shape_size(n->shape);
  for (size_t i = 0; i < size; i++) {
    const struct gather_source s = n->gather[i];
    if (s.index == GATHER_ZERO) continue;
    if (s.input >= n->input_count || s.index >= shape_size(g->nodes[n->inputs[s.input]].shape)) return false;
  }
  return true;
}

fusion_status graph_add_gather(struct graph *g, const struct graph_gather_spec *spec, uint32_t *index) {
  if (!shape_valid(spec->shape) || spec->input_count == 0 || !spec->sources) return FUSION_E_MODEL;
  struct graph_node *n = graph_add_node(g, GRAPH_GATHER, spec->name, spec->inputs, spec->input_count);
  if (!n) return FUSION_E_MEMORY;
  const size_t size = shape_size(spec->shape);
  n->shape = spec->shape;
  n->gather = mem_alloc(size, sizeof *n->gather);
  if (!n->gather) return drop_last(g, FUSION_E_MEMORY);
  memcpy(n->gather, spec->sources, size * sizeof *n->gather);
  if (!gather_ok(g, n)) return drop_last(g, FUSION_E_MODEL);
  tell(g, index);
  return FUSION_OK;
}

fusion_status graph_add_reshape(struct graph *g, uint32_t input, struct shape shape, uint32_t *index) {
  if (input >= g->count || !shape_valid(shape)) return FUSION_E_MODEL;
  const size_t size = shape_size(shape);
  if (size != shape_size(g->nodes[input].shape)) return FUSION_E_MODEL;
  struct gather_source *gather = mem_alloc(size, sizeof *gather);
  if (!gather) return FUSION_E_MEMORY;
  for (size_t i = 0; i < size; i++) gather[i].index = (uint32_t)i;
  struct graph_node *n = graph_add_node(g, GRAPH_GATHER, "reshape", &input, 1);
  if (!n) {
    mem_free(gather);
    return FUSION_E_MEMORY;
  }
  n->shape = shape;
  n->gather = gather;
  tell(g, index);
  return FUSION_OK;
}

/* Inputs of each operator: exactly this many; 0 = any number from one on. */
static const uint32_t op_inputs[] = {0, 1, 1, 2, 2, 2, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1};

static bool window_node_ok(const struct graph_node *n, struct shape in) {
  struct shape out;
  if (!window_apply(in, &n->window, &out)) return false;
  if (n->op == GRAPH_LINEAR) {
    if (!n->weights || !linear_weight_count(in.channels, n->shape.channels, n->groups, &n->window)) return false;
    out.channels = n->shape.channels;
  }
  return shape_equal(out, n->shape);
}

static bool node_ok(const struct graph *g, uint32_t index) {
  const struct graph_node *n = &g->nodes[index];
  if ((index == 0) != (n->op == GRAPH_INPUT) || (size_t)n->op >= sizeof op_names / sizeof op_names[0]) return false;
  if (!shape_valid(n->shape)) return false;
  if (n->op == GRAPH_INPUT) return n->input_count == 0;
  if (n->input_count == 0 || (op_inputs[n->op] && n->input_count != op_inputs[n->op])) return false;
  for (uint32_t i = 0; i < n->input_count; i++) {
    const enum graph_op from = n->inputs[i] < index ? g->nodes[n->inputs[i]].op : GRAPH_ARGMAX;
    if (from == GRAPH_ARGMAX || from == GRAPH_SOFTMAX || from == GRAPH_SIGMOID) return false;
  }
  const struct shape in = g->nodes[n->inputs[0]].shape;
  switch (n->op) {
    case GRAPH_LINEAR:
    case GRAPH_MAXPOOL:
    case GRAPH_AVGPOOL: return window_node_ok(n, in);
    case GRAPH_AFFINE: return n->weights && shape_equal(in, n->shape);
    case GRAPH_ADD:
    case GRAPH_MUL: return shape_equal(in, n->shape) && shape_equal(g->nodes[n->inputs[1]].shape, n->shape);
    case GRAPH_MATMUL: return matmul_ok(in, g->nodes[n->inputs[1]].shape, n);
    case GRAPH_GATHER: return n->gather && gather_ok(g, n);
    case GRAPH_ARGMAX: return shape_size(n->shape) == 1 && index == g->count - 1;
    case GRAPH_SOFTMAX:
    case GRAPH_SIGMOID: return shape_equal(in, n->shape) && index == g->count - 1;
    case GRAPH_ACTIVATION: return shape_equal(in, n->shape) && use_ok(&n->use);
    case GRAPH_QUANTISE: return shape_equal(in, n->shape) && quantise_ok(n->step, n->low, n->high);
    default: return shape_equal(in, n->shape);
  }
}

fusion_status graph_validate(const struct graph *g, fusion_error *err) {
  if (!g || g->count == 0) return error_set(err, FUSION_E_MODEL, "the network is empty; give it an input and a layer");
  for (uint32_t i = 0; i < g->count; i++) {
    if (!node_ok(g, i))
      return error_set(err, FUSION_E_MODEL, "layer %u ('%s', %s): its inputs, shape or arrays do not fit each other", i,
                       g->nodes[i].name, graph_op_name(g->nodes[i].op));
  }
  return FUSION_OK;
}
