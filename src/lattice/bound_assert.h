/** Asserts on the values of arrays at the borders of the lattice kernels (after mlkem-native's debug bounds). Compiled
 * in with -Dbounds=true, nothing otherwise. They branch on secrets: never in a build that serves anyone. */
#ifndef FUSION_LATTICE_BOUND_ASSERT_H
#define FUSION_LATTICE_BOUND_ASSERT_H

#include "base/base.h"

#ifdef FUSION_BOUNDS
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { BOUND_ASSERTS = 1 }; /* the condition of a loop of asserts, so that nothing of it stays elsewhere */

#define BOUND_CHECK(name, type, format, wide)                                                               \
  static inline void name(const type *array, size_t count, type low, type high, const char *what,           \
                          const char *function) {                                                           \
    for (size_t i = 0; i < count; i++) {                                                                    \
      if (array[i] >= low && array[i] <= high) continue;                                                    \
      fprintf(stderr, "%s: %s[%zu] is %" format ", not in [%" format ", %" format "]\n", function, what, i, \
              (wide)array[i], (wide)low, (wide)high);                                                       \
      abort();                                                                                              \
    }                                                                                                       \
  }
BOUND_CHECK(bound_check_u32, uint32_t, PRIu64, uint64_t)
BOUND_CHECK(bound_check_i32, int32_t, PRId64, int64_t)
BOUND_CHECK(bound_check_u64, uint64_t, PRIu64, uint64_t)
BOUND_CHECK(bound_check_i64, int64_t, PRId64, int64_t)
BOUND_CHECK(bound_check_i16, int16_t, PRId64, int64_t)

/** Each of array[0 .. count) is in [low, high]; else one line on standard error, and abort(). */
#define bound_assert(array, count, low, high) \
  _Generic(*(array), uint32_t                 \
           : bound_check_u32, int32_t         \
           : bound_check_i32, uint64_t        \
           : bound_check_u64, int64_t         \
           : bound_check_i64, int16_t         \
           : bound_check_i16)(array, count, low, high, #array, __func__)
#else
enum { BOUND_ASSERTS = 0 };
#define bound_assert(array, count, low, high) \
  ((void)sizeof(*(array)), (void)sizeof(count), (void)sizeof(low), (void)sizeof(high))
#endif

#endif
