#include "golden/golden_models.h"

static struct net dense(uint64_t seed) {
  struct net n = net_open((struct shape){6, 1, 1}, 24, 8, seed);
  net_linear(&n, 0, (struct shape){5, 1, 1}, net_dense, 1, 22, 8);
  net_add(&n, OP_RELU, 1, (struct shape){5, 1, 1}, 20, 8)->shift = 10;
  net_linear(&n, 2, (struct shape){3, 1, 1}, net_dense, 1, 20, 8);
  net_add(&n, OP_TRUNCATE, 3, (struct shape){3, 1, 1}, 20, 18)->shift = 3;
  return n;
}

static struct net convolution(uint64_t seed) {
  struct net n = net_open((struct shape){2, 6, 5}, 26, 8, seed);
  net_linear(&n, 0, (struct shape){3, 6, 5}, (struct window){3, 3, 1, 1, 1, 1, 1, 1, 1, 1}, 1, 24, 8);
  net_add(&n, OP_RELU, 1, (struct shape){3, 6, 5}, 26, 15)->shift = 10;
  struct program_step *pool = net_add(&n, OP_MAXPOOL, 2, (struct shape){3, 3, 2}, 26, 15);
  pool->window = (struct window){2, 2, 2, 2, 0, 0, 0, 0, 1, 1};
  struct program_step *sum = net_add(&n, OP_SUMPOOL, 3, (struct shape){3, 1, 1}, 26, 18);
  sum->window = (struct window){3, 2, 1, 1, 0, 0, 0, 0, 1, 1};
  net_linear(&n, 4, (struct shape){4, 1, 1}, net_dense, 1, 26, 10);
  net_add(&n, OP_TRUNCATE, 5, (struct shape){4, 1, 1}, 22, 21)->shift = 4;
  n.model->program.output = OUTPUT_LABEL;
  return n;
}

static struct net product(uint64_t seed) {
  struct net n = net_open((struct shape){8, 1, 1}, 30, 9, seed);
  net_linear(&n, 0, (struct shape){5, 1, 1}, net_dense, 1, 26, 8);
  net_add(&n, OP_TRUNCATE, 1, (struct shape){5, 1, 1}, 30, 12)->shift = 12;
  net_add(&n, OP_MUL, 2, (struct shape){5, 1, 1}, 30, 24);
  net_linear(&n, 3, (struct shape){4, 1, 1}, net_dense, 1, 30, 8);
  net_add(&n, OP_TRUNCATE, 4, (struct shape){4, 1, 1}, 25, 22)->shift = 8;
  n.model->program.output = OUTPUT_TOP_K;
  n.model->program.top_k = 2;
  n.model->program.rounding = ROUNDING_FAST;
  return n;
}

static struct net function(uint64_t seed) {
  const struct shape s = {4, 1, 1};
  struct net n = net_open(s, 26, 8, seed);
  net_linear(&n, 0, s, net_dense, 1, 22, 8);
  net_add(&n, OP_TRUNCATE, 1, s, 12, 12)->shift = 10;
  net_lookup(&n, 2, s, 5, 6, 18, 16);
  net_add(&n, OP_TRUNCATE, 3, s, 14, 12)->shift = 4;
  return n;
}

/* A threshold of a raw tensor and one of its sum: a tree of a decision. */
static struct net comparison(uint64_t seed) {
  const struct shape s = {5, 1, 1};
  struct net n = net_open(s, 16, 8, seed);
  net_linear(&n, 0, s, net_dense, 1, 16, 4);
  net_add(&n, OP_COMPARE, 1, s, 6, 2);
  net_linear(&n, 2, s, net_dense, 1, 6, 3);
  net_add(&n, OP_COMPARE, 3, s, 12, 2);
  net_linear(&n, 4, (struct shape){2, 1, 1}, net_dense, 1, 12, 8);
  net_add(&n, OP_TRUNCATE, 5, (struct shape){2, 1, 1}, 11, 10)->shift = 1;
  return n;
}

static struct net matrices(uint64_t seed) {
  const struct shape s = {2, 3, 4};
  struct net n = net_open(s, 26, 8, seed);
  net_linear(&n, 0, s, net_dense, 1, 22, 8);
  net_add(&n, OP_TRUNCATE, 1, s, 22, 12)->shift = 10;
  net_matmul(&n, 2, 2, true, 22);
  net_add(&n, OP_TRUNCATE, 3, (struct shape){2, 3, 3}, 14, 12)->shift = 8;
  return n;
}

/* Encrypted, where engines do that at all. */
static struct net large_matrices(uint64_t seed) {
  const struct shape s = {1, 16, 16};
  struct net n = net_open(s, 22, 8, seed);
  net_matmul(&n, 0, 0, true, 22);
  net_add(&n, OP_TRUNCATE, 1, s, 14, 12)->shift = 8;
  return n;
}

/* A session that expects many correlations: a refill, which an engine tunes in its own way. */
static struct net wide(uint64_t seed) {
  struct net n = net_open((struct shape){4, 1, 1}, 20, 8, seed);
  net_linear(&n, 0, (struct shape){256, 1, 1}, net_dense, 1, 20, 8);
  net_add(&n, OP_RELU, 1, (struct shape){256, 1, 1}, 18, 12)->shift = 8;
  net_linear(&n, 2, (struct shape){2, 1, 1}, net_dense, 1, 18, 8);
  net_add(&n, OP_TRUNCATE, 3, (struct shape){2, 1, 1}, 18, 16)->shift = 2;
  return n;
}

/* One or two samples: a linear layer puts several output channels into an answer. */
static struct net few_lanes(uint64_t seed) {
  struct net n = net_open((struct shape){10, 1, 1}, 22, 8, seed);
  net_linear(&n, 0, (struct shape){70, 1, 1}, net_dense, 1, 22, 8);
  net_add(&n, OP_RELU, 1, (struct shape){70, 1, 1}, 20, 8)->shift = 10;
  net_linear(&n, 2, (struct shape){3, 1, 1}, net_dense, 1, 20, 8);
  net_add(&n, OP_TRUNCATE, 3, (struct shape){3, 1, 1}, 20, 18)->shift = 3;
  return n;
}

const struct golden_model golden_models[] = {
    {.name = "dense", .make = dense, .shards = {2, 3}, .expected_samples = 5},
    {.name = "convolution", .make = convolution, .shards = {2}, .expected_samples = 2},
    {.name = "product", .make = product, .shards = {3}, .expected_samples = 3},
    {.name = "function", .make = function, .shards = {3}, .expected_samples = 3},
    {.name = "comparison", .make = comparison, .shards = {3}, .expected_samples = 3},
    {.name = "matrices", .make = matrices, .shards = {3}, .expected_samples = 3},
    {.name = "large matrices", .make = large_matrices, .shards = {3}, .expected_samples = 12},
    {.name = "few lanes", .make = few_lanes, .shards = {1, 2}, .expected_samples = 3},
    {.name = "wide", .make = wide, .shards = {40}, .expected_samples = 4000, .costly = true},
    {.name = NULL},
};
