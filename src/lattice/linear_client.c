/** The client's half of a linear layer (DESIGN 6.4): encrypt its share by tiles, decrypt the masked products.
 *
 *  Ideal functionality: on shares of x and the server's weights, gives both parties additive shares modulo
 *  2^(ring + guard) of 2^guard * (W x + bias) + eps, eps in {-1, 0}, the client's share uniform.
 *  A cheating server learns nothing: all it gets are RLWE ciphertexts under the client's fresh keys (c1 from a seed of
 * the client's choice; one c1 under several keys is as good as one key, see rlwe.c; for interleaved answers also keys
 * that encrypt functions of a key under itself, see interleave.h), and nothing that depends on its answers is ever sent
 * back by this protocol. Its answers may have any value: they are read as fixed-width integers. */
#include "base/bits.h"
#include "base/secret.h"
#include "lattice/lattice_messages.h"
#include "lattice/layout.h"
#include "lattice/rlwe_cipher.h"
#include "lattice/workspace.h"

struct client_tile {
  struct rlwe *r;
  const struct linear_layout *l;
  const uint64_t *x;
  uint64_t *y;
  /* In the session's workspace: */
  size_t secret_len;   /* secrets come first, and are wiped at the end */
  uint64_t *values;    /* [n]: plaintext, then coefficients; of an answer c1 times the secret; secret */
  uint64_t *ordered;   /* [n]: coefficients of a query in the order of the message */
  uint64_t *gathered;  /* [LAYOUT_GATHER][span]: streams, or the top bits of an answer's c0; secret */
  int32_t *noise;      /* [n] secret */
  uint32_t *residues;  /* [2 * RLWE_LIMBS_MAX][n]: residues, then mixed-radix digits; secret */
  uint32_t *uniform;   /* [limbs][n], then its product with the secret key: secret */
  size_t answer_limbs; /* so many primes hold an answer's c1 times a secret */
  uint32_t *common;    /* [answers][answer_limbs][n]: the bundle's c1, transformed */
  uint8_t *message;    /* a query, or outputs of an answer */
  size_t *source;      /* [phases][span] */
  uint32_t *lane;      /* [tile outputs] */
  size_t *target;
};

static void tile_place(struct client_tile *t, struct workspace *w) {
  const struct linear_layout *l = t->l;
  const size_t n = l->params->n;
  t->values = workspace_take(w, n, sizeof *t->values);
  t->ordered = workspace_take(w, n, sizeof *t->ordered);
  t->gathered = workspace_take(w, LAYOUT_GATHER * l->span, sizeof *t->gathered);
  t->noise = workspace_take(w, n, sizeof *t->noise);
  t->residues = workspace_take(w, 2 * RLWE_LIMBS_MAX * n, sizeof *t->residues);
  t->uniform = workspace_take(w, RLWE_LIMBS_MAX * n, sizeof *t->uniform);
  t->secret_len = w->used;
  t->answer_limbs = rlwe_answer_limbs(l->params, l->kappa);
  t->common = workspace_take(w, l->answers * t->answer_limbs * n, sizeof *t->common);
  t->message = workspace_take(w, size_max(layout_query_len(l, 0), layout_message_max(l)) + BITS_SLACK, 1);
  t->source = workspace_take(w, l->phase_count * l->span, sizeof *t->source);
  t->lane = workspace_take(w, l->tile_lanes, sizeof *t->lane);
  t->target = workspace_take(w, l->tile_lanes, sizeof *t->target);
}

size_t linear_client_workspace(const struct linear_layout *l) {
  struct client_tile t = {.l = l};
  struct workspace w = {0};
  tile_place(&t, &w);
  return w.used;
}

/* The secret of tile number `tile`, for every prime. */
static const uint32_t *tile_key(const struct client_tile *t, size_t tile) {
  const struct linear_layout *l = t->l;
  return t->r->key[l->params->ring] + tile % l->bundle * RLWE_LIMBS_MAX * l->params->n;
}

static struct rlwe_room tile_room(const struct client_tile *t) {
  return (struct rlwe_room){t->values, t->noise, t->residues, t->uniform};
}

/* c0 of the polynomial that carries t->values (first `used` coefficients), into the digits. */
static void encrypt(struct client_tile *t, size_t tile, struct prg *stream, size_t used) {
  const struct linear_layout *l = t->l;
  const struct rlwe_room room = tile_room(t);
  rlwe_encrypt(t->r, l->params, tile_key(t, tile), l->layer.shape.ring_bits, stream, &room, used);
}

/* The coefficients of so many streams that hold a value, in the order of streams and lanes. */
static void put_coefficients(const struct client_tile *t, struct bit_writer *w, size_t streams, size_t span) {
  const struct linear_layout *l = t->l;
  const size_t count = streams * span;
  const size_t n = l->params->n;
  const uint32_t *digits = t->residues + RLWE_LIMBS_MAX * n;
  const uint64_t p0 = rlwe_primes[0], p01 = p0 * rlwe_primes[1];
  if (l->params->limbs == 2) {
    for (size_t s = 0; s < streams; s++)
      for (size_t lane = 0; lane < span; lane++) {
        const size_t i = layout_coefficient(l, s, lane);
        t->ordered[s * span + lane] = (digits[i] + p0 * digits[n + i]) >> l->dropped;
      }
    bits_put_all(w, t->ordered, count, l->query_bits);
    return;
  }
  const unsigned low = query_low_bits(l);
  struct bit_writer to = *w;
  for (size_t i = 0; i < count; i++) {
    const unsigned __int128 v = digits[i] + p0 * digits[n + i] + (unsigned __int128)p01 * digits[2 * n + i];
    const unsigned __int128 kept = v >> l->dropped;
    bits_put_word(&to, (uint64_t)kept & low_mask(low), low);
    bits_put_word(&to, (uint64_t)(kept >> low), l->query_bits - low);
  }
  *w = to;
}

static fusion_status send_query(struct client_tile *t, size_t tile) {
  const struct linear_layout *l = t->l;
  const size_t span = layout_tile_lanes(l, tile) + l->reach, len = layout_query_len(l, tile);
  struct prg *stream = prg_fork(t->r->shared, "query", t->r->bundles + tile / l->bundle);
  if (!stream) return FUSION_E_MEMORY;
  for (size_t phase = 0; phase < l->phase_count; phase++) layout_sources(l, tile, phase, t->source + phase * l->span);
  struct bit_writer w = {.out = t->message};
  const size_t used = layout_coefficient(l, l->packed - 1, span - 1) + l->stride; /* the last stream ends below it */
  size_t filled = 0;                                                              /* streams in t->values */
  for (size_t c = 0; c < l->channels; c++) {
    if (c % LAYOUT_GATHER == 0)
      layout_gather(l, t->source, c, size_min(LAYOUT_GATHER, l->channels - c), span, t->x, t->gathered, span);
    const uint64_t *values = t->gathered + c % LAYOUT_GATHER * span;
    if (filled == 0) memset(t->values, 0, l->params->n * sizeof *t->values);
    for (size_t lane = 0; lane < span; lane++) t->values[layout_coefficient(l, filled, lane)] = values[lane];
    if (++filled < l->packed && c + 1 < l->channels) continue;
    encrypt(t, tile, stream, size_min(used, l->params->n));
    put_coefficients(t, &w, filled, span);
    filled = 0;
  }
  bits_finish(&w);
  prg_free(stream);
  secret_declassify(t->message, len, "RLWE encryption under a key of the session");
  return channel_send(t->r->channel, MSG_RLWE_QUERY, t->message, len);
}

/* The bundle's c1, kappa-bit integers of either sign, to residues, transformed. */
static fusion_status receive_common(struct client_tile *t) {
  const struct linear_layout *l = t->l;
  const size_t n = l->params->n;
  uint32_t *at = t->common;
  for (size_t out = 0, end; out < l->layer.shape.out_channels; out = end) {
    end = layout_message_end(l, out);
    const size_t answers = layout_answers_between(l, out, end);
    if (!answers) continue;
    const fusion_status status =
        channel_recv(t->r->channel, MSG_RLWE_COMMON, t->message, layout_common_len(l, answers));
    if (status != FUSION_OK) return status;
    struct bit_reader b = {.in = t->message};
    for (size_t k = 0; k < answers; k++, at += t->answer_limbs * n) {
      bits_get_all(&b, t->values, n, l->kappa);
      rlwe_take_common(t->r, l->params, t->values, l->kappa, at, t->answer_limbs);
    }
  }
  return FUSION_OK;
}

static fusion_status receive_answer(struct client_tile *t, size_t tile) {
  const struct linear_layout *l = t->l;
  const size_t lanes = layout_tile_lanes(l, tile), outputs = layout_tile_outputs(l, tile);
  const uint64_t mask = low_mask(l->kept_bits);
  const struct rlwe_room room = tile_room(t);
  const size_t used = lanes * l->stride; /* coefficients of an answer */
  layout_targets(l, tile, t->lane, t->target);
  for (size_t out = 0, end; out < l->layer.shape.out_channels; out = end) {
    end = layout_message_end(l, out);
    const fusion_status status =
        channel_recv(t->r->channel, MSG_RLWE_ANSWER, t->message, layout_answer_len(l, tile, end - out));
    if (status != FUSION_OK) return status;
    struct bit_reader b = {.in = t->message};
    for (size_t o = out; o < end; o++) {
      if ((o & (l->stride - 1)) == 0)
        rlwe_times_secret(t->r, l->params, tile_key(t, tile),
                          t->common + (o >> l->levels) * t->answer_limbs * l->params->n, t->answer_limbs, &room, used);
      bits_get_all(&b, t->gathered, outputs, l->kept_bits); /* the top bits of c0 */
      for (size_t i = 0; i < outputs; i++) {
        const uint64_t rest = t->values[layout_output(l, o, t->lane[i])] >> l->params->low_bits;
        t->y[t->target[i] + o * l->out_plane] = (t->gathered[i] + rest) & mask;
      }
    }
  }
  return FUSION_OK;
}

fusion_status linear_client(struct rlwe *r, const struct linear_layer *layer, const uint64_t *x, uint64_t *y,
                            size_t samples) {
  struct linear_layout l;
  fusion_status status = layout_make(&l, layer, &r->keys, samples);
  if (status == FUSION_E_PEER)
    return channel_fail(r->channel, status,
                        "'linear layer': impossible shape, ring or parameter set; the manifest is bad");
  if (status != FUSION_OK) return status;
  struct client_tile t = {.r = r, .l = &l, .x = x, .y = y};
  struct workspace w = {0};
  tile_place(&t, &w);
  status = rlwe_workspace(r, w.used, &w);
  if (status == FUSION_OK) tile_place(&t, &w);
  for (size_t sent = 0, received = 0; status == FUSION_OK && received < l.tiles;) {
    if (sent < l.tiles && sent - received < l.window) {
      status = send_query(&t, sent++);
      continue;
    }
    if (!l.common_first) status = rlwe_do_meanwhile(r);
    if (status == FUSION_OK && received % l.bundle == 0) status = receive_common(&t);
    if (status == FUSION_OK) status = rlwe_do_meanwhile(r);
    if (status == FUSION_OK) status = receive_answer(&t, received++);
  }
  r->bundles += div_up(l.tiles, l.bundle);
  rlwe_workspace_wipe(r, t.secret_len);
  layout_free(&l);
  return status;
}
