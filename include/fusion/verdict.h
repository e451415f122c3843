/** The verdict on a job: the client's record of what was checked and what came out. JSON for programs, HTML for people.
 */
#ifndef FUSION_VERDICT_H
#define FUSION_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fusion/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FUSION_VERDICT_STAGES 12

/** Where time and traffic went. Never changes. */
typedef struct fusion_verdict_stage {
  char name[24];
  double seconds; /**< summed over workers */
  uint64_t bytes_sent, bytes_received;
} fusion_verdict_stage;

/** How an audit's samples of one class, by their true label, were answered. Never changes. */
typedef struct fusion_verdict_class {
  int64_t label; /**< as the network names it */
  uint64_t samples, wrong;
  double accuracy, accuracy_lower_bound; /**< at the verdict's confidence, each class for itself */
} fusion_verdict_class;

/** The library's: it may grow at its end. The functions below take verdicts that came from the library. */
typedef struct fusion_verdict {
  bool accepted;
  char reason[200]; /**< one sentence */

  uint64_t queries, copies, public_samples, samples, allowed_errors; /**< R, B, T, N, e */
  uint32_t security_bits;                                            /**< lambda asked for */
  double soundness_bits, paper_bits;                                 /**< attained; the paper's bound */
  double min_accuracy;                                               /**< delta */

  uint64_t wrong_public;        /**< labelled answers that were wrong, each counted once, by its first copy */
  double accuracy;              /**< on the labelled public samples, T - C of them; 0 when there are none */
  double accuracy_lower_bound;  /**< Clopper-Pearson, one-sided, at `confidence` */
  double confidence;            /**< default 0.95 */
  uint64_t disagreeing_queries; /**< queries whose copies differed */

  double seconds;
  uint64_t bytes_sent, bytes_received;
  uint32_t rounds;  /**< one-way message delays on the longest chain, over two */
  uint32_t workers; /**< connections used */
  uint32_t stage_count;
  fusion_verdict_stage stages[FUSION_VERDICT_STAGES];

  char server[256];          /**< host:port */
  char engine[24];           /**< protocol engine */
  char rounding[12];         /**< "exact" or "fast" */
  char started_utc[32];      /**< ISO 8601 */
  char manifest_hash[129];   /**< BLAKE2b of the manifest, hex */
  char certificate_hash[65]; /**< SHA-256 of the server's certificate, hex; empty without TLS */
  char compared[48]; /**< what the copies were compared by; the bits are those against tampering that makes wrong what
                        it touches: "every number of every copy", "labels only", or "numbers within N" */

  uint64_t public_copies; /**< K: copies of each public sample; with 2 or more they are compared as a query's are */
  uint64_t disagreeing_public;              /**< public samples whose copies differed; one is enough to reject */
  uint64_t clipped_queries, clipped_public; /**< samples with values beyond the model's input range: their answers may
                                               be wrong, and the server has no part in it */
  char note[640];                           /**< what to check in the client's own data; empty when nothing */
  char model_id[65];                        /**< of the model that the server announced, hex */
  uint64_t receipt_samples;                 /**< samples for which there is a receipt of the server */

  bool audit;                /**< this job was an audit: no queries, and `audited` below are its own figures */
  uint64_t canaries;         /**< C: of the public samples, those whose whole answer an audit knew */
  uint64_t changed_canaries; /**< of these, those answered differently than in the audit; one is enough to reject */
  char audited_utc[32];      /**< when the model was audited; empty without an audit. The following are the audit's */
  uint64_t audited_samples, audited_wrong;
  double audited_accuracy, audited_lower_bound; /**< the bound at `confidence` */
  const fusion_verdict_class *classes; /**< [class_count], by label; of the result, and gone with it; may be NULL */
  size_t class_count;
  /** Predicted when the job began, from the speeds of both parties: its seconds but for the bandwidth of the line, and
   * processor seconds of the server and of the client. 0: nothing was predicted (fusion_client_settings.speeds). */
  double predicted_seconds, predicted_server, predicted_client;
} fusion_verdict;

/** The record as JSON text (NUL-terminated, fields named as above); *out is released with fusion_text_free. */
FUSION_API fusion_status fusion_verdict_json(const fusion_verdict *verdict, char **out) FUSION_MUST_CHECK;
/** The record as one self-contained HTML page: no scripts, nothing loaded from elsewhere. */
FUSION_API fusion_status fusion_verdict_html(const fusion_verdict *verdict, char **out) FUSION_MUST_CHECK;
FUSION_API void fusion_text_free(char *text);

/** Writes the record to a file, whole or not at all: HTML when the name ends in .html or .htm, else JSON. */
FUSION_API fusion_status fusion_verdict_save(const fusion_verdict *verdict, const char *path,
                                             fusion_error *err) FUSION_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
