/* Runs every kernel at the sizes that `fusion bench` times, on the portable and on the best tier, between marks for
 * count_plugin.c. A line each: group, kernel, unit, tier, units of a run; the plugin ends it with the count.
 * usage: bench_count [TEXT]     kernels whose name has TEXT */
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernels/kernel_registry.h"

static void mark(long which) {
  (void)syscall(SYS_getppid, which);
}

static fusion_status count(const struct kernel_module *module, const struct kernel_row *row,
                           const struct kernel_point *p, enum cpu_tier tier) {
  const struct kernel_shape shape = {.tier = tier, .size = p->size, .parameter = p->parameter, .seed = 1};
  struct kernel_run run;
  const fusion_status status = kernel_open(&run, row, &shape);
  if (status == FUSION_OK) {
    row->run(&run); /* the first run links */
    printf("%s\t%s\t%s\t%s\t%.17g\t", module->group, p->name, p->unit, cpu_tier_name(tier), p->units);
    fflush(stdout);
    mark(1);
    row->run(&run);
    mark(2);
  }
  kernel_close(&run);
  return status;
}

int main(int argc, char **argv) {
  const enum cpu_tier tiers[] = {CPU_TIER_C, cpu_tier_best()};
  for (size_t m = 0; m < kernel_modules_count; m++)
    for (size_t i = 0; i < kernel_modules[m]->count; i++)
      for (size_t k = 0; k < KERNEL_POINTS_MAX && kernel_modules[m]->rows[i].points[k].name; k++)
        for (size_t t = 0; t < 2; t++) {
          const struct kernel_row *row = &kernel_modules[m]->rows[i];
          if (argc > 1 && !strstr(row->points[k].name, argv[1])) continue;
          if (count(kernel_modules[m], row, &row->points[k], tiers[t]) != FUSION_OK) return 1;
        }
  return 0;
}
