/** The cipher of the tiers of SoftSpoken's kernels that need none: all but the portable one. */
#ifndef FUSION_OT_SOFTSPOKEN_NO_CIPHER_H
#define FUSION_OT_SOFTSPOKEN_NO_CIPHER_H

#include "ot/softspoken_kernels.h"

static inline void *no_cipher(bool *ok) {
  *ok = true;
  return NULL;
}

static inline void no_cipher_free(void *cipher) {
  (void)cipher;
}

#endif
