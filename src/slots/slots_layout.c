/* Both parties must come to the same layout, as it decides what they send: all of it is arithmetic of integers, which
 * stop at UINT64_MAX. */
#include "slots/slots_layout.h"

/* Rotated inputs of a pass at most: words. One tile may take more, up to ROTATED_MAX. */
enum { PASS_WORDS = 1 << 25, ROTATED_MAX = 1 << 28 };

/* What a layout costs, in ns: measured on one core with AVX2 (docs/protocols/slots.md); bytes at 100 MB/s, those
 * of a rotation key included in its price. */
enum { ENCODING_NS = 180000, PRODUCT_NS = 45000, ROTATION_NS = 1000000, BYTE_NS = 10, KEY_NS = 12000000 };

static uint64_t times(uint64_t a, uint64_t b) {
  uint64_t product;
  return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

static uint64_t plus(uint64_t a, uint64_t b) {
  return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static int64_t floor_div(int64_t a, int64_t b) {
  return a / b - (a % b < 0);
}

struct side {
  uint32_t in, out, kernel, stride, pad, dilation;
};

/* Splits what a tap reads into phase and offset. A single output pixel reads each of its pixels as a phase. */
static bool split_tap(const struct side *s, uint32_t k, int64_t *phase, int64_t *offset) {
  const int64_t at = (int64_t)k * s->dilation - s->pad;
  if (s->out == 1) {
    *phase = at;
    *offset = 0;
    return at >= 0 && at < s->in;
  }
  *offset = floor_div(at, s->stride);
  *phase = at - *offset * s->stride;
  return true;
}

/* Searches from number `first` on. */
static size_t find_phase(struct slots_axis *a, uint32_t phase, size_t first) {
  size_t i = first;
  while (i < a->phases && a->phase[i] != phase) i++;
  if (i == a->phases) a->phase[a->phases++] = phase;
  return i;
}

/* Offsets grow with k. */
static size_t find_offset(struct slots_axis *a, int32_t offset) {
  if (!a->offsets || a->offset[a->offsets - 1] < offset) a->offset[a->offsets++] = offset;
  size_t i = a->offsets - 1;
  while (a->offset[i] != offset) i--;
  return i;
}

static const char *const too_wide = "its ring and weights are too wide for slot encryption; compile with fewer bits";
static const char *const too_large = "its window is too large for packing in slots; use another engine";

static fusion_status axis_make(struct slots_axis *a, const struct side *s, const char **why) {
  *a = (struct slots_axis){.in = s->in, .out = s->out, .stride = s->out == 1 ? s->in : s->stride};
  *why = too_large;
  if (s->kernel > SLOTS_PHASES_MAX || (s->out > 1 && s->kernel > SLOTS_OFFSETS_MAX)) return FUSION_E_PEER;
  const size_t pairs = s->out == 1 ? s->kernel : (size_t)s->kernel * s->kernel;
  a->phase = mem_alloc(2 * (size_t)s->kernel + pairs, sizeof *a->phase);
  if (!a->phase) return FUSION_E_MEMORY;
  a->offset = (int32_t *)(void *)(a->phase + s->kernel);
  a->tap = a->phase + 2 * (size_t)s->kernel;
  for (int pass = 0; pass < 2; pass++) { /* all phases and offsets first */
    size_t single = 0;                   /* of a single output pixel each tap has a phase of its own */
    for (uint32_t k = 0; k < s->kernel; k++) {
      int64_t phase, offset;
      if (!split_tap(s, k, &phase, &offset)) continue;
      const size_t i = find_phase(a, (uint32_t)phase, s->out == 1 ? single++ : 0);
      const size_t j = find_offset(a, (int32_t)offset);
      if (pass) a->tap[i * a->offsets + j] = k;
    }
    if (!pass) memset(a->tap, 0xff, pairs * sizeof *a->tap);
  }
  if (!a->phases) { /* it reads nothing but padding: one channel of weight 0 */
    a->phases = a->offsets = 1;
    a->phase[0] = 0;
    a->offset[0] = 0;
  }
  return FUSION_OK;
}

/* Pixels of the grid that outputs and phase images need. */
static size_t axis_grid(const struct slots_axis *a) {
  return a->out == 1 ? 1 : size_max(a->out, div_up(a->in, a->stride));
}

static int64_t last_offset(const struct slots_axis *a) {
  return a->offset[a->offsets - 1];
}

void slots_layout_free(struct slots_layout *l) {
  mem_free(l->y.phase);
  mem_free(l->x.phase);
  l->y.phase = l->x.phase = NULL;
}

/* |sum| <= fan_in * 2^(weight_bits - 1) * 2^(ring_bits - 1), and t is to exceed twice that. */
static bool choose_plain(struct slots_layout *l) {
  const struct layer_shape *layer = &l->layer;
  const uint64_t fan_in = (uint64_t)(layer->in_channels / layer->groups) * layer->kernel_h * layer->kernel_w;
  const unsigned shift = (unsigned)layer->ring_bits + layer->weight_bits - 2;
  if (shift + log2_up(fan_in) + 1 > SLOTS_PLAIN_BITS_MAX) return false;
  l->offset = fan_in << shift;
  l->plain_bits = SLOTS_PLAIN_BITS_MIN;
  while (l->plain_bits < SLOTS_PLAIN_BITS_MAX && slots_plain_prime(l->plain_bits) <= 2 * l->offset) l->plain_bits++;
  return slots_plain_prime(l->plain_bits) > 2 * l->offset;
}

/* Bands of output rows where the image exceeds a row of slots. */
static const char *choose_bands(struct slots_layout *l) {
  l->grid_h = axis_grid(&l->y);
  l->grid_w = axis_grid(&l->x);
  l->bands = 1;
  l->band_rows = l->y.out;
  if (l->grid_w > SLOTS_ROW) return "its image is wider than a row of slots (4096); use another engine";
  if (l->grid_h * l->grid_w <= SLOTS_ROW) return NULL;
  const size_t halo = (size_t)(last_offset(&l->y) - l->y.offset[0]), rows = SLOTS_ROW / l->grid_w;
  if (rows <= halo) return too_large;
  l->first_row = l->y.offset[0];
  l->band_rows = size_min(rows - halo, l->y.out);
  l->bands = div_up(l->y.out, l->band_rows);
  l->band_rows = div_up(l->y.out, l->bands); /* evenly */
  l->grid_h = l->band_rows + halo;
  return NULL;
}

static size_t power_up(size_t x) {
  return (size_t)1 << log2_up(x);
}

/* Places of channels for blocks of this size, and outputs that are periodic with so many blocks; 0: they are not. */
static void set_places(struct slots_layout *l, size_t slots, size_t period) {
  const size_t in = power_up(l->channels);
  l->block = slots;
  l->blocks = SLOTS_ROW / slots;
  l->places = 2 * l->blocks;
  l->together = l->bands > 1 ? 1 : size_min(slots / (l->grid_h * l->grid_w), l->samples);
  l->tiles = l->bands * div_up(l->samples, l->together);
  l->folded = period > 0;
  l->period = l->folded ? period : l->blocks;
  l->outputs = l->folded ? 1 : div_up(l->layer.out_channels, l->places);
  l->inputs = div_up(l->channels, l->places);
  l->diagonals = l->period;
  l->swaps = l->folded ? 1 : 2;
  l->copies = 0;
  if (l->folded && in < l->places) {
    l->copies = l->diagonals = size_max(1, in * l->period / l->places);
  } else if (!l->folded && in <= l->blocks) {
    l->copies = l->diagonals = in;
    l->swaps = 1;
  }
}

/* Noise of an answer. A coefficient of a plaintext is at most t/2, so a product's is below sqrt(N) * t/2 times the
 * input's noise in deviation. Products add up as independent ones do, as their plaintexts look random modulo t whatever
 * the weights (average case: Costache, Laine, Player 2020); a margin of 4 is for what that neglects. The parts that are
 * folded onto one another are not independent: at coefficients that their automorphisms leave alone they are equal. An
 * input has its fresh noise, of variance 10.75, and that of each rotation: 3 digits below p/2 times 3.24, over the
 * special prime, and the rounding times s; 3 * 10.5 N / 12 + N / 18 + 1 in all. Variances are in 36ths. tests/slots
 * measures noise against this. */
static uint64_t noise_variance(const struct slots_layout *l) {
  enum { FRESH = 387, ROTATION = (193 * SLOTS_N + 72) / 2 };
  const uint64_t steps = l->y.offsets + l->x.offsets + l->babies, input = FRESH + steps * ROTATION;
  const uint64_t periods = l->folded ? l->places / l->period : 1;
  const uint64_t taps = times(l->y.offsets * l->x.offsets, l->diagonals * l->swaps);
  return times(times(input, l->inputs), times(taps, periods * periods));
}

/* The noise is V = noise_variance() / 36 * N * 2^(2 plain_bits - 2) in variance, and what rotations of the sums and the
 * rounding add to it, less than a part in 300 for plain_bits >= 17. Times the margin it is to stay below q / t / 2^42
 * (SLOTS_FLOOD_SHIFT, SLOTS_FLOOD_BITS) at 10.597 deviations, which are passed with probability below 2^-80. With q =
 * 2^149.99 that is noise_variance() <= 2^(199.33 - 4 plain_bits), of which the third of a bit is cut to a quarter more.
 */
static bool flooded(const struct slots_layout *l) {
  _Static_assert(SLOTS_N == 8192 && SLOTS_Q_BITS == 150 && SLOTS_FLOOD_SHIFT + SLOTS_FLOOD_BITS == 42,
                 "the limit is computed for these");
  _Static_assert(SLOTS_PLAIN_BITS_MIN >= 17 && SLOTS_PLAIN_BITS_MAX <= 49, "and for these");
  const unsigned shift = 199 - 4 * l->plain_bits;
  const uint64_t most = shift > 63 ? UINT64_MAX - 1 : (UINT64_C(5) << (shift - 2));
  return l->noise_variance <= most;
}

size_t slots_rotated_words(const struct slots_layout *l) {
  return l->inputs * l->y.offsets * l->x.offsets * l->babies * SLOTS_CIPHER;
}

size_t slots_layout_pass(const struct slots_layout *l) {
  return size_min(l->tiles, size_max(1, PASS_WORDS / slots_rotated_words(l)));
}

struct slots_work slots_layout_work(const struct slots_layout *l) {
  const uint64_t taps = l->y.offsets * l->x.offsets, passes = div_up(l->tiles, slots_layout_pass(l));
  const uint64_t ciphers = times(l->inputs, l->outputs), of_each = times(times(l->diagonals, l->swaps), taps);
  const uint64_t products = times(ciphers, of_each) / l->layer.groups;
  const uint64_t inner = times(l->inputs, times(taps, l->babies) - 1);
  const uint64_t giant_steps = l->diagonals / l->babies - 1;
  const uint64_t giants = times(l->outputs, giant_steps * l->swaps + l->swaps - 1);
  const uint64_t folds = l->folded ? log2_up(l->places / l->period) : 0;
  return (struct slots_work){times(passes, products), times(l->tiles, products),
                             times(l->tiles, plus(plus(inner, giants), folds))};
}

/* Rotation keys count in full, as if no other layer and no other run of the session had them. False when there are too
 * many. */
static bool find_price(const struct slots_layout *l, uint64_t *price) {
  const struct slots_work w = slots_layout_work(l);
  const uint64_t queries = times(l->inputs, slots_query_len());
  const uint64_t bytes = plus(queries, times(l->outputs, slots_answer_len(l->plain_bits)));
  struct slots_elements keys = {0};
  if (!slots_layout_elements(l, &keys)) return false;
  const uint64_t work =
      plus(plus(times(w.encodings, ENCODING_NS), times(w.products, PRODUCT_NS)), times(w.rotations, ROTATION_NS));
  *price = plus(plus(work, times(times(l->tiles, bytes), BYTE_NS)), keys.count * (uint64_t)KEY_NS);
  return true;
}

/* The cheapest so far, and why there is none. */
struct choice {
  struct slots_layout best;
  bool found;
  uint64_t price;
  const char *why;
};

/* All numbers of babies for the places at hand. */
static void try_babies(struct slots_layout *l, struct choice *c) {
  for (l->babies = 1; l->babies <= l->diagonals; l->babies *= 2) {
    if (slots_rotated_words(l) > ROTATED_MAX) return;
    l->noise_variance = noise_variance(l);
    if (!flooded(l)) {
      c->why = too_wide;
      continue;
    }
    uint64_t price;
    if (!find_price(l, &price) || (c->found && price >= c->price)) continue;
    c->found = true;
    c->price = price;
    c->best = *l;
  }
}

/* The cheapest block size, period and number of babies that fit. */
static const char *choose_places(struct slots_layout *l) {
  struct choice c = {.why =
                         "the taps of its window are too many for the memory of packing in slots; use another engine"};
  const size_t pixels = l->grid_h * l->grid_w, most = l->bands > 1 ? 1 : l->samples;
  const size_t out = power_up(l->layer.out_channels);
  for (size_t slots = power_up(pixels); slots <= SLOTS_ROW; slots *= 2) {
    const size_t blocks = SLOTS_ROW / slots;
    for (size_t period = out; period <= blocks; period *= 2) {
      set_places(l, slots, period);
      try_babies(l, &c);
    }
    if (out > blocks) {
      set_places(l, slots, 0);
      try_babies(l, &c);
    }
    if (slots / pixels >= most) break; /* larger blocks would be empty */
  }
  if (!c.found) return c.why;
  *l = c.best;
  return NULL;
}

static const char *layout_places(struct slots_layout *l) {
  if (!choose_plain(l)) return too_wide;
  const char *why = choose_bands(l);
  return why ? why : choose_places(l);
}

fusion_status slots_layout_make(struct slots_layout *l, const struct layer_shape *layer, size_t samples,
                                const char **why) {
  fusion_status status;
  const struct layer_shape *r = layer;
  *l = (struct slots_layout){.layer = *layer, .samples = samples};
  TRY(axis_make(&l->y, &(struct side){r->in_h, r->out_h, r->kernel_h, r->stride_h, r->pad_top, r->dilation_h}, why));
  TRY(axis_make(&l->x, &(struct side){r->in_w, r->out_w, r->kernel_w, r->stride_w, r->pad_left, r->dilation_w}, why));
  l->channels = (size_t)layer->in_channels * l->y.phases * l->x.phases;
  *why = layout_places(l);
  FAIL_IF(*why, FUSION_E_PEER);
  return FUSION_OK;
cleanup:
  slots_layout_free(l);
  return status;
}

size_t slots_input_at(const struct slots_layout *l, size_t input, size_t row, size_t column) {
  size_t channel = input * l->places + row * l->blocks + column;
  if (l->copies && l->folded) {
    channel = (row * l->blocks + column) / l->period * l->copies + column % l->copies;
  } else if (l->copies) {
    channel = column % l->copies;
  }
  return channel < l->channels ? channel : SLOTS_NONE;
}

size_t slots_output_at(const struct slots_layout *l, size_t output, size_t row, size_t column) {
  const size_t channel = l->folded ? column % l->period : output * l->places + row * l->blocks + column;
  return channel < l->layer.out_channels ? channel : SLOTS_NONE;
}

int64_t slots_offset_steps(const struct slots_layout *l, size_t iy, size_t ix) {
  const int64_t width = (int64_t)l->grid_w;
  if (ix) return l->x.offset[ix] - l->x.offset[ix - 1];
  if (iy) return (l->y.offset[iy] - l->y.offset[iy - 1]) * width;
  return (l->y.offset[0] - l->first_row) * width + l->x.offset[0];
}

static bool add_steps(struct slots_elements *out, int64_t steps) {
  const uint32_t element = slots_rotation_element(steps);
  return element == 1 || slots_elements_add(out, element);
}

bool slots_layout_elements(const struct slots_layout *l, struct slots_elements *out) {
  bool room = add_steps(out, slots_offset_steps(l, 0, 0));
  for (size_t i = 1; i < l->y.offsets; i++) room = room && add_steps(out, slots_offset_steps(l, i, 0));
  for (size_t i = 1; i < l->x.offsets; i++) room = room && add_steps(out, slots_offset_steps(l, 0, i));
  if (l->babies > 1) room = room && add_steps(out, (int64_t)l->block);
  if (l->babies < l->diagonals) room = room && add_steps(out, (int64_t)(l->babies * l->block));
  for (size_t step = l->period; l->folded && step < l->blocks; step *= 2)
    room = room && add_steps(out, (int64_t)(step * l->block));
  if (l->folded || l->swaps == 2) room = room && slots_elements_add(out, SLOTS_SWAP);
  return room;
}

struct slots_tile slots_tile_at(const struct slots_layout *l, size_t tile) {
  const size_t groups = l->tiles / l->bands;
  struct slots_tile t = {.first_sample = tile % groups * l->together, .first_row = tile / groups * l->band_rows};
  t.samples = size_min(l->together, l->samples - t.first_sample);
  t.rows = size_min(l->band_rows, l->y.out - t.first_row);
  return t;
}

/* Outputs o for which (o + offset) * stride + phase is in [0, in). */
static struct slots_span span_of(const struct slots_axis *a, size_t phase, size_t offset) {
  struct slots_span s = {a->out, 0};
  for (size_t o = 0; o < a->out; o++) {
    const int64_t at = ((int64_t)o + a->offset[offset]) * (int64_t)a->stride + a->phase[phase];
    if (at < 0 || at >= (int64_t)a->in) continue;
    s.first = size_min(s.first, o);
    s.end = o + 1;
  }
  return s;
}

struct slots_span slots_rows_of(const struct slots_layout *l, size_t phase, size_t offset) {
  if (l->bands > 1) return (struct slots_span){0, l->band_rows};
  return span_of(&l->y, phase, offset);
}

struct slots_span slots_columns_of(const struct slots_layout *l, size_t phase, size_t offset) {
  return span_of(&l->x, phase, offset);
}
