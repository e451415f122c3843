#include "slots/slots_kernels.h"

static void multiply_c(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t count,
                       const struct slots_modulus *m) {
  const struct slots_modulus mod = *m;
  for (size_t i = 0; i < count; i++) out[i] = slots_multiply(a[i], b[i], &mod);
}

static void multiply_add_c(uint64_t *sum, const uint64_t *a, const uint64_t *b, size_t count,
                           const struct slots_modulus *m) {
  const struct slots_modulus mod = *m;
  for (size_t i = 0; i < count; i++) sum[i] = slots_add(sum[i], slots_multiply(a[i], b[i], &mod), mod.p);
}

const struct slots_kernels slots_kernels_c = {
    .forward = slots_forward_c,
    .inverse = slots_inverse_c,
    .multiply = multiply_c,
    .multiply_add = multiply_add_c,
};
