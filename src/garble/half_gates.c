#include "garble/half_gates.h"

#include "base/bits.h"
#include "garble/garble_kernels.h"
#include "garble/garble_table.h"
#include "garble/half_gates_internal.h"
#include "ot/one_of_n_kernels.h"
#include "rand/tccr.h"

enum { TERM_BLOCKS = 5, TERM_VALUES = 4 };

size_t garble_workspace_len(const struct circuit *c) {
  const size_t wires = c->gate_count;
  const size_t words = (wires + TERM_VALUES) * GARBLE_BATCH + garble_table_words(c);
  return (wires + TERM_BLOCKS) * GARBLE_BATCH * sizeof(block) + words * sizeof(uint64_t);
}

void garble_workspace_place(struct garble_workspace *ws, const struct circuit *c, void *memory) {
  *ws = (struct garble_workspace){.memory = memory, .circuit = c, .labels = memory};
  ws->term = ws->labels + c->gate_count * GARBLE_BATCH;
  ws->known = (uint64_t *)(void *)(ws->term + TERM_BLOCKS * GARBLE_BATCH);
  ws->values = ws->known + c->gate_count * GARBLE_BATCH;
  ws->table = ws->values + TERM_VALUES * GARBLE_BATCH;
}

size_t garble_blocks(const struct circuit *c, size_t count) {
  return (2 * (size_t)c->full_ands + c->half_ands) * count;
}

size_t garble_rows_len(const struct circuit *c, size_t count) {
  size_t len = garble_table_len(c, count);
  for (size_t i = 0; i < c->term_count; i++)
    len += circuit_term_rows(&c->terms[i]) * bits_len(count, circuit_term_bits(c, &c->terms[i]));
  return len;
}

static uint64_t *known_of(const struct garble_batch *b, uint32_t wire) {
  return b->ws->known + (size_t)wire * GARBLE_BATCH;
}

/* ---- Gates ---- */

/* A gate on wires that the garbler knows: on masks. */
static void run_known(const struct garble_batch *b, const struct circuit_gate *gate, uint32_t wire) {
  const uint64_t *x = known_of(b, gate->a), *y = known_of(b, gate->b);
  uint64_t *out = known_of(b, wire);
  for (size_t e = 0; e < b->count; e++) {
    if (gate->kind == CIRCUIT_NOT) out[e] = ~x[e];
    if (gate->kind == CIRCUIT_XOR) out[e] = x[e] ^ y[e];
    if (gate->kind == CIRCUIT_AND) out[e] = x[e] & y[e];
  }
}

static void xor_labels(block *out, const block *x, const block *y, size_t count) {
  for (size_t e = 0; e < count; e++) out[e] = block_xor(x[e], y[e]);
}

/* An XOR with a wire that the garbler knows: the label for 0 moves, the evaluator's stays. */
static void flip_labels(block *out, const block *x, const uint64_t *mask, block delta, size_t count) {
  for (size_t e = 0; e < count; e++) out[e] = block_xor(x[e], block_and_mask(delta, mask[e]));
}

static void offset_labels(block *out, const block *x, block delta, size_t count) {
  for (size_t e = 0; e < count; e++) out[e] = block_xor(x[e], delta);
}

/* Where the next AND's table and tweaks are. */
struct position {
  block *table;
  uint64_t tweak;
};

static struct garble_and and_of(const struct garble_batch *b, const struct circuit_gate *gate, uint32_t wire,
                                struct position *at) {
  const bool half = b->ws->circuit->gates[gate->b].known;
  const struct garble_and g = {.out = garble_labels(b, wire),
                               .a = garble_labels(b, gate->a),
                               .b = half ? NULL : garble_labels(b, gate->b),
                               .known = half ? known_of(b, gate->b) : NULL,
                               .table = at->table,
                               .delta = b->delta,
                               .tweak = block_make(b->domain, at->tweak),
                               .count = b->count};
  const size_t used = half ? b->count : 2 * b->count;
  at->table += used;
  at->tweak += used;
  return g;
}

static void garble_gate(const struct garble_batch *b, uint32_t wire, struct position *at) {
  const struct circuit_gate *gates = b->ws->circuit->gates, *gate = &gates[wire];
  block *out = garble_labels(b, wire);
  const block *x = garble_labels(b, gate->a), *y = garble_labels(b, gate->b);
  if (gate->kind == CIRCUIT_NOT) offset_labels(out, x, b->delta, b->count);
  if (gate->kind == CIRCUIT_XOR && gates[gate->a].known)
    flip_labels(out, y, known_of(b, gate->a), b->delta, b->count);
  else if (gate->kind == CIRCUIT_XOR && gates[gate->b].known)
    flip_labels(out, x, known_of(b, gate->b), b->delta, b->count);
  else if (gate->kind == CIRCUIT_XOR)
    xor_labels(out, x, y, b->count);
  if (gate->kind != CIRCUIT_AND) return;
  const struct garble_and g = and_of(b, gate, wire, at);
  if (g.b)
    garble_kernels()->and_garble(&g);
  else
    garble_kernels()->half_garble(&g);
}

static void evaluate_gate(const struct garble_batch *b, uint32_t wire, struct position *at) {
  const struct circuit_gate *gates = b->ws->circuit->gates, *gate = &gates[wire];
  block *out = garble_labels(b, wire);
  const block *x = garble_labels(b, gate->a), *y = garble_labels(b, gate->b);
  const size_t len = b->count * sizeof *out;
  if (gate->kind == CIRCUIT_NOT) memcpy(out, x, len);
  if (gate->kind == CIRCUIT_XOR && gates[gate->a].known)
    memcpy(out, y, len);
  else if (gate->kind == CIRCUIT_XOR && gates[gate->b].known)
    memcpy(out, x, len);
  else if (gate->kind == CIRCUIT_XOR)
    xor_labels(out, x, y, b->count);
  if (gate->kind != CIRCUIT_AND) return;
  const struct garble_and g = and_of(b, gate, wire, at);
  if (g.b)
    garble_kernels()->and_evaluate(&g);
  else
    garble_kernels()->half_evaluate(&g);
}

static void place_inputs(const struct garble_batch *b) {
  const struct circuit *c = b->ws->circuit;
  for (uint32_t i = 0; i < c->gate_count; i++)
    if (c->gates[i].kind == CIRCUIT_INPUT)
      memcpy(garble_labels(b, i), b->labels + c->gates[i].a * b->count, b->count * sizeof(block));
}

/* The garbler's bits as masks. */
static void place_known(const struct garble_batch *b) {
  const struct circuit *c = b->ws->circuit;
  unsigned word = 0, bit = 0;
  for (uint32_t i = 0; i < c->gate_count; i++) {
    if (c->gates[i].kind != CIRCUIT_KNOWN) continue;
    uint64_t *mask = known_of(b, i);
    for (size_t e = 0; e < b->count; e++) mask[e] = (uint64_t)0 - (b->known[word][e] >> bit & 1);
    if (++bit < c->known.bits[word]) continue;
    word++;
    bit = 0;
  }
}

/* ---- Terms ---- */

/* x ^ alpha * g where there is a guard, else x. */
static void join_labels(const struct garble_batch *b, const struct circuit_term *term, block *out) {
  const block *x = garble_labels(b, term->wire);
  memcpy(out, x, b->count * sizeof *out);
  if (term->guard == CIRCUIT_NONE) return;
  const block *g = garble_labels(b, term->guard);
  for (size_t e = 0; e < b->count; e++) out[e] = block_xor(x[e], block_times_alpha(g[e]));
}

static void add_word(const struct garble_batch *b, const struct circuit_term *term, const uint64_t *values,
                     bool negative) {
  const uint64_t sign = negative != term->minus ? UINT64_MAX : 0;
  uint64_t *out = b->out[term->word];
  for (size_t e = 0; e < b->count; e++) out[e] += ((values[e] ^ sign) - sign) << term->shift;
}

/* Labels of row 0, those with lowest bits 0, joined. */
static void first_row(const struct garble_batch *b, const struct circuit_term *term, block *out) {
  const block *x = garble_labels(b, term->wire);
  join_labels(b, term, out);
  for (size_t e = 0; e < b->count; e++) out[e] = block_xor(out[e], block_and_mask(b->delta, block_lsb_mask(x[e])));
  if (term->guard == CIRCUIT_NONE) return;
  const block *g = garble_labels(b, term->guard), delta = block_times_alpha(b->delta);
  for (size_t e = 0; e < b->count; e++) out[e] = block_xor(out[e], block_and_mask(delta, block_lsb_mask(g[e])));
}

/* What the term is worth in row z: bit 0 of z is the lowest bit of the wire's label, bit 1 of the guard's. */
static uint64_t row_value(const struct garble_batch *b, const struct circuit_term *term, const uint64_t *factor,
                          unsigned z, size_t e) {
  uint64_t bit = (garble_labels(b, term->wire)[e].lo ^ z) & 1;
  if (term->guard != CIRCUIT_NONE) bit &= garble_labels(b, term->guard)[e].lo ^ z >> 1;
  return ((uint64_t)0 - bit) & (factor ? factor[e] : 1);
}

void garble_term(const struct garble_batch *b, const struct circuit_term *term, const uint64_t *factor,
                 struct bit_writer *w, uint64_t tweak) {
  const struct tccr h = {.domain = b->domain};
  const unsigned rows = circuit_term_rows(term) + 1, bits = circuit_term_bits(b->ws->circuit, term);
  const block alpha_delta = block_times_alpha(b->delta);
  block *first = b->ws->term, *hashes = first + GARBLE_BATCH;
  uint64_t *mask = b->ws->values, *row = mask + GARBLE_BATCH;
  first_row(b, term, first);
  for (unsigned z = 0; z < rows; z++) {
    const block offset =
        block_xor(block_and_mask(b->delta, (uint64_t)0 - (z & 1)), block_and_mask(alpha_delta, (uint64_t)0 - (z >> 1)));
    tccr_hash(&h, hashes, first, b->count, offset, tweak);
    for (size_t e = 0; e < b->count; e++) {
      const uint64_t value = row_value(b, term, factor, z, e);
      if (z)
        row[e] = (value + mask[e] - hashes[e].lo) & low_mask(bits);
      else
        mask[e] = hashes[e].lo - value;
    }
    if (z) bits_put_all(w, row, b->count, bits);
    if (z) bits_finish(w);
  }
  add_word(b, term, mask, true);
}

void evaluate_term(const struct garble_batch *b, const struct circuit_term *term, struct bit_reader *r,
                   uint64_t tweak) {
  const struct tccr h = {.domain = b->domain};
  const unsigned rows = circuit_term_rows(term) + 1, bits = circuit_term_bits(b->ws->circuit, term);
  const block *x = garble_labels(b, term->wire),
              *g = term->guard == CIRCUIT_NONE ? NULL : garble_labels(b, term->guard);
  block *joined = b->ws->term, *hashes = joined + GARBLE_BATCH;
  uint64_t *value = b->ws->values, *row = value + GARBLE_BATCH;
  join_labels(b, term, joined);
  tccr_hash(&h, hashes, joined, b->count, block_make(0, 0), tweak);
  for (size_t e = 0; e < b->count; e++) value[e] = hashes[e].lo;
  for (unsigned z = 1; z < rows; z++) {
    bits_get_all(r, row, b->count, bits);
    r->position = div_up(r->position, 8) * 8;
    for (size_t e = 0; e < b->count; e++) {
      uint64_t here = (x[e].lo ^ z ^ 1) & 1;
      if (g) here &= g[e].lo ^ z >> 1 ^ 1;
      value[e] += row[e] & ((uint64_t)0 - here);
    }
  }
  add_word(b, term, value, false);
}

/* ---- Batches ---- */

static struct position first_position(const struct garble_batch *b) {
  return (struct position){.table = b->table, .tweak = b->first};
}

void garble_batch(const struct garble_batch *b) {
  const struct circuit *c = b->ws->circuit;
  struct position at = first_position(b);
  place_inputs(b);
  place_known(b);
  for (uint32_t i = 0; i < c->gate_count; i++) {
    const enum circuit_kind kind = c->gates[i].kind;
    if (kind == CIRCUIT_INPUT || kind == CIRCUIT_KNOWN) continue;
    if (c->gates[i].known)
      run_known(b, &c->gates[i], i);
    else
      garble_gate(b, i, &at);
  }
  struct bit_writer w = {.out = b->rows};
  for (size_t i = 0; i < c->term_count; i++, at.tweak += b->count) {
    const uint32_t factor = c->terms[i].factor;
    garble_term(b, &c->terms[i], factor == CIRCUIT_NONE ? NULL : b->factors[factor], &w, at.tweak);
  }
  if (c->table.index_bits) garble_table(b, &w, at.tweak);
}

void evaluate_batch(const struct garble_batch *b) {
  const struct circuit *c = b->ws->circuit;
  struct position at = first_position(b);
  place_inputs(b);
  for (uint32_t i = 0; i < c->gate_count; i++) {
    const enum circuit_kind kind = c->gates[i].kind;
    if (kind != CIRCUIT_INPUT && !c->gates[i].known) evaluate_gate(b, i, &at);
  }
  struct bit_reader r = {.in = b->rows};
  for (size_t i = 0; i < c->term_count; i++, at.tweak += b->count) evaluate_term(b, &c->terms[i], &r, at.tweak);
  if (c->table.index_bits) evaluate_table(b, &r, at.tweak);
}
