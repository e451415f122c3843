/** Measures this machine, as `fusion bench` does: every kernel of the library beside the processor's ceilings, and
 * whole networks with both parties in one process and a loopback connection that can imitate a slower one. */
#ifndef FUSION_BENCH_H
#define FUSION_BENCH_H

#include <fusion/model.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FUSION_BENCH_DEMANDS 4

/** The amount of a resource that one unit of a kernel's work needs: multiplications, AES blocks or bytes. Never
 * changes. */
typedef struct fusion_bench_demand {
  const char *ceiling; /**< name of a ceiling's row */
  double amount;       /**< in the unit of that row */
} fusion_bench_demand;

/** One measured row. Texts are static. The library fills it; it may grow at its end. */
typedef struct fusion_bench_row {
  const char *group; /**< "ceiling", "lattice", "ot", "share", "model", "protocol" */
  const char *name;  /**< what was measured */
  const char *tier;  /**< kernel tier used: "c", "avx2", "vaes", "avx512", "neon" */
  const char *unit;  /**< what is counted, "product", "block", "byte" */
  double per_second; /**< units per second: median of the runs, sum of all threads */
  double spread;     /**< (largest - smallest) / median of the runs */
  /** Kernels: the known demands, and the share of the ceiling that the kernel reaches; a kernel at 1 does nothing but
   *  the counted work. */
  fusion_bench_demand demand[FUSION_BENCH_DEMANDS];
  size_t demands;
  const char *bound; /**< the nearest ceiling; NULL: no demand is declared */
  double share;      /**< share of that ceiling reached */
  /** Protocols (two parties, one core each): processor time and bytes of each party, per unit; otherwise 0. */
  double server_cpu_ns, client_cpu_ns, bytes_to_server, bytes_to_client;
} fusion_bench_row;

/** Start from fusion_bench_defaults(). */
typedef struct fusion_bench_settings {
  size_t size;      /**< of this struct; see fusion.h */
  const char *only; /**< only rows whose name or group contains this text; NULL (default): all. Ceilings that a row
                       needs are always measured */
  bool all_tiers;   /**< measure every tier that the processor has; default false: only the active one */
  unsigned threads; /**< number of threads that run a kernel at once, each on its own data, 1 to 256; default 1. With
                         more than one, protocols are left out */
  unsigned runs;    /**< number of runs, 1 to 99; the median counts; default 5 */
  double seconds;   /**< minimum length of each run; above 0, at most 60; default 0.03 */
  /** Called for each row as it is measured; returning false ends the run with FUSION_E_CLOSED. */
  bool (*row)(void *context, const fusion_bench_row *row);
  void *context;
} fusion_bench_settings;

FUSION_API void fusion_bench_init(fusion_bench_settings *settings, size_t size);
static inline fusion_bench_settings fusion_bench_defaults(void) {
  fusion_bench_settings settings;
  fusion_bench_init(&settings, sizeof settings);
  return settings;
}

/** Measures ceilings, kernels and protocols. With `all_tiers` the active tier of the whole process changes
 * meanwhile: run nothing else at the same time. FUSION_E_USAGE, FUSION_E_MEMORY, FUSION_E_RESOURCE, FUSION_E_CLOSED. */
FUSION_API fusion_status fusion_bench_micro(const fusion_bench_settings *settings, fusion_error *err) FUSION_MUST_CHECK;

/** Measures in about a second what predictions count (fusion_model_predict_on): on one core a party, so run nothing
 *  else at the same time. FUSION_E_USAGE, FUSION_E_MEMORY, FUSION_E_RESOURCE; FUSION_E_INTERNAL when what was measured
 *  is not plausible. */
FUSION_API fusion_status fusion_bench_calibrate(fusion_speeds *speeds, fusion_error *err) FUSION_MUST_CHECK;

/** A connection to imitate. Never changes. */
typedef struct fusion_bench_network {
  double bytes_per_second; /**< each way; 0 (default): as fast as the loopback device */
  double round_trip_ms;
} fusion_bench_network;

/** The networks of published measurements: "lan" (382 MB/s, 0.3 ms), "wan" (44 MB/s, 40 ms), "none"; false for another
 *  name. */
FUSION_API bool fusion_bench_network_named(const char *name, fusion_bench_network *out);

/** What is measured of an engine that can prepare runs ahead of the input. */
typedef enum fusion_bench_phase {
  FUSION_BENCH_AT_ONCE = 0, /**< the whole run */
  FUSION_BENCH_AHEAD,       /**< what needs no input */
  FUSION_BENCH_ONLINE,      /**< the rest, after an unmeasured preparation */
} fusion_bench_phase;

/** Start from fusion_bench_model_defaults(). */
typedef struct fusion_bench_model_settings {
  size_t size;        /**< of this struct */
  const char *engine; /**< protocol engine, as fusion_client_settings says; default "cheetah" */
  uint64_t samples;   /**< number of samples of the job, random inputs; default 868 */
  uint64_t shard; /**< number of samples that run at once on one connection; 0 (default): an equal part for each worker,
                     4096 at most */
  unsigned workers; /**< number of connections at once, 1 to 256; default 1 */
  unsigned threads; /**< number of threads of the plaintext run; 0 (default): one per core */
  bool pin;         /**< the server's threads stay on one core, the client's on another; default true */
  fusion_bench_network network;
  /** A fusion_bench_phase, default FUSION_BENCH_AT_ONCE; the others: FUSION_E_UNSUPPORTED for engines that cannot. */
  uint64_t phase;
} fusion_bench_model_settings;

FUSION_API void fusion_bench_model_init(fusion_bench_model_settings *settings, size_t size);
static inline fusion_bench_model_settings fusion_bench_model_defaults(void) {
  fusion_bench_model_settings settings;
  fusion_bench_model_init(&settings, sizeof settings);
  return settings;
}

#define FUSION_BENCH_STAGES 8

/** Never changes. */
typedef struct fusion_bench_stage {
  const char *name;              /**< "setup", "linear", "relu", ... */
  double seconds;                /**< of the client, workers summed */
  double server_cpu, client_cpu; /**< processor seconds */
  uint64_t bytes_to_server, bytes_to_client;
  uint32_t delays; /**< one-way message delays on the client's path, the largest of the workers */
} fusion_bench_stage;

typedef struct fusion_bench_model_result {
  size_t size; /**< of this struct */
  uint64_t samples, shard;
  double seconds, setup_seconds; /**< of the whole run; until the slowest worker starts its first shard */
  double plain_seconds;          /**< the same samples in the clear */
  double server_cpu, client_cpu;
  uint64_t bytes_to_server, bytes_to_client;
  uint32_t delays;
  uint64_t peak_memory; /**< of the process: both parties, the model, inputs, answers */
  uint64_t wrong;       /**< answers that differ from the plaintext run; 0 unless the model's rounding is fast */
  fusion_bench_stage stage[FUSION_BENCH_STAGES];
  size_t stages;
  uint64_t state_server, state_client; /**< bytes of prepared state at each party; 0 in one go */
} fusion_bench_model_result;

/** Runs a model privately on random inputs over loopback TCP, with one thread per party and worker, and compares every
 * answer. FUSION_E_USAGE, FUSION_E_MODEL (not compiled for private runs), FUSION_E_MEMORY, FUSION_E_RESOURCE,
 * FUSION_E_IO, FUSION_E_INTERNAL (an answer of a model with exact rounding is wrong). */
FUSION_API fusion_status fusion_bench_model(const fusion_model *model, const fusion_bench_model_settings *settings,
                                            fusion_bench_model_result *result, fusion_error *err) FUSION_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
