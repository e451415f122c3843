/** An engine without secrets, the smallest that runs every operator: the client sends its shares of a gate's inputs in
 *  the clear, the server computes on the values, and its share is the result. It needs no section, no keys and no guard
 *  bits. For tests of the walker; and an example of the interface (docs/guide/engine.md). */
#ifndef FUSION_TESTS_CLEAR_ENGINE_H
#define FUSION_TESTS_CLEAR_ENGINE_H

#include "engine/engine.h"

extern const struct engine engine_clear;
extern const struct engine_gate clear_gates[GATE_COUNT];

#endif
