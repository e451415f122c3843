/* Weights swapped for the shards that hold chosen samples: each session on an attached cheater's connection reads a
 * copy of the list of weights, which is changed before a shard runs, is prepared or is used. Linked with --wrap for the
 * functions below. */
#include "adversary/cheat.h"

fusion_status __real_engine_open_server(struct engine_session **out, const struct engine *engine,
                                        const struct model *model, struct channel *channel, size_t expected_samples);
fusion_status __real_engine_open(struct engine_session **out, const struct engine_opening *o);
fusion_status __real_engine_run_server(struct engine_session *s, size_t samples);
fusion_status __real_engine_prepare_run(struct engine_session *s, size_t samples, const struct byte_stream *to);
fusion_status __real_engine_run_prepared_server(struct engine_session *s, size_t samples,
                                                const struct byte_stream *from);
fusion_status __wrap_engine_open_server(struct engine_session **out, const struct engine *engine,
                                        const struct model *model, struct channel *channel, size_t expected_samples);
fusion_status __wrap_engine_open(struct engine_session **out, const struct engine_opening *o);
fusion_status __wrap_engine_run_server(struct engine_session *s, size_t samples);
fusion_status __wrap_engine_prepare_run(struct engine_session *s, size_t samples, const struct byte_stream *to);
fusion_status __wrap_engine_run_prepared_server(struct engine_session *s, size_t samples,
                                                const struct byte_stream *from);

static fusion_status copy_weights(struct cheat_connection *c, const struct program_weights *weights, uint32_t count) {
  mem_free(c->model_weights);
  c->model.weights = c->model_weights = mem_alloc(count, sizeof *c->model_weights);
  if (!c->model_weights) return FUSION_E_MEMORY;
  memcpy(c->model_weights, weights, count * sizeof *c->model_weights);
  return FUSION_OK;
}

fusion_status __wrap_engine_open_server(struct engine_session **out, const struct engine *engine,
                                        const struct model *model, struct channel *channel, size_t expected_samples) {
  struct cheat_connection *c = cheat_connection_of(channel, NULL);
  *out = NULL;
  if (!c) return __real_engine_open_server(out, engine, model, channel, expected_samples);
  c->model = *model;
  fusion_status status = copy_weights(c, model->weights, model->program.count);
  if (status != FUSION_OK) return status;
  status = __real_engine_open_server(out, engine, &c->model, channel, expected_samples);
  c->session = *out;
  return status;
}

/* Sessions that prepare runs, and that use them. */
fusion_status __wrap_engine_open(struct engine_session **out, const struct engine_opening *o) {
  struct cheat_connection *c = o->weights ? cheat_connection_of(o->channel, NULL) : NULL;
  struct engine_opening opening = *o;
  *out = NULL;
  if (!c) return __real_engine_open(out, o);
  fusion_status status = copy_weights(c, o->weights, o->program->count);
  if (status != FUSION_OK) return status;
  opening.weights = c->model_weights;
  status = __real_engine_open(out, &opening);
  c->session = *out;
  return status;
}

static bool holds_chosen(const struct cheat_connection *connection, size_t cheat) {
  const struct cheat_job *job = connection->job;
  if (!job || !job->chosen[cheat]) return false;
  for (uint64_t k = 0; k < connection->samples; k++)
    if (job->chosen[cheat][(connection->first + k) % job->samples]) return true;
  return false;
}

/* Before a shard of an attached cheater's session; of others nothing is changed. */
static void swap_weights(const struct engine_session *s, size_t samples) {
  struct cheat_connection *connection = cheat_connection_of(NULL, s);
  if (!connection) return;
  struct cheater *c = connection->cheater;
  const size_t len = c->model.program.count * sizeof *connection->model_weights;
  memcpy(connection->model_weights, c->model.weights, len);
  for (size_t i = 0; i < c->cheat_count; i++) {
    const struct cheat *cheat = &c->cheats[i];
    if (!cheat->other || !holds_chosen(connection, i) || !cheat_allowed(c)) continue;
    memcpy(connection->model_weights, cheat->other->weights, len);
    cheat_log(c, "cheat: another model answers a shard of %zu samples", samples);
  }
}

fusion_status __wrap_engine_run_server(struct engine_session *s, size_t samples) {
  swap_weights(s, samples);
  return __real_engine_run_server(s, samples);
}

fusion_status __wrap_engine_prepare_run(struct engine_session *s, size_t samples, const struct byte_stream *to) {
  swap_weights(s, samples);
  return __real_engine_prepare_run(s, samples, to);
}

fusion_status __wrap_engine_run_prepared_server(struct engine_session *s, size_t samples,
                                                const struct byte_stream *from) {
  swap_weights(s, samples);
  return __real_engine_run_prepared_server(s, samples, from);
}
