/** The small models that golden transcripts are made with: every protocol, as few messages as that takes. */
#ifndef FUSION_TESTS_GOLDEN_MODELS_H
#define FUSION_TESTS_GOLDEN_MODELS_H

#include "support/net.h"

enum { GOLDEN_SHARDS_MAX = 2 };

struct golden_model {
  const char *name;
  struct net (*make)(uint64_t seed);
  size_t shards[GOLDEN_SHARDS_MAX]; /* samples; 0: none */
  size_t expected_samples;          /* as announced when the session opens */
  bool costly;                      /* seconds on the portable tier: runs on the best one alone */
};

/** Ends with a row without a name. A changed model changes every transcript: add a row instead. */
extern const struct golden_model golden_models[];

#endif
