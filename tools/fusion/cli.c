/* Options, errors and formatting shared by the subcommands: see cli.h. */
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONG_ONLY = 256, ERROR_TEXT_LEN = 8192 };
#define COUNT_MAX 9007199254740992.0 /* 2^53: the counts that a double holds exactly */

int cli_exit_code(fusion_status status) {
  static const int codes[] = {CLI_EXIT_OK,   CLI_EXIT_USAGE, CLI_EXIT_RESOURCE, CLI_EXIT_IO,
                              CLI_EXIT_PEER, CLI_EXIT_MODEL, CLI_EXIT_CRYPTO,   CLI_EXIT_INTERNAL};
  const int class = -(int)status / 100;
  if (status == FUSION_E_BUSY) return CLI_EXIT_BUSY;
  if (status == FUSION_E_CLOSED || status == FUSION_E_TIMEOUT || status == FUSION_E_NETWORK) return CLI_EXIT_NETWORK;
  if (status == FUSION_E_REFUSED || status == FUSION_E_VERSION) return CLI_EXIT_REFUSED;
  if (status == FUSION_E_ROUNDING) return CLI_EXIT_ROUNDING;
  if (status == FUSION_E_OTHER_MODEL) return CLI_EXIT_OTHER_MODEL;
  if (status == FUSION_E_MODEL_CHANGED) return CLI_EXIT_MODEL_CHANGED;
  if (status == FUSION_E_REJECTED) return CLI_EXIT_REJECT;
  return class >= 0 && class <= 7 ? codes[class] : CLI_EXIT_INTERNAL;
}

/** One line, whatever a file's name or field holds: characters that would move the cursor or break it become '?'. */
static void print_error(const char *command, const char *format, va_list args) {
  char text[ERROR_TEXT_LEN];
  vsnprintf(text, sizeof text, format, args);
  for (char *at = text; *at; at++)
    if ((unsigned char)*at < ' ' || *at == 127) *at = '?';
  fprintf(stderr, command ? "fusion %s: %s\n" : "fusion: %s%s\n", command ? command : "", text);
}

void cli_error(const char *command, const char *format, ...) {
  va_list args;
  va_start(args, format);
  print_error(command, format, args);
  va_end(args);
}

int cli_usage(const char *command, const char *format, ...) {
  va_list args;
  va_start(args, format);
  print_error(command, format, args);
  va_end(args);
  fprintf(stderr, command ? "See 'fusion %s --help'.\n" : "See 'fusion help'.\n", command);
  return CLI_EXIT_USAGE;
}

int cli_failed(const char *command, fusion_status status, const fusion_error *err) {
  const bool has_text = err && err->text[0];
  cli_error(command, "%s", has_text ? err->text : fusion_status_text(status));
  return cli_exit_code(status);
}

int cli_print_json(json_t *json) {
  const int failed = !json || json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(10)) != 0 ||
                     fputc('\n', stdout) == EOF || fflush(stdout) != 0;
  json_decref(json);
  return failed ? CLI_EXIT_IO : CLI_EXIT_OK;
}

/* Values */

static bool is_real(const struct cli_option *o) {
  return o->kind == CLI_NUMBER || o->kind == CLI_MS;
}

/** What a value of this option may be, in words: "a whole number from 1 to 40". */
static char *describe_range(const struct cli_option *o, char *out, size_t len) {
  const char *what = is_real(o) ? "a number" : o->kind == CLI_BYTES ? "a size" : "a whole number";
  if (o->max > 0)
    snprintf(out, len, "%s from %.15g to %.15g", what, o->min, o->max);
  else
    snprintf(out, len, "%s of at least %.15g", what, o->min);
  return out;
}

/** Reads "12", "12k", "1.5M" (whole after scaling) or, for NUMBER and MS, any finite decimal. False when it is
 * something else.
 */
static bool parse_number(const struct cli_option *o, const char *text, double *out) {
  if (!isdigit((unsigned char)text[0]) && !strchr("+-.", text[0])) return false;
  char *end;
  errno = 0;
  double value = strtod(text, &end);
  if (end == text || !isfinite(value) || strpbrk(text, "xXpP")) return false;
  if (!is_real(o) && *end) {
    static const char suffixes[] = "kmgt";
    const char *at = strchr(suffixes, tolower((unsigned char)*end));
    if (!at || end[1]) return false;
    value *= pow(o->kind == CLI_BYTES ? 1024 : 1000, (double)(at - suffixes) + 1);
    end++;
  }
  if (*end || (!is_real(o) && value != floor(value))) return false;
  *out = value;
  return true;
}

static int set_number(const char *command, const struct cli_option *o, const char *text) {
  char range[96];
  double value;
  const bool narrow = o->kind == CLI_COUNT32 || o->kind == CLI_MS; /* milliseconds below 2^32 */
  const double most = o->kind == CLI_NUMBER ? HUGE_VAL
                      : o->kind == CLI_MS   ? UINT32_MAX / 1e3
                      : narrow              ? UINT32_MAX
                                            : COUNT_MAX;
  const double max = o->max > 0 && o->max < most ? o->max : most;
  if (!parse_number(o, text, &value) || value < o->min || value > max)
    return cli_usage(command, "--%s: '%s' is not allowed; give %s", o->name, text,
                     describe_range(o, range, sizeof range));
  if (o->kind == CLI_NUMBER)
    *(double *)o->out = value;
  else if (narrow)
    *(uint32_t *)o->out = (uint32_t)(o->kind == CLI_MS ? value * 1e3 : value);
  else
    *(uint64_t *)o->out = (uint64_t)value;
  return CLI_GO;
}

static int set_choice(const char *command, const struct cli_option *o, const char *text) {
  const size_t len = strlen(text);
  int position = 0;
  for (const char *at = o->choices; *at; position++) {
    const size_t word = strcspn(at, "|");
    if (word == len && strncmp(at, text, len) == 0) {
      *(int *)o->out = position;
      return CLI_GO;
    }
    at += word + (at[word] == '|');
  }
  return cli_usage(command, "--%s: '%s' is not allowed; give one of %s", o->name, text, o->choices);
}

static int set_value(const char *command, const struct cli_option *o, const char *text) {
  if (o->given) *o->given = true;
  switch (o->kind) {
    case CLI_FLAG:
    case CLI_CLEAR: *(bool *)o->out = o->kind == CLI_FLAG; return CLI_GO;
    case CLI_COUNT:
    case CLI_COUNT32:
    case CLI_BYTES:
    case CLI_NUMBER:
    case CLI_MS: return set_number(command, o, text);
    case CLI_CHOICE: return set_choice(command, o, text);
    case CLI_TEXT: break;
  }
  if (!text[0]) return cli_usage(command, "--%s: the value is empty", o->name);
  *(const char **)o->out = text;
  return CLI_GO;
}

/* Help */

/** Prints `text` from column `indent` on, broken at spaces before column 80; a newline in it breaks too. */
static void print_wrapped(const char *text, int indent, int column) {
  for (const char *at = text; *at;) {
    const int word = (int)strcspn(at, " \n");
    if (column > indent && column + 1 + word > 80)
      column = printf("\n%*s", indent, "") - 1;
    else if (column > indent)
      column += printf(" ");
    column += printf("%.*s", word, at);
    at += word;
    if (*at == '\n') column = printf("\n%*s", indent, "") - 1;
    if (*at) at++;
  }
  putchar('\n');
}

static void print_option(const struct cli_option *o) {
  enum { INDENT = 28 };
  char left[64], letter[8] = "    ";
  if (o->letter) snprintf(letter, sizeof letter, "-%c, ", o->letter);
  const char *value = o->value ? o->value : o->kind == CLI_CHOICE ? o->choices : "";
  snprintf(left, sizeof left, "  %s--%s%s%s", letter, o->name, *value ? " " : "", value);
  int column = printf("%-*s", INDENT, left);
  if (column > INDENT) column = printf("\n%*s", INDENT, "") - 1;
  print_wrapped(o->help, INDENT, column);
}

const struct cli_option cli_common_options[] = {
    {.name = "cpu-tier",
     .kind = CLI_CHOICE,
     .choices = "c|avx2|vaes|avx512|neon",
     .help = "Use slower processor kernels than this machine's best."},
    {.name = "help", .letter = 'h', .help = "Show this text."},
    {.name = NULL},
};

static void print_help(const struct cli_syntax *s) {
  printf("usage: fusion %s %s\n\n", s->command, s->synopsis);
  print_wrapped(s->about, 0, 0);
  printf("\noptions:\n");
  for (const struct cli_option *o = s->options; o->name; o++)
    if (o->help) print_option(o);
  for (const struct cli_option *o = cli_common_options; o->name; o++) print_option(o);
  if (s->notes) printf("\n%s\n", s->notes);
}

/* Parsing */

struct parser {
  struct option longs[CLI_OPTIONS_MAX + 2];
  char shorts[2 * CLI_OPTIONS_MAX + 4];
  bool seen[CLI_OPTIONS_MAX];
  int count;
};

static bool parser_build(struct parser *p, const struct cli_option *options) {
  char *at = p->shorts;
  *at++ = ':'; /* getopt: say which error it is, print nothing */
  for (; options[p->count].name; p->count++) {
    if (p->count == CLI_OPTIONS_MAX) return false;
    const struct cli_option *o = &options[p->count];
    const bool has_value = o->kind != CLI_FLAG && o->kind != CLI_CLEAR;
    p->longs[p->count] = (struct option){o->name, has_value, NULL, LONG_ONLY + p->count};
    if (o->letter) *at++ = o->letter;
    if (o->letter && has_value) *at++ = ':';
  }
  *at = 'h';
  p->longs[p->count] = (struct option){"help", 0, NULL, 'h'};
  return true;
}

static const struct cli_option *find_option(const struct cli_option *options, int code, int *position) {
  for (int i = 0; options[i].name; i++) {
    if (code != LONG_ONLY + i && (!options[i].letter || code != options[i].letter)) continue;
    *position = i;
    return &options[i];
  }
  return NULL;
}

/** What getopt could not take, in words. */
static int parse_error(const char *command, int code, int option, const char *argument) {
  const bool is_long = strncmp(argument, "--", 2) == 0;
  const int name_len = (int)strcspn(argument, "=");
  if (code == ':' && is_long) return cli_usage(command, "%s: a value is missing", argument);
  if (code == ':') return cli_usage(command, "-%c: a value is missing", option);
  if (is_long && option) return cli_usage(command, "%.*s takes no value", name_len, argument);
  if (is_long) return cli_usage(command, "%.*s: unknown or ambiguous option", name_len, argument);
  return cli_usage(command, "-%c: unknown option", option);
}

static int parse_options(const struct cli_syntax *s, struct parser *p, int argc, char **argv) {
  optind = 0; /* GNU: start afresh */
  opterr = 0;
  for (int code; (code = getopt_long(argc, argv, p->shorts, p->longs, NULL)) != -1;) {
    if (code == 'h') {
      print_help(s);
      return CLI_EXIT_OK;
    }
    int position = 0;
    const struct cli_option *o = code == '?' || code == ':' ? NULL : find_option(s->options, code, &position);
    if (!o) return parse_error(s->command, code, optopt, argv[optind - 1]);
    if (p->seen[position]) return cli_usage(s->command, "--%s is given twice", o->name);
    p->seen[position] = true;
    const int done = set_value(s->command, o, optarg);
    if (done != CLI_GO) return done;
  }
  for (int i = 0; i < p->count; i++)
    if (s->options[i].required && !p->seen[i]) return cli_usage(s->command, "--%s is missing", s->options[i].name);
  return CLI_GO;
}

/* Set while tables are visited. */
static struct {
  cli_visit *visit;
  void *context;
} visitor;

void cli_visit_syntax(const struct cli_command *command, char *word, cli_visit *visit, void *context) {
  char name[32], help[] = "--help";
  snprintf(name, sizeof name, "%s", command->name);
  char *argv[] = {name, word ? word : help, word ? help : NULL, NULL};
  visitor.visit = visit;
  visitor.context = context;
  command->run(word ? 3 : 2, argv);
  visitor.visit = NULL;
}

int cli_parse(const struct cli_syntax *syntax, int argc, char **argv, char ***positional, int *count) {
  if (visitor.visit) {
    visitor.visit(visitor.context, syntax);
    return CLI_EXIT_OK;
  }
  struct parser parser = {.count = 0};
  if (!parser_build(&parser, syntax->options)) return CLI_EXIT_INTERNAL;
  const int done = parse_options(syntax, &parser, argc, argv);
  if (done != CLI_GO) return done;
  const int left = argc - optind;
  if (left > syntax->max_positional)
    return cli_usage(syntax->command, "'%s': one argument too many", argv[optind + syntax->max_positional]);
  if (left < syntax->min_positional)
    return cli_usage(syntax->command, "an argument is missing: fusion %s %s", syntax->command, syntax->synopsis);
  if (positional) *positional = argv + optind;
  if (count) *count = left;
  return CLI_GO;
}

/* Formatting */

char *cli_format_bytes(char out[CLI_TEXT_LEN], double bytes) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  size_t unit = 0;
  while (bytes >= 1000 && unit + 1 < sizeof units / sizeof units[0]) {
    bytes /= 1024;
    unit++;
  }
  const int digits = unit == 0 ? 0 : bytes < 10 ? 2 : bytes < 100 ? 1 : 0;
  snprintf(out, CLI_TEXT_LEN, "%.*f %s", digits, bytes, units[unit]);
  return out;
}

char *cli_format_seconds(char out[CLI_TEXT_LEN], double seconds) {
  const uint64_t whole = (uint64_t)(seconds < 1e15 ? seconds + 0.5 : 1e15);
  if (seconds < 1)
    snprintf(out, CLI_TEXT_LEN, "%.0f ms", seconds * 1e3);
  else if (seconds < 99.5)
    snprintf(out, CLI_TEXT_LEN, seconds < 9.95 ? "%.1f s" : "%.0f s", seconds);
  else if (whole < 3600)
    snprintf(out, CLI_TEXT_LEN, "%" PRIu64 " min %" PRIu64 " s", whole / 60, whole % 60);
  else
    snprintf(out, CLI_TEXT_LEN, "%" PRIu64 " h %" PRIu64 " min", whole / 3600, whole % 3600 / 60);
  return out;
}
