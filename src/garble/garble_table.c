#include "garble/garble_table.h"

#include "base/lanes.h"
#include "garble/half_gates_internal.h"
#include "ot/one_of_n_kernels.h"
#include "rand/tccr.h"

enum {
  PIECES_MAX = 1 << CIRCUIT_INDEX_BITS_MAX,
  ROWS_MAX = 2 * PIECES_MAX, /* with the carry */
  WIRES_MAX = CIRCUIT_INDEX_BITS_MAX + 1,
};

/* Values that a row has: of G, and with low bits of s. */
static unsigned values_of(const struct circuit *c) {
  return c->table.low_bits ? 2 : 1;
}

static size_t rows_of(const struct circuit *c) {
  return (size_t)1 << circuit_table_wires(c);
}

/* Entries [values][rows][GARBLE_BATCH], then masks [values][GARBLE_BATCH]. */
static uint64_t *entry_at(const struct garble_batch *b, unsigned value, size_t row) {
  return b->ws->table + (value * rows_of(b->ws->circuit) + row) * GARBLE_BATCH;
}
static uint64_t *masks_of(const struct garble_batch *b, unsigned value) {
  const struct circuit *c = b->ws->circuit;
  return b->ws->table + (values_of(c) * rows_of(c) + value) * GARBLE_BATCH;
}

size_t garble_table_words(const struct circuit *c) {
  return c->table.index_bits ? values_of(c) * (rows_of(c) + 1) * GARBLE_BATCH : 0;
}

size_t garble_table_len(const struct circuit *c, size_t count) {
  if (!c->table.index_bits) return 0;
  const unsigned bits = c->outputs.bits[0];
  size_t len = (rows_of(c) - 1) * values_of(c) * bits_len(count, bits);
  for (unsigned j = 0; j < circuit_table_products(c); j++) len += bits_len(count, bits - j);
  return len;
}

/* The i-th wire that the table is read at: an input bit, the evaluator's word being the circuit's first wires, or the
 * carry. */
static uint32_t wire_at(const struct circuit *c, unsigned i) {
  return i < c->table.index_bits ? c->table.low_bits + i : c->table.carry;
}

/* sum alpha^i label_i; `delta`: of the labels whose lowest bits are 0, else 0. */
static void join_labels(const struct garble_batch *b, block delta, block *out) {
  const struct circuit *c = b->ws->circuit;
  memset(out, 0, b->count * sizeof *out);
  for (unsigned i = circuit_table_wires(c); i-- > 0;) {
    const block *label = garble_labels(b, wire_at(c, i));
    for (size_t e = 0; e < b->count; e++) {
      const block here = block_xor(label[e], block_and_mask(delta, block_lsb_mask(label[e])));
      out[e] = block_xor(block_times_alpha(out[e]), here);
    }
  }
}

/* The public function, rotated by the garbler's index in each of LANES instances; returns where it is. */
static const lanes *rotated(lanes buffers[2][PIECES_MAX], const int64_t *values, const struct circuit_table *t,
                            const lanes *share) {
  const unsigned pieces = 1u << t->index_bits;
  unsigned now = 0;
  for (unsigned j = 0; j < pieces; j++) buffers[0][j] = (lanes){0} + (uint64_t)values[j];
  for (unsigned i = 0; i < t->index_bits; i++, now ^= 1) {
    const lanes mask = -(*share >> (t->low_bits + i) & 1);
    lanes_rotate(buffers[now ^ 1], buffers[now], pieces, i, &mask);
  }
  return buffers[now];
}

/* Entries of LANES instances from `at` on: row j is that of aH = j without a carry, row pieces + j with one. */
static void place_entries(const struct garble_batch *b, size_t at) {
  const struct circuit_table *t = &b->ws->circuit->table;
  const unsigned pieces = 1u << t->index_bits, low = t->low_bits;
  lanes base_buffers[2][PIECES_MAX], slope_buffers[2][PIECES_MAX], share = {0};
  memcpy(&share, b->factors[0] + at, size_min(LANES, b->count - at) * sizeof(uint64_t));
  const lanes *base = rotated(base_buffers, t->base, t, &share);
  const lanes *slope = low ? rotated(slope_buffers, t->slope, t, &share) : NULL;
  for (unsigned j = 0; j < pieces; j++)
    if (!low) memcpy(entry_at(b, 0, j) + at, &base[j], sizeof base[j]);
  for (unsigned row = 0; low && row < 2 * pieces; row++) {
    const unsigned carry = row >> t->index_bits, j = (row + carry) & (pieces - 1);
    uint64_t *own = entry_at(b, 0, row) + at, *slopes = entry_at(b, 1, row) + at;
    const uint64_t middle = (UINT64_C(1) << (low - 1)) + ((uint64_t)carry << low);
    const lanes entry = base[j] + slope[j] * ((share & low_mask(low)) - middle);
    memcpy(own, &entry, sizeof entry);
    memcpy(slopes, &slope[j], sizeof slope[j]);
  }
  mem_wipe(&share, sizeof share);
  mem_wipe(base_buffers, sizeof base_buffers);
  mem_wipe(slope_buffers, sizeof slope_buffers);
}

/* From the order of the wires' bits to that of their labels' lowest bits. */
static void order_entries(const struct garble_batch *b) {
  const struct circuit *c = b->ws->circuit;
  for (unsigned i = 0; i < circuit_table_wires(c); i++) {
    const block *label = garble_labels(b, wire_at(c, i));
    for (unsigned v = 0; v < values_of(c); v++) {
      for (size_t row = 0; row < rows_of(c); row++) {
        if (row >> i & 1) continue;
        uint64_t *x = entry_at(b, v, row), *y = entry_at(b, v, row | (size_t)1 << i);
        for (size_t e = 0; e < b->count; e++) {
          const uint64_t change = (x[e] ^ y[e]) & block_lsb_mask(label[e]);
          x[e] ^= change;
          y[e] ^= change;
        }
      }
    }
  }
}

/* s'' * aL, or what the evaluator has of it. */
static struct circuit_term product_term(unsigned bit) {
  return (struct circuit_term){
      .wire = bit, .guard = CIRCUIT_NONE, .factor = CIRCUIT_NONE, .word = 0, .shift = (uint8_t)bit};
}

/* Row z of the hashes: the masks, or what travels. */
static void mask_row(const struct garble_batch *b, const block *hashes, size_t z, struct bit_writer *w) {
  const struct circuit *c = b->ws->circuit;
  for (unsigned v = 0; v < values_of(c); v++) {
    uint64_t *entry = entry_at(b, v, z), *mask = masks_of(b, v);
    for (size_t e = 0; e < b->count; e++) {
      const uint64_t pad = v ? hashes[e].hi : hashes[e].lo;
      if (z)
        entry[e] += mask[e] - pad;
      else
        mask[e] = pad - entry[e];
    }
    if (z) bits_put_all(w, entry, b->count, c->outputs.bits[0]);
    if (z) bits_finish(w);
  }
}

void garble_table(const struct garble_batch *b, struct bit_writer *w, uint64_t tweak) {
  const struct circuit *c = b->ws->circuit;
  const struct tccr h = {.domain = b->domain};
  block *first = b->ws->term, *hashes = first + GARBLE_BATCH, power[WIRES_MAX];
  power[0] = b->delta;
  for (unsigned i = 1; i < WIRES_MAX; i++) power[i] = block_times_alpha(power[i - 1]);
  for (size_t at = 0; at < b->count; at += LANES) place_entries(b, at);
  order_entries(b);
  join_labels(b, b->delta, first);
  for (size_t z = 0; z < rows_of(c); z++) {
    block offset = block_make(0, 0);
    for (unsigned i = 0; i < circuit_table_wires(c); i++)
      offset = block_xor(offset, block_and_mask(power[i], (uint64_t)0 - (z >> i & 1)));
    tccr_hash(&h, hashes, first, b->count, offset, tweak);
    mask_row(b, hashes, z, w);
  }
  for (size_t e = 0; e < b->count; e++) b->out[0][e] -= masks_of(b, 0)[e];
  for (size_t e = 0; c->table.low_bits && e < b->count; e++) masks_of(b, 1)[e] = 0 - masks_of(b, 1)[e];
  for (unsigned j = 0; j < circuit_table_products(c); j++) {
    const struct circuit_term term = product_term(j);
    garble_term(b, &term, masks_of(b, 1), w, tweak += b->count);
  }
}

/* The row of the labels at hand: reads all of them. */
static void open_row(const struct garble_batch *b, struct bit_reader *r, uint64_t *const *values) {
  const struct circuit *c = b->ws->circuit;
  uint64_t *number = masks_of(b, 0), *row = entry_at(b, 0, 0);
  memset(number, 0, b->count * sizeof *number);
  for (unsigned i = 0; i < circuit_table_wires(c); i++) {
    const block *label = garble_labels(b, wire_at(c, i));
    for (size_t e = 0; e < b->count; e++) number[e] |= (label[e].lo & 1) << i;
  }
  for (size_t z = 1; z < rows_of(c); z++) {
    for (unsigned v = 0; v < values_of(c); v++) {
      bits_get_all(r, row, b->count, c->outputs.bits[0]);
      r->position = div_up(r->position, 8) * 8;
      /* number ^ z is small: less 1, its top bit is set for 0 alone. */
      for (size_t e = 0; e < b->count; e++) values[v][e] += row[e] & ((uint64_t)0 - (((number[e] ^ z) - 1) >> 63));
    }
  }
}

void evaluate_table(const struct garble_batch *b, struct bit_reader *r, uint64_t tweak) {
  const struct circuit *c = b->ws->circuit;
  const struct tccr h = {.domain = b->domain};
  block *joined = b->ws->term, *hashes = joined + GARBLE_BATCH;
  uint64_t *const values[] = {b->ws->values, b->ws->values + GARBLE_BATCH};
  join_labels(b, block_make(0, 0), joined);
  tccr_hash(&h, hashes, joined, b->count, block_make(0, 0), tweak);
  for (size_t e = 0; e < b->count; e++) {
    values[0][e] = hashes[e].lo;
    values[1][e] = hashes[e].hi;
  }
  open_row(b, r, values);
  for (size_t e = 0; e < b->count; e++) b->out[0][e] += values[0][e];
  for (size_t e = 0; c->table.low_bits && e < b->count; e++)
    b->out[0][e] += values[1][e] * (b->inputs[0][e] & low_mask(c->table.low_bits));
  for (unsigned j = 0; j < circuit_table_products(c); j++) {
    const struct circuit_term term = product_term(j);
    evaluate_term(b, &term, r, tweak += b->count);
  }
}
