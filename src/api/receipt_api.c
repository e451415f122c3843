/* Public face of receipts: keys, and verifying a file. What a job collects is in client_api.c. */
#include "api/receipt_api.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fusion/receipts.h>

#include "base/sized.h"

#define RECEIPT_FILE_MAX (RECEIPTS_HEADER_LEN + (size_t)RECEIPTS_MAX * RECEIPT_LEN)

static fusion_status io_error(const char *path, const char *what, fusion_error *err) {
  return error_set(err, FUSION_E_IO, "'%.300s': %s: %s", path, what, strerror(errno));
}

/* Never over a file that is there: an old key may be what receipts are verified with. */
static fusion_status write_new(const char *path, const char *text, fusion_error *err) {
  const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return io_error(path, "cannot be made", err);
  const size_t len = strlen(text);
  bool good = write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
  good = close(fd) == 0 && good;
  if (good) return FUSION_OK;
  const fusion_status status = io_error(path, "cannot be written", err);
  unlink(path);
  return status;
}

fusion_status fusion_receipt_keygen(const char *path, char public_key[FUSION_HEX_LEN], fusion_error *err) {
  uint8_t seed[RECEIPT_SEED_LEN], secret[RECEIPT_SECRET_LEN];
  char text[RECEIPT_KEY_TEXT_LEN + 1];
  fusion_status status = sodium_init() < 0 ? FUSION_E_RESOURCE : os_random(seed, sizeof seed);
  if (status != FUSION_OK) return error_set(err, status, "%s", fusion_status_text(status));
  receipt_key_from_seed(secret, seed);
  receipt_key_write(text, seed);
  status = write_new(path, text, err);
  sodium_bin2hex(public_key, FUSION_HEX_LEN, receipt_public_key(secret), RECEIPT_KEY_LEN);
  mem_wipe(seed, sizeof seed);
  mem_wipe(secret, sizeof secret);
  mem_wipe(text, sizeof text);
  return status;
}

/* A regular file of at most `max` bytes; *data is owned by the caller, with a byte to spare. */
static fusion_status read_small(uint8_t **data, size_t *len, const char *path, size_t max, fusion_error *err) {
  FILE *f = fopen(path, "rb");
  struct stat st;
  fusion_status status = FUSION_OK;
  *data = NULL;
  *len = 0;
  if (!f) return io_error(path, "cannot be opened", err);
  if (fstat(fileno(f), &st) || !S_ISREG(st.st_mode))
    status = error_set(err, FUSION_E_IO, "'%.300s': not a regular file", path);
  else if (st.st_size < 0 || (uint64_t)st.st_size > max)
    status = error_set(err, FUSION_E_INPUT, "'%.300s': too long for such a file", path);
  if (status == FUSION_OK) *len = (size_t)st.st_size;
  if (status == FUSION_OK && !(*data = mem_alloc(*len + 1, 1)))
    status = error_set(err, FUSION_E_MEMORY, "'%.300s': out of memory", path);
  if (status == FUSION_OK && fread(*data, 1, *len, f) != *len) status = io_error(path, "cannot be read", err);
  fclose(f);
  return status;
}

fusion_status receipt_key_load(uint8_t secret[RECEIPT_SECRET_LEN], const char *path, fusion_error *err) {
  uint8_t *text, seed[RECEIPT_SEED_LEN];
  size_t len;
  fusion_status status = read_small(&text, &len, path, RECEIPT_KEY_TEXT_LEN, err);
  if (status == FUSION_OK && sodium_init() < 0) status = FUSION_E_RESOURCE;
  if (status == FUSION_OK) status = receipt_key_read(seed, (const char *)text, len);
  if (status == FUSION_OK) receipt_key_from_seed(secret, seed);
  if (status == FUSION_E_INPUT)
    error_set(err, status, "'%.300s': not a receipt key; make one with 'fusion keygen'", path);
  mem_wipe(seed, sizeof seed);
  mem_free_secret(text, text ? len : 0);
  return status;
}

static void fill_info(fusion_receipt_info *info, const struct receipts_summary *s) {
  fusion_receipt_info out = {.size = sizeof out,
                             .connections = s->connections,
                             .shards = s->shards,
                             .samples = s->samples,
                             .declared = s->first.declared,
                             .earliest = s->earliest,
                             .latest = s->latest};
  sodium_bin2hex(out.job, sizeof out.job, s->first.job, sizeof s->first.job);
  sodium_bin2hex(out.model_id, sizeof out.model_id, s->first.model_id, sizeof s->first.model_id);
  sodium_bin2hex(out.manifest_hash, sizeof out.manifest_hash, s->first.manifest_hash, sizeof s->first.manifest_hash);
  if (s->one_certificate && !sodium_is_zero(s->first.certificate, sizeof s->first.certificate))
    sodium_bin2hex(out.certificate_hash, sizeof out.certificate_hash, s->first.certificate,
                   sizeof s->first.certificate);
  sodium_bin2hex(out.public_key, sizeof out.public_key, s->first.key, sizeof s->first.key);
  sized_give(info, &out);
}

fusion_status fusion_receipt_verify(const char *path, const char *public_key, fusion_receipt_info *info,
                                    fusion_error *err) {
  uint8_t *data = NULL, key[RECEIPT_KEY_LEN];
  size_t len = 0, digits = 0;
  struct receipts_summary summary;
  fusion_status status = sized_check(info, "fusion_receipt_info", err);
  if (status != FUSION_OK) return status;
  if (public_key &&
      (strlen(public_key) != 2 * sizeof key ||
       sodium_hex2bin(key, sizeof key, public_key, strlen(public_key), NULL, &digits, NULL) || digits != sizeof key))
    return error_set(err, FUSION_E_USAGE, "'%.80s': not a public key, 64 hexadecimal digits", public_key);
  TRY(read_small(&data, &len, path, RECEIPT_FILE_MAX, err));
  TRY(receipts_decode(&summary, data, len, path, err));
  FAIL_IF(public_key && memcmp(key, summary.first.key, sizeof key) != 0,
          error_set(err, FUSION_E_CRYPTO, "'%.300s': signed by another key than the one that was named", path));
  fill_info(info, &summary);
cleanup:
  mem_free(data);
  return status;
}
