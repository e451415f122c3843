#include "ask.h"

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine_speeds.h"
#include "outputs.h"

enum { CLASSES_SHOWN = 10 };
#define CHANGED_PART 0.1 /* of all answers: what a few canaries still notice is shown for this */

void cli_add_check(struct cli_option *table, fusion_client_settings *s, const char *security) {
  const struct cli_option options[] = {
      CLI_OPT_NUMBER("min-accuracy", &s->min_accuracy, 1e-9, 1, "A",
                     "Accept only if at least this share of the public answers is right. Default: 0.95.",
                     .letter = 'a'),
      CLI_OPT_COUNT("security", &s->security_bits, 1, FUSION_SECURITY_MAX, "BITS", security, .letter = 's'),
      CLI_OPT_NUMBER("confidence", &s->confidence, 1e-9, 1 - 1e-9, "C",
                     "Confidence of the lower bound on the accuracy in the verdict. Default: 0.95."),
      CLI_OPT_TEXT("manifest", &s->manifest, "HASH",
                   "Refuse a server whose model's manifest has another hash than HASH. The verdict shows "
                   "the hash."),
      CLI_OPT_TEXT("model-id", &s->model_id, "ID",
                   "The id that the server's model had before. If the server announces another one, stop "
                   "before the job (exit status 14)."),
      {.name = NULL}};
  cli_add_options(table, options);
}

void cli_add_network(struct cli_option *table, fusion_client_settings *s) {
  const struct cli_option options[] = {
      CLI_OPT_TEXT("model", &s->model, "NAME[@VERSION]",
                   "Which of the server's models. Default: the only one that it has for this client."),
      CLI_OPT_COUNT("workers", &s->workers, 0, 256, "N",
                    "Number of connections at once. Default: 0, chosen by the round trip and the cores.",
                    .letter = 'w'),
      CLI_OPT_COUNT("shard-samples", &s->shard_samples, 1, 1 << 20, "N",
                    "Run at most N samples at once on a connection. Default: 4096."),
      CLI_OPT_COUNT("tries", &s->tries, 1, 100, "N",
                    "How often a shard may run when connections are lost. Default: 3."),
      CLI_OPT_MS("connect-timeout-s", &s->connect_timeout_ms, 0.01, 86400,
                 "How long connecting may take, TLS included, in seconds. Default: 10."),
      CLI_OPT_NUMBER("max-seconds", &s->max_seconds, 0, 1e9, "S",
                     "End a job that takes more seconds. Default: no limit."),
      CLI_OPT_BYTES("max-manifest", &s->max_manifest, 1,
                    "Refuse a model whose manifest, its public description, is longer. Default: 64M."),
      CLI_OPT_BYTES("max-traffic", &s->max_traffic, 0,
                    "Refuse a model for which more traffic is predicted. Default: no limit."),
      {.name = NULL}};
  cli_add_tls_client(table, s);
  cli_add_options(table, options);
  cli_add_limits(table, &s->timeout_ms, &s->max_memory);
  cli_add_engine(table, &s->engine);
  cli_add_stack(table, &s->engine);
}

/* What the signal handler cancels. */
static fusion_client *volatile running;
static volatile sig_atomic_t last_signal;

static void on_signal(int number) {
  last_signal = number;
  if (running) fusion_client_cancel(running);
}

static bool show_progress(void *context, const fusion_progress *p) {
  struct cli_progress *bar = context;
  bar->total = (double)p->samples;
  bar->predicted = p->predicted_seconds;
  cli_progress_update(bar, (double)p->samples_done);
  return true;
}

void cli_job_settings(fusion_client_settings *s, struct cli_progress *bar, fusion_speeds *speeds) {
  s->progress = show_progress;
  s->progress_context = bar;
  fusion_speeds_init(speeds, sizeof *speeds);
  if (cli_speeds_kept(speeds)) s->speeds = speeds;
}

void cli_job_begin(struct cli_progress *bar, fusion_client *client, const char *command, double samples, bool quiet) {
  const struct sigaction action = {.sa_handler = on_signal};
  running = client;
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  cli_progress_start(bar, command, "samples", samples, quiet);
}

void cli_job_end(struct cli_progress *bar) {
  cli_progress_end(bar);
  running = NULL;
}

int cli_job_failed(const char *command, fusion_status status, const fusion_error *err) {
  const int code = cli_failed(command, status, err);
  return last_signal && status == FUSION_E_CLOSED ? CLI_EXIT_SIGNAL + (int)last_signal : code;
}

static void print_job(const fusion_verdict *v) {
  const uint64_t labelled = v->public_samples - v->canaries;
  printf("job        ");
  if (!v->audit) printf("%" PRIu64 " queries, %" PRIu64 " copies each", v->queries, v->copies);
  if (v->canaries) printf(", %" PRIu64 " canaries", v->canaries);
  if (labelled) printf("%s%" PRIu64 " public samples", v->audit ? "" : ", ", labelled);
  if (v->public_copies > 1) printf(", %" PRIu64 " copies each", v->public_copies);
  printf(": %" PRIu64 " samples\n", v->samples);
}

static void print_accuracy(const fusion_verdict *v) {
  if (v->public_samples > v->canaries)
    printf("accuracy   %.2f %% on the public samples; at least %.2f %% at confidence %.3g\n", 100 * v->accuracy,
           100 * v->accuracy_lower_bound, v->confidence);
  if (!v->canaries) return;
  printf("audited    %s: %.2f %% of %" PRIu64 " samples right; at least %.2f %% at confidence %.3g\n", v->audited_utc,
         100 * v->audited_accuracy, v->audited_samples, 100 * v->audited_lower_bound, v->confidence);
  printf("unchanged  %" PRIu64 " of %" PRIu64 " canaries", v->canaries - v->changed_canaries, v->canaries);
  if (!v->changed_canaries)
    printf("; a model that answers 1 sample in 10 differently passes with probability %.2g",
           pow(1 - CHANGED_PART, (double)v->canaries));
  printf("\n");
}

static int compare_bounds(const void *a, const void *b) {
  const fusion_verdict_class *x = a, *y = b;
  if (x->accuracy_lower_bound != y->accuracy_lower_bound)
    return x->accuracy_lower_bound < y->accuracy_lower_bound ? -1 : 1;
  return (x->label > y->label) - (x->label < y->label);
}

/* The worst; the JSON and the page have all. */
static void print_classes(const fusion_verdict *v) {
  fusion_verdict_class *sorted = calloc(v->class_count + 1, sizeof *sorted);
  if (!sorted) return;
  if (v->class_count) memcpy(sorted, v->classes, v->class_count * sizeof *sorted);
  qsort(sorted, v->class_count, sizeof *sorted, compare_bounds);
  for (size_t i = 0; i < v->class_count && i < CLASSES_SHOWN; i++)
    printf("class      %" PRId64 ": %" PRIu64 " of %" PRIu64 " right; at least %.2f %% at confidence %.3g\n",
           sorted[i].label, sorted[i].samples - sorted[i].wrong, sorted[i].samples,
           100 * sorted[i].accuracy_lower_bound, v->confidence);
  if (v->class_count > CLASSES_SHOWN)
    printf("           and %zu classes with higher bounds: see the report\n", v->class_count - CLASSES_SHOWN);
  free(sorted);
}

static void print_prediction(const fusion_verdict *v) {
  char whole[CLI_TEXT_LEN], server[CLI_TEXT_LEN], client[CLI_TEXT_LEN];
  if (v->predicted_seconds > 0)
    printf("predicted  %s, not counting the line's bandwidth; processor %s at the server, %s here\n",
           cli_format_seconds(whole, v->predicted_seconds), cli_format_seconds(server, v->predicted_server),
           cli_format_seconds(client, v->predicted_client));
}

void cli_print_verdict(const fusion_verdict *v) {
  char time_text[CLI_TEXT_LEN], sent[CLI_TEXT_LEN], received[CLI_TEXT_LEN];
  printf("verdict    %s: %s\n", v->accepted ? "accept" : "reject", v->reason);
  print_job(v);
  printf("compared   %s\n", v->compared);
  printf("security   %.1f bits against %s\n", v->soundness_bits,
         v->audit                          ? "answers of two models"
         : v->public_samples > v->canaries ? "tampering that spoils every answer it touches"
                                           : "tampering that changes what it touches");
  print_accuracy(v);
  if (v->audit) print_classes(v);
  printf("traffic    %s sent, %s received, %u rounds, %s\n", cli_format_bytes(sent, (double)v->bytes_sent),
         cli_format_bytes(received, (double)v->bytes_received), v->rounds, cli_format_seconds(time_text, v->seconds));
  print_prediction(v);
}

void cli_tell_missing_receipts(const char *command, const fusion_verdict *v) {
  if (v->receipt_samples < v->samples)
    cli_error(command,
              "note: receipts cover %" PRIu64 " of %" PRIu64
              " samples; the others ran on lost connections or before a restart",
              v->receipt_samples, v->samples);
}

int cli_rejected_code(const fusion_verdict *v) {
  return v->changed_canaries ? CLI_EXIT_CHANGED : CLI_EXIT_REJECT;
}

bool cli_is_verdict(int code) {
  return code == CLI_EXIT_OK || code == CLI_EXIT_REJECT || code == CLI_EXIT_CHANGED;
}

int cli_forget(const char *command, fusion_client *client, int code) {
  fusion_error err = {.status = FUSION_OK};
  if (cli_flush_stdout(command) != CLI_EXIT_OK) return CLI_EXIT_IO;
  if (fusion_client_forget(client, &err) != FUSION_OK)
    cli_error(command, "%s; it may hold secrets: remove it yourself", err.text);
  return code;
}
