/** Asking a server: `fusion query`. Queries and public samples are mixed, run through the server's model on shares, and
 *  checked; answers come out only when the check accepts them. */
#ifndef FUSION_CLIENT_H
#define FUSION_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fusion/array.h>
#include <fusion/files.h>
#include <fusion/model.h>
#include <fusion/plan.h>
#include <fusion/verdict.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fusion_client fusion_client;
typedef struct fusion_result fusion_result;

/** How far a job is. The library's: it may grow at its end. */
typedef struct fusion_progress {
  uint64_t samples_done, samples; /**< of the mixed batch */
  uint64_t bytes;                 /**< both ways */
  double seconds;                 /**< since the job began */
  double predicted_seconds;       /**< of the whole job, as fusion_verdict's; 0: unknown */
} fusion_progress;

/** All settings of a client. Start from fusion_client_defaults(). Texts are borrowed only until fusion_client_open
 * returns. */
typedef struct fusion_client_settings {
  size_t size;                 /**< of this struct; see fusion.h */
  const char *server;          /**< "HOST:PORT"; the certificate must be for HOST; no default */
  const char *tls_ca;          /**< PEM: the only authority trusted to vouch for the server */
  const char *tls_cert;        /**< PEM: the client's certificate; give tls_key too, or neither (default) */
  const char *tls_key;         /**< PEM, without a password */
  bool plaintext;              /**< no TLS; allowed only with loopback addresses; default false */
  const char *engine;          /**< protocol engine: "cheetah" (default), "cheetah-wan" for slow links, "delphi" */
  uint32_t workers;            /**< connections at once, 1 to 256; 0 (default): by the round trip and the cores */
  uint32_t shard_samples;      /**< at most so many samples run at once on a connection; 0 (default): 4,096 */
  uint32_t tries;              /**< how often a shard may run when connections are lost; default 3 */
  uint64_t max_memory;         /**< bytes for running shards; 0 (default): half of the machine's memory */
  uint64_t max_manifest;       /**< bytes of the server's public description of its model; default 64 MiB */
  uint64_t max_traffic;        /**< refuse a model for which more bytes are predicted; 0 (default): no limit */
  double max_seconds;          /**< end a job that takes longer; 0 (default): no limit */
  uint32_t connect_timeout_ms; /**< for TCP and TLS together; default 10,000 */
  uint32_t timeout_ms;         /**< how long the server may be silent; default 120,000 */
  uint32_t security_bits;      /**< see fusion_plan_request; default 40 */
  uint64_t min_public;         /**< default 100 */
  double min_accuracy;         /**< default 0.95 */
  double confidence;           /**< confidence of the lower bound on the accuracy; default 0.95 */
  /** With accept_fast, for models that use fast rounding: compare and return the numbers of answers. No two copies of a
   * query may differ by more than this many units; the indices of top-k answers must be equal. 0 (default): compare
   * labels. It is an error for models that answer labels and, without accept_fast, for models with exact rounding. */
  uint64_t tolerance;
  /** A file that records what has run. If the client is killed, fusion_client_query resumes the job when it is called
   * again with the same data and settings. The file holds secrets: the positions of the samples, and answers. It is
   * created with mode 0600, and stays after fusion_client_query has returned: see fusion_client_forget. NULL (default):
   * none. */
  const char *journal;
  /** Called about ten times a second during a job, by the thread that runs it; returning false ends the job with
   *  FUSION_E_CLOSED. NULL (default): none. */
  bool (*progress)(void *context, const fusion_progress *progress);
  void *progress_context;
  /** Also accept models that use fast rounding, whose honest copies can differ in the last places. They are compared
   * and returned as labels, or as numbers within `tolerance`. Models with exact rounding are still compared bit for
   * bit. Default false: models that use fast rounding are refused. */
  bool accept_fast;
  /** Accept only the model whose manifest has this hash: hexadecimal, as in fusion_verdict.manifest_hash. NULL
   * (default): any. */
  const char *manifest;
  /** Not 0: start a new job although the journal says that the last one was rejected or that the server broke the
   * protocol. A job that can resume still resumes. 0 (default): the end of that job is reported again, as a failure. */
  uint64_t again;
  /** Copies of each public sample, 1 to FUSION_PUBLIC_COPIES_MAX; 0 (default): 1. See fusion_plan_request. */
  uint64_t public_copies;
  /** Not 0: clip samples that exceed the model's input range, and say in the verdict how many. 0 (default): refuse them
   * before the job, since their answers would be wrong. The server chose the range, and a refusal shows it that there
   * are such samples; public samples are checked first. */
  uint64_t clip;
  /** Not 0: FUSION_ANSWERS_PROBABILITIES will be asked for; a model without probabilities is refused before the job. */
  uint64_t probabilities;
  /** The id that the server's model had before: hexadecimal, as in fusion_verdict.model_id. A server that announces
   * another one is refused before the job with FUSION_E_MODEL_CHANGED. NULL (default): any. */
  const char *model_id;
  /** Not 0: the server signs a receipt at the end of each connection (fusion_result_receipts); a server that does not
   * is refused before the job. The server learns that receipts are wanted, at the start and for every job alike. */
  uint64_t receipts;
  /** With `receipts`: the only public key that may sign them, 64 hexadecimal digits. NULL (default): the one that the
   *  server announces; the receipt then names the TLS certificate that the server showed. */
  const char *receipt_key;
  /** A file that fusion_files_add_canaries made from an accepted audit. Some of its samples, drawn at random, are
   * hidden in each job, and one answer that differs from the audit's is enough to reject. With canaries, a job has
   * exactly min_public labelled public samples, and may have none. NULL (default): none. */
  const char *canaries;
  uint64_t min_canaries; /**< at least this many of them; 1 to FUSION_PUBLIC_MAX, default 20 */
  /** A file that fusion_client_prepare made, for one job of as many samples: all that needs no input has been done. The
   * file is used up, and gone, before the first message of the job's samples leaves, whatever becomes of the job; one
   * that is damaged or does not fit is refused before that, and stays. Excludes `journal`.
   * NULL (default): the job runs in one go. */
  const char *prepared;
  /** Runs the job's shards in other processes or on other machines. It is called once for each shard, by up to
   * `workers` threads at a time. It must carry `task` to a process that calls fusion_client_run_task, and copy what
   * that wrote to `report` [report_len]. A task holds secrets: samples in the job's secret order. It does not hold the
   * order or the labels; these and the verdict stay here. FUSION_E_CLOSED, FUSION_E_TIMEOUT and FUSION_E_IO mean that
   * the task was lost: the shard runs again, as after a lost connection. Other failures end the job; `err` says why.
   * Not possible with receipts. NULL (default): this process runs the shards. */
  fusion_status (*run_task)(void *context, const void *task, size_t len, void *report, size_t report_len,
                            fusion_error *err);
  void *run_task_context;
  /** Which of the server's models: NAME, or NAME@VERSION. NULL (default): the only one that it has for this client. */
  const char *model;
  /** A file in which a job leaves, for the next one with the same server and engine, what lets both do without the base
   * oblivious transfers that a connection begins with. It is made (mode 0600) when a job ends without a failure,
   * whatever its verdict, and used up, and gone, before the next one names it. If it, or the server's part, is missing,
   * old or for something else, the set-up is made anew. Secret. One for each server, and for each job at a time.
   * Excludes `prepared` and `run_task`. NULL (default): nothing is kept. */
  const char *keep;
  /** This machine's speeds (fusion_bench_calibrate): the job's seconds are then predicted, with those that the server
   * tells of its own; one that tells none is taken as equally fast. Borrowed until fusion_client_open returns.
   * NULL (default): nothing is predicted. */
  const fusion_speeds *speeds;
} fusion_client_settings;

FUSION_API void fusion_client_init(fusion_client_settings *settings, size_t size);
static inline fusion_client_settings fusion_client_defaults(void) {
  fusion_client_settings settings;
  fusion_client_init(&settings, sizeof settings);
  return settings;
}

/** Checks the settings and loads the certificates; connects to nothing yet. FUSION_E_USAGE; FUSION_E_IO and
 *  FUSION_E_TLS name the file. */
FUSION_API fusion_status fusion_client_open(fusion_client **out, const fusion_client_settings *settings,
                                            fusion_error *err) FUSION_MUST_CHECK;

/** Does for a job of `samples` samples (fusion_plan_choice.samples) all that needs no input, with an engine that can
 *  ("delphi", "cheetah"), over one connection. The server keeps its part, the client its own in the new file `path`,
 * for one job (fusion_client_settings.prepared) with the same model, engine and client certificate. Secret: mode 0600.
 *  FUSION_E_USAGE (another engine), FUSION_E_IO (the file; found out first), FUSION_E_REFUSED (the server keeps none,
 * or not so much), FUSION_E_BUSY (it has no room now), and what a job may end with before its inputs. */
FUSION_API fusion_status fusion_client_prepare(fusion_client *client, uint64_t samples, const char *path,
                                               fusion_error *err) FUSION_MUST_CHECK;

/** The plan of a job with `queries` rows: fusion_plan_copies with the client's settings. With canaries and min_public 0
 * it has no labelled samples. */
FUSION_API fusion_status fusion_client_plan(const fusion_client *client, uint64_t queries, fusion_plan_choice *choice,
                                            fusion_error *err) FUSION_MUST_CHECK;

/** Runs a job: R rows of `queries`, hidden among copies and T rows, copied too if the settings say so, drawn at random
 * from `public_samples`, whose true `labels` (whole numbers, one a row) never leave the client. Arrays hold raw data,
 * as the model's preprocessing expects, and are read until this returns. With canaries both may be NULL.
 *
 *  FUSION_OK with a result whose verdict accepts or rejects; when it rejects there are no answers. Else, and nothing is
 *  known of the answers: FUSION_E_INPUT (an array or the journal does not fit), FUSION_E_REJECTED (by the journal, this
 * job was rejected; see `again`), FUSION_E_UNREACHABLE (no plan), FUSION_E_REFUSED (the server says why),
 * FUSION_E_BUSY (the same; it may be asked again later), FUSION_E_LIMIT (a limit of this client), FUSION_E_ROUNDING
 * (see accept_fast), FUSION_E_OTHER_MODEL (see manifest; or the canaries are of another model), FUSION_E_MODEL_CHANGED
 * (see model_id), FUSION_E_USAGE (a tolerance that this model does not take), FUSION_E_IO, FUSION_E_CLOSED,
 * FUSION_E_TIMEOUT (lost and not recovered), FUSION_E_VERSION (the server is of another release), FUSION_E_PEER,
 * FUSION_E_CRYPTO, FUSION_E_TLS (the server broke the protocol), FUSION_E_MEMORY. The traffic is the same whether the
 * verdict accepts or rejects, and ends before it is known. */
FUSION_API fusion_status fusion_client_query(fusion_client *client, const fusion_array *queries,
                                             const fusion_array *public_samples, const fusion_array *labels,
                                             fusion_result **result, fusion_error *err) FUSION_MUST_CHECK;

/** Audits the server's model: all rows of `public_samples` with their `labels`, each sent as often as fusion_plan_audit
 * says, copies compared bit for bit. Accepted when they agree and enough labels are right; the verdict then has the
 * accuracy by class, and the result the answers to the samples, in an order of its own. Failures are those of
 * fusion_client_query; FUSION_E_ROUNDING for every model that uses fast rounding. Settings about canaries are ignored.
 */
FUSION_API fusion_status fusion_client_audit(fusion_client *client, const fusion_array *public_samples,
                                             const fusion_array *labels, fusion_result **result,
                                             fusion_error *err) FUSION_MUST_CHECK;

/** Adds the canaries that an accepted audit gives to a set of files, mode 0600. FUSION_E_USAGE when the result is none;
 * FUSION_E_IO, FUSION_E_MEMORY. docs/protocols/canaries.md has the format. */
FUSION_API fusion_status fusion_files_add_canaries(fusion_files *files, const char *path, const fusion_result *result,
                                                   fusion_error *err) FUSION_MUST_CHECK;
/** Adds the accepted queries of a job with canaries, and their answers, to the client's file of canaries, unless they
 * are there already. Several jobs may do so at the same time; none loses its rows. FUSION_E_USAGE when the job was
 * rejected or had no canaries; FUSION_E_INPUT (the file is of another model by now), FUSION_E_IO, FUSION_E_MEMORY. */
FUSION_API fusion_status fusion_client_add_canaries(const fusion_client *client, const fusion_result *result,
                                                    fusion_error *err) FUSION_MUST_CHECK;

/** Wipes the journal. Call it when the result of the last job, accepted or rejected, has been stored. After an accept,
 * and when there was no verdict, the file is removed. After a reject it stays, without secrets: it says when and why,
 * and fusion_client_query fails with FUSION_E_REJECTED unless `again` is set. Before this call, fusion_client_query
 * with the same data gives the same verdict again, without contacting the server. FUSION_E_IO; FUSION_E_INPUT (the file
 * is not a journal). Without a journal it does nothing. */
FUSION_API fusion_status fusion_client_forget(fusion_client *client, fusion_error *err) FUSION_MUST_CHECK;

/** Bytes of the report on a task; 0 when `task` [len] is not a task of this release. */
FUSION_API size_t fusion_task_report_len(const void *task, size_t len);

/** Runs a task that another client's run_task was given, on the server that this client's settings name and within
 * their limits, and writes fusion_task_report_len bytes to `report`. The server must have the same model as that of the
 * job. Failures as of fusion_client_query; FUSION_E_INPUT when `task` is not a task of this release. */
FUSION_API fusion_status fusion_client_run_task(fusion_client *client, const void *task, size_t len, void *report,
                                                fusion_error *err) FUSION_MUST_CHECK;

/** Ends a running job with FUSION_E_CLOSED. From any thread and from a signal handler. */
FUSION_API void fusion_client_cancel(fusion_client *client);
FUSION_API void fusion_client_close(fusion_client *client);

FUSION_API const fusion_verdict *fusion_result_verdict(const fusion_result *result);

/** What the answers are. */
typedef enum fusion_answer_form {
  FUSION_ANSWERS_RAW = 0,       /**< I64 [queries][answer size]: the integers, equal to fusion_model_run's */
  FUSION_ANSWERS_REAL,          /**< F64 of that shape: logits and top-k values in real units */
  FUSION_ANSWERS_PROBABILITIES, /**< as REAL; logits through Softmax, where the network ended in one */
  FUSION_ANSWERS_LABELS,        /**< I64 [queries]: the label that each answer decides for */
} fusion_answer_form;

/** The accepted answers in a form; owned by the caller. FUSION_E_USAGE when the verdict is reject, or when only labels
 * were compared and another form is asked for; FUSION_E_MEMORY. */
FUSION_API fusion_status fusion_result_answers(const fusion_result *result, fusion_answer_form form, fusion_array **out,
                                               fusion_error *err) FUSION_MUST_CHECK;
/** As fusion_model_class, of the server's model. */
FUSION_API bool fusion_result_class(const fusion_result *result, size_t index, int64_t *number, const char **text);

/** What the manifest says of the server's model, such as what its answers are. Arrays are borrowed from the result.
 * FUSION_E_USAGE, also when no manifest came; FUSION_E_MEMORY. */
FUSION_API fusion_status fusion_result_describe(const fusion_result *result, fusion_model_info *info,
                                                fusion_error *err) FUSION_MUST_CHECK;

/** True when an answer is only a label, because the model answers labels or because only labels were compared. */
FUSION_API bool fusion_result_is_label(const fusion_result *result);

/** Wipes and frees; NULL is allowed. */
FUSION_API void fusion_result_free(fusion_result *result);

#ifdef __cplusplus
}
#endif
#endif
