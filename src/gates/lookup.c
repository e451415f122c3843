#include "gates/lookup.h"

#include "gates/gate_messages.h"
#include "gates/lookup_garbled.h"
#include "gates/lookup_kernels.h"
#include "gates/planes.h"
#include "gates/relu_truncate.h"

static unsigned pieces_of(const struct lookup *params) {
  return 1u << params->index_bits;
}

static bool has_low(const struct lookup *params) {
  return params->low_bits > 0;
}

/* The table is public, and so is whether y depends on the low bits beyond their part in the choice of a piece. */
static bool is_sloped(const struct lookup *params) {
  int64_t any = 0;
  for (unsigned h = 0; has_low(params) && h < pieces_of(params); h++) any |= params->slope[h];
  return any != 0;
}

/* Whether a party sends a table: the client's summand is a product of slopes. */
static bool sends(const struct lookup *params, enum role role) {
  return role == ROLE_SERVER || is_sloped(params);
}

static bool valid(const struct lookup *params) {
  return params->index_bits >= 1 && params->index_bits <= LOOKUP_INDEX_BITS_MAX && params->low_bits != 1 &&
         params->index_bits + params->low_bits <= LOOKUP_BITS_MAX && params->out_bits >= 1 && params->out_bits <= 62;
}

/* The low part, signed, in a ring for x, and for y where that has a share of it. */
static struct relu_truncate extension_of(const struct lookup *params) {
  const uint8_t width = (uint8_t)(params->index_bits + params->low_bits);
  const bool wider = is_sloped(params) && params->out_bits > width;
  return (struct relu_truncate){
      .in_bits = params->low_bits, .out_bits = wider ? params->out_bits : width, .shape = params->shape};
}

static size_t choices_len(const struct lookup *params, enum role from, size_t count) {
  return sends(params, role_peer(from)) ? params->index_bits * plane_len(count) : 0;
}

static size_t table_len(const struct lookup *params, enum role from, size_t count) {
  return sends(params, from) ? (pieces_of(params) - 1) * bits_len(count, params->out_bits) : 0;
}

/* One chunk at one party; secret. */
struct work {
  const struct lookup *params;
  struct party *p;
  size_t count, row, stride;
  uint64_t *low;            /* [row]: this party's share of l */
  uint64_t *high;           /* [row]: its share of h */
  uint64_t *pads;           /* [pieces][row]: as sender; then the entries */
  uint64_t *pad;            /* [row]: as receiver */
  uint64_t *entry;          /* [row]: of a table; first, as sender, the share */
  uint64_t *bits, *choices; /* [index_bits][stride]: of h; X */
  uint64_t *said;           /* [index_bits][stride]: e, this party's and then the peer's */
  uint8_t *out, *in;
  uint64_t *memory; /* owns the arrays above but out and in */
  size_t memory_words, out_len, in_len;
};

static size_t row_of(size_t count) {
  return div_up(count, 64) * 64;
}

/* Hands out the arrays from `base` (NULL: only counts); returns the number of words. */
static size_t lay_out(struct work *w, uint64_t *base) {
  const size_t plane = w->params->index_bits * div_up(plane_words(w->count), 8) * 8;
  const struct {
    uint64_t **array;
    size_t words;
  } parts[] = {{&w->low, w->row},
               {&w->high, w->row},
               {&w->pads, sends(w->params, w->p->role) ? pieces_of(w->params) * w->row : 0},
               {&w->pad, w->row},
               {&w->entry, w->row},
               {&w->bits, plane},
               {&w->choices, plane},
               {&w->said, plane}};
  size_t at = 0;
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    *parts[i].array = base ? base + at : NULL;
    at += parts[i].words;
  }
  return at;
}

static size_t message_len(const struct lookup *params, enum role from, size_t count) {
  return size_max(choices_len(params, from, count), table_len(params, from, count));
}

static struct work work_of(const struct lookup *params, struct party *p, size_t count) {
  struct work w = {.params = params, .p = p, .count = count, .row = row_of(count), .stride = plane_words(count)};
  w.memory_words = lay_out(&w, NULL);
  w.out_len = message_len(params, p->role, count);
  w.in_len = message_len(params, role_peer(p->role), count);
  return w;
}

static fusion_status work_open(struct work *w) {
  w->memory = heap_take(w->p->heap, w->memory_words, sizeof *w->memory);
  w->out = heap_take(w->p->heap, w->out_len, 1);
  w->in = heap_take(w->p->heap, w->in_len, 1);
  if (!w->memory || !w->out || !w->in) return FUSION_E_MEMORY;
  lay_out(w, w->memory);
  return FUSION_OK;
}

static void work_close(struct work *w) {
  heap_give(w->p->heap, w->memory, w->memory_words * sizeof *w->memory);
  heap_give(w->p->heap, w->out, w->out_len);
  heap_give(w->p->heap, w->in, w->in_len);
}

/* Shares of l and of h from those of x; what is past the count stays 0. */
static fusion_status split(struct work *w, const uint64_t *x) {
  fusion_status status = FUSION_OK;
  const unsigned low = w->params->low_bits;
  const uint64_t index_mask = low_mask(w->params->index_bits);
  memset(w->low, 0, w->row * sizeof *w->low);
  memset(w->high, 0, w->row * sizeof *w->high);
  if (!has_low(w->params)) {
    for (size_t e = 0; e < w->count; e++) w->high[e] = x[e] & index_mask;
    return FUSION_OK;
  }
  const bool server = w->p->role == ROLE_SERVER;
  const uint64_t middle = server ? UINT64_C(1) << (low - 1) : 0, up = server ? 0 : low_mask(low);
  const struct relu_truncate extension = extension_of(w->params);
  for (size_t e = 0; e < w->count; e++) w->high[e] = x[e] - middle;
  TRY(relu_truncate(w->p, &extension, w->high, w->low, w->count));
  /* t - l is a multiple of 2^low: the shares' low parts sum to 0 or 2^low, and the client's rounds up. */
  for (size_t e = 0; e < w->count; e++) w->high[e] = ((w->high[e] - w->low[e] + up) >> low) & index_mask;
cleanup:
  return status;
}

static fusion_status send_pads(struct work *w) {
  if (!sends(w->params, w->p->role)) return FUSION_OK;
  return ot_entries_send(w->p->cot, w->params->index_bits, w->count, w->pads, w->row);
}

static fusion_status receive_pads(struct work *w) {
  if (!sends(w->params, role_peer(w->p->role))) return FUSION_OK;
  return ot_entries_receive(w->p->cot, w->params->index_bits, w->count, w->choices, w->pad);
}

/* Random OTs, the server's as sender first; then what both say of their choices. */
static fusion_status choose(struct work *w) {
  fusion_status status = FUSION_OK;
  const enum role self = w->p->role;
  struct flight out = {.data = w->out, .len = choices_len(w->params, self, w->count)};
  struct flight in = {.data = w->in, .len = choices_len(w->params, role_peer(self), w->count)};
  if (self == ROLE_SERVER) TRY(send_pads(w));
  TRY(receive_pads(w));
  if (self == ROLE_CLIENT) TRY(send_pads(w));
  planes_from_values(w->bits, w->stride, w->high, w->count, w->params->index_bits);
  for (unsigned i = 0; out.len && i < w->params->index_bits; i++) {
    for (size_t k = 0; k < w->stride; k++) w->said[k] = w->choices[i * w->stride + k] ^ w->bits[i * w->stride + k];
    flight_put_plane(&out, w->said, w->count);
  }
  TRY(flight_exchange(w->p, MSG_OT_CHOICE, &out, &in));
  for (unsigned i = 0; in.len && i < w->params->index_bits; i++)
    flight_get_plane(&in, w->said + i * w->stride, w->count);
cleanup:
  return status;
}

/* The pads become the entries; y starts as this party's share of its own summand. */
static void answer(struct work *w, uint64_t *y, struct flight *out) {
  const struct lookup *params = w->params;
  const struct lookup_entries entries = {.base = w->p->role == ROLE_SERVER ? params->base : NULL,
                                         .slope = has_low(params) ? params->slope : NULL,
                                         .low = w->low,
                                         .bits = w->bits,
                                         .said = w->said,
                                         .stride = w->stride,
                                         .row = w->row,
                                         .index_bits = params->index_bits};
  lookup_kernels()->answer(w->entry, w->pads, &entries, w->count);
  memcpy(y, w->entry, w->count * sizeof *y);
  for (unsigned z = 1; z < pieces_of(params); z++)
    flight_put_values(out, w->pads + z * w->row, w->count, params->out_bits);
}

/* Adds the share of the peer's summand. */
static void select_entry(struct work *w, uint64_t *y, struct flight *in) {
  const struct lookup_choices choices = {w->choices, w->stride, w->params->index_bits};
  for (unsigned z = 1; z < pieces_of(w->params); z++) {
    flight_get_values(in, w->entry, w->count, w->params->out_bits);
    lookup_kernels()->select(y, w->entry, &choices, z, w->count);
  }
  for (size_t e = 0; e < w->count; e++) y[e] -= w->pad[e];
}

static fusion_status run_chunk(struct work *w, const uint64_t *x, uint64_t *y) {
  fusion_status status = FUSION_OK;
  const struct lookup *params = w->params;
  const enum role self = w->p->role, peer = role_peer(self);
  TRY(split(w, x));
  TRY(choose(w));
  struct flight out = {.data = w->out, .len = table_len(params, self, w->count)};
  struct flight in = {.data = w->in, .len = table_len(params, peer, w->count)};
  memset(y, 0, w->count * sizeof *y);
  if (sends(params, self)) answer(w, y, &out);
  TRY(flight_exchange(w->p, MSG_OT_TABLE, &out, &in));
  if (sends(params, peer)) select_entry(w, y, &in);
  for (size_t e = 0; e < w->count; e++) y[e] &= low_mask(params->out_bits);
cleanup:
  return status;
}

fusion_status lookup(struct party *p, const struct lookup *params, const uint64_t *x, uint64_t *y, size_t count) {
  if (!valid(params)) return FUSION_E_INTERNAL;
  if (params->garbled) return lookup_garbled(p, params, x, y, count);
  fusion_status status = FUSION_OK;
  for (size_t done = 0; done < count && status == FUSION_OK; done += LOOKUP_CHUNK) {
    struct work w = work_of(params, p, size_min(LOOKUP_CHUNK, count - done));
    status = work_open(&w);
    if (status == FUSION_OK) status = run_chunk(&w, x + done, y + done);
    work_close(&w);
  }
  return status;
}

void lookup_cost(struct cost *cost, const struct lookup *params, size_t count) {
  if (params->garbled) {
    lookup_garbled_cost(cost, params, count);
    return;
  }
  const struct relu_truncate extension = extension_of(params);
  for (size_t done = 0; done < count; done += LOOKUP_CHUNK) {
    const size_t n = size_min(LOOKUP_CHUNK, count - done);
    if (has_low(params)) relu_truncate_cost(cost, &extension, n);
    ot_random_cost(cost, ROLE_SERVER, params->index_bits, n);
    if (is_sloped(params)) ot_random_cost(cost, ROLE_CLIENT, params->index_bits, n);
    cost->entries_server_sends += (uint64_t)pieces_of(params) * n;
    if (is_sloped(params)) cost->entries_client_sends += (uint64_t)pieces_of(params) * n;
    flight_exchange_cost(cost, choices_len(params, ROLE_CLIENT, n), choices_len(params, ROLE_SERVER, n));
    flight_exchange_cost(cost, table_len(params, ROLE_CLIENT, n), table_len(params, ROLE_SERVER, n));
  }
}

size_t lookup_memory(const struct lookup *params, enum role role, size_t count) {
  if (params->garbled) return lookup_garbled_memory(params, role, count);
  const size_t n = size_min(count, LOOKUP_CHUNK);
  const struct relu_truncate extension = extension_of(params);
  struct party p = {.role = role};
  const struct work w = work_of(params, &p, n);
  const size_t own = w.memory_words * sizeof *w.memory + w.out_len + w.in_len;
  return own + (has_low(params) ? relu_truncate_memory(&extension, role, n) : 0);
}
