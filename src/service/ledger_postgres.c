/* The ledger in PostgreSQL, which servers of many machines share.
 *
 * Transactions exclude each other by an advisory lock that the database drops when the transaction ends, however it
 * ends. Statements then see all that was committed before (READ COMMITTED: each has a snapshot of its own, taken after
 * the lock was). Each transaction also writes the number of the server's operation to `marks`: when the answer to a
 * commit was lost, the next transaction, which the lock makes wait for the end of the lost one, reads there whether it
 * took place. The clock is the database's. */
#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

#include "service/ledger_store.h"

enum { NAME_LEN = 256, SQL_LEN = 512, NUMBER_LEN = 24 };

struct postgres_store {
  struct store base;
  PGconn *connection; /* owned; NULL: none */
  bool to_read;
  bool unwell; /* the last failure was the connection's or the database's state, not the statement's */
  char why[256];
  char name[NAME_LEN];
  char url[]; /* secret, it may hold a password */
};

/* Limits on how long a lost connection or another server can keep this one waiting; nobody may have turned waiting for
 * the disk off. */
static const char session[] =
    "SET lock_timeout = '10s'; SET statement_timeout = '20s'; SET idle_in_transaction_session_timeout = '20s';"
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/* The names of our tables, if they are not there yet. */
static const char schema[] =
    "CREATE TABLE ledger (version INTEGER NOT NULL); INSERT INTO ledger VALUES (1);"
    "CREATE TABLE jobs (seq BIGINT PRIMARY KEY," STORE_JOB_COLUMNS ");" STORE_TABLES
    "CREATE TABLE marks (server TEXT PRIMARY KEY, number BIGINT NOT NULL, day BIGINT NOT NULL);"
    "CREATE FUNCTION jobs_stay() RETURNS trigger LANGUAGE plpgsql AS"
    " 'BEGIN RAISE EXCEPTION ''rows of the ledger are never changed or removed''; END';"
    "CREATE TRIGGER jobs_stay BEFORE UPDATE OR DELETE ON jobs FOR EACH ROW EXECUTE FUNCTION jobs_stay();"
    "CREATE TRIGGER jobs_remain BEFORE TRUNCATE ON jobs FOR EACH STATEMENT EXECUTE FUNCTION jobs_stay()";

static struct postgres_store *of(struct store *s) {
  return (struct postgres_store *)(void *)s;
}

static void say_nothing(void *context, const char *notice) {
  (void)context, (void)notice;
}

/* States that pass: connection lost or refused, the database starting, stopping, full of connections, a standby; a
 * deadlock or a time-out. */
static bool passes(const char *code) {
  static const char *const codes[] = {"08", "57P0", "53300", "40001", "40P01", "55P03", "57014", "25006"};
  for (size_t i = 0; code && i < sizeof codes / sizeof *codes; i++)
    if (strncmp(code, codes[i], strlen(codes[i])) == 0) return true;
  return false;
}

/* Keeps the first line of why. */
static void take_failure(struct postgres_store *s, const PGresult *r) {
  const char *text = r && PQresultErrorMessage(r)[0] ? PQresultErrorMessage(r) : PQerrorMessage(s->connection);
  snprintf(s->why, sizeof s->why, "%.*s", (int)strcspn(text, "\n"), text);
  s->unwell = PQstatus(s->connection) != CONNECTION_OK || (r && passes(PQresultErrorField(r, PG_DIAG_SQLSTATE)));
}

static fusion_status failed(struct store *base, fusion_error *err) {
  const struct postgres_store *s = of(base);
  return error_set(err, s->unwell ? FUSION_E_NETWORK : FUSION_E_IO, "'%s': the ledger cannot be %s: %s", s->name,
                   s->to_read ? "read" : "written", s->why);
}

static void disconnect(struct postgres_store *s) {
  PQfinish(s->connection);
  s->connection = NULL;
}

/* Statements without arguments, at once; the last one's result, NULL on failure. */
static PGresult *execute(struct postgres_store *s, const char *sql) {
  PGresult *r = PQexec(s->connection, sql);
  const ExecStatusType is = PQresultStatus(r);
  if (is == PGRES_COMMAND_OK || is == PGRES_TUPLES_OK) return r;
  take_failure(s, r);
  PQclear(r);
  return NULL;
}

static bool run(struct postgres_store *s, const char *sql) {
  PGresult *r = execute(s, sql);
  PQclear(r);
  return r != NULL;
}

static fusion_status connect_anew(struct postgres_store *s, fusion_error *err) {
  /* What stands before the address it may set otherwise; what stands behind it, not. */
  static const char *const names[] = {"connect_timeout",     "keepalives_idle",
                                      "keepalives_interval", "keepalives_count",
                                      "tcp_user_timeout",    "target_session_attrs",
                                      "application_name",    "dbname",
                                      "client_encoding",     NULL};
  const char *const attributes = s->to_read ? "any" : "read-write";
  const char *const values[] = {"3", "10", "5", "2", "20000", attributes, "fusion", s->url, "UTF8", NULL};
  if (s->connection) disconnect(s);
  s->connection = PQconnectdbParams(names, values, 1);
  if (PQstatus(s->connection) != CONNECTION_OK) {
    const char *text = PQerrorMessage(s->connection);
    error_set(err, FUSION_E_NETWORK, "'%s': the database cannot be reached: %.*s", s->name,
              (int)size_min(strcspn(text, "\n"), 240), text);
    disconnect(s);
    return FUSION_E_NETWORK;
  }
  PQsetNoticeProcessor(s->connection, say_nothing, NULL);
  if (run(s, session)) return FUSION_OK;
  const fusion_status status = failed(&s->base, err);
  disconnect(s);
  return status;
}

static fusion_status begin(struct store *base, const struct store_mark *mark, int64_t *now_ms, bool *done,
                           fusion_error *err) {
  struct postgres_store *s = of(base);
  char sql[SQL_LEN];
  *done = false;
  if (!s->connection || PQstatus(s->connection) != CONNECTION_OK) {
    const fusion_status status = connect_anew(s, err);
    if (status != FUSION_OK) return status;
  }
  snprintf(sql, sizeof sql,
           "BEGIN; SELECT pg_advisory_xact_lock(%d);"
           "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT),"
           " COALESCE((SELECT number FROM marks WHERE server = '%s'), 0)",
           STORE_KIND, mark->server);
  PGresult *r = execute(s, sql);
  if (!r) return failed(base, err);
  *now_ms = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
  *done = mark->doubtful && strtoull(PQgetvalue(r, 0, 1), NULL, 10) == mark->number;
  PQclear(r);
  return FUSION_OK;
}

static fusion_status commit(struct store *base, const struct store_mark *mark, fusion_error *err) {
  struct postgres_store *s = of(base);
  char sql[SQL_LEN];
  snprintf(sql, sizeof sql,
           "INSERT INTO marks VALUES ('%s', %" PRIu64
           ", CAST(EXTRACT(EPOCH FROM clock_timestamp()) / 86400 AS BIGINT))"
           " ON CONFLICT (server) DO UPDATE SET number = excluded.number, day = excluded.day; COMMIT",
           mark->server, mark->number);
  PGresult *r = execute(s, sql);
  const bool committed = r && strcmp(PQcmdStatus(r), "COMMIT") == 0;
  PQclear(r);
  if (committed) return FUSION_OK;
  const fusion_status status = failed(base, err);
  return PQstatus(s->connection) == CONNECTION_OK ? status : FUSION_E_CLOSED;
}

static void rollback(struct store *base) {
  struct postgres_store *s = of(base);
  if (!s->connection) return;
  PGresult *r = PQexec(s->connection, "ROLLBACK");
  const bool good = PQresultStatus(r) == PGRES_COMMAND_OK;
  PQclear(r);
  if (!good) disconnect(s);
}

static bool tell_row(const PGresult *r, store_row *row, void *context) {
  struct store_cell cells[STORE_CELLS_MAX];
  const int columns = PQnfields(r);
  assert(columns <= STORE_CELLS_MAX);
  for (int i = 0; i < columns; i++) cells[i] = (struct store_cell){PQgetvalue(r, 0, i), (size_t)PQgetlength(r, 0, i)};
  return row(context, cells);
}

/* Results arrive row by row: a ledger may be longer than memory. */
static bool take_results(struct postgres_store *s, store_row *row, void *context) {
  bool good = true, go_on = true;
  for (PGresult *r = PQgetResult(s->connection); r; r = PQgetResult(s->connection)) {
    const ExecStatusType is = PQresultStatus(r);
    if (is == PGRES_SINGLE_TUPLE)
      go_on = go_on && row && tell_row(r, row, context);
    else if (is != PGRES_TUPLES_OK && is != PGRES_COMMAND_OK && good) {
      take_failure(s, r);
      good = false;
    }
    PQclear(r);
  }
  return good;
}

static bool query(struct store *base, const char *sql, const struct store_arg *args, size_t arg_count, store_row *row,
                  void *context) {
  struct postgres_store *s = of(base);
  const char *values[STORE_ARGS_MAX];
  char numbers[STORE_ARGS_MAX][NUMBER_LEN];
  for (size_t i = 0; i < arg_count; i++) {
    snprintf(numbers[i], sizeof numbers[i], "%" PRId64, args[i].number);
    values[i] = args[i].text ? args[i].text : numbers[i];
  }
  if (PQsendQueryParams(s->connection, sql, (int)arg_count, NULL, values, NULL, NULL, 0) &&
      PQsetSingleRowMode(s->connection))
    return take_results(s, row, context);
  take_failure(s, NULL);
  return false;
}

static void close_store(struct store *base) {
  struct postgres_store *s = of(base);
  PQfinish(s->connection);
  mem_free_secret(s, sizeof *s + strlen(s->url) + 1);
}

/* A database with a table of our name that is something else is left alone, as is a ledger of a release that knows
 * more. Whoever may not make tables finds them made. Within a transaction. */
static fusion_status set_up(struct postgres_store *s, fusion_error *err) {
  int64_t there, others, version;
  struct store *base = &s->base;
  if (!store_number(base, &there, "SELECT COUNT(*) FROM pg_class WHERE oid = to_regclass('ledger')", "") ||
      !store_number(base, &others, "SELECT COUNT(*) FROM pg_class WHERE oid = to_regclass('jobs')", ""))
    return failed(base, err);
  if (!there && others)
    return error_set(err, FUSION_E_INPUT, "'%s': holds a table 'jobs' of something else, no ledger", s->name);
  if (!there) return run(s, schema) ? FUSION_OK : failed(base, err);
  if (!store_number(base, &version, "SELECT version FROM ledger", "")) return failed(base, err);
  if (version > STORE_VERSION) return error_set(err, FUSION_E_INPUT, "'%s': is a ledger of a newer release", s->name);
  return FUSION_OK;
}

static fusion_status prepare(struct postgres_store *s, fusion_error *err) {
  char sql[SQL_LEN];
  int64_t good;
  fusion_status status = connect_anew(s, err);
  if (status != FUSION_OK || s->to_read) return status;
  if (!store_number(
          &s->base, &good,
          "SELECT COUNT(*) FROM pg_settings WHERE name = 'server_encoding' AND setting IN ('UTF8', 'SQL_ASCII')", ""))
    return failed(&s->base, err);
  if (!good) return error_set(err, FUSION_E_INPUT, "'%s': the ledger needs a database with the encoding UTF8", s->name);
  snprintf(sql, sizeof sql, "BEGIN; SELECT pg_advisory_xact_lock(%d)", STORE_KIND);
  if (!run(s, sql)) return failed(&s->base, err);
  status = set_up(s, err);
  /* Servers that ended without a word more than a week ago. */
  if (status == FUSION_OK &&
      (!run(s, "DELETE FROM marks WHERE day < EXTRACT(EPOCH FROM clock_timestamp()) / 86400 - 7") || !run(s, "COMMIT")))
    status = failed(&s->base, err);
  if (status != FUSION_OK) rollback(&s->base);
  return status;
}

/* What lines call the database: its address without the password and options. */
static bool name_store(struct postgres_store *s) {
  char *ignored = NULL; /* it may quote the password */
  PQconninfoOption *options = PQconninfoParse(s->url, &ignored);
  const char *host = "", *port = "", *database = "";
  for (const PQconninfoOption *o = options; o && o->keyword; o++) {
    if (!o->val) continue;
    if (strcmp(o->keyword, "host") == 0) host = o->val;
    if (strcmp(o->keyword, "port") == 0) port = o->val;
    if (strcmp(o->keyword, "dbname") == 0) database = o->val;
  }
  snprintf(s->name, sizeof s->name, "postgresql://%.120s%s%.20s/%.80s", host, port[0] ? ":" : "", port, database);
  const bool good = options != NULL;
  PQconninfoFree(options);
  PQfreemem(ignored);
  return good;
}

fusion_status store_open_postgres(struct store **out, const char *url, bool to_read, fusion_error *err) {
  static const struct store_calls calls = {
      .begin = begin, .commit = commit, .rollback = rollback, .query = query, .failed = failed, .close = close_store};
  *out = NULL;
  struct postgres_store *s = mem_alloc(1, sizeof *s + strlen(url) + 1);
  if (!s) return error_set(err, FUSION_E_MEMORY, "out of memory for the ledger");
  s->base = (struct store){.calls = &calls, .name = s->name};
  s->to_read = to_read;
  strcpy(s->url, url);
  const bool named = name_store(s);
  const fusion_status status =
      named ? prepare(s, err)
            : error_set(err, FUSION_E_USAGE,
                        "the ledger's address cannot be read; write postgresql://USER@HOST:PORT/DATABASE");
  if (status == FUSION_OK)
    *out = &s->base;
  else
    close_store(&s->base);
  return status;
}
