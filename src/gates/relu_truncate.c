#include "gates/relu_truncate.h"

#include "gates/carry.h"
#include "gates/cross.h"
#include "gates/gate_messages.h"
#include "gates/relu_garbled.h"

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
  unsigned planes;      /* bits of x that are compared, and its top bit */
  struct carry_tree tree;
};

/* Extending last saves three products' m - k bits for a flight, which has the tree's price (carry_tree.c). */
static bool wraps_late(const struct course *c, enum carry_shape shape, size_t count) {
  return c->relu && c->m > c->k && 3 * (uint64_t)(c->m - c->k) * count > carry_flight_bits(shape);
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
  const size_t planned = size_min(size_max(params->planned_count, count), RELU_TRUNCATE_CHUNK);
  c.late_wrap = wraps_late(&c, params->shape, planned);
  c.tree = carry_tree_make(params->shape, c.f, top, planned, 1 + c.late_wrap);
  c.planes = c.relu ? c.l : top;
  c.keep_bits = c.late_wrap ? c.k : c.m;
  c.carry_bits = c.f > 0 ? c.keep_bits - 1 : 0;
  c.carry_stage = c.tree.middle_level + 1;
  if (c.correct_wrap) c.wrap_bits = c.relu ? c.m - c.k : c.m - c.k - 1;
  c.last_stage = c.tree.levels;
  if (c.carry_bits && c.carry_stage > c.last_stage) c.last_stage = c.carry_stage;
  if (c.relu || c.wrap_bits) c.last_stage = c.tree.levels + 1 + c.late_wrap;
  return c;
}

/* In the fixed tree one party sends all tables, up to 64 bytes an element. */
static size_t chunk_of(const struct relu_truncate *params) {
  return params->shape == CARRY_FIXED ? RELU_TRUNCATE_CHUNK / 4 : RELU_TRUNCATE_CHUNK;
}

/* Which party sends the values of each product. */
static const enum role wrap_sender = ROLE_SERVER, carry_sender = ROLE_CLIENT;

/* Which products a stage has: 0 is the choices and tables, then come the levels of the tree and the last flights. */
static bool wraps(const struct course *c, unsigned stage) {
  return c->wrap_bits && stage == (c->relu && !c->late_wrap ? 0 : c->last_stage);
}
static bool carries(const struct course *c, unsigned stage) {
  return c->carry_bits && stage == c->carry_stage;
}
static bool keeps(const struct course *c, unsigned stage) {
  return c->relu && stage == c->tree.levels + 1;
}

static size_t choices_len(const struct course *c, enum role from, size_t count) {
  size_t len = carry_choices_len(&c->tree, from, count);
  if (wraps(c, 0)) len += cross_len(wrap_sender, c->wrap_bits, from, count);
  return len;
}

static size_t tables_len(const struct course *c, enum role from, size_t count) {
  return carry_tables_len(&c->tree, from, count);
}

static size_t stage_len(const struct course *c, unsigned stage, enum role from, size_t count) {
  size_t len = carry_level_len(&c->tree, from, stage, count);
  if (carries(c, stage)) len += cross_len(carry_sender, c->carry_bits, from, count);
  if (wraps(c, stage)) len += cross_len(wrap_sender, c->wrap_bits, from, count);
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
  enum role role;
  size_t count; /* of the chunk at hand */
  struct carry carry;
  struct cross wrap, carry_product, keep_sent, keep_received; /* of the stage at hand */
  uint64_t *t;                        /* [count]: share of the truncated value, in the caller's array of results */
  uint64_t *bits;                     /* planes of x */
  uint64_t *low_carry, *flag, *spare; /* planes: c_f; keep or the wrap; scratch */
  uint64_t *scratch;                  /* of products; values of x at first */
  uint64_t *pads;                     /* random OTs of the stage at hand */
  uint8_t *out, *in;
  size_t out_len, in_len;
  uint64_t *memory; /* owns the arrays above but t, out and in */
  size_t memory_words;
};

static size_t line_of(size_t words) {
  return div_up(words, 8) * 8;
}

/* Puts a product's random OTs at base[*at] (NULL: only counts) and moves on. */
static struct cross product_at(const struct work *w, uint64_t *base, size_t *at, enum role sender, unsigned bits) {
  const size_t pad = *at, bit = pad + line_of(w->count);
  *at = bit + line_of(plane_words(w->count));
  if (!base) return (struct cross){0};
  return (struct cross){.sender = sender, .bits = bits, .pad = base + pad, .bit = base + bit, .scratch = w->scratch};
}

/* Lays a stage's random OTs out in `base` (NULL: only counts), the tree's first; returns the number of words. */
static size_t lay_out_stage(struct work *w, unsigned stage, uint64_t *base) {
  const struct course *c = w->c;
  size_t at = line_of(carry_pads_words(&c->tree, w->role, stage, w->count));
  if (wraps(c, stage)) w->wrap = product_at(w, base, &at, wrap_sender, c->wrap_bits);
  if (carries(c, stage)) w->carry_product = product_at(w, base, &at, carry_sender, c->carry_bits);
  if (!keeps(c, stage)) return at;
  w->keep_sent = product_at(w, base, &at, w->role, c->keep_bits);
  w->keep_received = product_at(w, base, &at, role_peer(w->role), c->keep_bits);
  return at;
}

/* Hands out the arrays from `base` (NULL: only counts); returns the number of words. */
static size_t lay_out(struct work *w, uint64_t *base) {
  uint64_t **planes[] = {&w->low_carry, &w->flag, &w->spare};
  const size_t plane = line_of(plane_words(w->count));
  size_t at = 0, pads = 0;
  for (unsigned i = 0; i < 3; i++, at += plane) *planes[i] = base ? base + at : NULL;
  w->scratch = base ? base + at : NULL;
  at += line_of(cross_scratch_words(w->count));
  w->bits = base ? base + at : NULL;
  at += line_of(w->c->planes * plane_words(w->count));
  w->pads = base ? base + at : NULL;
  for (unsigned s = 0; s <= w->c->last_stage; s++) pads = size_max(pads, lay_out_stage(w, s, NULL));
  return at + pads;
}

static fusion_status work_open(struct work *w, const struct course *c, struct party *p, size_t count) {
  fusion_status status = FUSION_OK;
  *w = (struct work){.c = c, .p = p, .role = p->role, .count = count};
  w->memory_words = lay_out(w, NULL);
  w->memory = heap_take(p->heap, w->memory_words, sizeof *w->memory);
  w->out_len = longest_len(c, p->role, count);
  w->in_len = longest_len(c, role_peer(p->role), count);
  assert(size_max(w->out_len, w->in_len) < CHANNEL_EXCHANGE_MAX / 2); /* see RELU_TRUNCATE_CHUNK */
  w->out = heap_take(p->heap, w->out_len, 1);
  w->in = heap_take(p->heap, w->in_len, 1);
  FAIL_IF(!w->memory || !w->out || !w->in, FUSION_E_MEMORY);
  lay_out(w, w->memory);
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

/* Random OTs are drawn directly before the flight that uses them, so that stages share their memory. */
static fusion_status draw_tree(struct work *w, unsigned stage) {
  lay_out_stage(w, stage, w->pads);
  return carry_draw(&w->carry, w->p, stage, w->pads);
}

static void draw_cost(struct cost *cost, const struct course *c, unsigned stage, size_t count) {
  carry_draw_cost(cost, &c->tree, stage, count);
  if (wraps(c, stage)) cross_draw_cost(cost, wrap_sender, count);
  if (carries(c, stage)) cross_draw_cost(cost, carry_sender, count);
  if (!keeps(c, stage)) return;
  cross_draw_cost(cost, ROLE_SERVER, count);
  cross_draw_cost(cost, ROLE_CLIENT, count);
}

/* t += addend where the plane's bit is set. */
static void add_bits(uint64_t *t, const uint64_t *plane, uint64_t addend, size_t count) {
  cross_kernels()->add_bits(t, plane, addend, count);
}

/* A product of own bits with the peer's bits: the sender's value is its bit. */
static fusion_status put_bit_product(struct work *w, struct cross *x, const uint64_t *own, struct flight *out) {
  if (x->sender == w->role) return cross_put_values(x, w->p, (struct cross_values){.plane = own}, w->count, out);
  const fusion_status status = cross_draw_bits(x, w->p, w->count);
  if (status == FUSION_OK) cross_put_bits(x, own, w->spare, w->count, out);
  return status;
}

static void get_bit_product(struct work *w, struct cross *x, const uint64_t *own, struct cross_factor factor,
                            struct flight *in) {
  if (x->sender == w->role)
    cross_get_sender(x, (struct cross_values){.plane = own}, factor, w->t, w->count, in);
  else
    cross_get_receiver(x, own, factor, w->t, w->count, in);
}

/* Stage 0: choices, with the product mS*mC if the wrap shows early; then tables. */
static fusion_status run_tables(struct work *w) {
  fusion_status status = FUSION_OK;
  const struct course *c = w->c;
  const enum role self = w->role, peer = role_peer(self);
  const uint64_t *top = w->bits + (c->l - 1) * plane_words(w->count);
  struct flight out = {.data = w->out, .len = choices_len(c, self, w->count)};
  struct flight in = {.data = w->in, .len = choices_len(c, peer, w->count)};
  TRY(draw_tree(w, 0));
  carry_put_choices(&w->carry, w->bits, &out);
  if (wraps(c, 0)) TRY(put_bit_product(w, &w->wrap, top, &out));
  TRY(flight_exchange(w->p, MSG_OT_CHOICE, &out, &in));

  out = (struct flight){.data = w->out, .len = tables_len(c, self, w->count)};
  carry_answer(&w->carry, w->bits, &in, &out);
  if (wraps(c, 0)) {
    get_bit_product(w, &w->wrap, top, (struct cross_factor){.shift = c->k}, &in);
    add_bits(w->t, top, 0 - (UINT64_C(1) << c->k), w->count);
  }
  in = (struct flight){.data = w->in, .len = tables_len(c, peer, w->count)};
  TRY(flight_exchange(w->p, MSG_OT_TABLE, &out, &in));
  carry_select(&w->carry, &in);
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
  cross_kernels()->take_top(w->flag, w->t, w->c->k, w->count);
  add_bits(w->t, w->flag, 0 - (UINT64_C(1) << w->c->k), w->count);
}

/* keep * t = keep_own * t_own + both cross products of one's bit with the other's t * (1 - 2 keep). The client's bits
 * come before its values; the server, whose values are drawn for first, leaves room for its bits. */
static fusion_status put_keep(struct work *w, struct flight *out) {
  fusion_status status = FUSION_OK;
  const struct cross_values values = {.row = w->t, .plane = w->flag};
  struct flight behind = *out;
  behind.at += plane_len(w->count);
  if (w->role == ROLE_SERVER) TRY(cross_put_values(&w->keep_sent, w->p, values, w->count, &behind));
  TRY(cross_draw_bits(&w->keep_received, w->p, w->count));
  if (w->role == ROLE_CLIENT) TRY(cross_put_values(&w->keep_sent, w->p, values, w->count, &behind));
  cross_put_bits(&w->keep_received, w->flag, w->spare, w->count, out);
  out->at = behind.at;
cleanup:
  return status;
}

static void get_keep(struct work *w, struct flight *in) {
  cross_get_kept(&w->keep_sent, w->flag, w->t, w->count, in);
  cross_get_receiver(&w->keep_received, w->flag, (struct cross_factor){0}, w->t, w->count, in);
}

/* One flight of the tree with the products that are due. */
static fusion_status run_stage(struct work *w, unsigned stage) {
  fusion_status status = FUSION_OK;
  const struct course *c = w->c;
  const bool wrap = wraps(c, stage), carry = carries(c, stage), keep = keeps(c, stage);
  const struct cross_factor wrap_factor = {.shift = c->relu ? c->k : c->k + 1};
  struct flight out = {.data = w->out, .len = stage_len(c, stage, w->role, w->count)};
  struct flight in = {.data = w->in, .len = stage_len(c, stage, role_peer(w->role), w->count)};
  TRY(draw_tree(w, stage));
  carry_put_level(&w->carry, stage, w->bits, &out);
  if (wrap) TRY(put_bit_product(w, &w->wrap, w->flag, &out));
  if (carry) TRY(put_bit_product(w, &w->carry_product, w->low_carry, &out));
  if (keep) TRY(put_keep(w, &out));
  TRY(flight_exchange(w->p, wrap || keep ? MSG_MULTIPLY : MSG_AND, &out, &in));
  out.at = 0;
  carry_get_level(&w->carry, stage, &out, &in);
  if (wrap) get_bit_product(w, &w->wrap, w->flag, wrap_factor, &in);
  if (carry) get_bit_product(w, &w->carry_product, w->low_carry, (struct cross_factor){1, true}, &in);
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

/* A chunk's own shares of x: their bit planes, and the first part of the truncated value in w->t. */
static void start_chunk(struct work *w, const struct relu_truncate *params, const uint64_t *x) {
  const struct course *c = w->c;
  const uint64_t mask = low_mask(params->in_bits);
  const unsigned dropped = params->fast ? params->shift : 0;
  /* Truncation alone works on x + 2^(l-1), which is not negative, and takes 2^(l-1-f) off again. */
  const bool server = w->role == ROLE_SERVER;
  const uint64_t offset = !c->relu && server ? UINT64_C(1) << (params->in_bits - 1) : 0;
  /* Half a unit more makes the average over the dropped bits' carry right (see the header). */
  const uint64_t half = server && params->fast && params->shift ? UINT64_C(1) << (params->shift - 1) : 0;
  const uint64_t add = (server ? params->add : 0) + offset + half, subtract = offset >> params->shift;
  for (size_t at = 0; at < w->count; at += CROSS_BLOCK) {
    const size_t n = size_min(CROSS_BLOCK, w->count - at);
    uint64_t *values = w->scratch;
    for (size_t e = 0; e < n; e++) {
      values[e] = ((x[at + e] + add) & mask) >> dropped;
      w->t[at + e] = (values[e] >> c->f) - subtract;
    }
    planes_from_values(w->bits + at / 64, plane_words(w->count), values, n, c->planes);
  }
}

static fusion_status run_chunk(struct work *w, const struct relu_truncate *params, const uint64_t *x, uint64_t *y,
                               size_t count) {
  fusion_status status = FUSION_OK;
  const struct course *c = w->c;
  const uint64_t mask = low_mask(c->m);
  w->count = count;
  w->t = y;
  start_chunk(w, params, x);
  if (c->tree.digits) {
    carry_start(&w->carry, count);
    TRY(run_tables(w));
    after_level(w, 0);
    for (unsigned stage = 1; stage <= c->last_stage; stage++) {
      TRY(run_stage(w, stage));
      after_level(w, stage);
    }
  }
  for (size_t e = 0; e < count; e++) y[e] &= mask;
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
  if (params->garbled) return relu_garbled(p, params, x, y, count);
  fusion_status status = FUSION_OK;
  const struct course course = course_of(params, count);
  const size_t chunk = chunk_of(params);
  struct work w;
  TRY(work_open(&w, &course, p, size_min(count, chunk)));
  for (size_t done = 0; done < count; done += chunk) {
    TRY(run_chunk(&w, params, x + done, y + done, size_min(chunk, count - done)));
  }
cleanup:
  work_close(&w);
  return status;
}

void relu_truncate_cost(struct cost *cost, const struct relu_truncate *params, size_t count) {
  if (params->garbled) {
    relu_garbled_cost(cost, params, count);
    return;
  }
  const struct course c = course_of(params, count);
  if (!c.tree.digits) return;
  const size_t chunk = chunk_of(params);
  for (size_t done = 0; done < count; done += chunk) {
    const size_t n = size_min(chunk, count - done);
    draw_cost(cost, &c, 0, n);
    flight_exchange_cost(cost, choices_len(&c, ROLE_CLIENT, n), choices_len(&c, ROLE_SERVER, n));
    flight_exchange_cost(cost, tables_len(&c, ROLE_CLIENT, n), tables_len(&c, ROLE_SERVER, n));
    for (unsigned s = 1; s <= c.last_stage; s++) {
      draw_cost(cost, &c, s, n);
      flight_exchange_cost(cost, stage_len(&c, s, ROLE_CLIENT, n), stage_len(&c, s, ROLE_SERVER, n));
    }
  }
}

size_t relu_truncate_memory(const struct relu_truncate *params, enum role role, size_t count) {
  if (params->garbled) return relu_garbled_memory(params, role, count);
  const struct course c = course_of(params, count);
  const size_t n = size_min(count, chunk_of(params));
  struct work w = {.c = &c, .role = role, .count = n};
  return lay_out(&w, NULL) * sizeof *w.memory + carry_memory(&c.tree, n) + longest_len(&c, ROLE_SERVER, n) +
         longest_len(&c, ROLE_CLIENT, n);
}
