/** Bytes that are written once and read once, in order: a file, memory. Whoever makes the stream decides where they
 * lie; a reader gets what was written or a failure. */
#ifndef FUSION_BASE_BYTE_STREAM_H
#define FUSION_BASE_BYTE_STREAM_H

#include "base/base.h"

struct byte_stream {
  fusion_status (*write)(void *context, const void *data, size_t len);
  /** All `len` bytes, or a failure. */
  fusion_status (*read)(void *context, void *data, size_t len);
  void *context;
};

static inline fusion_status stream_write(const struct byte_stream *s, const void *data, size_t len) {
  return s->write(s->context, data, len);
}
static inline fusion_status stream_read(const struct byte_stream *s, void *data, size_t len) {
  return s->read(s->context, data, len);
}

#endif
