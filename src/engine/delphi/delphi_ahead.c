/* What is delphi's own in runs that are prepared ahead of the input. */
#include "engine/delphi/delphi.h"

enum { HASHES_LEN = 2 * sizeof(uint64_t) };

/* The numbers of the run's hashes: the server's. */
static fusion_status begin_server(struct delphi *d, const struct engine_party *p) {
  struct garble *g = &d->garble;
  uint64_t hashes[2] = {0, g->tweaks};
  fusion_status status = FUSION_OK;
  g->store = p->stream;
  if (p->layout->phase == ENGINE_AHEAD) {
    hashes[0] = garbled_domain(g);
    return stream_write(p->stream, hashes, sizeof hashes);
  }
  TRY(stream_read(p->stream, hashes, sizeof hashes));
  g->domain = hashes[0];
  g->tweaks = hashes[1];
cleanup:
  return status;
}

/* The seed of the run's masks, and Delta: the client's. */
static fusion_status begin_client(struct delphi *d, const struct engine_party *p) {
  uint8_t seed[PRG_SEED_LEN];
  fusion_status status;
  if (p->layout->phase == ENGINE_AHEAD) {
    prg_bytes(p->prg, seed, sizeof seed);
    TRY(stream_write(p->stream, seed, sizeof seed));
    TRY(stream_write(p->stream, &d->cot->delta, sizeof d->cot->delta));
  } else {
    TRY(stream_read(p->stream, seed, sizeof seed));
    TRY(stream_read(p->stream, &d->garble.delta, sizeof d->garble.delta));
  }
  prg_free(d->masks);
  d->garble.masks = d->masks = prg_new(seed);
  FAIL_IF(!d->masks, FUSION_E_MEMORY);
cleanup:
  mem_wipe(seed, sizeof seed);
  return status;
}

fusion_status delphi_begin(void *state, const struct engine_party *party) {
  struct delphi *d = state;
  return party->role == ROLE_SERVER ? begin_server(d, party) : begin_client(d, party);
}

void delphi_begin_cost(const struct engine_layout *layout, struct cost *cost) {
  if (layout->phase != ENGINE_AHEAD) return;
  cost->prepared_server += HASHES_LEN;
  cost->prepared_client += PRG_SEED_LEN + sizeof(block);
}

/* One row of outputs: += weight * inputs `stride` apart. */
static void add_row(uint64_t *y, const uint64_t *x, size_t count, size_t stride, uint64_t weight) {
  if (stride == 1) {
    for (size_t i = 0; i < count; i++) y[i] += weight * x[i];
    return;
  }
  for (size_t i = 0; i < count; i++) y[i] += weight * x[i * stride];
}

/* The outputs of an axis whose tap lies inside the input: first .. end - 1, the tap of `first` at `at`. */
struct span {
  size_t first, end, at;
};

static struct span span_of(uint32_t in, uint32_t out, uint32_t stride, uint32_t pad, size_t offset) {
  struct span s = {0};
  while (s.first < out && s.first * stride + offset < pad) s.first++;
  s.end = s.first;
  while (s.end < out && s.end * stride + offset - pad < in) s.end++;
  s.at = s.first < s.end ? s.first * stride + offset - pad : 0;
  return s;
}

/* One output plane from one input plane, times 2^shift. */
static void add_plane(const struct layer_shape *l, unsigned shift, const int16_t *kernel, const uint64_t *x,
                      uint64_t *y) {
  for (uint32_t ky = 0; ky < l->kernel_h; ky++) {
    const struct span rows = span_of(l->in_h, l->out_h, l->stride_h, l->pad_top, (size_t)ky * l->dilation_h);
    for (uint32_t kx = 0; kx < l->kernel_w; kx++) {
      const struct span columns = span_of(l->in_w, l->out_w, l->stride_w, l->pad_left, (size_t)kx * l->dilation_w);
      const uint64_t weight = (uint64_t)(int64_t)kernel[ky * l->kernel_w + kx] << shift;
      for (size_t oy = rows.first; oy < rows.end; oy++) {
        const size_t row = rows.at + (oy - rows.first) * l->stride_h;
        add_row(y + oy * l->out_w + columns.first, x + row * l->in_w + columns.at, columns.end - columns.first,
                l->stride_w, weight);
      }
    }
  }
}

void delphi_add_product(const struct linear_layer *layer, const int16_t *weights, const uint64_t *x, uint64_t *y,
                        size_t samples) {
  const struct layer_shape *l = &layer->shape;
  const size_t in_plane = (size_t)l->in_h * l->in_w, out_plane = (size_t)l->out_h * l->out_w;
  const size_t taps = (size_t)l->kernel_h * l->kernel_w, group_outs = l->out_channels / l->groups;
  const size_t ins = l->in_channels / l->groups;
  for (size_t n = 0; n < samples; n++) {
    for (size_t o = 0; o < l->out_channels; o++) {
      const uint64_t *from = x + (n * l->in_channels + o / group_outs * ins) * in_plane;
      uint64_t *to = y + (n * l->out_channels + o) * out_plane;
      for (size_t c = 0; c < ins; c++)
        add_plane(l, layer->guard_bits, weights + (o * ins + c) * taps, from + c * in_plane, to);
    }
  }
}
