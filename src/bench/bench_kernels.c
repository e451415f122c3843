/* Rows of the registered kernels. */
#include "bench/bench_suite.h"
#include "kernels/kernel_registry.h"

static void run_kernel(void *context) {
  struct kernel_run *r = context;
  r->row->run(r);
}

static void bench_point(struct bench *b, const char *group, const struct kernel_row *kernel,
                        const struct kernel_point *p) {
  const struct kernel_shape shape = {.tier = b->tier, .size = p->size, .parameter = p->parameter, .seed = 1};
  const bool own = b->tier == CPU_TIER_C && p->demand_c[0].ceiling != CEILING_NONE;
  struct bench_row row = {.group = group, .name = p->name, .unit = p->unit, .units = p->units};
  struct kernel_run run;
  if (!bench_wanted(b, group, p->name)) return;
  memcpy(row.demand, own ? p->demand_c : p->demand, sizeof row.demand);
  bench_check(b, kernel_open(&run, kernel, &shape));
  if (bench_ready(b)) bench_kernel(b, &row, run_kernel, &run);
  kernel_close(&run);
}

/* NULL: any. */
static void bench_matching(struct bench *b, const char *group, const char *name) {
  for (size_t m = 0; m < kernel_modules_count; m++) {
    const struct kernel_module *module = kernel_modules[m];
    if (group && strcmp(module->group, group) != 0) continue;
    for (size_t i = 0; i < module->count; i++)
      for (size_t k = 0; k < KERNEL_POINTS_MAX && module->rows[i].points[k].name; k++)
        if (!name || strcmp(module->rows[i].points[k].name, name) == 0)
          bench_point(b, module->group, &module->rows[i], &module->rows[i].points[k]);
  }
}

void bench_kernels(struct bench *b, const char *group) {
  bench_matching(b, group, NULL);
}

void bench_kernel_named(struct bench *b, const char *name) {
  bench_matching(b, NULL, name);
}
