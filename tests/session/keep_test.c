/* Set-ups that are kept from one job to the next, over real connections. channel_send passes this file, which counts
 * what shows how a set-up was made and can make the server lie about one. */
#include "session/keep.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ot/ot_messages.h"
#include "session/session_scene.h"
#include "support/certs.h"
#include "support/support.h"

/* ---- messages ---- */

static atomic_int base_ots, uses;    /* messages of base OT; READYs that say that a kept set-up is used */
static atomic_int claims, disclaims; /* READYs to alter: to say that it is used; that it is not */
static uint8_t last_named[SESSION_STATE_LEN];

fusion_status __real_channel_send(struct channel *c, message_type type, const void *data, size_t len);
fusion_status __wrap_channel_send(struct channel *c, message_type type, const void *data, size_t len);

enum { START_KEPT = 14, READY_USES = 5, READY_LEN = 22 };

fusion_status __wrap_channel_send(struct channel *c, message_type type, const void *data, size_t len) {
  uint8_t ready[READY_LEN];
  if (type == MSG_BASE_OT) atomic_fetch_add(&base_ots, 1);
  if (type == MSG_START) memcpy(last_named, (const uint8_t *)data + START_KEPT, sizeof last_named);
  if (type != MSG_READY) return __real_channel_send(c, type, data, len);
  assert_int_equal(len, sizeof ready);
  memcpy(ready, data, sizeof ready);
  if (atomic_load(&claims)) ready[READY_USES] = 1;
  if (atomic_load(&disclaims)) ready[READY_USES] = 0;
  atomic_fetch_add(&uses, ready[READY_USES]);
  return __real_channel_send(c, type, ready, sizeof ready);
}

/* ---- a scene ---- */

static char folder[] = "/tmp/fusion-keep-XXXXXX";
static char path[80], copy[80];

static void use_engine(struct session_scene *s, const char *name) {
  const struct engine *engine = engine_find(name);
  assert_ok(engine_prepare(engine, s->model, NULL));
  struct engine_list *list = &s->serve_handles.engines;
  if (list->at[0] == &fake_engine) list->count = 0;
  list->at[list->count++] = engine;
  s->ask_handles.engine = engine;
}

static void begin(struct session_scene *s, const char *engine) {
  scene_prepare(s);
  use_engine(s, engine);
  s->ask.tries = 1;
}

static void end(struct session_scene *s) {
  scene_end(s);
  unlink(path);
  unlink(copy);
}

static void restart(struct session_scene *s) {
  server_stop(s->server);
  pthread_join(s->thread, NULL);
  server_close(s->server);
  scene_start(s);
}

static bool is_there(const char *file) {
  return access(file, F_OK) == 0;
}

static void copy_file(const char *from, const char *to) {
  char command[300];
  snprintf(command, sizeof command, "cp -p %s %s", from, to);
  assert_int_equal(system(command), 0);
}

static void hear_nothing(void) {
  atomic_store(&base_ots, 0);
  atomic_store(&uses, 0);
}

/* How a job set up. */
enum set_up { NEW, KEPT, NEITHER };

static enum set_up heard(void) {
  const int ots = atomic_load(&base_ots), used = atomic_load(&uses);
  if (ots && !used) return NEW;
  return !ots && used ? KEPT : NEITHER;
}

/* A job as the library runs it. */
static fusion_status ask_with(const struct session_scene *s, const char *file, fusion_verdict *v, fusion_error *err) {
  struct job_handles handles = s->ask_handles;
  const struct job_terms terms = {&s->ask, &handles, &s->input};
  struct job_output out = {0};
  fusion_status status = keep_open(&handles.keep, file, err);
  if (status == FUSION_OK) status = job_run(&terms, &out, v, err);
  if (status == FUSION_OK) status = keep_write(handles.keep, err);
  if (status == FUSION_OK && v->accepted) assert_memory_equal(out.answers, s->expected, sizeof s->expected);
  job_output_free(&out);
  keep_close(handles.keep);
  return status;
}

static void expect_job(const struct session_scene *s, const char *file, enum set_up set_up) {
  fusion_verdict v = {0};
  fusion_error err = {.status = FUSION_OK};
  hear_nothing();
  if (ask_with(s, file, &v, &err) != FUSION_OK) fail_msg("job failed: %s", err.text);
  assert_true(v.accepted);
  assert_int_equal(heard(), set_up);
}

static void expect_loss(const struct session_scene *s, fusion_status due) {
  fusion_verdict v = {0};
  fusion_error err = {.status = FUSION_OK};
  assert_int_equal(ask_with(s, path, &v, &err), due);
  assert_false(v.accepted);
}

/* ---- tests ---- */

static void keep__the_next_job_makes_no_base_ots(void **state) {
  (void)state;
  static const char *const engines[] = {"cheetah", "delphi", "sci-he", "sci-ot", "aby"};
  for (size_t i = 0; i < sizeof engines / sizeof *engines; i++) {
    struct session_scene s;
    struct stat st;
    begin(&s, engines[i]);
    scene_start(&s);
    expect_job(&s, path, NEW);
    for (int again = 0; again < 3; again++) {
      uint8_t before[SESSION_STATE_LEN];
      memcpy(before, last_named, sizeof before);
      assert_int_equal(stat(path, &st), 0);
      assert_int_equal(st.st_mode & 07777, 0600);
      expect_job(&s, path, KEPT);
      assert_memory_not_equal(last_named, before, sizeof before);
    }
    end(&s);
  }
}

/* A backup that somebody puts back: the server has spent its half. */
static void keep__a_copy_used_twice_gets_a_new_set_up(void **state) {
  (void)state;
  struct session_scene s;
  begin(&s, "sci-ot");
  scene_start(&s);
  expect_job(&s, path, NEW);
  copy_file(path, copy);
  expect_job(&s, path, KEPT);
  expect_job(&s, copy, NEW);
  expect_job(&s, path, KEPT);
  expect_job(&s, copy, KEPT);
  end(&s);
}

struct asking {
  const struct session_scene *s;
  fusion_status status;
  fusion_verdict v;
  fusion_error err;
};

static void *ask_main(void *arg) {
  struct asking *a = arg;
  a->status = ask_with(a->s, path, &a->v, &a->err);
  return NULL;
}

static void keep__of_two_jobs_at_once_one_uses_the_file(void **state) {
  (void)state;
  struct session_scene s;
  begin(&s, "sci-ot");
  scene_start(&s);
  for (int i = 0; i < 5; i++) {
    struct asking a = {.s = &s}, b = {.s = &s};
    unlink(path);
    expect_job(&s, path, NEW);
    hear_nothing();
    test_run_both(ask_main, &a, ask_main, &b);
    if (a.status != FUSION_OK || b.status != FUSION_OK) fail_msg("'%s' '%s'", a.err.text, b.err.text);
    assert_true(a.v.accepted && b.v.accepted);
    /* The second may even begin after the first has ended. */
    assert_true(atomic_load(&uses) == 1 || (atomic_load(&uses) == 2 && !atomic_load(&base_ots)));
    assert_true(is_there(path));
    expect_job(&s, path, KEPT);
  }
  end(&s);
}

static void keep__a_server_that_has_nothing_makes_a_new_set_up(void **state) {
  (void)state;
  struct session_scene s;
  begin(&s, "sci-ot");
  scene_start(&s);
  expect_job(&s, path, NEW);
  restart(&s);
  expect_job(&s, path, NEW);
  expect_job(&s, path, KEPT);
  end(&s);
  begin(&s, "sci-ot");
  s.serve.keep_for_s = 1;
  scene_start(&s);
  expect_job(&s, path, NEW);
  usleep(1100000);
  expect_job(&s, path, NEW);
  expect_job(&s, path, KEPT);
  end(&s);
}

static void keep__a_server_that_keeps_nothing_leaves_no_file(void **state) {
  (void)state;
  struct session_scene s;
  begin(&s, "sci-ot");
  s.serve.keep_for_s = 0;
  scene_start(&s);
  expect_job(&s, path, NEW);
  assert_false(is_there(path));
  end(&s);
}

static void keep__another_engine_makes_a_new_set_up(void **state) {
  (void)state;
  struct session_scene s;
  begin(&s, "aby");
  use_engine(&s, "sci-ot");
  scene_start(&s);
  expect_job(&s, path, NEW);
  s.ask_handles.engine = engine_find("aby");
  expect_job(&s, path, NEW);
  expect_job(&s, path, KEPT);
  end(&s);
}

/* Each client has its own halves at the server, by its certificate; nobody uses or removes another's. And a server with
 * another certificate is another server. */
static void keep__halves_are_bound_to_both_certificates(void **state) {
  (void)state;
  struct session_scene s;
  struct certs certs;
  struct tls_context *other;
  certs_make(&certs);
  begin(&s, "sci-ot");
  assert_ok(tls_server_new(&s.server_tls, certs.server_cert, certs.server_key, certs.ca, NULL));
  assert_ok(tls_client_new(&s.client_tls, certs.ca, certs.client_cert, certs.client_key, NULL));
  assert_ok(tls_client_new(&other, certs.ca, certs.cert[CERT_CLIENT_NAMELESS], certs.key[CERT_CLIENT_NAMELESS], NULL));
  s.serve_handles.tls = s.server_tls;
  s.ask_handles.tls = s.client_tls;
  scene_start(&s);
  expect_job(&s, path, NEW);
  expect_job(&s, path, KEPT);
  copy_file(path, copy);
  s.ask_handles.tls = other;
  expect_job(&s, path, NEW);
  s.ask_handles.tls = s.client_tls;
  expect_job(&s, copy, KEPT);
  /* Without TLS the server shows no certificate: what was kept is for another. */
  server_stop(s.server);
  pthread_join(s.thread, NULL);
  server_close(s.server);
  s.serve_handles.tls = s.ask_handles.tls = NULL;
  scene_start(&s);
  expect_job(&s, copy, NEW);
  static const uint8_t none[SESSION_STATE_LEN];
  uint8_t named[SESSION_STATE_LEN];
  memcpy(named, last_named, sizeof named);
  assert_memory_equal(named, none, sizeof none);
  end(&s);
  tls_free(other);
  certs_free(&certs);
}

static void keep__one_client_has_sixteen(void **state) {
  (void)state;
  enum { EACH = 16 };
  struct session_scene s;
  char files[EACH + 1][100];
  begin(&s, "aby");
  scene_start(&s);
  for (size_t i = 0; i <= EACH; i++) {
    snprintf(files[i], sizeof files[i], "%s/%zu", folder, i);
    expect_job(&s, files[i], NEW);
  }
  expect_job(&s, files[1], KEPT);
  expect_job(&s, files[EACH], KEPT);
  expect_job(&s, files[0], NEW);
  for (size_t i = 0; i <= EACH; i++) unlink(files[i]);
  end(&s);
}

/* What a server sees of the next job must not depend on the verdict. */
static void keep__a_rejected_job_keeps_like_an_accepted_one(void **state) {
  (void)state;
  struct session_scene s;
  fusion_verdict v = {0};
  fusion_error err = {.status = FUSION_OK};
  begin(&s, "sci-ot");
  scene_start(&s);
  for (size_t i = 0; i < PUBLIC; i++) s.labels[i] = (s.labels[i] + 1) % OUT;
  hear_nothing();
  assert_ok(ask_with(&s, path, &v, &err));
  assert_false(v.accepted);
  assert_true(is_there(path));
  assert_ok(ask_with(&s, path, &v, &err));
  assert_int_equal(atomic_load(&uses), 1);
  end(&s);
}

/* Says that it uses a half that it does not have, or that it does not use the one that it has: the job ends, and
 * neither half is used again. */
static void keep__a_server_that_lies_gains_nothing(void **state) {
  (void)state;
  struct session_scene s;
  uint8_t named[SESSION_STATE_LEN];
  begin(&s, "sci-ot");
  scene_start(&s);
  for (int lie = 0; lie < 2; lie++) {
    unlink(path);
    expect_job(&s, path, NEW);
    if (lie == 0) restart(&s); /* its half is gone */
    copy_file(path, copy);
    atomic_store(lie ? &disclaims : &claims, 1);
    expect_loss(&s, FUSION_E_PEER);
    memcpy(named, last_named, sizeof named);
    atomic_store(&claims, 0);
    atomic_store(&disclaims, 0);
    assert_false(is_there(path));
    expect_job(&s, path, NEW);
    assert_memory_not_equal(last_named, named, sizeof named);
    expect_job(&s, copy, NEW); /* the server has spent its half for good */
  }
  /* To a client that named none it can only be a breach. */
  unlink(path);
  atomic_store(&claims, 1);
  expect_loss(&s, FUSION_E_PEER);
  atomic_store(&claims, 0);
  end(&s);
}

static void keep__another_file_is_refused_and_stays(void **state) {
  (void)state;
  struct session_scene s;
  begin(&s, "sci-ot");
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  assert_true(fputs("answers\n", f) >= 0);
  fclose(f);
  struct keep *k;
  fusion_error err = {.status = FUSION_OK};
  assert_int_equal(keep_open(&k, path, &err), FUSION_E_INPUT);
  assert_non_null(strstr(err.text, "no kept set-up"));
  assert_true(is_there(path));
  assert_int_equal(keep_open(&k, "/tmp/fusion-no-such-folder/x", &err), FUSION_E_IO);
  scene_start(&s);
  unlink(path);
  /* Damaged behind its head: it is spent, and not used. */
  expect_job(&s, path, NEW);
  f = fopen(path, "r+");
  assert_non_null(f);
  assert_int_equal(fseek(f, 500, SEEK_SET), 0);
  const int byte = fgetc(f);
  assert_int_equal(fseek(f, 500, SEEK_SET), 0);
  fputc(byte ^ 1, f);
  fclose(f);
  expect_job(&s, path, NEW);
  expect_job(&s, path, KEPT);
  end(&s);
}

static int set_up(void **state) {
  (void)state;
  if (!mkdtemp(folder)) return 1;
  snprintf(path, sizeof path, "%s/kept", folder);
  snprintf(copy, sizeof copy, "%s/copy", folder);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  return rmdir(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(keep__the_next_job_makes_no_base_ots),
      cmocka_unit_test(keep__a_copy_used_twice_gets_a_new_set_up),
      cmocka_unit_test(keep__of_two_jobs_at_once_one_uses_the_file),
      cmocka_unit_test(keep__a_server_that_has_nothing_makes_a_new_set_up),
      cmocka_unit_test(keep__a_server_that_keeps_nothing_leaves_no_file),
      cmocka_unit_test(keep__another_engine_makes_a_new_set_up),
      cmocka_unit_test(keep__halves_are_bound_to_both_certificates),
      cmocka_unit_test(keep__one_client_has_sixteen),
      cmocka_unit_test(keep__a_rejected_job_keeps_like_an_accepted_one),
      cmocka_unit_test(keep__a_server_that_lies_gains_nothing),
      cmocka_unit_test(keep__another_file_is_refused_and_stays),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
