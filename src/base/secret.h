/** Secrets, followed by a memory checker. A secret is marked where it is born and stays marked in everything that is
 *  computed from it; what a party sends is declassified at the point of sending, with the reason why the peer may see
 *  it. In a build with -Dctgrind=true (make test-constant-time) the marks are valgrind's "undefined" bits: memcheck
 * then reports every branch and every address that depends on a secret, and channel_send reports every byte that goes
 * out undeclared. With -Dmsan=true (make msan) the marks are MemorySanitizer's shadow, for AVX-512, which valgrind does
 * not know. In every other build these are nothing.
 *
 *  `grep -rn secret_declassify src` is the whole list of what leaves a party. Divisions are not seen by the checker:
 *  scripts/check_constant_time.py looks for those. */
#ifndef FUSION_BASE_SECRET_H
#define FUSION_BASE_SECRET_H

#ifdef FUSION_CTGRIND

#include <valgrind/memcheck.h>

#define secret_mark(p, len) ((void)VALGRIND_MAKE_MEM_UNDEFINED(p, len))
#define secret_declassify(p, len, reason) ((void)VALGRIND_MAKE_MEM_DEFINED(p, len))
/** Reports when a byte is (computed from) a secret. */
#define secret_check_public(p, len) ((void)VALGRIND_CHECK_MEM_IS_DEFINED(p, len))

#elif defined(FUSION_MSAN)

#include <sanitizer/msan_interface.h>

#define secret_mark(p, len) __msan_poison(p, len)
#define secret_declassify(p, len, reason) __msan_unpoison(p, len)
#define secret_check_public(p, len) __msan_check_mem_is_initialized(p, len)

#else

#define secret_mark(p, len) ((void)0)
#define secret_declassify(p, len, reason) ((void)0)
#define secret_check_public(p, len) ((void)0)

#endif

#endif
