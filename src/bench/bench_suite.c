/* How a kernel is timed: enough calls to fill a run, several runs, the median; one thread by its processor time,
 * several by the clock, started together. */
#include "bench/bench_suite.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { THREADS_MAX = 256, RUNS_MAX = 99 };

struct bench_shared {
  const fusion_bench_settings *settings;
  void (*rows)(struct bench *b);
  pthread_barrier_t barrier;
  pthread_mutex_t gate;                          /* held until all threads are there */
  bool abandoned;                                /* they are not: go home */
  atomic_int failure;                            /* the first fusion_status that is not OK */
  double rate[THREADS_MAX];                      /* of each thread, in a run */
  double ceiling[CPU_TIER_COUNT][CEILING_COUNT]; /* units a second, all threads; 0: none or not measured */
};

static void fail(struct bench *b, fusion_status status) {
  int none = FUSION_OK;
  atomic_compare_exchange_strong(&b->shared->failure, &none, status);
}

static bool failed(const struct bench *b) {
  return atomic_load(&b->shared->failure) != FUSION_OK;
}

void *bench_alloc(struct bench *b, size_t count, size_t element_len) {
  void *p = mem_alloc(count, element_len);
  if (!p) fail(b, FUSION_E_MEMORY);
  return p;
}

void bench_check(struct bench *b, fusion_status status) {
  if (status != FUSION_OK) fail(b, status);
}

/* Between two waits no thread reports a failure, so that all threads see the same. */
static bool together(struct bench *b) {
  pthread_barrier_wait(&b->shared->barrier);
  const bool well = !failed(b);
  pthread_barrier_wait(&b->shared->barrier);
  return well;
}

bool bench_ready(struct bench *b) {
  return together(b);
}

bool bench_wanted(const struct bench *b, const char *group, const char *name) {
  const char *only = b->settings->only;
  return !only || strcasestr(group, only) || strcasestr(name, only);
}

static double now(const struct bench *b) {
  return b->settings->threads > 1 ? clock_seconds() : clock_cpu_seconds();
}

static double time_calls(const struct bench *b, bench_call call, void *context, uint64_t calls) {
  const double start = now(b);
  for (uint64_t i = 0; i < calls; i++) call(context);
  return now(b) - start;
}

static int by_value(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *x, unsigned count) {
  qsort(x, count, sizeof *x, by_value);
  return count % 2 ? x[count / 2] : 0.5 * (x[count / 2 - 1] + x[count / 2]);
}

static double spread_of(const double *sorted, unsigned count, double middle) {
  return middle > 0 ? (sorted[count - 1] - sorted[0]) / middle : 0;
}

/* Calls that take at least settings->seconds. The first call warms caches. */
static uint64_t calls_needed(const struct bench *b, bench_call call, void *context) {
  call(context);
  for (uint64_t calls = 1;; calls *= 2) {
    const double seconds = time_calls(b, call, context, calls);
    if (seconds * 4 < b->settings->seconds) continue;
    const double needed = (double)calls * b->settings->seconds / seconds;
    return needed > 1 ? (uint64_t)needed : 1;
  }
}

/* Calls a second of all threads together: runs[], unsorted. Every thread calls it. */
static void measure(struct bench *b, bench_call call, void *context, double *runs) {
  const uint64_t calls = calls_needed(b, call, context);
  for (unsigned i = 0; i < b->settings->runs; i++) {
    pthread_barrier_wait(&b->shared->barrier);
    b->shared->rate[b->thread] = (double)calls / time_calls(b, call, context, calls);
    pthread_barrier_wait(&b->shared->barrier);
    runs[i] = 0;
    for (unsigned t = 0; t < b->settings->threads; t++) runs[i] += b->shared->rate[t];
  }
}

static void emit(struct bench *b, const fusion_bench_row *row) {
  if (!b->settings->row(b->settings->context, row)) fail(b, FUSION_E_CLOSED);
}

/* Arithmetic demands add up, as they share the processor's units; each level of memory stands by itself. */
static void set_roofline(const struct bench *b, const struct bench_row *row, fusion_bench_row *out) {
  const double *ceiling = b->shared->ceiling[b->tier];
  double arithmetic = 0, largest = 0;
  for (size_t i = 0; i < FUSION_BENCH_DEMANDS && row->demand[i].ceiling; i++) {
    const enum ceiling c = row->demand[i].ceiling;
    if (ceiling[c] <= 0) continue;
    out->demand[out->demands++] = (fusion_bench_demand){ceiling_name(c), row->demand[i].amount};
    const double share = row->demand[i].amount * out->per_second / ceiling[c];
    const double whole = c < CEILING_L1 ? arithmetic += share : share;
    if (whole > out->share) out->share = whole;
    const double weight = c < CEILING_L1 ? share : whole; /* names the heaviest of the arithmetic demands */
    if (weight > largest || (c >= CEILING_L1 && whole >= out->share)) {
      largest = weight;
      out->bound = ceiling_name(c);
    }
  }
}

void bench_kernel(struct bench *b, const struct bench_row *row, bench_call call, void *context) {
  double runs[RUNS_MAX];
  if (!bench_wanted(b, row->group, row->name) || (row->portable && !b->first_tier) || !together(b)) return;
  measure(b, call, context, runs);
  if (b->thread) return;
  const double middle = median(runs, b->settings->runs);
  fusion_bench_row out = {.group = row->group,
                          .name = row->name,
                          .tier = cpu_tier_name(b->tier),
                          .unit = row->unit,
                          .per_second = middle * row->units,
                          .spread = spread_of(runs, b->settings->runs, middle)};
  set_roofline(b, row, &out);
  emit(b, &out);
}

/* --- ceilings ---------------------------------------------------------------------------------------------------- */

struct ceiling_call {
  enum cpu_tier tier;
  void (*run)(uint64_t steps);
  void *data;
  size_t len, passes;
  unsigned log_blocks;
  uint64_t sink;
};

enum { LOOP_STEPS = 1000, GATHER_STEPS = 10000, BUFFER_LOG = 27, STREAM_LEN = 1 << 20 };

static void call_loop(void *context) {
  const struct ceiling_call *c = context;
  c->run(LOOP_STEPS);
}
static void call_stream(void *context) {
  const struct ceiling_call *c = context;
  ceiling_stream(c->tier, c->data, c->len, c->passes);
}
static void call_gather(void *context) {
  struct ceiling_call *c = context;
  c->sink += ceiling_gather(c->data, c->log_blocks, GATHER_STEPS);
}

static void measure_ceiling(struct bench *b, enum ceiling ceiling, double units, bench_call call, void *context) {
  double runs[RUNS_MAX];
  if (!together(b)) return;
  measure(b, call, context, runs);
  if (b->thread) return;
  const double middle = median(runs, b->settings->runs);
  const fusion_bench_row out = {.group = "ceiling",
                                .name = ceiling_name(ceiling),
                                .tier = cpu_tier_name(b->tier),
                                .unit = ceiling_unit(ceiling),
                                .per_second = middle * units,
                                .spread = spread_of(runs, b->settings->runs, middle)};
  b->shared->ceiling[b->tier][ceiling] = out.per_second;
  if (bench_wanted(b, out.group, out.name)) emit(b, &out);
}

static void measure_ceilings(struct bench *b) {
  static const struct {
    enum ceiling ceiling;
    unsigned log_len;
  } levels[] = {{CEILING_L1, 14}, {CEILING_L2, 18}, {CEILING_L3, 23}, {CEILING_DRAM, BUFFER_LOG}};
  struct ceiling_call c = {.tier = b->tier};
  c.data = bench_alloc(b, (size_t)1 << BUFFER_LOG, 1);
  if (bench_ready(b)) {
    memset(c.data, (int)b->thread + 1, (size_t)1 << BUFFER_LOG);
    const struct ceiling_loop *loops = ceiling_loops(b->tier);
    for (enum ceiling i = CEILING_NONE + 1; i < CEILING_L1; i++) {
      c.run = loops[i].run;
      /* The portable AES enciphers a buffer a step. */
      if (c.run) measure_ceiling(b, i, LOOP_STEPS * loops[i].units, call_loop, &c);
    }
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
      c.len = (size_t)1 << levels[i].log_len;
      c.passes = size_max(1, STREAM_LEN >> levels[i].log_len);
      /* Beyond the first level a line is read before it is written: that third counts twice. */
      const double moved = (levels[i].ceiling == CEILING_L1 ? 1 : 4.0 / 3) * (double)c.len;
      measure_ceiling(b, levels[i].ceiling, moved * (double)c.passes, call_stream, &c);
    }
    for (unsigned log_blocks = 16; log_blocks <= 18; log_blocks += 2) {
      c.log_blocks = log_blocks;
      measure_ceiling(b, log_blocks == 16 ? CEILING_GATHER_1M : CEILING_GATHER_4M, 12.0 * GATHER_STEPS, call_gather,
                      &c);
    }
  }
  mem_free(c.data);
}

/* --- two parties ------------------------------------------------------------------------------------------------- */

struct pair_run {
  struct bench_end end;
  const struct bench_protocol *protocol;
  unsigned runs;
  double wall[RUNS_MAX], cpu[RUNS_MAX];
  uint64_t bytes; /* sent in the timed runs */
  fusion_status status;
};

static void *run_party(void *arg) {
  struct pair_run *p = arg;
  fusion_status status = FUSION_OK;
  TRY(p->protocol->open(&p->end));
  TRY(p->protocol->run(&p->end));
  TRY(channel_flush(p->end.channel));
  p->bytes = channel_get_stats(p->end.channel).bytes_sent;
  for (unsigned i = 0; i < p->runs; i++) {
    const double wall = clock_seconds(), cpu = clock_cpu_seconds();
    TRY(p->protocol->run(&p->end));
    TRY(channel_flush(p->end.channel));
    p->wall[i] = clock_seconds() - wall;
    p->cpu[i] = clock_cpu_seconds() - cpu;
  }
  p->bytes = channel_get_stats(p->end.channel).bytes_sent - p->bytes;
cleanup:
  p->status = status;
  p->protocol->close(&p->end);
  if (status != FUSION_OK) { /* the other party must not wait */
    channel_close(p->end.channel);
    p->end.channel = NULL;
  }
  return NULL;
}

static fusion_status run_pair(struct pair_run *server, struct pair_run *client) {
  pthread_t thread;
  fusion_status status = channel_pipe(&server->end.channel, &client->end.channel);
  if (status != FUSION_OK) return status;
  if (pthread_create(&thread, NULL, run_party, server)) {
    status = FUSION_E_RESOURCE;
  } else {
    run_party(client);
    pthread_join(thread, NULL);
    status = server->status != FUSION_OK && server->status != FUSION_E_CLOSED ? server->status : client->status;
    if (status == FUSION_OK) status = server->status;
  }
  channel_close(server->end.channel);
  channel_close(client->end.channel);
  return status;
}

void bench_pair(struct bench *b, const struct bench_row *row, const struct bench_protocol *protocol, const void *task) {
  if (!b->protocols || b->settings->threads > 1 || failed(b) || !bench_wanted(b, row->group, row->name)) return;
  struct pair_run server = {
      .end = {.role = ROLE_SERVER, .task = task}, .protocol = protocol, .runs = b->settings->runs};
  struct pair_run client = server;
  client.end.role = ROLE_CLIENT;
  const fusion_status status = run_pair(&server, &client);
  if (status != FUSION_OK) {
    fail(b, status);
    return;
  }
  const unsigned runs = b->settings->runs;
  const double wall = median(client.wall, runs), each = 1 / (row->units * runs);
  const fusion_bench_row out = {.group = row->group,
                                .name = row->name,
                                .tier = cpu_tier_name(b->tier),
                                .unit = row->unit,
                                .per_second = row->units / wall,
                                .spread = spread_of(client.wall, runs, wall),
                                .server_cpu_ns = 1e9 * median(server.cpu, runs) / row->units,
                                .client_cpu_ns = 1e9 * median(client.cpu, runs) / row->units,
                                .bytes_to_server = (double)client.bytes * each,
                                .bytes_to_client = (double)server.bytes * each};
  emit(b, &out);
}

/* --- the whole --------------------------------------------------------------------------------------------------- */

static void *run_modules(void *arg) {
  struct bench *b = arg;
  pthread_mutex_lock(&b->shared->gate);
  const bool abandoned = b->shared->abandoned;
  pthread_mutex_unlock(&b->shared->gate);
  if (!abandoned) b->shared->rows(b);
  return NULL;
}

static void all_rows(struct bench *b) {
  measure_ceilings(b);
  bench_kernels(b, "lattice");
  bench_kernels(b, "slots");
  bench_packing(b);
  bench_kernels(b, "ot");
  bench_kernels(b, "share");
  bench_share(b);
  bench_kernels(b, "model");
  bench_plain(b);
  bench_protocols(b);
}

static fusion_status run_tier(struct bench_shared *shared, struct bench *threads, enum cpu_tier tier,
                              enum cpu_tier usual, bool first) {
  const unsigned count = shared->settings->threads;
  pthread_t ids[THREADS_MAX];
  unsigned started = 1;
  fusion_status status = cpu_tier_force(tier);
  if (status != FUSION_OK) return status;
  for (unsigned t = 0; t < count; t++)
    threads[t] = (struct bench){shared->settings, tier, first, tier == usual, t, shared};
  pthread_mutex_lock(&shared->gate);
  for (; started < count; started++)
    if (pthread_create(&ids[started], NULL, run_modules, &threads[started])) break;
  shared->abandoned = started < count;
  pthread_mutex_unlock(&shared->gate);
  run_modules(&threads[0]);
  for (unsigned t = 1; t < started; t++) pthread_join(ids[t], NULL);
  if (shared->abandoned) return FUSION_E_RESOURCE;
  return (fusion_status)atomic_load(&shared->failure);
}

fusion_status bench_rows(const fusion_bench_settings *settings, void (*rows)(struct bench *b), fusion_error *err) {
  if (!settings->row || !settings->threads || settings->threads > THREADS_MAX || !settings->runs ||
      settings->runs > RUNS_MAX || !(settings->seconds > 0 && settings->seconds <= 60))
    return error_set(err, FUSION_E_USAGE, "bench: threads, runs or seconds out of range, or no receiver of rows");
  struct bench_shared *shared = mem_alloc(1, sizeof *shared);
  struct bench *threads = mem_alloc(settings->threads, sizeof *threads);
  const enum cpu_tier usual = cpu_tier();
  fusion_status status = FUSION_E_MEMORY;
  if (shared && threads && !pthread_barrier_init(&shared->barrier, NULL, settings->threads) &&
      !pthread_mutex_init(&shared->gate, NULL)) {
    shared->settings = settings;
    shared->rows = rows;
    status = FUSION_OK;
    for (int tier = (int)usual; status == FUSION_OK && tier >= (settings->all_tiers ? 0 : (int)usual); tier--)
      status = run_tier(shared, threads, (enum cpu_tier)tier, usual, tier == (int)usual);
    const fusion_status restored = cpu_tier_force(usual);
    if (status == FUSION_OK) status = restored;
    pthread_mutex_destroy(&shared->gate);
    pthread_barrier_destroy(&shared->barrier);
  }
  mem_free(threads);
  mem_free(shared);
  return status == FUSION_OK ? status : error_set(err, status, "bench: %s", fusion_status_text(status));
}

fusion_status bench_micro(const fusion_bench_settings *settings, fusion_error *err) {
  return bench_rows(settings, all_rows, err);
}
