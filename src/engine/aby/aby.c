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

static struct engine_seconds aby_open_seconds(const struct engine_layout *layout, size_t samples,
                                              const struct engine_speeds *speeds) {
  const double setup = speeds->seconds[SPEED_SETUP];
  (void)layout, (void)samples;
  return (struct engine_seconds){.server = setup, .client = setup};
}

static struct engine_seconds aby_gate_seconds(const struct engine_layout *layout, const struct engine_step *step,
                                              const struct engine_speeds *speeds) {
  const double *s = speeds->seconds;
  const struct cost *c = &step->cost;
  const double bytes = (double)c->bytes_to_server + (double)c->bytes_to_client;
  if (step->gate != GATE_LINEAR && step->gate != GATE_MULTIPLY)
    return (struct engine_seconds){.server = bytes * s[SPEED_EVALUATE], .client = bytes * s[SPEED_GARBLE]};
  const bool is_matrix = step->gate == GATE_LINEAR && aby_tuning(layout)->matrix;
  const double triples = (double)c->cots_server_sends + (double)c->cots_client_sends;
  const double products = triple * triples * (s[SPEED_STREAM] + s[SPEED_GATE]);
  const double words = is_matrix ? (double)c->bytes_to_server * s[SPEED_GATE] : 0;
  return (struct engine_seconds){.server = products + words * server_matrix,
                                 .client = products + words * client_matrix};
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
    .open_seconds = aby_open_seconds,
    .gate_seconds = aby_gate_seconds,
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
    .open_seconds = aby_open_seconds,
    .gate_seconds = aby_gate_seconds,
    .gates = aby_gates,
};
