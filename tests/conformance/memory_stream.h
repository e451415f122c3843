/** Prepared states in memory: written once, read once. */
#ifndef FUSION_TESTS_MEMORY_STREAM_H
#define FUSION_TESTS_MEMORY_STREAM_H

#include "base/byte_stream.h"

struct memory_stream {
  struct byte_stream stream; /* its context is this */
  uint8_t *data;             /* owned */
  size_t len, capacity, at;
};

void memory_stream_open(struct memory_stream *m);
void memory_stream_close(struct memory_stream *m);

#endif
