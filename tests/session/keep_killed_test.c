/* kill -9 of either side at every point of a job that begins with a kept set-up and leaves another. The points: before
 * each call that changes a file or folder (in the middle of it, where it writes), before each message of the session
 * and of the set-up; the program is linked with --wrap for these calls. After each kill the client runs again, and so
 * does a copy of its file, as one that was put back from a backup: every job that is not killed is accepted, no kept
 * set-up is used twice, and the client names none twice. */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ot/ot_messages.h"
#include "session/keep.h"
#include "session/kill_points.h"
#include "session/session_scene.h"
#include "support/support.h"

enum { PATH_LEN = 200, PATIENCE_MS = 30000, START_KEEPING = 13, START_KEPT = 14, READY_USES = 5, NAMED_MAX = 4096 };

/* What the processes tell the test. */
struct shared {
  atomic_uint port;            /* of the server; 0: not yet */
  atomic_uint starts, readies; /* of them that were sent */
  atomic_uint uses;            /* READYs that say that a kept set-up is used */
  atomic_uint named;           /* numbers that clients have named */
  uint8_t numbers[NAMED_MAX][SESSION_STATE_LEN];
  fusion_status status; /* of the client */
  char text[256];
};
static struct shared *shared;

static void name(const uint8_t number[SESSION_STATE_LEN]) {
  const unsigned at = atomic_fetch_add(&shared->named, 1);
  if (at >= NAMED_MAX) abort();
  memcpy(shared->numbers[at], number, SESSION_STATE_LEN);
}

/* A message counts from when it may leave: it is flushed at once, so the point after it is its own. */
fusion_status __wrap_channel_send(struct channel *c, message_type type, const void *data, size_t len) {
  const uint8_t *bytes = data;
  const bool session = message_class(type) == message_class(MSG_HELLO);
  if (session || message_class(type) == message_class(MSG_BASE_OT)) kill_point();
  if (type == MSG_START && bytes[START_KEEPING] == 2) name(bytes + START_KEPT);
  if (type == MSG_READY && bytes[READY_USES]) atomic_fetch_add(&shared->uses, 1);
  fusion_status status = __real_channel_send(c, type, data, len);
  if (status == FUSION_OK && session) status = channel_flush(c);
  if (type == MSG_START) atomic_fetch_add(&shared->starts, 1);
  if (type == MSG_READY) atomic_fetch_add(&shared->readies, 1);
  return status;
}

/* ---- files ---- */

static char folder[] = "/tmp/fusion-keep-killed-XXXXXX";
static char path[PATH_LEN], copy[PATH_LEN];

static void copy_file(const char *from, const char *to) {
  uint8_t buffer[4096];
  const int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  assert_true(in >= 0 && out >= 0);
  for (ssize_t n; (n = read(in, buffer, sizeof buffer)) > 0;) assert_int_equal(__real_write(out, buffer, (size_t)n), n);
  close(in);
  close(out);
}

static bool is_there(const char *file) {
  return access(file, F_OK) == 0;
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

/* A server that dies at its n-th point; 0: never. */
static pid_t start_server(unsigned n) {
  atomic_store(&shared->port, 0);
  const pid_t pid = fork();
  assert_true(pid >= 0);
  if (!pid) {
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves no server */
    if (server_open(&scene.server, &scene.serve, &scene.serve_handles, NULL) != FUSION_OK) _exit(1);
    signal(SIGTERM, stop_server);
    kill_at(n);
    atomic_store(&shared->port, server_port(scene.server));
    _exit(server_run(scene.server, NULL) != FUSION_OK);
  }
  for (int i = 0; i < PATIENCE_MS && !atomic_load(&shared->port); i++) pause_ms(1);
  assert_int_not_equal(atomic_load(&shared->port), 0);
  return pid;
}

/* Whether it was killed. */
static bool end_server(pid_t pid) {
  int status;
  kill(pid, SIGTERM);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return true;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail_msg("the server ended with %d", status);
  return false;
}

/* A job as the library runs it. */
static fusion_status ask(const char *file, fusion_error *err) {
  struct job_output out = {0};
  fusion_verdict v = {0};
  struct job_handles handles = scene.ask_handles;
  const struct job_terms terms = {&scene.ask, &handles, &scene.input};
  fusion_status status = keep_open(&handles.keep, file, err);
  if (status == FUSION_OK) status = job_run(&terms, &out, &v, err);
  if (status == FUSION_OK) status = keep_write(handles.keep, err);
  const bool right = v.accepted && memcmp(out.answers, scene.expected, OUT * sizeof *out.answers) == 0;
  keep_close(handles.keep);
  job_output_free(&out);
  return status == FUSION_OK && !right ? error_set(err, FUSION_E_INTERNAL, "a wrong answer, or none") : status;
}

enum client_end { SUCCEEDED, FAILED, KILLED };

/* A client that dies at its n-th point. */
static enum client_end run_client(const char *file, unsigned n) {
  int status;
  shared->status = FUSION_E_INTERNAL;
  const pid_t pid = fork();
  assert_true(pid >= 0);
  if (!pid) {
    fusion_error err = {.status = FUSION_OK};
    scene.ask_handles.address.port = (uint16_t)atomic_load(&shared->port);
    kill_at(n);
    shared->status = ask(file, &err);
    snprintf(shared->text, sizeof shared->text, "%.250s", err.text);
    _exit(0);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return KILLED;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail_msg("the client ended with %d", status);
  if (shared->status == FUSION_E_INTERNAL) fail_msg("%s", shared->text);
  return shared->status == FUSION_OK ? SUCCEEDED : FAILED;
}

/* A job that must succeed, and leave a file; whether it used a kept set-up. */
static bool job_uses(const char *file) {
  const unsigned before = atomic_load(&shared->uses);
  if (run_client(file, 0) != SUCCEEDED) fail_msg("ended with %d '%s'", shared->status, shared->text);
  assert_true(is_there(file));
  return atomic_load(&shared->uses) > before;
}

/* The server has answered every START, also of a client that is dead. */
static void await_answers(void) {
  for (int i = 0; i < PATIENCE_MS && atomic_load(&shared->readies) < atomic_load(&shared->starts); i++) pause_ms(1);
  assert_true(atomic_load(&shared->readies) >= atomic_load(&shared->starts));
}

/* How often the clients have named this number. */
static unsigned times_named(const uint8_t number[SESSION_STATE_LEN]) {
  unsigned times = 0;
  for (unsigned i = 0; i < atomic_load(&shared->named); i++)
    times += memcmp(shared->numbers[i], number, SESSION_STATE_LEN) == 0;
  return times;
}

static void assert_named_once(unsigned from) {
  for (unsigned i = from; i < atomic_load(&shared->named); i++) assert_int_equal(times_named(shared->numbers[i]), 1);
}

/* ---- the sweeps ---- */

static void keep__is_used_once_when_the_client_is_killed(void **state) {
  (void)state;
  unsigned whole = 0, n = 1;
  enum client_end end = KILLED;
  const pid_t server = start_server(0);
  (void)job_uses(path);
  for (; end == KILLED; n++) {
    const unsigned from = atomic_load(&shared->named), before = atomic_load(&shared->uses);
    copy_file(path, copy);
    end = run_client(path, n);
    await_answers();
    const bool left = is_there(path), named = atomic_load(&shared->named) > from;
    /* From the file that the kill has left, if any; each name is new. */
    const bool again = job_uses(path);
    assert_named_once(from);
    assert_true(!again || left);
    whole += left;
    /* The copy: used only if nobody has used, nor named, the number in it. */
    const bool copied = job_uses(copy);
    assert_false(copied && (named || again));
    assert_in_range(atomic_load(&shared->uses) - before, 0, 2); /* the copied number, and the one that the job left */
    __real_unlink(copy);
  }
  assert_int_equal(end, SUCCEEDED);
  printf("client: %u points; a file was left after %u kills\n", n - 2, whole - 1);
  assert_true(n > 20 && whole > 1 && whole < n - 2);
  assert_false(end_server(server));
}

static void keep__is_used_once_when_the_server_is_killed(void **state) {
  (void)state;
  unsigned n = 1;
  bool died = true;
  for (; died; n++) {
    __real_unlink(path);
    const unsigned from = atomic_load(&shared->named);
    pid_t server = start_server(n);
    enum client_end end = run_client(path, 0);
    if (end == SUCCEEDED) copy_file(path, copy);
    if (end == SUCCEEDED) end = run_client(path, 0);
    died = end_server(server);
    assert_true(died || end == SUCCEEDED); /* it may die when the client has its answers */
    /* The next server has nothing: what is left is refused, and a new set-up made. */
    server = start_server(0);
    assert_false(job_uses(path));
    assert_named_once(from);
    assert_true(job_uses(path));
    if (is_there(copy)) assert_false(job_uses(copy));
    __real_unlink(copy);
    assert_false(end_server(server));
  }
  printf("server: %u points\n", n - 2);
  assert_true(n > 15);
}

/* One query of two copies and two public samples. */
static int begin(void **state) {
  (void)state;
  const struct engine *engine = engine_find("aby");
  scene_prepare(&scene);
  assert_ok(engine_prepare(engine, scene.model, NULL));
  scene.serve_handles.engines = (struct engine_list){{engine}, 1};
  scene.serve.log = NULL;
  scene.ask_handles.engine = engine;
  scene.ask.tries = 1;
  scene.input.choice = (struct mix_choice){1, 2, 2, 1, 1};
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED || !mkdtemp(folder)) return 1;
  snprintf(path, sizeof path, "%s/kept", folder);
  snprintf(copy, sizeof copy, "%s/copy", folder);
  return 0;
}

static int end(void **state) {
  (void)state;
  static const char *const ends[] = {"", ".part", ".spent"};
  char file[PATH_LEN + 8];
  for (size_t i = 0; i < 6; i++) {
    snprintf(file, sizeof file, "%s%s", i < 3 ? path : copy, ends[i % 3]);
    __real_unlink(file);
  }
  model_free(scene.model);
  munmap(shared, sizeof *shared);
  return rmdir(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(keep__is_used_once_when_the_client_is_killed),
      cmocka_unit_test(keep__is_used_once_when_the_server_is_killed),
  };
  return cmocka_run_group_tests(tests, begin, end);
}
