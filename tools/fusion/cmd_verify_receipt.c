/* fusion verify-receipt: what a server has signed of a job. */
#include <stdio.h>
#include <time.h>

#include "cli.h"
#include "outputs.h"

static const char notes[] =
    "Without --receipt-key, the signatures are checked with the key in FILE itself:\n"
    "compare that key with the server's.\n\n"
    "example:\n"
    "  fusion verify-receipt job.receipt --receipt-key 4f3a...";

static const char *utc(char text[CLI_TEXT_LEN], uint64_t seconds) {
  const time_t when = (time_t)seconds;
  struct tm parts;
  if (seconds > INT32_MAX * UINT64_C(100) || !gmtime_r(&when, &parts) ||
      !strftime(text, CLI_TEXT_LEN, "%Y-%m-%dT%H:%M:%SZ", &parts))
    snprintf(text, CLI_TEXT_LEN, "second %llu", (unsigned long long)seconds);
  return text;
}

static int print_json(const fusion_receipt_info *info, bool pinned) {
  char from[CLI_TEXT_LEN], to[CLI_TEXT_LEN];
  json_t *json =
      json_pack("{s:b, s:b, s:s, s:s, s:I, s:I, s:I, s:I, s:s, s:s, s:s, s:s}", "valid", 1, "key_named", (int)pinned,
                "public_key", info->public_key, "job", info->job, "connections", (json_int_t)info->connections,
                "shards", (json_int_t)info->shards, "samples", (json_int_t)info->samples, "declared",
                (json_int_t)info->declared, "model_id", info->model_id, "manifest_hash", info->manifest_hash,
                "earliest_utc", utc(from, info->earliest), "latest_utc", utc(to, info->latest));
  if (json)
    json_object_set_new(json, "certificate_hash",
                        info->certificate_hash[0] ? json_string(info->certificate_hash) : json_null());
  return cli_print_json(json);
}

static int print_text(const fusion_receipt_info *info, bool pinned) {
  char from[CLI_TEXT_LEN], to[CLI_TEXT_LEN];
  printf("receipt    valid: every signature fits %s\n", pinned ? "the key that was named" : "the key in the file");
  printf("key        %s\n", info->public_key);
  printf("job        %s: %llu of %llu samples, %llu shards, %llu connections\n", info->job,
         (unsigned long long)info->samples, (unsigned long long)info->declared, (unsigned long long)info->shards,
         (unsigned long long)info->connections);
  printf("model id   %s\n", info->model_id);
  printf("manifest   %s\n", info->manifest_hash);
  printf("server     %s\n", info->certificate_hash[0] ? info->certificate_hash : "no TLS, or several certificates");
  printf("signed     %s to %s, by the server's clock\n", utc(from, info->earliest), utc(to, info->latest));
  return cli_flush_stdout("verify-receipt");
}

int cmd_verify_receipt(int argc, char **argv) {
  const char *key = NULL;
  bool as_json = false;
  const struct cli_option own[] = {
      CLI_OPT_TEXT("receipt-key", &key, "PUBLIC",
                   "The server's public key, 64 hexadecimal digits. Receipts signed with another key are "
                   "refused. Default: the key in FILE."),
      {.name = NULL}};
  struct cli_option options[CLI_OPTIONS_MAX + 1] = {{.name = NULL}};
  cli_add_options(options, own);
  cli_add_json(options, &as_json);
  const struct cli_syntax syntax = {
      .command = "verify-receipt",
      .synopsis = "FILE [--receipt-key PUBLIC] [--json]",
      .about = "Verifies the receipts that a server signed for a job, and shows what they say.",
      .options = options,
      .notes = notes,
      .min_positional = 1,
      .max_positional = 1};
  char **positional;
  int count;
  const int done = cli_parse(&syntax, argc, argv, &positional, &count);
  if (done != CLI_GO) return done;
  fusion_receipt_info info = {.size = sizeof info};
  fusion_error err = {.status = FUSION_OK};
  const fusion_status status = fusion_receipt_verify(positional[0], key, &info, &err);
  if (status != FUSION_OK) return cli_failed("verify-receipt", status, &err);
  return as_json ? print_json(&info, key != NULL) : print_text(&info, key != NULL);
}
