/* fusion ledger verify: the chain of hashes over a server's ledger. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "outputs.h"

static const char notes[] =
    "The head is the last row's hash. Keep it elsewhere, with the number of rows: rows that are cut off\n"
    "at the end leave a chain that is whole, but another head.\n\n"
    "example:\n"
    "  fusion ledger verify /var/lib/fusion/ledger.db\n"
    "  fusion ledger verify postgresql://fusion@db.example.org/fusion";

int cmd_ledger(int argc, char **argv) {
  bool as_json = false;
  struct cli_option options[CLI_OPTIONS_MAX + 1] = {{.name = NULL}};
  cli_add_json(options, &as_json);
  const struct cli_syntax syntax = {.command = "ledger",
                                    .synopsis = "verify FILE|URL",
                                    .about = "Verifies that no row of a ledger was altered, taken out or moved.",
                                    .options = options,
                                    .notes = notes,
                                    .min_positional = 2,
                                    .max_positional = 2};
  char **positional, head[FUSION_HEX_LEN];
  int count;
  uint64_t rows = 0;
  fusion_error err = {.status = FUSION_OK};
  const int done = cli_parse(&syntax, argc, argv, &positional, &count);
  if (done != CLI_GO) return done;
  if (strcmp(positional[0], "verify") != 0) return cli_usage("ledger", "'%s': there is only 'verify'", positional[0]);
  const fusion_status status = fusion_ledger_verify(positional[1], &rows, head, &err);
  if (status != FUSION_OK) return cli_failed("ledger", status, &err);
  if (as_json)
    return cli_print_json(json_pack("{s:b, s:I, s:s}", "verified", 1, "rows", (json_int_t)rows, "head", head));
  printf("verified   %" PRIu64 " rows\nhead       %s\n", rows, head);
  return cli_flush_stdout("ledger");
}
