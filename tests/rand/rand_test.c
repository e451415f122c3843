#include "base/cpu_tier.h"
#include "rand/aes_kernels.h"
#include "rand/prg.h"
#include "rand/tccr.h"
#include "support/support.h"

#include <openssl/evp.h>

static void random_bytes(uint64_t *state, void *out, size_t len) {
  uint8_t *at = out;
  for (size_t i = 0; i < len; i++) at[i] = (uint8_t)test_random(state);
}

static void aes__fips_197_vector(void **state) {
  (void)state;
  uint8_t key_bytes[16], plain[16];
  static const uint8_t cipher[16] = {0x69, 0xc4, 0xe0, 0xd8, 0x6a, 0x7b, 0x04, 0x30,
                                     0xd8, 0xcd, 0xb7, 0x80, 0x70, 0xb4, 0xc5, 0x5a};
  for (uint8_t i = 0; i < 16; i++) key_bytes[i] = i;
  for (uint8_t i = 0; i < 16; i++) plain[i] = (uint8_t)(0x11 * i);
  for (int tier = 0; tier <= (int)cpu_tier_best(); tier++) {
    const struct aes_kernels *ops = aes_kernels_of((enum cpu_tier)tier);
    struct aes_key key;
    block b;
    assert_ok(ops->open(&key, key_bytes));
    memcpy(&b, plain, sizeof b);
    ops->encrypt(&key, &b, &b, 1);
    assert_memory_equal(&b, cipher, sizeof b);
    ops->close(&key);
  }
}

static void aes__sp_800_38a_ecb_vectors(void **state) {
  (void)state;
  static const uint8_t key_bytes[16] = {0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6,
                                        0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c};
  static const uint8_t plain[64] = {0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96, 0xe9, 0x3d, 0x7e, 0x11, 0x73,
                                    0x93, 0x17, 0x2a, 0xae, 0x2d, 0x8a, 0x57, 0x1e, 0x03, 0xac, 0x9c, 0x9e, 0xb7,
                                    0x6f, 0xac, 0x45, 0xaf, 0x8e, 0x51, 0x30, 0xc8, 0x1c, 0x46, 0xa3, 0x5c, 0xe4,
                                    0x11, 0xe5, 0xfb, 0xc1, 0x19, 0x1a, 0x0a, 0x52, 0xef, 0xf6, 0x9f, 0x24, 0x45,
                                    0xdf, 0x4f, 0x9b, 0x17, 0xad, 0x2b, 0x41, 0x7b, 0xe6, 0x6c, 0x37, 0x10};
  static const uint8_t cipher[64] = {0x3a, 0xd7, 0x7b, 0xb4, 0x0d, 0x7a, 0x36, 0x60, 0xa8, 0x9e, 0xca, 0xf3, 0x24,
                                     0x66, 0xef, 0x97, 0xf5, 0xd3, 0xd5, 0x85, 0x03, 0xb9, 0x69, 0x9d, 0xe7, 0x85,
                                     0x89, 0x5a, 0x96, 0xfd, 0xba, 0xaf, 0x43, 0xb1, 0xcd, 0x7f, 0x59, 0x8e, 0xce,
                                     0x23, 0x88, 0x1b, 0x00, 0xe3, 0xed, 0x03, 0x06, 0x88, 0x7b, 0x0c, 0x78, 0x5e,
                                     0x27, 0xe8, 0xad, 0x3f, 0x82, 0x23, 0x20, 0x71, 0x04, 0x72, 0x5d, 0xd4};
  for (int tier = 0; tier <= (int)cpu_tier_best(); tier++) {
    const struct aes_kernels *ops = aes_kernels_of((enum cpu_tier)tier);
    struct aes_key key;
    block in[4], out[4];
    assert_ok(ops->open(&key, key_bytes));
    memcpy(in, plain, sizeof in);
    ops->encrypt(&key, out, in, 4);
    assert_memory_equal(out, cipher, sizeof cipher);
    ops->close(&key);
  }
}

static void aes__fixed_schedule_is_that_of_the_fixed_key(void **state) {
  (void)state;
  struct aes_key key;
  if (cpu_tier_best() == CPU_TIER_C) skip();
  for (int tier = CPU_TIER_C + 1; tier <= (int)cpu_tier_best(); tier++) {
    const struct aes_kernels *native = aes_kernels_of((enum cpu_tier)tier);
    assert_ok(native->open(&key, aes_fixed_key));
    assert_memory_equal(key.round, aes_fixed_rounds, sizeof aes_fixed_rounds);
    native->close(&key);
  }
}

static void tccr__equals_its_formula(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct aes_key key;
  block in[5], out[5], offset;
  const struct aes_kernels *c = aes_kernels_of(CPU_TIER_C);
  const struct tccr h = {.domain = test_random(&seed)};
  random_bytes(&seed, in, sizeof in);
  random_bytes(&seed, &offset, sizeof offset);
  assert_ok(c->open(&key, aes_fixed_key));
  tccr_hash(&h, out, in, 5, offset, 77);
  for (size_t i = 0; i < 5; i++) {
    block x = block_xor(in[i], offset), y;
    c->encrypt(&key, &x, &x, 1);
    y = block_xor(x, block_make(h.domain, 77 + i));
    c->encrypt(&key, &y, &y, 1);
    y = block_xor(x, y);
    assert_memory_equal(&out[i], &y, sizeof y);
  }
  c->close(&key);
}

/* OpenSSL's own counter mode is the oracle of the generator's stream. */
static void prg__stream_is_aes_counter_mode(void **state) {
  (void)state;
  static uint8_t want[5000], got[5000 + 1];
  static const uint8_t zero_iv[16];
  uint8_t seed[16];
  uint64_t random = test_seed();
  random_bytes(&random, seed, sizeof seed);
  EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
  int written;
  memset(want, 0, sizeof want);
  assert_int_equal(EVP_EncryptInit_ex(cipher, EVP_aes_128_ctr(), NULL, seed, zero_iv), 1);
  assert_int_equal(EVP_EncryptUpdate(cipher, want, &written, want, (int)sizeof want), 1);
  EVP_CIPHER_CTX_free(cipher);
  const enum cpu_tier best = cpu_tier_best();
  for (int tier = 0; tier <= (int)best; tier++) {
    assert_ok(cpu_tier_force((enum cpu_tier)tier));
    for (size_t shift = 0; shift < 2; shift++) {
      struct prg *g = prg_new(seed);
      assert_non_null(g);
      prg_bytes(g, got + shift, 5000);
      assert_memory_equal(got + shift, want, 5000);
      prg_free(g);
    }
  }
  assert_ok(cpu_tier_force(best));
}

static void prg__successive_calls_continue_the_stream(void **state) {
  (void)state;
  static uint8_t want[20000], got[20000];
  uint64_t random = test_seed();
  uint8_t seed[16];
  random_bytes(&random, seed, sizeof seed);
  struct prg *whole = prg_new(seed), *parts = prg_new(seed);
  prg_bytes(whole, want, sizeof want);
  for (size_t at = 0; at < sizeof got;) {
    const size_t len = size_min(sizeof got - at, test_random(&random) % 2500);
    prg_bytes(parts, got + at, len);
    at += len;
  }
  assert_memory_equal(got, want, sizeof want);
  prg_free(whole);
  prg_free(parts);
}

static void prg__children_differ_by_label_and_index_and_leave_the_parent(void **state) {
  (void)state;
  static const uint8_t seed[16] = {1, 2, 3};
  uint8_t streams[6][32];
  struct prg *parent = prg_new(seed), *twin = prg_new(seed);
  struct prg *children[] = {prg_fork(parent, "a", 0), prg_fork(parent, "a", 1), prg_fork(parent, "b", 0),
                            prg_fork(parent, "ab", 0)};
  for (size_t i = 0; i < 4; i++) {
    assert_non_null(children[i]);
    prg_bytes(children[i], streams[i], 32);
  }
  prg_bytes(parent, streams[4], 32);
  prg_bytes(twin, streams[5], 32);
  assert_memory_equal(streams[4], streams[5], 32);
  for (size_t i = 0; i < 5; i++) {
    for (size_t j = 0; j < i; j++) assert_memory_not_equal(streams[i], streams[j], 32);
  }
  struct prg *again = prg_fork(twin, "a", 1);
  prg_bytes(again, streams[5], 32);
  assert_memory_equal(streams[5], streams[1], 32);
  for (size_t i = 0; i < 4; i++) prg_free(children[i]);
  prg_free(again);
  prg_free(parent);
  prg_free(twin);
}

static void prg__ring_and_below_keep_their_range(void **state) {
  (void)state;
  static uint64_t values[1000];
  size_t counts[5] = {0};
  struct prg *g;
  assert_ok(prg_new_random(&g));
  prg_ring(g, values, 1000, 13);
  for (size_t i = 0; i < 1000; i++) assert_true(values[i] < (1u << 13));
  for (size_t i = 0; i < 10000; i++) {
    const uint64_t v = prg_below(g, 5);
    assert_true(v < 5);
    counts[v]++;
  }
  /* Each count is 2000 +- 40 (one standard deviation): ten of them do not happen. */
  for (size_t i = 0; i < 5; i++) assert_true(counts[i] > 1600 && counts[i] < 2400);
  assert_int_equal(prg_below(g, 1), 0);
  prg_free(g);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(aes__fips_197_vector),
      cmocka_unit_test(aes__sp_800_38a_ecb_vectors),
      cmocka_unit_test(aes__fixed_schedule_is_that_of_the_fixed_key),
      cmocka_unit_test(tccr__equals_its_formula),
      cmocka_unit_test(prg__stream_is_aes_counter_mode),
      cmocka_unit_test(prg__successive_calls_continue_the_stream),
      cmocka_unit_test(prg__children_differ_by_label_and_index_and_leave_the_parent),
      cmocka_unit_test(prg__ring_and_below_keep_their_range),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
