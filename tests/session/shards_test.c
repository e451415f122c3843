/* How a job is cut into shards, and how many workers run them. */
#include "session/shards.h"

#include "session/session_scene.h"
#include "session/workers.h"
#include "support/support.h"

static void workers__are_chosen_by_round_trip_cores_and_memory(void **state) {
  (void)state;
  struct model *m = fake_model(IN, OUT, 5);
  fake_reset();
  /* 1,000 shards of a few hundred bytes: on a long line nearly all is waiting. */
  const struct workers_choice base = {.engine = &fake_engine,
                                      .program = &m->program,
                                      .samples = 1000,
                                      .shard_samples = 1,
                                      .max_memory = 1 << 30,
                                      .cores = 1};
  struct workers_choice c = base;
  assert_int_equal(workers_choose(&c), 1);
  c.round_trip_seconds = 1e-6;
  assert_int_equal(workers_choose(&c), 1);
  c.round_trip_seconds = 1e-3;
  assert_in_range(workers_choose(&c), 3, 8); /* 1 s of waiting against 0.045 s a worker */
  c.round_trip_seconds = 0.04;
  assert_in_range(workers_choose(&c), 14, WORKERS_AUTO_MAX);
  c.max_memory = 3 * 1500; /* 1,000 bytes a sample, and its shares */
  assert_int_equal(workers_choose(&c), 3);
  c.samples = 2;
  assert_int_equal(workers_choose(&c), 2);
  c = base;
  c.samples = (size_t)1 << 20; /* much computing: as many as there are cores */
  c.shard_samples = 1 << 16;
  c.cores = 4;
  assert_int_equal(workers_choose(&c), 4);
  model_free(m);
}

/* One worker on a short line and one core, more of both with either, no more than memory or work allow. */
static void job__chooses_its_workers(void **state) {
  (void)state;
  struct session_scene s;
  fusion_verdict v = {0};
  scene_prepare(&s);
  s.ask.workers = 0;
  s.ask.shard_samples = 1;
  fake.delay_ms = 1;
  scene_start(&s);
  expect_accept(&s, &v);
  assert_in_range(v.workers, 1, WORKERS_AUTO_MAX);
  scene_end(&s);
}

static void shards__cover_everything_and_balance(void **state) {
  (void)state;
  const size_t samples[] = {1, 2, 7, 868, 2660, 10000}, limits[] = {1, 3, 400, 4096}, workers[] = {1, 2, 5};
  for (size_t i = 0; i < 6 * 4 * 3; i++) {
    const size_t n = samples[i % 6], limit = limits[i / 6 % 4], w = workers[i / 24];
    const size_t count = shards_count(n, limit, w);
    size_t next = 0;
    assert_true(count >= 1 && count <= n);
    for (size_t k = 0; k < count; k++) {
      const struct shard s = shard_at(n, count, k);
      assert_int_equal(s.first, next);
      assert_in_range(s.count, n / count, n / count + 1);
      assert_true(s.count <= limit);
      next += s.count;
    }
    assert_int_equal(next, n);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(workers__are_chosen_by_round_trip_cores_and_memory),
      cmocka_unit_test(job__chooses_its_workers),
      cmocka_unit_test(shards__cover_everything_and_balance),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
