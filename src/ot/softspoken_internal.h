/** What the two files of SoftSpoken share, and what its tests need to play a cheating party: one direction's state and
 *  the steps of an extension. */
#ifndef FUSION_OT_SOFTSPOKEN_INTERNAL_H
#define FUSION_OT_SOFTSPOKEN_INTERNAL_H

#include "ot/softspoken.h"
#include "ot/softspoken_kernels.h"

enum {
  SOFTSPOKEN_STRIDE = (SOFTSPOKEN_CHUNK / 128 + 1 + SOFTSPOKEN_GRANULE - 1) / SOFTSPOKEN_GRANULE * SOFTSPOKEN_GRANULE,
  SOFTSPOKEN_DIGEST_LEN = 32,
};

/** One party's half of one direction: what both halves have. */
struct softspoken_core {
  struct channel *channel; /* borrowed */
  const struct softspoken_kernels *kernels;
  void *cipher; /* the kernels' */
  uint64_t session;
  enum role sender;
  unsigned field_bits;
  uint64_t counter;                          /* blocks taken so far from every leaf's stream */
  uint64_t batch;                            /* messages so far */
  uint8_t transcript[SOFTSPOKEN_DIGEST_LEN]; /* of the trees' message */
  struct leaf_key *leaves;                   /* guarded, secret; tree by tree */
  block *planes;                             /* 128 * SOFTSPOKEN_STRIDE, secret */
  block *total, *chi;                        /* SOFTSPOKEN_STRIDE each */
  block *scratch;                            /* a tile of every leaf of a tree, secret */
  uint8_t *message;
};

struct softspoken_sender {
  struct softspoken_core core;
  block delta;
  block *pads; /* owned, guarded: the OTs' keys until the trees have come; NULL afterwards */
};

struct softspoken_receiver {
  struct softspoken_core core;
  block *pads;     /* owned, guarded: both keys of each OT until the trees have gone; NULL afterwards */
  struct prg *prg; /* owned: of their roots */
};

/* ---- shape: k = field_bits ---- */

static inline size_t softspoken_trees(unsigned k) {
  return 128 / k;
}
static inline unsigned softspoken_depth(unsigned k, size_t tree) {
  return tree ? k : k - 1;
}
/** The first base OT, the first leaf, and the first bit plane of a tree; at tree = number of trees: how many there are.
 */
static inline size_t softspoken_ot_first(unsigned k, size_t tree) {
  return tree ? tree * k - 1 : 0;
}
static inline size_t softspoken_leaf_first(unsigned k, size_t tree) {
  return tree ? ((2 * tree - 1) << (k - 1)) : 0;
}
static inline size_t softspoken_plane_first(unsigned k, size_t tree) {
  return tree ? tree * k : 1;
}
/** Blocks of a plane for `count` correlations: the last is the mask of the check. */
static inline size_t softspoken_blocks(size_t count) {
  return div_up(count, 128) + 1;
}
static inline size_t softspoken_corrections_len(unsigned k, size_t blocks) {
  return (softspoken_trees(k) - 1) * blocks * sizeof(block);
}
static inline size_t softspoken_message_len(unsigned k, size_t blocks) {
  return softspoken_corrections_len(k, blocks) + sizeof(block) + SOFTSPOKEN_DIGEST_LEN;
}
/** The bits of Delta at tree `tree`, without the fixed lowest one. */
uint32_t softspoken_point(block delta, unsigned k, size_t tree);

/* ---- steps of one message ---- */

/** Fills the planes and the corrections in core.message. */
void softspoken_receiver_expand(struct softspoken_receiver *r, size_t blocks);
/** Fills core.chi from the corrections in core.message. */
void softspoken_challenge(struct softspoken_core *c, size_t blocks);
/** The universal hash of every plane under core.chi; the last block of a plane is its mask. */
void softspoken_hash_planes(const struct softspoken_core *c, block out[128], size_t blocks);
void softspoken_digest(const struct softspoken_core *c, uint8_t out[SOFTSPOKEN_DIGEST_LEN], const block hashes[128]);
/** Writes the answer to the challenge (the choice bits' hash, then the digest) behind the corrections. */
void softspoken_answer(struct softspoken_core *c, const block hashes[128], size_t blocks);
void softspoken_advance(struct softspoken_core *c, size_t blocks);
/** The first `count` correlations of the planes. */
void softspoken_collect(const struct softspoken_core *c, block *out, size_t count);

/* ---- set-up ---- */

/** Before a direction's first extension: the trees of the second direction go with it. */
fusion_status softspoken_begin_send(struct softspoken_sender *s);
fusion_status softspoken_begin_receive(struct softspoken_receiver *r);

fusion_status softspoken_core_init(struct softspoken_core *c, const struct softspoken_setup *setup, enum role sender);
void softspoken_core_clear(struct softspoken_core *c);

#endif
