/* Rows of half gates. */
#include "garble/garble_kernels.h"
#include "kernels/kernel_registry.h"

enum { INSTANCES = 64 /* in `fusion bench`: a batch */ };

/* Size is instances. */
struct and_work {
  const struct garble_kernels *kernels;
  struct garble_and and;
};

static void open_and(struct kernel_run *r, unsigned rows, enum kernel_use table) {
  struct and_work *w = r->work;
  w->kernels = garble_kernels_of(r->shape.tier);
  w->and = (struct garble_and){.delta = block_make(kernel_word(r), kernel_word(r) | 1),
                               .tweak = block_make(kernel_word(r), kernel_word(r)),
                               .count = r->shape.size};
  w->and.out = kernel_blocks(r, KERNEL_OUTPUT, r->shape.size);
  w->and.a = kernel_blocks(r, KERNEL_INPUT, r->shape.size);
  w->and.table = kernel_blocks(r, table, rows * r->shape.size);
}
static void add_second(struct kernel_run *r) {
  struct and_work *w = r->work;
  w->and.b = kernel_blocks(r, KERNEL_INPUT, r->shape.size);
}
static void open_and_garble(struct kernel_run *r) {
  open_and(r, 2, KERNEL_OUTPUT);
  add_second(r);
}
static void open_and_evaluate(struct kernel_run *r) {
  open_and(r, 2, KERNEL_INPUT);
  add_second(r);
}
static void open_half_garble(struct kernel_run *r) {
  struct and_work *w = r->work;
  open_and(r, 1, KERNEL_OUTPUT);
  uint64_t *known = kernel_words(r, KERNEL_INPUT, r->shape.size);
  for (size_t i = 0; known && i < r->shape.size; i++) known[i] = (uint64_t)0 - (known[i] & 1);
  w->and.known = known;
}
static void open_half_evaluate(struct kernel_run *r) {
  open_and(r, 1, KERNEL_INPUT);
}

#define AND_RUN(member)                            \
  static void run_##member(struct kernel_run *r) { \
    const struct and_work *w = r->work;            \
    w->kernels->member(&w->and);                   \
  }
AND_RUN(and_garble)
AND_RUN(and_evaluate)
AND_RUN(half_garble)
AND_RUN(half_evaluate)

#define AND_ROW(member, title, hashes, bytes)                                                             \
  {                                                                                                       \
    .name = #member, .members = KERNEL_MEMBER(garble, member), .work_len = sizeof(struct and_work),       \
    .open = open_##member, .run = run_##member, KERNEL_SIZES(0, 1, 2, 3, 4, 5, 7, 8, 9, 63, 64, 65, 130), \
    .points = {{.name = title,                                                                            \
                .unit = "gate",                                                                           \
                .size = INSTANCES,                                                                        \
                .units = INSTANCES,                                                                       \
                .demand = {{CEILING_AES, 2 * (hashes)}, {CEILING_L1, bytes}}}},                           \
  }

static const struct kernel_row garble_rows[] = {
    AND_ROW(and_garble, "AND, garbled", 4, 80),
    AND_ROW(and_evaluate, "AND, evaluated", 2, 80),
    AND_ROW(half_garble, "AND with a known bit, garbled", 2, 56),
    AND_ROW(half_evaluate, "AND with a known bit, evaluated", 1, 48),
};
const struct kernel_module kernels_of_garble = KERNEL_MODULE(garble, "share", 0, garble_rows);
