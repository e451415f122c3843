/* The server's engine with its weights swapped for the shards that hold chosen samples. */
#include "adversary/cheat.h"

struct engine_session {
  struct engine_session *inner; /* of the real engine */
  struct cheater *cheater;
  struct cheat_connection *connection;
  struct model model;              /* the real program with `weights` */
  struct program_weights *weights; /* owned array of borrowed weights: what the inner session reads */
};

static struct cheater *cheater_of(const struct model *model) {
  return (struct cheater *)(uintptr_t)model; /* the model is the cheater's first member */
}

static fusion_status cheat_open(struct engine_session **out, const struct model *model, struct channel *channel,
                                size_t expected_samples) {
  fusion_status status;
  struct cheater *c = cheater_of(model);
  struct engine_session *s = mem_alloc(1, sizeof *s);
  *out = NULL;
  FAIL_IF(!s, FUSION_E_MEMORY);
  s->cheater = c;
  s->model = c->model;
  s->weights = mem_alloc(c->model.program.count, sizeof *s->weights);
  FAIL_IF(!s->weights, FUSION_E_MEMORY);
  memcpy(s->weights, c->model.weights, c->model.program.count * sizeof *s->weights);
  s->model.weights = s->weights;
  pthread_mutex_lock(&c->lock);
  s->connection = c->connections;
  while (s->connection && s->connection->channel != channel) s->connection = s->connection->next;
  pthread_mutex_unlock(&c->lock);
  TRY(c->engine->open_server(&s->inner, &s->model, channel, expected_samples));
  *out = s;
  return FUSION_OK;
cleanup:
  if (s) mem_free(s->weights);
  mem_free(s);
  return status;
}

static bool holds_chosen(const struct cheat_connection *connection, size_t cheat) {
  const struct cheat_job *job = connection ? connection->job : NULL;
  if (!job || !job->chosen[cheat]) return false;
  for (uint64_t k = 0; k < connection->samples; k++)
    if (job->chosen[cheat][(connection->first + k) % job->samples]) return true;
  return false;
}

static fusion_status cheat_run(struct engine_session *s, size_t samples) {
  struct cheater *c = s->cheater;
  const size_t len = c->model.program.count * sizeof *s->weights;
  memcpy(s->weights, c->model.weights, len);
  for (size_t i = 0; i < c->cheat_count; i++) {
    const struct cheat *cheat = &c->cheats[i];
    if (!cheat->other || !holds_chosen(s->connection, i) || !cheat_allowed(c)) continue;
    memcpy(s->weights, cheat->other->weights, len);
    cheat_log(c, "cheat: another model answers a shard of %zu samples", samples);
  }
  return c->engine->run_server(s->inner, samples);
}

static fusion_status cheat_prepare(struct model *model, fusion_error *err) {
  return engine_find("cheetah")->prepare(model, err);
}

static struct engine_stats cheat_stats(const struct engine_session *s) {
  return s->cheater->engine->stats(s->inner);
}

static void cheat_close(struct engine_session *s) {
  if (!s) return;
  s->cheater->engine->close(s->inner);
  mem_free(s->weights);
  mem_free(s);
}

static fusion_status cheat_cost(const struct program *program, const size_t *shards, size_t count, struct cost *cost) {
  return engine_find("cheetah")->cost(program, shards, count, cost);
}

static size_t cheat_memory(const struct program *program, size_t samples, enum role role) {
  return engine_find("cheetah")->memory(program, samples, role);
}

const struct engine cheat_engine = {
    .name = "cheetah",
    .prepare = cheat_prepare,
    .open_server = cheat_open,
    .run_server = cheat_run,
    .stats = cheat_stats,
    .close = cheat_close,
    .cost = cheat_cost,
    .memory = cheat_memory,
};
