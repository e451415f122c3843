/* Load: many clients against one server with a limit, and a soak of many small jobs, over the real protocols.
 * usage: load [short|long] */
#include <dirent.h>
#include <malloc.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "faults/fault_scene.h"
#include "support/support.h"

enum { CLIENTS_MAX = 50 };

static bool long_form;
static struct fault_scene scene;

/* ---- overload ---- */

struct load_client {
  pthread_t thread;
  struct fault_scene scene; /* with output paths of its own */
  struct ask ask;
  uint64_t random;
  atomic_uint *accepted;
  unsigned refused;
  char problem[600]; /* empty: all as it must be */
};

/* Asks until it is served; the only other end is "busy". */
static void *load_main(void *arg) {
  struct load_client *c = arg;
  const double deadline = clock_seconds() + 150;
  while (clock_seconds() < deadline) {
    fusion_error why;
    const enum outcome outcome = scene_ask(&c->scene, &c->ask, &why);
    const enum found found = scene_answers(&c->scene);
    const bool served = outcome == OUTCOME_RECOVERED;
    const bool busy =
        outcome == OUTCOME_FAILED && why.status == FUSION_E_BUSY && strstr(why.text, "the server is busy");
    if ((!served && !busy) || found != (served ? FOUND_RIGHT : FOUND_NOTHING))
      snprintf(c->problem, sizeof c->problem, "outcome %d, status %d '%s'", (int)outcome, (int)why.status, why.text);
    if (served) atomic_fetch_add(c->accepted, 1);
    if (served || c->problem[0]) return NULL;
    c->refused++;
    usleep((useconds_t)(20000 + test_random(&c->random) % 80000));
  }
  snprintf(c->problem, sizeof c->problem, "not served in time");
  return NULL;
}

static void load__overload_is_refused_and_hurts_nobody(void **state) {
  (void)state;
  const unsigned clients = long_form ? CLIENTS_MAX : 8, limit = long_form ? 8 : 2;
  static struct load_client c[CLIENTS_MAX];
  struct fault_server f;
  atomic_uint accepted = 0;
  unsigned refused = 0;
  server_begin(&f, &scene, long_form, limit);
  for (unsigned i = 0; i < clients; i++) {
    c[i] = (struct load_client){.scene = scene, .accepted = &accepted, .random = i};
    c[i].ask = (struct ask){
        .port = f.port, .workers = 1, .shard_samples = 60, .tries = 1, .timeout_ms = 60000, .tls = long_form};
    snprintf(c[i].scene.answers, PATH_LEN, "%s/answers%u.npy", scene.dir, i);
    snprintf(c[i].scene.report, PATH_LEN, "%s/report%u.json", scene.dir, i);
    snprintf(c[i].scene.html, PATH_LEN, "%s/report%u.html", scene.dir, i);
  }
  for (unsigned i = 0; i < clients; i++) assert_int_equal(pthread_create(&c[i].thread, NULL, load_main, &c[i]), 0);
  for (unsigned i = 0; i < clients; i++) {
    pthread_join(c[i].thread, NULL);
    refused += c[i].refused;
    scene_sweep(&c[i].scene);
  }
  for (unsigned i = 0; i < clients; i++)
    if (c[i].problem[0]) fail_msg("client %u: %s", i, c[i].problem);
  const fusion_server_totals totals = fusion_server_count(f.server);
  assert_int_equal(accepted, clients);
  assert_int_equal(totals.jobs_failed, 0);
  assert_int_equal(totals.refused, refused);
  assert_true(refused > 0);
  server_end(&f);
  printf(
      "load: %u clients at once, a server with a limit of %u: %u refused as busy and came again, %u accepted, all "
      "right\n",
      clients, limit, refused, clients);
}

/* ---- crowds that want nothing ---- */

enum { SILENT_MAX = 500, SLOW_MAX = 200 };

static int dial(uint16_t port) {
  const struct sockaddr_in to = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof to) == 0) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

struct crowd {
  uint16_t port;
  unsigned silent, slow;
  atomic_bool stop;
  unsigned garbage; /* connections so far */
};

/* Silent connections are there all the time, slow ones send a byte now and then, garbage comes without end. */
static void *crowd_main(void *arg) {
  struct crowd *w = arg;
  static int silent[SILENT_MAX], slow[SLOW_MAX];
  uint64_t random = 1;
  for (unsigned i = 0; i < w->silent; i++) silent[i] = dial(w->port);
  for (unsigned i = 0; i < w->slow; i++) slow[i] = dial(w->port);
  while (!atomic_load(&w->stop)) {
    uint8_t bytes[100];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)test_random(&random);
    const int fd = dial(w->port);
    if (fd >= 0) (void)!send(fd, bytes, sizeof bytes, MSG_NOSIGNAL);
    if (fd >= 0) close(fd);
    const unsigned at = w->slow ? w->garbage % w->slow : 0;
    if (w->slow && slow[at] >= 0) (void)!send(slow[at], "\x16", 1, MSG_NOSIGNAL);
    w->garbage++;
    usleep(20000);
  }
  for (unsigned i = 0; i < w->silent; i++)
    if (silent[i] >= 0) close(silent[i]);
  for (unsigned i = 0; i < w->slow; i++)
    if (slow[i] >= 0) close(slow[i]);
  return NULL;
}

/* All of them from the honest clients' own address. */
static void load__crowds_that_want_nothing_keep_nobody_out(void **state) {
  (void)state;
  const unsigned clients = long_form ? CLIENTS_MAX : 4;
  static struct load_client c[CLIENTS_MAX];
  struct fault_server f;
  struct crowd crowd = {.silent = long_form ? SILENT_MAX : 100, .slow = long_form ? SLOW_MAX : 20};
  pthread_t thread;
  atomic_uint accepted = 0;
  server_begin(&f, &scene, true, 8);
  crowd.port = f.port;
  assert_int_equal(pthread_create(&thread, NULL, crowd_main, &crowd), 0);
  usleep(500000);
  const double started = clock_seconds();
  for (unsigned i = 0; i < clients; i++) {
    c[i] = (struct load_client){.scene = scene, .accepted = &accepted, .random = i};
    c[i].ask =
        (struct ask){.port = f.port, .workers = 1, .shard_samples = 60, .tries = 3, .timeout_ms = 60000, .tls = true};
    snprintf(c[i].scene.answers, PATH_LEN, "%s/answers%u.npy", scene.dir, i);
    snprintf(c[i].scene.report, PATH_LEN, "%s/report%u.json", scene.dir, i);
    snprintf(c[i].scene.html, PATH_LEN, "%s/report%u.html", scene.dir, i);
  }
  for (unsigned i = 0; i < clients; i++) assert_int_equal(pthread_create(&c[i].thread, NULL, load_main, &c[i]), 0);
  for (unsigned i = 0; i < clients; i++) {
    pthread_join(c[i].thread, NULL);
    scene_sweep(&c[i].scene);
  }
  const double seconds = clock_seconds() - started;
  atomic_store(&crowd.stop, true);
  pthread_join(thread, NULL);
  for (unsigned i = 0; i < clients; i++)
    if (c[i].problem[0]) fail_msg("client %u: %s", i, c[i].problem);
  assert_int_equal(accepted, clients);
  server_end(&f);
  printf("load: %u silent and %u slow connections, %u of garbage: %u honest clients served in %.1f s\n", crowd.silent,
         crowd.slow, crowd.garbage, clients, seconds);
}

/* ---- soak ---- */

struct usage {
  double resident_mib, heap_kib;
  unsigned descriptors, threads;
};

static unsigned entries(const char *folder) {
  unsigned count = 0;
  DIR *d = opendir(folder);
  assert_non_null(d);
  while (readdir(d)) count++;
  closedir(d);
  return count - 2; /* . and .. */
}

static struct usage measure(void) {
  unsigned long pages = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  assert_non_null(f);
  assert_int_equal(fscanf(f, "%*u %lu", &pages), 1);
  fclose(f);
  const struct mallinfo2 heap = mallinfo2();
  return (struct usage){.resident_mib = (double)pages * (double)sysconf(_SC_PAGESIZE) / (1 << 20),
                        .heap_kib = (double)(heap.uordblks + heap.hblkhd) / 1024,
                        .descriptors = entries("/proc/self/fd") - 1,
                        .threads = entries("/proc/self/task")};
}

/* The server's threads end a little after the client. */
static struct usage measure_idle(const struct fault_server *f, unsigned threads) {
  const double deadline = clock_seconds() + 20;
  while ((fusion_server_count(f->server).connections || entries("/proc/self/task") > threads) &&
         clock_seconds() < deadline)
    usleep(1000);
  return measure();
}

static void soak__nothing_grows(void **state) {
  (void)state;
  const unsigned jobs = long_form ? 2000 : 8, warm = jobs / 4;
  struct fault_server f;
  struct usage early = {0}, now = {0};
  server_begin(&f, &scene, true, 4);
  const unsigned threads = entries("/proc/self/task");
  for (unsigned i = 0; i < jobs; i++) {
    const struct ask ask = {.port = f.port,
                            .workers = 1 + i % 2,
                            .shard_samples = 60 - i % 50,
                            .tries = 1,
                            .timeout_ms = 60000,
                            .tls = true,
                            .journal = i % 3 == 0};
    fusion_error why;
    if (scene_ask(&scene, &ask, &why) != OUTCOME_RECOVERED) fail_msg("job %u: %s", i, why.text);
    assert_int_equal(scene_answers(&scene), FOUND_RIGHT);
    now = measure_idle(&f, threads);
    if (i == warm) early = now;
    if (i % (long_form ? 100 : 4) == 0)
      printf("soak: %5u jobs, resident %.1f MiB, heap in use %.0f KiB, %u descriptors, %u threads\n", i + 1,
             now.resident_mib, now.heap_kib, now.descriptors, now.threads);
    if (i >= warm) assert_int_equal(now.descriptors, early.descriptors);
  }
  printf("soak: %5u jobs, resident %.1f MiB, heap in use %.0f KiB, %u descriptors, %u threads\n", jobs,
         now.resident_mib, now.heap_kib, now.descriptors, now.threads);
  assert_true(now.threads <= threads); /* threads of the test before may still have been ending then */
  /* In the long form, jobs that lose eleven bytes each would show. */
  if (now.heap_kib > early.heap_kib + 16) fail_msg("the heap grew from %.0f to %.0f KiB", early.heap_kib, now.heap_kib);
  if (now.resident_mib > early.resident_mib + 16)
    fail_msg("memory grew from %.1f to %.1f MiB", early.resident_mib, now.resident_mib);
  assert_int_equal(fusion_server_count(f.server).jobs_done, jobs);
  server_end(&f);
  scene_sweep(&scene);
}

static int open_scene(void **state) {
  (void)state;
  scene_open(&scene, test_seed(), NULL);
  return 0;
}

static int close_scene(void **state) {
  (void)state;
  scene_close(&scene);
  return 0;
}

/* glibc counts as in use what it keeps freed in the threads' caches, up to some 200 KiB a thread, which fill over
 * hundreds of jobs. Starts the program again without these caches, so that the count is of live memory alone. */
static void leave_out_caches(char **argv) {
  const char *set = getenv("GLIBC_TUNABLES");
  char with[512];
  if (set && strstr(set, "glibc.malloc.tcache_count=0")) return;
  snprintf(with, sizeof with, "%s%sglibc.malloc.tcache_count=0", set ? set : "", set && *set ? ":" : "");
  if (setenv("GLIBC_TUNABLES", with, 1) == 0) execv("/proc/self/exe", argv);
  perror("load: cannot start again without malloc's caches");
  exit(1);
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(load__overload_is_refused_and_hurts_nobody),
                                     cmocka_unit_test(load__crowds_that_want_nothing_keep_nobody_out),
                                     cmocka_unit_test(soak__nothing_grows)};
  long_form = argc > 1 && strcmp(argv[1], "long") == 0;
  leave_out_caches(argv);
  signal(SIGPIPE, SIG_IGN);
  setvbuf(stdout, NULL, _IOLBF, 0);
  return cmocka_run_group_tests(tests, open_scene, close_scene);
}
