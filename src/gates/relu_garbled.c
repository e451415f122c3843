#include "gates/relu_garbled.h"

#include "garble/circuit_gates.h"
#include "garble/garbled.h"

/* The public course of one gate. Rings and signs as in relu_truncate.c, after `fast` has dropped the low bits. */
struct course {
  unsigned dropped; /* bits that both parties drop from their shares at first */
  unsigned l, f, m, k;
  enum garbling phase;
  bool relu, wraps; /* wraps: truncation alone, and the wrap modulo 2^k shows in y */
};

static struct course course_of(const struct relu_truncate *params) {
  struct course c = {
      .l = params->in_bits, .f = params->shift, .m = params->out_bits, .phase = params->garbled, .relu = params->relu};
  if (params->fast) {
    c.dropped = c.f;
    c.l -= c.f;
    c.f = 0;
  }
  c.k = c.l - c.f;
  c.wraps = !c.relu && c.m > c.k;
  return c;
}

static void make_circuit(struct circuit *circuit, const struct course *c) {
  const struct circuit_relu q = {(uint8_t)c->l, (uint8_t)c->f, (uint8_t)c->m, c->relu};
  circuit_make_relu(circuit, &q);
}

/* Shares of x + add without the dropped bits; where the wrap shows, of the sum moved to [0, 2^l). */
static void prepare(const struct course *c, const struct relu_truncate *params, enum role role, const uint64_t *x,
                    uint64_t *t, size_t count) {
  const uint64_t client = role == ROLE_CLIENT ? UINT64_MAX : 0, mask = low_mask(params->in_bits);
  const uint64_t moved = c->wraps ? UINT64_C(1) << (c->l - 1) : 0;
  for (size_t e = 0; e < count; e++) {
    const uint64_t dropped = ((x[e] + (params->add & client)) & mask) >> c->dropped;
    t[e] = (dropped + (moved & client)) & low_mask(c->l);
  }
}

/* What a truncation has beside the carries. */
static void add_local(const struct course *c, enum role role, const uint64_t *t, uint64_t *y, size_t count) {
  const uint64_t moved = c->wraps && role == ROLE_CLIENT ? UINT64_C(1) << (c->k - 1) : 0, mask = low_mask(c->m);
  for (size_t e = 0; e < count; e++) y[e] = (y[e] + (t[e] >> c->f) - moved) & mask;
}

static fusion_status run_chunk(struct party *p, const struct circuit *circuit, const struct course *c,
                               const uint64_t *t, uint64_t *y, size_t count) {
  const struct garbled_words words = {.inputs = {t}, .known = {t}, .outputs = {y}};
  if (!circuit->input_bits) mem_wipe(y, count * sizeof *y); /* a sum of nothing */
  const fusion_status status = garbled_run(p->garble, circuit, c->phase, &words, count);
  if (status == FUSION_OK && !c->relu) add_local(c, p->role, t, y, count);
  return status;
}

fusion_status relu_garbled(struct party *p, const struct relu_truncate *params, const uint64_t *x, uint64_t *y,
                           size_t count) {
  fusion_status status = FUSION_OK;
  const struct course c = course_of(params);
  const size_t capacity = size_min(count, RELU_TRUNCATE_CHUNK);
  struct circuit circuit;
  uint64_t *t = heap_take(p->heap, capacity, sizeof *t);
  make_circuit(&circuit, &c);
  FAIL_IF(!t, FUSION_E_MEMORY);
  for (size_t done = 0; done < count; done += capacity) {
    const size_t n = size_min(capacity, count - done);
    prepare(&c, params, p->role, x + done, t, n);
    TRY(run_chunk(p, &circuit, &c, t, y + done, n));
  }
cleanup:
  heap_give(p->heap, t, capacity * sizeof *t);
  circuit_free(&circuit);
  return status;
}

void relu_garbled_cost(struct cost *cost, const struct relu_truncate *params, size_t count) {
  const struct course c = course_of(params);
  struct circuit circuit;
  make_circuit(&circuit, &c);
  for (size_t done = 0; done < count; done += RELU_TRUNCATE_CHUNK)
    garbled_run_cost(cost, &circuit, c.phase, size_min(RELU_TRUNCATE_CHUNK, count - done));
  circuit_free(&circuit);
}

size_t relu_garbled_memory(const struct relu_truncate *params, enum role role, size_t count) {
  const struct course c = course_of(params);
  const size_t capacity = size_min(count, RELU_TRUNCATE_CHUNK);
  struct circuit circuit;
  make_circuit(&circuit, &c);
  const size_t len = garbled_run_memory(&circuit, c.phase, capacity, role);
  circuit_free(&circuit);
  return len == SIZE_MAX ? len : len + capacity * sizeof(uint64_t);
}
