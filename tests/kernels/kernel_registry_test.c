/* All kernels of the registry: each tier against the portable one. */
#include "kernels/kernel_registry.h"

#include <stdlib.h>

#include "rand/aes_kernels.h"
#include "support/support.h"

/* Runs the kernel on its tier and on the portable one, from the same inputs. */
static bool agrees(const struct kernel_row *row, const struct kernel_shape *shape) {
  struct kernel_shape portable = *shape;
  struct kernel_run expected, got;
  portable.tier = CPU_TIER_C;
  assert_ok(kernel_open(&expected, row, &portable));
  assert_ok(kernel_open(&got, row, shape));
  kernel_once(&expected);
  kernel_once(&got);
  const bool same = kernel_same(&expected, &got);
  kernel_close(&expected);
  kernel_close(&got);
  return same;
}

static void check_row(const struct kernel_module *module, const struct kernel_row *row, enum cpu_tier tier,
                      uint64_t *random) {
  for (size_t i = 0; i < row->sizes_count; i++)
    for (unsigned parameter = row->first_parameter; parameter <= row->last_parameter; parameter++)
      for (enum kernel_fill fill = KERNEL_RANDOM; fill < KERNEL_FILLS; fill++) {
        const struct kernel_shape shape = {tier, row->sizes[i], parameter, fill, test_random(random)};
        if (!agrees(row, &shape))
          fail_msg("%s, %s on %s: size %zu, parameter %u, %s inputs, seed %llu", module->name, row->name,
                   cpu_tier_name(tier), shape.size, parameter, fill == KERNEL_RANDOM ? "random" : "extreme",
                   (unsigned long long)shape.seed);
      }
}

static void kernels__every_tier_equals_portable(void **state) {
  (void)state;
  uint64_t random = test_seed();
  for (enum cpu_tier tier = CPU_TIER_C; tier <= cpu_tier_best(); tier++)
    for (size_t m = 0; m < kernel_modules_count; m++)
      for (size_t i = 0; i < kernel_modules[m]->count; i++)
        check_row(kernel_modules[m], &kernel_modules[m]->rows[i], tier, &random);
}

/* The emulator of the cross build has all that a tier needs: there FUSION_TEST_BEST names the tier that must be tested
 * above. */
static void tiers__best_is_that_which_must_be_tested(void **state) {
  (void)state;
  const char *must = getenv("FUSION_TEST_BEST");
  if (must) assert_string_equal(cpu_tier_name(cpu_tier_best()), must);
  for (int tier = CPU_TIER_C + 1; tier <= (int)cpu_tier_best(); tier++)
    assert_ptr_not_equal(aes_kernels_of((enum cpu_tier)tier), aes_kernels_of((enum cpu_tier)(tier - 1)));
}

/* A member that no row runs is a kernel that nobody tests. */
static void registry__covers_every_member_of_every_table(void **state) {
  (void)state;
  for (size_t m = 0; m < kernel_modules_count; m++) {
    const struct kernel_module *module = kernel_modules[m];
    uint64_t members = 0;
    for (size_t i = 0; i < module->count; i++) members |= module->rows[i].members;
    for (unsigned k = 0; k < module->members; k++)
      if (!(members >> k & 1)) fail_msg("%s: no row runs member %u of its table", module->name, k);
    assert_true(members == low_mask((unsigned)module->members));
  }
}

static void registry__every_row_is_tested_and_timed(void **state) {
  (void)state;
  const char *names[256];
  size_t count = 0;
  for (size_t m = 0; m < kernel_modules_count; m++)
    for (size_t i = 0; i < kernel_modules[m]->count; i++) {
      const struct kernel_row *row = &kernel_modules[m]->rows[i];
      assert_true(row->sizes_count > 0 && row->first_parameter <= row->last_parameter);
      assert_non_null(row->points[0].name);
      for (size_t k = 0; k < KERNEL_POINTS_MAX && row->points[k].name; k++) {
        assert_true(row->points[k].units > 0 && row->points[k].demand[0].ceiling != CEILING_NONE);
        for (size_t j = 0; j < count; j++) assert_string_not_equal(names[j], row->points[k].name);
        assert_true(count < sizeof names / sizeof *names);
        names[count++] = row->points[k].name;
      }
    }
}

/* Inputs of `fusion bench` are larger than those above: they too must be within the contract, run after run. */
static void kernels__timed_shapes_agree_when_repeated(void **state) {
  (void)state;
  for (size_t m = 0; m < kernel_modules_count; m++)
    for (size_t i = 0; i < kernel_modules[m]->count; i++) {
      const struct kernel_row *row = &kernel_modules[m]->rows[i];
      for (size_t k = 0; k < KERNEL_POINTS_MAX && row->points[k].name; k++) {
        const struct kernel_point *p = &row->points[k];
        struct kernel_shape shape = {.size = p->size, .parameter = p->parameter, .seed = 1};
        struct kernel_run expected, got;
        assert_ok(kernel_open(&expected, row, &shape));
        shape.tier = cpu_tier_best();
        assert_ok(kernel_open(&got, row, &shape));
        for (unsigned turn = 0; turn < 2; turn++) {
          row->run(&expected);
          row->run(&got);
        }
        kernel_once(&expected);
        kernel_once(&got);
        if (!kernel_same(&expected, &got)) fail_msg("%s", p->name);
        kernel_close(&expected);
        kernel_close(&got);
      }
    }
}

/* --- does the comparison see what it should? --- */

struct faulty {
  uint64_t *out;
};
static void open_faulty(struct kernel_run *r) {
  struct faulty *w = r->work;
  w->out = kernel_words(r, KERNEL_OUTPUT, r->shape.size);
}
/* The parameter is the place where another tier differs. */
static const enum cpu_tier other_tier = (enum cpu_tier)(CPU_TIER_C + 1);
static void run_faulty(struct kernel_run *r) {
  const struct faulty *w = r->work;
  memset(w->out, 0, r->shape.size * sizeof *w->out);
  if (r->shape.tier == other_tier) w->out[r->shape.parameter] = 1;
}

static void comparison__sees_a_wrong_word_and_one_too_many(void **state) {
  (void)state;
  const struct kernel_row row = {.work_len = sizeof(struct faulty), .open = open_faulty, .run = run_faulty};
  struct kernel_shape shape = {.tier = other_tier, .size = 5, .seed = 1};
  for (shape.parameter = 0; shape.parameter < 6; shape.parameter++) assert_false(agrees(&row, &shape));
  shape.tier = CPU_TIER_C;
  assert_true(agrees(&row, &shape));
}

static void inputs__follow_the_seed_and_the_range(void **state) {
  (void)state;
  const struct kernel_row row = {.work_len = sizeof(struct faulty), .open = open_faulty, .run = run_faulty};
  struct kernel_shape shape = {.size = 100, .seed = 1};
  struct kernel_run a, b;
  assert_ok(kernel_open(&a, &row, &shape));
  assert_ok(kernel_open(&b, &row, &shape));
  assert_true(kernel_same(&a, &b));
  kernel_close(&b);
  shape.seed = 2;
  assert_ok(kernel_open(&b, &row, &shape));
  assert_false(kernel_same(&a, &b));
  kernel_close(&b);
  shape.fill = KERNEL_EXTREME;
  assert_ok(kernel_open(&b, &row, &shape));
  bool low = false, high = false;
  for (unsigned i = 0; i < 1000; i++) {
    const uint64_t v = kernel_value(&b, 134176769);
    assert_true(v < 134176769 && kernel_value(&b, 1) == 0);
    low |= v == 0;
    high |= v == 134176768;
  }
  assert_true(low && high);
  kernel_close(&a);
  kernel_close(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(kernels__every_tier_equals_portable),
      cmocka_unit_test(kernels__timed_shapes_agree_when_repeated),
      cmocka_unit_test(tiers__best_is_that_which_must_be_tested),
      cmocka_unit_test(registry__covers_every_member_of_every_table),
      cmocka_unit_test(registry__every_row_is_tested_and_timed),
      cmocka_unit_test(comparison__sees_a_wrong_word_and_one_too_many),
      cmocka_unit_test(inputs__follow_the_seed_and_the_range),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
