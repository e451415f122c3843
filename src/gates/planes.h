/** Bit planes and messages of bit fields: what the bit-sliced gates are made of.
 *
 *  A plane is one bit of each element of a chunk (ot/one_of_n.h gives the layout). A flight's message is a row of
 * fields: planes of plane_len(count) bytes and ring values of `bits` bits packed by bits_pack(). */
#ifndef FUSION_GATES_PLANES_H
#define FUSION_GATES_PLANES_H

#include "base/bits.h"
#include "gates/party.h"
#include "ot/one_of_n.h"

/** planes[i*stride + w], i < bits: bit i of values[64*w ..]. Bits of elements past `count` are zero. */
void planes_from_values(uint64_t *planes, size_t stride, const uint64_t *values, size_t count, unsigned bits);

/** All ones where bit e of the plane is set, else 0. */
static inline uint64_t plane_mask(const uint64_t *plane, size_t e) {
  return (uint64_t)0 - (plane[e / 64] >> (e % 64) & 1);
}

/** A message being written or read. Lengths are public and known beforehand; running over one is a defect (assert). */
struct flight {
  uint8_t *data; /* borrowed */
  size_t len, at;
};

void flight_put_plane(struct flight *f, const uint64_t *plane, size_t count);
void flight_get_plane(struct flight *f, uint64_t *plane, size_t count);
void flight_put_values(struct flight *f, const uint64_t *values, size_t count, unsigned bits);
void flight_get_values(struct flight *f, uint64_t *values, size_t count, unsigned bits);

/** Both parties send, then both receive; a side with nothing to say (length 0) stays silent. `out` must be full; `in`
 * is read in full and rewound. Between the two, cot_settle_check(). */
fusion_status flight_exchange(struct party *p, message_type type, const struct flight *out,
                              struct flight *in) FUSION_MUST_CHECK;
void flight_exchange_cost(struct cost *cost, size_t to_server_len, size_t to_client_len);

#endif
