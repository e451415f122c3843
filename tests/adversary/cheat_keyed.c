/* Ciphertexts that make the client's decryption depend on its own key. An answer is, for each output channel, c1 (N
 * numbers of kappa bits) and the top bits of c0 at the outputs' lanes; the client takes c0 + (c1 * s mod 2^kappa) at
 * each lane. Adding a * X^j to an honest c1 adds a * s_(i-j) at lane i (the sign where it wraps around): an error that
 * is there or not, by one coefficient of the key, in each lane. Against a client that shows what it decrypts, or that
 * it failed to, this reads the key. 0: a = 2^(kappa-1): the top bit of the share flips where the coefficient is not 0
 *   1: a = half a unit of what is kept: within the noise's room or not, by the coefficient and the noise
 *   2: a = one unit of the result: wrong by one, up or down by the coefficient's sign
 *   3: c1 = a * X^j alone, c0 = 0: the client's share is a * s itself */
#include "adversary/cheat.h"
#include "base/bits.h"
#include "engine/engine.h"
#include "lattice/layout.h"
#include "slots/slots.h"
#include "steps/encrypted_steps.h"

static uint64_t get_bits(const uint8_t *bytes, size_t at, unsigned bits) {
  uint64_t v = 0;
  for (unsigned i = 0; i < bits; i++) v |= (uint64_t)(bytes[(at + i) / 8] >> ((at + i) % 8) & 1) << i;
  return v;
}

static void put_bits(uint8_t *bytes, size_t at, unsigned bits, uint64_t v) {
  for (unsigned i = 0; i < bits; i++) {
    uint8_t *byte = &bytes[(at + i) / 8];
    const uint8_t bit = (uint8_t)(1u << (at + i) % 8);
    *byte = (uint8_t)(v >> i & 1 ? *byte | bit : *byte & ~bit);
  }
}

/* A layer that may send such messages, of so many answers' c1. */
static bool find_layout(struct linear_layout *l, size_t *answers, const struct engine_layout *layout, size_t samples,
                        size_t len) {
  for (uint32_t i = 1; i < layout->program->count; i++) {
    if (layout->program->steps[i].op != OP_LINEAR) continue;
    const struct linear_layer layer = step_linear(layout->own, i);
    if (layout_make(l, &layer, NULL, samples) != FUSION_OK) continue;
    *answers = len * 8 / (l->params->n * l->kappa);
    if (*answers && *answers <= layer.shape.out_channels && layout_common_len(l, *answers) == len) return true;
    layout_free(l);
  }
  return false;
}

/* The same for slot encryption, whose answers are c0 and then c1 of all coefficients, rounded to a power of two: a is
 * the top bit, half a unit of the plaintext, a unit of it, or all that there is. */
static void keyed_slots(struct cheater *c, const struct cheat *cheat, uint8_t *payload, size_t len) {
  unsigned bits = SLOTS_PLAIN_BITS_MIN;
  while (bits < SLOTS_PLAIN_BITS_MAX && slots_answer_len(bits) < len) bits++;
  const uint64_t how = cheat->value == CHEAT_RANDOM ? cheat_random(c) % 4 : cheat->value;
  const unsigned wide = bits + SLOTS_C1_BITS, unit = how == 1 ? SLOTS_C1_BITS - 1 : SLOTS_C1_BITS;
  uint8_t *c1 = payload + bits_len(SLOTS_N, bits + SLOTS_C0_BITS);
  const size_t at = cheat_random(c) % SLOTS_N * wide;
  if (how == 3) memset(payload, 0, len);
  const uint64_t a = UINT64_C(1) << (how == 0 ? wide - 1 : unit);
  put_bits(c1, at, wide, (get_bits(c1, at, wide) + a) & low_mask(wide));
}

void cheat_keyed(struct cheater *c, const struct cheat *cheat, size_t samples, uint8_t *payload, size_t len) {
  struct linear_layout l;
  size_t answers;
  struct engine_layout layout;
  if (cheat->type == MSG_SLOTS_ANSWER) {
    keyed_slots(c, cheat, payload, len);
    return;
  }
  if (engine_layout_open(&layout, c->engine, &c->model.program, samples, NULL) != FUSION_OK) return;
  const bool found = find_layout(&l, &answers, &layout, samples, len);
  engine_layout_close(&layout);
  if (!found) return;
  const uint64_t how = cheat->value == CHEAT_RANDOM ? cheat_random(c) % 4 : cheat->value;
  const unsigned unit = how == 1 ? l.params->low_bits - 1 : l.params->low_bits + l.layer.guard_bits;
  const uint64_t a = UINT64_C(1) << (how == 0 ? l.kappa - 1 : unit);
  const size_t n = l.params->n, j = cheat_random(c) % n;
  if (how == 3) memset(payload, 0, len);
  for (size_t k = 0; k < answers; k++) {
    const size_t at = (k * n + j) * l.kappa;
    put_bits(payload, at, l.kappa, (get_bits(payload, at, l.kappa) + a) & low_mask(l.kappa));
  }
  layout_free(&l);
}
