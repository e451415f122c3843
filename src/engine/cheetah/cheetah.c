/* The engine's face, and its sessions: keys and correlations. */
#include "engine/cheetah/cheetah.h"

#include "silent/cot_silent.h"

static void cheetah_close(void *state) {
  struct cheetah *c = state;
  if (c->party.channel) channel_set_idle(c->party.channel, (struct channel_idle){NULL, NULL});
  rlwe_close(c->rlwe);
  cot_close(c->cot);
  prg_free(c->ot_prg);
  mem_free_secret(c, sizeof *c);
}

/* The layer first: what is grown ahead is copied when it is taken. */
bool cheetah_work_ahead(void *state) {
  struct cheetah *c = state;
  return (c->rlwe && linear_work_ahead(c->rlwe)) || (c->cot && cot_work_ahead(c->cot));
}

/* Nearly all of the set-up is arithmetic on a curve, and most of the first layer's answer is made without the query. So
 * that layer completes the correlations, the client before its query, the server where it waits for it: each does its
 * part of one while the other does its part of the other (docs/protocols/silent-cot.md). Not where a set-up is kept,
 * which is to be whole when the session is open, nor from a kept one, which has no base OTs. All of it is public. */
static bool completes_later(const struct engine_party *p) {
  const bool keeps = p->keeping && (p->keeping->use || p->keeping->keep);
  return cheetah_own(p->layout)->linear_first && !keeps;
}

/* Begins them; complete() does the rest. */
static fusion_status open_cot(struct cheetah *c, const struct engine_party *p) {
  const struct cheetah_layout *own = cheetah_own(p->layout);
  fusion_status status = FUSION_OK;
  c->ot_prg = prg_fork(p->prg, "cheetah ot", 0);
  FAIL_IF(!c->ot_prg, FUSION_E_MEMORY);
  const struct cot_opening opening = {.role = p->role,
                                      .channel = p->channel,
                                      .heap = p->heap,
                                      .prg = c->ot_prg,
                                      .keeping = completes_later(p) ? NULL : p->keeping,
                                      .deferred = true};
  TRY(own->plan.stream ? cot_open_softspoken(&c->cot, &opening, &own->plan.stream_params)
                       : cot_open_silent(&c->cot, &opening, &own->plan.params));
cleanup:
  return status;
}

static fusion_status complete(struct cheetah *c) {
  if (!c->incomplete) return FUSION_OK;
  fusion_status status = channel_flush(c->party.channel); /* the peer works on what it has */
  if (status == FUSION_OK) status = cot_complete(c->cot);
  if (status == FUSION_OK) status = channel_flush(c->party.channel); /* also where no query follows */
  c->incomplete = status != FUSION_OK;
  if (status != FUSION_OK) return status;
  prg_free(c->ot_prg);
  c->ot_prg = NULL;
  return FUSION_OK;
}

/* Where the layer would wait. The client has completed them by then, and reads what the server began. */
static fusion_status complete_and_begin(void *state) {
  struct cheetah *c = state;
  const fusion_status status = complete(c);
  return status == FUSION_OK ? cot_begin(c->cot) : status;
}

fusion_status cheetah_first_layer(struct cheetah *c) {
  c->first_layer = false;
  rlwe_set_meanwhile(c->rlwe, (struct rlwe_meanwhile){complete_and_begin, c});
  return c->party.role == ROLE_CLIENT ? complete(c) : FUSION_OK;
}

/* The client's keys go first: they are all that the server needs for its part of the first layer.
 * Ahead and online nothing: each run has keys and correlations of its own, made ahead and restored online. */
static fusion_status open_keys(struct cheetah *c, const struct engine_party *p) {
  const struct rlwe_keys *keys = &cheetah_own(p->layout)->steps.keys;
  fusion_status status = FUSION_OK;
  if (p->layout->phase == ENGINE_AT_ONCE) TRY(open_cot(c, p));
  c->party = (struct party){.role = p->role, .channel = p->channel, .cot = c->cot, .prg = p->prg, .heap = p->heap};
  channel_set_idle(p->channel, (struct channel_idle){cheetah_work_ahead, c});
  if (p->layout->phase != ENGINE_AT_ONCE) return FUSION_OK;
  if (p->role == ROLE_SERVER) TRY(rlwe_open_server(&c->rlwe, p->channel, p->prg, keys));
  if (p->role == ROLE_CLIENT) TRY(rlwe_open_client(&c->rlwe, p->channel, p->prg, keys));
  c->first_layer = cheetah_own(p->layout)->linear_first;
  c->incomplete = true;
  if (!completes_later(p)) TRY(complete(c));
cleanup:
  return status;
}

fusion_status cheetah_stock(void *state, const struct engine_party *p, size_t samples) {
  fusion_status status = FUSION_OK;
  bool out_of_memory;
  const struct rlwe_keys *keys = &cheetah_own(p->layout)->steps.keys;
  const struct cot_stock_plan plan = cheetah_plan(p->layout, samples, &out_of_memory);
  struct prg *prg = prg_fork(p->prg, "cheetah stock", ((struct cheetah *)state)->stocks++);
  const struct cot_opening opening = {.role = p->role, .channel = p->channel, .heap = p->heap, .prg = prg};
  FAIL_IF(!prg || out_of_memory, FUSION_E_MEMORY);
  if (p->role == ROLE_SERVER) TRY(rlwe_stock_server(p->channel, prg, keys, p->stream));
  if (p->role == ROLE_CLIENT) TRY(rlwe_stock_client(p->channel, prg, keys, p->stream));
  TRY(cot_stock_make(&opening, &plan, p->stream));
cleanup:
  prg_free(prg);
  return status;
}

fusion_status cheetah_begin(void *state, const struct engine_party *p) {
  fusion_status status = FUSION_OK;
  struct cheetah *c = state;
  const struct rlwe_keys *keys = &cheetah_own(p->layout)->steps.keys;
  const struct cot_opening opening = {.role = p->role, .channel = p->channel, .heap = p->heap};
  struct prg *prg = prg_fork(p->prg, "cheetah run", c->begun++);
  rlwe_close(c->rlwe);
  cot_close(c->cot);
  c->rlwe = NULL;
  c->cot = c->party.cot = NULL;
  FAIL_IF(!prg, FUSION_E_MEMORY);
  if (p->role == ROLE_SERVER) TRY(rlwe_begin_server(&c->rlwe, p->channel, prg, keys, p->stream));
  if (p->role == ROLE_CLIENT) TRY(rlwe_begin_client(&c->rlwe, p->channel, prg, keys, p->stream));
  TRY(cot_stock_open(&c->cot, &opening, p->stream));
  c->party.cot = c->cot;
cleanup:
  prg_free(prg);
  return status;
}

static fusion_status cheetah_open(void **state, const struct engine_party *party) {
  struct cheetah *c = mem_alloc(1, sizeof *c);
  *state = NULL;
  if (!c) return FUSION_E_MEMORY;
  const fusion_status status = open_keys(c, party);
  if (status == FUSION_OK)
    *state = c;
  else
    cheetah_close(c);
  return status;
}

static const enum silent_profile lan = SILENT_LAN, wan = SILENT_WAN;

const struct engine engine_cheetah = {
    .name = "cheetah",
    .family = "cheetah",
    .section = ENCRYPTED_SECTION,
    .summary = "encrypted products for linear layers, silent oblivious transfer for the rest",
    .tuning = &lan,
    .prepare = cheetah_prepare,
    .layout_open = cheetah_layout_open,
    .layout_close = cheetah_layout_close,
    .open = cheetah_open,
    .close = cheetah_close,
    .open_cost = cheetah_open_cost,
    .memory = cheetah_memory,
    .memory_beside = cheetah_memory_beside,
    .open_seconds = cheetah_open_seconds,
    .gate_seconds = cheetah_gate_seconds,
    .stock = cheetah_stock,
    .stock_cost = cheetah_stock_cost,
    .begin = cheetah_begin,
    .gates = cheetah_gates,
};

const struct engine engine_cheetah_wan = {
    .name = "cheetah-wan",
    .family = "cheetah",
    .section = ENCRYPTED_SECTION,
    .summary = "like cheetah, with less traffic and more computation, for slow links",
    .tuning = &wan,
    .prepare = cheetah_prepare,
    .layout_open = cheetah_layout_open,
    .layout_close = cheetah_layout_close,
    .open = cheetah_open,
    .close = cheetah_close,
    .open_cost = cheetah_open_cost,
    .memory = cheetah_memory,
    .memory_beside = cheetah_memory_beside,
    .open_seconds = cheetah_open_seconds,
    .gate_seconds = cheetah_gate_seconds,
    .stock = cheetah_stock,
    .stock_cost = cheetah_stock_cost,
    .begin = cheetah_begin,
    .gates = cheetah_gates,
};
