/* The asserts on value ranges: each fires where a range is left, and not before. The portable kernels are compiled here
 * once more, with the asserts in, whatever the build has. */
#ifdef FUSION_BOUNDS
enum { BUILT_WITH_BOUNDS = 1 };
#else
#define FUSION_BOUNDS
enum { BUILT_WITH_BOUNDS = 0 };
#endif
#include "lattice/lattice_kernels_common.h"
#include "support/support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COUNT = 9, PLACE = 5 /* of the value that is wrong */ };

struct bounds_case {
  unsigned which; /* enum bounds_kernel */
  struct modulus moduli[RLWE_LIMBS_MAX];
  uint32_t a[COUNT], b[COUNT], out[COUNT], k;
  int32_t small[COUNT], centred[2 * COUNT], lanes[MATRIX_LANES];
  int64_t wide[COUNT], sums[MATRIX_LANES];
  uint64_t low[COUNT], high[COUNT];
  int16_t weights[1];
};

static struct bounds_case within(void) {
  struct bounds_case c = {.k = 7};
  for (size_t k = 0; k < RLWE_LIMBS_MAX; k++) c.moduli[k] = mod_make(rlwe_primes[k]);
  return c;
}

enum bounds_kernel {
  MULTIPLY,
  MULTIPLY_SUM,
  PRODUCT,
  COLUMN,
  REDUCE,
  ADD,
  SUBTRACT,
  CENTRE_WIDE,
  CENTRE_EXTEND,
  ADD_SMALL,
  LIFT,
  ENCODE,
  SAMPLE,
  FRACTION,
  DIGIT,
  COMPOSE,
  CUT,
  ACCEPT,
  LANES,
  SUMS,
  PACK,
  BOUNDS_KERNELS
};

static void run(struct bounds_case *c) {
  const struct modulus *m = &c->moduli[0];
  const uint32_t *const lower[] = {c->a};
  const uint32_t row_base[] = {0};
  const struct matrix_weights one = {.outs = 1, .rows = 1, .weight_bits = 8};
  const struct residue_product product = {.outs = COUNT, .terms = 1, .columns = 1, .row_base = row_base};
  const struct digit_cut cut = {.digits = 2, .bits = 25, .skipped = 12};
  struct matrix_weights packed;
  switch (c->which) {
    case MULTIPLY: multiply_common(c->out, c->a, c->b, COUNT, m); break;
    case MULTIPLY_SUM: multiply_sum_common(c->out, c->a, c->b, 0, 1, COUNT, m); break;
    case PRODUCT: product_common(c->out, c->a, c->b, &product, m); break;
    case COLUMN: columns_assert(c->a, COUNT / 3, COUNT / 3, 3, m->p); break;
    case REDUCE: reduce_signed_common(c->out, c->wide, COUNT, m); break;
    case ADD: add_common(c->out, c->a, c->b, COUNT, m); break;
    case SUBTRACT: subtract_common(c->out, c->a, c->b, COUNT, m); break;
    case CENTRE_WIDE: centre_wide_common(c->centred, c->low, c->high, COUNT, m); break;
    case CENTRE_EXTEND: centre_extend_common(c->centred, c->b, COUNT, COUNT, m); break;
    case ADD_SMALL: add_small_common(c->out, c->b, c->small, COUNT, m); break;
    case LIFT: lift_common(c->out, c->small, COUNT, m); break;
    case ENCODE: encode_common(c->out, c->low, COUNT, 26, 12345, m); break;
    case SAMPLE:
      noise_common(c->centred, c->low, COUNT);
      ternary_common(c->centred, c->low, COUNT);
      break;
    case FRACTION: add_fraction_common(c->low, c->b, COUNT, c->k, m); break;
    case DIGIT: mixed_digit_common(c->out, c->b, lower, 1, COUNT, c->moduli); break;
    case COMPOSE: compose_common(c->wide, c->b, c->a, COUNT, c->moduli); break;
    case CUT: cut_digits_common(c->centred, c->wide, COUNT, &cut); break;
    case ACCEPT: (void)accept_below_common(c->out, COUNT, c->a, COUNT, m->p); break;
    case LANES: matrix_assert_lanes(c->lanes, row_base, &one); break;
    case SUMS: matrix_assert_sums(c->sums, &one); break;
    default:
      if (matrix_pack_groups(&packed, c->weights, 1, 1, 8, 2) == FUSION_OK) mem_free(packed.packed);
  }
}

/* True when `call` ends by abort() in a child; its words on standard error are taken away. */
static bool aborts(void (*call)(struct bounds_case *), struct bounds_case c) {
  int status;
  fflush(NULL);
  const pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    signal(SIGABRT, SIG_DFL);
    if (!freopen("/dev/null", "w", stderr)) _exit(2);
    call(&c);
    _exit(0);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void bound_assert__is_silent_at_the_ends_of_the_ranges(void **state) {
  (void)state;
  struct bounds_case c = within();
  const int32_t p = (int32_t)c.moduli[0].p;
  c.b[PLACE] = c.moduli[1].p - 1; /* less than the first prime, and a digit of the second */
  c.small[PLACE] = p - 1;
  c.small[PLACE + 1] = 1 - p;
  c.wide[PLACE] = REDUCE_BOUND - 1;
  c.wide[PLACE + 1] = 1 - REDUCE_BOUND;
  c.low[PLACE] = c.high[PLACE] = CENTRE_BOUND - 1;
  c.lanes[PLACE] = MATRIX_BOUND;
  c.lanes[PLACE + 1] = -MATRIX_BOUND;
  c.sums[PLACE] = REDUCE_BOUND - 1;
  for (c.which = 0; c.which < BOUNDS_KERNELS; c.which++) {
    c.a[PLACE] = c.which == MULTIPLY ? MULTIPLY_BOUND - 1 : c.moduli[0].p - 1;
    if (c.which == COMPOSE) c.a[PLACE] = c.moduli[1].p - 1;
    c.weights[0] = 128;
    assert_false(aborts(run, c));
    c.weights[0] = -128;
    assert_false(aborts(run, c));
  }
}

#define ASSERT_ABORTS(kernel, field, value) \
  do {                                      \
    struct bounds_case c = within();        \
    c.which = kernel;                       \
    assert_false(aborts(run, c));           \
    c.field = (value);                      \
    assert_true(aborts(run, c));            \
  } while (0)

static void bound_assert__aborts_outside_each_range(void **state) {
  (void)state;
  const uint32_t p = rlwe_primes[0];
  ASSERT_ABORTS(MULTIPLY, a[PLACE], MULTIPLY_BOUND);
  ASSERT_ABORTS(MULTIPLY, b[PLACE], p);
  ASSERT_ABORTS(MULTIPLY, b[0], p);
  ASSERT_ABORTS(MULTIPLY, b[COUNT - 1], p);
  ASSERT_ABORTS(MULTIPLY_SUM, a[PLACE], p);
  ASSERT_ABORTS(MULTIPLY_SUM, b[COUNT - 1], p);
  ASSERT_ABORTS(PRODUCT, a[PLACE], p);
  ASSERT_ABORTS(PRODUCT, b[0], p);
  ASSERT_ABORTS(COLUMN, a[0], p);
  ASSERT_ABORTS(COLUMN, a[COUNT - 1], p);
  ASSERT_ABORTS(REDUCE, wide[PLACE], REDUCE_BOUND);
  ASSERT_ABORTS(REDUCE, wide[PLACE], -REDUCE_BOUND);
  ASSERT_ABORTS(ADD, a[PLACE], p);
  ASSERT_ABORTS(ADD, b[PLACE], p);
  ASSERT_ABORTS(SUBTRACT, a[PLACE], p);
  ASSERT_ABORTS(SUBTRACT, b[PLACE], p);
  ASSERT_ABORTS(CENTRE_WIDE, low[PLACE], CENTRE_BOUND);
  ASSERT_ABORTS(CENTRE_WIDE, high[PLACE], CENTRE_BOUND);
  ASSERT_ABORTS(CENTRE_EXTEND, b[PLACE], p);
  ASSERT_ABORTS(ADD_SMALL, b[PLACE], p);
  ASSERT_ABORTS(ADD_SMALL, small[PLACE], (int32_t)p);
  ASSERT_ABORTS(ADD_SMALL, small[PLACE], -(int32_t)p);
  ASSERT_ABORTS(FRACTION, b[PLACE], p);
  ASSERT_ABORTS(FRACTION, k, p);
  ASSERT_ABORTS(DIGIT, a[PLACE], p);
  ASSERT_ABORTS(DIGIT, b[PLACE], rlwe_primes[1]);
  ASSERT_ABORTS(LIFT, small[PLACE], (int32_t)p);
  ASSERT_ABORTS(LIFT, small[PLACE], -(int32_t)p);
  ASSERT_ABORTS(COMPOSE, b[PLACE], p);
  ASSERT_ABORTS(COMPOSE, a[PLACE], rlwe_primes[1]);
  ASSERT_ABORTS(CUT, wide[PLACE], REDUCE_BOUND);
  ASSERT_ABORTS(CUT, wide[PLACE], -REDUCE_BOUND);
  ASSERT_ABORTS(LANES, lanes[PLACE], MATRIX_BOUND + 1);
  ASSERT_ABORTS(LANES, lanes[MATRIX_LANES - 1], -MATRIX_BOUND - 1);
  ASSERT_ABORTS(SUMS, sums[PLACE], REDUCE_BOUND);
  ASSERT_ABORTS(PACK, weights[0], 129);
  ASSERT_ABORTS(PACK, weights[0], -129);
}

/* The library's own kernels, each tier's: asserts where the build has them, none elsewhere. */
static void overflow_ntt(struct bounds_case *c) {
  struct ntt_table t;
  if (ntt_table_make(&t, NTT_MIN_LOG, c->moduli[0].p, rlwe_roots[0]) != FUSION_OK) _exit(3);
  uint32_t a[1 << NTT_MIN_LOG] = {0};
  a[PLACE] = 2 * c->moduli[0].p;
  for (enum cpu_tier tier = CPU_TIER_C; tier <= cpu_tier_best(); tier++)
    if (c->k == (uint32_t)tier) lattice_kernels_of(tier)->ntt_forward(a, &t);
  ntt_table_free(&t);
}
static void overflow_add(struct bounds_case *c) {
  c->a[PLACE] = c->moduli[0].p;
  for (enum cpu_tier tier = CPU_TIER_C; tier <= cpu_tier_best(); tier++)
    if (c->k == (uint32_t)tier) lattice_kernels_of(tier)->add(c->out, c->a, c->b, COUNT, &c->moduli[0]);
}

static void library__asserts_when_built_with_bounds_alone(void **state) {
  (void)state;
  struct bounds_case c = within();
  for (enum cpu_tier tier = CPU_TIER_C; tier <= cpu_tier_best(); tier++) {
    c.k = (uint32_t)tier;
    assert_int_equal(aborts(overflow_ntt, c), BUILT_WITH_BOUNDS);
    assert_int_equal(aborts(overflow_add, c), BUILT_WITH_BOUNDS);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(bound_assert__is_silent_at_the_ends_of_the_ranges),
      cmocka_unit_test(bound_assert__aborts_outside_each_range),
      cmocka_unit_test(library__asserts_when_built_with_bounds_alone),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
