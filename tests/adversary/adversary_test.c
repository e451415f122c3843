/* Every strategy of the cheating server against the real client and the real protocols: a job is rejected, ends with an
 * error, or is accepted with right answers. Prints the table of docs/security.md.
 * usage: adversary [brief|short|long]; brief: only altered messages, each once. FUSION_TEST_ENGINE chooses the engine,
 * FUSION_TEST_SEED repeats a run. */
#include <fusion/plan.h>
#include <stdio.h>
#include <stdlib.h>

#include "adversary/scene.h"
#include "mixcheck/bound.h"
#include "support/support.h"

enum { SAMPLES_MAX = 512, ROWS_MAX = 64 };

/* What a strategy's runs may come to, apart from being rejected or ending with an error. */
enum expectation {
  STOPPED,  /* never accepted */
  HARMLESS, /* may be accepted, with right answers */
  ACCEPTED, /* an honest server, or one that a client need not mind: accepted with right answers */
};

struct row {
  char name[64];
  enum expectation expectation;
  unsigned runs, outcomes[OUTCOME_COUNT], untouched;
};

struct table {
  struct row rows[ROWS_MAX];
  size_t count;
  struct scene scene;
  unsigned factor; /* how many times the short number of runs */
  bool brief;      /* every message of the engine once */
  double started;
  unsigned turn; /* the row of the message type that had its turn last */
  /* Of an honest run: where cheats can take place. */
  uint32_t sent[CHEAT_TYPES];
  uint32_t lengths[CHEAT_TYPES][CHEAT_LENGTHS_MAX];
};

static struct row *row_of(struct table *t, const char *name, enum expectation expectation) {
  for (size_t i = 0; i < t->count; i++)
    if (strcmp(t->rows[i].name, name) == 0) return &t->rows[i];
  assert_true(t->count < ROWS_MAX);
  struct row *r = &t->rows[t->count++];
  *r = (struct row){.expectation = expectation};
  snprintf(r->name, sizeof r->name, "%s", name);
  return r;
}

static void describe(const struct cheat *c, char *text, size_t len) {
  if (!c)
    snprintf(text, len, "none");
  else
    snprintf(text, len, "%s: type %s nth %llu offset %llu value %llu count %llu", cheat_kind_name(c->kind),
             cheat_type_name(c->type), (unsigned long long)c->nth, (unsigned long long)c->offset,
             (unsigned long long)c->value, (unsigned long long)c->count);
}

/* An error must say what happened, and be the peer's or the network's doing. */
static void check_error(const fusion_error *why, const char *what) {
  const char *class = fusion_status_class(why->status);
  const bool sound = strcmp(class, "peer") == 0 || strcmp(class, "io") == 0 || strcmp(class, "crypto") == 0 ||
                     strcmp(class, "tls") == 0 || why->status == FUSION_E_LIMIT ||
                     why->status == FUSION_E_INPUT || /* the samples do not fit the manifest */
                     why->status == FUSION_E_ROUNDING;
  if (!sound || !why->text[0]) fail_msg("%s: ended with status %d '%s'", what, why->status, why->text);
}

/* One job with one cheat (NULL: none), `limit` times at most (0: always). */
static enum outcome run_job(struct table *t, const struct cheat *cheat, uint64_t limit, uint64_t seed,
                            uint64_t *applied, fusion_error *why) {
  struct cheater *c = mem_alloc(1, sizeof *c);
  assert_non_null(c);
  cheater_open(c, t->scene.model, scene_engine(), seed);
  c->limit = limit;
  if (cheat) assert_ok(cheat_add(c, cheat, why));
  const enum outcome outcome = scene_run(&t->scene, c, why);
  *applied = c->applied;
  if (!cheat) {
    memcpy(t->sent, c->sent, sizeof t->sent);
    memcpy(t->lengths, c->lengths, sizeof t->lengths);
    /* A job that is prepared first greets twice; a cheat counts the messages of a connection. */
    static const uint16_t twice[] = {MSG_HELLO, MSG_MANIFEST, MSG_READY};
    for (size_t i = 0; i < sizeof twice / sizeof *twice && scene_ahead(); i++) t->sent[cheat_type_row(twice[i])] = 1;
  }
  cheater_close(c);
  mem_free(c);
  return outcome;
}

static void run(struct table *t, const char *name, enum expectation expectation, const struct cheat *cheat,
                uint64_t limit) {
  struct row *row = row_of(t, name, expectation);
  fusion_error why = {.status = FUSION_OK};
  char text[256];
  uint64_t applied;
  const int timeout_ms = t->scene.timeout_ms;
  const uint64_t seed = test_random(&t->scene.random);
  describe(cheat, text, sizeof text);
  enum outcome outcome = run_job(t, cheat, limit, seed, &applied, &why);
  /* On a busy machine a short time-out can strike before the cheat does. */
  for (int tries = 0; tries < 3 && cheat && !applied && why.status == FUSION_E_TIMEOUT; tries++) {
    t->scene.timeout_ms *= 4;
    why.status = FUSION_OK;
    outcome = run_job(t, cheat, limit, seed, &applied, &why);
  }
  t->scene.timeout_ms = timeout_ms;
  row->runs++;
  row->outcomes[outcome]++;
  if (cheat && !applied) row->untouched++;
  if (outcome == OUTCOME_FAILED) check_error(&why, text);
  if (outcome == OUTCOME_WRONG) fail_msg("WRONGLY ACCEPTED: %s, seed %llu", text, (unsigned long long)seed);
  if (outcome == OUTCOME_RIGHT && expectation == STOPPED && applied)
    fail_msg("%s (%s), seed %llu: accepted", name, text, (unsigned long long)seed);
  if (outcome != OUTCOME_RIGHT && expectation == ACCEPTED)
    fail_msg("%s (%s), seed %llu: not accepted: %s", name, text, (unsigned long long)seed, why.text);
  if (getenv("FUSION_ADVERSARY_VERBOSE"))
    fprintf(stderr, "%-40s outcome %d applied %llu [%s] %s\n", name, (int)outcome, (unsigned long long)applied, text,
            why.text);
}

/* Parameters for 24 bits: far below one wrong acceptance in all runs of the long table, and small jobs. */
static void choose_small(struct scene *s) {
  const fusion_plan_request request = {
      .size = sizeof request, .queries = 6, .security_bits = 24, .min_public = 10, .min_accuracy = 0.85};
  fusion_plan_choice choice = {.size = sizeof choice};
  fusion_error err = {.status = FUSION_OK};
  if (fusion_plan_copies(&request, &choice, &err) != FUSION_OK) fail_msg("%s", err.text);
  s->queries = choice.queries;
  s->copies = choice.copies;
  s->public_samples = choice.public_samples;
  s->errors = choice.allowed_errors;
  s->mislabelled = 0;
}

static uint64_t samples_of(const struct scene *s) {
  return s->queries * s->copies + s->public_samples;
}

/* ---- wrong computation ---- */

static void run_models(struct table *t) {
  struct model *wrong = scene_wrong_model(&t->scene);
  const struct cheat whole = {.kind = CHEAT_OTHER_MODEL, .count = CHEAT_ALL, .other = wrong};
  const struct cheat one = {.kind = CHEAT_OTHER_MODEL, .count = 1, .other = wrong};
  const struct cheat some = {.kind = CHEAT_OTHER_MODEL, .count = 3, .other = wrong};
  const struct cheat inconsistent = {.kind = CHEAT_WEIGHTS, .count = 2};
  t->scene.shard_samples = 4;
  for (unsigned i = 0; i < t->factor; i++) {
    run(t, "other model, all samples", STOPPED, &whole, 0);
    /* A shard may hold public samples only, within the tolerance: then every answer is right. */
    run(t, "other model, one shard of 4", HARMLESS, &one, 0);
    run(t, "other model, three shards of 4", HARMLESS, &some, 0);
    run(t, "inconsistent weights, two shards of 4", HARMLESS, &inconsistent, 0);
  }
  t->scene.shard_samples = 16;
  model_free(wrong);
}

static void run_accuracy(struct table *t) {
  struct scene *s = &t->scene;
  const struct scene before = *s;
  s->queries = 8;
  s->copies = 3;
  s->public_samples = 100;
  s->errors = 5;
  s->mislabelled = 20;
  s->shard_samples = 124;
  const struct cheat none = {.kind = CHEAT_ANSWERS, .count = 0};
  struct row *row = row_of(t, "model of 80 % accuracy (T = 100, delta = 0.95)", STOPPED);
  for (unsigned i = 0; i < t->factor; i++) run(t, row->name, STOPPED, &none, 0);
  if (row->outcomes[OUTCOME_REJECTED] != row->runs) fail_msg("a model of 80 %% accuracy was not rejected");
  row->untouched = 0; /* it cheats by being bad */
  const uint64_t random = s->random;
  *s = before;
  s->random = random;
}

/* Public samples with another label than 0: on these a constant that lifts the first logit above all shows. One that
 * changes no public label is a different model of equal accuracy, which no check of copies can see (DESIGN 2). */
static uint64_t labels_beyond_first(const struct scene *s) {
  uint64_t count = 0;
  for (uint64_t i = 0; i < s->public_samples; i++) count += s->labels[i] != 0;
  return count;
}

static void run_answers(struct table *t) {
  struct scene *s = &t->scene;
  const struct mix_choice choice = {s->queries, s->copies, s->public_samples, s->errors, 1};
  uint64_t worst;
  (void)bound_log2(&choice, &worst);
  for (unsigned i = 0; i < t->factor; i++) {
    const uint64_t any = 1 + test_random(&s->random) % samples_of(s);
    const struct {
      const char *name;
      uint64_t count;
      enum expectation expectation;
    } strategies[] = {
        /* One wrong answer may fall on a public sample: tolerated, and no query is touched. */
        {"answers: one position", 1, HARMLESS},
        {"answers: B positions", s->copies, HARMLESS},
        {"answers: the slack-optimal number", worst, HARMLESS},
        {"answers: a random number", any, HARMLESS},
        {"answers: all positions", samples_of(s), STOPPED},
    };
    for (size_t k = 0; k < sizeof strategies / sizeof strategies[0]; k++) {
      const struct cheat cheat = {.kind = CHEAT_ANSWERS, .count = strategies[k].count};
      run(t, strategies[k].name, strategies[k].expectation, &cheat, 0);
    }
    const struct cheat constant = {.kind = CHEAT_CONSTANT, .count = CHEAT_ALL, .value = CHEAT_RANDOM};
    if (labels_beyond_first(s) > s->errors) run(t, "answers: a large constant on all", STOPPED, &constant, 0);
  }
}

/* ---- wrong messages ---- */

/* The message types that the server sends, in turn. */
static message_type next_type(struct table *t) {
  do {
    t->turn = (t->turn + 1) % cheat_type_count;
  } while (!t->sent[t->turn]);
  return cheat_type_at(t->turn);
}

/* One that is sent in the middle of a shard. */
static message_type next_gate_type(struct table *t) {
  const unsigned gates = message_class(MSG_AND);
  message_type type;
  do type = next_type(t);
  while (message_class(type) != gates && type != MSG_GARBLED_CHOICE);
  return type;
}

static uint64_t any_nth(struct table *t, unsigned type) {
  return 1 + test_random(&t->scene.random) % t->sent[cheat_type_row(type)];
}

static void run_flips(struct table *t) {
  for (unsigned row = 1; row < cheat_type_count; row++) {
    if (!t->sent[row]) continue;
    const message_type type = cheat_type_at(row);
    char name[64];
    snprintf(name, sizeof name, "a bit flipped: %s", cheat_type_name(type));
    for (unsigned i = 0; i < (t->brief ? 1 : 2 * t->factor); i++) {
      /* The first and the last byte of the first and the last message, then anything. */
      struct cheat cheat = {.kind = CHEAT_FLIP, .type = type, .value = CHEAT_RANDOM};
      cheat.nth = i == 0 ? 1 : i == 1 ? t->sent[row] : any_nth(t, type);
      const uint32_t len = t->lengths[row][size_min(cheat.nth - 1, CHEAT_LENGTHS_MAX - 1)];
      cheat.offset = i == 0 ? 0 : i == 1 && len ? len - 1 : CHEAT_RANDOM;
      run(t, name, HARMLESS, &cheat, 0);
    }
  }
}

/* Every message of a type, not one: then it cannot go unnoticed. */
static void run_floods_of_garbage(struct table *t) {
  static const uint16_t types[] = {MSG_OT_CHOICE,      MSG_OT_TABLE,       MSG_AND,         MSG_MULTIPLY,
                                   MSG_PRODUCT_CHOICE, MSG_RLWE_COMMON,    MSG_RLWE_ANSWER, MSG_SLOTS_ANSWER,
                                   MSG_MATRIX_ANSWER,  MSG_GARBLED_CHOICE, MSG_OUTPUT};
  for (size_t k = 0; k < sizeof types / sizeof types[0]; k++) {
    if (!t->sent[cheat_type_row(types[k])]) continue; /* not of this engine */
    const struct cheat cheat = {.kind = CHEAT_GARBAGE, .type = types[k]};
    for (unsigned i = 0; i < t->factor; i++) run(t, "random bytes in every message of a type", STOPPED, &cheat, 0);
  }
}

/* Whatever the client decrypts, it goes on as ever: it never ends with an error. */
static void run_keyed(struct table *t) {
  static const char *const names[] = {"a share's top bit by a key coefficient",
                                      "near the noise bound by a key coefficient", "off by one by a key coefficient",
                                      "a share that is the key"};
  static const uint16_t types[] = {MSG_RLWE_COMMON, MSG_SLOTS_ANSWER};
  const message_type type = types[!t->sent[cheat_type_row(types[0])]];
  if (!t->sent[cheat_type_row(type)]) return; /* not of this engine */
  for (uint64_t how = 0; how < 4; how++) {
    for (unsigned every = 0; every < 2; every++) {
      char name[64];
      snprintf(name, sizeof name, "%s, %s", names[how], every ? "always" : "once");
      for (unsigned i = 0; i < t->factor; i++) {
        const struct cheat cheat = {
            .kind = CHEAT_KEYED, .type = type, .nth = every ? 0 : any_nth(t, type), .value = how};
        run(t, name, HARMLESS, &cheat, 0);
      }
      if (row_of(t, name, HARMLESS)->outcomes[OUTCOME_FAILED]) fail_msg("%s: the client ended with an error", name);
    }
  }
}

static void run_manifests(struct table *t) {
  for (unsigned i = 0; i < cheat_manifest_ways * (t->factor > 1 ? 2 : 1); i++) {
    const struct cheat cheat = {.kind = CHEAT_MANIFEST, .value = i};
    run(t, "a malformed manifest, with its right hash", STOPPED, &cheat, 0);
  }
}

struct wire {
  enum cheat_kind kind;
  const char *name;
  enum expectation expectation;
  uint64_t value;
};

static const struct wire wires[] = {
    {CHEAT_GARBAGE, "random bytes", HARMLESS, CHEAT_RANDOM},
    {CHEAT_ZERO, "zeros", HARMLESS, CHEAT_RANDOM},
    {CHEAT_REPLAY, "a message repeated", HARMLESS, CHEAT_RANDOM},
    {CHEAT_REORDER, "two messages exchanged", HARMLESS, CHEAT_RANDOM},
    {CHEAT_DROP, "a message left out", STOPPED, CHEAT_RANDOM},
    {CHEAT_TRUNCATE, "half a message, then the end", STOPPED, CHEAT_RANDOM},
    {CHEAT_CUT, "the connection cut", STOPPED, CHEAT_RANDOM},
    {CHEAT_LENGTH, "a length one too large", STOPPED, CHEAT_RANDOM},
    {CHEAT_LENGTH, "a length of 2^32 - 1", STOPPED, UINT32_MAX},
    {CHEAT_LENGTH, "a length of 0", STOPPED, 0},
    {CHEAT_ENDLESS, "an endless message", STOPPED, CHEAT_RANDOM},
    {CHEAT_FLOOD, "endless messages", HARMLESS, CHEAT_RANDOM},
    {CHEAT_SILENCE, "silence", STOPPED, CHEAT_RANDOM},
    {CHEAT_DELAY, "a message late, within the time-out", ACCEPTED, 50},
};

static void run_wire(struct table *t) {
  struct scene *s = &t->scene;
  for (size_t k = 0; k < sizeof wires / sizeof wires[0]; k++) {
    const struct wire *w = &wires[k];
    const bool waits = w->kind == CHEAT_SILENCE || w->kind == CHEAT_DROP || w->kind == CHEAT_LENGTH;
    for (unsigned i = 0; i < (waits ? 1 : 2) * t->factor; i++) {
      const message_type type = next_type(t);
      const struct cheat cheat = {
          .kind = w->kind, .type = type, .nth = any_nth(t, type), .offset = CHEAT_RANDOM, .value = w->value};
      s->timeout_ms = waits ? 700 : 5000;
      s->tries = 1;
      run(t, w->name, w->expectation, &cheat, 0);
    }
  }
  s->timeout_ms = 5000;
  s->tries = 3;
  for (unsigned i = 0; i < t->factor; i++) {
    const message_type type = next_gate_type(t);
    const struct cheat cheat = {.kind = CHEAT_CUT, .type = type, .nth = any_nth(t, type)};
    if (scene_ahead())
      run(t, "the connection cut once (no prepared run runs again)", STOPPED, &cheat, 1);
    else
      run(t, "the connection cut once (the shard runs again)", ACCEPTED, &cheat, 1);
  }
  s->tries = 2;
}

static void print_table(const struct table *t, const char *length) {
  struct row sum = {0};
  const struct scene *s = &t->scene;
  printf("`make test-adversary%s`: R = %llu, B = %llu, T = %llu, e = %llu (24 bits) but where stated; %.0f s\n\n",
         strcmp(length, "long") == 0 ? "-long" : "", (unsigned long long)s->queries, (unsigned long long)s->copies,
         (unsigned long long)s->public_samples, (unsigned long long)s->errors, clock_seconds() - t->started);
  printf(
      "| strategy | runs | rejected | failed | accepted, all right | wrongly accepted |\n|---|--:|--:|--:|--:|--:|\n");
  for (size_t i = 0; i < t->count; i++) {
    const struct row *r = &t->rows[i];
    printf("| %s | %u | %u | %u | %u | %u |\n", r->name, r->runs, r->outcomes[OUTCOME_REJECTED],
           r->outcomes[OUTCOME_FAILED], r->outcomes[OUTCOME_RIGHT], r->outcomes[OUTCOME_WRONG]);
    sum.runs += r->runs;
    for (int k = 0; k < OUTCOME_COUNT; k++) sum.outcomes[k] += r->outcomes[k];
  }
  printf("| **all** | %u | %u | %u | %u | **%u** |\n", sum.runs, sum.outcomes[OUTCOME_REJECTED],
         sum.outcomes[OUTCOME_FAILED], sum.outcomes[OUTCOME_RIGHT], sum.outcomes[OUTCOME_WRONG]);
}

static unsigned factor;
static bool brief;

static void adversary__no_strategy_makes_a_wrong_answer_accepted(void **state) {
  (void)state;
  struct table *t = mem_alloc(1, sizeof *t);
  assert_non_null(t);
  t->factor = factor;
  t->brief = brief;
  t->started = clock_seconds();
  scene_open(&t->scene, test_seed(), SAMPLES_MAX);
  choose_small(&t->scene);
  for (unsigned i = 0; i < 2; i++) run(t, "none (an honest server)", ACCEPTED, NULL, 0);
  if (t->sent[0]) fail_msg("%u messages of a type that cheat_parse.c does not list", t->sent[0]);
  if (!brief) run_models(t);
  if (!brief) run_accuracy(t);
  if (!brief) run_answers(t);
  run_flips(t);
  run_floods_of_garbage(t);
  if (!brief) run_keyed(t);
  if (!brief) run_manifests(t);
  if (!brief) run_wire(t);
  print_table(t, factor > 1 ? "long" : "");
  for (size_t i = 0; i < t->count; i++)
    if (t->rows[i].untouched) fail_msg("%s: %u runs met no message to cheat on", t->rows[i].name, t->rows[i].untouched);
  scene_close(&t->scene);
  mem_free(t);
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(adversary__no_strategy_makes_a_wrong_answer_accepted)};
  factor = argc > 1 && strcmp(argv[1], "long") == 0 ? 12 : 1;
  brief = argc > 1 && strcmp(argv[1], "brief") == 0;
  return cmocka_run_group_tests(tests, NULL, NULL);
}
