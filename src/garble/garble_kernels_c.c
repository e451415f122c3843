/* Portable kernels of half_gates.c. */
#include "garble/garble_kernels.h"

#include "rand/aes_kernels.h"

enum { TILE = 64 };

/* Hashes of a tile: of the labels for 0 and for 1, or of the evaluator's. Secret; wiped at the end. */
struct hashes {
  block zero[TILE], one[TILE];
};

static block tweak_at(const struct garble_and *g, size_t index) {
  return block_make(g->tweak.hi, g->tweak.lo + index);
}

static void hash(block *out, const block *in, size_t count, block offset, block tweak) {
  aes_kernels_c.tccr(out, in, count, offset, tweak);
}

static void hash_both(struct hashes *h, const struct garble_and *g, const block *in, size_t count, size_t index) {
  hash(h->zero, in, count, block_make(0, 0), tweak_at(g, index));
  hash(h->one, in, count, g->delta, tweak_at(g, index));
}

static void and_garble_c(const struct garble_and *g) {
  struct hashes a, b;
  for (size_t done = 0; done < g->count; done += TILE) {
    const size_t n = size_min(TILE, g->count - done);
    block *table = g->table + done, *second = table + g->count;
    hash_both(&a, g, g->a + done, n, done);
    hash_both(&b, g, g->b + done, n, g->count + done);
    for (size_t e = 0; e < n; e++) {
      const block x = g->a[done + e];
      const uint64_t mask_a = block_lsb_mask(x), mask_b = block_lsb_mask(g->b[done + e]);
      const block differ = block_xor(b.zero[e], b.one[e]);
      table[e] = block_xor(block_xor(a.zero[e], a.one[e]), block_and_mask(g->delta, mask_b));
      second[e] = block_xor(differ, x);
      g->out[done + e] = block_xor(block_xor(a.zero[e], block_and_mask(table[e], mask_a)),
                                   block_xor(b.zero[e], block_and_mask(differ, mask_b)));
    }
  }
  mem_wipe(&a, sizeof a);
  mem_wipe(&b, sizeof b);
}

static void and_evaluate_c(const struct garble_and *g) {
  block a[TILE], b[TILE];
  for (size_t done = 0; done < g->count; done += TILE) {
    const size_t n = size_min(TILE, g->count - done);
    const block *table = g->table + done, *second = table + g->count;
    hash(a, g->a + done, n, block_make(0, 0), tweak_at(g, done));
    hash(b, g->b + done, n, block_make(0, 0), tweak_at(g, g->count + done));
    for (size_t e = 0; e < n; e++) {
      const block x = g->a[done + e];
      const uint64_t mask_a = block_lsb_mask(x), mask_b = block_lsb_mask(g->b[done + e]);
      g->out[done + e] = block_xor(block_xor(a[e], block_and_mask(table[e], mask_a)),
                                   block_xor(b[e], block_and_mask(block_xor(second[e], x), mask_b)));
    }
  }
  mem_wipe(a, sizeof a);
  mem_wipe(b, sizeof b);
}

static void half_garble_c(const struct garble_and *g) {
  struct hashes a;
  for (size_t done = 0; done < g->count; done += TILE) {
    const size_t n = size_min(TILE, g->count - done);
    hash_both(&a, g, g->a + done, n, done);
    for (size_t e = 0; e < n; e++) {
      const block row = block_xor(block_xor(a.zero[e], a.one[e]), block_and_mask(g->delta, g->known[done + e]));
      g->out[done + e] = block_xor(a.zero[e], block_and_mask(row, block_lsb_mask(g->a[done + e])));
      g->table[done + e] = row;
    }
  }
  mem_wipe(&a, sizeof a);
}

static void half_evaluate_c(const struct garble_and *g) {
  block a[TILE];
  for (size_t done = 0; done < g->count; done += TILE) {
    const size_t n = size_min(TILE, g->count - done);
    hash(a, g->a + done, n, block_make(0, 0), tweak_at(g, done));
    for (size_t e = 0; e < n; e++)
      g->out[done + e] = block_xor(a[e], block_and_mask(g->table[done + e], block_lsb_mask(g->a[done + e])));
  }
  mem_wipe(a, sizeof a);
}

const struct garble_kernels garble_kernels_c = {.and_garble = and_garble_c,
                                                .and_evaluate = and_evaluate_c,
                                                .half_garble = half_garble_c,
                                                .half_evaluate = half_evaluate_c};
