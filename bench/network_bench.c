/* A whole network through the cheetah stack, one core a party over TCP on loopback: time and bytes a sample by stage.
 * usage: bench_network [MODEL.fsn SAMPLES [SHARD_SAMPLES [lan|wan]]]
 * Without arguments: an MLP 784-128-128-128-10 with random weights, in the rings that a trained one gets, 868 samples.
 * Inputs are random; every answer is compared with the plaintext executor's. Each party is a process of its own, so
 * that memory and processor time are told apart. */
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

struct end {
  const struct model *model;
  struct listener *listener;
  const struct shape_settings *shape;
  size_t samples, shard;
  int core;
  const int64_t *inputs;
  int64_t *answers;
  struct stack_stats stats;
  struct channel_stats channel_stats;
  double setup_seconds, run_seconds, cpu_seconds;
  long peak_kib;
  fusion_status status;
  fusion_error error;
};

static const struct net_limits limits = {.connect_timeout_ms = 10000, .timeout_ms = 600000};

static void pin(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET((size_t)core, &set);
  sched_setaffinity(0, sizeof set, &set);
}

static fusion_status connect_end(struct end *e, struct channel **channel) {
  struct net_peer peer;
  fusion_status status;
  if (e->core == 0) {
    int fd;
    status = listener_wait(e->listener, &fd, -1, &e->error);
    if (status == FUSION_OK) status = listener_handshake(e->listener, channel, fd, &limits, &peer, &e->error);
  } else {
    struct net_address address;
    char text[32];
    snprintf(text, sizeof text, "127.0.0.1:%u", listener_port(e->listener));
    status = net_address_parse(&address, text, &e->error);
    if (status == FUSION_OK) status = channel_dial(channel, &address, NULL, &limits, &peer, &e->error);
  }
  if (status == FUSION_OK && e->shape) status = channel_shape(channel, e->shape);
  return status;
}

static fusion_status run_shards(struct end *e, struct stack_session *s) {
  const struct stack *stack = stack_find("cheetah");
  const struct plan *plan = &e->model->plan;
  const size_t in_size = shape_size(plan->steps[0].out.shape), out_size = plan_answer_size(plan);
  for (size_t done = 0; done < e->samples; done += e->shard) {
    const size_t n = size_min(e->shard, e->samples - done);
    const fusion_status status =
        e->core == 0 ? stack->run_server(s, n)
                     : stack->run_client(s, e->inputs + done * in_size, e->answers + done * out_size, n);
    if (status != FUSION_OK) return status;
  }
  return FUSION_OK;
}

static double cpu_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void run_end(struct end *e) {
  const struct stack *stack = stack_find("cheetah");
  struct channel *channel = NULL;
  struct stack_session *s = NULL;
  pin(e->core);
  e->status = connect_end(e, &channel);
  const double start = clock_seconds(), cpu_start = cpu_now();
  if (e->status == FUSION_OK)
    e->status = e->core == 0 ? stack->open_server(&s, e->model, channel, e->samples)
                             : stack->open_client(&s, &e->model->plan, channel, e->samples);
  e->setup_seconds = clock_seconds() - start;
  if (e->status == FUSION_OK) e->status = run_shards(e, s);
  e->run_seconds = clock_seconds() - start - e->setup_seconds;
  e->cpu_seconds = cpu_now() - cpu_start;
  if (channel && e->status != FUSION_OK) e->error = *channel_error(channel);
  if (s) e->stats = stack->stats(s);
  if (channel) e->channel_stats = channel_get_stats(channel);
  stack->close(s);
  channel_close(channel);
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  e->peak_kib = usage.ru_maxrss;
}

static void report(const struct end *server, const struct end *c, size_t wrong) {
  const double n = (double)c->samples;
  const double bytes = (double)(c->channel_stats.bytes_sent + c->channel_stats.bytes_received);
  printf(
      "%zu samples, shards of %zu: set-up %.2f s, then %.3f s: %.3f ms a sample; in all %.3f ms, %.1f KiB a sample\n",
      c->samples, c->shard, c->setup_seconds, c->run_seconds, 1e3 * c->run_seconds / n,
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
  if (client->status != FUSION_OK && client->channel_stats.messages_sent == 0) kill(child, SIGTERM);
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

int main(int argc, char **argv) {
  if (argc == 2 || argc > 5) {
    fprintf(stderr, "usage: bench_network [MODEL.fsn SAMPLES [SHARD_SAMPLES [lan|wan]]]\n");
    return 2;
  }
  fusion_error err = {0};
  fusion_status status = FUSION_OK;
  struct model *model = argc > 1 ? NULL : mlp();
  struct net_address any;
  struct end *server = mmap(NULL, sizeof *server, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  size_t wrong = 0;
  if (server == MAP_FAILED) return 1;
  server->samples = argc > 2 ? strtoul(argv[2], NULL, 10) : 868;
  server->shard = argc > 3 ? strtoul(argv[3], NULL, 10) : server->samples;
  if (argc > 4) server->shape = strcmp(argv[4], "wan") ? &shaped_lan : &shaped_wan;
  FAIL_IF(!server->samples || !server->shard, FUSION_E_USAGE);
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
