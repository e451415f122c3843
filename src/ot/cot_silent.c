#include "ot/cot_silent.h"

#include <sodium.h>

#include "base/secret.h"
#include "ot/silent.h"
#include "ot/softspoken.h"

/* One direction's stock: the trees of the last iteration that are not yet taken, and what is left of the tree in use.
 */
struct direction {
  struct silent_schedule schedule;
  struct silent_harvest *harvest;
  size_t next_tree, trees, leaves; /* of the harvest */
  block *tree;                     /* the tree in use, grown; all before `next_leaf` is taken */
  size_t next_leaf;
  block *base; /* for the next iteration: silent_set_base(schedule.set) and more; NULL before the first */
  size_t base_count;
  uint64_t iterations;
};

struct cot_silent {
  struct cot cot; /* first: a struct cot * is one of these */
  struct prg *prg;
  struct softspoken_sender *sender;
  struct softspoken_receiver *receiver;
  struct direction sends, receives;
  fusion_status failed; /* the first failure; nothing is handed out after it */
};

static enum role other(enum role role) {
  return role == ROLE_SERVER ? ROLE_CLIENT : ROLE_SERVER;
}

static void direction_close(struct direction *d) {
  silent_free(d->harvest);
  mem_free_secret(d->tree, d->leaves * sizeof(block));
  mem_free_secret(d->base, d->base_count * sizeof(block));
  d->harvest = NULL;
  d->tree = d->base = NULL;
}

/* Room for at least `count` correlations as the next iteration's base. */
static fusion_status base_alloc(struct direction *d, size_t count) {
  d->base = mem_alloc(count, sizeof(block));
  d->base_count = count;
  return d->base ? FUSION_OK : FUSION_E_MEMORY;
}

/* Grows the first trees of a fresh harvest as what the next iteration starts from. */
static fusion_status hold_back(struct direction *d, const struct silent_set *set) {
  const size_t leaves = (size_t)1 << set->depth;
  mem_free_secret(d->tree, d->leaves * sizeof(block));
  d->leaves = leaves;
  d->next_leaf = leaves;
  d->trees = set->trees;
  d->iterations++;
  (void)silent_schedule_step(&d->schedule);
  d->next_tree = div_up(silent_set_base(d->schedule.set), leaves);
  d->tree = mem_alloc(leaves, sizeof(block));
  if (!d->tree) return FUSION_E_MEMORY;
  const fusion_status status = base_alloc(d, d->next_tree * leaves);
  if (status != FUSION_OK) return status;
  silent_grow(d->harvest, d->base, 0, d->next_tree);
  return FUSION_OK;
}

static fusion_status refill(struct cot_silent *s, struct direction *d, bool sending) {
  const struct silent_set *set = d->schedule.set;
  fusion_status status = FUSION_OK;
  const struct silent_iteration it = {.set = set,
                                      .channel = s->cot.channel,
                                      .prg = s->prg,
                                      .session = s->cot.session,
                                      .sender = sending ? s->cot.role : other(s->cot.role),
                                      .number = d->iterations};
  silent_free(d->harvest);
  d->harvest = NULL;
  if (!d->base) {
    const size_t count = silent_set_base(set);
    TRY(base_alloc(d, count));
    TRY(sending ? softspoken_send(s->sender, d->base, count) : softspoken_receive(s->receiver, d->base, count));
  }
  block *const base = d->base;
  d->base = NULL;
  TRY(sending ? silent_iterate_sender(&d->harvest, &it, s->cot.delta, base)
              : silent_iterate_receiver(&d->harvest, &it, base));
  TRY(hold_back(d, set));
cleanup:
  return status;
}

/* Gives out up to `count` of the stock: whole trees grow where they are wanted. Returns how many; 0: the stock is
 * empty. */
static size_t take_some(struct direction *d, block *out, size_t count) {
  if (d->next_leaf == d->leaves && d->next_tree < d->trees && count < d->leaves) {
    silent_grow(d->harvest, d->tree, d->next_tree++, 1);
    d->next_leaf = 0;
  }
  if (d->next_leaf < d->leaves) {
    const size_t n = size_min(count, d->leaves - d->next_leaf);
    memcpy(out, d->tree + d->next_leaf, n * sizeof(block));
    mem_wipe(d->tree + d->next_leaf, n * sizeof(block));
    d->next_leaf += n;
    return n;
  }
  if (d->next_tree == d->trees) return 0;
  const size_t trees = size_min(count / d->leaves, d->trees - d->next_tree);
  silent_grow(d->harvest, out, d->next_tree, trees);
  d->next_tree += trees;
  return trees * d->leaves;
}

static fusion_status take(struct cot_silent *s, struct direction *d, bool sending, block *out, size_t count) {
  while (count) {
    if (s->failed != FUSION_OK) return s->failed;
    const size_t n = take_some(d, out, count);
    out += n;
    count -= n;
    if (!n) s->failed = refill(s, d, sending);
  }
  return FUSION_OK;
}

static fusion_status take_sender(struct cot *c, block *keys, size_t count) {
  struct cot_silent *s = (struct cot_silent *)c;
  return take(s, &s->sends, true, keys, count);
}

static fusion_status take_receiver(struct cot *c, block *macs, size_t count) {
  struct cot_silent *s = (struct cot_silent *)c;
  return take(s, &s->receives, false, macs, count);
}

static void close_silent(struct cot *c) {
  struct cot_silent *s = (struct cot_silent *)c;
  if (!s) return;
  direction_close(&s->sends);
  direction_close(&s->receives);
  softspoken_sender_free(s->sender);
  softspoken_receiver_free(s->receiver);
  prg_free(s->prg);
  key_free(s);
}

/* The server's nonce goes first, so that a cheating server cannot choose the session number. */
static fusion_status agree_session(uint64_t *session, enum role role, struct channel *channel, struct prg *prg) {
  fusion_status status = FUSION_OK;
  static const uint8_t label[] = "fusion session number";
  uint8_t nonces[2 * COT_SILENT_NONCE_LEN], hash[16];
  uint8_t *const first = nonces, *const second = nonces + COT_SILENT_NONCE_LEN;
  prg_bytes(prg, role == ROLE_SERVER ? first : second, COT_SILENT_NONCE_LEN);
  secret_declassify(role == ROLE_SERVER ? first : second, COT_SILENT_NONCE_LEN, "a nonce");
  if (role == ROLE_SERVER) {
    TRY(channel_send(channel, MSG_SILENT, first, COT_SILENT_NONCE_LEN));
    TRY(channel_recv(channel, MSG_SILENT, second, COT_SILENT_NONCE_LEN));
  } else {
    TRY(channel_recv(channel, MSG_SILENT, first, COT_SILENT_NONCE_LEN));
    TRY(channel_send(channel, MSG_SILENT, second, COT_SILENT_NONCE_LEN));
  }
  crypto_generichash(hash, sizeof hash, nonces, sizeof nonces, label, sizeof label);
  memcpy(session, hash, sizeof *session);
cleanup:
  return status;
}

fusion_status cot_open_silent(struct cot **out, enum role role, struct channel *channel, struct prg *prg,
                              const struct silent_params *params) {
  static const struct cot_ops ops = {.take_sender = take_sender, .take_receiver = take_receiver, .close = close_silent};
  fusion_status status = FUSION_OK;
  uint8_t seed[PRG_SEED_LEN];
  struct cot_silent *s = NULL;
  *out = NULL;
  FAIL_IF(params->profile != SILENT_LAN && params->profile != SILENT_WAN, FUSION_E_USAGE);
  s = key_alloc(sizeof *s);
  FAIL_IF(!s, FUSION_E_MEMORY);
  s->cot.ops = &ops;
  s->cot.role = role;
  s->cot.channel = channel;
  s->sends.schedule = silent_schedule_start(params, role);
  s->receives.schedule = silent_schedule_start(params, other(role));
  prg_bytes(prg, seed, sizeof seed);
  s->prg = prg_new(seed);
  FAIL_IF(!s->prg, FUSION_E_MEMORY);
  TRY(agree_session(&s->cot.session, role, channel, s->prg));
  const struct softspoken_setup setup = {
      .channel = channel, .prg = s->prg, .role = role, .session = s->cot.session, .field_bits = SOFTSPOKEN_FIELD_BITS};
  TRY(softspoken_open(&s->sender, &s->receiver, &setup));
  s->cot.delta = softspoken_delta(s->sender);
  *out = &s->cot;
  s = NULL;
cleanup:
  mem_wipe(seed, sizeof seed);
  if (s) close_silent(&s->cot);
  return status;
}

/* One set's share of one direction: the base in use and the next one, in whole trees; roots or turns and multipliers;
 * the tree in use and the one that is checked; a message. */
static size_t set_memory(const struct silent_set *set) {
  const size_t leaves = (size_t)1 << set->depth, base = silent_set_base(set);
  return sizeof(block) * (base + base + leaves + 2 * (size_t)set->trees + 2 * leaves + SILENT_CHUNK_TREES * set->depth);
}

size_t cot_silent_memory(const struct silent_params *params) {
  const size_t lan = set_memory(&silent_set_lan);
  return 2 * (params->profile == SILENT_WAN ? size_max(lan, set_memory(&silent_set_wan)) : lan);
}
