/* Keys: the client's fresh secret, its public key and rotation keys on the wire, and sampling. */
#include "base/bits.h"
#include "base/secret.h"
#include "slots/slots_draw.h"
#include "slots/slots_messages.h"

static size_t polys_len(size_t polys) {
  return bits_len(polys * SLOTS_N, SLOTS_PRIME_BITS);
}
static size_t key_len(void) {
  return PRG_SEED_LEN + polys_len(SLOTS_LIMBS);
}
static size_t rotation_len(void) {
  return polys_len((size_t)SLOTS_LIMBS * SLOTS_PRIMES);
}

bool slots_elements_add(struct slots_elements *e, uint32_t element) {
  for (size_t i = 0; i < e->count; i++)
    if (e->element[i] == element) return true;
  if (e->count == SLOTS_KEYS_MAX) return false;
  e->element[e->count++] = element;
  return true;
}

uint32_t slots_rotation_element(int64_t steps) {
  uint64_t element = 1, square = 3;
  for (uint64_t k = (uint64_t)steps & (SLOTS_ROW - 1); k; k >>= 1) {
    if (k & 1) element = element * square % (2 * SLOTS_N);
    square = square * square % (2 * SLOTS_N);
  }
  return (uint32_t)element;
}

void slots_draw_uniform(struct prg *stream, uint64_t *out, uint64_t p) {
  enum { CHUNK = 1024 };
  uint64_t words[CHUNK];
  /* Exactly as many words are drawn as are still missing, so both parties read the same stream. */
  for (size_t got = 0; got < SLOTS_N;) {
    const size_t count = size_min(CHUNK, SLOTS_N - got);
    prg_bytes(stream, words, count * sizeof *words);
    for (size_t i = 0; i < count; i++) {
      out[got] = words[i] & low_mask(SLOTS_PRIME_BITS);
      got += out[got] < p;
    }
  }
}

static void draw_small(struct slots *s, int32_t *out, void (*map)(int32_t *, const uint64_t *, size_t)) {
  enum { CHUNK = 512 };
  uint64_t random[CHUNK];
  for (size_t done = 0; done < SLOTS_N; done += CHUNK) {
    prg_bytes(s->secret, random, sizeof random);
    map(out + done, random, CHUNK);
  }
  mem_wipe(random, sizeof random);
}

void slots_draw_noise(struct slots *s, int32_t *out) {
  draw_small(s, out, lattice_kernels()->noise);
}
void slots_draw_ternary(struct slots *s, int32_t *out) {
  draw_small(s, out, lattice_kernels()->ternary);
}

void slots_small_forward(const struct slots *s, uint64_t *out, const int32_t *small, size_t limb) {
  for (size_t i = 0; i < SLOTS_N; i++) out[i] = slots_lift(small[i], s->table[limb].m.p);
  s->kernels->forward(out, &s->table[limb]);
}

fusion_status slots_get_residues(struct channel *c, struct bit_reader *b, uint64_t *out, size_t polys, size_t limbs) {
  bits_get_all(b, out, polys * SLOTS_N, SLOTS_PRIME_BITS);
  uint64_t outside = 0;
  for (size_t i = 0; i < polys * SLOTS_N; i++) outside |= (slots_primes[i / SLOTS_N % limbs] - 1 - out[i]) >> 63;
  if (!outside) return FUSION_OK;
  return channel_fail(c, FUSION_E_PEER, "'slot encryption': a value is not reduced; the peer is faulty");
}

/* out = noise - uniform * key (+ what the caller adds), transformed; uniform [N] of that limb. */
static void encrypt_zero(const struct slots *s, uint64_t *out, const uint64_t *uniform, const int32_t *noise,
                         uint64_t *work, size_t limb) {
  const struct slots_modulus *m = &s->table[limb].m;
  slots_small_forward(s, out, noise, limb);
  s->kernels->multiply(work, uniform, s->key + limb * SLOTS_N, SLOTS_N, m);
  for (size_t i = 0; i < SLOTS_N; i++) out[i] = slots_subtract(out[i], work[i], m->p);
}

static fusion_status send_public_key(struct slots *s) {
  fusion_status status = FUSION_OK;
  const size_t work_len = (4 + 1) * SLOTS_N * sizeof(uint64_t);
  uint8_t *message = mem_alloc(key_len() + BITS_SLACK, 1);
  uint64_t *work = mem_alloc(work_len, 1);
  struct prg *stream = NULL;
  FAIL_IF(!message || !work, FUSION_E_MEMORY);
  int32_t *small = (int32_t *)(void *)(work + (size_t)3 * SLOTS_N);
  slots_draw_ternary(s, small);
  for (size_t k = 0; k < SLOTS_PRIMES; k++) slots_small_forward(s, s->key + k * SLOTS_N, small, k);
  prg_bytes(s->secret, message, PRG_SEED_LEN);
  secret_declassify(message, PRG_SEED_LEN, "the seed of the uniform halves of keys and queries is public");
  s->shared = prg_new(message);
  FAIL_IF(!s->shared, FUSION_E_MEMORY);
  stream = prg_fork(s->shared, "slots key", 0);
  FAIL_IF(!stream, FUSION_E_MEMORY);
  slots_draw_noise(s, small);
  struct bit_writer w = {.out = message + PRG_SEED_LEN};
  for (size_t k = 0; k < SLOTS_LIMBS; k++) {
    slots_draw_uniform(stream, work, slots_primes[k]);
    encrypt_zero(s, work + SLOTS_N, work, small, work + (size_t)2 * SLOTS_N, k);
    bits_put_all(&w, work + SLOTS_N, SLOTS_N, SLOTS_PRIME_BITS);
  }
  bits_finish(&w);
  secret_declassify(message, key_len(), "a public key: RLWE samples");
  TRY(channel_send(s->channel, MSG_SLOTS_KEY, message, key_len()));
  TRY(channel_flush(s->channel));
cleanup:
  prg_free(stream);
  mem_free(message);
  mem_free_secret(work, work_len);
  return status;
}

static fusion_status receive_public_key(struct slots *s) {
  fusion_status status = FUSION_OK;
  uint8_t *message = mem_alloc(key_len() + BITS_SLACK, 1);
  struct prg *stream = NULL;
  for (size_t half = 0; half < 2; half++) s->public_key[half] = mem_alloc(SLOTS_POLY, sizeof(uint64_t));
  FAIL_IF(!message || !s->public_key[0] || !s->public_key[1], FUSION_E_MEMORY);
  TRY(channel_recv(s->channel, MSG_SLOTS_KEY, message, key_len()));
  s->shared = prg_new(message);
  FAIL_IF(!s->shared, FUSION_E_MEMORY);
  stream = prg_fork(s->shared, "slots key", 0);
  FAIL_IF(!stream, FUSION_E_MEMORY);
  struct bit_reader b = {.in = message + PRG_SEED_LEN};
  TRY(slots_get_residues(s->channel, &b, s->public_key[0], SLOTS_LIMBS, SLOTS_LIMBS));
  for (size_t k = 0; k < SLOTS_LIMBS; k++) slots_draw_uniform(stream, s->public_key[1] + k * SLOTS_N, slots_primes[k]);
cleanup:
  prg_free(stream);
  mem_free(message);
  return status;
}

/* (q / p_k)^-1 modulo p_k. */
static uint64_t punctured_inverse(const struct slots *s, size_t limb) {
  const struct slots_modulus *m = &s->table[limb].m;
  uint64_t rest = 1;
  for (size_t k = 0; k < SLOTS_LIMBS; k++)
    if (k != limb) rest = slots_multiply(rest, slots_reduce(slots_primes[k], m), m);
  return slots_inverse(rest, m);
}

fusion_status slots_open(struct slots **out, enum role role, struct channel *channel, const struct prg *seed) {
  fusion_status status = FUSION_OK;
  struct slots *s = mem_alloc(1, sizeof *s);
  *out = NULL;
  FAIL_IF(!s, FUSION_E_MEMORY);
  s->role = role;
  s->channel = channel;
  s->kernels = slots_kernels();
  s->secret = prg_fork(seed, "slots", role);
  FAIL_IF(!s->secret, FUSION_E_MEMORY);
  for (size_t k = 0; k < SLOTS_PRIMES; k++) TRY(slots_table_make(&s->table[k], SLOTS_LOG_N, slots_primes[k]));
  for (size_t k = 0; k < SLOTS_LIMBS; k++) {
    s->fraction[k] = slots_fraction_make(slots_primes[k]);
    s->punctured[k] = punctured_inverse(s, k);
  }
  if (role == ROLE_CLIENT) {
    s->key = key_alloc((size_t)SLOTS_PRIMES * SLOTS_N * sizeof *s->key);
    FAIL_IF(!s->key, FUSION_E_MEMORY);
  }
  TRY(role == ROLE_CLIENT ? send_public_key(s) : receive_public_key(s));
  *out = s;
  return FUSION_OK;
cleanup:
  slots_close(s);
  return status;
}

void slots_close(struct slots *s) {
  if (!s) return;
  for (size_t k = 0; k < SLOTS_PRIMES; k++) slots_table_free(&s->table[k]);
  for (size_t half = 0; half < 2; half++) mem_free(s->public_key[half]);
  for (size_t i = 0; i < s->elements.count; i++) {
    mem_free(s->rotation[i].permutation);
    for (size_t half = 0; half < 2; half++) mem_free(s->rotation[i].half[half]);
  }
  key_free(s->key);
  prg_free(s->secret);
  prg_free(s->shared);
  mem_free(s);
}

void slots_open_cost(struct cost *cost) {
  cost_to_server(cost, key_len());
}

size_t slots_memory(enum role role, size_t keys) {
  const size_t tables = (size_t)SLOTS_PRIMES * 8 * SLOTS_N * sizeof(uint64_t);
  const size_t polys = (size_t)SLOTS_LIMBS * SLOTS_PRIMES * SLOTS_N * sizeof(uint64_t);
  if (role == ROLE_CLIENT) return tables + polys + rotation_len() + sizeof(struct slots);
  return tables + 2 * polys * (keys + 1) + SLOTS_N * sizeof(uint32_t) * keys + rotation_len() + sizeof(struct slots);
}

/* Where the values of the automorphism's result come from. */
static uint32_t source_of(size_t at, uint32_t element) {
  const size_t exponent = (2 * slots_reverse(at, SLOTS_LOG_N) + 1) * element % (2 * SLOTS_N);
  return (uint32_t)slots_reverse((exponent - 1) / 2, SLOTS_LOG_N);
}

/* Digit i is encrypted as special * key' where the limb is i and as 0 elsewhere: digits times the idempotents of q's
 * primes make the whole (key': the key under the automorphism). */
static fusion_status send_rotation(struct slots *s, uint32_t element) {
  fusion_status status = FUSION_OK;
  const size_t work_len = (4 + 1) * SLOTS_N * sizeof(uint64_t);
  uint8_t *message = mem_alloc(rotation_len() + BITS_SLACK, 1);
  uint64_t *work = mem_alloc(work_len, 1);
  struct prg *stream = prg_fork(s->shared, "slots rotation", element);
  FAIL_IF(!message || !work || !stream, FUSION_E_MEMORY);
  uint64_t *uniform = work, *zero = work + SLOTS_N, *spare = zero + SLOTS_N;
  int32_t *small = (int32_t *)(void *)(spare + SLOTS_N);
  struct bit_writer w = {.out = message};
  for (size_t digit = 0; digit < SLOTS_LIMBS; digit++) {
    slots_draw_noise(s, small);
    for (size_t k = 0; k < SLOTS_PRIMES; k++) {
      const struct slots_modulus *m = &s->table[k].m;
      const uint64_t factor = k == digit ? slots_reduce(slots_primes[SLOTS_SPECIAL], m) : 0;
      slots_draw_uniform(stream, uniform, m->p);
      encrypt_zero(s, zero, uniform, small, spare, k);
      for (size_t i = 0; i < SLOTS_N; i++) {
        const uint64_t turned = s->key[k * SLOTS_N + source_of(i, element)];
        zero[i] = slots_add(zero[i], slots_multiply(turned, factor, m), m->p);
      }
      bits_put_all(&w, zero, SLOTS_N, SLOTS_PRIME_BITS);
    }
  }
  bits_finish(&w);
  secret_declassify(message, rotation_len(), "a rotation key: RLWE samples");
  TRY(channel_send(s->channel, MSG_SLOTS_ROTATION, message, rotation_len()));
cleanup:
  prg_free(stream);
  mem_free(message);
  mem_free_secret(work, work_len);
  return status;
}

static fusion_status receive_rotation(struct slots *s, uint32_t element, struct slots_rotation_key *key) {
  fusion_status status = FUSION_OK;
  const size_t polys = (size_t)SLOTS_LIMBS * SLOTS_PRIMES;
  uint8_t *message = mem_alloc(rotation_len() + BITS_SLACK, 1);
  struct prg *stream = prg_fork(s->shared, "slots rotation", element);
  key->permutation = mem_alloc(SLOTS_N, sizeof *key->permutation);
  for (size_t half = 0; half < 2; half++) key->half[half] = mem_alloc(polys * SLOTS_N, sizeof(uint64_t));
  FAIL_IF(!message || !stream || !key->permutation || !key->half[0] || !key->half[1], FUSION_E_MEMORY);
  TRY(channel_recv(s->channel, MSG_SLOTS_ROTATION, message, rotation_len()));
  struct bit_reader b = {.in = message};
  TRY(slots_get_residues(s->channel, &b, key->half[0], polys, SLOTS_PRIMES));
  for (size_t i = 0; i < polys; i++)
    slots_draw_uniform(stream, key->half[1] + i * SLOTS_N, slots_primes[i % SLOTS_PRIMES]);
  for (size_t i = 0; i < SLOTS_N; i++) key->permutation[i] = source_of(i, element);
cleanup:
  prg_free(stream);
  mem_free(message);
  return status;
}

fusion_status slots_add_rotations(struct slots *s, const struct slots_elements *wanted) {
  fusion_status status = FUSION_OK;
  for (size_t i = 0; i < wanted->count; i++) {
    const size_t before = s->elements.count;
    FAIL_IF(!slots_elements_add(&s->elements, wanted->element[i]), FUSION_E_INTERNAL);
    if (s->elements.count == before) continue;
    if (s->role == ROLE_CLIENT) TRY(send_rotation(s, wanted->element[i]));
    if (s->role == ROLE_SERVER) TRY(receive_rotation(s, wanted->element[i], &s->rotation[before]));
  }
cleanup:
  return status;
}

void slots_add_rotations_cost(struct cost *cost, struct slots_elements *have, const struct slots_elements *wanted) {
  for (size_t i = 0; i < wanted->count; i++) {
    const size_t before = have->count;
    if (slots_elements_add(have, wanted->element[i]) && have->count > before) cost_to_server(cost, rotation_len());
  }
}
