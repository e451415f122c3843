/** The cases: small networks built by hand that together have every operator, every kind of answer and the corners of
 *  their rules. A new operator adds its case here. */
#include "conformance/cases.h"

#include <stdlib.h>
#include <string.h>

static struct net net_mlp(uint64_t seed) {
  struct net n = net_open((struct shape){50, 1, 1}, 24, 8, seed);
  net_linear(&n, 0, (struct shape){33, 1, 1}, net_dense, 1, 22, 8);
  net_add(&n, OP_RELU, 1, (struct shape){33, 1, 1}, 20, 8)->shift = 10;
  net_linear(&n, 2, (struct shape){10, 1, 1}, net_dense, 1, 20, 8);
  net_add(&n, OP_TRUNCATE, 3, (struct shape){10, 1, 1}, 20, 18)->shift = 3;
  return n;
}

/* Layers whose weights are all zero give their biases, whatever the input. */
static struct net net_zero(uint64_t seed) {
  struct net n = net_mlp(seed);
  const size_t first = 50 * 33, second = 33 * 10;
  memset(n.model->weights[1].weights, 0, first * sizeof *n.model->weights[1].weights);
  memset(n.model->weights[3].weights, 0, second * sizeof *n.model->weights[3].weights);
  return n;
}

static struct net net_cnn(uint64_t seed) {
  struct net n = net_open((struct shape){3, 9, 8}, 26, 8, seed);
  net_linear(&n, 0, (struct shape){6, 9, 8}, (struct window){3, 3, 1, 1, 1, 1, 1, 1, 1, 1}, 3, 24, 8);
  net_add(&n, OP_RELU, 1, (struct shape){6, 9, 8}, 26, 15)->shift = 10;
  struct program_step *pool = net_add(&n, OP_MAXPOOL, 2, (struct shape){6, 5, 4}, 26, 15);
  pool->window = (struct window){3, 2, 2, 2, 1, 0, 1, 0, 1, 1};
  net_linear(&n, 3, (struct shape){8, 3, 2}, (struct window){3, 3, 2, 2, 1, 1, 1, 1, 1, 1}, 1, 26, 9);
  net_add(&n, OP_RELU, 4, (struct shape){8, 3, 2}, 25, 12)->shift = 9;
  struct program_step *sum = net_add(&n, OP_SUMPOOL, 5, (struct shape){8, 1, 1}, 25, 15);
  sum->window = (struct window){3, 2, 1, 1, 0, 0, 0, 0, 1, 1};
  net_linear(&n, 6, (struct shape){10, 1, 1}, net_dense, 1, 25, 12);
  net_add(&n, OP_TRUNCATE, 7, (struct shape){10, 1, 1}, 22, 21)->shift = 4;
  n.model->program.output = OUTPUT_LABEL;
  return n;
}

/* Signed values of one bit more than the pool declares: differences wrap, and both sides wrap alike. A Relu behind. */
static struct net net_wrapping_pool(uint64_t seed) {
  struct net n = net_open((struct shape){3, 9, 8}, 26, 8, seed);
  net_linear(&n, 0, (struct shape){6, 9, 8}, (struct window){3, 3, 1, 1, 1, 1, 1, 1, 1, 1}, 3, 17, 8);
  net_add(&n, OP_TRUNCATE, 1, (struct shape){6, 9, 8}, 9, 8)->shift = 8;
  struct program_step *pool = net_add(&n, OP_MAXPOOL, 2, (struct shape){6, 4, 3}, 9, 9);
  pool->window = (struct window){3, 3, 2, 2, 0, 0, 0, 0, 1, 1};
  net_add(&n, OP_RELU, 3, (struct shape){6, 4, 3}, 20, 9);
  net_linear(&n, 4, (struct shape){10, 1, 1}, (struct window){4, 3, 1, 1, 0, 0, 0, 0, 1, 1}, 1, 20, 8);
  net_add(&n, OP_TRUNCATE, 5, (struct shape){10, 1, 1}, 20, 19)->shift = 1;
  return n;
}

/* Two raw branches and a shifted clean one; a rearrangement that crosses channels. */
static struct net net_residual(uint64_t seed) {
  const struct shape s = {4, 6, 6};
  const struct window same = {3, 3, 1, 1, 1, 1, 1, 1, 1, 1};
  struct net n = net_open(s, 28, 8, seed);
  net_linear(&n, 0, s, same, 1, 24, 8);
  net_linear(&n, 0, s, net_dense, 1, 24, 10);
  struct program_step *add = net_add(&n, OP_ADD, 1, s, 24, 24);
  add->inputs[1] = 2;
  add->out.raw = true;
  net_add(&n, OP_RELU, 3, s, 28, 12)->shift = 8;
  net_linear(&n, 4, s, same, 1, 27, 8);
  add = net_add(&n, OP_ADD, 5, s, 27, 27);
  add->inputs[1] = 4;
  add->shift_left[1] = 6;
  add->out.raw = true;
  net_add(&n, OP_RELU, 6, s, 24, 20)->shift = 0;
  struct program_step *gather = net_add(&n, OP_GATHER, 7, (struct shape){30, 1, 1}, 24, 20);
  gather->gather = mem_alloc(30, sizeof *gather->gather);
  for (uint32_t i = 0; i < 30; i++)
    gather->gather[i] = i % 7 ? (struct gather_source){0, i * 4} : (struct gather_source){GATHER_ZERO, 0};
  return n;
}

static struct net net_quadratic(uint64_t seed) {
  struct net n = net_open((struct shape){40, 1, 1}, 30, 9, seed);
  net_linear(&n, 0, (struct shape){20, 1, 1}, net_dense, 1, 26, 8);
  net_add(&n, OP_TRUNCATE, 1, (struct shape){20, 1, 1}, 30, 12)->shift = 12;
  net_add(&n, OP_MUL, 2, (struct shape){20, 1, 1}, 30, 24);
  net_linear(&n, 3, (struct shape){7, 1, 1}, net_dense, 1, 30, 8);
  net_add(&n, OP_TRUNCATE, 4, (struct shape){7, 1, 1}, 25, 22)->shift = 8;
  net_add(&n, OP_TRUNCATE, 1, (struct shape){20, 1, 1}, 30, 14)->shift = 10;
  struct program_step *product = net_add(&n, OP_MUL, 2, (struct shape){20, 1, 1}, 30, 24);
  product->inputs[1] = 6;
  net_linear(&n, 7, (struct shape){7, 1, 1}, net_dense, 1, 30, 8);
  net_add(&n, OP_TRUNCATE, 8, (struct shape){7, 1, 1}, 25, 22)->shift = 8;
  struct program_step *add = net_add(&n, OP_ADD, 5, (struct shape){7, 1, 1}, 25, 23);
  add->inputs[1] = 9;
  n.model->program.output = OUTPUT_TOP_K;
  n.model->program.top_k = 3;
  return n;
}

/* A clipped activation, c - relu(c - relu(x)), and an offset of the client's input, where the server's share is zero.
 */
static struct net net_clip(uint64_t seed) {
  const struct shape s = {5, 4, 3};
  struct net n = net_open(s, 26, 8, seed);
  net_offset(&n, 0, s, false, 24, 9);
  net_linear(&n, 1, s, net_dense, 1, 23, 8);
  net_add(&n, OP_RELU, 2, s, 24, 13)->shift = 9;
  net_offset(&n, 3, s, true, 14, 14);
  net_add(&n, OP_RELU, 4, s, 22, 14);
  net_offset(&n, 5, s, true, 20, 15);
  net_linear(&n, 6, s, net_dense, 5, 20, 6);
  net_add(&n, OP_TRUNCATE, 7, s, 16, 14)->shift = 4;
  return n;
}

/* So many correlations that a parameter set for slow links takes over. */
static struct net net_wide(uint64_t seed) {
  struct net n = net_open((struct shape){8, 1, 1}, 20, 8, seed);
  net_linear(&n, 0, (struct shape){256, 1, 1}, net_dense, 1, 20, 8);
  net_add(&n, OP_RELU, 1, (struct shape){256, 1, 1}, 18, 12)->shift = 8;
  net_linear(&n, 2, (struct shape){4, 1, 1}, net_dense, 1, 18, 8);
  net_add(&n, OP_TRUNCATE, 3, (struct shape){4, 1, 1}, 18, 16)->shift = 2;
  return n;
}

/* One operator alone behind the client's input, where the server's share is zero. */
static struct net net_square_of_input(uint64_t seed) {
  struct net n = net_open((struct shape){17, 1, 1}, 30, 10, seed);
  net_add(&n, OP_MUL, 0, (struct shape){17, 1, 1}, 24, 20);
  return n;
}

static struct net net_pool_of_input(uint64_t seed) {
  struct net n = net_open((struct shape){3, 7, 6}, 20, 12, seed);
  struct program_step *pool = net_add(&n, OP_MAXPOOL, 0, (struct shape){3, 4, 3}, 18, 12);
  pool->window = (struct window){3, 3, 2, 2, 1, 0, 1, 1, 1, 1};
  return n;
}

/* Nothing but local steps: a sum of a sum and a rearrangement of the input. */
static struct net net_local(uint64_t seed) {
  struct net n = net_open((struct shape){2, 4, 4}, 30, 9, seed);
  net_add(&n, OP_SUMPOOL, 0, (struct shape){2, 2, 2}, 28, 12)->window = (struct window){2, 2, 2, 2, 0, 0, 0, 0, 1, 1};
  struct program_step *gather = net_add(&n, OP_GATHER, 0, (struct shape){2, 2, 2}, 26, 9);
  gather->gather = mem_alloc(8, sizeof *gather->gather);
  for (uint32_t i = 0; i < 8; i++) gather->gather[i] = (struct gather_source){0, 31 - 3 * i};
  struct program_step *add = net_add(&n, OP_ADD, 1, (struct shape){2, 2, 2}, 26, 16);
  add->inputs[1] = 2;
  add->shift_left[1] = 4;
  return n;
}

/* A spline of fourteen bits; a plain table, which reads less than its input's ring and makes a wider one; beside it a
 * table in steps. */
static struct net net_functions(uint64_t seed) {
  const struct shape s = {6, 3, 2};
  struct net n = net_open(s, 26, 8, seed);
  net_linear(&n, 0, s, net_dense, 1, 24, 8);
  net_add(&n, OP_TRUNCATE, 1, s, 14, 12)->shift = 10;
  net_lookup(&n, 2, s, 5, 9, 20, 18);
  net_add(&n, OP_TRUNCATE, 3, s, 9, 9)->shift = 9;
  net_lookup(&n, 4, s, 3, 0, 16, 12);
  struct program_table *steps = net_lookup(&n, 4, s, 5, 4, 16, 12)->table;
  memset(steps->slope, 0, sizeof steps->slope);
  net_add(&n, OP_ADD, 5, s, 16, 13)->inputs[1] = 6;
  net_linear(&n, 7, s, net_dense, 1, 16, 4);
  net_add(&n, OP_TRUNCATE, 8, s, 13, 12)->shift = 3;
  return n;
}

/* Of the client's input, where the server's share is zero. */
static struct net net_function_of_input(uint64_t seed) {
  const struct shape s = {9, 1, 1};
  struct net n = net_open(s, 12, 8, seed);
  net_lookup(&n, 0, s, 4, 3, 14, 12);
  return n;
}

/* Of a raw tensor, of a sum of raw tensors and of a clean one; to rings of two bits and of many. */
static struct net net_comparisons(uint64_t seed) {
  const struct shape s = {6, 3, 2};
  struct net n = net_open(s, 26, 8, seed);
  net_linear(&n, 0, s, net_dense, 1, 15, 4);
  net_add(&n, OP_COMPARE, 1, s, 24, 2);
  net_linear(&n, 2, s, net_dense, 1, 20, 8);
  net_linear(&n, 0, s, net_dense, 1, 20, 4);
  net_add(&n, OP_ADD, 3, s, 20, 20)->inputs[1] = 4;
  n.model->program.steps[5].out.raw = true;
  net_add(&n, OP_COMPARE, 5, s, 2, 2);
  net_offset(&n, 6, s, true, 2, 2);
  net_add(&n, OP_COMPARE, 7, s, 13, 2);
  net_linear(&n, 8, s, net_dense, 1, 13, 4);
  net_add(&n, OP_TRUNCATE, 9, s, 9, 9)->shift = 4;
  return n;
}

/* Of the client's input, where the server's share is zero. */
static struct net net_comparison_of_input(uint64_t seed) {
  struct net n = net_open((struct shape){19, 1, 1}, 12, 8, seed);
  net_add(&n, OP_COMPARE, 0, (struct shape){19, 1, 1}, 7, 2);
  return n;
}

/* Two products of matrices as attention has them, and their sum with a layer's output: raw tensors that are added. */
static struct net net_matrices(uint64_t seed) {
  const struct shape tokens = {2, 5, 6};
  struct net n = net_open(tokens, 28, 8, seed);
  net_linear(&n, 0, tokens, net_dense, 1, 22, 6);
  net_add(&n, OP_TRUNCATE, 1, tokens, 24, 10)->shift = 8;
  net_linear(&n, 0, tokens, net_dense, 1, 22, 6);
  net_add(&n, OP_TRUNCATE, 3, tokens, 24, 10)->shift = 8;
  net_matmul(&n, 2, 4, true, 24);
  net_add(&n, OP_RELU, 5, (struct shape){2, 5, 5}, 24, 12)->shift = 8;
  net_matmul(&n, 6, 4, false, 24);
  net_linear(&n, 4, tokens, net_dense, 1, 24, 6);
  struct program_step *sum = net_add(&n, OP_ADD, 7, tokens, 24, 24);
  sum->inputs[1] = 8;
  sum->out.raw = true;
  net_add(&n, OP_TRUNCATE, 9, tokens, 20, 18)->shift = 4;
  return n;
}

/* Of the client's input with itself, where the server's share is zero; more rows than columns, in a wide ring. */
static struct net net_matrix_of_input(uint64_t seed) {
  struct net n = net_open((struct shape){3, 7, 4}, 40, 9, seed);
  net_matmul(&n, 0, 0, true, 38);
  net_add(&n, OP_TRUNCATE, 1, (struct shape){3, 7, 7}, 20, 18)->shift = 3;
  return n;
}

/* So large that encryption takes fewer bytes than correlations. */
static struct net net_large_matrices(uint64_t seed) {
  const struct shape tokens = {2, 16, 16};
  struct net n = net_open(tokens, 28, 8, seed);
  net_linear(&n, 0, tokens, net_dense, 1, 22, 6);
  net_add(&n, OP_TRUNCATE, 1, tokens, 26, 10)->shift = 8;
  net_matmul(&n, 2, 0, true, 26);
  net_add(&n, OP_RELU, 3, tokens, 26, 12)->shift = 9;
  net_matmul(&n, 4, 2, false, 26);
  net_add(&n, OP_TRUNCATE, 5, tokens, 20, 18)->shift = 5;
  return n;
}

const struct conformance_case conformance_cases[] = {
    {"mlp", net_mlp, {1, 130, 7}},
    {"zero weights", net_zero, {5}},
    {"cnn with labels", net_cnn, {40}},
    {"pools that wrap", net_wrapping_pool, {40}},
    {"residual branches", net_residual, {25}},
    {"products and top-k", net_quadratic, {60}},
    {"offsets", net_clip, {30, 3}},
    {"wide", net_wide, {300, 700}},
    {"square of the input", net_square_of_input, {5, 64}},
    {"pool of the input", net_pool_of_input, {11}},
    {"local steps alone", net_local, {6}},
    {"functions", net_functions, {30, 2}},
    {"function of the input", net_function_of_input, {7}},
    {"comparisons", net_comparisons, {30, 2}},
    {"comparison of the input", net_comparison_of_input, {7, 3}},
    {"matrices", net_matrices, {9, 3}},
    {"matrix of the input", net_matrix_of_input, {4}},
    {"large matrices", net_large_matrices, {7, 2}},
};
const size_t conformance_case_count = sizeof conformance_cases / sizeof *conformance_cases;

struct net conformance_net(const char *name, uint64_t seed) {
  for (size_t i = 0; i < conformance_case_count; i++)
    if (!strcmp(conformance_cases[i].name, name)) return conformance_cases[i].build(seed);
  abort();
}

/* What the engines of a family refuse: family, case, a part of the line. Empty entries end the table. */
static const char no_matrices[] = "cannot run products of matrices";
static const struct {
  const char *family, *name, *line;
} refusals[] = {{"delphi", "matrices", no_matrices},
                {"delphi", "large matrices", no_matrices},
                {"delphi", "matrix of the input", no_matrices},
                {"delphi", "attention", no_matrices},
                {"aby", "matrices", no_matrices},
                {"aby", "large matrices", no_matrices},
                {"aby", "matrix of the input", no_matrices},
                {"aby", "attention", no_matrices},
                {NULL, NULL, NULL}};

const char *conformance_refusal(const struct engine *engine, const char *name) {
  for (size_t i = 0; refusals[i].family; i++)
    if (!strcmp(refusals[i].family, engine->family) && !strcmp(refusals[i].name, name)) return refusals[i].line;
  return NULL;
}
