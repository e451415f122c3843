/* Extension: one message from the receiver to the sender makes up to SOFTSPOKEN_CHUNK correlations. Set-up is in
 * softspoken_setup.c. */
#include "ot/softspoken.h"

#include <sodium.h>

#include "base/secret.h"
#include "ot/ot_messages.h"
#include "ot/softspoken_internal.h"

/* The counter's top bit tells the challenge's stream from the leaves'. */
static const uint64_t challenge_counter = UINT64_C(1) << 63;

static size_t granules(size_t blocks) {
  return div_up(blocks, SOFTSPOKEN_GRANULE) * SOFTSPOKEN_GRANULE;
}

static uint64_t delta_mask(block delta, size_t plane) {
  const uint64_t word = plane < 64 ? delta.lo >> plane : delta.hi >> (plane - 64);
  return (uint64_t)0 - (word & 1);
}

static void expand_tree(const struct softspoken_core *c, size_t tree, bool punctured, block *total, size_t blocks) {
  const struct tree_job job = {
      .leaves = c->leaves + softspoken_leaf_first(c->field_bits, tree),
      .depth = softspoken_depth(c->field_bits, tree),
      .punctured = punctured,
      .counter = c->counter,
      .nonce = c->session,
      .total = total,
      .planes = c->planes + softspoken_plane_first(c->field_bits, tree) * SOFTSPOKEN_STRIDE,
      .stride = SOFTSPOKEN_STRIDE,
      .blocks = granules(blocks),
      .scratch = c->scratch,
      .cipher = c->cipher,
  };
  c->kernels->tree(&job);
}

/* Tree 0 has the odd elements of the field for leaves: their sum is the choice bits and the lowest plane at once. */
void softspoken_receiver_expand(struct softspoken_receiver *r, size_t blocks) {
  struct softspoken_core *c = &r->core;
  const block *choices = c->planes;
  expand_tree(c, 0, false, c->planes, blocks);
  for (size_t tree = 1; tree < softspoken_trees(c->field_bits); tree++) {
    expand_tree(c, tree, false, c->total, blocks);
    for (size_t j = 0; j < blocks; j++) c->total[j] = block_xor(c->total[j], choices[j]);
    memcpy(c->message + (tree - 1) * blocks * sizeof(block), c->total, blocks * sizeof(block));
  }
}

/* Leaf y of a tree is the one at x = y ^ Delta, so that plane b is the sum over x of bit b of (Delta - x), as the paper
 * has it. Plane 0 stays zero. */
static void sender_expand(struct softspoken_sender *s, size_t blocks) {
  const struct softspoken_core *c = &s->core;
  for (size_t tree = 0; tree < softspoken_trees(c->field_bits); tree++) expand_tree(c, tree, true, c->total, blocks);
}

/* The receiver's corrections, times Delta. */
static void sender_correct(struct softspoken_sender *s, size_t blocks) {
  const struct softspoken_core *c = &s->core;
  const unsigned k = c->field_bits;
  for (size_t tree = 1; tree < softspoken_trees(k); tree++) {
    memcpy(c->total, c->message + (tree - 1) * blocks * sizeof(block), blocks * sizeof(block));
    for (size_t p = tree * k; p < (tree + 1) * k; p++) {
      const uint64_t mask = delta_mask(s->delta, p);
      block *plane = c->planes + p * SOFTSPOKEN_STRIDE;
      for (size_t j = 0; j < blocks; j++) plane[j] = block_xor(plane[j], block_and_mask(c->total[j], mask));
    }
  }
}

void softspoken_challenge(struct softspoken_core *c, size_t blocks) {
  uint8_t head[16 + 8 + 8 + 8 + 2];
  block seed;
  struct leaf_key key;
  crypto_generichash_state hash;
  memcpy(head, "fusion-softspk-c", 16);
  for (int i = 0; i < 8; i++) {
    head[16 + i] = (uint8_t)(c->session >> (8 * i));
    head[24 + i] = (uint8_t)(c->batch >> (8 * i));
    head[32 + i] = (uint8_t)((uint64_t)blocks >> (8 * i));
  }
  head[40] = c->sender == ROLE_CLIENT;
  head[41] = (uint8_t)c->field_bits;
  crypto_generichash_init(&hash, NULL, 0, sizeof seed);
  crypto_generichash_update(&hash, head, sizeof head);
  crypto_generichash_update(&hash, c->transcript, sizeof c->transcript);
  crypto_generichash_update(&hash, c->message, softspoken_corrections_len(c->field_bits, blocks));
  crypto_generichash_final(&hash, (uint8_t *)&seed, sizeof seed);
  c->kernels->schedule(&key, seed);
  c->kernels->stream(c->chi, &key, c->session, challenge_counter, granules(blocks), c->cipher);
}

void softspoken_hash_planes(const struct softspoken_core *c, block out[128], size_t blocks) {
  c->kernels->hash(out, c->planes, SOFTSPOKEN_STRIDE, c->chi, blocks - 1);
  for (size_t p = 0; p < 128; p++) out[p] = block_xor(out[p], c->planes[p * SOFTSPOKEN_STRIDE + blocks - 1]);
}

void softspoken_digest(const struct softspoken_core *c, uint8_t out[SOFTSPOKEN_DIGEST_LEN], const block hashes[128]) {
  uint8_t head[16 + 8 + 8 + 1];
  crypto_generichash_state hash;
  memcpy(head, "fusion-softspk-d", 16);
  for (int i = 0; i < 8; i++) {
    head[16 + i] = (uint8_t)(c->session >> (8 * i));
    head[24 + i] = (uint8_t)(c->batch >> (8 * i));
  }
  head[32] = c->sender == ROLE_CLIENT;
  crypto_generichash_init(&hash, NULL, 0, SOFTSPOKEN_DIGEST_LEN);
  crypto_generichash_update(&hash, head, sizeof head);
  crypto_generichash_update(&hash, (const uint8_t *)hashes, 128 * sizeof *hashes);
  crypto_generichash_final(&hash, out, SOFTSPOKEN_DIGEST_LEN);
  mem_wipe(&hash, sizeof hash);
}

void softspoken_answer(struct softspoken_core *c, const block hashes[128], size_t blocks) {
  uint8_t *at = c->message + softspoken_corrections_len(c->field_bits, blocks);
  memcpy(at, &hashes[0], sizeof hashes[0]); /* plane 0 is the choice bits */
  softspoken_digest(c, at + sizeof(block), hashes);
}

/* The planes' hashes must be those of the receiver: they follow from ours and the hash of its choice bits. */
static bool sender_accepts(const struct softspoken_sender *s, size_t blocks) {
  const struct softspoken_core *c = &s->core;
  const uint8_t *answer = c->message + softspoken_corrections_len(c->field_bits, blocks);
  block hashes[128], choices;
  uint8_t digest[SOFTSPOKEN_DIGEST_LEN];
  memcpy(&choices, answer, sizeof choices);
  softspoken_hash_planes(c, hashes, blocks);
  for (size_t p = 0; p < 128; p++) hashes[p] = block_xor(hashes[p], block_and_mask(choices, delta_mask(s->delta, p)));
  softspoken_digest(c, digest, hashes);
  mem_wipe(hashes, sizeof hashes);
  int differs = sodium_memcmp(digest, answer + sizeof choices, sizeof digest);
  secret_declassify(&differs, sizeof differs, "the run ends here if the check fails: the peer sees it");
  return !differs;
}

void softspoken_advance(struct softspoken_core *c, size_t blocks) {
  c->counter += blocks;
  c->batch++;
}

void softspoken_collect(const struct softspoken_core *c, block *out, size_t count) {
  block last[128];
  const size_t whole = count / 128, left = count % 128;
  c->kernels->transpose(out, c->planes, SOFTSPOKEN_STRIDE, whole);
  if (!left) return;
  c->kernels->transpose(last, c->planes + whole, SOFTSPOKEN_STRIDE, 1);
  memcpy(out + 128 * whole, last, left * sizeof *last);
  mem_wipe(last, sizeof last);
}

static fusion_status send_chunk(struct softspoken_sender *s, block *keys, size_t count) {
  struct softspoken_core *c = &s->core;
  const size_t blocks = softspoken_blocks(count);
  sender_expand(s, blocks); /* while the receiver does the same */
  const fusion_status status =
      channel_recv(c->channel, MSG_SOFTSPOKEN, c->message, softspoken_message_len(c->field_bits, blocks));
  if (status != FUSION_OK) return status;
  sender_correct(s, blocks);
  softspoken_challenge(c, blocks);
  if (!sender_accepts(s, blocks))
    return channel_fail(c->channel, FUSION_E_CRYPTO, "oblivious transfer: the peer's messages do not pass the check");
  softspoken_collect(c, keys, count);
  softspoken_advance(c, blocks);
  return FUSION_OK;
}

static fusion_status receive_chunk(struct softspoken_receiver *r, block *macs, size_t count) {
  struct softspoken_core *c = &r->core;
  const size_t blocks = softspoken_blocks(count);
  block hashes[128];
  softspoken_receiver_expand(r, blocks);
  softspoken_challenge(c, blocks);
  softspoken_hash_planes(c, hashes, blocks);
  softspoken_answer(c, hashes, blocks);
  mem_wipe(hashes, sizeof hashes);
  secret_declassify(c->message, softspoken_message_len(c->field_bits, blocks),
                    "choice bits under leaves that the peer lacks; the check's answer under the mask block");
  const fusion_status status =
      channel_send(c->channel, MSG_SOFTSPOKEN, c->message, softspoken_message_len(c->field_bits, blocks));
  if (status != FUSION_OK) return status;
  softspoken_collect(c, macs, count);
  softspoken_advance(c, blocks);
  return FUSION_OK;
}

fusion_status softspoken_send(struct softspoken_sender *s, block *keys, size_t count) {
  fusion_status status = count ? softspoken_begin_send(s) : FUSION_OK;
  for (size_t done = 0; done < count && status == FUSION_OK; done += SOFTSPOKEN_CHUNK)
    status = send_chunk(s, keys + done, size_min(SOFTSPOKEN_CHUNK, count - done));
  if (status != FUSION_OK) mem_wipe(keys, count * sizeof *keys);
  return status;
}

fusion_status softspoken_receive(struct softspoken_receiver *r, block *macs, size_t count) {
  fusion_status status = count ? softspoken_begin_receive(r) : FUSION_OK;
  for (size_t done = 0; done < count && status == FUSION_OK; done += SOFTSPOKEN_CHUNK)
    status = receive_chunk(r, macs + done, size_min(SOFTSPOKEN_CHUNK, count - done));
  if (status != FUSION_OK) mem_wipe(macs, count * sizeof *macs);
  return status;
}

void softspoken_extend_cost(struct cost *cost, unsigned field_bits, enum role sender, size_t count) {
  const enum role receiver = sender == ROLE_SERVER ? ROLE_CLIENT : ROLE_SERVER;
  const size_t whole = count / SOFTSPOKEN_CHUNK, rest = count % SOFTSPOKEN_CHUNK;
  if (whole) cost_sends(cost, receiver, softspoken_message_len(field_bits, softspoken_blocks(SOFTSPOKEN_CHUNK)), whole);
  if (rest) cost_send(cost, receiver, softspoken_message_len(field_bits, softspoken_blocks(rest)));
}
