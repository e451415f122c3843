/** base: what every folder stands on: status macros, checked sizes, plain and secret memory, bytes, blocks, CPU tiers,
 *  threads, log. Depends on libsodium and the C library only. This header gathers the small ones. */
#ifndef FUSION_BASE_BASE_H
#define FUSION_BASE_BASE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <fusion/status.h>

/** Evaluates `expr`; on failure leaves through the function's `cleanup:` label with `status` set. */
#define TRY(expr)                          \
  do {                                     \
    status = (expr);                       \
    if (status != FUSION_OK) goto cleanup; \
  } while (0)

/** Leaves through `cleanup:` with `code` when `condition` holds. */
#define FAIL_IF(condition, code) \
  do {                           \
    if (condition) {             \
      status = (code);           \
      goto cleanup;              \
    }                            \
  } while (0)

/** Fills `err` (may be NULL) and returns `status`. The text: `'thing': what is wrong; what to do`. */
fusion_status error_set(fusion_error *err, fusion_status status, const char *format, ...) FUSION_PRINTF(3, 4);

/** True when a*b (a+b) fits size_t; the result in *out. */
static inline bool size_mul(size_t a, size_t b, size_t *out) {
  return !__builtin_mul_overflow(a, b, out);
}
static inline bool size_add(size_t a, size_t b, size_t *out) {
  return !__builtin_add_overflow(a, b, out);
}

/** ceil(a / b), b > 0; ceil(log2(x)), x >= 1. For public values only. */
static inline size_t div_up(size_t a, size_t b) {
  return a / b + (a % b != 0);
}
static inline unsigned log2_up(uint64_t x) {
  return x <= 1 ? 0 : 64u - (unsigned)__builtin_clzll(x - 1);
}
static inline size_t size_min(size_t a, size_t b) {
  return a < b ? a : b;
}
static inline size_t size_max(size_t a, size_t b) {
  return a > b ? a : b;
}

/** The low `bits` bits set, 0 <= bits <= 64. */
static inline uint64_t low_mask(unsigned bits) {
  return bits >= 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
}

/** x in Z_{2^bits} read as a signed value, 1 <= bits <= 64. Branch-free. */
static inline int64_t ring_signed(uint64_t x, unsigned bits) {
  const unsigned shift = 64 - bits;
  return (int64_t)(x << shift) >> shift;
}

/** Zeroed memory for `count` elements, aligned to 64 bytes; NULL when the size overflows or memory is out.
 *  Freed by mem_free (plain) or mem_free_secret (wiped first). */
void *mem_alloc(size_t count, size_t element_len);
void mem_free(void *p);
void mem_free_secret(void *p, size_t len);
void mem_wipe(void *p, size_t len);

/** Zeroed memory straight from the system, in huge pages (MEM_PAGES_LEN) where it gives them, for long-lived large
 * blocks. `len`: a multiple of MEM_PAGES_LEN. NULL when memory is out. */
#define MEM_PAGES_LEN ((size_t)1 << 21)
void *mem_pages(size_t len);
void mem_free_pages(void *p, size_t len);

/** Half of what machine, control group (v2) and process limits allow, in bytes. The default of memory limits. */
uint64_t mem_half_of_machine(void);

/** Guarded, locked, wiped-on-free memory for long-lived keys and deltas (libsodium). NULL when out. */
void *key_alloc(size_t len);
void key_free(void *p);

/** Fills `out` from the operating system's generator. */
fusion_status os_random(void *out, size_t len) FUSION_MUST_CHECK;

/** Seconds on the monotonic clock. */
double clock_seconds(void);
/** Processor seconds of the calling thread. */
double clock_cpu_seconds(void);

#endif
