/** The server's half of a product of matrices: its words times the client's encrypted data, interleaved, re-randomised
 *  and masked.
 *
 *  What the client sees of the server's share: as in linear_server.c, c1 plus the c1 of a fresh encryption of zero
 * under its own public key, and the top bits of those coefficients of c0 that hold a result, less a mask uniform in
 *  Z_{2^(ring + guard)}. Exactness: as there, each term gives 2^guard * y + eps with eps in {-1, 0}. */
#include "base/bits.h"
#include "base/secret.h"
#include "lattice/galois.h"
#include "lattice/lattice_messages.h"
#include "lattice/matrix_layout.h"
#include "lattice/rlwe_cipher.h"
#include "lattice/workspace.h"

enum { WIDE = 3 /* primes of a query */ };

struct server_work {
  struct rlwe *r;
  const struct matrix_layout *l;
  const uint64_t *a, *b;
  uint64_t *y;
  uint32_t word_factor[WIDE]; /* 2^-levels in Montgomery form, and once more for the product's */
  size_t from, slot;          /* first group of the chunk; units that wait in `pending` */
  size_t unit;                /* number of the next one */
  bool waits[MATRIX_LEVELS_MAX + 1];
  /* In the session's workspace: */
  size_t secret_len;                                   /* secrets come first, and are wiped at the end */
  uint32_t *word;                                      /* [WIDE][n]: a row's words */
  uint32_t *product[2];                                /* [WIDE][n]: a unit, modulo all primes */
  uint32_t *work;                                      /* [2][n] */
  struct galois_cipher pending[MATRIX_LEVELS_MAX + 1]; /* of 2^k units, one half of a merge */
  struct galois_cipher fresh;
  struct galois_room room;
  int32_t *small;     /* [2][n] */
  uint64_t *fraction; /* [n] */
  uint64_t *mask;     /* [n] */
  uint64_t *masked;   /* [n] */
  uint64_t *parts[2]; /* [n]: coefficients of a query, low and high */
  uint32_t *data[2];  /* [pieces][WIDE][n]: c0, c1 of the tile at hand, transformed */
  uint8_t *query, *answer;
};

static void take_cipher(struct workspace *w, struct galois_cipher *c, size_t n) {
  for (size_t half = 0; half < 2; half++) c->c[half] = workspace_take(w, GALOIS_LIMBS * n, sizeof(uint32_t));
}

static void server_place(struct server_work *t, struct workspace *w) {
  const struct matrix_layout *l = t->l;
  const size_t n = l->n;
  t->word = workspace_take(w, WIDE * n, sizeof *t->word);
  for (size_t half = 0; half < 2; half++) t->product[half] = workspace_take(w, WIDE * n, sizeof *t->product[half]);
  t->work = workspace_take(w, 2 * n, sizeof *t->work);
  for (size_t k = 0; k <= l->layer.levels; k++) take_cipher(w, &t->pending[k], n);
  take_cipher(w, &t->fresh, n);
  t->room.turned = workspace_take(w, 2 * GALOIS_LIMBS * n, sizeof *t->room.turned);
  t->room.sums = workspace_take(w, 2 * GALOIS_KEY_LIMBS * n, sizeof *t->room.sums);
  t->room.work = workspace_take(w, 2 * n, sizeof *t->room.work);
  t->room.digit = workspace_take(w, n, sizeof *t->room.digit);
  t->small = workspace_take(w, 2 * n, sizeof *t->small);
  t->fraction = workspace_take(w, n, sizeof *t->fraction);
  t->mask = workspace_take(w, n, sizeof *t->mask);
  t->masked = workspace_take(w, n, sizeof *t->masked);
  t->secret_len = w->used;
  t->room.over_last = workspace_take(w, GALOIS_LIMBS * n, sizeof *t->room.over_last);
  for (size_t half = 0; half < 2; half++) {
    t->parts[half] = workspace_take(w, n, sizeof *t->parts[half]);
    t->data[half] = workspace_take(w, l->pieces * WIDE * n, sizeof *t->data[half]);
  }
  t->query = workspace_take(w, matrix_query_len(l) + BITS_SLACK, 1);
  t->answer = workspace_take(w, matrix_answer_len(l, n) + BITS_SLACK, 1);
}

size_t matrix_server_workspace(const struct matrix_layout *l) {
  struct server_work t = {.l = l};
  struct workspace w = {0};
  server_place(&t, &w);
  return w.used;
}

/* ---- a tile of the client's data ---- */

/* One polynomial. Any bytes make valid residues: a value is read as an integer, its dropped bits replaced by their
 * middle. Coefficients that are not sent are zero: what they would add lies where no result does. */
static void take_piece(struct server_work *t, struct bit_reader *b, size_t columns, size_t piece) {
  const struct matrix_layout *l = t->l;
  const struct lattice_kernels *kernels = t->r->kernels;
  const size_t n = l->n, len = matrix_piece(l, piece);
  const unsigned low = l->query_bits / 2;
  const unsigned __int128 middle = l->dropped ? (unsigned __int128)1 << (l->dropped - 1) : 0;
  for (size_t half = 0; half < 2; half++) memset(t->parts[half], 0, n * sizeof *t->parts[half]);
  for (size_t c = 0; c < columns; c++)
    for (size_t j = 0; j < len; j++) {
      unsigned __int128 v = bits_get_word(b, low);
      v |= (unsigned __int128)bits_get_word(b, l->query_bits - low) << low;
      v = (v << l->dropped) + middle; /* below 2^79 */
      t->parts[0][c * l->stride + j] = (uint64_t)v & low_mask(40);
      t->parts[1][c * l->stride + j] = (uint64_t)(v >> 40);
    }
  for (size_t k = 0; k < WIDE; k++) {
    uint32_t *c0 = t->data[0] + (piece * WIDE + k) * n;
    kernels->centre_wide(t->room.digit, t->parts[0], t->parts[1], n, &t->r->moduli[k]);
    rlwe_lift(t->r, c0, t->room.digit, l->wide->ring, k);
  }
}

static void take_tile(struct server_work *t, struct bit_reader *b, struct prg *stream, unsigned term, size_t tile) {
  const struct matrix_layout *l = t->l;
  for (size_t piece = 0; piece < l->pieces; piece++) {
    rlwe_expand_uniform(t->r, l->wide, stream, t->data[1] + piece * WIDE * l->n);
    take_piece(t, b, matrix_columns(l, term, tile), piece);
  }
}

/* ---- a unit ---- */

static uint64_t word_at(const struct server_work *t, const struct matrix_unit *u, size_t j) {
  return u->term ? matrix_right(t->l, t->b, u->group, j, u->row) : matrix_left(t->l, t->a, u->group, u->row, j);
}

/* The words of a piece of a row, over 2^levels, transformed. */
static void lay_words(struct server_work *t, const struct matrix_unit *u, size_t piece) {
  const struct matrix_layout *l = t->l;
  const size_t n = l->n, len = matrix_piece(l, piece);
  memset(t->word, 0, WIDE * n * sizeof *t->word);
  for (size_t j = 0; j < len; j++) {
    const int64_t v = ring_signed(word_at(t, u, piece * l->stride + j), l->layer.ring_bits);
    for (size_t k = 0; k < WIDE; k++) {
      const struct modulus *m = &t->r->moduli[k];
      const uint32_t x = mod_multiply_montgomery(mod_reduce_signed(v, m), t->word_factor[k], m);
      t->word[k * n + (j ? n - j : 0)] = j ? mod_subtract_once(m->p - x, m->p) : x;
    }
  }
  for (size_t k = 0; k < WIDE; k++) t->r->kernels->ntt_forward(t->word + k * n, &t->r->ntt[l->wide->ring][k]);
}

/* The unit's ciphertext, modulo the primes of an answer, in t->fresh. */
static void multiply_unit(struct server_work *t, const struct matrix_unit *u) {
  const struct matrix_layout *l = t->l;
  const struct lattice_kernels *kernels = t->r->kernels;
  const size_t n = l->n;
  for (size_t half = 0; half < 2; half++) memset(t->product[half], 0, WIDE * n * sizeof *t->product[half]);
  for (size_t piece = 0; piece < l->pieces; piece++) {
    lay_words(t, u, piece);
    for (size_t half = 0; half < 2; half++)
      for (size_t k = 0; k < WIDE; k++) {
        const struct modulus *m = &t->r->moduli[k];
        uint32_t *sum = t->product[half] + k * n;
        kernels->multiply(t->work, t->data[half] + (piece * WIDE + k) * n, t->word + k * n, n, m);
        kernels->add(sum, sum, t->work, n, m);
      }
  }
  for (size_t half = 0; half < 2; half++) {
    for (size_t k = 0; k < WIDE; k++) kernels->ntt_inverse(t->product[half] + k * n, &t->r->ntt[l->wide->ring][k]);
    galois_over_last(t->r, t->product[half], &t->room);
    memcpy(t->fresh.c[half], t->product[half], GALOIS_LIMBS * n * sizeof(uint32_t));
  }
}

/* ---- an answer ---- */

static void swap_ciphers(struct galois_cipher *a, struct galois_cipher *b) {
  const struct galois_cipher kept = *a;
  *a = *b;
  *b = kept;
}

/* The unit in t->fresh joins those that wait, as a carry ripples through a counter. */
static void push_unit(struct server_work *t) {
  const unsigned levels = t->l->layer.levels;
  unsigned k = 0;
  for (; k < levels && t->waits[k]; k++) {
    galois_merge(t->r, levels - k, &t->pending[k], &t->fresh, &t->room);
    swap_ciphers(&t->pending[k], &t->fresh);
    t->waits[k] = false;
  }
  swap_ciphers(&t->pending[k], &t->fresh);
  t->waits[k] = true;
  t->slot++;
}

/* All that waits in one ciphertext, t->pending[levels]. */
static void finish_units(struct server_work *t) {
  const unsigned levels = t->l->layer.levels;
  bool carried = false; /* in t->fresh */
  for (unsigned k = 0; k < levels; k++) {
    if (!t->waits[k] && !carried) continue;
    if (t->waits[k]) {
      galois_merge(t->r, levels - k, &t->pending[k], carried ? &t->fresh : NULL, &t->room);
      swap_ciphers(&t->pending[k], &t->fresh);
      t->waits[k] = false;
    } else {
      galois_merge(t->r, levels - k, &t->fresh, NULL, &t->room);
    }
    carried = true;
  }
  if (carried) swap_ciphers(&t->pending[levels], &t->fresh);
  t->waits[levels] = false;
}

/* Adds an encryption of zero, and keeps the top `bits` bits of so many coefficients in t->fraction. */
static void round_half(struct server_work *t, size_t half, unsigned bits) {
  const struct matrix_layout *l = t->l;
  const struct rlwe_zero zero = {t->small, t->work, t->fraction};
  /* `limbs` is the middle of the truncation error of the fractions. */
  const uint64_t round = (UINT64_C(1) << (63 - bits)) + l->narrow->limbs;
  rlwe_rerandomise(t->r, l->narrow, &zero, t->pending[l->layer.levels].c[half], t->r->public_key[l->narrow->ring][half],
                   l->n);
  for (size_t i = 0; i < l->n; i++) t->fraction[i] = (t->fraction[i] + round) >> (64 - bits);
}

static fusion_status send_answer(struct server_work *t) {
  const struct matrix_layout *l = t->l;
  const size_t count = t->slot, first = t->unit - count, outputs = matrix_outputs(l, first, count);
  const size_t len = matrix_answer_len(l, outputs);
  struct bit_writer w = {.out = t->answer};
  if (!count) return FUSION_OK;
  finish_units(t);
  rlwe_draw_ternary(t->r, t->small, l->n);
  round_half(t, 1, l->kappa);
  bits_put_all(&w, t->fraction, l->n, l->kappa);
  round_half(t, 0, l->kept_bits);
  prg_ring(t->r->secret, t->mask, outputs, l->kept_bits);
  for (size_t slot = 0, at = 0; slot < count; slot++) {
    const struct matrix_unit u = matrix_unit_at(l, t->from, first + slot);
    for (size_t c = 0; c < matrix_columns(l, u.term, u.tile); c++, at++) {
      t->masked[at] = t->fraction[matrix_lane(l, slot, c)] - t->mask[at];
      t->y[matrix_target(l, &u, c)] += t->mask[at];
    }
  }
  bits_put_all(&w, t->masked, outputs, l->kept_bits);
  bits_finish(&w);
  t->slot = 0;
  secret_declassify(t->answer, len, "a re-randomised ciphertext, c0 less a uniform mask");
  const fusion_status status = channel_send(t->r->channel, MSG_MATRIX_ANSWER, t->answer, len);
  return status == FUSION_OK ? channel_flush(t->r->channel) : status;
}

static fusion_status answer_group(struct server_work *t, struct prg *stream) {
  fusion_status status = FUSION_OK;
  const struct matrix_layout *l = t->l;
  TRY(channel_recv(t->r->channel, MSG_MATRIX_QUERY, t->query, matrix_query_len(l)));
  struct bit_reader b = {.in = t->query};
  for (unsigned term = 0; term < 2; term++)
    for (size_t tile = 0; tile < l->term[term].tiles; tile++) {
      take_tile(t, &b, stream, term, tile);
      for (size_t row = 0; row < l->term[term].rows; row++) {
        const struct matrix_unit u = matrix_unit_at(l, t->from, t->unit++);
        multiply_unit(t, &u);
        push_unit(t);
        if (t->slot == l->stride) TRY(send_answer(t));
      }
    }
cleanup:
  return status;
}

static fusion_status run_server(struct server_work *t, struct prg *stream) {
  fusion_status status = FUSION_OK;
  const struct matrix_layout *l = t->l;
  galois_room_set(t->r, &t->room);
  for (size_t k = 0; k < WIDE; k++) {
    const struct modulus *m = &t->r->moduli[k];
    const uint32_t inverse = mod_inverse((uint32_t)l->stride, m->p);
    t->word_factor[k] = (uint32_t)((uint64_t)inverse * m->r2 % m->p);
  }
  for (; t->from < l->groups; t->from += l->chunk) {
    const size_t groups = size_min(l->chunk, l->groups - t->from);
    t->unit = 0;
    for (size_t g = 0; g < groups; g++) TRY(answer_group(t, stream));
    TRY(send_answer(t));
  }
cleanup:
  return status;
}

fusion_status matrix_server(struct rlwe *r, const struct matrix_layer *layer, const uint64_t *a, const uint64_t *b,
                            uint64_t *y, size_t samples) {
  if (!samples) return FUSION_OK;
  struct matrix_layout l;
  struct server_work t = {.r = r, .l = &l, .a = a, .b = b, .y = y};
  struct prg *stream = prg_fork(r->shared, "matrix", r->products++);
  struct workspace w = {0};
  fusion_status status;
  FAIL_IF(!stream, FUSION_E_MEMORY);
  TRY(matrix_layout_make(&l, layer, samples));
  FAIL_IF(r->keys.levels < layer->levels || !r->keys.of_ring[l.wide->ring], FUSION_E_INTERNAL);
  linear_drop_ahead(r);
  TRY(rlwe_workspace(r, matrix_server_workspace(&l), &w));
  server_place(&t, &w);
  matrix_own(&l, a, b, y);
  status = run_server(&t, stream);
  for (size_t i = 0; i < l.groups * l.size; i++) y[i] &= low_mask(l.kept_bits);
  rlwe_workspace_wipe(r, t.secret_len);
cleanup:
  prg_free(stream);
  return status;
}
