/* Comparisons in networks: thresholds, logic, what mixes with real values; widths of what they make. */
#include <math.h>

#include "execute/execute.h"
#include "graph/forest.h"
#include "model/model_support.h"

enum { FEATURES = 6, ROWS = 8, SAMPLES = 60, REACH = 40 };

struct compiled {
  struct model *model;
  struct quantise_report report;
  float *real;    /* [samples][outputs] */
  double *fixed;  /* the same */
  size_t outputs; /* of a sample */
};

static void compile(struct compiled *c, const struct graph *g, const float *x, size_t samples,
                    const struct quantise_options *options) {
  const size_t in = shape_size(g->nodes[0].shape);
  fusion_error err = {.status = FUSION_OK};
  if (graph_validate(g, &err) != FUSION_OK) fail_msg("%s", err.text);
  if (quantise_graph(&c->model, g, x, samples, options, &c->report, &err) != FUSION_OK) fail_msg("%s", err.text);
  c->outputs = shape_size(g->nodes[g->count - 1].shape);
  const size_t total = samples * c->outputs;
  int64_t *rows = mem_alloc(samples * in, sizeof *rows), *logits = mem_alloc(total, sizeof *logits);
  c->real = mem_alloc(total, sizeof *c->real);
  c->fixed = mem_alloc(total, sizeof *c->fixed);
  assert_ok(graph_run(g, x, samples, c->real, NULL, NULL));
  assert_ok(program_quantise_input(&c->model->program, x, samples, rows, NULL));
  assert_ok(program_execute(c->model, rows, samples, logits, &(struct execute_options){.threads = 1}));
  program_dequantise(&c->model->program, logits, total, c->fixed);
  mem_free(rows);
  mem_free(logits);
}

static void compiled_free(struct compiled *c) {
  model_free(c->model);
  mem_free(c->report.steps);
  mem_free(c->real);
  mem_free(c->fixed);
}

/* Thresholds of whole-numbered features between two values, or at one; either sign, any factor. */
static uint32_t add_thresholds(struct graph *g, uint32_t x, uint64_t *random) {
  float weights[ROWS * FEATURES] = {0}, bias[ROWS];
  for (size_t r = 0; r < ROWS; r++) {
    const float w = (test_random(random) & 1 ? 1.0F : -1.0F) * (float)(1 + test_random(random) % 50) / 16;
    const float at = (float)((int64_t)(test_random(random) % 60) - 30) / 2;
    weights[r * FEATURES + test_random(random) % FEATURES] = w;
    bias[r] = -w * at;
  }
  assert_ok(graph_add_dense(g, x, ROWS, weights, bias, &x));
  assert_ok(graph_add_unary(g, GRAPH_COMPARE, x, &x));
  return x;
}

static uint32_t add_affine(struct graph *g, uint32_t x, float scale, float bias) {
  float s[ROWS], b[ROWS];
  for (size_t i = 0; i < ROWS; i++) s[i] = scale;
  for (size_t i = 0; i < ROWS; i++) b[i] = bias;
  assert_ok(graph_add_affine(g, x, s, b, &x));
  return x;
}

static float *whole_samples(uint64_t *random, size_t samples) {
  float *x = mem_alloc(samples * FEATURES, sizeof *x);
  for (size_t i = 0; i < samples * FEATURES; i++) x[i] = (float)((int64_t)(test_random(random) % (2 * REACH)) - REACH);
  return x;
}

/* And, Or by complements, Xor, a chain of comparisons: exactly the float network's. */
static void compare__logic_is_exact(void **state) {
  (void)state;
  uint64_t random = test_seed();
  for (int round = 0; round < 6; round++) {
    struct graph *g = graph_alloc();
    struct compiled c = {0};
    uint32_t x, a, b, both, mixed;
    assert_ok(graph_add_input(g, (struct shape){FEATURES, 1, 1}, &x));
    a = add_thresholds(g, x, &random);
    b = add_affine(g, add_thresholds(g, x, &random), -1, 1);
    assert_ok(graph_add_binary(g, GRAPH_MUL, a, b, &both));
    assert_ok(graph_add_binary(g, GRAPH_ADD, a, b, &mixed));
    assert_ok(graph_add_binary(g, GRAPH_MUL, mixed, mixed, &mixed));
    assert_ok(graph_add_binary(g, GRAPH_ADD, mixed, both, &mixed));
    assert_ok(graph_add_unary(g, GRAPH_COMPARE, add_affine(g, mixed, 1, -2), &mixed));
    float *samples = whole_samples(&random, SAMPLES);
    struct quantise_options options = quantise_defaults();
    if (round % 2) options.weight_bits = options.activation_bits = options.input_bits = 8;
    compile(&c, g, samples, SAMPLES, &options);
    for (size_t i = 0; i < SAMPLES * c.outputs; i++)
      if (fabs(c.fixed[i] - (double)c.real[i]) > 0) fail_msg("round %d: value %zu is wrong", round, i);
    compiled_free(&c);
    mem_free(samples);
    graph_free(g);
  }
}

/* x where x >= t, else a tenth of it: truth values multiply reals, and are added to them. */
static void compare__mixes_with_real_values(void **state) {
  (void)state;
  uint64_t random = test_seed();
  struct graph *g = graph_alloc();
  struct compiled c = {0};
  uint32_t x, real, truth, product, sum;
  float *w = random_floats(&random, ROWS * FEATURES, 1);
  assert_ok(graph_add_input(g, (struct shape){FEATURES, 1, 1}, &x));
  assert_ok(graph_add_dense(g, x, ROWS, w, NULL, &real));
  truth = add_thresholds(g, x, &random);
  assert_ok(graph_add_binary(g, GRAPH_MUL, real, truth, &product));
  assert_ok(graph_add_binary(g, GRAPH_ADD, product, truth, &sum));
  float *samples = whole_samples(&random, SAMPLES);
  struct quantise_options options = quantise_defaults();
  compile(&c, g, samples, SAMPLES, &options);
  double worst = 0, top = 0;
  for (size_t i = 0; i < SAMPLES * c.outputs; i++) {
    worst = fmax(worst, fabs(c.fixed[i] - (double)c.real[i]));
    top = fmax(top, fabs((double)c.real[i]));
  }
  if (worst > 0.1 * top) fail_msg("error %g of %g", worst, top);
  compiled_free(&c);
  mem_free(samples);
  mem_free(w);
  graph_free(g);
}

/* Six truth values are all true where their average is 1: the sum's ring has four bits. */
static void compare__rings_hold_what_sums_can_reach(void **state) {
  (void)state;
  enum { GROUP = 4 };
  uint64_t random = test_seed();
  struct graph *g = graph_alloc();
  struct compiled c = {0};
  const float minus[1] = {-(1 - 0.25F / GROUP)}, one[1] = {1};
  const struct window w = {1, GROUP, 1, GROUP, 0, 0, 0, 0, 1, 1};
  uint32_t x;
  assert_ok(graph_add_input(g, (struct shape){FEATURES, 1, 1}, &x));
  x = add_thresholds(g, x, &random);
  assert_ok(graph_add_reshape(g, x, (struct shape){1, 1, ROWS}, &x));
  assert_ok(graph_add_pool(g, GRAPH_AVGPOOL, x, w, &x));
  assert_ok(graph_add_affine(g, x, one, minus, &x));
  assert_ok(graph_add_unary(g, GRAPH_COMPARE, x, &x));
  float *samples = whole_samples(&random, SAMPLES);
  struct quantise_options options = quantise_defaults();
  compile(&c, g, samples, SAMPLES, &options);
  for (size_t i = 0; i < SAMPLES * c.outputs; i++) assert_true(fabs(c.fixed[i] - (double)c.real[i]) <= 0);
  const struct program *p = &c.model->program;
  assert_int_equal(p->steps[p->count - 1].op, OP_COMPARE);
  assert_true(p->steps[p->steps[p->count - 1].inputs[0]].out.ring_bits <= 4);
  compiled_free(&c);
  mem_free(samples);
  graph_free(g);
}

/* ---- Forests ---- */

enum { TREES = 5, NODES = 512, OUTPUTS = 2 };

/* A random tree below `depth` levels; `full`: no leaf above them. Chains have a leaf beside each decision. */
static uint32_t grow(struct forest *f, unsigned depth, bool full, bool chain, uint64_t *random) {
  const uint32_t at = f->node_count++;
  struct forest_node *n = &f->nodes[at];
  assert_true(at < NODES);
  *n = (struct forest_node){.leaf = depth == 0 || (!full && !chain && test_random(random) % 4 == 0), .row = f->rows};
  if (n->leaf) {
    for (uint32_t o = 0; o < OUTPUTS; o++) f->values[f->rows * OUTPUTS + o] = random_unit(random);
    f->rows++;
    return at;
  }
  n->feature = (uint32_t)(test_random(random) % FEATURES);
  n->at = random_unit(random) * REACH;
  n->at_least = test_random(random) & 1;
  const bool side = test_random(random) & 1;
  n->hit = grow(f, chain && side ? 0 : depth - 1, full, chain, random);
  n->miss = grow(f, chain && !side ? 0 : depth - 1, full, chain, random);
  return at;
}

static struct forest forest_of(unsigned depth, bool full, bool chain, uint64_t *random) {
  struct forest f = {.trees = TREES, .outputs = OUTPUTS};
  f.nodes = mem_alloc(NODES, sizeof *f.nodes);
  f.values = mem_alloc(NODES * OUTPUTS, sizeof *f.values);
  f.base = mem_alloc(OUTPUTS, sizeof *f.base);
  f.roots = mem_alloc(TREES, sizeof *f.roots);
  f.base[1] = 0.5F;
  for (uint32_t t = 0; t < TREES; t++) f.roots[t] = grow(&f, depth, full || t == 0, chain, random);
  return f;
}

/* What the trees say of a row. */
static void walk(const struct forest *f, const float *x, double *out) {
  for (uint32_t o = 0; o < OUTPUTS; o++) out[o] = (double)f->base[o];
  for (uint32_t t = 0; t < f->trees; t++) {
    const struct forest_node *n = &f->nodes[f->roots[t]];
    while (!n->leaf) {
      const bool hit = n->at_least ? x[n->feature] >= n->at : x[n->feature] <= n->at;
      n = &f->nodes[hit ? n->hit : n->miss];
    }
    for (uint32_t o = 0; o < OUTPUTS; o++) out[o] += (double)f->values[n->row * OUTPUTS + o];
  }
}

/* Every decision is the trees' own on the calibration samples: what is left is the rounding of values. */
static void check_forest(const struct forest *f, bool full, uint64_t *random) {
  struct graph *g = graph_alloc();
  struct compiled c = {0};
  struct forest_shape shape;
  const char *why;
  uint32_t x;
  double want[OUTPUTS];
  float *samples = whole_samples(random, SAMPLES);
  for (size_t i = 0; i < SAMPLES * FEATURES; i++) samples[i] += (float)(test_random(random) % 8) / 8;
  assert_ok(graph_add_input(g, (struct shape){FEATURES, 1, 1}, &x));
  assert_ok(forest_add(g, x, f, &shape, &x, &why));
  assert_int_equal(shape.full, full);
  struct quantise_options options = quantise_defaults();
  options.weight_bits = options.activation_bits = 12;
  compile(&c, g, samples, SAMPLES, &options);
  for (size_t i = 0; i < SAMPLES; i++) {
    walk(f, samples + i * FEATURES, want);
    for (size_t o = 0; o < OUTPUTS; o++) {
      assert_true(fabs((double)c.real[i * OUTPUTS + o] - want[o]) < 1e-5);
      if (fabs(c.fixed[i * OUTPUTS + o] - want[o]) > 0.02)
        fail_msg("sample %zu: %g, not %g", i, c.fixed[i * OUTPUTS + o], want[o]);
    }
  }
  compiled_free(&c);
  mem_free(samples);
  graph_free(g);
}

static void forest__full_trees_decide_as_they_are(void **state) {
  (void)state;
  uint64_t random = test_seed();
  for (unsigned depth = 1; depth <= 5; depth++) {
    struct forest f = forest_of(depth, false, false, &random);
    check_forest(&f, true, &random);
    forest_free(&f);
  }
}

static void forest__uneven_trees_decide_as_they_are(void **state) {
  (void)state;
  uint64_t random = test_seed();
  for (unsigned depth = 5; depth <= 11; depth += 3) {
    struct forest f = forest_of(depth, false, true, &random);
    check_forest(&f, false, &random);
    forest_free(&f);
  }
}

static void refused(struct forest *f, const char *words) {
  struct graph *g = graph_alloc();
  struct forest_shape shape;
  const char *why = NULL;
  uint32_t x;
  assert_ok(graph_add_input(g, (struct shape){FEATURES, 1, 1}, &x));
  assert_int_equal(forest_add(g, x, f, &shape, &x, &why), FUSION_E_MODEL);
  if (!why || !strstr(why, words)) fail_msg("'%s' does not say '%s'", why ? why : "", words);
  graph_free(g);
}

static void forest__hostile_ones_are_refused(void **state) {
  (void)state;
  uint64_t random = test_seed();
  struct forest f = forest_of(3, true, false, &random);
  struct forest_node *root = &f.nodes[f.roots[0]];
  const struct forest_node kept = *root;
  root->hit = f.node_count;
  refused(&f, "leads nowhere");
  root->hit = f.roots[0];
  refused(&f, "a loop");
  *root = kept;
  root->feature = FEATURES;
  refused(&f, "does not have");
  *root = kept;
  root->at = INFINITY;
  refused(&f, "not finite");
  *root = kept;
  f.rows = 1;
  refused(&f, "without values");
  for (uint32_t i = 0; i < f.node_count; i++) f.nodes[i] = (struct forest_node){.leaf = true};
  refused(&f, "no decisions");
  /* Forty levels whose nodes share both children: 2^40 leaves. */
  for (uint32_t i = 0; i < 40; i++) f.nodes[i] = (struct forest_node){.hit = i + 1, .miss = i + 1};
  f.roots[0] = 0;
  refused(&f, "more than 2^20 nodes");
  forest_free(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(compare__logic_is_exact),
      cmocka_unit_test(compare__mixes_with_real_values),
      cmocka_unit_test(compare__rings_hold_what_sums_can_reach),
      cmocka_unit_test(forest__full_trees_decide_as_they_are),
      cmocka_unit_test(forest__uneven_trees_decide_as_they_are),
      cmocka_unit_test(forest__hostile_ones_are_refused),
  };
  return cmocka_run_group_tests_name("decision", tests, NULL, NULL);
}
