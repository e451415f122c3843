/** The loops behind product_kernels.h, written once; each tier's file compiles them with its own instructions. Included
 * by those files only. All of it is free of branches on secrets. */
#ifndef FUSION_GATES_PRODUCT_LOOPS_H
#define FUSION_GATES_PRODUCT_LOOPS_H

#include "gates/product_kernels.h"

#define PRODUCT_SEND(name, type)                                                                         \
  static void name(uint64_t *restrict correction, uint64_t *restrict sum, const type *restrict pad0,     \
                   const type *restrict pad1, const uint64_t *restrict x, unsigned shift, uint64_t sign, \
                   size_t count) {                                                                       \
    for (size_t e = 0; e < count; e++) {                                                                 \
      correction[e] = (uint64_t)pad0[e] - (uint64_t)pad1[e] + x[e];                                      \
      sum[e] -= (((uint64_t)pad0[e] << shift) ^ sign) - sign;                                            \
    }                                                                                                    \
  }
PRODUCT_SEND(send_narrow, uint32_t)
PRODUCT_SEND(send_wide, uint64_t)

#define PRODUCT_RECEIVE(name, type)                                                                       \
  static void name(uint64_t *restrict sum, const type *restrict pad, const uint64_t *restrict correction, \
                   uint64_t choice, unsigned shift, uint64_t sign, size_t count) {                        \
    for (size_t e = 0; e < count; e++)                                                                    \
      sum[e] += ((((uint64_t)pad[e] + (correction[e] & choice)) << shift) ^ sign) - sign;                 \
  }
PRODUCT_RECEIVE(receive_narrow, uint32_t)
PRODUCT_RECEIVE(receive_wide, uint64_t)

static void send_common(uint64_t *correction, uint64_t *sum, const void *pad0, const void *pad1, const uint64_t *x,
                        struct product_bit bit, size_t count) {
  const uint64_t sign = bit.negative ? UINT64_MAX : 0;
  if (bit.narrow)
    send_narrow(correction, sum, pad0, pad1, x, bit.shift, sign, count);
  else
    send_wide(correction, sum, pad0, pad1, x, bit.shift, sign, count);
}

static void receive_common(uint64_t *sum, const void *pad, const uint64_t *correction, uint64_t choice,
                           struct product_bit bit, size_t count) {
  const uint64_t sign = bit.negative ? UINT64_MAX : 0;
  if (bit.narrow)
    receive_narrow(sum, pad, correction, choice, bit.shift, sign, count);
  else
    receive_wide(sum, pad, correction, choice, bit.shift, sign, count);
}

static void add_common(uint64_t *restrict sum, const uint64_t *restrict x, int16_t weight, size_t count) {
  const uint64_t w = (uint64_t)(int64_t)weight;
  for (size_t e = 0; e < count; e++) sum[e] += w * x[e];
}

#define PRODUCT_KERNELS \
  { .send = send_common, .receive = receive_common, .add = add_common }

#endif
