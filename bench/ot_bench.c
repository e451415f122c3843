/* Correlations and hashes: rates and traffic. Both parties run in this process, one thread each.
 *
 * Rates are given twice: by the clock on the wall (both parties and their waits) and by each party's own processor
 * time, which other work on the machine disturbs less. */
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/cpu.h"
#include "ot/cot_silent.h"
#include "ot/ggm.h"
#include "ot/lpn.h"
#include "ot/silent_field.h"
#include "ot/softspoken.h"
#include "rand/tccr.h"

enum { TAKE = 1 << 16 };

static double thread_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void require(fusion_status status, const char *what) {
  if (status == FUSION_OK) return;
  fprintf(stderr, "%s: %s\n", what, fusion_status_text(status));
  exit(1);
}

static void *require_memory(void *p) {
  if (!p) require(FUSION_E_MEMORY, "bench");
  return p;
}

struct end {
  struct channel *channel;
  enum role role;
  const struct silent_params *params;
  uint64_t warm, count; /* correlations taken before and while the clock runs; the server sends */
  double open_seconds, warm_seconds, wall, cpu;
  uint64_t bytes; /* both ways, while the clock runs */
};

static void take_many(struct end *e, struct cot *cot, block *out, uint64_t count) {
  for (uint64_t done = 0; done < count; done += TAKE) {
    require(e->role == ROLE_SERVER ? cot_take_sender(cot, out, TAKE, NULL) : cot_take_receiver(cot, out, TAKE, NULL),
            "take");
  }
}

static void *run_end(void *arg) {
  struct end *e = arg;
  struct prg *prg;
  struct cot *cot;
  block *out = require_memory(mem_alloc(TAKE, sizeof(block)));
  const double start = clock_seconds();
  require(prg_new_random(&prg), "prg");
  require(cot_open_silent(&cot, e->role, e->channel, prg, e->params), "open");
  e->open_seconds = clock_seconds() - start;
  take_many(e, cot, out, e->warm);
  e->warm_seconds = clock_seconds() - start;
  const struct channel_stats before = channel_get_stats(e->channel);
  const double wall = clock_seconds(), cpu = thread_seconds();
  take_many(e, cot, out, e->count);
  e->cpu = thread_seconds() - cpu;
  e->wall = clock_seconds() - wall;
  const struct channel_stats after = channel_get_stats(e->channel);
  e->bytes = after.bytes_sent - before.bytes_sent + after.bytes_received - before.bytes_received;
  cot_close(cot);
  prg_free(prg);
  mem_free(out);
  return NULL;
}

static void bench_silent(const char *name, struct silent_params params, uint64_t warm, uint64_t count) {
  struct end ends[2];
  pthread_t server;
  struct channel *channels[2];
  require(channel_pipe(&channels[ROLE_SERVER], &channels[ROLE_CLIENT]), "pipe");
  for (int i = 0; i < 2; i++) {
    ends[i] =
        (struct end){.channel = channels[i], .role = (enum role)i, .params = &params, .warm = warm, .count = count};
  }
  if (pthread_create(&server, NULL, run_end, &ends[ROLE_SERVER])) require(FUSION_E_RESOURCE, "thread");
  run_end(&ends[ROLE_CLIENT]);
  pthread_join(server, NULL);
  printf(
      "%-22s %6.1f M/s wall, %6.1f M/s sender cpu, %6.1f M/s receiver cpu, %.4f B each, open %.1f ms, first %.1f ms\n",
      name, (double)count / ends[ROLE_CLIENT].wall * 1e-6, (double)count / ends[ROLE_SERVER].cpu * 1e-6,
      (double)count / ends[ROLE_CLIENT].cpu * 1e-6, (double)ends[ROLE_SERVER].bytes / (double)count,
      ends[ROLE_CLIENT].open_seconds * 1e3, ends[ROLE_CLIENT].warm_seconds * 1e3);
  channel_close(channels[0]);
  channel_close(channels[1]);
}

static void bench_tccr(enum cpu_tier tier) {
  enum { COUNT = 1 << 12, ROUNDS = 200 };
  block *blocks = require_memory(mem_alloc(COUNT, sizeof(block)));
  const struct tccr h = {.domain = 1};
  require(cpu_tier_force(tier), "tier");
  tccr_hash(&h, blocks, blocks, COUNT, (block){0}, 0);
  const double start = thread_seconds();
  for (uint64_t i = 0; i < ROUNDS; i++) tccr_hash(&h, blocks, blocks, COUNT, (block){0}, i * COUNT);
  printf("tccr %-17s %6.1f M hashes/s\n", cpu_tier_name(tier), COUNT * ROUNDS / (thread_seconds() - start) * 1e-6);
  mem_free(blocks);
}

static void bench_kernels(enum cpu_tier tier, const struct silent_set *set) {
  const size_t leaves = (size_t)1 << set->depth, trees = 64, count = leaves * trees;
  static const uint8_t bytes[AES_KEY_LEN] = {1};
  struct aes_key key;
  block sums[GGM_DEPTH_MAX], root = {0};
  struct ggm_hole hole;
  block *out = require_memory(mem_alloc(count, sizeof(block)));
  block *vector = require_memory(mem_alloc(silent_set_k(set) * LPN_TOGETHER, sizeof(block)));
  const size_t together = set->together;
  const struct lpn_vectors vectors = {.blocks = vector,
                                      .factor = set->factor,
                                      .shift = set->shift,
                                      .width = together > 1 ? LPN_TOGETHER : 1,
                                      .count = together};
  block *powers = require_memory(mem_alloc(FIELD_FOLD, sizeof(block)));
  double t[5], best[4] = {INFINITY, INFINITY, INFINITY, INFINITY};
  require(aes_ops_of(tier)->open(&key, bytes), "key");
  for (int round = 0; round < 8; round++) { /* the best of each: others may be at work in the shared cache */
    t[0] = thread_seconds();
    for (size_t i = 0; i < trees; i++) {
      ggm_expand(ggm_ops_of(tier), &key, out + i * leaves, sums, root, block_make(5, i), set->depth);
    }
    t[1] = thread_seconds();
    for (size_t i = 0; i < trees; i++) {
      ggm_expand_punctured(ggm_ops_of(tier), &key, out + i * leaves, &hole, sums, i, set->depth);
    }
    t[2] = thread_seconds();
    for (size_t i = 0; i < count; i += FIELD_FOLD) root = block_xor(root, field_ops_of(tier)->fold(powers, out + i));
    t[3] = thread_seconds();
    /* As growing does it: a tree of each of the iterations that share a matrix at a time. */
    for (size_t i = 0; i < trees / together; i++)
      lpn_ops_of(tier)->encode(&key, out + i * together * leaves, leaves, i * leaves, leaves, &vectors);
    t[4] = thread_seconds();
    for (int i = 0; i < 4; i++) best[i] = fmin(best[i], (t[i + 1] - t[i]) / (double)count * 1e9);
  }
  printf("kernels %-6s %-7s ns a correlation: grow %.2f, punctured %.2f, fold %.2f, encode %.2f\n", set->name,
         cpu_tier_name(tier), best[0], best[1], best[2], best[3]);
  aes_ops_of(tier)->close(&key);
  mem_free(out);
  mem_free(vector);
  mem_free(powers);
}

int main(void) {
  const enum cpu_tier best = cpu_tier_best();
  for (int tier = 0; tier <= (int)best; tier++) bench_tccr((enum cpu_tier)tier);
  for (int tier = 0; tier <= (int)best; tier++) {
    bench_kernels((enum cpu_tier)tier, &silent_set_lan);
    bench_kernels((enum cpu_tier)tier, &silent_set_wan);
  }
  for (int tier = 0; tier <= (int)best; tier++) {
    const uint64_t unit = tier == CPU_TIER_C ? 1 << 21 : 1 << 24;
    char name[32];
    require(cpu_tier_force((enum cpu_tier)tier), "tier");
    snprintf(name, sizeof name, "silent lan %s", cpu_tier_name((enum cpu_tier)tier));
    bench_silent(name, (struct silent_params){.profile = SILENT_LAN}, TAKE, unit);
    snprintf(name, sizeof name, "silent wan %s", cpu_tier_name((enum cpu_tier)tier));
    bench_silent(name, (struct silent_params){.profile = SILENT_WAN}, TAKE, unit);
  }
  return 0;
}
