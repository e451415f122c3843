/* Rows of what gates make of several kernels: random OT strings, merges of the comparison tree. Correlations are
 * constants here: a row counts what a gate does with them. */
#include "bench/bench_suite.h"
#include "gates/carry.h"
#include "ot/one_of_n.h"

enum { COUNT = 1 << 14, WIDTH = 3, STRINGS = 2, TOP = 25, MIDDLE = 8 };

static fusion_status constant_blocks(struct cot *c, block *out, size_t count) {
  (void)c;
  memset(out, 2, count * sizeof *out);
  return FUSION_OK;
}
static void close_nothing(struct cot *c) {
  (void)c;
}
const struct cot_ops bench_constant_cots = {
    .take_sender = constant_blocks, .take_receiver = constant_blocks, .close = close_nothing};

struct share_work {
  struct bench *bench;
  struct cot cot;
  struct party party;
  struct carry_tree plan;
  struct carry carry;
  struct flight own, peer;
  uint64_t *choices, *planes, *pads;
};

static void send_strings(void *context) {
  struct share_work *w = context;
  bench_check(w->bench, ot_bits_send(&w->cot, WIDTH, STRINGS, COUNT, w->planes));
}
static void receive_strings(void *context) {
  struct share_work *w = context;
  bench_check(w->bench, ot_bits_receive(&w->cot, WIDTH, STRINGS, COUNT, w->planes, w->choices));
}
static void merge(void *context) {
  struct share_work *w = context;
  w->own.at = w->peer.at = 0;
  carry_put_level(&w->carry, 1, w->planes, &w->own);
  w->own.at = 0;
  carry_get_level(&w->carry, 1, &w->own, &w->peer);
}
static void rows(struct bench *b, struct share_work *w) {
  unsigned merges = 0;
  double words = 0; /* of 64 elements, read or written */
  for (unsigned m = 0; m < w->plan.merges; m++) {
    if (w->plan.merge[m].level != 1) continue;
    merges++;
    words += w->plan.merge[m].propagate ? 21 : 13;
  }
  /* Hashes are two AES calls; two planes of each. */
  const double strings = 1 << WIDTH, plane_bytes = 2 * STRINGS / 8.0;
  const struct {
    const char *name, *unit;
    bench_call call;
    double units;
    struct kernel_demand demand[FUSION_BENCH_DEMANDS];
  } table[] = {
      {"OT, 8 random strings of 2 bits, sender",
       "instance",
       send_strings,
       COUNT,
       {{CEILING_AES, 2 * strings}, {CEILING_L1, (16 + 16 + plane_bytes) * strings + 32 * WIDTH}}},
      {"OT, one of 8 strings, receiver",
       "instance",
       receive_strings,
       COUNT,
       {{CEILING_AES, 2}, {CEILING_L1, 32 + 48 * WIDTH}}},
      {"AND merge of the comparison tree",
       "merge",
       merge,
       (double)merges * COUNT,
       {{CEILING_L2, 8 * words / merges / 64}}},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    struct bench_row row = {.group = "share", .name = table[i].name, .unit = table[i].unit, .units = table[i].units};
    memcpy(row.demand, table[i].demand, sizeof row.demand);
    bench_kernel(b, &row, table[i].call, w);
  }
}

void bench_share(struct bench *b) {
  struct share_work w = {.bench = b,
                         .cot = {.ops = &bench_constant_cots, .role = ROLE_SERVER},
                         .plan = carry_tree_make(CARRY_FIXED, MIDDLE, TOP, COUNT, 1)};
  w.party = (struct party){.role = ROLE_SERVER, .cot = &w.cot};
  w.cot.delta = block_make(7, 1);
  w.own.len = carry_level_len(&w.plan, ROLE_SERVER, 1, COUNT);
  w.peer.len = carry_level_len(&w.plan, ROLE_CLIENT, 1, COUNT);
  w.own.data = bench_alloc(b, w.own.len, 1);
  w.peer.data = bench_alloc(b, w.peer.len, 1);
  w.choices = bench_alloc(b, COUNT, sizeof *w.choices);
  w.planes = bench_alloc(b, COUNT, sizeof *w.planes);
  w.pads = bench_alloc(b, carry_pads_words(&w.plan, ROLE_SERVER, 1, COUNT), sizeof *w.pads);
  bench_check(b, carry_open(&w.carry, &w.plan, &w.party, COUNT));
  carry_start(&w.carry, COUNT);
  if (bench_ready(b)) bench_check(b, carry_draw(&w.carry, &w.party, 1, w.pads));
  if (bench_ready(b)) rows(b, &w);
  carry_close(&w.carry);
  mem_free(w.own.data);
  mem_free(w.peer.data);
  mem_free(w.choices);
  mem_free(w.planes);
  mem_free(w.pads);
}
