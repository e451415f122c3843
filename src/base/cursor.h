/** Byte cursors: the one way in which parsed or serialised bytes are touched. Little-endian.
 *  A failed read or write sticks: later calls do nothing, and cursor_ok() says so at the end. */
#ifndef FUSION_BASE_CURSOR_H
#define FUSION_BASE_CURSOR_H

#include "base/base.h"

struct reader {
  const uint8_t *data; /* borrowed */
  size_t len, pos;
  bool failed;
};

struct reader reader_of(const void *data, size_t len);
uint8_t read_u8(struct reader *r);
uint16_t read_u16(struct reader *r);
uint32_t read_u32(struct reader *r);
uint64_t read_u64(struct reader *r);
double read_f64(struct reader *r);
void read_bytes(struct reader *r, void *out, size_t len);
/** Borrows `len` bytes in place; NULL on failure. */
const uint8_t *read_span(struct reader *r, size_t len);
/** A string of u16 length into out (NUL-terminated); fails when it does not fit `capacity` or holds a NUL. */
void read_string(struct reader *r, char *out, size_t capacity);
static inline size_t reader_left(const struct reader *r) {
  return r->failed ? 0 : r->len - r->pos;
}
/** True when nothing failed and every byte was read. */
bool reader_done(const struct reader *r);

struct writer {
  uint8_t *data; /* owned, grows */
  size_t len, capacity;
  bool failed;
};

void write_u8(struct writer *w, uint8_t v);
void write_u16(struct writer *w, uint16_t v);
void write_u32(struct writer *w, uint32_t v);
void write_u64(struct writer *w, uint64_t v);
void write_f64(struct writer *w, double v);
void write_bytes(struct writer *w, const void *data, size_t len);
void write_string(struct writer *w, const char *text);
void writer_free(struct writer *w);

#endif
