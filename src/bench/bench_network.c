#include "bench/bench_network.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include "base/memory_stream.h"
#include "engine/engine.h"
#include "execute/execute.h"
#include "net/connect.h"
#include "net/shaped.h"

enum { WORKERS_MAX = 256, SHARD_USUAL = 4096, CONNECT_MS = 10000, SILENCE_MS = 600000 };

static_assert((int)STAGE_COUNT <= FUSION_BENCH_STAGES, "the result has room for every stage");
static_assert((int)ENGINE_AHEAD == FUSION_BENCH_AHEAD && (int)ENGINE_ONLINE == FUSION_BENCH_ONLINE, "one numbering");

struct job {
  const struct model *model;
  const struct engine *engine;
  const struct shape_settings *shape; /* by the sender's role: the line that all workers share; NULL: none */
  size_t samples, shard, workers;
  bool pin;
  enum engine_phase phase;
  struct memory_stream *states[2]; /* owned; by role: a shard each */
  const int64_t *inputs;
  int64_t *answers;
};

/* One party's end of one worker. */
struct end {
  const struct job *job;
  size_t worker;
  enum role role;
  int fd; /* server: an accepted connection */
  struct listener *listener;
  struct engine_stats stats;
  struct channel_stats moved;
  double setup_seconds, cpu;
  fusion_status status;
  fusion_error error;
};

/* The server's threads on the first core that this process may use, the client's on the second. */
static void pin(enum role role) {
  cpu_set_t allowed, one;
  CPU_ZERO(&allowed);
  CPU_ZERO(&one);
  if (sched_getaffinity(0, sizeof allowed, &allowed) || CPU_COUNT(&allowed) < 2) return;
  int skip = role == ROLE_SERVER ? 0 : 1;
  for (size_t core = 0; core < CPU_SETSIZE; core++) {
    if (!CPU_ISSET(core, &allowed) || skip-- > 0) continue;
    CPU_SET(core, &one);
    break;
  }
  pthread_setaffinity_np(pthread_self(), sizeof one, &one);
}

static fusion_status connect_end(struct end *e, struct channel **channel) {
  const struct net_limits limits = {.connect_timeout_ms = CONNECT_MS, .timeout_ms = SILENCE_MS};
  struct net_peer peer;
  fusion_status status;
  if (e->role == ROLE_SERVER) {
    status = listener_handshake(e->listener, channel, e->fd, &limits, &peer, &e->error);
    e->fd = -1;
  } else {
    struct net_address address = {.host = "127.0.0.1", .port = listener_port(e->listener)};
    status = channel_dial(channel, &address, NULL, &limits, &peer, &e->error);
  }
  if (status == FUSION_OK && e->job->shape) status = channel_shape(channel, &e->job->shape[e->role]);
  return status;
}

/* Shard k goes to worker k mod workers, on both sides. */
static size_t shard_len(const struct job *j, size_t first) {
  return size_min(j->shard, j->samples - first);
}
static size_t worker_samples(const struct job *j, size_t worker) {
  size_t sum = 0;
  for (size_t at = worker * j->shard; at < j->samples; at += j->workers * j->shard) sum += shard_len(j, at);
  return sum;
}

static fusion_status run_shard(const struct end *e, struct engine_session *s, size_t at, size_t n) {
  const struct job *j = e->job;
  const int64_t *inputs = j->inputs + at * shape_size(j->model->program.steps[0].out.shape);
  int64_t *answers = j->answers + at * program_answer_size(&j->model->program);
  const bool server = e->role == ROLE_SERVER;
  const struct byte_stream *state = &j->states[e->role][at / j->shard].stream;
  if (j->phase == ENGINE_AHEAD) return engine_prepare_run(s, n, state);
  if (j->phase == ENGINE_ONLINE && server) return engine_run_prepared_server(s, n, state);
  if (j->phase == ENGINE_ONLINE) return engine_run_prepared_client(s, inputs, answers, n, state);
  return server ? engine_run_server(s, n) : engine_run_client(s, inputs, answers, n);
}

static fusion_status run_shards(const struct end *e, struct engine_session *s) {
  const struct job *j = e->job;
  for (size_t at = e->worker * j->shard; at < j->samples; at += j->workers * j->shard) {
    const size_t n = shard_len(j, at);
    const fusion_status status = run_shard(e, s, at, n);
    if (status != FUSION_OK) return status;
  }
  return FUSION_OK;
}

static void *run_end(void *arg) {
  struct end *e = arg;
  const struct job *j = e->job;
  struct channel *channel = NULL;
  struct engine_session *session = NULL;
  fusion_status status = FUSION_OK;
  const double start = clock_seconds(), cpu = clock_cpu_seconds();
  const size_t samples = worker_samples(j, e->worker);
  if (j->pin) pin(e->role);
  TRY(connect_end(e, &channel));
  const struct engine_opening opening = {.engine = j->engine,
                                         .program = &j->model->program,
                                         .weights = e->role == ROLE_SERVER ? j->model->weights : NULL,
                                         .channel = channel,
                                         .expected_samples = samples,
                                         .phase = j->phase};
  TRY(engine_open(&session, &opening));
  e->setup_seconds = clock_seconds() - start;
  TRY(run_shards(e, session));
cleanup:
  if (channel && status != FUSION_OK && channel_error(channel)->text[0]) e->error = *channel_error(channel);
  if (session) e->stats = engine_stats(session);
  if (channel) e->moved = channel_get_stats(channel);
  engine_close(session);
  channel_close(channel);
  e->cpu = clock_cpu_seconds() - cpu;
  e->status = status;
  return NULL;
}

/* Client w is started, then its connection accepted, so that both ends of a worker know its number. */
static fusion_status run_workers(const struct job *j, struct listener *listener, struct end *servers,
                                 struct end *clients, fusion_error *err) {
  pthread_t server_ids[WORKERS_MAX], client_ids[WORKERS_MAX];
  size_t client_count = 0, server_count = 0;
  fusion_status status = FUSION_OK;
  for (size_t w = 0; w < j->workers; w++) {
    clients[w] = (struct end){.job = j, .worker = w, .role = ROLE_CLIENT, .fd = -1, .listener = listener};
    servers[w] = (struct end){.job = j, .worker = w, .role = ROLE_SERVER, .fd = -1, .listener = listener};
    FAIL_IF(pthread_create(&client_ids[w], NULL, run_end, &clients[w]), FUSION_E_RESOURCE);
    client_count++;
    TRY(listener_wait(listener, &servers[w].fd, CONNECT_MS, err));
    FAIL_IF(pthread_create(&server_ids[w], NULL, run_end, &servers[w]), FUSION_E_RESOURCE);
    server_count++;
  }
cleanup:
  if (status != FUSION_OK) listener_shut(listener);
  for (size_t w = 0; w < server_count; w++) pthread_join(server_ids[w], NULL);
  for (size_t w = 0; w < client_count; w++) pthread_join(client_ids[w], NULL);
  for (size_t w = 0; status == FUSION_OK && w < j->workers; w++) {
    const struct end *bad =
        servers[w].status != FUSION_OK && servers[w].status != FUSION_E_CLOSED ? &servers[w] : &clients[w];
    if (bad->status == FUSION_OK) continue;
    status = bad->status;
    if (err && bad->error.text[0]) *err = bad->error;
  }
  return status;
}

static void sum_up(const struct job *j, const struct end *servers, const struct end *clients,
                   fusion_bench_model_result *r) {
  r->stages = STAGE_COUNT;
  for (size_t i = 0; i < STAGE_COUNT; i++) r->stage[i].name = engine_stage_name((enum operator_stage)i);
  for (size_t w = 0; w < j->workers; w++) {
    const struct end *s = &servers[w], *c = &clients[w];
    r->server_cpu += s->cpu;
    r->client_cpu += c->cpu;
    r->bytes_to_server += c->moved.bytes_sent;
    r->bytes_to_client += c->moved.bytes_received;
    if (c->moved.depth > r->delays) r->delays = c->moved.depth;
    if (c->setup_seconds > r->setup_seconds) r->setup_seconds = c->setup_seconds;
    for (size_t i = 0; i < STAGE_COUNT; i++) {
      fusion_bench_stage *stage = &r->stage[i];
      stage->seconds += c->stats.seconds[i];
      stage->client_cpu += c->stats.cpu_seconds[i];
      stage->server_cpu += s->stats.cpu_seconds[i];
      stage->bytes_to_server += c->stats.bytes_sent[i];
      stage->bytes_to_client += c->stats.bytes_received[i];
      if (c->stats.depth[i] > stage->delays) stage->delays = c->stats.depth[i];
    }
  }
}

static fusion_status run_phase(const struct job *j, fusion_bench_model_result *result, fusion_error *err) {
  fusion_status status = FUSION_OK;
  const struct net_address any = {.host = "127.0.0.1", .port = 0};
  struct listener *listener = NULL;
  struct end *servers = mem_alloc(j->workers, sizeof *servers), *clients = mem_alloc(j->workers, sizeof *clients);
  FAIL_IF(!servers || !clients, FUSION_E_MEMORY);
  TRY(listener_open(&listener, &any, NULL, err));
  const double start = clock_seconds();
  TRY(run_workers(j, listener, servers, clients, err));
  result->seconds = clock_seconds() - start;
  sum_up(j, servers, clients, result);
cleanup:
  listener_close(listener);
  mem_free(servers);
  mem_free(clients);
  return status;
}

/* What is measured, and what has to be there before. */
static fusion_status run_private(const struct job *j, fusion_bench_model_result *result, fusion_error *err) {
  fusion_status status = FUSION_OK;
  struct job before = *j;
  fusion_bench_model_result unmeasured = {.size = sizeof unmeasured};
  before.phase = ENGINE_AHEAD;
  before.shape = NULL;
  if (j->phase == ENGINE_ONLINE) TRY(run_phase(&before, &unmeasured, err));
  TRY(run_phase(j, result, err));
  for (size_t i = 0; j->phase != ENGINE_AT_ONCE && i < div_up(j->samples, j->shard); i++) {
    result->state_server += j->states[ROLE_SERVER][i].len;
    result->state_client += j->states[ROLE_CLIENT][i].len;
  }
cleanup:
  return status;
}

static fusion_status open_states(struct job *j) {
  const size_t shards = div_up(j->samples, j->shard);
  for (unsigned role = 0; role < 2; role++) {
    j->states[role] = mem_alloc(shards, sizeof **j->states);
    if (!j->states[role]) return FUSION_E_MEMORY;
    for (size_t i = 0; i < shards; i++) memory_stream_open(&j->states[role][i]);
  }
  return FUSION_OK;
}

static void close_states(struct job *j) {
  for (unsigned role = 0; role < 2; role++) {
    for (size_t i = 0; j->states[role] && i < div_up(j->samples, j->shard); i++)
      memory_stream_close(&j->states[role][i]);
    mem_free(j->states[role]);
  }
}

/* Peak memory before the plaintext run, which is no part of the protocol. */
static uint64_t peak_memory(void) {
  struct rusage usage;
  return getrusage(RUSAGE_SELF, &usage) ? 0 : (uint64_t)usage.ru_maxrss * 1024;
}

static fusion_status compare(const struct job *j, unsigned threads, fusion_bench_model_result *result) {
  const size_t count = j->samples * program_answer_size(&j->model->program);
  const struct execute_options options = {.threads = threads};
  int64_t *expected = mem_alloc(count, sizeof *expected);
  if (!expected) return FUSION_E_MEMORY;
  const double start = clock_seconds();
  const fusion_status status = program_execute(j->model, j->inputs, j->samples, expected, &options);
  result->plain_seconds = clock_seconds() - start;
  for (size_t i = 0; i < count; i++) result->wrong += j->answers[i] != expected[i];
  mem_free(expected);
  return status;
}

static fusion_status run_job(struct job *j, const fusion_bench_model_settings *s, fusion_bench_model_result *result,
                             fusion_error *err) {
  fusion_status status = FUSION_OK;
  const struct program *program = &j->model->program;
  int64_t *inputs = NULL, *answers = NULL;
  size_t in_count, out_count;
  FAIL_IF(!size_mul(j->samples, shape_size(program->steps[0].out.shape), &in_count) ||
              !size_mul(j->samples, program_answer_size(program), &out_count),
          FUSION_E_MEMORY);
  j->inputs = inputs = mem_alloc(in_count, sizeof *inputs);
  j->answers = answers = mem_alloc(out_count, sizeof *answers);
  FAIL_IF(!inputs || !answers, FUSION_E_MEMORY);
  TRY(os_random(inputs, in_count * sizeof *inputs));
  for (size_t i = 0; i < in_count; i++) inputs[i] = ring_signed((uint64_t)inputs[i], program->steps[0].out.value_bits);
  TRY(open_states(j));
  TRY(run_private(j, result, err));
  result->peak_memory = peak_memory();
  if (j->phase != ENGINE_AHEAD) TRY(compare(j, s->threads, result));
  if (result->wrong && program->rounding == ROUNDING_EXACT)
    status = error_set(err, FUSION_E_INTERNAL, "bench: %llu answers differ from the plaintext run",
                       (unsigned long long)result->wrong);
cleanup:
  close_states(j);
  mem_free(inputs);
  mem_free(answers);
  return status;
}

fusion_status bench_model(const struct model *model, const fusion_bench_model_settings *s,
                          fusion_bench_model_result *result, fusion_error *err) {
  struct shape_line lines[2] = {{.lock = PTHREAD_MUTEX_INITIALIZER}, {.lock = PTHREAD_MUTEX_INITIALIZER}};
  struct shape_settings shape[2];
  for (size_t i = 0; i < 2; i++)
    shape[i] = (struct shape_settings){s->network.bytes_per_second, s->network.round_trip_ms / 2, &lines[i]};
  const size_t each = s->workers ? div_up(s->samples, s->workers) : 1;
  const size_t shard = s->shard ? s->shard : size_min(each, SHARD_USUAL);
  struct job job = {.model = model,
                    .shape = s->network.bytes_per_second > 0 ? shape : NULL,
                    .samples = s->samples,
                    .shard = size_min(shard, s->samples),
                    .workers = s->workers,
                    .pin = s->pin,
                    .phase = (enum engine_phase)s->phase};
  *result = (fusion_bench_model_result){.size = sizeof *result, .samples = s->samples, .shard = job.shard};
  fusion_status status = engine_named(&job.engine, s->engine, err);
  if (status != FUSION_OK) return status;
  if (!s->samples || !s->workers || s->workers > WORKERS_MAX)
    return error_set(err, FUSION_E_USAGE, "bench: at least one sample, and 1 to %d workers", WORKERS_MAX);
  if (s->network.bytes_per_second < 0 || s->network.round_trip_ms < 0 ||
      (s->network.round_trip_ms > 0 && s->network.bytes_per_second <= 0))
    return error_set(err, FUSION_E_USAGE, "bench: a network has a rate, and a round trip of at least 0 ms");
  status = engine_check(job.engine, &model->program, err);
  if (status != FUSION_OK) return status;
  if (job.phase != ENGINE_AT_ONCE && !engine_runs_ahead(job.engine))
    return error_set(err, FUSION_E_UNSUPPORTED, "the %s engine cannot prepare runs ahead; use delphi",
                     job.engine->name);
  job.workers = size_min(job.workers, div_up(job.samples, job.shard));
  if (err) err->text[0] = 0;
  status = run_job(&job, s, result, err);
  if (status != FUSION_OK && err && !err->text[0]) error_set(err, status, "bench: %s", fusion_status_text(status));
  return status;
}
