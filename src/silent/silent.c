#include "silent/silent.h"

#include <sodium.h>

#include "base/secret.h"
#include "silent/ggm.h"
#include "silent/lpn_kernels.h"
#include "silent/silent_field_kernels.h"
#include "silent/silent_messages.h"

enum { SEED_LEN = 16, DEPTH_MIN = 8, VECTOR_PART = 128 /* of a vector at a time; every k is a multiple */ };
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

/* The trees of one iteration. The sender's are their roots. The receiver's are, in place of the tree correlations'
 * macs, the sums that each level is completed with, and the turns of the path to the hole. */
struct forest {
  struct silent_set set;
  const struct aes_kernels *aes;
  const struct ggm_kernels *ggm;
  struct aes_key tree_key; /* public */
  struct heap *heap;       /* borrowed */
  bool tree_open, sends;
  size_t given;    /* a tree's first levels that need no correction: 1 where it grows from its first correlation */
  block delta;     /* the sender's */
  block *base;     /* borrowed while the iteration runs: the LPN vector, tree correlations, check correlations */
  block *levels;   /* tree correlations, in `base`; in a harvest the receiver's level sums, by themselves */
  block *roots;    /* the sender's, one per tree */
  uint64_t *turns; /* the receiver's, one per tree */
};

struct silent_harvest {
  struct silent_set set;
  struct heap *heap; /* borrowed */
  const struct aes_kernels *aes;
  const struct lpn_kernels *lpn;
  uint64_t session, number; /* public: of the first iteration */
  enum role sender;
  struct aes_key row_key; /* public */
  bool row_open;
  struct forest *forests[LPN_TOGETHER]; /* [vectors.count], owned */
  block *blocks;                        /* owned: the vectors' */
  struct lpn_vectors vectors;
};

/* One iteration of a batch while it runs. */
struct run {
  const struct silent_iteration *it;
  struct forest *forest;
  uint8_t challenge[SILENT_CHALLENGE_LEN]; /* public */
};

struct silent_check {
  struct channel *channel; /* borrowed */
  size_t count, room;
  uint8_t *digests; /* owned, [room]: of this party's own values, in order */
};

/* A batch while it runs; the room below the runs is used by one at a time. */
struct batch {
  const struct silent_party *party;
  struct run *runs;
  size_t count, trees, leaves; /* most trees, and leaves of a tree, of any iteration */
  const struct silent_field_kernels *field;
  struct check check;
  struct prg *coins;           /* of the challenge at hand */
  struct silent_check *expect; /* borrowed */
  block *corrections;          /* of one chunk */
  block *leaf;                 /* of one tree */
};

static void put_u64(uint8_t *out, uint64_t v) {
  for (int i = 0; i < 8; i++) out[i] = (uint8_t)(v >> (8 * i));
}

/* BLAKE2b of a label, the iteration's name and `data`. */
static void iteration_hash(const struct silent_party *p, const struct silent_iteration *it, const char *label,
                           const void *data, size_t data_len, uint8_t *out, size_t out_len) {
  uint8_t name[32];
  crypto_generichash_state state;
  put_u64(name, p->session);
  put_u64(name + 8, it->number);
  put_u64(name + 16, it->sender == ROLE_SERVER);
  put_u64(name + 24, (uint64_t)it->set->depth << 56 | (uint64_t)it->set->shift << 48 | (uint64_t)it->set->factor << 24 |
                         it->set->trees);
  crypto_generichash_init(&state, NULL, 0, out_len);
  crypto_generichash_update(&state, (const uint8_t *)label, strlen(label) + 1);
  crypto_generichash_update(&state, name, sizeof name);
  crypto_generichash_update(&state, data, data_len);
  crypto_generichash_final(&state, out, out_len);
}

static size_t tree_leaves(const struct silent_set *set) {
  return (size_t)1 << set->depth;
}

static block *tree_base(const struct forest *f, size_t tree) {
  return f->levels + tree * f->set.depth;
}

static size_t levels_len(const struct silent_set *set) {
  return (size_t)set->trees * set->depth * sizeof(block);
}

static void forest_free(struct forest *f) {
  if (!f) return;
  if (f->tree_open) f->aes->close(&f->tree_key);
  if (!f->base) heap_give(f->heap, f->levels, levels_len(&f->set));
  mem_free_secret(f->roots, f->set.trees * sizeof(block));
  mem_free_secret(f->turns, f->set.trees * sizeof(uint64_t));
  mem_free_secret(f, sizeof *f);
}

/* Public keys: of the trees, then of the rows. */
static void iteration_keys(const struct silent_party *p, const struct silent_iteration *it,
                           uint8_t keys[2 * AES_KEY_LEN]) {
  iteration_hash(p, it, "fusion silent keys", NULL, 0, keys, (size_t)2 * AES_KEY_LEN);
}

/* Without base, and its roots or turns still zeros. */
static fusion_status forest_open(struct forest **out, const struct silent_party *p, const struct silent_iteration *it) {
  fusion_status status = FUSION_OK;
  uint8_t keys[2 * AES_KEY_LEN];
  const struct silent_set *set = it->set;
  const bool sends = it->sender == p->role;
  struct forest *f = mem_alloc(1, sizeof *f);
  if (!f) return FUSION_E_MEMORY;
  assert(set->depth >= DEPTH_MIN && set->depth <= GGM_DEPTH_MAX && set->together <= LPN_TOGETHER);
  *f = (struct forest){.set = *set, .aes = aes_kernels(), .ggm = ggm_kernels(), .heap = p->heap, .sends = sends};
  if (sends) f->delta = p->delta;
  iteration_keys(p, it, keys);
  TRY(f->aes->open(&f->tree_key, keys));
  f->tree_open = true;
  if (sends) f->roots = mem_alloc(set->trees, sizeof(block));
  if (!sends) f->turns = mem_alloc(set->trees, sizeof(uint64_t));
  FAIL_IF(sends ? !f->roots : !f->turns, FUSION_E_MEMORY);
  *out = f;
  f = NULL;
cleanup:
  forest_free(f);
  return status;
}

static fusion_status forest_new(struct forest **out, const struct silent_party *p, const struct silent_iteration *it) {
  const fusion_status status = forest_open(out, p, it);
  if (status != FUSION_OK) return status;
  struct forest *f = *out;
  f->base = it->base;
  f->levels = it->base + silent_set_k(it->set);
  assert(!it->chained || it->number); /* the first starts from SoftSpoken */
  f->given = it->chained ? 1 : 0;
  if (f->sends && !f->given) prg_bytes(p->prg, f->roots, f->set.trees * sizeof(block));
  for (size_t i = 0; f->sends && f->given && i < f->set.trees; i++) f->roots[i] = tree_base(f, i)[0];
  return FUSION_OK;
}

/* Keeps of the base what growing takes: the receiver's level sums. */
static fusion_status forest_shrink(struct forest *f) {
  block *levels = NULL;
  if (!f->sends) {
    levels = heap_take(f->heap, levels_len(&f->set), 1);
    if (!levels) return FUSION_E_MEMORY;
    memcpy(levels, f->levels, levels_len(&f->set));
  }
  f->base = NULL;
  f->levels = levels;
  return FUSION_OK;
}

void silent_free(struct silent_harvest *h) {
  if (!h) return;
  if (h->row_open) h->aes->close(&h->row_key);
  for (size_t i = 0; i < h->vectors.count; i++) forest_free(h->forests[i]);
  heap_give(h->heap, h->blocks, silent_set_k(&h->set) * h->vectors.width * sizeof(block));
  mem_free_secret(h, sizeof *h);
}

size_t silent_members(const struct silent_harvest *h) {
  return h->vectors.count;
}

/* Of `members` iterations from this one on; its vectors zeros, without forests. */
static fusion_status harvest_open(struct silent_harvest **out, const struct silent_party *p,
                                  const struct silent_iteration *first, size_t members) {
  fusion_status status = FUSION_OK;
  uint8_t keys[2 * AES_KEY_LEN];
  const struct silent_set *set = first->set;
  const size_t width = lpn_width(members);
  struct silent_harvest *h = mem_alloc(1, sizeof *h);
  if (!h) return FUSION_E_MEMORY;
  *h = (struct silent_harvest){.set = *set,
                               .heap = p->heap,
                               .aes = aes_kernels(),
                               .lpn = lpn_kernels(),
                               .session = p->session,
                               .number = first->number,
                               .sender = first->sender};
  h->vectors = (struct lpn_vectors){.factor = set->factor, .shift = set->shift, .width = width};
  h->blocks = heap_take(p->heap, silent_set_k(set) * width, sizeof(block));
  FAIL_IF(!h->blocks, FUSION_E_MEMORY);
  h->vectors.blocks = h->blocks;
  iteration_keys(p, first, keys);
  TRY(h->aes->open(&h->row_key, keys + AES_KEY_LEN));
  h->row_open = true;
  *out = h;
  h = NULL;
cleanup:
  silent_free(h);
  return status;
}

/* Joins iterations; takes their forests. */
static fusion_status harvest_new(struct silent_harvest **out, const struct silent_party *p, struct run *runs,
                                 size_t count) {
  struct silent_harvest *h = NULL;
  fusion_status status = harvest_open(&h, p, runs[0].it, count);
  if (status != FUSION_OK) return status;
  const size_t k = silent_set_k(&h->set), width = lpn_width(count);
  for (size_t i = 0; i < count; i++) {
    h->forests[i] = runs[i].forest;
    runs[i].forest = NULL;
    h->vectors.count = i + 1;
    for (size_t j = 0; j < k; j++) h->blocks[j * width + i] = h->forests[i]->base[j];
    TRY(forest_shrink(h->forests[i]));
  }
  *out = h;
  h = NULL;
cleanup:
  silent_free(h);
  return status;
}

struct silent_iteration silent_origin(const struct silent_harvest *h) {
  return (struct silent_iteration){.set = &h->set, .sender = h->sender, .number = h->number};
}

size_t silent_harvest_len(const struct silent_set *set, size_t members, bool sends) {
  const size_t vector = silent_set_k(set) * sizeof(block);
  const size_t forest = sends ? set->trees * sizeof(block) : levels_len(set) + set->trees * sizeof(uint64_t);
  return members * (vector + forest);
}

/* One vector after the other, of those that lie side by side. */
static fusion_status vectors_write(const struct silent_harvest *h, const struct byte_stream *to) {
  const size_t k = silent_set_k(&h->set), width = h->vectors.width;
  block part[VECTOR_PART];
  fusion_status status = FUSION_OK;
  for (size_t i = 0; i < h->vectors.count; i++)
    for (size_t first = 0; first < k; first += VECTOR_PART) {
      for (size_t j = 0; j < VECTOR_PART; j++) part[j] = h->blocks[(first + j) * width + i];
      TRY(stream_write(to, part, sizeof part));
    }
cleanup:
  mem_wipe(part, sizeof part);
  return status;
}

static fusion_status vectors_read(struct silent_harvest *h, size_t members, const struct byte_stream *from) {
  const size_t k = silent_set_k(&h->set), width = h->vectors.width;
  block part[VECTOR_PART];
  fusion_status status = FUSION_OK;
  for (size_t i = 0; i < members; i++)
    for (size_t first = 0; first < k; first += VECTOR_PART) {
      TRY(stream_read(from, part, sizeof part));
      for (size_t j = 0; j < VECTOR_PART; j++) h->blocks[(first + j) * width + i] = part[j];
    }
cleanup:
  mem_wipe(part, sizeof part);
  return status;
}

fusion_status silent_harvest_write(const struct silent_harvest *h, const struct byte_stream *to) {
  fusion_status status;
  const struct silent_set *set = &h->set;
  TRY(vectors_write(h, to));
  for (size_t i = 0; i < h->vectors.count; i++) {
    const struct forest *f = h->forests[i];
    if (f->sends) TRY(stream_write(to, f->roots, set->trees * sizeof(block)));
    if (!f->sends) TRY(stream_write(to, f->levels, levels_len(set)));
    if (!f->sends) TRY(stream_write(to, f->turns, set->trees * sizeof(uint64_t)));
  }
cleanup:
  return status;
}

static fusion_status forest_read(struct forest *f, const struct byte_stream *from) {
  if (f->sends) return stream_read(from, f->roots, f->set.trees * sizeof(block));
  f->levels = heap_take(f->heap, levels_len(&f->set), 1);
  if (!f->levels) return FUSION_E_MEMORY;
  const fusion_status status = stream_read(from, f->levels, levels_len(&f->set));
  return status == FUSION_OK ? stream_read(from, f->turns, f->set.trees * sizeof(uint64_t)) : status;
}

fusion_status silent_harvest_read(struct silent_harvest **out, const struct silent_party *p,
                                  const struct silent_iteration *first, size_t members,
                                  const struct byte_stream *from) {
  struct silent_harvest *h = NULL;
  struct silent_iteration it = *first;
  fusion_status status;
  TRY(harvest_open(&h, p, first, members));
  TRY(vectors_read(h, members, from));
  for (; h->vectors.count < members; it.number++) {
    TRY(forest_open(&h->forests[h->vectors.count], p, &it));
    TRY(forest_read(h->forests[h->vectors.count++], from));
  }
  *out = h;
  h = NULL;
cleanup:
  silent_free(h);
  return status;
}

static void batch_close(struct batch *b) {
  for (size_t i = 0; b->runs && i < b->count; i++) forest_free(b->runs[i].forest);
  mem_free_secret(b->runs, b->count * sizeof *b->runs);
  mem_free(b->check.psi);
  prg_free(b->coins);
  heap_give(b->party->heap, b->corrections, (size_t)SILENT_CHUNK_TREES * GGM_DEPTH_MAX * sizeof(block));
  heap_give(b->party->heap, b->leaf, b->leaves * sizeof(block));
  mem_free(b);
}

static fusion_status batch_open(struct batch **out, const struct silent_party *p, struct silent_iteration *its,
                                size_t count) {
  fusion_status status = FUSION_OK;
  struct batch *b = mem_alloc(1, sizeof *b);
  if (!b) return FUSION_E_MEMORY;
  b->party = p;
  b->field = silent_field_kernels();
  b->count = count;
  b->runs = mem_alloc(count, sizeof *b->runs);
  FAIL_IF(!b->runs, FUSION_E_MEMORY);
  for (size_t i = 0; i < count; i++) {
    b->runs[i].it = &its[i];
    b->trees = size_max(b->trees, its[i].set->trees);
    b->leaves = size_max(b->leaves, tree_leaves(its[i].set));
    TRY(forest_new(&b->runs[i].forest, p, &its[i]));
  }
  b->check.psi = mem_alloc(b->trees, sizeof(block));
  b->coins = prg_fork(p->prg, "silent coins", 0); /* any seed: it is started anew */
  b->corrections = heap_take(p->heap, (size_t)SILENT_CHUNK_TREES * GGM_DEPTH_MAX, sizeof(block));
  b->leaf = heap_take(p->heap, b->leaves, sizeof(block));
  FAIL_IF(!b->check.psi || !b->coins || !b->corrections || !b->leaf, FUSION_E_MEMORY);
  *out = b;
  b = NULL;
cleanup:
  if (b) batch_close(b);
  return status;
}

/* The leaves of one tree. */
static void grow_tree(const struct forest *f, size_t tree, block *leaves) {
  block sums[GGM_DEPTH_MAX];
  if (!f->sends) {
    ggm_expand_punctured(f->ggm, &f->tree_key, leaves, tree_base(f, tree), f->turns[tree], f->set.depth);
    return;
  }
  ggm_expand(f->ggm, &f->tree_key, leaves, sums, f->roots[tree], f->delta, f->set.depth);
  mem_wipe(sums, sizeof sums);
}

void silent_grow(const struct silent_harvest *h, block *out, size_t first, size_t count) {
  const size_t leaves = tree_leaves(&h->set), members = h->vectors.count;
  assert(first + count <= h->set.trees);
  for (size_t tree = first; tree < first + count; tree++, out += members * leaves) {
    for (size_t i = 0; i < members; i++) grow_tree(h->forests[i], tree, out + i * leaves);
    h->lpn->encode(&h->row_key, out, leaves, tree * leaves, leaves, &h->vectors);
  }
}

/* The multipliers of the challenge. */
static fusion_status check_draw(struct batch *b, const struct run *r) {
  const struct silent_set *set = r->it->set;
  struct check *c = &b->check;
  const block one = block_make(0, 1);
  block chi;
  const fusion_status status = prg_restart(b->coins, r->challenge);
  if (status != FUSION_OK) return status;
  prg_bytes(b->coins, &chi, sizeof chi);
  prg_bytes(b->coins, c->psi, set->trees * sizeof(block));
  c->squares[0] = chi;
  for (size_t i = 1; i < set->depth; i++) {
    c->squares[i] = b->field->multiply(c->squares[i - 1], c->squares[i - 1]);
  }
  c->powers[0] = one;
  for (size_t j = 1; j < FIELD_FOLD; j++) c->powers[j] = b->field->multiply(c->powers[j - 1], chi);
  const block stride = b->field->multiply(c->powers[FIELD_FOLD - 1], chi);
  c->strides[0] = one;
  for (size_t s = 1; s < tree_leaves(set) / FIELD_FOLD; s++) {
    c->strides[s] = b->field->multiply(c->strides[s - 1], stride);
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

/* The digest of the check's value: all trees, folded one at a time in the nearest cache. `masked`: the sender's term.
 */
static fusion_status fold_trees(struct batch *b, const struct run *r, block masked, uint8_t digest[SILENT_DIGEST_LEN]) {
  const struct silent_set *set = r->it->set;
  const fusion_status status = check_draw(b, r);
  if (status != FUSION_OK) return status;
  block value = block_xor(check_mask(tree_base(r->forest, set->trees)), masked);
  for (size_t tree = 0; tree < set->trees; tree++) {
    block sum = {0};
    grow_tree(r->forest, tree, b->leaf);
    for (size_t at = 0; at < tree_leaves(set); at += FIELD_FOLD) {
      const block folded = b->field->fold(b->check.powers, b->leaf + at);
      sum = block_xor(sum, b->field->multiply(b->check.strides[at / FIELD_FOLD], folded));
    }
    value = block_xor(value, b->field->multiply(b->check.psi[tree], sum));
  }
  iteration_hash(b->party, r->it, "fusion silent check", &value, sizeof value, digest, SILENT_DIGEST_LEN);
  mem_wipe(&value, sizeof value);
  return FUSION_OK;
}

static fusion_status send_trees(struct batch *b, struct run *r) {
  const struct silent_set *set = r->it->set;
  const struct forest *f = r->forest;
  const size_t sent = set->depth - f->given; /* of a tree's levels */
  block sums[GGM_DEPTH_MAX];
  for (size_t tree = 0; tree < set->trees; tree += SILENT_CHUNK_TREES) {
    const size_t n = size_min(SILENT_CHUNK_TREES, set->trees - tree), len = n * sent * sizeof(block);
    for (size_t i = 0; i < n; i++) {
      const block *const keys = tree_base(f, tree + i);
      ggm_left_sums(f->ggm, &f->tree_key, b->leaf, sums, f->roots[tree + i], f->delta, set->depth);
      for (size_t k = 0; k < sent; k++)
        b->corrections[i * sent + k] = block_xor(sums[f->given + k], keys[f->given + k]);
    }
    mem_wipe(sums, sizeof sums);
    secret_declassify(b->corrections, len, "level sums under keys of fresh correlations");
    const fusion_status status = channel_send(b->party->channel, MSG_SILENT, b->corrections, len);
    if (status != FUSION_OK) return status;
  }
  return FUSION_OK;
}

static fusion_status receive_challenge(struct batch *b, struct run *r) {
  return channel_recv(b->party->channel, MSG_SILENT, r->challenge, sizeof r->challenge);
}

static fusion_status send_digest(struct batch *b, struct run *r) {
  uint8_t digest[SILENT_DIGEST_LEN];
  block masked;
  memcpy(&masked, r->challenge + SEED_LEN, sizeof masked);
  const fusion_status status = fold_trees(b, r, b->field->multiply(masked, b->party->delta), digest);
  if (status != FUSION_OK) return status;
  secret_declassify(digest, sizeof digest, "the peer can compute it: a hash of its own value of the check");
  return channel_send(b->party->channel, MSG_SILENT, digest, sizeof digest);
}

/* The hole turns away from the side whose sum the receiver can unmask: right where its choice bit is 0. */
static uint64_t tree_turns(const block *macs, size_t depth) {
  uint64_t turns = 0;
  for (size_t level = 0; level < depth; level++) turns |= (~macs[level].lo & 1) << level;
  return turns;
}

/* Leaves in place of each tree's macs what completes its levels: a mac itself is the first level's. */
static fusion_status receive_trees(struct batch *b, struct run *r) {
  const struct silent_set *set = r->it->set;
  const struct forest *f = r->forest;
  const size_t sent = set->depth - f->given;
  for (size_t tree = 0; tree < set->trees; tree += SILENT_CHUNK_TREES) {
    const size_t n = size_min(SILENT_CHUNK_TREES, set->trees - tree), len = n * sent * sizeof(block);
    const fusion_status status = channel_recv(b->party->channel, MSG_SILENT, b->corrections, len);
    if (status != FUSION_OK) return status;
    for (size_t i = 0; i < n; i++) {
      block *const macs = tree_base(f, tree + i), *const completed = macs + f->given;
      f->turns[tree + i] = tree_turns(macs, set->depth);
      for (size_t k = 0; k < sent; k++) completed[k] = block_xor(completed[k], b->corrections[i * sent + k]);
    }
  }
  return FUSION_OK;
}

/* Draws the challenge, now that no correction of the batch can change any more, and sends it with the masked sum of
 * the multipliers at the holes. */
static fusion_status send_challenge(struct batch *b, struct run *r) {
  const struct silent_set *set = r->it->set;
  const block *const check_macs = tree_base(r->forest, set->trees);
  fusion_status status = FUSION_OK;
  block sum = {0}, choices = {0};
  prg_bytes(b->party->prg, r->challenge, SEED_LEN);
  TRY(check_draw(b, r));
  for (size_t tree = 0; tree < set->trees; tree++) {
    block factor = b->check.psi[tree];
    for (size_t i = 0; i < set->depth; i++) {
      const uint64_t turn = (uint64_t)0 - ((r->forest->turns[tree] >> i) & 1);
      const block one = block_make(0, 1);
      const block step = block_xor(one, block_and_mask(block_xor(one, b->check.squares[i]), turn));
      factor = b->field->multiply(factor, step);
    }
    sum = block_xor(sum, factor);
  }
  for (size_t i = 0; i < 64; i++) {
    choices.lo |= (check_macs[i].lo & 1) << i;
    choices.hi |= (check_macs[64 + i].lo & 1) << i;
  }
  sum = block_xor(sum, choices);
  memcpy(r->challenge + SEED_LEN, &sum, sizeof sum);
  secret_declassify(r->challenge, sizeof r->challenge, "public coins; the sum is masked by unused choice bits");
  TRY(channel_send(b->party->channel, MSG_SILENT, r->challenge, sizeof r->challenge));
cleanup:
  mem_wipe(&choices, sizeof choices);
  return status;
}

/* While the peer works on its challenge. */
static fusion_status expect_digest(struct batch *b, struct run *r) {
  struct silent_check *e = b->expect;
  return fold_trees(b, r, (block){0}, e->digests + SILENT_DIGEST_LEN * e->count++);
}

/* What a party does in turn, each for all the iterations in which it has that part. */
static const struct {
  bool sends;
  fusion_status (*run)(struct batch *b, struct run *r);
} steps[] = {{true, send_trees},     {false, receive_trees},    {false, send_challenge},
             {false, expect_digest}, {true, receive_challenge}, {true, send_digest}};

static fusion_status check_new(struct silent_check **out, struct channel *channel, size_t room) {
  struct silent_check *e = mem_alloc(1, sizeof *e);
  *out = e;
  if (!e) return FUSION_E_MEMORY;
  *e = (struct silent_check){.channel = channel, .room = room};
  e->digests = mem_alloc(room, SILENT_DIGEST_LEN);
  return e->digests ? FUSION_OK : FUSION_E_MEMORY;
}

void silent_check_free(struct silent_check *e) {
  if (!e) return;
  mem_free_secret(e->digests, e->room * SILENT_DIGEST_LEN);
  mem_free(e);
}

/* All at once, so that a failure does not tell which: the peer sees one bit. */
static fusion_status compare_digests(const struct silent_check *e) {
  fusion_status status = FUSION_OK;
  int differ = 0;
  for (size_t i = 0; i < e->count; i++) {
    uint8_t theirs[SILENT_DIGEST_LEN];
    TRY(channel_recv(e->channel, MSG_SILENT, theirs, sizeof theirs));
    differ |= sodium_memcmp(e->digests + i * SILENT_DIGEST_LEN, theirs, sizeof theirs);
  }
  secret_declassify(&differ, sizeof differ, "the run ends here if the check fails: the peer sees it");
  if (differ)
    TRY(channel_fail(e->channel, FUSION_E_CRYPTO, "silent OT: the peer's corrections fail the consistency check"));
cleanup:
  return status;
}

fusion_status silent_settle(struct silent_check **check) {
  const fusion_status status = compare_digests(*check);
  silent_check_free(*check);
  *check = NULL;
  return status;
}

static void give_memory(const struct silent_party *p, struct silent_iteration *it) {
  heap_give(p->heap, it->memory, it->memory_len);
  it->memory = it->base = NULL;
}

fusion_status silent_iterate(const struct silent_party *p, struct silent_iteration *its, size_t count,
                             struct silent_check **check) {
  fusion_status status = FUSION_OK;
  struct batch *b = NULL;
  for (size_t i = 0; i < count; i++) its[i].harvest = NULL;
  TRY(check_new(check, p->channel, count));
  TRY(batch_open(&b, p, its, count));
  b->expect = *check;
  for (size_t step = 0; step < sizeof steps / sizeof *steps; step++) {
    for (size_t i = 0; i < count; i++) {
      if (b->runs[i].forest->sends == steps[step].sends) TRY(steps[step].run(b, &b->runs[i]));
    }
    TRY(channel_flush(p->channel));
  }
  for (size_t i = 0, n; i < count; i += n) {
    for (n = 1; i + n < count && its[i + n].sender == its[i].sender && n < its[i].set->together;) n++;
    TRY(harvest_new(&its[i].harvest, p, &b->runs[i], n));
    for (size_t k = i; k < i + n; k++) give_memory(p, &its[k]); /* the next harvest may take it */
  }
cleanup:
  for (size_t i = 0; status != FUSION_OK && i < count; i++) {
    silent_free(its[i].harvest);
    its[i].harvest = NULL;
  }
  if (status != FUSION_OK) {
    silent_check_free(*check);
    *check = NULL;
  }
  if (b) batch_close(b);
  for (size_t i = 0; i < count; i++) give_memory(p, &its[i]);
  return status;
}

static void corrections_cost(struct cost *cost, const struct cost *begun, const struct silent_part *part,
                             enum role sender) {
  const struct silent_set *set = part->set;
  const size_t sent = set->depth - (part->chained ? 1 : 0);
  for (uint32_t tree = 0; tree < set->trees; tree += SILENT_CHUNK_TREES) {
    const size_t n = size_min(SILENT_CHUNK_TREES, set->trees - tree);
    cost_in_flight(cost, begun, sender, n * sent * sizeof(block));
  }
}

void silent_iterate_cost(struct cost *cost, const struct silent_part parts[2], struct silent_settled *settled) {
  struct cost begun = *cost;
  for (int flight = 0; flight < 3; flight++) {
    begun = *cost;
    for (enum role sender = ROLE_SERVER; sender <= ROLE_CLIENT; sender++) {
      for (size_t i = 0; i < parts[sender].count; i++) {
        if (flight == 0) corrections_cost(cost, &begun, &parts[sender], sender);
        if (flight == 1) cost_in_flight(cost, &begun, role_peer(sender), SILENT_CHALLENGE_LEN);
        if (flight == 2) cost_in_flight(cost, &begun, sender, SILENT_DIGEST_LEN);
      }
    }
  }
  /* Nobody has received the last flight yet. */
  if (cost->depth_server > settled->depth_server) settled->depth_server = cost->depth_server;
  if (cost->depth_client > settled->depth_client) settled->depth_client = cost->depth_client;
  cost->depth_server = begun.depth_server;
  cost->depth_client = begun.depth_client;
}

void silent_settle_cost(struct cost *cost, const struct silent_settled *settled) {
  if (cost->depth_server < settled->depth_server) cost->depth_server = settled->depth_server;
  if (cost->depth_client < settled->depth_client) cost->depth_client = settled->depth_client;
}
