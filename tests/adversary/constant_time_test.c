/* Secrets followed through the whole protocol by valgrind's memcheck (base/secret.h): both parties' generators, the
 * client's inputs and the server's weights are marked; memcheck reports every branch, every address and every sent byte
 * that depends on one of them. On the AVX-512 tier, which valgrind does not know, MemorySanitizer does the same
 * (msan_border.c). `make test-constant-time` runs it, in builds with -Dctgrind=true and -Dmsan=true; without marks, or
 * outside valgrind, it would show nothing and says so.
 * usage: constant_time [c|avx2|avx512] */
#include <math.h>
#include <stdio.h>

#include "adversary/scene.h"
#include "base/cpu_tier.h"
#include "base/memory_stream.h"
#include "base/packed.h"
#include "base/secret.h"
#include "data/data.h"
#include "mixcheck/mix.h"
#include "program/input_range.h"
#include "support/support.h"

enum { SAMPLES = 2 };

struct side {
  enum engine_phase phase;
  const struct model *model;
  struct channel *channel;
  struct memory_stream state; /* of a run prepared ahead */
  const int64_t *inputs;
  int64_t *answers;
  struct keeping keeping; /* of set-ups */
  bool opens;             /* and does no more */
  fusion_status status;
};

static fusion_status open_side(struct engine_session **session, struct side *s, bool server) {
  const struct engine_opening opening = {.engine = scene_engine(),
                                         .program = &s->model->program,
                                         .weights = server ? s->model->weights : NULL,
                                         .channel = s->channel,
                                         .expected_samples = SAMPLES,
                                         .phase = s->phase,
                                         .keeping = &s->keeping};
  return engine_open(session, &opening);
}

static fusion_status run_side(struct side *s, bool server) {
  struct engine_session *session = NULL;
  const struct byte_stream *state = &s->state.stream;
  fusion_status status;
  TRY(open_side(&session, s, server));
  if (s->opens) {
    TRY(channel_flush(s->channel)); /* the set-up may end with a message, which would leave with the run's first */
    goto cleanup;
  }
  if (s->phase == ENGINE_AHEAD)
    status = engine_prepare_run(session, SAMPLES, state);
  else if (s->phase == ENGINE_ONLINE)
    status = server ? engine_run_prepared_server(session, SAMPLES, state)
                    : engine_run_prepared_client(session, s->inputs, s->answers, SAMPLES, state);
  else
    status = server ? engine_run_server(session, SAMPLES) : engine_run_client(session, s->inputs, s->answers, SAMPLES);
cleanup:
  engine_close(session);
  return status;
}

static void *run_server(void *arg) {
  struct side *s = arg;
  s->status = run_side(s, true);
  return NULL;
}

static void *run_client(void *arg) {
  struct side *s = arg;
  s->status = run_side(s, false);
  return NULL;
}

static void run_phase(struct side *server, struct side *client, enum engine_phase phase) {
  server->phase = client->phase = phase;
  assert_ok(channel_pipe(&server->channel, &client->channel));
  test_run_both(run_server, server, run_client, client);
  assert_ok(server->status);
  assert_ok(client->status);
  channel_close(server->channel);
  channel_close(client->channel);
}

/* A client's work before its first message: raw numbers, preprocessed and quantised. */
static void take_raw(const struct program *program, const double *raw, int64_t *inputs) {
  const struct shape shape = program->steps[0].out.shape;
  const size_t len = SAMPLES * shape_size(shape);
  float *real = mem_alloc(len, sizeof *real);
  double *marked = mem_alloc(len, sizeof *marked);
  memcpy(marked, raw, len * sizeof *raw);
  secret_mark(marked, len * sizeof *marked);
  preprocess_apply(&program->preprocess, shape, marked, SAMPLES, real);
  assert_ok(program_quantise_input(program, real, SAMPLES, inputs, NULL));
  struct input_range range;
  program_input_range(program, real, SAMPLES, &range);
  mem_free(real);
  mem_free(marked);
}

static void mark_weights(const struct scene *s, bool secret) {
  for (uint32_t i = 1; i < s->model->program.count; i++) {
    if (s->model->program.steps[i].op != OP_LINEAR) continue;
    const struct program_weights *w = &s->model->weights[i];
    const size_t weights = program_weight_count(&s->model->program, i) * sizeof *w->weights;
    const size_t bias = s->model->program.steps[i].out.shape.channels * sizeof *w->bias;
    if (secret) {
      secret_mark(w->weights, weights);
      secret_mark(w->bias, bias);
    } else {
      secret_declassify(w->weights, weights, "the test is over");
      secret_declassify(w->bias, bias, "the test is over");
    }
    (void)weights, (void)bias;
  }
}

/* Whether all of `count` values carry a mark; true where marks are nothing. */
static bool all_marked(const int64_t *values, size_t count) {
  bool marked = true;
#ifdef FUSION_CTGRIND
  for (size_t i = 0; i < count; i++) {
    uint64_t bits = 0;
    marked = marked && VALGRIND_GET_VBITS(&values[i], &bits, sizeof bits) == 1 && bits != 0;
  }
#elif defined(FUSION_MSAN)
  for (size_t i = 0; i < count; i++) marked = marked && __msan_test_shadow(&values[i], sizeof *values) >= 0;
#endif
  (void)values, (void)count;
  return marked;
}

/* For values that were found marked, on bits that need not be the right ones: MemorySanitizer leaves an integer's marks
 * on the low bits of the double that it becomes. valgrind marks all bits of it by itself. */
static void mark_all_bits(int64_t *values, size_t count) {
#ifdef FUSION_MSAN
  __msan_poison(values, count * sizeof *values);
#endif
  (void)values, (void)count;
}

/* No mark was lost on the way through all the protocols. */
static void check_answers(const struct scene *s, int64_t *answers) {
  const size_t count = SAMPLES * s->answer_size;
  assert_true(all_marked(answers, count));
  secret_declassify(answers, count * sizeof *answers, "the test compares them");
  assert_memory_equal(answers, s->expected, count * sizeof *answers);
  mem_wipe(answers, count * sizeof *answers);
}

/* A set-up that leaves one for the next. */
static void keep_set_up(struct side *server, struct side *client, struct kept_setup *kept[2]) {
  server->keeping = (struct keeping){.keep = kept[0]};
  client->keeping = (struct keeping){.keep = kept[1]};
  server->opens = client->opens = true;
  run_phase(server, client, ENGINE_AT_ONCE);
  assert_true(server->keeping.kept && client->keeping.kept);
  server->keeping = (struct keeping){.use = kept[0]};
  client->keeping = (struct keeping){.use = kept[1]};
  server->opens = client->opens = false;
}

/* `keeps`: from a kept set-up. */
static void run_scene(struct scene *s, bool keeps) {
  const size_t in_len = SAMPLES * s->row_size, out_len = SAMPLES * s->answer_size;
  int64_t *inputs = mem_alloc(in_len, sizeof *inputs), *answers = mem_alloc(out_len, sizeof *answers);
  take_raw(&s->model->program, s->inputs, inputs);
  assert_true(all_marked(inputs, in_len));
  mark_weights(s, true);
  struct side server = {.model = s->model}, client = {.model = s->model, .inputs = inputs, .answers = answers};
  memory_stream_open(&server.state);
  memory_stream_open(&client.state);
  struct kept_setup *kept[2] = {key_alloc(sizeof **kept), key_alloc(sizeof **kept)};
  assert_true(kept[0] && kept[1]);
  if (keeps) keep_set_up(&server, &client, kept);
  run_phase(&server, &client, ENGINE_AT_ONCE);
  check_answers(s, answers);
  key_free(kept[0]);
  key_free(kept[1]);
  server.keeping = client.keeping = (struct keeping){.use = NULL};
  if (!keeps && engine_runs_ahead(scene_engine())) {
    run_phase(&server, &client, ENGINE_AHEAD);
    run_phase(&server, &client, ENGINE_ONLINE);
    check_answers(s, answers);
  }
  memory_stream_close(&server.state);
  memory_stream_close(&client.state);
  mark_weights(s, false);
  mem_free(inputs);
  mem_free(answers);
  scene_close(s);
}

static void protocols__no_branch_address_or_message_depends_on_a_secret(void **state) {
  struct scene s;
  (void)state;
  scene_open(&s, test_seed(), SAMPLES);
  run_scene(&s, false);
}

static void comparisons__no_branch_address_or_message_depends_on_a_secret(void **state) {
  struct scene s;
  (void)state;
  scene_open_decisions(&s, test_seed(), SAMPLES);
  run_scene(&s, false);
}

static void kept_set_ups__no_branch_address_or_message_depends_on_a_secret(void **state) {
  struct scene s;
  (void)state;
  scene_open_decisions(&s, test_seed(), SAMPLES);
  run_scene(&s, true);
}

static fusion_status test_bytes(void *seed, void *out, size_t len) {
  for (size_t i = 0; i < len; i++) ((uint8_t *)out)[i] = (uint8_t)(test_random(seed) >> 32);
  return FUSION_OK;
}

/* However copies are compared. */
static void verify__no_branch_or_address_depends_on_an_answer(void **state) {
  enum { QUERIES = 20, COPIES = 4, PUBLIC = 30, PUBLIC_COPIES = 2, SIZE = 6 };
  const struct mix_choice choice = {QUERIES, COPIES, PUBLIC, 3, PUBLIC_COPIES};
  int64_t answers[(QUERIES * COPIES + PUBLIC * PUBLIC_COPIES) * SIZE], out[QUERIES * SIZE];
  const int64_t labels[PUBLIC] = {0}, known[PUBLIC * SIZE] = {0};
  uint64_t seed = test_seed();
  struct mix *mix;
  (void)state;
  assert_ok(mix_draw(&mix, &choice, test_bytes, &seed));
  for (enum mix_answer_kind kind = MIX_ANSWER_LOGITS; kind <= MIX_ANSWER_TOP_K; kind++) {
    for (enum mix_agreement agreement = MIX_AGREE_EXACT; agreement <= MIX_AGREE_LABEL; agreement++) {
      const size_t canaries = agreement == MIX_AGREE_EXACT ? PUBLIC / 2 : 0;
      const struct mix_check check = {kind, agreement, 1000, SIZE, canaries, known};
      struct mix_result result;
      for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) answers[i] = (int64_t)(test_random(&seed) % 3000);
      secret_mark(answers, sizeof answers);
      assert_ok(mix_verify(mix, &check, answers, labels, out, &result));
      assert_true(all_marked(out, QUERIES * mix_compared_size(&check)));
      secret_declassify(&result, sizeof result, "the verdict");
      assert_false(result.accepted);
      secret_declassify(answers, sizeof answers, "written again");
      secret_declassify(out, sizeof out, "written again");
    }
  }
  mix_free(mix);
}

/* Every layout and number that a model can ask for, on inputs that are large, denormal and infinite. */
static void inputs__no_branch_or_address_depends_on_the_values(void **state) {
  enum { CHANNELS = 3, LEN = CHANNELS * 2 * 2 };
  static const double values[] = {0, -1.5, 255, 1e300, -1e-310, 5e-324, (double)INFINITY, 0.5, 1e-40, 127.5, -3, 1e18};
  double raw[SAMPLES * LEN], mean[CHANNELS] = {0, 0.5, -7}, deviation[CHANNELS] = {1, 0.25, 1e-9};
  int64_t quantised[SAMPLES * LEN];
  (void)state;
  for (size_t i = 0; i < SAMPLES * LEN; i++) raw[i] = values[i % (sizeof values / sizeof *values)];
  struct program_step step = {.out = {.shape = {CHANNELS, 2, 2}, .ring_bits = 20, .value_bits = 8, .scale = 0.01}};
  int8_t exponent[LEN] = {0, 7, -20, 0, 60, -60};
  int32_t quarters[LEN] = {-3, 1 << 20, 0, 5, -(1 << 26), 1 << 26};
  static const uint32_t units[] = {0, CHANNELS, LEN};
  for (unsigned way = 0; way < 24; way++) {
    const struct program program = {.steps = &step,
                                    .count = 1,
                                    .input_units = {units[way / 8], exponent, quarters},
                                    .preprocess = {.channels_last = way & 1,
                                                   .reverse_channels = way & 2,
                                                   .scale = 1 / 255.0,
                                                   .count = way & 4 ? CHANNELS : 0,
                                                   .mean = mean,
                                                   .deviation = deviation}};
    take_raw(&program, raw, quantised);
    assert_true(all_marked(quantised, SAMPLES * LEN));
    secret_declassify(quantised, sizeof quantised, "the test looks at them");
    for (size_t i = 0; i < SAMPLES * LEN; i++) assert_in_range(quantised[i] + 128, 0, 255);
  }
}

/* Arrays of every type, read while the server waits; and whole numbers packed and unpacked. */
static void arrays__no_branch_or_address_depends_on_the_values(void **state) {
  enum { COUNT = 64 };
  (void)state;
  uint64_t seed = test_seed();
  uint64_t bits[COUNT];
  for (size_t i = 0; i < COUNT; i++) bits[i] = i % 4 ? test_random(&seed) : i * UINT64_C(0x0101010101010101);
  for (int type = FUSION_BOOL; type <= FUSION_F64; type++) {
    fusion_array *a;
    double real[COUNT];
    int64_t whole[COUNT], back[COUNT];
    uint8_t packed[COUNT * 2];
    assert_ok(fusion_array_create(&a, (fusion_type)type, 1, (size_t[]){COUNT}, bits));
    secret_mark(fusion_array_data_mutable(a), COUNT * fusion_type_len((fusion_type)type));
    array_rows_real(a, 0, COUNT, real);
    fusion_array_free(a);
    memcpy(whole, real, sizeof whole);
    assert_true(all_marked(whole, COUNT));
    mark_all_bits(whole, COUNT);
    for (size_t i = 0; i < COUNT; i++) whole[i] >>= 50;
    packed_write(packed, whole, COUNT, sizeof packed / COUNT);
    packed_read(back, packed, COUNT, sizeof packed / COUNT);
    assert_true(all_marked(back, COUNT));
    secret_declassify(whole, sizeof whole, "the test compares them");
    secret_declassify(back, sizeof back, "the test compares them");
    assert_memory_equal(back, whole, sizeof whole);
  }
}

/* The marks work at all: what a secret was added to is not public any more. */
static void marks__follow_a_secret(void **state) {
  (void)state;
#if defined(FUSION_CTGRIND) || defined(FUSION_MSAN)
  uint64_t secret = 1, sum;
  secret_mark(&secret, sizeof secret);
  sum = secret + 5;
#ifdef FUSION_CTGRIND
  uint64_t bits = 0;
  if (!RUNNING_ON_VALGRIND) fail_msg("run this under valgrind: make test-constant-time");
  assert_int_equal(VALGRIND_GET_VBITS(&sum, &bits, sizeof bits), 1);
  assert_int_not_equal(bits, 0);
#else
  assert_true(__msan_test_shadow(&sum, sizeof sum) >= 0);
#endif
  secret_declassify(&sum, sizeof sum, "the test compares it");
  assert_int_equal(sum, 6);
#else
  print_message("built without -Dctgrind=true or -Dmsan=true: nothing is followed\n");
  skip();
#endif
}

/* A number keeps a mark, on some bit, when its type changes. */
static void marks__stay_on_converted_numbers(void **state) {
  (void)state;
  uint8_t byte = 3;
  int16_t small = -3;
  uint32_t word = 3;
  int64_t whole = -3, marks[7];
  float single = 0;
  double real = 0;
  secret_mark(&byte, sizeof byte);
  secret_mark(&small, sizeof small);
  secret_mark(&word, sizeof word);
  secret_mark(&whole, sizeof whole);
  secret_mark(&single, sizeof single);
  secret_mark(&real, sizeof real);
  const double widened[] = {byte, small, word, (double)whole, (double)single, (double)(float)real};
  memcpy(marks, widened, sizeof widened);
  marks[6] = (int64_t)widened[5];
  assert_true(all_marked(marks, sizeof marks / sizeof *marks));
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(marks__follow_a_secret),
      cmocka_unit_test(marks__stay_on_converted_numbers),
      cmocka_unit_test(verify__no_branch_or_address_depends_on_an_answer),
      cmocka_unit_test(inputs__no_branch_or_address_depends_on_the_values),
      cmocka_unit_test(arrays__no_branch_or_address_depends_on_the_values),
      cmocka_unit_test(protocols__no_branch_address_or_message_depends_on_a_secret),
      cmocka_unit_test(comparisons__no_branch_address_or_message_depends_on_a_secret),
      cmocka_unit_test(kept_set_ups__no_branch_address_or_message_depends_on_a_secret),
  };
  for (int tier = 0; argc > 1 && tier < CPU_TIER_COUNT; tier++)
    if (strcmp(cpu_tier_name((enum cpu_tier)tier), argv[1]) == 0 && cpu_tier_force((enum cpu_tier)tier) != FUSION_OK)
      return 77; /* the CPU, or valgrind's, lacks it */
  print_message("tier %s\n", cpu_tier_name(cpu_tier()));
#ifdef FUSION_MSAN
  print_message(
      "not followed to the right bits: integers that become doubles; arrays are looked at, then marked anew\n");
#endif
  return cmocka_run_group_tests(tests, NULL, NULL);
}
