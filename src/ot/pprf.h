/** Small punctured pseudorandom functions (GGM trees of depth 0 to 8) for SoftSpoken: the maker knows every leaf, the
 *  other party every leaf but the one at its secret point. Built on one base OT a level and one message, and pinned:
 * the message ends in the sum of all leaves' pins (a second, collision-resistant output of a leaf), from which the
 * other party gets the pin of the leaf that it lacks, and a hash of all pins. Whatever its point, it accepts the same
 * leaves or none. A cheating maker can still guess a set that holds the point, a wrong guess being seen. Source: Roy,
 * "SoftSpokenOT", CRYPTO 2022, the punctured PRF from OT and its check for malicious security; trees: Goldreich,
 * Goldwasser, Micali 1986. Nodes are expanded by BLAKE2b, as a random oracle bound to the session, the direction, the
 * tree and the level. */
#ifndef FUSION_OT_PPRF_H
#define FUSION_OT_PPRF_H

#include <sodium.h>

#include "base/block.h"
#include "net/channel.h"

enum {
  PPRF_DEPTH_MAX = 8,
  PPRF_LEAVES_MAX = 1 << PPRF_DEPTH_MAX,
  PPRF_PIN_LEN = 32,
};

struct pprf_id {
  uint64_t session;
  enum role maker;
  uint32_t tree;
};

/** Bytes of one tree's message. */
static inline size_t pprf_message_len(unsigned depth) {
  return 2 * sizeof(block) * depth + PPRF_PIN_LEN;
}

/** The hash of all pins of a party's trees, one after the other. */
void pprf_pins_start(crypto_generichash_state *pins, uint64_t session, enum role maker);
void pprf_pins_finish(crypto_generichash_state *pins, uint8_t out[PPRF_PIN_LEN]);

/** Writes the message and the 2^depth leaves, in order. ot_keys[2*i + side]: pads of level i. */
void pprf_make(struct pprf_id id, unsigned depth, block root, const block *ot_keys, uint8_t *message, block *leaves,
               crypto_generichash_state *pins);

/** leaves[y] is the leaf y ^ point; leaves[0], the one that is not known, is zero. ot_keys[i]: the pad of level i on
 * the side away from the point, that is with choice bit 1 - bit (depth - 1 - i) of the point. Constant time in `point`
 * and all keys. */
void pprf_puncture(struct pprf_id id, unsigned depth, uint32_t point, const block *ot_keys, const uint8_t *message,
                   block *leaves, crypto_generichash_state *pins);

#endif
