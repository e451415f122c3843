#include "mixcheck/mix.h"

enum { RANDOM_WORDS = 512 };

struct mix {
  struct mix_choice choice;
  size_t samples;
  uint32_t *place; /* secret, owned: where in the shuffled batch the unshuffled row is */
  uint32_t *row;   /* secret, owned: its inverse. Unshuffled: copy j of query i is row i*B + j, then copy j of public
                      sample t is row R*B + t*K + j */
};

/** Random words by the bufferful; the unused rest is wiped with it. */
struct source {
  mix_random random;
  void *context;
  uint64_t words[RANDOM_WORDS];
  size_t used;
};

static fusion_status next_word(struct source *s, uint64_t *out) {
  if (s->used == RANDOM_WORDS) {
    const fusion_status status = s->random(s->context, s->words, sizeof s->words);
    if (status != FUSION_OK) return status;
    s->used = 0;
  }
  *out = s->words[s->used++];
  return FUSION_OK;
}

/** Uniform in [0, bound), bound >= 1, without bias: the high half of a 64x64 product, words that would favour some
 * values drawn again (Lemire 2019). Whether one is drawn again says nothing about the value kept. */
static fusion_status uniform_below(struct source *s, uint64_t bound, uint64_t *out) {
  const uint64_t unfair = (0 - bound) % bound; /* 2^64 mod bound */
  unsigned __int128 product;
  do {
    uint64_t word;
    const fusion_status status = next_word(s, &word);
    if (status != FUSION_OK) return status;
    product = (unsigned __int128)word * bound;
  } while ((uint64_t)product < unfair);
  *out = (uint64_t)(product >> 64);
  return FUSION_OK;
}

/** Fisher and Yates, from the top. */
static fusion_status shuffle(struct mix *m, struct source *s) {
  for (size_t i = 0; i < m->samples; i++) m->row[i] = (uint32_t)i;
  for (size_t i = m->samples; i > 1; i--) {
    uint64_t j;
    const fusion_status status = uniform_below(s, i, &j);
    if (status != FUSION_OK) return status;
    const uint32_t kept = m->row[i - 1];
    m->row[i - 1] = m->row[j];
    m->row[j] = kept;
  }
  for (size_t i = 0; i < m->samples; i++) m->place[m->row[i]] = (uint32_t)i;
  return FUSION_OK;
}

fusion_status mix_draw(struct mix **out, const struct mix_choice *choice, mix_random random, void *context) {
  *out = NULL;
  const bool sound = choice->queries ? choice->copies >= 2 && choice->public_copies : choice->public_copies >= 2;
  if (!sound || choice->errors >= choice->public_samples) return FUSION_E_USAGE;
  uint64_t samples, public_rows;
  if (!size_mul(choice->queries, choice->copies, &samples) ||
      !size_mul(choice->public_samples, choice->public_copies, &public_rows) ||
      !size_add(samples, public_rows, &samples) || samples > UINT32_MAX)
    return FUSION_E_LIMIT;
  fusion_status status = FUSION_OK;
  struct source *source = mem_alloc(1, sizeof *source);
  struct mix *m = mem_alloc(1, sizeof *m);
  FAIL_IF(!source || !m, FUSION_E_MEMORY);
  *m = (struct mix){.choice = *choice,
                    .samples = samples,
                    .place = mem_alloc(samples, sizeof *m->place),
                    .row = mem_alloc(samples, sizeof *m->row)};
  FAIL_IF(!m->place || !m->row, FUSION_E_MEMORY);
  *source = (struct source){.random = random, .context = context, .used = RANDOM_WORDS};
  TRY(shuffle(m, source));
cleanup:
  mem_free_secret(source, source ? sizeof *source : 0);
  if (status != FUSION_OK)
    mix_free(m);
  else
    *out = m;
  return status;
}

/** Uniform in [0, bound) from the low bits of a word, drawn again while they are too large. A journal keeps a seed, not
 * the rows: its job goes on only while they are found in its stream in this very way. */
static fusion_status masked_below(struct source *s, uint64_t bound, uint64_t *out) {
  do {
    const fusion_status status = next_word(s, out);
    if (status != FUSION_OK) return status;
    *out &= low_mask(log2_up(bound));
  } while (*out >= bound);
  return FUSION_OK;
}

fusion_status mix_draw_rows(size_t *out, size_t count, size_t rows, mix_random random, void *context) {
  if (count > rows) return FUSION_E_USAGE;
  fusion_status status = FUSION_OK;
  struct source *source = mem_alloc(1, sizeof *source);
  size_t *order = mem_alloc(rows, sizeof *order);
  FAIL_IF(!source || !order, FUSION_E_MEMORY);
  *source = (struct source){.random = random, .context = context, .used = RANDOM_WORDS};
  for (size_t i = 0; i < rows; i++) order[i] = i;
  for (size_t i = 0; i < count; i++) { /* Fisher and Yates, from the bottom */
    uint64_t k;
    TRY(masked_below(source, rows - i, &k));
    out[i] = order[i + k];
    order[i + k] = order[i];
  }
cleanup:
  mem_free_secret(source, source ? sizeof *source : 0);
  mem_free_secret(order, order ? rows * sizeof *order : 0);
  return status;
}

void mix_free(struct mix *m) {
  if (!m) return;
  mem_free_secret(m->place, m->place ? m->samples * sizeof *m->place : 0);
  mem_free_secret(m->row, m->row ? m->samples * sizeof *m->row : 0);
  mem_free(m);
}

size_t mix_samples(const struct mix *m) {
  return m->samples;
}

void mix_rows(const struct mix *m, void *out, const void *queries, const void *public_samples, size_t row_len,
              size_t first, size_t count) {
  assert(first <= m->samples && count <= m->samples - first);
  const size_t copies_end = m->choice.queries * m->choice.copies;
  for (size_t i = 0; i < count; i++) {
    const size_t row = m->row[first + i];
    const uint8_t *from =
        row < copies_end ? (const uint8_t *)queries + row / m->choice.copies * row_len
                         : (const uint8_t *)public_samples + (row - copies_end) / m->choice.public_copies * row_len;
    memcpy((uint8_t *)out + i * row_len, from, row_len);
  }
}

/* Checking. Masks instead of branches: what came back is secret until the verdict is out. */

/** A mask of which the compiler knows nothing: clang turns a choice by one that it sees through into a branch. Not
 * inline assembly, where MemorySanitizer would lose track. */
static uint64_t mask_hidden(uint64_t mask) {
  static const volatile uint64_t zero = 0;
  return mask ^ zero;
}

static uint64_t mask_differs(uint64_t a, uint64_t b) {
  const uint64_t x = a ^ b;
  return mask_hidden(0 - ((x | (0 - x)) >> 63));
}

/** All ones if a > b, unsigned. */
static uint64_t mask_above(uint64_t a, uint64_t b) {
  return mask_hidden(0 - ((((~b) & a) | ((~(b ^ a)) & (b - a))) >> 63));
}

/** All ones if a > b, signed. */
static uint64_t mask_greater(int64_t a, int64_t b) {
  const uint64_t bias = UINT64_C(1) << 63;
  return mask_above((uint64_t)a ^ bias, (uint64_t)b ^ bias);
}

/** `a` where the mask is ones, else `b`. */
static int64_t mask_choose(uint64_t mask, int64_t a, int64_t b) {
  return (int64_t)((uint64_t)b ^ (mask & ((uint64_t)a ^ (uint64_t)b)));
}

int64_t mix_label(const struct mix_check *check, const int64_t *answer) {
  if (check->kind != MIX_ANSWER_LOGITS) return answer[0];
  if (check->answer_size == 1) return (int64_t)(mask_greater(answer[0], 0) & 1);
  uint64_t best = (uint64_t)answer[0], label = 0;
  for (size_t i = 1; i < check->answer_size; i++) {
    const uint64_t wins = mask_greater(answer[i], (int64_t)best);
    best ^= wins & (best ^ (uint64_t)answer[i]);
    label ^= wins & (label ^ i);
  }
  return (int64_t)label;
}

/** By how much the copies' integers at place `i` of an answer may differ. */
static uint64_t allowed_spread(const struct mix_check *check, size_t i) {
  const bool index = check->kind == MIX_ANSWER_INDEX || (check->kind == MIX_ANSWER_TOP_K && i % 2 == 0);
  return check->agreement == MIX_AGREE_WITHIN && !index ? check->tolerance : 0;
}

/** All ones when the labels of `copies` answers at these places are not all the same. */
static uint64_t mask_labels_differ(const struct mix_check *check, const int64_t *answers, const uint32_t *place,
                                   size_t copies) {
  const uint64_t first = (uint64_t)mix_label(check, answers + place[0] * check->answer_size);
  uint64_t differs = 0;
  for (size_t j = 1; j < copies; j++)
    differs |= mask_differs(first, (uint64_t)mix_label(check, answers + place[j] * check->answer_size));
  return differs;
}

/** All ones when some integer differs by more than is allowed between any two of them: the largest and the smallest. */
static uint64_t mask_values_differ(const struct mix_check *check, const int64_t *answers, const uint32_t *place,
                                   size_t copies) {
  uint64_t differs = 0;
  for (size_t i = 0; i < check->answer_size; i++) {
    int64_t low = answers[place[0] * check->answer_size + i], high = low;
    for (size_t j = 1; j < copies; j++) {
      const int64_t x = answers[place[j] * check->answer_size + i];
      low = mask_choose(mask_greater(low, x), x, low);
      high = mask_choose(mask_greater(x, high), x, high);
    }
    /* The difference of two 64-bit values, the smaller taken from the larger, always fits 64 bits. */
    differs |= mask_above((uint64_t)high - (uint64_t)low, allowed_spread(check, i));
  }
  return differs;
}

/** All ones when the answers at these places do not agree. */
static uint64_t mask_copies_differ(const struct mix_check *check, const int64_t *answers, const uint32_t *place,
                                   size_t copies) {
  return check->agreement == MIX_AGREE_LABEL ? mask_labels_differ(check, answers, place, copies)
                                             : mask_values_differ(check, answers, place, copies);
}

/** All ones when some integer at one of these places is not the known one. */
static uint64_t mask_changed(const struct mix_check *check, const int64_t *answers, const uint32_t *place,
                             size_t copies, const int64_t *known) {
  uint64_t differs = 0;
  for (size_t j = 0; j < copies; j++)
    for (size_t i = 0; i < check->answer_size; i++)
      differs |= mask_differs((uint64_t)answers[place[j] * check->answer_size + i], (uint64_t)known[i]);
  return differs;
}

size_t mix_compared_size(const struct mix_check *check) {
  return check->agreement == MIX_AGREE_LABEL ? 1 : check->answer_size;
}

/** Counts what is wrong with the public samples. */
static void verify_public(const struct mix *m, const struct mix_check *check, const int64_t *answers,
                          const int64_t *labels, struct mix_result *result) {
  const size_t size = check->answer_size, copies = m->choice.public_copies;
  const uint32_t *place = m->place + m->choice.queries * m->choice.copies;
  for (size_t t = 0; t < m->choice.public_samples; t++, place += copies) {
    result->disagreeing_public += mask_copies_differ(check, answers, place, copies) & 1;
    if (t < check->canaries) {
      result->changed_canaries += mask_changed(check, answers, place, copies, check->canary_answers + t * size) & 1;
      continue;
    }
    const uint64_t label = (uint64_t)mix_label(check, answers + place[0] * size);
    result->wrong_public += mask_differs(label, (uint64_t)labels[t - check->canaries]) & 1;
  }
}

static bool check_is_sound(const struct mix *m, const struct mix_check *check) {
  if (!check->answer_size || (unsigned)check->kind > MIX_ANSWER_TOP_K || (unsigned)check->agreement > MIX_AGREE_LABEL)
    return false;
  return check->canaries <= m->choice.public_samples && (!check->canaries || check->agreement == MIX_AGREE_EXACT);
}

void mix_public_answers(const struct mix *m, const int64_t *answers, size_t answer_size, size_t first, size_t count,
                        int64_t *out) {
  assert(first <= m->choice.public_samples && count <= m->choice.public_samples - first);
  const uint32_t *place = m->place + m->choice.queries * m->choice.copies + first * m->choice.public_copies;
  for (size_t t = 0; t < count; t++, place += m->choice.public_copies)
    memcpy(out + t * answer_size, answers + place[0] * answer_size, answer_size * sizeof *out);
}

fusion_status mix_verify(const struct mix *m, const struct mix_check *check, const int64_t *answers,
                         const int64_t *labels, int64_t *query_answers, struct mix_result *result) {
  *result = (struct mix_result){.accepted = false};
  if (!check_is_sound(m, check)) return FUSION_E_USAGE;
  const bool by_label = check->agreement == MIX_AGREE_LABEL;
  const size_t size = check->answer_size, copies = m->choice.copies;
  for (size_t q = 0; q < m->choice.queries; q++) {
    const uint32_t *place = m->place + q * copies;
    const int64_t *first = answers + place[0] * size;
    result->disagreeing_queries += mask_copies_differ(check, answers, place, copies) & 1;
    if (by_label)
      query_answers[q] = mix_label(check, first);
    else
      memcpy(query_answers + q * size, first, size * sizeof *first);
  }
  verify_public(m, check, answers, labels, result);
  const uint64_t rejected =
      mask_differs(result->disagreeing_queries | result->disagreeing_public | result->changed_canaries, 0) |
      mask_greater((int64_t)result->wrong_public, (int64_t)m->choice.errors);
  result->accepted = !(rejected & 1);
  return FUSION_OK;
}
