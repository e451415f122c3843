/** Tweakable circular correlation robust hash TCCR(x, i) = pi(pi(x) ^ i) ^ pi(x), pi = AES-128 under a fixed public key
 *  (Guo, Katz, Wang, Yu: "Efficient and Secure Multiparty Computation from Fixed-Key Block Ciphers", 2020, sec. 7.4).
 *  The tweak i = (domain, index) must be unique per hashed correlation; `domain` carries session and direction. */
#ifndef FUSION_RAND_TCCR_H
#define FUSION_RAND_TCCR_H

#include "base/base.h"
#include "base/block.h"

struct tccr {
  uint64_t domain; /* unique per (session, direction, use) */
};

/** out[k] = TCCR(in[k] ^ offset, (domain, first_index + k)), k < count. out == in is allowed. Constant time. */
void tccr_hash(const struct tccr *h, block *out, const block *in, size_t count, block offset, uint64_t first_index);

#endif
