#include "support/net.h"

#include <stdio.h>
#include <stdlib.h>

#include "support/support.h"

const struct window net_dense = {1, 1, 1, 1, 0, 0, 0, 0, 1, 1};

static void *need(size_t count, size_t element_len) {
  void *p = mem_alloc(count, element_len);
  if (!p) abort();
  return p;
}

struct net net_open(struct shape input, unsigned ring_bits, unsigned value_bits, uint64_t seed) {
  struct net n = {.model = need(1, sizeof(struct model)), .seed = seed};
  n.model->program.steps = need(NET_STEPS_MAX, sizeof(struct program_step));
  n.model->weights = need(NET_STEPS_MAX, sizeof(struct program_weights));
  n.model->program.preprocess.scale = 1;
  n.model->program.count = 1;
  struct program_step *s = &n.model->program.steps[0];
  s->op = OP_INPUT;
  s->out = (struct program_tensor){
      .shape = input, .ring_bits = (uint8_t)ring_bits, .value_bits = (uint8_t)value_bits, .scale = 1};
  return n;
}

struct program_step *net_add(struct net *n, enum program_op op, uint32_t input, struct shape shape, unsigned ring_bits,
                             unsigned value_bits) {
  struct program *p = &n->model->program;
  if (p->count >= NET_STEPS_MAX) abort();
  struct program_step *s = &p->steps[p->count++];
  s->op = op;
  s->input_count = op == OP_ADD || op == OP_MUL || op == OP_MATMUL ? 2 : 1;
  s->inputs = need(s->input_count, sizeof *s->inputs);
  for (uint32_t i = 0; i < s->input_count; i++) s->inputs[i] = input;
  s->out = (struct program_tensor){
      .shape = shape, .ring_bits = (uint8_t)ring_bits, .value_bits = (uint8_t)value_bits, .scale = 1};
  s->window = (struct window){1, 1, 1, 1, 0, 0, 0, 0, 1, 1};
  s->groups = 1;
  snprintf(s->name, sizeof s->name, "step%u", p->count - 1);
  return s;
}

struct program_step *net_lookup(struct net *n, uint32_t input, struct shape shape, unsigned index_bits,
                                unsigned low_bits, unsigned ring_bits, unsigned value_bits) {
  struct program_step *s = net_add(n, OP_LOOKUP, input, shape, ring_bits, value_bits);
  s->table = need(1, sizeof *s->table);
  s->table->index_bits = (uint8_t)index_bits;
  s->table->low_bits = (uint8_t)low_bits;
  for (unsigned h = 0; h < 1u << index_bits; h++) {
    s->table->base[h] = ring_signed(test_random(&n->seed), value_bits - 1);
    if (low_bits) s->table->slope[h] = ring_signed(test_random(&n->seed), value_bits - 1) >> low_bits;
  }
  return s;
}

struct program_step *net_matmul(struct net *n, uint32_t left, uint32_t right, bool transpose, unsigned ring_bits) {
  const struct program_step *steps = n->model->program.steps;
  const struct shape a = steps[left].out.shape, b = steps[right].out.shape;
  const struct shape shape = {a.channels, a.height, transpose ? b.height : b.width};
  struct program_step *s = net_add(n, OP_MATMUL, left, shape, ring_bits, ring_bits);
  s->inputs[1] = right;
  s->transpose = transpose;
  s->out.raw = true;
  return s;
}

struct program_step *net_linear(struct net *n, uint32_t input, struct shape shape, struct window w, uint32_t groups,
                                unsigned ring_bits, unsigned weight_bits) {
  struct program_step *s = net_add(n, OP_LINEAR, input, shape, ring_bits, ring_bits);
  const uint32_t number = n->model->program.count - 1;
  s->window = w;
  s->groups = groups;
  s->weight_bits = (uint8_t)weight_bits;
  s->out.raw = true;
  struct program_weights *pw = &n->model->weights[number];
  const size_t count = program_weight_count(&n->model->program, number);
  pw->weights = need(count, sizeof *pw->weights);
  pw->bias = need(shape.channels, sizeof *pw->bias);
  for (size_t i = 0; i < count; i++) pw->weights[i] = (int16_t)ring_signed(test_random(&n->seed), weight_bits);
  for (size_t i = 0; i < shape.channels; i++) pw->bias[i] = ring_signed(test_random(&n->seed), ring_bits);
  return s;
}

struct program_step *net_offset(struct net *n, uint32_t input, struct shape shape, bool negate, unsigned ring_bits,
                                unsigned value_bits) {
  struct program_step *s = net_add(n, OP_OFFSET, input, shape, ring_bits, value_bits);
  struct program_weights *pw = &n->model->weights[n->model->program.count - 1];
  s->negate = negate;
  pw->bias = need(shape.channels, sizeof *pw->bias);
  for (size_t i = 0; i < shape.channels; i++) pw->bias[i] = ring_signed(test_random(&n->seed), value_bits - 1);
  return s;
}
