/* SoftSpoken: set-up time, and each party's own time per correlation with its bytes, for every CPU tier and field.
 * One thread: a party's messages wait in the pipe while the other is timed. Medians of five. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "ot/softspoken.h"
#include "ot/softspoken_kernels.h"

enum { REPEATS = 5 };
static const size_t count = (size_t)1 << 20;

struct end {
  struct channel *channel;
  enum role role;
  unsigned field_bits;
  struct softspoken_sender *sender;
  struct softspoken_receiver *receiver;
  fusion_status status;
};

static void *open_end(void *arg) {
  struct end *e = arg;
  struct prg *prg = NULL;
  e->status = prg_new_random(&prg);
  if (e->status != FUSION_OK) return NULL;
  const struct softspoken_setup setup = {
      .channel = e->channel, .prg = prg, .role = e->role, .session = 1, .field_bits = e->field_bits};
  e->status = softspoken_open(&e->sender, &e->receiver, &setup);
  prg_free(prg);
  return NULL;
}

static int compare(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *x) {
  qsort(x, REPEATS, sizeof *x, compare);
  return x[REPEATS / 2];
}

static void check(fusion_status status) {
  if (status == FUSION_OK) return;
  fprintf(stderr, "%s\n", fusion_status_text(status));
  exit(1);
}

static void bench(enum cpu_tier tier, unsigned field_bits, block *out) {
  struct end server = {.role = ROLE_SERVER, .field_bits = field_bits};
  struct end client = {.role = ROLE_CLIENT, .field_bits = field_bits};
  double send[REPEATS], receive[REPEATS];
  pthread_t thread;
  check(cpu_tier_force(tier));
  check(channel_pipe(&server.channel, &client.channel));
  const double start = clock_seconds();
  if (pthread_create(&thread, NULL, open_end, &server)) exit(1);
  open_end(&client);
  pthread_join(thread, NULL);
  const double opened = clock_seconds() - start;
  check(server.status);
  check(client.status);
  const uint64_t bytes = channel_get_stats(client.channel).bytes_sent;
  for (size_t i = 0; i < REPEATS; i++) {
    const double begin = clock_seconds();
    check(softspoken_receive(client.receiver, out, count));
    check(channel_flush(client.channel));
    const double middle = clock_seconds();
    check(softspoken_send(server.sender, out, count));
    receive[i] = middle - begin;
    send[i] = clock_seconds() - middle;
  }
  const double n = (double)count;
  printf("%-7s k=%u  open %5.1f ms  receiver %6.1f M/s  sender %6.1f M/s  %.3f bytes each\n", cpu_tier_name(tier),
         field_bits, 1e3 * opened, 1e-6 * n / median(receive), 1e-6 * n / median(send),
         (double)(channel_get_stats(client.channel).bytes_sent - bytes) / (REPEATS * n));
  softspoken_sender_free(server.sender);
  softspoken_sender_free(client.sender);
  softspoken_receiver_free(server.receiver);
  softspoken_receiver_free(client.receiver);
  channel_close(server.channel);
  channel_close(client.channel);
}

int main(void) {
  static const unsigned ks[] = {1, 2, 4, 8};
  block *out = mem_alloc(count, sizeof *out);
  if (!out) return 1;
  for (enum cpu_tier tier = CPU_TIER_C; tier <= cpu_tier_best(); tier++)
    for (size_t i = 0; i < sizeof ks / sizeof *ks; i++) bench(tier, ks[i], out);
  mem_free(out);
  return 0;
}
