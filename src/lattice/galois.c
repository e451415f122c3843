#include "lattice/galois.h"

#include "base/bits.h"
#include "base/secret.h"
#include "lattice/lattice_messages.h"

enum { RING = 1, DIGITS = GALOIS_LIMBS };

static size_t degree(void) {
  return (size_t)1 << rlwe_ring_log_n[RING];
}

static const struct rlwe_params *params(void) {
  return rlwe_params_find(RLWE_SETS); /* three primes */
}

size_t galois_len(const struct rlwe_keys *keys) {
  return bits_len(keys->levels * DIGITS * GALOIS_KEY_LIMBS * degree(), RLWE_LIMB_BITS);
}

static struct prg *stream_of(const struct rlwe *r, unsigned level, size_t digit) {
  return prg_fork(r->shared, "galois", level * (uint64_t)DIGITS + digit);
}

/* Where a level's key lies at the server: [digits][halves][limbs][N]. */
static uint32_t *key_at(const struct rlwe *r, unsigned level, size_t digit, size_t half) {
  return r->galois + (((level - 1) * (size_t)DIGITS + digit) * 2 + half) * GALOIS_KEY_LIMBS * degree();
}

/* ---- the client's keys ---- */

struct maker {
  struct rlwe *r;
  int32_t *secret, *turned, *noise; /* [N] each */
  uint32_t *uniform;                /* [GALOIS_KEY_LIMBS][N] */
  uint32_t *work;                   /* [2][N] */
};

static size_t maker_words(void) {
  return (3 + GALOIS_KEY_LIMBS + 2) * degree();
}

static void maker_place(struct maker *m, uint32_t *memory) {
  const size_t n = degree();
  m->secret = (int32_t *)memory;
  m->turned = m->secret + n;
  m->noise = m->turned + n;
  m->uniform = memory + 3 * n;
  m->work = m->uniform + GALOIS_KEY_LIMBS * n;
}

void galois_find_secret(const struct rlwe *r, size_t ring, int32_t *out, uint32_t *work) {
  const size_t n = (size_t)1 << rlwe_ring_log_n[ring];
  for (size_t i = 0; i < n; i++) work[i] = 1;
  r->kernels->multiply(work, r->key[ring], work, n, &r->moduli[0]);
  r->kernels->ntt_inverse(work, &r->ntt[ring][0]);
  r->kernels->centre_extend(out, work, n, 0, &r->moduli[0]);
}

void galois_turn_small(int32_t *out, const int32_t *in, size_t g, size_t n) {
  for (size_t i = 0; i < n; i++) {
    const size_t at = i * g & (2 * n - 1);
    out[at & (n - 1)] = at < n ? in[i] : -in[i];
  }
}

/* The c0 of one digit, transformed, 26 bits a number. */
static fusion_status put_digit(const struct maker *m, unsigned level, size_t digit, struct bit_writer *w) {
  struct rlwe *r = m->r;
  const size_t n = degree();
  struct prg *stream = stream_of(r, level, digit);
  if (!stream) return FUSION_E_MEMORY;
  rlwe_expand_uniform(r, params(), stream, m->uniform);
  prg_free(stream);
  rlwe_draw_noise(r, m->noise, n);
  for (size_t k = 0; k < GALOIS_KEY_LIMBS; k++) {
    const struct modulus *mod = &r->moduli[k];
    uint32_t *sum = m->work, *product = m->work + n;
    rlwe_lift(r, sum, m->noise, RING, k);
    r->kernels->multiply(product, m->uniform + k * n, r->key[RING] + k * n, n, mod);
    r->kernels->subtract(sum, sum, product, n, mod);
    if (k == digit) {
      const uint32_t last = (uint32_t)(((uint64_t)(rlwe_primes[GALOIS_KEY_LIMBS - 1] % mod->p) << 32) % mod->p);
      rlwe_lift(r, product, m->turned, RING, k);
      for (size_t i = 0; i < n; i++) product[i] = mod_multiply_montgomery(product[i], last, mod);
      r->kernels->add(sum, sum, product, n, mod);
    }
    for (size_t i = 0; i < n; i++) bits_put(w, sum[i], RLWE_LIMB_BITS);
  }
  return FUSION_OK;
}

fusion_status galois_send(struct rlwe *r) {
  if (!r->keys.levels) return FUSION_OK;
  fusion_status status = FUSION_OK;
  const size_t len = galois_len(&r->keys);
  struct maker m = {.r = r};
  uint32_t *memory = mem_alloc(maker_words(), sizeof *memory);
  uint8_t *payload = mem_alloc(len + BITS_SLACK, 1);
  FAIL_IF(!memory || !payload, FUSION_E_MEMORY);
  maker_place(&m, memory);
  galois_find_secret(r, RING, m.secret, m.work);
  struct bit_writer w = {.out = payload};
  for (unsigned level = 1; level <= r->keys.levels; level++) {
    galois_turn_small(m.turned, m.secret, galois_exponent(degree(), level), degree());
    for (size_t digit = 0; digit < DIGITS; digit++) TRY(put_digit(&m, level, digit, &w));
  }
  bits_finish(&w);
  secret_declassify(payload, len, "RLWE encryptions of the turned secret under a key of the session");
  TRY(channel_send(r->channel, MSG_RLWE_GALOIS, payload, len));
  TRY(channel_flush(r->channel));
cleanup:
  mem_free(payload);
  mem_free_secret(memory, maker_words() * sizeof *memory);
  return status;
}

/* ---- the server's ---- */

static fusion_status take_digit(struct rlwe *r, unsigned level, size_t digit, struct bit_reader *b) {
  const size_t n = degree();
  uint32_t *c0 = key_at(r, level, digit, 0), *c1 = key_at(r, level, digit, 1);
  struct prg *stream = stream_of(r, level, digit);
  if (!stream) return FUSION_E_MEMORY;
  rlwe_expand_uniform(r, params(), stream, c1);
  prg_free(stream);
  for (size_t i = 0; i < GALOIS_KEY_LIMBS * n; i++) {
    c0[i] = (uint32_t)bits_get(b, RLWE_LIMB_BITS);
    if (c0[i] >= rlwe_primes[i / n])
      return channel_fail(r->channel, FUSION_E_PEER, "'rotation key': a value is not reduced; the peer is faulty");
  }
  for (size_t k = 0; k < GALOIS_KEY_LIMBS; k++) {
    rlwe_to_montgomery(r, c0 + k * n, n, k);
    rlwe_to_montgomery(r, c1 + k * n, n, k);
  }
  return FUSION_OK;
}

fusion_status galois_receive(struct rlwe *r) {
  if (!r->keys.levels) return FUSION_OK;
  fusion_status status = FUSION_OK;
  const size_t len = galois_len(&r->keys);
  uint8_t *payload = mem_alloc(len + BITS_SLACK, 1);
  r->galois = mem_alloc(r->keys.levels * DIGITS * 2 * GALOIS_KEY_LIMBS * degree(), sizeof *r->galois);
  FAIL_IF(!payload || !r->galois, FUSION_E_MEMORY);
  TRY(channel_recv(r->channel, MSG_RLWE_GALOIS, payload, len));
  struct bit_reader b = {.in = payload};
  for (unsigned level = 1; level <= r->keys.levels; level++)
    for (size_t digit = 0; digit < DIGITS; digit++) TRY(take_digit(r, level, digit, &b));
cleanup:
  mem_free(payload);
  return status;
}

/* ---- merging ---- */

void galois_room_set(const struct rlwe *r, const struct galois_room *room) {
  const size_t n = degree();
  for (size_t k = 0; k < GALOIS_LIMBS; k++) {
    const uint32_t p = r->moduli[k].p, inverse = mod_inverse(rlwe_primes[GALOIS_KEY_LIMBS - 1] % p, p);
    const uint32_t factor = (uint32_t)(((uint64_t)inverse << 32) % p); /* in Montgomery form */
    for (size_t i = 0; i < n; i++) room->over_last[k * n + i] = factor;
  }
}

void galois_over_last(const struct rlwe *r, uint32_t *poly, const struct galois_room *room) {
  const size_t n = degree();
  r->kernels->centre_extend(room->digit, poly + GALOIS_LIMBS * n, n, 0, &r->moduli[GALOIS_LIMBS]);
  for (size_t i = 0; i < n; i++) room->digit[i] = -room->digit[i];
  for (size_t k = 0; k < GALOIS_LIMBS; k++) {
    r->kernels->add_small(poly + k * n, poly + k * n, room->digit, n, &r->moduli[k]);
    r->kernels->multiply(poly + k * n, poly + k * n, room->over_last + k * n, n, &r->moduli[k]);
  }
}

void galois_shift_up(uint32_t *out, const uint32_t *in, size_t shift, size_t n, uint32_t p) {
  for (size_t i = 0; i < shift; i++) out[i] = mod_subtract_once(p - in[n - shift + i], p);
  memcpy(out + shift, in, (n - shift) * sizeof *out);
}

void galois_turn(uint32_t *out, const uint32_t *in, size_t g, size_t n, uint32_t p) {
  for (size_t i = 0; i < n; i++) {
    const size_t at = i * g & (2 * n - 1);
    out[at & (n - 1)] = at < n ? in[i] : mod_subtract_once(p - in[i], p);
  }
}

/* sums[half] = the key's half times the digits of `in`, modulo all primes. */
static void switch_key(const struct rlwe *r, unsigned level, const uint32_t *in, const struct galois_room *room) {
  const size_t n = degree();
  memset(room->sums, 0, 2 * GALOIS_KEY_LIMBS * n * sizeof *room->sums);
  for (size_t digit = 0; digit < DIGITS; digit++) {
    r->kernels->centre_extend(room->digit, in + digit * n, n, 0, &r->moduli[digit]);
    for (size_t k = 0; k < GALOIS_KEY_LIMBS; k++) {
      uint32_t *x = room->work, *product = room->work + n;
      rlwe_lift(r, x, room->digit, RING, k);
      for (size_t half = 0; half < 2; half++) {
        uint32_t *sum = room->sums + (half * GALOIS_KEY_LIMBS + k) * n;
        r->kernels->multiply(product, x, key_at(r, level, digit, half) + k * n, n, &r->moduli[k]);
        r->kernels->add(sum, sum, product, n, &r->moduli[k]);
      }
    }
  }
  for (size_t half = 0; half < 2; half++) {
    uint32_t *sum = room->sums + half * GALOIS_KEY_LIMBS * n;
    for (size_t k = 0; k < GALOIS_KEY_LIMBS; k++) r->kernels->ntt_inverse(sum + k * n, &r->ntt[RING][k]);
    galois_over_last(r, sum, room);
  }
}

void galois_merge(const struct rlwe *r, unsigned level, const struct galois_cipher *even,
                  const struct galois_cipher *odd, const struct galois_room *room) {
  const size_t n = degree(), shift = (size_t)1 << (level - 1);
  for (size_t half = 0; half < 2; half++) {
    for (size_t k = 0; k < GALOIS_LIMBS; k++) {
      const struct modulus *m = &r->moduli[k];
      uint32_t *e = even->c[half] + k * n;
      if (!odd) {
        r->kernels->add(e, e, e, n, m);
        continue;
      }
      uint32_t *shifted = room->work, *difference = odd->c[half] + k * n;
      galois_shift_up(shifted, difference, shift, n, m->p);
      r->kernels->subtract(difference, e, shifted, n, m);
      r->kernels->add(e, e, shifted, n, m);
      galois_turn(room->turned + (half * GALOIS_LIMBS + k) * n, difference, galois_exponent(n, level), n, m->p);
    }
  }
  if (!odd) return;
  switch_key(r, level, room->turned + GALOIS_LIMBS * n, room);
  for (size_t k = 0; k < GALOIS_LIMBS; k++) {
    const struct modulus *m = &r->moduli[k];
    for (size_t half = 0; half < 2; half++)
      r->kernels->add(even->c[half] + k * n, even->c[half] + k * n, room->sums + (half * GALOIS_KEY_LIMBS + k) * n, n,
                      m);
    r->kernels->add(even->c[0] + k * n, even->c[0] + k * n, room->turned + k * n, n, m);
  }
}
