/* The cheapest shape of the comparison tree, by dynamic programming over parts of the number and levels. */
#include "share/carry.h"

/* Prices, in bits of traffic an element. A correlation costs a bit or two of traffic itself, and processor time. */
enum { COT_BITS = 3, LEVELS_MAX = 9, BITS_MAX = 62 };
static const uint32_t impossible = UINT32_MAX / 4;

/* `taken` bits are merged at this level: of a block the upper part, of the chain what it absorbs. 0: nothing is. */
struct choice {
  uint32_t price;
  uint8_t taken;
  bool single; /* the chain absorbs one bit as it is */
};

struct table {
  unsigned middle, top;
  struct choice block[LEVELS_MAX + 1][BITS_MAX + 1]; /* G and P of so many bits, known after so many levels */
  struct choice chain[LEVELS_MAX + 1][BITS_MAX + 1]; /* the carry into a bit */
};

static uint32_t digit_price(unsigned width, bool propagate) {
  return width + (propagate ? 2u : 1u) * ((1u << width) - 1) + COT_BITS * width;
}

static uint32_t merge_price(bool propagate) {
  return (propagate ? 6u : 4u) + 2u * COT_BITS;
}

static void improve(struct choice *c, uint32_t price, unsigned taken, bool single) {
  if (price < c->price) *c = (struct choice){price, (uint8_t)taken, single};
}

static void fill_blocks(struct table *t, unsigned level) {
  for (unsigned bits = 1; bits <= t->top; bits++) {
    struct choice *c = &t->block[level][bits];
    *c = (struct choice){.price = bits <= CARRY_DIGIT_BITS_MAX ? digit_price(bits, true) : impossible};
    for (unsigned high = 1; level > 0 && high < bits; high++)
      improve(c, t->block[level - 1][bits - high].price + t->block[level - 1][high].price + merge_price(true), high,
              false);
  }
}

/* The carry into `middle` must turn up on the way. */
static void fill_chain(struct table *t, unsigned level) {
  for (unsigned bits = 1; bits <= t->top; bits++) {
    struct choice *c = &t->chain[level][bits];
    const bool digit = level == 0 && bits <= CARRY_DIGIT_BITS_MAX && (t->middle == 0 || bits <= t->middle);
    *c = (struct choice){.price = digit ? digit_price(bits, false) : impossible};
    if (level == 0) continue;
    improve(c, t->chain[level - 1][bits].price, 0, false);
    const unsigned most = bits > t->middle ? bits - t->middle : bits;
    for (unsigned high = 1; high <= most && high < bits; high++)
      improve(c, t->chain[level - 1][bits - high].price + t->block[level - 1][high].price + merge_price(false), high,
              false);
    if (bits > 1) improve(c, t->chain[level - 1][bits - 1].price + merge_price(false), 1, true);
  }
}

/* The digits take turns as near as their widths allow, so that both directions' correlations are used alike. */
static uint8_t add_digit(struct carry_plan *plan, unsigned low, unsigned width, bool propagate) {
  unsigned server = 0, client = 0;
  for (unsigned d = 0; d < plan->digits; d++) {
    if (plan->digit[d].sender == ROLE_SERVER) server += plan->digit[d].width;
    if (plan->digit[d].sender == ROLE_CLIENT) client += plan->digit[d].width;
  }
  plan->digit[plan->digits] = (struct carry_digit){.low = (uint8_t)low,
                                                   .width = (uint8_t)width,
                                                   .propagate = propagate,
                                                   .sender = server > client ? ROLE_CLIENT : ROLE_SERVER};
  return (uint8_t)plan->digits++;
}

static void add_merge(struct carry_plan *plan, struct carry_merge merge, unsigned level) {
  merge.level = (uint8_t)level;
  plan->merge[plan->merges++] = merge;
}

static uint8_t emit_block(struct carry_plan *plan, const struct table *t, unsigned level, unsigned low, unsigned bits) {
  const unsigned high = t->block[level][bits].taken;
  if (!high) return add_digit(plan, low, bits, true);
  const uint8_t node = emit_block(plan, t, level - 1, low, bits - high);
  const uint8_t above = emit_block(plan, t, level - 1, low + bits - high, high);
  add_merge(plan, (struct carry_merge){.high = above, .low = node, .propagate = true}, level);
  return node;
}

static void emit_chain(struct carry_plan *plan, const struct table *t, unsigned level, unsigned bits) {
  if (level == 0) {
    add_digit(plan, 0, bits, false);
  } else {
    const struct choice c = t->chain[level][bits];
    emit_chain(plan, t, level - 1, bits - c.taken);
    if (!c.taken) return;
    const uint8_t high = c.single ? (uint8_t)(bits - 1) : emit_block(plan, t, level - 1, bits - c.taken, c.taken);
    add_merge(plan, (struct carry_merge){.high = high, .single = c.single}, level);
  }
  if (bits == t->middle) plan->middle_level = level;
}

struct carry_plan carry_plan_make(unsigned middle, unsigned top, size_t count) {
  struct table t = {.middle = middle, .top = top};
  struct carry_plan plan = {0};
  uint64_t least = UINT64_MAX;
  if (!top) return plan;
  for (unsigned level = 0; level <= LEVELS_MAX; level++) {
    fill_blocks(&t, level);
    fill_chain(&t, level);
    const uint64_t price = (uint64_t)count * t.chain[level][top].price + (uint64_t)CARRY_FLIGHT_BITS * level;
    if (t.chain[level][top].price >= impossible || price >= least) continue;
    least = price;
    plan.levels = level;
  }
  emit_chain(&plan, &t, plan.levels, top);
  return plan;
}
