/* The unit prices of predictions, measured: short runs of what they stand for, both parties on a thread each over
 * memory, and two kernels. A correlation has the price of a gate that uses it, so that what both need of the caches is
 * in it. Garbled circuits, and gates by themselves, run on correlations that are constants. */
#include "bench/bench_speeds.h"

#include "bench/bench_suite.h"
#include "gates/gates.h"
#include "gates/relu_garbled.h"
#include "gates/relu_truncate.h"
#include "lattice/linear.h"
#include "ot/cot_softspoken.h"
#include "silent/cot_silent.h"

enum { RUNS = 3, SESSION_VALUES = 1 << 15, VALUES = 1 << 12, CHANNELS = 32, LAYER_SAMPLES = 2048 };

static const struct relu_truncate relu = {.in_bits = 26, .shift = 8, .out_bits = 18, .add = 128, .relu = true};
static const struct relu_truncate relu_by_circuit = {
    .in_bits = 26, .shift = 8, .out_bits = 18, .add = 128, .relu = true, .garbled = GARBLED_NOW};

/* A party; what a part has no use for stays empty. */
struct state {
  struct party party;
  struct cot constant;
  struct garble garble;
  struct rlwe *rlwe;
  struct linear_layer layer;
  int16_t weights[CHANNELS * CHANNELS];
  int64_t bias[CHANNELS];
  uint64_t *x, *y;
};

/* A part: what is measured, in which unit. */
struct part {
  const char *name;
  fusion_status (*open)(const struct bench_end *e, struct state *s);
  fusion_status (*run)(const struct bench_end *e, struct state *s);
  double units;
};

/* Samples fill whole polynomials, so ciphertexts are the work and products are next to nothing. */
static struct linear_layer make_layer(int16_t weights[CHANNELS * CHANNELS]) {
  struct linear_layer layer = {.shape = {.in_channels = CHANNELS,
                                         .in_h = 1,
                                         .in_w = 1,
                                         .out_channels = CHANNELS,
                                         .out_h = 1,
                                         .out_w = 1,
                                         .groups = 1,
                                         .kernel_h = 1,
                                         .kernel_w = 1,
                                         .stride_h = 1,
                                         .stride_w = 1,
                                         .dilation_h = 1,
                                         .dilation_w = 1,
                                         .ring_bits = 26,
                                         .weight_bits = 8},
                               .guard_bits = 2};
  for (size_t i = 0; i < CHANNELS * CHANNELS; i++) weights[i] = (int16_t)((int)(i * 7919 % 251) - 125);
  layer.rlwe_set = linear_choose_set(&layer, weights);
  return layer;
}

static struct rlwe_keys layer_keys(const struct linear_layer *layer) {
  struct rlwe_keys keys = {0};
  rlwe_keys_add(&keys, layer, LAYER_SAMPLES);
  return keys;
}

static fusion_status open_nothing(const struct bench_end *e, struct state *s) {
  (void)e;
  (void)s;
  return FUSION_OK;
}

static fusion_status open_layer(const struct bench_end *e, struct state *s) {
  const struct rlwe_keys keys = layer_keys(&s->layer);
  return e->role == ROLE_SERVER ? rlwe_open_server(&s->rlwe, e->channel, s->party.prg, &keys)
                                : rlwe_open_client(&s->rlwe, e->channel, s->party.prg, &keys);
}

static struct cot_opening cot_opening(const struct bench_end *e, const struct state *s) {
  return (struct cot_opening){.role = e->role, .channel = e->channel, .heap = s->party.heap, .prg = s->party.prg};
}

static fusion_status open_stream(const struct bench_end *e, struct state *s) {
  const struct cot_opening opening = cot_opening(e, s);
  return cot_open_softspoken(&s->party.cot, &opening, &cot_softspoken_usual);
}

static fusion_status open_constant(const struct bench_end *e, struct state *s) {
  s->constant = (struct cot){.ops = &bench_constant_cots, .role = e->role, .channel = e->channel, .delta = {.lo = 1}};
  s->garble = (struct garble){.role = e->role, .channel = e->channel, .cot = &s->constant, .heap = s->party.heap};
  s->party.cot = &s->constant;
  s->party.garble = &s->garble;
  return FUSION_OK;
}

/* Correlations of a gate, both directions. */
static double count_cots(size_t values) {
  struct cost cost = {0};
  relu_truncate_cost(&cost, &relu, values);
  return (double)cost.cots_server_sends + (double)cost.cots_client_sends;
}

/* As a connection finds a process: with an empty heap. `values` of a gate, or none: keys and base OT alone. */
static fusion_status run_session(const struct bench_end *e, struct state *s, size_t values) {
  fusion_status status = FUSION_OK;
  const uint64_t expected = (uint64_t)count_cots(SESSION_VALUES) / 2;
  struct heap *kept = s->party.heap;
  s->party.heap = heap_new();
  FAIL_IF(!s->party.heap, FUSION_E_MEMORY);
  const struct cot_opening opening = cot_opening(e, s);
  const struct silent_params params = {
      .profile = SILENT_LAN, .expected_server_sends = expected, .expected_client_sends = expected};
  TRY(cot_open_silent(&s->party.cot, &opening, &params));
  TRY(open_layer(e, s));
  if (values) TRY(relu_truncate(&s->party, &relu, s->x, s->y, values));
cleanup:
  cot_close(s->party.cot);
  s->party.cot = NULL;
  if (s->rlwe) rlwe_close(s->rlwe);
  s->rlwe = NULL;
  heap_free(s->party.heap);
  s->party.heap = kept;
  return status;
}

/* What every session opens with. */
static fusion_status run_opening(const struct bench_end *e, struct state *s) {
  return run_session(e, s, 0);
}
static fusion_status run_long(const struct bench_end *e, struct state *s) {
  return run_session(e, s, SESSION_VALUES);
}

static fusion_status run_gate(const struct bench_end *e, struct state *s) {
  (void)e;
  return relu_truncate(&s->party, &relu, s->x, s->y, VALUES);
}
static fusion_status run_garbled(const struct bench_end *e, struct state *s) {
  (void)e;
  return relu_garbled(&s->party, &relu_by_circuit, s->x, s->y, VALUES);
}
static fusion_status run_layer(const struct bench_end *e, struct state *s) {
  return e->role == ROLE_SERVER ? linear_server(s->rlwe, &s->layer, s->weights, s->bias, s->x, s->y, LAYER_SAMPLES)
                                : linear_client(s->rlwe, &s->layer, s->x, s->y, LAYER_SAMPLES);
}

static fusion_status open_end(struct bench_end *e) {
  const struct part *part = e->task;
  const size_t count = size_max(SESSION_VALUES, (size_t)CHANNELS * LAYER_SAMPLES);
  struct state *s = e->state = mem_alloc(1, sizeof *s);
  if (!s) return FUSION_E_MEMORY;
  s->party = (struct party){.role = e->role, .channel = e->channel, .heap = heap_new()};
  s->layer = make_layer(s->weights);
  s->x = mem_alloc(count, sizeof *s->x);
  s->y = mem_alloc(count, sizeof *s->y);
  if (!s->party.heap || !s->x || !s->y) return FUSION_E_MEMORY;
  const fusion_status status = prg_new_random(&s->party.prg);
  return status == FUSION_OK ? part->open(e, s) : status;
}

static fusion_status run_end(struct bench_end *e) {
  const struct part *part = e->task;
  return part->run(e, e->state);
}

static void close_end(struct bench_end *e) {
  struct state *s = e->state;
  if (!s) return;
  cot_close(s->party.cot);
  if (s->rlwe) rlwe_close(s->rlwe);
  prg_free(s->party.prg);
  heap_free(s->party.heap);
  mem_free(s->x);
  mem_free(s->y);
  mem_free(s);
}

static void measure(struct bench *b, const struct part *part) {
  static const struct bench_protocol protocol = {open_end, run_end, close_end};
  const struct bench_row row = {.group = "speed", .name = part->name, .unit = "unit", .units = part->units};
  bench_pair(b, &row, &protocol, part);
}

static void sessions(struct bench *b) {
  static const struct part opening = {"opening of a session", open_nothing, run_opening, 1};
  static const struct part session = {"session", open_nothing, run_long, 1};
  measure(b, &opening);
  measure(b, &session);
}

static double bytes_of(const struct cost *c) {
  return (double)c->bytes_to_server + (double)c->bytes_to_client;
}

static const char matrix_kernel[] = "encrypted matrix 64 x 576, 8-bit weights",
                  slots_kernel[] = "slots: NTT 8192 forward";

static void parts(struct bench *b) {
  int16_t weights[CHANNELS * CHANNELS];
  const struct linear_layer layer = make_layer(weights);
  const struct rlwe_keys keys = layer_keys(&layer);
  struct cost garbled = {0}, linear = {0};
  relu_garbled_cost(&garbled, &relu_by_circuit, VALUES);
  linear_cost(&linear, &layer, &keys, LAYER_SAMPLES);
  const struct part all[] = {{"stream", open_stream, run_gate, count_cots(VALUES)},
                             {"gate", open_constant, run_gate, count_cots(VALUES)},
                             {"garbled", open_constant, run_garbled, bytes_of(&garbled)},
                             {"layer", open_layer, run_layer, bytes_of(&linear)}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) measure(b, &all[i]);
  bench_kernel_named(b, matrix_kernel);
  bench_kernel_named(b, slots_kernel);
}

/* A row to the prices that it tells. */
static bool take_row(void *context, const fusion_bench_row *row) {
  double *s = ((struct engine_speeds *)context)->seconds;
  const double server = 1e-9 * row->server_cpu_ns, client = 1e-9 * row->client_cpu_ns, both = (server + client) / 2;
  if (strcmp(row->name, "opening of a session") == 0) s[SPEED_SETUP] = both;
  if (strcmp(row->name, "session") == 0) s[SPEED_SILENT] = (both - s[SPEED_SETUP]) / count_cots(SESSION_VALUES);
  if (strcmp(row->name, "stream") == 0) s[SPEED_STREAM] = both;
  if (strcmp(row->name, "gate") == 0) s[SPEED_GATE] = both;
  if (strcmp(row->name, "garbled") == 0) {
    s[SPEED_EVALUATE] = server;
    s[SPEED_GARBLE] = client;
  }
  if (strcmp(row->name, "layer") == 0) {
    s[SPEED_SERVER_CIPHER] = server;
    s[SPEED_CLIENT_CIPHER] = client;
  }
  if (strcmp(row->name, matrix_kernel) == 0) s[SPEED_PRODUCT] = 1 / row->per_second;
  if (strcmp(row->name, slots_kernel) == 0) s[SPEED_SLOTS] = 1 / row->per_second;
  return true;
}

fusion_status bench_calibrate(struct engine_speeds *out, fusion_error *err) {
  struct engine_speeds measured = {{0}};
  fusion_bench_settings settings = {
      .size = sizeof settings, .threads = 1, .runs = 1, .seconds = 0.004, .row = take_row, .context = &measured};
  fusion_status status = bench_rows(&settings, sessions, err);
  settings.runs = RUNS;
  if (status == FUSION_OK) status = bench_rows(&settings, parts, err);
  if (status != FUSION_OK) return status;
  if (!engine_speeds_plausible(&measured))
    return error_set(err, FUSION_E_INTERNAL, "calibration: the measured speeds are not plausible");
  *out = measured;
  return FUSION_OK;
}
