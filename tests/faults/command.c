/* The command in processes of its own. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "faults/fault_scene.h"
#include "support/support.h"

enum { ARGS_MAX = 48 };

struct line {
  const char *args[ARGS_MAX + 1];
  size_t count;
};

static void add(struct line *l, const char *arg) {
  if (l->count == ARGS_MAX) abort();
  l->args[l->count++] = arg;
}

/* What the command prints goes to `out`. */
static pid_t start(const struct line *l, int out, const struct limits *limits) {
  const pid_t parent = getpid(), pid = fork();
  if (pid < 0) fail_msg("fork failed");
  if (pid > 0) return pid;
  if (out < 0 || dup2(out, 2) < 0 || dup2(out, 1) < 0 || getppid() != parent) _exit(126);
  if (limits && limits->file_len) {
    const struct rlimit limit = {(rlim_t)limits->file_len, (rlim_t)limits->file_len};
    if (setrlimit(RLIMIT_FSIZE, &limit)) _exit(126);
  }
  execv(l->args[0], (char *const *)(uintptr_t)l->args);
  _exit(127);
}

int command_wait(pid_t pid, double seconds) {
  const double deadline = clock_seconds() + seconds;
  int status;
  for (;;) {
    const pid_t ended = waitpid(pid, &status, WNOHANG);
    if (ended == pid) return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (ended < 0 && errno != EINTR) return -1;
    if (clock_seconds() > deadline) break;
    usleep(1000);
  }
  command_kill(pid);
  return -1;
}

void command_kill(pid_t pid) {
  kill(pid, SIGKILL);
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
}

pid_t command_serve(const struct fault_scene *s, uint16_t *port) {
  struct line l = {.count = 0};
  char listen[32], ready[PATH_LEN];
  unsigned got = 0;
  snprintf(listen, sizeof listen, "127.0.0.1:%u", *port);
  snprintf(ready, sizeof ready, "%s/ready", s->dir);
  unlink(ready);
  const char *const args[] = {s->command,     "serve", s->model,      "--listen",        listen,      "--plaintext",
                              "--ready-file", ready,   "--timeout-s", s->server_timeout, "--grace-s", "5"};
  for (size_t i = 0; i < sizeof args / sizeof args[0]; i++) add(&l, args[i]);
  const double deadline = clock_seconds() + 120;
  const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  const pid_t pid = start(&l, nowhere, NULL);
  if (nowhere >= 0) close(nowhere);
  while (!got) {
    FILE *f = fopen(ready, "r");
    if (f && fscanf(f, "%u", &got) != 1) got = 0;
    if (f) fclose(f);
    if (!got && (clock_seconds() > deadline || waitpid(pid, NULL, WNOHANG) == pid)) fail_msg("no server");
    if (!got) usleep(1000);
  }
  unlink(ready);
  *port = (uint16_t)got;
  return pid;
}

/* Reads what lies in the pipe; keeps the last line. */
static void collect_words(struct fault_scene *s) {
  char byte;
  while (read(s->said[0], &byte, 1) == 1) {
    if (s->said_len && s->last_words[s->said_len - 1] == '\n') s->said_len = 0;
    if (s->said_len == sizeof s->last_words - 1) s->said_len--;
    s->last_words[s->said_len++] = byte;
  }
  s->last_words[s->said_len] = '\0';
}

pid_t command_query(struct fault_scene *s, uint16_t port, const struct limits *limits, const char *const *extra) {
  struct line l = {.count = 0};
  char address[32];
  const char *answers = limits && limits->answers ? limits->answers : s->answers;
  const char *report = limits && limits->report ? limits->report : s->report;
  snprintf(address, sizeof address, "127.0.0.1:%u", port);
  const char *const args[] = {s->command,
                              "query",
                              address,
                              "--plaintext",
                              "--input",
                              s->queries,
                              "--public",
                              s->public_samples,
                              "--labels",
                              s->labels,
                              "--raw",
                              "-o",
                              answers,
                              "--report",
                              report,
                              "--security",
                              "24",
                              "--min-public",
                              "10",
                              "--min-accuracy",
                              "0.85",
                              "--shard-samples",
                              "6",
                              "--timeout-s",
                              s->client_timeout,
                              "--connect-timeout-s",
                              "60",
                              "--quiet"};
  for (size_t i = 0; i < sizeof args / sizeof args[0]; i++) add(&l, args[i]);
  for (; extra && *extra; extra++) add(&l, *extra);
  collect_words(s);
  s->said_len = 0;
  return start(&l, s->said[1], limits);
}

void command_last_words(struct fault_scene *s, char *out, size_t len) {
  collect_words(s);
  snprintf(out, len, "%.*s", (int)strcspn(s->last_words, "\n"), s->last_words);
}

enum outcome command_outcome(struct fault_scene *s, int exit_status) {
  char words[512];
  const enum found found = scene_answers(s);
  command_last_words(s, words, sizeof words);
  if (exit_status == 0) return found == FOUND_RIGHT ? OUTCOME_RECOVERED : OUTCOME_LOST;
  const bool said = strncmp(words, "fusion query: ", 14) == 0 && strlen(words) > 20;
  const bool known = (exit_status > 0 && exit_status < 10) || exit_status == 15 || exit_status == 16;
  return known && said && found != FOUND_WRONG ? OUTCOME_FAILED : OUTCOME_LOST;
}
