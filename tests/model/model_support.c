#include "model/model_support.h"

#include <math.h>

const char *const network_kinds[] = {"mlp",       "conv",    "residual", "concat",    "pooled", "quadratic",
                                     "depthwise", "average", "clip",     "attention", NULL};

float random_unit(uint64_t *state) {
  return (float)(int64_t)(test_random(state) >> 40) / (float)(1 << 23) - 1;
}

float *random_floats(uint64_t *state, size_t count, float scale) {
  float *v = mem_alloc(count, sizeof *v);
  assert_non_null(v);
  for (size_t i = 0; i < count; i++) v[i] = random_unit(state) * scale;
  return v;
}

static uint32_t conv(struct graph *g, uint64_t *state, uint32_t input, uint32_t out, uint32_t groups, struct window w) {
  const size_t depth = (size_t)g->nodes[input].shape.channels / groups * w.kernel_h * w.kernel_w;
  float *weights = random_floats(state, out * depth, 1.5f / sqrtf((float)depth));
  /* Channels of very different sizes, as batch normalisation leaves them. */
  for (uint32_t o = 0; o < out; o++)
    for (size_t k = 0; k < depth; k++) weights[o * depth + k] *= (float)(1 + (o * 7) % 5);
  float *bias = random_floats(state, out, 0.3f);
  const struct graph_linear_spec spec = {.name = "conv",
                                         .input = input,
                                         .out_channels = out,
                                         .groups = groups,
                                         .window = w,
                                         .weights = weights,
                                         .bias = bias};
  uint32_t index;
  assert_ok(graph_add_linear(g, &spec, &index));
  mem_free(weights);
  mem_free(bias);
  return index;
}

static struct window padded(uint32_t kernel, uint32_t stride) {
  struct window w = window_make(kernel, kernel, stride);
  w.pad_top = w.pad_left = w.pad_bottom = w.pad_right = kernel / 2;
  return w;
}

static uint32_t unary(struct graph *g, enum graph_op op, uint32_t input) {
  uint32_t index;
  assert_ok(graph_add_unary(g, op, input, &index));
  return index;
}

static uint32_t binary(struct graph *g, enum graph_op op, uint32_t a, uint32_t b) {
  uint32_t index;
  assert_ok(graph_add_binary(g, op, a, b, &index));
  return index;
}

static uint32_t pool(struct graph *g, enum graph_op op, uint32_t input, struct window w) {
  uint32_t index;
  assert_ok(graph_add_pool(g, op, input, w, &index));
  return index;
}

static uint32_t flatten(struct graph *g, uint32_t input) {
  uint32_t index;
  const struct shape s = {(uint32_t)shape_size(g->nodes[input].shape), 1, 1};
  assert_ok(graph_add_reshape(g, input, s, &index));
  return index;
}

static uint32_t dense(struct graph *g, uint64_t *state, uint32_t input, uint32_t out) {
  return conv(g, state, input, out, 1, window_make(1, 1, 1));
}

static uint32_t concat(struct graph *g, uint32_t a, uint32_t b) {
  const uint32_t inputs[2] = {a, b};
  struct shape s = g->nodes[a].shape;
  const size_t first = shape_size(s), second = shape_size(g->nodes[b].shape);
  s.channels += g->nodes[b].shape.channels;
  struct gather_source *map = mem_alloc(first + second, sizeof *map);
  assert_non_null(map);
  for (uint32_t i = 0; i < first + second; i++)
    map[i] = i < first ? (struct gather_source){0, i} : (struct gather_source){1, i - (uint32_t)first};
  const struct graph_gather_spec spec = {
      .name = "concat", .inputs = inputs, .input_count = 2, .shape = s, .sources = map};
  uint32_t index;
  assert_ok(graph_add_gather(g, &spec, &index));
  mem_free(map);
  return index;
}

static void build_residual(struct graph *g, uint64_t *state, uint32_t x) {
  const uint32_t a = unary(g, GRAPH_RELU, conv(g, state, x, 6, 1, padded(3, 1)));
  const uint32_t b = conv(g, state, unary(g, GRAPH_RELU, conv(g, state, a, 6, 1, padded(3, 1))), 6, 1, padded(3, 1));
  const uint32_t c = unary(g, GRAPH_RELU, binary(g, GRAPH_ADD, a, b));
  const uint32_t d = conv(g, state, unary(g, GRAPH_RELU, conv(g, state, c, 8, 1, padded(3, 2))), 8, 1, padded(3, 1));
  const uint32_t e = unary(g, GRAPH_RELU, binary(g, GRAPH_ADD, conv(g, state, c, 8, 1, window_make(1, 1, 2)), d));
  dense(g, state, flatten(g, pool(g, GRAPH_AVGPOOL, e, window_make(3, 3, 1))), 7);
}

static void build_concat(struct graph *g, uint64_t *state, uint32_t x) {
  const uint32_t a = unary(g, GRAPH_RELU, conv(g, state, x, 4, 1, window_make(1, 1, 1)));
  const uint32_t b = unary(g, GRAPH_RELU, conv(g, state, a, 5, 1, window_make(1, 1, 1)));
  const uint32_t c = concat(g, b, unary(g, GRAPH_RELU, conv(g, state, a, 5, 1, padded(3, 1))));
  const uint32_t d = concat(g, c, a);
  dense(g, state, flatten(g, pool(g, GRAPH_MAXPOOL, d, window_make(3, 3, 3))), 7);
}

/** Relus that go behind a MaxPool: alone, and all of a Concat. */
static void build_pooled(struct graph *g, uint64_t *state, uint32_t x) {
  const uint32_t a = unary(g, GRAPH_RELU, conv(g, state, x, 4, 1, padded(3, 1)));
  const uint32_t b = pool(g, GRAPH_MAXPOOL, a, window_make(2, 2, 2));
  const uint32_t c = unary(g, GRAPH_RELU, conv(g, state, b, 5, 1, window_make(1, 1, 1)));
  const uint32_t d = concat(g, c, unary(g, GRAPH_RELU, conv(g, state, b, 3, 1, padded(3, 1))));
  dense(g, state, flatten(g, pool(g, GRAPH_MAXPOOL, d, padded(3, 2))), 7);
}

static void build_depthwise(struct graph *g, uint64_t *state, uint32_t x) {
  const uint32_t a = conv(g, state, x, 6, 1, padded(3, 1));
  const uint32_t b = unary(g, GRAPH_RELU, conv(g, state, a, 6, 6, padded(3, 1)));
  const uint32_t c = binary(g, GRAPH_ADD, a, conv(g, state, b, 6, 2, padded(3, 1)));
  float *scale = random_floats(state, 6, 2), *bias = random_floats(state, 6, 1);
  uint32_t d;
  assert_ok(graph_add_affine(g, c, scale, bias, &d));
  mem_free(scale);
  mem_free(bias);
  const uint32_t e = binary(g, GRAPH_ADD, unary(g, GRAPH_RELU, d), c);
  dense(g, state, flatten(g, e), 7);
}

static void build_average(struct graph *g, uint64_t *state, uint32_t x) {
  const uint32_t a = unary(g, GRAPH_RELU, conv(g, state, x, 4, 1, padded(3, 1)));
  const uint32_t b = pool(g, GRAPH_AVGPOOL, a, padded(3, 1));
  const uint32_t c = binary(g, GRAPH_ADD, b, a);
  const uint32_t d = pool(g, GRAPH_AVGPOOL, c, window_make(2, 2, 2));
  const uint32_t e = concat(g, d, pool(g, GRAPH_MAXPOOL, c, window_make(2, 2, 2)));
  flatten(g, pool(g, GRAPH_AVGPOOL, unary(g, GRAPH_RELU, conv(g, state, e, 7, 1, padded(3, 1))), window_make(3, 3, 3)));
}

/** affine: sign * x + bias */
static uint32_t offset(struct graph *g, uint32_t input, float sign, float bias) {
  const uint32_t channels = g->nodes[input].shape.channels;
  float *scale = mem_alloc(channels, sizeof *scale), *add = mem_alloc(channels, sizeof *add);
  uint32_t index;
  assert_true(scale && add);
  for (uint32_t c = 0; c < channels; c++) {
    scale[c] = sign;
    add[c] = bias * (float)(1 + c % 3);
  }
  assert_ok(graph_add_affine(g, input, scale, add, &index));
  mem_free(scale);
  mem_free(add);
  return index;
}

/** relu6's shape, with a bound that cuts; and offsets of an input, of a sum, and into an addition. */
static void build_clip(struct graph *g, uint64_t *state, uint32_t x) {
  const uint32_t a = unary(g, GRAPH_RELU, conv(g, state, offset(g, x, 1, 0.25f), 6, 1, padded(3, 1)));
  const uint32_t b = offset(g, unary(g, GRAPH_RELU, offset(g, a, -1, 1)), -1, 1);
  const uint32_t c = binary(g, GRAPH_ADD, offset(g, b, 1, -0.5f), conv(g, state, b, 6, 6, padded(3, 1)));
  const uint32_t d = offset(g, pool(g, GRAPH_AVGPOOL, unary(g, GRAPH_RELU, c), window_make(2, 2, 2)), -1, 0.5f);
  dense(g, state, flatten(g, d), 7);
}

/** Attention of four heads over three places, a Relu in the Softmax's place; then a layer. */
static void build_attention(struct graph *g, uint64_t *state, uint32_t x) {
  const uint32_t q = conv(g, state, x, 4, 1, window_make(1, 2, 2)), k = conv(g, state, x, 4, 1, window_make(1, 2, 2));
  const uint32_t v = conv(g, state, x, 4, 1, window_make(1, 2, 2));
  uint32_t scores, mixed;
  assert_ok(graph_add_matmul(g, q, k, true, &scores));
  assert_ok(graph_add_matmul(g, unary(g, GRAPH_RELU, scores), v, false, &mixed));
  dense(g, state, flatten(g, mixed), 7);
}

struct graph *random_network(const char *kind, uint64_t *state) {
  struct graph *g = graph_alloc();
  uint32_t x;
  assert_non_null(g);
  const bool flat = strcmp(kind, "mlp") == 0 || strcmp(kind, "quadratic") == 0;
  assert_ok(graph_add_input(g, flat ? (struct shape){30, 1, 1} : (struct shape){3, 6, 6}, &x));
  if (strcmp(kind, "mlp") == 0) {
    dense(g, state, unary(g, GRAPH_RELU, dense(g, state, unary(g, GRAPH_RELU, dense(g, state, x, 20)), 20)), 7);
    unary(g, GRAPH_SOFTMAX, g->count - 1);
  }
  if (strcmp(kind, "quadratic") == 0) {
    const uint32_t a = dense(g, state, x, 20);
    const uint32_t b = dense(g, state, binary(g, GRAPH_MUL, a, a), 16);
    dense(g, state, binary(g, GRAPH_MUL, b, b), 7);
  }
  if (strcmp(kind, "clip") == 0) build_clip(g, state, x);
  if (strcmp(kind, "conv") == 0) {
    const uint32_t a = pool(g, GRAPH_MAXPOOL, conv(g, state, x, 5, 1, padded(3, 1)), padded(3, 2));
    const uint32_t b = conv(g, state, unary(g, GRAPH_RELU, a), 6, 1, padded(3, 2));
    dense(g, state, flatten(g, unary(g, GRAPH_RELU, b)), 7);
  }
  if (strcmp(kind, "residual") == 0) build_residual(g, state, x);
  if (strcmp(kind, "concat") == 0) build_concat(g, state, x);
  if (strcmp(kind, "pooled") == 0) build_pooled(g, state, x);
  if (strcmp(kind, "depthwise") == 0) build_depthwise(g, state, x);
  if (strcmp(kind, "average") == 0) build_average(g, state, x);
  if (strcmp(kind, "attention") == 0) build_attention(g, state, x);
  fusion_error err = {.status = FUSION_OK};
  if (graph_validate(g, &err) != FUSION_OK) fail_msg("%s: %s", kind, err.text);
  return g;
}

struct model *random_model_with(const char *kind, uint64_t *state, const struct quantise_options *options) {
  struct graph *g = random_network(kind, state);
  const size_t samples = 20;
  float *input = random_floats(state, samples * shape_size(g->nodes[0].shape), 1);
  struct quantise_report report;
  struct model *m = NULL;
  fusion_error err = {.status = FUSION_OK};
  if (quantise_graph(&m, g, input, samples, options, &report, &err) != FUSION_OK) fail_msg("%s: %s", kind, err.text);
  mem_free(report.steps);
  mem_free(input);
  graph_free(g);
  return m;
}

struct model *random_model(const char *kind, uint64_t *state, unsigned weight_bits, unsigned activation_bits) {
  struct quantise_options options = quantise_defaults();
  options.weight_bits = weight_bits;
  options.activation_bits = activation_bits;
  return random_model_with(kind, state, &options);
}
