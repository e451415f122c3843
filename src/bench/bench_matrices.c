/* Products of shared matrices, by encryption and by correlations. */
#include "bench/bench_suite.h"
#include "gates/matmul.h"
#include "lattice/matrix.h"
#include "silent/cot_silent.h"

struct matrix_task {
  struct matrix_layer layer;
  struct matmul gate;
  bool encrypted;
  size_t samples;
};

struct matrix_state {
  struct party party;
  struct rlwe *rlwe;
  uint64_t *a, *b, *y;
};

static fusion_status open_keys(struct bench_end *e) {
  const struct matrix_task *t = e->task;
  struct matrix_state *s = e->state;
  const struct silent_params silent = {.profile = SILENT_LAN};
  struct rlwe_keys keys = {0};
  const struct cot_opening opening = {
      .role = e->role, .channel = e->channel, .heap = s->party.heap, .prg = s->party.prg};
  if (!t->encrypted) return cot_open_silent(&s->party.cot, &opening, &silent);
  rlwe_keys_add_matrix(&keys, &t->layer);
  return e->role == ROLE_SERVER ? rlwe_open_server(&s->rlwe, e->channel, s->party.prg, &keys)
                                : rlwe_open_client(&s->rlwe, e->channel, s->party.prg, &keys);
}

static fusion_status matrix_open(struct bench_end *e) {
  const struct matrix_task *t = e->task;
  const struct matrix_product *m = &t->layer.product;
  struct matrix_state *s = e->state = mem_alloc(1, sizeof *s);
  if (!s) return FUSION_E_MEMORY;
  s->party = (struct party){.role = e->role, .channel = e->channel, .heap = heap_new()};
  s->a = mem_alloc(t->samples * matrix_product_left(m), sizeof *s->a);
  s->b = mem_alloc(t->samples * matrix_product_right(m), sizeof *s->b);
  s->y = mem_alloc(t->samples * matrix_product_size(m), sizeof *s->y);
  if (!s->party.heap || !s->a || !s->b || !s->y) return FUSION_E_MEMORY;
  const fusion_status status = prg_new_random(&s->party.prg);
  if (status != FUSION_OK) return status;
  prg_ring(s->party.prg, s->a, t->samples * matrix_product_left(m), t->layer.ring_bits);
  prg_ring(s->party.prg, s->b, t->samples * matrix_product_right(m), t->layer.ring_bits);
  return open_keys(e);
}

static fusion_status matrix_run(struct bench_end *e) {
  const struct matrix_task *t = e->task;
  struct matrix_state *s = e->state;
  if (!t->encrypted) return matmul(&s->party, &t->gate, s->a, s->b, s->y, t->samples);
  return e->role == ROLE_SERVER ? matrix_server(s->rlwe, &t->layer, s->a, s->b, s->y, t->samples)
                                : matrix_client(s->rlwe, &t->layer, s->a, s->b, s->y, t->samples);
}

static void matrix_close(struct bench_end *e) {
  struct matrix_state *s = e->state;
  if (!s) return;
  if (s->party.cot) cot_close(s->party.cot);
  if (s->rlwe) rlwe_close(s->rlwe);
  prg_free(s->party.prg);
  heap_free(s->party.heap);
  mem_free(s->a);
  mem_free(s->b);
  mem_free(s->y);
  mem_free(s);
}

void bench_matrices(struct bench *b) {
  static const struct bench_protocol protocol = {matrix_open, matrix_run, matrix_close};
  static const struct {
    const char *name;
    struct matrix_product product;
    size_t samples;
    bool encrypted;
  } cases[] = {
      {"matrices, 64x64 by 64x32, encrypted", {1, 64, 64, 32, false}, 1, true},
      {"matrices, 64x64 by 64x32, encrypted, 16 samples", {1, 64, 64, 32, false}, 16, true},
      {"matrices, 64x64 by 64x32, by correlations", {1, 64, 64, 32, false}, 1, false},
      {"matrices, 4 heads of 64x16 by 16x64, encrypted", {4, 64, 16, 64, false}, 1, true},
      {"matrices, 12 heads of 128x64 by 64x128, encrypted", {12, 128, 64, 128, false}, 1, true},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    if (!bench_wanted(b, "protocol", cases[i].name)) continue;
    struct matrix_task task = {.layer = {.product = cases[i].product, .ring_bits = 24, .guard_bits = 2},
                               .gate = {.product = cases[i].product, .ring_bits = 24},
                               .encrypted = cases[i].encrypted,
                               .samples = cases[i].samples};
    /* As for a session of many samples: keys hardly count. */
    task.layer.levels = matrix_choose_levels(&task.layer, 1000 * task.samples);
    const struct bench_row row = {
        .group = "protocol", .name = cases[i].name, .unit = "sample", .units = (double)task.samples};
    bench_pair(b, &row, &protocol, &task);
  }
}
