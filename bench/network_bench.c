/* A whole network through the cheetah stack, one core a party over TCP on loopback: time and bytes a sample by stage.
 * usage: bench_network MODEL.fsn SAMPLES [SHARD_SAMPLES [lan|wan]]
 * Inputs are random; every answer is compared with the plaintext executor's. */
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "model/execute.h"
#include "model/fsn.h"
#include "net/connect.h"
#include "net/shaped.h"
#include "stack/stack.h"

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
  double setup_seconds, run_seconds;
  fusion_status status;
  fusion_error error;
};

static const struct net_limits limits = {.connect_timeout_ms = 10000, .timeout_ms = 600000};

static void pin(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET((size_t)core, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

static fusion_status connect_end(struct end *e, struct channel **channel) {
  struct net_peer peer;
  fusion_status status;
  if (e->core == 0) {
    int fd;
    status = listener_wait(e->listener, &fd, &e->error);
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

static void *run_end(void *arg) {
  struct end *e = arg;
  const struct stack *stack = stack_find("cheetah");
  struct channel *channel = NULL;
  struct stack_session *s = NULL;
  pin(e->core);
  e->status = connect_end(e, &channel);
  const double start = clock_seconds();
  if (e->status == FUSION_OK)
    e->status = e->core == 0 ? stack->open_server(&s, e->model, channel, e->samples)
                             : stack->open_client(&s, &e->model->plan, channel, e->samples);
  e->setup_seconds = clock_seconds() - start;
  if (e->status == FUSION_OK) e->status = run_shards(e, s);
  e->run_seconds = clock_seconds() - start - e->setup_seconds;
  if (channel && e->status != FUSION_OK) e->error = *channel_error(channel);
  if (s) e->stats = stack->stats(s);
  if (channel) e->channel_stats = channel_get_stats(channel);
  stack->close(s);
  channel_close(channel);
  return NULL;
}

static void report(const struct end *c, size_t wrong) {
  const double n = (double)c->samples;
  const double bytes = (double)(c->channel_stats.bytes_sent + c->channel_stats.bytes_received);
  printf(
      "%zu samples, shards of %zu: set-up %.2f s, then %.3f s: %.3f ms a sample; in all %.3f ms, %.1f KiB a sample\n",
      c->samples, c->shard, c->setup_seconds, c->run_seconds, 1e3 * c->run_seconds / n,
      1e3 * (c->setup_seconds + c->run_seconds) / n, bytes / 1024 / n);
  printf("%-10s %12s %14s %14s %8s\n", "stage", "ms a sample", "KiB up/sample", "KiB down", "delays");
  for (int i = 0; i < STAGE_COUNT; i++)
    printf("%-10s %12.4f %14.2f %14.2f %8u\n", stack_stage_name((enum stack_stage)i), 1e3 * c->stats.seconds[i] / n,
           (double)c->stats.bytes_sent[i] / 1024 / n, (double)c->stats.bytes_received[i] / 1024 / n, c->stats.depth[i]);
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  printf("answers that differ from the plaintext executor: %zu; peak memory of both parties together %.0f MiB\n", wrong,
         (double)usage.ru_maxrss / 1024);
}

static int run_both(struct end *server, struct end *client) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, run_end, server)) return 1;
  run_end(client);
  pthread_join(thread, NULL);
  if (server->status == FUSION_OK && client->status == FUSION_OK) return 0;
  fprintf(stderr, "server: %d %s\nclient: %d %s\n", server->status, server->error.text, client->status,
          client->error.text);
  return 1;
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: bench_network MODEL.fsn SAMPLES [SHARD_SAMPLES [lan|wan]]\n");
    return 2;
  }
  fusion_error err = {0};
  struct model *model;
  struct net_address any;
  struct end server = {.core = 0};
  if (fsn_load(&model, argv[1], &err) != FUSION_OK || net_address_parse(&any, "127.0.0.1:0", &err) != FUSION_OK ||
      listener_open(&server.listener, &any, NULL, &err) != FUSION_OK) {
    fprintf(stderr, "bench_network: %s\n", err.text);
    return 1;
  }
  server.model = model;
  server.samples = strtoul(argv[2], NULL, 10);
  server.shard = argc > 3 ? strtoul(argv[3], NULL, 10) : server.samples;
  if (argc > 4) server.shape = strcmp(argv[4], "wan") ? &shaped_lan : &shaped_wan;
  struct end client = server;
  client.core = 1;
  const size_t in_size = shape_size(model->plan.steps[0].out.shape), out_size = plan_answer_size(&model->plan);
  int64_t *inputs = mem_alloc(server.samples * in_size, sizeof *inputs);
  int64_t *expected = mem_alloc(server.samples * out_size, sizeof *expected);
  client.answers = mem_alloc(server.samples * out_size, sizeof *client.answers);
  if (!inputs || !expected || !client.answers || os_random(inputs, server.samples * in_size * 8) != FUSION_OK) return 1;
  for (size_t i = 0; i < server.samples * in_size; i++)
    inputs[i] = ring_signed((uint64_t)inputs[i], model->plan.steps[0].out.value_bits);
  client.inputs = inputs;
  if (run_both(&server, &client)) return 1;
  if (plan_execute(model, inputs, server.samples, expected, NULL) != FUSION_OK) return 1;
  size_t wrong = 0;
  for (size_t i = 0; i < server.samples * out_size; i++) wrong += expected[i] != client.answers[i];
  report(&client, wrong);
  listener_close(server.listener);
  mem_free(inputs);
  mem_free(expected);
  mem_free(client.answers);
  model_free(model);
  return wrong != 0 && model->plan.rounding == PLAN_ROUNDING_EXACT;
}
