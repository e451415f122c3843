/** Planning mix-and-check: how many copies of each query and how many public samples make a cheating server fail. */
#ifndef FUSION_PLAN_H
#define FUSION_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fusion/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FUSION_QUERIES_MAX (UINT64_C(1) << 40)
#define FUSION_PUBLIC_MAX (UINT64_C(1) << 32)
#define FUSION_SECURITY_MAX 100
#define FUSION_PUBLIC_COPIES_MAX 64
#define FUSION_AUDIT_BITS_MAX 1000 /**< what an audit's bits are given as when they are more */

/** What a plan must satisfy. Start from fusion_plan_request_default. */
typedef struct fusion_plan_request {
  size_t size;      /**< of this struct; see fusion.h */
  uint64_t queries; /**< R, 1 to FUSION_QUERIES_MAX; no default */
  uint32_t
      security_bits; /**< lambda: a wrong answer is accepted with probability at most 2^-lambda; 1 to 100, default 40 */
  uint64_t min_public; /**< beta: at least so many public samples, up to FUSION_PUBLIC_MAX; default 100 */
  double min_accuracy; /**< delta, above 0, at most 1: floor((1 - delta) * T) public answers may be wrong; default 0.95;
                          used with nine decimal places */
  uint64_t public_copies; /**< K: copies of each public sample, 1 to FUSION_PUBLIC_COPIES_MAX; 0 (default): 1. With 2 or
                             more they are compared as a query's are, and one public sample whose copies disagree is
                             enough to reject */
  uint64_t min_canaries;  /**< not 0: at least this many of the public samples are canaries, up to FUSION_PUBLIC_MAX.
                             Their whole answers are known, and none may differ. The others are labelled; there are
                             exactly `min_public` of them, possibly none: floor((1 - delta) * min_public) of their
                             answers may be wrong. 0 (default): all are labelled */
} fusion_plan_request;

FUSION_API void fusion_plan_request_init(fusion_plan_request *request, size_t size);
static inline fusion_plan_request fusion_plan_request_default(void) {
  fusion_plan_request request;
  fusion_plan_request_init(&request, sizeof request);
  return request;
}

/** One choice of copies and public samples, and what it is worth. */
typedef struct fusion_plan_choice {
  size_t size;                              /**< of this struct */
  uint64_t queries, copies, public_samples; /**< R, B, T */
  uint64_t samples;                         /**< N = R*B + T*K */
  uint64_t allowed_errors;                  /**< e: public answers that may be wrong */
  double cost_per_query;                    /**< N / R: inferences for each query */
  double soundness_bits;  /**< -log2 of the best chance of a server that makes answers wrong wherever it tampers,
                             tolerated errors counted */
  double paper_bits;      /**< -log2 of the paper's bound R / C(N, B), which holds for e = 0 alone */
  uint64_t public_copies; /**< K: copies of each public sample */
  uint64_t canaries;      /**< C: canaries among the T public samples */
} fusion_plan_choice;

/** The cheapest choice with soundness of at least the security asked for; ties go to fewer copies. Exact integers
 * decide. FUSION_E_USAGE, FUSION_E_UNREACHABLE (the accuracy asked for leaves a server too much slack),
 * FUSION_E_MEMORY. Milliseconds, whatever the number of queries, for accuracies from 0.7; a
 * minute or more below, or with millions of public samples. */
FUSION_API fusion_status fusion_plan_copies(const fusion_plan_request *request, fusion_plan_choice *out,
                                            fusion_error *err) FUSION_MUST_CHECK;

/** The cheapest choice with the given number of copies (at least 2): what a neighbouring plan would cost.
 *  FUSION_E_UNREACHABLE when none is found that costs at most `cost_limit` inferences a query. */
FUSION_API fusion_status fusion_plan_with_copies(const fusion_plan_request *request, uint64_t copies, double cost_limit,
                                                 fusion_plan_choice *out, fusion_error *err) FUSION_MUST_CHECK;

/** The soundness of a choice made elsewhere. In: queries, copies (2 to 1000), public_samples, allowed_errors,
 * public_copies (0: 1) and canaries (at most public_samples); out: all fields. FUSION_E_USAGE when the numbers make no
 * sense (errors >= public samples...).
 */
FUSION_API fusion_status fusion_plan_rate(fusion_plan_choice *choice, fusion_error *err) FUSION_MUST_CHECK;

/** An audit of `samples` public samples: a job without queries, in which every sample is sent K times, the copies are
 * compared, and floor((1 - delta) * samples) labels may be wrong. K is request->public_copies if that is not 0, and
 * else the least for which a server that answers with two models is not noticed with probability at most
 * 2^-security_bits. FUSION_E_USAGE, FUSION_E_UNREACHABLE (too few copies were asked for). */
FUSION_API fusion_status fusion_plan_audit(const fusion_plan_request *request, uint64_t samples,
                                           fusion_plan_choice *out, fusion_error *err) FUSION_MUST_CHECK;

/** Tampering that makes only a part of all labels wrong, of queries and public samples alike. For example, it
 * suppresses one class, or changes a unit of the network that is off for most inputs. The server tampers with the
 * number of positions that is best for it. docs/protocols/mix-and-check.md explains what a part means and why this
 * holds. */
typedef struct fusion_sensitivity {
  size_t size;       /**< of this struct */
  double part;       /**< in: rho, the part of all samples whose labels go from right to wrong, 0 < rho <= 1 */
  double given_bits; /**< out: -log2 of the chance that a wrong answer is accepted for a query whose answer goes wrong.
                        Holds for all larger parts, too */
  double any_bits;   /**< out: likewise for any of R queries, each of which goes wrong with chance rho */
  uint64_t given_positions, any_positions; /**< out: positions with which the server reaches these chances */
} fusion_sensitivity;
/** FUSION_E_USAGE when the part or the choice makes no sense. Below a second for usual jobs; longer with
 * thousands of public samples. */
FUSION_API fusion_status fusion_plan_sensitivity(const fusion_plan_choice *choice, fusion_sensitivity *out,
                                                 fusion_error *err) FUSION_MUST_CHECK;

/** floor((1 - min_accuracy) * public_samples), min_accuracy taken to nine decimal places. */
FUSION_API uint64_t fusion_plan_allowed_errors(double min_accuracy, uint64_t public_samples);

/** The least number of public samples that tells two models apart, by exact binomial tails: a model of accuracy
 * `promise` is refused, and one of accuracy `reject_below` accepted, with probability at most `error_rate` each. */
typedef struct fusion_power {
  size_t size;                              /**< of this struct */
  double promise, reject_below, error_rate; /**< in: 0 <= reject_below < promise <= 1, 0 < error_rate < 0.5 */
  uint64_t public_samples, allowed_errors;  /**< out: T, e */
  double min_accuracy;                      /**< out: a short decimal that gives exactly e errors at T samples */
  double refuse_good, accept_bad;           /**< out: the two probabilities at (T, e) */
} fusion_power;
FUSION_API fusion_status fusion_plan_power(fusion_power *power, fusion_error *err) FUSION_MUST_CHECK;

/** Probability that at most `errors` of `samples` answers are wrong when each is wrong with probability 1 - accuracy.
 */
FUSION_API double fusion_accept_probability(double accuracy, uint64_t samples, uint64_t errors);

/** Clopper-Pearson: the accuracy that the model has at least, at the given one-sided confidence (0.95), after `errors`
 * wrong answers in `samples`. */
FUSION_API double fusion_accuracy_lower_bound(uint64_t samples, uint64_t errors, double confidence);

#ifdef __cplusplus
}
#endif
#endif
