/* The shapes of the comparison tree: the cheapest, by dynamic programming over parts of the number and levels; and the
 * fixed one. */
#include "gates/carry.h"

/* Prices, in bits of traffic an element. A correlation takes some two bits of traffic, and processor time; in the
 * shortest tree, where it takes a fraction of a bit and traffic counts most, one bit stands for both. A chain of single
 * bits is the deepest tree. */
enum { COT_BITS = 4, COT_BITS_SHORTEST = 1, IMPOSSIBLE = 1 << 24, BITS_MAX = 62, LEVELS_MAX = BITS_MAX - 1 };

/* Prices of what can be known after so many levels. */
struct row {
  int32_t block[BITS_MAX + 1]; /* G and P of so many bits */
  int32_t chain[BITS_MAX + 1]; /* the carry into a bit */
};

struct table {
  unsigned middle, top;
  int32_t cot;    /* price of a correlation */
  struct row any; /* after any number of levels */
  struct row level[LEVELS_MAX + 1];
};

static int32_t digit_price(const struct table *t, unsigned width, bool propagate) {
  if (width > CARRY_DIGIT_BITS_MAX) return IMPOSSIBLE;
  return (int32_t)width * (1 + t->cot) + (propagate ? 2 : 1) * ((1 << width) - 1);
}

static int32_t merge_price(const struct table *t, bool propagate) {
  return (propagate ? 6 : 4) + 2 * t->cot;
}

/* Choices, both tables less an entry, the receiver's carry. */
static int32_t late_price(const struct table *t, unsigned width) {
  return (int32_t)width * (1 + t->cot) + (2 << width) + t->cot;
}

static int32_t lesser(int32_t a, int32_t b) {
  return a < b ? a : b;
}

/* The least price of both parts of `bits` bits, of which the upper one, a block, has at most `most`. */
static int32_t parts_price(const int32_t *lower, const int32_t *upper, unsigned bits, unsigned most) {
  int32_t least = IMPOSSIBLE;
  for (unsigned high = 1; high <= most; high++) least = lesser(least, lower[bits - high] + upper[high]);
  return least;
}

/* below: the row one level lower; NULL: there is none; `row` itself: after any number of levels. */
static void fill_blocks(const struct table *t, struct row *row, const struct row *below) {
  for (unsigned bits = 1; bits <= t->top; bits++) {
    row->block[bits] = digit_price(t, bits, true);
    if (!below) continue;
    /* Both parts are blocks: the wider one may as well be the lower. */
    const int32_t merged = parts_price(below->block, below->block, bits, bits / 2) + merge_price(t, true);
    row->block[bits] = lesser(row->block[bits], merged);
  }
}

/* The largest block that the chain may absorb on its way to `bits`: the carry into `middle` must turn up. */
static unsigned most_absorbed(const struct table *t, unsigned bits) {
  return bits > t->middle && t->middle > 0 ? bits - t->middle : bits - 1;
}

/* The widest late digit that the chain may absorb on its way to `bits`. */
static unsigned widest_late(const struct table *t, unsigned bits) {
  const unsigned most = most_absorbed(t, bits);
  return most < CARRY_DIGIT_BITS_MAX ? most : CARRY_DIGIT_BITS_MAX;
}

static void fill_chain(const struct table *t, struct row *row, const struct row *below) {
  for (unsigned bits = 1; bits <= t->top; bits++) {
    const bool digit = t->middle == 0 || bits <= t->middle;
    int32_t price = digit ? digit_price(t, bits, false) : IMPOSSIBLE;
    if (below && below != row) price = lesser(price, below->chain[bits]);
    if (below && bits > 1 && price > t->any.chain[bits]) { /* else nothing can improve it */
      const int32_t parts = parts_price(below->chain, below->block, bits, most_absorbed(t, bits));
      price = lesser(price, lesser(parts, below->chain[bits - 1]) + merge_price(t, false));
      for (unsigned width = 2; width <= widest_late(t, bits); width++)
        price = lesser(price, below->chain[bits - width] + late_price(t, width));
    }
    row->chain[bits] = price;
  }
}

static uint8_t add_digit(struct carry_tree *tree, struct carry_digit digit) {
  tree->digit[tree->digits] = digit;
  return (uint8_t)tree->digits++;
}

/* The client sends the tables of the first stage. A server that has just answered a linear layer says its choices with
 * the answer; the client's tables and its part of the first level leave together: two delays less than in turns where
 * the last products follow an even level. Late digits even out, as near as their widths allow, what each direction's
 * correlations are used for. */
static uint8_t add_turn(struct carry_tree *tree, struct carry_digit digit) {
  unsigned spent[2] = {0, 0};
  for (unsigned d = 0; d < tree->digits; d++)
    spent[tree->digit[d].sender] += tree->digit[d].width + (tree->digit[d].level ? 1u : 0);
  digit.sender = !digit.level || spent[ROLE_SERVER] > spent[ROLE_CLIENT] ? ROLE_CLIENT : ROLE_SERVER;
  return add_digit(tree, digit);
}

static struct carry_digit digit_of(unsigned low, unsigned width, bool propagate) {
  return (struct carry_digit){.low = (uint8_t)low, .width = (uint8_t)width, .propagate = propagate};
}

static void add_merge(struct carry_tree *tree, struct carry_merge merge, unsigned level) {
  merge.level = (uint8_t)level;
  tree->merge[tree->merges++] = merge;
}

/* How much the upper part takes where both together have this price; 0: no two parts do. */
static unsigned find_parts(const int32_t *lower, const int32_t *upper, unsigned bits, unsigned most, int32_t price) {
  for (unsigned high = 1; high <= most; high++)
    if (lower[bits - high] + upper[high] == price) return high;
  return 0;
}

static uint8_t emit_block(struct carry_tree *tree, const struct table *t, unsigned level, unsigned low, unsigned bits) {
  const int32_t price = t->level[level].block[bits];
  if (price == digit_price(t, bits, true)) return add_turn(tree, digit_of(low, bits, true));
  const int32_t *below = t->level[level - 1].block;
  const unsigned high = find_parts(below, below, bits, bits / 2, price - merge_price(t, true));
  const uint8_t node = emit_block(tree, t, level - 1, low, bits - high);
  const uint8_t above = emit_block(tree, t, level - 1, low + bits - high, high);
  add_merge(tree, (struct carry_merge){.high = above, .low = node, .propagate = true}, level);
  return node;
}

static void emit_chain(struct carry_tree *tree, const struct table *t, unsigned level, unsigned bits);

/* The width of the late digit that gives the chain this price; 0: none does. */
static unsigned find_late(const struct table *t, const struct row *below, unsigned bits, int32_t price) {
  for (unsigned width = 2; width <= widest_late(t, bits); width++)
    if (below->chain[bits - width] + late_price(t, width) == price) return width;
  return 0;
}

/* The chain absorbs a late digit, a block or a single bit, as is cheapest. */
static void emit_growth(struct carry_tree *tree, const struct table *t, unsigned level, unsigned bits) {
  const struct row *below = &t->level[level - 1];
  const int32_t price = t->level[level].chain[bits], parts = price - merge_price(t, false);
  const unsigned width = find_late(t, below, bits, price);
  if (width) {
    struct carry_digit late = digit_of(bits - width, width, true);
    late.level = (uint8_t)level;
    emit_chain(tree, t, level - 1, bits - width);
    add_merge(tree, (struct carry_merge){.high = add_turn(tree, late), .late = true}, level);
    return;
  }
  const unsigned high = find_parts(below->chain, below->block, bits, most_absorbed(t, bits), parts);
  emit_chain(tree, t, level - 1, bits - (high ? high : 1));
  const uint8_t node = high ? emit_block(tree, t, level - 1, bits - high, high) : (uint8_t)(bits - 1);
  add_merge(tree, (struct carry_merge){.high = node, .single = !high}, level);
}

static void emit_chain(struct carry_tree *tree, const struct table *t, unsigned level, unsigned bits) {
  if (level == 0)
    add_turn(tree, digit_of(0, bits, false));
  else if (t->level[level].chain[bits] == t->level[level - 1].chain[bits])
    emit_chain(tree, t, level - 1, bits);
  else
    emit_growth(tree, t, level, bits);
  if (bits == t->middle) tree->middle_level = level;
}

/* One-way delays from a linear layer's answer until the client has the last of `flights` behind the tables. The choices
 * came with the answer; in each message but the client's first a party says two flights. */
static uint64_t delays_of(unsigned flights) {
  return 2 * div_up(flights, 2);
}

static struct carry_tree cheapest(enum carry_shape shape, unsigned middle, unsigned top, size_t count,
                                  unsigned behind) {
  struct table t; /* rows are filled before they are read */
  struct carry_tree tree = {0};
  uint64_t least = UINT64_MAX;
  t.cot = shape == CARRY_SHORTEST ? COT_BITS_SHORTEST : COT_BITS;
  t.middle = middle;
  t.top = top;
  t.any = (struct row){0}; /* a lower bound while it is filled itself */
  fill_blocks(&t, &t.any, &t.any);
  fill_chain(&t, &t.any, &t.any);
  for (unsigned level = 0; level <= LEVELS_MAX; level++) {
    const struct row *below = level ? &t.level[level - 1] : NULL;
    const uint64_t flights = carry_flight_bits(shape) * delays_of(level + behind);
    /* No deeper tree is cheaper than the cheapest of all with so few flights. */
    if ((uint64_t)count * (uint64_t)t.any.chain[top] + flights >= least) break;
    fill_blocks(&t, &t.level[level], below);
    fill_chain(&t, &t.level[level], below);
    const int32_t bits = t.level[level].chain[top];
    const uint64_t price = (uint64_t)count * (uint64_t)bits + flights;
    if (bits >= IMPOSSIBLE || price >= least) continue;
    least = price;
    tree.levels = level;
  }
  emit_chain(&tree, &t, tree.levels, top);
  return tree;
}

/* Digits of four bits over the bits [low, high), merged two by two, an odd one waiting: returns the levels that it
 * takes. Node 0 is a carry, every other has a P. */
static unsigned add_part(struct carry_tree *tree, unsigned low, unsigned high) {
  const unsigned first = tree->digits;
  for (unsigned at = low; at < high; at += CARRY_DIGIT_BITS_MAX) {
    const unsigned left = high - at, width = left < CARRY_DIGIT_BITS_MAX ? left : CARRY_DIGIT_BITS_MAX;
    struct carry_digit digit = digit_of(at, width, tree->digits > 0);
    digit.sender = ROLE_SERVER;
    add_digit(tree, digit);
  }
  unsigned levels = 0;
  for (unsigned step = 1; step < tree->digits - first; step *= 2) {
    levels++;
    for (unsigned node = first; node + step < tree->digits; node += 2 * step)
      add_merge(tree, (struct carry_merge){.high = (uint8_t)(node + step), .low = (uint8_t)node, .propagate = node > 0},
                levels);
  }
  return levels;
}

/* Below `middle` and above it a tree each, so that both carries turn up; one merge joins them. */
static struct carry_tree fixed(unsigned middle, unsigned top) {
  struct carry_tree tree = {0};
  const unsigned below = add_part(&tree, 0, middle), upper = tree.digits, above = add_part(&tree, middle, top);
  tree.middle_level = below;
  tree.levels = below > above ? below : above;
  if (middle > 0 && middle < top)
    add_merge(&tree, (struct carry_merge){.high = (uint8_t)upper, .low = 0}, ++tree.levels);
  return tree;
}

struct carry_tree carry_tree_make(enum carry_shape shape, unsigned middle, unsigned top, size_t count,
                                  unsigned behind) {
  if (!top) return (struct carry_tree){0};
  return shape == CARRY_FIXED ? fixed(middle, top) : cheapest(shape, middle, top, count, behind);
}
