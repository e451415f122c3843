/* The ledger in an SQLite file, which servers of one machine share. */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <time.h>
#include <unistd.h>

#include "service/ledger_store.h"

enum { BUSY_MS = 10000, OPEN_TRIES = 500 };

struct sqlite_store {
  struct store base;
  sqlite3 *db;
  bool to_read;
  char path[];
};

static const char durable[] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;";

/* Within a transaction. The numbers are STORE_KIND and STORE_VERSION. */
static const char schema[] =
    "PRAGMA application_id = 0x46754c65; PRAGMA user_version = 1;"
    "CREATE TABLE IF NOT EXISTS jobs (seq INTEGER PRIMARY KEY," STORE_JOB_COLUMNS
    ");"
    "CREATE TRIGGER IF NOT EXISTS jobs_stay BEFORE UPDATE ON jobs"
    " BEGIN SELECT RAISE(ABORT, 'rows of the ledger are never changed'); END;"
    "CREATE TRIGGER IF NOT EXISTS jobs_remain BEFORE DELETE ON jobs"
    " BEGIN SELECT RAISE(ABORT, 'rows of the ledger are never removed'); END;" STORE_TABLES;

static struct sqlite_store *of(struct store *s) {
  return (struct sqlite_store *)(void *)s;
}

static fusion_status failed(struct store *base, fusion_error *err) {
  struct sqlite_store *s = of(base);
  return error_set(err, FUSION_E_IO, "'%.200s': the ledger cannot be %s: %s", s->path, s->to_read ? "read" : "written",
                   sqlite3_errmsg(s->db));
}

static bool execute(struct sqlite_store *s, const char *sql) {
  return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

static fusion_status begin(struct store *base, const struct store_mark *mark, int64_t *now_ms, bool *done,
                           fusion_error *err) {
  struct timespec now;
  (void)mark;
  *done = false;
  if (!execute(of(base), "BEGIN IMMEDIATE")) return failed(base, err);
  clock_gettime(CLOCK_REALTIME, &now);
  *now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
  return FUSION_OK;
}

static fusion_status commit(struct store *base, const struct store_mark *mark, fusion_error *err) {
  (void)mark;
  return execute(of(base), "COMMIT") ? FUSION_OK : failed(base, err);
}

static void rollback(struct store *base) {
  (void)execute(of(base), "ROLLBACK");
}

static int bind(sqlite3_stmt *s, const struct store_arg *args, size_t count) {
  int code = SQLITE_OK;
  for (size_t i = 0; i < count && code == SQLITE_OK; i++) {
    const int at = (int)i + 1;
    code = args[i].text ? sqlite3_bind_text(s, at, args[i].text, -1, SQLITE_TRANSIENT)
                        : sqlite3_bind_int64(s, at, args[i].number);
  }
  return code;
}

static bool tell_row(sqlite3_stmt *s, store_row *row, void *context) {
  struct store_cell cells[STORE_CELLS_MAX];
  const int columns = sqlite3_column_count(s);
  assert(columns <= STORE_CELLS_MAX);
  for (int i = 0; i < columns; i++) {
    const unsigned char *text = sqlite3_column_text(s, i);
    cells[i] = (struct store_cell){text ? (const char *)text : "", (size_t)sqlite3_column_bytes(s, i)};
  }
  return row(context, cells);
}

static bool query(struct store *base, const char *sql, const struct store_arg *args, size_t arg_count, store_row *row,
                  void *context) {
  sqlite3_stmt *s = NULL;
  int code = sqlite3_prepare_v2(of(base)->db, sql, -1, &s, NULL);
  if (code == SQLITE_OK) code = bind(s, args, arg_count);
  bool go_on = code == SQLITE_OK;
  while (go_on) {
    code = sqlite3_step(s);
    go_on = code == SQLITE_ROW && (!row || tell_row(s, row, context));
  }
  sqlite3_finalize(s);
  return code == SQLITE_DONE || code == SQLITE_ROW;
}

static void close_store(struct store *base) {
  sqlite3_close(of(base)->db);
  mem_free(base);
}

/* A database of something else is left alone, as is a ledger of a release that knows more. Within a transaction. */
static fusion_status check_kind(struct sqlite_store *s, fusion_error *err) {
  int64_t tables, kind, version;
  if (!store_number(&s->base, &tables, "SELECT COUNT(*) FROM sqlite_master", "") ||
      !store_number(&s->base, &kind, "PRAGMA application_id", "") ||
      !store_number(&s->base, &version, "PRAGMA user_version", ""))
    return failed(&s->base, err);
  if (tables && kind != STORE_KIND)
    return error_set(err, FUSION_E_INPUT, "'%.200s': is a database of something else, no ledger", s->path);
  if (version > STORE_VERSION)
    return error_set(err, FUSION_E_INPUT, "'%.200s': is a ledger of a newer release", s->path);
  return FUSION_OK;
}

/* Servers that start at once get in each other's way: while the file becomes one that they can share, SQLite does not
 * wait by itself. */
static fusion_status make_durable(struct sqlite_store *s, fusion_error *err) {
  for (int tries = 0; tries < OPEN_TRIES; tries++) {
    if (execute(s, durable)) return FUSION_OK;
    const int code = sqlite3_errcode(s->db);
    if (code != SQLITE_BUSY && code != SQLITE_LOCKED) break;
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
  }
  return failed(&s->base, err);
}

static fusion_status set_up(struct sqlite_store *s, fusion_error *err) {
  fusion_status status = make_durable(s, err);
  if (status != FUSION_OK) return status;
  if (!execute(s, "BEGIN IMMEDIATE")) return failed(&s->base, err);
  status = check_kind(s, err);
  if (status == FUSION_OK && (!execute(s, schema) || !execute(s, "COMMIT"))) status = failed(&s->base, err);
  if (status != FUSION_OK) (void)execute(s, "ROLLBACK");
  return status;
}

static fusion_status make_file(const char *path, fusion_error *err) {
  /* SQLite gives its other files the mode of this one. */
  const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return error_set(err, FUSION_E_IO, "'%.200s': cannot be opened: %s", path, strerror(errno));
  close(fd);
  return FUSION_OK;
}

fusion_status store_open_sqlite(struct store **out, const char *path, bool to_read, fusion_error *err) {
  static const struct store_calls calls = {
      .begin = begin, .commit = commit, .rollback = rollback, .query = query, .failed = failed, .close = close_store};
  *out = NULL;
  fusion_status status = to_read ? FUSION_OK : make_file(path, err);
  if (status != FUSION_OK) return status;
  struct sqlite_store *s = mem_alloc(1, sizeof *s + strlen(path) + 1);
  if (!s) return error_set(err, FUSION_E_MEMORY, "out of memory for the ledger");
  s->base = (struct store){.calls = &calls, .name = s->path};
  s->to_read = to_read;
  strcpy(s->path, path);
  const int flags = to_read ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX;
  const int code = sqlite3_open_v2(path, &s->db, flags, NULL);
  if (code != SQLITE_OK)
    status = error_set(err, FUSION_E_IO, "'%.200s': cannot be opened: %s", path, sqlite3_errstr(code));
  if (status == FUSION_OK) sqlite3_busy_timeout(s->db, BUSY_MS);
  if (status == FUSION_OK && !to_read) status = set_up(s, err);
  if (status == FUSION_OK)
    *out = &s->base;
  else
    close_store(&s->base);
  return status;
}
