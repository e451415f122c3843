#include "base/bits.h"

void bits_pack(uint8_t *out, const uint64_t *values, size_t count, unsigned bits) {
  const uint64_t mask = low_mask(bits);
  unsigned __int128 pending = 0;
  unsigned held = 0; /* bits in `pending`, below 32 between values */
  size_t at = 0;
  for (size_t i = 0; i < count; i++) {
    pending |= (unsigned __int128)(values[i] & mask) << held;
    held += bits;
    for (; held >= 32; held -= 32, pending >>= 32, at += 4) {
      const uint32_t word = (uint32_t)pending;
      memcpy(out + at, &word, 4);
    }
  }
  for (unsigned left = (held + 7) / 8; left; left--, pending >>= 8) out[at++] = (uint8_t)pending;
}

void bits_unpack(uint64_t *values, const uint8_t *in, size_t count, unsigned bits) {
  const uint64_t mask = low_mask(bits);
  const size_t len = bits_len(count, bits);
  unsigned __int128 pending = 0;
  unsigned held = 0;
  size_t at = 0;
  for (size_t i = 0; i < count; i++) {
    while (held < bits) {
      uint64_t word = 0;
      const size_t part = size_min(8, len - at);
      memcpy(&word, in + at, part);
      pending |= (unsigned __int128)word << held;
      at += part;
      held += (unsigned)(8 * part);
    }
    values[i] = (uint64_t)pending & mask;
    pending >>= bits;
    held -= bits;
  }
}
