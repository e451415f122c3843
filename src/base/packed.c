#include "base/packed.h"

void packed_write(uint8_t *out, const int64_t *values, size_t count, size_t len) {
  for (size_t i = 0; i < count; i++)
    for (size_t k = 0; k < len; k++) *out++ = (uint8_t)((uint64_t)values[i] >> (8 * k));
}

void packed_read(int64_t *values, const uint8_t *in, size_t count, size_t len) {
  const uint64_t sign = (uint64_t)1 << (8 * len - 1);
  for (size_t i = 0; i < count; i++) {
    uint64_t v = 0;
    for (size_t k = 0; k < len; k++) v |= (uint64_t)*in++ << (8 * k);
    values[i] = (int64_t)((v ^ sign) - sign);
  }
}
