/* fusion query: private queries to a server, checked. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

struct query_line {
  const char *ca, *cert, *key, *input, *public_samples, *labels, *answers, *report, *html, *stack;
  uint64_t security, min_public, workers, shard_samples, max_memory, max_manifest, max_traffic, tolerance, tries;
  double min_accuracy, timeout_s, connect_timeout_s, max_seconds, confidence;
  bool plaintext, raw, probabilities, as_labels, json, quiet;
};

static const char notes[] =
    "Exit status 0: the verdict is accept, answers are written. 10: reject, they are not. Others: see\n"
    "fusion(1).\n\n"
    "example:\n"
    "  fusion query server:7700 --tls-ca ca.pem --input q.npy --public pub.npy \\\n"
    "      --labels pub_labels.npy -o answers.npy --report report.json";

enum { OPTIONS_MAX = 40 };

/* Adds options up to the NULL name to the table. */
static void add_options(struct cli_option *table, const struct cli_option *more) {
  size_t at = 0;
  while (table[at].name) at++;
  for (; more->name && at + 1 < OPTIONS_MAX; more++) table[at++] = *more;
  table[at] = (struct cli_option){.name = NULL};
}

static void options_of_data(struct query_line *l, struct cli_option *table) {
  const struct cli_option options[] = {
      {.name = "input",
       .letter = 'i',
       .kind = CLI_TEXT,
       .out = &l->input,
       .required = true,
       .value = "FILE",
       .help = "The queries (.npy, .npz, .csv), one a row, raw as the model's preprocessing expects them."},
      {.name = "public",
       .letter = 'p',
       .kind = CLI_TEXT,
       .out = &l->public_samples,
       .required = true,
       .value = "FILE",
       .help = "Public samples, like the queries; as many as the plan needs are drawn at random."},
      {.name = "labels",
       .kind = CLI_TEXT,
       .out = &l->labels,
       .required = true,
       .value = "FILE",
       .help = "Their true labels, whole numbers. They stay here."},
      {.name = "output-file",
       .letter = 'o',
       .kind = CLI_TEXT,
       .out = &l->answers,
       .value = "FILE",
       .help = "Write accepted answers (.npy): real numbers, for a model that answers labels whole ones."},
      {.name = "raw",
       .kind = CLI_FLAG,
       .out = &l->raw,
       .help = "Write the answers' integers, equal to those of 'fusion run'."},
      {.name = "probabilities",
       .kind = CLI_FLAG,
       .out = &l->probabilities,
       .help = "Write probabilities, where the network ended in a Softmax."},
      {.name = "as-labels",
       .kind = CLI_FLAG,
       .out = &l->as_labels,
       .help = "Write the label that each answer decides for."},
      {.name = "report",
       .letter = 'r',
       .kind = CLI_TEXT,
       .out = &l->report,
       .value = "FILE",
       .help = "Write the verdict as JSON."},
      {.name = "html",
       .kind = CLI_TEXT,
       .out = &l->html,
       .value = "FILE.html",
       .help = "Write the verdict as a page for people."},
      {.name = "json", .letter = 'j', .kind = CLI_FLAG, .out = &l->json, .help = "Print the verdict as JSON."},
      {.name = "quiet", .letter = 'q', .kind = CLI_FLAG, .out = &l->quiet, .help = "No progress."},
      {.name = NULL}};
  add_options(table, options);
}

static void options_of_check(struct query_line *l, struct cli_option *table) {
  const struct cli_option options[] = {
      {.name = "min-accuracy",
       .letter = 'a',
       .kind = CLI_NUMBER,
       .out = &l->min_accuracy,
       .min = 1e-9,
       .max = 1,
       .value = "A",
       .help = "Accept when at least this part of the public answers is right (default 0.95)."},
      {.name = "security",
       .letter = 's',
       .kind = CLI_COUNT,
       .out = &l->security,
       .min = 1,
       .max = FUSION_SECURITY_MAX,
       .value = "BITS",
       .help = "A wrong answer is accepted with probability at most 2^-BITS (default 40)."},
      {.name = "min-public",
       .kind = CLI_COUNT,
       .out = &l->min_public,
       .max = (double)FUSION_PUBLIC_MAX,
       .value = "T",
       .help = "At least so many public samples (default 100)."},
      {.name = "confidence",
       .kind = CLI_NUMBER,
       .out = &l->confidence,
       .min = 1e-9,
       .max = 1 - 1e-9,
       .value = "C",
       .help = "Of the accuracy's lower bound in the verdict (default 0.95)."},
      {.name = "tolerance",
       .kind = CLI_COUNT,
       .out = &l->tolerance,
       .value = "UNITS",
       .help = "For models of rounding 'fast': copies agree when no number differs by more units (default: when "
               "their labels agree)."},
      {.name = NULL}};
  add_options(table, options);
}

static void options_of_network(struct query_line *l, struct cli_option *table) {
  const struct cli_option options[] = {
      {.name = "tls-ca",
       .kind = CLI_TEXT,
       .out = &l->ca,
       .value = "FILE",
       .help = "The authority (PEM) that vouches for the server; no other is trusted."},
      {.name = "tls-cert",
       .kind = CLI_TEXT,
       .out = &l->cert,
       .value = "FILE",
       .help = "The client's own certificate (PEM), for servers that ask for one."},
      {.name = "tls-key", .kind = CLI_TEXT, .out = &l->key, .value = "FILE", .help = "Its key (PEM, no password)."},
      {.name = "plaintext",
       .kind = CLI_FLAG,
       .out = &l->plaintext,
       .help = "No TLS. Allowed to loopback addresses only."},
      {.name = "workers",
       .letter = 'w',
       .kind = CLI_COUNT,
       .out = &l->workers,
       .min = 1,
       .max = 256,
       .value = "N",
       .help = "Connections side by side (default 1)."},
      {.name = "shard-samples",
       .kind = CLI_COUNT,
       .out = &l->shard_samples,
       .min = 1,
       .max = 1 << 20,
       .value = "N",
       .help = "At most so many samples at once on a connection (default 4096)."},
      {.name = "tries",
       .kind = CLI_COUNT,
       .out = &l->tries,
       .min = 1,
       .max = 100,
       .value = "N",
       .help = "How often a shard may run when connections are lost (default 3)."},
      {.name = "timeout-s",
       .kind = CLI_NUMBER,
       .out = &l->timeout_s,
       .min = 0.01,
       .max = 86400,
       .value = "S",
       .help = "Silence of the server tolerated (default 120)."},
      {.name = "connect-timeout-s",
       .kind = CLI_NUMBER,
       .out = &l->connect_timeout_s,
       .min = 0.01,
       .max = 86400,
       .value = "S",
       .help = "For connecting, TLS included (default 10)."},
      {.name = "max-seconds",
       .kind = CLI_NUMBER,
       .out = &l->max_seconds,
       .max = 1e9,
       .value = "S",
       .help = "End a job that takes longer (default: no limit)."},
      {.name = "max-memory",
       .kind = CLI_BYTES,
       .out = &l->max_memory,
       .value = "BYTES",
       .help = "For running shards (default: half of the machine's)."},
      {.name = "max-manifest",
       .kind = CLI_BYTES,
       .out = &l->max_manifest,
       .min = 1,
       .value = "BYTES",
       .help = "Refuse a model whose public description is longer (default 64M)."},
      {.name = "max-traffic",
       .kind = CLI_BYTES,
       .out = &l->max_traffic,
       .value = "BYTES",
       .help = "Refuse a model for which more traffic is predicted (default: no limit)."},
      {.name = "stack",
       .kind = CLI_TEXT,
       .out = &l->stack,
       .value = "NAME",
       .help = "Protocol stack (default cheetah)."},
      {.name = NULL}};
  add_options(table, options);
}

static int check_line(const struct query_line *l) {
  if (l->plaintext && (l->ca || l->cert || l->key))
    return cli_usage("query", "--plaintext and the TLS options exclude each other");
  if (!l->plaintext && !l->ca) return cli_usage("query", "give --tls-ca (or, to a loopback address, --plaintext)");
  if (!l->cert != !l->key) return cli_usage("query", "--tls-cert and --tls-key belong together");
  if (l->raw + l->probabilities + l->as_labels > 1)
    return cli_usage("query", "--raw, --probabilities and --as-labels exclude each other");
  const char *end = l->html ? strrchr(l->html, '.') : NULL;
  if (l->html && (!end || (strcmp(end, ".html") != 0 && strcmp(end, ".htm") != 0)))
    return cli_usage("query", "--html: '%s': the name must end in .html", l->html);
  return CLI_GO;
}

static int parse(struct query_line *l, int argc, char **argv, char ***positional) {
  struct cli_option options[OPTIONS_MAX] = {{.name = NULL}};
  options_of_data(l, options);
  options_of_check(l, options);
  options_of_network(l, options);
  const struct cli_syntax syntax = {
      .command = "query",
      .synopsis = "HOST:PORT --tls-ca FILE --input FILE --public FILE --labels FILE [options]",
      .about = "Gets a server's answers to private queries, and writes them when the check accepts them.",
      .options = options,
      .notes = notes,
      .min_positional = 1,
      .max_positional = 1};
  int count;
  const int done = cli_parse(&syntax, argc, argv, positional, &count);
  return done == CLI_GO ? check_line(l) : done;
}

static struct query_line line_defaults(const fusion_client_settings *s) {
  return (struct query_line){.security = s->security_bits,
                             .min_public = s->min_public,
                             .min_accuracy = s->min_accuracy,
                             .confidence = s->confidence,
                             .workers = s->workers,
                             .tries = s->tries,
                             .max_manifest = s->max_manifest,
                             .timeout_s = s->timeout_ms / 1e3,
                             .connect_timeout_s = s->connect_timeout_ms / 1e3,
                             .stack = s->stack};
}

static void fill_settings(fusion_client_settings *s, const struct query_line *l, const char *server) {
  s->server = server;
  s->tls_ca = l->ca;
  s->tls_cert = l->cert;
  s->tls_key = l->key;
  s->plaintext = l->plaintext;
  s->stack = l->stack;
  s->workers = (uint32_t)l->workers;
  s->shard_samples = (uint32_t)l->shard_samples;
  s->tries = (uint32_t)l->tries;
  s->max_memory = l->max_memory;
  s->max_manifest = l->max_manifest;
  s->max_traffic = l->max_traffic;
  s->max_seconds = l->max_seconds;
  s->connect_timeout_ms = (uint32_t)(l->connect_timeout_s * 1e3);
  s->timeout_ms = (uint32_t)(l->timeout_s * 1e3);
  s->security_bits = (uint32_t)l->security;
  s->min_public = l->min_public;
  s->min_accuracy = l->min_accuracy;
  s->confidence = l->confidence;
  s->tolerance = l->tolerance;
}

/* What the signal handler cancels. */
static fusion_client *volatile running;

static void on_signal(int number) {
  (void)number;
  if (running) fusion_client_cancel(running);
}

static bool show_progress(void *context, const fusion_progress *p) {
  struct cli_progress *bar = context;
  bar->total = (double)p->samples;
  cli_progress_update(bar, (double)p->samples_done);
  return true;
}

/* Finds out before the job, not after it, that a file cannot be written. */
static bool can_write(const char *path) {
  if (!path) return true;
  const char *slash = strrchr(path, '/');
  char folder[4096] = ".";
  if (slash) snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
  if (access(folder, W_OK | X_OK) == 0) return true;
  cli_error("query", "'%s': cannot write to this folder", path);
  return false;
}

static fusion_status write_answers(const struct query_line *l, const fusion_result *r, fusion_error *err) {
  fusion_answer_form form = fusion_result_is_label(r) ? FUSION_ANSWERS_LABELS : FUSION_ANSWERS_REAL;
  fusion_array *answers;
  if (l->raw) form = FUSION_ANSWERS_RAW;
  if (l->probabilities) form = FUSION_ANSWERS_PROBABILITIES;
  if (l->as_labels) form = FUSION_ANSWERS_LABELS;
  fusion_status status = fusion_result_answers(r, form, &answers, err);
  if (status == FUSION_OK) status = fusion_array_save_npy(answers, l->answers, err);
  fusion_array_free(answers);
  return status;
}

static int print_verdict(const struct query_line *l, const fusion_verdict *v) {
  char time_text[CLI_TEXT_LEN], sent[CLI_TEXT_LEN], received[CLI_TEXT_LEN];
  if (l->json) {
    char *text;
    if (fusion_verdict_json(v, &text) != FUSION_OK) return cli_failed("query", FUSION_E_MEMORY, NULL);
    json_t *json = json_loads(text, 0, NULL);
    fusion_text_free(text);
    return cli_print_json(json);
  }
  printf("verdict    %s: %s\n", v->accepted ? "accept" : "reject", v->reason);
  printf("job        %llu queries, %llu copies each, %llu public samples: %llu samples\n",
         (unsigned long long)v->queries, (unsigned long long)v->copies, (unsigned long long)v->public_samples,
         (unsigned long long)v->samples);
  printf("security   %.1f bits\n", v->soundness_bits);
  printf("accuracy   %.2f %% on the public samples; at least %.2f %% at confidence %.3g\n", 100 * v->accuracy,
         100 * v->accuracy_lower_bound, v->confidence);
  printf("traffic    %s sent, %s received, %u rounds, %s\n", cli_format_bytes(sent, (double)v->bytes_sent),
         cli_format_bytes(received, (double)v->bytes_received), v->rounds, cli_format_seconds(time_text, v->seconds));
  if (l->answers && v->accepted) printf("written    %s\n", l->answers);
  return CLI_EXIT_OK;
}

static int finish(const struct query_line *l, const fusion_result *r) {
  const fusion_verdict *v = fusion_result_verdict(r);
  fusion_error err = {.status = FUSION_OK};
  fusion_status status = FUSION_OK;
  if (v->accepted && l->answers) status = write_answers(l, r, &err);
  if (status == FUSION_OK && l->report) status = fusion_verdict_save(v, l->report, &err);
  if (status == FUSION_OK && l->html) status = fusion_verdict_save(v, l->html, &err);
  if (status != FUSION_OK) return cli_failed("query", status, &err);
  const int code = print_verdict(l, v);
  if (code != CLI_EXIT_OK) return code;
  return v->accepted ? CLI_EXIT_OK : CLI_EXIT_REJECT;
}

static int run(const struct query_line *l, fusion_client_settings *settings) {
  fusion_error err = {.status = FUSION_OK};
  fusion_array *queries = NULL, *public_samples = NULL, *labels = NULL;
  fusion_client *client = NULL;
  fusion_result *result = NULL;
  fusion_plan_choice choice;
  struct cli_progress bar;
  settings->progress = show_progress;
  settings->progress_context = &bar;
  fusion_status status = fusion_client_open(&client, settings, &err);
  if (status == FUSION_OK) status = fusion_array_load(&queries, l->input, &err);
  if (status == FUSION_OK) status = fusion_array_load(&public_samples, l->public_samples, &err);
  if (status == FUSION_OK) status = fusion_array_load(&labels, l->labels, &err);
  if (status == FUSION_OK) status = fusion_client_plan(client, fusion_array_rows(queries), &choice, &err);
  if (status == FUSION_OK) {
    const struct sigaction action = {.sa_handler = on_signal};
    running = client;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    cli_progress_start(&bar, "query", "samples", (double)choice.samples, l->quiet);
    status = fusion_client_query(client, queries, public_samples, labels, &result, &err);
    cli_progress_end(&bar);
    running = NULL;
  }
  const int code = status == FUSION_OK ? finish(l, result) : cli_failed("query", status, &err);
  fusion_result_free(result);
  fusion_array_free(queries);
  fusion_array_free(public_samples);
  fusion_array_free(labels);
  fusion_client_close(client);
  return code;
}

int cmd_query(int argc, char **argv) {
  fusion_client_settings settings = fusion_client_defaults();
  struct query_line l = line_defaults(&settings);
  char **positional;
  const int done = parse(&l, argc, argv, &positional);
  if (done != CLI_GO) return done;
  if (!can_write(l.answers) || !can_write(l.report) || !can_write(l.html)) return CLI_EXIT_IO;
  fill_settings(&settings, &l, positional[0]);
  return run(&l, &settings);
}
