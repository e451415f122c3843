#include "gates/multiply_garbled.h"

#include "garble/circuit_gates.h"

/* Elements at a time: what bounds the two temporaries. */
enum { CHUNK = 1 << 20 };

static void make_circuit(struct circuit *c, bool square, unsigned bits) {
  circuit_make_products(c, square ? 1 : 2, bits);
}

fusion_status multiply_garbled(struct party *p, const uint64_t *x, const uint64_t *y, uint64_t *z, size_t count,
                               unsigned bits) {
  if (bits < 1 || bits > CIRCUIT_BITS_MAX) return FUSION_E_INTERNAL;
  if (!count) return FUSION_OK;
  fusion_status status = FUSION_OK;
  const bool square = x == y;
  const size_t capacity = size_min(count, CHUNK);
  struct circuit circuit;
  uint64_t *product = heap_take(p->heap, capacity, sizeof *product);
  uint64_t *twice = heap_take(p->heap, capacity, sizeof *twice);
  make_circuit(&circuit, square, bits);
  FAIL_IF(!product || !twice, FUSION_E_MEMORY);
  for (size_t done = 0; done < count; done += capacity) {
    const size_t n = size_min(capacity, count - done);
    const uint64_t *a = x + done, *b = y + done;
    uint64_t *out = z + done;
    for (size_t e = 0; e < n; e++) product[e] = a[e] * b[e];
    for (size_t e = 0; e < n; e++) twice[e] = 2 * a[e];
    const struct garbled_words words = {.inputs = {a, b}, .factors = {square ? twice : b, a}, .outputs = {out}};
    TRY(garbled_run(p->garble, &circuit, &words, n));
    for (size_t e = 0; e < n; e++) out[e] = (out[e] + product[e]) & low_mask(bits);
  }
cleanup:
  heap_give(p->heap, product, capacity * sizeof *product);
  heap_give(p->heap, twice, capacity * sizeof *twice);
  circuit_free(&circuit);
  return status;
}

void multiply_garbled_cost(struct cost *cost, bool square, size_t count, unsigned bits) {
  struct circuit circuit;
  make_circuit(&circuit, square, bits);
  for (size_t done = 0; done < count; done += CHUNK) garbled_run_cost(cost, &circuit, size_min(CHUNK, count - done));
  circuit_free(&circuit);
}

size_t multiply_garbled_memory(bool square, size_t count, unsigned bits) {
  const size_t capacity = size_min(count, CHUNK);
  struct circuit circuit;
  make_circuit(&circuit, square, bits);
  const size_t len = garbled_run_memory(&circuit, capacity, ROLE_SERVER);
  circuit_free(&circuit);
  return len == SIZE_MAX ? len : len + 2 * capacity * sizeof(uint64_t);
}
