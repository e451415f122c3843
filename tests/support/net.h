/** Small networks built by hand, with random weights, for tests and benchmarks. */
#ifndef FUSION_TESTS_NET_H
#define FUSION_TESTS_NET_H

#include "program/program.h"

enum { NET_STEPS_MAX = 24 };

/** A model under construction. Aborts when memory is out. */
struct net {
  struct model *model; /* owned by who takes it: model_free */
  uint64_t seed;       /* of the weights */
};

/** The 1x1 window of a dense layer. */
extern const struct window net_dense;

struct net net_open(struct shape input, unsigned ring_bits, unsigned value_bits, uint64_t seed);
/** Appends a clean step that reads `input` (twice if it takes two) with a 1x1 window; the caller sets what differs. */
struct program_step *net_add(struct net *n, enum program_op kind, uint32_t input, struct shape shape,
                             unsigned ring_bits, unsigned value_bits);
/** Appends a convolution with random weights and biases; its output is raw. */
struct program_step *net_linear(struct net *n, uint32_t input, struct shape shape, struct window w, uint32_t groups,
                                unsigned ring_bits, unsigned weight_bits);

/** Appends a LOOKUP of a random table; base and slopes of value_bits - 1 bits. */
struct program_step *net_lookup(struct net *n, uint32_t input, struct shape shape, unsigned index_bits,
                                unsigned low_bits, unsigned ring_bits, unsigned value_bits);

/** Appends a product of two clean steps' matrices; its output is raw. */
struct program_step *net_matmul(struct net *n, uint32_t left, uint32_t right, bool transpose, unsigned ring_bits);

/** Appends bias + x, or bias - x, with random biases that take value_bits - 1 bits. */
struct program_step *net_offset(struct net *n, uint32_t input, struct shape shape, bool negate, unsigned ring_bits,
                                unsigned value_bits);

#endif
