#include "lattice/turn_key.h"

#include "base/bits.h"
#include "base/secret.h"

static size_t degree(const struct turn_kind *kind) {
  return (size_t)1 << rlwe_ring_log_n[kind->ring];
}

size_t turn_key_len(const struct turn_kind *kind, size_t levels, size_t secrets) {
  return bits_len(levels * secrets * kind->digits * kind->limbs * degree(kind), RLWE_LIMB_BITS);
}

/* The uniform half of a key, transformed. */
static fusion_status draw_uniform(const struct rlwe *r, const struct turn_kind *kind, unsigned level, size_t digit,
                                  uint32_t *out) {
  struct prg *stream = prg_fork(r->shared, kind->label, level * (uint64_t)kind->digits + digit);
  if (!stream) return FUSION_E_MEMORY;
  rlwe_expand_uniform(r, rlwe_params_find(kind->set), stream, out);
  prg_free(stream);
  return FUSION_OK;
}

/* ---- the client ---- */

struct maker {
  struct rlwe *r;
  const struct turn_kind *kind;
  const uint32_t *key;              /* the secret transformed, for every prime */
  int32_t *secret, *turned, *noise; /* [N] each */
  uint32_t *uniform;                /* [limbs][N] */
  uint32_t *lifted;                 /* [limbs][N] */
  uint32_t *work;                   /* [2][N] */
};

static size_t maker_words(const struct turn_kind *kind) {
  return (3 + 2 * kind->limbs + 2) * degree(kind);
}

static void maker_place(struct maker *m, uint32_t *memory) {
  const size_t n = degree(m->kind);
  m->secret = (int32_t *)memory;
  m->turned = m->secret + n;
  m->noise = m->turned + n;
  m->uniform = memory + 3 * n;
  m->lifted = m->uniform + m->kind->limbs * n;
  m->work = m->lifted + m->kind->limbs * n;
}

/* Coefficients of a secret of the ring. */
static void find_secret(struct maker *m, size_t secret) {
  const struct rlwe *r = m->r;
  const size_t n = degree(m->kind), ring = m->kind->ring;
  uint32_t *work = m->work;
  m->key = r->key[ring] + secret * RLWE_LIMBS_MAX * n;
  for (size_t i = 0; i < n; i++) work[i] = 1;
  r->kernels->multiply(work, m->key, work, n, &r->moduli[0]);
  r->kernels->ntt_inverse(work, &r->ntt[ring][0]);
  r->kernels->centre_extend(m->secret, work, n, 0, &r->moduli[0]);
}

static void turn_secret(const struct maker *m, size_t g) {
  const size_t n = degree(m->kind);
  for (size_t i = 0; i < n; i++) {
    const size_t at = i * g & (2 * n - 1);
    m->turned[at & (n - 1)] = at < n ? m->secret[i] : -m->secret[i];
  }
  for (size_t k = 0; k < m->kind->limbs; k++) rlwe_lift(m->r, m->lifted + k * n, m->turned, m->kind->ring, k);
}

/* c0 of one digit; the turned secret transformed is in m->lifted. */
static fusion_status put_digit(const struct maker *m, unsigned level, size_t digit, struct bit_writer *w) {
  struct rlwe *r = m->r;
  const size_t n = degree(m->kind), ring = m->kind->ring;
  const fusion_status drawn = draw_uniform(r, m->kind, level, digit, m->uniform);
  if (drawn) return drawn;
  rlwe_draw_noise(r, m->noise, n);
  for (size_t k = 0; k < m->kind->limbs; k++) {
    const struct modulus *mod = &r->moduli[k];
    uint32_t *sum = m->work, *product = m->work + n;
    rlwe_lift(r, sum, m->noise, ring, k);
    r->kernels->multiply(product, m->uniform + k * n, m->key + k * n, n, mod);
    r->kernels->subtract(sum, sum, product, n, mod);
    const uint64_t weight = m->kind->weight(m->kind, digit, k) % mod->p;
    if (weight) {
      const uint32_t factor = (uint32_t)((weight << 32) % mod->p); /* in Montgomery form */
      const uint32_t *lifted = m->lifted + k * n;
      for (size_t i = 0; i < n; i++) product[i] = mod_multiply_montgomery(lifted[i], factor, mod);
      r->kernels->add(sum, sum, product, n, mod);
    }
    for (size_t i = 0; i < n; i++) bits_put(w, sum[i], RLWE_LIMB_BITS);
  }
  return FUSION_OK;
}

fusion_status turn_key_send(struct rlwe *r, const struct turn_kind *kind, size_t levels, size_t secrets) {
  if (!levels) return FUSION_OK;
  fusion_status status = FUSION_OK;
  const size_t len = turn_key_len(kind, levels, secrets);
  struct maker m = {.r = r, .kind = kind};
  uint32_t *memory = mem_alloc(maker_words(kind), sizeof *memory);
  uint8_t *payload = mem_alloc(len + BITS_SLACK, 1);
  FAIL_IF(!memory || !payload, FUSION_E_MEMORY);
  maker_place(&m, memory);
  struct bit_writer w = {.out = payload};
  for (size_t secret = 0; secret < secrets; secret++) {
    find_secret(&m, secret);
    for (unsigned level = 1; level <= levels; level++) {
      turn_secret(&m, turn_exponent(degree(kind), level));
      for (size_t digit = 0; digit < kind->digits; digit++) TRY(put_digit(&m, level, digit, &w));
    }
  }
  bits_finish(&w);
  secret_declassify(payload, len, "RLWE encryptions of the turned secrets under keys of the session");
  TRY(channel_send(r->channel, kind->message, payload, len));
  TRY(channel_flush(r->channel));
cleanup:
  mem_free(payload);
  mem_free_secret(memory, maker_words(kind) * sizeof *memory);
  return status;
}

/* ---- the server ---- */

static void to_montgomery(const struct rlwe *r, const struct turn_kind *kind, uint32_t *poly) {
  for (size_t k = 0; k < kind->limbs; k++) rlwe_to_montgomery(r, poly + k * degree(kind), degree(kind), k);
}

static fusion_status take_digit(const struct rlwe *r, const struct turn_kind *kind, uint32_t *c0,
                                struct bit_reader *b) {
  const size_t n = degree(kind);
  for (size_t i = 0; i < kind->limbs * n; i++) {
    c0[i] = (uint32_t)bits_get(b, RLWE_LIMB_BITS);
    if (c0[i] >= rlwe_primes[i / n])
      return channel_fail(r->channel, FUSION_E_PEER, "'rotation key': a value is not reduced; the peer is faulty");
  }
  to_montgomery(r, kind, c0);
  return FUSION_OK;
}

fusion_status turn_key_take(const struct rlwe *r, const struct turn_kind *kind, size_t levels, size_t secrets,
                            const uint8_t *payload, uint32_t **keys) {
  if (!levels) return FUSION_OK;
  fusion_status status = FUSION_OK;
  *keys = mem_alloc(turn_key_memory(kind, levels, secrets), 1);
  FAIL_IF(!*keys, FUSION_E_MEMORY);
  for (unsigned level = 1; level <= levels; level++) {
    for (size_t digit = 0; digit < kind->digits; digit++) {
      uint32_t *c1 = turn_key_at(kind, *keys, secrets, level, digit, secrets);
      TRY(draw_uniform(r, kind, level, digit, c1));
      to_montgomery(r, kind, c1);
    }
  }
  struct bit_reader b = {.in = payload};
  for (size_t secret = 0; secret < secrets; secret++)
    for (unsigned level = 1; level <= levels; level++)
      for (size_t digit = 0; digit < kind->digits; digit++)
        TRY(take_digit(r, kind, turn_key_at(kind, *keys, secrets, level, digit, secret), &b));
cleanup:
  return status;
}
