#include "lattice/layout.h"

#include "base/bits.h"
#include "lattice/lattice_kernels.h"
#include "lattice/linear_noise.h"

/* One axis of the geometry. */
struct axis {
  size_t pitch; /* positions from one row (or sample) to the next */
  size_t taps;  /* farthest tap, in positions */
};

/* Limits on what a manifest may ask for. */
#define SIZE_LIMIT ((size_t)1 << 16)     /* a dimension */
#define KERNEL_LIMIT ((size_t)1 << 10)   /* kernel_h * kernel_w, dilation, stride, padding */
#define ROWS_LIMIT ((size_t)1 << 20)     /* terms of a sum: keeps it below 2^61 */
#define ELEMENTS_LIMIT ((size_t)1 << 40) /* elements of x or y */
#define AHEAD_LEN ((size_t)32 << 20)     /* queries, and answers, in flight */

enum { PART_OUTS = 120, /* channels computed together: their sums stay in the second-level cache */ PART_STEP = 8 };

static struct axis axis_make(size_t in, size_t out, size_t kernel, size_t stride, size_t pad, size_t dilation) {
  const size_t taps = (kernel - 1) * dilation / stride, full = out + taps;
  size_t lead = full, last = 0;
  bool any = false;
  for (size_t k = 0; k < kernel; k++) {
    const size_t phase = k * dilation % stride;
    /* Positions X of this phase hold pixel X*stride + phase - pad. */
    const size_t first = pad > phase ? div_up(pad - phase, stride) : 0;
    if (in + pad < phase + 1 || first >= full) continue;
    const size_t final = size_min((in - 1 + pad - phase) / stride, full - 1);
    if (final < first) continue;
    lead = size_min(lead, first);
    last = size_max(last, final);
    any = true;
  }
  const size_t trail = any ? full - 1 - last : full;
  return (struct axis){.pitch = full - size_min(size_min(lead, trail), taps), .taps = taps};
}

static bool shape_in_limits(const struct layer_shape *a) {
  const uint32_t sizes[] = {a->in_channels, a->in_h, a->in_w, a->out_channels, a->out_h, a->out_w, a->groups};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    if (sizes[i] < 1 || sizes[i] > SIZE_LIMIT) return false;
  const uint32_t small[] = {a->kernel_h, a->kernel_w, a->stride_h, a->stride_w, a->dilation_h, a->dilation_w};
  for (size_t i = 0; i < sizeof small / sizeof *small; i++)
    if (small[i] < 1 || small[i] > KERNEL_LIMIT) return false;
  return a->pad_top <= KERNEL_LIMIT && a->pad_left <= KERNEL_LIMIT &&
         (size_t)a->kernel_h * a->kernel_w <= KERNEL_LIMIT && a->in_channels % a->groups == 0 &&
         a->out_channels % a->groups == 0 && a->ring_bits >= 2 && a->weight_bits >= 2 && a->weight_bits <= 16;
}

/* Phases in use, and each tap's phase and offset. */
static void make_taps(struct linear_layout *l) {
  const struct layer_shape *a = &l->layer.shape;
  for (size_t ky = 0; ky < a->kernel_h; ky++) {
    for (size_t kx = 0; kx < a->kernel_w; kx++) {
      const size_t y = ky * a->dilation_h, x = kx * a->dilation_w;
      const struct linear_phase p = {(uint32_t)(y % a->stride_h), (uint32_t)(x % a->stride_w)};
      size_t at = 0;
      while (at < l->phase_count && (l->phase[at].y != p.y || l->phase[at].x != p.x)) at++;
      if (at == l->phase_count) l->phase[l->phase_count++] = p;
      const size_t offset = y / a->stride_h * l->pitch + x / a->stride_w;
      l->tap[ky * a->kernel_w + kx] = (struct linear_tap){(uint32_t)at, (uint32_t)offset};
    }
  }
}

/* Sizes of x and y, pitches, reach. False when a limit is passed. */
static bool make_geometry(struct linear_layout *l) {
  const struct layer_shape *a = &l->layer.shape;
  l->in_plane = (size_t)a->in_h * a->in_w;
  l->out_plane = (size_t)a->out_h * a->out_w;
  l->in_size = a->in_channels * l->in_plane;
  l->out_size = a->out_channels * l->out_plane;
  size_t elements;
  if (!size_mul(size_max(l->in_size, l->out_size), l->samples, &elements) || elements > ELEMENTS_LIMIT) return false;
  const struct axis h = axis_make(a->in_h, a->out_h, a->kernel_h, a->stride_h, a->pad_top, a->dilation_h);
  const struct axis w = axis_make(a->in_w, a->out_w, a->kernel_w, a->stride_w, a->pad_left, a->dilation_w);
  l->pitch = w.pitch;
  l->sample_pitch = h.pitch * w.pitch;
  l->reach = h.taps * w.pitch + w.taps;
  if (!size_mul(l->samples, l->sample_pitch, &elements) || elements > ELEMENTS_LIMIT) return false;
  l->lanes = (l->samples - 1) * l->sample_pitch + (a->out_h - 1) * l->pitch + a->out_w;
  return l->reach < l->params->n;
}

/* Parts of a group are as equal as the product kernels' steps allow; small groups share a message. */
static void make_parts(struct linear_layout *l) {
  const size_t parts = div_up(l->group_outs, PART_OUTS);
  l->part_outs = size_min(l->group_outs, div_up(div_up(l->group_outs, parts), PART_STEP) * PART_STEP);
  l->message_outs = parts > 1 ? l->part_outs : PART_OUTS / l->group_outs * l->group_outs;
}

size_t layout_message_end(const struct linear_layout *l, size_t first) {
  const bool shared = l->message_outs >= l->group_outs;
  const size_t end = shared ? l->layer.shape.out_channels : (first / l->group_outs + 1) * l->group_outs;
  return size_min(first + l->message_outs, end);
}

/* The stream in tiles as equal as can be, each with its reach in `room` values. */
static void set_tiles(struct linear_layout *l, size_t room) {
  l->tiles = div_up(l->lanes, room - l->reach);
  l->tile_lanes = div_up(l->lanes, l->tiles);
  l->tiles = div_up(l->lanes, l->tile_lanes);
  l->span = l->tile_lanes + l->reach;
}

static void set_levels(struct linear_layout *l, unsigned levels, unsigned dropped, size_t keys) {
  l->levels = levels;
  l->stride = (size_t)1 << levels;
  l->dropped = dropped;
  l->query_bits = l->params->q_bits - dropped;
  l->answers = div_up(l->layer.shape.out_channels, l->stride);
  l->packed = size_min(l->params->n / (l->stride * l->span) * l->stride, l->channels);
  l->polys = div_up(l->channels, l->packed);
  l->bundle = div_up(l->tiles, div_up(l->tiles, keys));
}

/* How far queries run ahead. */
static void set_window(struct linear_layout *l) {
  const size_t query = layout_query_len(l, 0), common = layout_common_len(l, l->answers);
  const size_t answer = bits_len((uint64_t)l->layer.shape.out_channels * l->tile_lanes, l->kept_bits);
  l->window = size_max(1, size_min(AHEAD_LEN / query, AHEAD_LEN / (common + answer)));
  /* Both would be under way at once: see CHANNEL_EXCHANGE_MAX. */
  l->common_first = size_min(query, common) <= AHEAD_LEN;
}

uint64_t layout_merges(const struct linear_layout *l) {
  enum { KEYS = 8 };                                             /* that take as long as all else */
  static const uint64_t twelfths[INTERLEAVE_CUTS] = {12, 11, 9}; /* of one of the finest cut */
  const uint64_t merges = l->levels ? l->layer.shape.out_channels - l->answers : 0;
  return merges * (KEYS - 1 + l->bundle) * twelfths[l->cut] / (12 * KEYS);
}

uint64_t layout_price(const struct linear_layout *l) {
  enum { MERGE_BYTES = 800 }; /* what a merge may cost beyond the answer that it saves: 35 us at 23 MB/s */
  const uint64_t queries = (l->tiles - 1) * (uint64_t)layout_query_len(l, 0) + layout_query_len(l, l->tiles - 1);
  const uint64_t answers = (uint64_t)div_up(l->tiles, l->bundle) * l->answers * layout_common_len(l, 1);
  return queries + answers + layout_merges(l) * MERGE_BYTES;
}

size_t layout_transforms_each(const struct linear_layout *l) {
  const size_t group_streams = l->channels / l->layer.shape.groups;
  return size_min(l->polys, group_streams / l->packed + 2) + 1;
}

size_t layout_window_step(const struct linear_layout *l) {
  return size_max(l->stride, (size_t)1 << (NTT_MIN_LOG - 1));
}

size_t layout_window_terms(const struct linear_layout *l) {
  const size_t streams = l->channels / l->layer.shape.groups;
  return size_min(l->rows, (streams / l->stride + 2) * l->taps);
}

/* Measured: rows that take as long as a transform; as a term, of whose products there are two for each coefficient, and
 * they are wide; as the transforms of an output's windows. */
static size_t product_rows(const struct linear_layout *l, enum layout_product product) {
  enum { TRANSFORM_ROWS = 48, TERM_ROWS = 4, WINDOW_ROWS = 28 };
  switch (product) {
    case PRODUCT_TRANSFORMS: return layout_transforms_each(l) * TRANSFORM_ROWS;
    case PRODUCT_WINDOWS: return layout_window_terms(l) * TERM_ROWS + WINDOW_ROWS;
    default: return l->rows;
  }
}

bool layout_by_transforms(const struct linear_layout *l) {
  return (l->bundle == 1 || l->levels) && product_rows(l, PRODUCT_TRANSFORMS) < l->rows;
}

enum layout_product layout_product(const struct linear_layout *l) {
  enum layout_product best = layout_by_transforms(l) ? PRODUCT_TRANSFORMS : PRODUCT_ROWS;
  const bool windows = l->levels && layout_window_terms(l) <= PRODUCT_TERMS_MAX;
  if (windows && product_rows(l, PRODUCT_WINDOWS) < product_rows(l, best)) best = PRODUCT_WINDOWS;
  return best;
}

size_t layout_product_rows(const struct linear_layout *l) {
  return product_rows(l, layout_product(l));
}

/* Where a matrix' rows begin are 32-bit element indices. */
static bool indices_fit(const struct linear_layout *l) {
  return l->polys * 2 * l->params->n < UINT32_MAX && l->channels * l->span < UINT32_MAX;
}

/* Strides that take all lanes into the polynomials of one bundle, and that fill an answer. Both parties find the same.
 */
static void choose_levels(struct linear_layout *l, const struct rlwe_keys *keys) {
  struct linear_layout best = *l;
  if (l->params->ring != 0) return;
  l->cut = best.cut = keys->cut;
  for (unsigned levels = 1; levels <= size_min(keys->turns, INTERLEAVE_LEVELS_MAX); levels++) {
    const size_t room = l->params->n >> levels;
    if (room <= l->reach || l->layer.shape.out_channels <= (size_t)1 << (levels - 1)) break;
    set_tiles(l, room);
    if (l->tiles > keys->turned) break;
    const int dropped = linear_interleaved_dropped(l->params, l->kept_bits, rlwe_set_dropped(l->layer.rlwe_set),
                                                   l->rows, levels, l->cut);
    if (dropped < 0) break;
    set_levels(l, levels, (unsigned)dropped, keys->turned);
    set_window(l);
    if (indices_fit(l) && layout_price(l) < layout_price(&best)) best = *l;
  }
  *l = best;
}

static bool make_tiles(struct linear_layout *l, size_t keys) {
  const size_t n = l->params->n;
  const struct layer_shape *a = &l->layer.shape;
  set_tiles(l, n);
  l->channels = a->in_channels * l->phase_count;
  set_levels(l, 0, l->dropped, keys);
  l->rows = a->in_channels / a->groups * l->taps;
  if (l->rows > ROWS_LIMIT) return false;
  l->group_outs = a->out_channels / a->groups;
  make_parts(l);
  size_t weights;
  if (!size_mul(a->out_channels, l->rows, &weights) || weights > ((size_t)1 << 32)) return false;
  if (!indices_fit(l)) return false;
  if (a->out_channels * n * RLWE_KAPPA_MAX / 4 > CHANNEL_FRAME_MAX) return false;
  if (layout_query_len(l, 0) > CHANNEL_FRAME_MAX) return false;
  set_window(l);
  return true;
}

fusion_status layout_make(struct linear_layout *out, const struct linear_layer *layer, const struct rlwe_keys *keys,
                          size_t samples) {
  fusion_status status = FUSION_OK;
  struct linear_layout l = {
      .layer = *layer, .samples = samples, .params = rlwe_params_find(rlwe_set_id(layer->rlwe_set))};
  FAIL_IF(
      !l.params || !shape_in_limits(&layer->shape) || layer->guard_bits < 1 || samples < 1 || samples > ELEMENTS_LIMIT,
      FUSION_E_PEER);
  l.dropped = rlwe_set_dropped(layer->rlwe_set);
  l.kept_bits = (unsigned)layer->shape.ring_bits + layer->guard_bits;
  l.kappa = l.kept_bits + l.params->low_bits;
  FAIL_IF(l.kappa > RLWE_KAPPA_MAX || l.dropped + RLWE_QUERY_BITS_MIN > l.params->q_bits, FUSION_E_PEER);
  l.query_bits = l.params->q_bits - l.dropped;
  l.taps = (size_t)layer->shape.kernel_h * layer->shape.kernel_w;
  l.tap = mem_alloc(l.taps, sizeof *l.tap);
  l.phase = mem_alloc(l.taps, sizeof *l.phase);
  FAIL_IF(!l.tap || !l.phase, FUSION_E_MEMORY);
  FAIL_IF(!make_geometry(&l), FUSION_E_PEER);
  make_taps(&l);
  const size_t key_count = keys ? keys->of_ring[l.params->ring] : RLWE_KEYS_MAX;
  FAIL_IF(!key_count, FUSION_E_INTERNAL);
  FAIL_IF(!make_tiles(&l, key_count), FUSION_E_PEER);
  if (keys) choose_levels(&l, keys);
cleanup:
  if (status != FUSION_OK) layout_free(&l);
  *out = l;
  return status;
}

void layout_free(struct linear_layout *l) {
  mem_free(l->tap);
  mem_free(l->phase);
  l->tap = NULL;
  l->phase = NULL;
}

size_t layout_outputs_below(const struct linear_layout *l, size_t lane) {
  const size_t rest = lane % l->sample_pitch, row = rest / l->pitch;
  const size_t in_sample = row >= l->layer.shape.out_h
                               ? l->out_plane
                               : row * l->layer.shape.out_w + size_min(rest % l->pitch, l->layer.shape.out_w);
  return lane / l->sample_pitch * l->out_plane + in_sample;
}

size_t layout_tile_outputs(const struct linear_layout *l, size_t t) {
  const size_t begin = t * l->tile_lanes;
  return layout_outputs_below(l, begin + layout_tile_lanes(l, t)) - layout_outputs_below(l, begin);
}

size_t layout_query_len(const struct linear_layout *l, size_t t) {
  return bits_len((uint64_t)l->channels * (layout_tile_lanes(l, t) + l->reach), l->query_bits);
}

static size_t answers_below(const struct linear_layout *l, size_t out) {
  return out == l->layer.shape.out_channels ? l->answers : out >> l->levels;
}

size_t layout_answers_between(const struct linear_layout *l, size_t first, size_t end) {
  return answers_below(l, end) - answers_below(l, first);
}

size_t layout_common_len(const struct linear_layout *l, size_t answers) {
  return bits_len((uint64_t)answers * l->params->n, l->kappa);
}

size_t layout_answer_len(const struct linear_layout *l, size_t t, size_t outs) {
  return bits_len((uint64_t)outs * layout_tile_outputs(l, t), l->kept_bits);
}

size_t layout_message_max(const struct linear_layout *l) {
  return layout_common_len(
      l, size_min(l->message_outs, l->layer.shape.out_channels)); /* at most n values, of fewer bits */
}

void layout_sources(const struct linear_layout *l, size_t t, size_t phase, size_t *source) {
  const struct layer_shape *a = &l->layer.shape;
  const size_t count = layout_tile_lanes(l, t) + l->reach, begin = t * l->tile_lanes;
  size_t sample = begin / l->sample_pitch, rest = begin % l->sample_pitch, row = rest / l->pitch,
         column = rest % l->pitch;
  const size_t rows = l->sample_pitch / l->pitch;
  for (size_t i = 0; i < count; i++) {
    /* Unsigned wrap-around makes what lies before the image large: one comparison per axis. */
    const size_t y = row * a->stride_h + l->phase[phase].y - a->pad_top;
    const size_t x = column * a->stride_w + l->phase[phase].x - a->pad_left;
    const bool inside = y < a->in_h && x < a->in_w && sample < l->samples;
    source[i] = inside ? sample * l->in_size + y * a->in_w + x : LAYOUT_ZERO;
    if (++column < l->pitch) continue;
    column = 0;
    if (++row < rows) continue;
    row = 0;
    sample++;
  }
}

void layout_targets(const struct linear_layout *l, size_t t, uint32_t *lane, size_t *target) {
  const struct layer_shape *a = &l->layer.shape;
  const size_t count = layout_tile_lanes(l, t), begin = t * l->tile_lanes;
  size_t found = 0;
  for (size_t i = 0; i < count; i++) {
    const size_t at = begin + i, rest = at % l->sample_pitch, row = rest / l->pitch, column = rest % l->pitch;
    if (row >= a->out_h || column >= a->out_w) continue;
    lane[found] = (uint32_t)i;
    target[found++] = at / l->sample_pitch * l->out_size + row * a->out_w + column;
  }
}

/* How many places from the first one on read consecutive values, or all nothing. */
static size_t run_length(const size_t *source, size_t count) {
  const size_t step = source[0] != LAYOUT_ZERO;
  size_t n = 1;
  while (n < count && source[n] == source[n - 1] + step) n++;
  return n;
}

/* Rows are short: pieces of fixed length, the last one over its neighbour, are quicker than a call for each. */
static inline void copy_run(uint64_t *out, const uint64_t *in, size_t n) {
  enum { LONG = 8, SHORT = 4 };
  if (n >= LONG) {
    for (size_t i = 0; i + LONG <= n; i += LONG) memcpy(out + i, in + i, LONG * sizeof *out);
    memcpy(out + n - LONG, in + n - LONG, LONG * sizeof *out);
  } else if (n >= SHORT) {
    memcpy(out, in, SHORT * sizeof *out);
    memcpy(out + n - SHORT, in + n - SHORT, SHORT * sizeof *out);
  } else {
    for (size_t i = 0; i < n; i++) out[i] = in[i];
  }
}

/* Streams of one phase, `step` apart, whose rows are consecutive values with zeros between them. */
static void gather_runs(const size_t *source, size_t count, const uint64_t *const *planes, uint64_t *out, size_t stride,
                        size_t streams, size_t step) {
  for (size_t k = 0; k < streams; k += step) memset(out + k * stride, 0, count * sizeof *out);
  for (size_t i = 0, n; i < count; i += n) {
    n = run_length(source + i, count - i);
    for (size_t k = 0; k < streams && source[i] != LAYOUT_ZERO; k += step)
      copy_run(out + k * stride + i, planes[k] + source[i], n);
  }
}

void layout_gather(const struct linear_layout *l, const size_t *sources, size_t first, size_t streams, size_t count,
                   const uint64_t *x, uint64_t *out, size_t stride) {
  const size_t phases = l->phase_count;
  if (phases == 1 && l->in_plane == 1) { /* samples are rows: walk along them */
    for (size_t i = 0; i < count; i++) {
      const size_t at = sources[i];
      for (size_t k = 0; k < streams; k++) out[k * stride + i] = at == LAYOUT_ZERO ? 0 : x[at + first + k];
    }
    return;
  }
  const uint64_t *planes[LAYOUT_GATHER];
  for (size_t k = 0; k < streams; k++) planes[k] = x + (first + k) / phases * l->in_plane;
  for (size_t k = 0; k < streams; k++) {
    const size_t *source = sources + (first + k) % phases * l->span;
    if (l->layer.shape.stride_w == 1) {
      if (k < phases) gather_runs(source, count, planes + k, out + k * stride, stride, streams - k, phases);
      continue;
    }
    for (size_t i = 0; i < count; i++) out[k * stride + i] = source[i] == LAYOUT_ZERO ? 0 : planes[k][source[i]];
  }
}
