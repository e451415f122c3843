/** The LPN code: rows of ten ones in public places, applied to a vector of blocks over F_2.
 *
 *  Row r: ten positions in [0, 2^log_k), drawn with repetition. Rows come in batches of 64; batch b takes the 448
 * 32-bit words of AES blocks 112 b .. 112 b + 111 of the key's counter stream. Each 32 words a[0..16), b[0..16) of it
 * give 48 positions: a[i] and b[i] modulo 2^21, and the 22 bits (a[i] >> 21) | (b[i] >> 21) << 11; all modulo 2^log_k.
 * Row j of the batch takes positions 10 j .. 10 j + 9. The key is public and the same on both sides. */
#ifndef FUSION_OT_LPN_H
#define FUSION_OT_LPN_H

#include "rand/aes.h"

enum {
  LPN_WEIGHT = 10,
  LPN_BATCH_ROWS = 64,
  LPN_BATCH_BLOCKS = 112,
  LPN_BATCH_GROUPS = 14, /* of 32 words */
  LPN_GROUP_POSITIONS = 48,
  LPN_LOG_K_MAX = 21,
};

struct lpn_ops {
  /** rows[i] ^= the sum of vector[] at the positions of row first_row + i; first_row and count are multiples of 64.
   *  vector: 2^log_k blocks. The key is opened by aes_ops_of() of the same tier. */
  void (*encode)(const struct aes_key *key, block *rows, uint64_t first_row, size_t count, const block *vector,
                 unsigned log_k);
};

const struct lpn_ops *lpn_ops_of(enum cpu_tier tier);

#ifdef FUSION_X86_TIERS
extern const struct lpn_ops lpn_ops_avx2, lpn_ops_avx512;
#endif

#endif
