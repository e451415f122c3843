/* Set-up of SoftSpoken: base OTs or kept ones, the trees, and from the first direction the OTs of the second. */
#include <sodium.h>

#include "base/secret.h"
#include "ot/base_ot.h"
#include "ot/ot_messages.h"
#include "ot/pprf.h"
#include "ot/softspoken_internal.h"

/* Of the first direction's correlations, made at the opening: OTs for the other direction, and OTs to keep. */
enum { CHAIN_COUNT = 2 * SOFTSPOKEN_OTS };

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
  key_free(s->pads);
  softspoken_core_clear(&s->core);
  key_free(s);
}

void softspoken_receiver_free(struct softspoken_receiver *r) {
  if (!r) return;
  key_free(r->pads);
  prg_free(r->prg);
  softspoken_core_clear(&r->core);
  key_free(r);
}

block softspoken_delta(const struct softspoken_sender *s) {
  return s->delta;
}

/* Delta from the OTs' choices: at each level the side away from the point. */
static block delta_of(const uint8_t choices[SOFTSPOKEN_OTS], unsigned k) {
  uint64_t words[2] = {1, 0};
  for (size_t tree = 0; tree < softspoken_trees(k); tree++) {
    const unsigned depth = softspoken_depth(k, tree);
    for (unsigned level = 0; level < depth; level++) {
      const size_t bit = tree * k + (tree ? 0 : 1) + (depth - 1 - level);
      const uint64_t value = 1 ^ (choices[softspoken_ot_first(k, tree) + level] & 1);
      words[bit / 64] |= value << (bit % 64);
    }
  }
  return block_make(words[1], words[0]);
}

static fusion_status sender_new(struct softspoken_sender **out, const struct softspoken_setup *setup,
                                const uint8_t choices[SOFTSPOKEN_OTS]) {
  struct softspoken_sender *s = key_alloc(sizeof *s);
  *out = NULL;
  if (!s) return FUSION_E_MEMORY;
  const fusion_status status = softspoken_core_init(&s->core, setup, setup->role);
  if (status != FUSION_OK) {
    key_free(s);
    return status;
  }
  s->delta = delta_of(choices, setup->field_bits);
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

struct softspoken_points {
  uint8_t choices[SOFTSPOKEN_OTS];
  struct base_ot_receiver *base; /* owned */
};

fusion_status softspoken_points_post(struct softspoken_points **out, struct channel *channel, struct prg *prg,
                                     enum role role, uint64_t number) {
  const struct base_ot_id id = {.points = number, .sender = role_peer(role)};
  struct softspoken_points *p = key_alloc(sizeof *p);
  *out = NULL;
  if (!p) return FUSION_E_MEMORY;
  prg_bytes(prg, p->choices, sizeof p->choices);
  for (size_t i = 0; i < SOFTSPOKEN_OTS; i++) p->choices[i] &= 1;
  const fusion_status status = base_ot_receiver_post(&p->base, id, channel, prg, p->choices, SOFTSPOKEN_OTS);
  if (status == FUSION_OK)
    *out = p;
  else
    softspoken_points_free(p);
  return status;
}

void softspoken_points_free(struct softspoken_points *p) {
  if (!p) return;
  base_ot_receiver_free(p->base);
  key_free(p);
}

/* Secrets of the set-up alone. */
struct opening {
  uint8_t choices[SOFTSPOKEN_OTS];
  block received[SOFTSPOKEN_OTS], sent[2 * SOFTSPOKEN_OTS];
  block chain[CHAIN_COUNT]; /* correlations of the first direction */
};

/* ---- One direction, or the first of both: trees on base OTs ---- */

static fusion_status choose(struct softspoken_sender **out, const struct softspoken_setup *setup, struct opening *o) {
  struct softspoken_points *own = NULL, *points = setup->points;
  struct softspoken_sender *s = NULL;
  fusion_status status = FUSION_OK;
  if (!points) {
    TRY(softspoken_points_post(&own, setup->channel, setup->prg, setup->role, setup->points_number));
    points = own;
  }
  TRY(sender_new(&s, setup, points->choices));
  TRY(base_ot_receiver_finish(points->base, setup->session, o->received));
  TRY(trees_receive(s, o->received));
  *out = s;
  s = NULL;
cleanup:
  softspoken_sender_free(s);
  softspoken_points_free(own);
  return status;
}

static fusion_status offer(struct softspoken_receiver **out, const struct softspoken_setup *setup, struct opening *o) {
  const struct base_ot_id id = {.points = setup->points_number, .sender = setup->role};
  struct base_ot_sender *offering = NULL;
  struct softspoken_receiver *r = NULL;
  fusion_status status = FUSION_OK;
  TRY(receiver_new(&r, setup));
  TRY(base_ot_sender_post(&offering, id, setup->channel, setup->prg, SOFTSPOKEN_OTS));
  TRY(base_ot_sender_finish(offering, setup->session, o->sent));
  TRY(trees_send(r, setup->prg, o->sent));
  *out = r;
  r = NULL;
cleanup:
  softspoken_receiver_free(r);
  base_ot_sender_free(offering);
  return status;
}

/* ---- Both directions: the first one's correlations are the OTs of the second ---- */

/* BLAKE2b of a purpose, the session, the OT's index and a block of a correlation or a key: as a random oracle. */
static block chained_key(const char purpose[16], uint64_t session, size_t index, block secret) {
  uint8_t bytes[16 + 8 + 8 + sizeof secret];
  block key;
  memcpy(bytes, purpose, 16);
  for (int i = 0; i < 8; i++) {
    bytes[16 + i] = (uint8_t)(session >> (8 * i));
    bytes[24 + i] = (uint8_t)((uint64_t)index >> (8 * i));
  }
  memcpy(bytes + 32, &secret, sizeof secret);
  crypto_generichash((uint8_t *)&key, sizeof key, bytes, sizeof bytes, NULL, 0);
  mem_wipe(bytes, sizeof bytes);
  return key;
}

static block link_key(const struct softspoken_setup *setup, size_t index, block secret) {
  return chained_key("fusion-chain-key", setup->session, index, secret);
}

/* Both keys of `count` OTs, from the keys of a direction's correlations. */
static void link_pairs(const struct softspoken_setup *setup, const block *keys, block delta, size_t first, block *out) {
  for (size_t i = 0; i < SOFTSPOKEN_OTS; i++) {
    out[2 * i] = link_key(setup, first + i, keys[first + i]);
    out[2 * i + 1] = link_key(setup, first + i, block_xor(keys[first + i], delta));
  }
}

/* The chosen keys, and the choices, from its macs. */
static void link_chosen(const struct softspoken_setup *setup, const block *macs, size_t first, block *out,
                        uint8_t choices[SOFTSPOKEN_OTS]) {
  for (size_t i = 0; i < SOFTSPOKEN_OTS; i++) {
    out[i] = link_key(setup, first + i, macs[first + i]);
    choices[i] = (uint8_t)(macs[first + i].lo & 1);
  }
}

/* The keys of kept OTs as this session uses them: whatever becomes of the kept ones, no session sees another's. */
static void renew(const struct softspoken_setup *setup, block *keys, size_t keys_an_ot) {
  for (size_t i = 0; i < SOFTSPOKEN_OTS; i++)
    for (size_t k = i * keys_an_ot; k < (i + 1) * keys_an_ot; k++)
      keys[k] = chained_key("fusion-kept-key ", setup->session, i, setup->use->keys[k]);
}

/* The sender of the first direction. */
static fusion_status open_chooser(struct softspoken_sender **s, struct softspoken_receiver **r,
                                  const struct softspoken_setup *setup, struct opening *o) {
  fusion_status status;
  if (setup->use) {
    TRY(sender_new(s, setup, setup->use->choices));
    renew(setup, o->received, 1);
    TRY(trees_receive(*s, o->received));
  } else {
    TRY(choose(s, setup, o));
  }
  TRY(softspoken_send(*s, o->chain, CHAIN_COUNT));
  TRY(receiver_new(r, setup));
  (*r)->pads = key_alloc(sizeof o->sent);
  (*r)->prg = prg_fork(setup->prg, "softspoken trees", (uint64_t)setup->role);
  FAIL_IF(!(*r)->pads || !(*r)->prg, FUSION_E_MEMORY);
  link_pairs(setup, o->chain, (*s)->delta, 0, (*r)->pads);
  if (!setup->keep) goto cleanup;
  setup->keep->chooser = role_peer(setup->role);
  link_pairs(setup, o->chain, (*s)->delta, SOFTSPOKEN_OTS, setup->keep->keys);
cleanup:
  return status;
}

/* Its receiver. */
static fusion_status open_offerer(struct softspoken_sender **s, struct softspoken_receiver **r,
                                  const struct softspoken_setup *setup, struct opening *o) {
  fusion_status status;
  if (setup->use) {
    TRY(receiver_new(r, setup));
    renew(setup, o->sent, 2);
    TRY(trees_send(*r, setup->prg, o->sent));
  } else {
    TRY(offer(r, setup, o));
  }
  TRY(softspoken_receive(*r, o->chain, CHAIN_COUNT));
  link_chosen(setup, o->chain, 0, o->received, o->choices);
  TRY(sender_new(s, setup, o->choices));
  (*s)->pads = key_alloc(sizeof o->received);
  FAIL_IF(!(*s)->pads, FUSION_E_MEMORY);
  memcpy((*s)->pads, o->received, sizeof o->received);
  if (setup->keep) {
    setup->keep->chooser = setup->role;
    link_chosen(setup, o->chain, SOFTSPOKEN_OTS, setup->keep->keys, setup->keep->choices);
  }
  TRY(channel_flush(setup->channel));
cleanup:
  return status;
}

fusion_status softspoken_begin_send(struct softspoken_sender *s) {
  if (!s->pads) return FUSION_OK;
  const fusion_status status = trees_receive(s, s->pads);
  key_free(s->pads);
  s->pads = NULL;
  return status;
}

fusion_status softspoken_begin_receive(struct softspoken_receiver *r) {
  if (!r->pads) return FUSION_OK;
  const fusion_status status = trees_send(r, r->prg, r->pads);
  if (status != FUSION_OK) return status; /* without trees there is nothing to extend from */
  key_free(r->pads);
  prg_free(r->prg);
  r->pads = NULL;
  r->prg = NULL;
  return status;
}

fusion_status softspoken_open(struct softspoken_sender **sender, struct softspoken_receiver **receiver,
                              const struct softspoken_setup *setup) {
  fusion_status status = FUSION_OK;
  const unsigned k = setup->field_bits;
  const enum role chooser = setup->use ? setup->use->chooser : ROLE_SERVER;
  struct softspoken_sender *s = NULL;
  struct softspoken_receiver *r = NULL;
  struct opening *o = NULL;
  if (sender) *sender = NULL;
  if (receiver) *receiver = NULL;
  FAIL_IF((k != 1 && k != 2 && k != 4 && k != 8) || (!sender && !receiver), FUSION_E_USAGE);
  FAIL_IF((!sender || !receiver) && (setup->use || setup->keep), FUSION_E_USAGE);
  FAIL_IF(chooser != ROLE_SERVER && chooser != ROLE_CLIENT, FUSION_E_INPUT);
  o = key_alloc(sizeof *o);
  FAIL_IF(!o, FUSION_E_MEMORY);
  if (!receiver) {
    TRY(choose(&s, setup, o));
  } else if (!sender) {
    TRY(offer(&r, setup, o));
    TRY(channel_flush(setup->channel));
  } else if (setup->role == chooser) {
    TRY(open_chooser(&s, &r, setup, o));
  } else {
    TRY(open_offerer(&s, &r, setup, o));
  }
  if (sender) *sender = s;
  if (receiver) *receiver = r;
  s = NULL;
  r = NULL;
cleanup:
  softspoken_sender_free(s);
  softspoken_receiver_free(r);
  key_free(o);
  return status;
}

_Static_assert(sizeof(struct softspoken_kept) <= KEPT_LEN, "what is carried between sessions");
_Static_assert(_Alignof(struct softspoken_kept) <= _Alignof(struct kept_setup), "it is used in place");

struct softspoken_opening {
  struct softspoken_setup setup; /* its points are owned */
  struct keeping *keeping;       /* borrowed; NULL: nothing is kept */
};

void softspoken_opening_free(struct softspoken_opening *o) {
  if (!o) return;
  softspoken_points_free(o->setup.points);
  mem_free(o);
}

fusion_status softspoken_begin_source(struct softspoken_opening **out, uint64_t *session,
                                      const struct cot_opening *opening, message_type nonces, unsigned field_bits) {
  fusion_status status = FUSION_OK;
  struct keeping *k = opening->keeping;
  struct cot_session agreement;
  struct softspoken_opening *o = mem_alloc(1, sizeof *o);
  *out = NULL;
  if (!o) return FUSION_E_MEMORY;
  struct softspoken_setup *setup = &o->setup;
  o->keeping = k;
  *setup = (struct softspoken_setup){.channel = opening->channel,
                                     .prg = opening->prg,
                                     .role = opening->role,
                                     .field_bits = field_bits,
                                     .use = k ? (const void *)k->use : NULL,
                                     .keep = k ? (void *)k->keep : NULL};
  TRY(cot_session_begin(&agreement, &setup->points_number, setup->role, setup->channel, setup->prg, nonces));
  if (setup->role == ROLE_SERVER && !setup->use)
    TRY(softspoken_points_post(&setup->points, setup->channel, setup->prg, setup->role, setup->points_number));
  TRY(cot_session_agree(&agreement, &setup->session));
  *session = setup->session;
  *out = o;
  return FUSION_OK;
cleanup:
  softspoken_opening_free(o);
  return status;
}

fusion_status softspoken_complete_source(struct softspoken_sender **sender, struct softspoken_receiver **receiver,
                                         struct softspoken_opening *o) {
  const fusion_status status = softspoken_open(sender, receiver, &o->setup);
  if (o->keeping) o->keeping->kept = status == FUSION_OK && o->keeping->keep;
  softspoken_opening_free(o);
  return status;
}

size_t softspoken_memory(unsigned field_bits) {
  const size_t rows = (size_t)(128 + 2) * SOFTSPOKEN_STRIDE + scratch_blocks(field_bits);
  const size_t message = softspoken_message_len(field_bits, softspoken_blocks(SOFTSPOKEN_CHUNK));
  return 2 * (rows * sizeof(block) + message + leaf_count(field_bits) * sizeof(struct leaf_key));
}

/* Trees of the direction in which `chooser` sends, and what the other direction is chained to. */
static void first_cost(struct cost *cost, unsigned field_bits, enum role chooser) {
  cost_send(cost, role_peer(chooser), trees_message_len(field_bits));
  softspoken_extend_cost(cost, field_bits, chooser, CHAIN_COUNT);
}

void softspoken_open_cost(struct cost *cost, unsigned field_bits) {
  const struct cost begun = *cost;
  cost_in_flight(cost, &begun, ROLE_CLIENT, base_ot_sender_len(SOFTSPOKEN_OTS));
  base_ot_receiver_cost(cost, &begun, ROLE_SERVER, SOFTSPOKEN_OTS);
  first_cost(cost, field_bits, ROLE_SERVER);
}

void softspoken_open_source_cost(struct cost *cost, unsigned field_bits) {
  const struct cost begun = *cost;
  cost_to_client(cost, COT_NONCE_LEN);
  base_ot_receiver_cost(cost, &begun, ROLE_SERVER, SOFTSPOKEN_OTS);
  cost_to_server(cost, COT_NONCE_LEN);
  cost_to_server(cost, base_ot_sender_len(SOFTSPOKEN_OTS));
  first_cost(cost, field_bits, ROLE_SERVER);
}

void softspoken_resume_cost(struct cost *cost, unsigned field_bits, enum role chooser) {
  first_cost(cost, field_bits, chooser);
}

void softspoken_begin_cost(struct cost *cost, unsigned field_bits, enum role sender) {
  cost_send(cost, role_peer(sender), trees_message_len(field_bits));
}
