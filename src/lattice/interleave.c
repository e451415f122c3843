#include "lattice/interleave.h"

#include "base/bits.h"
#include "lattice/galois.h"

enum { RING = 0, LIMBS = INTERLEAVE_LIMBS };

static size_t degree(void) {
  return (size_t)1 << rlwe_ring_log_n[RING];
}

/* 2^(skipped + bits * digit): below 2^46. */
static uint64_t weight(const struct turn_kind *kind, size_t digit, size_t limb) {
  (void)limb;
  return UINT64_C(1) << (kind->skipped_bits + kind->digit_bits * digit);
}

#define CUT(count, bits, skipped)                                                                         \
  {                                                                                                       \
    .label = "turn", .message = MSG_RLWE_TURN, .set = 1, .ring = RING, .digits = (count), .limbs = LIMBS, \
    .digit_bits = (bits), .skipped_bits = (skipped), .weight = weight                                     \
  }

/* digits * bits + skipped = 52, the bits of q. */
const struct turn_kind interleave_keys[INTERLEAVE_CUTS] = {CUT(6, 7, 10), CUT(5, 8, 12), CUT(4, 10, 12)};

/* ---- keys ---- */

/* For each level: X^(S/2) transformed, in Montgomery form, and where t takes a transform's values from: place j holds
 * the value at psi^(2 * reverse(j) + 1) (ntt.h), and t(a) at psi^e is a at psi^(e * g). */
static void make_tables(struct rlwe *r) {
  const size_t n = degree();
  const unsigned log_n = rlwe_ring_log_n[RING];
  for (unsigned level = 1; level <= r->keys.turns; level++) {
    const size_t g = turn_exponent(n, level);
    uint16_t *order = r->turn_order + (level - 1) * n;
    for (size_t j = 0; j < n; j++) {
      const size_t e = (2 * reverse_bits(j, log_n) + 1) * g & (2 * n - 1);
      order[j] = (uint16_t)reverse_bits(e / 2, log_n);
    }
    for (size_t k = 0; k < LIMBS; k++) {
      uint32_t *shift = r->turn_shift + ((level - 1) * (size_t)LIMBS + k) * n;
      memset(shift, 0, n * sizeof *shift);
      shift[(size_t)1 << (level - 1)] = 1;
      r->kernels->ntt_forward(shift, &r->ntt[RING][k]);
      rlwe_to_montgomery(r, shift, n, k);
    }
  }
}

size_t interleave_memory(const struct rlwe_keys *keys) {
  const size_t tables = keys->turns * degree() * (LIMBS * sizeof(uint32_t) + sizeof(uint16_t));
  return turn_key_memory(&interleave_keys[keys->cut], keys->turns, keys->turned) + tables;
}

fusion_status interleave_take(struct rlwe *r, const uint8_t *payload) {
  const size_t turns = r->keys.turns, n = degree();
  if (!turns) return FUSION_OK;
  r->turn_shift = mem_alloc(turns * LIMBS * n, sizeof *r->turn_shift);
  r->turn_order = mem_alloc(turns * n, sizeof *r->turn_order);
  if (!r->turn_shift || !r->turn_order) return FUSION_E_MEMORY;
  const fusion_status taken =
      turn_key_take(r, &interleave_keys[r->keys.cut], turns, r->keys.turned, payload, &r->turn_key);
  if (!taken) make_tables(r);
  return taken;
}

/* ---- merging ---- */

static void take_cipher(struct interleave_cipher *c, struct workspace *w, size_t secrets) {
  c->c0 = workspace_take(w, secrets * LIMBS * degree(), sizeof *c->c0);
  c->c1 = workspace_take(w, LIMBS * degree(), sizeof *c->c1);
}

void interleaver_place(struct interleaver *it, struct workspace *w, unsigned levels, size_t secrets) {
  const size_t n = degree();
  it->levels = levels;
  it->secrets = secrets;
  for (unsigned k = 0; k <= levels; k++) take_cipher(&it->pending[k], w, secrets);
  take_cipher(&it->fresh, w, secrets);
  it->difference = workspace_take(w, n, sizeof *it->difference);
  it->turned = workspace_take(w, n, sizeof *it->turned);
  it->sums = workspace_take(w, (secrets + 1) * LIMBS * n, sizeof *it->sums);
  it->work = workspace_take(w, 2 * n, sizeof *it->work);
  it->digit = workspace_take(w, INTERLEAVE_DIGITS_MAX * n, sizeof *it->digit);
  it->lifted = workspace_take(w, INTERLEAVE_DIGITS_MAX * n, sizeof *it->lifted);
}

/* it->sums = the key's halves times the digits: c0 of each secret, then c1, that in coefficients. */
static void switch_key(const struct interleaver *it, unsigned level) {
  const struct rlwe *r = it->r;
  const struct turn_kind *kind = &interleave_keys[r->keys.cut];
  const size_t n = degree(), turned = r->keys.turned, step = turn_key_words(kind, turned);
  const struct digit_cut cut = {kind->digits, kind->digit_bits, kind->skipped_bits};
  r->kernels->cut_digits(it->digit, it->turned, n, &cut);
  for (size_t k = 0; k < LIMBS; k++) {
    for (size_t digit = 0; digit < kind->digits; digit++)
      rlwe_lift(r, it->lifted + digit * n, it->digit + digit * n, RING, k);
    for (size_t j = 0; j <= it->secrets; j++) {
      const size_t half = j < it->secrets ? j : turned;
      const uint32_t *key = turn_key_at(kind, r->turn_key, turned, level, 0, half) + k * n;
      r->kernels->multiply_sum(it->sums + (j * LIMBS + k) * n, it->lifted, key, step, kind->digits, n, &r->moduli[k]);
    }
  }
  for (size_t k = 0; k < LIMBS; k++)
    r->kernels->ntt_inverse(it->sums + (it->secrets * LIMBS + k) * n, &r->ntt[RING][k]);
}

/* t of a number modulo X^N + 1, of either sign. */
static void turn(int64_t *out, const int64_t *in, size_t g, size_t n) {
  for (size_t i = 0, at = 0; i < n; i++, at = (at + g) & (2 * n - 1)) out[at & (n - 1)] = at < n ? in[i] : -in[i];
}

/* c1 of both: even + X^(S/2) odd, and t of the difference, of least absolute value, in it->turned. */
static void merge_uniform(const struct interleaver *it, unsigned level, const struct interleave_cipher *even,
                          const struct interleave_cipher *odd) {
  const struct rlwe *r = it->r;
  const size_t n = degree(), shift = (size_t)1 << (level - 1);
  for (size_t k = 0; k < LIMBS; k++) {
    const struct modulus *m = &r->moduli[k];
    uint32_t *e = even->c1 + k * n, *o = odd->c1 + k * n, *shifted = it->work;
    galois_shift_up(shifted, o, shift, n, m->p);
    r->kernels->subtract(o, e, shifted, n, m);
    r->kernels->add(e, e, shifted, n, m);
  }
  r->kernels->compose(it->difference, odd->c1, odd->c1 + n, n, r->moduli);
  turn(it->turned, it->difference, turn_exponent(n, level), n);
}

/* What the keys added so far: even + X^(S/2) odd + t(even - X^(S/2) odd), transformed. */
static void merge_keyed(const struct interleaver *it, unsigned level, const struct interleave_cipher *even,
                        const struct interleave_cipher *odd) {
  const struct rlwe *r = it->r;
  const size_t n = degree();
  const uint16_t *order = r->turn_order + (level - 1) * n;
  for (size_t j = 0; j < it->secrets * LIMBS; j++) {
    const size_t k = j % LIMBS;
    const struct modulus *m = &r->moduli[k];
    const uint32_t *shift = r->turn_shift + ((level - 1) * (size_t)LIMBS + k) * n;
    uint32_t *e = even->c0 + j * n, *o = odd->c0 + j * n, *shifted = it->work, *turned = it->work + n;
    r->kernels->multiply(shifted, o, shift, n, m);
    r->kernels->subtract(o, e, shifted, n, m);
    r->kernels->add(e, e, shifted, n, m);
    for (size_t i = 0; i < n; i++) turned[i] = o[order[i]];
    r->kernels->add(e, e, turned, n, m);
  }
}

/* even = the two interleaved, stride 2^level to 2^(level - 1). Spoils odd. */
static void merge(const struct interleaver *it, unsigned level, struct interleave_cipher *even,
                  const struct interleave_cipher *odd) {
  const struct rlwe *r = it->r;
  const size_t n = degree(), c0_len = it->secrets * LIMBS * n;
  if (even->keyed && !odd->keyed) memset(odd->c0, 0, c0_len * sizeof *odd->c0); /* a last unit, by itself so far */
  merge_uniform(it, level, even, odd);
  if (even->keyed) merge_keyed(it, level, even, odd);
  switch_key(it, level);
  for (size_t k = 0; k < LIMBS; k++) {
    uint32_t *c1 = even->c1 + k * n;
    r->kernels->add(c1, c1, it->sums + c0_len + k * n, n, &r->moduli[k]);
  }
  for (size_t j = 0; j < it->secrets * LIMBS && even->keyed; j++) {
    uint32_t *c0 = even->c0 + j * n;
    r->kernels->add(c0, c0, it->sums + j * n, n, &r->moduli[j % LIMBS]);
  }
  if (!even->keyed) memcpy(even->c0, it->sums, c0_len * sizeof *even->c0);
  even->keyed = true;
}

static void double_all(const struct interleaver *it, uint32_t *a, size_t polys) {
  const size_t n = degree();
  for (size_t j = 0; j < polys; j++) it->r->kernels->add(a + j * n, a + j * n, a + j * n, n, &it->r->moduli[j % LIMBS]);
}

/* Nothing lies beside it: doubled, others are left between its useful coefficients. */
static void merge_alone(const struct interleaver *it, const struct interleave_cipher *even) {
  double_all(it, even->c1, LIMBS);
  if (even->keyed) double_all(it, even->c0, it->secrets * LIMBS);
}

static void swap_ciphers(struct interleave_cipher *a, struct interleave_cipher *b) {
  const struct interleave_cipher kept = *a;
  *a = *b;
  *b = kept;
}

void interleaver_push(struct interleaver *it) {
  unsigned k = 0;
  it->fresh.keyed = false;
  for (; k < it->levels && it->waits[k]; k++) {
    merge(it, it->levels - k, &it->pending[k], &it->fresh);
    swap_ciphers(&it->pending[k], &it->fresh);
    it->waits[k] = false;
  }
  swap_ciphers(&it->pending[k], &it->fresh);
  it->waits[k] = true;
}

/* Fewer units than an answer has room for: nothing lies in the other places. */
static void fill_up(struct interleaver *it) {
  bool carried = false; /* in it->fresh */
  for (unsigned k = 0; k < it->levels; k++) {
    struct interleave_cipher *waiting = &it->pending[k];
    if (!it->waits[k]) {
      if (carried) merge_alone(it, &it->fresh);
      continue;
    }
    if (carried)
      merge(it, it->levels - k, waiting, &it->fresh);
    else
      merge_alone(it, waiting);
    swap_ciphers(waiting, &it->fresh);
    it->waits[k] = false;
    carried = true;
  }
  swap_ciphers(&it->pending[it->levels], &it->fresh);
}

const struct interleave_cipher *interleaver_finish(struct interleaver *it) {
  const size_t n = degree();
  const struct interleave_cipher *last = &it->pending[it->levels];
  if (!it->waits[it->levels]) fill_up(it);
  it->waits[it->levels] = false;
  for (size_t j = 0; j < it->secrets * LIMBS; j++) {
    uint32_t *c0 = last->c0 + j * n;
    if (!last->keyed) memset(c0, 0, n * sizeof *c0);
    if (last->keyed) it->r->kernels->ntt_inverse(c0, &it->r->ntt[RING][j % LIMBS]);
  }
  return last;
}
