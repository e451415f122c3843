/** Layout, noise bound, choice and declared cost of a product of matrices. */
#include "lattice/matrix_layout.h"

#include <math.h>

#include "base/bits.h"
#include "lattice/galois.h"

/* Elements of a group's data: keeps its message and the units' numbers small. Pieces that the server holds at once.
 * Queries that are ahead of their answers. */
#define DATA_MOST ((size_t)1 << 23)
#define PIECES_MOST ((size_t)32)
#define AHEAD_LEN ((size_t)8 << 20)

enum { WIDE_SET = 3, NARROW_SET = 2 };

/* As in linear.c: a sub-Gaussian variable of variance proxy s^2 passes TAIL * s with probability below 2^-80. */
static const double TAIL = 10.597;

/* Noise of a result in units of the lowest kept bit; must stay below 1/2. The words are at most 2^(ring - 1), whatever
 * share a server takes.
 *
 * Of a unit, modulo all three primes: fresh noise and the dropped bits of `depth` data, with words (proxy variance +
 * 4^dropped / 4), the plaintexts' rounding and the middle of the dropped bits in full; over the last prime by the
 * change of modulus, which rounds by sqrt(N) / 2 TAIL at most. All that doubles at each level. A level adds what its
 * key brings: two digits of at most half a prime times the key's noise, over the last prime, and a rounding. Then an
 * encryption of zero, and the rounding of c1. */
static double noise_bound(const struct matrix_layout *l, unsigned dropped) {
  const double n = (double)l->n, variance = RLWE_NOISE_PAIRS / 2.0, depth = (double)l->depth;
  const double word = ldexp(1, l->layer.ring_bits - 1), scale = (double)l->stride;
  const double drop = dropped ? ldexp(1, 2 * (int)dropped) / 4 : 0;
  const double last = rlwe_primes[WIDE_SET - 1], q = (double)rlwe_primes[0] * rlwe_primes[1];
  const double rounding = TAIL * sqrt(n) / 2 + 1;
  const double unit = (TAIL * sqrt((variance + drop) * depth) + depth) * word / last + rounding;
  const double level = TAIL * sqrt(variance * 2 * n) / 2 * rlwe_primes[0] / last + rounding;
  const double zero = TAIL * sqrt(variance * (2 * n + 1));
  const double total = scale * unit + (scale - 1) * level + zero;
  const double kept = ldexp(1, (int)l->kept_bits), low = ldexp(1, (int)l->narrow->low_bits);
  const double fractions = n * (double)l->narrow->limbs * exp2((double)l->kappa - 64) + 1;
  return total / q * kept + (TAIL * sqrt(n) / 2 + fractions) / low;
}

static bool in_limits(const struct matrix_layout *l, size_t samples) {
  const struct matrix_product *m = &l->layer.product;
  size_t groups;
  if (l->layer.levels < 1 || l->layer.levels > MATRIX_LEVELS_MAX || l->layer.ring_bits < 2 || !l->layer.guard_bits)
    return false;
  if (!m->channels || !m->rows || !m->depth || !m->columns || !size_mul(samples, m->channels, &groups)) return false;
  if (m->rows > DATA_MOST || m->columns > DATA_MOST || m->depth > DATA_MOST) return false;
  return (m->rows + (size_t)m->columns) * m->depth <= DATA_MOST && (size_t)m->rows * m->columns <= DATA_MOST &&
         groups <= SIZE_MAX / DATA_MOST / 8;
}

fusion_status matrix_layout_make(struct matrix_layout *out, const struct matrix_layer *layer, size_t samples) {
  const struct matrix_product *m = &layer->product;
  struct matrix_layout l = {
      .layer = *layer, .wide = rlwe_params_find(WIDE_SET), .narrow = rlwe_params_find(NARROW_SET)};
  if (!in_limits(&l, samples)) return FUSION_E_INTERNAL;
  l.n = l.wide->n;
  l.stride = (size_t)1 << layer->levels;
  l.width = l.n / l.stride;
  l.depth = m->depth;
  l.pieces = div_up(l.depth, l.stride);
  l.term[0] = (struct matrix_term){m->rows, m->columns, div_up(m->columns, l.width)};
  l.term[1] = (struct matrix_term){m->columns, m->rows, div_up(m->rows, l.width)};
  l.left = (size_t)m->rows * m->depth;
  l.right = (size_t)m->depth * m->columns;
  l.size = (size_t)m->rows * m->columns;
  l.group_units = l.term[0].rows * l.term[0].tiles + l.term[1].rows * l.term[1].tiles;
  l.groups = samples * m->channels;
  l.kept_bits = (unsigned)layer->ring_bits + layer->guard_bits;
  l.kappa = l.kept_bits + l.narrow->low_bits;
  if (l.kappa > RLWE_KAPPA_MAX || l.pieces > PIECES_MOST || noise_bound(&l, 0) >= 0.5) return FUSION_E_INTERNAL;
  while (l.dropped + RLWE_QUERY_BITS_MIN < l.wide->q_bits && noise_bound(&l, l.dropped + 1) < 0.5) l.dropped++;
  l.query_bits = l.wide->q_bits - l.dropped;
  l.chunk = size_max(1, size_min(l.groups, AHEAD_LEN / matrix_query_len(&l)));
  *out = l;
  return FUSION_OK;
}

struct matrix_unit matrix_unit_at(const struct matrix_layout *l, size_t first, size_t number) {
  struct matrix_unit u = {.group = first + number / l->group_units};
  size_t rest = number % l->group_units;
  const size_t of_first = l->term[0].rows * l->term[0].tiles;
  u.term = rest >= of_first;
  rest -= u.term ? of_first : 0;
  u.tile = rest / l->term[u.term].rows;
  u.row = rest % l->term[u.term].rows;
  return u;
}

size_t matrix_target(const struct matrix_layout *l, const struct matrix_unit *u, size_t c) {
  const size_t column = u->tile * l->width + c, columns = l->term[0].columns;
  return u->group * l->size + (u->term ? column * columns + u->row : u->row * columns + column);
}

size_t matrix_query_len(const struct matrix_layout *l) {
  return bits_len(l->left + l->right, l->query_bits);
}

size_t matrix_answer_len(const struct matrix_layout *l, size_t outputs) {
  return div_up(l->n * l->kappa + outputs * l->kept_bits, 8);
}

/* Numbers of so many units from a group's first on: without a walk over them, as a manifest may ask for many. */
static size_t outputs_before(const struct matrix_layout *l, size_t units) {
  size_t rest = units % l->group_units, outputs = units / l->group_units * 2 * l->size;
  for (unsigned term = 0; term < 2; term++) {
    const struct matrix_term *t = &l->term[term];
    const size_t count = size_min(rest, t->rows * t->tiles), tiles = count / t->rows, rows = count % t->rows;
    outputs += t->rows * size_min(tiles * l->width, t->columns);
    if (rows) outputs += rows * matrix_columns(l, term, tiles);
    rest -= count;
  }
  return outputs;
}

size_t matrix_outputs(const struct matrix_layout *l, size_t first, size_t count) {
  return outputs_before(l, first + count) - outputs_before(l, first);
}

void matrix_own(const struct matrix_layout *l, const uint64_t *a, const uint64_t *b, uint64_t *y) {
  struct matrix_product one = l->layer.product;
  one.channels = 1;
  for (size_t g = 0; g < l->groups; g++) matrix_product_run(&one, a + g * l->left, b + g * l->right, y + g * l->size);
  for (size_t i = 0; i < l->groups * l->size; i++) y[i] <<= l->layer.guard_bits;
}

/* ---- costs ---- */

/* Of a chunk: queries, then answers. */
struct chunk_bytes {
  uint64_t queries, answers, answer_count;
};

static struct chunk_bytes chunk_bytes_of(const struct matrix_layout *l, size_t groups) {
  const size_t units = groups * l->group_units;
  struct chunk_bytes c = {.queries = groups * (uint64_t)(matrix_query_len(l) + CHANNEL_HEADER_LEN)};
  for (size_t u = 0; u < units; u += l->stride) {
    c.answers += matrix_answer_len(l, matrix_outputs(l, u, size_min(l->stride, units - u))) + CHANNEL_HEADER_LEN;
    c.answer_count++;
  }
  return c;
}

static void add_chunk(struct cost *cost, const struct chunk_bytes *c, size_t groups) {
  cost->bytes_to_server += c->queries;
  cost->messages_to_server += groups;
  if (cost->depth_server < cost->depth_client + 1) cost->depth_server = cost->depth_client + 1;
  cost->bytes_to_client += c->answers;
  cost->messages_to_client += c->answer_count;
  if (cost->depth_client < cost->depth_server + 1) cost->depth_client = cost->depth_server + 1;
}

static void layout_cost(struct cost *cost, const struct matrix_layout *l) {
  const size_t last = l->groups % l->chunk;
  const struct chunk_bytes whole = chunk_bytes_of(l, l->chunk), rest = chunk_bytes_of(l, last);
  for (size_t k = 0; k < l->groups / l->chunk; k++) add_chunk(cost, &whole, l->chunk);
  if (last) add_chunk(cost, &rest, last);
}

void matrix_cost(struct cost *cost, const struct matrix_layer *layer, size_t samples) {
  struct matrix_layout l;
  if (samples && matrix_layout_make(&l, layer, samples) == FUSION_OK) layout_cost(cost, &l);
}

static struct matrix_work layout_work(const struct matrix_layout *l) {
  const size_t chunks = l->groups / l->chunk, rest = l->groups % l->chunk;
  const double units = (double)l->groups * (double)l->group_units, pieces = (double)l->pieces;
  const double answers = (double)chunks * (double)div_up(l->chunk * l->group_units, l->stride);
  return (struct matrix_work){.units = units,
                              .products = units * pieces,
                              .answers = answers + (double)div_up(rest * l->group_units, l->stride),
                              .queries = (double)l->groups * pieces * (double)(l->term[0].tiles + l->term[1].tiles)};
}

struct matrix_work matrix_work(const struct matrix_layer *layer, size_t samples) {
  struct matrix_layout l;
  if (!samples || matrix_layout_make(&l, layer, samples) != FUSION_OK) return (struct matrix_work){0};
  return layout_work(&l);
}

size_t matrix_memory(const struct matrix_layer *layer, enum role role) {
  struct matrix_layout l;
  if (matrix_layout_make(&l, layer, 1) != FUSION_OK) return SIZE_MAX;
  return role == ROLE_CLIENT ? matrix_client_workspace(&l) : matrix_server_workspace(&l);
}

/* Bytes of all samples, keys included, without a walk over the units. */
static double nominal_bytes(const struct matrix_layout *l) {
  const double units = (double)l->groups * (double)l->group_units, answers = ceil(units / (double)l->stride);
  const double outputs = 2 * (double)l->groups * (double)l->size;
  const struct rlwe_keys keys = {.levels = l->layer.levels};
  return (double)l->groups * (double)matrix_query_len(l) + answers * (double)l->n * l->kappa / 8 +
         outputs * l->kept_bits / 8 + (double)turn_key_len(&galois_keys, keys.levels, 1);
}

uint8_t matrix_choose_levels(const struct matrix_layer *layer, size_t samples) {
  uint8_t best = 0;
  double least = INFINITY;
  for (unsigned levels = 1; levels <= MATRIX_LEVELS_MAX; levels++) {
    struct matrix_layer tried = *layer;
    struct matrix_layout l;
    tried.levels = (uint8_t)levels;
    if (matrix_layout_make(&l, &tried, samples) != FUSION_OK || nominal_bytes(&l) >= least) continue;
    least = nominal_bytes(&l);
    best = (uint8_t)levels;
  }
  return best;
}

void rlwe_keys_add_matrix(struct rlwe_keys *keys, const struct matrix_layer *layer) {
  const size_t ring = rlwe_params_find(WIDE_SET)->ring;
  keys->of_ring[ring] = size_max(keys->of_ring[ring], 1);
  keys->levels = size_max(keys->levels, layer->levels);
}
