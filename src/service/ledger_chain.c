/* The chain of hashes: each row's covers the one before it. */
#include <sodium.h>
#include <stdio.h>

#include "service/ledger_internal.h"

static void hash_bytes(crypto_generichash_state *h, const void *data, size_t len) {
  uint8_t prefix[8];
  for (int i = 0; i < 8; i++) prefix[i] = (uint8_t)((uint64_t)len >> (8 * i));
  crypto_generichash_update(h, prefix, sizeof prefix);
  crypto_generichash_update(h, data, len);
}

void ledger_hash(char out[LEDGER_HEX_LEN], const struct ledger_row *row) {
  static const char domain[] = "fusion ledger 1";
  crypto_generichash_state h;
  uint8_t hash[LEDGER_HASH_LEN];
  crypto_generichash_init(&h, NULL, 0, sizeof hash);
  hash_bytes(&h, domain, sizeof domain);
  for (int i = 0; i < ROW_TEXTS; i++) hash_bytes(&h, row->text[i], strlen(row->text[i]));
  for (int i = 0; i < ROW_NUMBERS; i++) {
    uint8_t bytes[8];
    for (int k = 0; k < 8; k++) bytes[k] = (uint8_t)((uint64_t)row->number[i] >> (8 * k));
    crypto_generichash_update(&h, bytes, sizeof bytes);
  }
  crypto_generichash_final(&h, hash, sizeof hash);
  sodium_bin2hex(out, LEDGER_HEX_LEN, hash, sizeof hash);
}

static const char *text_of(sqlite3_stmt *s, int column) {
  const unsigned char *text = sqlite3_column_text(s, column);
  return text ? (const char *)text : "";
}

struct ledger_row ledger_row_read(sqlite3_stmt *s, const char **hash) {
  struct ledger_row row;
  for (int i = 0; i < ROW_TEXTS; i++) row.text[i] = text_of(s, i);
  for (int i = 0; i < ROW_NUMBERS; i++) row.number[i] = sqlite3_column_int64(s, ROW_TEXTS + i);
  *hash = text_of(s, ROW_TEXTS + ROW_NUMBERS);
  return row;
}

/* Every row's number, its link to the one before, and its hash. */
static fusion_status verify_rows(sqlite3_stmt *s, const char *path, uint64_t *rows, char head[LEDGER_HEX_LEN],
                                 fusion_error *err) {
  char due[LEDGER_HEX_LEN];
  int code;
  while ((code = sqlite3_step(s)) == SQLITE_ROW) {
    const char *hash;
    const struct ledger_row row = ledger_row_read(s, &hash);
    const uint64_t number = *rows + 1;
    ledger_hash(due, &row);
    if (row.number[0] != (int64_t)number)
      return error_set(err, FUSION_E_CRYPTO, "'%.200s': row %llu is missing", path, (unsigned long long)number);
    if (strcmp(row.text[ROW_TEXTS - 1], head) != 0)
      return error_set(err, FUSION_E_CRYPTO, "'%.200s': row %llu does not follow the one before it", path,
                       (unsigned long long)number);
    bool whole = true; /* no byte behind a text's end */
    for (int i = 0; i < ROW_TEXTS; i++) whole = whole && (size_t)sqlite3_column_bytes(s, i) == strlen(row.text[i]);
    if (!whole || strcmp(hash, due) != 0)
      return error_set(err, FUSION_E_CRYPTO, "'%.200s': row %llu was altered", path, (unsigned long long)number);
    memcpy(head, due, LEDGER_HEX_LEN);
    *rows = number;
  }
  if (code == SQLITE_DONE) return FUSION_OK;
  return error_set(err, FUSION_E_INPUT, "'%.200s': cannot be read: %s", path, sqlite3_errstr(code));
}

fusion_status ledger_verify(const char *path, uint64_t *rows, char head[LEDGER_HEX_LEN], fusion_error *err) {
  sqlite3 *db = NULL;
  sqlite3_stmt *s = NULL;
  fusion_status status;
  *rows = 0;
  head[0] = '\0';
  int code = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL);
  if (code != SQLITE_OK) {
    status = error_set(err, FUSION_E_IO, "'%.200s': cannot be opened: %s", path, sqlite3_errstr(code));
  } else {
    sqlite3_busy_timeout(db, 5000);
    code = sqlite3_prepare_v2(db, "SELECT " LEDGER_COLUMNS " FROM jobs ORDER BY seq", -1, &s, NULL);
    status = code == SQLITE_OK ? verify_rows(s, path, rows, head, err)
                               : error_set(err, FUSION_E_INPUT, "'%.200s': is no ledger: %s", path, sqlite3_errmsg(db));
  }
  sqlite3_finalize(s);
  sqlite3_close(db);
  return status;
}
