#include "gates/product_cot.h"

#include "base/secret.h"
#include "gates/gate_messages.h"
#include "gates/planes.h"
#include "gates/product_kernels.h"
#include "ot/softspoken_kernels.h"
#include "rand/tccr.h"

/* Columns (positions of samples) handled at a time; correlations hashed at a time; bytes of corrections a message. */
enum { TILE = 2048, HASHED = 4096, MESSAGE_LEN = 1 << 20 };

/* The public course of one call. */
struct course {
  struct layer_rows rows;
  uint64_t batch;     /* weights whose correlations are held at once */
  unsigned bits;      /* of a weight, that matter in the ring */
  size_t weight_bits; /* that the client sends for one weight and column */
  bool narrow;
};

static struct course course_of(const struct layer_shape *shape, size_t samples) {
  struct course c = {.rows = layer_rows_of(shape, samples), .narrow = shape->ring_bits <= 32};
  c.bits = shape->weight_bits < shape->ring_bits ? shape->weight_bits : shape->ring_bits;
  c.batch = PRODUCT_COT_BATCH / c.bits;
  c.weight_bits = product_cot_bits(shape);
  return c;
}

static size_t batch_at(const struct course *c, uint64_t first) {
  return (size_t)(c->rows.weights - first < c->batch ? c->rows.weights - first : c->batch);
}

/* Weights whose corrections for `columns` columns share a message. */
static size_t message_weights(const struct course *c, size_t columns) {
  return size_max(1, (size_t)8 * MESSAGE_LEN / (columns * c->weight_bits));
}
static size_t message_len(const struct course *c, size_t columns, size_t weights) {
  return div_up(columns * weights * c->weight_bits, 8);
}
/* No message is longer than MESSAGE_LEN, as one weight of a full tile is not. */
static size_t longest_message(const struct course *c) {
  const uint64_t most = c->rows.weights < c->batch ? c->rows.weights : c->batch;
  return size_min(MESSAGE_LEN, message_len(c, size_min(TILE, c->rows.columns), (size_t)most));
}

static size_t pad_len(const struct course *c) {
  return c->narrow ? sizeof(uint32_t) : sizeof(uint64_t);
}

/* Everything one party holds while it works; secret but for the course. */
struct work {
  const struct course *c;
  struct party *p;
  const uint64_t *x;             /* NULL: zeros */
  const struct layer_weights *w; /* the server's; NULL at the client */
  const uint64_t *words;         /* the server's in place of weights, by number; NULL: there are none */
  const struct product_kernels *kernels;
  const struct softspoken_kernels *stream; /* AES in counter mode under many keys */
  void *cipher;                            /* of the stream */
  struct leaf_key *key;                    /* of the vector at hand */
  uint64_t first_index;                    /* of the batch's correlations */
  block *seeds[2];                         /* [batch][bits] hashes: of K' and K' ^ Delta; of M' alone at the server */
  block *keys;                             /* [HASHED] */
  uint8_t *choices;                        /* the batch's message of corrected choices, a bit a correlation */
  uint64_t *sum;                           /* [out_channels][columns]: the share of the products */
  uint64_t *row, *correction;              /* [TILE] each: the input's row at hand; D */
  block *pads[2];                          /* streams of TILE pads */
  uint8_t *message;
  uint64_t row_at, tile_at; /* what `row` holds */
};

enum { PARTS = 11 };

/* One array of a party: where its pointer goes, and its length in bytes. */
struct part {
  void **at;
  size_t len;
};

static void parts_of(struct work *w, enum role role, struct part parts[PARTS]) {
  const struct course *c = w->c;
  const uint64_t most = c->rows.weights < c->batch ? c->rows.weights : c->batch;
  const size_t cots = (size_t)most * c->bits;
  const struct part all[PARTS] = {
      {(void **)&w->seeds[0], cots * sizeof(block)},
      {(void **)&w->seeds[1], role == ROLE_CLIENT ? cots * sizeof(block) : 0},
      {(void **)&w->keys, HASHED * sizeof(block)},
      {(void **)&w->choices, div_up(cots, 8)},
      {(void **)&w->sum, (size_t)c->rows.shape->out_channels * c->rows.columns * sizeof(uint64_t)},
      {(void **)&w->row, TILE * sizeof(uint64_t)},
      {(void **)&w->correction, TILE * sizeof(uint64_t)},
      {(void **)&w->pads[0], TILE * sizeof(uint64_t)},
      {(void **)&w->pads[1], role == ROLE_CLIENT ? TILE * sizeof(uint64_t) : 0},
      {(void **)&w->key, sizeof *w->key},
      {(void **)&w->message, longest_message(c) + BITS_SLACK},
  };
  memcpy(parts, all, sizeof all);
}

static fusion_status work_open(struct work *w) {
  struct part parts[PARTS];
  bool ok;
  parts_of(w, w->p->role, parts);
  w->kernels = product_kernels();
  w->stream = softspoken_kernels();
  w->cipher = w->stream->cipher_new(&ok);
  w->row_at = UINT64_MAX;
  for (size_t i = 0; i < PARTS; i++) {
    *parts[i].at = heap_take(w->p->heap, parts[i].len, 1);
    ok = ok && *parts[i].at;
  }
  return ok ? FUSION_OK : FUSION_E_MEMORY;
}

static void work_close(struct work *w) {
  struct part parts[PARTS];
  parts_of(w, w->p->role, parts);
  for (size_t i = 0; i < PARTS; i++) heap_give(w->p->heap, *parts[i].at, parts[i].len);
  if (w->stream) w->stream->cipher_free(w->cipher);
}

/* Server: weight t as a word. */
static uint64_t weight_at(const struct work *w, uint64_t t) {
  return w->words ? w->words[t] : (uint64_t)w->w->weights[layer_place(&w->c->rows, t)];
}

/* The row that weight t multiplies, in w->row. */
static void find_row(struct work *w, uint64_t t, size_t first, size_t count) {
  const uint64_t r = layer_row(&w->c->rows, t);
  if (!w->x || (r == w->row_at && first == w->tile_at)) return;
  layer_rows_read(&w->c->rows, w->x, r, first, count, w->row);
  w->row_at = r;
  w->tile_at = first;
}

/* ---- correlations of a batch ---- */

static void put_choice(uint8_t *choices, size_t i, uint64_t bit) {
  choices[i / 8] |= (uint8_t)(bit << (i % 8));
}
static uint64_t get_choice(const uint8_t *choices, size_t i) {
  return choices[i / 8] >> (i % 8) & 1;
}

/* The server's choices: bits of the weights from `first` on, under the correlations' own. */
static fusion_status choose(struct work *w, uint64_t first, size_t weights) {
  fusion_status status = FUSION_OK;
  const struct course *c = w->c;
  const size_t cots = weights * c->bits;
  const struct tccr hash = {cot_domain(w->p->cot, ROLE_CLIENT)};
  memset(w->choices, 0, div_up(cots, 8));
  for (size_t done = 0; done < cots; done += HASHED) {
    const size_t n = size_min(HASHED, cots - done);
    uint64_t index;
    TRY(cot_take_receiver(w->p->cot, w->keys, n, &index));
    if (!done) w->first_index = index;
    for (size_t i = 0; i < n; i++) {
      const uint64_t bits = weight_at(w, first + (done + i) / c->bits);
      put_choice(w->choices, done + i, (w->keys[i].lo ^ bits >> ((done + i) % c->bits)) & 1);
    }
    tccr_hash(&hash, w->seeds[0] + done, w->keys, n, block_make(0, 0), index);
  }
  secret_declassify(w->choices, div_up(cots, 8), "weight bits under the correlations' uniform choices");
  TRY(channel_send(w->p->channel, MSG_PRODUCT_CHOICE, w->choices, div_up(cots, 8)));
cleanup:
  return status;
}

/* The client's end: keys first, as they wait for nothing but their own messages, then what the server says. */
static fusion_status be_chosen(struct work *w, size_t weights) {
  fusion_status status = FUSION_OK;
  const size_t cots = weights * w->c->bits;
  const block delta = w->p->cot->delta;
  const struct tccr hash = {cot_domain(w->p->cot, ROLE_CLIENT)};
  block *keys = w->seeds[0];
  TRY(cot_take_sender(w->p->cot, keys, cots, &w->first_index));
  TRY(channel_recv(w->p->channel, MSG_PRODUCT_CHOICE, w->choices, div_up(cots, 8)));
  for (size_t i = 0; i < cots; i++)
    keys[i] = block_xor(keys[i], block_and_mask(delta, (uint64_t)0 - get_choice(w->choices, i)));
  tccr_hash(&hash, w->seeds[1], keys, cots, delta, w->first_index);
  tccr_hash(&hash, keys, keys, cots, block_make(0, 0), w->first_index);
cleanup:
  return status;
}

/* Pads of columns first .. first + count - 1 from correlation i's hash; `first` is a multiple of TILE. */
static const void *stretch(const struct work *w, unsigned which, size_t i, size_t first, size_t count) {
  const struct course *c = w->c;
  const size_t a_block = sizeof(block) / pad_len(c);
  const block *seed = &w->seeds[which][i];
  if (c->rows.columns <= a_block) return seed;
  w->stream->schedule(w->key, *seed);
  const size_t blocks = div_up(div_up(count, a_block), SOFTSPOKEN_GRANULE) * SOFTSPOKEN_GRANULE;
  w->stream->stream(w->pads[which], w->key, w->first_index + i, first / a_block, blocks, w->cipher);
  return w->pads[which];
}

/* ---- a message ---- */

/* Weights [from, from + count) of the batch that begins with weight `batch`, for the columns of a tile. */
struct piece {
  uint64_t batch;
  size_t from, weights, first, columns;
};

static struct product_bit bit_of(const struct course *c, unsigned k) {
  return (struct product_bit){.shift = k, .negative = k + 1u == c->rows.shape->weight_bits, .narrow = c->narrow};
}

static fusion_status send_piece(struct work *w, const struct piece *s) {
  const struct course *c = w->c;
  const size_t len = message_len(c, s->columns, s->weights);
  struct bit_writer out = {.out = w->message};
  for (size_t i = s->from; i < s->from + s->weights; i++) {
    uint64_t *sum = w->sum + layer_channel(&c->rows, s->batch + i) * c->rows.columns + s->first;
    find_row(w, s->batch + i, s->first, s->columns);
    for (unsigned k = 0; k < c->bits; k++) {
      const void *pad0 = stretch(w, 0, i * c->bits + k, s->first, s->columns);
      const void *pad1 = stretch(w, 1, i * c->bits + k, s->first, s->columns);
      w->kernels->send(w->correction, sum, pad0, pad1, w->row, bit_of(c, k), s->columns);
      bits_put_all(&out, w->correction, s->columns, c->rows.shape->ring_bits - k);
    }
  }
  bits_finish(&out);
  secret_declassify(w->message, len, "inputs under one-time pads of which the peer lacks one half");
  return channel_send(w->p->channel, MSG_PRODUCT, w->message, len);
}

static fusion_status receive_piece(struct work *w, const struct piece *s) {
  const struct course *c = w->c;
  struct bit_reader in = {.in = w->message};
  const fusion_status status =
      channel_recv(w->p->channel, MSG_PRODUCT, w->message, message_len(c, s->columns, s->weights));
  if (status != FUSION_OK) return status;
  for (size_t i = s->from; i < s->from + s->weights; i++) {
    const uint64_t weight = weight_at(w, s->batch + i);
    uint64_t *sum = w->sum + layer_channel(&c->rows, s->batch + i) * c->rows.columns + s->first;
    find_row(w, s->batch + i, s->first, s->columns);
    if (w->x) w->kernels->add(sum, w->row, (int16_t)weight, s->columns);
    for (unsigned k = 0; k < c->bits; k++) {
      const void *pad = stretch(w, 0, i * c->bits + k, s->first, s->columns);
      const uint64_t choice = (uint64_t)0 - (weight >> k & 1);
      bits_get_all(&in, w->correction, s->columns, c->rows.shape->ring_bits - k);
      w->kernels->receive(sum, pad, w->correction, choice, bit_of(c, k), s->columns);
    }
  }
  return FUSION_OK;
}

/* ---- the whole ---- */

static fusion_status run_batch(struct work *w, uint64_t first, size_t weights) {
  fusion_status status = FUSION_OK;
  const struct course *c = w->c;
  const bool client = w->p->role == ROLE_CLIENT;
  TRY(client ? be_chosen(w, weights) : choose(w, first, weights));
  for (size_t column = 0; column < c->rows.columns; column += TILE) {
    const size_t columns = size_min(TILE, c->rows.columns - column), most = message_weights(c, columns);
    for (size_t from = 0; from < weights; from += most) {
      const struct piece piece = {first, from, size_min(most, weights - from), column, columns};
      TRY(client ? send_piece(w, &piece) : receive_piece(w, &piece));
    }
  }
cleanup:
  return status;
}

static fusion_status run(struct work *w, uint64_t *y) {
  fusion_status status = FUSION_OK;
  TRY(work_open(w));
  for (uint64_t first = 0; first < w->c->rows.weights; first += w->c->batch)
    TRY(run_batch(w, first, batch_at(w->c, first)));
  layer_rows_store(&w->c->rows, w->sum, w->w ? w->w->bias : NULL, y);
cleanup:
  work_close(w);
  return status;
}

static bool valid(const struct layer_shape *s) {
  return s->ring_bits >= 2 && s->ring_bits <= 62 && s->weight_bits >= 2 && s->weight_bits <= 62;
}

fusion_status product_cot_server(struct party *p, const struct layer_shape *shape, const struct layer_weights *w,
                                 const uint64_t *x, uint64_t *y, size_t samples) {
  if (!valid(shape)) return FUSION_E_INTERNAL;
  if (!samples) return FUSION_OK;
  const struct course course = course_of(shape, samples);
  struct work work = {.c = &course, .p = p, .x = x, .w = w};
  return run(&work, y);
}

fusion_status product_cot_words(struct party *p, const struct layer_shape *shape, const uint64_t *words, uint64_t *y,
                                size_t samples) {
  if (!valid(shape) || shape->weight_bits < shape->ring_bits) return FUSION_E_INTERNAL;
  if (!samples) return FUSION_OK;
  const struct course course = course_of(shape, samples);
  struct work work = {.c = &course, .p = p, .words = words};
  return run(&work, y);
}

fusion_status product_cot_client(struct party *p, const struct layer_shape *shape, const uint64_t *x, uint64_t *y,
                                 size_t samples) {
  if (!valid(shape)) return FUSION_E_INTERNAL;
  if (!samples) return FUSION_OK;
  const struct course course = course_of(shape, samples);
  struct work work = {.c = &course, .p = p, .x = x};
  return run(&work, y);
}

static void batch_cost(struct cost *cost, const struct course *c, size_t weights) {
  const size_t cots = weights * c->bits;
  cost_take_cots(cost, ROLE_CLIENT, cots);
  cost_to_client(cost, div_up(cots, 8));
  for (size_t column = 0; column < c->rows.columns; column += TILE) {
    const size_t columns = size_min(TILE, c->rows.columns - column), most = message_weights(c, columns);
    for (size_t from = 0; from < weights; from += most)
      cost_to_server(cost, message_len(c, columns, size_min(most, weights - from)));
  }
}

void product_cot_cost(struct cost *cost, const struct layer_shape *shape, size_t samples) {
  if (!samples) return;
  const struct course c = course_of(shape, samples);
  for (uint64_t first = 0; first < c.rows.weights; first += c.batch) batch_cost(cost, &c, batch_at(&c, first));
}

size_t product_cot_memory(const struct layer_shape *shape, enum role role, size_t samples) {
  const struct course c = course_of(shape, size_max(1, samples));
  struct work w = {.c = &c};
  struct part parts[PARTS];
  size_t len = 0;
  parts_of(&w, role, parts);
  for (size_t i = 0; i < PARTS; i++) len += parts[i].len;
  return len;
}
