/** What the commands share that run a job at a server: `query` and `audit`. */
#ifndef FUSION_TOOLS_ASK_H
#define FUSION_TOOLS_ASK_H

#include "cli.h"

/** --min-accuracy, --security (its help says what the bits mean for the command), --confidence, --manifest, --model-id.
 */
void cli_add_check(struct cli_option *table, fusion_client_settings *s, const char *security);
/** TLS, --model, --workers, limits and time-outs, --engine. */
void cli_add_network(struct cli_option *table, fusion_client_settings *s);

/** Progress on standard error, and signals that cancel the job. Between begin and end one job runs. If this machine's
 *  speeds are kept, they go to `speeds`, and the job's seconds are predicted. */
void cli_job_settings(fusion_client_settings *s, struct cli_progress *bar, fusion_speeds *speeds);
void cli_job_begin(struct cli_progress *bar, fusion_client *client, const char *command, double samples, bool quiet);
void cli_job_end(struct cli_progress *bar);
/** As cli_failed, for a failed job: 128 and the signal's number when a signal ended it. */
int cli_job_failed(const char *command, fusion_status status, const fusion_error *err);

/** The verdict in lines. */
void cli_print_verdict(const fusion_verdict *v);
/** Tells when some samples of a job that asked for receipts have none: they ran on connections that were lost, or
 * before a kill. */
void cli_tell_missing_receipts(const char *command, const fusion_verdict *v);
/** CLI_EXIT_CHANGED when canaries were answered differently than in the audit, else CLI_EXIT_REJECT. */
int cli_rejected_code(const fusion_verdict *v);
/** True when the job came to a verdict and everything else went well. */
bool cli_is_verdict(int code);
/** The journal goes, or becomes a note that the job was rejected, when everything that came out of the job is where it
 *  belongs, not before. */
int cli_forget(const char *command, fusion_client *client, int code);

#endif
