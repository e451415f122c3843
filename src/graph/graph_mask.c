/* Masks of attention: what a network adds to scores so that a softmax gives nothing to some of them, as
 * (1 - mask) * -10000, or constants behind a diagonal. Such a number leaves fixed point no bits for the scores beside
 * it, and a softmax needs only that the scores lie far enough below the others: further than scores differ from each
 * other, and then so far that an exponential is nothing. The constant becomes one that does just that on the samples.
 *
 *  It is wrong where a sample masks all of a row: -10000 and its like leave equal weights or those of the scores,
 * depending on how large they are; the smaller one leaves those of the scores. So no calibration sample may. */
#include <math.h>

#include "graph/graph.h"

/* exp(-16) is a tenth of the least that a table of a softmax's exponentials tells from 0. */
static const double nothing = 16;
/* Not worth it below. */
static const double gain_least = 4;
/* Factors of masks are larger. Constants added to scores that mask some of them, as of a causal network, are further
 * from 0. */
static const float large = 64, far = 1000;

/* A constant times a mask, added to scores. */
struct mask {
  uint32_t node;      /* an AFFINE */
  float open, closed; /* over the samples: the largest magnitude of values that count as 0; the largest below those */
  size_t bad;         /* the first sample that masks everything; SIZE_MAX: none */
};

struct masks {
  struct graph *g;
  bool *argument; /* owned: [node]: a sum that only a softmax reads */
  bool *part;     /* owned: [node]: what such a sum is made of */
  bool *constant; /* owned: [node]: an AFFINE of scores, some of which its bias masks */
  bool constants;
  double *open_range; /* owned: [node]: of such, how far the scores differ that it does not mask */
  struct mask *m;     /* owned */
  size_t count;
  float *low, *high; /* owned: [node], of the samples */
  bool *scratch;     /* owned: [node] */
};

static uint32_t behind_gathers(const struct graph *g, uint32_t i) {
  while (g->nodes[i].op == GRAPH_GATHER && g->nodes[i].input_count == 1) i = g->nodes[i].inputs[0];
  return i;
}

static bool reads_any(const struct graph_node *n, const bool *set) {
  bool any = false;
  for (uint32_t k = 0; k < n->input_count; k++) any = any || set[n->inputs[k]];
  return any;
}

/* All that node `from` has an effect on, it has by way of node `to`. `reached` is scratch. */
static bool leads_only_to(const struct graph *g, uint32_t from, uint32_t to, bool *reached) {
  memset(reached, 0, g->count * sizeof *reached);
  reached[from] = true;
  for (uint32_t i = from + 1; i < g->count; i++) reached[i] = i != to && reads_any(&g->nodes[i], reached);
  return !reached[g->count - 1];
}

static float largest_factor(const struct graph_node *n) {
  float most = 0;
  for (uint32_t c = 0; n->op == GRAPH_AFFINE && c < n->shape.channels; c++) most = fmaxf(most, fabsf(n->weights[c]));
  return most;
}

static bool is_far(const struct graph_node *n) {
  bool any = false;
  for (uint32_t c = 0; n->op == GRAPH_AFFINE && n->bias && c < n->shape.channels; c++) any = any || n->bias[c] <= -far;
  return any && largest_factor(n) < large;
}

/* Scores with constants added, on their way to the difference `below`. */
static void find_constant(struct masks *s, uint32_t node, uint32_t below, bool *reached) {
  const struct graph *g = s->g;
  const uint32_t i = behind_gathers(g, node);
  if (!is_far(&g->nodes[i]) || !leads_only_to(g, i, below, reached)) return;
  s->constant[i] = s->part[g->nodes[i].inputs[0]] = s->constants = true;
}

/* exp(x - max x), made of a sum x: the exponential knows only differences. */
static void find_argument(struct masks *s, uint32_t exponential, bool *reached) {
  const struct graph *g = s->g;
  const uint32_t below = behind_gathers(g, g->nodes[exponential].inputs[0]);
  const struct graph_node *difference = &g->nodes[below];
  if (difference->op != GRAPH_ADD || !leads_only_to(g, below, exponential, reached)) return;
  for (uint32_t k = 0; k < 2; k++) {
    const uint32_t sum = behind_gathers(g, difference->inputs[k]);
    find_constant(s, sum, below, reached);
    if (g->nodes[sum].op != GRAPH_ADD || !leads_only_to(g, sum, below, reached)) continue;
    s->argument[sum] = s->part[g->nodes[sum].inputs[0]] = s->part[g->nodes[sum].inputs[1]] = true;
    for (unsigned j = 0; j < 2; j++) find_constant(s, g->nodes[sum].inputs[j], below, reached);
  }
}

/* How far the values of a node differ; of scores that constants mask, those that are not masked. */
static double range_of(const struct masks *s, uint32_t node) {
  const uint32_t i = behind_gathers(s->g, node);
  const double seen = fmax(0, (double)s->high[node] - (double)s->low[node]);
  return s->constant[i] ? fmin(seen, s->open_range[i]) : seen;
}

/* Whether node `node` is read by nothing but softmaxes' sums: through rearrangements, and sums with other values that
 * these sums alone read. *range: how far the scores differ beside it, by the samples. `same` is scratch. */
static bool masks_alone(struct masks *s, uint32_t node, bool *same, double *range) {
  const struct graph *g = s->g;
  double scores = 0, others = 0;
  bool any = false;
  memset(same, 0, g->count * sizeof *same);
  same[node] = true;
  for (uint32_t i = node + 1; i < g->count; i++) {
    const struct graph_node *n = &g->nodes[i];
    if (!reads_any(n, same)) continue;
    const bool rearranged = n->op == GRAPH_GATHER && n->input_count == 1;
    if (!rearranged && (n->op != GRAPH_ADD || (same[n->inputs[0]] && same[n->inputs[1]]))) return false;
    const uint32_t other = rearranged ? i : n->inputs[same[n->inputs[0]] ? 1 : 0];
    same[i] = rearranged || !s->argument[i];
    any = any || s->argument[i];
    if (rearranged) continue;
    s->part[other] = true;
    if (s->argument[i]) scores = fmax(scores, range_of(s, other));
    if (!s->argument[i]) others += range_of(s, other);
  }
  *range = scores + others;
  return any && !same[g->count - 1];
}

static fusion_status find_masks(struct masks *s) {
  const struct graph *g = s->g;
  double range;
  s->scratch = mem_alloc(g->count, sizeof *s->scratch);
  s->argument = mem_alloc(g->count, sizeof *s->argument);
  s->part = mem_alloc(g->count, sizeof *s->part);
  s->constant = mem_alloc(g->count, sizeof *s->constant);
  s->open_range = mem_alloc(g->count, sizeof *s->open_range);
  s->m = mem_alloc(g->count, sizeof *s->m);
  s->low = mem_alloc(g->count, sizeof *s->low);
  s->high = mem_alloc(g->count, sizeof *s->high);
  const bool memory = s->scratch && s->argument && s->part && s->constant && s->open_range && s->m && s->low && s->high;
  for (uint32_t i = 0; memory && i < g->count; i++) {
    if (g->nodes[i].op == GRAPH_ACTIVATION && g->nodes[i].use.kind == ACTIVATION_EXP_BELOW)
      find_argument(s, i, s->scratch);
  }
  bool any = false;
  for (uint32_t i = 0; memory && i < g->count; i++) any = any || s->argument[i];
  for (uint32_t i = 0; any && i < g->count; i++)
    if (largest_factor(&g->nodes[i]) >= large && masks_alone(s, i, s->scratch, &range))
      s->m[s->count++] = (struct mask){.node = i, .closed = -INFINITY, .bad = SIZE_MAX};
  return memory ? FUSION_OK : FUSION_E_MEMORY;
}

static void watch_mask(struct mask *m, size_t sample, const float *values, size_t count) {
  const float zero = 1e-3f;
  bool all = true;
  for (size_t i = 0; i < count; i++) {
    const bool closed = values[i] < -zero;
    all = all && closed;
    if (closed) m->closed = fmaxf(m->closed, values[i]);
    if (!closed) m->open = fmaxf(m->open, fabsf(values[i]));
  }
  if (all && m->bad == SIZE_MAX) m->bad = sample;
}

static void watch(void *context, uint32_t node, size_t sample, const float *values, size_t count) {
  struct masks *s = context;
  for (size_t i = 0; s->part[node] && i < count; i++) {
    s->low[node] = fminf(s->low[node], values[i]);
    s->high[node] = fmaxf(s->high[node], values[i]);
  }
  for (size_t k = 0; k < s->count; k++)
    if (s->m[k].node == node) watch_mask(&s->m[k], sample, values, count);
}

/* Whole numbers in the place of constants that mask. */
static void shorten_constants(const struct masks *s) {
  for (uint32_t i = 0; i < s->g->count; i++) {
    struct graph_node *n = &s->g->nodes[i];
    double open = 0;
    if (!s->constant[i]) continue;
    for (uint32_t c = 0; c < n->shape.channels; c++)
      if (n->bias[c] > -far) open = fmax(open, fabs((double)n->bias[c]));
    s->open_range[i] = (double)largest_factor(n) * range_of(s, n->inputs[0]) + 2 * open;
    const double need = ceil(s->open_range[i] + nothing);
    for (uint32_t c = 0; c < n->shape.channels && (double)far >= gain_least * need; c++)
      if (n->bias[c] <= -far) n->bias[c] = (float)-need;
  }
}

/* Sums with the mask have a longer range than the scores `range`, and are to be no coarser. */
static void keep_scores_fine(struct masks *s, const bool *same, double range, double need) {
  enum { MOST = 4 };
  const double times = (range + need) / fmax(range, 1);
  const uint8_t bits = (uint8_t)fmin(ceil(log2(times)), MOST);
  for (uint32_t i = 0; i < s->g->count; i++) {
    struct graph_node *n = &s->g->nodes[i];
    if (s->argument[i] && reads_any(n, same) && n->more_bits < bits) n->more_bits = bits;
  }
}

/* A whole number in the place of the mask's constant. */
static fusion_status shorten(struct masks *s, const struct mask *m, bool *scratch, fusion_error *err) {
  struct graph_node *n = &s->g->nodes[m->node];
  double range;
  if (!masks_alone(s, m->node, scratch, &range)) return FUSION_OK;
  const double need = ceil(range + nothing), has = -(double)m->closed;
  if (!(m->open <= 0) || !(has >= gain_least * need)) return FUSION_OK;
  if (m->bad != SIZE_MAX)
    return error_set(err, FUSION_E_INPUT,
                     "calibration: sample %zu masks every place (node '%s'); give samples with at least one place open",
                     m->bad, n->name);
  for (uint32_t c = 0; c < n->shape.channels; c++) {
    n->weights[c] = (float)((double)n->weights[c] * (need / has));
    if (n->bias) n->bias[c] = (float)((double)n->bias[c] * (need / has));
  }
  keep_scores_fine(s, scratch, range, need);
  return FUSION_OK;
}

static fusion_status observe(struct masks *s, const float *input, size_t samples) {
  size_t len;
  for (uint32_t i = 0; i < s->g->count; i++) {
    s->low[i] = INFINITY;
    s->high[i] = -INFINITY;
  }
  if (!size_mul(samples, shape_size(s->g->nodes[s->g->count - 1].shape), &len)) return FUSION_E_MEMORY;
  float *output = mem_alloc(len, sizeof *output);
  if (!output) return FUSION_E_MEMORY;
  const fusion_status status = graph_run(s->g, input, samples, output, watch, s);
  mem_free(output);
  return status;
}

/* Numbers beside tokens that are whole on all samples count as whole, as the tokens' columns do (not those of a public
 * table). */
static void find_whole(struct graph *g, const float *input, size_t samples) {
  const struct shape shape = g->nodes[0].shape;
  const size_t plane = (size_t)shape.height * shape.width;
  bool whole = g->numbers > 0 && shape.channels == g->tokens + div_up(g->numbers, plane);
  for (size_t i = 0; whole && i < samples * shape_size(shape); i++)
    whole = input[i] >= rintf(input[i]) && input[i] <= rintf(input[i]);
  if (whole) g->nodes[0].step = 1;
}

fusion_status graph_fit_masks(struct graph *g, const float *input, size_t samples, fusion_error *err) {
  struct masks s = {.g = g};
  fusion_status status = find_masks(&s);
  if (status == FUSION_OK && s.constants) {
    status = observe(&s, input, samples);
    if (status == FUSION_OK) shorten_constants(&s);
    for (size_t k = 0; k < s.count; k++)
      s.m[k] = (struct mask){.node = s.m[k].node, .closed = -INFINITY, .bad = SIZE_MAX};
  }
  if (status == FUSION_OK && s.count) status = observe(&s, input, samples);
  if (status != FUSION_OK) error_set(err, status, "calibration: %s", fusion_status_text(status));
  for (size_t k = 0; k < s.count && status == FUSION_OK; k++) status = shorten(&s, &s.m[k], s.scratch, err);
  find_whole(g, input, samples);
  mem_free(s.scratch);
  mem_free(s.argument);
  mem_free(s.part);
  mem_free(s.constant);
  mem_free(s.open_range);
  mem_free(s.m);
  mem_free(s.low);
  mem_free(s.high);
  return status;
}
