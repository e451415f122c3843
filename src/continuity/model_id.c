#include "continuity/model_id.h"

#include <sodium.h>

#include "base/cursor.h"
#include "program/fsn.h"

static fusion_status hash_function(uint8_t hash[MODEL_ID_LEN], const struct model *model, const uint8_t *salt) {
  struct writer w = {0};
  fsn_encode_function(&w, model);
  const fusion_status status = w.failed ? FUSION_E_MEMORY : FUSION_OK;
  if (!w.failed) crypto_generichash(hash, MODEL_ID_LEN, w.data, w.len, salt, salt ? MODEL_SALT_LEN : 0);
  writer_free(&w);
  return status;
}

fusion_status model_id_set(struct model *model, const uint8_t salt[MODEL_SALT_LEN]) {
  const fusion_status status = hash_function(model->program.model_id, model, salt);
  if (status == FUSION_OK) memcpy(model->salt, salt, MODEL_SALT_LEN);
  return status;
}

fusion_status model_function_hash(uint8_t hash[MODEL_ID_LEN], const struct model *model) {
  return hash_function(hash, model, NULL);
}

fusion_status model_salt_take(uint8_t salt[MODEL_SALT_LEN], const char *text, fusion_error *err) {
  size_t len = 0;
  if (!text) {
    const fusion_status status = os_random(salt, MODEL_SALT_LEN);
    return status == FUSION_OK ? status : error_set(err, status, "%s", fusion_status_text(status));
  }
  if (strlen(text) == 2 * MODEL_SALT_LEN &&
      sodium_hex2bin(salt, MODEL_SALT_LEN, text, strlen(text), NULL, &len, NULL) == 0 && len == MODEL_SALT_LEN)
    return FUSION_OK;
  return error_set(err, FUSION_E_USAGE, "the salt is not %d hexadecimal digits", 2 * MODEL_SALT_LEN);
}
