#include "continuity/receipt.h"

#include <sodium.h>

enum { RECEIPT_VERSION = 1, SIGNED_LEN = RECEIPT_LEN - crypto_sign_BYTES, MAGIC_LEN = 8 };
static const uint8_t magic[MAGIC_LEN] = {'F', 'U', 'S', 'I', 'O', 'N', 'R', 'C'};
static const char key_magic[] = "fusion receipt key 1 ";

static_assert(RECEIPT_SECRET_LEN == (int)crypto_sign_SECRETKEYBYTES, "libsodium's");
static_assert(RECEIPT_KEY_TEXT_LEN >= sizeof key_magic + 2 * RECEIPT_SEED_LEN, "room for a line");

void receipt_key_from_seed(uint8_t secret[RECEIPT_SECRET_LEN], const uint8_t seed[RECEIPT_SEED_LEN]) {
  uint8_t public_key[RECEIPT_KEY_LEN];
  crypto_sign_seed_keypair(public_key, secret, seed);
}

const uint8_t *receipt_public_key(const uint8_t secret[RECEIPT_SECRET_LEN]) {
  return secret + RECEIPT_SEED_LEN;
}

/* Fixed room: no receipt is longer, so nothing can fail. */
static uint8_t *put_bytes(uint8_t *at, const void *bytes, size_t len) {
  memcpy(at, bytes, len);
  return at + len;
}

static uint8_t *put_number(uint8_t *at, uint64_t v, size_t len) {
  for (size_t i = 0; i < len; i++) *at++ = (uint8_t)(v >> (8 * i));
  return at;
}

void receipt_sign(uint8_t out[RECEIPT_LEN], const struct receipt *r, const uint8_t secret[RECEIPT_SECRET_LEN]) {
  uint8_t *at = put_bytes(out, magic, sizeof magic);
  at = put_number(at, RECEIPT_VERSION, 4);
  at = put_number(at, r->shards, 4);
  at = put_bytes(at, r->job, sizeof r->job);
  at = put_bytes(at, r->model_id, sizeof r->model_id);
  at = put_bytes(at, r->manifest_hash, sizeof r->manifest_hash);
  at = put_number(at, r->declared, 8);
  at = put_number(at, r->samples, 8);
  at = put_number(at, r->time, 8);
  at = put_bytes(at, r->certificate, sizeof r->certificate);
  at = put_bytes(at, r->sent, sizeof r->sent);
  at = put_bytes(at, r->received, sizeof r->received);
  at = put_bytes(at, receipt_public_key(secret), RECEIPT_KEY_LEN);
  assert(at == out + SIGNED_LEN);
  crypto_sign_detached(at, NULL, out, SIGNED_LEN, secret);
}

fusion_status receipt_open(struct receipt *out, const uint8_t bytes[RECEIPT_LEN]) {
  struct reader r = reader_of(bytes, SIGNED_LEN);
  const uint8_t *found = read_span(&r, MAGIC_LEN);
  const uint32_t version = read_u32(&r);
  *out = (struct receipt){.shards = read_u32(&r)};
  read_bytes(&r, out->job, sizeof out->job);
  read_bytes(&r, out->model_id, sizeof out->model_id);
  read_bytes(&r, out->manifest_hash, sizeof out->manifest_hash);
  out->declared = read_u64(&r);
  out->samples = read_u64(&r);
  out->time = read_u64(&r);
  read_bytes(&r, out->certificate, sizeof out->certificate);
  read_bytes(&r, out->sent, sizeof out->sent);
  read_bytes(&r, out->received, sizeof out->received);
  read_bytes(&r, out->key, sizeof out->key);
  assert(reader_done(&r));
  if (memcmp(found, magic, MAGIC_LEN) != 0 || version != RECEIPT_VERSION) return FUSION_E_CRYPTO;
  return crypto_sign_verify_detached(bytes + SIGNED_LEN, bytes, SIGNED_LEN, out->key) == 0 ? FUSION_OK
                                                                                           : FUSION_E_CRYPTO;
}

void receipt_key_write(char out[RECEIPT_KEY_TEXT_LEN + 1], const uint8_t seed[RECEIPT_SEED_LEN]) {
  char digits[2 * RECEIPT_SEED_LEN + 1];
  sodium_bin2hex(digits, sizeof digits, seed, RECEIPT_SEED_LEN);
  memset(out, 0, RECEIPT_KEY_TEXT_LEN + 1);
  strcpy(out, key_magic);
  strcat(out, digits);
  strcat(out, "\n");
  mem_wipe(digits, sizeof digits);
}

fusion_status receipt_key_read(uint8_t seed[RECEIPT_SEED_LEN], const char *text, size_t len) {
  const size_t head = sizeof key_magic - 1, digits = 2 * RECEIPT_SEED_LEN;
  size_t done = 0;
  if (len == head + digits + 1 && text[len - 1] == '\n') len--;
  if (len != head + digits || memcmp(text, key_magic, head) != 0) return FUSION_E_INPUT;
  const bool good = sodium_hex2bin(seed, RECEIPT_SEED_LEN, text + head, digits, NULL, &done, NULL) == 0;
  return good && done == RECEIPT_SEED_LEN ? FUSION_OK : FUSION_E_INPUT;
}
