/* Interleaving of ciphertexts: every number of units at every level, and the noise that keys add. */
#include "lattice/interleave.h"

#include <math.h>
#include <stdio.h>

#include "base/bits.h"
#include "lattice/lattice_messages.h"
#include "support/support.h"

enum { N = 2048, LIMBS = INTERLEAVE_LIMBS, LEVELS = 6 };

struct pair {
  struct rlwe *client, *server;
  struct channel *at_client, *at_server;
  struct rlwe_keys keys;
};

static void *open_client(void *arg) {
  struct pair *p = arg;
  struct prg *prg = NULL;
  assert_ok(prg_new_random(&prg));
  assert_ok(rlwe_open_client(&p->client, p->at_client, prg, &p->keys));
  prg_free(prg);
  return NULL;
}

static void *open_server(void *arg) {
  struct pair *p = arg;
  struct prg *prg = NULL;
  assert_ok(prg_new_random(&prg));
  assert_ok(rlwe_open_server(&p->server, p->at_server, prg, &p->keys));
  prg_free(prg);
  return NULL;
}

static void pair_open(struct pair *p, size_t turns, size_t secrets, size_t cut) {
  *p = (struct pair){.keys = {.of_ring = {secrets, 0}, .turns = turns, .turned = secrets, .cut = cut}};
  assert_ok(channel_pipe(&p->at_server, &p->at_client));
  test_run_both(open_server, p, open_client, p);
}

static void pair_close(struct pair *p) {
  rlwe_close(p->client);
  rlwe_close(p->server);
  channel_close(p->at_client);
  channel_close(p->at_server);
}

/* out = c1 * s modulo both primes, in coefficients; s: the secret of that number. */
static void times_secret(const struct pair *p, uint32_t *out, const uint32_t *c1, size_t secret) {
  const struct rlwe *r = p->client;
  const uint32_t *key = r->key[0] + secret * RLWE_LIMBS_MAX * N;
  for (size_t k = 0; k < LIMBS; k++) {
    uint32_t *a = out + k * N;
    memcpy(a, c1 + k * N, N * sizeof *a);
    r->kernels->ntt_forward(a, &r->ntt[0][k]);
    r->kernels->multiply(a, a, key + k * N, N, &r->moduli[k]);
    r->kernels->ntt_inverse(a, &r->ntt[0][k]);
  }
}

/* The number with these residues, of least absolute value. */
static double small_of(uint32_t r0, uint32_t r1) {
  const uint64_t p0 = rlwe_primes[0], p1 = rlwe_primes[1], q = p0 * p1;
  const uint64_t inverse = mod_power((uint32_t)(p0 % p1), (uint32_t)p1 - 2, (uint32_t)p1);
  const uint64_t digit = (r1 + p1 - r0 % p1) % p1 * inverse % p1;
  const uint64_t v = r0 + p0 * digit;
  return v > q / 2 ? -(double)(q - v) : (double)v;
}

/* Noise of the useful coefficients of an answer under a secret, its square and its largest; units: their c1. */
static void measure(const struct pair *p, unsigned levels, size_t units, const uint32_t *c1,
                    const struct interleave_cipher *answer, size_t secret, double *squares, double *largest) {
  uint32_t *wanted = mem_alloc((size_t)LIMBS * N, 4), *got = mem_alloc((size_t)LIMBS * N, 4);
  assert_true(wanted && got);
  const uint32_t *c0 = answer->c0 + secret * LIMBS * N;
  const size_t stride = (size_t)1 << levels;
  times_secret(p, got, answer->c1, secret);
  for (size_t u = 0; u < units; u++) {
    times_secret(p, wanted, c1 + u * LIMBS * N, secret);
    for (size_t lane = 0; lane < N / stride; lane++) {
      uint32_t rest[LIMBS];
      for (size_t k = 0; k < LIMBS; k++) {
        const uint64_t prime = rlwe_primes[k], at = lane * stride + reverse_bits(u, levels);
        const uint64_t want = wanted[k * N + lane * stride] * stride % prime;
        rest[k] = (uint32_t)((c0[k * N + at] + (uint64_t)got[k * N + at] + prime - want) % prime);
      }
      const double noise = small_of(rest[0], rest[1]);
      *squares += noise * noise;
      *largest = fmax(*largest, fabs(noise));
    }
  }
  mem_free(wanted);
  mem_free(got);
}

/* Interleaves `units` random ciphertexts, for the first `secrets` secrets, and adds the squares of the noise of all
 * useful coefficients. */
static void interleave(const struct pair *p, unsigned levels, size_t units, size_t secrets, uint64_t *seed,
                       double *squares, double *largest) {
  struct interleaver it = {.r = p->server};
  struct workspace w = {0};
  interleaver_place(&it, &w, levels, secrets);
  w = (struct workspace){.base = mem_alloc(w.used, 1)};
  uint32_t *c1 = mem_alloc(units * LIMBS * N, 4);
  assert_true(w.base && c1);
  interleaver_place(&it, &w, levels, secrets);
  for (size_t i = 0; i < units * LIMBS * N; i++) c1[i] = (uint32_t)(test_random(seed) % rlwe_primes[i / N % LIMBS]);
  for (size_t u = 0; u < units; u++) {
    memcpy(it.fresh.c1, c1 + u * LIMBS * N, (size_t)LIMBS * N * sizeof *c1);
    interleaver_push(&it);
  }
  const struct interleave_cipher *answer = interleaver_finish(&it);
  for (size_t s = 0; s < secrets; s++) measure(p, levels, units, c1, answer, s, squares, largest);
  mem_free(w.base);
  mem_free(c1);
}

/* Full answers: the noise has the deviation that the bound takes, with uniform digits and a secret of variance 2/3 in
 * the place of the largest ones. */
static void check_deviation(size_t cut) {
  uint64_t seed = test_seed();
  struct pair p;
  pair_open(&p, LEVELS, 1, cut);
  for (unsigned levels = 1; levels <= LEVELS; levels++) {
    const struct turn_kind *kind = &interleave_keys[cut];
    const double digit = ldexp(1, 2 * (int)kind->digit_bits) / 12;
    const double skipped = ldexp(1, 2 * (int)kind->skipped_bits) / 12;
    const double level = RLWE_NOISE_PAIRS / 2.0 * N * (double)kind->digits * digit + skipped * N * 2 / 3;
    const double expected = sqrt(level * (ldexp(1, 2 * (int)levels) - 1) / 3);
    double squares = 0, largest = 0;
    interleave(&p, levels, (size_t)1 << levels, 1, &seed, &squares, &largest);
    const double deviation = sqrt(squares / N);
    print_message("%u levels: deviation 2^%.2f, %.2f of what is expected, largest 2^%.2f\n", levels, log2(deviation),
                  deviation / expected, log2(largest));
    assert_true(deviation > 0.75 * expected && deviation < 1.25 * expected);
  }
  pair_close(&p);
}

static void interleaver__noise_has_the_deviation_of_the_bound(void **state) {
  (void)state;
  for (size_t cut = 0; cut < INTERLEAVE_CUTS; cut++) {
    const struct turn_kind *kind = &interleave_keys[cut];
    assert_true(kind->digits <= INTERLEAVE_DIGITS_MAX);
    assert_int_equal(kind->digits * kind->digit_bits + kind->skipped_bits, rlwe_params_find(1)->q_bits);
    check_deviation(cut);
  }
}

static void interleaver__any_number_of_units(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct pair p;
  pair_open(&p, LEVELS, 1, 0);
  for (unsigned levels = 1; levels <= 4; levels++)
    for (size_t units = 1; units <= (size_t)1 << levels; units++) {
      double squares = 0, largest = 0;
      interleave(&p, levels, units, 1, &seed, &squares, &largest);
      if (largest > ldexp(1, 25)) fail_msg("%zu units, %u levels: noise %.0f", units, levels, largest);
    }
  pair_close(&p);
}

/* One c1 for all of them: a session's keys may be of more secrets than a layer makes use of. */
static void interleaver__several_secrets(void **state) {
  (void)state;
  enum { SECRETS = 3 };
  uint64_t seed = test_seed();
  struct pair p;
  pair_open(&p, 3, SECRETS, 1);
  for (size_t secrets = 1; secrets <= SECRETS; secrets++)
    for (size_t units = 2; units <= 8; units += 3) {
      double squares = 0, largest = 0;
      interleave(&p, 3, units, secrets, &seed, &squares, &largest);
      if (largest > ldexp(1, 25)) fail_msg("%zu units, %zu secrets: noise %.0f", units, secrets, largest);
      assert_true(squares > 0);
    }
  pair_close(&p);
}

/* A client whose public key is zeros, and whose keys for interleaving are too large or too short. */
static void interleave__bad_keys_are_refused(void **state) {
  (void)state;
  for (size_t cut = 0; cut < 2; cut++) {
    struct pair p = {.keys = {.of_ring = {1, 0}, .turns = 2, .turned = 1}};
    struct prg *prg = NULL;
    const size_t key_len = PRG_SEED_LEN + bits_len((size_t)LIMBS * N, RLWE_LIMB_BITS),
                 len = turn_key_len(&interleave_keys[0], p.keys.turns, 1);
    uint8_t *payload = mem_alloc(len, 1);
    assert_non_null(payload);
    assert_ok(channel_pipe(&p.at_server, &p.at_client));
    assert_ok(channel_send(p.at_client, MSG_RLWE_KEY, payload, key_len));
    memset(payload, cut ? 0 : 0xff, len);
    assert_ok(channel_send(p.at_client, MSG_RLWE_TURN, payload, len - cut));
    assert_ok(channel_flush(p.at_client));
    assert_ok(prg_new_random(&prg));
    assert_int_equal(rlwe_open_server(&p.server, p.at_server, prg, &p.keys), FUSION_E_PEER);
    assert_null(p.server);
    prg_free(prg);
    mem_free(payload);
    pair_close(&p);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(interleaver__noise_has_the_deviation_of_the_bound),
      cmocka_unit_test(interleaver__any_number_of_units),
      cmocka_unit_test(interleaver__several_secrets),
      cmocka_unit_test(interleave__bad_keys_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
