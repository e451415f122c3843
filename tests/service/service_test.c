/* Clients' limits, the ledger and the metrics, without a server. The command as a whole: tests/cli/service.py. */
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "service/clients.h"
#include "service/ledger.h"
#include "service/metrics.h"
#include "support/support.h"

static char folder[] = "/tmp/fusion-service-XXXXXX";
static char ledger_path[64], clients_path[64];

/* ---- clients ---- */

static void write_clients(const char *text) {
  FILE *f = fopen(clients_path, "w");
  assert_non_null(f);
  fputs(text, f);
  fclose(f);
}

static void clients__have_the_limits_of_their_entry(void **state) {
  (void)state;
  struct clients *c;
  struct client_limits limits;
  fusion_error why;
  write_clients(
      "{\"hospital-a\": {\"samples_day\": 2000, \"jobs\": 4, \"prepared_bytes\": 9000000000, "
      "\"models\": [\"tumour\"]}, \"bank\": {}}");
  assert_ok(clients_load(&c, clients_path, &why));
  assert_ok(clients_limits(c, "hospital-a", "tumour", &limits, &why));
  assert_int_equal(limits.samples_day, 2000);
  assert_int_equal(limits.jobs, 4);
  assert_int_equal(limits.prepared_bytes, 9000000000);
  assert_int_equal(clients_limits(c, "hospital-a", "other", &limits, &why), FUSION_E_REFUSED);
  assert_string_equal(why.text, "the client 'hospital-a' may not use this model");
  assert_ok(clients_limits(c, "bank", "other", &limits, &why));
  assert_int_equal(limits.samples_day, 0);
  assert_int_equal(limits.prepared_bytes, 0);
  assert_int_equal(clients_limits(c, "stranger", "tumour", &limits, &why), FUSION_E_REFUSED);
  clients_free(c);
  write_clients("{\"*\": {\"samples_day\": 5}}");
  assert_ok(clients_load(&c, clients_path, &why));
  assert_ok(clients_limits(c, "stranger", "tumour", &limits, &why));
  assert_int_equal(limits.samples_day, 5);
  clients_free(c);
}

static void clients__a_file_that_is_wrong_is_refused(void **state) {
  (void)state;
  static const struct {
    const char *text, *why;
  } cases[] = {
      {"", "line"},
      {"[]", "is no JSON object of clients"},
      {"{\"a\": 1}", "'a' is no object"},
      {"{\"a\": {\"sample_day\": 1}}", "'a' has 'sample_day'"},
      {"{\"a\": {\"samples_day\": 0}}", "samples_day of 'a' is no whole number above 0"},
      {"{\"a\": {\"jobs\": 1.5}}", "jobs of 'a' is no whole number above 0"},
      {"{\"a\": {\"prepared_bytes\": \"1G\"}}", "prepared_bytes of 'a' is no whole number above 0"},
      {"{\"a\": {\"models\": [1]}}", "models of 'a' is no list of names"},
      {"{\"a\": {}, \"a\": {}}", "duplicate"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct clients *c;
    fusion_error err;
    write_clients(cases[i].text);
    assert_int_equal(clients_load(&c, clients_path, &err), FUSION_E_INPUT);
    if (!strstr(err.text, cases[i].why)) fail_msg("'%s': %s", cases[i].text, err.text);
  }
  struct clients *c;
  assert_int_equal(clients_load(&c, "/nonexistent", NULL), FUSION_E_IO);
}

/* ---- ledger ---- */

static struct ledger *open_ledger(void) {
  struct ledger *l;
  fusion_error err;
  if (ledger_open(&l, ledger_path, "0123", &err) != FUSION_OK) fail_msg("%s", err.text);
  return l;
}

static void forget_ledger(void) {
  char path[80];
  unlink(ledger_path);
  snprintf(path, sizeof path, "%s-wal", ledger_path);
  unlink(path);
  snprintf(path, sizeof path, "%s-shm", ledger_path);
  unlink(path);
}

static struct allowance claim_of(const char *job, const char *client, uint64_t samples) {
  return (struct allowance){
      .job_id = job, .client = client, .engine = "fake", .declared = samples, .client_day = 100, .all_day = 150};
}

static struct event end_of(uint64_t samples, fusion_status status) {
  struct event e = event_of(EVENT_JOB_ENDED);
  e.samples = samples;
  e.status = status;
  e.connections = 1;
  return e;
}

static int64_t ask(const char *sql) {
  sqlite3 *db;
  sqlite3_stmt *s;
  assert_int_equal(sqlite3_open(ledger_path, &db), SQLITE_OK);
  assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
  assert_int_equal(sqlite3_step(s), SQLITE_ROW);
  const int64_t value = sqlite3_column_int64(s, 0);
  sqlite3_finalize(s);
  sqlite3_close(db);
  return value;
}

static bool change(const char *sql) {
  sqlite3 *db;
  assert_int_equal(sqlite3_open(ledger_path, &db), SQLITE_OK);
  const bool good = sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
  sqlite3_close(db);
  return good;
}

static void ledger__claims_are_kept_to_and_given_back(void **state) {
  (void)state;
  struct ledger *l = open_ledger();
  fusion_error why;
  const struct allowance a = claim_of("j1", "a", 60), again = claim_of("j2", "a", 50), b = claim_of("j3", "b", 95);
  assert_ok(ledger_reserve(l, &a, &why));
  assert_int_equal(ledger_reserve(l, &again, &why), FUSION_E_BUSY);
  assert_string_equal(why.text, "this client's allowance of today has 40 samples left; the job needs 50");
  assert_int_equal(ledger_reserve(l, &b, &why), FUSION_E_BUSY);
  assert_string_equal(why.text, "today's allowance has 90 samples left; the job needs 95");
  assert_ok(ledger_book(l, &a, 10, &why));
  struct event e = end_of(10, FUSION_E_CLOSED);
  e.reason = "gone";
  assert_ok(ledger_release(l, &a, &e, &why)); /* 50 come back */
  assert_ok(ledger_reserve(l, &again, &why));
  assert_ok(ledger_release(l, &again, NULL, &why)); /* nothing ran: no row */
  assert_ok(ledger_reserve(l, &b, &why));
  assert_ok(ledger_release(l, &b, NULL, &why));
  const struct allowance large = claim_of("j4", "a", 101);
  assert_int_equal(ledger_reserve(l, &large, &why), FUSION_E_LIMIT); /* never fits */
  ledger_close(l);
  assert_int_equal(ask("SELECT COUNT(*) FROM jobs"), 1);
  assert_int_equal(ask("SELECT COUNT(*) FROM jobs WHERE outcome = 'failed' AND reason = 'gone' AND samples = 10"), 1);
  assert_int_equal(ask("SELECT COUNT(*) FROM open_jobs"), 0);
  forget_ledger();
}

static void ledger__a_job_over_two_servers_is_one_row(void **state) {
  (void)state;
  struct ledger *l[2] = {open_ledger(), open_ledger()};
  const struct allowance a = claim_of("j1", "a", 80);
  const struct event part = end_of(40, FUSION_OK);
  for (int i = 0; i < 2; i++) assert_ok(ledger_reserve(l[i], &a, NULL)); /* claimed once: 160 would not fit */
  for (int i = 0; i < 2; i++) assert_ok(ledger_book(l[i], &a, 40, NULL));
  for (int i = 0; i < 2; i++) assert_ok(ledger_release(l[i], &a, &part, NULL));
  for (int i = 0; i < 2; i++) ledger_close(l[i]);
  assert_int_equal(ask("SELECT COUNT(*) FROM jobs"), 1);
  assert_int_equal(ask("SELECT samples FROM jobs WHERE outcome = 'done' AND connections = 2"), 80);
  assert_int_equal(ask("SELECT samples FROM days WHERE client = 'a'"), 80);
  forget_ledger();
}

static void ledger__a_server_that_was_killed_lets_go(void **state) {
  (void)state;
  struct ledger *killed = open_ledger(), *l = open_ledger();
  const struct allowance a = claim_of("j1", "a", 80), next = claim_of("j2", "a", 60);
  assert_ok(ledger_reserve(killed, &a, NULL));
  assert_ok(ledger_book(killed, &a, 30, NULL));
  ledger_close(killed);
  assert_int_equal(ledger_reserve(l, &next, NULL), FUSION_E_BUSY);
  assert_true(change("UPDATE holds SET until = 1"));
  assert_ok(ledger_reserve(l, &next, NULL)); /* 30 of 100 have run */
  assert_ok(ledger_release(l, &next, NULL, NULL));
  ledger_close(l);
  assert_int_equal(ask("SELECT COUNT(*) FROM jobs WHERE job = 'j1' AND outcome = 'lost'"), 1);
  forget_ledger();
}

struct racer {
  pthread_t thread;
  struct ledger *ledger;
  char job[16];
  bool ran;
};

static void *race(void *arg) {
  struct racer *r = arg;
  struct allowance a = claim_of(r->job, "a", 10);
  const struct event e = end_of(10, FUSION_OK);
  fusion_error why;
  const fusion_status status = ledger_reserve(r->ledger, &a, &why);
  if (status != FUSION_OK) return status == FUSION_E_BUSY ? NULL : (void *)1;
  r->ran = true;
  if (ledger_book(r->ledger, &a, 10, &why) != FUSION_OK) return (void *)1;
  return ledger_release(r->ledger, &a, &e, &why) == FUSION_OK ? NULL : (void *)1;
}

static void ledger__counts_are_exact_under_20_jobs_at_once(void **state) {
  (void)state;
  enum { JOBS = 20 };
  struct ledger *l[2] = {open_ledger(), open_ledger()};
  struct racer r[JOBS];
  unsigned ran = 0;
  for (int i = 0; i < JOBS; i++) {
    r[i] = (struct racer){.ledger = l[i & 1]};
    snprintf(r[i].job, sizeof r[i].job, "j%d", i);
    assert_int_equal(pthread_create(&r[i].thread, NULL, race, &r[i]), 0);
  }
  for (int i = 0; i < JOBS; i++) {
    void *failed;
    pthread_join(r[i].thread, &failed);
    assert_null(failed);
    ran += r[i].ran;
  }
  assert_int_equal(ran, 10); /* the client's day has room for ten */
  for (int i = 0; i < 2; i++) ledger_close(l[i]);
  assert_int_equal(ask("SELECT samples FROM days WHERE client = 'a'"), 100);
  assert_int_equal(ask("SELECT COUNT(*) FROM jobs"), 10);
  uint64_t rows;
  char head[LEDGER_HEX_LEN];
  assert_ok(ledger_verify(ledger_path, &rows, head, NULL));
  assert_int_equal(rows, 10);
  forget_ledger();
}

static void *open_one(void *arg) {
  (void)arg;
  struct ledger *l;
  const fusion_status status = ledger_open(&l, ledger_path, "0123", NULL);
  if (status == FUSION_OK) ledger_close(l);
  return (void *)(intptr_t)status;
}

static void ledger__servers_may_start_at_once(void **state) {
  (void)state;
  enum { SERVERS = 8 };
  pthread_t threads[SERVERS];
  for (int i = 0; i < SERVERS; i++) assert_int_equal(pthread_create(&threads[i], NULL, open_one, NULL), 0);
  for (int i = 0; i < SERVERS; i++) {
    void *status;
    pthread_join(threads[i], &status);
    assert_int_equal((intptr_t)status, FUSION_OK);
  }
  forget_ledger();
}

static void fill_ledger(int jobs) {
  struct ledger *l = open_ledger();
  for (int i = 0; i < jobs; i++) {
    char job[16];
    snprintf(job, sizeof job, "j%d", i);
    const struct allowance a = claim_of(job, "a", 5);
    const struct event e = end_of(5, FUSION_OK);
    assert_ok(ledger_reserve(l, &a, NULL));
    assert_ok(ledger_book(l, &a, 5, NULL));
    assert_ok(ledger_release(l, &a, &e, NULL));
  }
  ledger_close(l);
}

static void ledger__any_altered_row_is_found(void **state) {
  (void)state;
  static const char *const columns[] = {"time",    "client", "job",      "model", "engine",
                                        "outcome", "reason", "previous", "hash"};
  static const char *const numbers[] = {"declared",   "samples",      "bytes_received",
                                        "bytes_sent", "milliseconds", "connections"};
  char sql[200], head[LEDGER_HEX_LEN];
  uint64_t rows;
  fusion_error err;
  fill_ledger(4);
  assert_ok(ledger_verify(ledger_path, &rows, head, &err));
  assert_int_equal(rows, 4);
  assert_false(change("UPDATE jobs SET samples = 1 WHERE seq = 2")); /* append-only */
  assert_false(change("DELETE FROM jobs WHERE seq = 2"));
  assert_true(change("DROP TRIGGER jobs_stay; DROP TRIGGER jobs_remain; CREATE TABLE kept AS SELECT * FROM jobs"));
  static const char restore[] = "DELETE FROM jobs; INSERT INTO jobs SELECT * FROM kept";
  for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
    snprintf(sql, sizeof sql, "UPDATE jobs SET %s = %s || 'x' WHERE seq = 2", columns[i], columns[i]);
    assert_true(change(sql));
    assert_int_equal(ledger_verify(ledger_path, &rows, head, &err), FUSION_E_CRYPTO);
    assert_non_null(strstr(err.text, "row 2 "));
    assert_true(change(restore));
  }
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    snprintf(sql, sizeof sql, "UPDATE jobs SET %s = %s + 1 WHERE seq = 3", numbers[i], numbers[i]);
    assert_true(change(sql));
    assert_int_equal(ledger_verify(ledger_path, &rows, head, &err), FUSION_E_CRYPTO);
    assert_true(change(restore));
  }
  assert_true(change("DELETE FROM jobs WHERE seq = 2"));
  assert_int_equal(ledger_verify(ledger_path, &rows, head, &err), FUSION_E_CRYPTO);
  assert_non_null(strstr(err.text, "row 2 is missing"));
  assert_true(change("UPDATE jobs SET seq = seq - 1 WHERE seq > 2"));
  assert_int_equal(ledger_verify(ledger_path, &rows, head, &err), FUSION_E_CRYPTO);
  assert_true(change(restore));
  assert_ok(ledger_verify(ledger_path, &rows, head, &err));
  forget_ledger();
}

static void ledger__what_is_none_is_refused(void **state) {
  (void)state;
  struct ledger *l;
  fusion_error err;
  char head[LEDGER_HEX_LEN];
  uint64_t rows;
  assert_int_equal(ledger_open(&l, "/nonexistent/ledger", "", &err), FUSION_E_IO);
  assert_int_equal(ledger_verify("/nonexistent/ledger", &rows, head, &err), FUSION_E_IO);
  assert_true(change("CREATE TABLE mine (x)")); /* a database of something else */
  assert_int_equal(ledger_open(&l, ledger_path, "", &err), FUSION_E_INPUT);
  assert_non_null(strstr(err.text, "is a database of something else"));
  forget_ledger();
  ledger_close(open_ledger());
  assert_true(change("PRAGMA user_version = 2"));
  assert_int_equal(ledger_open(&l, ledger_path, "", &err), FUSION_E_INPUT);
  assert_non_null(strstr(err.text, "of a newer release"));
  forget_ledger();
  write_clients("this is text, not a database, and long enough to be no header");
  assert_int_equal(ledger_open(&l, clients_path, "", &err), FUSION_E_IO);
  assert_int_equal(ledger_verify(clients_path, &rows, head, &err), FUSION_E_INPUT);
}

/* ---- metrics ---- */

static void metrics__count_what_is_told(void **state) {
  (void)state;
  struct metrics m;
  struct writer w = {0};
  metrics_open(&m);
  struct event e = event_of(EVENT_JOB_BEGUN);
  metrics_take(&m, &e);
  e = end_of(10, FUSION_OK);
  e.seconds = 5;
  metrics_take(&m, &e);
  e = event_of(EVENT_REFUSED);
  e.status = FUSION_E_BUSY;
  metrics_take(&m, &e);
  metrics_take(&m, &e);
  metrics_write(&m, &(struct metrics_now){.connections = 3, .ready = true}, &w);
  write_u8(&w, 0);
  static const char *const lines[] = {"\nfusion_jobs_begun_total 1\n",
                                      "\nfusion_jobs_running 0\n",
                                      "\nfusion_jobs_ended_total{outcome=\"done\"} 1\n",
                                      "\nfusion_connections_refused_total{reason=\"busy\"} 2\n",
                                      "\nfusion_job_duration_seconds_bucket{le=\"1\"} 0\n",
                                      "\nfusion_job_duration_seconds_bucket{le=\"10\"} 1\n",
                                      "\nfusion_ready 1\n",
                                      "\nfusion_connections 3\n"};
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
    if (!strstr((const char *)w.data, lines[i])) fail_msg("no '%s' in\n%s", lines[i], (const char *)w.data);
  writer_free(&w);
  metrics_close(&m);
}

static int make_folder(void **state) {
  (void)state;
  if (!mkdtemp(folder)) return 1;
  snprintf(ledger_path, sizeof ledger_path, "%s/ledger.db", folder);
  snprintf(clients_path, sizeof clients_path, "%s/clients.json", folder);
  return 0;
}

static int remove_folder(void **state) {
  (void)state;
  unlink(clients_path);
  return rmdir(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(clients__have_the_limits_of_their_entry),
      cmocka_unit_test(clients__a_file_that_is_wrong_is_refused),
      cmocka_unit_test(ledger__claims_are_kept_to_and_given_back),
      cmocka_unit_test(ledger__a_job_over_two_servers_is_one_row),
      cmocka_unit_test(ledger__a_server_that_was_killed_lets_go),
      cmocka_unit_test(ledger__counts_are_exact_under_20_jobs_at_once),
      cmocka_unit_test(ledger__servers_may_start_at_once),
      cmocka_unit_test(ledger__any_altered_row_is_found),
      cmocka_unit_test(ledger__what_is_none_is_refused),
      cmocka_unit_test(metrics__count_what_is_told),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
