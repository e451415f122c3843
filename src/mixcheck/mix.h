/** The mix: which position of the shuffled batch holds which copy of which query or public sample; and the check
 * of what came back. The one secret of mix-and-check.
 *
 *  The permutation is uniform, drawn after the inputs are fixed, and lives in the mix alone. Rows are read and written
 * at places that depend on it, so a process that shares the client's caches might learn of it; the server, which sees
 * messages alone, cannot: their number, sizes and order do not depend on it, and nothing is sent after the check. */
#ifndef FUSION_MIXCHECK_MIX_H
#define FUSION_MIXCHECK_MIX_H

#include "mixcheck/bound.h"

/** Fills `out` with `len` uniform, secret bytes. */
typedef fusion_status (*mix_random)(void *context, void *out, size_t len);

struct mix; /* opaque, owned by the client's job */

/** Draws the permutation of all copies of the queries and of the public samples (below 2^32 positions). Without queries
 * (an audit: audit.h) every public sample has at least 2 copies, and the copies of a query are ignored. FUSION_E_USAGE,
 * FUSION_E_LIMIT, FUSION_E_MEMORY, and what `random` answers. */
fusion_status mix_draw(struct mix **out, const struct mix_choice *choice, mix_random random,
                       void *context) FUSION_MUST_CHECK;
/** Draws which public samples a job uses: `count` different numbers below `rows`, uniform, into out [count].
 *  FUSION_E_USAGE when there are too few, FUSION_E_MEMORY, and what `random` answers. */
fusion_status mix_draw_rows(size_t *out, size_t count, size_t rows, mix_random random, void *context) FUSION_MUST_CHECK;
/** Wipes and frees; NULL is allowed. */
void mix_free(struct mix *m);
size_t mix_samples(const struct mix *m);

/** Rows [first, first + count) of the shuffled batch into `out` [count][row_len], from queries [R][row_len] and public
 * samples [T][row_len], all in bytes. The caller checked the range (assert). */
void mix_rows(const struct mix *m, void *out, const void *queries, const void *public_samples, size_t row_len,
              size_t first, size_t count);

/** What an answer's integers are. */
enum mix_answer_kind {
  MIX_ANSWER_LOGITS, /**< label: the index of the largest, the lowest index on ties; of a single logit: 1 if positive */
  MIX_ANSWER_INDEX,  /**< indices; label: the first */
  MIX_ANSWER_TOP_K,  /**< pairs of an index and its value; label: the first index */
};

/** When copies of a query, or of a public sample, agree. The client's choice, never the server's. */
enum mix_agreement {
  MIX_AGREE_EXACT,  /**< every integer, bit for bit */
  MIX_AGREE_WITHIN, /**< every value: no two copies differ by more than `tolerance`. Indices, as exact */
  MIX_AGREE_LABEL,  /**< the label alone */
};

struct mix_check {
  enum mix_answer_kind kind;
  enum mix_agreement agreement;
  uint64_t tolerance; /* MIX_AGREE_WITHIN */
  size_t answer_size; /* integers in an answer, at least 1 */
  /** The first `canaries` public samples are canaries: all of their answers' integers are known and compared, and none
   * may differ; exact agreement alone. The labels of mix_verify are those of the other public samples. */
  size_t canaries;
  const int64_t *canary_answers; /* [canaries][answer_size] */
};

struct mix_result {
  bool accepted;
  uint64_t wrong_public;        /* public samples of whose first copy the label is wrong */
  uint64_t disagreeing_queries; /* queries whose copies do not agree */
  uint64_t disagreeing_public;  /* public samples whose copies do not agree; one is enough to reject */
  uint64_t changed_canaries;    /* canaries of which some copy's answer is not the known one; one is enough to reject */
};

/** Integers of a query's answer that are compared, and so may be handed out: the whole answer, or its label. */
size_t mix_compared_size(const struct mix_check *check);

/** Checks the whole shuffled batch of answers [N][answer_size] against the public labels [T - canaries], and writes
 * what was compared, as the first copy of each query has it, to query_answers [R][mix_compared_size] (meaningless
 * unless accepted). Everything is evaluated before anything is decided, and the flow of control does not depend on the
 * answers. FUSION_E_USAGE when the check makes no sense. */
fusion_status mix_verify(const struct mix *m, const struct mix_check *check, const int64_t *answers,
                         const int64_t *labels, int64_t *query_answers, struct mix_result *result) FUSION_MUST_CHECK;

/** The answers that the first copies of the public samples [first, first + count) have: [count][answer_size]. */
void mix_public_answers(const struct mix *m, const int64_t *answers, size_t answer_size, size_t first, size_t count,
                        int64_t *out);

/** The label that an answer gives. Constant flow. */
int64_t mix_label(const struct mix_check *check, const int64_t *answer);

#endif
