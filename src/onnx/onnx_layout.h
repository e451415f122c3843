/** The mechanism behind layout operators: for every axis of the output, how far each index moves in the input. */
#ifndef FUSION_ONNX_ONNX_LAYOUT_H
#define FUSION_ONNX_ONNX_LAYOUT_H

#include "onnx/onnx_ops.h"

/** at[k][o]: what index o along output axis k adds to the flat index in the input; GATHER_ZERO makes a zero. */
struct axis_map {
  struct dims out;
  uint32_t *at[MAX_RANK]; /* owned */
};

static inline uint32_t stride_of(const struct dims *d, uint32_t axis) {
  return (uint32_t)dims_span(d, axis + 1, d->rank);
}

/** Appends an output axis of `size` places, place o being place from + o * step of the input axis with this stride.
 * False when memory, the rank or the size limit is passed. */
bool map_axis(struct axis_map *m, size_t size, uint32_t stride, int64_t from, int64_t step);
void map_free(struct axis_map *m);

/** Applies a map to either kind of value; the result takes the dimensions `dims` (same size as the map's output). */
fusion_status map_apply(struct call *c, const struct value *v, const struct axis_map *m, const struct dims *dims,
                        struct value *out);

/** Either kind of value: element i of the result, which has the dimensions `dims`, is element source[i].index of `v`,
 * or a zero. The batch's axis is the caller's matter. */
fusion_status value_rearrange(struct call *c, const struct value *v, const struct gather_source *source,
                              const struct dims *dims, struct value *out);

enum { MAX_FILL = 65504 }; /* of Pad and Resize: more would leave fixed point nothing for the values */

/** Sets the call's first output to its first input under a map, with `value` in the zeros' places: value plus the
 * zeros' map of x - value. */
fusion_status map_filled(struct call *c, const struct axis_map *m, double value);

#endif
