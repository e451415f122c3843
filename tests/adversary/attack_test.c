/* Every attack of a client on a real server: the server ends it within its time-outs, serves an honest client beside
 * it, and keeps nothing of it: no connection, descriptor, thread, memory. Prints the table of docs/security.md. usage:
 * attack [short|long]; FUSION_TEST_SEED repeats a run. Short: all attacks at once; long: one after another. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "adversary/attack.h"
#include "adversary/scene.h"
#include "session/serve_internal.h"
#include "support/certs.h"
#include "support/support.h"

enum {
  TIMEOUT_MS = 1000,
  GIVE_UP_MS = 4 * TIMEOUT_MS + 2000,
  CLIENTS = 128, /* connections at once: more than one attack makes */
  THREADS_MAX = 192,
  ROWS_MAX = 64,
};

struct row {
  const char *name;
  unsigned runs, ended, served, honest, wrong;
};

struct table {
  struct scene scene;
  struct certs certs;
  struct tls_context *server_tls, *client_tls;
  struct server *server;
  pthread_t serving;
  struct attack_target target;
  struct row rows[ROWS_MAX];
  bool tls;
};

struct attacker {
  pthread_t thread;
  const struct attack *attack;
  const struct attack_target *target;
  uint64_t random;
  size_t row;
  enum attack_end end;
};

/* What a server may leak. */
struct health {
  unsigned descriptors, threads;
  long rss_kib;
};

static unsigned entries(const char *folder) {
  unsigned count = 0;
  DIR *d = opendir(folder);
  assert_non_null(d);
  while (readdir(d)) count++;
  closedir(d);
  return count;
}

static struct health health_now(void) {
  long pages = 0, resident = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  assert_non_null(f);
  assert_int_equal(fscanf(f, "%ld %ld", &pages, &resident), 2);
  fclose(f);
  return (struct health){entries("/proc/self/fd"), entries("/proc/self/task"),
                         resident * (sysconf(_SC_PAGESIZE) / 1024)};
}

static void *serve(void *server) {
  return (void *)(intptr_t)server_run(server, NULL);
}

static void table_open(struct table *t, bool tls) {
  t->tls = tls;
  scene_open(&t->scene, test_seed(), 32);
  t->scene.queries = 2;
  t->scene.copies = 4;
  t->scene.public_samples = 8;
  t->scene.errors = 0;
  t->scene.tries = 3;
  t->scene.timeout_ms = 20000;
  if (tls) {
    certs_make(&t->certs);
    assert_ok(tls_server_new(&t->server_tls, t->certs.server_cert, t->certs.server_key, NULL, NULL));
    assert_ok(tls_client_new(&t->client_tls, t->certs.ca, NULL, NULL, NULL));
  }
  const struct server_handles handles = {.listen = {.host = "127.0.0.1"},
                                         .tls = t->server_tls,
                                         .model = t->scene.model,
                                         .engines = {{engine_find("cheetah")}, 1}};
  fusion_server_settings settings = fusion_server_defaults();
  settings.max_clients = CLIENTS;
  settings.max_samples_job = 1u << 20;
  settings.max_samples_day = 1u << 30;
  settings.max_memory = UINT64_C(1) << 30;
  settings.max_shard = 64;
  settings.handshake_timeout_ms = settings.timeout_ms = TIMEOUT_MS;
  settings.stop_grace_ms = 0;
  assert_ok(server_open(&t->server, &settings, &handles, NULL));
  assert_int_equal(pthread_create(&t->serving, NULL, serve, t->server), 0);
  t->target = (struct attack_target){
      .address = {.host = "127.0.0.1", .port = server_port(t->server)}, .tls = t->client_tls, .give_up_ms = GIVE_UP_MS};
}

static void table_close(struct table *t) {
  server_stop(t->server);
  pthread_join(t->serving, NULL);
  server_close(t->server);
  tls_free(t->server_tls);
  tls_free(t->client_tls);
  if (t->tls) certs_free(&t->certs);
  scene_close(&t->scene);
}

static void *attack_main(void *arg) {
  struct attacker *a = arg;
  /* On a busy machine an attacker may miss the handshake's short time-out before its attack begins. */
  a->end = ATTACK_NO_START;
  for (int tries = 0; tries < 10 && a->end == ATTACK_NO_START; tries++)
    a->end = a->attack->run(a->attack, a->target, &a->random);
  return NULL;
}

/* An honest client's job beside the attacks, and another when they are over if the machine was too slow for the first:
 * the server's time-outs are short here. */
static bool ask_honestly(struct table *t, fusion_error *why) {
  for (int tries = 0; tries < 5; tries++) {
    const enum outcome outcome = scene_ask(&t->scene, t->target.address.port, t->client_tls, why);
    if (outcome == OUTCOME_RIGHT) return true;
    if (outcome != OUTCOME_FAILED) fail_msg("an honest job beside an attack was not right: %s", why->text);
  }
  return false;
}

/* Every connection ends within the time-outs, and leaves nothing. */
static void expect_health(struct table *t, struct health before, const char *what) {
  const double deadline = clock_seconds() + 3 * TIMEOUT_MS * 1e-3 + 10;
  uint64_t reserved = 1;
  uint32_t open = 1, arriving = 1;
  struct health now = before;
  do {
    pthread_mutex_lock(&t->server->lock);
    open = t->server->active;
    arriving = t->server->arriving;
    reserved = t->server->memory_reserved;
    pthread_mutex_unlock(&t->server->lock);
    now = health_now();
    if (!open && !arriving && !reserved && now.descriptors <= before.descriptors && now.threads <= before.threads)
      return;
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
  } while (clock_seconds() < deadline);
  fail_msg("%s: left %u + %u connections, %llu bytes reserved, %u descriptors where %u were, %u threads where %u were",
           what, open, arriving, (unsigned long long)reserved, now.descriptors, before.descriptors, now.threads,
           before.threads);
}

/* All connections of attacks [first, last) at once, honest jobs beside them until they are over. */
static void run_together(struct table *t, size_t first, size_t last) {
  static struct attacker attackers[THREADS_MAX];
  const struct health before = health_now();
  size_t count = 0;
  for (size_t k = first; k < last; k++) {
    if (attacks[k].tls_only && !t->tls) continue;
    for (unsigned i = 0; i < (attacks[k].connections ? attacks[k].connections : 1); i++) {
      assert_true(count < THREADS_MAX);
      struct attacker *a = &attackers[count++];
      *a = (struct attacker){
          .attack = &attacks[k], .target = &t->target, .random = test_random(&t->scene.random), .row = k};
      assert_int_equal(pthread_create(&a->thread, NULL, attack_main, a), 0);
    }
  }
  if (!count) return;
  fusion_error why = {.status = FUSION_OK};
  if (!ask_honestly(t, &why)) fail_msg("no honest job came through beside '%s': %s", attacks[first].name, why.text);
  for (size_t k = first; k < last; k++) t->rows[k].honest += !attacks[k].tls_only || t->tls;
  for (size_t i = 0; i < count; i++) {
    struct attacker *a = &attackers[i];
    pthread_join(a->thread, NULL);
    struct row *r = &t->rows[a->row];
    r->name = a->attack->name;
    r->runs++;
    r->ended += a->end == ATTACK_ENDED;
    r->served += a->end == ATTACK_SERVED;
    r->wrong += a->end == ATTACK_ENDURED || a->end == ATTACK_NO_START;
    if (a->end == ATTACK_ENDURED) fail_msg("'%s': the server did not end it", a->attack->name);
    if (a->end == ATTACK_NO_START) fail_msg("'%s': the server could not be reached", a->attack->name);
  }
  expect_health(t, before, attacks[first].name);
}

/* More connections than the server takes: the others are told so or dropped, and when they are gone a client is served.
 */
static void run_crowd(struct table *t) {
  static const char name[] = "more connections than the server takes";
  const struct health before = health_now();
  struct row *r = &t->rows[attack_count];
  struct wire wires[CLIENTS + 60];
  const size_t count = sizeof wires / sizeof wires[0];
  r->name = name;
  for (size_t i = 0; i < count; i++) assert_true(wire_open(&wires[i], &t->target, false));
  for (size_t i = 0; i < count; i++) {
    r->runs++;
    const bool ended = wire_wait(&wires[i], GIVE_UP_MS) == ATTACK_ENDED;
    r->ended += ended;
    if (!ended) fail_msg("%s: one was not ended", name);
    wire_close(&wires[i], true);
  }
  fusion_error why = {.status = FUSION_OK};
  if (!ask_honestly(t, &why)) fail_msg("no honest job came through after '%s': %s", name, why.text);
  r->honest++;
  expect_health(t, before, name);
}

static void print_table(const struct table *t, long grown_kib) {
  struct row sum = {0};
  printf("\n%s; an honest client's job beside each, the server's health after each\n\n",
         t->tls ? "TLS 1.3" : "Plaintext");
  printf(
      "| attack of a client | connections | ended by the server | served to the end | honest jobs beside, all right | "
      "held on "
      "or hurt |\n|---|--:|--:|--:|--:|--:|\n");
  for (size_t i = 0; i <= attack_count; i++) {
    const struct row *r = &t->rows[i];
    if (!r->name) continue;
    printf("| %s | %u | %u | %u | %u | %u |\n", r->name, r->runs, r->ended, r->served, r->honest, r->wrong);
    sum.runs += r->runs;
    sum.ended += r->ended;
    sum.served += r->served;
    sum.honest += r->honest;
    sum.wrong += r->wrong;
  }
  printf("| **all** | %u | %u | %u | %u | **%u** |\n", sum.runs, sum.ended, sum.served, sum.honest, sum.wrong);
  printf("\nDescriptors, threads, reserved memory: as before each. Resident memory over all: %+ld KiB.\n", grown_kib);
}

static unsigned rounds;
static bool crowd;

static void attack_all(bool tls) {
  struct table *t = mem_alloc(1, sizeof *t);
  fusion_error why = {.status = FUSION_OK};
  assert_non_null(t);
  table_open(t, tls);
  /* Once before anything is counted: caches, arenas of the allocator. */
  if (!ask_honestly(t, &why)) fail_msg("the server serves nobody: %s", why.text);
  const long before = health_now().rss_kib;
  for (unsigned i = 0; i < rounds; i++) {
    if (rounds == 1) run_together(t, 0, attack_count);
    for (size_t k = 0; rounds > 1 && k < attack_count; k++) run_together(t, k, k + 1);
  }
  if (crowd) run_crowd(t);
  const long grown = health_now().rss_kib - before;
  print_table(t, grown);
  /* Threads' stacks and arenas stay with the C library, whatever the attack; a gigabyte claimed would not fit here. */
  assert_true(grown < 256 * 1024);
  table_close(t);
  mem_free(t);
}

static void server__outlives_every_attack_over_tls(void **state) {
  (void)state;
  attack_all(true);
}

static void server__outlives_every_attack_in_plaintext(void **state) {
  (void)state;
  attack_all(false);
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(server__outlives_every_attack_over_tls),
                                     cmocka_unit_test(server__outlives_every_attack_in_plaintext)};
  const bool all = argc > 1 && strcmp(argv[1], "long") == 0;
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < 1024 && files.rlim_max >= 1024) {
    files.rlim_cur = 1024;
    (void)!setrlimit(RLIMIT_NOFILE, &files);
  }
  signal(SIGPIPE, SIG_IGN);
  rounds = all ? 3 : 1;
  crowd = argc > 1;
  return _cmocka_run_group_tests("attack", tests, all ? 2 : 1, NULL, NULL);
}
