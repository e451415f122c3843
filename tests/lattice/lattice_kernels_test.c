/* Every tier's kernels against the definitions. That the tiers agree is tested with all kernels (tests/kernels). */
#include "lattice/lattice_kernels.h"

#include "base/bits.h"
#include "lattice/params.h"
#include "support/support.h"

static struct ntt_table table_of(unsigned log_n, size_t limb) {
  struct ntt_table t;
  assert_ok(ntt_table_make(&t, log_n, rlwe_primes[limb], rlwe_roots[limb]));
  return t;
}

static void params__primes_and_roots(void **state) {
  (void)state;
  double bits[RLWE_RINGS] = {0};
  for (size_t k = 0; k < RLWE_LIMBS_MAX; k++) {
    const uint32_t p = rlwe_primes[k];
    assert_true(p > 1u << 25 && p < 1u << RLWE_LIMB_BITS);
    for (uint32_t d = 2; d * d <= p; d++) assert_int_not_equal(p % d, 0);
    assert_int_equal(p % (2 * NTT_MAX), 1);
    assert_int_equal(mod_power(rlwe_roots[k], NTT_MAX, p), p - 1);
    for (size_t j = 0; j < k; j++) assert_int_not_equal(p, rlwe_primes[j]);
    for (size_t ring = 0; ring < RLWE_RINGS; ring++) bits[ring] += k < rlwe_ring_limbs[ring] ? RLWE_LIMB_BITS : 0;
  }
  assert_true(bits[0] <= 54 && bits[1] <= 109); /* the standard's bounds for N = 2048 and 4096 */
}

static void ntt__product_is_schoolbook(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  for (unsigned log_n = 5; log_n <= 8; log_n++) {
    const size_t n = (size_t)1 << log_n;
    struct ntt_table t = table_of(log_n, log_n % RLWE_LIMBS_MAX);
    const uint32_t p = t.m.p;
    uint32_t a[256], b[256], want[256];
    for (size_t i = 0; i < n; i++) {
      a[i] = i % 3 ? (uint32_t)(test_random(&seed) % p) : p - 1;
      b[i] = (uint32_t)(test_random(&seed) % p);
    }
    for (size_t i = 0; i < n; i++) {
      uint64_t sum = 0;
      for (size_t j = 0; j < n; j++) {
        const uint64_t term = (uint64_t)a[j] * b[(i + n - j) % n] % p;
        sum += j <= i ? term : p - term;
      }
      want[i] = (uint32_t)(sum % p);
    }
    ntt_forward_c(a, &t);
    ntt_forward_c(b, &t);
    for (size_t i = 0; i < n; i++) a[i] = (uint32_t)((uint64_t)a[i] * b[i] % p);
    ntt_inverse_c(a, &t);
    assert_memory_equal(a, want, n * sizeof *a);
    ntt_table_free(&t);
  }
}

static void ntt__inverse_undoes_forward(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  for (int tier = 0; tier <= (int)cpu_tier_best(); tier++) {
    const struct lattice_kernels *kernels = lattice_kernels_of((enum cpu_tier)tier);
    for (unsigned log_n = NTT_MIN_LOG; log_n <= NTT_MAX_LOG; log_n++) {
      struct ntt_table t = table_of(log_n, (size_t)tier % RLWE_LIMBS_MAX);
      const size_t n = t.n;
      uint32_t *a = mem_alloc(n, 4), *b = mem_alloc(n, 4), *c = mem_alloc(n, 4);
      for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < n; i++)
          a[i] = b[i] = c[i] = round == 0   ? 2 * t.m.p - 1
                               : round == 1 ? 0
                                            : (uint32_t)(test_random(&seed) % (2 * t.m.p));
        if (round == 1) a[0] = b[0] = c[0] = 1;
        kernels->ntt_forward(a, &t);
        memcpy(b, a, n * sizeof *a);
        kernels->ntt_inverse(b, &t);
        for (size_t i = 0; i < n; i++) assert_int_equal(b[i], c[i] % t.m.p);
        kernels->ntt_inverse(c, &t);
        for (size_t i = 0; i < n; i++) a[i] += t.m.p * (uint32_t)(i & 1); /* the range's other half */
        kernels->ntt_inverse(a, &t);
        assert_memory_equal(a, b, n * sizeof *a);
        for (size_t i = 0; i < n; i++) assert_true(c[i] < t.m.p);
      }
      mem_free(a);
      mem_free(b);
      mem_free(c);
      ntt_table_free(&t);
    }
  }
}

enum { COUNT = 333 }; /* no multiple of a register */

static void elementwise__definitions(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  const uint64_t p0 = rlwe_primes[0], p1 = rlwe_primes[1];
  const unsigned __int128 q = (unsigned __int128)p0 * p1 * rlwe_primes[2];
  const struct modulus moduli[3] = {mod_make(rlwe_primes[0]), mod_make(rlwe_primes[1]), mod_make(rlwe_primes[2])};
  for (int tier = 0; tier <= (int)cpu_tier_best(); tier++) {
    const struct lattice_kernels *kernels = lattice_kernels_of((enum cpu_tier)tier);
    for (size_t limb = 0; limb < 3; limb++) {
      const struct modulus *m = &moduli[limb];
      const uint32_t p = m->p;
      uint32_t a[COUNT], b[COUNT], out[COUNT];
      uint64_t x[COUNT], sum[COUNT];
      int64_t wide[COUNT];
      int32_t small[COUNT];
      for (size_t i = 0; i < COUNT; i++) {
        a[i] = i < 3 ? p - 1 : (uint32_t)(test_random(&seed) % p);
        b[i] = i < 2 ? p - 1 : (uint32_t)(test_random(&seed) % p);
        x[i] = test_random(&seed);
        wide[i] = i == 0 ? (INT64_C(1) << 61) - 1 : i == 1 ? 1 - (INT64_C(1) << 61) : (int64_t)x[i] >> (3 + x[i] % 50);
        small[i] = i == 0 ? (int32_t)p - 1 : i == 1 ? 1 - (int32_t)p : (int32_t)(x[i] % 43) - 21;
        sum[i] = x[i];
      }
      kernels->multiply(out, a, b, COUNT, m);
      for (size_t i = 0; i < COUNT; i++)
        assert_true(out[i] < p && ((uint64_t)out[i] << 32) % p == (uint64_t)a[i] * b[i] % p);
      kernels->multiply_sum(out, a, b, COUNT / 2, 2, COUNT / 2, m); /* both halves */
      for (size_t i = 0; i < COUNT / 2; i++) {
        const uint64_t far = (uint64_t)a[COUNT / 2 + i] * b[COUNT / 2 + i] % p;
        assert_true(out[i] < p && ((uint64_t)out[i] << 32) % p == ((uint64_t)a[i] * b[i] % p + far) % p);
      }
      kernels->reduce_signed(out, wide, COUNT, m);
      for (size_t i = 0; i < COUNT; i++) assert_true(out[i] == (uint64_t)((wide[i] % (int64_t)p + p) % p));
      kernels->add(out, a, b, COUNT, m);
      for (size_t i = 0; i < COUNT; i++) assert_int_equal(out[i], (a[i] + b[i]) % p);
      kernels->subtract(out, a, b, COUNT, m);
      for (size_t i = 0; i < COUNT; i++) assert_int_equal(out[i], (a[i] + p - b[i]) % p);
      kernels->add_small(out, a, small, COUNT, m);
      for (size_t i = 0; i < COUNT; i++) assert_int_equal(out[i], ((int64_t)a[i] + small[i] + p) % p);
      for (unsigned bits = 2; bits <= 44; bits += 7) {
        kernels->encode(out, x, COUNT, bits, (uint64_t)q, m);
        /* round(q x / 2^bits) by two words: q < 2^81, x < 2^44 */
        for (size_t i = 0; i < COUNT; i++) {
          const unsigned __int128 v = x[i] & low_mask(bits),
                                  low = (q & low_mask(40)) * v + ((unsigned __int128)1 << (bits - 1));
          const unsigned __int128 high = (q >> 40) * v;
          /* (high * 2^40 + low) >> bits */
          const unsigned __int128 whole =
              bits <= 40 ? (high << (40 - bits)) + (low >> bits) : (high + (low >> 40)) >> (bits - 40);
          assert_int_equal(out[i], (uint64_t)(whole % p));
        }
      }
      kernels->add_fraction(sum, a, COUNT, (uint32_t)((5ull << 32) % p), m);
      for (size_t i = 0; i < COUNT; i++) {
        const uint64_t fraction = (uint64_t)(((unsigned __int128)((uint64_t)a[i] * 5 % p) << 64) / p);
        assert_true(fraction - (sum[i] - x[i]) <= 2); /* at most 2 below */
      }
    }
  }
}

static void product__definition(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  enum { OUTS = 5, TERMS = 7, COLUMNS = 16, STEP = COLUMNS + 3 };
  for (int tier = 0; tier <= (int)cpu_tier_best(); tier++) {
    const struct modulus m = mod_make(rlwe_primes[tier % RLWE_LIMBS_MAX]);
    for (size_t columns = COLUMNS - 1; columns <= COLUMNS; columns++) {
      uint32_t a[OUTS * TERMS], b[TERMS * STEP], out[OUTS * COLUMNS], base[TERMS];
      for (size_t i = 0; i < OUTS * TERMS; i++) a[i] = i < TERMS ? m.p - 1 : (uint32_t)(test_random(&seed) % m.p);
      for (size_t i = 0; i < TERMS * STEP; i++) b[i] = i % STEP < 3 ? m.p - 1 : (uint32_t)(test_random(&seed) % m.p);
      for (size_t k = 0; k < TERMS; k++) base[k] = (uint32_t)((TERMS - 1 - k) * STEP + k % 3);
      const struct residue_product shape = {OUTS, TERMS, columns, base};
      lattice_kernels_of((enum cpu_tier)tier)->product(out, a, b, &shape, &m);
      for (size_t i = 0; i < OUTS * columns; i++) {
        uint64_t sum = 0;
        for (size_t k = 0; k < TERMS; k++)
          sum = (sum + (uint64_t)a[i / columns * TERMS + k] * b[base[k] + i % columns]) % m.p;
        assert_int_equal(out[i], sum);
      }
    }
  }
}

static void columns__are_transforms(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  enum { COLUMNS = 72, STRIDE = COLUMNS + 5, N_MAX = 512 };
  for (int tier = 0; tier <= (int)cpu_tier_best(); tier++) {
    const struct lattice_kernels *kernels = lattice_kernels_of((enum cpu_tier)tier);
    for (unsigned log_n = NTT_MIN_LOG; log_n <= 9; log_n++) {
      static uint32_t a[N_MAX * STRIDE], wanted[STRIDE][N_MAX];
      struct ntt_table t;
      const size_t columns = log_n % 2 ? COLUMNS : COLUMNS - 1;
      assert_ok(ntt_table_make(&t, log_n, rlwe_primes[1], rlwe_roots[1]));
      for (size_t inverse = 0; inverse < 2; inverse++) {
        for (size_t i = 0; i < t.n * STRIDE; i++)
          wanted[i % STRIDE][i / STRIDE] = a[i] = (uint32_t)(test_random(&seed) % (2 * t.m.p));
        for (size_t k = 0; k < columns; k++) (inverse ? ntt_inverse_c : ntt_forward_c)(wanted[k], &t);
        (inverse ? kernels->columns_inverse : kernels->columns_forward)(a, STRIDE, columns, &t);
        for (size_t i = 0; i < t.n * STRIDE; i++) assert_int_equal(a[i], wanted[i % STRIDE][i / STRIDE]);
      }
      ntt_table_free(&t);
    }
  }
}

static void digits__put_the_number_together(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  enum { DIGITS = 6, BITS = 7, SKIPPED = 10 };
  const struct digit_cut cut = {DIGITS, BITS, SKIPPED};
  struct modulus moduli[RLWE_LIMBS_MAX];
  for (size_t k = 0; k < RLWE_LIMBS_MAX; k++) moduli[k] = mod_make(rlwe_primes[k]);
  const int64_t p0 = rlwe_primes[0], p1 = rlwe_primes[1], half = (p0 * p1) / 2;
  for (int tier = 0; tier <= (int)cpu_tier_best(); tier++) {
    const struct lattice_kernels *kernels = lattice_kernels_of((enum cpu_tier)tier);
    uint32_t a[COUNT], b[COUNT];
    int64_t v[COUNT];
    int32_t digit[DIGITS * COUNT];
    for (size_t i = 0; i < COUNT; i++) {
      const int64_t x = i == 0 ? half : i == 1 ? -half : (int64_t)(test_random(&seed) % (uint64_t)(p0 * p1)) - half;
      v[i] = i < 3 ? i == 2 ? 0 : x : x >> i % 50;
      a[i] = (uint32_t)((v[i] % p0 + p0) % p0);
      b[i] = (uint32_t)((v[i] % p1 + p1) % p1);
    }
    int64_t got[COUNT];
    kernels->compose(got, a, b, COUNT, moduli);
    for (size_t i = 0; i < COUNT; i++) assert_true(got[i] == v[i]);
    kernels->cut_digits(digit, v, COUNT, &cut);
    for (size_t i = 0; i < COUNT; i++) {
      int64_t sum = 0;
      for (size_t k = DIGITS; k-- > 0;) {
        assert_true(digit[k * COUNT + i] >= -64 && digit[k * COUNT + i] <= (k + 1 < DIGITS ? 63 : 65));
        sum = sum * (1 << BITS) + digit[k * COUNT + i];
      }
      assert_true(sum == (v[i] + (1 << (SKIPPED - 1))) >> SKIPPED);
    }
  }
}

static void centre__definitions(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  for (int tier = 0; tier <= (int)cpu_tier_best(); tier++) {
    const struct lattice_kernels *kernels = lattice_kernels_of((enum cpu_tier)tier);
    const struct modulus m = mod_make(rlwe_primes[tier % RLWE_LIMBS_MAX]);
    const int64_t p = m.p;
    uint64_t low[COUNT], high[COUNT];
    uint32_t a[COUNT];
    int32_t out[2 * COUNT];
    for (size_t i = 0; i < COUNT; i++) {
      low[i] = i == 0 ? UINT64_MAX >> 2 : test_random(&seed) >> (2 + i % 60);
      high[i] = i == 0 ? UINT64_MAX >> 2 : test_random(&seed) >> (2 + i % 60);
      a[i] = i == 0 ? m.p - 1 : i == 1 ? m.p / 2 : i == 2 ? m.p / 2 + 1 : (uint32_t)(low[i] % m.p);
    }
    for (size_t with_high = 0; with_high < 2; with_high++) {
      kernels->centre_wide(out, low, with_high ? high : NULL, COUNT, &m);
      for (size_t i = 0; i < COUNT; i++) {
        const unsigned __int128 v = low[i] + ((unsigned __int128)(with_high ? high[i] : 0) << 40);
        assert_true(out[i] >= -p / 2 && out[i] <= p / 2);
        assert_true((uint64_t)((out[i] + p) % p) == (uint64_t)(v % m.p));
      }
    }
    kernels->centre_extend(out, a, COUNT, COUNT - 5, &m);
    for (size_t i = 0; i < COUNT; i++) {
      assert_int_equal(out[i], a[i] > m.p / 2 ? (int64_t)a[i] - p : (int64_t)a[i]);
      if (i < COUNT - 5) assert_int_equal(out[COUNT + i], -out[i]);
    }
  }
}

static void mixed_digit__rebuilds_the_value(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  const struct modulus moduli[3] = {mod_make(rlwe_primes[0]), mod_make(rlwe_primes[1]), mod_make(rlwe_primes[2])};
  for (int tier = 0; tier <= (int)cpu_tier_best(); tier++) {
    const struct lattice_kernels *kernels = lattice_kernels_of((enum cpu_tier)tier);
    uint32_t residue[3][COUNT], digit[3][COUNT];
    const uint32_t *lower[3] = {residue[0], digit[1], digit[2]};
    for (size_t k = 0; k < 3; k++)
      for (size_t i = 0; i < COUNT; i++)
        residue[k][i] = i == 0 ? 0 : i == 1 ? moduli[k].p - 1 : (uint32_t)(test_random(&seed) % moduli[k].p);
    kernels->mixed_digit(digit[1], residue[1], lower, 1, COUNT, moduli);
    kernels->mixed_digit(digit[2], residue[2], lower, 2, COUNT, moduli);
    for (size_t i = 0; i < COUNT; i++) {
      unsigned __int128 v = digit[2][i];
      v = (v * moduli[1].p + digit[1][i]) * moduli[0].p + residue[0][i];
      for (size_t k = 0; k < 3; k++) assert_int_equal((uint64_t)(v % moduli[k].p), residue[k][i]);
      assert_true(digit[1][i] < moduli[1].p && digit[2][i] < moduli[2].p);
    }
  }
}

static void sampling__ranges_and_moments(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  enum { MANY = 20000 };
  uint64_t *random = mem_alloc(MANY, 8);
  uint32_t *words = mem_alloc(MANY, 4), *got = mem_alloc(MANY, 4);
  int32_t *small = mem_alloc(MANY, 4);
  for (size_t i = 0; i < MANY; i++) {
    random[i] = test_random(&seed);
    words[i] = i % 5 ? (uint32_t)random[i] : UINT32_MAX - (uint32_t)(i & 0xffff) * 4; /* many near and above p */
  }
  for (int tier = 0; tier <= (int)cpu_tier_best(); tier++) {
    const struct lattice_kernels *kernels = lattice_kernels_of((enum cpu_tier)tier);
    int64_t sum = 0, squares = 0;
    kernels->noise(small, random, MANY);
    for (size_t i = 0; i < MANY; i++) {
      sum += small[i];
      squares += (int64_t)small[i] * small[i];
    }
    /* Variance 10.5 with standard error 0.1, mean 0 with 0.023: eight of each. */
    assert_true(squares > (int64_t)(9.7 * MANY) && squares < (int64_t)(11.3 * MANY));
    assert_true(sum > -(int64_t)(0.19 * MANY) && sum < (int64_t)(0.19 * MANY));
    size_t counts[3] = {0};
    kernels->ternary(small, random, MANY);
    for (size_t i = 0; i < MANY; i++) {
      assert_true(small[i] >= -1 && small[i] <= 1);
      counts[small[i] + 1]++;
    }
    for (size_t k = 0; k < 3; k++) assert_true(counts[k] > MANY / 3 - 600 && counts[k] < MANY / 3 + 600);
    for (size_t want_count = 0; want_count < 100; want_count += 33) {
      const size_t most = MANY - want_count, found = kernels->accept_below(got, most, words, MANY, rlwe_primes[0]);
      size_t expected = 0;
      for (size_t i = 0; i < MANY && expected < most; i++) {
        const uint32_t v = words[i] & (uint32_t)low_mask(RLWE_LIMB_BITS);
        if (v >= rlwe_primes[0]) continue;
        assert_true(expected < found && got[expected] == v);
        expected++;
      }
      assert_int_equal(found, expected);
      assert_true(found < most);
    }
    assert_int_equal(kernels->accept_below(got, 50, words, 100, rlwe_primes[0]), 50);
  }
  mem_free(random);
  mem_free(words);
  mem_free(got);
  mem_free(small);
}

static void check_matrix(const struct lattice_kernels *kernels, size_t outs, size_t rows, unsigned bits, bool extreme,
                         uint64_t *seed) {
  const size_t len = rows + 7 * MATRIX_LANES;
  int32_t *a = mem_alloc(len, sizeof *a);
  int16_t *weights = mem_alloc(outs * rows, sizeof *weights);
  uint32_t *base = mem_alloc(rows, sizeof *base);
  int64_t *out = mem_alloc(outs * MATRIX_LANES, sizeof *out);
  void *scratch = mem_alloc(kernels->matrix_scratch(rows), 1);
  const int64_t limit = INT64_C(1) << (bits - 1);
  /* The worst lanes for two digits of 14 bits: low digit -2^13 everywhere. */
  for (size_t i = 0; i < len; i++)
    a[i] = extreme ? (i & 1 ? -(1 << 27) + (1 << 13) : (1 << 27)) : (int32_t)(test_random(seed) >> 36) - (1 << 27);
  for (size_t i = 0; i < outs * rows; i++)
    weights[i] = (int16_t)(extreme ? -limit : (int64_t)(test_random(seed) % (2 * (uint64_t)limit)) - limit);
  for (size_t r = 0; r < rows; r++)
    base[r] = extreme ? 1 + 2 * (uint32_t)(r / 2) : (uint32_t)(test_random(seed) % (len - MATRIX_LANES));
  struct matrix_weights w;
  assert_ok(kernels->matrix_pack(&w, weights, outs, rows, bits));
  kernels->matrix(out, a, base, &w, scratch);
  for (size_t o = 0; o < outs; o++) {
    for (size_t i = 0; i < MATRIX_LANES; i++) {
      int64_t sum = 0;
      for (size_t r = 0; r < rows; r++) sum += (int64_t)weights[o * rows + r] * a[base[r] + i];
      if (sum != out[o * MATRIX_LANES + i])
        fail_msg("outs %zu rows %zu bits %u: output %zu lane %zu", outs, rows, bits, o, i);
    }
  }
  matrix_weights_free(&w);
  mem_free(a);
  mem_free(weights);
  mem_free(base);
  mem_free(out);
  mem_free(scratch);
}

static void matrix__tiers_are_exact(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  for (int tier = 0; tier <= (int)cpu_tier_best(); tier++) {
    const struct lattice_kernels *kernels = lattice_kernels_of((enum cpu_tier)tier);
    for (size_t outs = 1; outs <= 13; outs++) check_matrix(kernels, outs, 1 + outs * 3, 8, false, &seed);
    for (unsigned bits = 2; bits <= 16; bits++) {
      check_matrix(kernels, 3, 301, bits, false, &seed);
      check_matrix(kernels, 2, 4500, bits, true, &seed);
    }
    check_matrix(kernels, 1, 1, 16, true, &seed);
    check_matrix(kernels, 1, 1023, 16, true, &seed);
  }
}

static void bits__round_trip(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  enum { VALUES = 100 };
  for (unsigned bits = 1; bits <= 64; bits++) {
    uint8_t bytes[8 * VALUES + BITS_SLACK];
    uint64_t values[VALUES];
    const size_t len = bits_len(VALUES, bits);
    memset(bytes, 0xAA, sizeof bytes);
    struct bit_writer w = {.out = bytes};
    for (size_t i = 0; i < VALUES; i++) {
      values[i] = i == 0 ? low_mask(bits) : test_random(&seed) & low_mask(bits);
      bits_put(&w, values[i], bits);
    }
    bits_finish(&w);
    assert_ptr_equal(w.out, bytes + len);
    struct bit_reader r = {.in = bytes};
    for (size_t i = 0; i < VALUES; i++) assert_true(bits_get(&r, bits) == values[i]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(params__primes_and_roots),
      cmocka_unit_test(ntt__product_is_schoolbook),
      cmocka_unit_test(ntt__inverse_undoes_forward),
      cmocka_unit_test(elementwise__definitions),
      cmocka_unit_test(product__definition),
      cmocka_unit_test(columns__are_transforms),
      cmocka_unit_test(digits__put_the_number_together),
      cmocka_unit_test(centre__definitions),
      cmocka_unit_test(mixed_digit__rebuilds_the_value),
      cmocka_unit_test(sampling__ranges_and_moments),
      cmocka_unit_test(matrix__tiers_are_exact),
      cmocka_unit_test(bits__round_trip),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
