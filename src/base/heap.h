/** Blocks that are used again. A session's arrays come and go by the megabyte; given back to the system each time, they
 *  would cost fresh pages each time. Free blocks are wiped, so that taken ones are zero, as from mem_alloc().
 *
 *  Free blocks included, a heap holds at most an eighth more than the most that was in use at once, sizes rounded up by
 *  a sixteenth. A heap belongs to one thread at a time. */
#ifndef FUSION_BASE_HEAP_H
#define FUSION_BASE_HEAP_H

#include "base/base.h"

/* The address sanitizer: gcc says so by a macro, clang by a feature. */
#if defined(__SANITIZE_ADDRESS__)
#define HEAP_KEEPS_NOTHING
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HEAP_KEEPS_NOTHING
#endif
#endif

struct heap;

/** Sizes are rounded up by at most a sixteenth (and large ones to MEM_PAGES_LEN), and an eighth of the most in use may
 * be held beyond it. */
enum { HEAP_ROUNDING = 16, HEAP_SLACK = 8 };

/** Most bytes of a heap of which `len` are in use at once; SIZE_MAX stays. For predictions. */
static inline size_t heap_most(size_t len) {
  const size_t rounded = len + len / HEAP_ROUNDING;
  return len < SIZE_MAX / 2 ? rounded + rounded / HEAP_SLACK : len;
}

/** NULL when memory is out. */
struct heap *heap_new(void);
/** Frees it with its blocks, all of which have been given back; NULL is allowed. */
void heap_free(struct heap *heap);

/** As mem_alloc(); with heap NULL it is that. */
void *heap_take(struct heap *heap, size_t count, size_t element_len);
/** Wipes a block of `len` bytes, as taken, and keeps or frees it; block NULL is allowed. */
void heap_give(struct heap *heap, void *block, size_t len);

#endif
