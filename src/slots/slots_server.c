/* The server's half of slot encryption: plaintexts, products, rotations, masked answers.
 *
 * Why an answer tells the client nothing of the weights but the masked product: c1 has a fresh encryption of zero under
 * the public key in it, so it is as good as uniform even where all weights are zero; c0 is what c1, the masked product
 * and the noise determine, and the noise is flooded with uniform values 2^SLOTS_FLOOD_BITS times as wide as its bound
 * (slots_layout.c). The client follows the protocol, so its keys and queries are what they should be. */
#include "base/secret.h"
#include "slots/slots_draw.h"
#include "slots/slots_messages.h"

fusion_status slots_receive_query(struct slots *s, uint64_t *cipher, uint8_t *message) {
  fusion_status status = FUSION_OK;
  struct prg *stream = prg_fork(s->shared, "slots query", s->queries++);
  FAIL_IF(!stream, FUSION_E_MEMORY);
  TRY(channel_recv(s->channel, MSG_SLOTS_QUERY, message, slots_query_len()));
  struct bit_reader b = {.in = message};
  TRY(slots_get_residues(s->channel, &b, cipher, SLOTS_LIMBS, SLOTS_LIMBS));
  for (size_t k = 0; k < SLOTS_LIMBS; k++)
    slots_draw_uniform(stream, cipher + SLOTS_POLY + k * SLOTS_N, slots_primes[k]);
cleanup:
  prg_free(stream);
  return status;
}

void slots_encode(const struct slots *s, const struct slots_plain *plain, const uint64_t *slots, uint64_t *out,
                  uint64_t *work) {
  const uint64_t t = plain->table.m.p;
  for (size_t i = 0; i < SLOTS_N; i++) work[plain->position[i]] = slots[i];
  s->kernels->inverse(work, &plain->table);
  for (size_t k = 0; k < SLOTS_LIMBS; k++) {
    uint64_t *limb = out + k * SLOTS_N;
    for (size_t i = 0; i < SLOTS_N; i++) limb[i] = slots_lift(slots_centre(work[i], t), slots_primes[k]);
    s->kernels->forward(limb, &s->table[k]);
  }
}

void slots_multiply_add(const struct slots *s, uint64_t *sum, const uint64_t *plaintext, const uint64_t *cipher) {
  for (size_t j = 0; j < 2 * SLOTS_LIMBS; j++) {
    const size_t k = j % SLOTS_LIMBS;
    s->kernels->multiply_add(sum + j * SLOTS_N, plaintext + k * SLOTS_N, cipher + j * SLOTS_N, SLOTS_N, &s->table[k].m);
  }
}

void slots_add_cipher(const struct slots *s, uint64_t *sum, const uint64_t *cipher) {
  (void)s; /* the primes are the same for all */
  for (size_t j = 0; j < 2 * SLOTS_LIMBS; j++) {
    const uint64_t p = slots_primes[j % SLOTS_LIMBS];
    for (size_t i = j * SLOTS_N; i < (j + 1) * SLOTS_N; i++) sum[i] = slots_add(sum[i], cipher[i], p);
  }
}

static const struct slots_rotation_key *find_key(const struct slots *s, uint32_t element) {
  size_t i = 0;
  while (s->elements.element[i] != element) i++; /* it is there: the layout asked for it */
  return &s->rotation[i];
}

/* sum[2][SLOTS_PRIMES][N] += digit * its part of the key. `digit`: coefficients below the digit's prime; `transformed`:
 * the same modulo that prime, transformed. */
static void add_digit(const struct slots *s, uint64_t *sum, const uint64_t *digit, const uint64_t *transformed,
                      const struct slots_rotation_key *key, size_t number, uint64_t *work) {
  for (size_t k = 0; k < SLOTS_PRIMES; k++) {
    const struct slots_modulus *m = &s->table[k].m;
    const uint64_t *a = transformed;
    if (k != number) {
      const uint64_t p = slots_primes[number];
      for (size_t i = 0; i < SLOTS_N; i++) work[i] = slots_lift(slots_centre(digit[i], p), m->p);
      s->kernels->forward(work, &s->table[k]);
      a = work;
    }
    for (size_t half = 0; half < 2; half++)
      s->kernels->multiply_add(sum + (half * SLOTS_PRIMES + k) * SLOTS_N, a,
                               key->half[half] + (number * SLOTS_PRIMES + k) * SLOTS_N, SLOTS_N, m);
  }
}

/* out[SLOTS_LIMBS][N] = round(sum / special), transformed; sum[SLOTS_PRIMES][N] is overwritten. */
static void divide_special(const struct slots *s, uint64_t *out, uint64_t *sum, uint64_t *work) {
  uint64_t *top = sum + (size_t)SLOTS_SPECIAL * SLOTS_N;
  const uint64_t special = slots_primes[SLOTS_SPECIAL];
  s->kernels->inverse(top, &s->table[SLOTS_SPECIAL]);
  for (size_t k = 0; k < SLOTS_LIMBS; k++) {
    const struct slots_modulus *m = &s->table[k].m;
    const uint64_t inverse = slots_inverse(slots_reduce(special, m), m), shoup = slots_shoup(inverse, m->p);
    for (size_t i = 0; i < SLOTS_N; i++) work[i] = slots_lift(slots_centre(top[i], special), m->p);
    s->kernels->forward(work, &s->table[k]);
    for (size_t i = k * SLOTS_N; i < (k + 1) * SLOTS_N; i++) {
      const uint64_t v = slots_subtract(sum[i], work[i - k * SLOTS_N], m->p);
      out[i] = slots_subtract_once(slots_multiply_shoup(v, inverse, shoup, m->p), m->p);
    }
  }
}

void slots_rotate(const struct slots *s, uint64_t *out, const uint64_t *cipher, uint32_t element, uint64_t *work) {
  const struct slots_rotation_key *key = find_key(s, element);
  uint64_t *turned = work, *digit = turned + SLOTS_CIPHER, *sum = digit + SLOTS_N;
  uint64_t *spare = sum + (size_t)2 * SLOTS_PRIMES * SLOTS_N;
  for (size_t j = 0; j < 2 * SLOTS_LIMBS; j++)
    for (size_t i = 0; i < SLOTS_N; i++) turned[j * SLOTS_N + i] = cipher[j * SLOTS_N + key->permutation[i]];
  memset(sum, 0, (size_t)2 * SLOTS_PRIMES * SLOTS_N * sizeof *sum);
  for (size_t k = 0; k < SLOTS_LIMBS; k++) {
    const uint64_t *c1 = turned + SLOTS_POLY + k * SLOTS_N;
    memcpy(digit, c1, SLOTS_N * sizeof *digit);
    s->kernels->inverse(digit, &s->table[k]);
    add_digit(s, sum, digit, c1, key, k, spare);
  }
  divide_special(s, out, sum, spare);
  divide_special(s, out + SLOTS_POLY, sum + (size_t)SLOTS_PRIMES * SLOTS_N, spare);
  for (size_t k = 0; k < SLOTS_LIMBS; k++)
    for (size_t i = k * SLOTS_N; i < (k + 1) * SLOTS_N; i++) out[i] = slots_add(out[i], turned[i], slots_primes[k]);
}

/* cipher += u * public key, transformed, with a fresh u. */
static void add_zero(struct slots *s, uint64_t *cipher, int32_t *small, uint64_t *work) {
  slots_draw_ternary(s, small);
  for (size_t k = 0; k < SLOTS_LIMBS; k++) {
    slots_small_forward(s, work, small, k);
    for (size_t half = 0; half < 2; half++)
      s->kernels->multiply_add(cipher + half * SLOTS_POLY + k * SLOTS_N, work, s->public_key[half] + k * SLOTS_N,
                               SLOTS_N, &s->table[k].m);
  }
}

/* Coefficients of a polynomial plus fresh noise, to residues of which the sum of y_k / p_k is c / q modulo 1. */
static void to_fractions(struct slots *s, uint64_t *poly, int32_t *small) {
  slots_draw_noise(s, small);
  for (size_t k = 0; k < SLOTS_LIMBS; k++) {
    const struct slots_modulus *m = &s->table[k].m;
    uint64_t *limb = poly + k * SLOTS_N;
    s->kernels->inverse(limb, &s->table[k]);
    for (size_t i = 0; i < SLOTS_N; i++)
      limb[i] = slots_multiply(slots_add(limb[i], slots_lift(small[i], m->p), m->p), s->punctured[k], m);
  }
}

static inline slots_wide fraction_at(const struct slots *s, const uint64_t *poly, size_t i) {
  slots_wide sum = 0;
  for (size_t k = 0; k < SLOTS_LIMBS; k++) sum += slots_fraction_of(poly[k * SLOTS_N + i], &s->fraction[k]);
  return sum;
}

/* The highest bits of a fraction, rounded. */
static inline uint64_t top_bits(slots_wide fraction, unsigned bits) {
  return (uint64_t)((fraction + ((slots_wide)1 << (127 - bits))) >> (128 - bits));
}

/* mask[i] uniform below t to within 2^-80: t times a fraction of 128 random bits. */
static void draw_mask(struct slots *s, const struct slots_plain *plain, uint64_t *mask, uint64_t *random) {
  const uint64_t t = plain->table.m.p;
  for (size_t half = 0; half < 2; half++) {
    prg_bytes(s->secret, random, SLOTS_N * sizeof *random);
    for (size_t i = 0; i < SLOTS_N / 2; i++) {
      const uint64_t low = (uint64_t)(((slots_wide)random[2 * i] * t) >> 64);
      mask[half * SLOTS_N / 2 + i] = (uint64_t)(((slots_wide)random[2 * i + 1] * t + low) >> 64);
    }
  }
}

/* c0 less the mask, flooded and rounded. */
static void mask_c0(struct slots *s, const struct slots_plain *plain, uint64_t *cipher, const uint64_t *mask,
                    uint64_t *random) {
  const unsigned bits = plain->table.m.bits, shift = bits + SLOTS_FLOOD_SHIFT;
  for (size_t half = 0; half < 2; half++) {
    prg_bytes(s->secret, random, SLOTS_N * sizeof *random);
    for (size_t j = 0; j < SLOTS_N / 2; j++) {
      const size_t i = half * SLOTS_N / 2 + j;
      const slots_wide any = (slots_wide)random[2 * j] << 64 | random[2 * j + 1];
      const slots_wide flood = (any >> shift) - ((slots_wide)1 << (127 - shift));
      const slots_wide c0 = fraction_at(s, cipher, i) - slots_fraction_of(mask[i], &plain->fraction) + flood;
      cipher[i] = top_bits(c0, bits + SLOTS_C0_BITS);
    }
  }
}

fusion_status slots_send_answer(struct slots *s, const struct slots_plain *plain, uint64_t *cipher, uint64_t *slots,
                                uint64_t *work, uint8_t *message) {
  fusion_status status = FUSION_OK;
  const unsigned bits = plain->table.m.bits;
  uint64_t *mask = work, *spare = mask + SLOTS_N;
  int32_t *small = (int32_t *)(void *)(spare + SLOTS_N);
  uint64_t *c1 = cipher + SLOTS_POLY;
  add_zero(s, cipher, small, spare);
  to_fractions(s, cipher, small);
  to_fractions(s, c1, small);
  draw_mask(s, plain, mask, spare);
  mask_c0(s, plain, cipher, mask, spare);
  for (size_t i = 0; i < SLOTS_N; i++) c1[i] = top_bits(fraction_at(s, c1, i), bits + SLOTS_C1_BITS);
  bits_pack(message, cipher, SLOTS_N, bits + SLOTS_C0_BITS);
  bits_pack(message + bits_len(SLOTS_N, bits + SLOTS_C0_BITS), c1, SLOTS_N, bits + SLOTS_C1_BITS);
  secret_declassify(message, slots_answer_len(bits), "a re-randomised ciphertext less a uniform mask, noise flooded");
  s->kernels->forward(mask, &plain->table);
  for (size_t i = 0; i < SLOTS_N; i++) slots[i] = mask[plain->position[i]];
  TRY(channel_send(s->channel, MSG_SLOTS_ANSWER, message, slots_answer_len(bits)));
cleanup:
  return status;
}
