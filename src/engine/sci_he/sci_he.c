/* The engine's face, and its sessions: keys and correlations. */
#include "engine/sci_he/sci_he.h"

#include "silent/cot_silent.h"

static void sci_he_close(void *state) {
  struct sci_he *c = state;
  slots_close(c->slots);
  cot_close(c->cot);
  mem_free_secret(c, sizeof *c);
}

static fusion_status open_keys(struct sci_he *c, const struct engine_party *p) {
  fusion_status status;
  struct prg *ot_prg = prg_fork(p->prg, "sci-he ot", 0);
  const struct cot_opening opening = {
      .role = p->role, .channel = p->channel, .heap = p->heap, .prg = ot_prg, .keeping = p->keeping};
  FAIL_IF(!ot_prg, FUSION_E_MEMORY);
  TRY(sci_he_is_silent(p->layout) ? cot_open_silent(&c->cot, &opening, &sci_he_own(p->layout)->silent)
                                  : cot_open_softspoken(&c->cot, &opening, &cot_softspoken_usual));
  TRY(slots_open(&c->slots, p->role, p->channel, p->prg));
  c->party = (struct party){.role = p->role, .channel = p->channel, .cot = c->cot, .prg = p->prg, .heap = p->heap};
cleanup:
  prg_free(ot_prg);
  return status;
}

static fusion_status sci_he_open(void **state, const struct engine_party *party) {
  struct sci_he *c = mem_alloc(1, sizeof *c);
  *state = NULL;
  if (!c) return FUSION_E_MEMORY;
  const fusion_status status = open_keys(c, party);
  if (status == FUSION_OK)
    *state = c;
  else
    sci_he_close(c);
  return status;
}

static const struct sci_he_tuning stream = {.silent = false}, silent = {.silent = true};

const struct engine engine_sci_he = {
    .name = "sci-he",
    .family = "sci-he",
    .summary = "CrypTFlow2's: homomorphic encryption with slots for linear layers, oblivious transfer for the rest",
    .tuning = &stream,
    .layout_open = sci_he_layout_open,
    .layout_close = sci_he_layout_close,
    .open = sci_he_open,
    .close = sci_he_close,
    .open_cost = sci_he_open_cost,
    .memory = sci_he_memory,
    .open_seconds = sci_he_open_seconds,
    .gate_seconds = sci_he_gate_seconds,
    .gates = sci_he_gates,
};

const struct engine engine_sci_he_silent = {
    .name = "sci-he-silent",
    .family = "sci-he",
    .summary = "sci-he with correlations from silent oblivious transfer",
    .tuning = &silent,
    .layout_open = sci_he_layout_open,
    .layout_close = sci_he_layout_close,
    .open = sci_he_open,
    .close = sci_he_close,
    .open_cost = sci_he_open_cost,
    .memory = sci_he_memory,
    .open_seconds = sci_he_open_seconds,
    .gate_seconds = sci_he_gate_seconds,
    .gates = sci_he_gates,
};
