/** How a linear layer lies in slots. Public: it follows from the layer and the number of samples.
 *
 *  A row of slots is cut into blocks of `block` slots, a power of two; a block holds one channel of `together` samples,
 *  pixel by pixel. A strided convolution reads phase images (every stride-th pixel), which count as channels of their
 *  own; so do the pixels of a layer whose output is one pixel. An image of more than a row is cut into bands.
 *
 *  Rotations by pixels bring each tap's pixel to its output (taps beyond the image have weight 0), rotations by blocks
 *  each input channel to each output channel. The latter are split into `babies` of the inputs and the rest of the
 *  sums ("output packing": one baby). Where the outputs fit half a row they are periodic with `period` blocks, and the
 *  parts of all periods are added in the end: then, and where the inputs fit a row, inputs lie there several times
 * over, so that `diagonals` rotations do. Source: Juvekar, Vaikuntanathan, Chandrakasan, "Gazelle" (USENIX Security
 * 2018), sec. 4; Rathee et al., "CrypTFlow2" (CCS 2020), sec. 5, and its code; tiling by bands in place of a larger N,
 * bands, periods and several samples ours. */
#ifndef FUSION_SLOTS_SLOTS_LAYOUT_H
#define FUSION_SLOTS_SLOTS_LAYOUT_H

#include "base/layer_shape.h"
#include "slots/slots.h"

enum { SLOTS_OFFSETS_MAX = 64, SLOTS_PHASES_MAX = 4096 };
#define SLOTS_NONE SIZE_MAX

/** One side of the window: tap k reads input pixel (o + offset[j]) * stride + phase[i] for output pixel o, where
 *  tap[i * offsets + j] = k. */
struct slots_axis {
  size_t in, out, stride;
  size_t phases, offsets;
  uint32_t *phase; /* owned: this and what follows, one allocation */
  int32_t *offset; /* ascending */
  uint32_t *tap;   /* UINT32_MAX: none */
};

struct slots_layout {
  struct layer_shape layer;
  size_t samples;
  unsigned plain_bits;
  uint64_t offset; /* added to the sums, so that they are not negative: below t / 2 */
  struct slots_axis y, x;
  size_t channels;                         /* input channels, phases counted */
  size_t grid_h, grid_w;                   /* pixels of a sample in a block */
  size_t bands, band_rows;                 /* of output rows */
  int64_t first_row;                       /* of the input in a band, from the output's first row */
  size_t together, tiles;                  /* samples in a block; bands times groups of samples */
  size_t block, blocks, places;            /* slots; blocks of a row; of both rows */
  size_t inputs, outputs;                  /* ciphertexts of a tile */
  size_t period, diagonals, babies, swaps; /* swaps: 2 if inputs of one row meet outputs of the other */
  bool folded;
  size_t copies; /* 0: an input channel lies in one place; else see slots_input_at */
  /* Of an answer before flooding, in 36ths of N * 2^(2 plain_bits - 2); UINT64_MAX: that or more. */
  uint64_t noise_variance;
};

/** The cheapest layout for so many samples. FUSION_E_PEER: `why` (not NULL) says what no layout can do;
 * FUSION_E_MEMORY.
 */
fusion_status slots_layout_make(struct slots_layout *l, const struct layer_shape *layer, size_t samples,
                                const char **why) FUSION_MUST_CHECK;
void slots_layout_free(struct slots_layout *l);

/** The channel (phase * in_channels + channel) in block `column` of a row of input ciphertext `input`, the output
 * channel of `output`; SLOTS_NONE: none. */
size_t slots_input_at(const struct slots_layout *l, size_t input, size_t row, size_t column);
size_t slots_output_at(const struct slots_layout *l, size_t output, size_t row, size_t column);

/** Steps of the rotation from the raw input to offset (iy, ix), from that at (iy - 1, ix) or (iy, ix - 1) or from the
 *  start. */
int64_t slots_offset_steps(const struct slots_layout *l, size_t iy, size_t ix);
/** The rotation keys that the layer needs. False when there are too many. */
bool slots_layout_elements(const struct slots_layout *l, struct slots_elements *out);

/** What a tile covers. Tiles of one band follow one another. */
struct slots_tile {
  size_t first_sample, samples, first_row, rows;
};
struct slots_tile slots_tile_at(const struct slots_layout *l, size_t tile);
/** Output pixels [first, end) of a block, rows or columns, that read through a tap of the phase: those for which it is
 *  in the image. Of rows in bands all: a band's rows outside of the image are there, as zeros, so that plaintexts do
 *  not depend on the tile. */
struct slots_span {
  size_t first, end;
};
struct slots_span slots_rows_of(const struct slots_layout *l, size_t phase, size_t offset);
struct slots_span slots_columns_of(const struct slots_layout *l, size_t phase, size_t offset);

/** Work of a layer at the server, for predictions: products with their encodings, and rotations. */
struct slots_work {
  uint64_t encodings, products, rotations; /* UINT64_MAX: that or more */
};
struct slots_work slots_layout_work(const struct slots_layout *l);
/** Tiles that the server works on together, so that a plaintext serves them all. */
size_t slots_layout_pass(const struct slots_layout *l);
/** Words of rotated inputs of a tile. */
size_t slots_rotated_words(const struct slots_layout *l);

#endif
