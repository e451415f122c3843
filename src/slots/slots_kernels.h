/** The inner loops of the slot encryption, one table per CPU tier. Every tier gives exactly the results of the portable
 *  one. All run in time that depends on the counts alone. p is below 2^50. */
#ifndef FUSION_SLOTS_SLOTS_KERNELS_H
#define FUSION_SLOTS_SLOTS_KERNELS_H

#include "base/kernel_tables.h"
#include "slots/slots_ntt.h"

struct slots_kernels {
  /** The transforms of slots_ntt.h, in place. a: [0, p) -> [0, p). */
  void (*forward)(uint64_t *a, const struct slots_table *t);
  void (*inverse)(uint64_t *a, const struct slots_table *t);
  /** out[i] = a[i] * b[i] mod p. a, b: [0, p) -> out: [0, p). out == a is allowed. */
  void (*multiply)(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t count, const struct slots_modulus *m);
  /** sum[i] = (sum[i] + a[i] * b[i]) mod p. All [0, p). */
  void (*multiply_add)(uint64_t *sum, const uint64_t *a, const uint64_t *b, size_t count,
                       const struct slots_modulus *m);
};

KERNEL_TABLES_NEON(slots);

#endif
