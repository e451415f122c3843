#include "base/bits.h"

/* Bytes that one value may touch from its own first byte on, and twice as many for what is left over. */
enum { VALUE_REACH = 16, TAIL_LEN = 4 * VALUE_REACH };

/* How many of the values lie so far from the end that whole words may be touched. */
static size_t inner_count(size_t count, unsigned bits) {
  const size_t len = bits_len(count, bits);
  return len < VALUE_REACH ? 0 : size_min(count, (len - VALUE_REACH) * 8 / bits);
}

void bits_pack(uint8_t *out, const uint64_t *values, size_t count, unsigned bits) {
  if (!bits) return;
  const uint64_t mask = low_mask(bits);
  const size_t inner = inner_count(count, bits);
  uint8_t tail[TAIL_LEN];
  struct bit_writer w = {.out = out};
  for (size_t i = 0; i < inner; i++) bits_put(&w, values[i] & mask, bits);
  uint8_t *const rest = w.out;
  w.out = tail;
  for (size_t i = inner; i < count; i++) bits_put(&w, values[i] & mask, bits);
  bits_finish(&w);
  memcpy(rest, tail, (size_t)(w.out - tail));
  mem_wipe(tail, sizeof tail);
}

void bits_unpack(uint64_t *values, const uint8_t *in, size_t count, unsigned bits) {
  if (!bits) {
    memset(values, 0, count * sizeof *values);
    return;
  }
  const size_t inner = inner_count(count, bits);
  uint8_t tail[TAIL_LEN] = {0};
  struct bit_reader r = {.in = in};
  for (size_t i = 0; i < inner; i++) values[i] = bits_get(&r, bits);
  const size_t from = r.position / 8;
  memcpy(tail, in + from, bits_len(count, bits) - from);
  r = (struct bit_reader){.in = tail, .position = r.position % 8};
  for (size_t i = inner; i < count; i++) values[i] = bits_get(&r, bits);
  mem_wipe(tail, sizeof tail);
}
