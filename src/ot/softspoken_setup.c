/* Set-up of SoftSpoken: base OTs one way or both, then the trees. */
#include <sodium.h>

#include "base/secret.h"
#include "ot/base_ot.h"
#include "ot/ot_messages.h"
#include "ot/pprf.h"
#include "ot/softspoken_internal.h"

enum { BASE_OTS = 127 }; /* one a bit of Delta, but for the lowest, which is 1 */

uint32_t softspoken_point(block delta, unsigned k, size_t tree) {
  const size_t first = tree * k; /* k divides 64 */
  const uint64_t word = first < 64 ? delta.lo >> first : delta.hi >> (first - 64);
  const uint32_t element = (uint32_t)(word & low_mask(k));
  return tree ? element : element >> 1;
}

static size_t trees_message_len(unsigned k) {
  size_t len = PPRF_PIN_LEN;
  for (size_t tree = 0; tree < softspoken_trees(k); tree++) len += pprf_message_len(softspoken_depth(k, tree));
  return len;
}

static size_t leaf_count(unsigned k) {
  return softspoken_leaf_first(k, softspoken_trees(k));
}
static size_t scratch_blocks(unsigned k) {
  return (size_t)SOFTSPOKEN_TILE << k;
}

fusion_status softspoken_core_init(struct softspoken_core *c, const struct softspoken_setup *setup, enum role sender) {
  const unsigned k = setup->field_bits;
  bool ok;
  *c = (struct softspoken_core){
      .channel = setup->channel,
      .kernels = softspoken_kernels(),
      .session = setup->session,
      .sender = sender,
      .field_bits = k,
  };
  c->cipher = c->kernels->cipher_new(&ok);
  c->leaves = key_alloc(leaf_count(k) * sizeof *c->leaves);
  c->planes = mem_alloc((size_t)128 * SOFTSPOKEN_STRIDE, sizeof(block));
  c->total = mem_alloc(SOFTSPOKEN_STRIDE, sizeof(block));
  c->chi = mem_alloc(SOFTSPOKEN_STRIDE, sizeof(block));
  c->scratch = mem_alloc(scratch_blocks(k), sizeof(block));
  c->message = mem_alloc(1, softspoken_message_len(k, softspoken_blocks(SOFTSPOKEN_CHUNK)));
  if (ok && c->leaves && c->planes && c->total && c->chi && c->scratch && c->message) return FUSION_OK;
  softspoken_core_clear(c);
  return FUSION_E_MEMORY;
}

void softspoken_core_clear(struct softspoken_core *c) {
  if (c->kernels) c->kernels->cipher_free(c->cipher);
  key_free(c->leaves);
  mem_free_secret(c->planes, (size_t)128 * SOFTSPOKEN_STRIDE * sizeof(block));
  mem_free_secret(c->total, SOFTSPOKEN_STRIDE * sizeof(block));
  mem_free(c->chi);
  mem_free_secret(c->scratch, scratch_blocks(c->field_bits) * sizeof(block));
  mem_free(c->message);
  *c = (struct softspoken_core){0};
}

void softspoken_sender_free(struct softspoken_sender *s) {
  if (!s) return;
  softspoken_core_clear(&s->core);
  key_free(s);
}

void softspoken_receiver_free(struct softspoken_receiver *r) {
  if (!r) return;
  softspoken_core_clear(&r->core);
  key_free(r);
}

block softspoken_delta(const struct softspoken_sender *s) {
  return s->delta;
}

/* Delta, and from it the base OTs' choices: at each level the side away from the point. */
static fusion_status sender_new(struct softspoken_sender **out, const struct softspoken_setup *setup,
                                uint8_t choices[BASE_OTS]) {
  struct softspoken_sender *s = key_alloc(sizeof *s);
  *out = NULL;
  if (!s) return FUSION_E_MEMORY;
  const unsigned k = setup->field_bits;
  const fusion_status status = softspoken_core_init(&s->core, setup, setup->role);
  if (status != FUSION_OK) {
    key_free(s);
    return status;
  }
  prg_bytes(setup->prg, &s->delta, sizeof s->delta);
  s->delta.lo |= 1;
  for (size_t tree = 0; tree < softspoken_trees(k); tree++) {
    const unsigned depth = softspoken_depth(k, tree);
    const uint32_t point = softspoken_point(s->delta, k, tree);
    for (unsigned level = 0; level < depth; level++)
      choices[softspoken_ot_first(k, tree) + level] = (uint8_t)(1 ^ ((point >> (depth - 1 - level)) & 1));
  }
  *out = s;
  return FUSION_OK;
}

static fusion_status receiver_new(struct softspoken_receiver **out, const struct softspoken_setup *setup) {
  struct softspoken_receiver *r = key_alloc(sizeof *r);
  *out = NULL;
  if (!r) return FUSION_E_MEMORY;
  const fusion_status status = softspoken_core_init(&r->core, setup, role_peer(setup->role));
  if (status != FUSION_OK) {
    key_free(r);
    return status;
  }
  *out = r;
  return FUSION_OK;
}

static void hash_transcript(struct softspoken_core *c, const uint8_t *message, size_t len) {
  crypto_generichash(c->transcript, sizeof c->transcript, message, len, NULL, 0);
}

static void schedule_leaves(struct softspoken_core *c, size_t tree, const block *seeds) {
  struct leaf_key *leaves = c->leaves + softspoken_leaf_first(c->field_bits, tree);
  for (size_t x = 0; x < (size_t)1 << softspoken_depth(c->field_bits, tree); x++)
    c->kernels->schedule(&leaves[x], seeds[x]);
}

/* The receiver of correlations makes the trees: ot_keys[2 * i + side]. */
static fusion_status trees_send(struct softspoken_receiver *r, struct prg *prg, const block *ot_keys) {
  struct softspoken_core *c = &r->core;
  const unsigned k = c->field_bits;
  const size_t len = trees_message_len(k);
  block root, leaves[PPRF_LEAVES_MAX];
  crypto_generichash_state pins;
  uint8_t *message = mem_alloc(1, len), *at = message;
  if (!message) return FUSION_E_MEMORY;
  pprf_pins_start(&pins, c->session, role_peer(c->sender));
  for (size_t tree = 0; tree < softspoken_trees(k); tree++) {
    const unsigned depth = softspoken_depth(k, tree);
    const struct pprf_id id = {.session = c->session, .maker = role_peer(c->sender), .tree = (uint32_t)tree};
    prg_bytes(prg, &root, sizeof root);
    pprf_make(id, depth, root, ot_keys + 2 * softspoken_ot_first(k, tree), at, leaves, &pins);
    schedule_leaves(c, tree, leaves);
    at += pprf_message_len(depth);
  }
  pprf_pins_finish(&pins, at);
  hash_transcript(c, message, len);
  secret_declassify(message, len, "level sums under base OT keys; pins are sums of leaf hashes");
  const fusion_status status = channel_send(c->channel, MSG_SOFTSPOKEN, message, len);
  mem_wipe(&root, sizeof root);
  mem_wipe(leaves, sizeof leaves);
  mem_free(message);
  return status;
}

/* The sender of correlations gets them, punctured at Delta: ot_keys[i]. */
static fusion_status trees_receive(struct softspoken_sender *s, const block *ot_keys) {
  fusion_status status = FUSION_OK;
  struct softspoken_core *c = &s->core;
  const unsigned k = c->field_bits;
  const size_t len = trees_message_len(k);
  block leaves[PPRF_LEAVES_MAX];
  uint8_t pinned[PPRF_PIN_LEN];
  crypto_generichash_state pins;
  uint8_t *message = mem_alloc(1, len);
  const uint8_t *at = message;
  FAIL_IF(!message, FUSION_E_MEMORY);
  TRY(channel_recv(c->channel, MSG_SOFTSPOKEN, message, len));
  pprf_pins_start(&pins, c->session, role_peer(c->sender));
  for (size_t tree = 0; tree < softspoken_trees(k); tree++) {
    const unsigned depth = softspoken_depth(k, tree);
    const struct pprf_id id = {.session = c->session, .maker = role_peer(c->sender), .tree = (uint32_t)tree};
    pprf_puncture(id, depth, softspoken_point(s->delta, k, tree), ot_keys + softspoken_ot_first(k, tree), at, leaves,
                  &pins);
    schedule_leaves(c, tree, leaves);
    at += pprf_message_len(depth);
  }
  pprf_pins_finish(&pins, pinned);
  hash_transcript(c, message, len);
  int differs = sodium_memcmp(pinned, at, sizeof pinned);
  secret_declassify(&differs, sizeof differs, "the run ends here if the check fails: the peer sees it");
  if (differs)
    status = channel_fail(c->channel, FUSION_E_CRYPTO, "oblivious transfer: the peer's messages do not pass the check");
cleanup:
  mem_wipe(leaves, sizeof leaves);
  mem_free(message);
  return status;
}

/* Secrets of the set-up alone. */
struct opening {
  uint8_t choices[BASE_OTS];
  block received[BASE_OTS], sent[2 * BASE_OTS];
};

fusion_status softspoken_open(struct softspoken_sender **sender, struct softspoken_receiver **receiver,
                              const struct softspoken_setup *setup) {
  fusion_status status = FUSION_OK;
  const unsigned k = setup->field_bits;
  const struct base_ot_id i_choose = {.session = setup->session, .sender = role_peer(setup->role)},
                          peer_chooses = {.session = setup->session, .sender = setup->role};
  struct softspoken_sender *s = NULL;
  struct softspoken_receiver *r = NULL;
  struct base_ot_receiver *choosing = NULL;
  struct base_ot_sender *offering = NULL;
  struct opening *o = NULL;
  if (sender) *sender = NULL;
  if (receiver) *receiver = NULL;
  FAIL_IF((k != 1 && k != 2 && k != 4 && k != 8) || (!sender && !receiver), FUSION_E_USAGE);
  o = key_alloc(sizeof *o);
  FAIL_IF(!o, FUSION_E_MEMORY);
  if (sender) TRY(sender_new(&s, setup, o->choices));
  if (receiver) TRY(receiver_new(&r, setup));
  /* Both posts go out before anything is read: one round for both directions. */
  if (r) TRY(base_ot_sender_post(&offering, peer_chooses, setup->channel, setup->prg, BASE_OTS));
  if (s) TRY(base_ot_receiver_post(&choosing, i_choose, setup->channel, setup->prg, o->choices, BASE_OTS));
  if (s) TRY(base_ot_receiver_finish(choosing, o->received));
  if (r) TRY(base_ot_sender_finish(offering, o->sent));
  if (r) TRY(trees_send(r, setup->prg, o->sent));
  if (s) TRY(trees_receive(s, o->received));
  if (r) TRY(channel_flush(setup->channel));
  if (sender) *sender = s;
  if (receiver) *receiver = r;
  s = NULL;
  r = NULL;
cleanup:
  base_ot_receiver_free(choosing);
  base_ot_sender_free(offering);
  softspoken_sender_free(s);
  softspoken_receiver_free(r);
  key_free(o);
  return status;
}

void softspoken_open_cost(struct cost *cost, unsigned field_bits, bool server_sends, bool client_sends) {
  const bool sends[2] = {[ROLE_SERVER] = server_sends, [ROLE_CLIENT] = client_sends};
  struct cost begun = *cost;
  for (enum role role = ROLE_SERVER; role <= ROLE_CLIENT; role++) {
    if (!sends[role]) continue;
    cost_in_flight(cost, &begun, role, base_ot_receiver_len(BASE_OTS));
    cost_in_flight(cost, &begun, role_peer(role), base_ot_sender_len(BASE_OTS));
  }
  begun = *cost;
  for (enum role role = ROLE_SERVER; role <= ROLE_CLIENT; role++)
    if (sends[role]) cost_in_flight(cost, &begun, role_peer(role), trees_message_len(field_bits));
}
