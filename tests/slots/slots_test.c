/* Slot encryption itself: noise against its bound, hostile bytes, the public set of rotations. */
#include <math.h>
#include <stdio.h>

#include "slots/slots_layout.h"
#include "slots/slots_messages.h"
#include "support/support.h"

/* Both parties' ends in one thread: the client writes before the server reads. */
struct pair {
  struct channel *server_end, *client_end;
  struct slots *server, *client;
  struct prg *prg;
};

static void pair_open(struct pair *p) {
  *p = (struct pair){0};
  assert_ok(channel_pipe(&p->server_end, &p->client_end));
  assert_ok(prg_new_random(&p->prg));
  assert_ok(slots_open(&p->client, ROLE_CLIENT, p->client_end, p->prg));
  assert_ok(slots_open(&p->server, ROLE_SERVER, p->server_end, p->prg));
}

static void pair_close(struct pair *p) {
  slots_close(p->server);
  slots_close(p->client);
  prg_free(p->prg);
  channel_close(p->server_end);
  channel_close(p->client_end);
}

static void add_rotations(struct pair *p, const struct slots_elements *wanted) {
  assert_ok(slots_add_rotations(p->client, wanted));
  assert_ok(channel_flush(p->client_end));
  assert_ok(slots_add_rotations(p->server, wanted));
}

/* Largest |noise| / q of a ciphertext whose slots are right, log2: c0 + c1 s = q (m/t + noise/q + an integer). */
static double noise_of(const struct pair *p, const struct slots_plain *plain, const uint64_t *cipher,
                       const uint64_t *slots) {
  const struct slots *s = p->client;
  uint64_t *phase = mem_alloc(SLOTS_POLY, sizeof *phase), *m = mem_alloc(SLOTS_N, sizeof *m);
  assert_non_null(phase);
  assert_non_null(m);
  for (size_t k = 0; k < SLOTS_LIMBS; k++) {
    uint64_t *limb = phase + k * SLOTS_N;
    memcpy(limb, cipher + k * SLOTS_N, SLOTS_N * sizeof *limb);
    s->kernels->multiply_add(limb, cipher + SLOTS_POLY + k * SLOTS_N, s->key + k * SLOTS_N, SLOTS_N, &s->table[k].m);
    s->kernels->inverse(limb, &s->table[k]);
    for (size_t i = 0; i < SLOTS_N; i++) limb[i] = slots_multiply(limb[i], s->punctured[k], &s->table[k].m);
  }
  for (size_t i = 0; i < SLOTS_N; i++) m[plain->position[i]] = slots[i];
  s->kernels->inverse(m, &plain->table);
  uint64_t most = 0; /* times 2^-96 */
  for (size_t i = 0; i < SLOTS_N; i++) {
    slots_wide noise = 0 - slots_fraction_of(m[i], &plain->fraction);
    for (size_t k = 0; k < SLOTS_LIMBS; k++) noise += slots_fraction_of(phase[k * SLOTS_N + i], &s->fraction[k]);
    if (noise >> 127) noise = 0 - noise;
    assert_true(noise >> 96 == 0);
    if ((uint64_t)(noise >> 32) > most) most = (uint64_t)(noise >> 32);
  }
  mem_free(phase);
  mem_free(m);
  return log2_up(most + 1) - 96.0;
}

enum weights { WEIGHTS_RANDOM, WEIGHTS_LARGEST, WEIGHTS_ALTERNATE, WEIGHTS_COUNT };

static void fill_weights(uint64_t *slots, enum weights kind, unsigned bits, uint64_t t, uint64_t *random) {
  for (size_t i = 0; i < SLOTS_N; i++) {
    const int64_t most = -(INT64_C(1) << (bits - 1));
    const int64_t w = kind == WEIGHTS_RANDOM             ? ring_signed(test_random(random), bits)
                      : kind == WEIGHTS_LARGEST || i % 2 ? most
                                                         : -1 - most;
    slots[i] = slots_lift(w, t);
  }
}

static void rotate_slots(uint64_t *slots, size_t steps, bool swap) {
  uint64_t old[SLOTS_N];
  memcpy(old, slots, sizeof old);
  for (size_t i = 0; i < SLOTS_N; i++)
    slots[i] = old[(i / SLOTS_ROW ^ (swap ? 1u : 0u)) * SLOTS_ROW + (i % SLOTS_ROW + steps) % SLOTS_ROW];
}

/* A dense layer's course on one ciphertext: babies, products, giant steps, folds; the same on the slots. */
static double run_course(struct pair *p, const struct slots_layout *l, enum weights kind, uint64_t *random) {
  struct slots_plain *plain;
  assert_ok(slots_plain_open(&plain, l->plain_bits));
  const uint64_t t = plain->table.m.p;
  uint64_t *cipher = mem_alloc((size_t)3 * SLOTS_CIPHER + SLOTS_POLY + SLOTS_ROTATE_WORK, sizeof *cipher);
  uint64_t *x = mem_alloc((size_t)4 * SLOTS_N, sizeof *x);
  uint8_t *message = mem_alloc(slots_query_len() + 8, 1);
  assert_true(cipher && x && message);
  uint64_t *sum = cipher + SLOTS_CIPHER, *spare = sum + SLOTS_CIPHER, *plaintext = spare + SLOTS_CIPHER;
  uint64_t *work = plaintext + SLOTS_POLY, *y = x + SLOTS_N, *w = y + SLOTS_N, *turned = w + SLOTS_N;
  const uint32_t step = slots_rotation_element((int64_t)l->block);
  for (size_t i = 0; i < SLOTS_N; i++)
    x[i] = slots_lift(kind == WEIGHTS_RANDOM ? ring_signed(test_random(random), l->layer.ring_bits)
                                             : -(INT64_C(1) << (l->layer.ring_bits - 1)),
                      t);
  assert_ok(slots_send_query(p->client, plain, x, work, message));
  assert_ok(channel_flush(p->client_end));
  assert_ok(slots_receive_query(p->server, cipher, message));
  for (size_t d = 0; d < l->diagonals; d++) {
    if (d) slots_rotate(p->server, cipher, cipher, step, work);
    if (d) rotate_slots(x, l->block, false);
    fill_weights(w, kind, l->layer.weight_bits, t, random);
    slots_encode(p->server, plain, w, plaintext, work);
    slots_multiply_add(p->server, sum, plaintext, cipher);
    for (size_t i = 0; i < SLOTS_N; i++) y[i] = slots_add(y[i], slots_multiply(w[i], x[i], &plain->table.m), t);
  }
  for (size_t fold = l->period; fold <= l->blocks; fold *= 2) { /* the last one swaps */
    const bool swap = fold == l->blocks;
    const size_t steps = swap ? 0 : fold * l->block;
    slots_rotate(p->server, spare, sum, swap ? SLOTS_SWAP : slots_rotation_element((int64_t)steps), work);
    slots_add_cipher(p->server, sum, spare);
    memcpy(turned, y, SLOTS_N * sizeof *turned);
    rotate_slots(turned, steps, swap);
    for (size_t i = 0; i < SLOTS_N; i++) y[i] = slots_add(y[i], turned[i], t);
  }
  const double noise = noise_of(p, plain, sum, y);
  mem_free(cipher);
  mem_free(x);
  mem_free(message);
  slots_plain_close(plain);
  return noise;
}

/* log2 of the bound that the layout was chosen by: ten deviations and the margin. */
static double noise_bound(const struct slots_layout *l) {
  const double variance = (double)l->noise_variance / 36 * SLOTS_N;
  return log2(10.597 * 4) + log2(variance) / 2 + l->plain_bits - 1.0;
}

/* Of an answer before flooding: below the bound, which the flooding covers 2^40 times, whatever the weights. */
static void slots_noise__stays_below_its_bound(void **state) {
  (void)state;
  uint64_t random = test_seed();
  struct pair p;
  pair_open(&p);
  const struct {
    uint32_t in, out;
    uint8_t ring, weight;
  } cases[] = {{784, 128, 24, 6}, {128, 10, 22, 8}, {8192, 8, 18, 8}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const struct layer_shape layer = {
        cases[i].in, 1, 1, cases[i].out, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, cases[i].ring, cases[i].weight};
    struct slots_layout l;
    struct slots_elements wanted = {0};
    const char *why;
    assert_ok(slots_layout_make(&l, &layer, 1, &why));
    assert_true(l.folded && l.inputs == 1);
    l.babies = l.diagonals; /* all rotations before the products: the most noise */
    assert_true(slots_layout_elements(&l, &wanted));
    add_rotations(&p, &wanted);
    for (enum weights kind = WEIGHTS_RANDOM; kind < WEIGHTS_COUNT; kind++) {
      const double noise = run_course(&p, &l, kind, &random) + SLOTS_Q_BITS;
      if (noise > noise_bound(&l))
        fail_msg("layer %zu, weights %d: %.0f of %.1f bits", i, kind, noise, noise_bound(&l));
      assert_true(noise + l.plain_bits + SLOTS_FLOOD_SHIFT + SLOTS_FLOOD_BITS <= SLOTS_Q_BITS);
    }
    slots_layout_free(&l);
  }
  pair_close(&p);
}

/* Whatever the server sends, the client gets numbers below t. */
static void slots_answer__any_bytes_decrypt(void **state) {
  (void)state;
  uint64_t random = test_seed();
  struct pair p;
  struct slots_plain *plain;
  pair_open(&p);
  assert_ok(slots_plain_open(&plain, 30));
  const size_t len = slots_answer_len(30);
  uint8_t *message = mem_alloc(len + 8, 1);
  uint64_t *slots = mem_alloc((size_t)SLOTS_N + SLOTS_CLIENT_WORK, sizeof *slots);
  for (int kind = 0; kind < 3; kind++) {
    for (size_t i = 0; i < len; i++) message[i] = kind == 0 ? 0 : kind == 1 ? UINT8_MAX : (uint8_t)test_random(&random);
    assert_ok(channel_send(p.server_end, MSG_SLOTS_ANSWER, message, len));
    assert_ok(channel_flush(p.server_end));
    assert_ok(slots_receive_answer(p.client, plain, slots, slots + SLOTS_N, message));
    for (size_t i = 0; i < SLOTS_N; i++) assert_true(slots[i] < plain->table.m.p);
  }
  mem_free(message);
  mem_free(slots);
  slots_plain_close(plain);
  pair_close(&p);
}

/* Values that are not reduced would break the bounds of the kernels. */
static void slots_server__refuses_values_that_are_not_reduced(void **state) {
  (void)state;
  struct pair p;
  pair_open(&p);
  const size_t len = slots_query_len();
  uint8_t *message = mem_alloc(len + 8, 1);
  uint64_t *cipher = mem_alloc(SLOTS_CIPHER, sizeof *cipher);
  memset(message, 0xff, len);
  assert_ok(channel_send(p.client_end, MSG_SLOTS_QUERY, message, len));
  assert_ok(channel_flush(p.client_end));
  assert_int_equal(slots_receive_query(p.server, cipher, message), FUSION_E_PEER);
  assert_string_equal(channel_error(p.server_end)->text,
                      "'slot encryption': a value is not reduced; the peer is faulty");
  mem_free(message);
  mem_free(cipher);
  pair_close(&p);
}

static void slots_elements__are_few_and_distinct(void **state) {
  (void)state;
  struct slots_elements e = {0};
  assert_true(slots_elements_add(&e, 3));
  assert_true(slots_elements_add(&e, 3));
  assert_int_equal(e.count, 1);
  for (uint32_t i = 1; i < SLOTS_KEYS_MAX; i++) assert_true(slots_elements_add(&e, 3 + 2 * i));
  assert_false(slots_elements_add(&e, 3 + 2 * SLOTS_KEYS_MAX));
  assert_true(slots_elements_add(&e, 3));
  assert_int_equal(slots_rotation_element(SLOTS_ROW), 1);
  assert_int_equal(slots_rotation_element(-1), slots_rotation_element(SLOTS_ROW - 1));
}

static void slots_layout__says_what_no_packing_can_do(void **state) {
  (void)state;
  const struct {
    struct layer_shape layer;
    const char *why;
  } cases[] = {
      {{1, 1, 5000, 1, 1, 5000, 1, 1, 1, 1, 1, 0, 0, 1, 1, 20, 5}, "its image is wider than a row of slots"},
      {{1, 70, 70, 1, 5, 5, 1, 66, 66, 1, 1, 0, 0, 1, 1, 20, 5}, "its window is too large"},
      {{1, 3000, 64, 1, 2904, 64, 1, 33, 1, 1, 1, 0, 0, 3, 1, 20, 5}, "its window is too large"},
      {{100, 1, 1, 10, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 40, 12}, "its ring and weights are too wide"},
      {{100, 1, 1, 10, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 31, 9}, "its ring and weights are too wide"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct slots_layout l;
    const char *why = NULL;
    assert_int_equal(slots_layout_make(&l, &cases[i].layer, 1, &why), FUSION_E_PEER);
    if (!why || !strstr(why, cases[i].why)) fail_msg("case %zu: '%s'", i, why ? why : "");
  }
}

/* Both parties choose alike, whatever built them: what layers of real networks are laid out as. */
static void slots_layout__chooses_the_same_everywhere(void **state) {
  (void)state;
  static const struct {
    struct layer_shape layer;
    size_t samples;
    const char *choice;
  } cases[] = {
      {{784, 1, 1, 128, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 24, 6},
       1,
       "block 1 of 1, tiles 1, ciphers 1+1, period 512, diagonals 64 / 8, swaps 1"},
      {{784, 1, 1, 128, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 24, 6},
       128,
       "block 64 of 64, tiles 2, ciphers 7+1, period 64, diagonals 64 / 4, swaps 2"},
      {{128, 1, 1, 10, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 22, 8},
       868,
       "block 512 of 512, tiles 2, ciphers 8+1, period 8, diagonals 8 / 1, swaps 2"},
      {{16, 32, 32, 16, 32, 32, 1, 3, 3, 1, 1, 1, 1, 1, 1, 22, 7},
       1,
       "block 1024 of 1, tiles 1, ciphers 2+2, period 4, diagonals 4 / 1, swaps 2"},
      {{16, 32, 32, 32, 16, 16, 1, 3, 3, 2, 2, 1, 1, 1, 1, 22, 7},
       16,
       "block 1024 of 4, tiles 4, ciphers 8+4, period 4, diagonals 4 / 1, swaps 2"},
      {{3, 224, 224, 64, 111, 111, 1, 3, 3, 2, 2, 0, 0, 1, 1, 20, 8},
       1,
       "block 4096 of 1, tiles 4, ciphers 6+32, period 1, diagonals 1 / 1, swaps 2"},
      {{64, 13, 13, 256, 13, 13, 1, 1, 1, 1, 1, 0, 0, 1, 1, 21, 9},
       1,
       "block 256 of 1, tiles 1, ciphers 2+8, period 16, diagonals 16 / 16, swaps 2"},
      {{512, 13, 13, 1000, 13, 13, 1, 1, 1, 1, 1, 0, 0, 1, 1, 19, 9},
       1,
       "block 256 of 1, tiles 1, ciphers 16+32, period 16, diagonals 16 / 8, swaps 2"},
      {{32, 14, 14, 32, 14, 14, 32, 3, 3, 1, 1, 1, 1, 1, 1, 20, 6},
       4,
       "block 1024 of 4, tiles 1, ciphers 4+4, period 4, diagonals 4 / 1, swaps 2"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct slots_layout l;
    char text[128];
    const char *why = NULL;
    assert_ok(slots_layout_make(&l, &cases[i].layer, cases[i].samples, &why));
    snprintf(text, sizeof text,
             "block %zu of %zu, tiles %zu, ciphers %zu+%zu, period %zu, diagonals %zu / %zu, swaps %zu", l.block,
             l.together, l.tiles, l.inputs, l.outputs, l.period, l.diagonals, l.babies, l.swaps);
    if (strcmp(text, cases[i].choice) != 0) fail_msg("layer %zu: %s, expected %s", i, text, cases[i].choice);
    slots_layout_free(&l);
  }
}

/* Numbers beyond those of any network: prices and noise stop at their limit, and a layer is laid out or refused. */
static void slots_layout__huge_numbers_do_not_wrap(void **state) {
  (void)state;
  struct layer_shape layer = {1, 64, 64, 1, 64, 64, 1, 3, 3, 1, 1, 1, 1, 1, 1, 8, 2};
  struct slots_layout l;
  const char *why = NULL;
  layer.out_channels = UINT32_C(1) << 31;
  assert_ok(slots_layout_make(&l, &layer, (size_t)1 << 40, &why));
  assert_int_equal(slots_layout_work(&l).products, UINT64_MAX);
  slots_layout_free(&l);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(slots_noise__stays_below_its_bound),
      cmocka_unit_test(slots_answer__any_bytes_decrypt),
      cmocka_unit_test(slots_server__refuses_values_that_are_not_reduced),
      cmocka_unit_test(slots_elements__are_few_and_distinct),
      cmocka_unit_test(slots_layout__says_what_no_packing_can_do),
      cmocka_unit_test(slots_layout__chooses_the_same_everywhere),
      cmocka_unit_test(slots_layout__huge_numbers_do_not_wrap),
  };
  return cmocka_run_group_tests_name("slots", tests, NULL, NULL);
}
