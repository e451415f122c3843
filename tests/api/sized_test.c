/* Public structs that grow: callers compiled with an older or a newer release's headers, and structs without a size. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <fusion/fusion.h>

#include "support/support.h"

/* An older struct ends before the last field, or within a longer one. */
enum { ROOM = 1 << 13, CUT = 8, GROWTH = 16, FILL = 0xa5 };

static struct {
  fusion_model *model;
  fusion_array *calibration;
  fusion_server *server;
  char network[4096], picture[4096], receipts[4096];
} scene;

/* ---- one call for each struct, all else being right ---- */

static void set_request(void *s) {
  ((fusion_plan_request *)s)->queries = 512;
}
static fusion_status take_request(void *s, fusion_error *err) {
  fusion_plan_choice choice = {.size = sizeof choice};
  const fusion_status status = fusion_plan_copies(s, &choice, err);
  if (status == FUSION_OK) assert_int_equal(choice.copies, 5); /* at the default accuracy, the last field */
  return status;
}
static fusion_status give_choice(void *s, fusion_error *err) {
  fusion_plan_request request = fusion_plan_request_default();
  request.queries = 512;
  return fusion_plan_copies(&request, s, err);
}
static fusion_status give_neighbour(void *s, fusion_error *err) {
  fusion_plan_request request = fusion_plan_request_default();
  request.queries = 512;
  return fusion_plan_with_copies(&request, 6, 10, s, err);
}
static void set_rate(void *s) {
  fusion_plan_choice *c = s;
  c->queries = c->copies = 8;
  c->public_samples = 100;
  c->allowed_errors = 5;
}
static fusion_status take_rate(void *s, fusion_error *err) {
  return fusion_plan_rate(s, err);
}

static void set_power(void *s) {
  fusion_power *p = s;
  p->promise = 0.98;
  p->reject_below = 0.8;
  p->error_rate = 0.01;
}
static fusion_status take_power(void *s, fusion_error *err) {
  return fusion_plan_power(s, err);
}

static void set_client(void *s) {
  ((fusion_client_settings *)s)->server = "127.0.0.1:1";
  ((fusion_client_settings *)s)->plaintext = true;
}
static fusion_status take_client(void *s, fusion_error *err) {
  fusion_client *client;
  const fusion_status status = fusion_client_open(&client, s, err);
  fusion_client_close(client);
  return status;
}

static void set_server(void *s) {
  ((fusion_server_settings *)s)->listen = "127.0.0.1:0";
  ((fusion_server_settings *)s)->plaintext = true;
}
static fusion_status take_server(void *s, fusion_error *err) {
  fusion_server *server;
  const fusion_status status = fusion_server_open(&server, scene.model, s, err);
  fusion_server_close(server);
  return status;
}
static fusion_status give_totals(void *s, fusion_error *err) {
  (void)err;
  fusion_server_read_totals(scene.server, s);
  return FUSION_OK;
}

static fusion_status take_table(void *s, fusion_error *err) {
  fusion_array *a;
  const fusion_status status = fusion_array_load_table(&a, scene.picture, s, err);
  assert_null(a); /* a picture is no table: but the settings are taken first */
  return status == FUSION_E_INPUT ? FUSION_OK : status;
}

static fusion_status take_picture(void *s, fusion_error *err) {
  fusion_array *a;
  const fusion_status status = fusion_images_load(&a, scene.picture, s, err);
  fusion_array_free(a);
#ifndef FUSION_IMAGES
  if (status == FUSION_E_UNSUPPORTED) return FUSION_OK;
#endif
  return status;
}
static fusion_status give_picture(void *s, fusion_error *err) {
  return fusion_image_settings_read(s, "imagenet", err);
}

static bool no_row(void *context, const fusion_bench_row *row) {
  (void)context;
  (void)row;
  return false;
}
static void set_bench(void *s) {
  ((fusion_bench_settings *)s)->only = "no row has this name";
  ((fusion_bench_settings *)s)->row = no_row;
}
static fusion_status take_bench(void *s, fusion_error *err) {
  return fusion_bench_micro(s, err);
}
static void set_bench_model(void *s) {
  ((fusion_bench_model_settings *)s)->samples = 1;
  ((fusion_bench_model_settings *)s)->pin = false;
}
static fusion_status take_bench_model(void *s, fusion_error *err) {
  fusion_bench_model_result result = {.size = sizeof result};
  return fusion_bench_model(scene.model, s, &result, err);
}
static fusion_status give_bench_result(void *s, fusion_error *err) {
  fusion_bench_model_settings settings = fusion_bench_model_defaults();
  set_bench_model(&settings);
  return fusion_bench_model(scene.model, &settings, s, err);
}

static void set_compile(void *s) {
  ((fusion_compile_settings *)s)->weight_bits = ((fusion_compile_settings *)s)->activation_bits = 8;
}
static fusion_status compile(const void *settings, void *report, fusion_error *err) {
  fusion_model *m;
  const fusion_status status = fusion_model_compile(&m, scene.network, scene.calibration, NULL, settings, report, err);
  fusion_model_free(m);
  return status;
}
static fusion_status take_compile(void *s, fusion_error *err) {
  return compile(s, NULL, err);
}
static fusion_status give_report(void *s, fusion_error *err) {
  fusion_compile_settings settings = fusion_compile_defaults();
  set_compile(&settings);
  return compile(&settings, s, err);
}

static fusion_status give_info(void *s, fusion_error *err) {
  return fusion_model_describe(scene.model, s, err);
}
static fusion_status give_receipt_info(void *s, fusion_error *err) {
  return fusion_receipt_verify(scene.receipts, NULL, s, err);
}
static fusion_status give_input_check(void *s, fusion_error *err) {
  fusion_model_info info = {.size = sizeof info};
  fusion_array *a;
  fusion_status status = fusion_model_describe(scene.model, &info, err);
  if (status != FUSION_OK) return status;
  const size_t shape[2] = {2, info.input_channels * info.input_height * info.input_width};
  assert_ok(fusion_array_create(&a, FUSION_F32, 2, shape, NULL));
  status = fusion_model_check_input(scene.model, a, s, err);
  fusion_array_free(a);
  return status;
}
static fusion_status give_layer(void *s, fusion_error *err) {
  return fusion_model_layer(scene.model, 1, s) ? FUSION_OK : give_info(s, err);
}
static fusion_status give_layer_error(void *s, fusion_error *err) {
  return fusion_model_layer_error(scene.model, 1, s) ? FUSION_OK : give_info(s, err);
}
static fusion_status give_prediction(void *s, fusion_error *err) {
  return fusion_model_predict(scene.model, NULL, 10, 0, s, err);
}
static void set_asked(void *s) {
  ((fusion_prediction_settings *)s)->samples = 10;
}
static fusion_status take_asked(void *s, fusion_error *err) {
  fusion_prediction p = {.size = sizeof p};
  return fusion_model_predict_on(scene.model, s, &p, err);
}
static fusion_status take_speeds(void *s, fusion_error *err) {
  const fusion_prediction_settings settings = {.size = sizeof settings, .samples = 10, .server = s};
  fusion_prediction p = {.size = sizeof p};
  return fusion_model_predict_on(scene.model, &settings, &p, err);
}
static void set_prediction(void *s) {
  ((fusion_prediction *)s)->server_seconds = 100;
}
static fusion_status take_prediction(void *s, fusion_error *err) {
  const double seconds = fusion_prediction_seconds(s, 0, 0);
  if (!isnan(seconds)) assert_true(seconds >= 100);
  return isnan(seconds) ? give_prediction(s, err) : FUSION_OK;
}

/* ---- the structs ---- */

static const struct kind {
  const char *name;
  size_t size;                        /* of the struct */
  void (*init)(void *s, size_t size); /* NULL: only results and numbers, no defaults */
  void (*set)(void *s);               /* what the call needs besides; may be NULL */
  fusion_status (*call)(void *s, fusion_error *err);
  bool in, out; /* the library reads it, writes it */
} kinds[] = {
#define KIND(type_, ...) \
  { #type_, sizeof(type_), __VA_ARGS__ }
#define INIT(function_) (void (*)(void *, size_t))(function_)
    KIND(fusion_plan_request, INIT(fusion_plan_request_init), set_request, take_request, true, false),
    KIND(fusion_plan_choice, NULL, NULL, give_choice, false, true),
    KIND(fusion_plan_choice, NULL, NULL, give_neighbour, false, true),
    KIND(fusion_plan_choice, NULL, set_rate, take_rate, true, true),
    KIND(fusion_power, NULL, set_power, take_power, true, true),
    KIND(fusion_client_settings, INIT(fusion_client_init), set_client, take_client, true, false),
    KIND(fusion_server_settings, INIT(fusion_server_init), set_server, take_server, true, false),
    KIND(fusion_server_totals, NULL, NULL, give_totals, false, true),
    KIND(fusion_table_settings, INIT(fusion_table_init), NULL, take_table, true, false),
    KIND(fusion_image_settings, INIT(fusion_image_init), NULL, take_picture, true, false),
    KIND(fusion_image_settings, INIT(fusion_image_init), NULL, give_picture, false, true),
    KIND(fusion_bench_settings, INIT(fusion_bench_init), set_bench, take_bench, true, false),
    KIND(fusion_bench_model_settings, INIT(fusion_bench_model_init), set_bench_model, take_bench_model, true, false),
    KIND(fusion_bench_model_result, NULL, NULL, give_bench_result, false, true),
    KIND(fusion_compile_settings, INIT(fusion_compile_init), set_compile, take_compile, true, false),
    KIND(fusion_compile_report, NULL, NULL, give_report, false, true),
    KIND(fusion_model_info, NULL, NULL, give_info, false, true),
    KIND(fusion_receipt_info, NULL, NULL, give_receipt_info, false, true),
    KIND(fusion_input_check, NULL, NULL, give_input_check, false, true),
    KIND(fusion_layer, NULL, NULL, give_layer, false, true),
    KIND(fusion_layer_error, NULL, NULL, give_layer_error, false, true),
    KIND(fusion_prediction, NULL, NULL, give_prediction, false, true),
    KIND(fusion_prediction, NULL, set_prediction, take_prediction, true, false),
    KIND(fusion_prediction_settings, NULL, set_asked, take_asked, true, false),
    KIND(fusion_speeds, INIT(fusion_speeds_init), NULL, take_speeds, true, false),
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* A caller's memory: `size` bytes of struct, made as that caller's headers would, then bytes that are not its. */
struct caller {
  _Alignas(64) uint8_t bytes[ROOM];
  fusion_error err;
};

static void caller_make(struct caller *c, const struct kind *k, size_t size) {
  memset(c, FILL, sizeof *c);
  c->err = (fusion_error){.status = FUSION_OK};
  if (k->init) k->init(c->bytes, size);
  if (!k->init && k->in) memset(c->bytes, 0, size);
  memcpy(c->bytes, &size, sizeof size);
  if (k->set) k->set(c->bytes);
}

static void expect_bytes(const struct caller *c, const struct kind *k, size_t from, size_t to, uint8_t value) {
  for (size_t i = from; i < to; i++)
    if (c->bytes[i] != value) fail_msg("%s: byte %zu is %u where %u was due", k->name, i, c->bytes[i], value);
}

static void expect_size(const struct caller *c, size_t size) {
  assert_memory_equal(c->bytes, &size, sizeof size);
}

/* Whether anything was written to the fields between the size and `end`. */
static bool written(const struct caller *c, size_t end) {
  for (size_t i = sizeof(size_t); i < end; i++)
    if (c->bytes[i] != FILL) return true;
  return false;
}

static void expect_ok(struct caller *c, const struct kind *k) {
  if (k->call(c->bytes, &c->err) != FUSION_OK) fail_msg("%s: %s", k->name, c->err.text);
}

/* A field that is added must not lie in what an older caller has as padding, which holds anything. */
static void struct__does_not_end_in_padding(void **state) {
  (void)state;
#if defined(__has_builtin)
#if __has_builtin(__builtin_clear_padding)
#define KNOWS_PADDING
#endif
#endif
#ifdef KNOWS_PADDING
#define CHECK_END(type_)                                                                       \
  do {                                                                                         \
    type_ s;                                                                                   \
    memset(&s, 0xff, sizeof s);                                                                \
    __builtin_clear_padding(&s);                                                               \
    if (!((const uint8_t *)&s)[sizeof s - 1]) fail_msg("%s ends in padding: fill it", #type_); \
  } while (0)
  CHECK_END(fusion_plan_request);
  CHECK_END(fusion_plan_choice);
  CHECK_END(fusion_power);
  CHECK_END(fusion_client_settings);
  CHECK_END(fusion_server_settings);
  CHECK_END(fusion_server_totals);
  CHECK_END(fusion_image_settings);
  CHECK_END(fusion_bench_settings);
  CHECK_END(fusion_bench_model_settings);
  CHECK_END(fusion_bench_model_result);
  CHECK_END(fusion_compile_settings);
  CHECK_END(fusion_compile_report);
  CHECK_END(fusion_model_info);
  CHECK_END(fusion_receipt_info);
  CHECK_END(fusion_layer);
  CHECK_END(fusion_layer_error);
  CHECK_END(fusion_prediction);
  CHECK_END(fusion_prediction_settings);
  CHECK_END(fusion_speeds);
#else
  print_message("this compiler does not tell padding; gcc does\n");
  skip();
#endif
}

static void older_caller__gets_defaults_and_no_byte_too_many(void **state) {
  (void)state;
  static struct caller c;
  for (size_t i = 0; i < KINDS; i++) {
    const struct kind *k = &kinds[i];
    caller_make(&c, k, k->size - CUT);
    expect_ok(&c, k);
    expect_size(&c, k->size - CUT);
    if (k->out) assert_true(written(&c, k->size - CUT));
    expect_bytes(&c, k, k->size - CUT, ROOM, FILL);
  }
}

static void newer_caller__with_zeros_is_served(void **state) {
  (void)state;
  static struct caller c;
  for (size_t i = 0; i < KINDS; i++) {
    const struct kind *k = &kinds[i];
    const size_t size = k->size + GROWTH;
    caller_make(&c, k, size);
    expect_ok(&c, k);
    expect_size(&c, size);
    expect_bytes(&c, k, k->size, size, 0);
    expect_bytes(&c, k, size, ROOM, FILL);
  }
}

static void newer_caller__with_an_unknown_field_set_is_refused(void **state) {
  (void)state;
  static struct caller c;
  for (size_t i = 0; i < KINDS; i++) {
    const struct kind *k = &kinds[i];
    if (!k->in || k->call == take_prediction) continue; /* a prediction is the library's own */
    for (size_t at = 0; at < GROWTH; at += GROWTH - 1) {
      caller_make(&c, k, k->size + GROWTH);
      c.bytes[k->size + at] = 1;
      assert_int_equal(k->call(c.bytes, &c.err), FUSION_E_USAGE);
      if (!strstr(c.err.text, "settings of a newer release") || !strstr(c.err.text, k->name))
        fail_msg("%s: '%s'", k->name, c.err.text);
    }
  }
  caller_make(&c, &kinds[KINDS - 1], sizeof(fusion_prediction) + GROWTH);
  c.bytes[sizeof(fusion_prediction)] = 1;
  assert_true(isnan(fusion_prediction_seconds((fusion_prediction *)c.bytes, 0, 0)));
}

static void any_caller__without_a_size_is_refused(void **state) {
  (void)state;
  static const size_t sizes[] = {0, 1, sizeof(size_t) - 1, sizeof(size_t) + 1, 100001, (1 << 16) + 8, SIZE_MAX};
  static struct caller c;
  for (size_t i = 0; i < KINDS; i++) {
    const struct kind *k = &kinds[i];
    for (size_t j = 0; j < sizeof sizes / sizeof sizes[0]; j++) {
      caller_make(&c, k, k->size);
      memset(c.bytes + sizeof(size_t), FILL, k->size);
      memcpy(c.bytes, &sizes[j], sizeof sizes[j]);
      const fusion_status status = k->call(c.bytes, &c.err);
      if (k->call != give_totals) {
        assert_int_equal(status, FUSION_E_USAGE);
        if (!strstr(c.err.text, "its field `size` is")) fail_msg("%s: '%s'", k->name, c.err.text);
      }
      expect_size(&c, sizes[j]);
      expect_bytes(&c, k, sizeof(size_t), ROOM, FILL);
    }
  }
}

static void init__writes_the_callers_struct_alone(void **state) {
  (void)state;
  static struct caller c;
  static uint8_t whole[ROOM];
  for (size_t i = 0; i < KINDS; i++) {
    const struct kind *k = &kinds[i];
    if (!k->init) continue;
    memset(whole, FILL, sizeof whole);
    k->init(whole, k->size);
    const size_t sizes[] = {k->size - CUT, k->size, k->size + GROWTH};
    for (size_t j = 0; j < 3; j++) {
      memset(&c, FILL, sizeof c);
      k->init(c.bytes, sizes[j]);
      const size_t known = size_min(k->size, sizes[j]);
      expect_size(&c, sizes[j]);
      assert_memory_equal(c.bytes + sizeof(size_t), whole + sizeof(size_t), known - sizeof(size_t));
      expect_bytes(&c, k, known, sizes[j], 0);
      expect_bytes(&c, k, sizes[j], ROOM, FILL);
    }
    memset(&c, FILL, sizeof c);
    k->init(c.bytes, 0);
    k->init(c.bytes, SIZE_MAX);
    expect_bytes(&c, k, 0, ROOM, FILL);
  }
}

static void fusion_model_layer__ends_with_the_program(void **state) {
  (void)state;
  fusion_model_info info = {.size = sizeof info};
  fusion_layer layer = {.size = sizeof layer};
  fusion_layer_error error = {.size = sizeof error};
  assert_ok(fusion_model_describe(scene.model, &info, NULL));
  assert_true(info.layers > 1);
  for (size_t i = 0; i < info.layers; i++) assert_true(fusion_model_layer(scene.model, i, &layer));
  assert_false(fusion_model_layer(scene.model, info.layers, &layer));
  assert_false(fusion_model_layer(scene.model, SIZE_MAX, &layer));
  assert_false(fusion_model_layer_error(scene.model, info.layers, &error));
}

static int open_scene(void **state) {
  (void)state;
  const size_t shape[2] = {20, 5};
  double rows[100];
  for (size_t i = 0; i < 100; i++) rows[i] = (double)(i * 37 % 23) / 11 - 1;
  snprintf(scene.network, sizeof scene.network, "%s/tests/model/data/gemm.onnx", getenv("FUSION_SOURCE"));
  snprintf(scene.picture, sizeof scene.picture, "%s/tests/data/pictures/rgb.png", getenv("FUSION_SOURCE"));
  snprintf(scene.receipts, sizeof scene.receipts, "%s/tests/session/receipt_corpus/one", getenv("FUSION_SOURCE"));
  assert_ok(fusion_array_create(&scene.calibration, FUSION_F64, 2, shape, rows));
  fusion_compile_settings settings = fusion_compile_defaults();
  set_compile(&settings);
  fusion_error err = {.status = FUSION_OK};
  if (fusion_model_compile(&scene.model, scene.network, scene.calibration, NULL, &settings, NULL, &err) != FUSION_OK)
    fail_msg("%s", err.text);
  fusion_server_settings serve = fusion_server_defaults();
  set_server(&serve);
  if (fusion_server_open(&scene.server, scene.model, &serve, &err) != FUSION_OK) fail_msg("%s", err.text);
  return 0;
}

static int close_scene(void **state) {
  (void)state;
  fusion_server_close(scene.server);
  fusion_model_free(scene.model);
  fusion_array_free(scene.calibration);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(struct__does_not_end_in_padding),
      cmocka_unit_test(older_caller__gets_defaults_and_no_byte_too_many),
      cmocka_unit_test(newer_caller__with_zeros_is_served),
      cmocka_unit_test(newer_caller__with_an_unknown_field_set_is_refused),
      cmocka_unit_test(any_caller__without_a_size_is_refused),
      cmocka_unit_test(init__writes_the_callers_struct_alone),
      cmocka_unit_test(fusion_model_layer__ends_with_the_program),
  };
  return cmocka_run_group_tests(tests, open_scene, close_scene);
}
