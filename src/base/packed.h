/** Integers kept in as few bytes as their range needs: two's complement, little-endian, `len` bytes each, 1 to 8.
 *  Constant flow. */
#ifndef FUSION_BASE_PACKED_H
#define FUSION_BASE_PACKED_H

#include "base/base.h"

/** Bytes of a signed integer of `bits` bits, 1 to 64. */
static inline size_t packed_len(unsigned bits) {
  return (bits + 7) / 8;
}

/** out [count * len]; each value fits. */
void packed_write(uint8_t *out, const int64_t *values, size_t count, size_t len);
void packed_read(int64_t *values, const uint8_t *in, size_t count, size_t len);

#endif
