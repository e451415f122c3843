/* fusion audit: a server's model on public samples alone; what is accepted becomes canaries for later jobs. */
#include <stdio.h>

#include "ask.h"
#include "cli.h"
#include "outputs.h"

struct audit_line {
  const char *public_samples, *labels, *canaries, *report, *html, *receipt;
  struct cli_reading reading;
  enum cli_clip clip;
  bool json, quiet, again;
  fusion_client_settings settings;
  fusion_speeds speeds; /* this machine's, where the settings name them */
};

static const char notes[] =
    "Exit status: 0 if the verdict is accept and the canaries are written; 10 if it is\n"
    "reject. See fusion(1) for the others.\n\n"
    "example:\n"
    "  fusion audit server:7700 --tls-ca ca.pem --public pub.npy --labels pub_labels.npy \\\n"
    "      --min-accuracy 0.95 --canaries model.canaries\n"
    "  fusion query server:7700 --tls-ca ca.pem --input q.npy --canaries model.canaries -o answers.npy";

static const char security[] =
    "A server that answers some samples with one model and the others with another is accepted with probability at "
    "most "
    "2^-BITS. Default: 40.";

static void options_of_data(struct audit_line *l, struct cli_option *table) {
  const struct cli_option options[] = {
      CLI_OPT_TEXT("public", &l->public_samples, "FILE",
                   "Public samples: a .npy, .npz or .csv file with one sample per row, as they are before "
                   "the model's preprocessing; or a PNG or JPEG image, or a folder of images. All of them "
                   "are sent.",
                   .letter = 'p', .required = true),
      CLI_OPT_TEXT("labels", &l->labels, "FILE",
                   "The public samples' true labels: numbers or names, as in the model's file. They never "
                   "leave this machine.",
                   .required = true),
      CLI_OPT_TEXT("canaries", &l->canaries, "FILE",
                   "If the verdict is accept, write the samples and their answers to FILE, for 'fusion "
                   "query --canaries'. Keep FILE secret.",
                   .required = true),
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
      CLI_OPT_COUNT("public-copies", &l->settings.public_copies, 2, FUSION_PUBLIC_COPIES_MAX, "K",
                    "Send each public sample K times, and compare the copies. Default: the fewest that "
                    "--security allows."),
      {.name = NULL}};
  cli_add_options(table, options);
  cli_add_clip(table, &l->clip);
  cli_add_reading(table, &l->reading);
  cli_add_public_reading(table, &l->reading);
  cli_add_json(table, &l->json);
  cli_add_quiet(table, &l->quiet);
}

static int check_line(const struct audit_line *l) {
  const struct cli_file outputs[] = {{"--canaries", l->canaries},
                                     {"--report", l->report},
                                     {"--html", l->html},
                                     {"--receipt", l->receipt},
                                     {"--journal", l->settings.journal},
                                     {NULL, NULL}};
  const struct cli_file inputs[] = {{"--public", l->public_samples},
                                    {"--labels", l->labels},
                                    {"--preprocess", l->reading.preprocess},
                                    {"--tls-ca", l->settings.tls_ca},
                                    {"--tls-cert", l->settings.tls_cert},
                                    {"--tls-key", l->settings.tls_key},
                                    {NULL, NULL}};
  int done = cli_check_tls_client("audit", &l->settings);
  if (done != CLI_GO) return done;
  if (l->reading.preprocess && !fusion_images_path(l->public_samples))
    return cli_usage("audit",
                     "--preprocess is for images; arrays must be as they are before the model's preprocessing");
  if (l->again && !l->settings.journal) return cli_usage("audit", "--again needs --journal");
  if (l->settings.receipt_key && !l->receipt) return cli_usage("audit", "--receipt-key needs --receipt");
  if (l->html && !cli_ends_in(l->html, ".html") && !cli_ends_in(l->html, ".htm"))
    return cli_usage("audit", "--html: '%s': the name must end in .html", l->html);
  done = cli_check_stdout("audit");
  return done == CLI_GO ? cli_check_outputs("audit", outputs, inputs) : done;
}

static int parse(struct audit_line *l, int argc, char **argv, char ***positional) {
  struct cli_option options[CLI_OPTIONS_MAX + 1] = {{.name = NULL}};
  int count;
  options_of_data(l, options);
  cli_add_check(options, &l->settings, security);
  cli_add_network(options, &l->settings);
  const struct cli_syntax syntax = {
      .command = "audit",
      .synopsis = "HOST:PORT --public FILE --labels FILE --canaries FILE [options]",
      .about =
          "Measures a server's model on public samples, and keeps the answers so that later jobs "
          "can tell whether the model is still the same.",
      .options = options,
      .notes = notes,
      .min_positional = 1,
      .max_positional = 1};
  const int done = cli_parse(&syntax, argc, argv, positional, &count);
  return done == CLI_GO ? check_line(l) : done;
}

static fusion_status prepare_files(const struct audit_line *l, const fusion_result *r, fusion_files *files,
                                   fusion_error *err) {
  const fusion_verdict *v = fusion_result_verdict(r);
  size_t receipts_len;
  const void *receipts = fusion_result_receipts(r, &receipts_len);
  fusion_status status = v->accepted ? fusion_files_add_canaries(files, l->canaries, r, err) : FUSION_OK;
  if (status == FUSION_OK && l->report) status = fusion_files_add_verdict(files, l->report, v, err);
  if (status == FUSION_OK && l->html) status = fusion_files_add_verdict(files, l->html, v, err);
  if (status == FUSION_OK && receipts_len) status = fusion_files_add(files, l->receipt, receipts, receipts_len, err);
  return status;
}

static int print_verdict(const struct audit_line *l, const fusion_verdict *v) {
  char *text;
  if (!l->json) {
    cli_print_verdict(v);
    return CLI_EXIT_OK;
  }
  if (fusion_verdict_json(v, &text) != FUSION_OK) return cli_failed("audit", FUSION_E_MEMORY, NULL);
  json_t *json = json_loads(text, 0, NULL);
  fusion_text_free(text);
  return cli_print_json(json);
}

/* Canaries, reports, receipts and standard output: all or nothing. */
static int hand_out(const struct audit_line *l, const fusion_result *r) {
  const fusion_verdict *v = fusion_result_verdict(r);
  fusion_error err = {.status = FUSION_OK};
  fusion_files *files;
  size_t receipts_len;
  fusion_status status = fusion_files_create(&files, &err);
  if (status == FUSION_OK) status = prepare_files(l, r, files, &err);
  int code = status == FUSION_OK ? print_verdict(l, v) : CLI_EXIT_OK;
  if (status == FUSION_OK && code == CLI_EXIT_OK) code = cli_flush_stdout("audit");
  if (status == FUSION_OK && code == CLI_EXIT_OK) status = fusion_files_place(files, &err);
  fusion_files_free(files);
  if (status != FUSION_OK) code = cli_failed("audit", status, &err);
  fusion_result_receipts(r, &receipts_len);
  if (code == CLI_EXIT_OK && !l->json && v->accepted) printf("written    %s\n", l->canaries);
  if (code == CLI_EXIT_OK && !l->json && receipts_len) printf("receipt    %s\n", l->receipt);
  return code;
}

static int finish(const struct audit_line *l, const fusion_result *r) {
  const fusion_verdict *v = fusion_result_verdict(r);
  if (v->note[0]) cli_error("audit", "note: %s", v->note);
  if (l->receipt) cli_tell_missing_receipts("audit", v);
  const int code = hand_out(l, r);
  if (code != CLI_EXIT_OK || v->accepted) return code;
  cli_tell_old("audit", l->canaries, "this audit was rejected and wrote no canaries");
  return cli_rejected_code(v);
}

static int run(struct audit_line *l) {
  fusion_error err = {.status = FUSION_OK};
  fusion_array *public_samples = NULL, *labels = NULL;
  fusion_client *client = NULL;
  fusion_result *result = NULL;
  struct cli_progress bar;
  l->settings.again = l->again;
  l->settings.receipts = l->receipt != NULL;
  l->settings.clip = l->clip == CLI_CLIP_YES;
  cli_job_settings(&l->settings, &bar, &l->speeds);
  fusion_status status = fusion_client_open(&client, &l->settings, &err);
  if (status == FUSION_OK) status = cli_load_public(&public_samples, &l->reading, l->public_samples, &err);
  if (status == FUSION_OK) status = cli_load_labels(&labels, &l->reading, l->labels, &err);
  if (status == FUSION_OK) {
    cli_job_begin(&bar, client, "audit", 0, l->quiet);
    status = fusion_client_audit(client, public_samples, labels, &result, &err);
    cli_job_end(&bar);
  }
  int code = status == FUSION_OK ? finish(l, result) : cli_job_failed("audit", status, &err);
  if (result && cli_is_verdict(code)) code = cli_forget("audit", client, code);
  fusion_result_free(result);
  fusion_array_free(public_samples);
  fusion_array_free(labels);
  fusion_client_close(client);
  return code;
}

int cmd_audit(int argc, char **argv) {
  struct audit_line l = {.reading.command = "audit", .settings = fusion_client_defaults()};
  char **positional;
  const int done = parse(&l, argc, argv, &positional);
  if (done != CLI_GO) return done;
  l.settings.server = positional[0];
  return run(&l);
}
