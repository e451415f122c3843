#include "gates/triples.h"

#include "gates/gate_messages.h"
#include "gates/multiply.h"
#include "gates/planes.h"

/* One chunk's arrays at one party: triples and openings, borrowed by x and y while they are masked. Secret. */
struct work {
  bool square;
  unsigned bits;
  size_t count;        /* room */
  uint64_t *a, *b, *c; /* of a square b is a */
  uint64_t *d, *e;     /* opened; e of a square is not there */
  uint64_t *peer;      /* the peer's part of an opening */
  uint64_t *memory;
  uint8_t *out, *in;
};

enum { ARRAYS = 6 };

static unsigned openings(bool square) {
  return square ? 1 : 2;
}
static size_t message_len(bool square, unsigned bits, size_t count) {
  return openings(square) * bits_len(count, bits);
}

static void work_close(struct work *w, const struct party *p) {
  heap_give(p->heap, w->memory, ARRAYS * w->count * sizeof *w->memory);
  heap_give(p->heap, w->out, message_len(w->square, w->bits, w->count));
  heap_give(p->heap, w->in, message_len(w->square, w->bits, w->count));
}

static fusion_status work_open(struct work *w, const struct party *p, bool square, unsigned bits, size_t count) {
  *w = (struct work){.square = square, .bits = bits, .count = count};
  w->memory = heap_take(p->heap, ARRAYS * count, sizeof *w->memory);
  w->out = heap_take(p->heap, message_len(square, bits, count), 1);
  w->in = heap_take(p->heap, message_len(square, bits, count), 1);
  if (!w->memory || !w->out || !w->in) return FUSION_E_MEMORY;
  w->a = w->memory;
  w->b = square ? w->a : w->a + count;
  w->c = w->memory + 2 * count;
  w->d = w->memory + 3 * count;
  w->e = w->memory + 4 * count;
  w->peer = w->memory + 5 * count;
  return FUSION_OK;
}

/* Fresh triples: own shares of a and b are drawn, those of c come from the products of both parties'. */
static fusion_status make_triples(struct work *w, struct party *p, size_t count) {
  prg_ring(p->prg, w->a, count, w->bits);
  if (!w->square) prg_ring(p->prg, w->b, count, w->bits);
  return multiply(p, w->a, w->b, w->c, count, w->bits);
}

static void put_opening(const struct work *w, const uint64_t *x, const uint64_t *mask, uint64_t *own, size_t count,
                        struct flight *out) {
  for (size_t i = 0; i < count; i++) own[i] = x[i] - mask[i];
  flight_put_values(out, own, count, w->bits);
}

static void get_opening(const struct work *w, uint64_t *own, size_t count, struct flight *in) {
  flight_get_values(in, w->peer, count, w->bits);
  for (size_t i = 0; i < count; i++) own[i] += w->peer[i];
}

static fusion_status open_masked(struct work *w, struct party *p, const uint64_t *x, const uint64_t *y, size_t count) {
  fusion_status status = FUSION_OK;
  const size_t len = message_len(w->square, w->bits, count);
  struct flight out = {.data = w->out, .len = len}, in = {.data = w->in, .len = len};
  put_opening(w, x, w->a, w->d, count, &out);
  if (!w->square) put_opening(w, y, w->b, w->e, count, &out);
  TRY(flight_exchange(p, MSG_TRIPLE, &out, &in));
  get_opening(w, w->d, count, &in);
  if (!w->square) get_opening(w, w->e, count, &in);
cleanup:
  return status;
}

static fusion_status run_chunk(struct work *w, struct party *p, const uint64_t *x, const uint64_t *y, uint64_t *z,
                               size_t count) {
  fusion_status status = FUSION_OK;
  const uint64_t mask = low_mask(w->bits), server = p->role == ROLE_SERVER ? UINT64_MAX : 0;
  TRY(make_triples(w, p, count));
  TRY(open_masked(w, p, x, y, count));
  if (w->square) {
    for (size_t i = 0; i < count; i++) z[i] = (w->c[i] + 2 * w->d[i] * w->a[i] + (w->d[i] * w->d[i] & server)) & mask;
  } else {
    for (size_t i = 0; i < count; i++)
      z[i] = (w->c[i] + w->d[i] * w->b[i] + w->e[i] * w->a[i] + (w->d[i] * w->e[i] & server)) & mask;
  }
cleanup:
  return status;
}

fusion_status triples_multiply(struct party *p, const uint64_t *x, const uint64_t *y, uint64_t *z, size_t count,
                               unsigned bits) {
  if (bits < 1 || bits > 62) return FUSION_E_INTERNAL;
  if (!count) return FUSION_OK;
  fusion_status status = FUSION_OK;
  const bool square = x == y;
  const size_t chunk = multiply_chunk(square, bits);
  struct work w;
  TRY(work_open(&w, p, square, bits, size_min(count, chunk)));
  for (size_t done = 0; done < count; done += chunk)
    TRY(run_chunk(&w, p, x + done, y + done, z + done, size_min(chunk, count - done)));
cleanup:
  work_close(&w, p);
  return status;
}

static void chunk_cost(struct cost *cost, bool square, size_t count, unsigned bits) {
  const size_t len = message_len(square, bits, count);
  multiply_cost(cost, square, count, bits);
  flight_exchange_cost(cost, len, len);
}

void triples_multiply_cost(struct cost *cost, bool square, size_t count, unsigned bits) {
  const size_t chunk = multiply_chunk(square, bits);
  for (size_t done = 0; done < count; done += chunk) chunk_cost(cost, square, size_min(chunk, count - done), bits);
}

size_t triples_multiply_memory(bool square, size_t count, unsigned bits) {
  const size_t n = size_min(count, multiply_chunk(square, bits));
  return ARRAYS * n * sizeof(uint64_t) + 2 * message_len(square, bits, n) + multiply_memory(square, n, bits);
}

/* ---- linear layers: products are numbered weight by weight, a column each ---- */

struct layer_work {
  struct layer_rows rows;
  const struct layer_weights *w;
  const uint64_t *x;
  uint64_t *sums;           /* [out_channels][columns] */
  uint64_t *values, *taken; /* [chunk] each: the input's, the weight's share; then the products */
  size_t chunk;
};

/* Products first .. first + count - 1, whole stretches of one weight at a time: `count` values of w at `at`. */
struct stretch {
  uint64_t weight;
  size_t column, count;
};

static struct stretch stretch_at(const struct layer_rows *l, uint64_t product, size_t most) {
  const size_t column = (size_t)(product % l->columns);
  return (struct stretch){product / l->columns, column, size_min(l->columns - column, most)};
}

static void fill(const struct layer_work *w, uint64_t first, size_t count) {
  const struct layer_rows *l = &w->rows;
  for (size_t done = 0; done < count;) {
    const struct stretch s = stretch_at(l, first + done, count - done);
    const uint64_t weight = w->w ? (uint64_t)(int64_t)w->w->weights[layer_place(l, s.weight)] : 0;
    if (w->x) layer_rows_read(l, w->x, layer_row(l, s.weight), s.column, s.count, w->values + done);
    for (size_t i = 0; i < s.count; i++) w->taken[done + i] = weight;
    done += s.count;
  }
}

static void add(const struct layer_work *w, uint64_t first, size_t count) {
  const struct layer_rows *l = &w->rows;
  for (size_t done = 0; done < count;) {
    const struct stretch s = stretch_at(l, first + done, count - done);
    uint64_t *sum = w->sums + layer_channel(l, s.weight) * l->columns + s.column;
    for (size_t i = 0; i < s.count; i++) sum[i] += w->taken[done + i];
    done += s.count;
  }
}

static uint64_t product_count(const struct layer_rows *l) {
  return l->weights * l->columns;
}
static size_t chunk_at(const struct layer_rows *l, uint64_t first, size_t chunk) {
  const uint64_t left = product_count(l) - first;
  return left < chunk ? (size_t)left : chunk;
}

static fusion_status run_layer(struct layer_work *w, struct party *p, uint64_t *y) {
  fusion_status status = FUSION_OK;
  const struct layer_rows *l = &w->rows;
  const unsigned bits = l->shape->ring_bits;
  struct work triples;
  TRY(work_open(&triples, p, false, bits, chunk_at(l, 0, w->chunk)));
  for (uint64_t first = 0; first < product_count(l); first += w->chunk) {
    const size_t n = chunk_at(l, first, w->chunk);
    fill(w, first, n);
    TRY(run_chunk(&triples, p, w->values, w->taken, w->taken, n));
    add(w, first, n);
  }
  layer_rows_store(l, w->sums, w->w ? w->w->bias : NULL, y);
cleanup:
  work_close(&triples, p);
  return status;
}

fusion_status triples_layer(struct party *p, const struct layer_shape *shape, const struct layer_weights *w,
                            const uint64_t *x, uint64_t *y, size_t samples) {
  if (shape->ring_bits < 2 || shape->ring_bits > 62) return FUSION_E_INTERNAL;
  if (!samples) return FUSION_OK;
  fusion_status status = FUSION_OK;
  struct layer_work work = {.rows = layer_rows_of(shape, samples), .w = w, .x = x};
  work.chunk = multiply_chunk(false, shape->ring_bits);
  const size_t n = chunk_at(&work.rows, 0, work.chunk), sums = shape->out_channels * work.rows.columns;
  work.sums = heap_take(p->heap, sums, sizeof *work.sums);
  work.values = heap_take(p->heap, n, sizeof *work.values); /* zeros, and so they stay where x is NULL */
  work.taken = heap_take(p->heap, n, sizeof *work.taken);
  FAIL_IF(!work.sums || !work.values || !work.taken, FUSION_E_MEMORY);
  TRY(run_layer(&work, p, y));
cleanup:
  heap_give(p->heap, work.sums, sums * sizeof *work.sums);
  heap_give(p->heap, work.values, n * sizeof *work.values);
  heap_give(p->heap, work.taken, n * sizeof *work.taken);
  return status;
}

void triples_layer_cost(struct cost *cost, const struct layer_shape *shape, size_t samples) {
  if (!samples) return;
  const struct layer_rows l = layer_rows_of(shape, samples);
  const size_t chunk = multiply_chunk(false, shape->ring_bits);
  for (uint64_t first = 0; first < product_count(&l); first += chunk)
    chunk_cost(cost, false, chunk_at(&l, first, chunk), shape->ring_bits);
}

size_t triples_layer_memory(const struct layer_shape *shape, size_t samples) {
  const struct layer_rows l = layer_rows_of(shape, size_max(1, samples));
  const size_t n = chunk_at(&l, 0, multiply_chunk(false, shape->ring_bits));
  return (2 * n + shape->out_channels * l.columns) * sizeof(uint64_t) +
         triples_multiply_memory(false, n, shape->ring_bits);
}
