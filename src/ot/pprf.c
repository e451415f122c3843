#include "ot/pprf.h"

#include "base/base.h"

struct pin {
  uint8_t bytes[PPRF_PIN_LEN];
};

static void put_u64(uint8_t *out, uint64_t v) {
  for (int i = 0; i < 8; i++) out[i] = (uint8_t)(v >> (8 * i));
}

static void hash_node(uint8_t *out, size_t out_len, const char purpose[16], struct pprf_id id, unsigned level,
                      block node) {
  crypto_generichash_state hash;
  uint8_t head[16 + 8 + 4 + 2 + 16];
  memcpy(head, purpose, 16);
  put_u64(head + 16, id.session);
  for (int i = 0; i < 4; i++) head[24 + i] = (uint8_t)(id.tree >> (8 * i));
  head[28] = id.maker == ROLE_CLIENT;
  head[29] = (uint8_t)level;
  memcpy(head + 30, &node, sizeof node);
  crypto_generichash_init(&hash, NULL, 0, out_len);
  crypto_generichash_update(&hash, head, sizeof head);
  crypto_generichash_final(&hash, out, out_len);
  mem_wipe(&hash, sizeof hash);
  mem_wipe(head, sizeof head);
}

static void expand_inner(block children[2], struct pprf_id id, unsigned level, block node) {
  hash_node((uint8_t *)children, 2 * sizeof *children, "fusion-pprf-node", id, level, node);
}

static void expand_leaf(struct pin *pin, block *leaf, struct pprf_id id, unsigned depth, block node) {
  uint8_t wide[PPRF_PIN_LEN + sizeof(block)];
  hash_node(wide, sizeof wide, "fusion-pprf-leaf", id, depth, node);
  memcpy(pin->bytes, wide, PPRF_PIN_LEN);
  memcpy(leaf, wide + PPRF_PIN_LEN, sizeof *leaf);
  mem_wipe(wide, sizeof wide);
}

static void pin_add(struct pin *a, const struct pin *b) {
  for (size_t i = 0; i < PPRF_PIN_LEN; i++) a->bytes[i] ^= b->bytes[i];
}

static void pin_swap(struct pin *a, struct pin *b, uint8_t mask) {
  for (size_t i = 0; i < PPRF_PIN_LEN; i++) {
    const uint8_t d = (uint8_t)((a->bytes[i] ^ b->bytes[i]) & mask);
    a->bytes[i] ^= d;
    b->bytes[i] ^= d;
  }
}

/* b where mask is all ones, else a. */
static block block_select(block a, block b, uint64_t mask) {
  return block_xor(a, block_and_mask(block_xor(a, b), mask));
}

void pprf_pins_start(crypto_generichash_state *pins, uint64_t session, enum role maker) {
  uint8_t head[16 + 8 + 1];
  memcpy(head, "fusion-pprf-pins", 16);
  put_u64(head + 16, session);
  head[24] = maker == ROLE_CLIENT;
  crypto_generichash_init(pins, NULL, 0, PPRF_PIN_LEN);
  crypto_generichash_update(pins, head, sizeof head);
}

void pprf_pins_finish(crypto_generichash_state *pins, uint8_t out[PPRF_PIN_LEN]) {
  crypto_generichash_final(pins, out, PPRF_PIN_LEN);
  mem_wipe(pins, sizeof *pins);
}

void pprf_make(struct pprf_id id, unsigned depth, block root, const block *ot_keys, uint8_t *message, block *leaves,
               crypto_generichash_state *pins) {
  struct pin pin, sum = {{0}};
  block children[2];
  assert(depth <= PPRF_DEPTH_MAX);
  leaves[0] = root;
  for (unsigned level = 0; level < depth; level++) {
    block sums[2] = {ot_keys[2 * level], ot_keys[2 * level + 1]};
    for (size_t x = (size_t)1 << level; x-- > 0;) { /* downwards: children overwrite only nodes that are done */
      expand_inner(children, id, level, leaves[x]);
      for (size_t side = 0; side < 2; side++) {
        leaves[2 * x + side] = children[side];
        sums[side] = block_xor(sums[side], children[side]);
      }
    }
    memcpy(message, sums, sizeof sums);
    message += sizeof sums;
  }
  for (size_t x = 0; x < (size_t)1 << depth; x++) {
    expand_leaf(&pin, &leaves[x], id, depth, leaves[x]);
    pin_add(&sum, &pin);
    crypto_generichash_update(pins, pin.bytes, PPRF_PIN_LEN);
  }
  memcpy(message, sum.bytes, PPRF_PIN_LEN);
  mem_wipe(children, sizeof children);
  mem_wipe(&pin, sizeof pin);
}

/* One level down, nodes in the order y = x ^ (the point's prefix), node 0 unknown. */
static void puncture_level(struct pprf_id id, unsigned level, uint64_t bit_mask, block ot_key, const uint8_t *message,
                           block *nodes) {
  block children[2], sums[2], away;
  memcpy(sums, message, sizeof sums);
  for (size_t y = (size_t)1 << level; y-- > 1;) {
    expand_inner(children, id, level, nodes[y]);
    sums[0] = block_xor(sums[0], children[0]);
    sums[1] = block_xor(sums[1], children[1]);
    nodes[2 * y] = block_select(children[0], children[1], bit_mask);
    nodes[2 * y + 1] = block_select(children[1], children[0], bit_mask);
  }
  away = block_select(sums[1], sums[0], bit_mask); /* side 1 - bit */
  nodes[1] = block_xor(away, ot_key);
  nodes[0] = block_make(0, 0);
  mem_wipe(children, sizeof children);
  mem_wipe(sums, sizeof sums);
}

void pprf_puncture(struct pprf_id id, unsigned depth, uint32_t point, const block *ot_keys, const uint8_t *message,
                   block *leaves, crypto_generichash_state *pins_hash) {
  struct pin pins[PPRF_LEAVES_MAX];
  const size_t count = (size_t)1 << depth;
  assert(depth <= PPRF_DEPTH_MAX);
  leaves[0] = block_make(0, 0);
  for (unsigned level = 0; level < depth; level++) {
    const uint64_t bit_mask = (uint64_t)0 - ((point >> (depth - 1 - level)) & 1);
    puncture_level(id, level, bit_mask, ot_keys[level], message, leaves);
    message += 2 * sizeof(block);
  }
  memcpy(pins[0].bytes, message, PPRF_PIN_LEN);
  for (size_t y = 1; y < count; y++) {
    expand_leaf(&pins[y], &leaves[y], id, depth, leaves[y]);
    pin_add(&pins[0], &pins[y]);
  }
  for (unsigned b = 0; b < depth; b++) { /* back to the order x = y ^ point, by swaps that do not show the point */
    const uint8_t mask = (uint8_t)(0 - ((point >> b) & 1));
    for (size_t y = 0; y < count; y++)
      if (!(y >> b & 1)) pin_swap(&pins[y], &pins[y | (size_t)1 << b], mask);
  }
  crypto_generichash_update(pins_hash, pins[0].bytes, count * PPRF_PIN_LEN);
  mem_wipe(pins, sizeof pins);
}
