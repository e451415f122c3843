#include "gates/compare.h"

#include "garble/circuit_gates.h"
#include "gates/carry.h"
#include "gates/cross.h"
#include "gates/gate_messages.h"

/* Who sends the values of the product: the client's way up is the narrower one. */
static const enum role product_sender = ROLE_SERVER;

static unsigned product_bits(const struct compare *params) {
  return params->out_bits - 1u;
}

/* In the fixed tree one party sends all tables, up to 64 bytes an element. */
static size_t chunk_of(const struct compare *params) {
  return params->shape == CARRY_FIXED ? COMPARE_CHUNK / 4 : COMPARE_CHUNK;
}

static struct carry_tree tree_of(const struct compare *params, size_t count) {
  return carry_tree_make(params->shape, 0, params->in_bits - 1u, size_min(count, chunk_of(params)), 1);
}

static size_t product_len(const struct compare *params, enum role from, size_t count) {
  return product_bits(params) ? cross_len(product_sender, product_bits(params), from, count) : 0;
}

static size_t longest_len(const struct compare *params, const struct carry_tree *tree, enum role from, size_t count) {
  size_t len = size_max(carry_choices_len(tree, from, count), carry_tables_len(tree, from, count));
  for (unsigned s = 1; s <= tree->levels; s++) len = size_max(len, carry_level_len(tree, from, s, count));
  return size_max(len, product_len(params, from, count));
}

/* Everything one party holds while it works; secret but for the lengths. */
struct work {
  const struct compare *params;
  const struct carry_tree *tree;
  struct party *p;
  size_t count; /* of the chunk at hand */
  struct carry carry;
  struct cross product;
  uint64_t *bits;         /* planes of x */
  uint64_t *flag, *spare; /* planes: "not negative"; scratch */
  uint64_t *scratch;      /* of the product; values of x at first */
  uint64_t *pads;         /* random OTs of the flight at hand */
  uint8_t *out, *in;
  size_t out_len, in_len;
  uint64_t *memory; /* owns the arrays above but out and in */
  size_t memory_words;
};

static size_t line_of(size_t words) {
  return div_up(words, 8) * 8;
}

/* Hands out the arrays from `base` (NULL: only counts); returns the number of words. */
static size_t lay_out(struct work *w, uint64_t *base) {
  const size_t plane = line_of(plane_words(w->count));
  size_t pads = line_of(w->count) + plane;
  for (unsigned s = 0; s <= w->tree->levels; s++)
    pads = size_max(pads, carry_pads_words(w->tree, w->p->role, s, w->count));
  const struct {
    uint64_t **array;
    size_t words;
  } parts[] = {{&w->flag, plane},
               {&w->spare, plane},
               {&w->scratch, line_of(cross_scratch_words(w->count))},
               {&w->bits, line_of(w->params->in_bits * plane_words(w->count))},
               {&w->pads, pads}};
  size_t at = 0;
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    *parts[i].array = base ? base + at : NULL;
    at += parts[i].words;
  }
  return at;
}

static fusion_status work_open(struct work *w) {
  fusion_status status = FUSION_OK;
  w->memory_words = lay_out(w, NULL);
  w->memory = heap_take(w->p->heap, w->memory_words, sizeof *w->memory);
  w->out_len = longest_len(w->params, w->tree, w->p->role, w->count);
  w->in_len = longest_len(w->params, w->tree, role_peer(w->p->role), w->count);
  assert(size_max(w->out_len, w->in_len) < CHANNEL_EXCHANGE_MAX / 2); /* see RELU_TRUNCATE_CHUNK */
  w->out = heap_take(w->p->heap, w->out_len, 1);
  w->in = heap_take(w->p->heap, w->in_len, 1);
  FAIL_IF(!w->memory || !w->out || !w->in, FUSION_E_MEMORY);
  lay_out(w, w->memory);
  w->product = (struct cross){.sender = product_sender,
                              .bits = product_bits(w->params),
                              .pad = w->pads,
                              .bit = w->pads + line_of(w->count),
                              .scratch = w->scratch};
  TRY(carry_open(&w->carry, w->tree, w->p, w->count));
cleanup:
  return status;
}

static void work_close(struct work *w) {
  carry_close(&w->carry);
  heap_give(w->p->heap, w->memory, w->memory_words * sizeof *w->memory);
  heap_give(w->p->heap, w->out, w->out_len);
  heap_give(w->p->heap, w->in, w->in_len);
}

/* A chunk's own shares of x + add as bit planes. */
static void start_chunk(struct work *w, const uint64_t *x) {
  const uint64_t add = w->p->role == ROLE_SERVER ? w->params->add : 0;
  for (size_t at = 0; at < w->count; at += CROSS_BLOCK) {
    const size_t n = size_min(CROSS_BLOCK, w->count - at);
    for (size_t e = 0; e < n; e++) w->scratch[e] = x[at + e] + add;
    planes_from_values(w->bits + at / 64, plane_words(w->count), w->scratch, n, w->params->in_bits);
  }
  carry_start(&w->carry, w->count);
}

static fusion_status run_tables(struct work *w) {
  fusion_status status = FUSION_OK;
  const enum role self = w->p->role, peer = role_peer(self);
  struct flight out = {.data = w->out, .len = carry_choices_len(w->tree, self, w->count)};
  struct flight in = {.data = w->in, .len = carry_choices_len(w->tree, peer, w->count)};
  TRY(carry_draw(&w->carry, w->p, 0, w->pads));
  carry_put_choices(&w->carry, w->bits, &out);
  TRY(flight_exchange(w->p, MSG_OT_CHOICE, &out, &in));
  out = (struct flight){.data = w->out, .len = carry_tables_len(w->tree, self, w->count)};
  carry_answer(&w->carry, w->bits, &in, &out);
  in = (struct flight){.data = w->in, .len = carry_tables_len(w->tree, peer, w->count)};
  TRY(flight_exchange(w->p, MSG_OT_TABLE, &out, &in));
  carry_select(&w->carry, &in);
cleanup:
  return status;
}

static fusion_status run_level(struct work *w, unsigned level) {
  fusion_status status = FUSION_OK;
  const enum role self = w->p->role, peer = role_peer(self);
  struct flight out = {.data = w->out, .len = carry_level_len(w->tree, self, level, w->count)};
  struct flight in = {.data = w->in, .len = carry_level_len(w->tree, peer, level, w->count)};
  TRY(carry_draw(&w->carry, w->p, level, w->pads));
  carry_put_level(&w->carry, level, w->bits, &out);
  TRY(flight_exchange(w->p, MSG_AND, &out, &in));
  out.at = 0;
  carry_get_level(&w->carry, level, &out, &in);
cleanup:
  return status;
}

/* This party's share of "not negative": the top bit of the sum, inverted. */
static void set_flag(struct work *w) {
  const size_t words = plane_words(w->count);
  const uint64_t *top = w->bits + (w->params->in_bits - 1u) * words, *carry = w->carry.gen[0];
  const uint64_t flip = w->p->role == ROLE_SERVER ? UINT64_MAX : 0;
  for (size_t i = 0; i < words; i++) w->flag[i] = top[i] ^ carry[i] ^ flip;
}

/* y += -2 b_S b_C. */
static fusion_status run_product(struct work *w, uint64_t *y) {
  fusion_status status = FUSION_OK;
  const enum role self = w->p->role;
  const struct cross_values own = {.plane = w->flag};
  const struct cross_factor minus_two = {1, true};
  struct flight out = {.data = w->out, .len = product_len(w->params, self, w->count)};
  struct flight in = {.data = w->in, .len = product_len(w->params, role_peer(self), w->count)};
  if (self == product_sender) {
    TRY(cross_put_values(&w->product, w->p, own, w->count, &out));
  } else {
    TRY(cross_draw_bits(&w->product, w->p, w->count));
    cross_put_bits(&w->product, w->flag, w->spare, w->count, &out);
  }
  TRY(flight_exchange(w->p, MSG_MULTIPLY, &out, &in));
  if (self == product_sender)
    cross_get_sender(&w->product, own, minus_two, y, w->count, &in);
  else
    cross_get_receiver(&w->product, w->flag, minus_two, y, w->count, &in);
cleanup:
  return status;
}

static fusion_status run_chunk(struct work *w, const uint64_t *x, uint64_t *y, size_t count) {
  fusion_status status = FUSION_OK;
  const uint64_t mask = low_mask(w->params->out_bits);
  w->count = count;
  start_chunk(w, x);
  TRY(run_tables(w));
  for (unsigned level = 1; level <= w->tree->levels; level++) TRY(run_level(w, level));
  set_flag(w);
  memset(y, 0, count * sizeof *y);
  cross_kernels()->add_bits(y, w->flag, 1, count);
  if (product_bits(w->params)) TRY(run_product(w, y));
  for (size_t e = 0; e < count; e++) y[e] &= mask;
cleanup:
  return status;
}

static fusion_status run_tree(struct party *p, const struct compare *params, const uint64_t *x, uint64_t *y,
                              size_t count) {
  fusion_status status;
  const struct carry_tree tree = tree_of(params, count);
  const size_t chunk = chunk_of(params);
  struct work w = {.params = params, .tree = &tree, .p = p, .count = size_min(count, chunk)};
  TRY(work_open(&w));
  for (size_t done = 0; done < count; done += chunk)
    TRY(run_chunk(&w, x + done, y + done, size_min(chunk, count - done)));
cleanup:
  work_close(&w);
  return status;
}

/* ---- garbled ---- */

/* y = 1 - negative. */
static fusion_status run_garbled(struct party *p, const struct compare *params, const uint64_t *x, uint64_t *y,
                                 size_t count) {
  fusion_status status = FUSION_OK;
  const size_t capacity = size_min(count, COMPARE_CHUNK);
  const bool server = p->role == ROLE_SERVER;
  const uint64_t add = server ? 0 : params->add, one = server;
  struct circuit circuit;
  uint64_t *t = heap_take(p->heap, capacity, sizeof *t);
  circuit_make_negative(&circuit, params->in_bits, params->out_bits);
  FAIL_IF(!t, FUSION_E_MEMORY);
  for (size_t done = 0; done < count; done += capacity) {
    const size_t n = size_min(capacity, count - done);
    for (size_t e = 0; e < n; e++) t[e] = (x[done + e] + add) & low_mask(params->in_bits);
    const struct garbled_words words = {.inputs = {t}, .known = {t}, .outputs = {y + done}};
    TRY(garbled_run(p->garble, &circuit, params->garbled, &words, n));
    for (size_t e = done; e < done + n; e++) y[e] = (one - y[e]) & low_mask(params->out_bits);
  }
cleanup:
  heap_give(p->heap, t, capacity * sizeof *t);
  circuit_free(&circuit);
  return status;
}

static void garbled_cost(struct cost *cost, const struct compare *params, size_t count) {
  struct circuit circuit;
  circuit_make_negative(&circuit, params->in_bits, params->out_bits);
  for (size_t done = 0; done < count; done += COMPARE_CHUNK)
    garbled_run_cost(cost, &circuit, params->garbled, size_min(COMPARE_CHUNK, count - done));
  circuit_free(&circuit);
}

static size_t garbled_memory(const struct compare *params, enum role role, size_t count) {
  const size_t capacity = size_min(count, COMPARE_CHUNK);
  struct circuit circuit;
  circuit_make_negative(&circuit, params->in_bits, params->out_bits);
  const size_t len = garbled_run_memory(&circuit, params->garbled, capacity, role);
  circuit_free(&circuit);
  return len == SIZE_MAX ? len : len + capacity * sizeof(uint64_t);
}

static bool valid(const struct compare *params) {
  return params->in_bits >= 2 && params->in_bits <= 62 && params->out_bits >= 1 && params->out_bits <= 62;
}

fusion_status compare(struct party *p, const struct compare *params, const uint64_t *x, uint64_t *y, size_t count) {
  if (!valid(params)) return FUSION_E_INTERNAL;
  if (!count) return FUSION_OK;
  return params->garbled ? run_garbled(p, params, x, y, count) : run_tree(p, params, x, y, count);
}

void compare_cost(struct cost *cost, const struct compare *params, size_t count) {
  if (!count) return;
  if (params->garbled) {
    garbled_cost(cost, params, count);
    return;
  }
  const struct carry_tree tree = tree_of(params, count);
  const size_t chunk = chunk_of(params);
  for (size_t done = 0; done < count; done += chunk) {
    const size_t n = size_min(chunk, count - done);
    carry_draw_cost(cost, &tree, 0, n);
    flight_exchange_cost(cost, carry_choices_len(&tree, ROLE_CLIENT, n), carry_choices_len(&tree, ROLE_SERVER, n));
    flight_exchange_cost(cost, carry_tables_len(&tree, ROLE_CLIENT, n), carry_tables_len(&tree, ROLE_SERVER, n));
    for (unsigned s = 1; s <= tree.levels; s++) {
      carry_draw_cost(cost, &tree, s, n);
      flight_exchange_cost(cost, carry_level_len(&tree, ROLE_CLIENT, s, n), carry_level_len(&tree, ROLE_SERVER, s, n));
    }
    if (!product_bits(params)) continue;
    cross_draw_cost(cost, product_sender, n);
    flight_exchange_cost(cost, product_len(params, ROLE_CLIENT, n), product_len(params, ROLE_SERVER, n));
  }
}

size_t compare_memory(const struct compare *params, enum role role, size_t count) {
  if (params->garbled) return garbled_memory(params, role, count);
  const struct carry_tree tree = tree_of(params, count);
  const size_t n = size_min(count, chunk_of(params));
  struct party p = {.role = role};
  struct work w = {.params = params, .tree = &tree, .p = &p, .count = n};
  return lay_out(&w, NULL) * sizeof *w.memory + carry_memory(&tree, n) + longest_len(params, &tree, ROLE_SERVER, n) +
         longest_len(params, &tree, ROLE_CLIENT, n);
}
