/** What the ledger asks of a database: transactions that exclude each other, and statements that SQLite and PostgreSQL
 *  both understand, with arguments $1, $2, ... in the order in which they first appear. */
#ifndef FUSION_SERVICE_LEDGER_STORE_H
#define FUSION_SERVICE_LEDGER_STORE_H

#include "service/ledger.h"

enum {
  STORE_ARGS_MAX = 16,
  STORE_CELLS_MAX = 16,
  STORE_SERVER_LEN = 33,   /* hexadecimal */
  STORE_KIND = 0x46754c65, /* "FuLe": marks a ledger's file, and its lock in PostgreSQL */
  STORE_VERSION = 1,
};

struct store_arg {
  const char *text; /* NULL: a number */
  int64_t number;
};

/** A value as text, never NULL. Borrowed until the next row. */
struct store_cell {
  const char *text;
  size_t len;
};

/** False ends the query. */
typedef bool store_row(void *context, const struct store_cell *cells);

/** Which operation a transaction is. */
struct store_mark {
  const char *server; /* STORE_SERVER_LEN */
  uint64_t number;    /* above those of this server's operations before it */
  bool doubtful;      /* it was tried, and the answer to its commit was lost */
};

/** A connection; one thread at a time. */
struct store {
  const struct store_calls *calls;
  const char *name; /* for texts, without secrets */
};

struct store_calls {
  /** Begins a transaction when no other server has one. *now_ms: the time since 1970, by one clock for all servers.
   *  *done: the operation was doubtful, and had been committed; the transaction is to be rolled back. */
  fusion_status (*begin)(struct store *s, const struct store_mark *mark, int64_t *now_ms, bool *done,
                         fusion_error *err);
  /** FUSION_E_CLOSED: the answer was lost. */
  fusion_status (*commit)(struct store *s, const struct store_mark *mark, fusion_error *err);
  void (*rollback)(struct store *s);
  /** Runs a statement; `row` (may be NULL) is called for each row of the result. */
  bool (*query)(struct store *s, const char *sql, const struct store_arg *args, size_t arg_count, store_row *row,
                void *context);
  /** What became of the last query that failed: FUSION_E_NETWORK when it may do later, else FUSION_E_IO. */
  fusion_status (*failed)(struct store *s, fusion_error *err);
  void (*close)(struct store *s);
};

/** Makes the tables if there are none. `to_read`: changes nothing, and what is no ledger fails at the first query. */
fusion_status store_open_sqlite(struct store **out, const char *path, bool to_read,
                                fusion_error *err) FUSION_MUST_CHECK;
/** FUSION_E_UNSUPPORTED where the library was built without libpq. */
fusion_status store_open_postgres(struct store **out, const char *url, bool to_read,
                                  fusion_error *err) FUSION_MUST_CHECK;
/** The one of these that `where` names. */
fusion_status store_open(struct store **out, const char *where, bool to_read, fusion_error *err) FUSION_MUST_CHECK;

/** A query with arguments in place: `kinds` has 's' for a text and 'i' for an int64_t. */
bool store_query(struct store *s, store_row *row, void *context, const char *sql, const char *kinds, ...);
/** The single number of the result, 0 for no row. */
bool store_number(struct store *s, int64_t *out, const char *sql, const char *kinds, ...);

/** Columns of open_jobs, holds and days; the same in both databases. */
#define STORE_TABLES                                                                                                   \
  "CREATE TABLE IF NOT EXISTS open_jobs (job TEXT, client TEXT, model TEXT, engine TEXT, declared BIGINT,"             \
  " claimed BIGINT, booked BIGINT DEFAULT 0, begun BIGINT, samples BIGINT DEFAULT 0, bytes_received BIGINT DEFAULT 0," \
  " bytes_sent BIGINT DEFAULT 0, connections BIGINT DEFAULT 0, ended BIGINT DEFAULT 0, outcome TEXT DEFAULT 'lost',"   \
  " reason TEXT DEFAULT 'the server ended', PRIMARY KEY (job, client));"                                               \
  "CREATE TABLE IF NOT EXISTS holds (job TEXT, client TEXT, server TEXT, until BIGINT, ran BIGINT DEFAULT 0,"          \
  " PRIMARY KEY (job, client, server));"                                                                               \
  "CREATE TABLE IF NOT EXISTS days (day BIGINT, client TEXT, samples BIGINT, PRIMARY KEY (day, client));"

/** Columns of jobs but the first, the key `seq`. */
#define STORE_JOB_COLUMNS                                                                                           \
  " time TEXT NOT NULL, client TEXT NOT NULL, job TEXT NOT NULL, model TEXT NOT NULL, engine TEXT NOT NULL,"        \
  " declared BIGINT NOT NULL, samples BIGINT NOT NULL, bytes_received BIGINT NOT NULL, bytes_sent BIGINT NOT NULL," \
  " milliseconds BIGINT NOT NULL, connections BIGINT NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL,"        \
  " previous TEXT NOT NULL, hash TEXT NOT NULL"

/* ---- rows and their hashes ---- */

enum {
  ROW_TEXTS = 8,  /* time, client, job, model, engine, outcome, reason, previous */
  ROW_NUMBERS = 7 /* seq, declared, samples, bytes_received, bytes_sent, milliseconds, connections */
};

/** A row as the hash takes it. Texts are borrowed. */
struct ledger_row {
  const char *text[ROW_TEXTS];
  int64_t number[ROW_NUMBERS];
};

/** Columns in the order of ledger_row, the hash behind them. */
#define LEDGER_COLUMNS                                                                    \
  "time, client, job, model, engine, outcome, reason, previous, seq, declared, samples, " \
  "bytes_received, bytes_sent, milliseconds, connections, hash"

/** BLAKE2b-256 over the row, in hexadecimal. */
void ledger_hash(char out[LEDGER_HEX_LEN], const struct ledger_row *row);

#endif
