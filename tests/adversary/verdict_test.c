/* A client's behaviour on the wire is the same whether it accepts or rejects. With the same randomness (the operating
 * system's generator replaced), jobs that end in either verdict are recorded as the server sees them:
 * - whatever the server puts into its answers, and whatever the labels are, every byte that the client sends is the
 * same;
 * - whatever the server computes (other weights, garbage in the protocols), types, lengths and order are the same;
 * - the client has closed its connections before it compares a single answer.
 * The close is timed too, for the table; nothing is asserted of times. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "adversary/record.h"
#include "mixcheck/mix.h"
#include "support/support.h"

enum { RUNS_MAX = 8 };

/* ---- the same randomness in every job ---- */

static struct {
  pthread_mutex_t lock;
  uint64_t client, server;
} chance = {.lock = PTHREAD_MUTEX_INITIALIZER};

fusion_status __wrap_os_random(void *out, size_t len);

fusion_status __wrap_os_random(void *out, size_t len) {
  uint8_t *at = out;
  pthread_mutex_lock(&chance.lock);
  uint64_t *state = cheat_on_server() ? &chance.server : &chance.client;
  for (size_t i = 0; i < len; i++) at[i] = (uint8_t)(test_random(state) >> 32);
  pthread_mutex_unlock(&chance.lock);
  return FUSION_OK;
}

/* ---- nothing is compared before the traffic is over ---- */

static struct {
  struct record *record; /* of the running job */
  unsigned times;
} deciding;

fusion_status __real_mix_verify(const struct mix *m, const struct mix_check *check, const int64_t *answers,
                                const int64_t *labels, int64_t *out, struct mix_result *result);
fusion_status __wrap_mix_verify(const struct mix *m, const struct mix_check *check, const int64_t *answers,
                                const int64_t *labels, int64_t *out, struct mix_result *result);

fusion_status __wrap_mix_verify(const struct mix *m, const struct mix_check *check, const int64_t *answers,
                                const int64_t *labels, int64_t *out, struct mix_result *result) {
  const double deadline = clock_seconds() + 10;
  while (record_open_ends(deciding.record) && clock_seconds() < deadline)
    nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
  if (record_open_ends(deciding.record)) fail_msg("the verdict is made while the server still holds a connection");
  deciding.times++;
  return __real_mix_verify(m, check, answers, labels, out, result);
}

/* ---- runs ---- */

static enum outcome job(struct scene *s, uint64_t seed, const struct cheat *cheats, size_t count, struct record *r) {
  chance.client = seed;
  chance.server = ~seed;
  deciding.record = r;
  uint64_t applied;
  const enum outcome outcome = record_job(s, cheats, count, r, &applied);
  if (count) assert_true(applied > 0);
  assert_int_equal(record_open_ends(r), 0);
  return outcome;
}

static void expect_same(const struct record *a, const struct record *b, bool bytes, const char *what) {
  if (a->count != b->count) fail_msg("%s: %zu messages where %zu were", what, b->count, a->count);
  for (size_t i = 0; i < a->count; i++) {
    const struct recorded *x = &a->messages[i], *y = &b->messages[i];
    if (x->type != y->type || x->len != y->len)
      fail_msg("%s: message %zu has type %u and %zu bytes where type %u and %zu were", what, i, y->type, y->len,
               x->type, x->len);
    if (bytes && memcmp(x->payload, y->payload, x->len) != 0) fail_msg("%s: message %zu differs", what, i);
  }
}

static void scene_small(struct scene *s, uint64_t seed) {
  scene_open(s, seed, 64);
  s->queries = 3;
  s->copies = 4;
  s->public_samples = 12;
  s->errors = 0;
  s->shard_samples = 8; /* three shards */
  s->timeout_ms = 20000;
}

static void client__sends_the_same_bytes_for_either_verdict(void **state) {
  (void)state;
  const uint64_t seed = test_seed();
  static const struct cheat garbage = {.kind = CHEAT_GARBAGE, .type = MSG_OUTPUT},
                            first = {.kind = CHEAT_GARBAGE, .type = MSG_OUTPUT, .nth = 1},
                            one = {.kind = CHEAT_ANSWERS, .count = 1},
                            all = {.kind = CHEAT_ANSWERS, .count = CHEAT_ALL};
  const struct {
    const char *name;
    const struct cheat *cheat;
    uint64_t mislabelled;
    enum outcome due; /* OUTCOME_COUNT: either */
  } runs[] = {{"accepted", NULL, 0, OUTCOME_RIGHT},
              {"accepted again", NULL, 0, OUTCOME_RIGHT},
              {"wrong labels", NULL, 12, OUTCOME_REJECTED},
              {"one wrong label", NULL, 1, OUTCOME_REJECTED},
              {"one wrong answer", &one, 0, OUTCOME_COUNT},
              {"all answers wrong", &all, 0, OUTCOME_REJECTED},
              {"garbage for the first answers", &first, 0, OUTCOME_REJECTED},
              {"garbage for all answers", &garbage, 0, OUTCOME_REJECTED}};
  struct record records[RUNS_MAX];
  for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
    struct scene s;
    scene_small(&s, seed);
    s.mislabelled = runs[i].mislabelled;
    record_open(&records[i]);
    const enum outcome outcome = job(&s, seed, runs[i].cheat, runs[i].cheat != NULL, &records[i]);
    if (runs[i].due != OUTCOME_COUNT) assert_int_equal(outcome, runs[i].due);
    expect_same(&records[0], &records[i], true, runs[i].name);
    print_message("%-30s %s, %zu messages, closed %.0f us after the last\n", runs[i].name,
                  outcome == OUTCOME_RIGHT ? "accepted" : "rejected", records[i].count - 1,
                  1e6 * (records[i].end - records[i].last));
    scene_close(&s);
  }
  assert_true(records[0].count > 50);
  for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) record_close(&records[i]);
}

/* What the server computes changes the client's shares, so the masked bytes; but no type, no length, no order. */
static void client__keeps_to_the_same_messages_whatever_the_server_computes(void **state) {
  (void)state;
  const uint64_t seed = test_seed();
  struct scene s;
  scene_small(&s, seed);
  struct model *wrong = scene_wrong_model(&s);
  const struct cheat cheats[] = {{.kind = CHEAT_OTHER_MODEL, .count = CHEAT_ALL, .other = wrong},
                                 {.kind = CHEAT_GARBAGE, .type = MSG_RLWE_ANSWER},
                                 {.kind = CHEAT_GARBAGE, .type = MSG_OT_TABLE},
                                 {.kind = CHEAT_GARBAGE, .type = MSG_OT_CHOICE},
                                 {.kind = CHEAT_GARBAGE, .type = MSG_AND},
                                 {.kind = CHEAT_GARBAGE, .type = MSG_MULTIPLY}};
  struct record honest, other;
  record_open(&honest);
  assert_int_equal(job(&s, seed, NULL, 0, &honest), OUTCOME_RIGHT);
  for (size_t i = 0; i < sizeof cheats / sizeof cheats[0]; i++) {
    record_open(&other);
    assert_int_equal(job(&s, seed + i, &cheats[i], 1, &other), OUTCOME_REJECTED);
    expect_same(&honest, &other, false, cheat_kind_name(cheats[i].kind));
    record_close(&other);
  }
  record_close(&honest);
  model_free(wrong);
  scene_close(&s);
}

static void client__closes_every_connection_before_it_decides(void **state) {
  (void)state;
  struct scene s;
  struct record r;
  static const struct cheat all = {.kind = CHEAT_ANSWERS, .count = CHEAT_ALL};
  deciding.times = 0;
  for (int rejected = 0; rejected < 2; rejected++) {
    scene_small(&s, 5);
    s.workers = 2;
    s.tries = 1;
    record_open(&r);
    assert_int_equal(job(&s, 5, &all, (size_t)rejected, &r), rejected ? OUTCOME_REJECTED : OUTCOME_RIGHT);
    record_close(&r);
    scene_close(&s);
  }
  assert_int_equal(deciding.times, 2); /* or the wrapped function was not the one that decides */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(client__sends_the_same_bytes_for_either_verdict),
      cmocka_unit_test(client__keeps_to_the_same_messages_whatever_the_server_computes),
      cmocka_unit_test(client__closes_every_connection_before_it_decides),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
