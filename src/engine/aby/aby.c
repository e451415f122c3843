/* The engine's face, its sessions, and what they cost beside their gates. */
#include "engine/aby/aby.h"

/* What a correlation of a triple takes, in correlations that a gate uses; what a byte of a triple of matrices takes at
 * either party, in correlations of a gate by itself. Fitted to runs by stage. */
static const double triple = 1.2, server_matrix = 0.4, client_matrix = 0.7;

static void aby_close(void *state) {
  struct aby *a = state;
  cot_close(a->cot);
  mem_free_secret(a, sizeof *a);
}

static fusion_status open_cot(struct aby *a, const struct engine_party *p) {
  fusion_status status;
  struct prg *prg = prg_fork(p->prg, "aby", 0);
  const struct cot_opening opening = {
      .role = p->role, .channel = p->channel, .heap = p->heap, .prg = prg, .keeping = p->keeping};
  FAIL_IF(!prg, FUSION_E_MEMORY);
  TRY(cot_open_softspoken(&a->cot, &opening, &cot_softspoken_usual));
  a->garble = (struct garble){.role = p->role, .channel = p->channel, .cot = a->cot, .heap = p->heap};
  a->party = (struct party){
      .role = p->role, .channel = p->channel, .cot = a->cot, .prg = p->prg, .heap = p->heap, .garble = &a->garble};
cleanup:
  prg_free(prg);
  return status;
}

static fusion_status aby_open(void **state, const struct engine_party *party) {
  struct aby *a = mem_alloc(1, sizeof *a);
  *state = NULL;
  if (!a) return FUSION_E_MEMORY;
  const fusion_status status = open_cot(a, party);
  if (status == FUSION_OK)
    *state = a;
  else
    aby_close(a);
  return status;
}

static void aby_open_cost(const struct engine_layout *layout, struct cost *cost) {
  struct aby_layout *own = layout->own;
  cot_open_softspoken_cost(cost, &own->stream_cost, &cot_softspoken_usual);
}

static size_t aby_memory(const struct engine_layout *layout, enum role role) {
  (void)layout, (void)role; /* all alike */
  return cot_softspoken_memory(&cot_softspoken_usual);
}

static void aby_seconds(const struct engine_layout *layout, size_t samples, const struct engine_speeds *speeds,
                        struct engine_seconds *opening, struct engine_seconds *run) {
  double triples = 0, matrices = 0, table_bytes = 0;
  for (uint32_t i = 1; i < layout->program->count; i++) {
    const enum operator_gate gate = step_operator(&layout->program->steps[i])->gate;
    if (gate == GATE_LOCAL) continue;
    struct cost cost = {0};
    aby_gates[gate].cost(&cost, layout, i, samples);
    if (gate == GATE_LINEAR && aby_tuning(layout)->matrix) matrices += (double)cost.bytes_to_server;
    if (gate == GATE_LINEAR || gate == GATE_MULTIPLY)
      triples += (double)cost.cots_server_sends + (double)cost.cots_client_sends;
    else
      table_bytes += (double)cost.bytes_to_server + (double)cost.bytes_to_client;
  }
  const double *s = speeds->seconds;
  const double products = triple * triples * s[SPEED_STREAM];
  const double matrix = matrices * s[SPEED_GATE];
  *opening = (struct engine_seconds){s[SPEED_SETUP], s[SPEED_SETUP]};
  *run = (struct engine_seconds){products + matrix * server_matrix + table_bytes * s[SPEED_EVALUATE],
                                 products + matrix * client_matrix + table_bytes * s[SPEED_GARBLE]};
}

static const struct aby_tuning single = {.matrix = false}, matrix = {.matrix = true};

const struct engine engine_aby = {
    .name = "aby",
    .family = "aby",
    .summary = "multiplication triples for linear layers, garbled circuits for the rest; most traffic",
    .tuning = &single,
    .layout_open = aby_layout_open,
    .layout_close = aby_layout_close,
    .open = aby_open,
    .close = aby_close,
    .open_cost = aby_open_cost,
    .memory = aby_memory,
    .seconds = aby_seconds,
    .gates = aby_gates,
};

const struct engine engine_aby_matrix = {
    .name = "aby-matrix",
    .family = "aby",
    .summary = "aby with one triple a layer in place of one a product, as SecureML",
    .tuning = &matrix,
    .layout_open = aby_layout_open,
    .layout_close = aby_layout_close,
    .open = aby_open,
    .close = aby_close,
    .open_cost = aby_open_cost,
    .memory = aby_memory,
    .seconds = aby_seconds,
    .gates = aby_gates,
};
