#include "ot/silent.h"

#include <sodium.h>

#include "ot/ggm.h"
#include "ot/lpn.h"
#include "ot/silent_field.h"

enum { SEED_LEN = 16, DEPTH_MIN = 8 };
_Static_assert(1 << DEPTH_MIN == (int)FIELD_FOLD, "a tree is folded in whole pieces");
_Static_assert((int)SILENT_ROW_WEIGHT == (int)LPN_WEIGHT, "the declared row weight is the code's");
_Static_assert(SILENT_CHALLENGE_LEN == SEED_LEN + sizeof(block), "a challenge is a seed and the masked sum");

/* The multipliers of the check: leaf j of tree l counts psi[l] * chi^j, chi and psi from the receiver's seed. */
struct check {
  block powers[FIELD_FOLD];     /* chi^j */
  block squares[GGM_DEPTH_MAX]; /* chi^(2^i) */
  block *strides;               /* chi^(FIELD_FOLD * s), one per piece of a tree */
  block *psi;                   /* one per tree */
};

/* What both parties' halves of an iteration share. */
struct worker {
  const struct silent_iteration *it;
  const struct aes_ops *aes;
  const struct ggm_ops *ggm;
  const struct lpn_ops *lpn;
  const struct field_ops *field;
  struct aes_key tree_key, row_key; /* public */
  bool tree_open, row_open;
  struct check check;
  block *corrections; /* of one chunk */
  size_t leaves;      /* of one tree */
};

static enum role other(enum role role) {
  return role == ROLE_SERVER ? ROLE_CLIENT : ROLE_SERVER;
}

static void put_u64(uint8_t *out, uint64_t v) {
  for (int i = 0; i < 8; i++) out[i] = (uint8_t)(v >> (8 * i));
}

/* BLAKE2b of a label, the iteration's name and `data`. */
static void iteration_hash(const struct silent_iteration *it, const char *label, const void *data, size_t data_len,
                           uint8_t *out, size_t out_len) {
  uint8_t name[32];
  crypto_generichash_state state;
  put_u64(name, it->session);
  put_u64(name + 8, it->number);
  put_u64(name + 16, it->sender == ROLE_SERVER);
  put_u64(name + 24, (uint64_t)it->set->depth << 48 | (uint64_t)it->set->log_k << 32 | it->set->trees);
  crypto_generichash_init(&state, NULL, 0, out_len);
  crypto_generichash_update(&state, (const uint8_t *)label, strlen(label) + 1);
  crypto_generichash_update(&state, name, sizeof name);
  crypto_generichash_update(&state, data, data_len);
  crypto_generichash_final(&state, out, out_len);
}

static void worker_close(struct worker *w) {
  if (w->tree_open) w->aes->close(&w->tree_key);
  if (w->row_open) w->aes->close(&w->row_key);
  mem_free(w->check.strides);
  mem_free(w->check.psi);
  mem_free(w->corrections);
}

static fusion_status worker_open(struct worker *w, const struct silent_iteration *it) {
  fusion_status status = FUSION_OK;
  uint8_t keys[2 * AES_KEY_LEN];
  const enum cpu_tier tier = cpu_tier();
  const struct silent_set *set = it->set;
  assert(set->depth >= DEPTH_MIN && set->depth <= GGM_DEPTH_MAX && set->log_k <= LPN_LOG_K_MAX);
  *w = (struct worker){.it = it,
                       .aes = aes_ops_of(tier),
                       .ggm = ggm_ops_of(tier),
                       .lpn = lpn_ops_of(tier),
                       .field = field_ops_of(tier),
                       .leaves = (size_t)1 << set->depth};
  iteration_hash(it, "fusion silent keys", NULL, 0, keys, sizeof keys);
  TRY(w->aes->open(&w->tree_key, keys));
  w->tree_open = true;
  TRY(w->aes->open(&w->row_key, keys + AES_KEY_LEN));
  w->row_open = true;
  w->check.strides = mem_alloc(w->leaves / FIELD_FOLD, sizeof(block));
  w->check.psi = mem_alloc(set->trees, sizeof(block));
  w->corrections = mem_alloc((size_t)SILENT_CHUNK_TREES * set->depth, sizeof(block));
  FAIL_IF(!w->check.strides || !w->check.psi || !w->corrections, FUSION_E_MEMORY);
cleanup:
  if (status != FUSION_OK) worker_close(w);
  return status;
}

static fusion_status check_draw(struct worker *w, const uint8_t seed[SEED_LEN]) {
  struct check *c = &w->check;
  const block one = block_make(0, 1);
  block chi;
  struct prg *g = prg_new(seed);
  if (!g) return FUSION_E_MEMORY;
  prg_bytes(g, &chi, sizeof chi);
  prg_bytes(g, c->psi, w->it->set->trees * sizeof(block));
  prg_free(g);
  c->squares[0] = chi;
  for (size_t i = 1; i < w->it->set->depth; i++) {
    c->squares[i] = w->field->multiply(c->squares[i - 1], c->squares[i - 1]);
  }
  c->powers[0] = one;
  for (size_t j = 1; j < FIELD_FOLD; j++) c->powers[j] = w->field->multiply(c->powers[j - 1], chi);
  const block stride = w->field->multiply(c->powers[FIELD_FOLD - 1], chi);
  c->strides[0] = one;
  for (size_t s = 1; s < w->leaves / FIELD_FOLD; s++) {
    c->strides[s] = w->field->multiply(c->strides[s - 1], stride);
  }
  return FUSION_OK;
}

/* The sum of x^i * spent[i]: the check's correlations as one over the field. */
static block check_mask(const block *spent) {
  block sum = {0};
  for (size_t i = SILENT_CHECK_COTS; i-- > 0;) {
    const uint64_t carry = sum.hi >> 63;
    sum = block_make(sum.hi << 1 | sum.lo >> 63, sum.lo << 1 ^ (((uint64_t)0 - carry) & 0x87));
    sum = block_xor(sum, spent[i]);
  }
  return sum;
}

/* Folds every tree into the check's value and adds the LPN code to it, tree by tree while it is in the nearest cache.
 * `holes` is the receiver's, NULL at the sender. */
static block finish_trees(const struct worker *w, const block *vector, block *out, const struct ggm_hole *holes) {
  const struct silent_set *set = w->it->set;
  block value = {0};
  for (size_t tree = 0; tree < set->trees; tree++) {
    block *const leaves = out + tree * w->leaves;
    block sum = {0};
    if (holes) w->ggm->mend(leaves, 0, w->leaves, &holes[tree]);
    for (size_t at = 0; at < w->leaves; at += FIELD_FOLD) {
      const block folded = w->field->fold(w->check.powers, leaves + at);
      sum = block_xor(sum, w->field->multiply(w->check.strides[at / FIELD_FOLD], folded));
    }
    value = block_xor(value, w->field->multiply(w->check.psi[tree], sum));
    w->lpn->encode(&w->row_key, leaves, tree * w->leaves, w->leaves, vector, set->log_k);
  }
  return value;
}

static void value_digest(const struct worker *w, block value, uint8_t digest[SILENT_DIGEST_LEN]) {
  iteration_hash(w->it, "fusion silent check", &value, sizeof value, digest, SILENT_DIGEST_LEN);
}

static fusion_status send_trees(const struct worker *w, block delta, const block *keys, block *out) {
  const struct silent_iteration *it = w->it;
  const size_t depth = it->set->depth;
  fusion_status status = FUSION_OK;
  block roots[SILENT_CHUNK_TREES];
  for (size_t tree = 0; tree < it->set->trees; tree += SILENT_CHUNK_TREES) {
    const size_t n = size_min(SILENT_CHUNK_TREES, it->set->trees - tree);
    prg_bytes(it->prg, roots, n * sizeof(block));
    for (size_t i = 0; i < n; i++) {
      block *const sums = w->corrections + i * depth;
      ggm_expand(w->ggm, &w->tree_key, out + (tree + i) * w->leaves, sums, roots[i], delta, it->set->depth);
      for (size_t level = 0; level < depth; level++) {
        sums[level] = block_xor(sums[level], keys[(tree + i) * depth + level]);
      }
    }
    TRY(channel_send(it->channel, MSG_SILENT, w->corrections, n * depth * sizeof(block)));
    TRY(channel_flush(it->channel));
  }
cleanup:
  mem_wipe(roots, sizeof roots);
  return status;
}

fusion_status silent_iterate_sender(const struct silent_iteration *it, block delta, const block *base, block *out) {
  fusion_status status = FUSION_OK;
  struct worker w;
  uint8_t challenge[SILENT_CHALLENGE_LEN], digest[SILENT_DIGEST_LEN];
  const block *const tree_keys = base + silent_set_k(it->set);
  const block *const check_keys = tree_keys + (size_t)it->set->trees * it->set->depth;
  block masked, value;
  status = worker_open(&w, it);
  if (status != FUSION_OK) return status;
  TRY(send_trees(&w, delta, tree_keys, out));
  TRY(channel_recv(it->channel, MSG_SILENT, challenge, sizeof challenge));
  TRY(check_draw(&w, challenge));
  memcpy(&masked, challenge + SEED_LEN, sizeof masked);
  value = finish_trees(&w, base, out, NULL);
  value = block_xor(value, block_xor(check_mask(check_keys), w.field->multiply(masked, delta)));
  value_digest(&w, value, digest);
  mem_wipe(&value, sizeof value);
  TRY(channel_send(it->channel, MSG_SILENT, digest, sizeof digest));
  TRY(channel_flush(it->channel));
cleanup:
  if (status != FUSION_OK) mem_wipe(out, silent_set_outputs(it->set) * sizeof(block));
  worker_close(&w);
  return status;
}

/* The hole turns away from the side whose sum the receiver can unmask: right where its choice bit is 0. */
static uint64_t tree_turns(const block *macs, size_t depth) {
  uint64_t turns = 0;
  for (size_t level = 0; level < depth; level++) turns |= (~macs[level].lo & 1) << level;
  return turns;
}

static fusion_status receive_trees(const struct worker *w, const block *macs, block *out, struct ggm_hole *holes) {
  const struct silent_iteration *it = w->it;
  const size_t depth = it->set->depth;
  fusion_status status = FUSION_OK;
  for (size_t tree = 0; tree < it->set->trees; tree += SILENT_CHUNK_TREES) {
    const size_t n = size_min(SILENT_CHUNK_TREES, it->set->trees - tree);
    TRY(channel_recv(it->channel, MSG_SILENT, w->corrections, n * depth * sizeof(block)));
    for (size_t i = 0; i < n; i++) {
      block *const sums = w->corrections + i * depth;
      const block *const mine = macs + (tree + i) * depth;
      for (size_t level = 0; level < depth; level++) sums[level] = block_xor(sums[level], mine[level]);
      ggm_expand_punctured(w->ggm, &w->tree_key, out + (tree + i) * w->leaves, &holes[tree + i], sums,
                           tree_turns(mine, depth), it->set->depth);
    }
  }
cleanup:
  mem_wipe(w->corrections, (size_t)SILENT_CHUNK_TREES * depth * sizeof(block));
  return status;
}

/* Draws the challenge, now that no correction can change any more, and sends it with the masked sum of the multipliers
 * at the holes. */
static fusion_status send_challenge(struct worker *w, const struct ggm_hole *holes, const block *check_macs) {
  const struct silent_iteration *it = w->it;
  fusion_status status = FUSION_OK;
  uint8_t challenge[SILENT_CHALLENGE_LEN];
  block sum = {0}, choices = {0};
  prg_bytes(it->prg, challenge, SEED_LEN);
  TRY(check_draw(w, challenge));
  for (size_t tree = 0; tree < it->set->trees; tree++) {
    block factor = w->check.psi[tree];
    for (size_t i = 0; i < it->set->depth; i++) {
      const uint64_t turn = (uint64_t)0 - ((holes[tree].at >> i) & 1);
      const block one = block_make(0, 1);
      const block step = block_xor(one, block_and_mask(block_xor(one, w->check.squares[i]), turn));
      factor = w->field->multiply(factor, step);
    }
    sum = block_xor(sum, factor);
  }
  for (size_t i = 0; i < 64; i++) {
    choices.lo |= (check_macs[i].lo & 1) << i;
    choices.hi |= (check_macs[64 + i].lo & 1) << i;
  }
  sum = block_xor(sum, choices);
  memcpy(challenge + SEED_LEN, &sum, sizeof sum);
  TRY(channel_send(it->channel, MSG_SILENT, challenge, sizeof challenge));
  TRY(channel_flush(it->channel));
cleanup:
  mem_wipe(&choices, sizeof choices);
  return status;
}

fusion_status silent_iterate_receiver(const struct silent_iteration *it, const block *base, block *out) {
  fusion_status status = FUSION_OK;
  struct worker w;
  uint8_t digest[SILENT_DIGEST_LEN], theirs[SILENT_DIGEST_LEN];
  const block *const tree_macs = base + silent_set_k(it->set);
  const block *const check_macs = tree_macs + (size_t)it->set->trees * it->set->depth;
  const size_t holes_len = it->set->trees * sizeof(struct ggm_hole);
  struct ggm_hole *holes = NULL;
  block value;
  status = worker_open(&w, it);
  if (status != FUSION_OK) return status;
  holes = mem_alloc(it->set->trees, sizeof *holes);
  FAIL_IF(!holes, FUSION_E_MEMORY);
  TRY(receive_trees(&w, tree_macs, out, holes));
  TRY(send_challenge(&w, holes, check_macs));
  value = block_xor(finish_trees(&w, base, out, holes), check_mask(check_macs));
  value_digest(&w, value, digest);
  mem_wipe(&value, sizeof value);
  TRY(channel_recv(it->channel, MSG_SILENT, theirs, sizeof theirs));
  if (sodium_memcmp(digest, theirs, sizeof digest) != 0) {
    status = channel_fail(it->channel, FUSION_E_CRYPTO, "silent OT: the peer's corrections fail the consistency check");
  }
cleanup:
  if (status != FUSION_OK) mem_wipe(out, silent_set_outputs(it->set) * sizeof(block));
  mem_free_secret(holes, holes_len);
  worker_close(&w);
  return status;
}

void silent_iterate_cost(struct cost *cost, const struct silent_set *set, enum role sender) {
  for (uint32_t tree = 0; tree < set->trees; tree += SILENT_CHUNK_TREES) {
    cost_send(cost, sender, size_min(SILENT_CHUNK_TREES, set->trees - tree) * set->depth * sizeof(block));
  }
  cost_send(cost, other(sender), SILENT_CHALLENGE_LEN);
  cost_send(cost, sender, SILENT_DIGEST_LEN);
}
