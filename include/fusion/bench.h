/** Measuring this machine: `fusion bench`. Each kernel of the library beside the ceilings of the processor that bound
 * it, and whole networks with both parties in one process over a shaped connection. */
#ifndef FUSION_BENCH_H
#define FUSION_BENCH_H

#include <fusion/model.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FUSION_BENCH_DEMANDS 4

/** What one unit of a kernel's work asks of a resource: so many multiplications, AES blocks or bytes. Never changes. */
typedef struct fusion_bench_demand {
  const char *ceiling; /**< name of a ceiling's row */
  double amount;       /**< of its unit */
} fusion_bench_demand;

/** One measured line. Texts are static. The library's: it may grow at its end. */
typedef struct fusion_bench_row {
  const char *group; /**< "ceiling", "lattice", "ot", "share", "model", "protocol" */
  const char *name;  /**< what was measured */
  const char *tier;  /**< kernels that did it: "c", "avx2", "avx512" */
  const char *unit;  /**< what is counted, "product", "block", "byte" */
  double per_second; /**< units a second: median of the runs, all threads together */
  double spread;     /**< (largest - smallest) / median of the runs */
  /** Kernels: the demands that are known, and how near they come to what the processor can do: at 1 the kernel does
   *  nothing but its counted work, at the speed of light. */
  fusion_bench_demand demand[FUSION_BENCH_DEMANDS];
  size_t demands;
  const char *bound; /**< the ceiling that is nearest; NULL: no demand is declared */
  double share;      /**< part of that ceiling reached */
  /** Protocols (two parties, one core each): processor time of each party and bytes, for a unit; else 0. */
  double server_cpu_ns, client_cpu_ns, bytes_to_server, bytes_to_client;
} fusion_bench_row;

/** Start from fusion_bench_defaults(). */
typedef struct fusion_bench_settings {
  size_t size;      /**< of this struct; see fusion.h */
  const char *only; /**< rows whose group or name contains this text; NULL (default): all. Ceilings that a row needs are
                         measured anyway */
  bool all_tiers;   /**< every tier that the processor has; default false: the one in force */
  unsigned threads; /**< so many threads run a kernel at once, 1 to 256; default 1. Protocols: 1 alone */
  unsigned runs;    /**< the median of so many, 1 to 99; default 5 */
  double seconds;   /**< of each run of a kernel, at least; above 0, at most 60; default 0.03 */
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

/** Measures ceilings, kernels and protocols. With `all_tiers` the tier in force changes meanwhile, for the whole
 * process: run nothing else beside it. FUSION_E_USAGE, FUSION_E_MEMORY, FUSION_E_RESOURCE, FUSION_E_CLOSED. */
FUSION_API fusion_status fusion_bench_micro(const fusion_bench_settings *settings, fusion_error *err) FUSION_MUST_CHECK;

/** A connection to imitate. Never changes. */
typedef struct fusion_bench_network {
  double bytes_per_second; /**< each way; 0 (default): as fast as the loopback device */
  double round_trip_ms;
} fusion_bench_network;

/** The published measurements' networks: "lan" (382 MB/s, 0.3 ms), "wan" (44 MB/s, 40 ms), "none"; false for another
 *  name. */
FUSION_API bool fusion_bench_network_named(const char *name, fusion_bench_network *out);

/** Start from fusion_bench_model_defaults(). */
typedef struct fusion_bench_model_settings {
  size_t size;        /**< of this struct */
  const char *engine; /**< protocol engine, as fusion_client_settings says; default "cheetah" */
  uint64_t samples;   /**< inputs at random; default 868 */
  uint64_t
      shard; /**< at most so many at once on a connection; 0 (default): an equal part for each worker, 4,096 at most */
  unsigned workers; /**< connections side by side, 1 to 256; default 1 */
  unsigned threads; /**< of the plaintext run that the answers are compared with; 0 (default): one for every core */
  bool pin;         /**< the server's threads stay on one core, the client's on another; default true */
  fusion_bench_network network;
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
  double seconds, setup_seconds; /**< in all; until the first shard starts (the slowest worker) */
  double plain_seconds;          /**< the same samples in the clear */
  double server_cpu, client_cpu;
  uint64_t bytes_to_server, bytes_to_client;
  uint32_t delays;
  uint64_t peak_memory; /**< of the process: both parties, the model, inputs, answers */
  uint64_t wrong;       /**< answers that differ from the plaintext run; 0 unless the model's rounding is fast */
  fusion_bench_stage stage[FUSION_BENCH_STAGES];
  size_t stages;
} fusion_bench_model_result;

/** Runs a model privately on random inputs over loopback TCP, a thread a party and worker, and compares every answer.
 *  FUSION_E_USAGE, FUSION_E_MODEL (not compiled for private runs), FUSION_E_MEMORY, FUSION_E_RESOURCE, FUSION_E_IO,
 *  FUSION_E_INTERNAL (an answer of a model with exact rounding is wrong). */
FUSION_API fusion_status fusion_bench_model(const fusion_model *model, const fusion_bench_model_settings *settings,
                                            fusion_bench_model_result *result, fusion_error *err) FUSION_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
