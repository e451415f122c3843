#include "share/cross.h"

fusion_status cross_prepare(struct cross *x, struct party *p, size_t count) {
  if (x->sender == p->role) return ot_words_send(p->cot, count, x->pad0, x->pad1);
  return ot_words_receive(p->cot, count, x->bit, x->pad0);
}

void cross_put_bits(const struct cross *x, const uint64_t *own, uint64_t *spare, size_t count, struct flight *out) {
  for (size_t w = 0; w < plane_words(count); w++) spare[w] = x->bit[w] ^ own[w];
  flight_put_plane(out, spare, count);
}

void cross_put_values(struct cross *x, const uint64_t *values, size_t count, struct flight *out) {
  for (size_t e = 0; e < count; e++) x->pad1[e] = values[e] - x->pad1[e] + x->pad0[e];
  flight_put_values(out, x->pad1, count, x->bits);
}

void cross_get_receiver(struct cross *x, const uint64_t *own, uint64_t factor, uint64_t *share, size_t count,
                        struct flight *in) {
  flight_get_values(in, x->pad1, count, x->bits);
  for (size_t e = 0; e < count; e++) {
    const uint64_t choice = plane_mask(x->bit, e), flip = choice ^ plane_mask(own, e);
    const uint64_t sum = x->pad0[e] + (x->pad1[e] & choice);
    share[e] += factor * ((sum ^ flip) - flip);
  }
}

void cross_get_sender(struct cross *x, const uint64_t *values, uint64_t factor, uint64_t *share, size_t count,
                      struct flight *in) {
  flight_get_plane(in, x->bit, count);
  for (size_t e = 0; e < count; e++) {
    const uint64_t flip = plane_mask(x->bit, e);
    /* -r0, or r0 + v where flipped: negation is (r0 ^ -1) + 1. */
    share[e] += factor * (((x->pad0[e] ^ ~flip) - ~flip) + (values[e] & flip));
  }
}
