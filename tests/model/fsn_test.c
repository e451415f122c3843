/** .fsn files: round trip, damage at every byte, truncation at every length. */
#include "program/fsn.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "model/model_support.h"

static void temporary_path(char out[64]) {
  snprintf(out, 64, "fsn_test.%ld.fsn", (long)getpid());
}

static void fsn_save__round_trip(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  char path[64];
  temporary_path(path);
  for (size_t k = 0; network_kinds[k]; k++) {
    struct model *m = random_model(network_kinds[k], &seed, 10, 8), *loaded;
    struct writer a = {0}, b = {0};
    memset(m->salt, 0x5a, sizeof m->salt);
    memset(m->program.model_id, 0xa5, sizeof m->program.model_id);
    assert_ok(fsn_save(m, path, NULL));
    assert_ok(fsn_load(&loaded, path, NULL));
    assert_ok(fsn_encode(&a, m));
    assert_ok(fsn_encode(&b, loaded));
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    assert_memory_equal(loaded->salt, m->salt, sizeof m->salt);
    assert_memory_equal(loaded->program.model_id, m->program.model_id, sizeof m->program.model_id);
    for (uint32_t i = 0; i < m->program.count; i++) {
      assert_string_equal(loaded->program.steps[i].name, m->program.steps[i].name);
      assert_true(loaded->program.steps[i].out.scale == m->program.steps[i].out.scale);
    }
    writer_free(&a);
    writer_free(&b);
    model_free(loaded);
    model_free(m);
  }
  unlink(path);
}

static void expect_refusal(const uint8_t *data, size_t len, size_t where) {
  struct model *m = NULL;
  fusion_error err = {.status = FUSION_OK};
  if (fsn_decode(&m, data, len, "x.fsn", &err) == FUSION_OK)
    fail_msg("accepted with byte %zu of %zu wrong", where, len);
  assert_null(m);
  assert_true(err.text[0] != '\0' && !strchr(err.text, '\n'));
}

static void fsn_decode__every_byte_counts(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct model *m = random_model("mlp", &seed, 8, 8);
  struct writer w = {0};
  assert_ok(fsn_encode(&w, m));
  for (size_t i = 0; i < w.len; i++) {
    const uint8_t old = w.data[i];
    w.data[i] ^= (uint8_t)(1u << (i % 8));
    expect_refusal(w.data, w.len, i);
    w.data[i] = old;
    if (i % 7 == 0) expect_refusal(w.data, i, i);
  }
  struct model *same = NULL;
  assert_ok(fsn_decode(&same, w.data, w.len, "x.fsn", NULL));
  model_free(same);
  writer_free(&w);
  model_free(m);
}

static void fsn_decode__unknown_version_is_named(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct model *m = random_model("mlp", &seed, 8, 8), *out;
  struct writer w = {0};
  fusion_error err = {.status = FUSION_OK};
  assert_ok(fsn_encode(&w, m));
  w.data[8] = 77;
  assert_int_equal(fsn_decode(&out, w.data, w.len, "x.fsn", &err), FUSION_E_MODEL);
  assert_non_null(strstr(err.text, "version 77"));
  writer_free(&w);
  model_free(m);
}

/* A file of the release before: cheetah's parameter sets were among the steps' fields. */
static void fsn_load__version_1_is_to_be_compiled_again(void **state) {
  (void)state;
  char path[512];
  struct model *out;
  fusion_error err = {.status = FUSION_OK};
  const char *source = getenv("FUSION_SOURCE");
  assert_non_null(source);
  snprintf(path, sizeof path, "%s/tests/model/data/version1.fsn", source);
  assert_int_equal(fsn_load(&out, path, &err), FUSION_E_MODEL);
  assert_null(out);
  assert_non_null(strstr(err.text, "version1.fsn': version 1 is not known here (this release reads 3)"));
  assert_non_null(strstr(err.text, "compile it again"));
}

static void fsn_save__failure_leaves_nothing(void **state) {
  (void)state;
  uint64_t seed = test_seed();
  struct model *m = random_model("mlp", &seed, 8, 8), *out;
  fusion_error err = {.status = FUSION_OK};
  assert_int_equal(fsn_save(m, "no-such-directory/x.fsn", &err), FUSION_E_IO);
  assert_non_null(strstr(err.text, "no-such-directory/x.fsn"));
  assert_int_equal(fsn_load(&out, "no-such-directory/x.fsn", &err), FUSION_E_IO);
  assert_int_equal(fsn_load(&out, ".", &err), FUSION_E_IO);
  model_free(m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fsn_save__round_trip),
      cmocka_unit_test(fsn_decode__every_byte_counts),
      cmocka_unit_test(fsn_decode__unknown_version_is_named),
      cmocka_unit_test(fsn_load__version_1_is_to_be_compiled_again),
      cmocka_unit_test(fsn_save__failure_leaves_nothing),
  };
  return cmocka_run_group_tests_name("fsn", tests, NULL, NULL);
}
