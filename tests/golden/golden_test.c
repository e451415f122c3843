/* Golden transcripts: what the parties send, message by message, with all randomness fixed, is what the files here say,
 * on every processor tier. A change that an older peer could not follow cannot go unnoticed.
 * usage: test_golden [--update], in the source folder; --update writes the files. */
#include <stdio.h>

#include "base/cpu_tier.h"
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

struct end {
  const struct engine *engine;
  const struct golden_model *golden;
  const struct model *model;
  struct channel *channel;
  const int64_t *inputs; /* the client's, [samples] */
  int64_t *answers;
  fusion_status status;
};

static void *run_server(void *arg) {
  struct end *e = arg;
  struct engine_session *s = NULL;
  golden_party(ROLE_SERVER);
  e->status = engine_open_server(&s, e->engine, e->model, e->channel, e->golden->expected_samples);
  for (size_t i = 0; i < GOLDEN_SHARDS_MAX && e->golden->shards[i] && e->status == FUSION_OK; i++)
    e->status = engine_run_server(s, e->golden->shards[i]);
  engine_close(s);
  return NULL;
}

static void *run_client(void *arg) {
  struct end *e = arg;
  struct engine_session *s = NULL;
  golden_party(ROLE_CLIENT);
  e->status = engine_open_client(&s, e->engine, &e->model->program, e->channel, e->golden->expected_samples);
  for (size_t i = 0; i < GOLDEN_SHARDS_MAX && e->golden->shards[i] && e->status == FUSION_OK; i++)
    e->status = engine_run_client(s, e->inputs, e->answers, e->golden->shards[i]);
  engine_close(s);
  return NULL;
}

static void record_model(const struct engine *engine, const struct golden_model *golden, struct writer *text) {
  fusion_error err = {.status = FUSION_OK};
  struct net n = golden->make(7);
  const struct program *p = &n.model->program;
  const fusion_status prepared = engine_prepare(engine, n.model, &err);
  if (prepared == FUSION_E_MODEL) { /* the engine lacks a gate: so its transcript says */
    char line[128];
    snprintf(line, sizeof line, "%s refused\n", golden->name);
    write_bytes(text, line, strlen(line));
    model_free(n.model);
    return;
  }
  if (prepared != FUSION_OK) fail_msg("%s, %s: %s", engine->name, golden->name, err.text);
  const size_t samples = size_max(golden->shards[0], golden->shards[1]);
  const size_t in_len = samples * shape_size(p->steps[0].out.shape);
  int64_t *inputs = mem_alloc(in_len, sizeof *inputs),
          *answers = mem_alloc(samples * program_answer_size(p), sizeof *answers);
  assert_true(inputs && answers);
  for (size_t i = 0; i < in_len; i++) inputs[i] = ring_signed(test_random(&n.seed), p->steps[0].out.value_bits);
  struct end server = {.engine = engine, .golden = golden, .model = n.model};
  struct end client = server;
  client.inputs = inputs;
  client.answers = answers;
  assert_ok(channel_pipe(&server.channel, &client.channel));
  golden_start(GOLDEN_ALL);
  test_run_both(run_server, &server, run_client, &client);
  golden_stop(golden->name, text);
  assert_ok(server.status);
  assert_ok(client.status);
  channel_close(server.channel);
  channel_close(client.channel);
  mem_free(inputs);
  mem_free(answers);
  model_free(n.model);
}

static void engines__send_what_their_transcripts_say(void **state) {
  (void)state;
  const struct engine *engine;
  for (int tier = (int)cpu_tier_best(); tier >= 0; tier--) {
    assert_ok(cpu_tier_force((enum cpu_tier)tier));
    for (size_t i = 0; (engine = engine_at(i)); i++) {
      struct writer text;
      text_open(&text);
      for (const struct golden_model *g = golden_models; g->name; g++)
        if (runs(g)) record_model(engine, g, &text);
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
      cmocka_unit_test(sessions__send_what_their_transcript_says),
      cmocka_unit_test(difference__names_the_first_changed_message),
      cmocka_unit_test(leaving_out__takes_the_lines_of_a_label),
  };
  program = argv[0];
  update = argc > 1 && strcmp(argv[1], "--update") == 0;
  if (argc > 1 && !update) return 2;
  return cmocka_run_group_tests(tests, NULL, NULL);
}
