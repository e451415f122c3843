#include "base/cursor.h"

#include <stdlib.h>

struct reader reader_of(const void *data, size_t len) {
  return (struct reader){.data = data, .len = len};
}

const uint8_t *read_span(struct reader *r, size_t len) {
  if (r->failed || len > r->len - r->pos) {
    r->failed = true;
    return NULL;
  }
  const uint8_t *span = r->data + r->pos;
  r->pos += len;
  return span;
}

static uint64_t read_little(struct reader *r, size_t len) {
  const uint8_t *p = read_span(r, len);
  uint64_t v = 0;
  for (size_t i = 0; p && i < len; i++) v |= (uint64_t)p[i] << (8 * i);
  return v;
}

uint8_t read_u8(struct reader *r) {
  return (uint8_t)read_little(r, 1);
}
uint16_t read_u16(struct reader *r) {
  return (uint16_t)read_little(r, 2);
}
uint32_t read_u32(struct reader *r) {
  return (uint32_t)read_little(r, 4);
}
uint64_t read_u64(struct reader *r) {
  return read_little(r, 8);
}

double read_f64(struct reader *r) {
  const uint64_t bits = read_u64(r);
  double v;
  memcpy(&v, &bits, sizeof v);
  return v;
}

void read_bytes(struct reader *r, void *out, size_t len) {
  const uint8_t *p = read_span(r, len);
  if (p && len) memcpy(out, p, len);
}

void read_string(struct reader *r, char *out, size_t capacity) {
  const size_t len = read_u16(r);
  const uint8_t *p = read_span(r, len);
  if (capacity) out[0] = '\0';
  if (!p || len >= capacity || memchr(p, '\0', len)) {
    r->failed = true;
    return;
  }
  memcpy(out, p, len);
  out[len] = '\0';
}

bool reader_done(const struct reader *r) {
  return !r->failed && r->pos == r->len;
}

void write_bytes(struct writer *w, const void *data, size_t len) {
  size_t need;
  if (w->failed || !len) return;
  if (!size_add(w->len, len, &need) || need > SIZE_MAX / 2) {
    w->failed = true;
    return;
  }
  if (need > w->capacity) {
    const size_t capacity = size_max(need, size_max(256, 2 * w->capacity));
    uint8_t *grown = realloc(w->data, capacity);
    if (!grown) {
      w->failed = true;
      return;
    }
    w->data = grown;
    w->capacity = capacity;
  }
  memcpy(w->data + w->len, data, len);
  w->len = need;
}

static void write_little(struct writer *w, uint64_t v, size_t len) {
  uint8_t bytes[8];
  for (size_t i = 0; i < len; i++) bytes[i] = (uint8_t)(v >> (8 * i));
  write_bytes(w, bytes, len);
}

void write_u8(struct writer *w, uint8_t v) {
  write_little(w, v, 1);
}
void write_u16(struct writer *w, uint16_t v) {
  write_little(w, v, 2);
}
void write_u32(struct writer *w, uint32_t v) {
  write_little(w, v, 4);
}
void write_u64(struct writer *w, uint64_t v) {
  write_little(w, v, 8);
}

void write_f64(struct writer *w, double v) {
  uint64_t bits;
  memcpy(&bits, &v, sizeof bits);
  write_u64(w, bits);
}

void write_string(struct writer *w, const char *text) {
  const size_t len = strlen(text);
  if (len > UINT16_MAX) {
    w->failed = true;
    return;
  }
  write_u16(w, (uint16_t)len);
  write_bytes(w, text, len);
}

void writer_free(struct writer *w) {
  free(w->data);
  *w = (struct writer){0};
}
