/** A byte stream in memory. */
#ifndef FUSION_BASE_MEMORY_STREAM_H
#define FUSION_BASE_MEMORY_STREAM_H

#include "base/byte_stream.h"

struct memory_stream {
  struct byte_stream stream; /* its context is this */
  uint8_t *data;             /* owned */
  size_t len, capacity, at;  /* at: bytes read so far */
};

/** *m must stay where it is. */
void memory_stream_open(struct memory_stream *m);
/** Wipes it. */
void memory_stream_close(struct memory_stream *m);

#endif
