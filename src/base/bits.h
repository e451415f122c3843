/** Bit packing: `count` values of `bits` bits each, back to back, little-endian, the last byte filled with zeros. */
#ifndef FUSION_BASE_BITS_H
#define FUSION_BASE_BITS_H

#include "base/base.h"

/** Bytes of `count` values of `bits` bits, 0 <= bits <= 64. The caller keeps count * bits below 2^64. */
static inline size_t bits_len(size_t count, unsigned bits) { return div_up(count * bits, 8); }

/** Packs the low `bits` bits of each value. out has bits_len(count, bits) bytes. Constant time in the values. */
void bits_pack(uint8_t *out, const uint64_t *values, size_t count, unsigned bits);
void bits_unpack(uint64_t *values, const uint8_t *in, size_t count, unsigned bits);

#endif
