/** Circuits in the clear, for tests: what they mean, and how they look. */
#ifndef FUSION_TESTS_CIRCUIT_SUPPORT_H
#define FUSION_TESTS_CIRCUIT_SUPPORT_H

#include "garble/circuit_gates.h"

/** The output words of one instance, reduced: gate by gate, term by term. */
void circuit_clear(const struct circuit *c, const uint64_t *inputs, const uint64_t *known, const uint64_t *factors,
                   uint64_t *outputs);
/** One line: words, gates of each kind, blocks of tables and values of terms an instance. */
void circuit_print(const struct circuit *c, char *text, size_t capacity);

#endif
