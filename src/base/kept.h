/** What a session's set-up leaves for the next session of the same two parties, so that this one needs no public-key
 *  operations: bytes that only their maker reads (ot/softspoken.h). Those above carry them, each half at its party.
 *  Secret, and used once: who holds them spends them, durably, before a session uses them. */
#ifndef FUSION_BASE_KEPT_H
#define FUSION_BASE_KEPT_H

#include <stdbool.h>
#include <stdint.h>

enum { KEPT_LEN = 4224 };

/** Guarded memory (key_alloc). */
struct kept_setup {
  _Alignas(16) uint8_t bytes[KEPT_LEN];
};

/** What a session is to do with kept set-ups; both parties alike: their messages go by it. Borrowed while it opens. */
struct keeping {
  const struct kept_setup *use; /* the last session's; NULL: this one makes all anew */
  struct kept_setup *keep;      /* for the next session; NULL: none */
  bool kept;                    /* result: `keep` is filled */
};

#endif
