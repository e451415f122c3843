#include "silent/cot_silent.h"

#include "ot/softspoken.h"
#include "ot/tamper.h"
#include "silent/cot_silent_cost.h"
#include "silent/cot_silent_internal.h"
#include "silent/silent.h"
#include "support/support.h"

struct take {
  enum role sender;
  size_t count;
};

/* One party's end of a session that makes `takes` in order, all correlations kept. */
struct end {
  struct channel *channel;
  enum role role;
  const struct silent_params *params;
  const struct take *takes;
  size_t take_count;
  uint64_t seed;
  bool deferred;   /* completed after a message of something else */
  bool postponed;  /* the check of each take's refill is settled behind it */
  size_t ahead[2]; /* by role: most calls of cot_work_ahead() before a take, and while its check is out */
  bool waits;      /* some also where this end waits for a message */
  struct cot *cot; /* NULL: not open */
  uint64_t random;
  size_t waited; /* calls that found work in waits */
  bool told;     /* a call has sent, or received */
  block **got;   /* one array a take */
  uint64_t *indices;
  size_t *worked; /* calls that found work, at each take; behind the last one */
  block delta;
  uint64_t session;
  struct channel_stats opened, ended;
  fusion_status status;
};

static bool same_stats(struct channel_stats a, struct channel_stats b) {
  return a.bytes_sent == b.bytes_sent && a.bytes_received == b.bytes_received && a.messages_sent == b.messages_sent &&
         a.messages_received == b.messages_received && a.depth == b.depth;
}

enum { ALL = 1 << 20 /* calls: there is never as much to do */ };

static size_t work_ahead(struct end *e) {
  const struct channel_stats before = channel_get_stats(e->channel);
  const size_t most = e->ahead[e->role], calls = most == ALL ? most : test_random(&e->random) % (most + 1);
  size_t worked = 0;
  while (worked < calls && cot_work_ahead(e->cot)) worked++;
  if (!same_stats(before, channel_get_stats(e->channel))) e->told = true;
  return worked;
}

static void work_in_wait(void *context) {
  struct end *e = context;
  if (e->cot && e->waits) e->waited += work_ahead(e);
}

static fusion_status take_all(struct end *e, struct cot *cot) {
  fusion_status status = FUSION_OK;
  for (size_t i = 0; i < e->take_count; i++) {
    const struct take *t = &e->takes[i];
    e->worked[i] = work_ahead(e);
    if (e->postponed) cot_postpone_check(cot);
    TRY(t->sender == e->role ? cot_take_sender(cot, e->got[i], t->count, &e->indices[i])
                             : cot_take_receiver(cot, e->got[i], t->count, &e->indices[i]));
    if (e->postponed) {
      e->worked[i] += work_ahead(e);
      TRY(cot_settle_check(cot));
    }
  }
  TRY(channel_flush(e->channel));
cleanup:
  e->worked[e->take_count] = work_ahead(e);
  return status;
}

enum { OTHER = MESSAGE_TYPE(0xff, 1), OTHER_LEN = 100 };

/* A message to the server before the rest of the set-up, and its answer behind it. */
static fusion_status complete(struct end *e, struct cot *cot) {
  fusion_status status;
  uint8_t other[OTHER_LEN] = {0};
  const bool client = e->role == ROLE_CLIENT;
  if (client) TRY(channel_send(e->channel, OTHER, other, sizeof other));
  if (!client) TRY(channel_recv(e->channel, OTHER, other, sizeof other));
  TRY(cot_complete(cot));
  TRY(cot_complete(cot)); /* nothing */
  TRY(cot_begin(cot));
  TRY(cot_begin(cot)); /* nothing */
  if (client) TRY(channel_recv(e->channel, OTHER, other, sizeof other));
  if (!client) TRY(channel_send(e->channel, OTHER, other, sizeof other));
cleanup:
  return status;
}

static void *run_end(void *arg) {
  struct end *e = arg;
  uint8_t seed[PRG_SEED_LEN] = {(uint8_t)(1 + e->role)};
  memcpy(seed + 8, &e->seed, sizeof e->seed);
  struct prg *prg = prg_new(seed);
  struct cot *cot = NULL;
  struct heap *heap = heap_new(); /* which must get all back */
  const struct cot_opening opening = {
      .role = e->role, .channel = e->channel, .heap = heap, .prg = prg, .deferred = e->deferred};
  e->status = cot_open_silent(&cot, &opening, e->params);
  e->cot = cot;
  e->random = e->seed + e->role;
  e->opened = channel_get_stats(e->channel);
  if (e->status == FUSION_OK && cot_work_ahead(cot)) e->told = true; /* there is nothing yet */
  if (e->status == FUSION_OK && e->deferred && e->take_count) e->status = complete(e, cot);
  if (e->status == FUSION_OK) {
    e->delta = cot->delta; /* nothing before it is complete */
    e->session = cot->session;
    e->status = take_all(e, cot);
  }
  e->ended = channel_get_stats(e->channel);
  cot_close(cot);
  prg_free(prg);
  heap_free(heap);
  channel_close(e->channel);
  return NULL;
}

static void run_ends(struct end ends[2], struct end common, struct tamper tamper) {
  const struct take *takes = common.takes;
  const size_t n = common.take_count;
  tamper.waits = work_in_wait;
  for (int i = 0; i < 2; i++) {
    ends[i] = common;
    ends[i].role = (enum role)i;
    tamper.contexts[i] = &ends[i];
    ends[i].got = mem_alloc(n, sizeof *ends[i].got);
    ends[i].indices = mem_alloc(n, sizeof *ends[i].indices);
    ends[i].worked = mem_alloc(n + 1, sizeof *ends[i].worked);
    for (size_t t = 0; t < n; t++) {
      ends[i].got[t] = mem_alloc(takes[t].count, sizeof(block));
      assert_non_null(ends[i].got[t]);
    }
  }
  assert_ok(tamper_pair(&ends[ROLE_SERVER].channel, &ends[ROLE_CLIENT].channel, tamper));
  test_run_both(run_end, &ends[ROLE_SERVER], run_end, &ends[ROLE_CLIENT]);
}

static void run(struct end ends[2], const struct silent_params *params, const struct take *takes, size_t n,
                uint64_t seed, struct tamper tamper) {
  run_ends(ends, (struct end){.params = params, .takes = takes, .take_count = n, .seed = seed}, tamper);
}

static void release(struct end ends[2]) {
  for (int i = 0; i < 2; i++) {
    for (size_t t = 0; t < ends[i].take_count; t++) mem_free(ends[i].got[t]);
    mem_free(ends[i].got);
    mem_free(ends[i].indices);
    mem_free(ends[i].worked);
  }
}

static void check_takes(const struct end ends[2]) {
  uint64_t taken[2] = {0, 0};
  for (size_t t = 0; t < ends[0].take_count; t++) {
    const enum role sender = ends[0].takes[t].sender;
    const block *keys = ends[sender].got[t], *macs = ends[1 - sender].got[t], delta = ends[sender].delta;
    assert_int_equal(ends[0].indices[t], taken[sender]);
    assert_int_equal(ends[1].indices[t], taken[sender]);
    taken[sender] += ends[0].takes[t].count;
    size_t wrong = 0, ones = 0;
    for (size_t i = 0; i < ends[0].takes[t].count; i++) {
      const block want = block_xor(keys[i], block_and_mask(delta, block_lsb_mask(macs[i])));
      wrong += (keys[i].lo & 1) || want.lo != macs[i].lo || want.hi != macs[i].hi;
      ones += macs[i].lo & 1;
    }
    assert_int_equal(wrong, 0);
    if (ends[0].takes[t].count > 10000) {
      assert_true(ones > ends[0].takes[t].count * 47 / 100 && ones < ends[0].takes[t].count * 53 / 100);
    }
  }
}

static const struct tamper honest = {.position = UINT64_MAX};

/* Sizes around the stock's ends: none, one, a stock exactly, more than two stocks at once. */
static void cot_silent__many_refills_in_both_directions(void **state) {
  (void)state;
  const struct silent_params params = {
      .profile = SILENT_LAN, .expected_server_sends = 2000000, .expected_client_sends = 1};
  struct silent_schedule schedule = silent_schedule_start(&params);
  silent_schedule_refill(&schedule, (const bool[]){false, true});
  const size_t stock = schedule.supply[ROLE_CLIENT].ready;
  const struct take takes[] = {{ROLE_SERVER, 1},
                               {ROLE_CLIENT, 12345},
                               {ROLE_SERVER, 0},
                               {ROLE_SERVER, 2 * stock + 7},
                               {ROLE_CLIENT, stock - 12345},
                               {ROLE_CLIENT, 1},
                               {ROLE_SERVER, 33333},
                               {ROLE_CLIENT, 777777}};
  const size_t n = sizeof takes / sizeof *takes;
  struct end ends[2];
  struct cost cost = {0};
  struct cot_cost model;
  run(ends, &params, takes, n, test_seed(), honest);
  assert_ok(ends[0].status);
  assert_ok(ends[1].status);
  assert_true(ends[0].session == ends[1].session);
  check_takes(ends);

  cot_open_silent_cost(&cost, &model, &params);
  assert_int_equal(ends[ROLE_SERVER].opened.bytes_sent, cost.bytes_to_client);
  assert_int_equal(ends[ROLE_CLIENT].opened.bytes_sent, cost.bytes_to_server);
  for (size_t t = 0; t < n; t++) cost_take_cots(&cost, takes[t].sender, takes[t].count);
  assert_int_equal(ends[ROLE_SERVER].ended.bytes_sent, cost.bytes_to_client);
  assert_int_equal(ends[ROLE_CLIENT].ended.bytes_sent, cost.bytes_to_server);
  assert_int_equal(ends[ROLE_SERVER].ended.messages_sent, cost.messages_to_client);
  assert_int_equal(ends[ROLE_CLIENT].ended.messages_sent, cost.messages_to_server);
  assert_int_equal(ends[ROLE_SERVER].ended.depth, cost.depth_server);
  assert_int_equal(ends[ROLE_CLIENT].ended.depth, cost.depth_client);
  assert_int_equal(model.schedule.supply[ROLE_SERVER].iterations, 4);
  /* Past the expectation: from SoftSpoken again, then from what is held back. */
  assert_int_equal(model.schedule.supply[ROLE_CLIENT].iterations, 3);
  assert_int_equal(cost.cots_server_sends, 2 * stock + 7 + 1 + 33333);
  release(ends);
}

static void check_later(const struct silent_params *params) {
  const struct take takes[] = {{ROLE_SERVER, 70000}, {ROLE_CLIENT, 1000}, {ROLE_SERVER, 20000}};
  struct end at_once[2], later[2], given_up[2];
  struct end common = {.params = params, .takes = takes, .take_count = 3, .seed = test_seed()};
  struct cost cost = {0};
  struct cot_cost model;
  run_ends(at_once, common, honest);
  common.deferred = true;
  run_ends(later, common, honest);
  common.take_count = 0; /* and never completed */
  run_ends(given_up, common, honest);
  for (int i = 0; i < 2; i++) {
    assert_ok(at_once[i].status);
    assert_ok(later[i].status);
    assert_true(later[i].delta.lo == at_once[i].delta.lo && later[i].delta.hi == at_once[i].delta.hi);
    assert_int_equal(later[i].ended.bytes_sent, at_once[i].ended.bytes_sent + CHANNEL_HEADER_LEN + OTHER_LEN);
  }
  check_takes(later);
  assert_int_equal(later[ROLE_CLIENT].opened.bytes_sent, CHANNEL_HEADER_LEN + COT_NONCE_LEN);
  assert_int_equal(later[ROLE_SERVER].opened.bytes_sent, at_once[ROLE_SERVER].opened.bytes_sent);
  assert_ok(given_up[ROLE_CLIENT].status); /* the server may find that it has left */
  assert_int_equal(given_up[ROLE_CLIENT].ended.bytes_sent, CHANNEL_HEADER_LEN + COT_NONCE_LEN);
  cot_open_silent_cost(&cost, &model, params);
  cost_to_server(&cost, OTHER_LEN);
  cost_to_client(&cost, OTHER_LEN);
  for (size_t t = 0; t < 3; t++) cost_take_cots(&cost, takes[t].sender, takes[t].count);
  assert_int_equal(later[ROLE_SERVER].ended.bytes_sent, cost.bytes_to_client);
  assert_int_equal(later[ROLE_CLIENT].ended.bytes_sent, cost.bytes_to_server);
  assert_int_equal(later[ROLE_SERVER].ended.messages_sent, cost.messages_to_client);
  assert_int_equal(later[ROLE_CLIENT].ended.messages_sent, cost.messages_to_server);
  assert_int_equal(later[ROLE_SERVER].ended.depth, cost.depth_server);
  assert_int_equal(later[ROLE_CLIENT].ended.depth, cost.depth_client);
  release(at_once);
  release(later);
  release(given_up);
}

/* The opening sends nonces and the server's points; all else follows, the same bytes as in one go, also where both
 * directions begin before their first takes. */
static void cot_silent__completed_later_is_the_same(void **state) {
  (void)state;
  struct silent_params params = {.profile = SILENT_LAN, .expected_server_sends = 90000, .expected_client_sends = 1000};
  check_later(&params);
  params.begun_early = true;
  check_later(&params);
  params.expected_server_sends = 0;
  check_later(&params);
}

/* Without an expectation the profile's own set takes over after the first iteration. */
static void cot_silent__profiles_and_their_declared_cost(void **state) {
  (void)state;
  for (enum silent_profile profile = SILENT_LAN; profile <= SILENT_WAN; profile++) {
    const struct silent_params params = {.profile = profile};
    const struct take takes[] = {{ROLE_CLIENT, 800000}, {ROLE_CLIENT, 400000}};
    struct end ends[2];
    struct cost cost = {0};
    struct cot_cost model;
    run(ends, &params, takes, 2, test_seed(), honest);
    assert_ok(ends[0].status);
    assert_ok(ends[1].status);
    check_takes(ends);
    cot_open_silent_cost(&cost, &model, &params);
    for (size_t t = 0; t < 2; t++) cost_take_cots(&cost, takes[t].sender, takes[t].count);
    assert_int_equal(ends[ROLE_SERVER].ended.bytes_sent, cost.bytes_to_client);
    assert_int_equal(ends[ROLE_CLIENT].ended.bytes_sent, cost.bytes_to_server);
    assert_int_equal(ends[ROLE_CLIENT].ended.depth, cost.depth_client);
    /* `wan` starts from more, so that its first batch adds less. */
    assert_int_equal(model.schedule.supply[ROLE_CLIENT].iterations, profile == SILENT_WAN ? 3 : 2);
    assert_int_equal(model.schedule.supply[ROLE_SERVER].iterations, 0);
    release(ends);
  }
}

static void cot_silent__seeds_determine_the_session(void **state) {
  (void)state;
  const struct silent_params params = {.profile = SILENT_LAN, .expected_client_sends = 1, .expected_server_sends = 1};
  const struct take takes[] = {{ROLE_SERVER, 100}, {ROLE_CLIENT, 100}};
  struct end first[2], again[2], another[2];
  run(first, &params, takes, 2, 7, honest);
  run(again, &params, takes, 2, 7, honest);
  run(another, &params, takes, 2, 8, honest);
  for (int i = 0; i < 2; i++) {
    assert_ok(first[i].status);
    for (size_t t = 0; t < 2; t++) {
      assert_memory_equal(first[i].got[t], again[i].got[t], 100 * sizeof(block));
      assert_memory_not_equal(first[i].got[t], another[i].got[t], 100 * sizeof(block));
    }
  }
  assert_true(first[0].session != another[0].session);
  release(first);
  release(again);
  release(another);
}

/* A corrupted correction in the first iteration: the take fails, and so does every later one. */
static void cot_silent__a_failed_refill_hands_out_nothing(void **state) {
  (void)state;
  const struct silent_params params = {.profile = SILENT_LAN, .expected_client_sends = 1, .expected_server_sends = 1};
  const struct take takes[] = {{ROLE_SERVER, 100}};
  struct cost cost = {0};
  struct cot_cost model;
  struct end ends[2];
  cot_open_silent_cost(&cost, &model, &params);
  const struct tamper tamper = {
      .who = ROLE_SERVER, .position = cost.bytes_to_client + CHANNEL_HEADER_LEN + 1000, .flip = 4};
  run(ends, &params, takes, 1, 9, tamper);
  assert_int_equal(ends[ROLE_CLIENT].status, FUSION_E_CRYPTO);
  for (size_t i = 0; i < 100; i++) assert_true(!ends[ROLE_CLIENT].got[0][i].lo && !ends[ROLE_CLIENT].got[0][i].hi);
  release(ends);
}

/* Takes of all sizes, beyond what is expected. */
static size_t random_takes(struct take *takes, size_t most, const struct silent_params *params, uint64_t *random) {
  enum { UNKNOWN = 1200000 };
  uint64_t left[2] = {params->expected_server_sends, params->expected_client_sends};
  size_t n = 0;
  if (!left[0] && !left[1]) left[0] = left[1] = UNKNOWN;
  for (; n + 2 < most && left[0] + left[1]; n++) {
    const enum role sender = !left[0] || (left[1] && test_random(random) % 3 == 0) ? ROLE_CLIENT : ROLE_SERVER;
    const uint64_t bound = UINT64_C(1) << (4 + test_random(random) % 15), count = 1 + test_random(random) % bound;
    takes[n] = (struct take){sender, (size_t)(count < left[sender] ? count : left[sender])};
    left[sender] -= takes[n].count;
  }
  for (int r = 0; r < 2; r++) takes[n++] = (struct take){(enum role)r, (size_t)left[r] + 100000};
  return n;
}

static void expect_same(const struct end ends[2], const struct end wanted[2]) {
  for (int i = 0; i < 2; i++) {
    assert_ok(ends[i].status);
    assert_false(ends[i].told);
    assert_true(same_stats(ends[i].ended, wanted[i].ended));
    for (size_t t = 0; t < ends[i].take_count; t++) {
      assert_int_equal(ends[i].indices[t], wanted[i].indices[t]);
      assert_memory_equal(ends[i].got[t], wanted[i].got[t], ends[i].takes[t].count * sizeof(block));
    }
  }
}

static void expect_declared(const struct end ends[2]) {
  struct cost cost = {0};
  struct cot_cost model;
  cot_open_silent_cost(&cost, &model, ends[0].params);
  for (size_t t = 0; t < ends[0].take_count; t++) {
    if (ends[0].postponed) cost_postpone_check(&cost);
    cost_take_cots(&cost, ends[0].takes[t].sender, ends[0].takes[t].count);
    if (ends[0].postponed) cost_settle_check(&cost);
  }
  assert_int_equal(ends[ROLE_SERVER].ended.bytes_sent, cost.bytes_to_client);
  assert_int_equal(ends[ROLE_CLIENT].ended.bytes_sent, cost.bytes_to_server);
  assert_int_equal(ends[ROLE_SERVER].ended.depth, cost.depth_server);
  assert_int_equal(ends[ROLE_CLIENT].ended.depth, cost.depth_client);
}

/* Little or much grown ahead, at one party or both, between takes, in the waits of refills, which one direction joins
 * in with a part of its stock, and while a check is out: the same correlations, in the same messages. */
static void work_ahead__changes_nothing_that_is_taken(void **state) {
  (void)state;
  enum { TAKES_MAX = 90 };
  static const struct silent_params sessions[] = {
      {.profile = SILENT_LAN, .expected_server_sends = 2000000, .expected_client_sends = 300000},
      {.profile = SILENT_WAN, .expected_server_sends = 20000, .expected_client_sends = 900000},
      {.profile = SILENT_LAN}};
  static const size_t patterns[][2] = {{3, 0}, {3, 60}, {ALL, 400}, {ALL, ALL}, {0, 70}};
  size_t waited = 0;
  for (size_t s = 0; s < sizeof sessions / sizeof *sessions; s++) {
    uint64_t random = test_seed();
    struct take takes[TAKES_MAX];
    struct end wanted[2], ends[2];
    struct end common = {.params = &sessions[s], .takes = takes, .seed = random, .postponed = s != 1};
    common.take_count = random_takes(takes, TAKES_MAX, &sessions[s], &random);
    run_ends(wanted, common, honest);
    expect_same(wanted, wanted);
    expect_declared(wanted);
    check_takes(wanted);
    for (size_t p = 0; p < sizeof patterns / sizeof *patterns; p++) {
      memcpy(common.ahead, patterns[p], sizeof common.ahead);
      common.waits = p % 2;
      run_ends(ends, common, honest);
      expect_same(ends, wanted);
      waited += ends[ROLE_SERVER].waited + ends[ROLE_CLIENT].waited;
      release(ends);
    }
    release(wanted);
  }
  assert_in_range(waited, 100, ALL);
}

/* Nothing before the first batch; then 4 MiB of a direction, or all that it is expected to give; nothing behind that,
 * and no tree that is held back. */
static void work_ahead__ends(void **state) {
  (void)state;
  enum { SERVER = 3000000, CLIENT = 50000, SERVER_UNIT = 4 << 9, CLIENT_UNIT = 1 << 9 };
  const struct silent_params params = {
      .profile = SILENT_LAN, .expected_server_sends = SERVER, .expected_client_sends = CLIENT};
  const struct take takes[] = {{ROLE_SERVER, 1},
                               {ROLE_CLIENT, CLIENT - 1},
                               {ROLE_SERVER, 10 * SERVER_UNIT},
                               {ROLE_SERVER, SERVER - 1 - 10 * SERVER_UNIT - 700},
                               {ROLE_SERVER, 700},
                               {ROLE_CLIENT, 1}};
  struct end ends[2];
  run_ends(ends,
           (struct end){.params = &params, .takes = takes, .take_count = 6, .seed = test_seed(), .ahead = {ALL, ALL}},
           honest);
  for (int i = 0; i < 2; i++) {
    const size_t *worked = ends[i].worked;
    assert_ok(ends[i].status);
    assert_false(ends[i].told);
    assert_int_equal(worked[0], 0);
    /* The first one took a unit's first correlation. */
    assert_int_equal(worked[1], SILENT_AHEAD_MAX / SERVER_UNIT - 1 + div_up(CLIENT, CLIENT_UNIT));
    assert_int_equal(worked[2], 0);
    assert_in_range(worked[3], 9, 10);
    assert_in_range(worked[4], 0, 1);
    assert_int_equal(worked[5], 0);
    assert_int_equal(worked[6], 0);
  }
  check_takes(ends);
  release(ends);
}

/* Both directions have grown ahead when a refill's corrections turn out to be wrong. */
static void work_ahead__ends_with_a_failed_refill(void **state) {
  (void)state;
  enum { UNIT = 1 << 9 };
  const struct silent_params params = {.profile = SILENT_LAN};
  const struct take takes[] = {{ROLE_SERVER, 100}, {ROLE_CLIENT, 100}, {ROLE_CLIENT, 100}, {ROLE_SERVER, 800000}};
  struct cost cost = {0};
  struct cot_cost model;
  struct end ends[2];
  cot_open_silent_cost(&cost, &model, &params);
  for (size_t t = 0; t < 3; t++) cost_take_cots(&cost, takes[t].sender, takes[t].count);
  assert_in_range(model.schedule.supply[ROLE_SERVER].ready, SILENT_AHEAD_MAX, 799999);
  const struct tamper tamper = {
      .who = ROLE_SERVER, .position = cost.bytes_to_client + CHANNEL_HEADER_LEN + 1000, .flip = 4};
  for (int postponed = 0; postponed < 2; postponed++) {
    const struct end common = {.params = &params,
                               .takes = takes,
                               .take_count = 4,
                               .seed = test_seed(),
                               .postponed = postponed,
                               .ahead = {ALL, ALL}};
    run_ends(ends, common, tamper);
    assert_int_equal(ends[ROLE_CLIENT].status, FUSION_E_CRYPTO);
    const size_t *worked = ends[ROLE_CLIENT].worked;
    assert_int_equal(worked[0] + worked[1] + worked[2], 2 * (SILENT_AHEAD_MAX / UNIT - 1));
    assert_int_equal(worked[4], 0);
    release(ends);
  }
}

/* Numbers in, in pieces of many lengths; they come out in order, in any portions, and are gone then. */
static void grown__first_in_first_out_and_wiped(void **state) {
  (void)state;
  enum { ROOM = 1000, PIECE_MAX = 250, LARGER = 1500, STEPS = 20000 };
  uint64_t random = test_seed(), in = 1, out = 1;
  struct grown g = {0};
  block got[LARGER];
  assert_int_equal(grown_take(&g, got, LARGER), 0);
  assert_null(grown_add(&g, 1));
  assert_true(grown_widen(&g, NULL, ROOM));
  for (size_t step = 0; step < STEPS; step++) {
    const size_t count = 1 + test_random(&random) % PIECE_MAX;
    if (step == STEPS / 2) assert_true(grown_widen(&g, NULL, LARGER));
    if (test_random(&random) % 2) {
      block *piece = grown_add(&g, count);
      if (!piece) assert_true(grown_left(&g) + 2 * PIECE_MAX > g.room);
      for (size_t i = 0; piece && i < count; i++) {
        piece[i] = block_make(in, in + 1);
        in++;
      }
    } else {
      const size_t n = grown_take(&g, got, count);
      assert_true(n <= count && (n || in == out));
      for (size_t i = 0; i < n; i++, out++) assert_true(got[i].hi == out && got[i].lo == out + 1);
    }
    assert_int_equal(grown_left(&g), in - out);
    size_t held = 0;
    for (size_t i = 0; i < g.room; i++) held += g.blocks[i].hi != 0;
    assert_int_equal(held, in - out);
  }
  assert_true(in > 100 * ROOM);
  grown_close(&g, NULL);
}

/* Takes `count` of a direction by the rule alone; how many refills that makes. */
static size_t schedule_take(struct silent_schedule *s, enum role sender, uint64_t count) {
  struct silent_supply *d = &s->supply[sender];
  size_t refills = 0;
  while (d->ready < count) {
    bool joins[2];
    count -= d->ready;
    d->ready = 0;
    silent_schedule_joins(s, sender, joins);
    silent_schedule_refill(s, joins);
    refills++;
  }
  d->ready -= count;
  return refills;
}

static void schedule__makes_what_is_expected_and_little_more(void **state) {
  (void)state;
  static const struct {
    enum silent_profile profile;
    uint64_t expected;
    size_t refills, iterations;
    const struct silent_set *last;
  } cases[] = {{SILENT_LAN, 100000, 1, 1, &silent_set_lan},   {SILENT_LAN, 786432, 1, 1, &silent_set_lan},
               {SILENT_LAN, 786433, 1, 2, &silent_set_lan},   {SILENT_LAN, 1572864, 1, 2, &silent_set_lan},
               {SILENT_LAN, 1572865, 2, 3, &silent_set_lan},  {SILENT_LAN, 5000000, 2, 8, &silent_set_lan},
               {SILENT_LAN, 60000000, 8, 0, &silent_set_lan}, {SILENT_WAN, 700000, 1, 1, &silent_set_lan},
               {SILENT_WAN, 1000000, 2, 2, &silent_set_wan},  {SILENT_WAN, 7500000, 2, 3, &silent_set_wan},
               {SILENT_WAN, 60000000, 7, 0, &silent_set_wan}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const struct silent_params params = {.profile = cases[i].profile, .expected_server_sends = cases[i].expected};
    struct silent_schedule s = silent_schedule_start(&params);
    const struct silent_supply *d = &s.supply[ROLE_SERVER];
    assert_in_range(schedule_take(&s, ROLE_SERVER, cases[i].expected), 1, cases[i].refills);
    if (cases[i].iterations) assert_int_equal(d->iterations, cases[i].iterations);
    assert_string_equal(d->made.name, cases[i].last->name);
    assert_true(d->made.trees <= cases[i].last->trees);
    assert_true(d->ready < 10000 + d->made_count * silent_set_outputs(&d->made) / 100);
    assert_int_equal(s.supply[ROLE_CLIENT].iterations, 0);
  }
}

/* Whatever is expected and taken: batches fit their bounds, and no more iterations run than the job asks for. */
static void schedule__few_refills_and_none_in_vain(void **state) {
  (void)state;
  uint64_t random = test_seed();
  for (int round = 0; round < 300; round++) {
    const uint64_t bound = UINT64_C(1) << (10 + test_random(&random) % 20);
    const struct silent_params params = {.profile = (enum silent_profile)(round % 2),
                                         .expected_server_sends = 1 + test_random(&random) % bound,
                                         .expected_client_sends = 1 + test_random(&random) % bound};
    const uint64_t expected[2] = {params.expected_server_sends, params.expected_client_sends};
    struct silent_schedule s = silent_schedule_start(&params);
    size_t refills = 0;
    /* In steps of a sixtieth, as a session of many shards would. */
    for (uint64_t step = 0; step < 60; step++) {
      for (int r = 0; r < 2; r++) {
        refills += schedule_take(&s, (enum role)r, expected[r] * (step + 1) / 60 - expected[r] * step / 60);
      }
    }
    for (int r = 0; r < 2; r++) {
      const struct silent_supply *d = &s.supply[r];
      /* What rounding to whole trees and the least number of them may leave over. */
      assert_true(d->ready <= (UINT64_C(128) << d->made.depth) + 20000 + expected[r] / 100);
      assert_true(d->next <= d->set.batch && d->made_count <= d->made.batch);
    }
    const uint64_t larger = expected[0] > expected[1] ? expected[0] : expected[1];
    assert_true(refills <= 4 + larger / (10 * silent_set_outputs(&silent_set_lan)));
  }
}

/* What a party ends up with if its expectation was wrong: batches grow, and little is left over. */
/* Bytes of corrections, challenges and digests of the server's next batch, and then moves past it. */
static uint64_t batch_bytes(struct silent_schedule *s, bool chained) {
  const struct silent_supply *d = &s->supply[ROLE_SERVER];
  const struct silent_part parts[2] = {{.set = &d->set, .count = d->next, .chained = chained}, {.set = &d->set}};
  struct silent_settled settled = {0};
  struct cost cost = {0};
  silent_iterate_cost(&cost, parts, &settled);
  silent_schedule_refill(s, (const bool[]){true, false});
  return cost.bytes_to_client;
}

/* Bytes to the client that taking all that is there, and one more, declares. */
static uint64_t declared_bytes(struct cost *cost, struct cot_cost *model) {
  const uint64_t before = cost->bytes_to_client;
  cost_take_cots(cost, ROLE_SERVER, model->schedule.supply[ROLE_SERVER].ready + 1);
  return cost->bytes_to_client - before;
}

/* Trees grow from given roots where their base was held back, and only there: a first batch, and one behind all that
 * was expected, start from SoftSpoken, whose macs a cheating receiver can choose. */
static void chained__only_batches_that_were_held_back(void **state) {
  (void)state;
  const struct silent_params params = {.profile = SILENT_LAN, .expected_server_sends = 3000000};
  struct silent_schedule s = silent_schedule_start(&params);
  struct cot_cost model;
  struct cost cost = {0};
  cot_open_silent_cost(&cost, &model, &params);
  assert_false(s.supply[ROLE_SERVER].held);
  const uint64_t first = batch_bytes(&s, false);
  assert_true(s.supply[ROLE_SERVER].held && !s.supply[ROLE_SERVER].ready); /* so the take goes on to the next */
  assert_int_equal(declared_bytes(&cost, &model), first + batch_bytes(&s, true));
  assert_false(s.supply[ROLE_SERVER].held);
  struct cost again = {0};
  softspoken_extend_cost(&again, SILENT_FIELD_BITS, ROLE_SERVER, silent_supply_base(&s.supply[ROLE_SERVER]));
  assert_int_equal(declared_bytes(&cost, &model), batch_bytes(&s, false) + again.bytes_to_client);
}

static void schedule__grows_beyond_the_expectation(void **state) {
  (void)state;
  const struct silent_params params = {.profile = SILENT_LAN};
  struct silent_schedule s = silent_schedule_start(&params);
  const uint64_t taken = 100000000;
  size_t refills = 0;
  for (uint64_t i = 0; i < 1000; i++) refills += schedule_take(&s, ROLE_CLIENT, taken / 1000);
  assert_in_range(refills, 8, 18);
  assert_true(s.supply[ROLE_CLIENT].released < taken + taken / 2);
  assert_int_equal(s.supply[ROLE_SERVER].iterations, 0);
}

/* All corrections of a flight, both ways at once, stay below what may be in flight. */
static void schedule__batches_fit_an_exchange(void **state) {
  (void)state;
  const struct silent_set *const sets[] = {&silent_set_lan, &silent_set_wan};
  for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
    const size_t one = (size_t)sets[i]->trees * sets[i]->depth * sizeof(block);
    assert_in_range(sets[i]->batch * silent_set_base(sets[i]) * sizeof(block), 1, 20 << 20);
    assert_true(sets[i]->batch * (one + one / 64) < CHANNEL_EXCHANGE_MAX / 4);
  }
}

static void cot_silent__memory_stays_small(void **state) {
  (void)state;
  const struct silent_params small = {
      .profile = SILENT_LAN, .expected_server_sends = 100000, .expected_client_sends = 100000};
  /* Two directions of two iterations in flight, each with a vector of 1 MiB, and as much again while they are joined.
   */
  assert_true(cot_silent_memory(&small) < (size_t)24 << 20);
  assert_true(cot_silent_memory(&(struct silent_params){.profile = SILENT_LAN}) < (size_t)80 << 20);
  assert_true(cot_silent_memory(&(struct silent_params){.profile = SILENT_WAN}) < (size_t)96 << 20);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(cot_silent__many_refills_in_both_directions),
      cmocka_unit_test(cot_silent__completed_later_is_the_same),
      cmocka_unit_test(cot_silent__profiles_and_their_declared_cost),
      cmocka_unit_test(cot_silent__seeds_determine_the_session),
      cmocka_unit_test(cot_silent__a_failed_refill_hands_out_nothing),
      cmocka_unit_test(work_ahead__changes_nothing_that_is_taken),
      cmocka_unit_test(work_ahead__ends),
      cmocka_unit_test(work_ahead__ends_with_a_failed_refill),
      cmocka_unit_test(grown__first_in_first_out_and_wiped),
      cmocka_unit_test(cot_silent__memory_stays_small),
      cmocka_unit_test(schedule__makes_what_is_expected_and_little_more),
      cmocka_unit_test(schedule__few_refills_and_none_in_vain),
      cmocka_unit_test(chained__only_batches_that_were_held_back),
      cmocka_unit_test(schedule__grows_beyond_the_expectation),
      cmocka_unit_test(schedule__batches_fit_an_exchange),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
