/* Rows of two parties: correlations, gates with their correlations, encrypted layers. Over the in-memory pipe: what a
 * party computes, and the bytes; for networks see network.c. */
#include "bench/bench_suite.h"
#include "gates/gates.h"
#include "lattice/linear.h"
#include "lattice/params.h"
#include "ot/softspoken.h"
#include "silent/cot_silent.h"

enum { TAKE = 1 << 16 };

/* --- correlations ------------------------------------------------------------------------------------------------ */

struct cot_task {
  struct silent_params params;
  size_t count; /* a call */
};

struct cot_state {
  struct prg *prg;
  struct heap *heap;
  struct cot *cot;
  block *out;
};

static fusion_status cot_open_end(struct bench_end *e) {
  const struct cot_task *t = e->task;
  struct cot_state *s = e->state = mem_alloc(1, sizeof *s);
  if (!s) return FUSION_E_MEMORY;
  s->out = mem_alloc(TAKE, sizeof *s->out);
  if (!s->out) return FUSION_E_MEMORY;
  s->heap = heap_new();
  if (!s->heap) return FUSION_E_MEMORY;
  const fusion_status status = prg_new_random(&s->prg);
  const struct cot_opening opening = {.role = e->role, .channel = e->channel, .heap = s->heap, .prg = s->prg};
  return status == FUSION_OK ? cot_open_silent(&s->cot, &opening, &t->params) : status;
}

static fusion_status cot_run_end(struct bench_end *e) {
  const struct cot_task *t = e->task;
  const struct cot_state *s = e->state;
  fusion_status status = FUSION_OK;
  for (size_t done = 0; status == FUSION_OK && done < t->count; done += TAKE)
    status = e->role == ROLE_SERVER ? cot_take_sender(s->cot, s->out, TAKE, NULL)
                                    : cot_take_receiver(s->cot, s->out, TAKE, NULL);
  return status;
}

static void cot_close_end(struct bench_end *e) {
  struct cot_state *s = e->state;
  if (!s) return;
  if (s->cot) cot_close(s->cot);
  prg_free(s->prg);
  heap_free(s->heap);
  mem_free(s->out);
  mem_free(s);
}

static void correlations(struct bench *b) {
  static const struct bench_protocol protocol = {cot_open_end, cot_run_end, cot_close_end};
  static const char *const names[] = {"silent COT, malicious, LAN set", "silent COT, malicious, WAN set"};
  /* Whole iterations' worth, so that a run holds its share of them. */
  const size_t count = (size_t)1 << (b->tier == CPU_TIER_C ? 22 : 25);
  for (unsigned i = 0; i < 2; i++) {
    const struct cot_task task = {{.profile = i ? SILENT_WAN : SILENT_LAN}, count};
    const struct bench_row row = {.group = "protocol", .name = names[i], .unit = "correlation", .units = (double)count};
    bench_pair(b, &row, &protocol, &task);
  }
}

struct softspoken_state {
  struct softspoken_sender *sender;
  struct softspoken_receiver *receiver;
  block *out;
};

static fusion_status softspoken_open_end(struct bench_end *e) {
  struct softspoken_state *s = e->state = mem_alloc(1, sizeof *s);
  struct prg *prg = NULL;
  if (!s) return FUSION_E_MEMORY;
  s->out = mem_alloc((size_t)1 << 20, sizeof *s->out);
  if (!s->out) return FUSION_E_MEMORY;
  fusion_status status = prg_new_random(&prg);
  if (status != FUSION_OK) return status;
  const struct softspoken_setup setup = {
      .channel = e->channel, .prg = prg, .role = e->role, .session = 1, .field_bits = *(const unsigned *)e->task};
  status = softspoken_open(&s->sender, &s->receiver, &setup);
  prg_free(prg);
  return status;
}

static fusion_status softspoken_run_end(struct bench_end *e) {
  const struct softspoken_state *s = e->state;
  return e->role == ROLE_SERVER ? softspoken_send(s->sender, s->out, (size_t)1 << 20)
                                : softspoken_receive(s->receiver, s->out, (size_t)1 << 20);
}

static void softspoken_close_end(struct bench_end *e) {
  struct softspoken_state *s = e->state;
  if (!s) return;
  softspoken_sender_free(s->sender);
  softspoken_receiver_free(s->receiver);
  mem_free(s->out);
  mem_free(s);
}

static void bootstrap(struct bench *b) {
  static const struct bench_protocol protocol = {softspoken_open_end, softspoken_run_end, softspoken_close_end};
  static const struct {
    const char *name;
    unsigned field_bits;
  } cases[] = {{"SoftSpoken COT, malicious, k = 2", 2},
               {"SoftSpoken COT, malicious, k = 4", 4},
               {"SoftSpoken COT, malicious, k = 8", 8}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const struct bench_row row = {
        .group = "protocol", .name = cases[i].name, .unit = "correlation", .units = (double)((size_t)1 << 20)};
    bench_pair(b, &row, &protocol, &cases[i].field_bits);
  }
}

/* --- gates ------------------------------------------------------------------------------------------------------- */

struct gate_task {
  fusion_status (*call)(struct party *p, const void *params, uint64_t *x, size_t count);
  const void *params;
  size_t count, values; /* values: room for one element's inputs and outputs */
  enum silent_profile profile;
};

struct gate_state {
  struct party party;
  uint64_t *x;
};

static fusion_status gate_open(struct bench_end *e) {
  const struct gate_task *t = e->task;
  const struct silent_params silent = {.profile = t->profile};
  struct gate_state *s = e->state = mem_alloc(1, sizeof *s);
  if (!s) return FUSION_E_MEMORY;
  s->party = (struct party){.role = e->role, .channel = e->channel, .heap = heap_new()};
  s->x = mem_alloc(t->count * t->values, sizeof *s->x);
  if (!s->x || !s->party.heap) return FUSION_E_MEMORY;
  const fusion_status status = prg_new_random(&s->party.prg);
  const struct cot_opening opening = {
      .role = e->role, .channel = e->channel, .heap = s->party.heap, .prg = s->party.prg};
  return status == FUSION_OK ? cot_open_silent(&s->party.cot, &opening, &silent) : status;
}

static fusion_status gate_run(struct bench_end *e) {
  const struct gate_task *t = e->task;
  struct gate_state *s = e->state;
  return t->call(&s->party, t->params, s->x, t->count);
}

static void gate_close(struct bench_end *e) {
  struct gate_state *s = e->state;
  if (!s) return;
  if (s->party.cot) cot_close(s->party.cot);
  prg_free(s->party.prg);
  heap_free(s->party.heap);
  mem_free(s->x);
  mem_free(s);
}

static fusion_status call_relu(struct party *p, const void *params, uint64_t *x, size_t count) {
  return relu_truncate(p, params, x, x, count);
}
static fusion_status call_square(struct party *p, const void *params, uint64_t *x, size_t count) {
  return multiply(p, x, x, x, count, *(const unsigned *)params);
}
static fusion_status call_multiply(struct party *p, const void *params, uint64_t *x, size_t count) {
  return multiply(p, x, x + count, x, count, *(const unsigned *)params);
}
static fusion_status call_argmax(struct party *p, const void *params, uint64_t *x, size_t count) {
  const struct top_k *q = params;
  return top_k(p, q, x, x + count * q->width, NULL, count);
}
static fusion_status call_maxpool(struct party *p, const void *params, uint64_t *x, size_t count) {
  return maxpool(p, params, x, x, count);
}

static const struct relu_truncate relu_exact = {.in_bits = 26, .shift = 8, .out_bits = 18, .add = 128, .relu = true};
static const struct relu_truncate relu_wan = {
    .in_bits = 26, .shift = 8, .out_bits = 18, .add = 128, .relu = true, .shape = CARRY_SHORTEST};
static const struct relu_truncate relu_fast = {
    .in_bits = 26, .shift = 8, .out_bits = 18, .add = 128, .relu = true, .fast = true};
static const struct relu_truncate relu_plain = {.in_bits = 37, .out_bits = 37, .relu = true};
static const struct relu_truncate truncate_exact = {.in_bits = 26, .shift = 8, .out_bits = 18, .add = 128};
static const struct relu_truncate truncate_wide = {.in_bits = 26, .shift = 8, .out_bits = 26, .add = 128};
static const struct top_k argmax_ten = {.width = 10, .k = 1, .value_bits = 16, .in_bits = 20, .indices_only = true};
static const struct maxpool pool = {.in_h = 16,
                                    .in_w = 16,
                                    .out_h = 8,
                                    .out_w = 8,
                                    .kernel_h = 2,
                                    .kernel_w = 2,
                                    .stride_h = 2,
                                    .stride_w = 2,
                                    .dilation_h = 1,
                                    .dilation_w = 1,
                                    .value_bits = 12,
                                    .in_bits = 18,
                                    .out_bits = 18};
static const unsigned product_bits = 20;

static void gates(struct bench *b) {
  static const struct bench_protocol protocol = {gate_open, gate_run, gate_close};
  const size_t count = (size_t)1 << (b->tier == CPU_TIER_C ? 15 : 20);
  const struct {
    const char *name, *unit;
    struct gate_task task;
    size_t each; /* units of an element */
  } rows[] = {
      {"ReLU and truncation, 26 by 8 bits, exact", "value", {call_relu, &relu_exact, count, 1, SILENT_LAN}, 1},
      {"ReLU and truncation, 26 by 8 bits, exact, WAN set",
       "value",
       {call_relu, &relu_wan, 2 * count, 1, SILENT_WAN},
       1},
      {"ReLU and truncation, 26 by 8 bits, fast", "value", {call_relu, &relu_fast, count, 1, SILENT_LAN}, 1},
      {"ReLU, 37 bits, exact", "value", {call_relu, &relu_plain, count, 1, SILENT_LAN}, 1},
      {"truncation, 26 by 8 bits, exact", "value", {call_relu, &truncate_exact, count, 1, SILENT_LAN}, 1},
      {"truncation and extension, 26 by 8 to 26 bits", "value", {call_relu, &truncate_wide, count, 1, SILENT_LAN}, 1},
      {"square, 20 bits", "value", {call_square, &product_bits, count / 4, 2, SILENT_LAN}, 1},
      {"product, 20 bits", "value", {call_multiply, &product_bits, count / 4, 2, SILENT_LAN}, 1},
      {"argmax of 10, 16 bits", "row", {call_argmax, &argmax_ten, count / 16, 11, SILENT_LAN}, 1},
      {"max pooling 2x2, 12 bits", "output", {call_maxpool, &pool, count / 256, 256, SILENT_LAN}, 64},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const struct bench_row row = {.group = "protocol",
                                  .name = rows[i].name,
                                  .unit = rows[i].unit,
                                  .units = (double)(rows[i].task.count * rows[i].each)};
    bench_pair(b, &row, &protocol, &rows[i].task);
  }
}

/* --- encrypted layers -------------------------------------------------------------------------------------------- */

struct layer_task {
  struct linear_layer layer;
  size_t samples;
  const int16_t *weights;
  const int64_t *bias;
};

struct layer_state {
  struct rlwe *rlwe;
  struct prg *prg;
  uint64_t *x, *y;
};

static fusion_status layer_open(struct bench_end *e) {
  const struct layer_task *t = e->task;
  const struct layer_shape *l = &t->layer.shape;
  const size_t in = t->samples * l->in_channels * l->in_h * l->in_w;
  struct layer_state *s = e->state = mem_alloc(1, sizeof *s);
  if (!s) return FUSION_E_MEMORY;
  s->x = mem_alloc(in, sizeof *s->x);
  s->y = mem_alloc(t->samples * l->out_channels * l->out_h * l->out_w, sizeof *s->y);
  if (!s->x || !s->y) return FUSION_E_MEMORY;
  for (size_t i = 0; i < in; i++) s->x[i] = i * UINT64_C(0x9e3779b97f4a7c15);
  const fusion_status status = prg_new_random(&s->prg);
  if (status != FUSION_OK) return status;
  struct rlwe_keys keys = {0};
  rlwe_keys_add(&keys, &t->layer, t->samples);
  return e->role == ROLE_SERVER ? rlwe_open_server(&s->rlwe, e->channel, s->prg, &keys)
                                : rlwe_open_client(&s->rlwe, e->channel, s->prg, &keys);
}

static fusion_status layer_run(struct bench_end *e) {
  const struct layer_task *t = e->task;
  const struct layer_state *s = e->state;
  return e->role == ROLE_SERVER ? linear_server(s->rlwe, &t->layer, t->weights, t->bias, s->x, s->y, t->samples)
                                : linear_client(s->rlwe, &t->layer, s->x, s->y, t->samples);
}

static void layer_close(struct bench_end *e) {
  struct layer_state *s = e->state;
  if (!s) return;
  if (s->rlwe) rlwe_close(s->rlwe);
  prg_free(s->prg);
  mem_free(s->x);
  mem_free(s->y);
  mem_free(s);
}

struct layer_case {
  const char *name;
  uint32_t in, size, out, kernel;
  size_t samples;
  const char *unit; /* "ciphertext": the sum of inputs and outputs' polynomials; else a sample */
};

static struct linear_layer layer_of(const struct layer_case *c) {
  return (struct linear_layer){.shape = {.in_channels = c->in,
                                         .in_h = c->size,
                                         .in_w = c->size,
                                         .out_channels = c->out,
                                         .out_h = c->size,
                                         .out_w = c->size,
                                         .groups = 1,
                                         .kernel_h = c->kernel,
                                         .kernel_w = c->kernel,
                                         .stride_h = 1,
                                         .stride_w = 1,
                                         .pad_top = c->kernel / 2,
                                         .pad_left = c->kernel / 2,
                                         .dilation_h = 1,
                                         .dilation_w = 1,
                                         .ring_bits = 26,
                                         .weight_bits = 8},
                               .guard_bits = 2};
}

static void one_layer(struct bench *b, const struct layer_case *c) {
  static const struct bench_protocol protocol = {layer_open, layer_run, layer_close};
  struct layer_task task = {.layer = layer_of(c), .samples = c->samples};
  const size_t count = (size_t)c->out * c->in * c->kernel * c->kernel;
  int16_t *weights = bench_alloc(b, count, sizeof *weights);
  int64_t *bias = bench_alloc(b, c->out, sizeof *bias);
  if (weights && bias) {
    for (size_t i = 0; i < count; i++) weights[i] = (int16_t)((int)(i * 7919 % 251) - 125);
    task.layer.rlwe_set = linear_choose_set(&task.layer, weights);
    task.weights = weights;
    task.bias = bias;
    const bool samples = strcmp(c->unit, "sample") == 0;
    const struct bench_row row = {.group = "protocol",
                                  .name = c->name,
                                  .unit = c->unit,
                                  .units = samples ? (double)c->samples : (double)(c->in + c->out - 1)};
    bench_pair(b, &row, &protocol, &task);
  }
  mem_free(weights);
  mem_free(bias);
}

static void layers(struct bench *b) {
  /* 2,048 samples of one feature fill a polynomial: so the first two are one of N = 2048 for each input or output, and
   * next to nothing else. The client's time is encryption (decryption), the server's rescaling in the second. */
  static const struct layer_case cases[] = {
      {"RLWE encryption, 2048 values (client)", 512, 1, 1, 1, 2048, "ciphertext"},
      {"RLWE rescaling (server) and decryption (client), 2048 values", 1, 1, 512, 1, 2048, "ciphertext"},
      {"layer, dense 784 to 128, 868 samples", 784, 1, 128, 1, 868, "sample"},
      {"layer, dense 784 to 128, 2660 samples", 784, 1, 128, 1, 2660, "sample"},
      {"layer, dense 128 to 128, 868 samples", 128, 1, 128, 1, 868, "sample"},
      {"layer, convolution 3x3, 64 to 64, 56x56, 1 sample", 64, 56, 64, 3, 1, "sample"},
      {"layer, convolution 3x3, 64 to 64, 56x56, 8 samples", 64, 56, 64, 3, 8, "sample"},
      {"layer, convolution 1x1, 256 to 1024, 14x14, 10 samples", 256, 14, 1024, 1, 10, "sample"},
      {"layer, convolution 3x3, 512 to 512, 7x7, 32 samples", 512, 7, 512, 3, 32, "sample"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (bench_wanted(b, "protocol", cases[i].name)) one_layer(b, &cases[i]);
}

void bench_protocols(struct bench *b) {
  if (!b->protocols || b->settings->threads > 1) return;
  correlations(b);
  bootstrap(b);
  gates(b);
  layers(b);
  bench_matrices(b);
}
