/* Rows of the plaintext that are more than one kernel: a convolution with its lowering, and the lowering of a
 * convolution to encrypted lanes. */
#include "bench/bench_suite.h"
#include "execute/execute_linear.h"
#include "lattice/layout.h"

enum { SIDE = 28, CHANNELS = 64, DEPTH = 9 * CHANNELS };

struct plain_work {
  struct bench *bench;
  int64_t *x, *y;
  uint64_t *lanes;
  size_t *source;
  struct linear_layout layout;
  struct linear_packed packed;
};

static void convolution(void *context) {
  const struct plain_work *w = context;
  bench_check(w->bench, execute_linear(&w->packed, w->x, w->y, 1, 1));
}
static void lower(void *context) {
  const struct plain_work *w = context;
  const struct linear_layout *l = &w->layout;
  const size_t span = layout_tile_lanes(l, 0) + l->reach;
  for (size_t phase = 0; phase < l->phase_count; phase++) layout_sources(l, 0, phase, w->source + phase * l->span);
  for (size_t c = 0; c < l->channels; c += LAYOUT_GATHER)
    layout_gather(l, w->source, c, size_min(LAYOUT_GATHER, l->channels - c), span, (const uint64_t *)(const void *)w->x,
                  w->lanes, l->span);
}

static void convolutions(struct bench *b, struct plain_work *w) {
  const struct bench_row conv = {.group = "model",
                                 .name = "convolution 3x3, 64 to 64, 28x28, with lowering",
                                 .unit = "product",
                                 .units = (double)CHANNELS * CHANNELS * 9 * SIDE * SIDE,
                                 .demand = {{b->tier == CPU_TIER_C ? CEILING_MULTIPLY_LOW : CEILING_DOT, 1}}};
  const struct linear_layout *l = &w->layout;
  const struct bench_row lowering = {.group = "model",
                                     .name = "convolution lowering to lanes",
                                     .unit = "value",
                                     .units = (double)(l->channels * (layout_tile_lanes(l, 0) + l->reach)),
                                     .portable = true,
                                     .demand = {{CEILING_L2, 16}}};
  bench_kernel(b, &conv, convolution, w);
  bench_kernel(b, &lowering, lower, w);
}

/* A 3x3 convolution of CHANNELS to CHANNELS on SIDE x SIDE, as the model and as the encrypted layer see it. */
static const struct window window = {3, 3, 1, 1, 1, 1, 1, 1, 1, 1};
static const struct linear_layer layer = {.shape = {.in_channels = CHANNELS,
                                                    .in_h = SIDE,
                                                    .in_w = SIDE,
                                                    .out_channels = CHANNELS,
                                                    .out_h = SIDE,
                                                    .out_w = SIDE,
                                                    .groups = 1,
                                                    .kernel_h = 3,
                                                    .kernel_w = 3,
                                                    .stride_h = 1,
                                                    .stride_w = 1,
                                                    .pad_top = 1,
                                                    .pad_left = 1,
                                                    .dilation_h = 1,
                                                    .dilation_w = 1,
                                                    .ring_bits = 26,
                                                    .weight_bits = 8},
                                          .guard_bits = 2,
                                          .rlwe_set = 1};

void bench_plain(struct bench *b) {
  const struct shape shape = {CHANNELS, SIDE, SIDE};
  uint32_t input = 0;
  struct program_step steps[2] = {{.op = OP_INPUT, .out = {.shape = shape, .ring_bits = 26, .value_bits = 8}},
                                  {.op = OP_LINEAR,
                                   .input_count = 1,
                                   .inputs = &input,
                                   .window = window,
                                   .groups = 1,
                                   .weight_bits = 8,
                                   .out = {.shape = shape, .ring_bits = 26, .value_bits = 26, .raw = true}}};
  struct program_weights weights[2] = {{NULL, NULL}, {NULL, NULL}};
  const struct model model = {.program = {.steps = steps, .count = 2}, .weights = weights};
  struct plain_work w = {.bench = b};
  const fusion_status laid = layout_make(&w.layout, &layer, NULL, 1);
  bench_check(b, laid);
  int16_t *const filters = weights[1].weights = bench_alloc(b, CHANNELS * DEPTH, sizeof *filters);
  weights[1].bias = bench_alloc(b, CHANNELS, sizeof *weights[1].bias);
  w.x = bench_alloc(b, CHANNELS * SIDE * SIDE, sizeof *w.x);
  w.y = bench_alloc(b, CHANNELS * SIDE * SIDE, sizeof *w.y);
  if (laid == FUSION_OK) {
    w.source = bench_alloc(b, w.layout.phase_count * w.layout.span, sizeof *w.source);
    w.lanes = bench_alloc(b, LAYOUT_GATHER * w.layout.span, sizeof *w.lanes);
  }
  if (filters && weights[1].bias) {
    for (size_t i = 0; i < CHANNELS * DEPTH; i++) filters[i] = (int16_t)((int)(i * 7919 % 251) - 125);
    bench_check(b, linear_pack(&w.packed, &model, 1));
  }
  if (bench_ready(b)) convolutions(b, &w);
  if (laid == FUSION_OK) layout_free(&w.layout);
  linear_packed_free(&w.packed);
  mem_free(filters);
  mem_free(weights[1].bias);
  mem_free(w.x);
  mem_free(w.y);
  mem_free(w.source);
  mem_free(w.lanes);
}
