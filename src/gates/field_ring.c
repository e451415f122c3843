#include "gates/field_ring.h"

#include "gates/carry.h"
#include "gates/cross.h"
#include "gates/gate_messages.h"

/* The server's bit is the value of the product, the client's the choice. */
static const enum role wrap_sender = ROLE_SERVER;

struct course {
  unsigned bits;         /* of t */
  unsigned product_bits; /* ring of wS * wC, which counts twice */
  struct carry_tree tree;
};

static struct course course_of(const struct field_ring *params, size_t count) {
  const unsigned bits = log2_up(params->modulus);
  return (struct course){.bits = bits,
                         .product_bits = params->ring_bits - 1u,
                         .tree = carry_tree_make(params->shape, 0, bits, size_min(count, FIELD_RING_CHUNK), 1)};
}

static size_t product_len(const struct course *c, enum role from, size_t count) {
  return cross_len(wrap_sender, c->product_bits, from, count);
}

static size_t longest_len(const struct course *c, enum role from, size_t count) {
  size_t len = size_max(carry_choices_len(&c->tree, from, count), carry_tables_len(&c->tree, from, count));
  for (unsigned level = 1; level <= c->tree.levels; level++)
    len = size_max(len, carry_level_len(&c->tree, from, level, count));
  return size_max(len, product_len(c, from, count));
}

/* Everything one party holds while it works; secret but for the lengths. */
struct work {
  const struct course *c;
  struct party *p;
  size_t count; /* of the chunk at hand */
  struct carry carry;
  struct cross product;
  uint64_t *bits, *wrap, *spare; /* planes: the number; the wrap; scratch */
  uint64_t *scratch, *pads;      /* of the product; random OTs of the stage at hand */
  uint64_t *share;               /* [CROSS_BLOCK rounded up count]: of the wrap */
  uint8_t *out, *in;
  size_t out_len, in_len, memory_words;
  uint64_t *memory; /* owns the arrays above but out and in */
};

static size_t line_of(size_t words) {
  return div_up(words, 8) * 8;
}

/* Hands out the arrays from `base` (NULL: only counts); returns the number of words. */
static size_t lay_out(struct work *w, enum role role, uint64_t *base) {
  const size_t plane = line_of(plane_words(w->count)), count = line_of(w->count);
  size_t pads = count + plane;
  for (unsigned stage = 0; stage <= w->c->tree.levels; stage++)
    pads = size_max(pads, carry_pads_words(&w->c->tree, role, stage, w->count));
  const size_t sizes[] = {w->c->bits * plane_words(w->count), plane, plane, cross_scratch_words(w->count), count, pads};
  uint64_t **const arrays[] = {&w->bits, &w->wrap, &w->spare, &w->scratch, &w->share, &w->pads};
  size_t at = 0;
  for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    *arrays[i] = base ? base + at : NULL;
    at += line_of(sizes[i]);
  }
  return at;
}

static fusion_status work_open(struct work *w, const struct course *c, struct party *p, size_t count) {
  fusion_status status = FUSION_OK;
  *w = (struct work){.c = c, .p = p, .count = count};
  w->memory_words = lay_out(w, p->role, NULL);
  w->memory = heap_take(p->heap, w->memory_words, sizeof *w->memory);
  w->out_len = longest_len(c, p->role, count);
  w->in_len = longest_len(c, role_peer(p->role), count);
  assert(size_max(w->out_len, w->in_len) < CHANNEL_EXCHANGE_MAX / 2);
  w->out = heap_take(p->heap, w->out_len, 1);
  w->in = heap_take(p->heap, w->in_len, 1);
  FAIL_IF(!w->memory || !w->out || !w->in, FUSION_E_MEMORY);
  lay_out(w, p->role, w->memory);
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

/* XOR shares of the wrap into w->wrap. */
static fusion_status find_wrap(struct work *w) {
  fusion_status status = FUSION_OK;
  const struct carry_tree *tree = &w->c->tree;
  const enum role self = w->p->role, peer = role_peer(self);
  struct flight out = {.data = w->out, .len = carry_choices_len(tree, self, w->count)};
  struct flight in = {.data = w->in, .len = carry_choices_len(tree, peer, w->count)};
  carry_start(&w->carry, w->count);
  TRY(carry_draw(&w->carry, w->p, 0, w->pads));
  carry_put_choices(&w->carry, w->bits, &out);
  TRY(flight_exchange(w->p, MSG_OT_CHOICE, &out, &in));
  out = (struct flight){.data = w->out, .len = carry_tables_len(tree, self, w->count)};
  carry_answer(&w->carry, w->bits, &in, &out);
  in = (struct flight){.data = w->in, .len = carry_tables_len(tree, peer, w->count)};
  TRY(flight_exchange(w->p, MSG_OT_TABLE, &out, &in));
  carry_select(&w->carry, &in);
  for (unsigned level = 1; level <= tree->levels; level++) {
    out = (struct flight){.data = w->out, .len = carry_level_len(tree, self, level, w->count)};
    in = (struct flight){.data = w->in, .len = carry_level_len(tree, peer, level, w->count)};
    TRY(carry_draw(&w->carry, w->p, level, w->pads));
    carry_put_level(&w->carry, level, w->bits, &out);
    TRY(flight_exchange(w->p, MSG_AND, &out, &in));
    out.at = 0;
    carry_get_level(&w->carry, level, &out, &in);
  }
  memcpy(w->wrap, w->carry.gen[0], plane_words(w->count) * sizeof *w->wrap);
cleanup:
  return status;
}

/* Arithmetic shares of the wrap into w->share: own bit - 2 * share of the product. */
static fusion_status share_wrap(struct work *w) {
  fusion_status status = FUSION_OK;
  const struct course *c = w->c;
  const enum role self = w->p->role;
  const struct cross_factor factor = {.shift = 1, .negative = true};
  const struct cross_values values = {.plane = w->wrap};
  struct flight out = {.data = w->out, .len = product_len(c, self, w->count)};
  struct flight in = {.data = w->in, .len = product_len(c, role_peer(self), w->count)};
  w->product = (struct cross){.sender = wrap_sender,
                              .bits = c->product_bits,
                              .pad = w->pads,
                              .bit = w->pads + line_of(w->count),
                              .scratch = w->scratch};
  if (self == wrap_sender) TRY(cross_put_values(&w->product, w->p, values, w->count, &out));
  if (self != wrap_sender) {
    TRY(cross_draw_bits(&w->product, w->p, w->count));
    cross_put_bits(&w->product, w->wrap, w->spare, w->count, &out);
  }
  TRY(flight_exchange(w->p, MSG_MULTIPLY, &out, &in));
  memset(w->share, 0, w->count * sizeof *w->share);
  cross_kernels()->add_bits(w->share, w->wrap, 1, w->count);
  if (self == wrap_sender) cross_get_sender(&w->product, values, factor, w->share, w->count, &in);
  if (self != wrap_sender) cross_get_receiver(&w->product, w->wrap, factor, w->share, w->count, &in);
cleanup:
  return status;
}

static fusion_status run_chunk(struct work *w, const struct field_ring *params, const uint64_t *x, uint64_t *y,
                               size_t count) {
  fusion_status status = FUSION_OK;
  const bool server = w->p->role == ROLE_SERVER;
  const uint64_t up = server ? (UINT64_C(1) << w->c->bits) - params->modulus : 0, mask = low_mask(params->ring_bits);
  const uint64_t offset = server ? params->offset : 0;
  w->count = count;
  for (size_t e = 0; e < count; e++) w->share[e] = x[e] + up;
  planes_from_values(w->bits, plane_words(count), w->share, count, w->c->bits);
  TRY(find_wrap(w));
  TRY(share_wrap(w));
  for (size_t e = 0; e < count; e++) y[e] = (x[e] - offset - params->modulus * w->share[e]) & mask;
cleanup:
  return status;
}

static bool valid(const struct field_ring *params) {
  return params->modulus % 2 && params->modulus >> 3 && !(params->modulus >> 61) && params->ring_bits >= 2 &&
         params->ring_bits <= 62;
}

fusion_status field_ring(struct party *p, const struct field_ring *params, const uint64_t *x, uint64_t *y,
                         size_t count) {
  if (!valid(params)) return FUSION_E_INTERNAL;
  if (!count) return FUSION_OK;
  fusion_status status = FUSION_OK;
  const struct course course = course_of(params, count);
  struct work w;
  TRY(work_open(&w, &course, p, size_min(count, FIELD_RING_CHUNK)));
  for (size_t done = 0; done < count; done += FIELD_RING_CHUNK)
    TRY(run_chunk(&w, params, x + done, y + done, size_min(FIELD_RING_CHUNK, count - done)));
cleanup:
  work_close(&w);
  return status;
}

void field_ring_cost(struct cost *cost, const struct field_ring *params, size_t count) {
  if (!count) return;
  const struct course c = course_of(params, count);
  for (size_t done = 0; done < count; done += FIELD_RING_CHUNK) {
    const size_t n = size_min(FIELD_RING_CHUNK, count - done);
    carry_draw_cost(cost, &c.tree, 0, n);
    flight_exchange_cost(cost, carry_choices_len(&c.tree, ROLE_CLIENT, n), carry_choices_len(&c.tree, ROLE_SERVER, n));
    flight_exchange_cost(cost, carry_tables_len(&c.tree, ROLE_CLIENT, n), carry_tables_len(&c.tree, ROLE_SERVER, n));
    for (unsigned level = 1; level <= c.tree.levels; level++) {
      carry_draw_cost(cost, &c.tree, level, n);
      flight_exchange_cost(cost, carry_level_len(&c.tree, ROLE_CLIENT, level, n),
                           carry_level_len(&c.tree, ROLE_SERVER, level, n));
    }
    cross_draw_cost(cost, wrap_sender, n);
    flight_exchange_cost(cost, product_len(&c, ROLE_CLIENT, n), product_len(&c, ROLE_SERVER, n));
  }
}

size_t field_ring_memory(const struct field_ring *params, enum role role, size_t count) {
  const struct course c = course_of(params, count);
  const size_t n = size_min(count, FIELD_RING_CHUNK);
  struct work w = {.c = &c, .count = n};
  return lay_out(&w, role, NULL) * sizeof *w.memory + carry_memory(&c.tree, n) + longest_len(&c, ROLE_SERVER, n) +
         longest_len(&c, ROLE_CLIENT, n);
}
