/* fusion query: private queries to a server, checked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "ask.h"
#include "cli.h"
#include "outputs.h"

struct query_line {
  struct cli_input input;
  const char *public_samples, *labels, *answers, *report, *html, *receipt;
  bool raw, probabilities, as_labels, json, quiet, again, add_canaries;
  fusion_client_settings settings;
  fusion_speeds speeds; /* this machine's, where the settings name them */
};

static const char notes[] =
    "Exit status: 0 if the verdict is accept and the answers are written; 10 if it is\n"
    "reject; 13 if it is reject because the model is not the one that was audited. See\n"
    "fusion(1) for the others.\n\n"
    "example:\n"
    "  fusion query server:7700 --tls-ca ca.pem --input q.npy --public pub.npy \\\n"
    "      --labels pub_labels.npy -o answers.npy --report report.json";

static const char security[] =
    "A server that makes answers wrong wherever it tampers gets a wrong one accepted with probability at most 2^-BITS. "
    "Default: 40.";

static void options_of_data(struct query_line *l, struct cli_option *table) {
  const struct cli_option options[] = {
      CLI_OPT_TEXT("public", &l->public_samples, "FILE",
                   "Public samples, in the same forms as the queries. As many as the plan needs are drawn "
                   "at random.",
                   .letter = 'p'),
      CLI_OPT_TEXT("labels", &l->labels, "FILE",
                   "The public samples' true labels: numbers or names, as in the model's file. They never "
                   "leave this machine."),
      CLI_OPT_TEXT("output-file", &l->answers, "FILE",
                   "Write the accepted answers (.npy or .csv): real numbers, or whole numbers if the "
                   "answers are labels or only labels were compared.",
                   .letter = 'o'),
      CLI_OPT_FLAG("raw", &l->raw, "Write the answers as integers, equal to those of 'fusion run'."),
      CLI_OPT_FLAG("probabilities", &l->probabilities,
                   "Write probabilities. The network must end in a Softmax or Sigmoid; of a LogSoftmax, "
                   "write the logarithms."),
      CLI_OPT_FLAG("as-labels", &l->as_labels, "Write only the label that each answer decides for."),
      CLI_OPT_TEXT("report", &l->report, "FILE", "Write the verdict as JSON.", .letter = 'r'),
      CLI_OPT_TEXT("html", &l->html, "FILE.html", "Write the verdict as a web page."),
      CLI_OPT_TEXT("receipt", &l->receipt, "FILE",
                   "Ask the server to sign what it ran, and write its receipts to FILE, whatever the "
                   "verdict."),
      CLI_OPT_TEXT("receipt-key", &l->settings.receipt_key, "PUBLIC",
                   "Refuse a server that signs receipts with another key. PUBLIC is the key that 'fusion "
                   "keygen' prints."),
      CLI_OPT_TEXT("journal", &l->settings.journal, "FILE",
                   "Record in FILE what has run, so that the same command resumes after a crash. FILE "
                   "holds secrets. It is removed after the verdict; a reject leaves a note in it."),
      CLI_OPT_FLAG("again", &l->again,
                   "Start a new job although the journal says that the last one was rejected or that the "
                   "server broke the protocol."),
      CLI_OPT_TEXT("prepared", &l->settings.prepared, "FILE",
                   "A file that 'fusion prepare' made for as many samples. It is used up when the job begins."),
      CLI_OPT_TEXT("keep", &l->settings.keep, "FILE",
                   "Leave in FILE what spares the next job with this server the slow part of its set-up; use "
                   "up what is there. FILE holds secrets."),
      {.name = NULL}};
  const struct cli_option canaries[] = {
      CLI_OPT_TEXT("canaries", &l->settings.canaries, "FILE",
                   "A file that 'fusion audit' wrote. Some of its samples are hidden in the job, and each "
                   "must be answered as in the audit. --public and --labels are then optional."),
      CLI_OPT_COUNT("min-canaries", &l->settings.min_canaries, 1, (double)FUSION_PUBLIC_MAX, "C",
                    "Use at least C canaries. Default: 20."),
      CLI_OPT_FLAG("add-canaries", &l->add_canaries,
                   "Add the accepted queries and their answers to the file of canaries."),
      {.name = NULL}};
  cli_add_input(table, &l->input);
  cli_add_public_reading(table, &l->input.reading);
  cli_add_options(table, options);
  cli_add_options(table, canaries);
  cli_add_json(table, &l->json);
  cli_add_quiet(table, &l->quiet);
}

static void options_of_copies(fusion_client_settings *s, struct cli_option *table) {
  const struct cli_option options[] = {
      CLI_OPT_COUNT("min-public", &s->min_public, 0, (double)FUSION_PUBLIC_MAX, "T",
                    "Use at least T public samples. Default: 100. With --canaries: exactly T labelled ones."),
      CLI_OPT_COUNT("public-copies", &s->public_copies, 1, FUSION_PUBLIC_COPIES_MAX, "K",
                    "Send each public sample K times, and compare its copies like those of a query. "
                    "Default: 1."),
      CLI_OPT_FLAG("accept-fast", &s->accept_fast,
                   "Also accept models that use fast rounding. Their copies are compared by label, and "
                   "only labels are written, unless you give --tolerance."),
      CLI_OPT_COUNT("tolerance", &s->tolerance, 1, 0, "UNITS",
                    "With --accept-fast: compare and write numbers. No two copies may differ by more than "
                    "UNITS."),
      {.name = NULL}};
  cli_add_options(table, options);
}

static int check_line(const struct query_line *l) {
  const int done = cli_check_tls_client("query", &l->settings);
  if (done != CLI_GO) return done;
  if (l->input.reading.preprocess && !fusion_images_path(l->input.path) &&
      !(l->public_samples && fusion_images_path(l->public_samples)))
    return cli_usage("query",
                     "--preprocess is for images; arrays must be as they are before the model's preprocessing");
  if (l->again && !l->settings.journal) return cli_usage("query", "--again needs --journal");
  if (l->settings.prepared && l->settings.journal)
    return cli_usage("query", "give only one of --prepared and --journal: a prepared job cannot be resumed");
  if (l->settings.keep && l->settings.prepared)
    return cli_usage("query", "give only one of --keep and --prepared: a prepared job makes no set-up to keep");
  if (l->settings.receipt_key && !l->receipt) return cli_usage("query", "--receipt-key needs --receipt");
  if (!l->public_samples != !l->labels) return cli_usage("query", "give both --public and --labels, or neither");
  if (!l->public_samples && !l->settings.canaries)
    return cli_usage("query", "give --public and --labels, or --canaries");
  if (l->add_canaries && !l->settings.canaries) return cli_usage("query", "--add-canaries needs --canaries");
  if (l->raw + l->probabilities + l->as_labels > 1)
    return cli_usage("query", "give only one of --raw, --probabilities and --as-labels");
  if (l->settings.accept_fast && !l->settings.tolerance && (l->raw || l->probabilities))
    return cli_usage(
        "query", "--accept-fast alone compares only labels, so only labels can be written; --%s also needs --tolerance",
        l->raw ? "raw" : "probabilities");
  if (l->html && !cli_ends_in(l->html, ".html") && !cli_ends_in(l->html, ".htm"))
    return cli_usage("query", "--html: '%s': the name must end in .html", l->html);
  return cli_check_answers_name("query", l->answers);
}

/* Found before the job, not after it. */
static int check_files(const struct query_line *l) {
  const struct cli_file outputs[] = {
      {"--output-file", l->answers},      {"--report", l->report},      {"--html", l->html}, {"--receipt", l->receipt},
      {"--journal", l->settings.journal}, {"--keep", l->settings.keep}, {NULL, NULL}};
  const struct cli_file inputs[] = {{"--input", l->input.path},
                                    {"--public", l->public_samples},
                                    {"--labels", l->labels},
                                    {"--canaries", l->settings.canaries},
                                    {"--classes", l->input.classes},
                                    {"--preprocess", l->input.reading.preprocess},
                                    {"--tls-ca", l->settings.tls_ca},
                                    {"--tls-cert", l->settings.tls_cert},
                                    {"--tls-key", l->settings.tls_key},
                                    {NULL, NULL}};
  const int code = cli_check_stdout("query");
  return code == CLI_GO ? cli_check_outputs("query", outputs, inputs) : code;
}

static int parse(struct query_line *l, int argc, char **argv, char ***positional) {
  struct cli_option options[CLI_OPTIONS_MAX + 1] = {{.name = NULL}};
  options_of_data(l, options);
  cli_add_check(options, &l->settings, security);
  options_of_copies(&l->settings, options);
  cli_add_network(options, &l->settings);
  const struct cli_syntax syntax = {
      .command = "query",
      .synopsis = "HOST:PORT --input FILE (--public FILE --labels FILE | --canaries FILE) [options]",
      .about =
          "Sends private queries to a server's model and checks the answers. Writes them only if the verdict is "
          "accept.",
      .options = options,
      .notes = notes,
      .min_positional = 1,
      .max_positional = 1};
  int count;
  const int done = cli_parse(&syntax, argc, argv, positional, &count);
  if (done != CLI_GO) return done;
  const int wrong = check_line(l);
  return wrong == CLI_GO ? check_files(l) : wrong;
}

enum { DEFENCE_TEXT = 96 };

/* What came out, with the names that belong to it. */
struct outcome {
  const fusion_array *queries;
  const fusion_verdict *verdict;
  const void *receipts; /* the result's; written whatever the verdict */
  size_t receipts_len;
  struct cli_classes classes;
  fusion_array *values, *labels; /* of accepted answers; owned */
  char defence[DEFENCE_TEXT];    /* what they are, where that is neither outputs nor labels */
};

static void outcome_free(struct outcome *o) {
  fusion_array_free(o->values);
  fusion_array_free(o->labels);
  cli_classes_free(&o->classes);
}

static fusion_status take_answers(const struct query_line *l, const fusion_result *r, struct outcome *o,
                                  fusion_error *err) {
  fusion_answer_form form = fusion_result_is_label(r) ? FUSION_ANSWERS_LABELS : FUSION_ANSWERS_REAL;
  if (l->raw) form = FUSION_ANSWERS_RAW;
  if (l->probabilities) form = FUSION_ANSWERS_PROBABILITIES;
  if (l->as_labels) form = FUSION_ANSWERS_LABELS;
  const fusion_status status = fusion_result_answers(r, form, &o->values, err);
  return status == FUSION_OK ? fusion_result_answers(r, FUSION_ANSWERS_LABELS, &o->labels, err) : status;
}

static struct cli_answers answers_of(const struct query_line *l, const struct outcome *o) {
  return (struct cli_answers){.samples = o->queries,
                              .labels = fusion_array_data(o->labels),
                              .values = o->values,
                              .classes = &o->classes,
                              .values_are_labels = l->as_labels || fusion_array_rank(o->values) == 1};
}

/* Written out, without their names yet. */
static fusion_status prepare_files(const struct query_line *l, const struct outcome *o, fusion_files *files,
                                   fusion_error *err) {
  fusion_status status = FUSION_OK;
  if (l->answers && o->values) {
    const struct cli_answers answers = answers_of(l, o);
    status = cli_answers_add(&answers, files, l->answers, err);
  }
  if (status == FUSION_OK && l->report) status = fusion_files_add_verdict(files, l->report, o->verdict, err);
  if (status == FUSION_OK && l->html) status = fusion_files_add_verdict(files, l->html, o->verdict, err);
  if (status == FUSION_OK && o->receipts_len)
    status = fusion_files_add(files, l->receipt, o->receipts, o->receipts_len, err);
  return status;
}

static int print_verdict_json(const struct query_line *l, const struct outcome *o) {
  char *text;
  if (fusion_verdict_json(o->verdict, &text) != FUSION_OK) return cli_failed("query", FUSION_E_MEMORY, NULL);
  json_t *json = json_loads(text, 0, NULL);
  fusion_text_free(text);
  if (o->values) {
    const struct cli_answers answers = answers_of(l, o);
    if (cli_answers_named(&answers)) json_object_set_new(json, "answers", cli_answers_json(&answers));
  }
  return cli_print_json(json);
}

/* What answers are that are neither outputs nor labels. */
static fusion_status tell_defence(const fusion_result *r, char text[DEFENCE_TEXT], fusion_error *err) {
  fusion_model_info info = {.size = sizeof info};
  const fusion_status status = fusion_result_describe(r, &info, err);
  if (status != FUSION_OK) return status;
  if (info.output == FUSION_OUTPUT_REVERSE_SIGMOID)
    snprintf(text, DEFENCE_TEXT, "reversed probabilities (beta %g, gamma %g)", info.beta, info.gamma);
  if (info.output == FUSION_OUTPUT_ROUND)
    snprintf(text, DEFENCE_TEXT, "probabilities of %u decimals", (unsigned)info.digits);
  return FUSION_OK;
}

static int print_verdict(const struct query_line *l, const struct outcome *o) {
  const fusion_verdict *v = o->verdict;
  if (l->json) return print_verdict_json(l, o);
  cli_print_verdict(v);
  if (o->values && o->defence[0]) printf("answers    %s\n", o->defence);
  if (o->values) {
    const struct cli_answers answers = answers_of(l, o);
    if (cli_answers_named(&answers)) cli_answers_print(&answers);
  }
  return CLI_EXIT_OK;
}

/* Files and standard output: all or nothing. */
static int hand_out(const struct query_line *l, const struct outcome *o) {
  fusion_error err = {.status = FUSION_OK};
  fusion_files *files;
  fusion_status status = fusion_files_create(&files, &err);
  if (status == FUSION_OK) status = prepare_files(l, o, files, &err);
  int code = status == FUSION_OK ? print_verdict(l, o) : CLI_EXIT_OK;
  if (status == FUSION_OK && code == CLI_EXIT_OK) code = cli_flush_stdout("query");
  if (status == FUSION_OK && code == CLI_EXIT_OK) status = fusion_files_place(files, &err);
  fusion_files_free(files);
  if (status != FUSION_OK) code = cli_failed("query", status, &err);
  if (code == CLI_EXIT_OK && !l->json && l->answers && o->values) printf("written    %s\n", l->answers);
  if (code == CLI_EXIT_OK && !l->json && o->receipts_len) printf("receipt    %s\n", l->receipt);
  return code;
}

static bool class_at(const void *result, size_t index, int64_t *number, const char **text) {
  return fusion_result_class(result, index, number, text);
}

static int finish(const struct query_line *l, const fusion_result *r, struct outcome *o) {
  fusion_error err = {.status = FUSION_OK};
  o->verdict = fusion_result_verdict(r);
  if (o->verdict->note[0]) cli_error("query", "note: %s", o->verdict->note);
  o->receipts = fusion_result_receipts(r, &o->receipts_len);
  if (l->receipt) cli_tell_missing_receipts("query", o->verdict);
  fusion_status status = o->verdict->accepted ? take_answers(l, r, o, &err) : FUSION_OK;
  if (status == FUSION_OK && o->verdict->accepted) status = tell_defence(r, o->defence, &err);
  if (status != FUSION_OK) return cli_failed("query", status, &err);
  int code = o->values ? cli_classes_take(&o->classes, "query", class_at, r) : CLI_GO;
  if (code != CLI_GO) return code;
  code = hand_out(l, o);
  if (code != CLI_EXIT_OK || o->verdict->accepted) return code;
  cli_tell_old("query", l->answers, "this job was rejected and wrote no answers");
  return cli_rejected_code(o->verdict);
}

/* Queries that were answered rightly are as good as audited ones. */
static int join(const struct query_line *l, const fusion_client *client, const fusion_result *r, int code) {
  fusion_error err = {.status = FUSION_OK};
  if (code != CLI_EXIT_OK || !l->add_canaries) return code;
  const fusion_status status = fusion_client_add_canaries(client, r, &err);
  return status == FUSION_OK ? code : cli_failed("query", status, &err);
}

/* The files that the line names; owned. */
struct loaded {
  fusion_array *queries, *public_samples, *labels;
};

static fusion_status load(const struct query_line *l, struct loaded *in, fusion_error *err) {
  const struct cli_reading *how = &l->input.reading;
  fusion_status status = cli_load_samples(&in->queries, how, l->input.path, err);
  if (status != FUSION_OK || !l->public_samples) return status;
  status = cli_load_public(&in->public_samples, how, l->public_samples, err);
  return status == FUSION_OK ? cli_load_labels(&in->labels, how, l->labels, err) : status;
}

static void take_settings(struct query_line *l, struct cli_progress *bar) {
  l->settings.again = l->again;
  l->settings.receipts = l->receipt != NULL;
  l->settings.probabilities = l->probabilities;
  l->settings.clip = l->input.clip == CLI_CLIP_YES;
  if (!l->public_samples) l->settings.min_public = 0;
  cli_job_settings(&l->settings, bar, &l->speeds);
}

static int run(struct query_line *l) {
  fusion_error err = {.status = FUSION_OK};
  struct loaded in = {NULL, NULL, NULL};
  fusion_client *client = NULL;
  fusion_result *result = NULL;
  fusion_plan_choice choice = {.size = sizeof choice};
  struct cli_progress bar;
  struct outcome outcome = {.queries = NULL};
  if (l->input.classes) {
    const int code = cli_classes_load(&outcome.classes, "query", l->input.classes);
    if (code != CLI_GO) return code;
  }
  take_settings(l, &bar);
  fusion_status status = fusion_client_open(&client, &l->settings, &err);
  if (status == FUSION_OK) status = load(l, &in, &err);
  if (status == FUSION_OK) status = fusion_client_plan(client, fusion_array_rows(in.queries), &choice, &err);
  if (status == FUSION_OK) {
    cli_job_begin(&bar, client, "query", (double)choice.samples, l->quiet);
    status = fusion_client_query(client, in.queries, in.public_samples, in.labels, &result, &err);
    cli_job_end(&bar);
  }
  outcome.queries = in.queries;
  int code = status == FUSION_OK ? finish(l, result, &outcome) : cli_job_failed("query", status, &err);
  if (result) code = join(l, client, result, code);
  if (result && cli_is_verdict(code)) code = cli_forget("query", client, code);
  outcome_free(&outcome);
  fusion_result_free(result);
  fusion_array_free(in.queries);
  fusion_array_free(in.public_samples);
  fusion_array_free(in.labels);
  fusion_client_close(client);
  return code;
}

int cmd_query(int argc, char **argv) {
  struct query_line l = {.input.reading.command = "query", .settings = fusion_client_defaults()};
  char **positional;
  const int done = parse(&l, argc, argv, &positional);
  if (done != CLI_GO) return done;
  l.settings.server = positional[0];
  return run(&l);
}
