/** Jobs as a user runs them, by the public interface or by the command, against a server in this process or another;
 * and what became of them. */
#ifndef FUSION_TESTS_FAULT_SCENE_H
#define FUSION_TESTS_FAULT_SCENE_H

#include <fusion/client.h>
#include <fusion/server.h>
#include <pthread.h>
#include <sys/types.h>

#include "support/certs.h"

/** The end of a run in which something failed. */
enum outcome {
  OUTCOME_RECOVERED, /* the verdict of an unbroken run, every answer right */
  OUTCOME_FAILED,    /* an error with a line of text; no answers */
  OUTCOME_LOST,      /* anything else: must not happen */
  OUTCOME_COUNT,
};

enum { QUERIES = 6, PUBLIC_ROWS = 20, PATH_LEN = 128 };

struct fault_scene {
  const char *command; /* path of the program `fusion` */
  char dir[64];
  char model[PATH_LEN], queries[PATH_LEN], public_samples[PATH_LEN], labels[PATH_LEN], journal[PATH_LEN];
  char answers[PATH_LEN], report[PATH_LEN], html[PATH_LEN];
  struct certs certs;
  int64_t *expected; /* raw answers */
  size_t answer_count;
  const char *client_timeout, *server_timeout; /* of the command, in seconds */
  double seconds;                              /* of an unbroken job of the command */
  uint64_t random;
  int said[2]; /* a pipe, that of the command's standard error: no limit on files cuts it */
  char last_words[512];
  size_t said_len;
};

/** A model with every kind of step that has messages of its own, its inputs and answers, in a new folder. */
void scene_open(struct fault_scene *s, uint64_t seed, const char *command);
void scene_close(struct fault_scene *s);
/** Uniform below `bound`. */
uint64_t scene_random(struct fault_scene *s, uint64_t bound);

/* ---- in this process ---- */

struct fault_server {
  fusion_model *model;
  fusion_server *server;
  pthread_t thread;
  uint16_t port;
};

void server_begin(struct fault_server *f, const struct fault_scene *s, bool tls, uint32_t max_clients);
void server_end(struct fault_server *f);

struct ask {
  uint16_t port;
  uint32_t workers, shard_samples, tries, timeout_ms;
  bool tls, journal;
};

/** A whole job: load, ask, write answers, report and page, forget the journal. `why`: of a failure. */
enum outcome scene_ask(const struct fault_scene *s, const struct ask *ask, fusion_error *why);

/** What lies in the answers' file after a job: nothing, all right answers, or neither. */
enum found { FOUND_NOTHING, FOUND_RIGHT, FOUND_WRONG };
enum found scene_answers(const struct fault_scene *s);
/** Removes what jobs write, the journal too. */
void scene_sweep(const struct fault_scene *s);

/* ---- the command, in processes of its own ---- */

/** How a command differs from the usual one; 0 and NULL: not. */
struct limits {
  long file_len;                /* bytes that a file may have */
  const char *answers, *report; /* where outputs go */
};

/** Starts `fusion serve` on `port` (0: any); waits until it listens. */
pid_t command_serve(const struct fault_scene *s, uint16_t *port);
/** Starts `fusion query`, its standard error into s->said; `extra`: further arguments, NULL at the end. */
pid_t command_query(struct fault_scene *s, uint16_t port, const struct limits *limits, const char *const *extra);
/** Waits for the process: its exit status, 128 + signal, or -1 (then it was killed) after so many seconds. */
int command_wait(pid_t pid, double seconds);
/** Kills and waits. */
void command_kill(pid_t pid);
/** What an ended query came to, by its exit status, files and last words. */
enum outcome command_outcome(struct fault_scene *s, int exit_status);
/** The last line on standard error. */
void command_last_words(struct fault_scene *s, char *out, size_t len);

#endif
