/* The walker: sessions, and runs step by step with the shares of the tensors that are still read. */
#include "engine/walk.h"

struct walk_mark walk_mark_now(const struct engine_session *s) {
  return (struct walk_mark){
      .stats = channel_get_stats(s->party.channel), .seconds = clock_seconds(), .cpu_seconds = clock_cpu_seconds()};
}

void walk_account(struct engine_session *s, enum operator_stage stage, struct walk_mark since) {
  const struct walk_mark now = walk_mark_now(s);
  s->stats.seconds[stage] += now.seconds - since.seconds;
  s->stats.cpu_seconds[stage] += now.cpu_seconds - since.cpu_seconds;
  s->stats.bytes_sent[stage] += now.stats.bytes_sent - since.stats.bytes_sent;
  s->stats.bytes_received[stage] += now.stats.bytes_received - since.stats.bytes_received;
  s->stats.depth[stage] += now.stats.depth - since.stats.depth;
}

void engine_close(struct engine_session *s) {
  if (!s) return;
  if (s->state) s->layout.engine->close(s->state);
  prg_free(s->party.prg);
  heap_free(s->party.heap);
  engine_layout_close(&s->layout);
  mem_free_secret(s, sizeof *s);
}

static fusion_status open_layout(struct engine_session *s, const struct engine_opening *o) {
  fusion_error why = {.status = FUSION_OK};
  const fusion_status status =
      engine_layout_open_phase(&s->layout, o->engine, o->phase, o->program, o->expected_samples, &why);
  if (status == FUSION_OK || status == FUSION_E_MEMORY) return status;
  /* The client's program came from the peer. */
  return channel_fail(o->channel, o->weights ? status : FUSION_E_PEER, "%s", why.text);
}

fusion_status engine_open(struct engine_session **out, const struct engine_opening *o) {
  fusion_status status;
  const enum role role = o->weights ? ROLE_SERVER : ROLE_CLIENT;
  struct engine_session *s = mem_alloc(1, sizeof *s);
  *out = NULL;
  FAIL_IF(!s, FUSION_E_MEMORY);
  *s = (struct engine_session){.weights = o->weights};
  s->party = (struct engine_party){
      .role = role, .channel = o->channel, .layout = &s->layout, .weights = o->weights, .keeping = o->keeping};
  const struct walk_mark start = walk_mark_now(s);
  TRY(open_layout(s, o));
  s->party.heap = heap_new();
  FAIL_IF(!s->party.heap, FUSION_E_MEMORY);
  TRY(prg_new_random(&s->party.prg));
  TRY(o->engine->open(&s->state, &s->party));
  s->party.keeping = NULL;
  walk_account(s, STAGE_SETUP, start);
  *out = s;
  return FUSION_OK;
cleanup:
  engine_close(s);
  return status;
}

fusion_status engine_open_server(struct engine_session **out, const struct engine *engine, const struct model *model,
                                 struct channel *channel, size_t expected_samples) {
  const struct engine_opening o = {engine, &model->program, model->weights, channel, expected_samples, ENGINE_AT_ONCE,
                                   NULL};
  return engine_open(out, &o);
}

fusion_status engine_open_client(struct engine_session **out, const struct engine *engine,
                                 const struct program *program, struct channel *channel, size_t expected_samples) {
  const struct engine_opening o = {engine, program, NULL, channel, expected_samples, ENGINE_AT_ONCE, NULL};
  return engine_open(out, &o);
}

struct engine_stats engine_stats(const struct engine_session *s) {
  return s->stats;
}

static void release(struct walk *w, uint32_t number) {
  const size_t size = shape_size(w->session->layout.program->steps[number].out.shape);
  heap_give(w->session->party.heap, w->shares[number], w->samples * size * sizeof(uint64_t));
  w->shares[number] = NULL;
}

static void walk_close(struct walk *w) {
  for (uint32_t i = 0; w->shares && i < w->session->layout.program->count; i++) release(w, i);
  mem_free(w->shares);
  mem_free(w->zero);
  mem_free(w->uses);
}

static fusion_status walk_open(struct walk *w, struct engine_session *s, size_t samples) {
  const struct program *program = s->layout.program;
  *w = (struct walk){.session = s, .samples = samples};
  w->shares = mem_alloc(program->count, sizeof *w->shares);
  w->uses = mem_alloc(program->count, sizeof *w->uses);
  w->zero = mem_alloc(program->count, sizeof *w->zero);
  if (!w->shares || !w->uses || !w->zero) return FUSION_E_MEMORY;
  for (uint32_t i = 1; i < program->count; i++)
    for (uint32_t k = 0; k < program->steps[i].input_count; k++) w->uses[program->steps[i].inputs[k]]++;
  w->uses[program->count - 1]++;
  const size_t count = samples * shape_size(program->steps[0].out.shape);
  w->shares[0] = heap_take(s->party.heap, count, sizeof **w->shares); /* zeros: the server's share of the input */
  w->zero[0] = s->party.role == ROLE_SERVER && (engine_takes_input(&s->layout) || s->layout.phase == ENGINE_AHEAD);
  return w->shares[0] ? FUSION_OK : FUSION_E_MEMORY;
}

static bool all_zero(const struct walk *w, const struct program_step *step) {
  bool zero = true;
  for (uint32_t k = 0; k < step->input_count; k++) zero = zero && w->zero[step->inputs[k]];
  return zero;
}

/* Runs step `number` into a fresh share; the program has been validated, so inputs are alive and shapes agree. */
static fusion_status run_step(struct walk *w, uint32_t number) {
  struct engine_session *s = w->session;
  const struct program_step *step = &s->layout.program->steps[number];
  const struct program_operator *op = step_operator(step);
  const struct program_weights *weights = s->weights ? &s->weights[number] : NULL;
  const bool zero = all_zero(w, step);
  const uint64_t *inputs[PROGRAM_INPUTS_MAX];
  uint64_t *out = heap_take(s->party.heap, w->samples * shape_size(step->out.shape), sizeof *out);
  if (!out) return FUSION_E_MEMORY;
  for (uint32_t k = 0; k < step->input_count; k++) inputs[k] = w->shares[step->inputs[k]];
  w->shares[number] = out;
  w->zero[number] = op->keeps_zero && zero;
  if (op->gate == GATE_LOCAL) {
    op->run_share(
        &(struct operator_share){s->layout.program, number, weights, inputs, out, w->samples, s->layout.guard_bits});
    return FUSION_OK;
  }
  const struct gate_call call = {.party = &s->party,
                                 .number = number,
                                 .samples = w->samples,
                                 .inputs = inputs,
                                 .zero = zero,
                                 .weights = weights,
                                 .out = out};
  return s->layout.engine->gates[op->gate].run(s->state, &call);
}

static fusion_status run_steps(struct walk *w) {
  struct engine_session *s = w->session;
  for (uint32_t i = 1; i < s->layout.program->count; i++) {
    const struct program_step *step = &s->layout.program->steps[i];
    const struct walk_mark start = walk_mark_now(s);
    const fusion_status status = run_step(w, i);
    walk_account(s, step_operator(step)->stage, start);
    if (status != FUSION_OK) return status;
    for (uint32_t k = 0; k < step->input_count; k++)
      if (--w->uses[step->inputs[k]] == 0) release(w, step->inputs[k]);
    if (w->uses[i] == 0) release(w, i); /* a tensor that nobody reads */
  }
  return FUSION_OK;
}

/* A run ahead of an engine whose gates do not run ahead. */
static fusion_status run_stock(struct engine_session *s, const struct walk_call *call) {
  const struct walk_mark start = walk_mark_now(s);
  s->party.stream = call->stream;
  const fusion_status status = s->layout.engine->stock(s->state, &s->party, call->samples);
  s->party.stream = NULL;
  walk_account(s, STAGE_SETUP, start);
  return status;
}

static fusion_status run(struct engine_session *s, enum engine_phase phase, const struct walk_call *call) {
  if (s->layout.phase != phase) return FUSION_E_INTERNAL;
  if (phase == ENGINE_AHEAD && s->layout.engine->stock) return run_stock(s, call);
  fusion_status status;
  struct walk w;
  s->party.stream = call->stream;
  TRY(walk_open(&w, s, call->samples));
  TRY(walk_input(&w, call));
  if (phase != ENGINE_AT_ONCE) TRY(s->layout.engine->begin(s->state, &s->party));
  TRY(run_steps(&w));
  TRY(walk_output(&w, call->answers));
cleanup:
  walk_close(&w);
  s->party.stream = NULL;
  return status;
}

fusion_status engine_run_server(struct engine_session *s, size_t samples) {
  return run(s, ENGINE_AT_ONCE, &(struct walk_call){.samples = samples});
}

fusion_status engine_run_client(struct engine_session *s, const int64_t *inputs, int64_t *answers, size_t samples) {
  return run(s, ENGINE_AT_ONCE, &(struct walk_call){.samples = samples, .inputs = inputs, .answers = answers});
}

fusion_status engine_prepare_run(struct engine_session *s, size_t samples, const struct byte_stream *to) {
  return run(s, ENGINE_AHEAD, &(struct walk_call){.samples = samples, .stream = to});
}

fusion_status engine_run_prepared_server(struct engine_session *s, size_t samples, const struct byte_stream *from) {
  return run(s, ENGINE_ONLINE, &(struct walk_call){.samples = samples, .stream = from});
}

fusion_status engine_run_prepared_client(struct engine_session *s, const int64_t *inputs, int64_t *answers,
                                         size_t samples, const struct byte_stream *from) {
  return run(s, ENGINE_ONLINE,
             &(struct walk_call){.samples = samples, .inputs = inputs, .answers = answers, .stream = from});
}
