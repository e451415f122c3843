#include "slots/slots_linear.h"

#include "base/bits.h"

static size_t message_len(const struct slots_layout *l) {
  return size_max(slots_query_len(), slots_answer_len(l->plain_bits)) + BITS_SLACK;
}

/* --- the client --- */

struct client_layer {
  struct slots *s;
  const struct slots_layout *l;
  struct slots_plain *plain;
  const uint64_t *x;
  uint64_t *field, *slots, *work;
  uint8_t *message;
};

/* One channel of a tile into its block. */
static void put_channel(const struct client_layer *c, const struct slots_tile *t, size_t channel, uint64_t *to) {
  const struct slots_layout *l = c->l;
  const struct layer_shape *layer = &l->layer;
  const size_t phase = channel / layer->in_channels, plane = channel % layer->in_channels;
  const size_t py = l->y.phase[phase / l->x.phases], px = l->x.phase[phase % l->x.phases];
  const uint64_t p = c->plain->table.m.p;
  for (size_t s = 0; s < t->samples; s++) {
    const uint64_t *image =
        c->x + ((t->first_sample + s) * layer->in_channels + plane) * ((size_t)layer->in_h * layer->in_w);
    for (size_t row = 0; row < l->grid_h; row++) {
      uint64_t *out = to + (s * l->grid_h + row) * l->grid_w;
      const int64_t y = ((int64_t)(row + t->first_row) + l->first_row) * (int64_t)l->y.stride + (int64_t)py;
      if (y < 0 || y >= (int64_t)layer->in_h) continue;
      for (size_t column = 0, x = px; column < l->grid_w && x < layer->in_w; column++, x += l->x.stride)
        out[column] = slots_lift(ring_signed(image[(size_t)y * layer->in_w + x], layer->ring_bits), p);
    }
  }
}

static fusion_status send_tile(struct client_layer *c, size_t tile) {
  fusion_status status = FUSION_OK;
  const struct slots_layout *l = c->l;
  const struct slots_tile t = slots_tile_at(l, tile);
  for (size_t i = 0; i < l->inputs; i++) {
    memset(c->slots, 0, SLOTS_N * sizeof *c->slots);
    for (size_t place = 0; place < l->places; place++) {
      const size_t channel = slots_input_at(l, i, place / l->blocks, place % l->blocks);
      if (channel != SLOTS_NONE) put_channel(c, &t, channel, c->slots + place * l->block);
    }
    TRY(slots_send_query(c->s, c->plain, c->slots, c->work, c->message));
  }
cleanup:
  return status;
}

/* Where the outputs of a ciphertext are: moves them from slots to `field`. The same at both parties. */
static void take_outputs(const struct slots_layout *l, const struct slots_tile *t, size_t output, const uint64_t *slots,
                         uint64_t *field) {
  const struct layer_shape *layer = &l->layer;
  const size_t plane = (size_t)layer->out_h * layer->out_w, places = l->folded ? l->period : l->places;
  for (size_t place = 0; place < places; place++) {
    const size_t channel = slots_output_at(l, output, place / l->blocks, place % l->blocks);
    if (channel == SLOTS_NONE) continue;
    for (size_t s = 0; s < t->samples; s++) {
      uint64_t *image = field + ((t->first_sample + s) * layer->out_channels + channel) * plane;
      for (size_t row = 0; row < t->rows; row++)
        memcpy(image + (t->first_row + row) * layer->out_w,
               slots + place * l->block + (s * l->grid_h + row) * l->grid_w, layer->out_w * sizeof *image);
    }
  }
}

static fusion_status client_pass(struct client_layer *c, size_t first, size_t end) {
  fusion_status status = FUSION_OK;
  for (size_t tile = first; tile < end; tile++) TRY(send_tile(c, tile));
  TRY(channel_flush(c->s->channel));
  for (size_t o = 0; o < c->l->outputs; o++) {
    for (size_t tile = first; tile < end; tile++) {
      const struct slots_tile t = slots_tile_at(c->l, tile);
      TRY(slots_receive_answer(c->s, c->plain, c->slots, c->work, c->message));
      take_outputs(c->l, &t, o, c->slots, c->field);
    }
  }
cleanup:
  return status;
}

fusion_status slots_linear_client(struct slots *s, const struct slots_layout *l, const uint64_t *x, uint64_t *field) {
  fusion_status status = FUSION_OK;
  struct client_layer c = {.s = s, .l = l, .x = x, .field = field};
  struct slots_elements wanted = {0};
  FAIL_IF(!slots_layout_elements(l, &wanted), FUSION_E_INTERNAL);
  TRY(slots_add_rotations(s, &wanted));
  TRY(slots_plain_open(&c.plain, l->plain_bits));
  c.slots = mem_alloc(SLOTS_N + SLOTS_CLIENT_WORK, sizeof *c.slots);
  c.message = mem_alloc(message_len(l), 1);
  FAIL_IF(!c.slots || !c.message, FUSION_E_MEMORY);
  c.work = c.slots + SLOTS_N;
  const size_t pass = slots_layout_pass(l);
  for (size_t tile = 0; tile < l->tiles; tile += pass) TRY(client_pass(&c, tile, size_min(tile + pass, l->tiles)));
cleanup:
  mem_free_secret(c.slots, (SLOTS_N + SLOTS_CLIENT_WORK) * sizeof *c.slots);
  mem_free(c.message);
  slots_plain_close(c.plain);
  return status;
}

/* --- the server --- */

struct server_layer {
  struct slots *s;
  const struct slots_layout *l;
  struct slots_plain *plain;
  const int16_t *weights;
  uint64_t *field;
  uint64_t *rotated;                  /* [tiles of a pass][inputs][offsets of y][of x][babies] ciphertexts */
  uint64_t *sum, *other;              /* [tiles of a pass] ciphertexts; of the swapped rows */
  uint64_t *slots, *plaintext, *work; /* secret: weights, masks */
  uint8_t *message;
};

/* A product's place in the layer's sums. */
struct slots_term {
  size_t output, swap, giant, input, baby, iy, ix;
};

static_assert((int)SLOTS_ROTATE_WORK >= (int)SLOTS_ANSWER_WORK, "one area serves both");

static size_t server_words(const struct slots_layout *l) {
  const size_t pass = slots_layout_pass(l);
  return pass * (slots_rotated_words(l) + 2 * (size_t)SLOTS_CIPHER) + SLOTS_N + SLOTS_POLY + SLOTS_ROTATE_WORK;
}

/* The weight's index where input channel and output channel meet through a tap; SLOTS_NONE: they do not. */
static size_t weight_at(const struct slots_layout *l, const struct slots_term *t, size_t channel, size_t out) {
  const struct layer_shape *layer = &l->layer;
  const size_t group_in = layer->in_channels / layer->groups, group_out = layer->out_channels / layer->groups;
  const size_t phase = channel / layer->in_channels, in = channel % layer->in_channels;
  const uint32_t ky = l->y.tap[phase / l->x.phases * l->y.offsets + t->iy];
  const uint32_t kx = l->x.tap[phase % l->x.phases * l->x.offsets + t->ix];
  if (in / group_in != out / group_out || ky == UINT32_MAX || kx == UINT32_MAX) return SLOTS_NONE;
  return ((out * group_in + in % group_in) * layer->kernel_h + ky) * layer->kernel_w + kx;
}

static void fill_block(const struct slots_layout *l, const struct slots_term *t, size_t channel, uint64_t w,
                       uint64_t *to) {
  const size_t phase = channel / l->layer.in_channels;
  const struct slots_span rows = slots_rows_of(l, phase / l->x.phases, t->iy);
  const struct slots_span columns = slots_columns_of(l, phase % l->x.phases, t->ix);
  for (size_t s = 0; s < l->together; s++)
    for (size_t row = rows.first; row < rows.end; row++)
      for (size_t column = columns.first; column < columns.end; column++)
        to[(s * l->grid_h + row) * l->grid_w + column] = w;
}

/* A term's plaintext: at each place of the rotated input the weight between its channel and the output that the sum's
 * rotation brings there. False where no channels meet. */
static bool fill_term(const struct server_layer *c, const struct slots_term *t) {
  const struct slots_layout *l = c->l;
  bool any = false;
  memset(c->slots, 0, SLOTS_N * sizeof *c->slots);
  for (size_t place = 0; place < l->places; place++) {
    const size_t row = place / l->blocks, column = place % l->blocks, giant = t->giant * l->babies;
    const size_t channel = slots_input_at(l, t->input, row, (column + t->baby) % l->blocks);
    const size_t out = slots_output_at(l, t->output, row ^ t->swap, (column + l->blocks - giant) % l->blocks);
    if (channel == SLOTS_NONE || out == SLOTS_NONE) continue;
    const size_t at = weight_at(l, t, channel, out);
    if (at == SLOTS_NONE) continue;
    any = true;
    fill_block(l, t, channel, slots_lift(c->weights[at], c->plain->table.m.p), c->slots + place * l->block);
  }
  return any;
}

static uint64_t *rotated_at(const struct server_layer *c, size_t tile, size_t input, size_t iy, size_t ix,
                            size_t baby) {
  const struct slots_layout *l = c->l;
  const size_t index = (((tile * l->inputs + input) * l->y.offsets + iy) * l->x.offsets + ix) * l->babies + baby;
  return c->rotated + index * SLOTS_CIPHER;
}

static void rotate(const struct server_layer *c, uint64_t *out, const uint64_t *in, int64_t steps) {
  const uint32_t element = slots_rotation_element(steps);
  if (element != 1)
    slots_rotate(c->s, out, in, element, c->work);
  else if (out != in)
    memcpy(out, in, SLOTS_CIPHER * sizeof *out);
}

/* All rotations of an input that products need, each from its neighbour. */
static void rotate_input(const struct server_layer *c, size_t tile, size_t input) {
  const struct slots_layout *l = c->l;
  uint64_t *raw = rotated_at(c, tile, input, 0, 0, 0);
  rotate(c, raw, raw, slots_offset_steps(l, 0, 0));
  for (size_t iy = 0; iy < l->y.offsets; iy++) {
    for (size_t ix = 0; ix < l->x.offsets; ix++) {
      const uint64_t *from =
          ix ? rotated_at(c, tile, input, iy, ix - 1, 0) : rotated_at(c, tile, input, iy ? iy - 1 : 0, 0, 0);
      if (iy || ix) rotate(c, rotated_at(c, tile, input, iy, ix, 0), from, slots_offset_steps(l, iy, ix));
      for (size_t b = 1; b < l->babies; b++)
        rotate(c, rotated_at(c, tile, input, iy, ix, b), rotated_at(c, tile, input, iy, ix, b - 1), (int64_t)l->block);
    }
  }
}

/* sum[tiles] += all terms of an output, swap and giant step. */
static void add_terms(const struct server_layer *c, struct slots_term t, size_t tiles) {
  const struct slots_layout *l = c->l;
  for (t.input = 0; t.input < l->inputs; t.input++)
    for (t.iy = 0; t.iy < l->y.offsets; t.iy++)
      for (t.ix = 0; t.ix < l->x.offsets; t.ix++)
        for (t.baby = 0; t.baby < l->babies; t.baby++) {
          if (!fill_term(c, &t)) continue;
          slots_encode(c->s, c->plain, c->slots, c->plaintext, c->work);
          for (size_t tile = 0; tile < tiles; tile++)
            slots_multiply_add(c->s, c->sum + tile * SLOTS_CIPHER, c->plaintext,
                               rotated_at(c, tile, t.input, t.iy, t.ix, t.baby));
        }
}

/* sum[tiles] = the output's sums, of one pair of rows: giant steps from the last, each turned by one more. */
static void add_giants(const struct server_layer *c, size_t output, size_t swap, size_t tiles) {
  const struct slots_layout *l = c->l;
  const int64_t steps = (int64_t)(l->babies * l->block);
  memset(c->sum, 0, tiles * SLOTS_CIPHER * sizeof *c->sum);
  for (size_t giant = l->diagonals / l->babies; giant-- > 0;) {
    const bool last = giant + 1 == l->diagonals / l->babies;
    for (size_t tile = 0; tile < tiles && !last; tile++)
      rotate(c, c->sum + tile * SLOTS_CIPHER, c->sum + tile * SLOTS_CIPHER, steps);
    add_terms(c, (struct slots_term){.output = output, .swap = swap, .giant = giant}, tiles);
  }
}

/* Adds the parts of all periods, and those of both rows. */
static void fold(const struct server_layer *c, uint64_t *sum, uint64_t *spare) {
  const struct slots_layout *l = c->l;
  for (size_t step = l->period; step < l->blocks; step *= 2) {
    rotate(c, spare, sum, (int64_t)(step * l->block));
    slots_add_cipher(c->s, sum, spare);
  }
  slots_rotate(c->s, spare, sum, SLOTS_SWAP, c->work);
  slots_add_cipher(c->s, sum, spare);
}

static void sum_output(const struct server_layer *c, size_t output, size_t tiles) {
  const struct slots_layout *l = c->l;
  if (l->swaps == 2) {
    add_giants(c, output, 1, tiles);
    for (size_t tile = 0; tile < tiles; tile++)
      slots_rotate(c->s, c->other + tile * SLOTS_CIPHER, c->sum + tile * SLOTS_CIPHER, SLOTS_SWAP, c->work);
  }
  add_giants(c, output, 0, tiles);
  for (size_t tile = 0; tile < tiles; tile++) {
    uint64_t *sum = c->sum + tile * SLOTS_CIPHER, *other = c->other + tile * SLOTS_CIPHER;
    if (l->swaps == 2) slots_add_cipher(c->s, sum, other);
    if (l->folded) fold(c, sum, other);
  }
}

static fusion_status server_pass(struct server_layer *c, size_t first, size_t end) {
  fusion_status status = FUSION_OK;
  const struct slots_layout *l = c->l;
  for (size_t tile = 0; tile < end - first; tile++)
    for (size_t i = 0; i < l->inputs; i++) {
      TRY(slots_receive_query(c->s, rotated_at(c, tile, i, 0, 0, 0), c->message));
      rotate_input(c, tile, i);
    }
  for (size_t o = 0; o < l->outputs; o++) {
    sum_output(c, o, end - first);
    for (size_t tile = first; tile < end; tile++) {
      const struct slots_tile t = slots_tile_at(l, tile);
      TRY(slots_send_answer(c->s, c->plain, c->sum + (tile - first) * SLOTS_CIPHER, c->slots, c->work, c->message));
      take_outputs(l, &t, o, c->slots, c->field);
    }
  }
  TRY(channel_flush(c->s->channel));
cleanup:
  return status;
}

fusion_status slots_linear_server(struct slots *s, const struct slots_layout *l, const int16_t *weights,
                                  uint64_t *field) {
  fusion_status status = FUSION_OK;
  struct server_layer c = {.s = s, .l = l, .weights = weights, .field = field};
  struct slots_elements wanted = {0};
  const size_t pass = slots_layout_pass(l), words = server_words(l);
  FAIL_IF(!slots_layout_elements(l, &wanted), FUSION_E_INTERNAL);
  TRY(slots_add_rotations(s, &wanted));
  TRY(slots_plain_open(&c.plain, l->plain_bits));
  c.rotated = mem_alloc(words, sizeof *c.rotated);
  c.message = mem_alloc(message_len(l), 1);
  FAIL_IF(!c.rotated || !c.message, FUSION_E_MEMORY);
  c.sum = c.rotated + pass * slots_rotated_words(l);
  c.other = c.sum + pass * SLOTS_CIPHER;
  c.slots = c.other + pass * SLOTS_CIPHER;
  c.plaintext = c.slots + SLOTS_N;
  c.work = c.plaintext + SLOTS_POLY;
  for (size_t tile = 0; tile < l->tiles; tile += pass) TRY(server_pass(&c, tile, size_min(tile + pass, l->tiles)));
  const uint64_t t = c.plain->table.m.p;
  const size_t count = l->samples * l->layer.out_channels * ((size_t)l->layer.out_h * l->layer.out_w);
  for (size_t i = 0; i < count; i++) field[i] = slots_add(field[i], l->offset, t);
cleanup:
  mem_free_secret(c.rotated, words * sizeof *c.rotated);
  mem_free(c.message);
  slots_plain_close(c.plain);
  return status;
}

void slots_linear_cost(struct cost *cost, const struct slots_layout *l, struct slots_elements *have) {
  struct slots_elements wanted = {0};
  const size_t pass = slots_layout_pass(l);
  if (!slots_layout_elements(l, &wanted)) return;
  slots_add_rotations_cost(cost, have, &wanted);
  for (size_t tile = 0; tile < l->tiles; tile += pass) {
    const size_t tiles = size_min(pass, l->tiles - tile);
    for (size_t i = 0; i < tiles * l->inputs; i++) cost_to_server(cost, slots_query_len());
    for (size_t i = 0; i < tiles * l->outputs; i++) cost_to_client(cost, slots_answer_len(l->plain_bits));
  }
}

size_t slots_linear_memory(const struct slots_layout *l, enum role role) {
  const size_t tables = sizeof(struct slots_plain) + (size_t)8 * SLOTS_N * sizeof(uint64_t) + message_len(l);
  const size_t words = role == ROLE_CLIENT ? SLOTS_N + SLOTS_CLIENT_WORK : server_words(l);
  return tables + words * sizeof(uint64_t);
}
