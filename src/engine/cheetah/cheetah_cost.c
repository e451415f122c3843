/* What sessions cost beside their gates, and the engine's prices. */
#include "engine/cheetah/cheetah.h"
#include "silent/cot_silent.h"
#include "steps/step_seconds.h"

/* In merges of linear layers: of a product of matrices, a unit that the server multiplies, a product for it, an answer
 * and a query, an answer and a query at the client. The parties' parts of a set-up, of which the price is the mean.
 * Fitted to gates of a small BERT and a small vision transformer. */
static const double unit = 2.4, unit_product = 0.5, server_answer = 2, server_query = 0.6, client_answer = 2.7,
                    client_query = 1, server_setup = 0.8, client_setup = 1.3;

void cheetah_open_cost(const struct engine_layout *layout, struct cost *cost) {
  struct cheetah_layout *own = layout->own;
  if (layout->phase != ENGINE_AT_ONCE) return; /* each run has its own */
  if (own->plan.stream) cot_open_softspoken_cost(cost, &own->stream_cost, &own->plan.stream_params);
  if (!own->plan.stream) cot_open_silent_cost(cost, &own->refill, &own->plan.params);
  rlwe_open_cost(cost, &own->steps.keys);
}

void cheetah_stock_cost(const struct engine_layout *layout, struct cost *cost, size_t samples) {
  bool out_of_memory;
  const struct cot_stock_plan plan = cheetah_plan(layout, samples, &out_of_memory);
  rlwe_stock_cost(cost, &cheetah_own(layout)->steps.keys);
  cot_stock_cost(cost, &plan);
  cost->out_of_memory = cost->out_of_memory || out_of_memory;
}

size_t cheetah_memory(const struct engine_layout *layout, enum role role) {
  const struct cheetah_layout *own = cheetah_own(layout);
  const size_t cots =
      own->plan.stream ? cot_softspoken_memory(&own->plan.stream_params) : cot_silent_memory(&own->plan.params);
  return cots + rlwe_memory(&own->steps.keys, role);
}

size_t cheetah_memory_beside(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role) {
  const uint32_t next = cheetah_next_linear(layout->program, number);
  const bool linear = step_operator(&layout->program->steps[number])->gate == GATE_LINEAR;
  if (role != ROLE_SERVER || !next || linear) return 0;
  const struct linear_layer layer = step_linear(&cheetah_own(layout)->steps, next);
  const size_t most = linear_memory(&layer, samples, role);
  return most < SIZE_MAX - LINEAR_AHEAD_MAX ? most + LINEAR_AHEAD_MAX : SIZE_MAX;
}

static struct engine_seconds matrix_seconds(const struct matrix_work *w, const struct engine_speeds *speeds) {
  const double merge = speeds->seconds[SPEED_MERGE];
  const double server =
      w->units * unit + w->products * unit_product + w->answers * server_answer + w->queries * server_query;
  const double client = w->answers * client_answer + w->queries * client_query;
  return (struct engine_seconds){.server = server * merge, .client = client * merge};
}

struct engine_seconds cheetah_open_seconds(const struct engine_layout *layout, size_t samples,
                                           const struct engine_speeds *speeds) {
  const double setup = speeds->seconds[SPEED_SETUP];
  (void)layout, (void)samples;
  return (struct engine_seconds){.server = server_setup * setup, .client = client_setup * setup};
}

struct engine_seconds cheetah_gate_seconds(const struct engine_layout *layout, const struct engine_step *step,
                                           const struct engine_speeds *speeds) {
  const double *s = speeds->seconds;
  const struct cheetah_layout *own = cheetah_own(layout);
  const double correlation = own->plan.stream
                                 ? s[SPEED_BASE] /* its k is theirs */
                                 : cot_silent_price(&own->plan.params, s[SPEED_BASE], s[SPEED_SILENT], s[SPEED_ROW]);
  struct engine_seconds seconds = step_seconds(&step->cost, speeds, correlation);
  if (step->gate == GATE_LINEAR) {
    const struct linear_layer layer = step_linear(&own->steps, step->number);
    step_seconds_add(&seconds, step_linear_seconds(&layer, &own->steps.keys, step->samples, speeds));
  }
  if (step->gate == GATE_MATMUL) {
    const struct matrix_work work = cheetah_matrix_work(layout, step->number, step->samples);
    step_seconds_add(&seconds, matrix_seconds(&work, speeds));
  }
  return seconds;
}
