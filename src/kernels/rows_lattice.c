/* Rows of the lattice kernels. Operations counted: multiplications of the algorithm, products by constants included;
 * bytes: what must be read and written once. */
#include "kernels/kernel_registry.h"
#include "lattice/lattice_kernels.h"
#include "lattice/params.h"

enum {
  COUNT = 4096, /* coefficients in `fusion bench` */
  COLUMNS_BENCH = 128,
  MATRIX_ROWS = 24, /* bits of a size: rows below, outputs above */
  LAYER_LANES = 2048,
  LAYER = 32, /* added to a weight width: on the lanes of a layer, else on two blocks */
};

struct lattice_work {
  const struct lattice_kernels *kernels;
  struct modulus moduli[RLWE_LIMBS_MAX];
  const struct modulus *m;
  struct ntt_table table;
  uint32_t *out, *a, *b, *base;
  const uint32_t *lower[RLWE_LIMBS_MAX];
  int32_t *small, *centred;
  int64_t *wide, *sums;
  uint64_t *x, *high;
  struct matrix_weights weights;
  struct residue_product product;
  size_t lanes, accepted;
  size_t step; /* between the sums of two lanes' blocks; rows of a matrix */
  void *scratch;
};

/* The parameter chooses the prime, unless a row says otherwise. */
static struct lattice_work *start(struct kernel_run *r) {
  struct lattice_work *w = r->work;
  w->kernels = lattice_kernels_of(r->shape.tier);
  for (size_t k = 0; k < RLWE_LIMBS_MAX; k++) w->moduli[k] = mod_make(rlwe_primes[k]);
  w->m = &w->moduli[r->shape.parameter % RLWE_LIMBS_MAX];
  return w;
}

/* --- transforms: size is log2 N --- */

static void open_ntt(struct kernel_run *r) {
  struct lattice_work *w = start(r);
  const size_t limb = r->shape.parameter;
  r->status = ntt_table_make(&w->table, (unsigned)r->shape.size, rlwe_primes[limb], rlwe_roots[limb]);
  if (r->status == FUSION_OK) w->a = kernel_below(r, KERNEL_OUTPUT, w->table.n, 2 * w->m->p);
}
static void close_ntt(struct kernel_run *r) {
  struct lattice_work *w = r->work;
  ntt_table_free(&w->table);
}
static void run_ntt_forward(struct kernel_run *r) {
  const struct lattice_work *w = r->work;
  w->kernels->ntt_forward(w->a, &w->table);
}
static void run_ntt_inverse(struct kernel_run *r) {
  const struct lattice_work *w = r->work;
  w->kernels->ntt_inverse(w->a, &w->table);
}

/* Columns: size is their number, the parameter log2 N. One of a row is left as it is. */
static void open_columns(struct kernel_run *r) {
  struct lattice_work *w = start(r);
  w->m = &w->moduli[0];
  w->step = r->shape.size + 1;
  r->status = ntt_table_make(&w->table, r->shape.parameter, rlwe_primes[0], rlwe_roots[0]);
  if (r->status == FUSION_OK) w->a = kernel_below(r, KERNEL_OUTPUT, w->table.n * w->step, 2 * w->m->p);
}
static void run_columns_forward(struct kernel_run *r) {
  const struct lattice_work *w = r->work;
  w->kernels->columns_forward(w->a, w->step, r->shape.size, &w->table);
}
static void run_columns_inverse(struct kernel_run *r) {
  const struct lattice_work *w = r->work;
  w->kernels->columns_inverse(w->a, w->step, r->shape.size, &w->table);
}

/* --- element by element: size is their number --- */

static void open_pair(struct kernel_run *r) {
  struct lattice_work *w = start(r);
  w->a = kernel_below(r, KERNEL_INPUT, r->shape.size, w->m->p);
  w->b = kernel_below(r, KERNEL_INPUT, r->shape.size, w->m->p);
  w->out = kernel_below(r, KERNEL_OUTPUT, r->shape.size, w->m->p);
}
static void open_multiply(struct kernel_run *r) {
  struct lattice_work *w = start(r);
  w->a = kernel_below(r, KERNEL_INPUT, r->shape.size, MULTIPLY_BOUND);
  w->b = kernel_below(r, KERNEL_INPUT, r->shape.size, w->m->p);
  w->out = kernel_below(r, KERNEL_OUTPUT, r->shape.size, w->m->p);
}
static void run_multiply(struct kernel_run *r) {
  const struct lattice_work *w = r->work;
  w->kernels->multiply(w->out, w->a, w->b, r->shape.size, w->m);
}
/* As many products as can be, b's one number farther apart than they have. */
static void open_multiply_sum(struct kernel_run *r) {
  struct lattice_work *w = start(r);
  w->a = kernel_below(r, KERNEL_INPUT, MULTIPLY_SUM_MOST * r->shape.size, w->m->p);
  w->b = kernel_below(r, KERNEL_INPUT, MULTIPLY_SUM_MOST * (r->shape.size + 1), w->m->p);
  w->out = kernel_below(r, KERNEL_OUTPUT, r->shape.size, w->m->p);
}
static void run_multiply_sum(struct kernel_run *r) {
  const struct lattice_work *w = r->work;
  w->kernels->multiply_sum(w->out, w->a, w->b, r->shape.size + 1, MULTIPLY_SUM_MOST, r->shape.size, w->m);
}
/* Size is PRODUCT(outputs, terms, columns); rows of the second matrix lie one number farther apart than they are long.
 */
#define PRODUCT(outs, terms, columns) ((size_t)(outs) << 32 | (size_t)(terms) << 16 | (columns))
static void open_product(struct kernel_run *r) {
  struct lattice_work *w = start(r);
  struct residue_product *s = &w->product;
  *s =
      (struct residue_product){r->shape.size >> 32, r->shape.size >> 16 & UINT16_MAX, r->shape.size & UINT16_MAX, NULL};
  w->a = kernel_below(r, KERNEL_INPUT, s->outs * s->terms, w->m->p);
  w->b = kernel_below(r, KERNEL_INPUT, s->terms * (s->columns + 1), w->m->p);
  w->out = kernel_below(r, KERNEL_OUTPUT, s->outs * s->columns, w->m->p);
  w->base = kernel_memory(r, KERNEL_INPUT, s->terms, sizeof *w->base);
  for (size_t k = 0; w->base && k < s->terms; k++) w->base[k] = (uint32_t)(k * (s->columns + 1));
  s->row_base = w->base;
}
static void run_product(struct kernel_run *r) {
  const struct lattice_work *w = r->work;
  w->kernels->product(w->out, w->a, w->b, &w->product, w->m);
}
static void run_add(struct kernel_run *r) {
  const struct lattice_work *w = r->work;
  w->kernels->add(w->out, w->a, w->b, r->shape.size, w->m);
}
static void run_subtract(struct kernel_run *r) {
  const struct lattice_work *w = r->work;
  w->kernels->subtract(w->out, w->a, w->b, r->shape.size, w->m);
}

static void open_reduce(struct kernel_run *r) {
  struct lattice_work *w = start(r);
  w->wide = kernel_memory(r, KERNEL_INPUT, r->shape.size, sizeof *w->wide);
  w->out = kernel_below(r, KERNEL_OUTPUT, r->shape.size, w->m->p);
  for (size_t i = 0; w->wide && i < r->shape.size; i++)
    w->wide[i] = (int64_t)kernel_value(r, 2 * REDUCE_BOUND - 1) - (REDUCE_BOUND - 1);
}
static void run_reduce_signed(struct kernel_run *r) {
  const struct lattice_work *w = r->work;
  w->kernels->reduce_signed(w->out, w->wide, r->shape.size, w->m);
}

/* From parameter RLWE_LIMBS_MAX on with high words. */
static void open_centre_wide(struct kernel_run *r) {
  struct lattice_work *w = start(r);
  const size_t count = r->shape.size;
  w->x = kernel_memory(r, KERNEL_INPUT, count, sizeof *w->x);
  if (r->shape.parameter >= RLWE_LIMBS_MAX) w->high = kernel_memory(r, KERNEL_INPUT, count, sizeof *w->high);
  w->centred = kernel_between(r, KERNEL_OUTPUT, count, -1, 1);
  for (size_t i = 0; w->x && i < count; i++) w->x[i] = kernel_value(r, CENTRE_BOUND);
  for (size_t i = 0; w->high && i < count; i++) w->high[i] = kernel_value(r, CENTRE_BOUND);
}
static void run_centre_wide(struct kernel_run *r) {
  const struct lattice_work *w = r->work;
  w->kernels->centre_wide(w->centred, w->x, w->high, r->shape.size, w->m);
}

static void open_centre_extend(struct kernel_run *r) {
  struct lattice_work *w = start(r);
  w->a = kernel_below(r, KERNEL_INPUT, r->shape.size, w->m->p);
  w->centred = kernel_between(r, KERNEL_OUTPUT, 2 * r->shape.size, -1, 1);
}
static void run_centre_extend(struct kernel_run *r) {
  const struct lattice_work *w = r->work;
  w->kernels->centre_extend(w->centred, w->a, r->shape.size, r->shape.size - r->shape.size / 4, w->m);
}

static void open_add_small(struct kernel_run *r) {
  struct lattice_work *w = start(r);
  const int32_t most = (int32_t)w->m->p - 1;
  w->a = kernel_below(r, KERNEL_INPUT, r->shape.size, w->m->p);
  w->small = kernel_between(r, KERNEL_INPUT, r->shape.size, -most, most);
  w->out = kernel_below(r, KERNEL_OUTPUT, r->shape.size, w->m->p);
}
static void run_add_small(struct kernel_run *r) {
  const struct lattice_work *w = r->work;
  w->kernels->add_small(w->out, w->a, w->small, r->shape.size, w->m);
}

static void run_lift(struct kernel_run *r) {
  const struct lattice_work *w = r->work;
  w->kernels->lift(w->out, w->small, r->shape.size, w->m);
}

/* The parameter is ring_bits. */
static void open_encode(struct kernel_run *r) {
  struct lattice_work *w = start(r);
  w->x = kernel_words(r, KERNEL_INPUT, r->shape.size);
  w->out = kernel_below(r, KERNEL_OUTPUT, r->shape.size, w->m->p);
}
static void run_encode(struct kernel_run *r) {
  const struct lattice_work *w = r->work;
  const uint64_t q_low = (uint64_t)rlwe_primes[0] * rlwe_primes[1] * rlwe_primes[2];
  w->kernels->encode(w->out, w->x, r->shape.size, r->shape.parameter, q_low, w->m);
}

/* Half of the words is enough with an odd parameter. */
static void open_accept(struct kernel_run *r) {
  struct lattice_work *w = start(r);
  w->m = &w->moduli[0];
  w->a = kernel_memory(r, KERNEL_INPUT, r->shape.size, sizeof *w->a);
  w->out = kernel_memory(r, KERNEL_OUTPUT, r->shape.size, sizeof *w->out);
  for (size_t i = 0; w->a && i < r->shape.size; i++) w->a[i] = (uint32_t)kernel_word(r);
}
static void run_accept_below(struct kernel_run *r) {
  struct lattice_work *w = r->work;
  const size_t want = r->shape.size / (1 + r->shape.parameter % 2);
  w->accepted = w->kernels->accept_below(w->out, want, w->a, r->shape.size, w->m->p);
}
static void settle_accept(struct kernel_run *r) {
  const struct lattice_work *w = r->work;
  memset(w->out + w->accepted, 0, (r->shape.size - w->accepted) * sizeof *w->out);
}

static void open_sampling(struct kernel_run *r) {
  struct lattice_work *w = start(r);
  w->x = kernel_words(r, KERNEL_INPUT, r->shape.size);
  w->centred = kernel_between(r, KERNEL_OUTPUT, r->shape.size, -1, 1);
}
static void run_noise(struct kernel_run *r) {
  const struct lattice_work *w = r->work;
  w->kernels->noise(w->centred, w->x, r->shape.size);
}
static void run_ternary(struct kernel_run *r) {
  const struct lattice_work *w = r->work;
  w->kernels->ternary(w->centred, w->x, r->shape.size);
}

static void open_fraction(struct kernel_run *r) {
  struct lattice_work *w = start(r);
  w->a = kernel_below(r, KERNEL_INPUT, r->shape.size, w->m->p);
  w->x = kernel_words(r, KERNEL_OUTPUT, r->shape.size);
}
static void run_add_fraction(struct kernel_run *r) {
  const struct lattice_work *w = r->work;
  w->kernels->add_fraction(w->x, w->a, r->shape.size, w->m->p - 77777, w->m);
}

/* The parameter is the limb. */
static void open_mixed_digit(struct kernel_run *r) {
  struct lattice_work *w = start(r);
  w->a = kernel_below(r, KERNEL_INPUT, r->shape.size, w->m->p);
  for (size_t k = 0; k < r->shape.parameter; k++)
    w->lower[k] = kernel_below(r, KERNEL_INPUT, r->shape.size, w->moduli[k].p);
  w->out = kernel_below(r, KERNEL_OUTPUT, r->shape.size, w->m->p);
}
static void run_mixed_digit(struct kernel_run *r) {
  const struct lattice_work *w = r->work;
  w->kernels->mixed_digit(w->out, w->a, w->lower, r->shape.parameter, r->shape.size, w->moduli);
}

static void open_compose(struct kernel_run *r) {
  struct lattice_work *w = start(r);
  w->a = kernel_below(r, KERNEL_INPUT, r->shape.size, w->moduli[0].p);
  w->b = kernel_below(r, KERNEL_INPUT, r->shape.size, w->moduli[1].p);
  w->wide = kernel_memory(r, KERNEL_OUTPUT, r->shape.size, sizeof *w->wide);
}
static void run_compose(struct kernel_run *r) {
  const struct lattice_work *w = r->work;
  w->kernels->compose(w->wide, w->a, w->b, r->shape.size, w->moduli);
}

/* The parameter is the digits' width. */
enum { CUT_DIGITS = 6, CUT_SKIPPED = 10 };
static void open_cut_digits(struct kernel_run *r) {
  struct lattice_work *w = start(r);
  const uint64_t limit = UINT64_C(1) << (CUT_SKIPPED + CUT_DIGITS * r->shape.parameter - 1);
  w->wide = kernel_memory(r, KERNEL_INPUT, r->shape.size, sizeof *w->wide);
  w->centred = kernel_memory(r, KERNEL_OUTPUT, CUT_DIGITS * r->shape.size, sizeof *w->centred);
  for (size_t i = 0; w->wide && i < r->shape.size; i++)
    w->wide[i] = (int64_t)kernel_value(r, 2 * limit - 1) - (int64_t)(limit - 1);
}
static void run_cut_digits(struct kernel_run *r) {
  const struct lattice_work *w = r->work;
  const struct digit_cut cut = {CUT_DIGITS, r->shape.parameter, CUT_SKIPPED};
  w->kernels->cut_digits(w->centred, w->wide, r->shape.size, &cut);
}

/* Size is TRANSPOSE(rows, columns); rows of both matrices lie one number farther apart than they are long. */
#define TRANSPOSE(rows, columns) ((size_t)(rows) << 16 | (columns))
static void open_transpose(struct kernel_run *r) {
  struct lattice_work *w = start(r);
  w->lanes = r->shape.size & UINT16_MAX;
  w->step = r->shape.size >> 16;
  w->a = kernel_below(r, KERNEL_INPUT, w->step * (w->lanes + 1), UINT32_MAX);
  w->out = kernel_below(r, KERNEL_OUTPUT, w->lanes * (w->step + 1), UINT32_MAX);
}
static void run_transpose(struct kernel_run *r) {
  const struct lattice_work *w = r->work;
  w->kernels->transpose(w->out, w->step + 1, w->a, w->lanes + 1, w->step, w->lanes);
}

/* --- the matrix product: size is MATRIX(outputs, rows), the parameter the width of a weight --- */

#define MATRIX(outs, rows) ((size_t)(outs) << MATRIX_ROWS | (rows))

static void open_matrix(struct kernel_run *r) {
  struct lattice_work *w = start(r);
  const size_t outs = r->shape.size >> MATRIX_ROWS, rows = r->shape.size & (size_t)low_mask(MATRIX_ROWS);
  const unsigned bits = r->shape.parameter % LAYER;
  const int32_t low = -(1 << (bits - 1)), high = bits == 16 ? INT16_MAX : -low;
  const bool layer = r->shape.parameter >= LAYER;
  w->lanes = layer ? LAYER_LANES : 2 * MATRIX_LANES;
  w->step = layer ? 0 : outs; /* a layer reduces a block's sums before the next */
  int16_t *weights = kernel_memory(r, KERNEL_INPUT, outs * rows, sizeof *weights);
  w->small = kernel_between(r, KERNEL_INPUT, rows * w->lanes, -MATRIX_BOUND, MATRIX_BOUND);
  w->base = kernel_memory(r, KERNEL_INPUT, rows, sizeof *w->base);
  w->sums = kernel_memory(r, KERNEL_OUTPUT, outs * (layer ? MATRIX_LANES : w->lanes), sizeof *w->sums);
  w->scratch = kernel_memory(r, KERNEL_INPUT, w->kernels->matrix_scratch(rows), 1);
  if (r->status != FUSION_OK) return;
  for (size_t i = 0; i < outs * rows; i++)
    weights[i] = (int16_t)(low + (int32_t)kernel_value(r, (uint64_t)(high - low + 1)));
  for (size_t i = 0; i < rows; i++) w->base[i] = (uint32_t)(i * w->lanes);
  r->status = w->kernels->matrix_pack(&w->weights, weights, outs, rows, bits);
}
static void close_matrix(struct kernel_run *r) {
  struct lattice_work *w = r->work;
  matrix_weights_free(&w->weights);
}
static void run_matrix(struct kernel_run *r) {
  const struct lattice_work *w = r->work;
  for (size_t i = 0; i < w->lanes; i += MATRIX_LANES)
    w->kernels->matrix(w->sums + i * w->step, w->small + i, w->base, &w->weights, w->scratch);
}

/* A 28-bit value times a weight is two 16-bit products where the weight has at most 13 bits, one wide one else. Every
 * value is read once, from the second-level cache; a sum is written once. */
#define MATRIX_L2(outs, rows) \
  { CEILING_L2, 4.0 / (outs) + 8.0 / (rows) }
#define MATRIX_POINT(title, outs, rows, bits, ...)                                                              \
  {                                                                                                             \
    .name = title, .unit = "product", .size = MATRIX(outs, rows), .parameter = LAYER + (bits),                  \
    .units = (double)(outs) * (rows)*LAYER_LANES, .demand = {__VA_ARGS__, MATRIX_L2(outs, rows)}, .demand_c = { \
      {CEILING_MULTIPLY_WIDE, 1},                                                                               \
      MATRIX_L2(outs, rows)                                                                                     \
    }                                                                                                           \
  }

/* A butterfly: one high product for the quotient, two low ones; 16 bytes read, written once a level. */
#define NTT_POINT(title, log_n)                                                                                       \
  {                                                                                                                   \
    .name = title, .unit = "butterfly", .size = log_n, .units = (double)((size_t)(log_n) << ((log_n)-1)), .demand = { \
      {CEILING_MULTIPLY_WIDE, 1},                                                                                     \
      {CEILING_MULTIPLY_LOW, 2},                                                                                      \
      {CEILING_L1, 16}                                                                                                \
    }                                                                                                                 \
  }
#define COLUMNS_POINT(title, log_n)                                                \
  {                                                                                \
    .name = title, .unit = "butterfly", .size = COLUMNS_BENCH, .parameter = log_n, \
    .units = (double)COLUMNS_BENCH * ((size_t)(log_n) << ((log_n)-1)), .demand = { \
      {CEILING_MULTIPLY_WIDE, 1},                                                  \
      {CEILING_MULTIPLY_LOW, 2},                                                   \
      {CEILING_L1, 16}                                                             \
    }                                                                              \
  }
#define PRODUCT_POINT(title, outs, terms, columns)                                                          \
  {                                                                                                         \
    .name = title, .unit = "product", .size = PRODUCT(outs, terms, columns),                                \
    .units = (double)(outs) * (terms) * (columns), .demand = {{CEILING_MULTIPLY_WIDE, 1}, {CEILING_L1, 1}}, \
  }
#define POINT(title, which, ...)                                                                                       \
  {                                                                                                                    \
    .name = title, .unit = "coefficient", .size = COUNT, .parameter = which, .units = COUNT, .demand = { __VA_ARGS__ } \
  }
#define ROW(member, opened)                                                                                            \
  .name = #member, .members = KERNEL_MEMBER(lattice, member), .work_len = sizeof(struct lattice_work), .open = opened, \
  .run = run_##member
#define COUNTS KERNEL_SIZES(0, 1, 2, 7, 8, 15, 16, 17, 31, 64, 333)
#define PRIMES .last_parameter = RLWE_LIMBS_MAX - 1

static const struct kernel_row rows[] = {
    {ROW(ntt_forward, open_ntt), .close = close_ntt, KERNEL_SIZES(5, 6, 7, 8, 9, 10, 11, 12), PRIMES,
     .points = {NTT_POINT("NTT 2048 forward", 11), NTT_POINT("NTT 4096 forward", 12)}},
    {ROW(ntt_inverse, open_ntt), .close = close_ntt, KERNEL_SIZES(5, 6, 7, 8, 9, 10, 11, 12), PRIMES,
     .points = {NTT_POINT("NTT 2048 inverse", 11), NTT_POINT("NTT 4096 inverse", 12)}},
    {ROW(columns_forward, open_columns), .close = close_ntt, KERNEL_SIZES(0, 1, 7, 8, 15, 16, 17, 24, 31, 33, 77),
     .first_parameter = 5, .last_parameter = 9, .points = {COLUMNS_POINT("columns of 32, forward", 5)}},
    {ROW(columns_inverse, open_columns), .close = close_ntt, KERNEL_SIZES(0, 1, 7, 8, 15, 16, 17, 24, 31, 33, 77),
     .first_parameter = 5, .last_parameter = 9, .points = {COLUMNS_POINT("columns of 32, inverse", 5)}},
    {ROW(multiply, open_multiply), COUNTS, PRIMES,
     .points = {POINT("multiply modulo p", 0, {CEILING_MULTIPLY_WIDE, 3}, {CEILING_L1, 12})}},
    {ROW(multiply_sum, open_multiply_sum), COUNTS, PRIMES,
     .points = {POINT("sum of 8 products modulo p", 0, {CEILING_MULTIPLY_WIDE, 10}, {CEILING_L1, 68})}},
    {ROW(product, open_product),
     KERNEL_SIZES(PRODUCT(1, 1, 1), PRODUCT(2, 3, 8), PRODUCT(3, 5, 16), PRODUCT(4, 7, 24), PRODUCT(5, 2, 67),
                  PRODUCT(6, 8, 1), PRODUCT(7, 4, 31), PRODUCT(8, 6, 33), PRODUCT(9, 3, 15), PRODUCT(11, 9, 128),
                  PRODUCT(16, 5, 7), PRODUCT(17, 2, 77), PRODUCT(2, PRODUCT_TERMS_MAX, 8),
                  PRODUCT(1, PRODUCT_TERMS_MAX, 3), PRODUCT(9, PRODUCT_TERMS_MAX, 17)),
     PRIMES, .points = {PRODUCT_POINT("residue matrix 16 x 49, 128 columns", 16, 49, 128)}},
    {ROW(reduce_signed, open_reduce), COUNTS, PRIMES,
     .points = {POINT("reduce to residues", 0, {CEILING_MULTIPLY_WIDE, 4}, {CEILING_L1, 12})}},
    {ROW(encode, open_encode), COUNTS, .first_parameter = 1, .last_parameter = 60,
     .points = {POINT("encode (encryption)", 26, {CEILING_MULTIPLY_WIDE, 7}, {CEILING_L1, 12})}},
    {ROW(noise, open_sampling), COUNTS, .points = {POINT("noise (encryption)", 0, {CEILING_L1, 12})}},
    {ROW(ternary, open_sampling), COUNTS, .points = {POINT("ternary secret", 0, {CEILING_L1, 12})}},
    {ROW(add_small, open_add_small), COUNTS, PRIMES, .points = {POINT("add noise", 0, {CEILING_L1, 12})}},
    {ROW(lift, open_add_small), COUNTS, PRIMES, .points = {POINT("small numbers to residues", 0, {CEILING_L1, 8})}},
    {ROW(add, open_pair), COUNTS, PRIMES, .points = {POINT("add modulo p", 0, {CEILING_L1, 12})}},
    {ROW(subtract, open_pair), COUNTS, PRIMES, .points = {POINT("subtract modulo p", 0, {CEILING_L1, 12})}},
    {ROW(add_fraction, open_fraction), COUNTS, PRIMES,
     .points = {POINT("fraction (rescaling)", 0, {CEILING_MULTIPLY_WIDE, 6}, {CEILING_L1, 20})}},
    {ROW(mixed_digit, open_mixed_digit), COUNTS, .first_parameter = 1, .last_parameter = RLWE_LIMBS_MAX - 1,
     .points = {POINT("mixed-radix digit (decryption)", 1, {CEILING_MULTIPLY_WIDE, 4}, {CEILING_L1, 12})}},
    {ROW(compose, open_compose), COUNTS,
     .points = {POINT("number of two residues", 0, {CEILING_MULTIPLY_WIDE, 4}, {CEILING_L1, 16})}},
    {ROW(cut_digits, open_cut_digits), COUNTS, .first_parameter = 1, .last_parameter = 8,
     .points = {POINT("cut into six digits", 7, {CEILING_L1, 32})}},
    {ROW(transpose, open_transpose),
     KERNEL_SIZES(TRANSPOSE(1, 1), TRANSPOSE(8, 8), TRANSPOSE(16, 128), TRANSPOSE(128, 16), TRANSPOSE(7, 9),
                  TRANSPOSE(15, 33), TRANSPOSE(24, 3), TRANSPOSE(5, 40)),
     .points = {{.name = "transpose 16 x 128",
                 .unit = "word",
                 .size = TRANSPOSE(16, 128),
                 .units = 16 * 128,
                 .demand = {{CEILING_L1, 8}}}}},
    {ROW(centre_wide, open_centre_wide), COUNTS, .last_parameter = 2 * RLWE_LIMBS_MAX - 1,
     .points = {POINT("centre a query", 0, {CEILING_MULTIPLY_WIDE, 4}, {CEILING_L1, 12})}},
    {ROW(centre_extend, open_centre_extend), COUNTS, PRIMES,
     .points = {POINT("centre and extend", 0, {CEILING_L1, 11})}},
    {ROW(accept_below, open_accept), .settle = settle_accept, COUNTS, .last_parameter = 1,
     .points = {POINT("uniform below p", 0, {CEILING_L1, 8})}},
    {.name = "matrix",
     .members =
         KERNEL_MEMBER(lattice, matrix) | KERNEL_MEMBER(lattice, matrix_pack) | KERNEL_MEMBER(lattice, matrix_scratch),
     .work_len = sizeof(struct lattice_work),
     .open = open_matrix,
     .run = run_matrix,
     .close = close_matrix,
     KERNEL_SIZES(MATRIX(1, 1), MATRIX(2, 2), MATRIX(3, 301), MATRIX(4, 9), MATRIX(5, 64), MATRIX(6, 10), MATRIX(7, 33),
                  MATRIX(13, 40), MATRIX(1, 1023)),
     .first_parameter = 2,
     .last_parameter = 16,
     .points = {MATRIX_POINT("encrypted matrix 64 x 576, 4-bit weights", 64, 576, 4, {CEILING_DOT, 2}),
                MATRIX_POINT("encrypted matrix 64 x 576, 8-bit weights", 64, 576, 8, {CEILING_DOT, 2}),
                MATRIX_POINT("encrypted matrix 128 x 784, 12-bit weights", 128, 784, 12, {CEILING_DOT, 2}),
                MATRIX_POINT("encrypted matrix 128 x 784, 16-bit weights", 128, 784, 16, {CEILING_MADD, 1}),
                MATRIX_POINT("encrypted matrix 1 x 9, 8-bit weights", 1, 9, 8, {CEILING_DOT, 2})}},
};

const struct kernel_module kernels_of_lattice = KERNEL_MODULE(lattice, "lattice", 0, rows);
