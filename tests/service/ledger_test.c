/* The ledger, in an SQLite file or (`ledger postgres`, with an address in FUSION_TEST_POSTGRES) in PostgreSQL. */
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#ifdef FUSION_POSTGRES
#include <libpq-fe.h>
#endif

#include "faults/relay.h"
#include "service/ledger_store.h"
#include "support/support.h"

static char folder[] = "/tmp/fusion-ledger-XXXXXX";
static char ledger_path[64];
static const char *where; /* the ledger: ledger_path, or an address */
static bool in_postgres;

static struct ledger *open_ledger_at(const char *at) {
  struct ledger *l;
  fusion_error err;
  if (ledger_open(&l, at, &err) != FUSION_OK) fail_msg("%s", err.text);
  return l;
}

static struct ledger *open_ledger(void) {
  return open_ledger_at(where);
}

/* Statements outside the ledger's own connections; whether they went through. */
#ifdef FUSION_POSTGRES
static bool change_postgres(const char *sql) {
  PGconn *c = PQconnectdb(where);
  PGresult *r = PQexec(c, sql);
  const ExecStatusType is = PQresultStatus(r);
  PQclear(r);
  PQfinish(c);
  return is == PGRES_COMMAND_OK || is == PGRES_TUPLES_OK;
}
#else
static bool change_postgres(const char *sql) {
  (void)sql;
  return false;
}
#endif

static bool change(const char *sql) {
  sqlite3 *db;
  if (in_postgres) return change_postgres(sql);
  assert_int_equal(sqlite3_open(ledger_path, &db), SQLITE_OK);
  const bool good = sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
  sqlite3_close(db);
  return good;
}

static void forget_ledger(void) {
  char path[80];
  if (in_postgres) {
    assert_true(change("SET client_min_messages = error; DROP SCHEMA public CASCADE; CREATE SCHEMA public"));
    return;
  }
  unlink(ledger_path);
  snprintf(path, sizeof path, "%s-wal", ledger_path);
  unlink(path);
  snprintf(path, sizeof path, "%s-shm", ledger_path);
  unlink(path);
}

static int64_t ask(const char *sql) {
  struct store *s;
  int64_t value;
  fusion_error err;
  if (store_open(&s, where, true, &err) != FUSION_OK) fail_msg("%s", err.text);
  assert_true(store_number(s, &value, sql, ""));
  s->calls->close(s);
  return value;
}

static struct allowance claim_of(const char *job, const char *client, uint64_t samples) {
  return (struct allowance){.job_id = job,
                            .client = client,
                            .engine = "fake",
                            .model = "0123",
                            .declared = samples,
                            .client_day = 100,
                            .all_day = 150};
}

static struct event end_of(uint64_t samples, fusion_status status) {
  struct event e = event_of(EVENT_JOB_ENDED);
  e.samples = samples;
  e.status = status;
  e.connections = 1;
  e.left = clock_seconds();
  return e;
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

/* Samples that ran twice may be more than those that are left: a job is over when no server has it any more. */
static void ledger__a_job_that_others_still_run_is_not_closed(void **state) {
  (void)state;
  struct ledger *l[2] = {open_ledger(), open_ledger()};
  const struct allowance a = claim_of("j1", "a", 40);
  const struct event part = end_of(40, FUSION_OK);
  for (int i = 0; i < 2; i++) assert_ok(ledger_reserve(l[i], &a, NULL));
  for (int i = 0; i < 2; i++) assert_ok(ledger_book(l[i], &a, 20, NULL));
  assert_ok(ledger_book(l[0], &a, 20, NULL));
  assert_ok(ledger_release(l[0], &a, &part, NULL));
  assert_ok(ledger_book(l[1], &a, 20, NULL));
  assert_ok(ledger_release(l[1], &a, &part, NULL));
  for (int i = 0; i < 2; i++) ledger_close(l[i]);
  assert_int_equal(ask("SELECT COUNT(*) FROM jobs"), 1);
  assert_int_equal(ask("SELECT samples FROM jobs"), 80);
  forget_ledger();
}

/* One was cut off, and tells so when the job has long been done elsewhere. */
static void ledger__a_job_came_to_what_its_last_server_says(void **state) {
  (void)state;
  struct ledger *l[2] = {open_ledger(), open_ledger()};
  const struct allowance a = claim_of("j1", "a", 80);
  struct event cut = end_of(30, FUSION_E_CLOSED), done = end_of(40, FUSION_OK);
  cut.left -= 2;
  cut.reason = "gone";
  for (int i = 0; i < 2; i++) assert_ok(ledger_reserve(l[i], &a, NULL));
  for (int i = 0; i < 2; i++) assert_ok(ledger_book(l[i], &a, 40, NULL));
  assert_ok(ledger_release(l[0], &a, &done, NULL));
  assert_ok(ledger_release(l[1], &a, &cut, NULL));
  for (int i = 0; i < 2; i++) ledger_close(l[i]);
  assert_int_equal(ask("SELECT samples FROM jobs WHERE outcome = 'done' AND reason = ''"), 70);
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

static void ledger__samples_of_a_killed_server_are_in_the_jobs_row(void **state) {
  (void)state;
  struct ledger *killed = open_ledger(), *l = open_ledger();
  struct allowance a = claim_of("j1", "a", 80);
  const struct event part = end_of(50, FUSION_OK);
  assert_ok(ledger_reserve(killed, &a, NULL));
  assert_ok(ledger_reserve(l, &a, NULL));
  assert_ok(ledger_book(killed, &a, 30, NULL));
  a.ran = 30; /* they ended, and 10 more began when it was killed */
  assert_ok(ledger_book(killed, &a, 10, NULL));
  ledger_close(killed);
  a.ran = 0;
  assert_ok(ledger_book(l, &a, 50, NULL));
  assert_ok(ledger_release(l, &a, &part, NULL));
  assert_int_equal(ask("SELECT COUNT(*) FROM jobs"), 0); /* the killed one may come back */
  assert_true(change("UPDATE holds SET until = 1"));
  assert_ok(ledger_renew(l, NULL));
  ledger_close(l);
  assert_int_equal(ask("SELECT COUNT(*) FROM jobs"), 1);
  assert_int_equal(ask("SELECT samples FROM jobs WHERE outcome = 'done' AND declared = 80"), 80);
  assert_int_equal(ask("SELECT samples FROM days WHERE client = 'a'"), 90); /* all that began */
  forget_ledger();
}

static void ledger__a_job_that_was_closed_books_no_more(void **state) {
  (void)state;
  struct ledger *l = open_ledger();
  const struct allowance a = claim_of("j1", "a", 80);
  fusion_error why;
  assert_ok(ledger_reserve(l, &a, NULL));
  assert_ok(ledger_book(l, &a, 30, NULL));
  assert_true(change("UPDATE holds SET until = 1"));
  struct ledger *other = open_ledger();
  assert_ok(ledger_renew(other, NULL));
  assert_int_equal(ledger_book(l, &a, 30, &why), FUSION_E_BUSY);
  assert_non_null(strstr(why.text, "has closed this job"));
  const struct event e = end_of(30, FUSION_OK);
  assert_ok(ledger_release(l, &a, &e, NULL));
  ledger_close(l);
  ledger_close(other);
  assert_int_equal(ask("SELECT COUNT(*) FROM jobs"), 1);
  assert_int_equal(ask("SELECT samples FROM days WHERE client = 'a'"), 30);
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
  assert_ok(ledger_verify(where, &rows, head, NULL));
  assert_int_equal(rows, 10);
  forget_ledger();
}

static void *open_one(void *arg) {
  (void)arg;
  struct ledger *l;
  const fusion_status status = ledger_open(&l, where, NULL);
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
  assert_ok(ledger_verify(where, &rows, head, &err));
  assert_int_equal(rows, 4);
  assert_false(change("UPDATE jobs SET samples = 1 WHERE seq = 2")); /* append-only */
  assert_false(change("DELETE FROM jobs WHERE seq = 2"));
  assert_true(change(in_postgres ? "DROP TRIGGER jobs_stay ON jobs; DROP TRIGGER jobs_remain ON jobs"
                                 : "DROP TRIGGER jobs_stay; DROP TRIGGER jobs_remain"));
  assert_true(change("CREATE TABLE kept AS SELECT * FROM jobs"));
  static const char restore[] = "DELETE FROM jobs; INSERT INTO jobs SELECT * FROM kept";
  for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
    snprintf(sql, sizeof sql, "UPDATE jobs SET %s = %s || 'x' WHERE seq = 2", columns[i], columns[i]);
    assert_true(change(sql));
    assert_int_equal(ledger_verify(where, &rows, head, &err), FUSION_E_CRYPTO);
    assert_non_null(strstr(err.text, "row 2 "));
    assert_true(change(restore));
  }
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    snprintf(sql, sizeof sql, "UPDATE jobs SET %s = %s + 1 WHERE seq = 3", numbers[i], numbers[i]);
    assert_true(change(sql));
    assert_int_equal(ledger_verify(where, &rows, head, &err), FUSION_E_CRYPTO);
    assert_true(change(restore));
  }
  assert_true(change("DELETE FROM jobs WHERE seq = 2"));
  assert_int_equal(ledger_verify(where, &rows, head, &err), FUSION_E_CRYPTO);
  assert_non_null(strstr(err.text, "row 2 is missing"));
  assert_true(change("UPDATE jobs SET seq = seq - 1 WHERE seq > 2"));
  assert_int_equal(ledger_verify(where, &rows, head, &err), FUSION_E_CRYPTO);
  assert_true(change(restore));
  assert_ok(ledger_verify(where, &rows, head, &err));
  forget_ledger();
}

static void ledger__a_number_that_only_reads_alike_is_found(void **state) {
  (void)state;
  char head[LEDGER_HEX_LEN];
  uint64_t rows;
  fill_ledger(2);
  assert_true(change("DROP TRIGGER jobs_stay; UPDATE jobs SET samples = '5x' WHERE seq = 2"));
  assert_int_equal(ledger_verify(where, &rows, head, NULL), FUSION_E_CRYPTO);
  forget_ledger();
}

static void ledger__what_is_none_is_refused(void **state) {
  (void)state;
  struct ledger *l;
  fusion_error err;
  char head[LEDGER_HEX_LEN];
  uint64_t rows;
  assert_int_equal(ledger_open(&l, "/nonexistent/ledger", &err), FUSION_E_IO);
  assert_int_equal(ledger_verify("/nonexistent/ledger", &rows, head, &err), FUSION_E_IO);
  assert_true(change("CREATE TABLE mine (x)")); /* a database of something else */
  assert_int_equal(ledger_open(&l, where, &err), FUSION_E_INPUT);
  assert_non_null(strstr(err.text, "is a database of something else"));
  forget_ledger();
  ledger_close(open_ledger());
  assert_true(change("PRAGMA user_version = 2"));
  assert_int_equal(ledger_open(&l, where, &err), FUSION_E_INPUT);
  assert_non_null(strstr(err.text, "of a newer release"));
  forget_ledger();
  FILE *f = fopen(ledger_path, "w");
  assert_non_null(f);
  fputs("this is text, not a database, and long enough to be no header", f);
  fclose(f);
  assert_int_equal(ledger_open(&l, where, &err), FUSION_E_IO);
  assert_int_equal(ledger_verify(where, &rows, head, &err), FUSION_E_INPUT);
  forget_ledger();
}

#ifndef FUSION_POSTGRES
static void ledger__a_database_needs_a_build_with_libpq(void **state) {
  (void)state;
  struct ledger *l;
  fusion_error err;
  assert_int_equal(ledger_open(&l, "postgresql://u:secret@127.0.0.1:1/x", &err), FUSION_E_UNSUPPORTED);
  assert_non_null(strstr(err.text, "install libpq-dev"));
  assert_null(strstr(err.text, "secret"));
}
#else
/* ---- PostgreSQL alone ---- */

static void postgres__what_is_no_ledger_is_refused(void **state) {
  (void)state;
  struct ledger *l;
  fusion_error err;
  char head[LEDGER_HEX_LEN];
  uint64_t rows;
  assert_int_equal(ledger_verify(where, &rows, head, &err), FUSION_E_INPUT); /* there is none yet */
  assert_true(change("CREATE TABLE jobs (x INTEGER)"));
  assert_int_equal(ledger_open(&l, where, &err), FUSION_E_INPUT);
  assert_non_null(strstr(err.text, "holds a table 'jobs' of something else"));
  forget_ledger();
  ledger_close(open_ledger());
  assert_true(change("UPDATE ledger SET version = 2"));
  assert_int_equal(ledger_open(&l, where, &err), FUSION_E_INPUT);
  assert_non_null(strstr(err.text, "of a newer release"));
  forget_ledger();
  assert_int_equal(ledger_open(&l, "postgresql://u:secret@127.0.0.1:1/x?connect_timeout=1", &err), FUSION_E_NETWORK);
  assert_non_null(strstr(err.text, "'postgresql://127.0.0.1:1/x': the database cannot be reached"));
  assert_null(strstr(err.text, "secret"));
  assert_int_equal(ledger_open(&l, "postgresql://u:secret@host:port/x", &err), FUSION_E_NETWORK);
  assert_null(strstr(err.text, "secret"));
  assert_int_equal(ledger_open(&l, "postgresql://u:secret@host/x?nonsense=1", &err), FUSION_E_USAGE);
  assert_null(strstr(err.text, "secret"));
}

/* The address of the database through a relay that fails as told. */
static struct relay *open_relay(char address[256]) {
  uint16_t port = 0;
  const char *colon = strrchr(where, ':');
  char *slash;
  assert_non_null(colon);
  const unsigned long server = strtoul(colon + 1, &slash, 10);
  struct relay *r = relay_open(&port, (uint16_t)server);
  assert_non_null(r);
  snprintf(address, 256, "%.*s:%u%s?sslmode=disable&gssencmode=disable", (int)(colon - where), where, port, slash);
  return r;
}

/* One whole job of 7 samples, in two shards. */
static void run_job(struct ledger *l, const char *name) {
  const struct allowance a = claim_of(name, "a", 7);
  const struct event e = end_of(7, FUSION_OK);
  assert_ok(ledger_reserve(l, &a, NULL));
  assert_ok(ledger_book(l, &a, 3, NULL));
  assert_ok(ledger_book(l, &a, 4, NULL));
  assert_ok(ledger_release(l, &a, &e, NULL));
}

/* A connection that is cut at any byte, of a statement or of its answer, loses nothing and does nothing twice. */
static void postgres__cuts_neither_lose_nor_double_anything(void **state) {
  (void)state;
  enum { CUTS = 30 };
  char address[256], name[16], head[LEDGER_HEX_LEN];
  uint64_t random = test_seed(), rows;
  struct relay *relay = open_relay(address);
  struct ledger *l = open_ledger_at(address);
  relay_set(relay, RELAY_NONE, false, 0, 0);
  run_job(l, "measured");
  const uint64_t passed[2] = {relay_passed(relay, false), relay_passed(relay, true)};
  assert_true(change("DELETE FROM days"));
  ledger_close(l);
  relay_close(relay);
  for (int i = 0; i < CUTS; i++) {
    const bool from_server = i & 1;
    relay = open_relay(address); /* has room for few links */
    l = open_ledger_at(address);
    relay_set(relay, RELAY_CUT, from_server, test_random(&random) % (passed[from_server] + 600), 1);
    assert_true(change("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'fusion'"));
    snprintf(name, sizeof name, "j%d", i);
    run_job(l, name);
    ledger_close(l);
    relay_close(relay);
    assert_int_equal(ask("SELECT COUNT(*) FROM open_jobs"), 0);
    assert_int_equal(ask("SELECT samples FROM days WHERE client = 'a'"), 7);
    assert_true(change("DELETE FROM days"));
  }
  assert_int_equal(ask("SELECT COUNT(*) FROM jobs"), CUTS + 1);
  assert_int_equal(ask("SELECT COUNT(*) FROM jobs WHERE samples = 7 AND declared = 7 AND outcome = 'done'"), CUTS + 1);
  assert_ok(ledger_verify(where, &rows, head, NULL));
  forget_ledger();
}

/* While the database is gone jobs are told to come again; the end of one that ran is written when it is back. */
static void postgres__an_outage_is_a_busy_server(void **state) {
  (void)state;
  char address[256];
  fusion_error why;
  struct relay *relay = open_relay(address);
  struct ledger *l = open_ledger_at(address);
  const struct allowance a = claim_of("j1", "a", 40), b = claim_of("j2", "a", 40);
  const struct event e = end_of(40, FUSION_OK);
  assert_ok(ledger_reserve(l, &a, NULL));
  assert_ok(ledger_book(l, &a, 40, NULL));
  relay_set(relay, RELAY_CUT, false, 0, 1000);
  assert_true(change("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'fusion'"));
  const double began = clock_seconds();
  assert_int_equal(ledger_reserve(l, &b, &why), FUSION_E_BUSY);
  assert_string_equal(why.text, "the server's ledger cannot be reached; try again later");
  assert_true(clock_seconds() - began < 10);
  assert_false(ledger_answers(l));
  assert_ok(ledger_release(l, &a, &e, NULL)); /* kept */
  assert_int_equal(ask("SELECT COUNT(*) FROM jobs"), 0);
  relay_set(relay, RELAY_NONE, false, 0, 0);
  assert_ok(ledger_renew(l, NULL));
  assert_true(ledger_answers(l));
  assert_int_equal(ask("SELECT COUNT(*) FROM jobs WHERE job = 'j1' AND outcome = 'done' AND samples = 40"), 1);
  assert_ok(ledger_reserve(l, &b, &why));
  assert_ok(ledger_release(l, &b, NULL, &why));
  ledger_close(l);
  relay_close(relay);
  forget_ledger();
}

#endif

static int make_folder(void **state) {
  (void)state;
  if (!mkdtemp(folder)) return 1;
  snprintf(ledger_path, sizeof ledger_path, "%s/ledger.db", folder);
  if (!in_postgres) where = ledger_path;
  return 0;
}

static int remove_folder(void **state) {
  (void)state;
  return rmdir(folder);
}

#define IN_BOTH                                                                 \
  cmocka_unit_test(ledger__claims_are_kept_to_and_given_back),                  \
      cmocka_unit_test(ledger__a_job_over_two_servers_is_one_row),              \
      cmocka_unit_test(ledger__a_job_that_others_still_run_is_not_closed),      \
      cmocka_unit_test(ledger__a_job_came_to_what_its_last_server_says),        \
      cmocka_unit_test(ledger__a_server_that_was_killed_lets_go),               \
      cmocka_unit_test(ledger__samples_of_a_killed_server_are_in_the_jobs_row), \
      cmocka_unit_test(ledger__a_job_that_was_closed_books_no_more),            \
      cmocka_unit_test(ledger__counts_are_exact_under_20_jobs_at_once),         \
      cmocka_unit_test(ledger__servers_may_start_at_once), cmocka_unit_test(ledger__any_altered_row_is_found)

int main(int argc, char **argv) {
  const struct CMUnitTest in_file[] = {
      IN_BOTH,
      cmocka_unit_test(ledger__a_number_that_only_reads_alike_is_found),
      cmocka_unit_test(ledger__what_is_none_is_refused),
#ifndef FUSION_POSTGRES
      cmocka_unit_test(ledger__a_database_needs_a_build_with_libpq),
#endif
  };
  in_postgres = argc > 1 && strcmp(argv[1], "postgres") == 0;
  if (!in_postgres) return cmocka_run_group_tests(in_file, make_folder, remove_folder);
#ifdef FUSION_POSTGRES
  const struct CMUnitTest in_database[] = {IN_BOTH, cmocka_unit_test(postgres__what_is_no_ledger_is_refused),
                                           cmocka_unit_test(postgres__cuts_neither_lose_nor_double_anything),
                                           cmocka_unit_test(postgres__an_outage_is_a_busy_server)};
  where = getenv("FUSION_TEST_POSTGRES");
  if (where) return cmocka_run_group_tests(in_database, make_folder, remove_folder);
#endif
  fputs("ledger: FUSION_TEST_POSTGRES is not set, or the build is without libpq\n", stderr);
  return 1;
}
