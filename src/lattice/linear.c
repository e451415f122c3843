/** Declared cost of a linear layer, and the choice of its parameters by the noise bound. */
#include <math.h>

#include "lattice/interleave.h"
#include "lattice/linear_noise.h"

void rlwe_keys_add(struct rlwe_keys *keys, const struct linear_layer *layer, size_t samples) {
  struct linear_layout l;
  if (layout_make(&l, layer, NULL, samples) != FUSION_OK) return; /* who runs the layer finds the same */
  size_t *count = &keys->of_ring[l.params->ring];
  *count = size_max(*count, size_min(l.tiles, RLWE_KEYS_MAX));
  layout_free(&l);
}

/* Outputs in messages, of a bundle's c1 or a tile's answer, from a server whose chain of messages is `depth` long. */
static void common_cost(struct cost *cost, const struct linear_layout *l, uint32_t depth) {
  const struct cost begun = {.depth_server = depth};
  for (size_t out = 0, end; out < l->layer.shape.out_channels; out = end) {
    end = layout_message_end(l, out);
    const size_t answers = layout_answers_between(l, out, end);
    if (answers) cost_in_flight(cost, &begun, ROLE_SERVER, layout_common_len(l, answers));
  }
}

static void answer_cost(struct cost *cost, const struct linear_layout *l, size_t tile, uint32_t depth) {
  const struct cost begun = {.depth_server = depth};
  for (size_t out = 0, end; out < l->layer.shape.out_channels; out = end) {
    end = layout_message_end(l, out);
    cost_in_flight(cost, &begun, ROLE_SERVER, layout_answer_len(l, tile, end - out));
  }
}

/* Each query leaves when the answer `window` tiles back has come; both parties' chains grow only by what they wait for.
 */
static void tiles_cost(struct cost *cost, const struct linear_layout *l, uint32_t *answered) {
  uint32_t server = cost->depth_server;
  const uint32_t client = cost->depth_client;
  for (size_t t = 0; t < l->tiles; t++) {
    const struct cost asked = {.depth_client = t < l->window ? client : answered[t - l->window]};
    const bool first = t % l->bundle == 0;
    if (first && l->common_first) common_cost(cost, l, server);
    cost_in_flight(cost, &asked, ROLE_CLIENT, layout_query_len(l, t));
    if (server < asked.depth_client + 1) server = asked.depth_client + 1;
    if (first && !l->common_first) common_cost(cost, l, server);
    answer_cost(cost, l, t, server);
    answered[t] = cost->depth_client;
  }
}

fusion_status linear_check(const struct linear_layer *layer) {
  struct linear_layout l;
  const fusion_status status = layout_make(&l, layer, NULL, 1);
  if (status == FUSION_OK) layout_free(&l);
  return status;
}

void linear_cost(struct cost *cost, const struct linear_layer *layer, const struct rlwe_keys *keys, size_t samples) {
  struct linear_layout l;
  if (layout_make(&l, layer, keys, samples) != FUSION_OK) {
    cost->out_of_memory = true;
    return;
  }
  uint32_t *answered = mem_alloc(l.tiles, sizeof *answered);
  if (answered) tiles_cost(cost, &l, answered);
  if (!answered) cost->out_of_memory = true;
  mem_free(answered);
  layout_free(&l);
}

/* rows: that products with c1 are counted as. */
static uint64_t layout_macs(const struct linear_layout *l, size_t rows) {
  const uint64_t common = (uint64_t)l->params->n * div_up(l->tiles, l->bundle) * rows;
  return (common + (uint64_t)l->tiles * l->tile_lanes * l->rows) * l->layer.shape.out_channels;
}

/* The halves of an answer count apart: one is common to the tiles of a bundle. */
static double layout_ciphertexts(const struct linear_layout *l) {
  enum { UNIT = 2 * 2048 };
  const double tiles = (double)l->tiles, bundles = (double)div_up(l->tiles, l->bundle);
  const double ciphertexts = tiles * (double)l->polys + (tiles + bundles) / 2 * (double)l->answers;
  return ciphertexts * (double)l->params->n * (double)l->params->limbs / UNIT;
}

struct linear_work linear_work(const struct linear_layer *layer, const struct rlwe_keys *keys, size_t samples) {
  struct linear_layout l;
  if (layout_make(&l, layer, keys, samples) != FUSION_OK) return (struct linear_work){0};
  const uint64_t each =
      layout_product(&l) == PRODUCT_TRANSFORMS ? (uint64_t)div_up(l.tiles, l.bundle) * layout_transforms_each(&l) : 0;
  const size_t rows = layout_product(&l) == PRODUCT_TRANSFORMS ? 0 : layout_product_rows(&l);
  const struct linear_work work = {.ciphertexts = layout_ciphertexts(&l),
                                   .products = (double)layout_macs(&l, rows),
                                   .transforms = (double)(each * l.layer.shape.out_channels),
                                   .merges = (double)layout_merges(&l)};
  layout_free(&l);
  return work;
}

double linear_keys_price(const struct linear_layer *layer, const struct rlwe_keys *keys, size_t samples) {
  struct linear_layout l;
  if (layout_make(&l, layer, keys, samples) != FUSION_OK) return 0; /* who runs the layer finds the same */
  const double price = (double)layout_price(&l);
  layout_free(&l);
  return price;
}

double rlwe_keys_price(const struct rlwe_keys *keys) {
  struct cost cost = {0};
  rlwe_open_cost(&cost, keys);
  return (double)cost.bytes_to_server;
}

static size_t form_memory(const struct linear_layer *layer, const struct rlwe_keys *keys, size_t samples,
                          enum role role) {
  struct linear_layout l;
  if (layout_make(&l, layer, keys, samples) != FUSION_OK) return SIZE_MAX;
  /* The server also holds the packed weights: at most eight bytes each, groups of outputs filled up. */
  const size_t weights = layer->shape.groups * (l.group_outs + 8) * (l.rows + 1) * 8;
  const size_t len = role == ROLE_CLIENT ? linear_client_workspace(&l) : linear_server_workspace(&l) + weights;
  layout_free(&l);
  return len;
}

/* Whatever keys the session has. Of fewer secrets they leave the choices of fewer levels. */
size_t linear_memory(const struct linear_layer *layer, size_t samples, enum role role) {
  struct rlwe_keys keys = {.of_ring = {RLWE_KEYS_MAX, RLWE_KEYS_MAX}, .turned = RLWE_KEYS_MAX};
  size_t most = 0;
  for (keys.cut = 0; keys.cut < INTERLEAVE_CUTS; keys.cut++)
    for (keys.turns = 0; keys.turns <= INTERLEAVE_LEVELS_MAX; keys.turns++)
      most = size_max(most, form_memory(layer, &keys, samples, role));
  return most;
}

/* The first tap that reads the same number of a query as this one: on maps no wider than their padding several do. */
static size_t first_reader(const struct linear_layout *l, size_t tap) {
  size_t k = 0;
  while (l->tap[k].phase != l->tap[tap].phase || l->tap[k].offset != l->tap[tap].offset) k++;
  return k;
}

/* Largest norms over the output channels, of the weights that each number of a query is multiplied by: `sums` and
 * `first` are scratch, [taps]. */
static void weight_norms(const struct linear_layout *l, const int16_t *weights, double *sums, size_t *first,
                         double *norm_1, double *norm_2) {
  *norm_1 = *norm_2 = 0;
  for (size_t t = 0; t < l->taps; t++) first[t] = first_reader(l, t);
  for (size_t o = 0; o < l->layer.shape.out_channels; o++) {
    double sum = 0, squares = 0;
    for (size_t r = 0; r < l->rows; r += l->taps) {
      for (size_t t = 0; t < l->taps; t++) sums[t] = 0;
      for (size_t t = 0; t < l->taps; t++) sums[first[t]] += weights[o * l->rows + r + t];
      for (size_t t = 0; t < l->taps; t++) {
        sum += fabs(sums[t]);
        squares += sums[t] * sums[t];
      }
    }
    *norm_1 = fmax(*norm_1, sum);
    *norm_2 = fmax(*norm_2, sqrt(squares));
  }
}

/* Seconds of a layer with so many samples on a nominal link and cores, for comparing sets: 100 MB/s, 10 G limb products
 * and 100,000 transforms of 2,048 points a second. Few samples interleave their answers. Products by windows are left
 * out, so that sets stay those of models that were compiled before. */
static double nominal_seconds(const struct linear_layer *layer, size_t samples) {
  enum { LEVELS = 6 }; /* of keys: what large networks take for one sample */
  const struct rlwe_keys keys = {.of_ring = {RLWE_KEYS_MAX, RLWE_KEYS_MAX}, .turns = LEVELS, .turned = RLWE_KEYS_MAX};
  struct linear_layout l;
  if (layout_make(&l, layer, &keys, samples) != FUSION_OK) return INFINITY;
  const double products = (double)layout_macs(&l, layout_by_transforms(&l) ? 0 : l.rows) * (double)l.params->limbs;
  const double transforms =
      (double)l.tiles * (double)(2 * l.polys + 6 * l.answers) * (double)l.params->limbs * (double)l.params->n / 2048;
  const double bytes = (double)layout_price(&l) + (double)l.samples * (double)l.out_size * l.kept_bits / 8;
  layout_free(&l);
  return bytes / 1e8 + products / 1e10 + transforms / 1e5;
}

/* The most bits that queries of the layer may drop; -1 where its noise is too large. */
static int most_dropped(const struct linear_layout *l, const int16_t *weights) {
  double norm_1 = 0, norm_2 = 0, *sums = mem_alloc(l->taps, sizeof *sums);
  size_t *first = mem_alloc(l->taps, sizeof *first);
  const bool known = sums && first;
  int dropped = -1;
  if (known) weight_norms(l, weights, sums, first, &norm_1, &norm_2);
  mem_free(sums);
  mem_free(first);
  while (known && dropped < RLWE_DROPPED_MAX && dropped + RLWE_QUERY_BITS_MIN < (int)l->params->q_bits &&
         linear_noise_bound(l->params, l->kept_bits, (unsigned)(dropped + 1), norm_1, norm_2) < 0.5)
    dropped++;
  return dropped;
}

uint8_t linear_choose_set(const struct linear_layer *layer, const int16_t *weights) {
  enum { NOMINAL_SAMPLES = 1024 };
  uint8_t best = 0;
  double best_seconds = INFINITY;
  for (unsigned id = 1; id <= RLWE_SETS; id++) {
    struct linear_layer tried = *layer;
    struct linear_layout l;
    tried.rlwe_set = rlwe_set_make(id, 0);
    if (layout_make(&l, &tried, NULL, NOMINAL_SAMPLES) != FUSION_OK) continue;
    const int dropped = most_dropped(&l, weights);
    layout_free(&l);
    if (dropped < 0) continue;
    tried.rlwe_set = rlwe_set_make(id, (unsigned)dropped);
    /* For each sample of many, and for a single one. */
    const double seconds = nominal_seconds(&tried, NOMINAL_SAMPLES) / NOMINAL_SAMPLES + nominal_seconds(&tried, 1);
    if (seconds >= best_seconds) continue;
    best = tried.rlwe_set;
    best_seconds = seconds;
  }
  return best;
}
