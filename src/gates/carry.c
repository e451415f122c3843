#include "gates/carry.h"

static unsigned strings_of(const struct carry_digit *d) {
  return d->propagate ? 2 : 1;
}
static unsigned strings_of_merge(const struct carry_merge *m) {
  return m->propagate ? 2 : 1;
}

/* The late digit of a level, or NULL. */
static const struct carry_digit *late_digit(const struct carry_tree *tree, unsigned level) {
  for (unsigned d = 0; d < tree->digits && level; d++)
    if (tree->digit[d].level == level) return &tree->digit[d];
  return NULL;
}

/* Planes in which `from` says its choices for the late digit of a level. */
static size_t late_choices(const struct carry_tree *tree, enum role from, unsigned level) {
  const struct carry_digit *d = late_digit(tree, level);
  return d && d->sender != from ? d->width : 0;
}

/* Planes of the answers for a late digit: entries of A but the first, and of P. */
static size_t late_entries(const struct carry_digit *d) {
  return ((size_t)2 << d->width) - 1;
}

size_t carry_choices_len(const struct carry_tree *tree, enum role from, size_t count) {
  size_t planes = late_choices(tree, from, 1);
  for (unsigned d = 0; d < tree->digits; d++) {
    const struct carry_digit *digit = &tree->digit[d];
    planes += digit->level || digit->sender == from ? 0 : digit->width;
  }
  return planes * plane_len(count);
}

size_t carry_tables_len(const struct carry_tree *tree, enum role from, size_t count) {
  size_t planes = 0;
  for (unsigned d = 0; d < tree->digits; d++) {
    const struct carry_digit *digit = &tree->digit[d];
    if (!digit->level && digit->sender == from) planes += strings_of(digit) * ((1u << digit->width) - 1);
  }
  return planes * plane_len(count);
}

size_t carry_level_len(const struct carry_tree *tree, enum role from, unsigned level, size_t count) {
  const struct carry_digit *late = late_digit(tree, level);
  size_t planes = late_choices(tree, from, level + 1);
  if (late) planes += late->sender == from ? late_entries(late) : 1;
  for (unsigned m = 0; m < tree->merges; m++) {
    const struct carry_merge *merge = &tree->merge[m];
    if (merge->level == level && !merge->late) planes += 1 + strings_of_merge(merge);
  }
  return planes * plane_len(count);
}

/* Lays the state out in `base` (NULL: only counts); returns the number of planes. */
static size_t lay_out(struct carry *c, uint64_t *base) {
  size_t planes = 0, width = 0; /* of the widest late digit */
  for (unsigned d = 0; d < c->tree->digits; d++) {
    const struct carry_digit *digit = &c->tree->digit[d];
    if (digit->level) {
      width = size_max(width, digit->width);
      continue;
    }
    if (base) c->gen[d] = base + planes * c->stride;
    if (base) c->prop[d] = c->gen[d] + c->stride;
    planes += strings_of(digit);
  }
  for (unsigned i = 0; i < 2 && width; i++) {
    uint64_t *const late = base ? base + planes * c->stride : NULL;
    if (base)
      c->late[i] =
          (struct carry_late){.choice = late, .pair = late + width * c->stride, .pads = late + (width + 2) * c->stride};
    planes += width + 2 + ((size_t)2 << width);
  }
  if (base) c->scratch = base + planes * c->stride;
  return planes + 6;
}

/* Lays the random OTs of a stage out in `base` (NULL: only counts); returns the number of planes. */
static size_t lay_out_pads(struct carry *c, unsigned stage, uint64_t *base) {
  size_t planes = 0;
  for (unsigned d = 0; d < c->tree->digits && stage == 0; d++) {
    const struct carry_digit *digit = &c->tree->digit[d];
    const bool sends = digit->sender == c->role;
    if (digit->level) continue;
    if (base) c->pads[d] = base + planes * c->stride;
    planes += sends ? strings_of(digit) << digit->width : digit->width;
  }
  for (unsigned m = 0; m < c->tree->merges; m++) {
    if (c->tree->merge[m].level != stage || c->tree->merge[m].late) continue;
    if (base) c->triple[m] = base + planes * c->stride;
    planes += 1 + 2 * strings_of_merge(&c->tree->merge[m]);
  }
  return planes;
}

size_t carry_memory(const struct carry_tree *tree, size_t count) {
  struct carry c = {.tree = tree, .count = count, .stride = plane_words(count)};
  return lay_out(&c, NULL) * c.stride * sizeof *c.memory;
}

size_t carry_pads_words(const struct carry_tree *tree, enum role role, unsigned stage, size_t count) {
  struct carry c = {.tree = tree, .role = role};
  return lay_out_pads(&c, stage, NULL) * plane_words(count);
}

fusion_status carry_open(struct carry *c, const struct carry_tree *tree, const struct party *p, size_t count) {
  *c = (struct carry){.tree = tree, .role = p->role, .heap = p->heap, .count = count, .stride = plane_words(count)};
  c->memory_words = lay_out(c, NULL) * c->stride;
  c->memory = heap_take(c->heap, c->memory_words, sizeof *c->memory);
  return c->memory ? FUSION_OK : FUSION_E_MEMORY;
}

void carry_close(struct carry *c) {
  heap_give(c->heap, c->memory, c->memory_words * sizeof *c->memory);
  c->memory = NULL;
}

void carry_start(struct carry *c, size_t count) {
  c->count = count;
  c->stride = plane_words(count);
  lay_out(c, c->memory);
}

static fusion_status draw_digit(struct carry *c, struct party *p, unsigned d) {
  const struct carry_digit *digit = &c->tree->digit[d];
  const unsigned strings = strings_of(digit);
  if (digit->sender == c->role) return ot_bits_send(p->cot, digit->width, strings, c->count, c->pads[d]);
  return ot_bits_receive(p->cot, digit->width, strings, c->count, c->pads[d], c->gen[d]);
}

/* One triple: a (plane 0), b1 [b2] and the products c1 [c2], from a random OT in each direction. */
static fusion_status draw_triple(struct carry *c, struct party *p, unsigned m) {
  fusion_status status = FUSION_OK;
  const size_t stride = c->stride;
  const unsigned strings = strings_of_merge(&c->tree->merge[m]);
  uint64_t *a = c->triple[m], *sent = c->scratch, *received = c->scratch + 4 * stride;
  if (c->role == ROLE_SERVER) TRY(ot_bits_send(p->cot, 1, strings, c->count, sent));
  TRY(ot_bits_receive(p->cot, 1, strings, c->count, a, received));
  if (c->role == ROLE_CLIENT) TRY(ot_bits_send(p->cot, 1, strings, c->count, sent));
  for (unsigned s = 0; s < strings; s++) {
    uint64_t *b = a + (1 + s) * stride, *product = a + (1 + strings + s) * stride;
    const uint64_t *pad0 = sent + s * stride, *pad1 = sent + (strings + s) * stride, *got = received + s * stride;
    for (size_t w = 0; w < stride; w++) {
      b[w] = pad0[w] ^ pad1[w];
      product[w] = (a[w] & b[w]) ^ pad0[w] ^ got[w];
    }
  }
cleanup:
  return status;
}

/* For its table, and for the product of the receiver's share of the carry with the sender's of P. */
static fusion_status draw_late(struct carry *c, struct party *p, const struct carry_digit *d) {
  const struct carry_late *late = &c->late[d->level % 2];
  uint64_t *const second = late->pair + c->stride;
  fusion_status status = FUSION_OK;
  if (d->sender != c->role) {
    TRY(ot_bits_receive(p->cot, d->width, 2, c->count, late->choice, late->pads));
    TRY(ot_bits_receive(p->cot, 1, 1, c->count, late->pair, second));
    return FUSION_OK;
  }
  TRY(ot_bits_send(p->cot, d->width, 2, c->count, late->pads));
  TRY(ot_bits_send(p->cot, 1, 1, c->count, late->pair));
  for (size_t w = 0; w < c->stride; w++) second[w] ^= late->pair[w];
cleanup:
  return status;
}

fusion_status carry_draw(struct carry *c, struct party *p, unsigned stage, uint64_t *pads) {
  fusion_status status = FUSION_OK;
  const struct carry_digit *late = late_digit(c->tree, stage + 1);
  if (!stage) cot_postpone_check(p->cot);
  lay_out_pads(c, stage, pads);
  for (unsigned d = 0; d < c->tree->digits && stage == 0; d++)
    if (!c->tree->digit[d].level) TRY(draw_digit(c, p, d));
  for (unsigned m = 0; m < c->tree->merges; m++)
    if (c->tree->merge[m].level == stage && !c->tree->merge[m].late) TRY(draw_triple(c, p, m));
  if (late) TRY(draw_late(c, p, late));
cleanup:
  return status;
}

void carry_draw_cost(struct cost *cost, const struct carry_tree *tree, unsigned stage, size_t count) {
  const struct carry_digit *late = late_digit(tree, stage + 1);
  if (!stage) cost_postpone_check(cost);
  for (unsigned d = 0; d < tree->digits && stage == 0; d++)
    if (!tree->digit[d].level) ot_random_cost(cost, tree->digit[d].sender, tree->digit[d].width, count);
  for (unsigned m = 0; m < tree->merges; m++) {
    if (tree->merge[m].level != stage || tree->merge[m].late) continue;
    ot_random_cost(cost, ROLE_SERVER, 1, count);
    ot_random_cost(cost, ROLE_CLIENT, 1, count);
  }
  if (late) ot_random_cost(cost, late->sender, late->width, count);
  if (late) ot_random_cost(cost, late->sender, 1, count);
}

/* The receiver's digit under its random choice. */
static void put_choice(const struct carry *c, const struct carry_digit *d, const uint64_t *choice, const uint64_t *bits,
                       struct flight *out) {
  for (unsigned i = 0; i < d->width; i++) {
    const uint64_t *x = choice + i * c->stride, *own = bits + (d->low + i) * c->stride;
    for (size_t w = 0; w < c->stride; w++) c->scratch[w] = x[w] ^ own[w];
    flight_put_plane(out, c->scratch, c->count);
  }
}

static void put_late_choice(const struct carry *c, unsigned level, const uint64_t *bits, struct flight *out) {
  const struct carry_digit *d = late_digit(c->tree, level);
  if (d && d->sender != c->role) put_choice(c, d, c->late[level % 2].choice, bits, out);
}

static void get_late_choice(const struct carry *c, unsigned level, struct flight *in) {
  const struct carry_digit *d = late_digit(c->tree, level);
  if (!d || d->sender != c->role) return;
  for (unsigned i = 0; i < d->width; i++) flight_get_plane(in, c->late[level % 2].choice + i * c->stride, c->count);
}

void carry_put_choices(const struct carry *c, const uint64_t *bits, struct flight *out) {
  for (unsigned d = 0; d < c->tree->digits; d++) {
    const struct carry_digit *digit = &c->tree->digit[d];
    if (!digit->level && digit->sender != c->role) put_choice(c, digit, c->pads[d], bits, out);
  }
  put_late_choice(c, 1, bits, out);
}

/* Own digit a and what the peer said of its own, e. `below`: of a late digit, own share of the carry below; NULL: of no
 * other. */
struct table {
  const uint64_t *a, *e, *below;
};

/* Xors the table entry of the peer's digit v = z ^ e onto the pads: *gen ^= [a + v >= 2^width], and the same for
 * *prop ^= [a + v = 2^width - 1]. With `below` *gen becomes that of a + v + below. */
static inline void add_entry(const unsigned width, unsigned z, size_t words, const struct table *t, uint64_t *gen,
                             uint64_t *prop) {
  const uint64_t *const a = t->a, *const e = t->e;
  const uint64_t z0 = (uint64_t)0 - (z & 1), z1 = (uint64_t)0 - (z >> 1 & 1);
  const uint64_t z2 = (uint64_t)0 - (z >> 2 & 1), z3 = (uint64_t)0 - (z >> 3 & 1);
  const size_t one = width > 1 ? words : 0, two = width > 2 ? 2 * words : 0, three = width > 3 ? 3 * words : 0;
  const uint64_t *restrict a0 = a, *restrict a1 = a + one, *restrict a2 = a + two, *restrict a3 = a + three;
  const uint64_t *restrict e0 = e, *restrict e1 = e + one, *restrict e2 = e + two, *restrict e3 = e + three;
  for (size_t w = 0; w < words; w++) {
    uint64_t v = e0[w] ^ z0, half = a0[w] ^ v, carry = a0[w] & v, all = half;
    if (width > 1) {
      v = e1[w] ^ z1, half = a1[w] ^ v, carry = (a1[w] & v) ^ (half & carry), all &= half;
    }
    if (width > 2) {
      v = e2[w] ^ z2, half = a2[w] ^ v, carry = (a2[w] & v) ^ (half & carry), all &= half;
    }
    if (width > 3) {
      v = e3[w] ^ z3, half = a3[w] ^ v, carry = (a3[w] & v) ^ (half & carry), all &= half;
    }
    gen[w] ^= t->below ? carry ^ (all & t->below[w]) : carry;
    if (prop) prop[w] ^= all;
  }
}

static void add_table(unsigned width, bool propagate, size_t words, const struct table *t, uint64_t *pads) {
  const unsigned strings = propagate ? 2 : 1;
  for (unsigned z = 0; z < 1u << width; z++) {
    uint64_t *gen = pads + z * strings * words, *prop = propagate ? gen + words : NULL;
    if (width == 1) add_entry(1, z, words, t, gen, prop);
    if (width == 2) add_entry(2, z, words, t, gen, prop);
    if (width == 3) add_entry(3, z, words, t, gen, prop);
    if (width == 4) add_entry(4, z, words, t, gen, prop);
  }
}

void carry_answer(struct carry *c, const uint64_t *bits, struct flight *choices, struct flight *out) {
  const size_t stride = c->stride;
  for (unsigned d = 0; d < c->tree->digits; d++) {
    const struct carry_digit *digit = &c->tree->digit[d];
    if (digit->level || digit->sender != c->role) continue;
    for (unsigned i = 0; i < digit->width; i++) flight_get_plane(choices, c->scratch + i * stride, c->count);
    const struct table table = {.a = bits + digit->low * stride, .e = c->scratch};
    add_table(digit->width, digit->propagate, stride, &table, c->pads[d]);
    const unsigned strings = strings_of(digit);
    memcpy(c->gen[d], c->pads[d], strings * stride * sizeof *c->gen[d]);
    for (unsigned i = strings; i < strings << digit->width; i++) {
      const uint64_t *share = c->gen[d] + i % strings * stride;
      uint64_t *entry = c->pads[d] + i * stride;
      for (size_t w = 0; w < stride; w++) entry[w] ^= share[w];
      flight_put_plane(out, entry, c->count);
    }
  }
  get_late_choice(c, 1, choices);
}

/* Xors the message's next entry onto a share where z is the receiver's choice. */
static void select_entry(const struct carry *c, const uint64_t *choice, unsigned width, unsigned z, uint64_t *share,
                         struct flight *in) {
  uint64_t *const entry = c->scratch;
  flight_get_plane(in, entry, c->count);
  for (unsigned k = 0; k < width; k++) {
    const uint64_t *x = choice + k * c->stride, flip = (uint64_t)(z >> k & 1) - 1;
    for (size_t w = 0; w < c->stride; w++) entry[w] &= x[w] ^ flip;
  }
  for (size_t w = 0; w < c->stride; w++) share[w] ^= entry[w];
}

void carry_select(struct carry *c, struct flight *tables) {
  for (unsigned d = 0; d < c->tree->digits; d++) {
    const struct carry_digit *digit = &c->tree->digit[d];
    if (digit->level || digit->sender == c->role) continue;
    const unsigned strings = strings_of(digit);
    for (unsigned i = strings; i < strings << digit->width; i++)
      select_entry(c, c->pads[d], digit->width, i / strings, c->gen[d] + i % strings * c->stride, tables);
  }
}

/* `also`: a further plane, or NULL. */
static void put_masked(const struct carry *c, const uint64_t *x, const uint64_t *mask, const uint64_t *also,
                       struct flight *out) {
  for (size_t w = 0; w < c->stride; w++) c->scratch[w] = x[w] ^ mask[w];
  for (size_t w = 0; also && w < c->stride; w++) c->scratch[w] ^= also[w];
  flight_put_plane(out, c->scratch, c->count);
}

/* The sender's tables of A = G ^ P * (its share of the carry), under its share of A, which is entry 0's pad, and of P
 * under r0 ^ r1; the receiver's share of the carry. */
static void put_late(const struct carry *c, const struct carry_digit *d, const uint64_t *bits, struct flight *out) {
  const struct carry_late *late = &c->late[d->level % 2];
  const size_t stride = c->stride;
  const struct table table = {.a = bits + d->low * stride, .e = late->choice, .below = c->gen[0]};
  if (d->sender != c->role) {
    put_masked(c, c->gen[0], late->pair, NULL, out);
    return;
  }
  add_table(d->width, true, stride, &table, late->pads);
  for (unsigned z = 1; z < 1u << d->width; z++)
    put_masked(c, late->pads + (size_t)2 * z * stride, late->pads, NULL, out);
  for (unsigned z = 0; z < 1u << d->width; z++)
    put_masked(c, late->pads + ((size_t)2 * z + 1) * stride, late->pair + stride, NULL, out);
}

/* The carry becomes A ^ P * (the receiver's share of it). */
static void get_late(const struct carry *c, const struct carry_digit *d, struct flight *own, struct flight *peer) {
  const struct carry_late *late = &c->late[d->level % 2];
  const size_t stride = c->stride;
  const uint64_t *const second = late->pair + stride;
  uint64_t *const gen = c->gen[0], *const a = late->pads, *const p = a + stride, *const opened = c->scratch;
  if (d->sender == c->role) {
    own->at += late_entries(d) * plane_len(c->count);
    flight_get_plane(peer, opened, c->count);
    for (size_t w = 0; w < stride; w++) gen[w] = a[w] ^ late->pair[w] ^ (opened[w] & second[w]);
    return;
  }
  own->at += plane_len(c->count);
  for (unsigned z = 1; z < 1u << d->width; z++) select_entry(c, late->choice, d->width, z, a, peer);
  for (unsigned z = 0; z < 1u << d->width; z++) select_entry(c, late->choice, d->width, z, p, peer);
  for (size_t w = 0; w < stride; w++) gen[w] = a[w] ^ (p[w] & gen[w]) ^ second[w];
}

void carry_put_level(const struct carry *c, unsigned level, const uint64_t *bits, struct flight *out) {
  for (unsigned m = 0; m < c->tree->merges; m++) {
    const struct carry_merge *merge = &c->tree->merge[m];
    const uint64_t *triple = c->triple[m];
    if (merge->level != level) continue;
    if (merge->late) {
      put_late(c, &c->tree->digit[merge->high], bits, out);
      continue;
    }
    const uint64_t *mask1 = triple + c->stride, *mask2 = mask1 + c->stride;
    if (merge->single) {
      /* Shares of the factors: of a ^ carry those of the carry, the server's with its bit; of b ^ carry the client's.
       */
      const uint64_t *bit = bits + merge->high * c->stride, *carry = c->gen[merge->low];
      put_masked(c, carry, triple, c->role == ROLE_SERVER ? bit : NULL, out);
      put_masked(c, carry, mask1, c->role == ROLE_CLIENT ? bit : NULL, out);
      continue;
    }
    put_masked(c, c->prop[merge->high], triple, NULL, out);
    put_masked(c, c->gen[merge->low], mask1, NULL, out);
    if (merge->propagate) put_masked(c, c->prop[merge->low], mask2, NULL, out);
  }
  put_late_choice(c, level + 1, bits, out);
}

/* The opened bit: both parties' contributions. */
static void get_opened(struct carry *c, uint64_t *out, struct flight *own, struct flight *peer) {
  uint64_t *other = c->scratch + 2 * c->stride;
  flight_get_plane(own, out, c->count);
  flight_get_plane(peer, other, c->count);
  for (size_t w = 0; w < c->stride; w++) out[w] ^= other[w];
}

/* This party's share of a product from its triple and the opened bits: c ^ x b ^ y a (^ x y at the server). */
static uint64_t product(uint64_t a, uint64_t b, uint64_t c, uint64_t x, uint64_t y, uint64_t server) {
  return c ^ (x & b) ^ (y & a) ^ (x & y & server);
}

void carry_get_level(struct carry *c, unsigned level, struct flight *own, struct flight *peer) {
  const size_t stride = c->stride;
  const uint64_t server = c->role == ROLE_SERVER ? UINT64_MAX : 0;
  uint64_t *x = c->scratch, *y = c->scratch + stride;
  for (unsigned m = 0; m < c->tree->merges; m++) {
    const struct carry_merge *merge = &c->tree->merge[m];
    if (merge->level != level) continue;
    if (merge->late) {
      get_late(c, &c->tree->digit[merge->high], own, peer);
      continue;
    }
    const unsigned strings = strings_of_merge(merge);
    const uint64_t *a = c->triple[m], *b1 = a + stride, *b2 = b1 + stride;
    const uint64_t *c1 = b1 + strings * stride, *c2 = c1 + stride;
    uint64_t *gen = c->gen[merge->low], *prop = c->prop[merge->low];
    const uint64_t *plus = merge->single ? gen : c->gen[merge->high];
    get_opened(c, x, own, peer);
    get_opened(c, y, own, peer);
    for (size_t w = 0; w < stride; w++) gen[w] = plus[w] ^ product(a[w], b1[w], c1[w], x[w], y[w], server);
    if (!merge->propagate) continue;
    get_opened(c, y, own, peer);
    for (size_t w = 0; w < stride; w++) prop[w] = product(a[w], b2[w], c2[w], x[w], y[w], server);
  }
  get_late_choice(c, level + 1, peer);
}
