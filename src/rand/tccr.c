#include "rand/tccr.h"

#include "rand/aes_kernels.h"

void tccr_hash(const struct tccr *h, block *out, const block *in, size_t count, block offset, uint64_t first_index) {
  aes_kernels()->tccr(out, in, count, offset, block_make(h->domain, first_index));
}
