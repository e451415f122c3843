/* The command `fusion`: finds the subcommand and hands over. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "cli.h"

const struct cli_command cli_commands[] = {
    {"plan", "Find how many copies and public samples a job needs.", cmd_plan},
    {"compile", "Turn an ONNX network into a fixed-point model.", cmd_compile},
    {"inspect", "Show a compiled model, layer by layer.", cmd_inspect},
    {"run", "Run a compiled model in the clear.", cmd_run},
    {"serve", "Serve a compiled model to clients.", cmd_serve},
    {"query", "Get a server's answers to private queries and check them.", cmd_query},
    {"prepare", "Do what a job can do before there are queries.", cmd_prepare},
    {"audit", "Measure a server's model, and keep samples that show it again.", cmd_audit},
    {"keygen", "Make a key with which a server signs receipts.", cmd_keygen},
    {"ledger", "Verify the ledger that a server keeps of its jobs.", cmd_ledger},
    {"verify-receipt", "Verify what a server has signed about a job.", cmd_verify_receipt},
    {"bench", "Measure this machine: kernels and whole networks.", cmd_bench},
    {"version", "Show the version and the processor kernels in use.", cmd_version},
    {"help", "Show this list, or the help of one command.", cmd_help},
    {NULL, NULL, NULL},
};

bool cli_tier_forced;

static const struct cli_command *find_command(const char *name) {
  for (const struct cli_command *c = cli_commands; c->name; c++)
    if (strcmp(c->name, name) == 0) return c;
  return NULL;
}

int cmd_version(int argc, char **argv) {
  static const struct cli_option options[] = {{.name = NULL}};
  const struct cli_syntax syntax = {.command = "version",
                                    .synopsis = "",
                                    .about = "Shows the version and the processor kernels in use.",
                                    .options = options};
  const int done = cli_parse(&syntax, argc, argv, NULL, NULL);
  if (done != CLI_GO) return done;
  printf("fusion %s (%s kernels)\n", fusion_version(), fusion_cpu_tier());
  return CLI_EXIT_OK;
}

int cmd_help(int argc, char **argv) {
  if (argc > 1 && argv[1][0] != '-') {
    const struct cli_command *c = find_command(argv[1]);
    if (!c) return cli_usage(NULL, "'%s': unknown command", argv[1]);
    char flag[] = "--help";
    char *help_line[] = {argv[1], flag, NULL};
    return c->run == cmd_help ? cmd_help(1, argv) : c->run(2, help_line);
  }
  printf(
      "usage: fusion <command> [options]\n\n"
      "Private inference that a cheating server cannot spoil.\n\ncommands:\n");
  for (const struct cli_command *c = cli_commands; c->name; c++) printf("  %-15s %s\n", c->name, c->summary);
  printf("\n'fusion <command> --help' explains one command; 'man fusion' gives an overview.\n");
  return CLI_EXIT_OK;
}

/** Takes `--cpu-tier X` (anywhere before `--`) out of the line and obeys it. */
static int take_cpu_tier(int *argc, char **argv) {
  static const char flag[] = "--cpu-tier";
  const size_t len = sizeof flag - 1;
  int kept = 1;
  for (int i = 1; i < *argc; i++) {
    if (strcmp(argv[i], "--") == 0) {
      while (i < *argc) argv[kept++] = argv[i++];
      break;
    }
    const bool joined = strncmp(argv[i], flag, len) == 0 && argv[i][len] == '=';
    if (!joined && strcmp(argv[i], flag) != 0) {
      argv[kept++] = argv[i];
      continue;
    }
    const char *tier = joined ? argv[i] + len + 1 : i + 1 < *argc ? argv[++i] : "";
    fusion_error err = {.status = FUSION_OK};
    cli_tier_forced = true;
    if (fusion_cpu_tier_set(tier, &err) != FUSION_OK) return cli_usage(NULL, "%s: %s", flag, err.text);
  }
  argv[kept] = NULL;
  *argc = kept;
  return CLI_GO;
}

/* Keys and private samples are in memory: no core file, no debugger of another process of this user. */
static void hide_memory(void) {
  const struct rlimit none = {0, 0};
  (void)setrlimit(RLIMIT_CORE, &none);
#ifdef PR_SET_DUMPABLE
  (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

int main(int argc, char **argv) {
  signal(SIGXFSZ, SIG_IGN); /* a file-size limit then fails the write, with a line that says so */
  signal(SIGPIPE, SIG_IGN); /* so does a pipe that nobody reads: a closed log ends no jobs */
  hide_memory();
  const int done = take_cpu_tier(&argc, argv);
  if (done != CLI_GO) return done;
  if (argc < 2) {
    cmd_help(1, argv);
    return CLI_EXIT_USAGE;
  }
  const char *name = argv[1];
  if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) return cmd_help(1, argv);
  if (strcmp(name, "--completion") == 0) return cli_completion(argc - 1, argv + 1);
  if (strcmp(name, "--version") == 0) name = "version";
  const struct cli_command *command = find_command(name);
  if (!command) return cli_usage(NULL, "'%s': unknown command", name);
  return command->run(argc - 1, argv + 1);
}
