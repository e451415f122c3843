/* Faults of whole processes: the command as client and as server. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "faults/fault_table.h"
#include "support/support.h"

enum { PATIENCE_S = 300, RESTARTS = 60 };

struct stage {
  struct fault_table *t;
  struct fault_scene *s;
  uint16_t port;
  pid_t server;
  const char *journal[3]; /* the option */
};

/* Sleeps for a random part of an unbroken job's time. */
static void sleep_some(struct stage *g) {
  usleep((useconds_t)scene_random(g->s, 1 + (uint64_t)(1.1e6 * g->s->seconds)));
}

static void count(struct stage *g, const char *name, enum outcome outcome) {
  char words[512];
  command_last_words(g->s, words, sizeof words);
  table_count(g->t, name, outcome, name, words);
}

/* Runs the command to its end, with the journal, and judges. */
static enum outcome run_on(struct stage *g) {
  const pid_t pid = command_query(g->s, g->port, NULL, g->journal);
  return command_outcome(g->s, command_wait(pid, PATIENCE_S));
}

/* The command again, the fault over: what was begun must come to a good end, the journal must be gone. */
static enum outcome finish(struct stage *g) {
  const enum outcome outcome = run_on(g);
  return outcome == OUTCOME_RECOVERED && access(g->s->journal, F_OK) ? OUTCOME_RECOVERED : OUTCOME_LOST;
}

static void kill_client(struct stage *g) {
  for (int i = 0; i < RESTARTS; i++) {
    const pid_t pid = command_query(g->s, g->port, NULL, g->journal);
    sleep_some(g);
    command_kill(pid);
    if (scene_answers(g->s) == FOUND_WRONG) break;
    if (scene_random(g->s, 4) == 0) break;
  }
  count(g, "kill -9 of the client, some times over; then the same command (journal)", finish(g));
  scene_sweep(g->s);
}

static void kill_client_alone(struct stage *g) {
  const pid_t pid = command_query(g->s, g->port, NULL, NULL);
  sleep_some(g);
  command_kill(pid);
  const bool clean = scene_answers(g->s) != FOUND_WRONG && access(g->s->journal, F_OK);
  const pid_t again = command_query(g->s, g->port, NULL, NULL);
  const enum outcome outcome = command_outcome(g->s, command_wait(again, PATIENCE_S));
  count(g, "kill -9 of a client without a journal; then a new job", clean ? outcome : OUTCOME_LOST);
  scene_sweep(g->s);
}

static void kill_server(struct stage *g, bool at_once) {
  const pid_t pid = command_query(g->s, g->port, NULL, g->journal);
  sleep_some(g);
  command_kill(g->server);
  if (!at_once) usleep((useconds_t)scene_random(g->s, 2000000));
  g->server = command_serve(g->s, &g->port);
  enum outcome outcome = command_outcome(g->s, command_wait(pid, PATIENCE_S));
  if (outcome == OUTCOME_FAILED) outcome = finish(g);
  count(g,
        at_once ? "kill -9 of the server, started again at once"
                : "kill -9 of the server, started again later; then "
                  "the same command (journal)",
        outcome);
  scene_sweep(g->s);
}

static void interrupt_client(struct stage *g, int number) {
  const pid_t pid = command_query(g->s, g->port, NULL, g->journal);
  sleep_some(g);
  kill(pid, number);
  const int status = command_wait(pid, PATIENCE_S);
  /* Before the job begins there is no handler: the signal ends the process. */
  enum outcome outcome = status == 128 + number ? OUTCOME_FAILED : command_outcome(g->s, status);
  if (outcome == OUTCOME_FAILED) outcome = finish(g);
  count(g, "SIGINT or SIGTERM to the client; then the same command (journal)", outcome);
  scene_sweep(g->s);
}

static void stop_server(struct stage *g) {
  const pid_t pid = command_query(g->s, g->port, NULL, NULL);
  sleep_some(g);
  kill(g->server, SIGTERM);
  const enum outcome outcome = command_outcome(g->s, command_wait(pid, PATIENCE_S));
  if (command_wait(g->server, PATIENCE_S) != 0) fail_msg("the server did not stop by itself");
  count(g, "SIGTERM to the server (graceful stop)", outcome);
  g->server = command_serve(g->s, &g->port);
  scene_sweep(g->s);
}

static void restart_server(struct stage *g) {
  command_kill(g->server);
  g->server = command_serve(g->s, &g->port);
}

static void freeze(struct stage *g, bool client) {
  const pid_t pid = command_query(g->s, g->port, NULL, NULL), frozen = client ? pid : g->server;
  sleep_some(g);
  kill(frozen, SIGSTOP);
  usleep(300000);
  kill(frozen, SIGCONT);
  const enum outcome outcome = command_outcome(g->s, command_wait(pid, PATIENCE_S));
  count(g, "client or server suspended, shorter than the time-out",
        outcome == OUTCOME_RECOVERED ? outcome : OUTCOME_LOST);
  scene_sweep(g->s);
}

/* Longer than the other's time-out, which is short here. */
static void freeze_beyond(struct stage *g, bool client) {
  g->s->client_timeout = client ? "60" : "2";
  g->s->server_timeout = client ? "2" : "60";
  restart_server(g);
  const pid_t pid = command_query(g->s, g->port, NULL, NULL), frozen = client ? pid : g->server;
  sleep_some(g);
  kill(frozen, SIGSTOP);
  usleep(2500000);
  kill(frozen, SIGCONT);
  count(g,
        client ? "client suspended for longer than the server's time-out"
               : "server suspended for longer than the client's time-out",
        command_outcome(g->s, command_wait(pid, PATIENCE_S)));
  scene_sweep(g->s);
  g->s->client_timeout = g->s->server_timeout = "60";
  restart_server(g);
}

/* A limit on the length of files: the write that passes it fails as on a full disk. */
static void fill_disk(struct stage *g) {
  const struct limits limits = {.file_len = 1 + (long)scene_random(g->s, 7000)};
  const pid_t pid = command_query(g->s, g->port, &limits, g->journal);
  enum outcome outcome = command_outcome(g->s, command_wait(pid, PATIENCE_S));
  if (outcome == OUTCOME_FAILED) outcome = finish(g);
  count(g, "disk full at a random byte; then room, and the same command (journal)", outcome);
  scene_sweep(g->s);
}

static void full_output(struct stage *g, const struct limits *limits, const char *journal, const char *name) {
  const char *const extra[] = {"--journal", journal, NULL};
  const pid_t pid = command_query(g->s, g->port, limits, journal ? extra : NULL);
  const enum outcome outcome = command_outcome(g->s, command_wait(pid, PATIENCE_S));
  count(g, name, outcome == OUTCOME_FAILED ? outcome : OUTCOME_LOST);
  scene_sweep(g->s);
}

static void run_outputs(struct stage *g) {
  const struct limits full[] = {{.answers = "/dev/full"}, {.report = "/dev/full"}};
  const struct limits wrong[] = {{.answers = "/nonexistent/answers.npy"}, {.report = g->s->dir}};
  for (int i = 0; i < 2; i++) full_output(g, &full[i], NULL, "an output on a full device");
  for (int i = 0; i < 2; i++) full_output(g, &wrong[i], NULL, "an output that cannot be written, found before the job");
  full_output(g, NULL, "/nonexistent/journal", "an output that cannot be written, found before the job");
}

void run_processes(struct fault_table *t) {
  struct stage g = {.t = t, .s = &t->scene, .journal = {"--journal", t->scene.journal, NULL}};
  const bool is_long = t->long_form;
  g.server = command_serve(g.s, &g.port);
  const double started = clock_seconds();
  if (run_on(&g) != OUTCOME_RECOVERED) count(&g, "no fault", OUTCOME_LOST);
  g.s->seconds = clock_seconds() - started;
  scene_sweep(g.s);
  for (int i = 0; i < (is_long ? 60 : 1); i++) kill_client(&g);
  for (int i = 0; i < (is_long ? 15 : 0); i++) kill_client_alone(&g);
  for (int i = 0; i < (is_long ? 20 : 1); i++) kill_server(&g, true);
  for (int i = 0; i < (is_long ? 15 : 0); i++) kill_server(&g, false);
  for (int i = 0; i < (is_long ? 30 : 1); i++) interrupt_client(&g, i & 1 ? SIGINT : SIGTERM);
  for (int i = 0; i < (is_long ? 10 : 1); i++) stop_server(&g);
  for (int i = 0; i < (is_long ? 12 : 1); i++) freeze(&g, i & 1);
  for (int i = 0; i < (is_long ? 4 : 0); i++) freeze_beyond(&g, i & 1);
  for (int i = 0; i < (is_long ? 40 : 1); i++) fill_disk(&g);
  run_outputs(&g);
  kill(g.server, SIGTERM);
  if (command_wait(g.server, PATIENCE_S) != 0) fail_msg("the server did not stop by itself");
}
