#include "mixcheck/mix.h"

enum { RANDOM_WORDS = 512 };

struct mix {
  struct mix_choice choice;
  size_t samples;
  uint32_t *place; /* secret, owned: where in the shuffled batch the unshuffled row is */
  uint32_t *row; /* secret, owned: its inverse. Unshuffled: copy j of query i is row i*B + j, then the public samples */
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
  if (!choice->queries || choice->copies < 2 || choice->errors >= choice->public_samples) return FUSION_E_USAGE;
  uint64_t samples;
  if (!size_mul(choice->queries, choice->copies, &samples) || !size_add(samples, choice->public_samples, &samples) ||
      samples > UINT32_MAX)
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

void mix_rows(const struct mix *m, int64_t *out, const int64_t *queries, const int64_t *public_samples, size_t row_size,
              size_t first, size_t count) {
  assert(first <= m->samples && count <= m->samples - first);
  const size_t copies_end = m->choice.queries * m->choice.copies;
  for (size_t i = 0; i < count; i++) {
    const size_t row = m->row[first + i];
    const int64_t *from =
        row < copies_end ? queries + row / m->choice.copies * row_size : public_samples + (row - copies_end) * row_size;
    memcpy(out + i * row_size, from, row_size * sizeof *out);
  }
}

/* Checking. Masks instead of branches: what came back is secret until the verdict is out. */

static uint64_t mask_differs(uint64_t a, uint64_t b) {
  const uint64_t x = a ^ b;
  return 0 - ((x | (0 - x)) >> 63);
}

/** All ones if a > b, signed. */
static uint64_t mask_greater(int64_t a, int64_t b) {
  const uint64_t bias = UINT64_C(1) << 63, x = (uint64_t)a ^ bias, y = (uint64_t)b ^ bias;
  return 0 - ((((~y) & x) | ((~(y ^ x)) & (y - x))) >> 63);
}

int64_t mix_label(const struct mix_check *check, const int64_t *answer) {
  if (check->kind == MIX_ANSWER_INDEX) return answer[0];
  if (check->answer_size == 1) return (int64_t)(mask_greater(answer[0], 0) & 1);
  uint64_t best = (uint64_t)answer[0], label = 0;
  for (size_t i = 1; i < check->answer_size; i++) {
    const uint64_t wins = mask_greater(answer[i], (int64_t)best);
    best ^= wins & (best ^ (uint64_t)answer[i]);
    label ^= wins & (label ^ i);
  }
  return (int64_t)label;
}

/** All ones when two copies' answers do not agree. */
static uint64_t mask_disagree(const struct mix_check *check, const int64_t *a, const int64_t *b) {
  if (check->agreement == MIX_AGREE_LABEL)
    return mask_differs((uint64_t)mix_label(check, a), (uint64_t)mix_label(check, b));
  uint64_t differs = 0;
  for (size_t i = 0; i < check->answer_size; i++) {
    const uint64_t x = (uint64_t)a[i], y = (uint64_t)b[i];
    if (check->agreement == MIX_AGREE_EXACT) {
      differs |= mask_differs(x, y);
      continue;
    }
    /* |x - y| > tolerance; the difference of two 64-bit values, the smaller taken from the larger, always fits 64 bits.
     */
    const uint64_t swap = mask_greater(b[i], a[i]);
    const uint64_t distance = ((x - y) ^ swap) - swap;
    const uint64_t bias = UINT64_C(1) << 63;
    differs |= mask_greater((int64_t)(distance ^ bias), (int64_t)(check->tolerance ^ bias));
  }
  return differs;
}

fusion_status mix_verify(const struct mix *m, const struct mix_check *check, const int64_t *answers,
                         const int64_t *labels, int64_t *query_answers, struct mix_result *result) {
  *result = (struct mix_result){.accepted = false};
  if (!check->answer_size || (unsigned)check->kind > MIX_ANSWER_INDEX || (unsigned)check->agreement > MIX_AGREE_LABEL)
    return FUSION_E_USAGE;
  const size_t size = check->answer_size, copies = m->choice.copies;
  uint64_t wrong = 0, disagreeing = 0;
  for (size_t q = 0; q < m->choice.queries; q++) {
    const int64_t *first = answers + m->place[q * copies] * size;
    uint64_t differs = 0;
    for (size_t j = 1; j < copies; j++)
      differs |= mask_disagree(check, first, answers + m->place[q * copies + j] * size);
    disagreeing += differs & 1;
    memcpy(query_answers + q * size, first, size * sizeof *first);
  }
  for (size_t t = 0; t < m->choice.public_samples; t++) {
    const int64_t *answer = answers + m->place[m->choice.queries * copies + t] * size;
    wrong += mask_differs((uint64_t)mix_label(check, answer), (uint64_t)labels[t]) & 1;
  }
  const uint64_t rejected = mask_differs(disagreeing, 0) | mask_greater((int64_t)wrong, (int64_t)m->choice.errors);
  result->wrong_public = wrong;
  result->disagreeing_queries = disagreeing;
  result->accepted = !(rejected & 1);
  return FUSION_OK;
}
