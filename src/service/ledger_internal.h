/** What the ledger's two files share: the row of a job and its hash. */
#ifndef FUSION_SERVICE_LEDGER_INTERNAL_H
#define FUSION_SERVICE_LEDGER_INTERNAL_H

#include <sqlite3.h>

#include "service/ledger.h"

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
/** The row under a statement's cursor, whose columns are LEDGER_COLUMNS; its hash into *hash. Borrowed until the next
 * step. */
struct ledger_row ledger_row_read(sqlite3_stmt *s, const char **hash);

#endif
