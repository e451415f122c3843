#include "gates/lookup_garbled.h"

#include "garble/circuit_gates.h"

_Static_assert((int)LOOKUP_INDEX_BITS_MAX == (int)CIRCUIT_INDEX_BITS_MAX, "one limit for the pieces of a table");

static void make_circuit(struct circuit *c, const struct lookup *params) {
  const struct circuit_lookup q = {.index_bits = params->index_bits,
                                   .low_bits = params->low_bits,
                                   .out_bits = params->out_bits,
                                   .base = params->base,
                                   .slope = params->slope};
  circuit_make_lookup(c, &q);
}

fusion_status lookup_garbled(struct party *p, const struct lookup *params, const uint64_t *x, uint64_t *y,
                             size_t count) {
  struct circuit circuit;
  const struct garbled_words words = {.inputs = {x}, .known = {x}, .factors = {x}, .outputs = {y}};
  make_circuit(&circuit, params);
  const fusion_status status = garbled_run(p->garble, &circuit, params->garbled, &words, count);
  circuit_free(&circuit);
  return status;
}

void lookup_garbled_cost(struct cost *cost, const struct lookup *params, size_t count) {
  struct circuit circuit;
  make_circuit(&circuit, params);
  garbled_run_cost(cost, &circuit, params->garbled, count);
  circuit_free(&circuit);
}

size_t lookup_garbled_memory(const struct lookup *params, enum role role, size_t count) {
  struct circuit circuit;
  make_circuit(&circuit, params);
  const size_t len = garbled_run_memory(&circuit, params->garbled, count, role);
  circuit_free(&circuit);
  return len;
}
