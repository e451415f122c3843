/** What the subcommands of `fusion` share: options described in a table (parsed, range-checked and explained by
 * --help), one-line errors, exit codes, progress, JSON. The command sees the public headers alone. */
#ifndef FUSION_TOOLS_CLI_H
#define FUSION_TOOLS_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fusion/fusion.h>

/** Exit codes, the same for every subcommand and documented in fusion(1). */
enum cli_exit {
  CLI_EXIT_OK = 0, /**< done; for `query`: the answers are accepted */
  CLI_EXIT_USAGE = 2,
  CLI_EXIT_RESOURCE = 3,
  CLI_EXIT_IO = 4,
  CLI_EXIT_PEER = 5, /**< the peer broke the protocol */
  CLI_EXIT_MODEL = 6,
  CLI_EXIT_CRYPTO = 7,
  CLI_EXIT_INTERNAL = 8,
  CLI_EXIT_BUSY = 9,           /**< `query`: the server is busy; the same command may do later */
  CLI_EXIT_REJECT = 10,        /**< `query`: the verdict is reject; no answers are written */
  CLI_EXIT_ROUNDING = 11,      /**< `query`: the server's model uses fast rounding, without --accept-fast */
  CLI_EXIT_OTHER_MODEL = 12,   /**< `query`: the server's model is not the one that --manifest or canaries name */
  CLI_EXIT_CHANGED = 13,       /**< `query`: reject; the model does not answer the canaries as in their audit */
  CLI_EXIT_MODEL_CHANGED = 14, /**< `query`: the server announces another model than --model-id names */
  CLI_EXIT_NETWORK = 15,       /**< `query`: the server cannot be reached, or the connection was lost; try again */
  CLI_EXIT_REFUSED = 16,       /**< `query`: the server declines this request for good */
  CLI_EXIT_SIGNAL = 128,       /**< `query`: and the signal's number: the user ended the job */
};
int cli_exit_code(fusion_status status);

/** Subcommands, one per file cmd_<name>.c; argv[0] is the subcommand's name. They return an exit code. */
int cmd_plan(int argc, char **argv);
int cmd_compile(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_query(int argc, char **argv);
int cmd_keygen(int argc, char **argv);
int cmd_prepare(int argc, char **argv);
int cmd_ledger(int argc, char **argv);
int cmd_verify_receipt(int argc, char **argv);
int cmd_audit(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_help(int argc, char **argv);

/** True when the line said --cpu-tier (main.c). */
extern bool cli_tier_forced;

struct cli_command {
  const char *name, *summary;
  int (*run)(int argc, char **argv);
};
/** The table of subcommands (main.c), ended by a NULL name. */
extern const struct cli_command cli_commands[];

enum cli_kind {
  CLI_FLAG,    /**< bool *: becomes true */
  CLI_CLEAR,   /**< bool *: becomes false */
  CLI_COUNT,   /**< uint64_t *: a whole number in [min, max] (both below 2^53); suffixes k, M, G (1000s) are allowed */
  CLI_COUNT32, /**< uint32_t *: the same, below 2^32 */
  CLI_BYTES,   /**< uint64_t *: as CLI_COUNT, suffixes K, M, G, T are powers of 1024 */
  CLI_NUMBER,  /**< double *: a finite number in [min, max] */
  CLI_MS,      /**< uint32_t *: seconds on the command line, in [min, max], milliseconds in the field */
  CLI_TEXT,    /**< const char **: not empty; borrowed from argv */
  CLI_CHOICE,  /**< an enum or int *: position of the word in `choices`, "exact|fast" */
};

struct cli_option {
  const char *name; /* long name, no dashes */
  char letter;      /* one-letter form, 0 for none */
  enum cli_kind kind;
  void *out;   /* typed by `kind`; keeps its value (the default) when the option is absent */
  bool *given; /* set when the option is present; may be NULL */
  bool required;
  double min, max;     /* COUNT, COUNT32, BYTES, NUMBER, MS; max == 0 means no upper bound */
  const char *choices; /* CLI_TEXT: words that completion offers among others; may be NULL */
  const char *value;   /* name of the value in --help, "R" */
  const char *help;    /* one or more sentences; say the unit and the default. NULL: an old spelling, not shown */
};

/** Entries of a table. `out` is the field of the public settings where there is one. What it points to is checked by
 * the compiler, and for COUNT decides the width; after the help further fields may follow: CLI_OPT_TEXT("labels",
 * &labels, "FILE", "Their labels.", .letter = 'l', .required = true). */
#define CLI_TYPED_(type_, out_) (1 ? (out_) : (type_ *)NULL)
#define CLI_OPT_TEXT(name_, out_, value_, ...) \
  { .name = name_, .kind = CLI_TEXT, .out = CLI_TYPED_(const char *, out_), .value = value_, .help = __VA_ARGS__ }
#define CLI_OPT_FLAG(name_, out_, ...) \
  { .name = name_, .kind = CLI_FLAG, .out = CLI_TYPED_(bool, out_), .help = __VA_ARGS__ }
#define CLI_OPT_CLEAR(name_, out_, ...) \
  { .name = name_, .kind = CLI_CLEAR, .out = CLI_TYPED_(bool, out_), .help = __VA_ARGS__ }
/* As wide as an int, or the array's length is negative. */
#define CLI_OPT_CHOICE(name_, out_, choices_, ...)                                                          \
  {                                                                                                         \
    .name = name_, .kind = CLI_CHOICE, .choices = choices_,                                                 \
    .out = 1 ? (void *)(out_) : (char(*)[sizeof *(out_) == sizeof(int) ? 1 : -1]) NULL, .help = __VA_ARGS__ \
  }
#define CLI_OPT_RANGE_(kind_, name_, out_, min_, max_, value_, ...) \
  { .name = name_, .kind = kind_, .out = out_, .min = min_, .max = max_, .value = value_, .help = __VA_ARGS__ }
#define CLI_OPT_COUNT(name_, out_, min_, max_, ...) \
  CLI_OPT_RANGE_(_Generic((out_), uint64_t *        \
                          : CLI_COUNT, uint32_t *   \
                          : CLI_COUNT32),           \
                 name_, out_, min_, max_, __VA_ARGS__)
#define CLI_OPT_MS(name_, out_, min_, max_, ...) \
  CLI_OPT_RANGE_(CLI_MS, name_, CLI_TYPED_(uint32_t, out_), min_, max_, "S", __VA_ARGS__)
#define CLI_OPT_BYTES(name_, out_, min_, ...) \
  CLI_OPT_RANGE_(CLI_BYTES, name_, CLI_TYPED_(uint64_t, out_), min_, 0, "BYTES", __VA_ARGS__)
#define CLI_OPT_NUMBER(name_, out_, min_, max_, ...) \
  CLI_OPT_RANGE_(CLI_NUMBER, name_, CLI_TYPED_(double, out_), min_, max_, __VA_ARGS__)

/** Appends `more` (ended by a NULL name) to a table of CLI_OPTIONS_MAX + 1 entries, itself ended so. */
enum { CLI_OPTIONS_MAX = 64 };
void cli_add_options(struct cli_option *table, const struct cli_option *more);

/** Options that mean the same wherever they appear are written once, here: each function appends its group. */

/** --tls-cert, --tls-key, --plaintext, and the authority as --tls-ca (client) or --client-ca (server). */
void cli_add_tls_client(struct cli_option *table, fusion_client_settings *s);
void cli_add_tls_server(struct cli_option *table, fusion_server_settings *s);
/** What --plaintext excludes and which of the others belong together. CLI_GO, or the exit code. */
int cli_check_tls_client(const char *command, const fusion_client_settings *s);
int cli_check_tls_server(const char *command, const fusion_server_settings *s);

/** How the files of a line are read: --header, and for samples --preprocess and --id-column. */
struct cli_reading {
  const char *command;          /* for notes on standard error */
  const char *preprocess;       /* for images alone; may be NULL */
  const char *id_column;        /* of the samples' file; may be NULL */
  const char *public_id_column; /* of the public samples' file; may be NULL */
  fusion_header header;
};
/** What is done with samples beyond the model's input range: --clip. */
enum cli_clip { CLI_CLIP_REFUSE, CLI_CLIP_YES };
/** What the samples are and how their images and classes are to be read: --input, --classes, and the reading. */
struct cli_input {
  const char *path, *classes;
  enum cli_clip clip;
  struct cli_reading reading;
};
void cli_add_input(struct cli_option *table, struct cli_input *input);
/** --public-id-column. */
void cli_add_public_reading(struct cli_option *table, struct cli_reading *reading);
void cli_add_reading(struct cli_option *table, struct cli_reading *reading);
void cli_add_clip(struct cli_option *table, enum cli_clip *clip);
/** Loads an array file, an image or a folder of images; a line that was taken as a header is told. */
fusion_status cli_load_samples(fusion_array **out, const struct cli_reading *how, const char *path, fusion_error *err);
/** The same for public samples. */
fusion_status cli_load_public(fusion_array **out, const struct cli_reading *how, const char *path, fusion_error *err);
/** Labels: numbers, or names in a .csv or .txt file. */
fusion_status cli_load_labels(fusion_array **out, const struct cli_reading *how, const char *path, fusion_error *err);
void cli_add_threads(struct cli_option *table, unsigned *threads);
void cli_add_json(struct cli_option *table, bool *json);
void cli_add_quiet(struct cli_option *table, bool *quiet);

/** --engine. cli_add_stack: its old spelling, hidden, for the commands that had it. */
void cli_add_engine(struct cli_option *table, const char **engine);
/** --engine of a server: any number of them. */
void cli_add_engines(struct cli_option *table, const char **engines);
void cli_add_stack(struct cli_option *table, const char **engine);

/** What a party of a job grants itself and the other: --timeout-s, --max-memory, into the settings' fields.
 */
void cli_add_limits(struct cli_option *table, uint32_t *timeout_ms, uint64_t *max_memory);

/** "none", "lan", "wan" or "RATE,RTT": bytes a second (suffixes k, M, G) and milliseconds. */
bool cli_parse_network(const char *text, fusion_bench_network *out);

enum { CLI_SHARD_MOST = 4096 }; /* samples that `query` runs at once at most */
/** A private run that is predicted: --samples, --max-memory, --network, --engine, --server-speeds, --no-calibration,
 * and the outcome. */
struct cli_prediction {
  uint64_t samples, memory;
  const char *network, *engine;
  const char *server_speeds; /* a file; NULL: as this machine's */
  bool calibrate;            /* else for the usual machine */
  fusion_bench_network link;
  size_t shard;
  fusion_prediction result;
  double seconds; /* over the link */
};
static const struct cli_prediction cli_prediction_default = {.result = {.size = sizeof(fusion_prediction)},
                                                             .samples = 128,
                                                             .memory = (uint64_t)4 << 30,
                                                             .network = "lan",
                                                             .calibrate = true};
void cli_add_prediction(struct cli_option *table, struct cli_prediction *p);
/** CLI_GO, or the exit code for a --network or an --engine that is none. */
int cli_check_prediction(const char *command, struct cli_prediction *p);
/** Fills `result` and `seconds` unless `samples` is 0. */
fusion_status cli_predict(const char *command, const fusion_model *model, struct cli_prediction *p, fusion_error *err);
/** Three lines, led by these words; nothing for 0 samples. */
void cli_print_prediction(const struct cli_prediction *p, const char *first, const char *second, const char *third);
json_t *cli_prediction_json(const struct cli_prediction *p);

struct cli_syntax {
  const char *command;              /* "plan" */
  const char *synopsis;             /* what follows it: "--queries R [options]" */
  const char *about;                /* a sentence or two */
  const struct cli_option *options; /* ended by a NULL name */
  const char *notes;                /* examples and the like after the options; may be NULL */
  int min_positional, max_positional;
};

#define CLI_GO (-1)
/** Parses argv in place. CLI_GO: go on, positional arguments at *positional (may be NULL when none are allowed), their
 *  number in *count. Otherwise the exit code to return: --help was printed (0) or the line was wrong (2, and said why).
 */
int cli_parse(const struct cli_syntax *syntax, int argc, char **argv, char ***positional, int *count);

/** Calls `visit` with what the command would parse its line by, behind `word` ("micro") if it is not NULL, in place of
 * running it. A command that parses nothing is not visited. Not thread-safe. */
typedef void cli_visit(void *context, const struct cli_syntax *syntax);
void cli_visit_syntax(const struct cli_command *command, char *word, cli_visit *visit, void *context);
/** What every command takes: --cpu-tier and --help; ended by a NULL name. */
extern const struct cli_option cli_common_options[];
/** fusion --completion bash|zsh|fish. Returns an exit code. */
int cli_completion(int argc, char **argv);

/** `fusion <command>: <text>` on standard error. cli_usage adds where help is, and returns CLI_EXIT_USAGE. */
void cli_error(const char *command, const char *format, ...) FUSION_PRINTF(2, 3);
int cli_usage(const char *command, const char *format, ...) FUSION_PRINTF(2, 3);
/** Prints a failure (its text, or the status's general sentence) and returns its exit code. */
int cli_failed(const char *command, fusion_status status, const fusion_error *err);

/** Prints JSON on standard output, indented, with a newline; releases it. Returns CLI_EXIT_OK, or CLI_EXIT_IO. */
int cli_print_json(json_t *json);

/** "12.3 MiB", "1.2 s", "3 min 20 s" into `out`; returns `out`. */
enum { CLI_TEXT_LEN = 48 };
char *cli_format_bytes(char out[CLI_TEXT_LEN], double bytes);
char *cli_format_seconds(char out[CLI_TEXT_LEN], double seconds);

/** Progress on standard error: on a terminal a bar with rate and time left, redrawn at most ten times a second;
 * elsewhere plain lines, at most one in five seconds. Not thread-safe: one thread calls it. */
struct cli_progress {
  const char *label, *unit; /* "query", "samples" */
  double total, started, drawn_at;
  double predicted; /* seconds of the whole, shown until there is a rate; 0: unknown */
  bool terminal, quiet, drawn;
};
void cli_progress_start(struct cli_progress *p, const char *label, const char *unit, double total, bool quiet);
void cli_progress_update(struct cli_progress *p, double done);
/** Clears the bar (terminal), so that what is printed next stands alone. */
void cli_progress_end(struct cli_progress *p);

#endif
