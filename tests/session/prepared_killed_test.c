/* kill -9 of either side at every point of preparing a job and of using it. The points: before each call that changes a
 * file or folder (in the middle of it, where it writes) and before each message of the session and of the online phase;
 * the program is linked with --wrap for these calls. After each kill the server starts again, the client runs again,
 * and so does a copy of its file, as a client would that keeps one: a state was not used and is used once, or both
 * sides refuse it; nothing that one of them sent from a state is ever sent from it again. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/engine_messages.h"
#include "garble/garble_messages.h"
#include "gates/gate_messages.h"
#include "lattice/lattice_messages.h"
#include "net/channel.h"
#include "session/ahead.h"
#include "session/kill_points.h"
#include "session/session_scene.h"
#include "support/support.h"

enum { JOB_SAMPLES = 4, PATH_LEN = 200, PATIENCE_MS = 30000 };

/* What the processes tell the test. */
struct shared {
  atomic_uint port;            /* of the server; 0: not yet */
  atomic_uint inputs, choices; /* messages of the online phase: of the client, of the server */
  atomic_uint prepared;        /* the client has said that it has all */
  fusion_status status;        /* of the client */
  char text[256];
};
static struct shared *shared;

/* What an engine's parties send online: the client's first message of a run, the server's, all others. */
static const struct online {
  const char *engine;
  message_type input, choice, others; /* others: of its class */
} onlines[] = {{"delphi", MSG_INPUT, MSG_GARBLED_CHOICE, MSG_OUTPUT},
               {"cheetah", MSG_RLWE_QUERY, MSG_RLWE_ANSWER, MSG_OT_CHOICE}};
static const struct online *online = &onlines[0];

static bool is_online(message_type type) {
  return type == online->input || type == online->choice || type == MSG_OUTPUT ||
         message_class(type) == message_class(online->others);
}

/* What is sent is flushed when the next message is waited for, so the point after a message may be another's. */
fusion_status __wrap_channel_send(struct channel *c, message_type type, const void *data, size_t len) {
  const bool runs = is_online(type);
  if (message_class(type) == message_class(MSG_HELLO) || runs) kill_point();
  if (type == online->input) atomic_fetch_add(&shared->inputs, 1);
  if (type == online->choice) atomic_fetch_add(&shared->choices, 1);
  const fusion_status status = __real_channel_send(c, type, data, len);
  if (status != FUSION_OK || (!runs && type != MSG_SHARD)) return status;
  const fusion_status flushed = channel_flush(c);
  static const uint8_t zeros[4];
  if (type == MSG_SHARD && memcmp(data, zeros, sizeof zeros) == 0) atomic_store(&shared->prepared, 1);
  return flushed;
}

/* ---- files ---- */

static char folder[] = "/tmp/fusion-killed-XXXXXX";
static char states[PATH_LEN], kept[PATH_LEN], saved[PATH_LEN], path[PATH_LEN], copies[2][PATH_LEN];

static void copy_file(const char *from, const char *to) {
  uint8_t buffer[4096];
  const int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  assert_true(in >= 0 && out >= 0);
  for (ssize_t n; (n = read(in, buffer, sizeof buffer)) > 0;) assert_int_equal(__real_write(out, buffer, (size_t)n), n);
  close(in);
  close(out);
}

/* Copies a folder's files; without `to`: removes them. */
static void each_file(const char *from, const char *to) {
  char name[2 * PATH_LEN + 300], copy[2 * PATH_LEN + 300];
  DIR *dir = opendir(from);
  assert_non_null(dir);
  for (const struct dirent *e; (e = readdir(dir));) {
    if (e->d_name[0] == '.') continue;
    snprintf(name, sizeof name, "%s/%s", from, e->d_name);
    snprintf(copy, sizeof copy, "%s/%s", to ? to : "", e->d_name);
    if (to) copy_file(name, copy);
    if (!to) __real_unlink(name);
  }
  closedir(dir);
}

/* States in the server's folder, which has nothing else when a server has begun. */
static size_t count_states(bool only) {
  size_t count = 0;
  DIR *dir = opendir(states);
  assert_non_null(dir);
  for (const struct dirent *e; (e = readdir(dir));) {
    if (e->d_name[0] == '.') continue;
    if (only && strchr(e->d_name, '.')) fail_msg("'%s' was left", e->d_name);
    count++;
  }
  closedir(dir);
  return count;
}

static bool is_there(const char *file) {
  return access(file, F_OK) == 0;
}

static void clean(void) {
  char name[PATH_LEN + 8];
  each_file(states, NULL);
  const char *const files[] = {path, copies[0], copies[1]};
  static const char *const ends[] = {"", ".part", ".spent"};
  for (size_t i = 0; i < 9; i++) {
    snprintf(name, sizeof name, "%s%s", files[i / 3], ends[i % 3]);
    __real_unlink(name);
  }
}

/* ---- processes ---- */

static struct session_scene scene;

static void stop_server(int signal) {
  (void)signal;
  server_stop(scene.server);
}

static void pause_ms(long ms) {
  nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* A server that dies at its n-th point; 0: never. Waits until it listens or is dead. */
static pid_t start_server(unsigned n) {
  atomic_store(&shared->port, 0);
  const pid_t pid = fork();
  assert_true(pid >= 0);
  if (!pid) {
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves no server */
    kill_at(n);
    if (server_open(&scene.server, &scene.serve, &scene.serve_handles, NULL) != FUSION_OK) _exit(1);
    signal(SIGTERM, stop_server);
    atomic_store(&shared->port, server_port(scene.server));
    _exit(server_run(scene.server, NULL) != FUSION_OK);
  }
  siginfo_t info;
  for (int i = 0; i < PATIENCE_MS && !atomic_load(&shared->port); i++) {
    info.si_pid = 0;
    if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid) return pid;
    pause_ms(1);
  }
  assert_int_not_equal(atomic_load(&shared->port), 0);
  return pid;
}

/* Lets it end its connections; whether it was killed. */
static bool end_server(pid_t pid) {
  int status;
  kill(pid, SIGTERM);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return true;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail_msg("the server ended with %d", status);
  return false;
}

static fusion_status ask(const char *file, fusion_error *err) {
  struct job_output out;
  fusion_verdict v = {0};
  struct job_handles handles = scene.ask_handles;
  const struct job_terms terms = {&scene.ask, &handles, &scene.input};
  fusion_status status = ahead_open(&handles.ahead, file, err);
  if (status == FUSION_OK) status = job_run(&terms, &out, &v, err);
  ahead_close(handles.ahead);
  if (status != FUSION_OK) return status;
  const bool right = v.accepted && memcmp(out.answers, scene.expected, OUT * sizeof *out.answers) == 0;
  job_output_free(&out);
  return right ? FUSION_OK : error_set(err, FUSION_E_INTERNAL, "a wrong answer, or none");
}

enum client_end { SUCCEEDED, FAILED, KILLED };

/* A client that dies at its n-th point: prepares a job, or runs the one of `file`. */
static enum client_end run_client(const char *file, bool prepares, unsigned n) {
  int status;
  shared->status = FUSION_E_INTERNAL;
  atomic_store(&shared->prepared, 0);
  const pid_t pid = fork();
  assert_true(pid >= 0);
  if (!pid) {
    fusion_error err = {.status = FUSION_OK};
    scene.ask_handles.address.port = (uint16_t)atomic_load(&shared->port);
    kill_at(n);
    shared->status =
        prepares ? ahead_prepare(&scene.ask, &scene.ask_handles, JOB_SAMPLES, file, &err) : ask(file, &err);
    snprintf(shared->text, sizeof shared->text, "%.250s", err.text);
    _exit(0);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return KILLED;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail_msg("the client ended with %d", status);
  if (shared->status == FUSION_E_INTERNAL) fail_msg("%s", shared->text);
  return shared->status == FUSION_OK ? SUCCEEDED : FAILED;
}

/* Runs a file's job on a server that lives; a refusal is one line that says so, and no accusation. */
static bool uses(const char *file) {
  if (run_client(file, false, 0) == SUCCEEDED) return true;
  const bool refused = shared->status == FUSION_E_INPUT || shared->status == FUSION_E_REFUSED;
  if (!refused || (!strstr(shared->text, "prepare another") && !strstr(shared->text, "is not here")))
    fail_msg("ended with %d '%s'", shared->status, shared->text);
  return false;
}

/* ---- the sweeps ---- */

struct tally {
  unsigned points, usable, refused;
};

/* A server removes what it has made for a client that went away. */
static void await_removal(void) {
  for (int i = 0; i < PATIENCE_MS / 10 && count_states(false); i++) pause_ms(10);
  assert_int_equal(count_states(false), 0);
}

/* Who has a whole file can use it, once. */
static void check_prepared(enum client_end end, struct tally *t) {
  const bool whole = is_there(path);
  assert_true(whole || end != SUCCEEDED);
  const pid_t server = start_server(0);
  (void)count_states(true);
  if (whole) {
    copy_file(path, copies[0]);
    assert_true(uses(path));
    assert_false(is_there(path));
    assert_false(uses(copies[0]));
  }
  t->usable += whole;
  t->refused += !whole;
  assert_false(end_server(server));
}

static void sweep_preparing(enum role killed, struct tally *t) {
  for (unsigned n = 1;; n++) {
    clean();
    const pid_t server = start_server(killed == ROLE_SERVER ? n : 0);
    const bool listens = atomic_load(&shared->port) != 0;
    const enum client_end end = listens ? run_client(path, true, killed == ROLE_CLIENT ? n : 0) : FAILED;
    if (killed == ROLE_CLIENT && !atomic_load(&shared->prepared)) await_removal();
    const bool died = end_server(server);
    check_prepared(end, t);
    if (died || end == KILLED) continue;
    assert_int_equal(end, SUCCEEDED);
    t->points = n - 1;
    return;
  }
}

/* After a kill: the client's own file, then copies of it. */
static void check_used(bool used_by_client, bool used_by_server, struct tally *t) {
  const pid_t server = start_server(0);
  (void)count_states(true);
  const unsigned inputs = atomic_load(&shared->inputs);
  bool used = used_by_server;
  const bool again = is_there(path) && uses(path);
  if (used_by_client) {
    assert_false(again);
    assert_int_equal(atomic_load(&shared->inputs), inputs);
  }
  assert_false(again && used);
  used = used || again;
  for (size_t i = 0; i < 2; i++) {
    const unsigned choices = atomic_load(&shared->choices);
    const bool copied = uses(copies[i]);
    if (used) {
      assert_false(copied);
      assert_int_equal(atomic_load(&shared->choices), choices);
    }
    used = used || copied;
  }
  t->usable += again;
  t->refused += !again;
  assert_false(end_server(server));
}

static void sweep_using(enum role killed, struct tally *t) {
  for (unsigned n = 1;; n++) {
    clean();
    each_file(kept, states);
    copy_file(saved, path);
    copy_file(saved, copies[0]);
    copy_file(saved, copies[1]);
    atomic_store(&shared->inputs, 0);
    atomic_store(&shared->choices, 0);
    const pid_t server = start_server(killed == ROLE_SERVER ? n : 0);
    const bool listens = atomic_load(&shared->port) != 0;
    const enum client_end end = listens ? run_client(path, false, killed == ROLE_CLIENT ? n : 0) : FAILED;
    const bool died = end_server(server);
    check_used(atomic_load(&shared->inputs) > 0, atomic_load(&shared->choices) > 0, t);
    if (died || end == KILLED) continue;
    assert_int_equal(end, SUCCEEDED);
    t->points = n - 1;
    return;
  }
}

/* A job that all runs of sweep_using begin with, as it lies on both sides' disks. */
static void prepare_once(void) {
  clean();
  const pid_t server = start_server(0);
  assert_int_equal(run_client(path, true, 0), SUCCEEDED);
  assert_false(end_server(server));
  assert_int_equal(count_states(true), 2);
  each_file(states, kept);
  copy_file(path, saved);
}

static void expect_tally(const char *what, const struct tally *t) {
  printf("%s: %u points; the job was usable after %u kills, refused after %u\n", what, t->points, t->usable,
         t->refused);
  assert_true(t->points > 10);
  assert_int_equal(t->usable + t->refused, t->points + 1);
  assert_true(t->usable > 0 && t->refused > 0);
}

static void preparing__is_whole_or_nothing_when_the_client_is_killed(void **state) {
  (void)state;
  struct tally t = {0};
  sweep_preparing(ROLE_CLIENT, &t);
  expect_tally("client, preparing", &t);
}

static void preparing__is_whole_or_nothing_when_the_server_is_killed(void **state) {
  (void)state;
  struct tally t = {0};
  sweep_preparing(ROLE_SERVER, &t);
  expect_tally("server, preparing", &t);
}

static void using__is_once_when_the_client_is_killed(void **state) {
  (void)state;
  struct tally t = {0};
  prepare_once();
  sweep_using(ROLE_CLIENT, &t);
  expect_tally("client, using", &t);
}

static void using__is_once_when_the_server_is_killed(void **state) {
  (void)state;
  struct tally t = {0};
  prepare_once();
  sweep_using(ROLE_SERVER, &t);
  expect_tally("server, using", &t);
}

/* One query of two copies and two public samples, in two shards. */
static int begin(void **state) {
  (void)state;
  const struct engine *engine = engine_find(online->engine);
  scene_prepare(&scene);
  assert_ok(engine_prepare(engine, scene.model, NULL));
  scene.serve_handles.engines = (struct engine_list){{engine}, 1};
  scene.serve.prepared_folder = states;
  scene.serve.log = NULL;
  scene.ask_handles.engine = engine;
  scene.ask.shard_samples = 2;
  scene.input.choice = (struct mix_choice){1, 2, 2, 0, 1};
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return shared == MAP_FAILED || !mkdtemp(folder) || snprintf(states, PATH_LEN, "%s/states", folder) < 0 ||
         snprintf(kept, PATH_LEN, "%s/kept", folder) < 0 || snprintf(saved, PATH_LEN, "%s/saved", folder) < 0 ||
         snprintf(path, PATH_LEN, "%s/client", folder) < 0 || snprintf(copies[0], PATH_LEN, "%s/copy0", folder) < 0 ||
         snprintf(copies[1], PATH_LEN, "%s/copy1", folder) < 0 || mkdir(states, 0700) || mkdir(kept, 0700);
}

static int end(void **state) {
  (void)state;
  clean();
  each_file(kept, NULL);
  __real_unlink(saved);
  rmdir(states);
  rmdir(kept);
  rmdir(folder);
  model_free(scene.model);
  return 0;
}

/* usage: test_prepared_killed [ENGINE] */
int main(int argc, char **argv) {
  for (size_t i = 0; argc > 1 && i < sizeof onlines / sizeof *onlines; i++)
    if (strcmp(onlines[i].engine, argv[1]) == 0) online = &onlines[i];
  if (argc > 1 && strcmp(online->engine, argv[1]) != 0) return EXIT_FAILURE;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(preparing__is_whole_or_nothing_when_the_client_is_killed),
      cmocka_unit_test(preparing__is_whole_or_nothing_when_the_server_is_killed),
      cmocka_unit_test(using__is_once_when_the_client_is_killed),
      cmocka_unit_test(using__is_once_when_the_server_is_killed),
  };
  return cmocka_run_group_tests(tests, begin, end);
}
