/* The engine's face, and its sessions: keys and correlations. */
#include "engine/delphi/delphi.h"

#include "silent/cot_silent.h"

static void delphi_close(void *state) {
  struct delphi *d = state;
  rlwe_close(d->rlwe);
  cot_close(d->cot);
  prg_free(d->masks);
  mem_free_secret(d, sizeof *d);
}

static void set_party(struct delphi *d, const struct engine_party *p) {
  d->garble = (struct garble){.role = p->role, .channel = p->channel, .cot = d->cot, .heap = p->heap};
  d->party = (struct party){
      .role = p->role, .channel = p->channel, .cot = d->cot, .prg = p->prg, .heap = p->heap, .garble = &d->garble};
}

static fusion_status open_keys(struct delphi *d, const struct engine_party *p) {
  const struct delphi_layout *own = delphi_own(p->layout);
  fusion_status status;
  struct prg *ot_prg = prg_fork(p->prg, "delphi ot", 0);
  const struct cot_opening opening = {
      .role = p->role, .channel = p->channel, .heap = p->heap, .prg = ot_prg, .keeping = p->keeping};
  FAIL_IF(!ot_prg, FUSION_E_MEMORY);
  TRY(cot_open_silent(&d->cot, &opening, &own->silent));
  if (p->role == ROLE_SERVER) TRY(rlwe_open_server(&d->rlwe, p->channel, p->prg, &own->steps.keys));
  if (p->role == ROLE_CLIENT) TRY(rlwe_open_client(&d->rlwe, p->channel, p->prg, &own->steps.keys));
cleanup:
  prg_free(ot_prg);
  return status;
}

static fusion_status delphi_open(void **state, const struct engine_party *party) {
  struct delphi *d = mem_alloc(1, sizeof *d);
  *state = NULL;
  if (!d) return FUSION_E_MEMORY;
  const fusion_status status = party->layout->phase == ENGINE_ONLINE ? FUSION_OK : open_keys(d, party);
  set_party(d, party);
  if (status == FUSION_OK)
    *state = d;
  else
    delphi_close(d);
  return status;
}

static fusion_status delphi_prepare(const struct engine *engine, struct model *model, fusion_error *err) {
  (void)engine; /* there is one */
  return encrypted_steps_prepare(model, err);
}

const struct engine engine_delphi = {
    .name = "delphi",
    .family = "delphi",
    .section = ENCRYPTED_SECTION,
    .summary = "encrypted products for linear layers, garbled circuits for the rest: few rounds, many bytes",
    .prepare = delphi_prepare,
    .layout_open = delphi_layout_open,
    .layout_close = delphi_layout_close,
    .open = delphi_open,
    .close = delphi_close,
    .open_cost = delphi_open_cost,
    .memory = delphi_memory,
    .open_seconds = delphi_open_seconds,
    .gate_seconds = delphi_gate_seconds,
    .begin = delphi_begin,
    .begin_cost = delphi_begin_cost,
    .gates = delphi_gates,
};
