/* fusion --completion: scripts that complete command lines, written from the tables that the commands parse by. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "outputs.h"

/* A shell's script: head, then each table of options, then the end. `words` are what the command wants first, such as
 * "micro|model|engines" of `len` characters, or none. */
struct shell {
  const char *name;
  void (*begin)(void);
  void (*table)(const struct cli_syntax *s, const char *words, int len);
  void (*end)(void);
};

enum value { VALUE_NONE, VALUE_WORDS, VALUE_FILE, VALUE_FOLDER, VALUE_OTHER };

static enum value value_of(const struct cli_option *o) {
  if (o->kind == CLI_FLAG || o->kind == CLI_CLEAR) return VALUE_NONE;
  if (o->choices) return VALUE_WORDS;
  if (!o->value) return VALUE_OTHER;
  if (strstr(o->value, "FILE") || strstr(o->value, "MODEL")) return VALUE_FILE;
  return strcmp(o->value, "DIR") == 0 ? VALUE_FOLDER : VALUE_OTHER;
}

/** Whether the arguments without a dash are files: not of commands that want an address, or a word alone. */
static bool takes_files(const struct cli_syntax *s) {
  const size_t first = strcspn(s->synopsis, " ");
  return s->max_positional > 0 && !memchr(s->synopsis, ':', first);
}

/** "exact|fast" as "exact fast". */
static void put_words(const char *words, int len) {
  for (int i = 0; i < len; i++) putchar(words[i] == '|' ? ' ' : words[i]);
}

/** The first sentence, between single quotes; a backslash before the characters of `special`. */
static void put_sentence(const char *text, const char *special) {
  for (const char *at = text; *at && *at != '\n' && strncmp(at, ". ", 2) != 0; at++) {
    if (*at == '.' && !at[1]) break;
    if (*at == '\'') {
      printf("'\\''");
      continue;
    }
    if (strchr(special, *at)) putchar('\\');
    putchar(*at);
  }
}

/** Calls `put` for the table's options, then for those of every command. */
static void each_option(const struct cli_syntax *s, void (*put)(const struct cli_syntax *, const struct cli_option *)) {
  for (const struct cli_option *o = s->options; o->name; o++)
    if (o->help) put(s, o);
  for (const struct cli_option *o = cli_common_options; o->name; o++) put(s, o);
}

static void put_commands(void) {
  for (const struct cli_command *c = cli_commands; c->name; c++) printf("%s%s", c == cli_commands ? "" : " ", c->name);
}

/* --- bash --------------------------------------------------------------------------------------------------------- */

/* A table is that of the first two words, or of the first. */
static void bash_begin(void) {
  printf(
      "# bash completion for fusion. Written by `fusion --completion bash`.\n"
      "_fusion() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
      "  local i word first= second= key options= words= kind= rest=none commands='");
  put_commands();
  printf(
      "'\n"
      "  COMPREPLY=()\n"
      "  if [[ $current == = ]]; then current=; elif [[ $previous == = ]]; then previous=${COMP_WORDS[COMP_CWORD-2]}; "
      "fi\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    word=${COMP_WORDS[i]}\n"
      "    case $word in\n"
      "      --cpu-tier) [[ ${COMP_WORDS[i+1]} == = ]] && ((i++)); ((i++)) ;;\n"
      "      -*) ;;\n"
      "      *) if [[ -z $first ]]; then first=$word; elif [[ -z $second ]]; then second=$word; fi ;;\n"
      "    esac\n"
      "  done\n"
      "  for key in \"$first $second\" \"$first\"; do case $key in\n"
      "    '')\n"
      "      options='--cpu-tier --help --version --completion' rest=$commands\n"
      "      case $previous in\n"
      "        --cpu-tier) words='c avx2 vaes avx512 neon' ;;\n"
      "        --completion) words='bash zsh fish' ;;\n"
      "      esac\n"
      "      ;;\n"
      "    help) rest=$commands ;;\n");
}

static void bash_value(const struct cli_syntax *s, const struct cli_option *o) {
  (void)s;
  const enum value value = value_of(o);
  if (value == VALUE_NONE) return;
  printf("        ");
  if (o->letter) printf("-%c | ", o->letter);
  printf("--%s) ", o->name);
  if (value == VALUE_WORDS) {
    printf("words='");
    put_words(o->choices, (int)strlen(o->choices));
    printf("' ;;\n");
    return;
  }
  printf("kind=%s ;;\n", value == VALUE_FILE ? "file" : value == VALUE_FOLDER ? "folder" : "none");
}

static void bash_name(const struct cli_syntax *s, const struct cli_option *o) {
  (void)s;
  printf(" --%s", o->name);
}

static void bash_table(const struct cli_syntax *s, const char *words, int len) {
  printf("    '%s')\n      options='", s->command);
  each_option(s, bash_name);
  printf("' rest=");
  if (len > 0 && !takes_files(s)) {
    putchar('\'');
    put_words(words, len);
    putchar('\'');
  } else {
    printf("%s", takes_files(s) ? "file" : "none");
  }
  printf("\n      case $previous in\n");
  each_option(s, bash_value);
  printf("      esac\n");
  if (len > 0 && takes_files(s)) {
    printf("      [[ $second ]] || rest='");
    put_words(words, len);
    printf("'\n");
  }
  printf("      ;;\n");
}

static void bash_end(void) {
  printf(
      "    *) continue ;;\n"
      "  esac; break; done\n"
      "  if [[ -z $words && -z $kind ]]; then\n"
      "    if [[ $current == -* ]]; then words=$options\n"
      "    elif [[ $rest == file || $rest == none ]]; then kind=$rest\n"
      "    else words=$rest; fi\n"
      "  fi\n"
      "  if [[ $words ]]; then\n"
      "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
      "  elif [[ $kind == file || $kind == folder ]]; then\n"
      "    compopt -o filenames 2>/dev/null\n"
      "    [[ $kind == file ]] && kind=-f || kind=-d\n"
      "    mapfile -t COMPREPLY < <(compgen $kind -- \"$current\")\n"
      "  fi\n"
      "}\n"
      "complete -F _fusion fusion\n");
}

/* --- zsh ---------------------------------------------------------------------------------------------------------- */

/* One function a table, named after the command. */
static void zsh_begin(void) {
  printf("#compdef fusion\n# Written by `fusion --completion zsh`.\n");
}

/* A specification of _arguments: which options it excludes, its name, what it is, and its value. */
static void zsh_spec(const struct cli_option *o, const char *name, const char *joint) {
  printf(" \\\n    '");
  if (o->letter) printf("(-%c --%s)", o->letter, o->name);
  const enum value value = value_of(o);
  printf("%s%s[", name, value == VALUE_NONE ? "" : joint);
  put_sentence(o->help, "[]:\\");
  putchar(']');
  if (value == VALUE_WORDS) {
    printf(":%s:(", o->name);
    put_words(o->choices, (int)strlen(o->choices));
    putchar(')');
  } else if (value != VALUE_NONE) {
    printf(":%s:%s", o->name, value == VALUE_FILE ? "_files" : value == VALUE_FOLDER ? "_path_files -/" : " ");
  }
  putchar('\'');
}

static void zsh_option(const struct cli_syntax *s, const struct cli_option *o) {
  (void)s;
  char name[64];
  if (o->letter) {
    snprintf(name, sizeof name, "-%c", o->letter);
    zsh_spec(o, name, "+");
  }
  snprintf(name, sizeof name, "--%s", o->name);
  zsh_spec(o, name, "=");
}

/* "bench micro" as bench-micro. */
static void put_joined(const char *command) {
  for (; *command; command++) putchar(*command == ' ' ? '-' : *command);
}

static void zsh_table(const struct cli_syntax *s, const char *words, int len) {
  printf("_fusion-");
  put_joined(s->command);
  printf("() {\n  local curcontext=$curcontext state line\n  _arguments -C");
  each_option(s, zsh_option);
  if (len > 0) {
    printf(" \\\n    '1:what:(");
    put_words(words, len);
    printf(")'");
  }
  if (takes_files(s)) printf(" \\\n    '*:file:_files'");
  if (len > 0 && !takes_files(s))
    printf(
        " \\\n    '*::rest:->rest'\n  [[ $state == rest ]] && (( $+functions[_fusion-%s-$words[1]] )) && "
        "_fusion-%s-$words[1]",
        s->command, s->command);
  printf("\n}\n");
}

static void zsh_end(void) {
  printf("_fusion-help() {\n  _arguments '1:command:(");
  put_commands();
  printf(
      ")'\n}\n"
      "_fusion-commands() {\n  local -a commands=(");
  for (const struct cli_command *c = cli_commands; c->name; c++) {
    printf("\n    '%s:", c->name);
    put_sentence(c->summary, ":\\");
    putchar('\'');
  }
  printf(
      ")\n  _describe command commands\n}\n"
      "_fusion() {\n"
      "  local curcontext=$curcontext state line\n"
      "  _arguments -C '--cpu-tier=[slower processor kernels]:tier:(c avx2 vaes avx512 neon)' '(-h "
      "--help)'{-h,--help}'[show the "
      "commands]' \\\n"
      "    '--version[show the version]' '--completion=[write a completion script]:shell:(bash zsh fish)' \\\n"
      "    '1:command:_fusion-commands' '*::rest:->rest'\n"
      "  [[ $state == rest ]] && (( $+functions[_fusion-$words[1]] )) && _fusion-$words[1]\n"
      "}\n"
      "if [[ $funcstack[1] == _fusion ]]; then _fusion \"$@\"; else compdef _fusion fusion; fi\n");
}

/* --- fish --------------------------------------------------------------------------------------------------------- */

static void fish_begin(void) {
  printf(
      "# fish completion for fusion. Written by `fusion --completion fish`.\n"
      "function __fusion_no_command\n    not __fish_seen_subcommand_from ");
  put_commands();
  printf(
      "\nend\n"
      "complete -c fusion -f\n"
      "complete -c fusion -n __fusion_no_command -l cpu-tier -x -a 'c avx2 vaes avx512 neon' -d 'Slower processor "
      "kernels'\n"
      "complete -c fusion -n __fusion_no_command -l completion -x -a 'bash zsh fish' -d 'Write a completion script'\n"
      "complete -c fusion -n __fusion_no_command -l help -s h -d 'Show the commands'\n"
      "complete -c fusion -n __fusion_no_command -l version -d 'Show the version'\n");
  for (const struct cli_command *c = cli_commands; c->name; c++) {
    printf("complete -c fusion -n __fusion_no_command -a %s -d '", c->name);
    put_sentence(c->summary, "");
    printf("'\n");
  }
  printf("complete -c fusion -n '__fish_seen_subcommand_from help' -a '");
  put_commands();
  printf("'\n");
}

/* Where the table holds: behind all words of the command. */
static void fish_place(const char *command) {
  printf("complete -c fusion -n '");
  const int first = (int)strcspn(command, " ");
  printf("__fish_seen_subcommand_from %.*s", first, command);
  if (command[first]) printf("; and __fish_seen_subcommand_from %s", command + first + 1);
}

static void fish_option(const struct cli_syntax *s, const struct cli_option *o) {
  fish_place(s->command);
  printf("' -l %s", o->name);
  if (o->letter) printf(" -s %c", o->letter);
  switch (value_of(o)) {
    case VALUE_NONE: break;
    case VALUE_WORDS:
      printf(" -x -a '");
      put_words(o->choices, (int)strlen(o->choices));
      putchar('\'');
      break;
    case VALUE_FILE: printf(" -r -F"); break;
    case VALUE_FOLDER: printf(" -x -a '(__fish_complete_directories)'"); break;
    case VALUE_OTHER: printf(" -x"); break;
  }
  printf(" -d '");
  put_sentence(o->help, "\\");
  printf("'\n");
}

static void fish_table(const struct cli_syntax *s, const char *words, int len) {
  each_option(s, fish_option);
  if (len > 0) {
    fish_place(s->command);
    printf("; and not __fish_seen_subcommand_from ");
    put_words(words, len);
    printf("' -a '");
    put_words(words, len);
    printf("'\n");
  }
  if (!takes_files(s)) return;
  fish_place(s->command);
  printf("' -F\n");
}

static void fish_end(void) {}

/* --- all ---------------------------------------------------------------------------------------------------------- */

static const struct shell shells[] = {{"bash", bash_begin, bash_table, bash_end},
                                      {"zsh", zsh_begin, zsh_table, zsh_end},
                                      {"fish", fish_begin, fish_table, fish_end}};

struct visit {
  const struct shell *shell;
  const char *command; /* whose table comes next; one of another name is that of a command's first word */
  const char *words;   /* of the table seen last: what the command wants first */
  int len;
  bool again; /* the table of `command` was written before */
};

static void write_table(void *context, const struct cli_syntax *s) {
  struct visit *visit = context;
  const bool own = strcmp(s->command, visit->command) == 0;
  if (own && visit->again) return;
  const int len = (int)strspn(s->synopsis, "abcdefghijklmnopqrstuvwxyz|");
  visit->shell->table(s, s->synopsis, len);
  if (!own) return;
  visit->words = s->synopsis;
  visit->len = len;
}

static void write_command(const struct shell *shell, const struct cli_command *c) {
  struct visit visit = {.shell = shell, .command = c->name};
  cli_visit_syntax(c, NULL, write_table, &visit);
  visit.again = true;
  for (int at = 0; at < visit.len;) {
    char word[32];
    const int len = (int)strcspn(visit.words + at, "| ");
    snprintf(word, sizeof word, "%.*s", len, visit.words + at);
    cli_visit_syntax(c, word, write_table, &visit);
    at += len + 1;
  }
}

int cli_completion(int argc, char **argv) {
  for (size_t i = 0; argc == 2 && i < sizeof shells / sizeof shells[0]; i++) {
    if (strcmp(argv[1], shells[i].name) != 0) continue;
    shells[i].begin();
    for (const struct cli_command *c = cli_commands; c->name; c++)
      if (c->run != cmd_help) write_command(&shells[i], c);
    shells[i].end();
    return cli_flush_stdout(NULL);
  }
  return cli_usage(NULL, "--completion: give bash, zsh or fish");
}
