#include "base/memory_stream.h"

static fusion_status write_bytes(void *context, const void *data, size_t len) {
  struct memory_stream *m = context;
  if (m->len + len > m->capacity) {
    const size_t capacity = size_max(2 * m->capacity, m->len + len);
    uint8_t *grown = mem_alloc(capacity, 1);
    if (!grown) return FUSION_E_MEMORY;
    if (m->len) memcpy(grown, m->data, m->len);
    mem_free_secret(m->data, m->len);
    m->data = grown;
    m->capacity = capacity;
  }
  memcpy(m->data + m->len, data, len);
  m->len += len;
  return FUSION_OK;
}

static fusion_status read_bytes(void *context, void *data, size_t len) {
  struct memory_stream *m = context;
  if (len > m->len - m->at) return FUSION_E_INTERNAL;
  memcpy(data, m->data + m->at, len);
  m->at += len;
  return FUSION_OK;
}

void memory_stream_open(struct memory_stream *m) {
  *m = (struct memory_stream){.stream = {write_bytes, read_bytes, m}};
}

void memory_stream_close(struct memory_stream *m) {
  mem_free_secret(m->data, m->len);
}
