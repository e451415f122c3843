/** The client's half of a linear layer (DESIGN 6.4): encrypt its share by tiles, decrypt the masked products.
 *
 *  Ideal functionality: on shares of x and the server's weights, gives both parties additive shares modulo
 *  2^(ring + guard) of 2^guard * (W x + bias) + eps, eps in {-1, 0}, the client's share uniform.
 *  A cheating server learns nothing: all it gets are RLWE ciphertexts under the client's fresh keys (c1 from a seed of
 * the client's choice; one c1 under several keys is as good as one key, see rlwe.c), and nothing that depends on its
 * answers is ever sent back by this protocol. Its answers may have any value: they are read as fixed-width integers. */
#include "base/bits.h"
#include "base/secret.h"
#include "lattice/lattice_messages.h"
#include "lattice/layout.h"
#include "lattice/rlwe.h"
#include "lattice/workspace.h"

struct client_tile {
  struct rlwe *r;
  const struct linear_layout *l;
  const uint64_t *x;
  uint64_t *y;
  /* In the session's workspace: */
  size_t secret_len;   /* secrets come first, and are wiped at the end */
  uint64_t *values;    /* [n]: plaintext, secret */
  uint64_t *gathered;  /* [LAYOUT_GATHER][span]: streams, or the top bits of an answer's c0; secret */
  int32_t *noise;      /* [n] secret */
  uint32_t *residues;  /* [2 * RLWE_LIMBS_MAX][n]: residues, then mixed-radix digits; secret */
  uint32_t *uniform;   /* [limbs][n], then its product with the secret key: secret */
  size_t answer_limbs; /* so many primes hold an answer's c1 times a secret */
  uint32_t *common;    /* [out_channels][answer_limbs][n]: the bundle's c1, transformed */
  uint8_t *message;    /* a query, or outputs of an answer */
  size_t *source;      /* [phases][span] */
  uint32_t *lane;      /* [tile outputs] */
  size_t *target;
};

static void tile_place(struct client_tile *t, struct workspace *w) {
  const struct linear_layout *l = t->l;
  const size_t n = l->params->n;
  t->values = workspace_take(w, n, sizeof *t->values);
  t->gathered = workspace_take(w, LAYOUT_GATHER * l->span, sizeof *t->gathered);
  t->noise = workspace_take(w, n, sizeof *t->noise);
  t->residues = workspace_take(w, 2 * RLWE_LIMBS_MAX * n, sizeof *t->residues);
  t->uniform = workspace_take(w, RLWE_LIMBS_MAX * n, sizeof *t->uniform);
  t->secret_len = w->used;
  /* |c1 * s| <= 2^(kappa-1) * n is to be below half of the primes' product. */
  t->answer_limbs = l->kappa + l->params->log_n < 2 * RLWE_LIMB_BITS ? 2 : 3;
  t->common = workspace_take(w, l->layer.shape.out_channels * t->answer_limbs * n, sizeof *t->common);
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

/* Mixed-radix digits of `count` values from residues[limb][n] into residues[RLWE_LIMBS_MAX + limb][n]. */
static void to_digits(struct client_tile *t, size_t limbs, size_t count) {
  const size_t n = t->l->params->n;
  uint32_t *digits = t->residues + RLWE_LIMBS_MAX * n;
  const uint32_t *lower[RLWE_LIMBS_MAX] = {digits, digits + n, digits + 2 * n};
  memcpy(digits, t->residues, count * sizeof *digits);
  for (size_t k = 1; k < limbs; k++)
    t->r->kernels->mixed_digit(digits + k * n, t->residues + k * n, lower, k, count, t->r->moduli);
}

/* The secret of tile number `tile`, for the prime of `limb`. */
static const uint32_t *tile_key(const struct client_tile *t, size_t tile, size_t limb) {
  const struct linear_layout *l = t->l;
  return t->r->key[l->params->ring] + (tile % l->bundle * RLWE_LIMBS_MAX + limb) * l->params->n;
}

/* c0 of the polynomial that carries t->values (first `used` coefficients), into the digits. */
static void encrypt(struct client_tile *t, size_t tile, struct prg *stream, size_t used) {
  const struct linear_layout *l = t->l;
  const struct rlwe_params *params = l->params;
  const struct lattice_kernels *kernels = t->r->kernels;
  const size_t n = params->n;
  rlwe_expand_uniform(t->r, params, stream, t->uniform);
  rlwe_draw_noise(t->r, t->noise, used);
  for (size_t k = 0; k < params->limbs; k++) {
    const struct modulus *m = &t->r->moduli[k];
    uint32_t *c0 = t->residues + k * n, *product = t->uniform + k * n;
    kernels->multiply(product, product, tile_key(t, tile, k), n, m);
    kernels->ntt_inverse(product, &t->r->ntt[params->ring][k]);
    kernels->encode(c0, t->values, used, l->layer.shape.ring_bits, rlwe_q_low(params), m);
    kernels->add_small(c0, c0, t->noise, used, m);
    kernels->subtract(c0, c0, product, used, m);
  }
  to_digits(t, params->limbs, used);
}

static void put_coefficients(const struct client_tile *t, struct bit_writer *w, size_t count) {
  const struct linear_layout *l = t->l;
  const size_t n = l->params->n;
  const uint32_t *digits = t->residues + RLWE_LIMBS_MAX * n;
  const uint64_t p0 = rlwe_primes[0], p01 = p0 * rlwe_primes[1];
  if (l->params->limbs == 2) {
    /* The plaintext has done its work: its place takes the coefficients. */
    for (size_t i = 0; i < count; i++) t->values[i] = (digits[i] + p0 * digits[n + i]) >> l->dropped;
    bits_put_all(w, t->values, count, l->query_bits);
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
  size_t filled = 0; /* streams in t->values */
  for (size_t c = 0; c < l->channels; c++) {
    if (c % LAYOUT_GATHER == 0)
      layout_gather(l, t->source, c, size_min(LAYOUT_GATHER, l->channels - c), span, t->x, t->gathered, span);
    memcpy(t->values + filled++ * span, t->gathered + c % LAYOUT_GATHER * span, span * sizeof *t->values);
    if (filled < l->packed && c + 1 < l->channels) continue;
    encrypt(t, tile, stream, filled * span);
    put_coefficients(t, &w, filled * span);
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
  const struct lattice_kernels *kernels = t->r->kernels;
  const size_t n = l->params->n;
  int64_t *wide = (int64_t *)(void *)t->values;
  for (size_t out = 0, end; out < l->layer.shape.out_channels; out = end) {
    end = layout_message_end(l, out);
    const fusion_status status =
        channel_recv(t->r->channel, MSG_RLWE_COMMON, t->message, layout_common_len(l, end - out));
    if (status != FUSION_OK) return status;
    struct bit_reader b = {.in = t->message};
    for (size_t o = out; o < end; o++) {
      bits_get_all(&b, t->values, n, l->kappa);
      for (size_t i = 0; i < n; i++) wide[i] = ring_signed(t->values[i], l->kappa);
      for (size_t k = 0; k < t->answer_limbs; k++) {
        uint32_t *c1 = t->common + (o * t->answer_limbs + k) * n;
        kernels->reduce_signed(c1, wide, n, &t->r->moduli[k]);
        kernels->ntt_forward(c1, &t->r->ntt[l->params->ring][k]);
      }
    }
  }
  return FUSION_OK;
}

/* values[lane] = c1 * s modulo 2^64 for output `out`: the product over the integers, by residues. */
static void multiply_by_secret(struct client_tile *t, size_t tile, size_t out, size_t lanes) {
  const struct linear_layout *l = t->l;
  const struct lattice_kernels *kernels = t->r->kernels;
  const size_t n = l->params->n, limbs = t->answer_limbs;
  unsigned __int128 product = 1;
  for (size_t k = 0; k < limbs; k++) {
    const struct modulus *m = &t->r->moduli[k];
    uint32_t *a = t->residues + k * n;
    product *= m->p;
    kernels->multiply(a, t->common + (out * limbs + k) * n, tile_key(t, tile, k), n, m);
    kernels->ntt_inverse(a, &t->r->ntt[l->params->ring][k]);
    /* Half of the product added modulo each prime, (p-1)/2, makes the value non-negative. */
    for (size_t i = 0; i < lanes; i++) a[i] = mod_subtract_once(a[i] + m->p / 2, m->p);
  }
  to_digits(t, limbs, lanes);
  const uint32_t *digits = t->residues + RLWE_LIMBS_MAX * n;
  const uint64_t p0 = rlwe_primes[0], p01 = p0 * rlwe_primes[1], half = (uint64_t)(product >> 1);
  const uint64_t third = limbs == 3 ? p01 : 0;
  if (limbs == 2) memset(t->residues + (RLWE_LIMBS_MAX + 2) * n, 0, lanes * sizeof *t->residues);
  for (size_t i = 0; i < lanes; i++) t->values[i] = digits[i] + p0 * digits[n + i] + third * digits[2 * n + i] - half;
}

static fusion_status receive_answer(struct client_tile *t, size_t tile) {
  const struct linear_layout *l = t->l;
  const size_t lanes = layout_tile_lanes(l, tile), outputs = layout_tile_outputs(l, tile);
  const uint64_t mask = low_mask(l->kept_bits);
  layout_targets(l, tile, t->lane, t->target);
  for (size_t out = 0, end; out < l->layer.shape.out_channels; out = end) {
    end = layout_message_end(l, out);
    const fusion_status status =
        channel_recv(t->r->channel, MSG_RLWE_ANSWER, t->message, layout_answer_len(l, tile, end - out));
    if (status != FUSION_OK) return status;
    struct bit_reader b = {.in = t->message};
    for (size_t o = out; o < end; o++) {
      multiply_by_secret(t, tile, o, lanes);
      bits_get_all(&b, t->gathered, outputs, l->kept_bits); /* the top bits of c0 */
      for (size_t i = 0; i < outputs; i++) {
        const uint64_t rest = t->values[t->lane[i]] >> l->params->low_bits;
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
    if (received % l.bundle == 0) status = receive_common(&t);
    if (status == FUSION_OK) status = receive_answer(&t, received++);
  }
  r->bundles += div_up(l.tiles, l.bundle);
  rlwe_workspace_wipe(r, t.secret_len);
  layout_free(&l);
  return status;
}
