/** Correlations that are grown and not yet taken: first in, first out, in a ring from the session's heap. Secret. They
 *  enter as whole trees, each in one piece, and are wiped as they are taken. */
#ifndef FUSION_SILENT_GROWN_H
#define FUSION_SILENT_GROWN_H

#include "base/block.h"
#include "base/heap.h"

/** What is left is [next, end), or [next, lap) and then [0, end). Zeros: no room. */
struct grown {
  block *blocks; /* owned: [room] */
  size_t room, next, end;
  size_t lap; /* in the second case: where the ring was left, as what came next did not fit behind it */
};

/** More room than there is; what is left stays. False, and as before, when memory is out. */
bool grown_widen(struct grown *g, struct heap *heap, size_t room) FUSION_MUST_CHECK;
void grown_close(struct grown *g, struct heap *heap);

size_t grown_left(const struct grown *g);
/** Adds `count` of at least one, which the caller writes to where it says. NULL, and nothing is added: there is no room
 * in one piece. There always is where nothing is left and `count` is at most the room. */
block *grown_add(struct grown *g, size_t count);
/** Takes at most `count`: returns how many, 0 only for a `count` of 0 or when nothing is left. */
size_t grown_take(struct grown *g, block *out, size_t count);

#endif
