/** An engine without secrets for testing sessions: the client sends its inputs in the clear, the server's shares are
 * the values. It runs fake_model() alone, and can be told to fail or to cheat. */
#ifndef FUSION_TESTS_FAKE_ENGINE_H
#define FUSION_TESTS_FAKE_ENGINE_H

#include <stdatomic.h>

#include "engine/engine.h"

extern const struct engine fake_engine;

/** What the fake server does; all zero: its duty. */
struct fake_behaviour {
  atomic_int cut_runs;   /* so many runs end by a lost connection */
  atomic_int alter_from; /* alters the first answer of so many runs, counted down */
  atomic_int grow_by;    /* added to the largest number of every second answer: its label stays */
  /** The next answer equal to this one has 1 added to its largest number: its label stays. Then NULL again. */
  const int64_t *_Atomic grow_answer;
  atomic_int short_answers; /* so many runs answer with a message of wrong length */
  atomic_int forget_runs;   /* in so many runs the server begins to hash its messages anew, for receipts */
  atomic_int refuse_runs;   /* so many runs are refused */
  atomic_int hang_runs;     /* so many runs never answer, until the connection ends */
  atomic_int delay_ms;      /* before each answer */
  atomic_int runs, opened;  /* counted */
  atomic_int largest_shard; /* seen */
  atomic_size_t memory_per_sample;
};
extern struct fake_behaviour fake;

void fake_reset(void);

/** y = (W x + b) >> shift: `inputs` numbers to `outputs`, pseudo-random weights. Freed by model_free. */
struct model *fake_model(uint32_t inputs, uint32_t outputs, uint64_t seed);

#endif
