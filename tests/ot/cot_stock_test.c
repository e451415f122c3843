/* Correlations made ahead: what is restored fits together, in both kinds and sets; what a stock may not do. */
#include "silent/cot_stock.h"
#include "base/memory_stream.h"
#include "support/support.h"

enum { DIRECTIONS = 2 };

/* One party: it makes a stock, then takes all of it. */
struct end {
  struct channel *channel;
  enum role role;
  const struct cot_stock_plan *plan;
  struct memory_stream stock;
  struct heap *heap;
  struct cot *cot; /* restored; the test closes it */
  block *got[DIRECTIONS];
  size_t counts[DIRECTIONS];
  fusion_status status;
};

static fusion_status take(struct end *e, enum role sender, block *out, size_t count) {
  return sender == e->role ? cot_take_sender(e->cot, out, count, NULL) : cot_take_receiver(e->cot, out, count, NULL);
}

static void *make(void *arg) {
  struct end *e = arg;
  struct prg *prg = NULL;
  e->status = prg_new_random(&prg);
  const struct cot_opening opening = {.role = e->role, .channel = e->channel, .heap = e->heap, .prg = prg};
  if (e->status == FUSION_OK) e->status = cot_stock_make(&opening, e->plan, &e->stock.stream);
  if (e->status == FUSION_OK) e->status = channel_flush(e->channel);
  prg_free(prg);
  return NULL;
}

static fusion_status restore(struct end *e) {
  const struct cot_opening opening = {.role = e->role, .channel = e->channel, .heap = e->heap};
  return cot_stock_open(&e->cot, &opening, &e->stock.stream);
}

static void begin(struct end ends[2], const struct cot_stock_plan *plan) {
  for (int i = 0; i < 2; i++) {
    ends[i] = (struct end){.role = (enum role)i, .plan = plan, .heap = heap_new()};
    ends[i].counts[ROLE_SERVER] = (size_t)plan->params.expected_server_sends;
    ends[i].counts[ROLE_CLIENT] = (size_t)plan->params.expected_client_sends;
    memory_stream_open(&ends[i].stock);
    for (int d = 0; d < DIRECTIONS; d++) ends[i].got[d] = mem_alloc(ends[i].counts[d] + 1, sizeof(block));
  }
  assert_ok(channel_pipe(&ends[0].channel, &ends[1].channel));
  test_run_both(make, &ends[0], make, &ends[1]);
  assert_ok(ends[0].status);
  assert_ok(ends[1].status);
}

static void finish(struct end ends[2]) {
  for (int i = 0; i < 2; i++) {
    cot_close(ends[i].cot);
    memory_stream_close(&ends[i].stock);
    for (int d = 0; d < DIRECTIONS; d++) mem_free(ends[i].got[d]);
    heap_free(ends[i].heap);
    channel_close(ends[i].channel);
  }
}

static void expect_declared(const struct end ends[2], const struct cot_stock_plan *plan) {
  struct cost cost = {0};
  cot_stock_cost(&cost, plan);
  const struct channel_stats server = channel_get_stats(ends[0].channel), client = channel_get_stats(ends[1].channel);
  assert_int_equal(server.bytes_sent, cost.bytes_to_client);
  assert_int_equal(client.bytes_sent, cost.bytes_to_server);
  assert_int_equal(server.depth, cost.depth_server);
  assert_int_equal(client.depth, cost.depth_client);
  assert_int_equal(ends[0].stock.len, cost.prepared_server);
  assert_int_equal(ends[1].stock.len, cost.prepared_client);
}

/* M_i = K_i ^ x_i * Delta, with about half of the bits set. */
static void expect_correlated(const struct end ends[2], enum role sender) {
  const block *keys = ends[sender].got[sender], *macs = ends[role_peer(sender)].got[sender];
  const block delta = ends[sender].cot->delta;
  size_t ones = 0;
  for (size_t i = 0; i < ends[0].counts[sender]; i++) {
    const uint64_t bit = macs[i].lo & 1;
    const block due = block_xor(keys[i], block_and_mask(delta, (uint64_t)0 - bit));
    if (due.lo != macs[i].lo || due.hi != macs[i].hi || (keys[i].lo & 1)) fail_msg("correlation %zu is none", i);
    ones += bit;
  }
  assert_in_range(ones, ends[0].counts[sender] * 2 / 5, ends[0].counts[sender] * 3 / 5);
}

static const struct cot_stock_plan plans[] = {
    {.params = {SILENT_LAN, 1000, 30000, false},
     .stream_params = {.field_bits = 8, .expected = {1000, 30000}},
     .stream = true},
    {.params = {SILENT_LAN, 20000, 0, false}, .stream_params = {.expected = {20000, 0}}, .stream = true},
    /* Several chunks at once, and more than was expected. */
    {.params = {SILENT_LAN, 70000, 50000, false},
     .stream_params = {.field_bits = 8, .expected = {70000, 20000}},
     .stream = true},
    {.params = {SILENT_LAN, 500000, 2500000, false}},
    {.params = {SILENT_LAN, 0, 900000, false}},
    {.params = {SILENT_WAN, 6000000, 1000, false}},
};

static void cot_stock__what_is_restored_is_correlated(void **state) {
  (void)state;
  for (size_t p = 0; p < sizeof plans / sizeof *plans; p++) {
    struct end ends[2];
    begin(ends, &plans[p]);
    expect_declared(ends, &plans[p]);
    const struct channel_stats made = channel_get_stats(ends[0].channel);
    size_t worked = 0;
    for (int i = 0; i < 2; i++) {
      assert_ok(restore(&ends[i]));
      assert_int_equal(ends[i].stock.at, ends[i].stock.len);
      /* In parts, as gates take them: of trees, and of less than one. The client grows ahead, now little, now much. */
      for (int d = 0; d < DIRECTIONS; d++)
        for (size_t at = 0, n; at < ends[i].counts[d]; at += n) {
          n = size_min(ends[i].counts[d] - at, 1 + at * 7 % 9001);
          for (size_t calls = i == ROLE_CLIENT ? at * 5 % 71 : 0; calls && cot_work_ahead(ends[i].cot); calls--)
            worked++;
          assert_ok(take(&ends[i], (enum role)d, ends[i].got[d] + at, n));
        }
    }
    assert_int_equal(ends[0].cot->session, ends[1].cot->session);
    assert_true(plans[p].stream ? !worked : worked > 100);
    assert_false(cot_work_ahead(ends[ROLE_CLIENT].cot)); /* all is taken */
    for (int d = 0; d < DIRECTIONS; d++) expect_correlated(ends, (enum role)d);
    assert_int_equal(channel_get_stats(ends[0].channel).bytes_sent, made.bytes_sent); /* taking sends nothing */
    finish(ends);
  }
}

static void cot_stock__there_is_no_more_than_was_planned(void **state) {
  (void)state;
  for (size_t p = 0; p < 4; p += 3) {
    struct end ends[2];
    begin(ends, &plans[p]);
    assert_ok(restore(&ends[0]));
    assert_ok(take(&ends[0], ROLE_SERVER, ends[0].got[ROLE_SERVER], ends[0].counts[ROLE_SERVER]));
    assert_int_equal(take(&ends[0], ROLE_SERVER, ends[0].got[ROLE_SERVER], 1), FUSION_E_INTERNAL);
    assert_string_equal(channel_error(ends[0].channel)->text, "a prepared run is out of correlations");
    finish(ends);
  }
}

/* The words before the secrets: whatever they say, nothing beyond the bytes is read and no memory is asked for in vain.
 */
static void cot_stock__hostile_heads_are_refused(void **state) {
  (void)state;
  enum { DELTA_WORDS = 2, SESSION = 2, FIRST_STORE = 8, STORE_NUMBER = 14, WORDS = 16 };
  static const uint64_t values[] = {0, 3, UINT64_C(1) << 33, UINT64_MAX};
  struct end ends[2];
  begin(ends, &plans[4]);
  struct end *e = &ends[ROLE_CLIENT];
  for (size_t word = DELTA_WORDS; word < WORDS; word++)
    for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
      uint64_t kept;
      memcpy(&kept, e->stock.data + word * sizeof kept, sizeof kept);
      memcpy(e->stock.data + word * sizeof kept, &values[v], sizeof kept);
      e->stock.at = 0;
      const fusion_status status = restore(e);
      /* Fewer than there are will do; the session and an iteration's number are any. */
      const bool any = word == SESSION || word == STORE_NUMBER || kept == values[v];
      const bool fewer = word == 4 && values[v] < 4;
      if (any || fewer)
        assert_ok(status);
      else if (status == FUSION_OK && e->stock.at == e->stock.len)
        assert_true(word >= FIRST_STORE); /* fewer trees or members: other correlations */
      cot_close(e->cot);
      e->cot = NULL;
      memcpy(e->stock.data + word * sizeof kept, &kept, sizeof kept);
    }
  finish(ends);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(cot_stock__what_is_restored_is_correlated),
      cmocka_unit_test(cot_stock__there_is_no_more_than_was_planned),
      cmocka_unit_test(cot_stock__hostile_heads_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
