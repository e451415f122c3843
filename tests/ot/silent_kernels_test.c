#include "base/cpu_tier.h"
#include "silent/ggm.h"
#include "silent/lpn_kernels.h"
#include "silent/silent_field_kernels.h"
#include "support/support.h"

enum { DEPTH = 9, LEAVES = 1 << DEPTH };

static block random_block(uint64_t *seed) {
  const uint64_t hi = test_random(seed);
  return block_make(hi, test_random(seed));
}

static void open_key(struct aes_key *key, enum cpu_tier tier, uint64_t seed) {
  uint8_t bytes[AES_KEY_LEN];
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)test_random(&seed);
  assert_ok(aes_kernels_of(tier)->open(key, bytes));
}

static void xor_into(block *sum, block b) {
  *sum = block_xor(*sum, b);
}

/* The tree by its definition, one AES call at a time. */
static void oracle_tree(const struct aes_key *key, block *leaves, block root, block delta, unsigned depth) {
  leaves[0] = root;
  leaves[1] = block_xor(root, delta);
  for (unsigned level = 1; level < depth; level++) {
    for (size_t j = 0; j < (size_t)1 << level; j++) {
      const block x = leaves[j], s = block_make(x.hi ^ x.lo, x.hi);
      block h;
      aes_kernels_of(CPU_TIER_C)->encrypt(key, &h, &s, 1);
      h = block_xor(h, s);
      leaves[j] = h;
      leaves[j + ((size_t)1 << level)] = block_xor(x, h);
    }
  }
  for (size_t j = 0; j < (size_t)1 << depth; j++) leaves[j].lo &= ~UINT64_C(1);
}

static void ggm__expands_to_its_definition_in_every_tier(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  for (int tier = 0; tier <= (int)cpu_tier_best(); tier++) {
    for (unsigned depth = 1; depth <= DEPTH; depth++) {
      static block leaves[LEAVES], want[LEAVES];
      block sums[DEPTH], alone[DEPTH], all = {0};
      struct aes_key key, key_c;
      const block root = random_block(&seed), delta = random_block(&seed);
      open_key(&key, (enum cpu_tier)tier, seed);
      open_key(&key_c, CPU_TIER_C, seed);
      oracle_tree(&key_c, want, root, delta, depth);
      ggm_expand(ggm_kernels_of((enum cpu_tier)tier), &key, leaves, sums, root, delta, depth);
      assert_memory_equal(leaves, want, sizeof(block) << depth);
      ggm_left_sums(ggm_kernels_of((enum cpu_tier)tier), &key, leaves, alone, root, delta, depth);
      assert_memory_equal(alone, sums, depth * sizeof(block));
      for (size_t j = 0; j < (size_t)1 << depth; j++) xor_into(&all, want[j]);
      assert_true(all.hi == delta.hi && all.lo == (delta.lo & ~UINT64_C(1)));
      aes_kernels_of((enum cpu_tier)tier)->close(&key);
      aes_kernels_of(CPU_TIER_C)->close(&key_c);
    }
  }
}

static void check_hole(enum cpu_tier tier, unsigned depth, uint64_t turns, uint64_t *seed) {
  static block leaves[LEAVES], got[LEAVES];
  block sums[DEPTH];
  struct aes_key key;
  block delta = random_block(seed);
  delta.lo |= 1;
  open_key(&key, tier, *seed);
  ggm_expand(ggm_kernels_of(tier), &key, leaves, sums, random_block(seed), delta, depth);
  /* Where the path turns left, the receiver learns the right sum. */
  for (unsigned level = 0; level < depth; level++) {
    sums[level] = block_xor(sums[level], block_and_mask(delta, ((turns >> level) & 1) - 1));
  }
  ggm_expand_punctured(ggm_kernels_of(tier), &key, got, sums, turns, depth);
  xor_into(&leaves[turns], delta);
  assert_memory_equal(got, leaves, sizeof(block) << depth);
  aes_kernels_of(tier)->close(&key);
}

static void ggm__punctured_tree_is_right_at_every_hole(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  for (int tier = 0; tier <= (int)cpu_tier_best(); tier++) {
    for (uint64_t turns = 0; turns < 64; turns++) check_hole((enum cpu_tier)tier, 6, turns, &seed);
    for (unsigned depth = 1; depth <= DEPTH; depth++) {
      check_hole((enum cpu_tier)tier, depth, 0, &seed);
      check_hole((enum cpu_tier)tier, depth, low_mask(depth), &seed);
      for (int i = 0; i < 10; i++) check_hole((enum cpu_tier)tier, depth, test_random(&seed) & low_mask(depth), &seed);
    }
  }
}

/* Single vectors and two to four side by side, powers of two and other lengths: each vector's rows are those that it
 * gives alone in portable C, whatever the tier. */
static void lpn__vectors_together_equal_each_alone(void **state) {
  (void)state;
  enum { ROWS = 192, STRIDE = ROWS + 3, ALL = LPN_TOGETHER * STRIDE };
  static block rows[ALL], want[ALL], start[ALL];
  uint64_t seed = test_seed();
  static const struct {
    uint32_t factor;
    unsigned shift;
  } lengths[] = {{1, 4}, {1, 10}, {33, 11}, {1, 16}, {1023, 0}, {3, 16}, {1, 18}, {1, 21}};
  for (size_t i = 0; i < 4 * (sizeof lengths / sizeof *lengths); i++) {
    const uint64_t first = 64 * (test_random(&seed) % 100000);
    struct lpn_vectors v = {.factor = lengths[i / 4].factor, .shift = lengths[i / 4].shift, .count = 1 + i % 4};
    const size_t k = (size_t)v.factor << v.shift;
    v.width = lpn_width(v.count);
    block *blocks = mem_alloc(k * v.width, sizeof(block)), *one = mem_alloc(k, sizeof(block));
    struct aes_key key_c;
    assert_non_null(blocks);
    assert_non_null(one);
    v.blocks = blocks;
    for (size_t j = 0; j < k * v.width; j++) blocks[j] = block_make(j << 32 ^ seed, seed * j);
    for (size_t j = 0; j < ALL; j++) want[j] = start[j] = random_block(&seed);
    open_key(&key_c, CPU_TIER_C, seed);
    for (size_t g = 0; g < v.count; g++) {
      const struct lpn_vectors alone = {.blocks = one, .factor = v.factor, .shift = v.shift, .width = 1, .count = 1};
      for (size_t j = 0; j < k; j++) one[j] = blocks[j * v.width + g];
      lpn_kernels_of(CPU_TIER_C)->encode(&key_c, want + g * STRIDE, ROWS, first, ROWS, &alone);
      assert_memory_not_equal(want + g * STRIDE, start + g * STRIDE, ROWS * sizeof(block));
    }
    for (int tier = 0; tier <= (int)cpu_tier_best(); tier++) {
      struct aes_key key;
      open_key(&key, (enum cpu_tier)tier, seed);
      memcpy(rows, start, sizeof rows);
      lpn_kernels_of((enum cpu_tier)tier)->encode(&key, rows, STRIDE, first, ROWS, &v);
      assert_memory_equal(rows, want, sizeof want);
      /* In two calls as in one. */
      memcpy(rows, start, sizeof rows);
      lpn_kernels_of((enum cpu_tier)tier)->encode(&key, rows, STRIDE, first, 64, &v);
      lpn_kernels_of((enum cpu_tier)tier)->encode(&key, rows + 64, STRIDE, first + 64, ROWS - 64, &v);
      assert_memory_equal(rows, want, sizeof want);
      aes_kernels_of((enum cpu_tier)tier)->close(&key);
    }
    aes_kernels_of(CPU_TIER_C)->close(&key_c);
    mem_free(blocks);
    mem_free(one);
  }
}

/* Linearity and a spread of positions: each row of the code is ten unit vectors, somewhere in all of [0, k). */
static void lpn__rows_have_ten_ones_spread_over_the_vector(void **state) {
  (void)state;
  enum { K = 60, ROWS = 6400 };
  static const struct lpn_vectors shapes[] = {{.factor = 15, .shift = 2}, {.factor = 60, .shift = 0}};
  static block rows[ROWS], vector[K];
  uint64_t seed = test_seed();
  for (size_t j = 0; j < K; j++) vector[j] = block_make(0, UINT64_C(1) << j);
  for (size_t shape = 0; shape < 2; shape++) {
    struct lpn_vectors v = shapes[shape];
    size_t hits[K] = {0};
    struct aes_key key;
    v.blocks = vector;
    v.width = v.count = 1;
    open_key(&key, cpu_tier(), seed);
    memset(rows, 0, sizeof rows);
    lpn_kernels()->encode(&key, rows, ROWS, 0, ROWS, &v);
    for (size_t i = 0; i < ROWS; i++) {
      const int ones = __builtin_popcountll(rows[i].lo);
      assert_true(ones <= 10 && ones % 2 == 0);
      for (size_t j = 0; j < K; j++) hits[j] += (rows[i].lo >> j) & 1;
    }
    /* A position is hit an odd number of times with probability 0.144: 921 +- 28 of 6400 rows. */
    for (size_t j = 0; j < K; j++) assert_in_range(hits[j], 700, 1150);
    aes_kernels()->close(&key);
  }
}

/* Schoolbook product, bit by bit. */
static block oracle_product(block a, block b) {
  block sum = {0};
  for (int i = 127; i >= 0; i--) {
    const uint64_t carry = sum.hi >> 63;
    sum = block_make(sum.hi << 1 | sum.lo >> 63, sum.lo << 1 ^ (carry ? 0x87 : 0));
    if (((i < 64 ? b.lo : b.hi) >> (i % 64)) & 1) xor_into(&sum, a);
  }
  return sum;
}

static void field__product_and_fold_equal_the_schoolbook(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  static block a[FIELD_FOLD], b[FIELD_FOLD];
  for (int tier = 0; tier <= (int)cpu_tier_best(); tier++) {
    const struct silent_field_kernels *ops = silent_field_kernels_of((enum cpu_tier)tier);
    block sum = {0};
    for (size_t i = 0; i < FIELD_FOLD; i++) {
      a[i] = random_block(&seed);
      b[i] = random_block(&seed);
      if (i == 0) a[i] = b[i] = block_make(UINT64_MAX, UINT64_MAX);
      if (i == 1) a[i] = block_make(0, 0);
      if (i == 2) b[i] = block_make(0, 1);
      const block want = oracle_product(a[i], b[i]), got = ops->multiply(a[i], b[i]);
      assert_memory_equal(&got, &want, sizeof want);
      xor_into(&sum, want);
    }
    const block folded = ops->fold(a, b);
    assert_memory_equal(&folded, &sum, sizeof sum);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(ggm__expands_to_its_definition_in_every_tier),
      cmocka_unit_test(ggm__punctured_tree_is_right_at_every_hole),
      cmocka_unit_test(lpn__vectors_together_equal_each_alone),
      cmocka_unit_test(lpn__rows_have_ten_ones_spread_over_the_vector),
      cmocka_unit_test(field__product_and_fold_equal_the_schoolbook),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
