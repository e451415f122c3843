/* Rows of packed coefficients: runs of bits within a message. */
#include "base/bits.h"
#include "bench/bench_suite.h"

enum { COUNT = 4096, WIDTH = 37 };

struct packing_work {
  uint64_t *values;
  uint8_t *packed;
};

static void pack_bits(void *context) {
  const struct packing_work *w = context;
  struct bit_writer to = {.out = w->packed};
  bits_put_all(&to, w->values, COUNT, WIDTH);
  bits_finish(&to);
}
static void unpack_bits(void *context) {
  const struct packing_work *w = context;
  struct bit_reader from = {.in = w->packed};
  bits_get_all(&from, w->values, COUNT, WIDTH);
}

void bench_packing(struct bench *b) {
  struct packing_work w = {.values = bench_alloc(b, COUNT, sizeof *w.values),
                           .packed = bench_alloc(b, COUNT * sizeof *w.values + BITS_SLACK, 1)};
  const struct bench_row packing = {.group = "lattice",
                                    .name = "pack 37-bit coefficients",
                                    .unit = "coefficient",
                                    .units = COUNT,
                                    .demand = {{CEILING_L1, 8 + WIDTH / 8.0}}};
  struct bench_row unpacking = packing;
  unpacking.name = "unpack 37-bit coefficients";
  if (bench_ready(b)) {
    for (size_t i = 0; i < COUNT; i++) w.values[i] = i * UINT64_C(0x9e3779b97f4a7c15) >> 4;
    bench_kernel(b, &packing, pack_bits, &w);
    bench_kernel(b, &unpacking, unpack_bits, &w);
  }
  mem_free(w.values);
  mem_free(w.packed);
}
