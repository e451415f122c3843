#include "session/ahead.h"

#include <unistd.h>

#include "base/memory_stream.h"
#include "engine/engine.h"
#include "session/one_time_file.h"

enum { SHARD_DEFAULT = 4096, HEAD_LEN = 8 + SESSION_HASH_LEN + SESSION_ENGINE_LEN + 8 + 4 };
static const char kind[8] = {'c', 'l', 'i', 'e', 'n', 't', ' ', '3'}; /* the last one: the format of the states */

/* What the file is bound to. */
struct ahead_head {
  uint8_t manifest_hash[SESSION_HASH_LEN];
  char engine[SESSION_ENGINE_LEN];
  uint64_t samples;
  uint32_t shard_samples;
};

struct ahead {
  char *path; /* owned */
  struct ahead_head is;
  size_t shards;
  struct state_name *names;     /* owned: [shards], the server's states */
  struct memory_stream *states; /* owned, secret: [shards] */
  bool *taken;                  /* owned: [shards] */
  struct memory_stream *last;   /* of the shard that was taken last; NULL: none yet */
  struct one_time_file *file;   /* NULL: spent */
};

static void write_head(uint8_t out[HEAD_LEN], const struct ahead_head *h) {
  uint8_t *at = out;
  memcpy(at, kind, sizeof kind);
  memcpy(at += sizeof kind, h->manifest_hash, sizeof h->manifest_hash);
  memcpy(at += sizeof h->manifest_hash, h->engine, sizeof h->engine);
  memcpy(at += sizeof h->engine, &h->samples, sizeof h->samples);
  memcpy(at + sizeof h->samples, &h->shard_samples, sizeof h->shard_samples);
}

static bool read_head(struct ahead_head *h, const uint8_t in[HEAD_LEN]) {
  const uint8_t *at = in;
  if (memcmp(at, kind, sizeof kind) != 0) return false;
  memcpy(h->manifest_hash, at += sizeof kind, sizeof h->manifest_hash);
  memcpy(h->engine, at += sizeof h->manifest_hash, sizeof h->engine);
  memcpy(&h->samples, at += sizeof h->engine, sizeof h->samples);
  memcpy(&h->shard_samples, at + sizeof h->samples, sizeof h->shard_samples);
  return memchr(h->engine, '\0', sizeof h->engine) && h->samples >= 1 && h->samples <= SESSION_SAMPLES_MAX &&
         h->shard_samples >= 1 && h->shard_samples <= SESSION_SHARD_MAX;
}

static size_t shards_of(const struct ahead_head *h) {
  return shards_count((size_t)h->samples, h->shard_samples, 1);
}

/* ---- Preparing ---- */

struct preparation {
  const fusion_client_settings *settings;
  const struct job_handles *handles;
  struct channel *channel;
  struct program program;
  struct ahead_head head;
  struct one_time_file *file;
};

static fusion_status channel_failure(struct preparation *p, fusion_status status, fusion_error *err) {
  const fusion_error *e = channel_error(p->channel);
  return error_set(err, status, "%s", e->status == status ? e->text : fusion_status_text(status));
}

static fusion_status take_program(struct preparation *p, const struct server_hello *answer, fusion_error *err) {
  const struct job_handles *h = p->handles;
  uint8_t *bytes;
  size_t len;
  if (answer->manifest_len > p->settings->max_manifest)
    return error_set(err, FUSION_E_LIMIT, "the server's manifest has %u bytes; the limit is %llu", answer->manifest_len,
                     (unsigned long long)p->settings->max_manifest);
  fusion_status status = channel_recv_sized(p->channel, MSG_MANIFEST, answer->manifest_len, &bytes, &len);
  if (status != FUSION_OK) return channel_failure(p, status, err);
  struct reader r = reader_of(bytes, len);
  manifest_hash(p->head.manifest_hash, bytes, len);
  if (memcmp(p->head.manifest_hash, answer->manifest_hash, SESSION_HASH_LEN) != 0)
    status = error_set(err, FUSION_E_PEER, "the server's manifest does not have the announced hash");
  if (status == FUSION_OK && h->manifest && memcmp(p->head.manifest_hash, h->manifest, SESSION_HASH_LEN) != 0)
    status = error_set(err, FUSION_E_OTHER_MODEL, "the server's manifest is not the one that was asked for");
  if (status == FUSION_OK && program_decode(&p->program, &r, NULL) != FUSION_OK)
    status = error_set(err, FUSION_E_PEER, "the server's manifest is not valid");
  if (status == FUSION_OK && !reader_done(&r))
    status = error_set(err, FUSION_E_PEER, "the server's manifest has bytes left over");
  if (status == FUSION_OK && h->model_id && memcmp(p->program.model_id, h->model_id, MODEL_ID_LEN) != 0)
    status = error_set(err, FUSION_E_MODEL_CHANGED, "the server announces another model id than before");
  mem_free(bytes);
  return status;
}

/* What the job will move and keep, cut like that. The server chose how small shards are, and each has a state of its
 * own. */
static fusion_status check_cut(const struct preparation *p, size_t shards, fusion_error *err) {
  const fusion_client_settings *set = p->settings;
  const uint64_t memory = set->max_memory ? set->max_memory : mem_half_of_machine();
  const size_t samples = (size_t)p->head.samples, longer = samples % shards;
  const size_t counts[2] = {longer, shards - longer};
  double bytes = 0, kept = 0;
  for (size_t i = 0; i < 2; i++) {
    struct cost cost = {0};
    const size_t shard = samples / shards + (i == 0);
    if (!counts[i]) continue;
    const fusion_status status =
        engine_run_phase_cost(p->handles->engine, ENGINE_AHEAD, &p->program, samples, shard, &cost);
    if (status != FUSION_OK) return error_set(err, status, "out of memory for the prediction of traffic");
    bytes += (double)counts[i] * ((double)cost.bytes_to_client + (double)cost.bytes_to_server);
    kept += (double)counts[i] * (double)cost.prepared_client;
  }
  if (kept > (double)memory)
    return error_set(err, FUSION_E_LIMIT,
                     "the prepared states would take %.0f MiB of memory here; the limit is %llu MiB; prepare a smaller "
                     "job",
                     kept / (1 << 20), (unsigned long long)(memory >> 20));
  if (set->max_traffic && bytes > (double)set->max_traffic)
    return error_set(err, FUSION_E_LIMIT, "preparing the job would move %.0f MiB; the limit is %llu MiB",
                     bytes / (1 << 20), (unsigned long long)(set->max_traffic >> 20));
  return FUSION_OK;
}

/* As many samples a shard as both sides have memory for. */
static fusion_status cut(struct preparation *p, fusion_error *err) {
  const fusion_client_settings *set = p->settings;
  const uint64_t memory = set->max_memory ? set->max_memory : mem_half_of_machine();
  const size_t wanted = size_min(set->shard_samples ? set->shard_samples : SHARD_DEFAULT, (size_t)p->head.samples);
  const struct shard_place place = {p->handles->engine, ENGINE_AHEAD, &p->program, ROLE_CLIENT,
                                    (size_t)p->head.samples};
  const size_t limit = shard_phase_limit(&place, wanted, memory);
  if (!limit) return error_set(err, FUSION_E_LIMIT, "one sample of the server's model takes more memory than allowed");
  const struct start start = {.purpose = PURPOSE_PREPARE,
                              .shard_samples = (uint32_t)size_min(limit, SESSION_SHARD_MAX),
                              .expected_samples = p->head.samples};
  struct ready ready;
  fusion_status status = start_send(p->channel, &start);
  if (status == FUSION_OK) status = ready_recv(p->channel, &start, &ready);
  if (status != FUSION_OK) return channel_failure(p, status, err);
  const uint32_t granted = ready.shard_samples;
  if (granted > start.shard_samples)
    return error_set(err, FUSION_E_PEER, "the server grants larger shards than were asked for");
  const size_t shards = shards_count((size_t)p->head.samples, granted, 1);
  p->head.shard_samples = (uint32_t)div_up((size_t)p->head.samples, shards);
  if (shards <= SESSION_STATES_MAX) return check_cut(p, shards, err);
  return error_set(err, FUSION_E_LIMIT,
                   "this job would have %zu shards of %u samples; %d shards can be prepared at most", shards,
                   p->head.shard_samples, SESSION_STATES_MAX);
}

static fusion_status greet(struct preparation *p, fusion_error *err) {
  struct client_hello hello = {.samples = p->head.samples};
  struct server_hello answer;
  fusion_status status = os_random(hello.job, sizeof hello.job);
  strcpy(hello.engine, p->handles->engine->name);
  if (p->handles->model) strcpy(hello.model, p->handles->model);
  strcpy(p->head.engine, p->handles->engine->name);
  if (status == FUSION_OK) status = client_hello_send(p->channel, &hello);
  if (status == FUSION_OK) status = server_hello_recv(p->channel, &answer);
  if (status == FUSION_E_VERSION) version_refuse(p->channel);
  if (status != FUSION_OK) return channel_failure(p, status, err);
  if (strcmp(answer.engine, hello.engine) != 0)
    return error_set(err, FUSION_E_PEER, "the server answered with another protocol engine");
  status = take_program(p, &answer, err);
  return status == FUSION_OK ? cut(p, err) : status;
}

/* One shard: the length of the client's state, the state, the server's number of it. */
static fusion_status prepare_shard(struct preparation *p, struct engine_session *session, size_t samples,
                                   fusion_error *err) {
  const struct byte_stream *to = one_time_stream(p->file);
  uint8_t number[SESSION_STATE_LEN];
  struct cost cost = {0};
  fusion_status status =
      engine_run_phase_cost(p->handles->engine, ENGINE_AHEAD, &p->program, (size_t)p->head.samples, samples, &cost);
  if (status != FUSION_OK) return error_set(err, status, "%s", fusion_status_text(status));
  status = stream_write(to, &cost.prepared_client, sizeof cost.prepared_client);
  if (status != FUSION_OK) return error_set(err, status, "the prepared state cannot be written");
  status = shard_send(p->channel, (uint32_t)samples);
  if (status == FUSION_OK) status = engine_prepare_run(session, samples, to);
  if (status == FUSION_OK) status = prepared_recv(p->channel, number);
  if (status != FUSION_OK) return channel_failure(p, status, err);
  status = stream_write(to, number, sizeof number);
  return status == FUSION_OK ? status : error_set(err, status, "the prepared state cannot be written");
}

static fusion_status prepare_shards(struct preparation *p, fusion_error *err) {
  struct engine_session *session;
  const struct engine_opening opening = {.engine = p->handles->engine,
                                         .program = &p->program,
                                         .channel = p->channel,
                                         .expected_samples = (size_t)p->head.samples,
                                         .phase = ENGINE_AHEAD};
  fusion_status status = engine_open(&session, &opening);
  if (status != FUSION_OK) return channel_failure(p, status, err);
  const size_t shards = shards_of(&p->head);
  for (size_t i = 0; i < shards && status == FUSION_OK; i++)
    status = prepare_shard(p, session, shard_at((size_t)p->head.samples, shards, i).count, err);
  engine_close(session);
  if (status == FUSION_OK && shard_send(p->channel, 0) != FUSION_OK) status = channel_failure(p, FUSION_E_CLOSED, err);
  return status;
}

fusion_status ahead_prepare(const fusion_client_settings *settings, const struct job_handles *handles, uint64_t samples,
                            const char *path, fusion_error *err) {
  struct preparation p = {.settings = settings, .handles = handles, .head = {.samples = samples}};
  const struct net_limits limits = {.connect_timeout_ms = (int)settings->connect_timeout_ms,
                                    .timeout_ms = (int)settings->timeout_ms};
  struct net_peer peer;
  uint8_t head[HEAD_LEN];
  fusion_status status;
  if (!engine_runs_ahead(handles->engine))
    return error_set(err, FUSION_E_USAGE, "the %s engine cannot prepare runs ahead; use cheetah or delphi",
                     handles->engine->name);
  if (!samples || samples > SESSION_SAMPLES_MAX) return error_set(err, FUSION_E_USAGE, "a job has 1 to 2^32 samples");
  if (access(path, F_OK) == 0)
    return error_set(err, FUSION_E_IO, "'%s': this file exists; it may be a prepared job", path);
  TRY(one_time_create(&p.file, path, NULL, err)); /* what cannot be written is found before the work */
  TRY(channel_dial(&p.channel, &handles->address, handles->tls, &limits, &peer, err));
  TRY(greet(&p, err));
  TRY(prepare_shards(&p, err));
  write_head(head, &p.head);
  TRY(one_time_commit(p.file, (struct one_time_binding){head, sizeof head}, err));
cleanup:
  one_time_close(p.file);
  channel_close(p.channel);
  program_free(&p.program);
  return status;
}

/* ---- Using ---- */

static fusion_status read_state(struct ahead *a, size_t shard) {
  const struct byte_stream *from = one_time_stream(a->file);
  struct state_name *name = &a->names[shard];
  uint64_t len;
  fusion_status status;
  name->samples = (uint32_t)shard_at((size_t)a->is.samples, a->shards, shard).count;
  TRY(stream_read(from, &len, sizeof len));
  if (len > one_time_left(a->file)) return FUSION_E_INPUT;
  uint8_t *bytes = mem_alloc(size_max(1, (size_t)len), 1);
  if (!bytes) return FUSION_E_MEMORY;
  status = stream_read(from, bytes, (size_t)len);
  if (status == FUSION_OK) status = stream_write(&a->states[shard].stream, bytes, (size_t)len);
  mem_free_secret(bytes, (size_t)len);
  if (status == FUSION_OK) status = stream_read(from, name->number, sizeof name->number);
cleanup:
  return status;
}

/* All states into memory: the client's are small. The file's hash is right. */
static fusion_status read_states(struct ahead *a) {
  fusion_status status = FUSION_OK;
  a->shards = shards_of(&a->is);
  if (a->shards > SESSION_STATES_MAX) return FUSION_E_INPUT;
  a->names = mem_alloc(a->shards, sizeof *a->names);
  a->taken = mem_alloc(a->shards, sizeof *a->taken);
  a->states = mem_alloc(a->shards, sizeof *a->states);
  if (!a->names || !a->taken || !a->states) return FUSION_E_MEMORY;
  for (size_t i = 0; i < a->shards; i++) memory_stream_open(&a->states[i]);
  for (size_t i = 0; i < a->shards && status == FUSION_OK; i++) status = read_state(a, i);
  return status == FUSION_OK && one_time_left(a->file) ? FUSION_E_INPUT : status;
}

fusion_status ahead_open(struct ahead **out, const char *path, fusion_error *err) {
  fusion_status status;
  struct ahead *a = *out = mem_alloc(1, sizeof *a);
  if (!a) return error_set(err, FUSION_E_MEMORY, "out of memory for a prepared state");
  a->path = mem_alloc(strlen(path) + 1, 1);
  FAIL_IF(!a->path, error_set(err, FUSION_E_MEMORY, "out of memory for a prepared state"));
  strcpy(a->path, path);
  TRY(one_time_open(&a->file, path, err));
  TRY(one_time_verify(a->file, err));
  const struct one_time_binding bound = one_time_bound(a->file);
  FAIL_IF(bound.len != HEAD_LEN || !read_head(&a->is, bound.data),
          error_set(err, FUSION_E_INPUT, "'%s': not made by this version of 'fusion prepare'", path));
  status = read_states(a);
  FAIL_IF(status == FUSION_E_MEMORY, error_set(err, status, "out of memory for a prepared state"));
  FAIL_IF(status != FUSION_OK,
          error_set(err, FUSION_E_INPUT, "'%s': it cannot be read, or is damaged; prepare another", path));
  return FUSION_OK;
cleanup:
  ahead_close(a);
  *out = NULL;
  return status;
}

void ahead_close(struct ahead *a) {
  if (!a) return;
  for (size_t i = 0; a->states && i < a->shards; i++) memory_stream_close(&a->states[i]);
  mem_free(a->states);
  mem_free(a->names);
  mem_free(a->taken);
  mem_free(a->path);
  one_time_close(a->file);
  mem_free_secret(a, sizeof *a);
}

fusion_status ahead_check(const struct ahead *a, const struct engine *engine,
                          const uint8_t manifest_hash[SESSION_HASH_LEN], uint64_t samples, uint32_t *shard_samples,
                          fusion_error *err) {
  *shard_samples = a->is.shard_samples;
  if (!a->file)
    return error_set(err, FUSION_E_INPUT, "'%s': it was used, and a prepared run cannot run again; prepare another",
                     a->path);
  if (strcmp(a->is.engine, engine->name) != 0)
    return error_set(err, FUSION_E_INPUT, "'%s': it was prepared for the %s engine; give --engine %s", a->path,
                     a->is.engine, a->is.engine);
  if (memcmp(a->is.manifest_hash, manifest_hash, SESSION_HASH_LEN) != 0)
    return error_set(err, FUSION_E_INPUT,
                     "'%s': it was prepared for another model than the server has now; prepare "
                     "another",
                     a->path);
  if (a->is.samples != samples)
    return error_set(err, FUSION_E_INPUT,
                     "'%s': it was prepared for %llu samples; this job has %llu, copies and public ones included",
                     a->path, (unsigned long long)a->is.samples, (unsigned long long)samples);
  return FUSION_OK;
}

fusion_status ahead_check_states(const struct ahead *a, const struct engine *engine, const struct program *program,
                                 uint64_t max_memory, fusion_error *err) {
  const size_t samples = (size_t)a->is.samples, longest = shard_at(samples, a->shards, 0).count;
  uint64_t all = engine_phase_memory(engine, ENGINE_ONLINE, program, samples, longest, ROLE_CLIENT);
  struct cost costs[2] = {{0}, {0}}; /* of a longest shard, and of one sample less */
  for (size_t i = 0; i < a->shards; i++) {
    const size_t count = shard_at(samples, a->shards, i).count;
    struct cost *cost = &costs[longest - count];
    fusion_status status = FUSION_OK;
    if (!cost->prepared_client) status = engine_run_phase_cost(engine, ENGINE_AHEAD, program, samples, count, cost);
    if (status != FUSION_OK) return error_set(err, status, "%s", fusion_status_text(status));
    if (a->states[i].len != cost->prepared_client)
      return error_set(err, FUSION_E_INPUT, "'%s': it was prepared by another version; prepare another", a->path);
    all = all > UINT64_MAX - a->states[i].len ? UINT64_MAX : all + a->states[i].len;
  }
  if (all <= max_memory) return FUSION_OK;
  return error_set(err, FUSION_E_LIMIT, "the prepared job takes %llu MiB of memory here; the limit is %llu MiB",
                   (unsigned long long)(all >> 20), (unsigned long long)(max_memory >> 20));
}

fusion_status ahead_check_shards(const struct ahead *a, const struct shard *shards, size_t count, fusion_error *err) {
  bool same = count == a->shards;
  for (size_t i = 0; i < count && same; i++) {
    const struct shard s = shard_at((size_t)a->is.samples, a->shards, i);
    same = shards[i].first == s.first && shards[i].count == s.count;
  }
  if (same) return FUSION_OK;
  return error_set(err, FUSION_E_INPUT,
                   "'%s': it has %zu shards of at most %u samples, and this job is cut otherwise; prepare another",
                   a->path, a->shards, a->is.shard_samples);
}

const struct state_name *ahead_states(const struct ahead *a, size_t *count) {
  *count = a->shards;
  return a->names;
}

/* Once it is spent nobody needs the file: its states are here. */
static fusion_status spend(struct ahead *a, fusion_error *err) {
  const fusion_status status = one_time_spend(a->file, err);
  if (status != FUSION_OK) return status;
  one_time_close(a->file);
  a->file = NULL;
  return FUSION_OK;
}

fusion_status ahead_take(struct ahead *a, struct ahead_state *out, size_t first, size_t count, fusion_error *err) {
  for (size_t i = 0; i < a->shards; i++) {
    const struct shard s = shard_at((size_t)a->is.samples, a->shards, i);
    if (s.first != first || s.count != count || a->taken[i]) continue;
    const fusion_status status = a->file ? spend(a, err) : FUSION_OK;
    if (status != FUSION_OK) return status;
    /* Shards run one at a time: the one before is over. */
    if (a->last) {
      memory_stream_close(a->last);
      memory_stream_open(a->last);
    }
    a->taken[i] = true;
    a->last = &a->states[i];
    out->number = a->names[i].number;
    out->stream = &a->states[i].stream;
    return FUSION_OK;
  }
  return error_set(err, FUSION_E_INPUT, "'%s': it holds no unused run for this shard; prepare another", a->path);
}
