/* Keys: the client's fresh secrets, its public keys on the wire, and sampling.
 *
 * The public keys of one N have their c1 in common, as the queries of a bundle of tiles have theirs: samples of several
 * secrets on the same uniform polynomials. Replacing one secret's samples after the other by uniform ones shows that
 * whoever tells all from uniform tells those of one secret, with at least 1/keys of the advantage (Peikert,
 * Vaikuntanathan, Waters, CRYPTO 2008, do the same to encrypt several messages at once). */
#include "lattice/rlwe.h"

#include "base/bits.h"
#include "base/secret.h"
#include "lattice/galois.h"
#include "lattice/interleave.h"
#include "lattice/lattice_messages.h"
#include "lattice/workspace.h"

static size_t ring_payload_len(const struct rlwe_keys *keys, size_t ring) {
  return bits_len((keys->of_ring[ring] * rlwe_ring_limbs[ring]) << rlwe_ring_log_n[ring], RLWE_LIMB_BITS);
}

static size_t key_payload_len(const struct rlwe_keys *keys) {
  size_t len = PRG_SEED_LEN;
  for (size_t ring = 0; ring < RLWE_RINGS; ring++) len += ring_payload_len(keys, ring);
  return len;
}

uint64_t rlwe_q_low(const struct rlwe_params *params) {
  uint64_t q = 1;
  for (size_t k = 0; k < params->limbs; k++) q *= rlwe_primes[k];
  return q;
}

uint32_t rlwe_switch_factor(const struct rlwe_params *params, size_t limb) {
  const uint32_t p = rlwe_primes[limb];
  uint64_t rest = 1;
  for (size_t k = 0; k < params->limbs; k++)
    if (k != limb) rest = rest * (rlwe_primes[k] % p) % p;
  return (uint32_t)(((uint64_t)mod_inverse((uint32_t)rest, p) << 32) % p);
}

void rlwe_expand_uniform(const struct rlwe *r, const struct rlwe_params *params, struct prg *stream, uint32_t *out) {
  enum { CHUNK = 1024 };
  _Alignas(64) uint32_t words[CHUNK];
  for (size_t limb = 0; limb < params->limbs; limb++) {
    uint32_t *at = out + limb * params->n;
    /* Exactly as many words are drawn as are still missing, so both parties read the same stream. */
    for (size_t got = 0; got < params->n;) {
      const size_t count = size_min(CHUNK, params->n - got);
      prg_bytes(stream, words, count * sizeof *words);
      got += r->kernels->accept_below(at + got, count, words, count, r->moduli[limb].p);
    }
  }
}

static void draw(struct rlwe *r, int32_t *out, size_t count, void (*map)(int32_t *, const uint64_t *, size_t)) {
  enum { CHUNK = 512 };
  _Alignas(64) uint64_t random[CHUNK];
  for (size_t done = 0; done < count; done += CHUNK) {
    const size_t n = size_min(CHUNK, count - done);
    prg_bytes(r->secret, random, n * sizeof *random);
    map(out + done, random, n);
  }
  mem_wipe(random, sizeof random);
}

void rlwe_draw_noise(struct rlwe *r, int32_t *out, size_t count) {
  draw(r, out, count, r->kernels->noise);
}
void rlwe_draw_ternary(struct rlwe *r, int32_t *out, size_t count) {
  draw(r, out, count, r->kernels->ternary);
}

/* A session may do without an N, with its keys for interleaving or for products of matrices. */
static bool ring_used(const struct rlwe_keys *keys, size_t ring) {
  return keys->of_ring[ring] || (ring == interleave_keys[0].ring ? keys->turns : keys->levels);
}

static fusion_status rlwe_new(struct rlwe **out, enum role role, struct channel *channel, const struct prg *seed,
                              const struct rlwe_keys *keys) {
  fusion_status status = FUSION_OK;
  struct rlwe *r = mem_alloc(1, sizeof *r);
  if (!r) return FUSION_E_MEMORY;
  r->role = role;
  r->channel = channel;
  r->keys = *keys;
  r->kernels = lattice_kernels();
  r->secret = prg_fork(seed, "rlwe", role);
  FAIL_IF(!r->secret, FUSION_E_MEMORY);
  for (size_t k = 0; k < RLWE_LIMBS_MAX; k++) r->moduli[k] = mod_make(rlwe_primes[k]);
  for (size_t ring = 0; ring < RLWE_RINGS; ring++)
    for (size_t k = 0; k < RLWE_LIMBS_MAX && ring_used(keys, ring); k++)
      TRY(ntt_table_make(&r->ntt[ring][k], rlwe_ring_log_n[ring], rlwe_primes[k], rlwe_roots[k]));
cleanup:
  if (status != FUSION_OK) {
    rlwe_close(r);
    r = NULL;
  }
  *out = r;
  return status;
}

void rlwe_lift(const struct rlwe *r, uint32_t *out, const int32_t *small, size_t ring, size_t limb) {
  const size_t n = (size_t)1 << rlwe_ring_log_n[ring];
  r->kernels->lift(out, small, n, &r->moduli[limb]);
  r->kernels->ntt_forward(out, &r->ntt[ring][limb]);
}

void rlwe_to_montgomery(const struct rlwe *r, uint32_t *a, size_t n, size_t limb) {
  const struct modulus *m = &r->moduli[limb];
  for (size_t i = 0; i < n; i++) a[i] = mod_multiply_montgomery(a[i], m->r2, m);
}

static const struct rlwe_params *ring_params(size_t ring) {
  return rlwe_params_find(ring == 0 ? 1 : RLWE_SETS);
}

/* Fresh secrets for one ring, and their public keys c0 = e - c1*s (transformed, packed by 26 bits) into `out`. */
static fusion_status make_keys(struct rlwe *r, size_t ring, uint8_t *out) {
  fusion_status status = FUSION_OK;
  const struct rlwe_params *params = ring_params(ring);
  const size_t n = params->n, count = r->keys.of_ring[ring];
  struct prg *stream = prg_fork(r->shared, "key", ring);
  int32_t *small = mem_alloc(2 * n, sizeof *small);
  uint32_t *uniform = mem_alloc(params->limbs * n, sizeof *uniform), *work = mem_alloc(2 * n, sizeof *work);
  r->key[ring] = key_alloc(size_max(1, count) * RLWE_LIMBS_MAX * n * sizeof(uint32_t));
  FAIL_IF(!stream || !small || !uniform || !work || !r->key[ring], FUSION_E_MEMORY);
  rlwe_expand_uniform(r, params, stream, uniform);
  struct bit_writer w = {.out = out};
  for (size_t j = 0; j < count * RLWE_LIMBS_MAX; j++) {
    const size_t k = j % RLWE_LIMBS_MAX;
    uint32_t *key = r->key[ring] + j * n;
    if (k == 0) {
      rlwe_draw_ternary(r, small, n);
      rlwe_draw_noise(r, small + n, n);
    }
    rlwe_lift(r, key, small, ring, k);
    rlwe_to_montgomery(r, key, n, k);
    if (k >= params->limbs) continue;
    rlwe_lift(r, work, small + n, ring, k);
    r->kernels->multiply(work + n, uniform + k * n, key, n, &r->moduli[k]);
    for (size_t i = 0; i < n; i++) {
      const uint32_t p = r->moduli[k].p;
      bits_put(&w, mod_subtract_once(work[i] + p - work[n + i], p), RLWE_LIMB_BITS);
    }
  }
  bits_finish(&w);
cleanup:
  prg_free(stream);
  mem_free_secret(small, 2 * n * sizeof *small);
  mem_free_secret(work, 2 * n * sizeof *work);
  mem_free(uniform);
  return status;
}

static fusion_status read_keys(struct rlwe *r, size_t ring, const uint8_t *in) {
  fusion_status status = FUSION_OK;
  const struct rlwe_params *params = ring_params(ring);
  const size_t n = params->n, polys[2] = {r->keys.of_ring[ring] * params->limbs, params->limbs};
  struct prg *stream = prg_fork(r->shared, "key", ring);
  for (size_t half = 0; half < 2; half++) r->public_key[ring][half] = mem_alloc(polys[half] * n, sizeof(uint32_t));
  FAIL_IF(!stream || !r->public_key[ring][0] || !r->public_key[ring][1], FUSION_E_MEMORY);
  struct bit_reader b = {.in = in};
  for (size_t i = 0; i < polys[0] * n; i++) {
    const uint32_t v = (uint32_t)bits_get(&b, RLWE_LIMB_BITS);
    if (v >= rlwe_primes[i / n % params->limbs]) {
      status = channel_fail(r->channel, FUSION_E_PEER, "'public key': a value is not reduced; the peer is faulty");
      goto cleanup;
    }
    r->public_key[ring][0][i] = v;
  }
  rlwe_expand_uniform(r, params, stream, r->public_key[ring][1]);
  for (size_t half = 0; half < 2; half++)
    for (size_t j = 0; j < polys[half]; j++)
      rlwe_to_montgomery(r, r->public_key[ring][half] + j * n, n, j % params->limbs);
cleanup:
  prg_free(stream);
  return status;
}

/* ---- opening: the client makes keys, the server has them from the channel, or from a prepared run's state ---- */

/* Fresh keys, and the payload of their message: always the same of the same seed. */
static fusion_status make_client(struct rlwe **out, struct channel *channel, const struct prg *seed,
                                 const struct rlwe_keys *keys, uint8_t *payload) {
  fusion_status status = FUSION_OK;
  struct rlwe *r = NULL;
  TRY(rlwe_new(&r, ROLE_CLIENT, channel, seed, keys));
  prg_bytes(r->secret, payload, PRG_SEED_LEN);
  secret_declassify(payload, PRG_SEED_LEN, "the seed of the uniform halves of keys and queries is public");
  r->shared = prg_new(payload);
  FAIL_IF(!r->shared, FUSION_E_MEMORY);
  uint8_t *at = payload + PRG_SEED_LEN;
  for (size_t ring = 0; ring < RLWE_RINGS; ring++) {
    if (ring_used(keys, ring)) TRY(make_keys(r, ring, at));
    at += ring_payload_len(keys, ring);
  }
cleanup:
  if (status != FUSION_OK) {
    rlwe_close(r);
    r = NULL;
  }
  *out = r;
  return status;
}

fusion_status rlwe_open_client(struct rlwe **out, struct channel *channel, const struct prg *seed,
                               const struct rlwe_keys *keys) {
  fusion_status status = FUSION_OK;
  struct rlwe *r = NULL;
  const size_t len = key_payload_len(keys);
  uint8_t *payload = mem_alloc(len + BITS_SLACK, 1);
  FAIL_IF(!payload, FUSION_E_MEMORY);
  TRY(make_client(&r, channel, seed, keys, payload));
  secret_declassify(payload, len, "public keys: RLWE samples");
  TRY(channel_send(channel, MSG_RLWE_KEY, payload, len));
  TRY(channel_flush(channel));
  TRY(turn_key_send(r, &galois_keys, r->keys.levels, 1));
  TRY(turn_key_send(r, &interleave_keys[r->keys.cut], r->keys.turns, r->keys.turned));
cleanup:
  mem_free(payload);
  if (status != FUSION_OK) {
    rlwe_close(r);
    r = NULL;
  }
  *out = r;
  return status;
}

/* Payloads of the three messages, one behind the other. */
static size_t payloads_len(const struct rlwe_keys *keys) {
  return key_payload_len(keys) + turn_key_len(&galois_keys, keys->levels, 1) +
         turn_key_len(&interleave_keys[keys->cut], keys->turns, keys->turned);
}

static fusion_status receive_payloads(struct channel *channel, const struct rlwe_keys *keys, uint8_t *payloads) {
  fusion_status status = FUSION_OK;
  const size_t key_len = key_payload_len(keys), galois_len = turn_key_len(&galois_keys, keys->levels, 1);
  const size_t turn_len = turn_key_len(&interleave_keys[keys->cut], keys->turns, keys->turned);
  TRY(channel_recv(channel, MSG_RLWE_KEY, payloads, key_len));
  if (keys->levels) TRY(channel_recv(channel, MSG_RLWE_GALOIS, payloads + key_len, galois_len));
  if (keys->turns) TRY(channel_recv(channel, MSG_RLWE_TURN, payloads + key_len + galois_len, turn_len));
cleanup:
  return status;
}

static fusion_status take_payloads(struct rlwe **out, struct channel *channel, const struct prg *seed,
                                   const struct rlwe_keys *keys, const uint8_t *payloads) {
  fusion_status status = FUSION_OK;
  struct rlwe *r = NULL;
  TRY(rlwe_new(&r, ROLE_SERVER, channel, seed, keys));
  r->shared = prg_new(payloads);
  FAIL_IF(!r->shared, FUSION_E_MEMORY);
  const uint8_t *at = payloads + PRG_SEED_LEN;
  for (size_t ring = 0; ring < RLWE_RINGS; ring++) {
    if (ring_used(keys, ring)) TRY(read_keys(r, ring, at));
    at += ring_payload_len(keys, ring);
  }
  TRY(turn_key_take(r, &galois_keys, keys->levels, 1, at, &r->galois));
  TRY(interleave_take(r, at + turn_key_len(&galois_keys, keys->levels, 1)));
cleanup:
  if (status != FUSION_OK) {
    rlwe_close(r);
    r = NULL;
  }
  *out = r;
  return status;
}

fusion_status rlwe_open_server(struct rlwe **out, struct channel *channel, const struct prg *seed,
                               const struct rlwe_keys *keys) {
  uint8_t *payloads = mem_alloc(payloads_len(keys) + BITS_SLACK, 1);
  *out = NULL;
  if (!payloads) return FUSION_E_MEMORY;
  fusion_status status = receive_payloads(channel, keys, payloads);
  if (status == FUSION_OK) status = take_payloads(out, channel, seed, keys, payloads);
  mem_free(payloads);
  return status;
}

fusion_status rlwe_stock_client(struct channel *channel, const struct prg *seed, const struct rlwe_keys *keys,
                                const struct byte_stream *to) {
  fusion_status status = FUSION_OK;
  struct rlwe *r = NULL;
  uint8_t kept[PRG_SEED_LEN];
  struct prg *drawn = prg_fork(seed, "rlwe stock", 0), *own = NULL;
  FAIL_IF(!drawn, FUSION_E_MEMORY);
  prg_bytes(drawn, kept, sizeof kept);
  own = prg_new(kept);
  FAIL_IF(!own, FUSION_E_MEMORY);
  TRY(rlwe_open_client(&r, channel, own, keys));
  TRY(stream_write(to, kept, sizeof kept));
cleanup:
  rlwe_close(r);
  prg_free(own);
  prg_free(drawn);
  mem_wipe(kept, sizeof kept);
  return status;
}

fusion_status rlwe_stock_server(struct channel *channel, const struct prg *seed, const struct rlwe_keys *keys,
                                const struct byte_stream *to) {
  fusion_status status = FUSION_OK;
  struct rlwe *r = NULL;
  const size_t len = payloads_len(keys);
  uint8_t *payloads = mem_alloc(len + BITS_SLACK, 1);
  FAIL_IF(!payloads, FUSION_E_MEMORY);
  TRY(receive_payloads(channel, keys, payloads));
  TRY(take_payloads(&r, channel, seed, keys, payloads)); /* refuses bad keys while there is no input */
  TRY(stream_write(to, payloads, len));
cleanup:
  rlwe_close(r);
  mem_free(payloads);
  return status;
}

fusion_status rlwe_begin_client(struct rlwe **out, struct channel *channel, const struct prg *seed,
                                const struct rlwe_keys *keys, const struct byte_stream *from) {
  fusion_status status = FUSION_OK;
  uint8_t kept[PRG_SEED_LEN];
  struct prg *own = NULL;
  uint8_t *payload = mem_alloc(key_payload_len(keys) + BITS_SLACK, 1);
  *out = NULL;
  FAIL_IF(!payload, FUSION_E_MEMORY);
  TRY(stream_read(from, kept, sizeof kept));
  own = prg_new(kept);
  FAIL_IF(!own, FUSION_E_MEMORY);
  TRY(make_client(out, channel, own, keys, payload));
  /* The noise of the keys was the last that this generator gave: queries have another. */
  prg_free((*out)->secret);
  (*out)->secret = prg_fork(seed, "rlwe", ROLE_CLIENT);
  FAIL_IF(!(*out)->secret, FUSION_E_MEMORY);
cleanup:
  if (status != FUSION_OK) {
    rlwe_close(*out);
    *out = NULL;
  }
  prg_free(own);
  mem_free(payload);
  mem_wipe(kept, sizeof kept);
  return status;
}

fusion_status rlwe_begin_server(struct rlwe **out, struct channel *channel, const struct prg *seed,
                                const struct rlwe_keys *keys, const struct byte_stream *from) {
  const size_t len = payloads_len(keys);
  uint8_t *payloads = mem_alloc(len + BITS_SLACK, 1);
  *out = NULL;
  if (!payloads) return FUSION_E_MEMORY;
  fusion_status status = stream_read(from, payloads, len);
  if (status == FUSION_OK) status = take_payloads(out, channel, seed, keys, payloads);
  mem_free(payloads);
  return status;
}

void rlwe_stock_cost(struct cost *cost, const struct rlwe_keys *keys) {
  rlwe_open_cost(cost, keys);
  cost->prepared_client += PRG_SEED_LEN;
  cost->prepared_server += payloads_len(keys);
}

size_t rlwe_memory(const struct rlwe_keys *keys, enum role role) {
  size_t len = payloads_len(keys);
  for (size_t ring = 0; ring < RLWE_RINGS; ring++) {
    const size_t own = keys->of_ring[ring] * RLWE_LIMBS_MAX, public = (keys->of_ring[ring] + 1) * rlwe_ring_limbs[ring];
    len += (role == ROLE_CLIENT ? own : public) * sizeof(uint32_t) << rlwe_ring_log_n[ring];
  }
  if (role == ROLE_CLIENT) return len;
  return len + turn_key_memory(&galois_keys, keys->levels, 1) + interleave_memory(keys);
}

fusion_status rlwe_workspace(struct rlwe *r, size_t len, struct workspace *out) {
  if (len > r->workspace_len) {
    mem_free(r->workspace); /* every layer wiped its secrets */
    r->workspace_len = 0;
    r->workspace = mem_alloc(len, 1);
    if (!r->workspace) return FUSION_E_MEMORY;
    r->workspace_len = len;
  }
  *out = (struct workspace){.base = r->workspace};
  return FUSION_OK;
}

void rlwe_workspace_wipe(struct rlwe *r, size_t len) {
  mem_wipe(r->workspace, size_min(len, r->workspace_len));
}

void rlwe_set_meanwhile(struct rlwe *r, struct rlwe_meanwhile work) {
  r->meanwhile = work;
}

fusion_status rlwe_do_meanwhile(struct rlwe *r) {
  const struct rlwe_meanwhile work = r->meanwhile;
  r->meanwhile = (struct rlwe_meanwhile){.run = NULL};
  return work.run ? work.run(work.context) : FUSION_OK;
}

void rlwe_open_cost(struct cost *cost, const struct rlwe_keys *keys) {
  cost_to_server(cost, key_payload_len(keys));
  if (keys->levels) cost_to_server(cost, turn_key_len(&galois_keys, keys->levels, 1));
  if (keys->turns) cost_to_server(cost, turn_key_len(&interleave_keys[keys->cut], keys->turns, keys->turned));
}

void rlwe_close(struct rlwe *r) {
  if (!r) return;
  for (size_t ring = 0; ring < RLWE_RINGS; ring++) {
    key_free(r->key[ring]);
    for (size_t half = 0; half < 2; half++) mem_free(r->public_key[ring][half]);
    for (size_t k = 0; k < RLWE_LIMBS_MAX; k++) ntt_table_free(&r->ntt[ring][k]);
  }
  mem_free(r->galois);
  mem_free(r->turn_key);
  mem_free(r->turn_shift);
  mem_free(r->turn_order);
  linear_drop_ahead(r);
  mem_free(r->workspace);
  prg_free(r->secret);
  prg_free(r->shared);
  mem_free(r);
}
