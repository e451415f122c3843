/** Correlations from a trusted dealer, for tests and benchmarks only: both ends derive them from one seed. Sends
 * nothing. */
#ifndef FUSION_TESTS_DEALER_H
#define FUSION_TESTS_DEALER_H

#include "ot/cot.h"

fusion_status dealer_open(struct cot **out, enum role role, struct channel *channel, uint64_t seed);

#endif
