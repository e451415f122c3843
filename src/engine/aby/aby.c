/* The engine's face, its sessions, and what they cost beside their gates. */
#include "engine/aby/aby.h"

/* Seconds of one core, fitted to runs of the MNIST network by stage on a busy virtual machine with AVX2: a
 * correlation's making and hashing with its part of a triple; a byte of a matrix triple, received and sent; a byte of
 * tables, garbled and evaluated, with its part of the choices; keys and base OT. */
static const double correlation_s = 50e-9, setup_s = 0.05;
static const double server_matrix_byte_s = 2.1e-9, client_matrix_byte_s = 4.1e-9;
static const double garble_byte_s = 2.6e-9, evaluate_byte_s = 1.9e-9;

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
  TRY(cot_open_softspoken(&a->cot, &opening));
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
  cot_open_softspoken_cost(cost, &own->stream_cost);
}

static size_t aby_memory(const struct engine_layout *layout, enum role role) {
  (void)layout, (void)role; /* all alike */
  return cot_softspoken_memory();
}

static void aby_seconds(const struct engine_layout *layout, size_t samples, struct engine_seconds *opening,
                        struct engine_seconds *run) {
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
  *opening = (struct engine_seconds){setup_s, setup_s};
  *run =
      (struct engine_seconds){triples * correlation_s + matrices * server_matrix_byte_s + table_bytes * evaluate_byte_s,
                              triples * correlation_s + matrices * client_matrix_byte_s + table_bytes * garble_byte_s};
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
