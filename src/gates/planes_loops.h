/** The loop over words of the vector kernels of planes.c. */
#ifndef FUSION_GATES_PLANES_LOOPS_H
#define FUSION_GATES_PLANES_LOOPS_H

#include "gates/planes_kernels.h"

enum { LINE_WORDS = 8 };

/** planes[i*stride], i < bits, of 64 values. */
typedef void (*planes_word)(uint64_t *planes, size_t stride, const uint64_t *values, unsigned bits);

/** Planes are whole pages apart, so that their words fall into few sets of the first-level cache: they are collected
 * here and written by cache lines. */
static inline void planes_split(uint64_t *planes, size_t stride, const uint64_t *values, size_t words, unsigned bits,
                                planes_word split) {
  _Alignas(64) uint64_t lines[64][LINE_WORDS];
  const size_t whole = words / LINE_WORDS, left = words % LINE_WORDS;
  for (size_t k = 0; k < whole; k++, planes += LINE_WORDS) {
    for (size_t w = 0; w < LINE_WORDS; w++, values += 64) split(&lines[0][w], LINE_WORDS, values, bits);
    for (unsigned i = 0; i < bits; i++) memcpy(planes + i * stride, lines[i], sizeof lines[i]);
  }
  for (size_t w = 0; w < left; w++, values += 64) split(planes + w, stride, values, bits);
  if (whole) mem_wipe(lines, bits * sizeof *lines);
}

#endif
