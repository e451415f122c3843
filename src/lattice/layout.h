/** Where the values of a linear layer lie in polynomials: both parties compute the same layout from public data.
 *
 *  Lanes. The outputs of one output channel over all samples form one stream: output (n, oy, ox) is lane
 *  n*sample_pitch + oy*pitch + ox. The inputs of one channel (for strides: of one phase of a channel) form a stream
 * with the same pitches, so that the tap (ky, kx) of every lane lies at a fixed offset: lane + offset. Padding is zeros
 * in the stream; the zeros right of a row are those left of the next where possible (pitch = W + 1 for a 3x3 kernel
 * with pad 1). The stream is cut into tiles of `tile_lanes` lanes; a tile's polynomial carries `reach` more values, so
 * that all taps of its lanes are inside. When one tile holds the whole stream and there is room, `packed` channels
 * share a polynomial.
 *
 *  Layers of few lanes may spread them: lane i of a tile at coefficient i * S, S = 2^levels, other streams between.
 * Then S output channels share an answer (interleave.h). Its tiles, up to S times as many, make one bundle. The
 * session's keys, shapes and prices that are part of the protocol decide.
 *
 *  Tiles come in bundles: those of one bundle have their queries' c1 in common, each under a secret key of its own, so
 *  that the products on c1 and the answers' c1 are made and sent once for all of them. Outputs travel in messages of
 *  some tens of channels, so that a party works while the next ones are on their way. */
#ifndef FUSION_LATTICE_LAYOUT_H
#define FUSION_LATTICE_LAYOUT_H

#include "lattice/linear.h"
#include "lattice/ntt.h"
#include "lattice/params.h"

struct linear_tap {
  uint32_t phase;  /* index into phases */
  uint32_t offset; /* lanes */
};

struct linear_phase {
  uint32_t y, x; /* remainders of the padded coordinates modulo the strides */
};

struct linear_layout {
  const struct rlwe_params *params;
  struct linear_layer layer;
  unsigned dropped, query_bits; /* a query coefficient: q_bits - dropped */
  unsigned kept_bits, kappa;    /* ring + guard; the modulus of an answer's c1 */
  size_t taps, phase_count;
  struct linear_tap *tap;     /* owned, [kernel_h * kernel_w] */
  struct linear_phase *phase; /* owned */
  size_t channels;            /* input channels times phases: streams */
  size_t in_plane, out_plane, in_size, out_size;
  size_t rows, group_outs; /* of one group's matrix */
  size_t pitch, sample_pitch, reach;
  size_t samples, lanes, tiles, tile_lanes;
  size_t cut;           /* of the session's keys: interleave.h */
  unsigned levels;      /* 0: an answer for each output channel */
  size_t stride;        /* S = 2^levels: output channels of an answer */
  size_t answers;       /* of a bundle, for all output channels */
  size_t packed, polys; /* streams in a polynomial; polynomials of a tile */
  size_t span;          /* values of a stream in a full tile: tile_lanes + reach */
  size_t bundle;        /* tiles that share their c1; the last bundle may have fewer */
  size_t part_outs;     /* output channels of one matrix product */
  size_t message_outs;  /* of a message: layout_message_end */
  size_t window;        /* queries that may be ahead of their answers */
  bool common_first;    /* a bundle's c1 is sent before its first query has arrived */
};

/** keys: of the session; NULL: as many as there may be. FUSION_E_PEER for shapes or parameters that make no sense or
 *  pass the limits (the layer may come from a peer's manifest), FUSION_E_MEMORY, FUSION_E_INTERNAL for a session
 * without a key for this N. On success to be freed. */
fusion_status layout_make(struct linear_layout *out, const struct linear_layer *layer, const struct rlwe_keys *keys,
                          size_t samples) FUSION_MUST_CHECK;
void layout_free(struct linear_layout *l);

/** Lanes of tile t. */
static inline size_t layout_tile_lanes(const struct linear_layout *l, size_t t) {
  return size_min(l->tile_lanes, l->lanes - t * l->tile_lanes);
}
/** Of a query coefficient of a three-limb set: the bits that go as its low part, the rest following (both <= 56). */
static inline unsigned query_low_bits(const struct linear_layout *l) {
  return l->query_bits > 56 ? 40 : l->query_bits / 2;
}
/** Lanes below `lane` that carry an output. */
size_t layout_outputs_below(const struct linear_layout *l, size_t lane);
/** Outputs of one channel in tile t. */
size_t layout_tile_outputs(const struct linear_layout *l, size_t t);
/** Output channels travel in messages: the end of the one that begins with channel `first`. It is made of whole parts
 * (matrix products) of part_outs channels or what is left of a group. */
size_t layout_message_end(const struct linear_layout *l, size_t first);
/** Answers that end with one of the channels first .. end - 1: the c1 that their message has. */
size_t layout_answers_between(const struct linear_layout *l, size_t first, size_t end);
/** Payload bytes of the messages: a tile's query; so many of a bundle's c1; `outs` channels of a tile's answer. */
size_t layout_query_len(const struct linear_layout *l, size_t t);
size_t layout_common_len(const struct linear_layout *l, size_t answers);
size_t layout_answer_len(const struct linear_layout *l, size_t t, size_t outs);
/** At least every message to the client. */
size_t layout_message_max(const struct linear_layout *l);

/** Bytes of a layer that depend on its levels and tiles, and what its merges cost. */
uint64_t layout_price(const struct linear_layout *l);
/** Merges of ciphertexts of a layer, in units of one under a single key. */
uint64_t layout_merges(const struct linear_layout *l);
/** Transforms for an output channel of a product by them: of its weights, for each polynomial that they meet, and of
 * the sum. */
size_t layout_transforms_each(const struct linear_layout *l);

/** How the server multiplies weights by c1. The results are the same. Products by transforms are quicker where many
 *  rows meet each polynomial: all weights that meet it are transformed together. Products by windows (window_product.h)
 *  need streams side by side. */
enum layout_product { PRODUCT_ROWS, PRODUCT_TRANSFORMS, PRODUCT_WINDOWS };
enum layout_product layout_product(const struct linear_layout *l);
/** Without windows. */
bool layout_by_transforms(const struct linear_layout *l);
/** Rows of a product row by row that take as long as the one that is chosen. */
size_t layout_product_rows(const struct linear_layout *l);
/** Of products by windows: coefficients from one to the next; terms of a group, at most. */
size_t layout_window_step(const struct linear_layout *l);
size_t layout_window_terms(const struct linear_layout *l);

/** The stream that row `r` of a group's matrix reads. */
static inline size_t layout_row_stream(const struct linear_layout *l, size_t group, size_t r) {
  const size_t group_in = l->layer.shape.in_channels / l->layer.shape.groups;
  return (group * group_in + r / l->taps) * l->phase_count + l->tap[r % l->taps].phase;
}

/** Coefficient of a lane of the stream in place `stream` of a polynomial. */
static inline size_t layout_coefficient(const struct linear_layout *l, size_t stream, size_t lane) {
  return ((stream >> l->levels) * l->span + lane) * l->stride + (stream & (l->stride - 1));
}
/** Coefficient of a lane of output channel `out` in its answer. */
static inline size_t layout_output(const struct linear_layout *l, size_t out, size_t lane) {
  return lane * l->stride + reverse_bits(out & (l->stride - 1), l->levels);
}

#define LAYOUT_ZERO SIZE_MAX
/** For tile t and a phase: for each of its lanes + reach values the index into x for input channel 0, or LAYOUT_ZERO.
 */
void layout_sources(const struct linear_layout *l, size_t t, size_t phase, size_t *source);
/** For each output of tile t: its lane within the tile, and its index into y for output channel 0. */
void layout_targets(const struct linear_layout *l, size_t t, uint32_t *lane, size_t *target);

enum { LAYOUT_GATHER = 8 /* streams gathered together: neighbours share cache lines when planes are small */ };

/** The values of up to LAYOUT_GATHER streams from `first` on, `count` each, `stride` apart; zeros where there is
 * padding. sources: those of all phases, l->span apart. */
void layout_gather(const struct linear_layout *l, const size_t *sources, size_t first, size_t streams, size_t count,
                   const uint64_t *x, uint64_t *out, size_t stride);

#endif
