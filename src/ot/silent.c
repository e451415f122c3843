#include "ot/silent.h"

#include <sodium.h>

#include "base/secret.h"
#include "ot/ggm.h"
#include "ot/lpn.h"
#include "ot/silent_field.h"

enum { SEED_LEN = 16, DEPTH_MIN = 8 };
_Static_assert(1 << DEPTH_MIN == (int)FIELD_FOLD, "a tree is folded in whole pieces");
_Static_assert((int)SILENT_ROW_WEIGHT == (int)LPN_WEIGHT, "the declared row weight is the code's");
_Static_assert(SILENT_CHALLENGE_LEN == SEED_LEN + sizeof(block), "a challenge is a seed and the masked sum");

/* The multipliers of the check: leaf j of tree l counts psi[l] * chi^j, chi and psi from the receiver's seed. */
struct check {
  block powers[FIELD_FOLD];                        /* chi^j */
  block squares[GGM_DEPTH_MAX];                    /* chi^(2^i) */
  block strides[1 << (GGM_DEPTH_MAX - DEPTH_MIN)]; /* chi^(FIELD_FOLD * s), one per piece of a tree */
  block *psi;                                      /* one per tree */
};

/* The sender's trees are their roots. The receiver's are, in place of the macs in `base`, the sums that each level is
 * completed with, and the turns of the path to the hole. */
struct silent_harvest {
  const struct silent_set *set;
  const struct aes_ops *aes;
  const struct ggm_ops *ggm;
  const struct lpn_ops *lpn;
  struct aes_key tree_key, row_key; /* public */
  bool tree_open, row_open;
  bool sends;
  block delta;     /* the sender's */
  block *base;     /* the LPN vector, tree correlations, check correlations */
  block *roots;    /* the sender's, one per tree */
  uint64_t *turns; /* the receiver's, one per tree */
};

/* What lives only while an iteration runs. */
struct worker {
  const struct silent_iteration *it;
  struct silent_harvest *harvest;
  const struct field_ops *field;
  struct check check;
  block *corrections; /* of one chunk */
  block *leaves;      /* of one tree */
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

static size_t tree_leaves(const struct silent_set *set) {
  return (size_t)1 << set->depth;
}

static block *tree_base(const struct silent_harvest *h, size_t tree) {
  return h->base + silent_set_k(h->set) + tree * h->set->depth;
}

void silent_free(struct silent_harvest *h) {
  if (!h) return;
  if (h->tree_open) h->aes->close(&h->tree_key);
  if (h->row_open) h->aes->close(&h->row_key);
  mem_free_secret(h->base, silent_set_base(h->set) * sizeof(block));
  mem_free_secret(h->roots, h->set->trees * sizeof(block));
  mem_free_secret(h->turns, h->set->trees * sizeof(uint64_t));
  mem_free_secret(h, sizeof *h);
}

/* Takes `base` over, also on failure. */
static fusion_status harvest_new(struct silent_harvest **out, const struct silent_iteration *it, bool sends,
                                 block *base) {
  fusion_status status = FUSION_OK;
  uint8_t keys[2 * AES_KEY_LEN];
  const enum cpu_tier tier = cpu_tier();
  struct silent_harvest *h = mem_alloc(1, sizeof *h);
  if (!h) {
    mem_free_secret(base, silent_set_base(it->set) * sizeof(block));
    return FUSION_E_MEMORY;
  }
  assert(it->set->depth >= DEPTH_MIN && it->set->depth <= GGM_DEPTH_MAX && it->set->log_k <= LPN_LOG_K_MAX);
  *h = (struct silent_harvest){.set = it->set,
                               .aes = aes_ops_of(tier),
                               .ggm = ggm_ops_of(tier),
                               .lpn = lpn_ops_of(tier),
                               .sends = sends,
                               .base = base};
  iteration_hash(it, "fusion silent keys", NULL, 0, keys, sizeof keys);
  TRY(h->aes->open(&h->tree_key, keys));
  h->tree_open = true;
  TRY(h->aes->open(&h->row_key, keys + AES_KEY_LEN));
  h->row_open = true;
  if (sends) h->roots = mem_alloc(it->set->trees, sizeof(block));
  if (!sends) h->turns = mem_alloc(it->set->trees, sizeof(uint64_t));
  FAIL_IF(sends ? !h->roots : !h->turns, FUSION_E_MEMORY);
  *out = h;
  h = NULL;
cleanup:
  silent_free(h);
  return status;
}

static void worker_close(struct worker *w) {
  const struct silent_set *set = w->it->set;
  silent_free(w->harvest);
  mem_free(w->check.psi);
  mem_free_secret(w->corrections, (size_t)SILENT_CHUNK_TREES * set->depth * sizeof(block));
  mem_free_secret(w->leaves, tree_leaves(set) * sizeof(block));
  mem_free(w);
}

static fusion_status worker_open(struct worker **out, const struct silent_iteration *it, bool sends, block *base) {
  fusion_status status = FUSION_OK;
  struct silent_harvest *harvest = NULL;
  struct worker *w = NULL;
  status = harvest_new(&harvest, it, sends, base);
  if (status != FUSION_OK) return status;
  w = mem_alloc(1, sizeof *w);
  FAIL_IF(!w, FUSION_E_MEMORY);
  w->it = it;
  w->harvest = harvest;
  harvest = NULL;
  w->field = field_ops_of(cpu_tier());
  w->check.psi = mem_alloc(it->set->trees, sizeof(block));
  w->corrections = mem_alloc((size_t)SILENT_CHUNK_TREES * it->set->depth, sizeof(block));
  w->leaves = mem_alloc(tree_leaves(it->set), sizeof(block));
  FAIL_IF(!w->check.psi || !w->corrections || !w->leaves, FUSION_E_MEMORY);
  *out = w;
  w = NULL;
cleanup:
  silent_free(harvest);
  if (w) worker_close(w);
  return status;
}

/* The leaves of one tree, the hole's two in place. The sender's level sums go to left_sums unless that is NULL. */
static void grow_tree(const struct silent_harvest *h, size_t tree, block *leaves, block *left_sums) {
  block sums[GGM_DEPTH_MAX];
  struct ggm_hole hole;
  if (h->sends) {
    ggm_expand(h->ggm, &h->tree_key, leaves, left_sums ? left_sums : sums, h->roots[tree], h->delta, h->set->depth);
    mem_wipe(sums, sizeof sums);
    return;
  }
  ggm_expand_punctured(h->ggm, &h->tree_key, leaves, &hole, tree_base(h, tree), h->turns[tree], h->set->depth);
  h->ggm->mend(leaves, 0, tree_leaves(h->set), &hole);
  mem_wipe(&hole, sizeof hole);
}

void silent_grow(const struct silent_harvest *h, block *out, size_t first, size_t count) {
  const size_t leaves = tree_leaves(h->set);
  assert(first + count <= h->set->trees);
  for (size_t i = 0; i < count; i++) {
    grow_tree(h, first + i, out + i * leaves, NULL);
    h->lpn->encode(&h->row_key, out + i * leaves, (first + i) * leaves, leaves, h->base, h->set->log_k);
  }
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
  for (size_t s = 1; s < tree_leaves(w->it->set) / FIELD_FOLD; s++) {
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

/* The check's value: all trees, folded one at a time in the nearest cache. */
static block fold_trees(const struct worker *w) {
  const struct silent_set *set = w->it->set;
  block value = {0};
  for (size_t tree = 0; tree < set->trees; tree++) {
    block sum = {0};
    grow_tree(w->harvest, tree, w->leaves, NULL);
    for (size_t at = 0; at < tree_leaves(set); at += FIELD_FOLD) {
      const block folded = w->field->fold(w->check.powers, w->leaves + at);
      sum = block_xor(sum, w->field->multiply(w->check.strides[at / FIELD_FOLD], folded));
    }
    value = block_xor(value, w->field->multiply(w->check.psi[tree], sum));
  }
  return value;
}

static void value_digest(const struct worker *w, block value, uint8_t digest[SILENT_DIGEST_LEN]) {
  iteration_hash(w->it, "fusion silent check", &value, sizeof value, digest, SILENT_DIGEST_LEN);
}

static fusion_status send_trees(const struct worker *w) {
  const struct silent_iteration *it = w->it;
  const struct silent_harvest *h = w->harvest;
  const size_t depth = it->set->depth;
  for (size_t tree = 0; tree < it->set->trees; tree += SILENT_CHUNK_TREES) {
    const size_t n = size_min(SILENT_CHUNK_TREES, it->set->trees - tree);
    for (size_t i = 0; i < n; i++) {
      block *const sums = w->corrections + i * depth;
      const block *const keys = tree_base(h, tree + i);
      grow_tree(h, tree + i, w->leaves, sums);
      for (size_t level = 0; level < depth; level++) sums[level] = block_xor(sums[level], keys[level]);
    }
    secret_declassify(w->corrections, n * depth * sizeof(block), "level sums under keys of fresh correlations");
    fusion_status status = channel_send(it->channel, MSG_SILENT, w->corrections, n * depth * sizeof(block));
    if (status == FUSION_OK) status = channel_flush(it->channel);
    if (status != FUSION_OK) return status;
  }
  return FUSION_OK;
}

fusion_status silent_iterate_sender(struct silent_harvest **out, const struct silent_iteration *it, block delta,
                                    block *base) {
  fusion_status status = FUSION_OK;
  struct worker *w;
  uint8_t challenge[SILENT_CHALLENGE_LEN], digest[SILENT_DIGEST_LEN];
  block masked, value;
  *out = NULL;
  status = worker_open(&w, it, true, base);
  if (status != FUSION_OK) return status;
  w->harvest->delta = delta;
  prg_bytes(it->prg, w->harvest->roots, it->set->trees * sizeof(block));
  TRY(send_trees(w));
  TRY(channel_recv(it->channel, MSG_SILENT, challenge, sizeof challenge));
  TRY(check_draw(w, challenge));
  memcpy(&masked, challenge + SEED_LEN, sizeof masked);
  value = fold_trees(w);
  value = block_xor(value, check_mask(tree_base(w->harvest, it->set->trees)));
  value = block_xor(value, w->field->multiply(masked, delta));
  value_digest(w, value, digest);
  mem_wipe(&value, sizeof value);
  secret_declassify(digest, sizeof digest, "the peer can compute it: a hash of its own value of the check");
  TRY(channel_send(it->channel, MSG_SILENT, digest, sizeof digest));
  TRY(channel_flush(it->channel));
  *out = w->harvest;
  w->harvest = NULL;
cleanup:
  worker_close(w);
  return status;
}

/* The hole turns away from the side whose sum the receiver can unmask: right where its choice bit is 0. */
static uint64_t tree_turns(const block *macs, size_t depth) {
  uint64_t turns = 0;
  for (size_t level = 0; level < depth; level++) turns |= (~macs[level].lo & 1) << level;
  return turns;
}

/* Leaves in place of each tree's macs what completes its levels. */
static fusion_status receive_trees(const struct worker *w) {
  const struct silent_iteration *it = w->it;
  const struct silent_harvest *h = w->harvest;
  const size_t depth = it->set->depth;
  for (size_t tree = 0; tree < it->set->trees; tree += SILENT_CHUNK_TREES) {
    const size_t n = size_min(SILENT_CHUNK_TREES, it->set->trees - tree);
    const fusion_status status = channel_recv(it->channel, MSG_SILENT, w->corrections, n * depth * sizeof(block));
    if (status != FUSION_OK) return status;
    for (size_t i = 0; i < n; i++) {
      block *const macs = tree_base(h, tree + i);
      h->turns[tree + i] = tree_turns(macs, depth);
      for (size_t level = 0; level < depth; level++) {
        macs[level] = block_xor(macs[level], w->corrections[i * depth + level]);
      }
    }
  }
  return FUSION_OK;
}

/* Draws the challenge, now that no correction can change any more, and sends it with the masked sum of the multipliers
 * at the holes. */
static fusion_status send_challenge(struct worker *w) {
  const struct silent_iteration *it = w->it;
  const block *const check_macs = tree_base(w->harvest, it->set->trees);
  fusion_status status = FUSION_OK;
  uint8_t challenge[SILENT_CHALLENGE_LEN];
  block sum = {0}, choices = {0};
  prg_bytes(it->prg, challenge, SEED_LEN);
  TRY(check_draw(w, challenge));
  for (size_t tree = 0; tree < it->set->trees; tree++) {
    block factor = w->check.psi[tree];
    for (size_t i = 0; i < it->set->depth; i++) {
      const uint64_t turn = (uint64_t)0 - ((w->harvest->turns[tree] >> i) & 1);
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
  secret_declassify(challenge, sizeof challenge, "public coins; the sum is masked by unused choice bits");
  TRY(channel_send(it->channel, MSG_SILENT, challenge, sizeof challenge));
  TRY(channel_flush(it->channel));
cleanup:
  mem_wipe(&choices, sizeof choices);
  return status;
}

fusion_status silent_iterate_receiver(struct silent_harvest **out, const struct silent_iteration *it, block *base) {
  fusion_status status = FUSION_OK;
  struct worker *w;
  uint8_t digest[SILENT_DIGEST_LEN], theirs[SILENT_DIGEST_LEN];
  block value;
  *out = NULL;
  status = worker_open(&w, it, false, base);
  if (status != FUSION_OK) return status;
  TRY(receive_trees(w));
  TRY(send_challenge(w));
  value = block_xor(fold_trees(w), check_mask(tree_base(w->harvest, it->set->trees)));
  value_digest(w, value, digest);
  mem_wipe(&value, sizeof value);
  TRY(channel_recv(it->channel, MSG_SILENT, theirs, sizeof theirs));
  int differs = sodium_memcmp(digest, theirs, sizeof digest);
  secret_declassify(&differs, sizeof differs, "the run ends here if the check fails: the peer sees it");
  if (differs) {
    TRY(channel_fail(it->channel, FUSION_E_CRYPTO, "silent OT: the peer's corrections fail the consistency check"));
  }
  *out = w->harvest;
  w->harvest = NULL;
cleanup:
  worker_close(w);
  return status;
}

void silent_iterate_cost(struct cost *cost, const struct silent_set *set, enum role sender) {
  for (uint32_t tree = 0; tree < set->trees; tree += SILENT_CHUNK_TREES) {
    cost_send(cost, sender, size_min(SILENT_CHUNK_TREES, set->trees - tree) * set->depth * sizeof(block));
  }
  cost_send(cost, other(sender), SILENT_CHALLENGE_LEN);
  cost_send(cost, sender, SILENT_DIGEST_LEN);
}
