#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cpu_tier.h"
#include "base/machine.h"
#include "support/support.h"

static void put(const char *path, const char *text) {
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  fputs(text, f);
  fclose(f);
}

static void machine__the_least_limit_of_all_groups_holds(void **state) {
  (void)state;
  char folder[] = "/tmp/fusion-machine-XXXXXX", self[64], a[64], b[64], of_a[96], of_b[96];
  assert_non_null(mkdtemp(folder));
  snprintf(self, sizeof self, "%s/self", folder);
  snprintf(a, sizeof a, "%s/a", folder);
  snprintf(b, sizeof b, "%s/a/b", folder);
  snprintf(of_a, sizeof of_a, "%s/memory.max", a);
  snprintf(of_b, sizeof of_b, "%s/memory.max", b);
  assert_int_equal(mkdir(a, 0700) | mkdir(b, 0700), 0);
  put(self, "4:memory:/old\n0::/a/b\n");
  assert_true(machine_cgroup_limit(self, folder) == UINT64_MAX);
  put(of_a, "max\n");
  put(of_b, "1073741824\n");
  assert_int_equal(machine_cgroup_limit(self, folder), 1 << 30);
  put(of_a, "536870912\n");
  assert_int_equal(machine_cgroup_limit(self, folder), 1 << 29);
  put(self, "4:memory:/a\n");
  assert_true(machine_cgroup_limit(self, folder) == UINT64_MAX);
  unlink(of_a), unlink(of_b), unlink(self);
  assert_int_equal(rmdir(b) | rmdir(a) | rmdir(folder), 0);
}

static void machine__a_limit_of_the_process_holds(void **state) {
  (void)state;
  struct rlimit before;
  assert_int_equal(getrlimit(RLIMIT_DATA, &before), 0);
  const struct rlimit limit = {(rlim_t)256 << 20, before.rlim_max};
  assert_int_equal(setrlimit(RLIMIT_DATA, &limit), 0);
  assert_in_range(mem_half_of_machine(), 1, 128 << 20);
  assert_int_equal(setrlimit(RLIMIT_DATA, &before), 0);
}

/* As under `taskset`: what others may use does not shrink with it. */
static void machine__cores_of_a_pinned_process(void **state) {
  (void)state;
  cpu_set_t before, one;
  const unsigned all = cpu_cores_of_all();
  assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
  assert_in_range(cpu_cores(), 1, all);
  CPU_ZERO(&one);
  for (size_t i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++)
    if (CPU_ISSET(i, &before)) CPU_SET(i, &one);
  assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
  assert_int_equal(cpu_cores(), 1);
  assert_int_equal(cpu_cores_of_all(), all);
  assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(machine__the_least_limit_of_all_groups_holds),
                                     cmocka_unit_test(machine__a_limit_of_the_process_holds),
                                     cmocka_unit_test(machine__cores_of_a_pinned_process)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
