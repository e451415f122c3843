/** Lowering, as its files share it (lower*.c). */
#ifndef FUSION_COMPILE_LOWER_INTERNAL_H
#define FUSION_COMPILE_LOWER_INTERNAL_H

#include "compile/network.h"

struct lowering {
  const struct graph *graph;
  const struct network_ranges *ranges; /* what calibration saw; NULL: nothing */
  struct network *net;
  enum network_parting apart;
  fusion_error *err;
  int64_t *made;       /* network node of a graph node, raw or clean; below 0 before */
  int64_t *cleaned;    /* its clean version */
  bool *owes_relu;     /* what was made lacks the Relu, which goes behind the MaxPool that reads it */
  uint32_t *consumers; /* readers of a graph node, counted with multiplicity */
  uint32_t *reader;    /* one of them */
};

/** Appends a node of graph node `origin`'s name and shape, reading network nodes `inputs`. NULL when out of memory. */
struct network_node *lower_append(struct lowering *l, enum program_op op, uint32_t origin, const uint32_t *inputs,
                                  uint32_t input_count);
/** Network node with graph node g's values, clean; truncates a raw one once. */
fusion_status lower_clean(struct lowering *l, uint32_t g, uint32_t *out) FUSION_MUST_CHECK;
/** A clean node whose unit is free: a layer of ones takes whole numbers out of theirs. */
fusion_status lower_free(struct lowering *l, uint32_t g, uint32_t *out) FUSION_MUST_CHECK;
/** Graph node g's values are those of the last network node. */
fusion_status lower_done(struct lowering *l, uint32_t g) FUSION_MUST_CHECK;
/** y = bias + x, or bias - x, one bias for all, after network node *at, which becomes the new one. */
fusion_status lower_shift(struct lowering *l, uint32_t g, uint32_t *at, bool negate, double bias) FUSION_MUST_CHECK;
/** A Relu after network node *at, on the grid of graph node g. */
fusion_status lower_bend(struct lowering *l, uint32_t g, uint32_t *at) FUSION_MUST_CHECK;

/** A layer that multiplies each channel by its own factor, ones where `factors` is NULL. */
fusion_status lower_factors(struct lowering *l, uint32_t g, uint32_t from, struct shape shape,
                            const float *factors) FUSION_MUST_CHECK;
/** 1 or -1 when an affine map multiplies every channel by that; else 0. */
int lower_sign(const struct graph_node *n);

/** Graph node g has no values below 0, whatever the input. */
bool lower_never_negative(const struct graph *graph, uint32_t g);

/** A tensor that another joins. */
struct lower_term {
  uint32_t graph, node; /* in the graph, and in the network */
};
/** Whether `small`, of a much smaller range, must not share the scale of `large`, as l->apart says. */
fusion_status lower_stays_apart(const struct lowering *l, struct lower_term small, struct lower_term large,
                                bool *apart) FUSION_MUST_CHECK;

/** AVGPOOL. */
fusion_status lower_average(struct lowering *l, uint32_t g) FUSION_MUST_CHECK;

/** ACTIVATION. */
fusion_status lower_function(struct lowering *l, uint32_t g) FUSION_MUST_CHECK;

#endif
