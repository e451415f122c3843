#include "gates/multiply.h"

#include "gates/cross.h"
#include "gates/gate_messages.h"

/* One cross term of a chunk: the receiver's bits 0 .. bits-1 times the sender's values, modulo 2^bits. */
struct term {
  enum role sender;
  unsigned bits;
  size_t count;
  uint64_t *pads;    /* [bits][row] */
  uint64_t *choices; /* [bits][stride] */
  uint64_t *scratch;
};

static size_t row_of(size_t count) {
  return div_up(count, 8) * 8;
}

static size_t term_words(unsigned bits, size_t count) {
  return bits * (row_of(count) + plane_words(count)) + cross_scratch_words(count);
}

static struct term term_of(uint64_t *base, enum role sender, unsigned bits, size_t count) {
  uint64_t *choices = base + bits * row_of(count);
  return (struct term){sender, bits, count, base, choices, choices + bits * plane_words(count)};
}

static struct cross bit_of(const struct term *t, unsigned i) {
  return (struct cross){.sender = t->sender,
                        .bits = t->bits - i,
                        .pad = t->pads + i * row_of(t->count),
                        .scratch = t->scratch,
                        .bit = t->choices + i * plane_words(t->count)};
}

static size_t term_len(enum role sender, unsigned bits, enum role from, size_t count) {
  size_t len = 0;
  for (unsigned i = 0; i < bits; i++) len += cross_len(sender, bits - i, from, count);
  return len;
}

/* Draws each bit's random OT and writes its part of the message. own: the sender's values and the receiver's bit
 * planes, whichever this party is. */
static fusion_status term_put(const struct term *t, struct party *p, const uint64_t *values, const uint64_t *planes,
                              uint64_t *spare, struct flight *out) {
  fusion_status status = FUSION_OK;
  for (unsigned i = 0; i < t->bits; i++) {
    struct cross x = bit_of(t, i);
    if (t->sender == p->role) {
      TRY(cross_put_values(&x, p, (struct cross_values){.row = values}, t->count, out));
      continue;
    }
    TRY(cross_draw_bits(&x, p, t->count));
    cross_put_bits(&x, planes + i * plane_words(t->count), spare, t->count, out);
  }
cleanup:
  return status;
}

static void term_get(const struct term *t, enum role self, const uint64_t *values, const uint64_t *planes,
                     unsigned shift, uint64_t *share, struct flight *in) {
  for (unsigned i = 0; i < t->bits; i++) {
    struct cross x = bit_of(t, i);
    const struct cross_factor factor = {.shift = shift + i};
    if (t->sender == self)
      cross_get_sender(&x, (struct cross_values){.row = values}, factor, share, t->count, in);
    else
      cross_get_receiver(&x, planes + i * plane_words(t->count), factor, share, t->count, in);
  }
}

/* What is multiplied with what: two terms, one with each sender. Product: over the same elements, sender's y with
 * receiver's x. Square: the first `split` elements have the server as sender, the others the client. */
struct course {
  bool square;
  unsigned bits;  /* of a term */
  unsigned shift; /* a square's term counts twice */
};

static struct course course_of(bool square, unsigned bits) {
  return (struct course){square, square ? bits - 1 : bits, square};
}

static size_t server_count(const struct course *c, size_t count) {
  return c->square ? count - count / 2 : count;
}
static size_t client_count(const struct course *c, size_t count) {
  return c->square ? count / 2 : count;
}

static size_t message_len(const struct course *c, enum role from, size_t count) {
  return term_len(ROLE_SERVER, c->bits, from, server_count(c, count)) +
         term_len(ROLE_CLIENT, c->bits, from, client_count(c, count));
}

size_t multiply_chunk(bool square, unsigned bits) {
  enum { PADS = 1 << 22 };
  const size_t pads = square ? bits : 2 * (size_t)bits; /* words an element */
  return (size_t)1 << (log2_up(PADS / pads + 1) - 1);
}

struct work {
  struct course course;
  struct heap *heap; /* borrowed */
  uint64_t *memory;
  size_t memory_words, out_len, in_len;
  uint8_t *out, *in;
};

static size_t chunk_words(const struct course *c, size_t count) {
  return term_words(c->bits, server_count(c, count)) + term_words(c->bits, client_count(c, count)) +
         c->bits * plane_words(count) + plane_words(count) + row_of(count);
}

static fusion_status work_open(struct work *w, const struct party *p, size_t count) {
  const struct course *c = &w->course;
  w->memory_words = chunk_words(c, count);
  w->heap = p->heap;
  w->memory = heap_take(w->heap, w->memory_words, sizeof *w->memory);
  w->out_len = message_len(c, p->role, count);
  w->in_len = message_len(c, role_peer(p->role), count);
  w->out = heap_take(w->heap, w->out_len, 1);
  w->in = heap_take(w->heap, w->in_len, 1);
  return w->memory && w->out && w->in ? FUSION_OK : FUSION_E_MEMORY;
}

static void work_close(struct work *w) {
  heap_give(w->heap, w->memory, w->memory_words * sizeof *w->memory);
  heap_give(w->heap, w->out, w->out_len);
  heap_give(w->heap, w->in, w->in_len);
}

static fusion_status run_chunk(struct work *w, struct party *p, const uint64_t *x, const uint64_t *y, uint64_t *z,
                               size_t count) {
  fusion_status status = FUSION_OK;
  const struct course *c = &w->course;
  const size_t servers = server_count(c, count), clients = client_count(c, count);
  struct term terms[2] = {term_of(w->memory, ROLE_SERVER, c->bits, servers)};
  terms[1] = term_of(w->memory + term_words(c->bits, servers), ROLE_CLIENT, c->bits, clients);
  uint64_t *planes = w->memory + term_words(c->bits, servers) + term_words(c->bits, clients);
  uint64_t *spare = planes + c->bits * plane_words(count), *sum = spare + plane_words(count);
  const size_t start[2] = {0, c->square ? servers : 0};

  for (size_t e = 0; e < count; e++) sum[e] = x[e] * y[e];
  struct flight out = {.data = w->out, .len = message_len(c, p->role, count)};
  struct flight in = {.data = w->in, .len = message_len(c, role_peer(p->role), count)};
  /* A party receives in the one term of which it is not the sender, so one set of planes is enough. */
  for (unsigned i = 0; i < 2; i++) {
    if (terms[i].sender != p->role) {
      planes_from_values(planes, plane_words(terms[i].count), x + start[i], terms[i].count, c->bits);
    }
    TRY(term_put(&terms[i], p, y + start[i], planes, spare, &out));
  }
  TRY(flight_exchange(p, MSG_MULTIPLY, &out, &in));
  for (unsigned i = 0; i < 2; i++) {
    term_get(&terms[i], p->role, y + start[i], planes, c->shift, sum + start[i], &in);
  }
  for (size_t e = 0; e < count; e++) z[e] = sum[e];
cleanup:
  return status;
}

fusion_status multiply(struct party *p, const uint64_t *x, const uint64_t *y, uint64_t *z, size_t count,
                       unsigned bits) {
  if (bits < 1 || bits > 62) return FUSION_E_INTERNAL;
  if (!count) return FUSION_OK;
  fusion_status status = FUSION_OK;
  struct work w = {.course = course_of(x == y, bits)};
  const size_t chunk = multiply_chunk(x == y, bits);
  TRY(work_open(&w, p, size_min(count, chunk)));
  for (size_t done = 0; done < count; done += chunk) {
    TRY(run_chunk(&w, p, x + done, y + done, z + done, size_min(chunk, count - done)));
  }
  for (size_t e = 0; e < count; e++) z[e] &= low_mask(bits);
cleanup:
  work_close(&w);
  return status;
}

void multiply_cost(struct cost *cost, bool square, size_t count, unsigned bits) {
  const struct course c = course_of(square, bits);
  const size_t chunk = multiply_chunk(square, bits);
  for (size_t done = 0; done < count; done += chunk) {
    const size_t n = size_min(chunk, count - done);
    for (unsigned i = 0; i < c.bits; i++) cross_draw_cost(cost, ROLE_SERVER, server_count(&c, n));
    for (unsigned i = 0; i < c.bits; i++) cross_draw_cost(cost, ROLE_CLIENT, client_count(&c, n));
    flight_exchange_cost(cost, message_len(&c, ROLE_CLIENT, n), message_len(&c, ROLE_SERVER, n));
  }
}

size_t multiply_memory(bool square, size_t count, unsigned bits) {
  const struct course c = course_of(square, bits);
  const size_t n = size_min(count, multiply_chunk(square, bits));
  return chunk_words(&c, n) * sizeof(uint64_t) + message_len(&c, ROLE_SERVER, n) + message_len(&c, ROLE_CLIENT, n);
}
