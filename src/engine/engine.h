/** engine: protocol engines run a program on shares between two parties. This header has two halves.
 *
 *  For those who run programs (session, api, bench): engine_find(), engine_check(), engine_open_server(), ... All of
 *  them belong to the common walker (walk*.c), which keeps the shares of tensors, runs the local steps, calls the
 *  engine's gates, opens the answers and adds up costs and memory.
 *
 *  For those who write an engine: struct engine, which is one constant object in src/engine/NAME/ and one line in
 *  registry.c. docs/guide/engine.md goes through it in order.
 *
 *  One engine session is one worker connection: its own keys, its own correlations. A run is one shard: `samples`
 *  samples through the whole program. */
#ifndef FUSION_ENGINE_ENGINE_H
#define FUSION_ENGINE_ENGINE_H

#include "base/byte_stream.h"
#include "base/heap.h"
#include "base/kept.h"
#include "engine/speeds.h"
#include "net/channel.h"
#include "net/cost.h"
#include "program/operators.h"
#include "rand/prg.h"

struct engine;
struct engine_session;

const char *engine_stage_name(enum operator_stage stage);

/** Where time and bytes went, by stage, this party's view. */
struct engine_stats {
  double seconds[STAGE_COUNT], cpu_seconds[STAGE_COUNT]; /* cpu: of the calling thread */
  uint64_t bytes_sent[STAGE_COUNT], bytes_received[STAGE_COUNT];
  uint32_t depth[STAGE_COUNT];
};

/** Processor seconds of each party, predicted. */
struct engine_seconds {
  double server, client;
  double together; /* of the party that takes longer, step by step: the other waits for it */
};

/* ---- Running programs ---- */

/** The engines that there are; NULL past the end. */
const struct engine *engine_at(size_t i);
/** "cheetah", "cheetah-wan"; NULL when unknown. */
const struct engine *engine_find(const char *name);
#define ENGINE_DEFAULT "cheetah"
/** The same; NULL names the default. FUSION_E_USAGE with a line that lists those that there are. */
fusion_status engine_named(const struct engine **out, const char *name, fusion_error *err) FUSION_MUST_CHECK;
/** Engines that a server runs. */
enum { ENGINES_MAX = 16 };
struct engine_list {
  const struct engine *at[ENGINES_MAX];
  size_t count;
};
/** Names split by commas, each with the others of its family, or "all"; NULL is the default's family. FUSION_E_USAGE
 * with a line as engine_named's. */
fusion_status engine_list_parse(struct engine_list *out, const char *names, fusion_error *err) FUSION_MUST_CHECK;
/** Leaves out the engines that cannot run the program. */
void engine_list_keep_able(struct engine_list *list, const struct program *program);
/** The engine that a client names; NULL when the list has none of that name. */
const struct engine *engine_list_find(const struct engine_list *list, const char *name);
/** The names, split by commas; as many as fit. */
void engine_list_text(const struct engine_list *list, char *text, size_t capacity);

/** Fills the engine's own section of the program from the weights, then checks the program. At compile time, by the
 *  server. FUSION_E_MODEL with a line that names the layer and the remedy. */
fusion_status engine_prepare(const struct engine *engine, struct model *model, fusion_error *err) FUSION_MUST_CHECK;
/** Whether the engine can run the program, which has passed program_validate but may come from the peer. FUSION_E_MODEL
 *  with a line that names the layer and the remedy, or FUSION_E_MEMORY. */
fusion_status engine_check(const struct engine *engine, const struct program *program,
                           fusion_error *err) FUSION_MUST_CHECK;

/** `expected_samples`: how many samples this session will run in all, equal on both sides; a hint that sizes the
 *  correlations, more or fewer may be run. The program or model and the channel are borrowed for the session's life.
 *  A program that the engine cannot run fails the channel with the line of engine_check. */
fusion_status engine_open_server(struct engine_session **out, const struct engine *engine, const struct model *model,
                                 struct channel *channel, size_t expected_samples) FUSION_MUST_CHECK;
fusion_status engine_open_client(struct engine_session **out, const struct engine *engine,
                                 const struct program *program, struct channel *channel,
                                 size_t expected_samples) FUSION_MUST_CHECK;
fusion_status engine_run_server(struct engine_session *s, size_t samples) FUSION_MUST_CHECK;
/** inputs [samples][input size], answers [samples][program_answer_size]. */
fusion_status engine_run_client(struct engine_session *s, const int64_t *inputs, int64_t *answers,
                                size_t samples) FUSION_MUST_CHECK;
struct engine_stats engine_stats(const struct engine_session *s);
/** NULL is allowed. */
void engine_close(struct engine_session *s);

/** Declared cost of opening (expected_samples = the sum) and then of runs of the given numbers of samples, one after
 *  the other, into *cost (zeroed by the caller). Fails as engine_check. */
fusion_status engine_cost(const struct engine *engine, const struct program *program, const size_t *shard_samples,
                          size_t shards, struct cost *cost) FUSION_MUST_CHECK;
/** Peak memory of a party for a shard of `samples`; SIZE_MAX when the program cannot be run. */
size_t engine_memory(const struct engine *engine, const struct program *program, size_t samples, enum role role);
/** What is predicted, on which processors. */
struct engine_run {
  const struct engine *engine;
  const struct program *program;
  size_t samples, shard;                       /* in shards of so many */
  const struct engine_speeds *server, *client; /* NULL: the usual machine's */
};
/** Of opening and running. Fails as engine_check. */
fusion_status engine_seconds(const struct engine_run *run, struct engine_seconds *out) FUSION_MUST_CHECK;

/* ---- Running ahead of the input ----
 *
 * An engine that can (engine_runs_ahead) does everything but its online part before the client has an input. A session
 * of phase ENGINE_AHEAD prepares runs; each leaves a prepared state at both parties, bytes that they keep where they
 * like. A session of phase ENGINE_ONLINE, which makes no keys, runs them, in any order that both follow.
 *
 * A prepared state serves one run: a second one with another input would tell the server their difference and more. It
 * is secret, bound to the program and the number of samples, and both parties must have spent theirs, durably, before
 * the first message of the run leaves. What else it is bound to (a client, a model id) is for the caller. The server
 * may have cheated while it prepared: who checks answers by copies chooses their places after that. */

enum engine_phase { ENGINE_AT_ONCE, ENGINE_AHEAD, ENGINE_ONLINE };

bool engine_runs_ahead(const struct engine *engine);

/** What a session is opened on; borrowed for its life. */
struct engine_opening {
  const struct engine *engine;
  const struct program *program;
  const struct program_weights *weights; /* the server's; NULL: the client */
  struct channel *channel;
  size_t expected_samples;
  enum engine_phase phase;
  struct keeping *keeping; /* borrowed during the call; NULL: nothing is kept. Some engines keep nothing */
};
/** As engine_open_server() and engine_open_client(), which are of phase ENGINE_AT_ONCE. */
fusion_status engine_open(struct engine_session **out, const struct engine_opening *o) FUSION_MUST_CHECK;

/** Phase ENGINE_AHEAD, either party: prepares a run of `samples` samples, whose state goes to `to`. */
fusion_status engine_prepare_run(struct engine_session *s, size_t samples,
                                 const struct byte_stream *to) FUSION_MUST_CHECK;
/** Phase ENGINE_ONLINE: as engine_run_server() and engine_run_client(), from a state made for as many samples. */
fusion_status engine_run_prepared_server(struct engine_session *s, size_t samples,
                                         const struct byte_stream *from) FUSION_MUST_CHECK;
fusion_status engine_run_prepared_client(struct engine_session *s, const int64_t *inputs, int64_t *answers,
                                         size_t samples, const struct byte_stream *from) FUSION_MUST_CHECK;

/** As engine_cost(), for sessions of a phase. Of ENGINE_AHEAD also the bytes of the states, all runs together:
 *  cost->prepared_server, cost->prepared_client. */
fusion_status engine_phase_cost(const struct engine *engine, enum engine_phase phase, const struct program *program,
                                const size_t *shard_samples, size_t shards, struct cost *cost) FUSION_MUST_CHECK;

/** Of one run, without the opening, in a session of `expected` samples. */
fusion_status engine_run_phase_cost(const struct engine *engine, enum engine_phase phase, const struct program *program,
                                    size_t expected, size_t samples, struct cost *cost) FUSION_MUST_CHECK;

/** As engine_memory(), of a phase, in a session of `expected` samples: with what a run's state takes where it lies in
 *  memory (a stock). */
size_t engine_phase_memory(const struct engine *engine, enum engine_phase phase, const struct program *program,
                           size_t expected, size_t samples, enum role role);

/* ---- Writing an engine ---- */

/** What an engine derives from a program, once for a session or a prediction. The walker makes it, the engine's
 *  layout_open fills it. */
struct engine_layout {
  const struct engine *engine;
  const struct program *program; /* borrowed */
  enum engine_phase phase;
  size_t expected_samples; /* of the session, at least 1 */
  /** Owned: [steps]. Shares of a raw tensor (program.h) hold its values times 2^guard_bits, plus what noise the engine
   *  has below them. Zeros, as the walker makes them: shares of the very values, as those of clean tensors always are.
   *  The inputs and the output of an addition of raw tensors have one guard. */
  uint8_t *guard_bits;
  void *own; /* the engine's, layout_open to layout_close */
};

/** Bits of one share of the step's tensor: ring and guard. */
static inline unsigned engine_share_bits(const struct engine_layout *l, uint32_t number) {
  return (unsigned)l->program->steps[number].out.ring_bits + l->guard_bits[number];
}

/** One party of a session, as its engine sees it; everything borrowed for the session's life. */
struct engine_party {
  enum role role;
  struct channel *channel;
  struct heap *heap; /* large temporaries */
  struct prg *prg;   /* this party's own secret randomness */
  const struct engine_layout *layout;
  const struct program_weights *weights; /* [steps]: the server's; NULL: the client */
  const struct byte_stream *stream;      /* of the run: written ahead, read online; NULL in one go */
  struct keeping *keeping;               /* while the engine opens; NULL: nothing is kept */
};

/** One gate of one run. Shares are [samples][shape_size] of engine_share_bits: bits above are ignored on input and zero
 *  on output. */
struct gate_call {
  const struct engine_party *party;
  uint32_t number; /* of the step; for GATE_TOP_K of the last one, whose winners are wanted */
  size_t samples;
  const uint64_t *const *inputs; /* shares of what the step reads; equal pointers: the same tensor twice */
  bool zero; /* this party's shares of the inputs are all zeros: the server's, of the client's input */
  const struct program_weights *weights; /* the step's; NULL at the client */
  uint64_t *out;                         /* the step's share; of GATE_TOP_K the indices, [samples][program_winners] */
  uint64_t *values;                      /* GATE_TOP_K: the winners' values, modulo 2^ring_bits; NULL: not wanted */
};

/** A gate as an engine implements it. Which gate a step needs, its row in the operator table says
 *  (program/operators.h); the local steps are the walker's.
 *
 *  GATE_LINEAR         the output's guard is the layout's
 *  GATE_RELU_TRUNCATE  exact, from a raw or a clean tensor; clean output
 *  GATE_MULTIPLY       clean tensors; two equal inputs are a square
 *  GATE_MAXPOOL        a clean tensor
 *  GATE_LOOKUP         a clean tensor, read modulo 2^width of the table
 *  GATE_COMPARE        a raw or a clean tensor; clean output, 0 or 1
 *  GATE_MATMUL         clean tensors; the output's guard is the layout's
 *  GATE_TOP_K          of no operator: the largest of the last tensor's rows, for answers that are labels or a top-k */
struct engine_gate {
  /** `state` is the session's. Both parties call it with the same public parameters. */
  fusion_status (*run)(void *state, const struct gate_call *call);
  /** Its messages and correlations for `samples` samples, exactly. */
  void (*cost)(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples);
  /** Bytes that it takes for itself at most, shares of inputs and outputs not counted. */
  size_t (*memory)(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role);
};

/** A gate of a run, for predictions. */
struct engine_step {
  enum operator_gate gate;
  uint32_t number; /* of the step; for GATE_TOP_K the last */
  size_t samples;
  struct cost cost; /* what the gate declares */
};

struct engine {
  const char *name;   /* as users say it: small letters, digits, '-'; shorter than PROGRAM_ENGINE_LEN */
  const char *family; /* a server of one engine serves clients that ask for another of its family */
  const char
      *section; /* names its section of prepared programs; engines of one section run the same. NULL: the family */
  const char *summary; /* a line for --help */
  const void *tuning;  /* the engine's own: what tells it from others of its family; may be NULL */
  /** Gives the program its section (program/program_section.h), from the weights, at compile time.
   *  FUSION_E_MODEL with a line that names the layer and the remedy. NULL: it needs none; else programs without one are
   *  refused. */
  fusion_status (*prepare)(const struct engine *engine, struct model *model, fusion_error *err);
  /** Fills guard_bits and own. Fails, with a line as above, for any program that the gates cannot run: the program has
   *  passed program_validate, the engine's section of it is bytes from anywhere. Whatever gates, costs and memory later
   *  rely on is checked here. On failure own is NULL. NULL: there is nothing to derive or refuse. */
  fusion_status (*layout_open)(struct engine_layout *layout, fusion_error *err);
  void (*layout_close)(struct engine_layout *layout);
  /** The session's keys and correlations: *state, which is the engine's; NULL on failure. What needs no `keeping` may
   * be left to the first run's gates. */
  fusion_status (*open)(void **state, const struct engine_party *party);
  void (*close)(void *state);
  /** Declares open(), with what that leaves to gates. It may leave a source of correlations in *cost, which lives as
   * long as the layout. */
  void (*open_cost)(const struct engine_layout *layout, struct cost *cost);
  /** Bytes that a session's state takes at most. */
  size_t (*memory)(const struct engine_layout *layout, enum role role);
  /** NULL: 0. Bytes of later steps that a party has begun while the gate of step `number` runs. */
  size_t (*memory_beside)(const struct engine_layout *layout, uint32_t number, size_t samples, enum role role);
  /** Processor seconds of a session's opening, with shards of `samples` samples, and of a gate; of parties that both
   *  work at `speeds`. `together` stays 0. */
  struct engine_seconds (*open_seconds)(const struct engine_layout *layout, size_t samples,
                                        const struct engine_speeds *speeds);
  struct engine_seconds (*gate_seconds)(const struct engine_layout *layout, const struct engine_step *step,
                                        const struct engine_speeds *speeds);
  /** NULL: the engine cannot run ahead, or not its gates. Else a run ahead is this alone: it makes and keeps what the
   *  gates of a run of `samples` samples will take. The gates themselves run online as in one go, on the input, and
   *  begin() restores what was kept. stock_cost declares it. */
  fusion_status (*stock)(void *state, const struct engine_party *party, size_t samples);
  void (*stock_cost)(const struct engine_layout *layout, struct cost *cost, size_t samples);
  /** NULL: the engine cannot run ahead. Else layouts may be of any phase, which open, gates, costs and memory go by:
   *  ahead, without a stock, the client's shares are true and the server's are not, online the other way round. The
   *  client's shares must not depend on what is sent online. Called before each run of these phases: what the engine
   *  itself keeps in the party's stream. Gates may write and read more. begin_cost declares it; NULL: nothing. */
  fusion_status (*begin)(void *state, const struct engine_party *party);
  void (*begin_cost)(const struct engine_layout *layout, struct cost *cost);
  const struct engine_gate *gates; /* [GATE_COUNT]; one without run: programs that need it are refused */
};

/** For predictions and tests; sessions have their own. The program is borrowed. Fails as engine_check; on failure
 *  there is nothing to close. */
fusion_status engine_layout_open(struct engine_layout *out, const struct engine *engine, const struct program *program,
                                 size_t expected_samples, fusion_error *err) FUSION_MUST_CHECK;
/** Of another phase than ENGINE_AT_ONCE: FUSION_E_UNSUPPORTED for an engine that cannot run ahead. */
fusion_status engine_layout_open_phase(struct engine_layout *out, const struct engine *engine, enum engine_phase phase,
                                       const struct program *program, size_t expected_samples,
                                       fusion_error *err) FUSION_MUST_CHECK;
void engine_layout_close(struct engine_layout *layout);

/** Declares a run of `samples` samples: for engines that size their correlations by it. */
void engine_run_cost(struct cost *cost, const struct engine_layout *layout, size_t samples);
/** The same of its gates alone. */
void engine_gates_cost(struct cost *cost, const struct engine_layout *layout, size_t samples);

/** Whether a run's shares are the client's input and the server's zeros: not where gates run ahead of the input. */
static inline bool engine_takes_input(const struct engine_layout *l) {
  return l->phase == ENGINE_AT_ONCE || l->engine->stock;
}

#endif
