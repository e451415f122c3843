/* Portable kernels of bits.c. */
#include "base/bits_kernels.h"

#include "base/bits.h"

/* Bytes that one value may touch from its own first byte on, and twice as many for what is left over. */
enum { VALUE_REACH = 16, TAIL_LEN = 4 * VALUE_REACH };

/* How many of the values lie so far from the end that whole words may be touched. */
static size_t inner_count(size_t len, size_t count, unsigned bits) {
  return len < VALUE_REACH ? 0 : size_min(count, (len - VALUE_REACH) * 8 / bits);
}

static void pack_c(uint8_t *out, const uint64_t *values, size_t count, unsigned bits) {
  const uint64_t mask = low_mask(bits);
  const size_t inner = inner_count(bits_len(count, bits), count, bits);
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

static void unpack_c(uint64_t *values, const uint8_t *in, size_t count, unsigned bits, unsigned skip) {
  const size_t len = div_up(skip + count * bits, 8), inner = inner_count(len, count, bits);
  uint8_t tail[TAIL_LEN] = {0};
  struct bit_reader r = {.in = in, .position = skip};
  for (size_t i = 0; i < inner; i++) values[i] = bits_get(&r, bits);
  const size_t from = r.position / 8;
  memcpy(tail, in + from, len - from);
  r = (struct bit_reader){.in = tail, .position = r.position % 8};
  for (size_t i = inner; i < count; i++) values[i] = bits_get(&r, bits);
  mem_wipe(tail, sizeof tail);
}

const struct bits_kernels bits_kernels_c = {.pack = pack_c, .unpack = unpack_c};
