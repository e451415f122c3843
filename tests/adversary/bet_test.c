/* Bets on the client's secrets inside the oblivious transfers, with everything that follows made to fit the guess: the
 * most that a server can do there. A bet that is lost fails the client's check, and ends the session with a
 * cryptographic error; one that is won goes unseen, and tells what was guessed. Whole sessions, on the real protocols.
 *
 * - On Delta (SoftSpoken, the server as receiver): another choice bit in one tree than in the others, and the answer to
 *   the check that is right if the guess of Delta's bits at that tree is. 4 bits a tree.
 * - On a noise position (silent OT, the server as sender): the last level's correction of one tree is off, and so are
 * the client's two leaves there; the digest is that of a client with the guessed hole. Depth less 1 bits a tree: the
 * two leaves of the last level look alike to it.
 *
 * The program is linked so that these functions pass through here. The server's calls (threads that serve a listener's
 * connections) are altered; the client's are only looked at, so that a bet can be won that chance wins once in a
 * thousand jobs. FUSION_TEST_ENGINE chooses the engine. usage: bet [brief|short|long] */
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "adversary/scene.h"
#include "base/cpu_tier.h"
#include "ot/softspoken_internal.h"
#include "silent/silent.h"
#include "silent/silent_field_kernels.h"
#include "support/support.h"

enum kind { BET_DELTA, BET_NOISE, BET_KINDS };
enum luck { LUCK_WON, LUCK_LOST, LUCK_CHANCE, LUCKS };
enum { TREE = 3 };

static struct {
  pthread_mutex_t lock;
  enum kind kind;
  enum luck luck;
  uint64_t random;
  unsigned bits;
  bool armed, placed, won;
  bool known; /* the client's secret: */
  uint32_t delta;
  uint64_t hole;
} bet = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The first time in a session, on the server, for this kind of bet. */
static bool place(enum kind kind) {
  if (!cheat_on_server()) return false;
  pthread_mutex_lock(&bet.lock);
  const bool mine = bet.armed && bet.kind == kind && !bet.placed;
  bet.placed = bet.placed || mine;
  pthread_mutex_unlock(&bet.lock);
  return mine;
}

static void tell(uint32_t delta, uint64_t hole) {
  pthread_mutex_lock(&bet.lock);
  if (!bet.known) {
    bet.delta = delta;
    bet.hole = hole;
    bet.known = bet.armed;
  }
  pthread_mutex_unlock(&bet.lock);
}

/* A guess of `bits` bits: right, wrong or by chance. */
static uint64_t guess(unsigned bits) {
  const uint64_t mask = (UINT64_C(1) << bits) - 1;
  for (int tries = 0; tries < 5000; tries++) {
    pthread_mutex_lock(&bet.lock);
    const bool known = bet.known;
    pthread_mutex_unlock(&bet.lock);
    if (known) break;
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  }
  assert_true(bet.known);
  const uint64_t right = (bet.kind == BET_DELTA ? bet.delta : bet.hole) & mask, chance = test_random(&bet.random);
  uint64_t taken = chance & mask;
  if (bet.luck == LUCK_WON) taken = right;
  if (bet.luck == LUCK_LOST) taken = right ^ (1 + chance % mask);
  bet.bits = bits;
  bet.won = taken == right;
  return taken;
}

/* ---- on Delta ---- */

block __real_softspoken_delta(const struct softspoken_sender *s);
block __wrap_softspoken_delta(const struct softspoken_sender *s);
fusion_status __real_softspoken_receive(struct softspoken_receiver *r, block *macs, size_t count);
fusion_status __wrap_softspoken_receive(struct softspoken_receiver *r, block *macs, size_t count);

block __wrap_softspoken_delta(const struct softspoken_sender *s) {
  const block delta = __real_softspoken_delta(s);
  if (!cheat_on_server() && bet.kind == BET_DELTA) tell(softspoken_point(delta, s->core.field_bits, TREE), 0);
  return delta;
}

/* One message with another choice in TREE than elsewhere, for the first correlation. */
static fusion_status bet_on_delta(struct softspoken_receiver *r, block *macs, size_t count) {
  struct softspoken_core *c = &r->core;
  const unsigned k = c->field_bits;
  const size_t blocks = softspoken_blocks(count);
  const uint64_t point = guess(k);
  block hashes[128];
  fusion_status status = softspoken_begin_receive(r); /* the trees go before the first extension */
  if (status != FUSION_OK) return status;
  softspoken_receiver_expand(r, blocks);
  c->message[(TREE - 1) * blocks * sizeof(block)] ^= 1;
  softspoken_challenge(c, blocks);
  softspoken_hash_planes(c, hashes, blocks);
  for (unsigned b = 0; b < k; b++) {
    block *hash = &hashes[TREE * k + b];
    *hash = block_xor(*hash, block_and_mask(c->chi[0], (uint64_t)0 - (point >> b & 1)));
  }
  softspoken_answer(c, hashes, blocks);
  status = channel_send(c->channel, MSG_SOFTSPOKEN, c->message, softspoken_message_len(k, blocks));
  if (status != FUSION_OK) return status;
  softspoken_collect(c, macs, count);
  softspoken_advance(c, blocks);
  /* The client's first key has moved by Delta's bits at the tree; so does this mac, if the guess is right. */
  macs[0].lo ^= point << (TREE * k);
  return FUSION_OK;
}

fusion_status __wrap_softspoken_receive(struct softspoken_receiver *r, block *macs, size_t count) {
  if (!place(BET_DELTA)) return __real_softspoken_receive(r, macs, count);
  const size_t first = size_min(count, SOFTSPOKEN_CHUNK);
  const fusion_status status = bet_on_delta(r, macs, first);
  if (status != FUSION_OK || first == count) return status;
  return __real_softspoken_receive(r, macs + first, count - first);
}

/* ---- on a noise position ---- */

fusion_status __real_silent_iterate(const struct silent_party *p, struct silent_iteration *its, size_t count,
                                    struct silent_check **check);
fusion_status __wrap_silent_iterate(const struct silent_party *p, struct silent_iteration *its, size_t count,
                                    struct silent_check **check);
fusion_status __real_channel_recv(struct channel *c, message_type type, void *data, size_t len);
fusion_status __wrap_channel_recv(struct channel *c, message_type type, void *data, size_t len);

/* The server's iteration that holds the bet, while it runs. */
static _Thread_local struct {
  const struct silent_set *set;
  block *spent; /* the check's correlations */
  block error;
} running;

static block power(const struct silent_field_kernels *field, block x, uint64_t n) {
  block result = block_make(0, 1);
  for (; n; n >>= 1, x = field->multiply(x, x))
    if (n & 1) result = field->multiply(result, x);
  return result;
}

/* Makes the digest that of a client whose two leaves at the guessed place are off by the error: their share of the
 * check is psi * error * (chi^a + chi^b). */
static void settle(const uint8_t *challenge) {
  const struct silent_field_kernels *field = silent_field_kernels();
  const uint64_t a = guess(running.set->depth - 1), b = a | UINT64_C(1) << (running.set->depth - 1);
  block chi, psi[TREE + 1];
  struct prg *g = prg_new(challenge);
  assert_non_null(g);
  prg_bytes(g, &chi, sizeof chi);
  prg_bytes(g, psi, sizeof psi);
  prg_free(g);
  const block places = block_xor(power(field, chi, a), power(field, chi, b));
  running.spent[0] = block_xor(running.spent[0], field->multiply(psi[TREE], field->multiply(running.error, places)));
  running.set = NULL;
}

fusion_status __wrap_channel_recv(struct channel *c, message_type type, void *data, size_t len) {
  const fusion_status status = __real_channel_recv(c, type, data, len);
  if (status == FUSION_OK && running.set && type == MSG_SILENT && len == SILENT_CHALLENGE_LEN) settle(data);
  return status;
}

/* Of the batch at hand: a session as small as these has no other, and its trees are not chained. */
static void tell_hole(const struct silent_iteration *it) {
  const block *macs = it->base + silent_set_k(it->set) + (size_t)TREE * it->set->depth;
  uint64_t turns = 0;
  for (size_t level = 0; level < it->set->depth; level++) turns |= (~macs[level].lo & 1) << level;
  tell(0, turns);
}

fusion_status __wrap_silent_iterate(const struct silent_party *p, struct silent_iteration *its, size_t count,
                                    struct silent_check **check) {
  struct silent_iteration *it = NULL;
  for (size_t i = count; i-- > 0;)
    if (its[i].sender == ROLE_SERVER) it = &its[i];
  if (it && bet.kind == BET_NOISE && !cheat_on_server()) tell_hole(it);
  if (it && place(BET_NOISE)) {
    block *keys = it->base + silent_set_k(it->set);
    running.set = it->set;
    running.spent = keys + (size_t)it->set->trees * it->set->depth;
    running.error = block_make(test_random(&bet.random), test_random(&bet.random) & ~UINT64_C(1));
    block *key = &keys[(size_t)TREE * it->set->depth + it->set->depth - 1];
    *key = block_xor(*key, running.error); /* the correction goes out under this key */
  }
  return __real_silent_iterate(p, its, count, check);
}

/* ---- sessions ---- */

static enum outcome job(struct scene *s, enum kind kind, enum luck luck, fusion_error *why) {
  struct cheater *c = mem_alloc(1, sizeof *c);
  assert_non_null(c);
  cheater_open(c, s->model, scene_engine(), test_random(&s->random));
  pthread_mutex_lock(&bet.lock);
  bet.kind = kind;
  bet.luck = luck;
  bet.random = test_random(&s->random);
  bet.placed = bet.won = bet.known = false;
  bet.armed = true;
  pthread_mutex_unlock(&bet.lock);
  const enum outcome outcome = scene_run(s, c, why);
  bet.armed = false;
  cheater_close(c);
  mem_free(c);
  return outcome;
}

/* Of each kind of bet: runs with a certain outcome for each, and by chance. */
static unsigned certain, by_chance;

/* Engines in which the server sends silent OT; in the others it can only bet on Delta. */
static bool has_kind(enum kind kind) {
  static const char *const names[] = {"cheetah", "cheetah-wan", "sci-he-silent", "sci-ot-silent"};
  if (kind == BET_DELTA) return true;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!strcmp(scene_engine()->name, names[i])) return true;
  return false;
}

enum { MANY = 400 };

static void bets__are_lost_with_an_error_or_won_unseen(void **state) {
  (void)state;
  static const char *const kinds[BET_KINDS] = {"Delta", "a noise position"};
  static const char *const lucks[LUCKS] = {"always right", "always wrong", "by chance"};
  struct scene s;
  /* cheetah takes silent OT where a session has many correlations alone. */
  const bool many = strcmp(scene_engine()->family, "cheetah") == 0;
  scene_open(&s, test_seed(), 64 + MANY);
  s.queries = 2;
  s.copies = 4;
  s.public_samples = many ? MANY : 8;
  s.tries = 1;
  s.timeout_ms = 20000;
  printf(
      "\n| bet of a server on | guess | bits | runs | won, unseen | lost: the session ends | expected wins | wrongly "
      "accepted |\n"
      "|---|---|--:|--:|--:|--:|--:|--:|\n");
  for (int kind = 0; kind < BET_KINDS && has_kind((enum kind)kind); kind++) {
    for (int luck = 0; luck < LUCKS; luck++) {
      const unsigned runs = luck == LUCK_CHANCE ? by_chance : certain;
      unsigned won = 0;
      for (unsigned i = 0; i < runs; i++) {
        fusion_error why = {.status = FUSION_OK};
        const enum outcome outcome = job(&s, (enum kind)kind, (enum luck)luck, &why);
        assert_true(bet.placed);
        assert_true(outcome != OUTCOME_WRONG);
        if (luck != LUCK_CHANCE) assert_int_equal(bet.won, luck == LUCK_WON);
        if ((outcome == OUTCOME_FAILED) == bet.won) fail_msg("a bet on %s: %s", kinds[kind], why.text);
        if (!bet.won && why.status != FUSION_E_CRYPTO) fail_msg("a lost bet ended with '%s'", why.text);
        won += bet.won;
      }
      const double expected = luck == LUCK_WON ? runs : luck == LUCK_LOST ? 0 : (double)runs / (double)(1u << bet.bits);
      printf("| %s | %s | %u | %u | %u | %u | %.1f | 0 |\n", kinds[kind], lucks[luck], bet.bits, runs, won, runs - won,
             expected);
      /* Six deviations of a Poisson number, and a few. */
      if (luck == LUCK_CHANCE) assert_true(won <= expected + 6 * (expected + 1));
    }
  }
  scene_close(&s);
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(bets__are_lost_with_an_error_or_won_unseen)};
  const char *form = argc > 1 ? argv[1] : "short";
  const unsigned rounds = strcmp(form, "long") == 0 ? 6 : 1;
  const bool brief = strcmp(form, "brief") == 0;
  certain = brief ? 1 : 2 * rounds;
  by_chance = brief ? 2 : 16 * rounds;
  return cmocka_run_group_tests(tests, NULL, NULL);
}
