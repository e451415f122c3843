/* Rows of the gates' element-wise loops, of bit planes, and of products from correlations. */
#include "gates/cross_kernels.h"
#include "gates/lookup_kernels.h"
#include "gates/planes_kernels.h"
#include "gates/product_kernels.h"
#include "kernels/kernel_registry.h"

enum { COUNT = 1 << 14, COLUMNS = COUNT / 8, RING = 26 /* in `fusion bench` */ };

/* --- products by bits: size is values --- */

struct cross_work {
  const struct cross_kernels *kernels;
  struct cross_factor factor;
  uint64_t *share, *a, *b, *plane[2];
};

/* The parameter is the shift, from 64 on with a negative sign. */
static void open_cross(struct kernel_run *r) {
  struct cross_work *w = r->work;
  w->kernels = cross_kernels_of(r->shape.tier);
  w->factor = (struct cross_factor){.shift = r->shape.parameter % 64, .negative = r->shape.parameter >= 64};
  w->share = kernel_words(r, KERNEL_OUTPUT, r->shape.size);
  w->a = kernel_words(r, KERNEL_INPUT, r->shape.size);
  w->b = kernel_words(r, KERNEL_INPUT, r->shape.size);
  w->plane[0] = kernel_words(r, KERNEL_OUTPUT, div_up(r->shape.size, 64));
  w->plane[1] = kernel_words(r, KERNEL_INPUT, div_up(r->shape.size, 64));
}
static void run_correct(struct kernel_run *r) {
  const struct cross_work *w = r->work;
  w->kernels->correct(w->share, w->a, w->b, r->shape.size);
}
static void run_receive(struct kernel_run *r) {
  const struct cross_work *w = r->work;
  w->kernels->receive(w->share, w->a, w->b, w->plane[0], w->plane[1], w->factor, r->shape.size);
}
static void run_send(struct kernel_run *r) {
  const struct cross_work *w = r->work;
  w->kernels->send(w->share, w->a, w->b, w->plane[0], w->factor, r->shape.size);
}
static void run_add_bits(struct kernel_run *r) {
  const struct cross_work *w = r->work;
  w->kernels->add_bits(w->share, w->plane[0], UINT64_C(12345) << w->factor.shift, r->shape.size);
}
/* The parameter is bits - 1. */
static void run_take_top(struct kernel_run *r) {
  const struct cross_work *w = r->work;
  w->kernels->take_top(w->plane[0], w->share, r->shape.parameter + 1, r->shape.size);
}
static void run_negate(struct kernel_run *r) {
  const struct cross_work *w = r->work;
  w->kernels->negate(w->share, w->a, w->plane[0], r->shape.size);
}
static void run_keep(struct kernel_run *r) {
  const struct cross_work *w = r->work;
  w->kernels->keep(w->share, w->plane[0], r->shape.size);
}

#define CROSS_ROW(member, last, title, which, bytes)                                                 \
  {                                                                                                  \
    .name = #member, .members = KERNEL_MEMBER(cross, member), .work_len = sizeof(struct cross_work), \
    .open = open_cross, .run = run_##member, KERNEL_SIZES(0, 1, 2, 63, 64, 65, 130, 137, 193, 200),  \
    .last_parameter = last, .points = {                                                              \
      {.name = title,                                                                                \
       .unit = "value",                                                                              \
       .size = COUNT,                                                                                \
       .parameter = which,                                                                           \
       .units = COUNT,                                                                               \
       .demand = {{CEILING_L2, bytes}}}                                                              \
    }                                                                                                \
  }

static const struct kernel_row cross_rows[] = {
    CROSS_ROW(receive, 127, "product by a bit, receiver", 3, 32.25),
    CROSS_ROW(send, 127, "product by a bit, sender", 3, 32.25),
    CROSS_ROW(correct, 0, "product by a bit, correction", 0, 32),
    CROSS_ROW(add_bits, 63, "bits added to values", 3, 16.125),
    CROSS_ROW(take_top, 63, "top bits taken off values", 63, 16.125),
    CROSS_ROW(negate, 0, "values negated by bits", 0, 16.125),
    CROSS_ROW(keep, 0, "values kept by bits", 0, 16.125),
};
const struct kernel_module kernels_of_cross = KERNEL_MODULE(cross, "share", 0, cross_rows);

/* --- bit planes: size is words, the parameter bits --- */

struct planes_work {
  const struct planes_kernels *kernels;
  uint64_t *values, *planes;
};

static void open_split(struct kernel_run *r) {
  struct planes_work *w = r->work;
  w->kernels = planes_kernels_of(r->shape.tier);
  w->values = kernel_words(r, KERNEL_INPUT, 64 * r->shape.size);
  w->planes = kernel_words(r, KERNEL_OUTPUT, r->shape.size * r->shape.parameter);
}
static void run_split(struct kernel_run *r) {
  const struct planes_work *w = r->work;
  w->kernels->split(w->planes, r->shape.size, w->values, r->shape.size, r->shape.parameter);
}

static const struct kernel_row planes_rows[] = {
    {.name = "split",
     .members = KERNEL_MEMBER(planes, split),
     .work_len = sizeof(struct planes_work),
     .open = open_split,
     .run = run_split,
     KERNEL_SIZES(0, 1, 2, 7, 8, 9, 21),
     .last_parameter = 64,
     .points = {{.name = "26-bit values to bit planes",
                 .unit = "value",
                 .size = COUNT / 64,
                 .parameter = RING,
                 .units = COUNT,
                 .demand = {{CEILING_L2, 8 + RING / 8.0}}}}},
};
const struct kernel_module kernels_of_planes = KERNEL_MODULE(planes, "share", 0, planes_rows);

/* --- tables: size is values, the parameter the bits of an index --- */

enum { TABLE_BITS = 5, TABLES = COUNT / 16 /* in `fusion bench` */ };

struct lookup_work {
  const struct lookup_kernels *kernels;
  int64_t table[2 << TABLE_BITS];
  struct lookup_entries entries;
  struct lookup_choices choices;
  unsigned z;
  uint64_t *share, *pads;
};

static void open_lookup(struct kernel_run *r) {
  struct lookup_work *w = r->work;
  const unsigned bits = r->shape.parameter;
  const size_t stride = div_up(r->shape.size, 64);
  w->kernels = lookup_kernels_of(r->shape.tier);
  for (size_t i = 0; i < sizeof w->table / sizeof *w->table; i++) w->table[i] = (int64_t)kernel_word(r);
  w->share = kernel_words(r, KERNEL_OUTPUT, 64 * stride);
  w->pads = kernel_words(r, KERNEL_OUTPUT, 64 * stride << bits);
  /* Half of the runs have the client's table, which has no base. */
  w->entries = (struct lookup_entries){.base = kernel_word(r) & 1 ? w->table : NULL,
                                       .slope = w->table + (1 << TABLE_BITS),
                                       .low = kernel_words(r, KERNEL_INPUT, 64 * stride),
                                       .bits = kernel_words(r, KERNEL_INPUT, bits * stride),
                                       .said = kernel_words(r, KERNEL_INPUT, bits * stride),
                                       .stride = stride,
                                       .row = 64 * stride,
                                       .index_bits = bits};
  w->choices = (struct lookup_choices){w->entries.bits, stride, bits};
  w->z = (unsigned)kernel_value(r, UINT64_C(1) << bits);
}
static void run_answer(struct kernel_run *r) {
  const struct lookup_work *w = r->work;
  w->kernels->answer(w->share, w->pads, &w->entries, r->shape.size);
}
static void run_select(struct kernel_run *r) {
  const struct lookup_work *w = r->work;
  w->kernels->select(w->share, w->entries.low, &w->choices, w->z, r->shape.size);
}

#define LOOKUP_ROW(member, title, count, bytes)                                                                        \
  {                                                                                                                    \
    .name = #member, .members = KERNEL_MEMBER(lookup, member), .work_len = sizeof(struct lookup_work),                 \
    .open = open_lookup, .run = run_##member, KERNEL_SIZES(0, 1, 7, 8, 9, 63, 64, 65, 130, 200), .first_parameter = 1, \
    .last_parameter = TABLE_BITS, .points = {                                                                          \
      {.name = title,                                                                                                  \
       .unit = "value",                                                                                                \
       .size = count,                                                                                                  \
       .parameter = TABLE_BITS,                                                                                        \
       .units = count,                                                                                                 \
       .demand = {{CEILING_L2, bytes}}}                                                                                \
    }                                                                                                                  \
  }

static const struct kernel_row lookup_rows[] = {
    LOOKUP_ROW(answer, "table of 32 entries turned and masked", TABLES, 33 * 16 + 9.25),
    LOOKUP_ROW(select, "entry of a table of 32 taken", COUNT, 24.625),
};
const struct kernel_module kernels_of_lookup = KERNEL_MODULE(lookup, "share", 0, lookup_rows);

/* --- products from correlations: size is values --- */

struct product_work {
  const struct product_kernels *kernels;
  struct product_bit bit;
  uint64_t *sum, *correction, *x, *pad[2];
  uint64_t choice;
};

/* The parameter is a quarter of the shift, with a sign from 16 on and wide pads from 32 on; the weight, too. */
static void open_product(struct kernel_run *r) {
  struct product_work *w = r->work;
  const unsigned parameter = r->shape.parameter;
  w->kernels = product_kernels_of(r->shape.tier);
  w->bit = (struct product_bit){.shift = parameter % 16 * 4, .negative = parameter / 16 % 2, .narrow = parameter < 32};
  w->sum = kernel_words(r, KERNEL_OUTPUT, r->shape.size);
  w->correction = kernel_words(r, KERNEL_OUTPUT, r->shape.size);
  w->x = kernel_words(r, KERNEL_INPUT, r->shape.size);
  w->pad[0] = kernel_words(r, KERNEL_INPUT, r->shape.size);
  w->pad[1] = kernel_words(r, KERNEL_INPUT, r->shape.size);
  w->choice = (uint64_t)0 - (kernel_word(r) & 1);
}
static void run_product_send(struct kernel_run *r) {
  const struct product_work *w = r->work;
  w->kernels->send(w->correction, w->sum, w->pad[0], w->pad[1], w->x, w->bit, r->shape.size);
}
static void run_product_receive(struct kernel_run *r) {
  const struct product_work *w = r->work;
  w->kernels->receive(w->sum, w->pad[0], w->x, w->choice, w->bit, r->shape.size);
}
static void run_product_add(struct kernel_run *r) {
  const struct product_work *w = r->work;
  w->kernels->add(w->sum, w->x, (int16_t)(1021 * (int)r->shape.parameter - 32000), r->shape.size);
}

#define PRODUCT_ROW(member, title, bytes)                                                                \
  {                                                                                                      \
    .name = #member, .members = KERNEL_MEMBER(product, member), .work_len = sizeof(struct product_work), \
    .open = open_product, .run = run_product_##member, KERNEL_SIZES(0, 1, 2, 7, 8, 9, 63, 64, 65, 200),  \
    .last_parameter = 63, .points = {                                                                    \
      {.name = title,                                                                                    \
       .unit = "value",                                                                                  \
       .size = COLUMNS,                                                                                  \
       .parameter = 3,                                                                                   \
       .units = COLUMNS,                                                                                 \
       .demand = {{CEILING_L2, bytes}}}                                                                  \
    }                                                                                                    \
  }

static const struct kernel_row product_rows[] = {
    PRODUCT_ROW(send, "product from a correlation, sender", 40),
    PRODUCT_ROW(receive, "product from a correlation, receiver", 28),
    PRODUCT_ROW(add, "values times a weight", 24),
};
const struct kernel_module kernels_of_product = KERNEL_MODULE(product, "share", 0, product_rows);
