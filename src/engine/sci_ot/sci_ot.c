/* The engine's face, its sessions, and what they cost beside their gates. */
#include "engine/sci_ot/sci_ot.h"

#include "silent/cot_silent.h"

/* Correlations of a gate by itself whose work equals that of a byte of a linear layer at either party. Fitted to runs
 * by stage. */
static const double server_linear = 0.9, client_linear = 1.4;

static void sci_ot_close(void *state) {
  struct sci_ot *s = state;
  cot_close(s->cot);
  mem_free_secret(s, sizeof *s);
}

static fusion_status open_cot(struct sci_ot *s, const struct engine_party *p) {
  const struct sci_ot_layout *own = p->layout->own;
  fusion_status status;
  struct prg *prg = prg_fork(p->prg, "sci-ot", 0);
  const struct cot_opening opening = {
      .role = p->role, .channel = p->channel, .heap = p->heap, .prg = prg, .keeping = p->keeping};
  FAIL_IF(!prg, FUSION_E_MEMORY);
  TRY(sci_ot_tuning(p->layout)->silent ? cot_open_silent(&s->cot, &opening, &own->silent)
                                       : cot_open_softspoken(&s->cot, &opening, &cot_softspoken_usual));
  s->party = (struct party){.role = p->role, .channel = p->channel, .cot = s->cot, .prg = p->prg, .heap = p->heap};
cleanup:
  prg_free(prg);
  return status;
}

static fusion_status sci_ot_open(void **state, const struct engine_party *party) {
  struct sci_ot *s = mem_alloc(1, sizeof *s);
  *state = NULL;
  if (!s) return FUSION_E_MEMORY;
  const fusion_status status = open_cot(s, party);
  if (status == FUSION_OK)
    *state = s;
  else
    sci_ot_close(s);
  return status;
}

static void sci_ot_open_cost(const struct engine_layout *layout, struct cost *cost) {
  struct sci_ot_layout *own = layout->own;
  if (sci_ot_tuning(layout)->silent)
    cot_open_silent_cost(cost, &own->silent_cost, &own->silent);
  else
    cot_open_softspoken_cost(cost, &own->stream_cost, &cot_softspoken_usual);
}

static size_t sci_ot_memory(const struct engine_layout *layout, enum role role) {
  const struct sci_ot_layout *own = layout->own;
  (void)role; /* both alike */
  return sci_ot_tuning(layout)->silent ? cot_silent_memory(&own->silent) : cot_softspoken_memory(&cot_softspoken_usual);
}

static void sci_ot_seconds(const struct engine_layout *layout, size_t samples, const struct engine_speeds *speeds,
                           struct engine_seconds *opening, struct engine_seconds *run) {
  const double *s = speeds->seconds;
  const double correlation = s[sci_ot_tuning(layout)->silent ? SPEED_SILENT : SPEED_STREAM];
  double gates = 0, linear = 0;
  for (uint32_t i = 1; i < layout->program->count; i++) {
    const enum operator_gate gate = step_operator(&layout->program->steps[i])->gate;
    if (gate == GATE_LOCAL) continue;
    struct cost cost = {0};
    sci_ot_gates[gate].cost(&cost, layout, i, samples);
    const double bytes = (double)cost.bytes_to_server + (double)cost.bytes_to_client;
    gates += ((double)cost.cots_server_sends + (double)cost.cots_client_sends) * correlation;
    if (gate == GATE_LINEAR) linear += bytes;
  }
  *opening = (struct engine_seconds){s[SPEED_SETUP], s[SPEED_SETUP]};
  *run = (struct engine_seconds){gates + linear * server_linear * s[SPEED_GATE],
                                 gates + linear * client_linear * s[SPEED_GATE]};
}

static const struct sci_ot_tuning stream = {.silent = false}, silent = {.silent = true};

const struct engine engine_sci_ot = {
    .name = "sci-ot",
    .family = "sci-ot",
    .summary = "CrypTFlow2's: oblivious transfer for linear layers and for the rest; much traffic",
    .tuning = &stream,
    .layout_open = sci_ot_layout_open,
    .layout_close = sci_ot_layout_close,
    .open = sci_ot_open,
    .close = sci_ot_close,
    .open_cost = sci_ot_open_cost,
    .memory = sci_ot_memory,
    .seconds = sci_ot_seconds,
    .gates = sci_ot_gates,
};

const struct engine engine_sci_ot_silent = {
    .name = "sci-ot-silent",
    .family = "sci-ot",
    .summary = "sci-ot with correlations from silent oblivious transfer",
    .tuning = &silent,
    .layout_open = sci_ot_layout_open,
    .layout_close = sci_ot_layout_close,
    .open = sci_ot_open,
    .close = sci_ot_close,
    .open_cost = sci_ot_open_cost,
    .memory = sci_ot_memory,
    .seconds = sci_ot_seconds,
    .gates = sci_ot_gates,
};
