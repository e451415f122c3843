/* What the server sees does not depend on the inputs: real jobs with two fixed inputs (all zero; all at the ends of the
 * range), every message that the client sends recorded and put to the statistics of randomness.h, message type by type:
 * fair bits, no correlation, no difference between the inputs. Against an honest server, and against one that answers
 * with ciphertexts that depend on the key or with garbage. Lengths and order must be equal in all runs.
 *
 * Not bits of chance, left out by name:
 * - HELLO, START, SHARD: public counts; they must be equal in all runs, but for HELLO's 16 random bytes and START's
 * number of a kept set-up, which the server drew;
 * - STATES and PREPARED, of jobs that are prepared: numbers that the server drew, and counts;
 * - OT_SESSION: a nonce of 16 bytes, drawn before anything secret is there, and too short for the statistics;
 * - of BASE_OT, bytes 0 and 31 of each group element: the encoding of a point has its lowest and its highest bit clear;
 * - RLWE_KEY and RLWE_QUERY hold numbers below a prime or a product of primes, not a power of two: each gives two
 * bytes, its place in its range in 256ths and its low 8 bits.
 *
 * usage: transcript [short|long]; a table for docs/security.md. The limits hold but with probability 1e-6
 * (randomness.h). */
#include <stdio.h>
#include <stdlib.h>

#include "adversary/randomness.h"
#include "adversary/record.h"
#include "base/bits.h"
#include "engine/engine.h"
#include "lattice/layout.h"
#include "lattice/rlwe.h"
#include "slots/slots.h"
#include "steps/encrypted_steps.h"
#include "support/support.h"

enum { SAMPLES = 16, RUNS_MAX = 4096 };

struct transcripts {
  struct scene scene;
  size_t runs; /* even; the first half has the first input */
  struct record *records;
  struct strings kinds[CHEAT_TYPES]; /* by cheat_type_row; no runs where there is nothing */
};

static size_t runs_wanted;

/* What a family's client sends, and servers that cheat it. A new engine adds its own; a tuning that sends other
 * messages stands before its family. */
enum { CHEATING_MAX = 6 };
struct cheating {
  const char *name;
  struct cheat cheat;
};
/* The row of scenes with products of matrices (FUSION_TEST_MATRICES), which the default engine runs. */
static const char with_matrices[] = "matrices";
static const struct family {
  const char *name; /* of jobs that are prepared and then used: "ENGINE ahead" */
  unsigned kinds;   /* of messages that are not public */
  struct cheating servers[CHEATING_MAX];
} families[] = {
    {"cheetah",
     9, /* correlations of a session this small are no silent ones: see sci-he-silent */
     {{"ciphertexts that depend on the key", {.kind = CHEAT_KEYED, .type = MSG_RLWE_COMMON}},
      {"garbage for ciphertexts", {.kind = CHEAT_GARBAGE, .type = MSG_RLWE_ANSWER}},
      {"garbage for tables of one-of-n OT", {.kind = CHEAT_GARBAGE, .type = MSG_OT_TABLE}},
      {"garbage for late tables, choices and masked bits of AND", {.kind = CHEAT_GARBAGE, .type = MSG_AND}},
      {"zero for every masked bit of AND", {.kind = CHEAT_ZERO, .type = MSG_AND}}}},
    {with_matrices,
     11, /* silent OT among them */
     {{"ciphertexts that depend on the key", {.kind = CHEAT_KEYED, .type = MSG_RLWE_COMMON}},
      {"zero for every masked bit of a share", {.kind = CHEAT_ZERO, .type = MSG_PRODUCT_CHOICE}},
      {"garbage for masked bits of shares", {.kind = CHEAT_GARBAGE, .type = MSG_PRODUCT_CHOICE}}}},
    {"sci-ot-silent", 8, {{"garbage for masked bits of weights", {.kind = CHEAT_GARBAGE, .type = MSG_PRODUCT_CHOICE}}}},
    {"sci-ot",
     7,
     {{"zero for every masked bit of a weight", {.kind = CHEAT_ZERO, .type = MSG_PRODUCT_CHOICE}},
      {"garbage for masked bits of weights", {.kind = CHEAT_GARBAGE, .type = MSG_PRODUCT_CHOICE}},
      {"garbage for tables of one-of-n OT", {.kind = CHEAT_GARBAGE, .type = MSG_OT_TABLE}},
      {"zero for every masked bit of AND", {.kind = CHEAT_ZERO, .type = MSG_AND}}}},
    {"aby-matrix",
     6,
     {{"zero for every masked weight", {.kind = CHEAT_ZERO, .type = MSG_TRIPLE}},
      {"garbage for choices of a triple", {.kind = CHEAT_GARBAGE, .type = MSG_PRODUCT_CHOICE}}}},
    {"aby",
     5,
     {{"zero for every opening of a triple", {.kind = CHEAT_ZERO, .type = MSG_TRIPLE}},
      {"garbage for openings of triples", {.kind = CHEAT_GARBAGE, .type = MSG_TRIPLE}},
      {"zero for products of shares", {.kind = CHEAT_ZERO, .type = MSG_MULTIPLY}},
      {"zero for the choice of every label", {.kind = CHEAT_ZERO, .type = MSG_GARBLED_CHOICE}}}},
    {"delphi",
     7,
     {{"ciphertexts that depend on the key", {.kind = CHEAT_KEYED, .type = MSG_RLWE_COMMON}},
      {"garbage for ciphertexts", {.kind = CHEAT_GARBAGE, .type = MSG_RLWE_ANSWER}},
      {"garbage for masked input bits", {.kind = CHEAT_GARBAGE, .type = MSG_GARBLED_CHOICE}},
      {"zero for every masked input bit", {.kind = CHEAT_ZERO, .type = MSG_GARBLED_CHOICE}}}},
    {"delphi ahead",
     9,
     {{"ciphertexts that depend on the key", {.kind = CHEAT_KEYED, .type = MSG_RLWE_COMMON}},
      {"garbage for ciphertexts", {.kind = CHEAT_GARBAGE, .type = MSG_RLWE_ANSWER}},
      {"garbage for masked input bits, online", {.kind = CHEAT_GARBAGE, .type = MSG_GARBLED_CHOICE}},
      {"zero for every masked input bit, online", {.kind = CHEAT_ZERO, .type = MSG_GARBLED_CHOICE}}}},
    {"cheetah ahead",
     9,
     {{"ciphertexts that depend on the key", {.kind = CHEAT_KEYED, .type = MSG_RLWE_COMMON}},
      {"garbage for ciphertexts", {.kind = CHEAT_GARBAGE, .type = MSG_RLWE_ANSWER}},
      {"garbage for tables of one-of-n OT, online", {.kind = CHEAT_GARBAGE, .type = MSG_OT_TABLE}},
      {"zero for every masked bit of AND, online", {.kind = CHEAT_ZERO, .type = MSG_AND}}}},
    {"sci-he-silent", 10, {{"garbage for ciphertexts", {.kind = CHEAT_GARBAGE, .type = MSG_SLOTS_ANSWER}}}},
    {"sci-he",
     9,
     {{"ciphertexts that depend on the key", {.kind = CHEAT_KEYED, .type = MSG_SLOTS_ANSWER}},
      {"garbage for ciphertexts", {.kind = CHEAT_GARBAGE, .type = MSG_SLOTS_ANSWER}},
      {"garbage for tables of one-of-n OT", {.kind = CHEAT_GARBAGE, .type = MSG_OT_TABLE}}}}};

static const struct family *family_here(void) {
  const char *const ahead = scene_ahead() ? " ahead" : "";
  char engine[64], family[64];
  const bool matrices = getenv("FUSION_TEST_MATRICES") != NULL;
  snprintf(engine, sizeof engine, "%s%s", matrices ? with_matrices : scene_engine()->name, ahead);
  snprintf(family, sizeof family, "%s%s", matrices ? with_matrices : scene_engine()->family, ahead);
  for (size_t i = 0; i < sizeof families / sizeof *families; i++)
    if (!strcmp(families[i].name, engine) || !strcmp(families[i].name, family)) return &families[i];
  fail_msg("what the client of %s sends is not known here", engine);
  return NULL;
}

/* ---- messages as bytes that should be uniform ---- */

static size_t points_put(uint8_t *out, const uint8_t *in, size_t len) {
  size_t at = 0;
  for (size_t i = 0; i + 32 <= len; i += 32, at += 30) memcpy(out + at, in + i + 1, 30);
  return at;
}

static size_t number_put(uint8_t *out, unsigned __int128 v, unsigned __int128 below) {
  /* Numbers of up to 81 bits: times 256 they fit. */
  out[0] = (uint8_t)(v * 256 / below);
  out[1] = (uint8_t)v;
  return 2;
}

/* Of the sessions that encrypt. */
static void layout_here(struct engine_layout *layout, const struct model *m) {
  const enum engine_phase encrypts = scene_engine()->stock ? ENGINE_ONLINE : ENGINE_AHEAD;
  const enum engine_phase phase = scene_ahead() ? encrypts : ENGINE_AT_ONCE;
  assert_ok(engine_layout_open_phase(layout, scene_engine(), phase, &m->program, SAMPLES, NULL));
}

static size_t key_put(uint8_t *out, const uint8_t *in, const struct model *m) {
  struct engine_layout layout;
  layout_here(&layout, m);
  const struct encrypted_steps *steps = layout.own; /* it comes first in the layouts of all engines that have one */
  const struct rlwe_keys keys = steps->keys;
  engine_layout_close(&layout);
  size_t at = PRG_SEED_LEN;
  memcpy(out, in, PRG_SEED_LEN);
  in += PRG_SEED_LEN;
  for (size_t ring = 0; ring < RLWE_RINGS; ring++) {
    const size_t n = (size_t)1 << rlwe_ring_log_n[ring], limbs = rlwe_ring_limbs[ring];
    struct bit_reader b = {.in = in};
    for (size_t i = 0; i < keys.of_ring[ring] * limbs * n; i++)
      at += number_put(out + at, bits_get(&b, RLWE_LIMB_BITS), rlwe_primes[i / n % limbs]);
    in += bits_len(keys.of_ring[ring] * limbs * n, RLWE_LIMB_BITS);
  }
  return at;
}

/* The layout of the job's query number `number`; which tile of it. */
static void query_layout(struct linear_layout *l, size_t *tile, const struct model *m, size_t number) {
  struct engine_layout layout;
  bool found = false;
  layout_here(&layout, m);
  for (uint32_t i = 1; i < m->program.count && !found; i++) {
    if (m->program.steps[i].op != OP_LINEAR) continue;
    const struct linear_layer layer = step_linear(layout.own, i);
    assert_ok(layout_make(l, &layer, &((const struct encrypted_steps *)layout.own)->keys, SAMPLES));
    *tile = number;
    found = number < l->tiles;
    if (found) break;
    number -= l->tiles;
    layout_free(l);
  }
  engine_layout_close(&layout);
  if (!found) fail_msg("more queries than the program has");
}

static size_t query_put(uint8_t *out, const uint8_t *in, size_t len, const struct model *m, size_t number) {
  struct linear_layout l;
  size_t tile = 0, at = 0;
  query_layout(&l, &tile, m, number);
  assert_int_equal(len, layout_query_len(&l, tile));
  unsigned __int128 q = 1;
  for (size_t k = 0; k < l.params->limbs; k++) q *= rlwe_primes[k];
  const unsigned __int128 below = (q >> l.dropped) + 1;
  const unsigned low = l.params->limbs == 2 ? 0 : query_low_bits(&l);
  struct bit_reader b = {.in = in};
  for (size_t i = 0; i < 8 * len / l.query_bits; i++) {
    unsigned __int128 v = low ? bits_get(&b, low) : 0;
    v |= (unsigned __int128)bits_get(&b, l.query_bits - low) << low;
    at += number_put(out + at, v, below);
  }
  layout_free(&l);
  return at;
}

/* Residues after `seed_len` bytes, in polynomials whose limbs follow one another. */
static size_t residues_put(uint8_t *out, const uint8_t *in, size_t len, size_t seed_len, size_t limbs) {
  size_t at = seed_len;
  struct bit_reader b = {.in = in + seed_len};
  memcpy(out, in, seed_len);
  for (size_t i = 0; i < (len - seed_len) * 8 / SLOTS_PRIME_BITS; i++)
    at += number_put(out + at, bits_get(&b, SLOTS_PRIME_BITS), slots_primes[i / SLOTS_N % limbs]);
  return at;
}

/* Residues of keys for interleaving. */
static size_t turn_put(uint8_t *out, const uint8_t *in, size_t len) {
  const size_t n = (size_t)1 << rlwe_ring_log_n[0], limbs = rlwe_ring_limbs[0];
  size_t at = 0;
  struct bit_reader b = {.in = in};
  for (size_t i = 0; i < len * 8 / RLWE_LIMB_BITS; i++)
    at += number_put(out + at, bits_get(&b, RLWE_LIMB_BITS), rlwe_primes[i / n % limbs]);
  return at;
}

static size_t message_put(uint8_t *out, const struct recorded *m, const struct model *model, size_t nth) {
  if (m->type == MSG_BASE_OT) return points_put(out, m->payload, m->len);
  if (m->type == MSG_RLWE_TURN) return turn_put(out, m->payload, m->len);
  if (m->type == MSG_RLWE_KEY) return key_put(out, m->payload, model);
  if (m->type == MSG_SLOTS_KEY) return residues_put(out, m->payload, m->len, PRG_SEED_LEN, SLOTS_LIMBS);
  if (m->type == MSG_SLOTS_ROTATION) return residues_put(out, m->payload, m->len, 0, SLOTS_PRIMES);
  if (m->type == MSG_SLOTS_QUERY) return residues_put(out, m->payload, m->len, 0, SLOTS_LIMBS);
  if (m->type == MSG_RLWE_QUERY) return query_put(out, m->payload, m->len, model, nth);
  memcpy(out, m->payload, m->len);
  return m->len;
}

/* All messages of a type in one run, one behind the other, cut to whole words. */
static uint8_t *string_of(const struct record *r, unsigned type, const struct model *model, size_t *len) {
  size_t room = 16, nth = 0;
  for (size_t i = 0; i < r->count; i++)
    if (r->messages[i].type == type) room += 2 * r->messages[i].len + 32;
  uint8_t *out = mem_alloc(room, 1);
  assert_non_null(out);
  *len = 0;
  /* The readers of packed bits may look a word behind the end. */
  for (size_t i = 0; i < r->count; i++) {
    struct recorded padded = r->messages[i];
    if (padded.type == MSG_HELLO) nth = 0; /* of each job */
    if (padded.type != type) continue;
    padded.payload = mem_alloc(padded.len + BITS_SLACK + 8, 1);
    assert_non_null(padded.payload);
    memcpy(padded.payload, r->messages[i].payload, padded.len);
    *len += message_put(out + *len, &padded, model, nth++);
    mem_free(padded.payload);
  }
  *len -= *len % 8;
  return out;
}

/* ---- runs ---- */

static void expect_alike(const struct record *a, const struct record *b) {
  assert_int_equal(a->count, b->count);
  for (size_t i = 0; i < a->count; i++) {
    const struct recorded *x = &a->messages[i], *y = &b->messages[i];
    assert_int_equal(x->type, y->type);
    assert_int_equal(x->len, y->len);
    if (x->type == MSG_START) assert_memory_equal(x->payload, y->payload, x->len - SESSION_STATE_LEN);
    if (x->type == MSG_SHARD) assert_memory_equal(x->payload, y->payload, x->len);
    if (x->type != MSG_HELLO) continue;
    const size_t job = 8 + 4 + 1 + 4 + 2 + strlen(scene_engine()->name);
    assert_memory_equal(x->payload, y->payload, job);
    assert_memory_equal(x->payload + job + SESSION_JOB_LEN, y->payload + job + SESSION_JOB_LEN,
                        x->len - job - SESSION_JOB_LEN);
  }
}

static void choose_input(struct scene *s, bool second) {
  for (size_t i = 0; i < SAMPLES * s->row_size; i++) s->inputs[i] = !second ? 0 : i % 3 ? 127 : -128;
  scene_expect(s, SAMPLES);
}

static bool is_public(unsigned type) {
  return !type || type == MSG_HELLO || type == MSG_START || type == MSG_SHARD || type == MSG_OT_SESSION ||
         type == MSG_STATES || type == MSG_PREPARED;
}

typedef void (*scene_opener)(struct scene *s, uint64_t seed, uint64_t samples_max);

static void transcripts_open(struct transcripts *t, scene_opener open, const struct cheat *cheat) {
  struct scene *s = &t->scene;
  *t = (struct transcripts){.runs = runs_wanted};
  open(s, test_seed(), SAMPLES);
  s->queries = 2;
  s->copies = 4;
  s->public_samples = SAMPLES - 8;
  s->errors = 0;
  s->shard_samples = SAMPLES;
  s->timeout_ms = 20000;
  t->records = mem_alloc(t->runs, sizeof *t->records);
  assert_non_null(t->records);
  for (size_t r = 0; r < t->runs; r++) {
    uint64_t applied;
    choose_input(s, r >= t->runs / 2);
    record_open(&t->records[r]);
    const enum outcome outcome = record_job(s, cheat, cheat != NULL, &t->records[r], &applied);
    if (!cheat) assert_int_equal(outcome, OUTCOME_RIGHT);
    if (cheat) assert_true(applied > 0);
    expect_alike(&t->records[0], &t->records[r]);
  }
  for (size_t i = 0; i < t->records[0].count; i++) {
    const unsigned type = t->records[0].messages[i].type;
    struct strings *k = &t->kinds[cheat_type_row(type)];
    if (is_public(type) || k->runs) continue;
    k->runs = t->runs;
    k->bytes = mem_alloc(t->runs, sizeof *k->bytes);
    assert_non_null(k->bytes);
    for (size_t r = 0; r < t->runs; r++) k->bytes[r] = string_of(&t->records[r], type, s->model, &k->len);
  }
  for (size_t r = 0; r < t->runs; r++) record_close(&t->records[r]);
}

static void strings_free(struct strings *k) {
  for (size_t r = 0; r < k->runs; r++) mem_free(k->bytes[r]);
  mem_free(k->bytes);
}

static void transcripts_close(struct transcripts *t) {
  for (size_t i = 0; i < CHEAT_TYPES; i++) strings_free(&t->kinds[i]);
  mem_free(t->records);
  scene_close(&t->scene);
}

static double worst_of(const double deviations[STATISTIC_COUNT], int *which) {
  *which = 0;
  for (int i = 1; i < STATISTIC_COUNT; i++)
    if (deviations[i] > deviations[*which]) *which = i;
  return deviations[*which];
}

/* Returns the number of kinds of messages. */
static unsigned expect_randomness(struct transcripts *t, const char *server) {
  unsigned kinds = 0;
  printf(
      "\n%s: %zu runs, half with each input; deviations from fair and equal (limit %.0f)\n\n| message | bytes a run |",
      server, t->runs, STATISTIC_LIMIT);
  for (int i = 0; i < STATISTIC_COUNT; i++) printf(" %s |", statistic_names[i]);
  printf("\n|---|--:|");
  for (int i = 0; i < STATISTIC_COUNT; i++) printf("--:|");
  printf("\n");
  for (unsigned row = 0; row < cheat_type_count; row++) {
    const char *name = cheat_type_name(cheat_type_at(row));
    double deviations[STATISTIC_COUNT];
    int which;
    if (!t->kinds[row].runs) continue;
    statistics_of(&t->kinds[row], &t->scene.random, deviations);
    printf("| %s | %zu |", name, t->kinds[row].len);
    for (int i = 0; i < STATISTIC_COUNT; i++) printf(" %.1f |", deviations[i]);
    printf("\n");
    kinds++;
    if (worst_of(deviations, &which) > STATISTIC_LIMIT)
      fail_msg("%s: the server can tell something from %s: %s is %.1f deviations off", server, name,
               statistic_names[which], deviations[which]);
  }
  return kinds;
}

/* ---- the statistics themselves: planted leaks are seen ---- */

static void plant(struct strings *k, int leak) {
  uint64_t random = 99;
  for (size_t r = 0; r < k->runs; r++) {
    uint8_t *bytes = k->bytes[r];
    const bool second = r >= k->runs / 2;
    for (size_t i = 1; i < k->len; i++) {
      if (leak == 0 && second && i % 8 == 0) bytes[i] |= 8; /* the input shows at some positions */
      if (leak == 1 && r == 1 && test_random(&random) % 4 == 0) bytes[i] = k->bytes[0][i]; /* a pad used twice */
      if (leak == 2 && test_random(&random) % 8 == 0)                                      /* neighbours alike */
        bytes[i] = (uint8_t)((bytes[i] & 0xfe) | (bytes[i - 1] & 1));
      if (leak == 3 && second && test_random(&random) % 32 == 0) bytes[i] = 0; /* a skewed value */
    }
  }
}

static void statistics__see_planted_leaks(void **state) {
  (void)state;
  uint64_t random = test_seed();
  for (int leak = -1; leak < 4; leak++) {
    struct strings k = {.runs = 16, .len = 16384, .bytes = mem_alloc(16, sizeof *k.bytes)};
    double deviations[STATISTIC_COUNT];
    int which;
    for (size_t r = 0; r < k.runs; r++) {
      k.bytes[r] = mem_alloc(k.len + 8, 1);
      for (size_t i = 0; i < k.len; i++) k.bytes[r][i] = (uint8_t)(test_random(&random) >> 16);
    }
    plant(&k, leak);
    statistics_of(&k, &random, deviations);
    const double worst = worst_of(deviations, &which);
    if (leak < 0 ? worst > STATISTIC_LIMIT : worst <= STATISTIC_LIMIT)
      fail_msg("leak %d: '%s' is %.1f deviations off", leak, statistic_names[which], worst);
    strings_free(&k);
  }
}

static void transcript__tells_nothing_of_the_inputs(void **state) {
  (void)state;
  struct transcripts t;
  transcripts_open(&t, scene_open, NULL);
  assert_int_equal(expect_randomness(&t, "an honest server"), family_here()->kinds);
  transcripts_close(&t);
}

/* Comparisons alone: what else sends the same kinds of messages is not there. */
static void transcript__of_comparisons_tells_nothing_of_the_inputs(void **state) {
  (void)state;
  struct transcripts t;
  transcripts_open(&t, scene_open_decisions, NULL);
  assert_true(expect_randomness(&t, "comparisons, an honest server") >= 4);
  transcripts_close(&t);
}

static void transcript__tells_a_cheating_server_nothing(void **state) {
  (void)state;
  const struct cheating *servers = family_here()->servers;
  for (size_t i = 0; i < CHEATING_MAX && servers[i].name; i++) {
    struct transcripts t;
    transcripts_open(&t, scene_open, &servers[i].cheat);
    assert_int_equal(expect_randomness(&t, servers[i].name), family_here()->kinds);
    transcripts_close(&t);
  }
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(statistics__see_planted_leaks),
                                     cmocka_unit_test(transcript__tells_nothing_of_the_inputs),
                                     cmocka_unit_test(transcript__of_comparisons_tells_nothing_of_the_inputs),
                                     cmocka_unit_test(transcript__tells_a_cheating_server_nothing)};
  const bool all = argc > 1 && strcmp(argv[1], "long") == 0;
  runs_wanted = all ? 100 : argc > 1 ? 20 : 12;
  return _cmocka_run_group_tests("transcript", tests, argc > 1 ? 4 : 3, NULL, NULL);
}
