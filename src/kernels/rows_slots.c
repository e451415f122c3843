/* Rows of the slot encryption's kernels. Operations counted: multiplications of the algorithm. */
#include "kernels/kernel_registry.h"
#include "slots/slots_kernels.h"
#include "slots/slots_params.h"

enum { COUNT = SLOTS_N };

struct slots_work {
  const struct slots_kernels *kernels;
  struct slots_table table;
  struct slots_modulus m;
  uint64_t *out, *a, *b;
};

/* The parameter chooses the prime: the widest, the special one, plaintext primes. */
static uint64_t prime_of_run(const struct kernel_run *r) {
  const unsigned parameter = r->shape.parameter;
  return parameter < 2 ? slots_primes[parameter * SLOTS_SPECIAL] : slots_plain_prime(parameter == 2 ? 17 : 46);
}

static uint64_t *residues(struct kernel_run *r, enum kernel_use use, size_t count, uint64_t p) {
  uint64_t *out = kernel_memory(r, use, count, sizeof *out);
  for (size_t i = 0; out && i < count; i++) out[i] = kernel_value(r, p);
  return out;
}

static void open_transform(struct kernel_run *r) {
  struct slots_work *w = r->work;
  const uint64_t p = prime_of_run(r);
  w->kernels = slots_kernels_of(r->shape.tier);
  r->status = slots_table_make(&w->table, (unsigned)r->shape.size, p);
  if (r->status == FUSION_OK) w->a = residues(r, KERNEL_OUTPUT, w->table.n, p);
}
static void close_transform(struct kernel_run *r) {
  struct slots_work *w = r->work;
  slots_table_free(&w->table);
}
static void run_forward(struct kernel_run *r) {
  const struct slots_work *w = r->work;
  w->kernels->forward(w->a, &w->table);
}
static void run_inverse(struct kernel_run *r) {
  const struct slots_work *w = r->work;
  w->kernels->inverse(w->a, &w->table);
}

static void open_products(struct kernel_run *r) {
  struct slots_work *w = r->work;
  const uint64_t p = prime_of_run(r);
  w->kernels = slots_kernels_of(r->shape.tier);
  w->m = slots_modulus_make(p);
  w->out = residues(r, KERNEL_OUTPUT, r->shape.size, p);
  w->a = residues(r, KERNEL_INPUT, r->shape.size, p);
  w->b = residues(r, KERNEL_INPUT, r->shape.size, p);
}
static void run_multiply(struct kernel_run *r) {
  const struct slots_work *w = r->work;
  w->kernels->multiply(w->out, w->a, w->b, r->shape.size, &w->m);
}
static void run_multiply_add(struct kernel_run *r) {
  const struct slots_work *w = r->work;
  w->kernels->multiply_add(w->out, w->a, w->b, r->shape.size, &w->m);
}

/* A product takes four multiplications of doubles, which have half as many lanes as the floats of the ceiling. Two
 * levels of a transform read and write each value once. */
#define SLOTS_BUTTERFLY \
  {CEILING_FLOAT, 8}, { \
    CEILING_L1, 8       \
  }
#define SLOTS_ROW_OF(member, opened)                                                                               \
  .name = #member, .members = KERNEL_MEMBER(slots, member), .work_len = sizeof(struct slots_work), .open = opened, \
  .run = run_##member
#define SLOTS_TRANSFORM(title)                                                                                       \
  {                                                                                                                  \
    .name = title, .unit = "butterfly", .size = SLOTS_LOG_N, .units = (double)SLOTS_LOG_N * SLOTS_N / 2, .demand = { \
      SLOTS_BUTTERFLY                                                                                                \
    }                                                                                                                \
  }
#define SLOTS_PRODUCT(title, bytes)                                                  \
  {                                                                                  \
    .name = title, .unit = "coefficient", .size = COUNT, .units = COUNT, .demand = { \
      {CEILING_FLOAT, 8},                                                            \
      {CEILING_L2, bytes}                                                            \
    }                                                                                \
  }
#define SLOTS_COUNTS KERNEL_SIZES(0, 1, 2, 3, 4, 5, 8, 17, 333)

static const struct kernel_row rows[] = {
    {SLOTS_ROW_OF(forward, open_transform), .close = close_transform, KERNEL_SIZES(4, 5, 6, 9, 12, 13),
     .last_parameter = 3, .points = {SLOTS_TRANSFORM("slots: NTT 8192 forward")}},
    {SLOTS_ROW_OF(inverse, open_transform), .close = close_transform, KERNEL_SIZES(4, 5, 6, 9, 12, 13),
     .last_parameter = 3, .points = {SLOTS_TRANSFORM("slots: NTT 8192 inverse")}},
    {SLOTS_ROW_OF(multiply, open_products), SLOTS_COUNTS, .last_parameter = 3,
     .points = {SLOTS_PRODUCT("slots: multiply modulo p", 24)}},
    {SLOTS_ROW_OF(multiply_add, open_products), SLOTS_COUNTS, .last_parameter = 3,
     .points = {SLOTS_PRODUCT("slots: multiply and add modulo p", 32)}},
};

const struct kernel_module kernels_of_slots = KERNEL_MODULE(slots, "slots", 0, rows);
