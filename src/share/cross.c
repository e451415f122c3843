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
  cross_kernels_get(cpu_tier())->correct(x->pad1, x->pad0, values, count);
  flight_put_values(out, x->pad1, count, x->bits);
}

void cross_get_receiver(struct cross *x, const uint64_t *own, struct cross_factor factor, uint64_t *share, size_t count,
                        struct flight *in) {
  flight_get_values(in, x->pad1, count, x->bits);
  cross_kernels_get(cpu_tier())->receive(share, x->pad0, x->pad1, x->bit, own, factor, count);
}

void cross_get_sender(struct cross *x, const uint64_t *values, struct cross_factor factor, uint64_t *share,
                      size_t count, struct flight *in) {
  flight_get_plane(in, x->bit, count);
  cross_kernels_get(cpu_tier())->send(share, x->pad0, values, x->bit, factor, count);
}
