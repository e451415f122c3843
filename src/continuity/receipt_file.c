/* The receipts of a job as a file. */
#include <sodium.h>
#include <stdlib.h>

#include "continuity/receipt.h"

enum { FILE_VERSION = 1, MAGIC_LEN = 8 };
static const uint8_t magic[MAGIC_LEN] = {'F', 'U', 'S', 'I', 'O', 'N', 'R', 'F'};

static int compare(const void *a, const void *b) {
  return memcmp(a, b, RECEIPT_LEN);
}

void receipts_encode(struct writer *w, uint8_t (*receipts)[RECEIPT_LEN], size_t count) {
  qsort(receipts, count, sizeof *receipts, compare);
  write_bytes(w, magic, sizeof magic);
  write_u32(w, FILE_VERSION);
  write_u32(w, (uint32_t)count);
  write_bytes(w, receipts, count * sizeof *receipts);
}

/* What must be the same in all receipts of a job. */
static bool belong_together(const struct receipt *a, const struct receipt *b) {
  return memcmp(a->job, b->job, sizeof a->job) == 0 && memcmp(a->model_id, b->model_id, sizeof a->model_id) == 0 &&
         memcmp(a->manifest_hash, b->manifest_hash, sizeof a->manifest_hash) == 0 && a->declared == b->declared &&
         memcmp(a->key, b->key, sizeof a->key) == 0;
}

static fusion_status add(struct receipts_summary *out, const struct receipt *r) {
  if (!out->connections) *out = (struct receipts_summary){.first = *r, .earliest = r->time, .one_certificate = true};
  if (!belong_together(&out->first, r) || r->samples > UINT64_MAX - out->samples) return FUSION_E_CRYPTO;
  out->one_certificate =
      out->one_certificate && memcmp(out->first.certificate, r->certificate, sizeof r->certificate) == 0;
  out->connections++;
  out->samples += r->samples;
  out->shards += r->shards;
  if (r->time < out->earliest) out->earliest = r->time;
  if (r->time > out->latest) out->latest = r->time;
  return FUSION_OK;
}

fusion_status receipts_decode(struct receipts_summary *out, const void *data, size_t len, const char *name,
                              fusion_error *err) {
  *out = (struct receipts_summary){0};
  if (sodium_init() < 0) return error_set(err, FUSION_E_RESOURCE, "libsodium cannot be set up");
  struct reader r = reader_of(data, len);
  const uint8_t *found = read_span(&r, MAGIC_LEN);
  const uint32_t version = read_u32(&r), count = read_u32(&r);
  if (!found || memcmp(found, magic, MAGIC_LEN) != 0)
    return error_set(err, FUSION_E_INPUT, "'%.300s': not a file of receipts", name);
  if (!r.failed && version != FILE_VERSION)
    return error_set(err, FUSION_E_INPUT, "'%.300s': receipts of version %u are not known here", name, version);
  if (r.failed || !count || count > RECEIPTS_MAX || reader_left(&r) != (size_t)count * RECEIPT_LEN)
    return error_set(err, FUSION_E_INPUT, "'%.300s': truncated or altered (its length does not fit)", name);
  const uint8_t *before = NULL;
  for (uint32_t i = 0; i < count; i++) {
    struct receipt one;
    const uint8_t *bytes = read_span(&r, RECEIPT_LEN);
    if (receipt_open(&one, bytes) != FUSION_OK)
      return error_set(err, FUSION_E_CRYPTO, "'%.300s': receipt %u is not valid: its signature does not fit", name, i);
    if (before && compare(before, bytes) >= 0)
      return error_set(err, FUSION_E_CRYPTO, "'%.300s': receipt %u is there twice, or out of order", name, i);
    if (add(out, &one) != FUSION_OK)
      return error_set(err, FUSION_E_CRYPTO, "'%.300s': receipt %u is of another job, model or key", name, i);
    before = bytes;
  }
  return FUSION_OK;
}
