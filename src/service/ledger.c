#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "service/ledger_internal.h"

enum {
  BUSY_MS = 10000,
  OPEN_TRIES = 500,
  SECONDS_A_DAY = 86400,
  SERVER_LEN = 33,
  TIME_LEN = 32,
  LEDGER_KIND = 0x46754c65, /* "FuLe", in the file's header */
  LEDGER_VERSION = 1,
};

struct ledger {
  pthread_mutex_t lock; /* one transaction at a time on this connection */
  sqlite3 *db;
  char *path;              /* owned, for texts */
  const char *model;       /* borrowed */
  char server[SERVER_LEN]; /* random: whose holds are ours */
};

static const char durable[] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;";

/* Within a transaction. The numbers are LEDGER_KIND and LEDGER_VERSION. */
static const char schema[] =
    "PRAGMA application_id = 0x46754c65; PRAGMA user_version = 1;"
    "CREATE TABLE IF NOT EXISTS jobs (seq INTEGER PRIMARY KEY, time TEXT NOT NULL, client TEXT NOT NULL,"
    " job TEXT NOT NULL, model TEXT NOT NULL, engine TEXT NOT NULL, declared INTEGER NOT NULL,"
    " samples INTEGER NOT NULL, bytes_received INTEGER NOT NULL, bytes_sent INTEGER NOT NULL,"
    " milliseconds INTEGER NOT NULL, connections INTEGER NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL,"
    " previous TEXT NOT NULL, hash TEXT NOT NULL);"
    "CREATE TRIGGER IF NOT EXISTS jobs_stay BEFORE UPDATE ON jobs"
    " BEGIN SELECT RAISE(ABORT, 'rows of the ledger are never changed'); END;"
    "CREATE TRIGGER IF NOT EXISTS jobs_remain BEFORE DELETE ON jobs"
    " BEGIN SELECT RAISE(ABORT, 'rows of the ledger are never removed'); END;"
    "CREATE TABLE IF NOT EXISTS open_jobs (job TEXT, client TEXT, model TEXT, engine TEXT, declared INTEGER,"
    " claimed INTEGER, booked INTEGER DEFAULT 0, begun INTEGER, samples INTEGER DEFAULT 0, bytes_received INTEGER "
    "DEFAULT 0,"
    " bytes_sent INTEGER DEFAULT 0, connections INTEGER DEFAULT 0, outcome TEXT DEFAULT 'lost',"
    " reason TEXT DEFAULT 'the server ended', PRIMARY KEY (job, client));"
    "CREATE TABLE IF NOT EXISTS holds (job TEXT, client TEXT, server TEXT, until INTEGER,"
    " PRIMARY KEY (job, client, server));"
    "CREATE TABLE IF NOT EXISTS days (day INTEGER, client TEXT, samples INTEGER, PRIMARY KEY (day, client));";

static fusion_status failed(const struct ledger *l, fusion_error *err) {
  return error_set(err, FUSION_E_IO, "'%.200s': the ledger cannot be written: %s", l->path, sqlite3_errmsg(l->db));
}

static bool execute(struct ledger *l, const char *sql) {
  return sqlite3_exec(l->db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

/* A statement with its arguments: 's' a text, 'i' an int64_t. NULL when it fails. */
static sqlite3_stmt *prepare(struct ledger *l, const char *sql, const char *kinds, ...) {
  sqlite3_stmt *s = NULL;
  va_list args;
  int code = sqlite3_prepare_v2(l->db, sql, -1, &s, NULL);
  va_start(args, kinds);
  for (int i = 0; kinds[i] && code == SQLITE_OK; i++) {
    if (kinds[i] == 's') code = sqlite3_bind_text(s, i + 1, va_arg(args, const char *), -1, SQLITE_TRANSIENT);
    if (kinds[i] == 'i') code = sqlite3_bind_int64(s, i + 1, va_arg(args, int64_t));
  }
  va_end(args);
  if (code == SQLITE_OK) return s;
  sqlite3_finalize(s);
  return NULL;
}

/* Runs a statement to its end; takes it. */
static bool run(sqlite3_stmt *s) {
  const int code = s ? sqlite3_step(s) : SQLITE_ERROR;
  sqlite3_finalize(s);
  return code == SQLITE_DONE || code == SQLITE_ROW;
}

/* The statement's single number, 0 for no row; takes it. */
static bool number(sqlite3_stmt *s, int64_t *out) {
  const int code = s ? sqlite3_step(s) : SQLITE_ERROR;
  *out = code == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
  sqlite3_finalize(s);
  return code == SQLITE_DONE || code == SQLITE_ROW;
}

static int64_t seconds_now(void) {
  return (int64_t)time(NULL);
}

/* A database of something else is left alone, as is a ledger of a release that knows more. Within a transaction. */
static fusion_status check_kind(struct ledger *l, fusion_error *err) {
  int64_t tables, kind, version;
  if (!number(prepare(l, "SELECT COUNT(*) FROM sqlite_master", ""), &tables) ||
      !number(prepare(l, "PRAGMA application_id", ""), &kind) ||
      !number(prepare(l, "PRAGMA user_version", ""), &version))
    return failed(l, err);
  if (tables && kind != LEDGER_KIND)
    return error_set(err, FUSION_E_INPUT, "'%.200s': is a database of something else, no ledger", l->path);
  if (version > LEDGER_VERSION)
    return error_set(err, FUSION_E_INPUT, "'%.200s': is a ledger of a newer release", l->path);
  return FUSION_OK;
}

/* Servers that start at once get in each other's way: while the file becomes one that they can share, SQLite does not
 * wait by itself. */
static fusion_status make_durable(struct ledger *l, fusion_error *err) {
  for (int tries = 0; tries < OPEN_TRIES; tries++) {
    if (execute(l, durable)) return FUSION_OK;
    const int code = sqlite3_errcode(l->db);
    if (code != SQLITE_BUSY && code != SQLITE_LOCKED) break;
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
  }
  return failed(l, err);
}

static fusion_status set_up(struct ledger *l, fusion_error *err) {
  if (sqlite3_open_v2(l->path, &l->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX, NULL) != SQLITE_OK)
    return failed(l, err);
  sqlite3_busy_timeout(l->db, BUSY_MS);
  fusion_status status = make_durable(l, err);
  if (status != FUSION_OK) return status;
  if (!execute(l, "BEGIN IMMEDIATE")) return failed(l, err);
  status = check_kind(l, err);
  if (status == FUSION_OK && (!execute(l, schema) || !execute(l, "COMMIT"))) status = failed(l, err);
  if (status != FUSION_OK) (void)execute(l, "ROLLBACK");
  return status;
}

fusion_status ledger_open(struct ledger **out, const char *path, const char *model, fusion_error *err) {
  uint8_t random[(SERVER_LEN - 1) / 2];
  *out = NULL;
  fusion_status status = os_random(random, sizeof random);
  struct ledger *l = status == FUSION_OK ? mem_alloc(1, sizeof *l) : NULL;
  char *kept = l ? mem_alloc(strlen(path) + 1, 1) : NULL;
  if (!kept) {
    mem_free(l);
    return error_set(err, FUSION_E_MEMORY, "out of memory for the ledger");
  }
  strcpy(kept, path);
  *l = (struct ledger){.path = kept, .model = model};
  for (size_t i = 0; i < sizeof random; i++) snprintf(l->server + 2 * i, 3, "%02x", random[i]);
  pthread_mutex_init(&l->lock, NULL);
  /* SQLite gives its other files the mode of this one. */
  const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) {
    status = error_set(err, FUSION_E_IO, "'%.200s': cannot be opened: %s", path, strerror(errno));
  } else {
    close(fd);
    status = set_up(l, err);
  }
  if (status != FUSION_OK) {
    ledger_close(l);
    return status;
  }
  *out = l;
  return FUSION_OK;
}

void ledger_close(struct ledger *l) {
  if (!l) return;
  sqlite3_close(l->db);
  pthread_mutex_destroy(&l->lock);
  mem_free(l->path);
  mem_free(l);
}

/* Adds the row of an open job and forgets the job. Within a transaction. */
static bool close_job(struct ledger *l, const char *job, const char *client) {
  sqlite3_stmt *s = prepare(l,
                            "SELECT '', client, job, model, engine, outcome, reason, '', 0, declared, samples,"
                            " bytes_received, bytes_sent, begun, connections, '' FROM open_jobs"
                            " WHERE job = ? AND client = ?",
                            "ss", job, client);
  if (!s || sqlite3_step(s) != SQLITE_ROW) {
    sqlite3_finalize(s);
    return s != NULL;
  }
  const char *ignored;
  struct ledger_row row = ledger_row_read(s, &ignored);
  char when[TIME_LEN] = "", previous[LEDGER_HEX_LEN] = "", hash[LEDGER_HEX_LEN];
  struct tm utc;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (gmtime_r(&now.tv_sec, &utc)) strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
  sqlite3_stmt *last = prepare(l, "SELECT seq, hash FROM jobs ORDER BY seq DESC LIMIT 1", "");
  const bool follows = last && sqlite3_step(last) == SQLITE_ROW;
  row.number[0] = follows ? sqlite3_column_int64(last, 0) + 1 : 1;
  if (follows) snprintf(previous, sizeof previous, "%s", (const char *)sqlite3_column_text(last, 1));
  sqlite3_finalize(last);
  row.text[0] = when;
  row.text[ROW_TEXTS - 1] = previous;
  const int64_t took = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - row.number[5];
  row.number[5] = took > 0 ? took : 0;
  ledger_hash(hash, &row);
  const char *const *t = row.text;
  const int64_t *n = row.number;
  /* A job of which nothing ran leaves no row; of one that was lost, what ran is not known. */
  int64_t booked;
  if (!number(prepare(l, "SELECT booked FROM open_jobs WHERE job = ? AND client = ?", "ss", job, client), &booked)) {
    sqlite3_finalize(s);
    return false;
  }
  const bool added =
      !booked || run(prepare(l, "INSERT INTO jobs (" LEDGER_COLUMNS ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                             "ssssssssiiiiiiis", t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7], n[0], n[1], n[2], n[3],
                             n[4], n[5], n[6], hash));
  sqlite3_finalize(s);
  return added && run(prepare(l, "DELETE FROM holds WHERE job = ? AND client = ?", "ss", job, client)) &&
         run(prepare(l, "DELETE FROM open_jobs WHERE job = ? AND client = ?", "ss", job, client));
}

/* Closes the jobs that no living server holds. Within a transaction. */
static bool close_abandoned(struct ledger *l) {
  if (!run(prepare(l, "DELETE FROM holds WHERE until < ?", "i", seconds_now()))) return false;
  for (;;) {
    sqlite3_stmt *s = prepare(l,
                              "SELECT job, client FROM open_jobs o WHERE NOT EXISTS"
                              " (SELECT 1 FROM holds h WHERE h.job = o.job AND h.client = o.client) LIMIT 1",
                              "");
    char job[EVENT_JOB_ID_LEN] = "", client[NET_NAME_LEN] = "";
    const bool found = s && sqlite3_step(s) == SQLITE_ROW;
    if (found) {
      snprintf(job, sizeof job, "%s", (const char *)sqlite3_column_text(s, 0));
      snprintf(client, sizeof client, "%s", (const char *)sqlite3_column_text(s, 1));
    }
    sqlite3_finalize(s);
    if (!found) return s != NULL;
    if (!close_job(l, job, client)) return false;
  }
}

static fusion_status check_limit(const char *whose, uint64_t limit, int64_t used, uint64_t samples, fusion_error *why) {
  const uint64_t left = (uint64_t)used < limit ? limit - (uint64_t)used : 0;
  if (samples <= left) return FUSION_OK;
  return error_set(why, samples > limit ? FUSION_E_LIMIT : FUSION_E_BUSY,
                   "%s has %llu samples left; the job needs %llu", whose, (unsigned long long)left,
                   (unsigned long long)samples);
}

/* Whether `samples` more fit, beside what has run today and what is claimed. Within a transaction. */
static fusion_status check_day(struct ledger *l, const struct allowance *a, uint64_t samples, fusion_error *why) {
  const int64_t day = seconds_now() / SECONDS_A_DAY;
  int64_t ran, claimed;
  if (!number(prepare(l, "SELECT SUM(samples) FROM days WHERE day = ?", "i", day), &ran) ||
      !number(prepare(l, "SELECT SUM(claimed) FROM open_jobs", ""), &claimed))
    return failed(l, why);
  const fusion_status status = check_limit("today's allowance", a->all_day, ran + claimed, samples, why);
  if (status != FUSION_OK || !a->client_day) return status;
  if (!number(prepare(l, "SELECT samples FROM days WHERE day = ? AND client = ?", "is", day, a->client), &ran) ||
      !number(prepare(l, "SELECT SUM(claimed) FROM open_jobs WHERE client = ?", "s", a->client), &claimed))
    return failed(l, why);
  return check_limit("this client's allowance of today", a->client_day, ran + claimed, samples, why);
}

static bool hold(struct ledger *l, const struct allowance *a) {
  return run(prepare(l, "INSERT OR REPLACE INTO holds VALUES (?, ?, ?, ?)", "sssi", a->job_id, a->client, l->server,
                     seconds_now() + LEDGER_HOLD_S));
}

static fusion_status reserve(struct ledger *l, const struct allowance *a, fusion_error *why) {
  struct timespec now;
  int64_t there;
  clock_gettime(CLOCK_REALTIME, &now);
  const int64_t begun = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
  if (!close_abandoned(l)) return failed(l, why);
  if (!number(prepare(l, "SELECT COUNT(*) FROM open_jobs WHERE job = ? AND client = ?", "ss", a->job_id, a->client),
              &there))
    return failed(l, why);
  if (!there) {
    const fusion_status status = check_day(l, a, a->declared, why);
    if (status != FUSION_OK) return status;
    if (!run(prepare(l,
                     "INSERT INTO open_jobs (job, client, model, engine, declared, claimed, begun)"
                     " VALUES (?, ?, ?, ?, ?, ?, ?)",
                     "ssssiii", a->job_id, a->client, l->model, a->engine, (int64_t)a->declared, (int64_t)a->declared,
                     begun)))
      return failed(l, why);
  }
  return hold(l, a) ? FUSION_OK : failed(l, why);
}

/* The claim is used up first; samples that run again, after a loss, were not claimed. */
static fusion_status book(struct ledger *l, const struct allowance *a, uint64_t samples, fusion_error *why) {
  int64_t claimed;
  if (!number(prepare(l, "SELECT claimed FROM open_jobs WHERE job = ? AND client = ?", "ss", a->job_id, a->client),
              &claimed))
    return failed(l, why);
  const uint64_t used = samples < (uint64_t)claimed ? samples : (uint64_t)claimed;
  if (used < samples) {
    const fusion_status status = check_day(l, a, samples - used, why);
    if (status != FUSION_OK) return status;
  }
  const bool good =
      run(prepare(l, "UPDATE open_jobs SET claimed = claimed - ?, booked = booked + ? WHERE job = ? AND client = ?",
                  "iiss", (int64_t)used, (int64_t)samples, a->job_id, a->client)) &&
      run(prepare(l,
                  "INSERT INTO days VALUES (?, ?, ?) ON CONFLICT (day, client)"
                  " DO UPDATE SET samples = samples + excluded.samples",
                  "isi", seconds_now() / SECONDS_A_DAY, a->client, (int64_t)samples)) &&
      hold(l, a);
  return good ? FUSION_OK : failed(l, why);
}

static fusion_status release(struct ledger *l, const struct allowance *a, const struct event *ended,
                             fusion_error *why) {
  int64_t whole;
  bool good = true;
  if (ended)
    good = run(prepare(l,
                       "UPDATE open_jobs SET samples = samples + ?, bytes_received = bytes_received + ?,"
                       " bytes_sent = bytes_sent + ?, connections = connections + ?, outcome = ?, reason = ?"
                       " WHERE job = ? AND client = ?",
                       "iiiissss", (int64_t)ended->samples, (int64_t)ended->bytes_received, (int64_t)ended->bytes_sent,
                       (int64_t)ended->connections, ended->status == FUSION_OK ? "done" : "failed", ended->reason,
                       a->job_id, a->client));
  good = good && run(prepare(l, "DELETE FROM holds WHERE job = ? AND client = ? AND server = ?", "sss", a->job_id,
                             a->client, l->server));
  good = good && number(prepare(l,
                                "SELECT COUNT(*) FROM open_jobs WHERE job = ? AND client = ? AND samples >= declared"
                                " AND outcome = 'done'",
                                "ss", a->job_id, a->client),
                        &whole);
  if (good && whole) good = close_job(l, a->job_id, a->client);
  good = good && close_abandoned(l);
  return good ? FUSION_OK : failed(l, why);
}

static bool renew(struct ledger *l) {
  return run(prepare(l, "UPDATE holds SET until = ? WHERE server = ?", "is", seconds_now() + LEDGER_HOLD_S,
                     l->server)) &&
         close_abandoned(l);
}

/* Ends a transaction, whole or not at all; unlocks. */
static fusion_status finish(struct ledger *l, fusion_status status, fusion_error *why) {
  if (status == FUSION_OK && !execute(l, "COMMIT")) status = failed(l, why);
  if (status != FUSION_OK) (void)execute(l, "ROLLBACK");
  pthread_mutex_unlock(&l->lock);
  return status;
}

static fusion_status begin(struct ledger *l, fusion_error *why) {
  pthread_mutex_lock(&l->lock);
  return execute(l, "BEGIN IMMEDIATE") ? FUSION_OK : failed(l, why);
}

fusion_status ledger_reserve(struct ledger *l, const struct allowance *a, fusion_error *why) {
  fusion_status status = begin(l, why);
  if (status == FUSION_OK) status = reserve(l, a, why);
  return finish(l, status, why);
}

fusion_status ledger_book(struct ledger *l, const struct allowance *a, uint64_t samples, fusion_error *why) {
  fusion_status status = begin(l, why);
  if (status == FUSION_OK) status = book(l, a, samples, why);
  return finish(l, status, why);
}

fusion_status ledger_release(struct ledger *l, const struct allowance *a, const struct event *ended,
                             fusion_error *why) {
  fusion_status status = begin(l, why);
  if (status == FUSION_OK) status = release(l, a, ended, why);
  return finish(l, status, why);
}

fusion_status ledger_renew(struct ledger *l, fusion_error *why) {
  fusion_status status = begin(l, why);
  if (status == FUSION_OK && !renew(l)) status = failed(l, why);
  return finish(l, status, why);
}
