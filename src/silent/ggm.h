/** Correlated GGM trees (half-tree): 2^depth leaves from two seeds, and the same leaves but one from one block a level.
 *
 *  A node x has the children H(x) (left) and x ^ H(x) (right), H(x) = pi(s(x)) ^ s(x), s(hi, lo) = (hi ^ lo, hi),
 *  pi = AES-128 under a public key. The first level is (root, root ^ Delta): so the nodes of every level XOR to Delta,
 * and one AES call makes two nodes. Node j of level i has its children at j and j + 2^i: a leaf's position holds its
 * path, the first turn in the lowest bit (1 = right), and levels grow in place.
 *
 *  Leaves leave with their lowest bit cleared. The hole's leaf, w, is the XOR of all others with the lowest bit set:
 *  that is v ^ Delta, v being the sender's leaf there.
 *
 *  Source: Guo, Yang, Wang, Zhang, Xie, Liu, Zhao, "Half-Tree", EUROCRYPT 2023; H after Guo, Katz, Wang, Yu
 *  (2020), sec. 7.3. The order of the leaves is ours. */
#ifndef FUSION_SILENT_GGM_H
#define FUSION_SILENT_GGM_H

#include "silent/ggm_kernels.h"

enum { GGM_DEPTH_MAX = 20 };

/** The sender's tree. leaves: 2^depth; left_sums: per level, the XOR of the left nodes. 1 <= depth <= GGM_DEPTH_MAX. */
void ggm_expand(const struct ggm_kernels *kernels, const struct aes_key *key, block *leaves, block *left_sums,
                block root, block delta, unsigned depth);
/** Its level sums alone. room: 2^depth blocks, of no use afterwards. */
void ggm_left_sums(const struct ggm_kernels *kernels, const struct aes_key *key, block *room, block *left_sums,
                   block root, block delta, unsigned depth);
/** The receiver's tree. turns: bit i is the hole's turn at level i + 1; sums: per level, the XOR of the nodes on the
 *  side that the path does not take. */
void ggm_expand_punctured(const struct ggm_kernels *kernels, const struct aes_key *key, block *leaves,
                          const block *sums, uint64_t turns, unsigned depth);

#endif
