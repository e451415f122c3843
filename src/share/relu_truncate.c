#include "share/relu_truncate.h"

#include "share/carry.h"
#include "share/cross.h"

/* The public course of one gate. Rings and signs as in DESIGN 6.5, after `fast` has dropped the low bits. */
struct course {
  unsigned l, f, m, k; /* ring of x, shift, ring of y, l - f */
  bool relu;
  bool correct_wrap;    /* m > k: the wrap modulo 2^k shows in y */
  bool late_wrap;       /* relu: y is made modulo 2^k first and then extended, else the wrap is corrected in t */
  unsigned wrap_bits;   /* ring of the product that completes it: relu mS*mC*2^k, else 2*wS*wC*2^k; 0 = none */
  unsigned keep_bits;   /* ring of t and of keep * t */
  unsigned carry_bits;  /* ring of the product in c_f = cS + cC - 2*cS*cC; 0 = none */
  unsigned carry_stage; /* flight of that product, counted as levels of the tree */
  unsigned last_stage;  /* flights after the tables */
  struct carry_plan tree;
};

/* Extending last saves three products' m - k bits for a flight, which has the tree's price (carry_plan.c). */
static bool wraps_late(const struct course *c, size_t count) {
  return c->relu && c->m > c->k && 3 * (uint64_t)(c->m - c->k) * count > CARRY_FLIGHT_BITS;
}

static struct course course_of(const struct relu_truncate *params, size_t count) {
  struct course c = {.l = params->in_bits, .f = params->shift, .m = params->out_bits, .relu = params->relu};
  if (params->fast) {
    c.l -= c.f;
    c.f = 0;
  }
  c.k = c.l - c.f;
  c.correct_wrap = c.m > c.k;
  /* Truncation alone takes the wrap from the carry out of all l bits, and needs no bit above f when it does not show.
   */
  const unsigned top = c.relu ? c.l - 1 : c.correct_wrap ? c.l : c.f;
  const size_t planned = size_min(params->planned_count ? params->planned_count : count, RELU_TRUNCATE_CHUNK);
  c.tree = carry_plan_make(c.f, top, planned);
  c.late_wrap = wraps_late(&c, planned);
  c.keep_bits = c.late_wrap ? c.k : c.m;
  c.carry_bits = c.f > 0 ? c.keep_bits - 1 : 0;
  c.carry_stage = c.tree.middle_level + 1;
  if (c.correct_wrap) c.wrap_bits = c.relu ? c.m - c.k : c.m - c.k - 1;
  c.last_stage = c.tree.levels;
  if (c.carry_bits && c.carry_stage > c.last_stage) c.last_stage = c.carry_stage;
  if (c.relu || c.wrap_bits) c.last_stage = c.tree.levels + 1 + c.late_wrap;
  return c;
}

/* Which party sends the values of each product. relu: the wrap's choice travels with the table choices. */
static const enum role wrap_sender = ROLE_SERVER, carry_sender = ROLE_CLIENT;

static bool wrap_is_early(const struct course *c) {
  return c->relu && c->wrap_bits && !c->late_wrap;
}
static bool wrap_is_last(const struct course *c, unsigned stage) {
  return stage == c->last_stage && c->wrap_bits && (!c->relu || c->late_wrap);
}
static bool keeps(const struct course *c, unsigned stage) {
  return c->relu && stage == c->tree.levels + 1;
}

static size_t choices_len(const struct course *c, enum role from, size_t count) {
  size_t len = carry_choices_len(&c->tree, from, count);
  if (wrap_is_early(c) && from != wrap_sender) len += cross_len(wrap_sender, c->wrap_bits, from, count);
  return len;
}

static size_t tables_len(const struct course *c, enum role from, size_t count) {
  size_t len = carry_tables_len(&c->tree, from, count);
  if (wrap_is_early(c) && from == wrap_sender) len += cross_len(wrap_sender, c->wrap_bits, from, count);
  return len;
}

static size_t stage_len(const struct course *c, unsigned stage, enum role from, size_t count) {
  size_t len = carry_open_len(&c->tree, stage, count);
  if (c->carry_bits && stage == c->carry_stage) len += cross_len(carry_sender, c->carry_bits, from, count);
  if (wrap_is_last(c, stage)) len += cross_len(wrap_sender, c->wrap_bits, from, count);
  if (keeps(c, stage)) len += bits_len(count, c->keep_bits) + plane_len(count);
  return len;
}

static size_t longest_len(const struct course *c, enum role from, size_t count) {
  size_t len = size_max(choices_len(c, from, count), tables_len(c, from, count));
  for (unsigned s = 1; s <= c->last_stage; s++) len = size_max(len, stage_len(c, s, from, count));
  return len;
}

/* Everything one party holds while it works; secret but for the lengths. */
struct work {
  const struct course *c;
  struct party *p;
  size_t count; /* of the chunk at hand */
  struct carry carry;
  struct cross wrap, carry_product, keep_sent, keep_received;
  uint64_t *values, *t;               /* [count]: own share of x, later a sender's values; of the truncated value */
  uint64_t *bits;                     /* planes of x */
  uint64_t *low_carry, *flag, *spare; /* planes: c_f; keep or the wrap; scratch */
  uint8_t *out, *in;
  size_t out_len, in_len;
  uint64_t *memory; /* owns the arrays above */
  size_t memory_words;
};

/* Hands out the arrays from `base` (NULL: only counts); returns the number of words. */
static size_t lay_out(struct work *w, uint64_t *base, size_t count) {
  const size_t stride = plane_words(count), row = div_up(count, 8) * 8;
  struct cross *products[] = {&w->wrap, &w->carry_product, &w->keep_sent, &w->keep_received};
  const bool used[] = {w->c->wrap_bits > 0, w->c->carry_bits > 0, w->c->relu, w->c->relu};
  uint64_t **rows[] = {&w->values, &w->t}, **planes[] = {&w->low_carry, &w->flag, &w->spare};
  size_t at = 0;
  for (unsigned i = 0; i < 2; i++, at += row) *rows[i] = base ? base + at : NULL;
  for (unsigned i = 0; i < 4; i++) {
    if (!used[i]) continue;
    if (base) *products[i] = (struct cross){.pad0 = base + at, .pad1 = base + at + row, .bit = base + at + 2 * row};
    at += 2 * row + div_up(stride, 8) * 8;
  }
  for (unsigned i = 0; i < 3; i++, at += div_up(stride, 8) * 8) *planes[i] = base ? base + at : NULL;
  w->bits = base ? base + at : NULL;
  return at + w->c->l * stride;
}

static void set_products(struct work *w) {
  w->wrap.sender = wrap_sender;
  w->wrap.bits = w->c->wrap_bits;
  w->carry_product.sender = carry_sender;
  w->carry_product.bits = w->c->carry_bits;
  w->keep_sent.sender = w->p->role;
  w->keep_received.sender = role_peer(w->p->role);
  w->keep_sent.bits = w->keep_received.bits = w->c->keep_bits;
}

static fusion_status work_open(struct work *w, const struct course *c, struct party *p, size_t count) {
  fusion_status status = FUSION_OK;
  *w = (struct work){.c = c, .p = p};
  w->memory_words = lay_out(w, NULL, count);
  w->memory = heap_take(p->heap, w->memory_words, sizeof *w->memory);
  w->out_len = longest_len(c, p->role, count);
  w->in_len = longest_len(c, role_peer(p->role), count);
  w->out = heap_take(p->heap, w->out_len, 1);
  w->in = heap_take(p->heap, w->in_len, 1);
  FAIL_IF(!w->memory || !w->out || !w->in, FUSION_E_MEMORY);
  lay_out(w, w->memory, count);
  set_products(w);
  TRY(carry_open(&w->carry, &c->tree, p, count));
cleanup:
  return status;
}

static void work_close(struct work *w) {
  carry_close(&w->carry);
  heap_give(w->p->heap, w->memory, w->memory_words * sizeof *w->memory);
  heap_give(w->p->heap, w->out, w->out_len);
  heap_give(w->p->heap, w->in, w->in_len);
}

static fusion_status prepare(struct work *w) {
  fusion_status status = FUSION_OK;
  const struct course *c = w->c;
  const bool server = w->p->role == ROLE_SERVER;
  TRY(carry_prepare(&w->carry, w->p, w->count));
  if (c->wrap_bits) TRY(cross_prepare(&w->wrap, w->p, w->count));
  if (c->carry_bits) TRY(cross_prepare(&w->carry_product, w->p, w->count));
  if (!c->relu) goto cleanup;
  TRY(cross_prepare(server ? &w->keep_sent : &w->keep_received, w->p, w->count));
  TRY(cross_prepare(server ? &w->keep_received : &w->keep_sent, w->p, w->count));
cleanup:
  return status;
}

static void prepare_cost(struct cost *cost, const struct course *c, size_t count) {
  carry_prepare_cost(cost, &c->tree, count);
  if (c->wrap_bits) cross_prepare_cost(cost, wrap_sender, count);
  if (c->carry_bits) cross_prepare_cost(cost, carry_sender, count);
  if (!c->relu) return;
  cross_prepare_cost(cost, ROLE_SERVER, count);
  cross_prepare_cost(cost, ROLE_CLIENT, count);
}

/* values[e] = bit e of the plane. */
static void spread_bits(uint64_t *values, const uint64_t *plane, size_t count) {
  for (size_t e = 0; e < count; e++) values[e] = plane_mask(plane, e) & 1;
}

/* t += addend where the plane's bit is set. */
static void add_bits(uint64_t *t, const uint64_t *plane, uint64_t addend, size_t count) {
  cross_kernels_get(cpu_tier())->add_bits(t, plane, addend, count);
}

/* A product of own bits with the peer's bits: the sender's value is its bit. */
static void put_bit_product(struct work *w, struct cross *x, const uint64_t *own, struct flight *out) {
  if (x->sender != w->p->role) {
    cross_put_bits(x, own, w->spare, w->count, out);
    return;
  }
  spread_bits(w->values, own, w->count);
  cross_put_values(x, w->values, w->count, out);
}

static void get_bit_product(struct work *w, struct cross *x, const uint64_t *own, struct cross_factor factor,
                            struct flight *in) {
  if (x->sender != w->p->role) {
    cross_get_receiver(x, own, factor, w->t, w->count, in);
    return;
  }
  spread_bits(w->values, own, w->count);
  cross_get_sender(x, w->values, factor, w->t, w->count, in);
}

/* Steps 1 and 2: choices, then tables, with the product mS*mC if the wrap shows. */
static fusion_status run_tables(struct work *w) {
  fusion_status status = FUSION_OK;
  const struct course *c = w->c;
  const enum role self = w->p->role, peer = role_peer(self);
  const bool receiver = wrap_is_early(c) && self != wrap_sender, sender = wrap_is_early(c) && self == wrap_sender;
  const uint64_t *top = w->bits + (c->l - 1) * plane_words(w->count);
  const struct cross_factor factor = {.shift = c->k};
  struct flight out = {.data = w->out, .len = choices_len(c, self, w->count)};
  struct flight in = {.data = w->in, .len = choices_len(c, peer, w->count)};
  carry_put_choices(&w->carry, w->bits, &out);
  if (receiver) put_bit_product(w, &w->wrap, top, &out);
  TRY(flight_exchange(w->p, MSG_OT_CHOICE, &out, &in));

  out = (struct flight){.data = w->out, .len = tables_len(c, self, w->count)};
  carry_answer(&w->carry, w->bits, &in, &out);
  if (sender) {
    put_bit_product(w, &w->wrap, top, &out);
    get_bit_product(w, &w->wrap, top, factor, &in);
  }
  in = (struct flight){.data = w->in, .len = tables_len(c, peer, w->count)};
  TRY(flight_exchange(w->p, MSG_OT_TABLE, &out, &in));
  carry_select(&w->carry, &in);
  if (receiver) get_bit_product(w, &w->wrap, top, factor, &in);
  if (wrap_is_early(c)) add_bits(w->t, top, 0 - (UINT64_C(1) << c->k), w->count);
cleanup:
  return status;
}

/* keep (relu) or the wrap (truncation) from the carry, and what it says of t. */
static void set_flag(struct work *w) {
  const struct course *c = w->c;
  const size_t words = plane_words(w->count);
  memcpy(w->flag, w->carry.gen[0], words * sizeof *w->flag);
  if (!c->relu) {
    add_bits(w->t, w->flag, 0 - (UINT64_C(1) << c->k), w->count);
    return;
  }
  const uint64_t *top = w->bits + (c->l - 1) * words, flip = w->p->role == ROLE_SERVER ? UINT64_MAX : 0;
  for (size_t i = 0; i < words; i++) w->flag[i] ^= top[i] ^ flip;
}

/* Before the extension: the share modulo 2^k, with its part of - 2^k * (mS or mC) but the product. */
static void set_top(struct work *w) {
  cross_kernels_get(cpu_tier())->take_top(w->flag, w->t, w->c->k, w->count);
  add_bits(w->t, w->flag, 0 - (UINT64_C(1) << w->c->k), w->count);
}

/* keep * t = keep_own * t_own + both cross products of one's bit with the other's t * (1 - 2 keep). */
static void put_keep(struct work *w, struct flight *out) {
  cross_kernels_get(cpu_tier())->split_keep(w->values, w->t, w->flag, w->count);
  cross_put_bits(&w->keep_received, w->flag, w->spare, w->count, out);
  cross_put_values(&w->keep_sent, w->values, w->count, out);
}

static void get_keep(struct work *w, struct flight *in) {
  const struct cross_factor plain = {0};
  cross_get_sender(&w->keep_sent, w->values, plain, w->t, w->count, in);
  cross_get_receiver(&w->keep_received, w->flag, plain, w->t, w->count, in);
}

/* One flight of the tree with the products that are due. */
static fusion_status run_stage(struct work *w, unsigned stage) {
  fusion_status status = FUSION_OK;
  const struct course *c = w->c;
  const bool carry = c->carry_bits && stage == c->carry_stage, wrap = wrap_is_last(c, stage), keep = keeps(c, stage);
  const struct cross_factor wrap_factor = {.shift = c->relu ? c->k : c->k + 1};
  struct flight out = {.data = w->out, .len = stage_len(c, stage, w->p->role, w->count)};
  struct flight in = {.data = w->in, .len = stage_len(c, stage, role_peer(w->p->role), w->count)};
  carry_put_level(&w->carry, stage, w->bits, &out);
  if (carry) put_bit_product(w, &w->carry_product, w->low_carry, &out);
  if (wrap) put_bit_product(w, &w->wrap, w->flag, &out);
  if (keep) put_keep(w, &out);
  TRY(flight_exchange(w->p, wrap || keep ? MSG_MULTIPLY : MSG_AND, &out, &in));
  out.at = 0;
  carry_get_level(&w->carry, stage, &out, &in);
  if (carry) get_bit_product(w, &w->carry_product, w->low_carry, (struct cross_factor){1, true}, &in);
  if (wrap) get_bit_product(w, &w->wrap, w->flag, wrap_factor, &in);
  if (keep) get_keep(w, &in);
cleanup:
  return status;
}

/* After level `stage` (0: the tables) of the tree: what has become known. */
static void after_level(struct work *w, unsigned stage) {
  const struct course *c = w->c;
  if (c->f > 0 && stage == c->tree.middle_level) {
    memcpy(w->low_carry, w->carry.gen[0], plane_words(w->count) * sizeof *w->low_carry);
    add_bits(w->t, w->low_carry, 1, w->count);
  }
  if (stage == c->tree.levels && (c->relu || c->correct_wrap)) set_flag(w);
  if (stage == c->tree.levels + 1 && c->late_wrap) set_top(w);
}

static fusion_status run_chunk(struct work *w, const struct relu_truncate *params, const uint64_t *x, uint64_t *y,
                               size_t count) {
  fusion_status status = FUSION_OK;
  const struct course *c = w->c;
  const uint64_t in_mask = low_mask(params->in_bits), out_mask = low_mask(c->m);
  const unsigned dropped = params->fast ? params->shift : 0;
  /* Truncation alone works on x + 2^(l-1), which is not negative, and takes 2^(l-1-f) off again. */
  const bool server = w->p->role == ROLE_SERVER;
  const uint64_t offset = !c->relu && server ? UINT64_C(1) << (params->in_bits - 1) : 0;
  /* Half a unit more makes the average over the dropped bits' carry right (see the header). */
  const uint64_t half = server && params->fast && params->shift ? UINT64_C(1) << (params->shift - 1) : 0;
  const uint64_t add = (server ? params->add : 0) + offset + half, subtract = offset >> params->shift;
  w->count = count;
  for (size_t e = 0; e < count; e++) {
    w->values[e] = ((x[e] + add) & in_mask) >> dropped;
    w->t[e] = (w->values[e] >> c->f) - subtract;
  }
  if (c->tree.digits) {
    planes_from_values(w->bits, plane_words(count), w->values, count, c->l);
    TRY(prepare(w));
    TRY(run_tables(w));
    after_level(w, 0);
    for (unsigned stage = 1; stage <= c->last_stage; stage++) {
      TRY(run_stage(w, stage));
      after_level(w, stage);
    }
  }
  for (size_t e = 0; e < count; e++) y[e] = w->t[e] & out_mask;
cleanup:
  return status;
}

static bool valid(const struct relu_truncate *params) {
  return params->in_bits >= 2 && params->in_bits <= 62 && params->out_bits >= 1 && params->out_bits <= 62 &&
         params->shift + 1 < params->in_bits;
}

fusion_status relu_truncate(struct party *p, const struct relu_truncate *params, const uint64_t *x, uint64_t *y,
                            size_t count) {
  if (!valid(params)) return FUSION_E_INTERNAL;
  if (!count) return FUSION_OK;
  fusion_status status = FUSION_OK;
  const struct course course = course_of(params, count);
  struct work w;
  TRY(work_open(&w, &course, p, size_min(count, RELU_TRUNCATE_CHUNK)));
  for (size_t done = 0; done < count; done += RELU_TRUNCATE_CHUNK) {
    TRY(run_chunk(&w, params, x + done, y + done, size_min(RELU_TRUNCATE_CHUNK, count - done)));
  }
cleanup:
  work_close(&w);
  return status;
}

void relu_truncate_cost(struct cost *cost, const struct relu_truncate *params, size_t count) {
  const struct course c = course_of(params, count);
  if (!c.tree.digits) return;
  for (size_t done = 0; done < count; done += RELU_TRUNCATE_CHUNK) {
    const size_t n = size_min(RELU_TRUNCATE_CHUNK, count - done);
    prepare_cost(cost, &c, n);
    flight_exchange_cost(cost, choices_len(&c, ROLE_CLIENT, n), choices_len(&c, ROLE_SERVER, n));
    flight_exchange_cost(cost, tables_len(&c, ROLE_CLIENT, n), tables_len(&c, ROLE_SERVER, n));
    for (unsigned s = 1; s <= c.last_stage; s++) {
      flight_exchange_cost(cost, stage_len(&c, s, ROLE_CLIENT, n), stage_len(&c, s, ROLE_SERVER, n));
    }
  }
}

size_t relu_truncate_memory(const struct relu_truncate *params, enum role role, size_t count) {
  const struct course c = course_of(params, count);
  const size_t n = size_min(count, RELU_TRUNCATE_CHUNK);
  struct work w = {.c = &c};
  return lay_out(&w, NULL, n) * sizeof *w.memory + carry_memory(&c.tree, role, n) + longest_len(&c, ROLE_SERVER, n) +
         longest_len(&c, ROLE_CLIENT, n);
}
