/* Several models at one server: names and versions, who may use which, and a folder that is read again. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "program/fsn.h"
#include "session/session_scene.h"
#include "support/support.h"

static char folder[] = "/tmp/fusion-models-XXXXXX";

static const char *path_of(const char *file) {
  static char path[128];
  snprintf(path, sizeof path, "%s/%s", folder, file);
  return path;
}

static void put(const char *file, uint64_t seed) {
  struct model *m = fake_model(IN, OUT, seed);
  memset(m->program.model_id, (int)seed, sizeof m->program.model_id);
  assert_ok(fsn_save(m, path_of(file), NULL));
  model_free(m);
}

static void sweep(const char *const *files) {
  for (; *files; files++) unlink(path_of(*files));
}

static struct model_list *open_list(void) {
  const struct engine_list engines = {{&fake_engine}, 1};
  const struct model_terms terms = {.max_memory = 1 << 30, .those = &engines};
  struct model_list *l;
  fusion_error err;
  if (model_list_open_folder(&l, folder, &terms, &err) != FUSION_OK) fail_msg("%s", err.text);
  return l;
}

static bool all_allowed(void *context, const char *name) {
  (void)context, (void)name;
  return true;
}

/* `context` is the beginning of the names that are allowed. */
static bool some_allowed(void *context, const char *name) {
  return strncmp(context, name, strlen(context)) == 0;
}

static void expect_found(struct model_list *l, const char *asked, const char *name) {
  fusion_error why = {.status = FUSION_OK};
  const struct served_model *m = model_find(l, asked, NULL, all_allowed, NULL, &why);
  if (!m) fail_msg("'%s': %s", asked, why.text);
  assert_string_equal(m->name, name);
  model_release(l, m);
}

static void expect_refused(struct model_list *l, const char *asked, const char *allowed, const char *text) {
  char begin[32];
  fusion_error why = {.status = FUSION_OK};
  snprintf(begin, sizeof begin, "%s", allowed);
  assert_null(model_find(l, asked, NULL, some_allowed, begin, &why));
  assert_int_equal(why.status, FUSION_E_REFUSED);
  assert_string_equal(why.text, text);
}

static void names__are_checked(void **state) {
  (void)state;
  static const char *const good[] = {"a", "tumour", "tumour@2", "a.b_c-d@1.0-rc1", "0@0"};
  static const char *const bad[] = {
      "",   "@",   "a@",  "@1",   "a@1@2",    ".a",
      "-a", "a/b", "a b", "a@.1", "\xc3\xa9", "a123456789012345678901234567890123456789012345678901234567890123"};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) assert_true(model_name_is_valid(good[i]));
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(model_name_is_valid(bad[i]));
  assert_true(model_name_matches("tumour", "tumour@2"));
  assert_true(model_name_matches("tumour@2", "tumour@2"));
  assert_false(model_name_matches("tumour", "tumours@2"));
  assert_false(model_name_matches("tumour@2", "tumour@22"));
  assert_false(model_name_matches("tumour@2", "tumour"));
}

static void find__takes_the_highest_version_or_the_one_without(void **state) {
  (void)state;
  static const char *const files[] = {"a@1.9.fsn", "a@1.10.fsn", "a@1.2.fsn", "b@7.fsn", "b.fsn", NULL};
  for (uint64_t i = 0; files[i]; i++) put(files[i], i + 1);
  struct model_list *l = open_list();
  expect_found(l, "a", "a@1.10");
  expect_found(l, "a@1.9", "a@1.9");
  expect_found(l, "b", "b");
  expect_found(l, "b@7", "b@7");
  model_list_close(l);
  sweep(files);
}

static void find__lists_what_this_client_may_use(void **state) {
  (void)state;
  static const char *const files[] = {"ab@1.fsn", "ab@2.fsn", "b.fsn", NULL};
  for (uint64_t i = 0; files[i]; i++) put(files[i], i + 1);
  struct model_list *l = open_list();
  expect_refused(l, "c", "", "there is no model 'c' for this client; there are: ab@2, ab@1, b");
  expect_refused(l, "b", "ab", "there is no model 'b' for this client; there are: ab@2, ab@1");
  expect_refused(l, "", "", "this server has several models; name one with --model: ab@2, ab@1, b");
  expect_refused(l, "b", "x", "this client may use no model of this server");
  fusion_error why;
  char only[] = "ab"; /* one name is for this client: it need not say it */
  const struct served_model *m = model_find(l, "", NULL, some_allowed, only, &why);
  assert_non_null(m);
  assert_string_equal(m->name, "ab@2");
  model_release(l, m);
  model_list_close(l);
  sweep(files);
}

static void folder__that_is_wrong_is_refused(void **state) {
  (void)state;
  const struct engine_list engines = {{&fake_engine}, 1};
  const struct model_terms terms = {.max_memory = 1 << 30, .those = &engines};
  struct model_list *l;
  fusion_error err;
  assert_int_equal(model_list_open_folder(&l, "/nonexistent", &terms, &err), FUSION_E_IO);
  assert_int_equal(model_list_open_folder(&l, folder, &terms, &err), FUSION_E_INPUT);
  assert_non_null(strstr(err.text, "holds no models"));
  put("a b.fsn", 1);
  assert_int_equal(model_list_open_folder(&l, folder, &terms, &err), FUSION_E_INPUT);
  assert_non_null(strstr(err.text, "not a model's name"));
  unlink(path_of("a b.fsn"));
  FILE *f = fopen(path_of("a.fsn"), "w");
  assert_non_null(f);
  fclose(f);
  assert_int_equal(model_list_open_folder(&l, folder, &terms, &err), FUSION_E_MODEL);
  assert_non_null(strstr(err.text, "a.fsn"));
  unlink(path_of("a.fsn"));
}

static void reload__keeps_what_is_held_and_what_has_not_changed(void **state) {
  (void)state;
  static const char *const files[] = {"a.fsn", "b.fsn", NULL};
  struct model_set *fresh;
  fusion_error why;
  uint8_t old_hash[SESSION_HASH_LEN];
  put("a.fsn", 1);
  put("b.fsn", 2);
  struct model_list *l = open_list();
  const struct served_model *a = model_find(l, "a", NULL, all_allowed, NULL, &why);
  const struct served_model *b = model_find(l, "b", NULL, all_allowed, NULL, &why);
  memcpy(old_hash, a->manifest_hash, sizeof old_hash);
  put("a.fsn", 3);
  assert_ok(model_list_read(l, &fresh, NULL));
  model_list_take(l, fresh);
  const struct served_model *a2 = model_find(l, "a", NULL, all_allowed, NULL, &why);
  const struct served_model *b2 = model_find(l, "b", NULL, all_allowed, NULL, &why);
  assert_ptr_not_equal(a, a2);
  assert_ptr_equal(b, b2);
  assert_string_not_equal(a->id, a2->id);
  /* A job that began with the old one finds it by its manifest. */
  const struct served_model *again = model_find(l, "a", old_hash, all_allowed, NULL, &why);
  assert_ptr_equal(a, again);
  unlink(path_of("b.fsn"));
  FILE *f = fopen(path_of("c.fsn"), "w");
  assert_non_null(f);
  fclose(f);
  assert_int_equal(model_list_read(l, &fresh, NULL), FUSION_E_MODEL); /* nothing has changed */
  expect_found(l, "b", "b");
  unlink(path_of("c.fsn"));
  const struct served_model *held[] = {a, b, a2, b2, again};
  for (size_t i = 0; i < sizeof held / sizeof *held; i++) model_release(l, held[i]);
  model_list_close(l);
  sweep(files);
}

/* Two models over whole jobs: each client gets the one that it names, and a running job keeps its own. */
static void job__runs_the_model_that_it_names(void **state) {
  (void)state;
  static const char *const files[] = {"a@1.fsn", "a@2.fsn", "b.fsn", NULL};
  struct session_scene s;
  fusion_verdict v = {0};
  scene_prepare(&s);
  assert_ok(fsn_save(s.model, path_of("a@1.fsn"), NULL));
  put("a@2.fsn", 9);
  put("b.fsn", 10);
  s.serve_handles.models = open_list();
  scene_start(&s);
  expect_failure(&s, FUSION_E_REFUSED, "this server has several models; name one with --model: a@2, a@1, b");
  s.ask_handles.model = "c";
  expect_failure(&s, FUSION_E_REFUSED, "there is no model 'c' for this client; there are: a@2, a@1, b");
  s.ask_handles.model = "a@1";
  expect_accept(&s, &v);
  scene_end(&s);
  model_list_close(s.serve_handles.models);
  sweep(files);
}

static int make_folder(void **state) {
  (void)state;
  return mkdtemp(folder) ? 0 : 1;
}

static int remove_folder(void **state) {
  (void)state;
  return rmdir(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(names__are_checked),
      cmocka_unit_test(find__takes_the_highest_version_or_the_one_without),
      cmocka_unit_test(find__lists_what_this_client_may_use),
      cmocka_unit_test(folder__that_is_wrong_is_refused),
      cmocka_unit_test(reload__keeps_what_is_held_and_what_has_not_changed),
      cmocka_unit_test(job__runs_the_model_that_it_names),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
