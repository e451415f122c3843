#include "base/sized.h"

enum { SIZED_MAX = 1 << 16 };

static size_t size_of(const void *sized) {
  size_t size;
  memcpy(&size, sized, sizeof size);
  return size;
}

/* A public struct holds a size_t, so that its size is a multiple of one's. */
static bool may_be_size(size_t size) {
  return size >= sizeof size && size <= SIZED_MAX && size % sizeof size == 0;
}

fusion_status sized_check(const void *theirs, const char *name, fusion_error *err) {
  if (may_be_size(size_of(theirs))) return FUSION_OK;
  return error_set(err, FUSION_E_USAGE, "%s: its field `size` is %zu; set it to sizeof(%s)", name, size_of(theirs),
                   name);
}

fusion_status sized_take(void *ours, const void *theirs, const char *name, fusion_error *err) {
  const fusion_status status = sized_check(theirs, name, err);
  if (status != FUSION_OK) return status;
  const size_t known = size_of(ours), size = size_of(theirs);
  const uint8_t *bytes = theirs;
  for (size_t i = known; i < size; i++)
    if (bytes[i])
      return error_set(err, FUSION_E_USAGE,
                       "settings of a newer release: %s has a field set that version %s of the library does not know; "
                       "use a newer library",
                       name, FUSION_VERSION);
  memcpy(ours, theirs, size_min(known, size));
  memcpy(ours, &known, sizeof known);
  return FUSION_OK;
}

void sized_init(void *theirs, size_t size, const void *ours) {
  if (!may_be_size(size)) return;
  const size_t known = size_min(size_of(ours), size);
  memcpy(theirs, ours, known);
  memset((uint8_t *)theirs + known, 0, size - known);
  memcpy(theirs, &size, sizeof size);
}

void sized_give(void *theirs, const void *ours) {
  sized_init(theirs, size_of(theirs), ours);
}
