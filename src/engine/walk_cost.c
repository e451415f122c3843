/* What the walker predicts: bytes, messages and delays; memory; seconds. */
#include "engine/walk.h"

void engine_gates_cost(struct cost *cost, const struct engine_layout *layout, size_t samples) {
  const struct program *program = layout->program;
  const struct engine_gate *gates = layout->engine->gates;
  for (uint32_t i = 1; i < program->count; i++) {
    const enum operator_gate gate = step_operator(&program->steps[i])->gate;
    if (gate != GATE_LOCAL) gates[gate].cost(cost, layout, i, samples);
  }
  if (program->output != OUTPUT_LOGITS) gates[GATE_TOP_K].cost(cost, layout, program->count - 1, samples);
}

void engine_run_cost(struct cost *cost, const struct engine_layout *layout, size_t samples) {
  if (layout->phase == ENGINE_AHEAD && layout->engine->stock) {
    layout->engine->stock_cost(layout, cost, samples);
    return;
  }
  walk_input_cost(cost, layout, samples);
  engine_gates_cost(cost, layout, samples);
  const struct output_shares o = output_layout(layout->program, samples);
  if (layout->phase == ENGINE_AHEAD)
    cost->prepared_client += output_len(&o);
  else
    cost_to_client(cost, output_len(&o));
}

fusion_status engine_cost(const struct engine *engine, const struct program *program, const size_t *shard_samples,
                          size_t shards, struct cost *cost) {
  return engine_phase_cost(engine, ENGINE_AT_ONCE, program, shard_samples, shards, cost);
}

fusion_status engine_phase_cost(const struct engine *engine, enum engine_phase phase, const struct program *program,
                                const size_t *shard_samples, size_t shards, struct cost *cost) {
  size_t samples = 0;
  struct engine_layout layout;
  for (size_t i = 0; i < shards; i++) samples += shard_samples[i];
  const fusion_status status = engine_layout_open_phase(&layout, engine, phase, program, samples, NULL);
  if (status != FUSION_OK) return status;
  engine->open_cost(&layout, cost);
  for (size_t i = 0; i < shards; i++) engine_run_cost(cost, &layout, shard_samples[i]);
  cost->source = NULL; /* it lives in the layout */
  engine_layout_close(&layout);
  return cost->out_of_memory ? FUSION_E_MEMORY : FUSION_OK;
}

fusion_status engine_run_phase_cost(const struct engine *engine, enum engine_phase phase, const struct program *program,
                                    size_t expected, size_t samples, struct cost *cost) {
  struct engine_layout layout;
  const fusion_status status = engine_layout_open_phase(&layout, engine, phase, program, expected, NULL);
  if (status != FUSION_OK) return status;
  engine_run_cost(cost, &layout, samples);
  cost->source = NULL; /* it lives in the layout */
  engine_layout_close(&layout);
  return cost->out_of_memory ? FUSION_E_MEMORY : FUSION_OK;
}

/* Shares alive while step `at` runs, given each tensor's last reader. */
static size_t live_elements(const struct program *program, const uint32_t *last_use, uint32_t at) {
  size_t elements = 0;
  for (uint32_t i = 0; i <= at; i++)
    if (i == at || last_use[i] >= at) elements += shape_size(program->steps[i].out.shape);
  return elements;
}

/* SIZE_MAX, "more than there is", stays so. */
static size_t add_memory(size_t a, size_t b) {
  size_t sum;
  return size_add(a, b, &sum) ? sum : SIZE_MAX;
}

/* The most that a run's shares and gates take at once. */
static size_t run_memory(const struct engine_layout *layout, size_t samples, enum role role) {
  const struct program *program = layout->program;
  const struct engine_gate *gates = layout->engine->gates;
  const uint32_t last = program->count - 1;
  size_t peak = 0;
  uint32_t *last_use = mem_alloc(program->count, sizeof *last_use);
  if (!last_use) return SIZE_MAX;
  for (uint32_t i = 1; i < program->count; i++)
    for (uint32_t k = 0; k < program->steps[i].input_count; k++) last_use[program->steps[i].inputs[k]] = i;
  for (uint32_t i = 1; i < program->count; i++) {
    const enum operator_gate gate = step_operator(&program->steps[i])->gate;
    size_t len = live_elements(program, last_use, i) * samples * sizeof(uint64_t);
    if (gate != GATE_LOCAL) len = add_memory(len, gates[gate].memory(layout, i, samples, role));
    if (gate != GATE_LOCAL && layout->engine->memory_beside)
      len = add_memory(len, layout->engine->memory_beside(layout, i, samples, role));
    peak = size_max(peak, len);
  }
  if (program->output != OUTPUT_LOGITS) {
    const size_t len = shape_size(program->steps[last].out.shape) * samples * sizeof(uint64_t);
    peak = size_max(peak, add_memory(len, gates[GATE_TOP_K].memory(layout, last, samples, role)));
  }
  mem_free(last_use);
  return peak;
}

/* In use at once, beside a stock of so many bytes. */
static size_t heap_memory(const struct engine *engine, const struct program *program, size_t samples, enum role role,
                          size_t stock) {
  struct engine_layout layout;
  if (engine_layout_open(&layout, engine, program, samples, NULL) != FUSION_OK) return SIZE_MAX;
  const size_t len = add_memory(run_memory(&layout, samples, role), engine->memory(&layout, role));
  engine_layout_close(&layout);
  return heap_most(add_memory(len, stock));
}

size_t engine_memory(const struct engine *engine, const struct program *program, size_t samples, enum role role) {
  return heap_memory(engine, program, samples, role, 0);
}

size_t engine_phase_memory(const struct engine *engine, enum engine_phase phase, const struct program *program,
                           size_t expected, size_t samples, enum role role) {
  struct cost cost = {0};
  if (phase == ENGINE_AT_ONCE || !engine->stock) return engine_memory(engine, program, samples, role);
  if (engine_run_phase_cost(engine, ENGINE_AHEAD, program, expected, samples, &cost) != FUSION_OK) return SIZE_MAX;
  const uint64_t stock = role == ROLE_SERVER ? cost.prepared_server : cost.prepared_client;
  return stock <= SIZE_MAX ? heap_memory(engine, program, samples, role, (size_t)stock) : SIZE_MAX;
}

static void add_seconds(struct engine_seconds *sum, const struct engine_seconds *server,
                        const struct engine_seconds *client, double times) {
  sum->server += times * server->server;
  sum->client += times * client->client;
  sum->together += times * (server->server > client->client ? server->server : client->client);
}

/* What run_seconds adds up. */
struct tally {
  const struct engine_layout *layout;
  const struct engine_speeds *server, *client;
  double shards;
  struct engine_seconds *sum;
};

static void add_gate(const struct tally *t, enum operator_gate gate, uint32_t number, size_t samples) {
  const struct engine *engine = t->layout->engine;
  struct engine_step step = {.gate = gate, .number = number, .samples = samples};
  engine->gates[gate].cost(&step.cost, t->layout, number, samples);
  const struct engine_seconds server = engine->gate_seconds(t->layout, &step, t->server);
  const struct engine_seconds client = engine->gate_seconds(t->layout, &step, t->client);
  add_seconds(t->sum, &server, &client, t->shards);
}

static void run_seconds(const struct tally *t, size_t shard) {
  const struct engine *engine = t->layout->engine;
  const struct program *program = t->layout->program;
  const struct engine_seconds server = engine->open_seconds(t->layout, shard, t->server);
  const struct engine_seconds client = engine->open_seconds(t->layout, shard, t->client);
  add_seconds(t->sum, &server, &client, 1);
  for (uint32_t i = 1; i < program->count; i++) {
    const enum operator_gate gate = step_operator(&program->steps[i])->gate;
    if (gate != GATE_LOCAL) add_gate(t, gate, i, shard);
  }
  if (program->output != OUTPUT_LOGITS) add_gate(t, GATE_TOP_K, program->count - 1, shard);
}

fusion_status engine_seconds(const struct engine_run *run, struct engine_seconds *out) {
  struct engine_layout layout;
  const fusion_status status = engine_layout_open(&layout, run->engine, run->program, run->samples, NULL);
  if (status != FUSION_OK) return status;
  *out = (struct engine_seconds){0};
  const struct tally t = {.layout = &layout,
                          .server = run->server ? run->server : &engine_speeds_usual,
                          .client = run->client ? run->client : &engine_speeds_usual,
                          .shards = (double)run->samples / (double)run->shard,
                          .sum = out};
  run_seconds(&t, run->shard);
  engine_layout_close(&layout);
  return FUSION_OK;
}
