#include "support/support.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

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
