#include "support/support.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu_tier.h"

/* FUSION_TEST_TIER=c runs a test as on a processor without vector kernels. */
__attribute__((constructor)) static void take_tier(void) {
  const char *name = getenv("FUSION_TEST_TIER");
  if (!name) return;
  for (int tier = 0; tier < CPU_TIER_COUNT; tier++)
    if (strcmp(cpu_tier_name((enum cpu_tier)tier), name) == 0 && cpu_tier_force((enum cpu_tier)tier) == FUSION_OK)
      return;
  fprintf(stderr, "FUSION_TEST_TIER: '%s' is no tier of this processor\n", name);
  exit(1);
}

uint64_t test_seed(void) {
  uint64_t seed = 0;
  const char *given = getenv("FUSION_TEST_SEED");
  if (given) seed = strtoull(given, NULL, 0);
  if (!given && os_random(&seed, sizeof seed) != FUSION_OK) abort();
  fprintf(stderr, "FUSION_TEST_SEED=%" PRIu64 "\n", seed);
  return seed;
}

uint64_t test_random(uint64_t *state) {
  uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

void test_run_both(void *(*server)(void *), void *server_arg, void *(*client)(void *), void *client_arg) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, server, server_arg)) abort();
  client(client_arg);
  pthread_join(thread, NULL);
}
