/* Fuzz target: canary files from foreign bytes, as they are and under a right hash. What is read is written again, and
 * read alike. */
#include <sodium.h>

#include "session/canaries.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HASH_LEN = 32 };

static void decode(const uint8_t *bytes, size_t len) {
  fusion_error err = {.status = FUSION_OK};
  struct canaries c, again;
  uint8_t *written;
  size_t written_len;
  const fusion_status status = canaries_decode(&c, "fuzz", bytes, len, &err);
  if ((status != FUSION_OK) != (err.text[0] != '\0')) __builtin_trap();
  if (status != FUSION_OK) {
    if (c.inputs || c.answers || c.labels || c.classes) __builtin_trap();
    return;
  }
  if (canaries_encode(&c, &written, &written_len) == FUSION_OK) {
    if (canaries_decode(&again, "fuzz", written, written_len, NULL) != FUSION_OK || again.rows != c.rows)
      __builtin_trap();
    canaries_free(&again);
    mem_free(written);
  }
  canaries_free(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  decode(data, size);
  if (size < HASH_LEN) return 0;
  uint8_t *bytes = mem_alloc(size, 1);
  if (!bytes) return 0;
  memcpy(bytes, data, size);
  crypto_generichash(bytes + size - HASH_LEN, HASH_LEN, bytes, size - HASH_LEN, NULL, 0);
  decode(bytes, size);
  mem_free(bytes);
  return 0;
}
