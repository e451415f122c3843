#include "gates/cross.h"

fusion_status cross_draw_bits(struct cross *x, struct party *p, size_t count) {
  return ot_words_receive(p->cot, count, x->bit, x->pad);
}

void cross_put_bits(const struct cross *x, const uint64_t *own, uint64_t *spare, size_t count, struct flight *out) {
  for (size_t w = 0; w < plane_words(count); w++) spare[w] = x->bit[w] ^ own[w];
  flight_put_plane(out, spare, count);
}

/* The sender's values at ... at + n; room for them, if they must be made. */
static const uint64_t *values_at(struct cross_values values, size_t at, size_t n, uint64_t *room) {
  const struct cross_kernels *kernels = cross_kernels();
  if (!values.plane) return values.row + at;
  if (values.row) {
    kernels->negate(room, values.row + at, values.plane + at / 64, n);
  } else {
    memset(room, 0, n * sizeof *room);
    kernels->add_bits(room, values.plane + at / 64, 1, n);
  }
  return room;
}

static uint64_t *second_half(const struct cross *x, size_t count) {
  return x->scratch + cross_scratch_words(count) / 2;
}

fusion_status cross_put_values(struct cross *x, struct party *p, struct cross_values values, size_t count,
                               struct flight *out) {
  fusion_status status = FUSION_OK;
  const struct cross_kernels *kernels = cross_kernels();
  uint64_t *pad1 = x->scratch, *room = second_half(x, count);
  for (size_t at = 0; at < count; at += CROSS_BLOCK) {
    const size_t n = size_min(CROSS_BLOCK, count - at);
    TRY(ot_words_send(p->cot, n, x->pad + at, pad1));
    kernels->correct(pad1, x->pad + at, values_at(values, at, n, room), n);
    flight_put_values(out, pad1, n, x->bits);
  }
cleanup:
  return status;
}

void cross_get_receiver(struct cross *x, const uint64_t *own, struct cross_factor factor, uint64_t *share, size_t count,
                        struct flight *in) {
  const struct cross_kernels *kernels = cross_kernels();
  for (size_t at = 0; at < count; at += CROSS_BLOCK) {
    const size_t n = size_min(CROSS_BLOCK, count - at);
    flight_get_values(in, x->scratch, n, x->bits);
    kernels->receive(share + at, x->pad + at, x->scratch, x->bit + at / 64, own + at / 64, factor, n);
  }
}

void cross_get_sender(struct cross *x, struct cross_values values, struct cross_factor factor, uint64_t *share,
                      size_t count, struct flight *in) {
  const struct cross_kernels *kernels = cross_kernels();
  flight_get_plane(in, x->bit, count);
  for (size_t at = 0; at < count; at += CROSS_BLOCK) {
    const size_t n = size_min(CROSS_BLOCK, count - at);
    const uint64_t *v = values_at(values, at, n, x->scratch);
    kernels->send(share + at, x->pad + at, v, x->bit + at / 64, factor, n);
  }
}

void cross_get_kept(struct cross *x, const uint64_t *keep, uint64_t *share, size_t count, struct flight *in) {
  const struct cross_kernels *kernels = cross_kernels();
  flight_get_plane(in, x->bit, count);
  for (size_t at = 0; at < count; at += CROSS_BLOCK) {
    const size_t n = size_min(CROSS_BLOCK, count - at);
    const uint64_t *v = values_at((struct cross_values){share, keep}, at, n, x->scratch);
    kernels->keep(share + at, keep + at / 64, n);
    kernels->send(share + at, x->pad + at, v, x->bit + at / 64, (struct cross_factor){0}, n);
  }
}
