#include "engine/clear_engine.h"

#include "support/test_messages.h"

static fusion_status clear_open(void **state, const struct engine_party *party) {
  static char nothing;
  (void)party;
  *state = &nothing;
  return FUSION_OK;
}

static void clear_close(void *state) {
  (void)state;
}

static const struct program_step *step_at(const struct engine_layout *layout, uint32_t number) {
  return &layout->program->steps[number];
}

/* Elements of a gate's k-th input; GATE_TOP_K reads the last step's own tensor. */
static size_t input_size(const struct gate_call *call, uint32_t k, bool top) {
  const struct engine_layout *layout = call->party->layout;
  const uint32_t from = top ? call->number : step_at(layout, call->number)->inputs[k];
  return call->samples * shape_size(step_at(layout, from)->out.shape);
}

/* The client sends its share; the server gets the values, signed in their ring. */
static fusion_status reveal(const struct gate_call *call, uint32_t k, bool top, int64_t *values) {
  const struct engine_layout *layout = call->party->layout;
  const size_t count = input_size(call, k, top);
  const unsigned bits = step_at(layout, top ? call->number : step_at(layout, call->number)->inputs[k])->out.ring_bits;
  struct channel *channel = call->party->channel;
  if (call->party->role == ROLE_CLIENT)
    return channel_send(channel, MSG_TEST, call->inputs[k], count * sizeof(uint64_t));
  const fusion_status status = channel_recv(channel, MSG_TEST, values, count * sizeof *values);
  for (size_t i = 0; status == FUSION_OK && i < count; i++)
    values[i] = ring_signed((uint64_t)values[i] + call->inputs[k][i], bits);
  return status;
}

/* One output of a convolution, before its bias. */
static int64_t dot(const struct program *program, const struct program_step *s, const int16_t *weights,
                   const int64_t *x, const struct shape at) {
  const struct shape in = step_input(program, s, 0)->shape;
  const struct window *w = &s->window;
  const uint32_t depth = in.channels / s->groups, group = at.channels / (s->out.shape.channels / s->groups);
  uint64_t sum = 0;
  weights += (size_t)at.channels * depth * w->kernel_h * w->kernel_w;
  for (uint32_t c = 0; c < depth; c++)
    for (uint32_t ky = 0; ky < w->kernel_h; ky++)
      for (uint32_t kx = 0; kx < w->kernel_w; kx++, weights++) {
        const int64_t iy = (int64_t)at.height * w->stride_h + (int64_t)ky * w->dilation_h - w->pad_top;
        const int64_t ix = (int64_t)at.width * w->stride_w + (int64_t)kx * w->dilation_w - w->pad_left;
        if (iy < 0 || ix < 0 || iy >= in.height || ix >= in.width) continue;
        sum += (uint64_t)*weights *
               (uint64_t)x[((size_t)(group * depth + c) * in.height + (size_t)iy) * in.width + (size_t)ix];
      }
  return (int64_t)sum;
}

static void compute_linear(const struct operator_run *r) {
  const struct shape out = r->step->out.shape;
  const size_t in_size = shape_size(step_input(r->program, r->step, 0)->shape);
  int64_t *y = r->out;
  for (size_t k = 0; k < r->samples; k++)
    for (uint32_t c = 0; c < out.channels; c++)
      for (uint32_t h = 0; h < out.height; h++)
        for (uint32_t w = 0; w < out.width; w++)
          *y++ = r->weights->bias[c] +
                 dot(r->program, r->step, r->weights->weights, r->inputs[0] + k * in_size, (struct shape){c, h, w});
}

/* Any gate of an operator: its meaning on integers, by the operator table. */
static fusion_status clear_run(void *state, const struct gate_call *call) {
  const struct program *program = call->party->layout->program;
  const struct program_step *step = &program->steps[call->number];
  const size_t count = call->samples * shape_size(step->out.shape);
  int64_t *values[2] = {NULL, NULL};
  fusion_status status = FUSION_OK;
  (void)state;
  for (uint32_t k = 0; k < step->input_count; k++) {
    values[k] = mem_alloc(input_size(call, k, false), sizeof *values[k]);
    FAIL_IF(!values[k], FUSION_E_MEMORY);
    TRY(reveal(call, k, false, values[k]));
  }
  if (call->party->role == ROLE_SERVER) {
    const struct operator_run r = {.program = program,
                                   .step = step,
                                   .weights = call->weights,
                                   .inputs = (const int64_t *const *)values,
                                   .out = (int64_t *)call->out,
                                   .samples = call->samples};
    (step_operator(step)->run ? step_operator(step)->run : compute_linear)(&r);
  }
  for (size_t i = 0; i < count; i++) call->out[i] &= low_mask(step->out.ring_bits);
cleanup:
  mem_free(values[0]);
  mem_free(values[1]);
  return status;
}

static void clear_declare(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples) {
  const struct program_step *step = step_at(layout, number);
  for (uint32_t k = 0; k < step->input_count; k++)
    cost_to_server(cost, samples * shape_size(step_input(layout->program, step, k)->shape) * sizeof(uint64_t));
}

static size_t clear_most(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role) {
  const struct program_step *step = step_at(layout, number);
  size_t len = 0;
  (void)role;
  for (uint32_t k = 0; k < step->input_count; k++)
    len += samples * shape_size(step_input(layout->program, step, k)->shape) * sizeof(uint64_t);
  return len;
}

/* The best of a row that is not taken yet; the lowest index wins ties. */
static size_t best_of(const int64_t *row, const bool *taken, size_t width) {
  size_t best = SIZE_MAX;
  for (size_t i = 0; i < width; i++)
    if (!taken[i] && (best == SIZE_MAX || row[i] > row[best])) best = i;
  return best;
}

static fusion_status clear_top_k(void *state, const struct gate_call *call) {
  const struct program *program = call->party->layout->program;
  const size_t width = shape_size(step_at(call->party->layout, call->number)->out.shape);
  const uint32_t k = program_winners(program);
  fusion_status status;
  int64_t *values = mem_alloc(call->samples * width, sizeof *values);
  bool *taken = mem_alloc(call->samples * width, sizeof *taken);
  (void)state;
  FAIL_IF(!values || !taken, FUSION_E_MEMORY);
  TRY(reveal(call, 0, true, values));
  for (size_t i = 0; call->party->role == ROLE_SERVER && i < call->samples * k; i++) {
    const size_t row = i / k * width, best = best_of(values + row, taken + row, width);
    taken[row + best] = true;
    call->out[i] = best;
    if (call->values)
      call->values[i] = (uint64_t)values[row + best] & low_mask(program->steps[call->number].out.ring_bits);
  }
cleanup:
  mem_free(values);
  mem_free(taken);
  return status;
}

static void top_k_declare(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples) {
  cost_to_server(cost, samples * shape_size(step_at(layout, number)->out.shape) * sizeof(uint64_t));
}

static size_t top_k_most(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role) {
  (void)role;
  return samples * shape_size(step_at(layout, number)->out.shape) * (sizeof(uint64_t) + sizeof(bool));
}

static void clear_open_cost(const struct engine_layout *layout, struct cost *cost) {
  (void)layout, (void)cost;
}

static size_t clear_memory(const struct engine_layout *layout, enum role role) {
  (void)layout, (void)role;
  return 0;
}

static struct engine_seconds clear_open_seconds(const struct engine_layout *layout, size_t samples,
                                                const struct engine_speeds *speeds) {
  (void)layout, (void)samples, (void)speeds;
  return (struct engine_seconds){0};
}

static struct engine_seconds clear_gate_seconds(const struct engine_layout *layout, const struct engine_step *step,
                                                const struct engine_speeds *speeds) {
  const double element_s = 1e-8;
  (void)speeds;
  return (struct engine_seconds){
      .server = element_s * (double)(step->samples * shape_size(step_at(layout, step->number)->out.shape))};
}

const struct engine_gate clear_gates[GATE_COUNT] = {
    [GATE_LINEAR] = {clear_run, clear_declare, clear_most},
    [GATE_RELU_TRUNCATE] = {clear_run, clear_declare, clear_most},
    [GATE_MULTIPLY] = {clear_run, clear_declare, clear_most},
    [GATE_MAXPOOL] = {clear_run, clear_declare, clear_most},
    [GATE_LOOKUP] = {clear_run, clear_declare, clear_most},
    [GATE_COMPARE] = {clear_run, clear_declare, clear_most},
    [GATE_MATMUL] = {clear_run, clear_declare, clear_most},
    [GATE_TOP_K] = {clear_top_k, top_k_declare, top_k_most},
};

const struct engine engine_clear = {
    .name = "clear",
    .family = "clear",
    .summary = "no protection at all: for tests",
    .open = clear_open,
    .close = clear_close,
    .open_cost = clear_open_cost,
    .memory = clear_memory,
    .open_seconds = clear_open_seconds,
    .gate_seconds = clear_gate_seconds,
    .gates = clear_gates,
};
