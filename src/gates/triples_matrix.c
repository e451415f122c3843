#include "gates/triples_matrix.h"

#include "gates/gate_messages.h"
#include "gates/planes.h"
#include "gates/product_cot.h"

/* Numbers opened in one message; columns of a row multiplied at a time. */
enum { OPENED = 1 << 16, TILE = 2048 };

/* Everything one party holds; secret. */
struct work {
  struct layer_rows rows;
  struct layer_shape words; /* of B (*) A: weights as wide as the ring */
  size_t samples, inputs;   /* elements of x */
  uint64_t *masks;          /* A at the client, [inputs]; B at the server, by number of the weight */
  uint64_t *opened;         /* D and E; both parties have room for both, as either comes after the other's is used */
  uint64_t *shared;         /* of B (*) A, as y */
  uint64_t *sums, *row;     /* of the rest, [out_channels][columns]; [TILE] */
  uint8_t *message;
};

static struct layer_shape words_of(const struct layer_shape *shape) {
  struct layer_shape words = *shape;
  words.weight_bits = shape->ring_bits;
  return words;
}

static size_t mask_count(const struct work *w, enum role role) {
  return role == ROLE_CLIENT ? w->inputs : (size_t)w->rows.weights;
}
static size_t opened_count(const struct work *w) {
  return size_max(w->inputs, (size_t)w->rows.weights);
}
static size_t sum_count(const struct work *w) {
  return w->rows.shape->out_channels * w->rows.columns;
}
static size_t message_most(const struct work *w) {
  return bits_len(OPENED, w->rows.shape->ring_bits);
}

static struct work work_of(const struct layer_shape *shape, size_t samples) {
  return (struct work){.rows = layer_rows_of(shape, samples),
                       .words = words_of(shape),
                       .samples = samples,
                       .inputs = samples * shape->in_channels * shape->in_h * shape->in_w};
}

static fusion_status work_open(struct work *w, const struct party *p) {
  w->masks = heap_take(p->heap, mask_count(w, p->role), sizeof *w->masks);
  w->opened = heap_take(p->heap, opened_count(w), sizeof *w->opened);
  w->shared = heap_take(p->heap, sum_count(w), sizeof *w->shared);
  w->sums = heap_take(p->heap, sum_count(w), sizeof *w->sums);
  w->row = heap_take(p->heap, TILE, sizeof *w->row);
  w->message = heap_take(p->heap, message_most(w), 1);
  return w->masks && w->opened && w->shared && w->sums && w->row && w->message ? FUSION_OK : FUSION_E_MEMORY;
}

static void work_close(const struct work *w, const struct party *p) {
  heap_give(p->heap, w->masks, mask_count(w, p->role) * sizeof *w->masks);
  heap_give(p->heap, w->opened, opened_count(w) * sizeof *w->opened);
  heap_give(p->heap, w->shared, sum_count(w) * sizeof *w->shared);
  heap_give(p->heap, w->sums, sum_count(w) * sizeof *w->sums);
  heap_give(p->heap, w->row, TILE * sizeof *w->row);
  heap_give(p->heap, w->message, message_most(w));
}

static fusion_status send_opened(const struct work *w, struct party *p, size_t count) {
  fusion_status status = FUSION_OK;
  const unsigned bits = w->rows.shape->ring_bits;
  for (size_t done = 0; done < count; done += OPENED) {
    const size_t n = size_min(OPENED, count - done);
    struct flight out = {.data = w->message, .len = bits_len(n, bits)}, in = {0};
    flight_put_values(&out, w->opened + done, n, bits);
    TRY(flight_exchange(p, MSG_TRIPLE, &out, &in));
  }
cleanup:
  return status;
}

static fusion_status receive_opened(const struct work *w, struct party *p, size_t count) {
  fusion_status status = FUSION_OK;
  const unsigned bits = w->rows.shape->ring_bits;
  for (size_t done = 0; done < count; done += OPENED) {
    const size_t n = size_min(OPENED, count - done);
    struct flight out = {0}, in = {.data = w->message, .len = bits_len(n, bits)};
    TRY(flight_exchange(p, MSG_TRIPLE, &out, &in));
    flight_get_values(&in, w->opened + done, n, bits);
  }
cleanup:
  return status;
}

static void opened_cost(struct cost *cost, enum role from, size_t count, unsigned bits) {
  for (size_t done = 0; done < count; done += OPENED)
    cost_send(cost, from, bits_len(size_min(OPENED, count - done), bits));
}

/* sums += factors (*) x, factors by number: of the server its weights, else words. */
static void add_products(struct work *w, const struct layer_weights *weights, const uint64_t *words,
                         const uint64_t *x) {
  const struct layer_rows *l = &w->rows;
  for (size_t column = 0; column < l->columns; column += TILE) {
    const size_t n = size_min(TILE, l->columns - column);
    for (uint64_t t = 0; t < l->weights; t++) {
      const uint64_t factor = weights ? (uint64_t)weights->weights[layer_place(l, t)] : words[t];
      uint64_t *sum = w->sums + layer_channel(l, t) * l->columns + column;
      if (t % l->per_row == 0) layer_rows_read(l, x, layer_row(l, t), column, n, w->row);
      for (size_t i = 0; i < n; i++) sum[i] += factor * w->row[i];
    }
  }
}

/* y = the share of B (*) A, and of the rest in sums. */
static void finish(const struct work *w, const int64_t *bias, uint64_t *y) {
  layer_rows_store(&w->rows, w->sums, bias, y);
  for (size_t i = 0; i < sum_count(w); i++) y[i] = (y[i] + w->shared[i]) & low_mask(w->rows.shape->ring_bits);
}

static fusion_status run_server(struct work *w, struct party *p, const struct layer_weights *weights, const uint64_t *x,
                                uint64_t *y) {
  fusion_status status = FUSION_OK;
  const size_t count = (size_t)w->rows.weights;
  prg_ring(p->prg, w->masks, count, w->rows.shape->ring_bits);
  TRY(product_cot_words(p, &w->words, w->masks, w->shared, w->samples));
  TRY(receive_opened(w, p, w->inputs));
  for (size_t i = 0; x && i < w->inputs; i++) w->opened[i] += x[i];
  add_products(w, weights, NULL, w->opened);
  for (size_t t = 0; t < count; t++) w->opened[t] = (uint64_t)weights->weights[layer_place(&w->rows, t)] - w->masks[t];
  TRY(send_opened(w, p, count));
  finish(w, weights->bias, y);
cleanup:
  return status;
}

static fusion_status run_client(struct work *w, struct party *p, const uint64_t *x, uint64_t *y) {
  fusion_status status = FUSION_OK;
  prg_ring(p->prg, w->masks, w->inputs, w->rows.shape->ring_bits);
  TRY(product_cot_client(p, &w->words, w->masks, w->shared, w->samples));
  for (size_t i = 0; i < w->inputs; i++) w->opened[i] = x[i] - w->masks[i];
  TRY(send_opened(w, p, w->inputs));
  TRY(receive_opened(w, p, (size_t)w->rows.weights));
  add_products(w, NULL, w->opened, w->masks);
  finish(w, NULL, y);
cleanup:
  return status;
}

fusion_status triples_matrix(struct party *p, const struct layer_shape *shape, const struct layer_weights *weights,
                             const uint64_t *x, uint64_t *y, size_t samples) {
  if (!samples) return FUSION_OK;
  fusion_status status;
  struct work w = work_of(shape, samples);
  TRY(work_open(&w, p));
  TRY(weights ? run_server(&w, p, weights, x, y) : run_client(&w, p, x, y));
cleanup:
  work_close(&w, p);
  return status;
}

void triples_matrix_cost(struct cost *cost, const struct layer_shape *shape, size_t samples) {
  if (!samples) return;
  const struct work w = work_of(shape, samples);
  product_cot_cost(cost, &w.words, samples);
  opened_cost(cost, ROLE_CLIENT, w.inputs, shape->ring_bits);
  opened_cost(cost, ROLE_SERVER, (size_t)w.rows.weights, shape->ring_bits);
}

size_t triples_matrix_memory(const struct layer_shape *shape, enum role role, size_t samples) {
  const struct work w = work_of(shape, size_max(1, samples));
  const size_t words = mask_count(&w, role) + opened_count(&w) + 2 * sum_count(&w) + TILE;
  return words * sizeof(uint64_t) + message_most(&w) + product_cot_memory(&w.words, role, samples);
}
