/** Cases for every engine. */
#ifndef FUSION_TESTS_CASES_H
#define FUSION_TESTS_CASES_H

#include "engine/engine.h"
#include "support/net.h"

enum { CONFORMANCE_SHARDS = 3 };

struct conformance_case {
  const char *name;
  struct net (*build)(uint64_t seed);
  size_t shards[CONFORMANCE_SHARDS]; /* samples of each run of a session; 0: no more */
};
extern const struct conformance_case conformance_cases[];
extern const size_t conformance_case_count;
/** The network of a case, for tests of one engine. Aborts when there is none of the name. */
struct net conformance_net(const char *name, uint64_t seed);
/** A part of the line with which the engine refuses a case; NULL: it runs it. */
const char *conformance_refusal(const struct engine *engine, const char *name);

#endif
