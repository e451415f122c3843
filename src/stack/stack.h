/** stack: protocol stacks run a plan on shares. The session layer knows a stack by this interface alone.
 *
 *  One stack session is one worker connection: its own keys, its own correlations. A run is one shard: `samples`
 * samples through the whole plan. */
#ifndef FUSION_STACK_STACK_H
#define FUSION_STACK_STACK_H

#include "model/plan.h"
#include "net/channel.h"
#include "net/cost.h"

struct stack_session;

/** Where time and bytes went, by stage, this party's view. */
enum stack_stage { STAGE_SETUP, STAGE_LINEAR, STAGE_RELU, STAGE_POOL, STAGE_MULTIPLY, STAGE_OUTPUT, STAGE_COUNT };
const char *stack_stage_name(enum stack_stage stage);

struct stack_stats {
  double seconds[STAGE_COUNT], cpu_seconds[STAGE_COUNT]; /* cpu: of the calling thread */
  uint64_t bytes_sent[STAGE_COUNT], bytes_received[STAGE_COUNT];
  uint32_t depth[STAGE_COUNT];
};

/** What a run makes the processors do, in the units that its time is proportional to. */
struct stack_work {
  double correlations; /* taken, both directions */
  double gate_bytes;   /* of nonlinear steps, both ways, refills of correlations not counted */
  double linear_bytes; /* both ways */
  double products;     /* multiply-adds on a coefficient of a polynomial at the server, limbs not counted */
};

struct stack {
  const char *name;
  /** Stacks of one family differ in how they are tuned, not in the plans that they run: a server of one runs the others
   *  too, whichever the client names. NULL: none. */
  const char *family;
  /** Fills the plan's fields that depend on the stack (parameter sets) from the weights. At compile time, by the
   * server. */
  fusion_status (*prepare)(struct model *model, fusion_error *err);
  /** `expected_samples`: how many samples this session will run in all, equal on both sides; a hint that sizes the
   *  correlations, more or fewer may be run. The plan or model and the channel are borrowed for the session's life. */
  fusion_status (*open_server)(struct stack_session **out, const struct model *model, struct channel *channel,
                               size_t expected_samples);
  fusion_status (*open_client)(struct stack_session **out, const struct plan *plan, struct channel *channel,
                               size_t expected_samples);
  fusion_status (*run_server)(struct stack_session *s, size_t samples);
  /** inputs [samples][input size], answers [samples][plan_answer_size]. */
  fusion_status (*run_client)(struct stack_session *s, const int64_t *inputs, int64_t *answers, size_t samples);
  struct stack_stats (*stats)(const struct stack_session *s);
  void (*close)(struct stack_session *s);
  /** Declared cost of opening (expected_samples = the sum) and then of runs of the given numbers of samples, one after
   * the other, into *cost (zeroed by the caller). */
  fusion_status (*cost)(const struct plan *plan, const size_t *shard_samples, size_t shards, struct cost *cost);
  /** The work of a run of `samples` samples. */
  struct stack_work (*work)(const struct plan *plan, size_t samples);
  /** Peak memory of a party for a shard of `samples`; for the shard planner. */
  size_t (*memory)(const struct plan *plan, size_t samples, enum role role);
};

/** "cheetah", "cheetah-wan"; NULL when unknown. */
const struct stack *stack_find(const char *name);
/** The stack that a client names, if a server of `served` runs it; else NULL. */
const struct stack *stack_variant(const struct stack *served, const char *name);

#endif
