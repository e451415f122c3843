/** Failures of the machine, on command: allocations, threads and randomness that are refused, and a clock that jumps.
 * The test program is linked with --wrap for each of the functions (tests/meson.build), so everything that this
 * project's code asks for passes here, of both parties, in every thread. OpenSSL's and jansson's allocations come by
 * their hooks.
 */
#ifndef FUSION_TESTS_INJECT_H
#define FUSION_TESTS_INJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum inject_kind { INJECT_MEMORY, INJECT_OPENSSL, INJECT_THREAD, INJECT_RANDOM, INJECT_KIND_COUNT };

/** Before OpenSSL or jansson is used. */
void inject_init(void);
/** From now on calls are counted; the `first`-th (0: none) of a kind fails, and if `all` every later one too. */
void inject_start(enum inject_kind kind, uint64_t first, bool all);
/** Nothing fails any more. */
void inject_stop(void);
/** How many calls of a kind there were between the last start and stop. */
uint64_t inject_calls(enum inject_kind kind);

/** Allocations of this project's code that are not freed; prints where the last of them came from. */
size_t inject_live(void);
void inject_print_live(size_t more_than);

/** What CLOCK_REALTIME is off by, in seconds. */
void inject_clock(int64_t seconds);

#endif
