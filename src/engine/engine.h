/** engine: protocol engines run a program on shares. The session layer knows a engine by this interface alone.
 *
 *  One engine session is one worker connection: its own keys, its own correlations. A run is one shard: `samples`
 * samples through the whole program. */
#ifndef FUSION_ENGINE_ENGINE_H
#define FUSION_ENGINE_ENGINE_H

#include "net/channel.h"
#include "net/cost.h"
#include "program/operators.h"

struct engine_session;

const char *engine_stage_name(enum operator_stage stage);

/** Where time and bytes went, by stage, this party's view. */
struct engine_stats {
  double seconds[STAGE_COUNT], cpu_seconds[STAGE_COUNT]; /* cpu: of the calling thread */
  uint64_t bytes_sent[STAGE_COUNT], bytes_received[STAGE_COUNT];
  uint32_t depth[STAGE_COUNT];
};

/** What a run makes the processors do, in the units that its time is proportional to. */
struct engine_work {
  double correlations; /* taken, both directions */
  double gate_bytes;   /* of nonlinear steps, both ways, refills of correlations not counted */
  double linear_bytes; /* both ways */
  double products;     /* multiply-adds on a coefficient of a polynomial at the server, limbs not counted */
};

struct engine {
  const char *name;
  /** Stacks of one family differ in how they are tuned, not in the programs that they run: a server of one runs the
   * others too, whichever the client names. NULL: none. */
  const char *family;
  /** Fills the program's fields that depend on the engine (parameter sets) from the weights. At compile time, by the
   * server. */
  fusion_status (*prepare)(struct model *model, fusion_error *err);
  /** `expected_samples`: how many samples this session will run in all, equal on both sides; a hint that sizes the
   *  correlations, more or fewer may be run. The program or model and the channel are borrowed for the session's life.
   */
  fusion_status (*open_server)(struct engine_session **out, const struct model *model, struct channel *channel,
                               size_t expected_samples);
  fusion_status (*open_client)(struct engine_session **out, const struct program *program, struct channel *channel,
                               size_t expected_samples);
  fusion_status (*run_server)(struct engine_session *s, size_t samples);
  /** inputs [samples][input size], answers [samples][program_answer_size]. */
  fusion_status (*run_client)(struct engine_session *s, const int64_t *inputs, int64_t *answers, size_t samples);
  struct engine_stats (*stats)(const struct engine_session *s);
  void (*close)(struct engine_session *s);
  /** Declared cost of opening (expected_samples = the sum) and then of runs of the given numbers of samples, one after
   * the other, into *cost (zeroed by the caller). */
  fusion_status (*cost)(const struct program *program, const size_t *shard_samples, size_t shards, struct cost *cost);
  /** The work of a run of `samples` samples. */
  struct engine_work (*work)(const struct program *program, size_t samples);
  /** Peak memory of a party for a shard of `samples`; for the shard planner. */
  size_t (*memory)(const struct program *program, size_t samples, enum role role);
};

/** "cheetah", "cheetah-wan"; NULL when unknown. */
const struct engine *engine_find(const char *name);
/** The engine that a client names, if a server of `served` runs it; else NULL. */
const struct engine *engine_variant(const struct engine *served, const char *name);

#endif
