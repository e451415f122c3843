/* A whole network through the cheetah stack, one core a party over TCP on loopback: time and bytes a sample by stage.
 * usage: bench_network [MODEL.fsn SAMPLES [SHARD_SAMPLES [lan|wan|none [WORKERS]]]]
 * Without arguments: an MLP 784-128-128-128-10 with random weights, in the rings that a trained one gets, 868 samples.
 * MODEL.fsn may be `mlp` for the same; SHARD_SAMPLES 0: as many as give each worker one shard. WORKERS connections
 * share each party's one core and the shaped line. Inputs are random; every answer is compared with the plaintext
 * executor's. Each party is a process of its own, so that memory and processor time are told apart. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model/execute.h"
#include "model/fsn.h"
#include "net/connect.h"
#include "net/shaped.h"
#include "stack/stack.h"
#include "support/net.h"

enum { WORKERS_MAX = 64 };

/* One party. */
struct end {
  const struct model *model;
  struct listener *listener;
  const struct shape_settings *shape;
  size_t samples, shard, workers;
  int core;
  const int64_t *inputs;
  int64_t *answers;
  pthread_mutex_t lock; /* guards what follows: sums over the workers */
  struct stack_stats stats;
  uint64_t bytes;
  double setup_seconds, run_seconds, cpu_seconds; /* set-up: the longest of any worker */
  long peak_kib;
  fusion_status status;
  fusion_error error;
};

struct worker {
  struct end *end;
  pthread_t thread;
  uint32_t index; /* the client's choice, told to the server: which shards are run */
};

static const struct net_limits limits = {.connect_timeout_ms = 10000, .timeout_ms = 600000};

static void pin(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET((size_t)core, &set);
  sched_setaffinity(0, sizeof set, &set);
}

static fusion_status connect_end(struct worker *w, struct channel **channel, fusion_error *error) {
  const struct end *e = w->end;
  struct net_peer peer;
  fusion_status status;
  if (e->core == 0) {
    int fd;
    status = listener_wait(e->listener, &fd, -1, error);
    if (status == FUSION_OK) status = listener_handshake(e->listener, channel, fd, &limits, &peer, error);
  } else {
    struct net_address address;
    char text[32];
    snprintf(text, sizeof text, "127.0.0.1:%u", listener_port(e->listener));
    status = net_address_parse(&address, text, error);
    if (status == FUSION_OK) status = channel_dial(channel, &address, NULL, &limits, &peer, error);
  }
  if (status == FUSION_OK && e->shape) status = channel_shape(channel, e->shape);
  if (status != FUSION_OK) return status;
  return e->core ? channel_send(*channel, MSG_TEST, &w->index, sizeof w->index)
                 : channel_recv(*channel, MSG_TEST, &w->index, sizeof w->index);
}

/* How many samples a worker runs: every `workers`-th shard. */
static size_t worker_samples(const struct worker *w) {
  const struct end *e = w->end;
  size_t sum = 0;
  for (size_t i = w->index * e->shard; i < e->samples; i += e->workers * e->shard)
    sum += size_min(e->shard, e->samples - i);
  return sum;
}

static fusion_status run_shards(const struct worker *w, struct stack_session *s) {
  const struct end *e = w->end;
  const struct stack *stack = stack_find("cheetah");
  const struct plan *plan = &e->model->plan;
  const size_t in_size = shape_size(plan->steps[0].out.shape), out_size = plan_answer_size(plan);
  for (size_t i = w->index * e->shard; i < e->samples; i += e->workers * e->shard) {
    const size_t n = size_min(e->shard, e->samples - i);
    const fusion_status status = e->core == 0
                                     ? stack->run_server(s, n)
                                     : stack->run_client(s, e->inputs + i * in_size, e->answers + i * out_size, n);
    if (status != FUSION_OK) return status;
  }
  return FUSION_OK;
}

static double cpu_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void add_stats(struct end *e, const struct stack_stats *stats) {
  for (int i = 0; i < STAGE_COUNT; i++) {
    e->stats.seconds[i] += stats->seconds[i];
    e->stats.cpu_seconds[i] += stats->cpu_seconds[i];
    e->stats.bytes_sent[i] += stats->bytes_sent[i];
    e->stats.bytes_received[i] += stats->bytes_received[i];
    if (e->stats.depth[i] < stats->depth[i]) e->stats.depth[i] = stats->depth[i];
  }
}

static void *run_worker(void *arg) {
  struct worker *w = arg;
  struct end *e = w->end;
  const struct stack *stack = stack_find("cheetah");
  struct channel *channel = NULL;
  struct stack_session *s = NULL;
  fusion_error error = {.status = FUSION_OK};
  const double start = clock_seconds();
  fusion_status status = connect_end(w, &channel, &error);
  if (status == FUSION_OK)
    status = e->core == 0 ? stack->open_server(&s, e->model, channel, worker_samples(w))
                          : stack->open_client(&s, &e->model->plan, channel, worker_samples(w));
  const double setup = clock_seconds() - start;
  if (status == FUSION_OK) status = run_shards(w, s);
  if (channel && status != FUSION_OK) error = *channel_error(channel);
  const struct stack_stats stats = s ? stack->stats(s) : (struct stack_stats){0};
  const struct channel_stats moved = channel ? channel_get_stats(channel) : (struct channel_stats){0};
  pthread_mutex_lock(&e->lock);
  add_stats(e, &stats);
  e->bytes += moved.bytes_sent + moved.bytes_received;
  if (e->setup_seconds < setup) e->setup_seconds = setup;
  if (e->status == FUSION_OK && status != FUSION_OK) {
    e->status = status;
    e->error = error;
  }
  pthread_mutex_unlock(&e->lock);
  stack->close(s);
  channel_close(channel);
  return NULL;
}

static void run_end(struct end *e) {
  struct worker workers[WORKERS_MAX];
  pin(e->core);
  const double start = clock_seconds(), cpu_start = cpu_now();
  size_t started = 0;
  for (; started < e->workers; started++) {
    workers[started] = (struct worker){.end = e, .index = (uint32_t)started};
    if (pthread_create(&workers[started].thread, NULL, run_worker, &workers[started])) break;
  }
  if (started < e->workers) e->status = FUSION_E_RESOURCE;
  for (size_t i = 0; i < started; i++) pthread_join(workers[i].thread, NULL);
  e->run_seconds = clock_seconds() - start - e->setup_seconds;
  e->cpu_seconds = cpu_now() - cpu_start;
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  e->peak_kib = usage.ru_maxrss;
}

static void report(const struct end *server, const struct end *c, size_t wrong) {
  const double n = (double)c->samples;
  const double bytes = (double)c->bytes;
  printf(
      "%zu samples, shards of %zu, %zu workers: set-up %.2f s, then %.3f s: %.3f ms a sample; in all %.3f ms, %.1f KiB "
      "a sample\n",
      c->samples, c->shard, c->workers, c->setup_seconds, c->run_seconds, 1e3 * c->run_seconds / n,
      1e3 * (c->setup_seconds + c->run_seconds) / n, bytes / 1024 / n);
  printf("%-10s %12s %12s %12s %14s %14s %8s\n", "stage", "ms a sample", "server CPU", "client CPU", "KiB up/sample",
         "KiB down", "delays");
  for (int i = 0; i < STAGE_COUNT; i++)
    printf("%-10s %12.4f %12.4f %12.4f %14.2f %14.2f %8u\n", stack_stage_name((enum stack_stage)i),
           1e3 * c->stats.seconds[i] / n, 1e3 * server->stats.cpu_seconds[i] / n, 1e3 * c->stats.cpu_seconds[i] / n,
           (double)c->stats.bytes_sent[i] / 1024 / n, (double)c->stats.bytes_received[i] / 1024 / n, c->stats.depth[i]);
  printf("processor time %.3f ms a sample (server), %.3f (client); peak memory %.0f MiB (server), %.0f (client)\n",
         1e3 * server->cpu_seconds / n, 1e3 * c->cpu_seconds / n, (double)server->peak_kib / 1024,
         (double)c->peak_kib / 1024);
  printf("answers that differ from the plaintext executor: %zu\n", wrong);
}

/* Runs the server in a child; *server is shared memory. */
static fusion_status run_both(struct end *server, struct end *client) {
  const pid_t child = fork();
  if (child < 0) return FUSION_E_RESOURCE;
  if (child == 0) {
    run_end(server);
    _exit(0);
  }
  run_end(client);
  int ended = 0;
  if (client->status != FUSION_OK && client->bytes == 0) kill(child, SIGTERM);
  waitpid(child, &ended, 0);
  if (!WIFEXITED(ended)) server->status = FUSION_E_INTERNAL;
  if (server->status == FUSION_OK && client->status == FUSION_OK) return FUSION_OK;
  fprintf(stderr, "server: %d %s\nclient: %d %s\n", server->status, server->error.text, client->status,
          client->error.text);
  return server->status != FUSION_OK ? server->status : client->status;
}

/* The four-layer network of the published measurements. */
static struct model *mlp(void) {
  struct net n = net_open((struct shape){784, 1, 1}, 23, 11, 1);
  const unsigned rings[] = {23, 16, 17, 18}, shifts[] = {9, 8, 8, 2};
  for (uint32_t i = 0; i < 4; i++) {
    const struct shape shape = {i < 3 ? 128 : 10, 1, 1};
    const unsigned next = i < 3 ? rings[i + 1] : 18;
    net_linear(&n, 2 * i, shape, net_dense, 1, rings[i], 8);
    net_add(&n, i < 3 ? PLAN_RELU : PLAN_TRUNCATE, 2 * i + 1, shape, next, rings[i] - shifts[i])->shift =
        (uint8_t)shifts[i];
  }
  return n.model;
}

static fusion_status run(struct end *server, size_t *wrong) {
  fusion_status status = FUSION_OK;
  const struct plan *plan = &server->model->plan;
  const size_t in_count = server->samples * shape_size(plan->steps[0].out.shape);
  const size_t out_count = server->samples * plan_answer_size(plan);
  struct end client = *server;
  int64_t *inputs = mem_alloc(in_count, sizeof *inputs), *expected = mem_alloc(out_count, sizeof *expected);
  client.core = 1;
  client.inputs = inputs;
  client.answers = mem_alloc(out_count, sizeof *client.answers);
  FAIL_IF(!inputs || !expected || !client.answers, FUSION_E_MEMORY);
  TRY(os_random(inputs, in_count * sizeof *inputs));
  for (size_t i = 0; i < in_count; i++) inputs[i] = ring_signed((uint64_t)inputs[i], plan->steps[0].out.value_bits);
  TRY(run_both(server, &client));
  TRY(plan_execute(server->model, inputs, server->samples, expected, NULL));
  *wrong = 0;
  for (size_t i = 0; i < out_count; i++) *wrong += expected[i] != client.answers[i];
  report(server, &client, *wrong);
cleanup:
  mem_free(inputs);
  mem_free(expected);
  mem_free(client.answers);
  return status;
}

/* Which network lies between the parties. */
static const struct shape_settings *shape_of(const char *name) {
  static struct shape_line line = {.lock = PTHREAD_MUTEX_INITIALIZER};
  static struct shape_settings shape;
  if (!strcmp(name, "none")) return NULL;
  shape = strcmp(name, "wan") ? shaped_lan : shaped_wan;
  shape.line = &line;
  return &shape;
}

int main(int argc, char **argv) {
  if (argc == 2 || argc > 6) {
    fprintf(stderr, "usage: bench_network [MODEL.fsn SAMPLES [SHARD_SAMPLES [lan|wan|none [WORKERS]]]]\n");
    return 2;
  }
  fusion_error err = {0};
  fusion_status status = FUSION_OK;
  struct model *model = argc > 1 && strcmp(argv[1], "mlp") ? NULL : mlp();
  struct net_address any;
  struct end *server = mmap(NULL, sizeof *server, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  size_t wrong = 0;
  if (server == MAP_FAILED) return 1;
  server->samples = argc > 2 ? strtoul(argv[2], NULL, 10) : 868;
  server->workers = argc > 5 ? strtoul(argv[5], NULL, 10) : 1;
  FAIL_IF(!server->samples || !server->workers || server->workers > WORKERS_MAX, FUSION_E_USAGE);
  server->shard = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
  if (!server->shard) server->shard = div_up(server->samples, server->workers);
  if (argc > 4) server->shape = shape_of(argv[4]);
  pthread_mutex_init(&server->lock, NULL);
  if (!model) TRY(fsn_load(&model, argv[1], &err));
  TRY(stack_find("cheetah")->prepare(model, &err));
  TRY(net_address_parse(&any, "127.0.0.1:0", &err));
  TRY(listener_open(&server->listener, &any, NULL, &err));
  server->model = model;
  TRY(run(server, &wrong));
  status = wrong && model->plan.rounding == PLAN_ROUNDING_EXACT ? FUSION_E_INTERNAL : FUSION_OK;
cleanup:
  if (status != FUSION_OK) fprintf(stderr, "bench_network: %s\n", err.text[0] ? err.text : fusion_status_text(status));
  listener_close(server->listener);
  model_free(model);
  return status != FUSION_OK;
}
