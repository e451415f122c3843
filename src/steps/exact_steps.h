/** steps: how the steps of a program map to the public parameters of the protocols: one place for the engines, for a
 *  run, its cost and its memory. The fields that choose among protocols (`shape`, `garbled`) are left to the engine.
 *
 *  This file: what holds for every engine, and the linear layers and Relus of engines whose shares are exact: a raw
 *  tensor's shares hold the very values. */
#ifndef FUSION_STEPS_EXACT_STEPS_H
#define FUSION_STEPS_EXACT_STEPS_H

#include "gates/gates.h"
#include "program/operators.h"

struct layer_shape step_layer(const struct program *program, uint32_t number);
struct relu_truncate step_exact_relu(const struct program *program, uint32_t number);
struct maxpool step_maxpool(const struct program *program, uint32_t number);
struct lookup step_lookup(const struct program *program, uint32_t number);
struct top_k step_top_k(const struct program *program);

#endif
