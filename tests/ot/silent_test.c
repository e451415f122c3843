#include "silent/silent.h"

#include "base/cpu_tier.h"
#include "ot/tamper.h"
#include "silent/lpn_kernels.h"
#include "support/support.h"

/* Far too small to be hard; the same code as the real sets. */
static const struct silent_set tiny = {
    .name = "tiny", .depth = 8, .trees = 67, .factor = 5, .shift = 7, .together = 4, .security_bits = 0};

enum { ITERATIONS_MAX = 6 };

/* A batch of iterations in one direction. */
struct shape {
  const struct silent_set *set;
  enum role sender;
  size_t iterations;
  bool chained, early;
};

/* A batch, both parties, from correlations that the test deals. */
struct end {
  struct channel *channel;
  const struct silent_set *set;
  enum role role, sender;
  bool chained;
  bool early; /* grows before the check is settled */
  uint64_t seed;
  block delta;
  size_t iterations;
  block *base[ITERATIONS_MAX], *out; /* out: each group's trees, one number after the other */
  struct channel_stats stats;
  fusion_status status;
};

static void *run_end(void *arg) {
  struct end *e = arg;
  uint8_t seed[PRG_SEED_LEN] = {(uint8_t)e->role};
  memcpy(seed + 8, &e->seed, sizeof e->seed);
  struct prg *prg = prg_new(seed);
  const struct silent_party party = {
      .role = e->role, .channel = e->channel, .prg = prg, .session = 99, .delta = e->delta};
  struct silent_iteration its[ITERATIONS_MAX];
  for (size_t i = 0; i < e->iterations; i++)
    its[i] = (struct silent_iteration){.set = e->set,
                                       .sender = e->sender,
                                       .number = 3 + i,
                                       .base = e->base[i],
                                       .chained = e->chained,
                                       .memory = e->base[i],
                                       .memory_len = silent_set_base(e->set) * sizeof(block)};
  struct silent_check *check = NULL;
  e->status = silent_iterate(&party, its, e->iterations, &check);
  if (e->status == FUSION_OK && !e->early) e->status = silent_settle(&check);
  const fusion_status grown = e->status;
  block *out = e->out;
  size_t members = 0;
  for (size_t i = 0; i < e->iterations; i++) {
    struct silent_harvest *const harvest = its[i].harvest;
    if (!harvest) continue;
    if (grown != FUSION_OK) {
      silent_free(harvest);
      continue;
    }
    /* In two parts, the second first. */
    const size_t half = e->set->trees / 2, unit = silent_members(harvest) << e->set->depth;
    silent_grow(harvest, out + half * unit, half, e->set->trees - half);
    silent_grow(harvest, out, 0, half);
    members += silent_members(harvest);
    out += e->set->trees * unit;
    silent_free(harvest);
  }
  if (members != (grown == FUSION_OK ? e->iterations : 0)) e->status = FUSION_E_INTERNAL;
  if (check) e->status = silent_settle(&check);
  e->stats = channel_get_stats(e->channel);
  prg_free(prg);
  channel_close(e->channel);
  return NULL;
}

static void run_batch(struct end ends[2], const struct shape *shape, uint64_t seed, struct tamper tamper) {
  const size_t base = silent_set_base(shape->set), outputs = silent_set_outputs(shape->set);
  uint64_t random = seed;
  for (int i = 0; i < 2; i++) {
    ends[i] = (struct end){.set = shape->set,
                           .iterations = shape->iterations,
                           .role = (enum role)i,
                           .sender = shape->sender,
                           .chained = shape->chained,
                           .early = shape->early,
                           .seed = seed};
    ends[i].out = mem_alloc(shape->iterations * outputs, sizeof(block));
    assert_non_null(ends[i].out);
  }
  struct end *s = &ends[shape->sender], *r = &ends[1 - shape->sender];
  s->delta = block_make(test_random(&random), test_random(&random) | 1);
  for (size_t n = 0; n < shape->iterations; n++) {
    block *const keys = s->base[n] = mem_alloc(base, sizeof(block));
    block *const macs = r->base[n] = mem_alloc(base, sizeof(block));
    assert_non_null(keys);
    assert_non_null(macs);
    for (size_t i = 0; i < base; i++) {
      keys[i].hi = test_random(&random);
      keys[i].lo = test_random(&random) << 1;
      macs[i] = block_xor(keys[i], block_and_mask(s->delta, (uint64_t)0 - (test_random(&random) & 1)));
    }
  }
  assert_ok(tamper_pair(&ends[ROLE_SERVER].channel, &ends[ROLE_CLIENT].channel, tamper));
  test_run_both(run_end, &ends[ROLE_SERVER], run_end, &ends[ROLE_CLIENT]);
}

static void run(struct end ends[2], const struct silent_set *set, enum role sender, uint64_t seed,
                struct tamper tamper) {
  run_batch(ends, &(struct shape){.set = set, .sender = sender, .iterations = 1}, seed, tamper);
}

static void release(struct end ends[2]) {
  for (int i = 0; i < 2; i++) {
    mem_free(ends[i].out);
  }
}

static bool correlated(const struct end *s, const struct end *r, size_t *ones) {
  *ones = 0;
  for (size_t i = 0; i < s->iterations * silent_set_outputs(s->set); i++) {
    const block m = r->out[i], k = s->out[i], want = block_xor(k, block_and_mask(s->delta, block_lsb_mask(m)));
    if ((k.lo & 1) || m.lo != want.lo || m.hi != want.hi) return false;
    *ones += m.lo & 1;
  }
  return true;
}

static const struct tamper honest = {.position = UINT64_MAX};

static void correlated_in_every_tier(bool chained) {
  const uint64_t seed = test_seed();
  const enum cpu_tier best = cpu_tier_best();
  const struct shape shape = {.set = &tiny, .sender = ROLE_CLIENT, .iterations = 1, .chained = chained};
  block *first[2] = {NULL, NULL};
  for (int tier = 0; tier <= (int)best; tier++) {
    struct end ends[2];
    size_t ones;
    assert_ok(cpu_tier_force((enum cpu_tier)tier));
    run_batch(ends, &shape, seed, honest);
    assert_ok(ends[0].status);
    assert_ok(ends[1].status);
    assert_true(correlated(&ends[ROLE_CLIENT], &ends[ROLE_SERVER], &ones));
    /* 17152 fair bits: 8576 +- 65. */
    assert_true(ones > 7900 && ones < 9250);
    /* The same bytes whatever the tier: from seeds alone. */
    for (int i = 0; i < 2; i++) {
      if (tier > 0) assert_memory_equal(ends[i].out, first[i], silent_set_outputs(&tiny) * sizeof(block));
      if (tier > 0) continue;
      first[i] = ends[i].out;
      ends[i].out = NULL;
    }
    release(ends);
  }
  mem_free(first[0]);
  mem_free(first[1]);
  assert_ok(cpu_tier_force(best));
}

static void silent__outputs_are_correlated_in_every_tier(void **state) {
  (void)state;
  correlated_in_every_tier(false);
}

/* Trees that grow from their first correlation. */
static void silent__chained_outputs_are_correlated_in_every_tier(void **state) {
  (void)state;
  correlated_in_every_tier(true);
}

/* Groups of four and a rest; every tier; bits and keys of different iterations have nothing in common. */
static void silent__iterations_that_share_a_matrix_are_as_good(void **state) {
  (void)state;
  const uint64_t seed = test_seed();
  const enum cpu_tier best = cpu_tier_best();
  for (size_t n = 2; n <= ITERATIONS_MAX; n++) {
    block *first = NULL;
    const size_t count = n * silent_set_outputs(&tiny);
    for (int tier = 0; tier <= (int)best; tier++) {
      struct end ends[2];
      size_t ones, same = 0;
      assert_ok(cpu_tier_force((enum cpu_tier)tier));
      run_batch(ends, &(struct shape){&tiny, ROLE_SERVER, n, n % 2, false}, seed, honest);
      assert_ok(ends[0].status);
      assert_ok(ends[1].status);
      assert_true(correlated(&ends[ROLE_SERVER], &ends[ROLE_CLIENT], &ones));
      assert_in_range(ones, count / 2 - count / 20, count / 2 + count / 20);
      const block *const out = ends[ROLE_CLIENT].out;
      for (size_t i = 256; i < count; i++) same += (out[i].lo ^ out[i - 256].lo) & 1;
      assert_in_range(same, count / 2 - count / 20, count / 2 + count / 20);
      if (tier > 0) assert_memory_equal(out, first, count * sizeof(block));
      if (tier == 0) {
        first = ends[ROLE_CLIENT].out;
        ends[ROLE_CLIENT].out = NULL;
      }
      release(ends);
    }
    mem_free(first);
  }
  assert_ok(cpu_tier_force(best));
}

static void silent__counted_messages_are_the_declared_ones(void **state) {
  (void)state;
  for (int i = 0; i < 4; i++) {
    const enum role sender = i % 2 ? ROLE_CLIENT : ROLE_SERVER;
    const struct shape shape = {.set = &tiny, .sender = sender, .iterations = 1 + (size_t)i, .chained = i > 1};
    struct silent_part parts[2] = {{.set = &tiny}, {.set = &tiny}};
    struct end ends[2];
    struct cost cost = {0};
    run_batch(ends, &shape, 5, honest);
    assert_ok(ends[0].status);
    parts[sender].count = shape.iterations;
    parts[sender].chained = shape.chained;
    struct silent_settled settled = {0};
    silent_iterate_cost(&cost, parts, &settled);
    silent_settle_cost(&cost, &settled);
    assert_int_equal(ends[ROLE_SERVER].stats.bytes_sent, cost.bytes_to_client);
    assert_int_equal(ends[ROLE_CLIENT].stats.bytes_sent, cost.bytes_to_server);
    assert_int_equal(ends[ROLE_SERVER].stats.messages_sent, cost.messages_to_client);
    assert_int_equal(ends[ROLE_CLIENT].stats.messages_sent, cost.messages_to_server);
    assert_int_equal(ends[ROLE_SERVER].stats.depth, cost.depth_server);
    assert_int_equal(ends[ROLE_CLIENT].stats.depth, cost.depth_client);
    release(ends);
  }
}

/* One flipped byte anywhere in the sender's stream: the receiver fails, or what it accepts is right. All bytes of the
 * first tree's corrections and of the digest, and a sample of the rest. */
static void cheating_sender(bool chained) {
  uint64_t seed = test_seed();
  const uint64_t sent = tiny.depth - (chained ? 1 : 0);
  const uint64_t first = SILENT_CHUNK_TREES * sent * 16 + CHANNEL_HEADER_LEN;
  const uint64_t second = (tiny.trees - SILENT_CHUNK_TREES) * sent * 16 + CHANNEL_HEADER_LEN;
  const uint64_t all = first + second + CHANNEL_HEADER_LEN + SILENT_DIGEST_LEN;
  size_t caught = 0, tried = 0;
  for (uint64_t position = 0; position < all; position += position < 160 || position >= all - 48 ? 1 : 61) {
    for (enum role sender = ROLE_SERVER; sender <= ROLE_CLIENT; sender++) {
      struct end ends[2];
      size_t ones;
      const struct tamper tamper = {
          .who = sender, .position = position, .flip = (uint8_t)(1u << test_random(&seed) % 8)};
      run_batch(ends, &(struct shape){&tiny, sender, 1, chained, false}, seed, tamper);
      const fusion_status status = ends[1 - sender].status;
      tried++;
      caught += status != FUSION_OK;
      if (status == FUSION_OK) assert_true(correlated(&ends[sender], &ends[1 - sender], &ones));
      const bool in_header = position < CHANNEL_HEADER_LEN ||
                             (position >= first && position < first + CHANNEL_HEADER_LEN) ||
                             (position >= first + second && position < first + second + CHANNEL_HEADER_LEN);
      if (status != FUSION_OK && !in_header) assert_int_equal(status, FUSION_E_CRYPTO);
      release(ends);
    }
  }
  /* Only the depth field of a header and the lowest bit of a last level's correction change nothing. */
  assert_true(caught > tried * 9 / 10);
}

static void silent__a_cheating_sender_is_caught_or_harmless(void **state) {
  (void)state;
  cheating_sender(false);
  cheating_sender(true);
}

/* What may leave the receiver before it has compared digests: the same whatever the sender has sent. */
static void silent__choice_bits_do_not_depend_on_the_sender(void **state) {
  (void)state;
  const uint64_t seed = test_seed();
  const enum cpu_tier best = cpu_tier_best();
  for (size_t i = 0; i < 2 * LPN_TOGETHER * ((size_t)best + 1); i++) {
    const bool chained = i % 2;
    const size_t members = 1 + i / 2 % LPN_TOGETHER, count = members * silent_set_outputs(&tiny);
    const struct shape shape = {&tiny, ROLE_SERVER, members, chained, true};
    assert_ok(cpu_tier_force((enum cpu_tier)(i / (2 * LPN_TOGETHER))));
    const uint64_t level = 16, tree = (tiny.depth - (chained ? 1 : 0)) * level;
    struct end right[2];
    run_batch(right, &shape, seed, honest);
    assert_ok(right[ROLE_CLIENT].status);
    size_t ones = 0;
    for (size_t k = 0; k < count; k++) ones += right[ROLE_CLIENT].out[k].lo & 1;
    assert_in_range(ones, count / 2 - count / 20, count / 2 + count / 20);
    /* The first level of a tree, the last one of another, its lowest byte and its highest. */
    const uint64_t places[] = {0, tree - level + 1, 3 * tree + 15, 9 * tree + tree / 2};
    for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
      struct end wrong[2];
      size_t differ = 0;
      const struct tamper tamper = {.who = ROLE_SERVER, .position = CHANNEL_HEADER_LEN + places[p], .flip = 0x10};
      run_batch(wrong, &shape, seed, tamper);
      assert_int_equal(wrong[ROLE_CLIENT].status, FUSION_E_CRYPTO);
      for (size_t k = 0; k < count; k++) {
        const block a = right[ROLE_CLIENT].out[k], b = wrong[ROLE_CLIENT].out[k];
        assert_int_equal(a.lo & 1, b.lo & 1);
        differ += a.hi != b.hi || a.lo != b.lo;
      }
      assert_true(differ > 0);
      release(wrong);
    }
    release(right);
  }
  assert_ok(cpu_tier_force(best));
}

/* A flipped challenge or masked sum (a cheating receiver): the digests then differ, and nothing is released. */
static void silent__an_altered_challenge_is_caught(void **state) {
  (void)state;
  for (uint64_t position = CHANNEL_HEADER_LEN; position < CHANNEL_HEADER_LEN + SILENT_CHALLENGE_LEN; position++) {
    struct end ends[2];
    run(ends, &tiny, ROLE_SERVER, position, (struct tamper){.who = ROLE_CLIENT, .position = position, .flip = 1});
    assert_int_equal(ends[ROLE_CLIENT].status, FUSION_E_CRYPTO);
    for (size_t i = 0; i < silent_set_outputs(&tiny); i++) assert_true(!ends[ROLE_CLIENT].out[i].lo);
    release(ends);
  }
}

/* The stream of either party ends before each of its messages, and inside them. */
static void silent__a_peer_that_closes_is_reported(void **state) {
  (void)state;
  const uint64_t chunk = (uint64_t)SILENT_CHUNK_TREES * tiny.depth * 16 + CHANNEL_HEADER_LEN;
  const uint64_t rest = (uint64_t)(tiny.trees - SILENT_CHUNK_TREES) * tiny.depth * 16 + CHANNEL_HEADER_LEN;
  const struct {
    enum role who;
    uint64_t position;
  } ends_at[] = {{ROLE_SERVER, 0},
                 {ROLE_SERVER, 100},
                 {ROLE_SERVER, chunk},
                 {ROLE_SERVER, chunk + rest},
                 {ROLE_SERVER, chunk + rest + 20},
                 {ROLE_CLIENT, 0},
                 {ROLE_CLIENT, 30}};
  for (size_t i = 0; i < sizeof ends_at / sizeof *ends_at; i++) {
    struct end ends[2];
    run(ends, &tiny, ROLE_SERVER, i, (struct tamper){.who = ends_at[i].who, .position = ends_at[i].position});
    assert_int_equal(ends[1 - ends_at[i].who].status, FUSION_E_CLOSED);
    release(ends);
  }
}

static void silent__real_sets_work(void **state) {
  (void)state;
  const struct silent_set *const sets[] = {&silent_set_lan, &silent_set_wan};
  for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
    struct end ends[2];
    size_t ones;
    run(ends, sets[i], ROLE_SERVER, i, honest);
    assert_ok(ends[ROLE_SERVER].status);
    assert_ok(ends[ROLE_CLIENT].status);
    assert_true(correlated(&ends[ROLE_SERVER], &ends[ROLE_CLIENT], &ones));
    assert_true(2 * ones > silent_set_outputs(sets[i]) / 100 * 99 &&
                2 * ones < silent_set_outputs(sets[i]) / 100 * 101);
    release(ends);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(silent__outputs_are_correlated_in_every_tier),
      cmocka_unit_test(silent__chained_outputs_are_correlated_in_every_tier),
      cmocka_unit_test(silent__iterations_that_share_a_matrix_are_as_good),
      cmocka_unit_test(silent__counted_messages_are_the_declared_ones),
      cmocka_unit_test(silent__a_cheating_sender_is_caught_or_harmless),
      cmocka_unit_test(silent__choice_bits_do_not_depend_on_the_sender),
      cmocka_unit_test(silent__an_altered_challenge_is_caught),
      cmocka_unit_test(silent__a_peer_that_closes_is_reported),
      cmocka_unit_test(silent__real_sets_work),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
