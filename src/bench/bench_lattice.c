/* Rows of the lattice kernels. Operations counted: multiplications of the algorithm, products by constants included;
 * bytes: what must be read and written once. */
#include "base/bits.h"
#include "bench/bench_suite.h"
#include "lattice/lattice_kernels.h"
#include "lattice/params.h"

enum { COUNT = 4096, LANES = 2048 };

struct lattice_work {
  const struct lattice_kernels *kernels;
  struct modulus moduli[2];
  struct ntt_table ntt[2]; /* N = 2048, 4096 */
  const struct ntt_table *table;
  uint32_t *a, *b, *c;
  uint64_t *x;
  int32_t *small;
  const uint32_t *lower[2];
  uint8_t *packed;
  size_t accepted;
};

static void forward(void *context) {
  const struct lattice_work *w = context;
  w->kernels->ntt_forward(w->a, w->table);
}
static void inverse(void *context) {
  const struct lattice_work *w = context;
  w->kernels->ntt_inverse(w->a, w->table);
}
static void multiply(void *context) {
  const struct lattice_work *w = context;
  w->kernels->multiply(w->c, w->a, w->b, COUNT, &w->moduli[0]);
}
static void reduce(void *context) {
  const struct lattice_work *w = context;
  w->kernels->reduce_signed(w->c, (const int64_t *)(const void *)w->x, COUNT, &w->moduli[0]);
}
static void encode(void *context) {
  const struct lattice_work *w = context;
  w->kernels->encode(w->c, w->x, COUNT, 26, 12345, &w->moduli[0]);
}
static void noise(void *context) {
  const struct lattice_work *w = context;
  w->kernels->noise(w->small, w->x, COUNT);
}
static void ternary(void *context) {
  const struct lattice_work *w = context;
  w->kernels->ternary(w->small, w->x, COUNT);
}
static void add_small(void *context) {
  const struct lattice_work *w = context;
  w->kernels->add_small(w->c, w->a, w->small, COUNT, &w->moduli[0]);
}
static void fraction(void *context) {
  const struct lattice_work *w = context;
  w->kernels->add_fraction(w->x, w->a, COUNT, 77777, &w->moduli[0]);
}
static void digit(void *context) {
  const struct lattice_work *w = context;
  w->kernels->mixed_digit(w->c, w->a, w->lower, 1, COUNT, w->moduli);
}
static void accept(void *context) {
  struct lattice_work *w = context;
  w->accepted = w->kernels->accept_below(w->c, COUNT, w->b, COUNT, w->moduli[0].p);
}
static void pack_bits(void *context) {
  const struct lattice_work *w = context;
  struct bit_writer to = {.out = w->packed};
  bits_put_all(&to, w->x, COUNT, 37);
  bits_finish(&to);
}
static void unpack_bits(void *context) {
  const struct lattice_work *w = context;
  struct bit_reader from = {.in = w->packed};
  bits_get_all(&from, w->x, COUNT, 37);
}

static void transforms(struct bench *b, struct lattice_work *w) {
  static const char *const names[2][2] = {{"NTT 2048 forward", "NTT 2048 inverse"},
                                          {"NTT 4096 forward", "NTT 4096 inverse"}};
  for (unsigned ring = 0; ring < 2; ring++) {
    const unsigned log_n = 11 + ring;
    /* A butterfly: one high product for the quotient, two low ones; 16 bytes read, written once a level. */
    const struct bench_row row = {.group = "lattice",
                                  .unit = "butterfly",
                                  .units = (double)(log_n << (log_n - 1)),
                                  .demand = {{CEILING_MULTIPLY_WIDE, 1}, {CEILING_MULTIPLY_LOW, 2}, {CEILING_L1, 16}}};
    struct bench_row each = row;
    w->table = &w->ntt[ring];
    each.name = names[ring][0];
    bench_kernel(b, &each, forward, w);
    each.name = names[ring][1];
    bench_kernel(b, &each, inverse, w);
  }
}

static void elementwise(struct bench *b, struct lattice_work *w) {
  static const struct {
    const char *name;
    bench_call call;
    struct bench_demand demand[FUSION_BENCH_DEMANDS];
  } rows[] = {
      {"multiply modulo p", multiply, {{CEILING_MULTIPLY_WIDE, 3}, {CEILING_L1, 12}}},
      {"reduce to residues", reduce, {{CEILING_MULTIPLY_WIDE, 4}, {CEILING_L1, 12}}},
      {"encode (encryption)", encode, {{CEILING_MULTIPLY_WIDE, 7}, {CEILING_L1, 12}}},
      {"noise (encryption)", noise, {{CEILING_L1, 12}}},
      {"ternary secret", ternary, {{CEILING_L1, 12}}},
      {"add noise", add_small, {{CEILING_L1, 12}}},
      {"fraction (rescaling)", fraction, {{CEILING_MULTIPLY_WIDE, 6}, {CEILING_L1, 20}}},
      {"mixed-radix digit (decryption)", digit, {{CEILING_MULTIPLY_WIDE, 4}, {CEILING_L1, 12}}},
      {"uniform below p", accept, {{CEILING_L1, 8}}},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct bench_row row = {.group = "lattice", .name = rows[i].name, .unit = "coefficient", .units = COUNT};
    memcpy(row.demand, rows[i].demand, sizeof row.demand);
    bench_kernel(b, &row, rows[i].call, w);
  }
  const struct bench_row packing = {.group = "lattice",
                                    .name = "pack 37-bit coefficients",
                                    .unit = "coefficient",
                                    .units = COUNT,
                                    .demand = {{CEILING_L1, 8 + 37.0 / 8}}};
  struct bench_row unpacking = packing;
  unpacking.name = "unpack 37-bit coefficients";
  bench_kernel(b, &packing, pack_bits, w);
  bench_kernel(b, &unpacking, unpack_bits, w);
}

static void vectors(struct bench *b) {
  struct lattice_work w = {.kernels = lattice_kernels_of(b->tier),
                           .moduli = {mod_make(rlwe_primes[0]), mod_make(rlwe_primes[1])}};
  for (unsigned i = 0; i < 2; i++) bench_check(b, ntt_table_make(&w.ntt[i], 11 + i, rlwe_primes[0], rlwe_roots[0]));
  w.a = bench_alloc(b, COUNT, sizeof *w.a);
  w.b = bench_alloc(b, COUNT, sizeof *w.b);
  w.c = bench_alloc(b, 2 * COUNT, sizeof *w.c);
  w.x = bench_alloc(b, COUNT, sizeof *w.x);
  w.small = bench_alloc(b, COUNT, sizeof *w.small);
  w.packed = bench_alloc(b, COUNT * sizeof *w.x + BITS_SLACK, 1);
  w.lower[0] = w.a;
  if (bench_ready(b)) {
    for (size_t i = 0; i < COUNT; i++) {
      w.a[i] = w.b[i] = (uint32_t)(i * 65537u) % w.moduli[0].p;
      w.x[i] = i * UINT64_C(0x9e3779b97f4a7c15) >> 4;
    }
    transforms(b, &w);
    elementwise(b, &w);
  }
  for (unsigned i = 0; i < 2; i++) ntt_table_free(&w.ntt[i]);
  mem_free(w.a);
  mem_free(w.b);
  mem_free(w.c);
  mem_free(w.x);
  mem_free(w.small);
  mem_free(w.packed);
}

struct matrix_work {
  const struct lattice_kernels *kernels;
  struct matrix_weights weights;
  int32_t *a;
  uint32_t *base;
  int64_t *out;
  void *scratch;
};

static void matrix(void *context) {
  const struct matrix_work *w = context;
  for (size_t k = 0; k < LANES; k += MATRIX_LANES)
    w->kernels->matrix(w->out, w->a + k, w->base, &w->weights, w->scratch);
}

struct matrix_case {
  const char *name;
  size_t outs, rows;
  unsigned weight_bits;
  enum ceiling ceiling;
  double operations; /* of that ceiling, a product */
};

static void one_matrix(struct bench *b, const struct matrix_case *m) {
  struct matrix_work w = {.kernels = lattice_kernels_of(b->tier)};
  int16_t *weights = bench_alloc(b, m->outs * m->rows, sizeof *weights);
  w.a = bench_alloc(b, m->rows * LANES + MATRIX_LANES, sizeof *w.a);
  w.base = bench_alloc(b, m->rows, sizeof *w.base);
  w.out = bench_alloc(b, m->outs * MATRIX_LANES, sizeof *w.out);
  w.scratch = bench_alloc(b, w.kernels->matrix_scratch(m->rows) + 1, 1);
  for (size_t i = 0; weights && i < m->outs * m->rows; i++)
    weights[i] = (int16_t)((int)(i * 7919 % (1u << m->weight_bits)) - (1 << (m->weight_bits - 1)));
  if (weights) bench_check(b, w.kernels->matrix_pack(&w.weights, weights, m->outs, m->rows, m->weight_bits));
  if (bench_ready(b)) {
    for (size_t i = 0; i < m->rows * LANES; i++) w.a[i] = (int32_t)(i * 2654435761u >> 6) - (1 << 25);
    for (size_t r = 0; r < m->rows; r++) w.base[r] = (uint32_t)(r * LANES);
    /* Every value is read once, from the second-level cache; a sum is written once. */
    const struct bench_row row = {
        .group = "lattice",
        .name = m->name,
        .unit = "product",
        .units = (double)m->outs * (double)m->rows * LANES,
        .demand = {{m->ceiling, m->operations}, {CEILING_L2, 4.0 / (double)m->outs + 8.0 / (double)m->rows}}};
    bench_kernel(b, &row, matrix, &w);
  }
  matrix_weights_free(&w.weights);
  mem_free(weights);
  mem_free(w.a);
  mem_free(w.base);
  mem_free(w.out);
  mem_free(w.scratch);
}

void bench_lattice(struct bench *b) {
  /* A 27-bit value times a weight is two 16-bit products where the weight has at most 13 bits, one wide one else. */
  const bool words = b->tier != CPU_TIER_C;
  const enum ceiling narrow = words ? CEILING_DOT : CEILING_MULTIPLY_WIDE;
  const enum ceiling wide = words ? CEILING_MADD : CEILING_MULTIPLY_WIDE;
  const double products = words ? 2 : 1;
  const struct matrix_case cases[] = {
      {"encrypted matrix 64 x 576, 4-bit weights", 64, 576, 4, narrow, products},
      {"encrypted matrix 64 x 576, 8-bit weights", 64, 576, 8, narrow, products},
      {"encrypted matrix 128 x 784, 12-bit weights", 128, 784, 12, narrow, products},
      {"encrypted matrix 128 x 784, 16-bit weights", 128, 784, 16, wide, 1},
      {"encrypted matrix 1 x 9, 8-bit weights", 1, 9, 8, narrow, products},
  };
  vectors(b);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (bench_wanted(b, "lattice", cases[i].name)) one_matrix(b, &cases[i]);
}
