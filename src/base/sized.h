/** Public structs that may grow at their end. A caller that was compiled with another release's headers has a struct
 * that ends earlier or later than this library's: its first field, `size_t size`, says where. Here `theirs` is the
 * caller's struct, `ours` the same one as this library knows it, its own size filled in; `name` is the type's, for the
 * text. */
#ifndef FUSION_BASE_SIZED_H
#define FUSION_BASE_SIZED_H

#include "base/base.h"

/** FUSION_E_USAGE when the size cannot be a struct's: below that of the size field, above 64 KiB, or no multiple of it,
 *  as of a struct that was not initialised. */
fusion_status sized_check(const void *theirs, const char *name, fusion_error *err) FUSION_MUST_CHECK;
/** Copies a caller's settings over `ours`, which holds the defaults: they remain in the fields that an older caller
 *  lacks. FUSION_E_USAGE as sized_check, and when a newer caller sets fields that this library does not know: zero is
 *  the only value that such a field can safely be ignored with. */
fusion_status sized_take(void *ours, const void *theirs, const char *name, fusion_error *err) FUSION_MUST_CHECK;
/** Writes a result to the caller: no byte beyond its struct, zeros in the fields of a newer caller. Nothing at all when
 *  the size cannot be one; the caller's size stays. */
void sized_give(void *theirs, const void *ours);
/** The same into memory of `size` bytes that holds no struct yet. */
void sized_init(void *theirs, size_t size, const void *ours);

#endif
