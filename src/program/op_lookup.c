/** LOOKUP: a public function by a table. */
#include "program/operators.h"

static void run_lookup(const struct operator_run *r) {
  const struct program_table *t = r->step->table;
  const unsigned ring = r->step->out.ring_bits, low = t->low_bits;
  const size_t n = r->samples * shape_size(r->step->out.shape);
  const uint64_t index = low_mask(t->index_bits), within = low_mask(low);
  const uint64_t middle = low ? UINT64_C(1) << (low - 1) : 0;
  for (size_t i = 0; i < n; i++) {
    const uint64_t x = (uint64_t)r->inputs[0][i], h = x >> low & index;
    r->out[i] = ring_signed((uint64_t)t->base[h] + (uint64_t)t->slope[h] * ((x & within) - middle), ring);
  }
}

static complaint check_lookup(const struct program *program, const struct program_step *s) {
  const struct program_table *t = s->table;
  const int64_t most = INT64_C(1) << PROGRAM_TABLE_SLOPE_BITS;
  if (!t) return "its table is missing";
  if (t->index_bits < 1 || t->index_bits > PROGRAM_TABLE_INDEX_BITS) return "its table has an unusable size";
  if (t->low_bits == 1 || t->index_bits + t->low_bits > PROGRAM_TABLE_BITS) return "its table has an unusable width";
  if (step_input(program, s, 0)->ring_bits < t->index_bits + t->low_bits) return "its input is narrower than its table";
  for (unsigned h = 0; h < 1u << t->index_bits; h++) {
    if (ring_signed((uint64_t)t->base[h], s->out.ring_bits) != t->base[h]) return "its table leaves its ring";
    if (t->slope[h] < -most || t->slope[h] >= most || (t->slope[h] && !t->low_bits)) return "its table is too steep";
  }
  return NULL;
}

/** Its reader, the next step, is a TRUNCATE. */
static unsigned lookup_width(const struct operator_width *w) {
  const struct program_step *s = &w->program->steps[w->step], *next = w->step + 1 < w->program->count ? s + 1 : s;
  const struct program_table *t = s->table;
  const uint64_t reach = t->low_bits ? UINT64_C(1) << (t->low_bits - 1) : 0;
  uint64_t most = 1;
  for (unsigned h = 0; h < 1u << t->index_bits; h++) {
    const uint64_t base = (uint64_t)(t->base[h] < 0 ? -t->base[h] : t->base[h]);
    const uint64_t slope = (uint64_t)(t->slope[h] < 0 ? -t->slope[h] : t->slope[h]);
    const uint64_t top = base + slope * reach;
    most = top > most ? top : most;
  }
  const unsigned bits = log2_up(most + step_rounding(next) + 1) + 1, least = next->shift + 2u;
  return bits > least ? bits : least;
}

static unsigned lookup_needs(const struct program *program, const struct program_step *s, uint32_t k) {
  (void)program;
  (void)k;
  return (unsigned)s->table->index_bits + s->table->low_bits;
}

const struct program_operator operator_lookup = {
    .name = "lookup",
    .inputs_least = 1,
    .inputs_most = 1,
    .fields = FIELD_TABLE,
    .raw = RAW_NEVER,
    .scale = SCALE_TABLE,
    .gate = GATE_LOOKUP,
    .stage = STAGE_RELU,
    .free_ring = true,
    .check = check_lookup,
    .run = run_lookup,
    .width = lookup_width,
    .needs = lookup_needs,
};
