/* The engine's face, its sessions, and what they cost beside their gates. */
#include "engine/sci_ot/sci_ot.h"

#include "silent/cot_silent.h"
#include "steps/step_seconds.h"

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

static struct engine_seconds sci_ot_open_seconds(const struct engine_layout *layout, size_t samples,
                                                 const struct engine_speeds *speeds) {
  const double setup = speeds->seconds[SPEED_SETUP];
  (void)layout, (void)samples;
  return (struct engine_seconds){.server = setup, .client = setup};
}

static struct engine_seconds sci_ot_gate_seconds(const struct engine_layout *layout, const struct engine_step *step,
                                                 const struct engine_speeds *speeds) {
  const double *s = speeds->seconds;
  const struct silent_params *silent = &((const struct sci_ot_layout *)layout->own)->silent;
  const double correlation = sci_ot_tuning(layout)->silent
                                 ? cot_silent_price(silent, s[SPEED_BASE], s[SPEED_SILENT], s[SPEED_ROW])
                                 : s[SPEED_STREAM];
  struct engine_seconds seconds = step_seconds(&step->cost, speeds, correlation);
  if (step->gate != GATE_LINEAR) return seconds;
  const double linear = ((double)step->cost.bytes_to_server + (double)step->cost.bytes_to_client) * s[SPEED_GATE];
  seconds.server += linear * server_linear;
  seconds.client += linear * client_linear;
  return seconds;
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
    .open_seconds = sci_ot_open_seconds,
    .gate_seconds = sci_ot_gate_seconds,
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
    .open_seconds = sci_ot_open_seconds,
    .gate_seconds = sci_ot_gate_seconds,
    .gates = sci_ot_gates,
};
