/* Options that several subcommands share: see cli.h. */
#include <sys/stat.h>

#include "cli.h"

void cli_add_options(struct cli_option *table, const struct cli_option *more) {
  size_t at = 0;
  while (table[at].name) at++;
  for (; more->name && at < CLI_OPTIONS_MAX; more++) table[at++] = *more;
  table[at] = (struct cli_option){.name = NULL};
}

/* Where a party's own certificate goes. */
struct own_fields {
  const char **cert, **key;
  bool *plaintext;
};

/* The certificate of the party itself, said with its own help. */
static void add_own_certificate(struct cli_option *table, struct own_fields own, const char *help) {
  const struct cli_option options[] = {
      CLI_OPT_TEXT("tls-cert", own.cert, "FILE", help),
      CLI_OPT_TEXT("tls-key", own.key, "FILE", "The certificate's key (PEM, without a password)."),
      CLI_OPT_FLAG("plaintext", own.plaintext, "No TLS. Allowed only with loopback addresses."),
      {.name = NULL}};
  cli_add_options(table, options);
}

void cli_add_tls_client(struct cli_option *table, fusion_client_settings *s) {
  const struct cli_option options[] = {
      CLI_OPT_TEXT("tls-ca", &s->tls_ca, "FILE",
                   "The authority (PEM) that vouches for the server. No other is trusted."),
      {.name = NULL}};
  cli_add_options(table, options);
  const struct own_fields own = {&s->tls_cert, &s->tls_key, &s->plaintext};
  add_own_certificate(table, own, "The client's certificate (PEM), for servers that require one.");
}

void cli_add_tls_server(struct cli_option *table, fusion_server_settings *s) {
  const struct cli_option options[] = {
      CLI_OPT_TEXT("client-ca", &s->client_ca, "FILE",
                   "Serve only clients whose certificate is signed by one of these authorities (PEM)."),
      {.name = NULL}};
  const struct own_fields own = {&s->tls_cert, &s->tls_key, &s->plaintext};
  add_own_certificate(table, own, "The server's certificate (PEM), followed by its chain.");
  cli_add_options(table, options);
}

/* A key is as secret as its file. */
static void note_open_key(const char *command, const char *key) {
  struct stat info;
  if (key && stat(key, &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & S_IROTH))
    cli_error(command, "note: '%s': every user of this machine can read this key; chmod o-r makes it private", key);
}

int cli_check_tls_client(const char *command, const fusion_client_settings *s) {
  if (s->plaintext && (s->tls_ca || s->tls_cert || s->tls_key))
    return cli_usage(command, "give either --plaintext or the TLS options, not both");
  if (!s->plaintext && !s->tls_ca)
    return cli_usage(command, "give --tls-ca, or --plaintext if the server has a loopback address");
  if (!s->tls_cert != !s->tls_key) return cli_usage(command, "give both --tls-cert and --tls-key, or neither");
  note_open_key(command, s->tls_key);
  return CLI_GO;
}

int cli_check_tls_server(const char *command, const fusion_server_settings *s) {
  if (s->plaintext && (s->client_ca || s->tls_cert || s->tls_key))
    return cli_usage(command, "give either --plaintext or the TLS options, not both");
  note_open_key(command, s->tls_key);
  if (s->plaintext || (s->tls_cert && s->tls_key)) return CLI_GO;
  return cli_usage(command, "give --tls-cert and --tls-key, or --plaintext with a loopback address");
}

void cli_add_threads(struct cli_option *table, unsigned *threads) {
  const struct cli_option options[] = {
      CLI_OPT_COUNT("threads", threads, 0, 256, "N", "Number of threads. Default: one per core."), {.name = NULL}};
  cli_add_options(table, options);
}

void cli_add_json(struct cli_option *table, bool *json) {
  const struct cli_option options[] = {CLI_OPT_FLAG("json", json, "Print the report as JSON.", .letter = 'j'),
                                       {.name = NULL}};
  cli_add_options(table, options);
}

void cli_add_quiet(struct cli_option *table, bool *quiet) {
  const struct cli_option options[] = {
      CLI_OPT_FLAG("quiet", quiet, "Print no progress, and no line for each job.", .letter = 'q'), {.name = NULL}};
  cli_add_options(table, options);
}

/* A line for each engine behind the first line. */
static const char *engines_help(char *help, size_t capacity, const char *first) {
  size_t len = (size_t)snprintf(help, capacity, "%s", first);
  for (size_t i = 0; fusion_engine_name(i) && len < capacity; i++)
    len += (size_t)snprintf(help + len, capacity - len, "\n%s: %s", fusion_engine_name(i), fusion_engine_summary(i));
  return help;
}

/* "cheetah|sci-ot", behind `first`. */
static const char *engine_words(char *words, size_t capacity, const char *first) {
  size_t len = (size_t)snprintf(words, capacity, "%s", first);
  for (size_t i = 0; fusion_engine_name(i) && len < capacity; i++)
    len += (size_t)snprintf(words + len, capacity - len, "%s%s", len ? "|" : "", fusion_engine_name(i));
  return words;
}

void cli_add_engine(struct cli_option *table, const char **engine) {
  static char help[2048], words[512];
  const struct cli_option options[] = {
      CLI_OPT_TEXT("engine", engine, "NAME", engines_help(help, sizeof help, "Protocol engine. Default: cheetah."),
                   .choices = engine_words(words, sizeof words, "")),
      {.name = NULL}};
  cli_add_options(table, options);
}

void cli_add_engines(struct cli_option *table, const char **engines) {
  static char help[2048], words[512];
  const char *first =
      "Protocol engines that clients may ask for, separated by commas, or all. Default: cheetah. The tunings of an "
      "engine, such as cheetah-wan, come with it.";
  const struct cli_option options[] = {CLI_OPT_TEXT("engine", engines, "NAMES", engines_help(help, sizeof help, first),
                                                    .choices = engine_words(words, sizeof words, "all")),
                                       {.name = NULL}};
  cli_add_options(table, options);
}

void cli_add_stack(struct cli_option *table, const char **engine) {
  const struct cli_option options[] = {CLI_OPT_TEXT("stack", engine, "NAME", NULL), {.name = NULL}};
  cli_add_options(table, options);
}

void cli_add_limits(struct cli_option *table, uint32_t *timeout_ms, uint64_t *max_memory) {
  const struct cli_option options[] = {
      CLI_OPT_MS("timeout-s", timeout_ms, 0.01, 86400,
                 "How long the other party may be silent in a running job, in seconds. Default: 120."),
      CLI_OPT_BYTES("max-memory", max_memory, 0,
                    "Memory for all running shards together. Default: half of the machine's memory."),
      {.name = NULL}};
  cli_add_options(table, options);
}
