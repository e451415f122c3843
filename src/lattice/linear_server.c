/** The server's half of a linear layer (DESIGN 6.4): the encrypted integer matrix product, re-randomised, rescaled to
 *  2^kappa and masked. Functionality: see linear_client.c.
 *
 *  What the client sees of the weights: c1 plus the c1 of a fresh encryption of zero under its own public keys (uniform
 * to it by RLWE with the server's fresh ternary u), once for a bundle of tiles, and for each tile the top bits of c0
 * minus a mask uniform in Z_{2^(ring + guard)}. Only those bits of c0 are sent, so the mask needs no more bits to hide
 * it completely. The zero has one u for all keys of the bundle: their c1 is one.
 *
 *  Layers of few lanes interleave the products of S output channels before that, with the client's keys (interleave.h):
 *  one u for such an answer. All but the query's part of it is made before the query comes.
 *
 *  Exactness. Let the phase be 2^kappa * y / 2^ring + noise, |noise| < 2^low / 2 (linear_choose_set). The server adds
 *  2^low / 2 to c0, so noise' is in [0, 2^low). Both parties drop low bits of numbers that sum to the phase: the sum of
 *  what they keep is 2^guard * y + eps with eps in {-1, 0}. */
#include "base/bits.h"
#include "base/secret.h"
#include "lattice/interleave.h"
#include "lattice/lattice_messages.h"
#include "lattice/layout.h"
#include "lattice/rlwe_cipher.h"
#include "lattice/window_product.h"
#include "lattice/workspace.h"

enum { PIECE_BITS = 28 /* the share is cut into signed pieces that the exact product kernel takes */ };

struct server_tile {
  struct rlwe *r;
  const struct linear_layout *l;
  const int64_t *bias;
  const uint64_t *x; /* NULL: zero */
  uint64_t *y;
  const int16_t *raw; /* the weights */
  size_t pieces, c1_stride;
  size_t room, c0_room;   /* for the lanes of a tile, in whole blocks; n where whole polynomials are added */
  enum layout_product by; /* products with c1 */
  size_t together;        /* output channels whose products with c1 are made together */
  size_t parts;           /* of all groups */
  uint32_t over_stride[RLWE_LIMBS_MAX]; /* 1/S, in Montgomery form */
  struct matrix_weights *weights;       /* owned, [parts] */
  /* In the session's workspace: */
  size_t secret_len; /* secrets come first, and are wiped at the end */
  int32_t *share;    /* [pieces][channels][span]: the server's share, secret */
  int64_t *block;    /* [part_outs][MATRIX_LANES] secret */
  uint32_t *sums;    /* [together][limbs][n]: W * c1; [part_outs][limbs][c0_room]: W * c0; secret */
  uint64_t *product; /* [part_outs][room]: W * share, secret */
  uint32_t *work;    /* [2][n] secret */
  int32_t *small;    /* [2][n]: u and a noise, secret */
  int8_t *ternary;   /* [out_channels][n]: u of the bundle's zeros, secret; not where answers are interleaved */
  uint32_t *zero;    /* [answers][bundle][limbs][n]: interleaved ones' c0 without the query's part, secret */
  struct interleaver units;
  struct window_product windows; /* in place of c1; owns tables */
  int32_t *spread;               /* [polys][n]: an output's weights at their coefficients, secret */
  uint64_t *fraction;            /* [n] secret */
  uint64_t *mask;                /* [tile_lanes] secret */
  uint64_t *values;              /* [LAYOUT_GATHER][span] secret */
  uint8_t *scratch;              /* the product kernel's */
  uint8_t *query, *answer;       /* messages */
  size_t *source, *target;       /* [phases][span], [tile_lanes] */
  uint32_t *lane;                /* [tile_lanes] */
  int32_t *c1;                   /* [limbs][polys][c1_stride]: coefficients, then their negation for wrap-around */
  uint32_t *c1_transform;        /* [polys][limbs][n], in Montgomery form; instead of c1 */
  uint32_t *place;               /* [rows]: where a group's weights lie in `spread` */
  int32_t *c0;                   /* [limbs][channels][span] */
  uint32_t *base;                /* [rows]: where a matrix' rows begin in a plane */
  uint32_t *uniform;             /* [limbs][n] */
};

/* How far the c1 of a bundle's answers are. */
struct common {
  struct prg *stream;                   /* owned, of its queries' uniform halves; NULL: not yet, or no more */
  size_t bundle, poly;                  /* the next of those halves */
  size_t out, first;                    /* the next output channel; the first of the message at hand */
  const struct matrix_weights *weights; /* of the part at hand */
  size_t done;                          /* output channels of it */
  struct bit_writer writer;
  uint8_t *message; /* its payload */
};

/* A layer while it runs, or is made ahead. */
struct linear_run {
  bool open;
  fusion_status status; /* of what was made ahead */
  struct linear_layer layer;
  const int16_t *weights; /* borrowed */
  size_t samples;
  struct linear_layout l;
  struct server_tile t;
  struct common common;
  uint8_t *ready; /* owned: the messages of the first bundle's c1, one behind the other; NULL: none is made ahead */
};

static size_t c0_plane(const struct linear_layout *l) {
  return l->channels * l->span + MATRIX_LANES;
}
static size_t c1_plane(const struct server_tile *t) {
  return t->l->polys * t->c1_stride + MATRIX_LANES;
}

/* Sizes, and places in the workspace (or its length alone, when w->base is NULL). */
static void tile_place(struct server_tile *t, struct workspace *w, const struct lattice_kernels *kernels) {
  const struct linear_layout *l = t->l;
  const size_t n = l->params->n, limbs = l->params->limbs;
  t->pieces = div_up(l->layer.shape.ring_bits, PIECE_BITS);
  t->c1_stride = n + layout_coefficient(l, l->packed - 1, l->reach) + l->stride; /* at most 2n */
  t->room = div_up(l->tile_lanes, MATRIX_LANES) * MATRIX_LANES;
  t->c0_room = l->levels ? t->room : n;
  t->by = layout_product(l);
  t->together = t->by == PRODUCT_ROWS ? l->part_outs : t->by == PRODUCT_WINDOWS ? window_product_outs(l) : 1;
  t->windows.l = l;
  t->parts = l->layer.shape.groups * div_up(l->group_outs, l->part_outs);
  t->share = workspace_take(w, t->pieces * c0_plane(l), sizeof *t->share);
  t->block = workspace_take(w, l->part_outs * MATRIX_LANES, sizeof *t->block);
  t->sums = workspace_take(w, limbs * size_max(t->together * n, l->part_outs * t->c0_room), sizeof *t->sums);
  t->product = workspace_take(w, l->part_outs * t->room, sizeof *t->product);
  t->work = workspace_take(w, 2 * n, sizeof *t->work);
  t->small = workspace_take(w, 2 * n, sizeof *t->small);
  t->ternary = workspace_take(w, l->levels ? 0 : l->layer.shape.out_channels * n, sizeof *t->ternary);
  t->zero = workspace_take(w, l->levels ? l->answers * l->bundle * limbs * n : 0, sizeof *t->zero);
  if (l->levels) interleaver_place(&t->units, w, l->levels, l->bundle);
  if (t->by == PRODUCT_WINDOWS) window_product_place_secrets(&t->windows, w);
  t->spread = workspace_take(w, t->by == PRODUCT_TRANSFORMS ? l->polys * n : 0, sizeof *t->spread);
  t->fraction = workspace_take(w, n, sizeof *t->fraction);
  t->mask = workspace_take(w, l->tile_lanes, sizeof *t->mask);
  t->values = workspace_take(w, LAYOUT_GATHER * l->span, sizeof *t->values);
  t->scratch = workspace_take(w, kernels->matrix_scratch(l->rows), 1);
  t->secret_len = w->used;
  t->query = workspace_take(w, layout_query_len(l, 0) + BITS_SLACK, 1);
  t->answer = workspace_take(w, layout_message_max(l) + BITS_SLACK, 1);
  t->source = workspace_take(w, l->phase_count * l->span, sizeof *t->source);
  t->target = workspace_take(w, l->tile_lanes, sizeof *t->target);
  t->lane = workspace_take(w, l->tile_lanes, sizeof *t->lane);
  if (t->by == PRODUCT_WINDOWS) window_product_place(&t->windows, w);
  t->c1 = workspace_take(w, t->by == PRODUCT_ROWS ? limbs * c1_plane(t) : 0, sizeof *t->c1);
  t->c1_transform = workspace_take(w, t->by == PRODUCT_TRANSFORMS ? l->polys * limbs * n : 0, sizeof *t->c1_transform);
  t->place = workspace_take(w, l->rows, sizeof *t->place);
  t->c0 = workspace_take(w, limbs * c0_plane(l), sizeof *t->c0);
  t->base = workspace_take(w, l->rows, sizeof *t->base);
  t->uniform = workspace_take(w, limbs * n, sizeof *t->uniform);
}

size_t linear_server_workspace(const struct linear_layout *l) {
  struct server_tile t = {.l = l};
  struct workspace w = {0};
  tile_place(&t, &w, lattice_kernels());
  return w.used;
}

static fusion_status tile_open(struct server_tile *t, const int16_t *weights) {
  fusion_status status = FUSION_OK;
  const struct linear_layout *l = t->l;
  struct workspace w = {0};
  tile_place(t, &w, t->r->kernels);
  TRY(rlwe_workspace(t->r, w.used, &w));
  tile_place(t, &w, t->r->kernels);
  t->units.r = t->windows.r = t->r;
  for (size_t k = 0; k < l->params->limbs; k++) {
    const struct modulus *m = &t->r->moduli[k];
    t->over_stride[k] = (uint32_t)(((uint64_t)mod_inverse((uint32_t)l->stride, m->p) << 32) % m->p);
  }
  if (t->by == PRODUCT_WINDOWS) TRY(window_product_open(&t->windows));
  t->weights = mem_alloc(t->parts, sizeof *t->weights);
  FAIL_IF(!t->weights, FUSION_E_MEMORY);
  /* The lanes after the last row are read, their sums unused: they must be numbers of the right size. */
  for (size_t k = 0; k < l->params->limbs; k++) {
    if (t->by == PRODUCT_ROWS) memset(t->c1 + (k + 1) * c1_plane(t) - MATRIX_LANES, 0, MATRIX_LANES * sizeof *t->c1);
    memset(t->c0 + (k + 1) * c0_plane(l) - MATRIX_LANES, 0, MATRIX_LANES * sizeof *t->c0);
  }
  for (size_t k = 0; k < t->pieces; k++)
    memset(t->share + (k + 1) * c0_plane(l) - MATRIX_LANES, 0, MATRIX_LANES * sizeof *t->share);
  for (size_t p = 0, out = 0, count; p < t->parts; p++, out += count) {
    count = size_min(l->part_outs, l->group_outs - out % l->group_outs);
    TRY(t->r->kernels->matrix_pack(&t->weights[p], weights + out * l->rows, count, l->rows,
                                   l->layer.shape.weight_bits));
  }
cleanup:
  return status;
}

static void tile_close(struct server_tile *t) {
  for (size_t k = 0; t->weights && k < t->parts; k++) matrix_weights_free(&t->weights[k]);
  mem_free(t->weights);
  window_product_close(&t->windows);
  rlwe_workspace_wipe(t->r, t->secret_len);
}

static void scale(uint32_t *a, uint32_t factor, size_t n, const struct modulus *m) {
  for (size_t i = 0; i < n; i++) a[i] = mod_multiply_montgomery(a[i], factor, m);
}

/* The uniform half of a bundle's polynomial j from the public stream: coefficients and their negacyclic extension, or a
 * transform. Over S where answers are interleaved (interleave.h). */
static void expand_c1(struct server_tile *t, struct prg *stream, size_t j) {
  const struct linear_layout *l = t->l;
  const size_t n = l->params->n, limbs = l->params->limbs;
  rlwe_expand_uniform(t->r, l->params, stream, t->uniform);
  for (size_t k = 0; k < limbs; k++) {
    const struct modulus *m = &t->r->moduli[k];
    uint32_t *a = t->uniform + k * n;
    if (l->levels) scale(a, t->over_stride[k], n, m);
    if (t->by == PRODUCT_TRANSFORMS) {
      memcpy(t->c1_transform + (j * limbs + k) * n, a, n * sizeof *a);
      rlwe_to_montgomery(t->r, t->c1_transform + (j * limbs + k) * n, n, k);
      continue;
    }
    t->r->kernels->ntt_inverse(a, &t->r->ntt[l->params->ring][k]);
    if (t->by == PRODUCT_WINDOWS) {
      window_product_take(&t->windows, a, j, k);
      continue;
    }
    int32_t *out = t->c1 + k * c1_plane(t) + j * t->c1_stride;
    t->r->kernels->centre_extend(out, a, n, t->c1_stride - n, m);
  }
}

/* Any bytes make valid residues: a value is read as an integer, its dropped bits replaced by their middle. */
static void unpack_c0(struct server_tile *t, size_t tile) {
  const struct linear_layout *l = t->l;
  const size_t span = layout_tile_lanes(l, tile) + l->reach;
  const uint64_t middle = l->dropped ? UINT64_C(1) << (l->dropped - 1) : 0;
  const bool wide = l->params->limbs == 3;
  const unsigned low = query_low_bits(l);
  struct bit_reader b = {.in = t->query};
  uint64_t *v_low = t->values, *v_high = t->values + l->span;
  for (size_t c = 0; c < l->channels; c++) {
    if (!wide) bits_get_all(&b, v_low, span, l->query_bits);
    for (size_t i = 0; i < span && !wide; i++) v_low[i] = (v_low[i] << l->dropped) + middle;
    for (size_t i = 0; i < span && wide; i++) {
      unsigned __int128 v = bits_get_word(&b, low);
      v |= (unsigned __int128)bits_get_word(&b, l->query_bits - low) << low;
      v = (v << l->dropped) + middle; /* below 2^79 */
      v_low[i] = (uint64_t)v & low_mask(40);
      v_high[i] = (uint64_t)(v >> 40);
    }
    for (size_t k = 0; k < l->params->limbs; k++)
      t->r->kernels->centre_wide(t->c0 + k * c0_plane(l) + c * l->span, v_low, wide ? v_high : NULL, span,
                                 &t->r->moduli[k]);
  }
}

static void split_share(struct server_tile *t, size_t tile) {
  const struct linear_layout *l = t->l;
  const size_t span = layout_tile_lanes(l, tile) + l->reach;
  /* v = low + 2^28 * high, low in [-2^27, 2^27): one piece where the ring is no wider than that. */
  const int64_t half = INT64_C(1) << (PIECE_BITS - 1);
  for (size_t phase = 0; phase < l->phase_count; phase++) layout_sources(l, tile, phase, t->source + phase * l->span);
  for (size_t c = 0; c < l->channels && t->pieces; c++) {
    const uint64_t *values = t->values + c % LAYOUT_GATHER * span;
    if (c % LAYOUT_GATHER == 0)
      layout_gather(l, t->source, c, size_min(LAYOUT_GATHER, l->channels - c), span, t->x, t->values, span);
    for (size_t k = 0; k < t->pieces; k++) {
      int32_t *out = t->share + k * c0_plane(l) + c * l->span;
      for (size_t i = 0; i < span; i++) {
        const int64_t v = ring_signed(values[i], l->layer.shape.ring_bits) + half;
        out[i] = (int32_t)((k ? v >> PIECE_BITS : (v & (int64_t)low_mask(PIECE_BITS)) - half));
      }
    }
  }
}

/* Where the rows (channel, tap) of a group's matrix begin in the planes of c0. */
static void set_base(struct server_tile *t, size_t group) {
  const struct linear_layout *l = t->l;
  for (size_t r = 0; r < l->rows; r++)
    t->base[r] = (uint32_t)(layout_row_stream(l, group, r) * l->span + l->tap[r % l->taps].offset);
}

/* sums[out] of every limb, `room` values each: W times a plane of lanes, modulo the limb's prime. Whole blocks of
 * MATRIX_LANES, of which `room` is a multiple. */
static void multiply_modular(struct server_tile *t, const struct matrix_weights *w, const int32_t *planes,
                             size_t plane_len, size_t lanes, size_t room) {
  const struct lattice_kernels *kernels = t->r->kernels;
  const size_t limbs = t->l->params->limbs;
  for (size_t k = 0; k < limbs; k++) {
    for (size_t i = 0; i < lanes; i += MATRIX_LANES) {
      kernels->matrix(t->block, planes + k * plane_len + i, t->base, w, t->scratch);
      for (size_t o = 0; o < w->outs; o++)
        kernels->reduce_signed(t->sums + (o * limbs + k) * room + i, t->block + o * MATRIX_LANES, MATRIX_LANES,
                               &t->r->moduli[k]);
    }
  }
}

/* The same in those of c1; and where a row's weight, times X^-coefficient, lies in t->spread. */
static void set_common_base(struct server_tile *t, size_t group) {
  const struct linear_layout *l = t->l;
  const size_t n = l->params->n;
  for (size_t r = 0; r < l->rows; r++) {
    const size_t stream = layout_row_stream(l, group, r), poly = stream / l->packed;
    const size_t at = layout_coefficient(l, stream % l->packed, l->tap[r % l->taps].offset);
    t->base[r] = (uint32_t)(poly * t->c1_stride + at);
    t->place[r] = (uint32_t)(poly * n + (at ? n - at : 0));
  }
}

/* sums [limbs][n]: the weights of output `out` of all times c1, by transforms. */
static void multiply_transformed(struct server_tile *t, uint32_t *sums, size_t out) {
  const struct linear_layout *l = t->l;
  const size_t n = l->params->n, limbs = l->params->limbs, streams = l->channels / l->layer.shape.groups;
  const size_t group = out / l->group_outs, first = group * streams / l->packed;
  const size_t end = div_up((group + 1) * streams, l->packed);
  memset(sums, 0, limbs * n * sizeof *sums);
  memset(t->spread + first * n, 0, (end - first) * n * sizeof *t->spread);
  for (size_t r = 0; r < l->rows; r++) {
    const int32_t weight = t->raw[out * l->rows + r];
    t->spread[t->place[r]] += t->place[r] % n ? -weight : weight;
  }
  for (size_t j = first; j < end; j++)
    for (size_t k = 0; k < limbs; k++) {
      const struct modulus *m = &t->r->moduli[k];
      rlwe_lift(t->r, t->work, t->spread + j * n, l->params->ring, k);
      t->r->kernels->multiply(t->work, t->work, t->c1_transform + (j * limbs + k) * n, n, m);
      t->r->kernels->add(sums + k * n, sums + k * n, t->work, n, m);
    }
  for (size_t k = 0; k < limbs; k++) t->r->kernels->ntt_inverse(sums + k * n, &t->r->ntt[l->params->ring][k]);
}

/* Where the rows of a group meet c1. */
static void set_common_group(struct server_tile *t, size_t group) {
  if (t->by == PRODUCT_WINDOWS)
    window_product_group(&t->windows, group);
  else
    set_common_base(t, group);
}

/* sums[0 .. count) of every limb: the weights of output channels from `out` on, of the part w, times c1. */
static void multiply_common(struct server_tile *t, const struct matrix_weights *w, size_t out, size_t count) {
  const struct linear_layout *l = t->l;
  const size_t n = l->params->n;
  if (t->by == PRODUCT_WINDOWS) window_product_run(&t->windows, t->sums, t->raw + out * l->rows, count);
  if (t->by == PRODUCT_ROWS) multiply_modular(t, w, t->c1, c1_plane(t), n, n);
  for (size_t o = 0; o < count && t->by == PRODUCT_TRANSFORMS; o++)
    multiply_transformed(t, t->sums + o * l->params->limbs * n, out + o);
}

/* product[out][lane] = W times the server's share, modulo 2^64. */
static void multiply_share(struct server_tile *t, const struct matrix_weights *w, size_t lanes) {
  memset(t->product, 0, w->outs * t->room * sizeof *t->product);
  for (size_t k = 0; k < t->pieces; k++) {
    for (size_t i = 0; i < lanes; i += MATRIX_LANES) {
      t->r->kernels->matrix(t->block, t->share + k * c0_plane(t->l) + i, t->base, w, t->scratch);
      for (size_t o = 0; o < w->outs; o++) {
        uint64_t *out = t->product + o * t->room + i;
        const int64_t *in = t->block + o * MATRIX_LANES;
        for (size_t j = 0; j < MATRIX_LANES; j++) out[j] += (uint64_t)in[j] << (k * PIECE_BITS);
      }
    }
  }
}

/* fraction[0..count) = 2^64 * (W * c + u * key + noise) / q for output `o` of t->sums; u lies in small[0..n), key is a
 * half of a public key. */
static void rerandomise(struct server_tile *t, size_t o, const uint32_t *key, size_t count) {
  const struct rlwe_params *params = t->l->params;
  const struct rlwe_zero zero = {t->small, t->work, t->fraction};
  rlwe_rerandomise(t->r, params, &zero, t->sums + o * params->limbs * params->n, key, count);
}

/* t->fraction, of a c1, rounded. */
static void put_common(struct server_tile *t, struct bit_writer *w) {
  const struct linear_layout *l = t->l;
  const size_t n = l->params->n;
  /* `limbs` is the middle of the truncation error of the fractions. */
  const uint64_t round = (UINT64_C(1) << (63 - l->kappa)) + l->params->limbs;
  for (size_t i = 0; i < n; i++) t->fraction[i] = (t->fraction[i] + round) >> (64 - l->kappa);
  bits_put_all(w, t->fraction, n, l->kappa);
}

/* The c1 of output `o` of t->sums (`out` of all) for all tiles of the bundle, with a fresh u. */
static void emit_common(struct server_tile *t, struct bit_writer *w, size_t o, size_t out) {
  const struct linear_layout *l = t->l;
  const size_t n = l->params->n;
  int8_t *kept = t->ternary + out * n;
  rlwe_draw_ternary(t->r, t->small, n);
  for (size_t i = 0; i < n; i++) kept[i] = (int8_t)t->small[i];
  rerandomise(t, o, t->r->public_key[l->params->ring][1], n);
  put_common(t, w);
}

/* The product of output `o` of t->sums (`out` of all) joins its answer. A full answer's c1 is put with a fresh u; its
 * c0, but for the query's part, is kept. */
static void emit_unit(struct server_tile *t, struct bit_writer *w, size_t o, size_t out) {
  const struct linear_layout *l = t->l;
  const struct rlwe_params *params = l->params;
  const size_t n = params->n, len = params->limbs * n;
  const struct rlwe_zero zero = {t->small, t->work, t->fraction};
  uint32_t *const *key = t->r->public_key[params->ring];
  memcpy(t->units.fresh.c1, t->sums + o * len, len * sizeof(uint32_t));
  interleaver_push(&t->units);
  if (((out + 1) & (l->stride - 1)) && out + 1 < l->layer.shape.out_channels) return;
  const struct interleave_cipher *answer = interleaver_finish(&t->units);
  uint32_t *kept = t->zero + (out >> l->levels) * l->bundle * len;
  memcpy(kept, answer->c0, l->bundle * len * sizeof *kept);
  rlwe_draw_ternary(t->r, t->small, n);
  rlwe_rerandomise(t->r, params, &zero, answer->c1, key[1], n);
  put_common(t, w);
  for (size_t j = 0; j < l->bundle; j++) rlwe_add_zero(t->r, params, &zero, kept + j * len, key[0] + j * len, n);
}

/* t->fraction of the lanes of output `o` of the part (`out` of all): the query's part and the rest of its answer. */
static void find_answer(struct server_tile *t, size_t o, size_t out, size_t tile, size_t lanes) {
  const struct linear_layout *l = t->l;
  const size_t n = l->params->n, limbs = l->params->limbs;
  const uint32_t *zero = t->zero + ((out >> l->levels) * l->bundle + tile % l->bundle) * limbs * n;
  for (size_t k = 0; k < limbs; k++) {
    const uint32_t *sum = t->sums + (o * limbs + k) * t->room, p = t->r->moduli[k].p;
    const uint32_t *rest = zero + k * n + layout_output(l, out, 0);
    for (size_t i = 0; i < lanes; i++) t->work[k * n + i] = mod_subtract_once(sum[i] + rest[i * l->stride], p);
  }
  rlwe_find_fraction(t->r, l->params, t->fraction, t->work, lanes);
}

/* Masks the c0 of output `o` of the part (`out` of all) and sets the server's share. */
static void emit_answer(struct server_tile *t, struct bit_writer *w, size_t o, size_t out, size_t tile) {
  const struct linear_layout *l = t->l;
  const size_t n = l->params->n, ring = l->params->ring, outputs = layout_tile_outputs(l, tile);
  const size_t lanes = layout_tile_lanes(l, tile);
  if (l->levels) {
    find_answer(t, o, out, tile, lanes);
  } else {
    const int8_t *u = t->ternary + out * n;
    for (size_t i = 0; i < n; i++) t->small[i] = u[i];
    rerandomise(t, o, t->r->public_key[ring][0] + tile % l->bundle * rlwe_ring_limbs[ring] * n, lanes);
  }
  const unsigned kept = l->kept_bits;
  const uint64_t round = (UINT64_C(1) << (63 - kept)) + l->params->limbs;
  const uint64_t mask = low_mask(kept), bias = (uint64_t)t->bias[out];
  uint64_t *masked = t->values;
  prg_ring(t->r->secret, t->mask, outputs, kept);
  for (size_t i = 0; i < outputs; i++) {
    const size_t lane = t->lane[i];
    masked[i] = ((t->fraction[lane] + round) >> (64 - kept)) - t->mask[i];
    const uint64_t own = (t->product[o * t->room + lane] + bias) << l->layer.guard_bits;
    t->y[t->target[i] + out * l->out_plane] = (own + t->mask[i]) & mask;
  }
  bits_put_all(w, masked, outputs, kept);
}

static fusion_status send_outputs(struct server_tile *t, message_type type, uint8_t *payload, size_t len) {
  secret_declassify(payload, len, "re-randomised ciphertexts, c0 less a uniform mask");
  const fusion_status status = channel_send(t->r->channel, type, payload, len);
  return status == FUSION_OK ? channel_flush(t->r->channel) : status;
}

static struct common common_of(const struct server_tile *t, size_t bundle, uint8_t *message) {
  return (struct common){.bundle = bundle, .weights = t->weights, .message = message};
}

static bool common_made(const struct server_tile *t, const struct common *c) {
  return c->out == t->l->layer.shape.out_channels;
}

static void common_close(struct common *c) {
  prg_free(c->stream);
  c->stream = NULL;
}

/* A piece of the c1 that the answers of a bundle have in common, which needs no query. *len: payload bytes of the
 * message that it completes, else 0. */
static fusion_status make_common(struct server_tile *t, struct common *c, size_t *len) {
  const struct linear_layout *l = t->l;
  *len = 0;
  if (c->poly < l->polys) {
    if (!c->poly) c->stream = prg_fork(t->r->shared, "query", t->r->bundles + c->bundle);
    if (!c->stream) return FUSION_E_MEMORY;
    expand_c1(t, c->stream, c->poly++);
    if (c->poly == l->polys) common_close(c);
    return FUSION_OK;
  }
  if (c->out == c->first) c->writer = (struct bit_writer){.out = c->message};
  if (!c->done) set_common_group(t, c->out / l->group_outs);
  const size_t count = size_min(t->together, c->weights->outs - c->done);
  multiply_common(t, c->weights, c->out, count);
  for (size_t i = 0; i < count && !l->levels; i++) emit_common(t, &c->writer, i, c->out + i);
  for (size_t i = 0; i < count && l->levels; i++) emit_unit(t, &c->writer, i, c->out + i);
  c->out += count;
  c->done += count;
  if (c->done == c->weights->outs) {
    c->weights++;
    c->done = 0;
  }
  if (c->out < layout_message_end(l, c->first)) return FUSION_OK;
  bits_finish(&c->writer);
  const size_t answers = layout_answers_between(l, c->first, c->out);
  c->first = c->out;
  if (answers) *len = layout_common_len(l, answers);
  return FUSION_OK;
}

/* The messages that were made ahead. */
static fusion_status send_ready(struct linear_run *run) {
  fusion_status status = run->status;
  uint8_t *at = run->ready;
  for (size_t out = 0, end; out < run->common.first && status == FUSION_OK; out = end) {
    end = layout_message_end(&run->l, out);
    const size_t answers = layout_answers_between(&run->l, out, end), len = layout_common_len(&run->l, answers);
    if (!answers) continue;
    status = send_outputs(&run->t, MSG_RLWE_COMMON, at, len);
    at += len;
  }
  return status;
}

static fusion_status send_common(struct linear_run *run, size_t bundle) {
  fusion_status status = FUSION_OK;
  struct server_tile *t = &run->t;
  struct common *c = &run->common;
  const bool begun = run->ready && bundle == 0;
  if (begun) TRY(send_ready(run));
  if (!begun) *c = common_of(t, bundle, t->answer);
  while (!common_made(t, c)) {
    size_t len;
    TRY(make_common(t, c, &len));
    if (len) TRY(send_outputs(t, MSG_RLWE_COMMON, c->message, len));
    if (begun) c->message += len;
  }
cleanup:
  return status;
}

static fusion_status send_answer(struct server_tile *t, size_t tile) {
  fusion_status status = FUSION_OK;
  const struct linear_layout *l = t->l;
  const struct matrix_weights *weights = t->weights;
  const size_t lanes = layout_tile_lanes(l, tile);
  unpack_c0(t, tile);
  split_share(t, tile);
  layout_targets(l, tile, t->lane, t->target);
  for (size_t out = 0, end; out < l->layer.shape.out_channels;) {
    const size_t first = out;
    struct bit_writer w = {.out = t->answer};
    for (end = layout_message_end(l, out); out < end; out += weights++->outs) {
      set_base(t, out / l->group_outs);
      multiply_modular(t, weights, t->c0, c0_plane(l), lanes, t->c0_room);
      multiply_share(t, weights, lanes);
      for (size_t o = 0; o < weights->outs; o++) emit_answer(t, &w, o, out + o, tile);
    }
    bits_finish(&w);
    TRY(send_outputs(t, MSG_RLWE_ANSWER, t->answer, layout_answer_len(l, tile, end - first)));
  }
cleanup:
  return status;
}

static fusion_status answer_tile(struct linear_run *run, size_t tile) {
  fusion_status status = FUSION_OK;
  struct server_tile *t = &run->t;
  const struct linear_layout *l = t->l;
  const bool first = tile % l->bundle == 0;
  if (first && l->common_first) TRY(send_common(run, tile / l->bundle));
  TRY(rlwe_do_meanwhile(t->r));
  TRY(channel_recv(t->r->channel, MSG_RLWE_QUERY, t->query, layout_query_len(l, tile)));
  if (first && !l->common_first) TRY(send_common(run, tile / l->bundle));
  TRY(send_answer(t, tile));
cleanup:
  return status;
}

/* True when every weight fits weight_bits, without a branch on any of them. */
static bool weights_fit(const int16_t *weights, size_t count, unsigned bits) {
  uint32_t outside = 0;
  const uint32_t offset = UINT32_C(1) << (bits - 1);
  for (size_t i = 0; i < count; i++) outside |= ((uint32_t)(int32_t)weights[i] + offset) >> bits;
  secret_declassify(&outside, sizeof outside, "0 but for a model that was altered after it was loaded");
  return outside == 0;
}

static fusion_status run_open(struct linear_run *run, struct rlwe *r) {
  const struct layer_shape *shape = &run->layer.shape;
  fusion_status status = layout_make(&run->l, &run->layer, &r->keys, run->samples);
  if (status == FUSION_E_PEER) return FUSION_E_UNSUPPORTED; /* the model's own layer */
  if (status != FUSION_OK) return status;
  run->open = true;
  run->t = (struct server_tile){.r = r, .l = &run->l, .raw = run->weights};
  if (!weights_fit(run->weights, shape->out_channels * run->l.rows, shape->weight_bits)) return FUSION_E_MODEL;
  return tile_open(&run->t, run->weights);
}

static void run_close(struct linear_run *run) {
  common_close(&run->common);
  if (run->open) {
    tile_close(&run->t);
    layout_free(&run->l);
  }
  mem_free(run->ready);
  mem_free(run);
}

static struct linear_run *run_new(const struct linear_layer *layer, const int16_t *weights, size_t samples) {
  struct linear_run *run = mem_alloc(1, sizeof *run);
  if (run) *run = (struct linear_run){.layer = *layer, .weights = weights, .samples = samples};
  return run;
}

/* The run of this layer that was begun ahead, or a new one. */
static struct linear_run *run_take(struct rlwe *r, const struct linear_layer *layer, const int16_t *weights,
                                   size_t samples) {
  struct linear_run *run = r->ahead;
  if (run && run->weights == weights && run->samples == samples) {
    r->ahead = NULL;
    return run;
  }
  linear_drop_ahead(r);
  return run_new(layer, weights, samples);
}

fusion_status linear_server(struct rlwe *r, const struct linear_layer *layer, const int16_t *weights,
                            const int64_t *bias, const uint64_t *x, uint64_t *y, size_t samples) {
  struct linear_run *run = run_take(r, layer, weights, samples);
  if (!run) return FUSION_E_MEMORY;
  fusion_status status = run->open ? run->status : run_open(run, r);
  struct server_tile *t = &run->t;
  t->bias = bias;
  t->x = x;
  t->y = y;
  if (!x) t->pieces = 0;
  for (size_t k = 0; status == FUSION_OK && k < run->l.tiles; k++) status = answer_tile(run, k);
  if (run->open) r->bundles += div_up(run->l.tiles, run->l.bundle);
  run_close(run);
  return status;
}

/* Room for the messages of a bundle's c1; 0 where they are not made ahead. */
static size_t ready_len(const struct linear_layout *l) {
  size_t len = BITS_SLACK;
  if (!l->common_first) return 0;
  for (size_t out = 0, end; out < l->layer.shape.out_channels; out = end) {
    end = layout_message_end(l, out);
    const size_t answers = layout_answers_between(l, out, end);
    if (answers) len += layout_common_len(l, answers);
  }
  return len <= LINEAR_AHEAD_MAX ? len : 0;
}

void linear_begin_ahead(struct rlwe *r, const struct linear_layer *layer, const int16_t *weights, size_t samples) {
  linear_drop_ahead(r);
  r->ahead = run_new(layer, weights, samples);
}

void linear_drop_ahead(struct rlwe *r) {
  if (r->ahead) run_close(r->ahead);
  r->ahead = NULL;
}

/* The first piece: all but the messages. */
static fusion_status open_ahead(struct linear_run *run, struct rlwe *r) {
  const fusion_status status = run_open(run, r);
  const size_t len = status == FUSION_OK ? ready_len(&run->l) : 0;
  if (len) run->ready = mem_alloc(len, 1);
  if (run->ready) run->common = common_of(&run->t, 0, run->ready);
  return status;
}

bool linear_work_ahead(struct rlwe *r) {
  struct linear_run *run = r->ahead;
  if (!run || run->status != FUSION_OK) return false;
  if (!run->open) {
    run->status = open_ahead(run, r);
    if (run->status == FUSION_E_MEMORY) linear_drop_ahead(r); /* there may be more when the layer begins */
    return true;
  }
  if (!run->ready || common_made(&run->t, &run->common)) return false;
  size_t len;
  run->status = make_common(&run->t, &run->common, &len);
  run->common.message += len;
  return true;
}
