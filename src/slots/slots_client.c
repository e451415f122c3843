/* The client's half of slot encryption: encrypts vectors, decrypts answers. */
#include "base/secret.h"
#include "slots/slots_draw.h"
#include "slots/slots_messages.h"

fusion_status slots_plain_open(struct slots_plain **out, unsigned bits) {
  struct slots_plain *p = mem_alloc(1, sizeof *p);
  *out = NULL;
  if (!p) return FUSION_E_MEMORY;
  const uint64_t t = slots_plain_prime(bits);
  if (slots_table_make(&p->table, SLOTS_LOG_N, t) != FUSION_OK) {
    mem_free(p);
    return FUSION_E_MEMORY;
  }
  p->fraction = slots_fraction_make(t);
  p->q_mod = 1;
  for (size_t k = 0; k < SLOTS_LIMBS; k++) {
    const struct slots_modulus m = slots_modulus_make(slots_primes[k]);
    p->q_mod = slots_multiply(p->q_mod, slots_primes[k] % t, &p->table.m);
    p->inverse_of[k] = slots_inverse(t % m.p, &m);
  }
  for (size_t i = 0, exponent = 1; i < SLOTS_ROW; i++, exponent = exponent * 3 % (2 * SLOTS_N)) {
    p->position[i] = (uint32_t)slots_reverse((exponent - 1) / 2, SLOTS_LOG_N);
    p->position[SLOTS_ROW + i] = (uint32_t)slots_reverse((2 * SLOTS_N - exponent - 1) / 2, SLOTS_LOG_N);
  }
  *out = p;
  return FUSION_OK;
}

void slots_plain_close(struct slots_plain *p) {
  if (!p) return;
  slots_table_free(&p->table);
  mem_free(p);
}

size_t slots_query_len(void) {
  return bits_len(SLOTS_POLY, SLOTS_PRIME_BITS);
}

size_t slots_answer_len(unsigned plain_bits) {
  return bits_len(SLOTS_N, plain_bits + SLOTS_C0_BITS) + bits_len(SLOTS_N, plain_bits + SLOTS_C1_BITS);
}

/* Slots to coefficients of the plaintext polynomial. */
static void from_slots(const struct slots *s, const struct slots_plain *plain, const uint64_t *slots, uint64_t *out) {
  for (size_t i = 0; i < SLOTS_N; i++) out[plain->position[i]] = slots[i];
  s->kernels->inverse(out, &plain->table);
}

/* rest[i] = q*m - t * round(q*m / t), in [-t/2, t/2], modulo t: the scaled plaintext is -rest / t modulo each prime. */
static void set_rest(const struct slots_plain *plain, uint64_t *m) {
  for (size_t i = 0; i < SLOTS_N; i++) m[i] = slots_multiply(m[i], plain->q_mod, &plain->table.m);
}

fusion_status slots_send_query(struct slots *s, const struct slots_plain *plain, const uint64_t *slots, uint64_t *work,
                               uint8_t *message) {
  fusion_status status = FUSION_OK;
  uint64_t *rest = work, *limb = work + SLOTS_N, *uniform = limb + SLOTS_N;
  int32_t *noise = (int32_t *)(void *)(uniform + SLOTS_N);
  const uint64_t t = plain->table.m.p;
  struct prg *stream = prg_fork(s->shared, "slots query", s->queries++);
  FAIL_IF(!stream, FUSION_E_MEMORY);
  from_slots(s, plain, slots, rest);
  set_rest(plain, rest);
  slots_draw_noise(s, noise);
  struct bit_writer w = {.out = message};
  for (size_t k = 0; k < SLOTS_LIMBS; k++) {
    const struct slots_modulus *m = &s->table[k].m;
    for (size_t i = 0; i < SLOTS_N; i++) {
      const uint64_t scaled = slots_multiply(slots_lift(-slots_centre(rest[i], t), m->p), plain->inverse_of[k], m);
      limb[i] = slots_add(scaled, slots_lift(noise[i], m->p), m->p);
    }
    s->kernels->forward(limb, &s->table[k]);
    slots_draw_uniform(stream, uniform, m->p);
    s->kernels->multiply(uniform, uniform, s->key + k * SLOTS_N, SLOTS_N, m);
    for (size_t i = 0; i < SLOTS_N; i++) limb[i] = slots_subtract(limb[i], uniform[i], m->p);
    bits_put_all(&w, limb, SLOTS_N, SLOTS_PRIME_BITS);
  }
  bits_finish(&w);
  secret_declassify(message, slots_query_len(), "a ciphertext");
  TRY(channel_send(s->channel, MSG_SLOTS_QUERY, message, slots_query_len()));
cleanup:
  prg_free(stream);
  return status;
}

/* c1 * s modulo 2^64 for centred c1: exact modulo two primes, whose product exceeds 2 N 2^(bits-1). out[0..N): c1, then
 * the product; second: [N]. */
static void multiply_by_key(const struct slots *s, uint64_t *out, uint64_t *second, unsigned bits) {
  const uint64_t p0 = slots_primes[0], p1 = slots_primes[1];
  const struct slots_modulus *m0 = &s->table[0].m, *m1 = &s->table[1].m;
  const uint64_t inverse = slots_inverse(p0 - p1, m1); /* p0 > p1, both are public */
  const uint64_t half = UINT64_C(1) << (bits - 1);
  for (size_t i = 0; i < SLOTS_N; i++) {
    /* v + multiple of p, as c1 - 2^bits may be below -p */
    const uint64_t lifted = (out[i] + half) & low_mask(bits);
    second[i] = slots_subtract(slots_reduce(lifted, m1), slots_reduce(half, m1), p1);
    out[i] = slots_subtract(slots_reduce(lifted, m0), slots_reduce(half, m0), p0);
  }
  for (size_t k = 0; k < 2; k++) {
    uint64_t *a = k ? second : out;
    s->kernels->forward(a, &s->table[k]);
    s->kernels->multiply(a, a, s->key + k * SLOTS_N, SLOTS_N, &s->table[k].m);
    s->kernels->inverse(a, &s->table[k]);
  }
  for (size_t i = 0; i < SLOTS_N; i++) {
    /* x = x0 + p0 * d, d in [0, p1); minus p0 p1 where d is above the middle. */
    const uint64_t difference = slots_subtract(second[i], slots_reduce(out[i], m1), p1);
    const int64_t digit = slots_centre(slots_multiply(difference, inverse, m1), p1);
    out[i] += p0 * (uint64_t)digit;
  }
}

fusion_status slots_receive_answer(struct slots *s, const struct slots_plain *plain, uint64_t *slots, uint64_t *work,
                                   uint8_t *message) {
  fusion_status status = FUSION_OK;
  const unsigned bits = plain->table.m.bits, wide = bits + SLOTS_C1_BITS;
  uint64_t *c0 = work, *c1 = work + SLOTS_N, *spare = c1 + SLOTS_N;
  TRY(channel_recv(s->channel, MSG_SLOTS_ANSWER, message, slots_answer_len(bits)));
  bits_unpack(c0, message, SLOTS_N, bits + SLOTS_C0_BITS);
  bits_unpack(c1, message + bits_len(SLOTS_N, bits + SLOTS_C0_BITS), SLOTS_N, wide);
  multiply_by_key(s, c1, spare, wide);
  for (size_t i = 0; i < SLOTS_N; i++) {
    const uint64_t phase = ((c0[i] << (SLOTS_C1_BITS - SLOTS_C0_BITS)) + c1[i]) & low_mask(wide);
    const slots_wide scaled = (slots_wide)phase * plain->table.m.p + ((slots_wide)1 << (wide - 1));
    spare[i] = slots_subtract_once((uint64_t)(scaled >> wide), plain->table.m.p);
  }
  s->kernels->forward(spare, &plain->table);
  for (size_t i = 0; i < SLOTS_N; i++) slots[i] = spare[plain->position[i]];
cleanup:
  return status;
}
