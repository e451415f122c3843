/* The engine's face, its sessions, and what they cost beside their gates. */
#include "engine/sci_ot/sci_ot.h"

#include "silent/cot_silent.h"

/* Seconds of one core, fitted to runs of MNIST networks and ResNet-20 by stage on a busy virtual machine with AVX2: a
 * correlation's making and hashing by either source, a byte of a gate's messages with what goes into it, a byte of a
 * linear layer's at its sender and its receiver, keys and base OT. */
static const double stream_correlation_s = 45e-9, silent_correlation_s = 22e-9, gate_byte_s = 4.5e-9, setup_s = 0.05;
static const double server_linear_byte_s = 1.4e-9, client_linear_byte_s = 2.3e-9;

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
                                       : cot_open_softspoken(&s->cot, &opening));
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
    cot_open_softspoken_cost(cost, &own->stream_cost);
}

static size_t sci_ot_memory(const struct engine_layout *layout, enum role role) {
  const struct sci_ot_layout *own = layout->own;
  (void)role; /* both alike */
  return sci_ot_tuning(layout)->silent ? cot_silent_memory(&own->silent) : cot_softspoken_memory();
}

static void sci_ot_seconds(const struct engine_layout *layout, size_t samples, struct engine_seconds *opening,
                           struct engine_seconds *run) {
  const double correlation_s = sci_ot_tuning(layout)->silent ? silent_correlation_s : stream_correlation_s;
  double gates = 0, linear = 0;
  for (uint32_t i = 1; i < layout->program->count; i++) {
    const enum operator_gate gate = step_operator(&layout->program->steps[i])->gate;
    if (gate == GATE_LOCAL) continue;
    struct cost cost = {0};
    sci_ot_gates[gate].cost(&cost, layout, i, samples);
    const double bytes = (double)cost.bytes_to_server + (double)cost.bytes_to_client;
    gates += ((double)cost.cots_server_sends + (double)cost.cots_client_sends) * correlation_s;
    if (gate == GATE_LINEAR)
      linear += bytes;
    else
      gates += bytes * gate_byte_s;
  }
  *opening = (struct engine_seconds){setup_s, setup_s};
  *run = (struct engine_seconds){gates + linear * server_linear_byte_s, gates + linear * client_linear_byte_s};
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
