/* Gates alone: elements per second and bytes each, both parties in one process over the in-memory pipe, with
 * correlations from the tests' dealer. Times are CPU time of the slower party's thread less what the dealer took of it
 * (measured apart), the median of several runs: what a party spends in the gate itself, one core. With their
 * correlations the gates are rows of `fusion bench micro`. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/cpu_tier.h"
#include "gates/gates.h"
#include "support/dealer.h"

enum { RUNS = 5, DEALER_BATCH = 1024 };

struct task {
  const char *name;
  fusion_status (*call)(struct party *p, const void *params, uint64_t *x, size_t count);
  void (*cost)(struct cost *cost, const void *params, size_t count);
  const void *params;
  size_t count, values; /* values: room for one element's inputs and outputs */
};

struct side {
  const struct task *task;
  struct party party;
  uint64_t *x;
  fusion_status status;
  double cpu, dealer;
};

static double thread_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static fusion_status call_relu(struct party *p, const void *params, uint64_t *x, size_t count) {
  return relu_truncate(p, params, x, x, count);
}
static void cost_relu(struct cost *cost, const void *params, size_t count) {
  relu_truncate_cost(cost, params, count);
}

static fusion_status call_square(struct party *p, const void *params, uint64_t *x, size_t count) {
  return multiply(p, x, x, x, count, *(const unsigned *)params);
}
static void cost_square(struct cost *cost, const void *params, size_t count) {
  multiply_cost(cost, true, count, *(const unsigned *)params);
}

static fusion_status call_multiply(struct party *p, const void *params, uint64_t *x, size_t count) {
  return multiply(p, x, x + count, x, count, *(const unsigned *)params);
}
static void cost_multiply(struct cost *cost, const void *params, size_t count) {
  multiply_cost(cost, false, count, *(const unsigned *)params);
}

static fusion_status call_argmax(struct party *p, const void *params, uint64_t *x, size_t count) {
  const struct top_k *q = params;
  return top_k(p, q, x, x + count * q->width, NULL, count);
}
static void cost_argmax(struct cost *cost, const void *params, size_t count) {
  top_k_cost(cost, params, count);
}

static fusion_status call_maxpool(struct party *p, const void *params, uint64_t *x, size_t count) {
  return maxpool(p, params, x, x, count);
}
static void cost_maxpool(struct cost *cost, const void *params, size_t count) {
  maxpool_cost(cost, params, count);
}

/* CPU time of taking what the gate took. */
static double time_dealer(struct cot *cot) {
  static _Thread_local block blocks[DEALER_BATCH];
  const uint64_t sent = cot->sent, received = cot->received;
  const double start = thread_seconds();
  for (uint64_t i = 0; i < sent; i += DEALER_BATCH)
    if (cot_take_sender(cot, blocks, DEALER_BATCH, NULL) != FUSION_OK) return 0;
  for (uint64_t i = 0; i < received; i += DEALER_BATCH)
    if (cot_take_receiver(cot, blocks, DEALER_BATCH, NULL) != FUSION_OK) return 0;
  return thread_seconds() - start;
}

static void *side_run(void *arg) {
  struct side *s = arg;
  const double start = thread_seconds();
  s->status = s->task->call(&s->party, s->task->params, s->x, s->task->count);
  if (s->status == FUSION_OK) s->status = channel_flush(s->party.channel);
  s->cpu = thread_seconds() - start;
  s->dealer = time_dealer(s->party.cot);
  return NULL;
}

static fusion_status side_open(struct side *s, const struct task *task, enum role role, struct channel *channel) {
  *s = (struct side){.task = task, .party = {.role = role, .channel = channel}};
  s->x = mem_alloc(task->count * task->values, sizeof *s->x);
  if (!s->x) return FUSION_E_MEMORY;
  return dealer_open(&s->party.cot, role, channel, 1);
}

static int by_value(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static fusion_status run_once(const struct task *task, double *seconds) {
  fusion_status status = FUSION_OK;
  struct channel *ends[2] = {NULL};
  struct side sides[2] = {{0}};
  pthread_t thread;
  TRY(channel_pipe(&ends[0], &ends[1]));
  TRY(side_open(&sides[0], task, ROLE_SERVER, ends[0]));
  TRY(side_open(&sides[1], task, ROLE_CLIENT, ends[1]));
  FAIL_IF(pthread_create(&thread, NULL, side_run, &sides[0]), FUSION_E_RESOURCE);
  side_run(&sides[1]);
  pthread_join(thread, NULL);
  TRY(sides[0].status);
  TRY(sides[1].status);
  const double server = sides[0].cpu - sides[0].dealer, client = sides[1].cpu - sides[1].dealer;
  *seconds = server > client ? server : client;
cleanup:
  for (unsigned i = 0; i < 2; i++) {
    if (sides[i].party.cot) cot_close(sides[i].party.cot);
    channel_close(ends[i]);
    mem_free(sides[i].x);
  }
  return status;
}

static void report(const struct task *task) {
  double seconds[RUNS];
  struct cost cost = {0};
  const double count = (double)task->count;
  task->cost(&cost, task->params, task->count);
  for (unsigned i = 0; i < RUNS; i++) {
    if (run_once(task, &seconds[i]) != FUSION_OK) {
      printf("%-34s failed\n", task->name);
      return;
    }
  }
  qsort(seconds, RUNS, sizeof *seconds, by_value);
  printf("%-34s %7.3f M/s (%.0f%% spread) %6.2f B up %6.2f B down %3.0f + %.0f COTs  depth %u/%u\n", task->name,
         count / seconds[RUNS / 2] * 1e-6, 100 * (seconds[RUNS - 1] - seconds[0]) / seconds[RUNS / 2],
         (double)cost.bytes_to_server / count, (double)cost.bytes_to_client / count,
         (double)cost.cots_server_sends / count, (double)cost.cots_client_sends / count, cost.depth_client,
         cost.depth_server);
}

int main(int argc, char **argv) {
  if (argc > 1 && cpu_tier_force((enum cpu_tier)atoi(argv[1])) != FUSION_OK) return 1;
  printf("tier %s\n", cpu_tier_name(cpu_tier()));
  const size_t count = RELU_TRUNCATE_CHUNK; /* a layer of a million elements, whose flights are full */
  const struct relu_truncate exact = {.in_bits = 26, .shift = 8, .out_bits = 18, .add = 128, .relu = true};
  const struct relu_truncate wide = {.in_bits = 26, .shift = 8, .out_bits = 26, .add = 128, .relu = true};
  const struct relu_truncate fast = {.in_bits = 26, .shift = 8, .out_bits = 18, .add = 128, .relu = true, .fast = true};
  const struct relu_truncate plain = {.in_bits = 37, .out_bits = 37, .relu = true};
  const struct relu_truncate truncate = {.in_bits = 26, .shift = 8, .out_bits = 18, .add = 128};
  const struct relu_truncate extend = {.in_bits = 26, .shift = 8, .out_bits = 26, .add = 128};
  const struct top_k argmax = {.width = 10, .k = 1, .value_bits = 16, .in_bits = 20, .indices_only = true};
  const struct maxpool pool = {.in_h = 16,
                               .in_w = 16,
                               .out_h = 8,
                               .out_w = 8,
                               .kernel_h = 2,
                               .kernel_w = 2,
                               .stride_h = 2,
                               .stride_w = 2,
                               .dilation_h = 1,
                               .dilation_w = 1,
                               .value_bits = 12,
                               .in_bits = 18,
                               .out_bits = 18};
  const unsigned bits = 20;
  const struct task tasks[] = {
      {"relu+truncate l=26 f=8 m=18", call_relu, cost_relu, &exact, count, 1},
      {"relu+truncate l=26 f=8 m=26", call_relu, cost_relu, &wide, count, 1},
      {"relu+truncate l=26 f=8 m=18 fast", call_relu, cost_relu, &fast, count, 1},
      {"relu l=37 m=37", call_relu, cost_relu, &plain, count, 1},
      {"truncate l=26 f=8 m=18", call_relu, cost_relu, &truncate, count, 1},
      {"truncate l=26 f=8 m=26", call_relu, cost_relu, &extend, count, 1},
      {"square, 20 bits", call_square, cost_square, &bits, count / 4, 2},
      {"multiply, 20 bits", call_multiply, cost_multiply, &bits, count / 4, 2},
      {"argmax of 10, 16 bits (rows)", call_argmax, cost_argmax, &argmax, count / 16, 11},
      {"maxpool 2x2, 16x16 planes, 12 bits", call_maxpool, cost_maxpool, &pool, count / 1024, 256},
  };
  const size_t only = argc > 2 ? (size_t)atoi(argv[2]) : SIZE_MAX;
  for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++) {
    if (only == SIZE_MAX || only == i) report(&tasks[i]);
  }
  return 0;
}
