/* The chain of hashes: each row's covers the one before it. */
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "service/ledger_store.h"

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

/* A number as the ledger writes it, nothing before or behind it. */
static bool read_number(const struct store_cell *cell, int64_t *out) {
  char due[24];
  errno = 0;
  *out = strtoll(cell->text, NULL, 10);
  snprintf(due, sizeof due, "%" PRId64, *out);
  return !errno && strcmp(cell->text, due) == 0 && cell->len == strlen(due);
}

/* False: a cell holds what the ledger never writes. */
static bool read_row(struct ledger_row *row, const struct store_cell *cells) {
  bool whole = true; /* no byte behind a text's end */
  for (int i = 0; i < ROW_TEXTS; i++) {
    row->text[i] = cells[i].text;
    whole = whole && cells[i].len == strlen(cells[i].text);
  }
  for (int i = 0; i < ROW_NUMBERS; i++) whole = read_number(&cells[ROW_TEXTS + i], &row->number[i]) && whole;
  return whole;
}

struct verification {
  const char *name; /* of the ledger */
  uint64_t *rows;
  char *head; /* LEDGER_HEX_LEN */
  fusion_error *err;
  fusion_status status;
};

/* The row's number, its link to the one before, and its hash. */
static bool verify_row(void *context, const struct store_cell *cells) {
  struct verification *v = context;
  struct ledger_row row;
  char due[LEDGER_HEX_LEN];
  const unsigned long long number = *v->rows + 1;
  const bool whole = read_row(&row, cells);
  ledger_hash(due, &row);
  if (row.number[0] != (int64_t)number)
    v->status = error_set(v->err, FUSION_E_CRYPTO, "'%.200s': row %llu is missing", v->name, number);
  else if (strcmp(row.text[ROW_TEXTS - 1], v->head) != 0)
    v->status =
        error_set(v->err, FUSION_E_CRYPTO, "'%.200s': row %llu does not follow the one before it", v->name, number);
  else if (!whole || strcmp(cells[ROW_TEXTS + ROW_NUMBERS].text, due) != 0)
    v->status = error_set(v->err, FUSION_E_CRYPTO, "'%.200s': row %llu was altered", v->name, number);
  if (v->status != FUSION_OK) return false;
  memcpy(v->head, due, LEDGER_HEX_LEN);
  *v->rows = number;
  return true;
}

fusion_status ledger_verify(const char *where, uint64_t *rows, char head[LEDGER_HEX_LEN], fusion_error *err) {
  struct store *s;
  *rows = 0;
  head[0] = '\0';
  const fusion_status status = store_open(&s, where, true, err);
  if (status != FUSION_OK) return status;
  struct verification v = {.name = s->name, .rows = rows, .head = head, .err = err};
  if (!store_query(s, verify_row, &v, "SELECT " LEDGER_COLUMNS " FROM jobs ORDER BY seq", "")) {
    fusion_error why;
    v.status = s->calls->failed(s, &why);
    if (v.status == FUSION_E_IO)
      v.status = error_set(err, FUSION_E_INPUT, "'%.200s': is no ledger: %.200s", s->name, why.text);
    else
      error_set(err, v.status, "%s", why.text);
  }
  s->calls->close(s);
  return v.status;
}
