#include "ot/base_ot.h"

#include <sodium.h>

#include "base/secret.h"
#include "ot/ot_messages.h"

enum {
  POINT_LEN = crypto_core_ristretto255_BYTES,
  SCALAR_LEN = crypto_core_ristretto255_SCALARBYTES,
  HASH_LEN = 64,
  PIECE = BASE_OT_PIECE,
};

static_assert(POINT_LEN == 32 && SCALAR_LEN == 32, "message lengths in base_ot.h");

/* Secret exponents, and for the receiver its choices, in one guarded piece. */
struct base_ot_sender {
  struct base_ot_id id;
  struct channel *channel;
  size_t count;
  uint8_t *scalars; /* count * SCALAR_LEN, secret */
  uint8_t *points;  /* what was sent */
};

struct base_ot_receiver {
  struct base_ot_id id;
  struct channel *channel;
  size_t count;
  uint8_t *scalars; /* count * SCALAR_LEN, secret; then count choice bits */
  uint8_t *points;  /* what was sent */
};

/* Every hash starts with what makes it unique: purpose, number (of the points, or the session), direction, index,
 * branch. */
static void hash_start(crypto_generichash_state *hash, const char purpose[16], uint64_t number, enum role sender,
                       size_t index, uint8_t branch, size_t out_len) {
  uint8_t head[16 + 8 + 8 + 2];
  memcpy(head, purpose, 16);
  for (int i = 0; i < 8; i++) {
    head[16 + i] = (uint8_t)(number >> (8 * i));
    head[24 + i] = (uint8_t)((uint64_t)index >> (8 * i));
  }
  head[32] = sender == ROLE_CLIENT;
  head[33] = branch;
  crypto_generichash_init(hash, NULL, 0, out_len);
  crypto_generichash_update(hash, head, sizeof head);
}

/* H_branch(other point): a group element of which nobody knows the logarithm. `branch` may be secret. */
static void hash_to_group(uint8_t out[POINT_LEN], struct base_ot_id id, size_t index, uint8_t branch,
                          const uint8_t other[POINT_LEN]) {
  crypto_generichash_state hash;
  uint8_t wide[HASH_LEN];
  hash_start(&hash, "fusion-baseot-g1", id.points, id.sender, index, branch, sizeof wide);
  crypto_generichash_update(&hash, other, POINT_LEN);
  crypto_generichash_final(&hash, wide, sizeof wide);
  crypto_core_ristretto255_from_hash(out, wide);
  mem_wipe(&hash, sizeof hash);
  mem_wipe(wide, sizeof wide);
}

/* The key of one branch: hash of the shared point and of everything that was sent for this OT. */
static block derive_key(uint64_t session, enum role sender, size_t index, uint8_t branch,
                        const uint8_t shared[POINT_LEN], const uint8_t sent_by_sender[POINT_LEN],
                        const uint8_t sent_by_receiver[2 * POINT_LEN]) {
  crypto_generichash_state hash;
  block key;
  hash_start(&hash, "fusion-baseot-k1", session, sender, index, branch, sizeof key);
  crypto_generichash_update(&hash, shared, POINT_LEN);
  crypto_generichash_update(&hash, sent_by_sender, POINT_LEN);
  crypto_generichash_update(&hash, sent_by_receiver, 2 * POINT_LEN);
  crypto_generichash_final(&hash, (uint8_t *)&key, sizeof key);
  mem_wipe(&hash, sizeof hash);
  return key;
}

static void random_scalar(uint8_t out[SCALAR_LEN], struct prg *prg) {
  uint8_t wide[HASH_LEN];
  prg_bytes(prg, wide, sizeof wide);
  crypto_core_ristretto255_scalar_reduce(out, wide);
  mem_wipe(wide, sizeof wide);
}

/* Fails for the zero scalar alone, which an honest generator does not give in the life of the universe. */
static bool multiply_base(uint8_t out[POINT_LEN], const uint8_t scalar[SCALAR_LEN]) {
  int failed = crypto_scalarmult_ristretto255_base(out, scalar);
  secret_declassify(&failed, sizeof failed, "0 but for the zero scalar");
  return failed == 0;
}

/* Fails for bytes that are no canonical element, and when the product is the identity, that is when the peer's point
 * is: our scalar is not 0. */
static bool multiply_point(uint8_t out[POINT_LEN], const uint8_t scalar[SCALAR_LEN], const uint8_t point[POINT_LEN]) {
  int failed = crypto_scalarmult_ristretto255(out, scalar, point);
  secret_declassify(&failed, sizeof failed, "the peer chose whether its point is valid, and not the identity");
  return failed == 0;
}

/* mask all ones: swaps the two points. */
static void swap_points(uint8_t a[POINT_LEN], uint8_t b[POINT_LEN], uint8_t mask) {
  for (size_t i = 0; i < POINT_LEN; i++) {
    const uint8_t d = (uint8_t)((a[i] ^ b[i]) & mask);
    a[i] ^= d;
    b[i] ^= d;
  }
}

/* ---- sender ---- */

fusion_status base_ot_sender_post(struct base_ot_sender **out, struct base_ot_id id, struct channel *channel,
                                  struct prg *prg, size_t count) {
  fusion_status status = FUSION_OK;
  *out = NULL;
  if (!count || count > BASE_OT_COUNT_MAX) return FUSION_E_USAGE;
  struct base_ot_sender *s = mem_alloc(1, sizeof *s);
  if (!s) return FUSION_E_MEMORY;
  *s = (struct base_ot_sender){.id = id, .channel = channel, .count = count};
  s->scalars = key_alloc(count * SCALAR_LEN);
  s->points = mem_alloc(count, POINT_LEN);
  FAIL_IF(!s->scalars || !s->points, FUSION_E_MEMORY);
  for (size_t i = 0; i < count; i++) {
    random_scalar(s->scalars + i * SCALAR_LEN, prg);
    FAIL_IF(!multiply_base(s->points + i * POINT_LEN, s->scalars + i * SCALAR_LEN), FUSION_E_ENTROPY);
  }
  secret_declassify(s->points, base_ot_sender_len(count), "a uniform group element hides its exponent");
  TRY(channel_send(channel, MSG_BASE_OT, s->points, base_ot_sender_len(count)));
  *out = s;
  return FUSION_OK;
cleanup:
  base_ot_sender_free(s);
  return status;
}

static fusion_status sender_keys_of(const struct base_ot_sender *s, uint64_t session, block keys[2],
                                    const uint8_t pair[2 * POINT_LEN], size_t index) {
  fusion_status status = FUSION_OK;
  uint8_t point[POINT_LEN], shared[POINT_LEN];
  /* The sum checks that its terms are canonical elements: each of the pair is a term of one of the two sums. */
  for (uint8_t branch = 0; branch < 2; branch++) {
    const uint8_t *mine = pair + branch * POINT_LEN, *other = pair + (1 - branch) * POINT_LEN;
    hash_to_group(point, s->id, index, branch, other);
    FAIL_IF(crypto_core_ristretto255_add(point, mine, point) != 0, FUSION_E_PEER);
    FAIL_IF(!multiply_point(shared, s->scalars + index * SCALAR_LEN, point), FUSION_E_PEER);
    keys[branch] = derive_key(session, s->id.sender, index, branch, shared, s->points + index * POINT_LEN, pair);
  }
cleanup:
  mem_wipe(shared, sizeof shared);
  return status;
}

fusion_status base_ot_sender_finish(struct base_ot_sender *s, uint64_t session, block *keys) {
  fusion_status status = FUSION_OK;
  uint8_t pairs[PIECE * 2 * POINT_LEN];
  for (size_t first = 0; first < s->count; first += PIECE) {
    const size_t n = size_min(PIECE, s->count - first);
    TRY(channel_recv(s->channel, MSG_BASE_OT, pairs, base_ot_receiver_len(n)));
    for (size_t i = 0; i < n && status == FUSION_OK; i++)
      status = sender_keys_of(s, session, keys + 2 * (first + i), pairs + i * 2 * POINT_LEN, first + i);
    if (status == FUSION_E_PEER)
      status = channel_fail(s->channel, status, "base OT: the peer sent no valid group element");
    if (status != FUSION_OK) break;
  }
cleanup:
  if (status != FUSION_OK) mem_wipe(keys, 2 * s->count * sizeof *keys);
  return status;
}

void base_ot_sender_free(struct base_ot_sender *s) {
  if (!s) return;
  key_free(s->scalars);
  mem_free(s->points);
  mem_free(s);
}

/* ---- receiver ---- */

/* Points (r_0, r_1): r_{1-c} uniform, r_c = aG - H_c(r_{1-c}). Both are uniform, whatever c. */
static fusion_status receiver_points_of(const struct base_ot_receiver *r, uint8_t pair[2 * POINT_LEN], struct prg *prg,
                                        uint8_t choice, size_t index) {
  fusion_status status = FUSION_OK;
  uint8_t wide[HASH_LEN], own[POINT_LEN], shift[POINT_LEN], *known = pair, *free_one = pair + POINT_LEN;
  prg_bytes(prg, wide, sizeof wide);
  crypto_core_ristretto255_from_hash(free_one, wide);
  random_scalar(r->scalars + index * SCALAR_LEN, prg);
  FAIL_IF(!multiply_base(own, r->scalars + index * SCALAR_LEN), FUSION_E_ENTROPY);
  hash_to_group(shift, r->id, index, choice, free_one);
  int failed = crypto_core_ristretto255_sub(known, own, shift);
  secret_declassify(&failed, sizeof failed, "both points were made here and are valid");
  FAIL_IF(failed, FUSION_E_INTERNAL);
  swap_points(known, free_one, (uint8_t)(0 - choice));
cleanup:
  mem_wipe(wide, sizeof wide);
  mem_wipe(own, sizeof own);
  mem_wipe(shift, sizeof shift);
  return status;
}

fusion_status base_ot_receiver_post(struct base_ot_receiver **out, struct base_ot_id id, struct channel *channel,
                                    struct prg *prg, const uint8_t *choices, size_t count) {
  fusion_status status = FUSION_OK;
  *out = NULL;
  if (!count || count > BASE_OT_COUNT_MAX) return FUSION_E_USAGE;
  struct base_ot_receiver *r = mem_alloc(1, sizeof *r);
  if (!r) return FUSION_E_MEMORY;
  *r = (struct base_ot_receiver){.id = id, .channel = channel, .count = count};
  r->scalars = key_alloc(count * (SCALAR_LEN + 1));
  r->points = mem_alloc(count, 2 * POINT_LEN);
  FAIL_IF(!r->scalars || !r->points, FUSION_E_MEMORY);
  memcpy(r->scalars + count * SCALAR_LEN, choices, count);
  /* A piece goes out as soon as it is there: the sender multiplies while the next one is made. */
  for (size_t first = 0; first < count; first += PIECE) {
    const size_t n = size_min(PIECE, count - first);
    uint8_t *const piece = r->points + first * 2 * POINT_LEN;
    for (size_t i = 0; i < n; i++)
      TRY(receiver_points_of(r, piece + i * 2 * POINT_LEN, prg, choices[first + i] & 1, first + i));
    secret_declassify(piece, base_ot_receiver_len(n), "both points are uniform, whatever the choice");
    TRY(channel_send(channel, MSG_BASE_OT, piece, base_ot_receiver_len(n)));
    TRY(channel_flush(channel));
  }
  *out = r;
  return FUSION_OK;
cleanup:
  base_ot_receiver_free(r);
  return status;
}

fusion_status base_ot_receiver_finish(struct base_ot_receiver *r, uint64_t session, block *keys) {
  fusion_status status = FUSION_OK;
  const size_t len = base_ot_sender_len(r->count);
  const uint8_t *choices = r->scalars + r->count * SCALAR_LEN;
  uint8_t shared[POINT_LEN], *points = mem_alloc(1, len);
  FAIL_IF(!points, FUSION_E_MEMORY);
  TRY(channel_recv(r->channel, MSG_BASE_OT, points, len));
  for (size_t i = 0; i < r->count && status == FUSION_OK; i++) {
    const uint8_t *point = points + i * POINT_LEN;
    if (!multiply_point(shared, r->scalars + i * SCALAR_LEN, point))
      status = FUSION_E_PEER;
    else
      keys[i] = derive_key(session, r->id.sender, i, choices[i] & 1, shared, point, r->points + i * 2 * POINT_LEN);
  }
  if (status == FUSION_E_PEER)
    status = channel_fail(r->channel, status, "base OT: the peer sent no valid group element");
cleanup:
  if (status != FUSION_OK) mem_wipe(keys, r->count * sizeof *keys);
  mem_wipe(shared, sizeof shared);
  mem_free(points);
  return status;
}

void base_ot_receiver_free(struct base_ot_receiver *r) {
  if (!r) return;
  key_free(r->scalars);
  mem_free(r->points);
  mem_free(r);
}

void base_ot_receiver_cost(struct cost *cost, const struct cost *begun, enum role receiver, size_t count) {
  for (size_t first = 0; first < count; first += PIECE)
    cost_in_flight(cost, begun, receiver, base_ot_receiver_len(size_min(PIECE, count - first)));
}
