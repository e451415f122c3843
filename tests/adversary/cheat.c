/* What is common to the cheats: their list, the samples they fall on, errors in answers. */
#include "adversary/cheat.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bits.h"
#include "engine/walk.h"
#include "program/fsn.h"
#include "support/support.h"

static struct cheater *attached;
static _Thread_local bool on_server;

fusion_status __real_listener_handshake(struct listener *l, struct channel **out, int fd,
                                        const struct net_limits *limits, struct net_peer *peer, fusion_error *err);
fusion_status __wrap_listener_handshake(struct listener *l, struct channel **out, int fd,
                                        const struct net_limits *limits, struct net_peer *peer, fusion_error *err);

fusion_status __wrap_listener_handshake(struct listener *l, struct channel **out, int fd,
                                        const struct net_limits *limits, struct net_peer *peer, fusion_error *err) {
  on_server = true;
  const fusion_status status = __real_listener_handshake(l, out, fd, limits, peer, err);
  if (status != FUSION_OK || !attached) return status;
  return cheat_wrap(attached, out);
}

bool cheat_on_server(void) {
  return on_server;
}

void cheater_attach(struct cheater *c) {
  attached = c;
}

struct cheat_connection *cheat_connection_of(const struct channel *channel, const struct engine_session *session) {
  if (!attached) return NULL;
  pthread_mutex_lock(&attached->lock);
  struct cheat_connection *c = attached->connections;
  while (c && (channel ? c->channel != channel : c->session != session)) c = c->next;
  pthread_mutex_unlock(&attached->lock);
  return c;
}

void cheater_open(struct cheater *c, const struct model *model, const struct engine *engine, uint64_t seed) {
  *c = (struct cheater){.model = *model, .engine = engine, .random = seed};
  pthread_mutex_init(&c->lock, NULL);
}

void cheater_close(struct cheater *c) {
  if (attached == c) attached = NULL;
  while (c->jobs) {
    struct cheat_job *job = c->jobs;
    c->jobs = job->next;
    for (size_t i = 0; i < CHEATS_MAX; i++) mem_free(job->chosen[i]);
    mem_free(job);
  }
  for (size_t i = 0; i < c->cheat_count; i++) model_free(c->cheats[i].owned);
  pthread_mutex_destroy(&c->lock);
}

/* A tenth of the weights moved by up to three units, within their range. */
static void spoil_weights(struct cheater *c, struct model *m) {
  for (uint32_t i = 1; i < m->program.count; i++) {
    if (m->program.steps[i].op != OP_LINEAR) continue;
    const int64_t top = INT64_C(1) << (m->program.steps[i].weight_bits - 1);
    const size_t count = program_weight_count(&m->program, i);
    int16_t *weights = m->weights[i].weights;
    for (size_t k = 0; k < count; k++) {
      const uint64_t r = cheat_random(c);
      const int64_t moved = weights[k] + (r % 10 ? 0 : (int64_t)(r / 10 % 7) - 3);
      weights[k] = (int16_t)(moved < -top ? -top : moved >= top ? top - 1 : moved);
    }
  }
}

static fusion_status spoiled_copy(struct cheater *c, struct model **out, fusion_error *err) {
  struct writer w = {0};
  fusion_status status = fsn_encode(&w, &c->model);
  if (status == FUSION_OK) status = fsn_decode(out, w.data, w.len, "the model", err);
  writer_free(&w);
  if (status == FUSION_OK) spoil_weights(c, *out);
  return status;
}

fusion_status cheat_add(struct cheater *c, const struct cheat *cheat, fusion_error *err) {
  struct cheat *added = &c->cheats[c->cheat_count];
  if (c->cheat_count == CHEATS_MAX)
    return error_set(err, FUSION_E_USAGE, "at most %d cheats at a time", (int)CHEATS_MAX);
  *added = *cheat;
  if (added->kind == CHEAT_WEIGHTS) {
    const fusion_status status = spoiled_copy(c, &added->owned, err);
    if (status != FUSION_OK) return status;
    added->other = added->owned;
  }
  c->cheat_count++;
  return FUSION_OK;
}

uint64_t cheat_random(struct cheater *c) {
  pthread_mutex_lock(&c->lock);
  const uint64_t r = test_random(&c->random);
  pthread_mutex_unlock(&c->lock);
  return r;
}

bool cheat_allowed(struct cheater *c) {
  pthread_mutex_lock(&c->lock);
  const bool allowed = !c->limit || c->applied < c->limit;
  c->applied += allowed;
  pthread_mutex_unlock(&c->lock);
  return allowed;
}

void cheat_log(struct cheater *c, const char *format, ...) {
  char line[512];
  if (!c->log) return;
  va_list args;
  va_start(args, format);
  vsnprintf(line, sizeof line, format, args);
  va_end(args);
  c->log(c->log_context, line);
}

/* Chooses `count` of `samples` places, `group` neighbours at a time, each set of groups as likely as any other. The
 * lock is held. */
static void choose(struct cheater *c, uint8_t *chosen, uint64_t samples, uint64_t count, uint64_t group) {
  const uint64_t groups = div_up(samples, group);
  uint64_t left = count < samples ? div_up(count, group) : groups;
  for (uint64_t i = 0; i < groups; i++) {
    const bool take = test_random(&c->random) % (groups - i) < left;
    for (uint64_t k = i * group; k < samples && k < (i + 1) * group; k++) chosen[k] = take;
    left -= take;
  }
}

struct cheat_job *cheat_job_of(struct cheater *c, const uint8_t id[SESSION_JOB_LEN], uint64_t samples) {
  pthread_mutex_lock(&c->lock);
  struct cheat_job *job = c->jobs;
  while (job && memcmp(job->id, id, SESSION_JOB_LEN) != 0) job = job->next;
  if (!job) job = mem_alloc(1, sizeof *job);
  if (job && !job->samples) {
    memcpy(job->id, id, SESSION_JOB_LEN);
    job->samples = samples;
    for (size_t i = 0; i < c->cheat_count; i++) {
      const struct cheat *cheat = &c->cheats[i];
      const double share = cheat->fraction * (double)samples;
      const uint64_t count = cheat->fraction > 0 ? (uint64_t)(share + 0.5) : cheat->count;
      const struct cheat_job *before = c->same_places && c->jobs && c->jobs->samples == samples ? c->jobs : NULL;
      job->chosen[i] = mem_alloc(samples, 1);
      if (job->chosen[i] && before && before->chosen[i])
        memcpy(job->chosen[i], before->chosen[i], samples);
      else if (job->chosen[i])
        choose(c, job->chosen[i], samples, count, cheat->group ? cheat->group : 1);
    }
    job->next = c->jobs;
    c->jobs = job;
  }
  pthread_mutex_unlock(&c->lock);
  return job;
}

/* The first part of an output message: every sample's `size` integers of `bits` bits. */
struct answers {
  uint64_t *values;
  size_t size;
  unsigned bits;
};

static struct answers answers_layout(const struct program *program) {
  const struct output_shares o = output_layout(program, 1);
  return (struct answers){.size = o.first_count, .bits = o.first_bits};
}

static void alter_sample(struct cheater *c, const struct cheat *cheat, const struct answers *a, uint64_t sample,
                         uint64_t *row) {
  const uint64_t mask = low_mask(a->bits);
  if (cheat->kind == CHEAT_CONSTANT) {
    row[0] = (row[0] + (cheat->value == CHEAT_RANDOM ? UINT64_C(1) << (a->bits - 2) : cheat->value)) & mask;
    return;
  }
  const size_t place = cheat_random(c) % a->size;
  const uint64_t error = 1 + cheat_random(c) % mask;
  row[place] = (row[place] + error) & mask;
  cheat_log(c, "cheat: altered the answer of sample %llu (in shuffled order)", (unsigned long long)sample);
}

void cheat_output(struct cheater *c, const struct cheat_connection *connection, uint8_t *payload, size_t len) {
  struct answers a = answers_layout(&c->model.program);
  const size_t count = (size_t)connection->samples * a.size;
  if (!connection->job || bits_len(count, a.bits) > len) return;
  a.values = mem_alloc(count, sizeof *a.values);
  if (!a.values) return;
  bits_unpack(a.values, payload, count, a.bits);
  for (size_t i = 0; i < c->cheat_count; i++) {
    const struct cheat *cheat = &c->cheats[i];
    if (cheat->kind != CHEAT_ANSWERS && cheat->kind != CHEAT_CONSTANT) continue;
    for (uint64_t k = 0; k < connection->samples; k++) {
      const uint64_t sample = (connection->first + k) % connection->job->samples;
      if (!connection->job->chosen[i] || !connection->job->chosen[i][sample] || !cheat_allowed(c)) continue;
      alter_sample(c, cheat, &a, sample, a.values + k * a.size);
    }
  }
  bits_pack(payload, a.values, count, a.bits); /* the rest of the message stays */
  mem_free(a.values);
}
