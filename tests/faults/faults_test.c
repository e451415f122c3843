/* Every fault of machine, disk, network and clock against whole jobs of an honest server and client: a job either ends
 * with the verdict and the answers of an unbroken one, or with an error in one line and no answers. Prints the table of
 * docs/security.md.
 * usage: faults [short|long] COMMAND [GROUP]: COMMAND is the program `fusion`; GROUP one of memory, threads, random,
 * openssl, network, clock, processes. FUSION_TEST_SEED repeats a run. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "faults/fault_table.h"
#include "faults/inject.h"
#include "faults/relay.h"
#include "support/support.h"

enum { PATIENCE_MS = 60000 }; /* time-out of jobs that must not meet one, on a busy machine */

static bool long_form;
static const char *command, *group; /* group NULL: all */

static bool wanted(const char *name) {
  return !group || strcmp(group, name) == 0;
}

/* ---- allocations, threads, randomness ---- */

struct refusal {
  enum inject_kind kind;
  bool all, tls;
  uint32_t workers;
  const char *name;
  unsigned short_runs, step; /* the long form tries every `step`-th call */
};

static const char *const groups[] = {
    [INJECT_MEMORY] = "memory", [INJECT_OPENSSL] = "openssl", [INJECT_THREAD] = "threads", [INJECT_RANDOM] = "random"};

static const struct refusal refusals[] = {
    {INJECT_MEMORY, false, false, 1, "one allocation fails, of client or server", 6, 1},
    {INJECT_MEMORY, false, false, 2, "one allocation fails, two workers", 0, 40},
    {INJECT_MEMORY, true, false, 1, "all allocations fail from one on", 3, 12},
    {INJECT_THREAD, false, false, 2, "a thread cannot be made", 1, 1},
    {INJECT_RANDOM, false, false, 2, "the system gives no randomness, once", 1, 1},
    {INJECT_RANDOM, true, false, 1, "the system gives no randomness any more", 1, 1},
    {INJECT_OPENSSL, false, true, 1, "one allocation of OpenSSL's fails", 1, 60},
};

static struct ask small_job(const struct fault_server *f, const struct refusal *r) {
  return (struct ask){.port = f->port,
                      .workers = r->workers,
                      .shard_samples = 30,
                      .tries = 2,
                      .timeout_ms = PATIENCE_MS,
                      .tls = r->tls,
                      .journal = !r->tls};
}

/* A job without any failure: counts its calls before those with one, and shows after them that nothing is broken. */
static void run_unbroken(struct fault_table *t, const struct fault_server *f, const struct refusal *r) {
  const struct ask ask = small_job(f, r);
  fusion_error why;
  inject_start(r->kind, 0, false);
  const enum outcome outcome = scene_ask(&t->scene, &ask, &why);
  inject_stop();
  if (scene_judge(&t->scene, outcome) != OUTCOME_RECOVERED)
    fail_msg("a job without fault, '%s': %s", r->name, why.text);
}

static void refuse_call(struct fault_table *t, const struct fault_server *f, const struct refusal *r, uint64_t nth) {
  const struct ask ask = small_job(f, r);
  char what[128];
  fusion_error why;
  snprintf(what, sizeof what, "%s: call %llu", r->name, (unsigned long long)nth);
  inject_start(r->kind, nth, r->all);
  const enum outcome outcome = scene_ask(&t->scene, &ask, &why);
  inject_stop();
  table_count(t, r->name, scene_judge(&t->scene, outcome), what, why.text);
  scene_sweep(&t->scene);
}

static void run_refusal(struct fault_table *t, const struct fault_server *f, const struct refusal *r, uint64_t calls) {
  for (unsigned i = 0; !t->long_form && i < r->short_runs; i++)
    refuse_call(t, f, r, 1 + (calls * i + scene_random(&t->scene, calls)) / r->short_runs);
  if (!t->long_form) return;
  run_unbroken(t, f, r);
  calls = inject_calls(r->kind);
  /* Threads race for their turn: the number of calls varies a little. */
  for (uint64_t nth = 1; nth <= calls + calls / 50; nth += r->step) {
    refuse_call(t, f, r, nth);
    if (nth / r->step % 10 == 1) run_unbroken(t, f, r);
  }
}

static void run_refusals(struct fault_table *t, bool tls) {
  struct fault_server f;
  const struct refusal *first = NULL;
  const size_t live = inject_live(), count = sizeof refusals / sizeof refusals[0];
  server_begin(&f, &t->scene, tls, 8);
  uint64_t calls[INJECT_KIND_COUNT];
  for (size_t k = 0; k < count; k++) {
    const struct refusal *r = &refusals[k];
    if (r->tls != tls || !wanted(groups[r->kind])) continue;
    if (!first) {
      run_unbroken(t, &f, first = r);
      for (int i = 0; i < INJECT_KIND_COUNT; i++) calls[i] = inject_calls((enum inject_kind)i);
    }
    run_refusal(t, &f, r, calls[r->kind]);
  }
  if (first) run_unbroken(t, &f, first);
  scene_sweep(&t->scene);
  server_end(&f);
  if (inject_live() > live) inject_print_live(live);
  assert_int_equal(inject_live(), live);
}

/* ---- network ---- */

struct break_kind {
  const char *name;
  enum relay_fault fault;
  unsigned connections; /* on so many of them */
  unsigned short_runs, long_runs;
};

static const struct break_kind breaks[] = {
    {"a connection cut at a random byte", RELAY_CUT, 1, 2, 120},
    {"every connection cut at a random byte", RELAY_CUT, 1000, 1, 40},
    {"a half-open connection: silence from a random byte on", RELAY_STALL, 1, 1, 20},
    {"every connection half-open", RELAY_STALL, 1000, 1, 10},
    {"200 bytes that drip in one by one", RELAY_DRIP, 1, 0, 12},
};

static void break_link(struct fault_table *t, const struct fault_server *f, const struct break_kind *b, bool tls,
                       bool from_server, uint64_t bytes) {
  struct ask ask = {.workers = 1, .shard_samples = 30, .tries = 2, .tls = tls, .timeout_ms = PATIENCE_MS};
  char what[160];
  fusion_error why;
  if (b->fault == RELAY_STALL) ask.timeout_ms = t->patience_ms;
  /* Bytes before the first shard are spent connecting, which the first connection does once only: from there on what is
   * lost can be run again. */
  const uint64_t after = scene_random(&t->scene, bytes);
  struct relay *relay = relay_open(&ask.port, f->port);
  relay_set(relay, b->fault, from_server, after, b->connections);
  const double started = clock_seconds();
  const enum outcome outcome = scene_ask(&t->scene, &ask, &why);
  const double seconds = clock_seconds() - started;
  relay_close(relay);
  snprintf(what, sizeof what, "%s: %s, %s, after %llu of %llu bytes, %.1f s", b->name, tls ? "TLS" : "plain",
           from_server ? "from the server" : "from the client", (unsigned long long)after, (unsigned long long)bytes,
           seconds);
  table_count(t, b->name, scene_judge(&t->scene, outcome), what, why.text);
  /* Two tries of a shard and the greeting, each as long as the time-out, then the machine's own slowness. */
  if (seconds > 4e-3 * ask.timeout_ms + 120) fail_msg("%s: took too long", what);
  scene_sweep(&t->scene);
}

/* TLS notices an altered record; the shard, or the greeting, runs again. The first bytes set up the keys: their damage
 * may look like a peer without a common version, which is not tried again. */
static void alter_bits(struct fault_table *t, const struct fault_server *f, const uint64_t bytes[2]) {
  const char *const name = "one bit altered on the way, TLS";
  enum { SET_UP_LEN = 4096 };
  for (unsigned i = 0; i < (t->long_form ? 120u : 4u); i++) {
    struct ask ask = {.workers = 1, .shard_samples = 30, .tries = 2, .tls = true, .timeout_ms = PATIENCE_MS};
    const bool from_server = i & 1;
    char what[160];
    fusion_error why;
    const uint64_t after = SET_UP_LEN + scene_random(&t->scene, bytes[from_server] - SET_UP_LEN - 1024);
    struct relay *relay = relay_open(&ask.port, f->port);
    relay_set(relay, RELAY_ALTER, from_server, after, 1);
    const enum outcome outcome = scene_ask(&t->scene, &ask, &why);
    relay_close(relay);
    snprintf(what, sizeof what, "%s: %s, byte %llu of %llu", name, from_server ? "from the server" : "from the client",
             (unsigned long long)after, (unsigned long long)bytes[from_server]);
    if (outcome != OUTCOME_RECOVERED) fail_msg("%s: %s", what, why.text);
    table_count(t, name, scene_judge(&t->scene, outcome), what, why.text);
    scene_sweep(&t->scene);
  }
}

static void run_breaks(struct fault_table *t) {
  for (int tls = 0; tls < 2; tls++) {
    struct fault_server f;
    fusion_error why;
    uint64_t bytes[2];
    struct ask ask = {.workers = 1, .shard_samples = 30, .tries = 2, .tls = tls, .timeout_ms = PATIENCE_MS};
    server_begin(&f, &t->scene, tls, 64);
    struct relay *relay = relay_open(&ask.port, f.port);
    relay_set(relay, RELAY_NONE, false, 0, 0);
    if (scene_ask(&t->scene, &ask, &why) != OUTCOME_RECOVERED) fail_msg("through a relay: %s", why.text);
    bytes[0] = relay_passed(relay, false);
    bytes[1] = relay_passed(relay, true);
    relay_close(relay);
    if (tls) alter_bits(t, &f, bytes);
    for (size_t k = 0; k < sizeof breaks / sizeof breaks[0]; k++) {
      const struct break_kind *b = &breaks[k];
      const unsigned runs = t->long_form ? b->long_runs : b->short_runs;
      for (unsigned i = 0; i < runs; i++)
        if ((i & 1) == (unsigned)tls) break_link(t, &f, b, tls, i & 2, bytes[(i & 2) != 0]);
    }
    server_end(&f);
  }
}

/* ---- the clock ---- */

struct jumper {
  atomic_bool stop;
  uint64_t random;
};

static void *jump(void *arg) {
  struct jumper *j = arg;
  while (!atomic_load(&j->stop)) {
    const int64_t years = (int64_t)(test_random(&j->random) % 61) - 30;
    inject_clock(years * 365 * 86400);
    usleep(2000);
  }
  inject_clock(0);
  return NULL;
}

static void run_clock(struct fault_table *t) {
  const char *const name = "the time of day jumps by years, every 2 ms";
  struct fault_server f;
  server_begin(&f, &t->scene, true, 8);
  for (unsigned i = 0; i < (t->long_form ? 20 : 1); i++) {
    const struct ask ask = {
        .port = f.port, .workers = 2, .shard_samples = 10, .tries = 1, .tls = true, .timeout_ms = PATIENCE_MS};
    struct jumper j = {.random = test_random(&t->scene.random)};
    pthread_t thread;
    fusion_error why;
    assert_int_equal(pthread_create(&thread, NULL, jump, &j), 0);
    const enum outcome outcome = scene_ask(&t->scene, &ask, &why);
    atomic_store(&j.stop, true);
    pthread_join(thread, NULL);
    if (outcome != OUTCOME_RECOVERED) fail_msg("%s: %s", name, why.text);
    table_count(t, name, scene_judge(&t->scene, outcome), name, why.text);
    scene_sweep(&t->scene);
  }
  server_end(&f);
}

static void faults__lose_nothing(void **state) {
  (void)state;
  struct fault_table *t = mem_alloc(1, sizeof *t);
  assert_non_null(t);
  *t = (struct fault_table){.long_form = long_form, .started = clock_seconds(), .patience_ms = 700};
  scene_open(&t->scene, test_seed(), command);
  run_refusals(t, false);
  run_refusals(t, true);
  if (wanted("network")) run_breaks(t);
  if (wanted("clock")) run_clock(t);
  if (wanted("processes")) run_processes(t);
  table_print(t);
  scene_close(&t->scene);
  mem_free(t);
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(faults__lose_nothing)};
  if (argc < 3 || argc > 4) return 2;
  group = argv[3];
  long_form = strcmp(argv[1], "long") == 0;
  command = argv[2];
  signal(SIGPIPE, SIG_IGN);
  inject_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
