/** The session's working memory for linear layers: one region that grows to the largest layer's need and is kept, so
 * that a layer costs no fresh pages. A layer lays its arrays out twice: once to measure, once to place. */
#ifndef FUSION_LATTICE_WORKSPACE_H
#define FUSION_LATTICE_WORKSPACE_H

#include "lattice/layout.h"
#include "lattice/rlwe.h"

struct workspace {
  uint8_t *base; /* borrowed from the session; NULL while measuring */
  size_t used;
};

/** Room for `count` elements, aligned to 64 bytes; NULL while measuring. Sizes were bounded by layout_make. */
static inline void *workspace_take(struct workspace *w, size_t count, size_t element_len) {
  const size_t at = w->used;
  w->used += div_up(count * element_len, 64) * 64;
  return w->base ? w->base + at : NULL;
}

/** A workspace of `len` bytes, content undefined; the former one is gone. */
fusion_status rlwe_workspace(struct rlwe *r, size_t len, struct workspace *out) FUSION_MUST_CHECK;
/** Wipes its first `len` bytes. */
void rlwe_workspace_wipe(struct rlwe *r, size_t len);

/** Bytes that a layer takes at a party. */
size_t linear_server_workspace(const struct linear_layout *l);
size_t linear_client_workspace(const struct linear_layout *l);

#endif
