/** What several test programs share: cmocka with its needed headers, a printed seed, two parties in one process. */
#ifndef FUSION_TESTS_SUPPORT_H
#define FUSION_TESTS_SUPPORT_H

/* cmocka.h needs what comes before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base.h"

/** A seed for random tests: FUSION_TEST_SEED if set, else fresh; printed, so that a failure can be replayed. */
uint64_t test_seed(void);

/** splitmix64: a small generator for test data, never for keys. */
uint64_t test_random(uint64_t *state);

/** Runs both parties of a protocol, each in its own thread; returns when both have ended. */
void test_run_both(void *(*server)(void *), void *server_arg, void *(*client)(void *), void *client_arg);

#define assert_ok(expr) assert_int_equal((expr), FUSION_OK)

#endif
