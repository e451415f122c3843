/* Figures of the lattice code: transforms, sampling, the matrix product, whole layers through an in-memory pipe.
 * Usage: bench_lattice [c|avx2|avx512 [part of a layer's name]]. Medians of several runs, processor time of the thread.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lattice/kernels.h"
#include "lattice/layout.h"
#include "lattice/linear.h"

enum { RUNS = 3 };

static int compare(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double thread_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double median(double *seconds) {
  qsort(seconds, RUNS, sizeof *seconds, compare);
  return seconds[RUNS / 2];
}

static void *must(void *p) {
  if (!p) exit(1);
  return p;
}

static void bench_ntt(const struct lattice_kernels *kernels, unsigned log_n) {
  enum { REPEAT = 2000 };
  struct ntt_table t;
  if (ntt_table_make(&t, log_n, rlwe_primes[0], rlwe_roots[0]) != FUSION_OK) exit(1);
  uint32_t *a = must(mem_alloc(t.n, sizeof *a));
  for (size_t i = 0; i < t.n; i++) a[i] = (uint32_t)(i * 40503u) % t.m.p;
  double forward[RUNS], inverse[RUNS];
  for (size_t run = 0; run < RUNS; run++) {
    const double begin = thread_seconds();
    for (int k = 0; k < REPEAT; k++) kernels->ntt_forward(a, &t);
    const double middle = thread_seconds();
    for (int k = 0; k < REPEAT; k++) kernels->ntt_inverse(a, &t);
    forward[run] = middle - begin;
    inverse[run] = thread_seconds() - middle;
  }
  printf("ntt %zu: forward %.2f us, inverse %.2f us\n", t.n, median(forward) / REPEAT * 1e6,
         median(inverse) / REPEAT * 1e6);
  mem_free(a);
  ntt_table_free(&t);
}

static void bench_elementwise(const struct lattice_kernels *kernels) {
  enum { COUNT = 2048, REPEAT = 1000 };
  const struct modulus moduli[2] = {mod_make(rlwe_primes[0]), mod_make(rlwe_primes[1])};
  uint32_t *a = must(mem_alloc(COUNT, 4)), *b = must(mem_alloc(COUNT, 4)), *c = must(mem_alloc(2 * COUNT, 4));
  uint64_t *x = must(mem_alloc(COUNT, 8));
  int32_t *small = must(mem_alloc(COUNT, 4));
  const uint32_t *lower[2] = {a, NULL};
  for (size_t i = 0; i < COUNT; i++) {
    a[i] = b[i] = (uint32_t)(i * 65537u) % moduli[0].p;
    x[i] = i * UINT64_C(0x9e3779b97f4a7c15);
  }
#define TIME(name, call)                                                             \
  do {                                                                               \
    double seconds[RUNS];                                                            \
    for (size_t run = 0; run < RUNS; run++) {                                        \
      const double begin = thread_seconds();                                         \
      for (int k = 0; k < REPEAT; k++) call;                                         \
      seconds[run] = thread_seconds() - begin;                                       \
    }                                                                                \
    printf("%-14s %.3f ns a value\n", name, median(seconds) / REPEAT / COUNT * 1e9); \
  } while (0)
  TIME("multiply", kernels->multiply(c, a, b, COUNT, &moduli[0]));
  TIME("reduce", kernels->reduce_signed(c, (const int64_t *)(const void *)x, COUNT / 2, &moduli[0]));
  TIME("encode", kernels->encode(c, x, COUNT, 26, 12345, &moduli[0]));
  TIME("noise", kernels->noise(small, x, COUNT));
  TIME("ternary", kernels->ternary(small, x, COUNT));
  TIME("add_small", kernels->add_small(c, a, small, COUNT, &moduli[0]));
  TIME("fraction", kernels->add_fraction(x, a, COUNT, 77777, &moduli[0]));
  TIME("mixed_digit", kernels->mixed_digit(c, a, lower, 1, COUNT, moduli));
  TIME("accept_below", (void)kernels->accept_below(c, COUNT, b, COUNT, moduli[0].p));
#undef TIME
  mem_free(a);
  mem_free(b);
  mem_free(c);
  mem_free(x);
  mem_free(small);
}

static void bench_matrix(const struct lattice_kernels *kernels, size_t outs, size_t rows, unsigned weight_bits) {
  const size_t lanes = 2048, blocks = lanes / MATRIX_LANES;
  int16_t *weights = must(mem_alloc(outs * rows, sizeof *weights));
  int32_t *a = must(mem_alloc(rows * lanes + MATRIX_LANES, sizeof *a));
  uint32_t *base = must(mem_alloc(rows, sizeof *base));
  int64_t *out = must(mem_alloc(outs * MATRIX_LANES, sizeof *out));
  void *scratch = must(mem_alloc(kernels->matrix_scratch(rows), 1));
  struct matrix_weights w;
  for (size_t i = 0; i < outs * rows; i++)
    weights[i] = (int16_t)((int)(i * 7919 % (1u << weight_bits)) - (1 << (weight_bits - 1)));
  for (size_t i = 0; i < rows * lanes; i++) a[i] = (int32_t)(i * 2654435761u >> 6) - (1 << 25);
  for (size_t r = 0; r < rows; r++) base[r] = (uint32_t)(r * lanes);
  if (kernels->matrix_pack(&w, weights, outs, rows, weight_bits) != FUSION_OK) exit(1);
  double seconds[RUNS];
  for (size_t run = 0; run < RUNS; run++) {
    const double begin = thread_seconds();
    for (size_t k = 0; k < blocks; k++) kernels->matrix(out, a + k * MATRIX_LANES, base, &w, scratch);
    seconds[run] = thread_seconds() - begin;
  }
  const double products = (double)outs * (double)rows * (double)lanes / median(seconds) * 1e-9;
  printf("matrix %4zu x %4zu, %2u-bit weights: %6.2f G limb products/s (%.2f G encrypted MACs/s at 2 limbs)\n", outs,
         rows, weight_bits, products, products / 4);
  matrix_weights_free(&w);
  mem_free(weights);
  mem_free(a);
  mem_free(base);
  mem_free(out);
  mem_free(scratch);
}

struct party_run {
  struct linear_layer layer;
  size_t samples;
  int16_t *weights;
  int64_t *bias;
  uint64_t *x, *y;
  struct channel *channel;
  double seconds, wall; /* processor time of the thread */
};

static void *run_server(void *arg) {
  struct party_run *p = arg;
  struct rlwe *r;
  struct prg *prg;
  if (prg_new_random(&prg) != FUSION_OK || rlwe_open_server(&r, p->channel, prg) != FUSION_OK) exit(1);
  /* The second run is timed: the session's working memory is there. */
  for (int k = 0; k < 2; k++) {
    const double begin = thread_seconds();
    if (linear_server(r, &p->layer, p->weights, p->bias, p->x, p->y, p->samples) != FUSION_OK) exit(1);
    p->seconds = thread_seconds() - begin;
  }
  rlwe_close(r);
  prg_free(prg);
  return NULL;
}

static void *run_client(void *arg) {
  struct party_run *p = arg;
  struct rlwe *r;
  struct prg *prg;
  if (prg_new_random(&prg) != FUSION_OK || rlwe_open_client(&r, p->channel, prg) != FUSION_OK) exit(1);
  for (int k = 0; k < 2; k++) {
    const double begin = thread_seconds(), wall = clock_seconds();
    if (linear_client(r, &p->layer, p->x, p->y, p->samples) != FUSION_OK) exit(1);
    p->seconds = thread_seconds() - begin;
    p->wall = clock_seconds() - wall;
  }
  rlwe_close(r);
  prg_free(prg);
  return NULL;
}

static void bench_layer(const char *name, struct linear_layer layer, size_t samples, const char *peer) {
  const size_t in = samples * layer.in_channels * layer.in_h * layer.in_w;
  const size_t out = samples * layer.out_channels * layer.out_h * layer.out_w;
  const size_t count =
      (size_t)layer.out_channels * (layer.in_channels / layer.groups) * layer.kernel_h * layer.kernel_w;
  struct party_run server = {.layer = layer, .samples = samples}, client = server;
  server.weights = must(mem_alloc(count, sizeof *server.weights));
  server.bias = must(mem_alloc(layer.out_channels, sizeof *server.bias));
  for (size_t i = 0; i < count; i++) server.weights[i] = (int16_t)((int)(i * 7919 % 251) - 125);
  server.layer.rlwe_set = client.layer.rlwe_set = linear_choose_set(&layer, server.weights);
  server.x = must(mem_alloc(in, 8));
  client.x = must(mem_alloc(in, 8));
  server.y = must(mem_alloc(out, 8));
  client.y = must(mem_alloc(out, 8));
  for (size_t i = 0; i < in; i++) client.x[i] = server.x[i] = i * UINT64_C(0x9e3779b97f4a7c15);
  double wall[RUNS], server_cpu[RUNS], client_cpu[RUNS];
  for (size_t run = 0; run < RUNS; run++) {
    pthread_t thread;
    if (channel_pipe(&server.channel, &client.channel) != FUSION_OK) exit(1);
    if (pthread_create(&thread, NULL, run_server, &server)) exit(1);
    run_client(&client);
    pthread_join(thread, NULL);
    wall[run] = client.wall;
    server_cpu[run] = server.seconds;
    client_cpu[run] = client.seconds;
    channel_close(server.channel);
    channel_close(client.channel);
  }
  struct cost cost = {0};
  linear_cost(&cost, &server.layer, samples);
  printf(
      "%s, %zu samples, set %u, %u dropped: server %.1f ms, client %.1f ms, wall %.1f ms; %.2f + %.2f MiB (per sample "
      "%.3f ms, %.2f KiB); %.2f G encrypted MACs/s; %s\n",
      name, samples, rlwe_set_id(server.layer.rlwe_set), rlwe_set_dropped(server.layer.rlwe_set),
      median(server_cpu) * 1e3, median(client_cpu) * 1e3, median(wall) * 1e3, (double)cost.bytes_to_server / 1048576,
      (double)cost.bytes_to_client / 1048576, (median(server_cpu) + median(client_cpu)) * 1e3 / (double)samples,
      (double)(cost.bytes_to_server + cost.bytes_to_client) / 1024 / (double)samples,
      (double)linear_macs(&server.layer, samples) / median(server_cpu) * 1e-9, peer);
  mem_free(server.weights);
  mem_free(server.bias);
  mem_free(server.x);
  mem_free(client.x);
  mem_free(server.y);
  mem_free(client.y);
}

static struct linear_layer layer_of(uint32_t in, uint32_t size, uint32_t out, uint32_t kernel, uint8_t ring) {
  return (struct linear_layer){.in_channels = in,
                               .in_h = size,
                               .in_w = size,
                               .out_channels = out,
                               .out_h = size,
                               .out_w = size,
                               .groups = 1,
                               .kernel_h = kernel,
                               .kernel_w = kernel,
                               .stride_h = 1,
                               .stride_w = 1,
                               .pad_top = kernel / 2,
                               .pad_left = kernel / 2,
                               .dilation_h = 1,
                               .dilation_w = 1,
                               .ring_bits = ring,
                               .guard_bits = 2,
                               .weight_bits = 8};
}

struct bench_case {
  const char *name, *peer;
  struct linear_layer layer;
  size_t samples;
};

static void bench_kernels(void) {
  const struct lattice_kernels *kernels = lattice_kernels(cpu_tier());
  bench_ntt(kernels, 11);
  bench_ntt(kernels, 12);
  bench_elementwise(kernels);
  bench_matrix(kernels, 64, 576, 8);
  bench_matrix(kernels, 128, 784, 12);
  bench_matrix(kernels, 128, 784, 16);
  bench_matrix(kernels, 1, 9, 8);
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int tier = 0; argc > 1 && tier < CPU_TIER_COUNT; tier++)
    if (!strcmp(argv[1], cpu_tier_name((enum cpu_tier)tier)) && cpu_tier_force((enum cpu_tier)tier) != FUSION_OK)
      return 1;
  printf("tier %s, one thread a party, processor time\n", cpu_tier_name(cpu_tier()));
  if (argc < 3) bench_kernels();
  const char *dense = "OpenCheetah 2022, 1 sample: 31 ms, 0.44 MiB", *conv = "1 sample: 1040 ms, 6.9 MiB";
  const struct bench_case cases[] = {
      {"dense 784 to 128", dense, layer_of(784, 1, 128, 1, 26), 868},
      {"dense 784 to 128", dense, layer_of(784, 1, 128, 1, 26), 2660},
      {"dense 128 to 128", "-", layer_of(128, 1, 128, 1, 26), 868},
      {"conv 3x3, 64 to 64, 56x56", conv, layer_of(64, 56, 64, 3, 26), 1},
      {"conv 3x3, 64 to 64, 56x56", conv, layer_of(64, 56, 64, 3, 26), 8},
      {"conv 1x1, 256 to 1024, 14x14", "1 sample: 3500 ms, 31.7 MiB", layer_of(256, 14, 1024, 1, 26), 10},
      {"conv 3x3, 512 to 512, 7x7", "1 sample: 1700 ms, 15.6 MiB", layer_of(512, 7, 512, 3, 26), 32},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (argc < 3 || strstr(cases[i].name, argv[2]))
      bench_layer(cases[i].name, cases[i].layer, cases[i].samples, cases[i].peer);
  return 0;
}
