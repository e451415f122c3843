#include "engine/cheetah/cheetah.h"
#include "silent/cot_silent.h"
#include "silent/cot_silent_cost.h"

/* One run of a session: what its steps' costs depend on. */
struct run {
  const struct program *program;
  struct rlwe_keys keys;
  size_t samples;
};

static void step_cost(struct cost *cost, const struct run *run, const struct program_step *step) {
  const struct program *program = run->program;
  const size_t samples = run->samples;
  const size_t count = samples * shape_size(step->out.shape);
  switch (step->op) {
    case OP_LINEAR: {
      const struct linear_layer layer = cheetah_linear(program, step);
      linear_cost(cost, &layer, &run->keys, samples);
      return;
    }
    case OP_RELU:
    case OP_TRUNCATE: {
      const struct relu_truncate params = cheetah_relu(program, step);
      relu_truncate_cost(cost, &params, count);
      return;
    }
    case OP_MUL: multiply_cost(cost, step->inputs[0] == step->inputs[1], count, step->out.ring_bits); return;
    case OP_MAXPOOL: {
      const struct maxpool params = cheetah_maxpool(program, step);
      maxpool_cost(cost, &params, samples * step->out.shape.channels);
      return;
    }
    case OP_INPUT:
    case OP_ADD:
    case OP_SUMPOOL:
    case OP_GATHER:
    case OP_OFFSET: return; /* local */
  }
}

static void run_cost(struct cost *cost, const struct run *run) {
  const struct program *program = run->program;
  for (uint32_t i = 1; i < program->count; i++) step_cost(cost, run, &program->steps[i]);
  if (program->output != OUTPUT_LOGITS) {
    const struct top_k params = cheetah_top_k(program);
    top_k_cost(cost, &params, run->samples);
  }
  cost_to_client(cost, cheetah_output_len(program, run->samples));
}

fusion_status cheetah_silent_params(struct silent_params *out, const struct program *program, size_t expected_samples,
                                    enum silent_profile profile) {
  struct cost cost = {0};
  const struct run run = {program, cheetah_rlwe_keys(program, expected_samples), expected_samples};
  run_cost(&cost, &run);
  *out = (struct silent_params){.profile = profile,
                                .expected_server_sends = cost.cots_server_sends,
                                .expected_client_sends = cost.cots_client_sends};
  return cost.out_of_memory ? FUSION_E_MEMORY : FUSION_OK;
}

static fusion_status session_cost(const struct program *program, const size_t *shard_samples, size_t shards,
                                  enum silent_profile profile, struct cost *cost) {
  size_t samples = 0;
  for (size_t i = 0; i < shards; i++) samples += shard_samples[i];
  struct silent_params params;
  struct cot_cost refill;
  if (cheetah_silent_params(&params, program, samples, profile) != FUSION_OK) return FUSION_E_MEMORY;
  cot_open_silent_cost(cost, &refill, &params);
  struct run run = {program, cheetah_rlwe_keys(program, samples), 0};
  rlwe_open_cost(cost, &run.keys);
  for (size_t i = 0; i < shards; i++) {
    run.samples = shard_samples[i];
    run_cost(cost, &run);
  }
  cost->source = NULL; /* it lives on this call's stack */
  return cost->out_of_memory ? FUSION_E_MEMORY : FUSION_OK;
}

fusion_status cheetah_cost(const struct program *program, const size_t *shard_samples, size_t shards,
                           struct cost *cost) {
  return session_cost(program, shard_samples, shards, SILENT_LAN, cost);
}

fusion_status cheetah_wan_cost(const struct program *program, const size_t *shard_samples, size_t shards,
                               struct cost *cost) {
  return session_cost(program, shard_samples, shards, SILENT_WAN, cost);
}

struct engine_work cheetah_work(const struct program *program, size_t samples) {
  struct engine_work work = {0};
  const struct run run = {program, cheetah_rlwe_keys(program, samples), samples};
  for (uint32_t i = 1; i < program->count; i++) {
    const struct program_step *step = &program->steps[i];
    struct cost cost = {0};
    step_cost(&cost, &run, step);
    const double bytes = (double)cost.bytes_to_server + (double)cost.bytes_to_client;
    work.correlations += (double)cost.cots_server_sends + (double)cost.cots_client_sends;
    if (step->op != OP_LINEAR) work.gate_bytes += bytes;
    if (step->op != OP_LINEAR) continue;
    const struct linear_layer layer = cheetah_linear(program, step);
    work.linear_bytes += bytes;
    work.products += (double)linear_macs(&layer, &run.keys, samples);
  }
  return work;
}

/* Shares alive while step `at` runs, given each tensor's last reader. */
static size_t live_elements(const struct program *program, const uint32_t *last_use, uint32_t at) {
  size_t elements = 0;
  for (uint32_t i = 0; i <= at; i++)
    if (i == at || last_use[i] >= at) elements += shape_size(program->steps[i].out.shape);
  return elements;
}

/* What a step's gate takes for itself. */
static size_t gate_memory(const struct program *program, const struct program_step *step, size_t samples,
                          enum role role) {
  const size_t count = samples * shape_size(step->out.shape);
  const struct relu_truncate relu = cheetah_relu(program, step);
  const struct maxpool pool = cheetah_maxpool(program, step);
  switch (step->op) {
    case OP_RELU:
    case OP_TRUNCATE: return relu_truncate_memory(&relu, role, count);
    case OP_MUL: return multiply_memory(step->inputs[0] == step->inputs[1], count, step->out.ring_bits);
    case OP_MAXPOOL: return maxpool_memory(&pool, role, samples * step->out.shape.channels);
    default: return 0;
  }
}

/* SIZE_MAX, "more than there is", stays so. */
static size_t add_memory(size_t a, size_t b) {
  size_t sum;
  return size_add(a, b, &sum) ? sum : SIZE_MAX;
}

static size_t session_memory(const struct program *program, size_t samples, enum role role,
                             enum silent_profile profile) {
  struct silent_params params;
  uint32_t *last_use = mem_alloc(program->count, sizeof *last_use);
  size_t peak = 0;
  if (!last_use) return SIZE_MAX;
  for (uint32_t i = 1; i < program->count; i++)
    for (uint32_t k = 0; k < program->steps[i].input_count; k++) last_use[program->steps[i].inputs[k]] = i;
  for (uint32_t i = 1; i < program->count; i++) {
    size_t len = live_elements(program, last_use, i) * samples * sizeof(uint64_t);
    if (program->steps[i].op == OP_LINEAR) {
      const struct linear_layer layer = cheetah_linear(program, &program->steps[i]);
      len = add_memory(len, linear_memory(&layer, samples, role));
    }
    peak = size_max(peak, add_memory(len, gate_memory(program, &program->steps[i], samples, role)));
  }
  mem_free(last_use);
  if (cheetah_silent_params(&params, program, samples, profile) != FUSION_OK) return SIZE_MAX;
  return heap_most(add_memory(peak, cot_silent_memory(&params)));
}

size_t cheetah_memory(const struct program *program, size_t samples, enum role role) {
  return session_memory(program, samples, role, SILENT_LAN);
}

size_t cheetah_wan_memory(const struct program *program, size_t samples, enum role role) {
  return session_memory(program, samples, role, SILENT_WAN);
}
