#include "base/bits.h"

#include "base/bits_kernels.h"

void bits_pack(uint8_t *out, const uint64_t *values, size_t count, unsigned bits) {
  if (bits) bits_kernels()->pack(out, values, count, bits);
}

void bits_unpack(uint64_t *values, const uint8_t *in, size_t count, unsigned bits) {
  if (!count) return; /* `values` may be NULL */
  if (bits)
    bits_kernels()->unpack(values, in, count, bits, 0);
  else
    memset(values, 0, count * sizeof *values);
}

enum { RUN_WORDS = 8 };

/* Eight words move up by `fill` bits, 1..7; `before` is the word before them, before it moved, and becomes the last. */
static inline void shift_run(uint8_t *bytes, unsigned fill, uint64_t *before) {
  uint64_t in[RUN_WORDS + 1], out[RUN_WORDS];
  in[0] = *before;
  memcpy(in + 1, bytes, sizeof out);
  for (unsigned i = 1; i <= RUN_WORDS; i++) in[i] = le64toh(in[i]);
  for (unsigned i = 0; i < RUN_WORDS; i++) out[i] = htole64(in[i + 1] << fill | in[i] >> (64 - fill));
  memcpy(bytes, out, sizeof out);
  *before = in[RUN_WORDS];
}

/* Packed bytes move up by `fill` bits, the lowest of which are given. Touches whole words. */
static void shift_up(uint8_t *bytes, size_t len, unsigned fill, uint64_t lowest) {
  uint64_t before = lowest << (64 - fill);
  size_t i = 0;
  for (; i + 8 * RUN_WORDS <= len; i += 8 * RUN_WORDS) shift_run(bytes + i, fill, &before);
  for (; i < len; i += 8) {
    uint64_t word;
    memcpy(&word, bytes + i, sizeof word);
    word = le64toh(word);
    const uint64_t moved = htole64(word << fill | before >> (64 - fill));
    memcpy(bytes + i, &moved, sizeof moved);
    before = word;
  }
}

void bits_put_all(struct bit_writer *w, const uint64_t *values, size_t count, unsigned bits) {
  const size_t end = w->fill + count * bits;
  bits_pack(w->out, values, count, bits);
  if (w->fill) shift_up(w->out, div_up(end, 8), w->fill, w->pending);
  w->out += end / 8;
  w->fill = end % 8;
  w->pending = w->fill ? *w->out & low_mask(w->fill) : 0;
}

void bits_get_all(struct bit_reader *r, uint64_t *values, size_t count, unsigned bits) {
  if (bits && count) bits_kernels()->unpack(values, r->in + r->position / 8, count, bits, r->position % 8);
  r->position += count * bits;
}
