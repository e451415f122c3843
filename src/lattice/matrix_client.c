/** The client's half of a product of matrices: encrypts its shares, adds up what the answers hold.
 *
 *  Ideal functionality: matrix.h. A cheating server learns nothing: all that it gets are RLWE ciphertexts under the
 *  client's fresh key, and nothing that depends on its answers is ever sent back. It chooses its share as it likes:
 * what the client sends does not depend on that either. Answers may have any value: they are read as integers of a
 * fixed width. */
#include "base/bits.h"
#include "base/secret.h"
#include "lattice/lattice_messages.h"
#include "lattice/matrix_layout.h"
#include "lattice/rlwe_cipher.h"
#include "lattice/workspace.h"

struct client_work {
  struct rlwe *r;
  const struct matrix_layout *l;
  const uint64_t *a, *b;
  uint64_t *y;
  /* In the session's workspace: */
  size_t secret_len;     /* secrets come first, and are wiped at the end */
  struct rlwe_room room; /* for one polynomial */
  uint64_t *numbers;     /* [n]: what an answer says */
  uint32_t *common;      /* [RLWE_LIMBS_MAX][n]: its c1 */
  uint8_t *message;
};

static void client_place(struct client_work *t, struct workspace *w) {
  const size_t n = t->l->n;
  t->room.values = workspace_take(w, n, sizeof *t->room.values);
  t->room.noise = workspace_take(w, n, sizeof *t->room.noise);
  t->room.residues = workspace_take(w, 2 * RLWE_LIMBS_MAX * n, sizeof *t->room.residues);
  t->room.uniform = workspace_take(w, RLWE_LIMBS_MAX * n, sizeof *t->room.uniform);
  t->numbers = workspace_take(w, n, sizeof *t->numbers);
  t->secret_len = w->used;
  t->common = workspace_take(w, RLWE_LIMBS_MAX * n, sizeof *t->common);
  t->message = workspace_take(w, size_max(matrix_query_len(t->l), matrix_answer_len(t->l, n)) + BITS_SLACK, 1);
}

size_t matrix_client_workspace(const struct matrix_layout *l) {
  struct client_work t = {.l = l};
  struct workspace w = {0};
  client_place(&t, &w);
  return w.used;
}

/* Element j of column c of a term's data. */
static uint64_t data_at(const struct client_work *t, unsigned term, size_t group, size_t j, size_t c) {
  return term ? matrix_left(t->l, t->a, group, c, j) : matrix_right(t->l, t->b, group, j, c);
}

/* A polynomial of data. */
struct data_place {
  unsigned term;
  size_t group, tile, piece;
};

static void lay_data(struct client_work *t, const struct data_place *p) {
  const struct matrix_layout *l = t->l;
  memset(t->room.values, 0, l->n * sizeof *t->room.values);
  for (size_t c = 0; c < matrix_columns(l, p->term, p->tile); c++)
    for (size_t j = 0; j < matrix_piece(l, p->piece); j++)
      t->room.values[c * l->stride + j] =
          data_at(t, p->term, p->group, p->piece * l->stride + j, p->tile * l->width + c);
}

/* Encrypted; the coefficients that hold something are sent. */
static void put_data(struct client_work *t, struct bit_writer *w, struct prg *stream, const struct data_place *p) {
  const struct matrix_layout *l = t->l;
  const uint32_t *digits = t->room.residues + RLWE_LIMBS_MAX * l->n;
  const uint64_t p0 = rlwe_primes[0], p01 = p0 * rlwe_primes[1];
  const unsigned low = l->query_bits / 2;
  lay_data(t, p);
  rlwe_encrypt(t->r, l->wide, t->r->key[l->wide->ring], l->layer.ring_bits, stream, &t->room, l->n);
  for (size_t c = 0; c < matrix_columns(l, p->term, p->tile); c++)
    for (size_t j = 0; j < matrix_piece(l, p->piece); j++) {
      const size_t i = c * l->stride + j;
      const unsigned __int128 high = (unsigned __int128)p01 * digits[2 * l->n + i];
      const unsigned __int128 kept = (digits[i] + p0 * digits[l->n + i] + high) >> l->dropped;
      bits_put_word(w, (uint64_t)kept & low_mask(low), low);
      bits_put_word(w, (uint64_t)(kept >> low), l->query_bits - low);
    }
}

static fusion_status send_group(struct client_work *t, struct prg *stream, size_t group) {
  const struct matrix_layout *l = t->l;
  const size_t len = matrix_query_len(l);
  struct bit_writer w = {.out = t->message};
  for (struct data_place p = {.group = group}; p.term < 2; p.term++)
    for (p.tile = 0; p.tile < l->term[p.term].tiles; p.tile++)
      for (p.piece = 0; p.piece < l->pieces; p.piece++) put_data(t, &w, stream, &p);
  bits_finish(&w);
  secret_declassify(t->message, len, "RLWE encryptions under a key of the session");
  return channel_send(t->r->channel, MSG_MATRIX_QUERY, t->message, len);
}

/* The answer with units first .. first + count - 1, counted from group `from` on. */
static fusion_status take_answer(struct client_work *t, size_t from, size_t first, size_t count) {
  const struct matrix_layout *l = t->l;
  const size_t outputs = matrix_outputs(l, first, count), limbs = rlwe_answer_limbs(l->narrow, l->kappa);
  const fusion_status status =
      channel_recv(t->r->channel, MSG_MATRIX_ANSWER, t->message, matrix_answer_len(l, outputs));
  if (status != FUSION_OK) return status;
  struct bit_reader b = {.in = t->message};
  bits_get_all(&b, t->room.values, l->n, l->kappa);
  rlwe_take_common(t->r, l->narrow, t->room.values, l->kappa, t->common, limbs);
  rlwe_times_secret(t->r, l->narrow, t->r->key[l->narrow->ring], t->common, limbs, &t->room, l->n);
  bits_get_all(&b, t->numbers, outputs, l->kept_bits);
  for (size_t slot = 0, at = 0; slot < count; slot++) {
    const struct matrix_unit u = matrix_unit_at(l, from, first + slot);
    for (size_t c = 0; c < matrix_columns(l, u.term, u.tile); c++)
      t->y[matrix_target(l, &u, c)] +=
          t->numbers[at++] + (t->room.values[matrix_lane(l, slot, c)] >> l->narrow->low_bits);
  }
  return FUSION_OK;
}

static fusion_status run_client(struct client_work *t, struct prg *stream) {
  fusion_status status = FUSION_OK;
  const struct matrix_layout *l = t->l;
  for (size_t from = 0; from < l->groups; from += l->chunk) {
    const size_t groups = size_min(l->chunk, l->groups - from), units = groups * l->group_units;
    for (size_t g = 0; g < groups; g++) TRY(send_group(t, stream, from + g));
    for (size_t u = 0; u < units; u += l->stride) TRY(take_answer(t, from, u, size_min(l->stride, units - u)));
  }
cleanup:
  return status;
}

fusion_status matrix_client(struct rlwe *r, const struct matrix_layer *layer, const uint64_t *a, const uint64_t *b,
                            uint64_t *y, size_t samples) {
  if (!samples) return FUSION_OK;
  struct matrix_layout l;
  struct client_work t = {.r = r, .l = &l, .a = a, .b = b, .y = y};
  struct prg *stream = prg_fork(r->shared, "matrix", r->products++);
  struct workspace w = {0};
  fusion_status status;
  FAIL_IF(!stream, FUSION_E_MEMORY);
  TRY(matrix_layout_make(&l, layer, samples));
  FAIL_IF(r->keys.levels < layer->levels || !r->keys.of_ring[l.wide->ring], FUSION_E_INTERNAL);
  TRY(rlwe_workspace(r, matrix_client_workspace(&l), &w));
  client_place(&t, &w);
  matrix_own(&l, a, b, y);
  status = run_client(&t, stream);
  for (size_t i = 0; i < l.groups * l.size; i++) y[i] &= low_mask(l.kept_bits);
  rlwe_workspace_wipe(r, t.secret_len);
cleanup:
  prg_free(stream);
  return status;
}
