/* Golden transcripts: what the parties send, message by message, with all randomness fixed, is what the files here say,
 * on every processor tier. A change that an older peer could not follow cannot go unnoticed.
 * usage: test_golden [--update], in the source folder; --update writes the files. */
#include <stdio.h>

#include "base/cpu_tier.h"
#include "base/memory_stream.h"
#include "engine/engine.h"
#include "golden/golden_models.h"
#include "golden/golden_record.h"
#include "session/session_scene.h"
#include "support/support.h"

enum { SESSION_CLASS = MSG_HELLO >> 8 };

static const char *program;
static bool update;

static const char head[] =
    "# What the parties send with all randomness fixed: model, direction, type, name, length, hash of the payload.\n"
    "# Written by test_golden --update; docs/guide/message.md says when.\n";

static void text_open(struct writer *w) {
  char version[32];
  *w = (struct writer){0};
  write_bytes(w, head, strlen(head));
  snprintf(version, sizeof version, "version %d\n", SESSION_VERSION);
  write_bytes(w, version, strlen(version));
}

static bool is_best_tier(void) {
  return cpu_tier() == cpu_tier_best();
}

static bool runs(const struct golden_model *golden) {
  return is_best_tier() || !golden->costly;
}

/* `name`: of the engine or other source of the transcript. Takes the text. */
static void check(const char *name, struct writer *text) {
  char path[128], line[512];
  write_u8(text, 0);
  assert_false(text->failed);
  const char *got = (const char *)text->data;
  snprintf(path, sizeof path, "tests/golden/%s.txt", name);
  if (update && is_best_tier()) golden_write(path, got);
  char *expected = golden_read(path);
  for (const struct golden_model *g = golden_models; g->name && expected; g++)
    if (!runs(g)) golden_leave_out(expected, g->name);
  if (golden_difference(expected ? expected : "", got, line, sizeof line))
    fail_msg(
        "%s on tier %s: %s, %s. If intended, bump the session version (SESSION_VERSION in src/session/messages.h) "
        "unless it is unreleased, and run in the source folder: %s --update",
        name, cpu_tier_name(cpu_tier()), path, line, program);
  free(expected);
  writer_free(text);
}

/* A party in one phase of its runs. */
struct end {
  struct engine_opening opening;
  enum role role;
  const size_t *shards;
  struct memory_stream *states; /* a shard each; not for runs in one go */
  const int64_t *inputs;        /* the client's, for the longest shard */
  int64_t *answers;
  fusion_status status;
};

static fusion_status run_shard(struct end *e, struct engine_session *s, size_t shard) {
  const size_t samples = e->shards[shard];
  const struct byte_stream *state = &e->states[shard].stream;
  const bool server = e->role == ROLE_SERVER;
  if (e->opening.phase == ENGINE_AHEAD) return engine_prepare_run(s, samples, state);
  if (e->opening.phase == ENGINE_ONLINE && server) return engine_run_prepared_server(s, samples, state);
  if (e->opening.phase == ENGINE_ONLINE) return engine_run_prepared_client(s, e->inputs, e->answers, samples, state);
  return server ? engine_run_server(s, samples) : engine_run_client(s, e->inputs, e->answers, samples);
}

static void *run_end(void *arg) {
  struct end *e = arg;
  struct engine_session *s = NULL;
  golden_party(e->role);
  e->status = engine_open(&s, &e->opening);
  for (size_t i = 0; i < GOLDEN_SHARDS_MAX && e->shards[i] && e->status == FUSION_OK; i++)
    e->status = run_shard(e, s, i);
  engine_close(s);
  return NULL;
}

/* What is sent in the phase goes to `text`. */
static void run_phase(struct end *server, struct end *client, enum engine_phase phase, const char *label,
                      struct writer *text) {
  server->opening.phase = client->opening.phase = phase;
  assert_ok(channel_pipe(&server->opening.channel, &client->opening.channel));
  golden_start(GOLDEN_ALL);
  test_run_both(run_end, server, run_end, client);
  golden_stop(label, text);
  assert_ok(server->status);
  assert_ok(client->status);
  channel_close(server->opening.channel);
  channel_close(client->opening.channel);
}

/* Of a model that the engine lacks a gate for, the transcript says so. */
static bool is_refused(const struct engine *engine, const struct golden_model *golden, struct model *model,
                       struct writer *const texts[], size_t count) {
  fusion_error err = {.status = FUSION_OK};
  char line[128];
  const fusion_status prepared = engine_prepare(engine, model, &err);
  if (prepared == FUSION_OK) return false;
  if (prepared != FUSION_E_MODEL) fail_msg("%s, %s: %s", engine->name, golden->name, err.text);
  snprintf(line, sizeof line, "%s refused\n", golden->name);
  for (size_t i = 0; i < count; i++) write_bytes(texts[i], line, strlen(line));
  return true;
}

/* Each phase opens with the set-up that the last one has left. */
static void run_kept_phases(struct end *server, struct end *client, const char *label, struct writer *const texts[],
                            size_t count) {
  struct kept_setup *kept[2][2]; /* of the last phase and of this one, by role */
  for (size_t i = 0; i < 4; i++) {
    kept[i / 2][i % 2] = key_alloc(sizeof(struct kept_setup));
    assert_non_null(kept[i / 2][i % 2]);
  }
  for (size_t i = 0; i < count; i++) {
    struct kept_setup *const *last = kept[i % 2], *const *now = kept[1 - i % 2];
    struct keeping keeping[2];
    for (size_t role = 0; role < 2; role++)
      keeping[role] = (struct keeping){.use = i ? last[role] : NULL, .keep = now[role]};
    server->opening.keeping = &keeping[ROLE_SERVER];
    client->opening.keeping = &keeping[ROLE_CLIENT];
    run_phase(server, client, ENGINE_AT_ONCE, label, texts[i]);
    assert_true(keeping[ROLE_SERVER].kept && keeping[ROLE_CLIENT].kept);
  }
  for (size_t i = 0; i < 4; i++) key_free(kept[i / 2][i % 2]);
}

/* The phases in turn, a text each; NULL: runs in one go, each from the set-up that the last one has left. */
static void record_model(const struct engine *engine, const struct golden_model *golden,
                         const enum engine_phase *phases, struct writer *const texts[], size_t count) {
  struct net n = golden->make(7);
  const struct program *p = &n.model->program;
  if (is_refused(engine, golden, n.model, texts, count)) {
    model_free(n.model);
    return;
  }
  const size_t samples = size_max(golden->shards[0], golden->shards[1]);
  const size_t in_len = samples * shape_size(p->steps[0].out.shape);
  struct memory_stream states[2][GOLDEN_SHARDS_MAX];
  int64_t *inputs = mem_alloc(in_len, sizeof *inputs),
          *answers = mem_alloc(samples * program_answer_size(p), sizeof *answers);
  assert_true(inputs && answers);
  for (size_t i = 0; i < in_len; i++) inputs[i] = ring_signed(test_random(&n.seed), p->steps[0].out.value_bits);
  for (size_t i = 0; i < 2 * GOLDEN_SHARDS_MAX; i++)
    memory_stream_open(&states[i / GOLDEN_SHARDS_MAX][i % GOLDEN_SHARDS_MAX]);
  struct end client = {
      .opening = {.engine = engine, .program = p, .expected_samples = golden->expected_samples},
      .role = ROLE_CLIENT,
      .shards = golden->shards,
      .states = states[ROLE_CLIENT],
      .inputs = inputs,
      .answers = answers,
  };
  struct end server = client;
  server.role = ROLE_SERVER;
  server.opening.weights = n.model->weights;
  server.states = states[ROLE_SERVER];
  if (!phases) run_kept_phases(&server, &client, golden->name, texts, count);
  for (size_t i = 0; phases && i < count; i++) run_phase(&server, &client, phases[i], golden->name, texts[i]);
  for (size_t i = 0; i < 2 * GOLDEN_SHARDS_MAX; i++)
    memory_stream_close(&states[i / GOLDEN_SHARDS_MAX][i % GOLDEN_SHARDS_MAX]);
  mem_free(inputs);
  mem_free(answers);
  model_free(n.model);
}

/* Runs that are prepared have a transcript for each phase. */
static void prepared_runs__send_what_their_transcripts_say(void **state) {
  (void)state;
  static const enum engine_phase phases[] = {ENGINE_AHEAD, ENGINE_ONLINE};
  const struct engine *engine;
  size_t engines = 0;
  for (int tier = (int)cpu_tier_best(); tier >= 0; tier--) {
    assert_ok(cpu_tier_force((enum cpu_tier)tier));
    for (size_t i = 0; (engine = engine_at(i)); i++) {
      if (!engine_runs_ahead(engine)) continue;
      struct writer ahead, online, *const texts[] = {&ahead, &online};
      char name[64];
      engines++;
      text_open(&ahead);
      text_open(&online);
      for (const struct golden_model *g = golden_models; g->name; g++)
        if (runs(g)) record_model(engine, g, phases, texts, 2);
      snprintf(name, sizeof name, "%s-ahead", engine->name);
      check(name, &ahead);
      snprintf(name, sizeof name, "%s-online", engine->name);
      check(name, &online);
    }
  }
  assert_true(engines > 0);
  assert_ok(cpu_tier_force(cpu_tier_best()));
}

/* The first session makes base OTs; in the second the client has chosen, in the third the server. */
static void kept_set_ups__send_what_their_transcript_says(void **state) {
  (void)state;
  enum { SESSIONS = 3 };
  for (int tier = (int)cpu_tier_best(); tier >= 0; tier--) {
    struct writer text, *const texts[SESSIONS] = {&text, &text, &text};
    assert_ok(cpu_tier_force((enum cpu_tier)tier));
    text_open(&text);
    record_model(engine_find("sci-ot"), &golden_models[0], NULL, texts, SESSIONS);
    check("kept", &text);
  }
  assert_ok(cpu_tier_force(cpu_tier_best()));
}

static void engines__send_what_their_transcripts_say(void **state) {
  (void)state;
  const struct engine *engine;
  for (int tier = (int)cpu_tier_best(); tier >= 0; tier--) {
    assert_ok(cpu_tier_force((enum cpu_tier)tier));
    for (size_t i = 0; (engine = engine_at(i)); i++) {
      static const enum engine_phase at_once[] = {ENGINE_AT_ONCE};
      struct writer text, *const texts[] = {&text};
      text_open(&text);
      for (const struct golden_model *g = golden_models; g->name; g++)
        if (runs(g)) record_model(engine, g, at_once, texts, 1);
      check(engine->name, &text);
    }
  }
  assert_ok(cpu_tier_force(cpu_tier_best()));
}

/* The session's own messages in a whole job of one connection, on the fake engine. */
static void sessions__send_what_their_transcript_says(void **state) {
  (void)state;
  for (int tier = (int)cpu_tier_best(); tier >= 0; tier--) {
    struct session_scene s;
    struct writer text;
    fusion_verdict verdict = {0};
    assert_ok(cpu_tier_force((enum cpu_tier)tier));
    scene_prepare(&s);
    scene_start(&s);
    golden_party(ROLE_CLIENT);
    golden_start(SESSION_CLASS);
    expect_accept(&s, &verdict);
    text_open(&text);
    golden_stop("job", &text);
    scene_end(&s);
    check("session", &text);
  }
  assert_ok(cpu_tier_force(cpu_tier_best()));
}

static void difference__names_the_first_changed_message(void **state) {
  (void)state;
  char line[256];
  assert_false(golden_difference("a\nb\n", "a\nb\n", line, sizeof line));
  assert_true(golden_difference("a\nb 1\nc\n", "a\nb 2\nc\n", line, sizeof line));
  assert_string_equal(line, "line 2: 'b 1' is expected, 'b 2' is sent");
  assert_true(golden_difference("a\nb\n", "a\n", line, sizeof line));
  assert_string_equal(line, "line 2: 'b' is expected, nothing more is sent");
  assert_true(golden_difference("a\n", "a\nb\n", line, sizeof line));
  assert_string_equal(line, "line 2: nothing more is expected, 'b' is sent");
}

static void leaving_out__takes_the_lines_of_a_label(void **state) {
  (void)state;
  char text[] = "wide 1\ndense 1\nwide 2\nwider 3\nwide\nwide 4\n";
  golden_leave_out(text, "wide");
  assert_string_equal(text, "dense 1\nwider 3\nwide\n");
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(engines__send_what_their_transcripts_say),
      cmocka_unit_test(kept_set_ups__send_what_their_transcript_says),
      cmocka_unit_test(prepared_runs__send_what_their_transcripts_say),
      cmocka_unit_test(sessions__send_what_their_transcript_says),
      cmocka_unit_test(difference__names_the_first_changed_message),
      cmocka_unit_test(leaving_out__takes_the_lines_of_a_label),
  };
  program = argv[0];
  update = argc > 1 && strcmp(argv[1], "--update") == 0;
  if (argc > 1 && !update) return 2;
  return cmocka_run_group_tests(tests, NULL, NULL);
}
