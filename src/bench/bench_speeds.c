/* The unit prices of predictions, measured: short runs of what they stand for, both parties on a thread each over
 * memory, and two kernels. Prices follow by differences: of what makes correlations for a gate, less the gate on
 * correlations that are constants; of a layer that merges, less its ciphertexts and products. */
#include "bench/bench_speeds.h"

#include "bench/bench_suite.h"
#include "gates/gates.h"
#include "gates/relu_garbled.h"
#include "gates/relu_truncate.h"
#include "lattice/linear.h"
#include "ot/cot_softspoken.h"
#include "silent/cot_silent.h"
#include "silent/cot_silent_cost.h"
#include "silent/silent_set.h"

enum {
  RUNS = 3,
  SESSION_VALUES = 1 << 15,
  VALUES = 1 << 12,
  FEW = 1 << 6, /* so few that messages are the work */
  INDEX_BITS = 5,
  LAYER_INPUTS = 64,
  LAYER_OUTPUTS = 128,
  LAYER_SAMPLES = 2048,
};

static const struct relu_truncate relu = {.in_bits = 26, .shift = 8, .out_bits = 18, .add = 128, .relu = true};
static const struct relu_truncate relu_by_circuit = {
    .in_bits = 26, .shift = 8, .out_bits = 18, .add = 128, .relu = true, .garbled = GARBLED_NOW};
static const int64_t entries[1 << INDEX_BITS] = {7, -1, 5, -3};
static const struct lookup table = {.index_bits = INDEX_BITS, .out_bits = 18, .base = entries};

/* What is measured. The last two are kernels. */
enum row {
  ROW_OPENING,
  ROW_SESSION,
  ROW_BASE,
  ROW_LAN,
  ROW_STREAM,
  ROW_GATE,
  ROW_FEW,
  ROW_TABLE,
  ROW_GARBLED,
  ROW_LAYER,
  ROW_MERGES,
  ROW_PRODUCT,
  ROW_SLOTS,
  ROW_COUNT
};
static const char *const row_names[ROW_COUNT] = {
    [ROW_OPENING] = "opening of a session",
    [ROW_SESSION] = "session",
    [ROW_BASE] = "stream, k = 8",
    [ROW_LAN] = "stock of two iterations",
    [ROW_STREAM] = "stream, k = 4",
    [ROW_GATE] = "gate",
    [ROW_FEW] = "gate of few values",
    [ROW_TABLE] = "table",
    [ROW_GARBLED] = "garbled",
    [ROW_LAYER] = "layer",
    [ROW_MERGES] = "layer of few lanes",
    [ROW_PRODUCT] = "encrypted matrix 64 x 576, 8-bit weights",
    [ROW_SLOTS] = "slots: NTT 8192 forward",
};

/* Samples fill whole polynomials, so ciphertexts are the work; or they are so few that answers are interleaved. */
struct layer_size {
  uint32_t in, out;
  size_t samples;
};
static const struct layer_size wide_layer = {32, 32, LAYER_SAMPLES}, narrow_layer = {LAYER_INPUTS, LAYER_OUTPUTS, 16};

/* A party; what a part has no use for stays empty. */
struct state {
  struct party party;
  struct cot constant;
  struct garble garble;
  struct rlwe *rlwe;
  struct linear_layer layer;
  int16_t weights[LAYER_INPUTS * LAYER_OUTPUTS];
  int64_t bias[LAYER_OUTPUTS];
  uint64_t *x, *y;
};

/* A part: what is measured, in which unit. */
struct part {
  enum row row;
  fusion_status (*open)(const struct bench_end *e, struct state *s);
  fusion_status (*run)(const struct bench_end *e, struct state *s);
  double units;
  unsigned field_bits;           /* of a stream */
  const struct layer_size *size; /* of a layer; NULL: the wide one */
};

static const struct layer_size *size_of(const struct part *part) {
  return part->size ? part->size : &wide_layer;
}

static struct linear_layer make_layer(const struct layer_size *size, int16_t weights[LAYER_INPUTS * LAYER_OUTPUTS]) {
  struct linear_layer layer = {.shape = {.in_channels = size->in,
                                         .in_h = 1,
                                         .in_w = 1,
                                         .out_channels = size->out,
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
  for (size_t i = 0; i < (size_t)size->in * size->out; i++) weights[i] = (int16_t)((int)(i * 7919 % 251) - 125);
  layer.rlwe_set = linear_choose_set(&layer, weights);
  return layer;
}

static struct rlwe_keys layer_keys(const struct linear_layer *layer, const struct layer_size *size) {
  enum { TURNS = 7 }; /* as many answers in one as there are outputs */
  struct rlwe_keys keys = {0};
  if (size == &narrow_layer) {
    keys.turns = TURNS;
    keys.turned = 1;
  }
  rlwe_keys_add(&keys, layer, size->samples);
  return keys;
}

static fusion_status open_nothing(const struct bench_end *e, struct state *s) {
  (void)e;
  (void)s;
  return FUSION_OK;
}

static fusion_status open_layer(const struct bench_end *e, struct state *s) {
  const struct rlwe_keys keys = layer_keys(&s->layer, size_of(e->task));
  return e->role == ROLE_SERVER ? rlwe_open_server(&s->rlwe, e->channel, s->party.prg, &keys)
                                : rlwe_open_client(&s->rlwe, e->channel, s->party.prg, &keys);
}

static struct cot_opening cot_opening(const struct bench_end *e, const struct state *s) {
  return (struct cot_opening){.role = e->role, .channel = e->channel, .heap = s->party.heap, .prg = s->party.prg};
}

static fusion_status open_stream(const struct bench_end *e, struct state *s) {
  const struct cot_opening opening = cot_opening(e, s);
  const struct cot_softspoken_params params = {.field_bits = ((const struct part *)e->task)->field_bits};
  return cot_open_softspoken(&s->party.cot, &opening, &params);
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

static struct silent_params session_params(void) {
  const uint64_t expected = (uint64_t)count_cots(SESSION_VALUES) / 2;
  return (struct silent_params){
      .profile = SILENT_LAN, .expected_server_sends = expected, .expected_client_sends = expected};
}

/* As a connection finds a process: with an empty heap. `values` of a gate, or none: keys and base OT alone. */
static fusion_status run_session(const struct bench_end *e, struct state *s, size_t values) {
  fusion_status status = FUSION_OK;
  struct heap *kept = s->party.heap;
  s->party.heap = heap_new();
  FAIL_IF(!s->party.heap, FUSION_E_MEMORY);
  const struct cot_opening opening = cot_opening(e, s);
  const struct silent_params params = session_params();
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
static fusion_status run_few(const struct bench_end *e, struct state *s) {
  (void)e;
  return relu_truncate(&s->party, &relu, s->x, s->y, FEW);
}
static fusion_status run_table(const struct bench_end *e, struct state *s) {
  (void)e;
  return lookup(&s->party, &table, s->x, s->y, VALUES);
}
static fusion_status run_garbled(const struct bench_end *e, struct state *s) {
  (void)e;
  return relu_garbled(&s->party, &relu_by_circuit, s->x, s->y, VALUES);
}
static fusion_status run_layer(const struct bench_end *e, struct state *s) {
  const size_t samples = size_of(e->task)->samples;
  return e->role == ROLE_SERVER ? linear_server(s->rlwe, &s->layer, s->weights, s->bias, s->x, s->y, samples)
                                : linear_client(s->rlwe, &s->layer, s->x, s->y, samples);
}

/* Two iterations that share a matrix make what it expects, more than all runs take. */
static fusion_status open_lan(const struct bench_end *e, struct state *s) {
  const uint64_t expected = silent_set_outputs(&silent_set_lan) * 15 / 8;
  const struct silent_params params = {
      .profile = SILENT_LAN, .expected_server_sends = expected, .expected_client_sends = expected};
  const struct cot_opening opening = cot_opening(e, s);
  return cot_open_silent(&s->party.cot, &opening, &params);
}

static fusion_status open_end(struct bench_end *e) {
  const struct part *part = e->task;
  const size_t count = size_max(SESSION_VALUES, (size_t)LAYER_OUTPUTS * LAYER_SAMPLES);
  struct state *s = e->state = mem_alloc(1, sizeof *s);
  if (!s) return FUSION_E_MEMORY;
  s->party = (struct party){.role = e->role, .channel = e->channel, .heap = heap_new()};
  s->layer = make_layer(size_of(part), s->weights);
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
  const struct bench_row row = {.group = "speed", .name = row_names[part->row], .unit = "unit", .units = part->units};
  bench_pair(b, &row, &protocol, part);
}

static void sessions(struct bench *b) {
  static const struct part opening = {.row = ROW_OPENING, .open = open_nothing, .run = run_opening, .units = 1};
  static const struct part session = {.row = ROW_SESSION, .open = open_nothing, .run = run_long, .units = 1};
  measure(b, &opening);
  measure(b, &session);
}

static double garbled_bytes(void) {
  struct cost c = {0};
  relu_garbled_cost(&c, &relu_by_circuit, VALUES);
  return (double)c.bytes_to_server + (double)c.bytes_to_client;
}

static void parts(struct bench *b) {
  const double cots = count_cots(VALUES);
  const struct part all[] = {
      {.row = ROW_BASE, .open = open_stream, .run = run_gate, .units = cots, .field_bits = SILENT_FIELD_BITS},
      {.row = ROW_LAN, .open = open_lan, .run = run_gate, .units = cots},
      {.row = ROW_STREAM, .open = open_stream, .run = run_gate, .units = cots},
      {.row = ROW_GATE, .open = open_constant, .run = run_gate, .units = cots},
      {.row = ROW_FEW, .open = open_constant, .run = run_few, .units = 1},
      {.row = ROW_TABLE, .open = open_constant, .run = run_table, .units = 1},
      {.row = ROW_GARBLED, .open = open_constant, .run = run_garbled, .units = garbled_bytes()},
      {.row = ROW_LAYER, .open = open_layer, .run = run_layer, .units = 1},
      {.row = ROW_MERGES, .open = open_layer, .run = run_layer, .units = 1, .size = &narrow_layer}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) measure(b, &all[i]);
  bench_kernel_named(b, row_names[ROW_PRODUCT]);
  bench_kernel_named(b, row_names[ROW_SLOTS]);
}

/* Seconds of a unit, by party; of a kernel alike. */
struct measured {
  double server[ROW_COUNT], client[ROW_COUNT];
};

static bool take_row(void *context, const fusion_bench_row *row) {
  struct measured *m = context;
  for (size_t i = 0; i < ROW_COUNT; i++) {
    if (strcmp(row->name, row_names[i]) != 0) continue;
    const bool kernel = i == ROW_PRODUCT || i == ROW_SLOTS;
    m->server[i] = kernel ? 1 / row->per_second : 1e-9 * row->server_cpu_ns;
    m->client[i] = kernel ? 1 / row->per_second : 1e-9 * row->client_cpu_ns;
  }
  return true;
}

static double both(const struct measured *m, enum row row) {
  return (m->server[row] + m->client[row]) / 2;
}

/* What is left of a time without a part of it. On a busy machine the part may have seemed longer than the whole. */
static double less(double whole, double part) {
  const double least = whole / 8;
  return whole - part > least ? whole - part : least;
}

static void price_correlations(double *s, const struct measured *m) {
  /* Of the growing of a correlation, a tree's part as it is taken. */
  const double growth = 0.1, taken = count_cots(SESSION_VALUES);
  /* A row serves two correlations here; what else a take moves is the rest. Fitted to an MLP on 113 and 868 samples. */
  const double row = 1.2;
  const struct silent_params params = session_params();
  const double bases = cot_silent_price(&params, 1, 0, 0), grown = cot_silent_price(&params, 0, 1, 0);
  s[SPEED_GATE] = both(m, ROW_GATE);
  s[SPEED_STREAM] = less(both(m, ROW_STREAM), s[SPEED_GATE]);
  s[SPEED_BASE] = less(both(m, ROW_BASE), s[SPEED_GATE]);
  s[SPEED_SETUP] = less(both(m, ROW_OPENING), taken * bases / 2 * s[SPEED_BASE]); /* those of one direction */
  const double made = less(less(both(m, ROW_SESSION), s[SPEED_SETUP]) / taken, s[SPEED_GATE]);
  s[SPEED_SILENT] = less(made, bases * s[SPEED_BASE]) / grown;
  s[SPEED_ROW] = row * less(less(both(m, ROW_LAN), s[SPEED_GATE]), growth * s[SPEED_SILENT]);
}

static void price_tables(double *s, const struct measured *m) {
  const double sent = (double)VALUES * (1 << INDEX_BITS), used = (double)VALUES * INDEX_BITS * s[SPEED_GATE];
  /* Over a socket, and with colder caches after a sleep, a message takes so many times what it takes over memory.
   * Fitted to a small BERT on one sample. */
  enum { SOCKET = 4 };
  struct cost few = {0};
  relu_truncate_cost(&few, &relu, FEW);
  s[SPEED_DELAY] = SOCKET * less(both(m, ROW_FEW), count_cots(FEW) * s[SPEED_GATE]) / few.depth_client;
  s[SPEED_SENT] = less(m->server[ROW_TABLE], used) / sent;
  s[SPEED_TAKEN] = less(m->client[ROW_TABLE], used) / sent;
  s[SPEED_EVALUATE] = m->server[ROW_GARBLED];
  s[SPEED_GARBLE] = m->client[ROW_GARBLED];
}

static struct linear_work work_of(const struct layer_size *size) {
  int16_t weights[LAYER_INPUTS * LAYER_OUTPUTS];
  const struct linear_layer layer = make_layer(size, weights);
  const struct rlwe_keys keys = layer_keys(&layer, size);
  return linear_work(&layer, &keys, size->samples);
}

static void price_layers(double *s, const struct measured *m) {
  enum { LIMBS = 2 };
  const struct linear_work wide = work_of(&wide_layer), narrow = work_of(&narrow_layer);
  s[SPEED_PRODUCT] = m->server[ROW_PRODUCT];
  s[SPEED_SLOTS] = m->server[ROW_SLOTS];
  s[SPEED_SERVER_CIPHER] = less(m->server[ROW_LAYER], LIMBS * wide.products * s[SPEED_PRODUCT]) / wide.ciphertexts;
  s[SPEED_CLIENT_CIPHER] = m->client[ROW_LAYER] / wide.ciphertexts;
  const double merging = less(m->server[ROW_MERGES], LIMBS * narrow.products * s[SPEED_PRODUCT]);
  s[SPEED_MERGE] = less(merging, narrow.ciphertexts * s[SPEED_SERVER_CIPHER]) / narrow.merges;
}

fusion_status bench_calibrate(struct engine_speeds *out, fusion_error *err) {
  struct measured measured = {{0}, {0}};
  struct engine_speeds speeds = {{0}};
  fusion_bench_settings settings = {
      .size = sizeof settings, .threads = 1, .runs = 1, .seconds = 0.004, .row = take_row, .context = &measured};
  fusion_status status = bench_rows(&settings, sessions, err);
  settings.runs = RUNS;
  if (status == FUSION_OK) status = bench_rows(&settings, parts, err);
  if (status != FUSION_OK) return status;
  price_correlations(speeds.seconds, &measured);
  price_tables(speeds.seconds, &measured);
  price_layers(speeds.seconds, &measured);
  if (!engine_speeds_plausible(&speeds))
    return error_set(err, FUSION_E_INTERNAL, "calibration: the measured speeds are not plausible");
  *out = speeds;
  return FUSION_OK;
}
