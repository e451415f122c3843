/** Jobs between a server and a client in this process, over real connections, on the fake engine unless told otherwise.
 */
#ifndef FUSION_TESTS_SESSION_SCENE_H
#define FUSION_TESTS_SESSION_SCENE_H

#include <pthread.h>

#include "session/fake_engine.h"
#include "session/job.h"
#include "session/serve.h"

enum { IN = 6, OUT = 4, QUERIES = 12, COPIES = 4, PUBLIC = 30, SAMPLES = QUERIES * COPIES + PUBLIC };

/** A server in a thread, a client's settings for it, inputs with true labels. scene_prepare fills in defaults, which a
 * test may change before scene_start. */
struct session_scene {
  struct model *model;
  struct tls_context *server_tls, *client_tls;
  fusion_server_settings serve;
  struct server_handles serve_handles;
  struct server *server;
  pthread_t thread;
  fusion_status server_status;
  char log[8192];
  fusion_client_settings ask;
  struct job_handles ask_handles;
  struct job_input input; /* 12 queries of 4 copies, 30 public samples, 3 errors allowed */
  double queries[QUERIES * IN], public_samples[PUBLIC * IN];
  int64_t labels[PUBLIC], expected[QUERIES * OUT], public_answers[PUBLIC * OUT];
};

void scene_prepare(struct session_scene *s);
void scene_start(struct session_scene *s);
/** Stops the server; it must have lost no connection. */
void scene_end(struct session_scene *s);

/** Runs a job. */
fusion_status scene_ask(struct session_scene *s, struct job_output *out, fusion_verdict *v, fusion_error *err);
/** Runs a job that must be accepted, with the model's answers. */
void expect_accept(struct session_scene *s, fusion_verdict *v);
/** Runs a job that must end with this status and a line with this text in it, without answers. */
void expect_failure(struct session_scene *s, fusion_status status, const char *text);
void expect_log(const struct session_scene *s, const char *text);

#endif
