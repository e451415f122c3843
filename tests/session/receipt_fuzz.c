/* Fuzz target of files of receipts. Signatures are mended with a key of our own, so that what lies behind them is
 * reached. What is taken must be what receipts_encode writes of it. */
#include <sodium.h>
#include <stdlib.h>

#include "continuity/receipt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { SIGNED_LEN = RECEIPT_LEN - 64, KEY_AT = SIGNED_LEN - RECEIPT_KEY_LEN };

static void try_file(const uint8_t *data, size_t len) {
  struct receipts_summary sum;
  fusion_error err = {.status = FUSION_OK};
  const fusion_status status = receipts_decode(&sum, data, len, "fuzz.receipt", &err);
  if (status != FUSION_OK) {
    if ((status != FUSION_E_INPUT && status != FUSION_E_CRYPTO) || !err.text[0]) abort();
    return;
  }
  if (sum.connections != (len - RECEIPTS_HEADER_LEN) / RECEIPT_LEN || sum.earliest > sum.latest) abort();
  struct writer w = {0};
  uint8_t(*receipts)[RECEIPT_LEN] = malloc(len - RECEIPTS_HEADER_LEN);
  if (!receipts) abort();
  memcpy(receipts, data + RECEIPTS_HEADER_LEN, len - RECEIPTS_HEADER_LEN);
  receipts_encode(&w, receipts, sum.connections);
  if (w.failed || w.len != len || memcmp(w.data, data, len) != 0) abort();
  writer_free(&w);
  free(receipts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  static const uint8_t seed[RECEIPT_SEED_LEN] = {7};
  uint8_t secret[RECEIPT_SECRET_LEN];
  try_file(data, len);
  if (len < RECEIPTS_HEADER_LEN || sodium_init() < 0) return 0;
  uint8_t *mended = malloc(len);
  if (!mended) return 0;
  memcpy(mended, data, len);
  receipt_key_from_seed(secret, seed);
  for (size_t at = RECEIPTS_HEADER_LEN; at + RECEIPT_LEN <= len; at += RECEIPT_LEN) {
    memcpy(mended + at + KEY_AT, receipt_public_key(secret), RECEIPT_KEY_LEN);
    crypto_sign_detached(mended + at + SIGNED_LEN, NULL, mended + at, SIGNED_LEN, secret);
  }
  try_file(mended, len);
  free(mended);
  return 0;
}
