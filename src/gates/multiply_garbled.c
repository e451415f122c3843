#include "gates/multiply_garbled.h"

#include "garble/circuit_gates.h"

/* Elements at a time: what bounds the two temporaries. */
enum { CHUNK = 1 << 20 };

static void make_circuit(struct circuit *c, const struct multiply_garbled *params) {
  circuit_make_products(c, params->square ? 1 : 2, params->bits);
}

fusion_status multiply_garbled(struct party *p, const struct multiply_garbled *params, const uint64_t *x,
                               const uint64_t *y, uint64_t *z, size_t count) {
  if (params->bits < 1 || params->bits > CIRCUIT_BITS_MAX) return FUSION_E_INTERNAL;
  if (!count) return FUSION_OK;
  fusion_status status = FUSION_OK;
  const size_t capacity = size_min(count, CHUNK);
  struct circuit circuit;
  uint64_t *product = heap_take(p->heap, capacity, sizeof *product);
  uint64_t *twice = heap_take(p->heap, capacity, sizeof *twice);
  make_circuit(&circuit, params);
  FAIL_IF(!product || !twice, FUSION_E_MEMORY);
  for (size_t done = 0; done < count; done += capacity) {
    const size_t n = size_min(capacity, count - done);
    const uint64_t *a = x + done, *b = (params->square ? x : y) + done;
    uint64_t *out = z + done;
    for (size_t e = 0; e < n; e++) product[e] = a[e] * b[e];
    for (size_t e = 0; e < n; e++) twice[e] = 2 * a[e];
    const struct garbled_words words = {.inputs = {a, b}, .factors = {params->square ? twice : b, a}, .outputs = {out}};
    TRY(garbled_run(p->garble, &circuit, params->phase, &words, n));
    for (size_t e = 0; e < n; e++) out[e] = (out[e] + product[e]) & low_mask(params->bits);
  }
cleanup:
  heap_give(p->heap, product, capacity * sizeof *product);
  heap_give(p->heap, twice, capacity * sizeof *twice);
  circuit_free(&circuit);
  return status;
}

void multiply_garbled_cost(struct cost *cost, const struct multiply_garbled *params, size_t count) {
  struct circuit circuit;
  make_circuit(&circuit, params);
  for (size_t done = 0; done < count; done += CHUNK)
    garbled_run_cost(cost, &circuit, params->phase, size_min(CHUNK, count - done));
  circuit_free(&circuit);
}

size_t multiply_garbled_memory(const struct multiply_garbled *params, enum role role, size_t count) {
  const size_t capacity = size_min(count, CHUNK);
  struct circuit circuit;
  make_circuit(&circuit, params);
  const size_t len = garbled_run_memory(&circuit, params->phase, capacity, role);
  circuit_free(&circuit);
  return len == SIZE_MAX ? len : len + 2 * capacity * sizeof(uint64_t);
}
