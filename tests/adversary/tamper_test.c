/* A server whose tampering changes only some answers, against the real client and the real protocols. At s of the N
 * positions it runs other weights: they never name one class, or move a hidden unit that is off for most samples. Such
 * a job is at times accepted with a wrong answer; the test counts how often, and compares that with the formula of
 * docs/security.md. Prints the table there.
 * usage: tamper [short|long]; FUSION_TEST_SEED repeats the server's choices (the client draws from the system). */
#include <math.h>
#include <stdio.h>

#include "adversary/scene.h"
#include "execute/execute.h"
#include "support/support.h"

enum {
  POOL = 2048,        /* inputs from which a row's samples are taken */
  MODEL_SEED = 1,     /* of the model and the pool: their class frequencies are known to be fit */
  JOBS_MAX = 1 << 13, /* of all rows together */
  NEVER_NAMED = 0,    /* the class that is suppressed, and the one that is always just ahead of it */
  AHEAD = 1,
  UNIT = 3, /* the hidden unit that is moved */
};

enum tampering { CLASS_SUPPRESSED, UNIT_MOVED };

/* What the tampering does to a sample. */
enum effect {
  NO_EFFECT,
  ANSWER_CHANGES, /* but not its label: free to the server on a public sample, which is judged by its label */
  LABEL_CHANGES,
  EFFECT_COUNT,
};

struct row {
  const char *name;
  enum tampering tampering;
  enum program_output output;
  struct {
    uint64_t queries, copies, public_samples, errors;
  } choice;
  uint64_t mislabelled; /* public samples that an honest server answers wrongly too */
  struct {
    uint64_t queries, labels; /* queries whose answer changes, public samples whose label does */
  } sensitive;
  struct {
    uint32_t samples, tampered; /* in a shard; shards that run other weights */
  } shards;
  struct {
    unsigned few, many; /* of the short and the long form; 0: not there */
  } jobs;
};

/* The first six: a server that does nearly its best. Then the job of a review in which 5 of 66 jobs were accepted with
 * a wrong label, and a plan of 42 bits against tampering that spoils what it touches. */
static const struct row rows[] = {
    {"class suppressed, labels", CLASS_SUPPRESSED, OUTPUT_LABEL, {4, 3, 20, 2}, 0, {1, 3}, {4, 6}, {10, 200}},
    {"class suppressed, best two", CLASS_SUPPRESSED, OUTPUT_TOP_K, {4, 3, 20, 2}, 0, {2, 3}, {4, 7}, {9, 200}},
    {"class suppressed, logits", CLASS_SUPPRESSED, OUTPUT_LOGITS, {4, 3, 20, 2}, 0, {4, 3}, {2, 15}, {9, 200}},
    {"hidden unit moved, labels", UNIT_MOVED, OUTPUT_LABEL, {4, 3, 20, 2}, 1, {1, 2}, {4, 6}, {9, 200}},
    {"hidden unit moved, best two", UNIT_MOVED, OUTPUT_TOP_K, {4, 3, 20, 2}, 0, {2, 3}, {4, 7}, {9, 200}},
    {"hidden unit moved, logits", UNIT_MOVED, OUTPUT_LOGITS, {4, 3, 20, 2}, 0, {1, 3}, {4, 6}, {9, 200}},
    {"class suppressed, labels, as reviewed",
     CLASS_SUPPRESSED,
     OUTPUT_LABEL,
     {8, 10, 100, 10},
     0,
     {1, 13},
     {10, 16},
     {0, 400}},
    {"class suppressed, labels, 42 bits",
     CLASS_SUPPRESSED,
     OUTPUT_LABEL,
     {8, 10, 100, 5},
     0,
     {1, 12},
     {10, 12},
     {4, 100}},
};
enum { ROW_COUNT = sizeof rows / sizeof rows[0] };

static uint64_t job_samples(const struct row *r) {
  return r->choice.queries * r->choice.copies + r->choice.public_samples;
}

static uint64_t tampered_positions(const struct row *r) {
  return (uint64_t)r->shards.samples * r->shards.tampered;
}

struct bench {
  struct scene scene;
  double *pool; /* [POOL][row_size] */
  int64_t *honest, *tampered;
  enum effect effects[POOL];
  struct model *other;
};

/* ---- the tampering ---- */

/* A unit behind a ReLU that is rarely above zero, and counts when it is. */
static void make_quiet_unit(struct model *m) {
  fusion_error err = {.status = FUSION_OK};
  const size_t inputs = 2, units = 4; /* of a pixel */
  struct program_weights *in = &m->weights[SCENE_HIDDEN], *out = &m->weights[SCENE_MIDDLE];
  for (size_t i = 0; i < inputs; i++) in->weights[UNIT * inputs + i] = 127;
  in->bias[UNIT] = -127 * 210; /* the two inputs are below 128: their sum seldom is above 210 */
  const size_t outputs = program_weight_count(&m->program, SCENE_MIDDLE) / units;
  for (size_t o = 0; o < outputs; o++) out->weights[o * units + UNIT] = o % 2 ? 127 : -127;
  if (engine_prepare(scene_engine(), m, &err) != FUSION_OK) fail_msg("%s", err.text);
}

/* One class gets the weights of another, and is one unit behind it after the last shift by 3 bits. */
static void suppress_class(struct model *m) {
  struct program_weights *w = &m->weights[SCENE_LAST];
  const size_t row = program_weight_count(&m->program, SCENE_LAST) / SCENE_CLASSES;
  memcpy(w->weights + NEVER_NAMED * row, w->weights + AHEAD * row, row * sizeof *w->weights);
  w->bias[NEVER_NAMED] = w->bias[AHEAD] - 8;
}

static void move_unit(struct model *m) {
  const size_t units = 4, count = program_weight_count(&m->program, SCENE_MIDDLE);
  int16_t *weights = m->weights[SCENE_MIDDLE].weights;
  for (size_t i = UNIT; i < count; i += units) weights[i] = (int16_t)-weights[i];
}

static void answer_all(const struct scene *s, const struct model *m, size_t samples, int64_t *answers) {
  int64_t *values = mem_alloc(samples * s->row_size, sizeof *values);
  assert_non_null(values);
  for (size_t i = 0; i < samples * s->row_size; i++) values[i] = (int64_t)s->inputs[i];
  assert_ok(program_execute(m, values, samples, answers, &(struct execute_options){.threads = 1}));
  mem_free(values);
}

static enum effect effect_on(const struct bench *b, size_t sample) {
  const struct scene *s = &b->scene;
  const int64_t *before = b->honest + sample * s->answer_size, *after = b->tampered + sample * s->answer_size;
  if (memcmp(before, after, s->answer_size * sizeof *before) == 0) return NO_EFFECT;
  return scene_label(s, before) == scene_label(s, after) ? ANSWER_CHANGES : LABEL_CHANGES;
}

/* ---- a row's samples ---- */

/* Puts the pool's next sample with an effect from `first` to `last` at `place` of the job's. */
static void take(struct bench *b, size_t *next, size_t place, enum effect first, enum effect last) {
  struct scene *s = &b->scene;
  while (*next < POOL && (b->effects[*next] < first || b->effects[*next] > last)) ++*next;
  if (*next == POOL) fail_msg("the pool has too few samples for place %zu", place);
  memcpy(s->inputs + place * s->row_size, b->pool + *next * s->row_size, s->row_size * sizeof *s->inputs);
  ++*next;
}

/* Chooses queries and public samples so that the tampering changes as many as the row says. */
static void arrange(struct bench *b, const struct row *r) {
  struct scene *s = &b->scene;
  size_t changed = 0, unchanged = 0, named = 0, rest = POOL / 2, place = 0;
  memcpy(s->inputs, b->pool, POOL * s->row_size * sizeof *s->inputs);
  answer_all(s, s->model, POOL, b->honest);
  answer_all(s, b->other, POOL, b->tampered);
  for (size_t i = 0; i < POOL; i++) b->effects[i] = effect_on(b, i);
  for (size_t i = 0; i < r->sensitive.queries; i++) take(b, &changed, place++, ANSWER_CHANGES, LABEL_CHANGES);
  for (size_t i = r->sensitive.queries; i < r->choice.queries; i++) take(b, &unchanged, place++, NO_EFFECT, NO_EFFECT);
  /* Wrong labels come first: on samples whose label stays. */
  for (size_t i = r->sensitive.labels; i < r->choice.public_samples; i++)
    take(b, &rest, place++, NO_EFFECT, ANSWER_CHANGES);
  for (size_t i = 0; i < r->sensitive.labels; i++) take(b, &named, place++, LABEL_CHANGES, LABEL_CHANGES);
  scene_expect(s, place);
  memcpy(b->honest, s->expected, place * s->answer_size * sizeof *b->honest);
  answer_all(s, b->other, place, b->tampered);
}

static void set_up(struct bench *b, const struct row *r) {
  struct scene *s = &b->scene;
  s->queries = r->choice.queries;
  s->copies = r->choice.copies;
  s->public_samples = r->choice.public_samples;
  s->errors = r->choice.errors;
  s->mislabelled = r->mislabelled;
  s->shard_samples = r->shards.samples;
  s->timeout_ms = 60000;
  scene_set_output(s, r->output, r->output == OUTPUT_TOP_K ? 2 : 0);
  b->other = scene_copy_model(s);
  if (r->tampering == CLASS_SUPPRESSED)
    suppress_class(b->other);
  else
    move_unit(b->other);
  arrange(b, r);
  s->tampered = b->tampered;
}

/* ---- the formula ---- */

static double choose(uint64_t n, uint64_t k) {
  double c = 1;
  if (k > n) return 0;
  for (uint64_t j = 0; j < k; j++) c = c * (double)(n - j) / (double)(j + 1);
  return c;
}

/* What the tampering changes of this job's samples, counted. */
struct sensitive {
  uint64_t queries, labels, answers; /* public samples: their label; their answer alone */
};

static struct sensitive count_sensitive(const struct bench *b) {
  const struct scene *s = &b->scene;
  struct sensitive n = {0};
  for (size_t i = 0; i < s->queries + s->public_samples; i++) {
    const enum effect effect = effect_on(b, i);
    n.queries += i < s->queries && effect != NO_EFFECT;
    n.labels += i >= s->queries && effect == LABEL_CHANGES;
    n.answers += i >= s->queries && effect == ANSWER_CHANGES;
  }
  return n;
}

/* Of C(N,s) sets of positions, those that are accepted with `i` wrong queries: all copies of these, none of the other
 * sensitive queries', at most e public labels wrong, and anything of the rest. */
static double accepted_with(const struct row *r, const struct sensitive *n, uint64_t i) {
  const uint64_t samples = job_samples(r), s = tampered_positions(r);
  const uint64_t rest = samples - n->queries * r->choice.copies - n->labels;
  double ways = 0;
  for (uint64_t k = 0; k <= n->labels && k + r->mislabelled <= r->choice.errors && i * r->choice.copies + k <= s; k++)
    ways += choose(n->queries, i) * choose(n->labels, k) * choose(rest, s - i * r->choice.copies - k);
  return ways / choose(samples, s);
}

/* How many of some jobs, each with a probability of its own, come true. */
struct tally {
  double chance[JOBS_MAX + 1]; /* of each number */
  unsigned jobs, seen;
};

static void tally_start(struct tally *t) {
  t->jobs = t->seen = 0;
  t->chance[0] = 1;
}

static void tally_add(struct tally *t, double p, bool happened) {
  assert_true(t->jobs < JOBS_MAX);
  t->chance[++t->jobs] = 0;
  for (unsigned k = t->jobs; k > 0; k--) t->chance[k] = t->chance[k] * (1 - p) + t->chance[k - 1] * p;
  t->chance[0] *= 1 - p;
  t->seen += happened;
}

/* 99.9 %: at most 0.05 % of chance lies below `low`, and as much above `high`. */
struct band {
  unsigned low, high;
};

static struct band tally_band(const struct tally *t) {
  const double tail = 0.0005;
  struct band b = {0, t->jobs};
  double below = t->chance[0], above = t->chance[t->jobs];
  while (b.low < t->jobs && below <= tail) below += t->chance[++b.low];
  while (b.high > 0 && above <= tail) above += t->chance[--b.high];
  return b;
}

static bool tally_fits(const struct tally *t) {
  const struct band b = tally_band(t);
  return b.low <= t->seen && t->seen <= b.high;
}

/* ---- running ---- */

static enum outcome run_job(struct bench *b, const struct row *r) {
  fusion_error why = {.status = FUSION_OK};
  const struct cheat cheat = {
      .kind = CHEAT_OTHER_MODEL, .count = tampered_positions(r), .group = r->shards.samples, .other = b->other};
  struct cheater *c = mem_alloc(1, sizeof *c);
  assert_non_null(c);
  cheater_open(c, b->scene.model, scene_engine(), test_random(&b->scene.random));
  assert_ok(cheat_add(c, &cheat, &why));
  const enum outcome outcome = scene_run(&b->scene, c, &why);
  if (outcome == OUTCOME_FAILED) fail_msg("%s: the job ended with an error: %s", r->name, why.text);
  assert_int_equal(c->applied, r->shards.tampered * (scene_ahead() ? 2 : 1));
  cheater_close(c);
  mem_free(c);
  return outcome;
}

static void print_row(const struct row *r, const struct sensitive *n, const struct tally *wrong,
                      const struct tally *right, const double p[2]) {
  const struct band w = tally_band(wrong), a = tally_band(right);
  const uint64_t samples = job_samples(r), s = tampered_positions(r);
  printf(
      "| %s | %llu, %llu, %llu, %llu | %llu | %llu + %llu | %llu of %llu | %u | %u | %.4f | %.4f | %u to %u | %u | "
      "%.4f | %u to %u |\n",
      r->name, (unsigned long long)r->choice.queries, (unsigned long long)r->choice.copies,
      (unsigned long long)r->choice.public_samples, (unsigned long long)r->choice.errors,
      (unsigned long long)n->queries, (unsigned long long)n->labels, (unsigned long long)n->answers,
      (unsigned long long)s, (unsigned long long)samples, wrong->jobs, wrong->seen, wrong->seen / (double)wrong->jobs,
      p[0], w.low, w.high, right->seen, p[1], a.low, a.high);
}

/* True when the row's counts are inside their bands. `total`: wrong answers accepted over all rows. */
static bool measure(struct bench *b, const struct row *r, unsigned jobs, struct tally *total) {
  struct tally *wrong = mem_alloc(1, sizeof *wrong), *right = mem_alloc(1, sizeof *right);
  assert_non_null(wrong);
  assert_non_null(right);
  tally_start(wrong);
  tally_start(right);
  set_up(b, r);
  const struct sensitive n = count_sensitive(b);
  assert_int_equal(n.queries, r->sensitive.queries);
  assert_int_equal(n.labels, r->sensitive.labels);
  double p[2] = {0, accepted_with(r, &n, 0)}; /* accepted with a wrong answer; with right ones */
  for (uint64_t i = 1; i <= n.queries; i++) p[0] += accepted_with(r, &n, i);
  for (unsigned i = 0; i < jobs; i++) {
    const enum outcome outcome = run_job(b, r);
    tally_add(wrong, p[0], outcome == OUTCOME_WRONG);
    tally_add(right, p[1], outcome == OUTCOME_RIGHT);
    tally_add(total, p[0], outcome == OUTCOME_WRONG);
  }
  print_row(r, &n, wrong, right, p);
  const bool fits = tally_fits(wrong) && tally_fits(right);
  model_free(b->other);
  mem_free(wrong);
  mem_free(right);
  return fits;
}

static bool is_long;

static bool measure_all(struct bench *b, unsigned times) {
  struct tally *total = mem_alloc(1, sizeof *total);
  bool fits = true;
  assert_non_null(total);
  tally_start(total);
  printf(
      "\n| tampering, answers | R, B, T, e | sensitive queries | sensitive public samples (label + answer alone) | "
      "positions | jobs | accepted, wrong | measured | formula | band | accepted, right | formula | band |\n"
      "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
  for (size_t i = 0; i < ROW_COUNT; i++) {
    const unsigned jobs = is_long ? rows[i].jobs.many : rows[i].jobs.few;
    if (jobs) fits = measure(b, &rows[i], times * jobs, total) && fits;
  }
  const struct band band = tally_band(total);
  printf("| all | | | | | %u | %u | | | %u to %u | | | |\n", total->jobs, total->seen, band.low, band.high);
  fits = tally_fits(total) && fits;
  mem_free(total);
  return fits;
}

static void tamper__partial_tampering_is_accepted_as_often_as_the_formula_says(void **state) {
  (void)state;
  struct bench *b = mem_alloc(1, sizeof *b);
  assert_non_null(b);
  struct scene *s = &b->scene;
  scene_open(s, MODEL_SEED, POOL);
  s->random = test_seed();
  make_quiet_unit(s->model);
  b->pool = mem_alloc(POOL * s->row_size, sizeof *b->pool);
  b->honest = mem_alloc(POOL * s->answer_size, sizeof *b->honest);
  b->tampered = mem_alloc(POOL * s->answer_size, sizeof *b->tampered);
  assert_true(b->pool && b->honest && b->tampered);
  memcpy(b->pool, s->inputs, POOL * s->row_size * sizeof *b->pool);
  /* Chance alone leaves one of the bands in about one run of a hundred: then all is measured once more, with three
   * times as many jobs. */
  if (!measure_all(b, 1) && !measure_all(b, 3)) fail_msg("a rate differs from the formula, twice");
  mem_free(b->pool);
  mem_free(b->honest);
  mem_free(b->tampered);
  scene_close(s);
  mem_free(b);
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(tamper__partial_tampering_is_accepted_as_often_as_the_formula_says)};
  is_long = argc > 1 && strcmp(argv[1], "long") == 0;
  return cmocka_run_group_tests(tests, NULL, NULL);
}
