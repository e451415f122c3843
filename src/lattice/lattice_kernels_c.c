/** The portable tier of the lattice kernels. */
#include "lattice/lattice_kernels_common.h"

static fusion_status matrix_pack_c(struct matrix_weights *w, const int16_t *weights, size_t outs, size_t rows,
                                   unsigned weight_bits) {
  *w = (struct matrix_weights){.outs = outs, .rows = rows, .weight_bits = weight_bits};
  matrix_assert_weights(weights, outs * rows, weight_bits);
  if (!size_mul(outs, rows, &w->packed_len) || !size_mul(w->packed_len, sizeof *weights, &w->packed_len))
    return FUSION_E_LIMIT;
  w->packed = mem_alloc(w->packed_len, 1);
  if (!w->packed) return FUSION_E_MEMORY;
  memcpy(w->packed, weights, w->packed_len);
  return FUSION_OK;
}

static size_t matrix_scratch_c(size_t rows) {
  (void)rows;
  return 0;
}

static void matrix_c(int64_t *out, const int32_t *a, const uint32_t *row_base, const struct matrix_weights *w,
                     void *scratch) {
  (void)scratch;
  const int16_t *weights = w->packed;
  matrix_assert_lanes(a, row_base, w);
  for (size_t o = 0; o < w->outs; o++) {
    int64_t sum[MATRIX_LANES] = {0};
    for (size_t r = 0; r < w->rows; r++) {
      const int32_t weight = weights[o * w->rows + r];
      const int32_t *lanes = a + row_base[r];
      for (size_t i = 0; i < MATRIX_LANES; i++) sum[i] += (int64_t)weight * lanes[i];
    }
    memcpy(out + o * MATRIX_LANES, sum, sizeof sum);
  }
  matrix_assert_sums(out, w);
}

const struct lattice_kernels lattice_kernels_c = {
    .ntt_forward = ntt_forward_c,
    .ntt_inverse = ntt_inverse_c,
    .columns_forward = columns_forward_common,
    .columns_inverse = columns_inverse_common,
    .multiply = multiply_common,
    .multiply_sum = multiply_sum_common,
    .product = product_common,
    .reduce_signed = reduce_signed_common,
    .add = add_common,
    .subtract = subtract_common,
    .centre_wide = centre_wide_common,
    .centre_extend = centre_extend_common,
    .add_small = add_small_common,
    .lift = lift_common,
    .encode = encode_common,
    .accept_below = accept_below_common,
    .noise = noise_common,
    .ternary = ternary_common,
    .add_fraction = add_fraction_common,
    .mixed_digit = mixed_digit_common,
    .compose = compose_common,
    .cut_digits = cut_digits_common,
    .transpose = transpose_common,
    .matrix_pack = matrix_pack_c,
    .matrix_scratch = matrix_scratch_c,
    .matrix = matrix_c,
};

void matrix_weights_free(struct matrix_weights *w) {
  mem_free_secret(w->packed, w->packed_len);
  *w = (struct matrix_weights){0};
}
