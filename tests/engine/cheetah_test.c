/* What is cheetah's own: its layout, its section of a program, its tunings. That its answers and costs are right is
 * tests/conformance. */
#include "engine/cheetah/cheetah.h"
#include "conformance/cases.h"
#include "execute/execute.h"
#include "program/program_section.h"
#include "support/support.h"

/* So many correlations that the set of slow links takes over; it moves less. */
static void cheetah__tuned_for_slow_links_moves_less(void **state) {
  (void)state;
  const size_t shards[] = {300, 700};
  struct net n = conformance_net("wide", 1);
  struct cost usual = {0}, slow = {0};
  assert_ok(engine_prepare(engine_find("cheetah"), n.model, NULL));
  assert_ok(engine_cost(engine_find("cheetah"), &n.model->program, shards, 2, &usual));
  assert_ok(engine_cost(engine_find("cheetah-wan"), &n.model->program, shards, 2, &slow));
  assert_true(slow.bytes_to_client + slow.bytes_to_server <
              usual.bytes_to_client + usual.bytes_to_server - (UINT64_C(200) << 10));
  /* Its correlations are cheaper, so its trees take at least as many. */
  assert_true(slow.cots_server_sends + slow.cots_client_sends >= usual.cots_server_sends + usual.cots_client_sends);
  model_free(n.model);
}

static void engine_list__holds_families(void **state) {
  (void)state;
  struct engine_list list;
  fusion_error err = {.status = FUSION_OK};
  char text[256];
  assert_ok(engine_list_parse(&list, NULL, NULL));
  assert_ptr_equal(engine_list_find(&list, "cheetah"), engine_find("cheetah"));
  assert_ptr_equal(engine_list_find(&list, "cheetah-wan"), engine_find("cheetah-wan"));
  assert_null(engine_list_find(&list, "nonsense"));
  engine_list_text(&list, text, sizeof text);
  assert_string_equal(text, "cheetah, cheetah-wan");
  engine_list_text(&list, text, 12);
  assert_string_equal(text, "cheetah");
  assert_ok(engine_list_parse(&list, "cheetah-wan,cheetah", NULL)); /* each once */
  assert_int_equal(list.count, 2);
  const struct engine alone = {.name = "alone", .family = "alone"};
  const struct engine_list one = {{&alone}, 1};
  assert_ptr_equal(engine_list_find(&one, "alone"), &alone);
  assert_null(engine_list_find(&one, "cheetah"));
  for (size_t i = 0; i < 3; i++) {
    static const char *const bad[] = {"cheetah,", "", "cheetah,chita"};
    assert_int_equal(engine_list_parse(&list, bad[i], &err), FUSION_E_USAGE);
    assert_non_null(strstr(err.text, "no such protocol engine; there are cheetah, cheetah-wan"));
    assert_int_equal(list.count, 0);
  }
}

static void engine_list__keeps_what_can_run_the_program(void **state) {
  (void)state;
  struct engine_list list;
  struct net n = conformance_net("mlp", 1); /* not prepared for cheetah */
  assert_ok(engine_list_parse(&list, "all", NULL));
  assert_ptr_equal(engine_list_find(&list, "cheetah"), engine_find("cheetah"));
  engine_list_keep_able(&list, &n.model->program);
  assert_null(engine_list_find(&list, "cheetah"));
  assert_ok(engine_prepare(engine_find("cheetah"), n.model, NULL));
  assert_ok(engine_list_parse(&list, "all", NULL));
  engine_list_keep_able(&list, &n.model->program);
  assert_ptr_equal(engine_list_find(&list, "cheetah"), engine_find("cheetah"));
  model_free(n.model);
}

/* What the shares carry below the values follows from the additions alone. */
static void cheetah_layout__finds_noise_terms_and_guards(void **state) {
  (void)state;
  static const uint8_t terms[] = {0, 1, 1, 2, 0, 1, 1, 0, 0}, guards[] = {0, 2, 2, 2, 0, 1, 1, 0, 0};
  struct net n = conformance_net("residual branches", 1);
  struct engine_layout layout;
  assert_ok(engine_prepare(&engine_cheetah, n.model, NULL));
  assert_ok(engine_layout_open(&layout, &engine_cheetah, &n.model->program, 1, NULL));
  assert_int_equal(n.model->program.count, sizeof terms);
  assert_memory_equal(cheetah_own(&layout)->steps.terms, terms, sizeof terms);
  assert_memory_equal(layout.guard_bits, guards, sizeof guards);
  engine_layout_close(&layout);
  model_free(n.model);
}

static void expect_refused(const struct program *program, const char *text) {
  fusion_error err = {.status = FUSION_OK};
  const size_t one = 1;
  struct cost cost = {0};
  assert_int_equal(engine_check(&engine_cheetah, program, &err), FUSION_E_MODEL);
  if (!strstr(err.text, text)) fail_msg("'%s' lacks '%s'", err.text, text);
  assert_int_equal(engine_cost(&engine_cheetah, program, &one, 1, &cost), FUSION_E_MODEL);
  assert_true(engine_memory(&engine_cheetah, program, 1, ROLE_CLIENT) == SIZE_MAX);
}

/* The section of a program comes from the peer or a file. */
static void cheetah_layout__hostile_sections_are_refused(void **state) {
  (void)state;
  struct net n = conformance_net("mlp", 1);
  struct program *p = &n.model->program;
  expect_refused(p, "this model was not prepared for the cheetah engine; compile it again (--engine cheetah)");
  assert_ok(engine_prepare(&engine_cheetah, n.model, NULL));
  assert_ok(engine_check(&engine_cheetah_wan, p, NULL));
  uint8_t sets[3] = {0};
  assert_int_equal(program_find_section(p, "cheetah")->len, 2);
  memcpy(sets, program_find_section(p, "cheetah")->data, 2);
  for (unsigned first = 0; first <= UINT8_MAX; first++) { /* whatever it accepts, it can predict */
    const uint8_t changed[] = {(uint8_t)first, sets[1]};
    const size_t one = 1;
    struct cost cost = {0};
    assert_ok(program_set_section(p, "cheetah", changed, sizeof changed));
    const fusion_status status = engine_check(&engine_cheetah, p, NULL);
    assert_int_equal(engine_cost(&engine_cheetah, p, &one, 1, &cost), status);
    if (!rlwe_set_id((uint8_t)first)) expect_refused(p, "layer 'step1': its encryption parameters do not fit");
  }
  assert_ok(program_set_section(p, "cheetah", sets, 1));
  expect_refused(p, "layer 'step3': its encryption parameters do not fit");
  assert_ok(program_set_section(p, "cheetah", sets, 3));
  expect_refused(p, "damaged");
  assert_ok(program_set_section(p, "cheetah", sets, 2));
  assert_ok(engine_check(&engine_cheetah, p, NULL));
  model_free(n.model);
}

/* x + x, again and again: the noise terms double each time. */
static void cheetah_layout__bounds_noise_terms(void **state) {
  (void)state;
  const struct shape s = {3, 1, 1};
  struct net n = net_open(s, 20, 8, 1);
  fusion_error err = {.status = FUSION_OK};
  net_linear(&n, 0, s, net_dense, 1, 20, 4);
  for (uint32_t i = 1; i < 9; i++) net_add(&n, OP_ADD, i, s, 20, 20);
  assert_int_equal(engine_prepare(&engine_cheetah, n.model, &err), FUSION_E_MODEL);
  assert_string_equal(err.text, "layer 'step9': it sums too many linear layers; add in smaller groups");
  model_free(n.model);
}

/* One party of a session of a single run, or of none. */
struct end {
  struct engine_opening opening;
  size_t samples; /* 0: it is closed without a run */
  int64_t *inputs, *answers;
  struct keeping keeping;
  struct channel_stats opened, ended;
  fusion_status status;
};

static void *run_end(void *arg) {
  struct end *e = arg;
  struct engine_session *s = NULL;
  e->opening.keeping = &e->keeping;
  e->status = engine_open(&s, &e->opening);
  e->opened = channel_get_stats(e->opening.channel);
  e->opening.keeping = NULL; /* it was lent to the opening alone */
  if (e->status == FUSION_OK && e->samples)
    e->status =
        e->opening.weights ? engine_run_server(s, e->samples) : engine_run_client(s, e->inputs, e->answers, e->samples);
  e->ended = channel_get_stats(e->opening.channel);
  engine_close(s);
  return NULL;
}

/* Answers those of the executor. `kept`, by role: room for what is kept, NULL: nothing is. */
static void run_session(struct end ends[2], const struct model *m, size_t samples, struct kept_setup *const kept[2]) {
  const size_t in = shape_size(m->program.steps[0].out.shape), answers = program_answer_size(&m->program);
  int64_t *x = mem_alloc(size_max(1, samples) * in, sizeof *x),
          *y = mem_alloc(size_max(1, samples) * answers, sizeof *y);
  int64_t *expected = mem_alloc(size_max(1, samples) * answers, sizeof *expected);
  assert_true(x && y && expected);
  for (size_t i = 0; i < samples * in; i++) x[i] = (int64_t)(i % 7) - 3;
  for (int role = 0; role < 2; role++)
    ends[role] = (struct end){.opening = {.engine = &engine_cheetah,
                                          .program = &m->program,
                                          .weights = role == ROLE_SERVER ? m->weights : NULL,
                                          .expected_samples = size_max(1, samples)},
                              .samples = samples,
                              .inputs = x,
                              .answers = y,
                              .keeping = {.keep = kept[role]}};
  assert_ok(channel_pipe(&ends[ROLE_SERVER].opening.channel, &ends[ROLE_CLIENT].opening.channel));
  test_run_both(run_end, &ends[ROLE_SERVER], run_end, &ends[ROLE_CLIENT]);
  for (int role = 0; role < 2; role++) {
    assert_ok(ends[role].status);
    assert_true(ends[role].keeping.kept == (kept[role] != NULL));
    channel_close(ends[role].opening.channel);
  }
  if (samples) {
    assert_ok(program_execute(m, x, samples, expected, NULL));
    assert_memory_equal(y, expected, samples * answers * sizeof *y);
  }
  mem_free(x);
  mem_free(y);
  mem_free(expected);
}

static uint64_t keys_len(const struct model *m) {
  struct engine_layout layout;
  struct cost cost = {0};
  assert_ok(engine_layout_open(&layout, &engine_cheetah, &m->program, 1, NULL));
  rlwe_open_cost(&cost, &cheetah_own(&layout)->steps.keys);
  engine_layout_close(&layout);
  return cost.bytes_to_server;
}

/* The client opens with its nonce and its keys, and sends the rest of the set-up with its first query; with all of it
 * where a set-up is kept, and where a run begins with something else. The bytes of a session are the same. */
static void cheetah_session__first_layer_completes_the_set_up(void **state) {
  (void)state;
  struct kept_setup *const room[2] = {key_alloc(sizeof(struct kept_setup)), key_alloc(sizeof(struct kept_setup))};
  struct kept_setup *const none[2] = {NULL, NULL};
  struct net n = conformance_net("mlp", 1), compared = conformance_net("comparison of the input", 1);
  struct end usual[2], keeping[2], idle[2], other[2];
  assert_true(room[0] && room[1]);
  assert_ok(engine_prepare(&engine_cheetah, n.model, NULL));
  assert_ok(engine_prepare(&engine_cheetah, compared.model, NULL));
  run_session(usual, n.model, 1, none);
  run_session(keeping, n.model, 1, room);
  run_session(idle, n.model, 0, none);
  run_session(other, compared.model, 0, none);
  const uint64_t begun = CHANNEL_HEADER_LEN + COT_NONCE_LEN;
  assert_int_equal(usual[ROLE_CLIENT].opened.bytes_sent, begun + keys_len(n.model));
  assert_int_equal(idle[ROLE_CLIENT].ended.bytes_sent, begun + keys_len(n.model));
  assert_true(keeping[ROLE_CLIENT].opened.bytes_sent > begun + keys_len(n.model));
  assert_true(other[ROLE_CLIENT].opened.bytes_sent > begun + keys_len(compared.model));
  for (int role = 0; role < 2; role++) {
    assert_int_equal(usual[role].ended.bytes_sent, keeping[role].ended.bytes_sent);
    assert_int_equal(usual[role].ended.depth, keeping[role].ended.depth);
    key_free(room[role]);
  }
  model_free(n.model);
  model_free(compared.model);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(cheetah__tuned_for_slow_links_moves_less),
      cmocka_unit_test(cheetah_layout__finds_noise_terms_and_guards),
      cmocka_unit_test(cheetah_layout__hostile_sections_are_refused),
      cmocka_unit_test(cheetah_layout__bounds_noise_terms),
      cmocka_unit_test(cheetah_session__first_layer_completes_the_set_up),
      cmocka_unit_test(engine_list__holds_families),
      cmocka_unit_test(engine_list__keeps_what_can_run_the_program),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
