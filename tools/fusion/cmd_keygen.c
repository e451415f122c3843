/* fusion keygen: a key that signs receipts. */
#include <stdio.h>

#include "cli.h"
#include "outputs.h"

static const char notes[] =
    "Give the printed public key to your clients over a channel that they trust.\n\n"
    "example:\n"
    "  fusion keygen -o receipt.key\n"
    "  fusion serve model.fsn --receipt-key receipt.key ...";

int cmd_keygen(int argc, char **argv) {
  const char *path = NULL;
  bool as_json = false;
  const struct cli_option own[] = {
      CLI_OPT_TEXT("output-file", &path, "FILE", "The new key, for 'fusion serve --receipt-key'.", .letter = 'o',
                   .required = true),
      {.name = NULL}};
  struct cli_option options[CLI_OPTIONS_MAX + 1] = {{.name = NULL}};
  cli_add_options(options, own);
  cli_add_json(options, &as_json);
  const struct cli_syntax syntax = {.command = "keygen",
                                    .synopsis = "-o FILE",
                                    .about =
                                        "Makes a key with which a server signs receipts, and prints its public "
                                        "key.",
                                    .options = options,
                                    .notes = notes};
  char **positional;
  int count;
  const int done = cli_parse(&syntax, argc, argv, &positional, &count);
  if (done != CLI_GO) return done;
  char public_key[FUSION_HEX_LEN];
  fusion_error err = {.status = FUSION_OK};
  const fusion_status status = fusion_receipt_keygen(path, public_key, &err);
  if (status != FUSION_OK) return cli_failed("keygen", status, &err);
  if (as_json) return cli_print_json(json_pack("{s:s, s:s}", "file", path, "public_key", public_key));
  printf("public     %s\nwritten    %s\n", public_key, path);
  return cli_flush_stdout("keygen");
}
