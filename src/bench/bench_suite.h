/** bench: measures the library's kernels against the ceilings of the processor, and whole networks. This file: how a
 *  kernel is timed.
 *
 *  The kernels are the rows of kernels/kernel_registry.h. What is made of several kernels, or of none, is a function
 *  here that prepares buffers and calls bench_kernel() for each row. With several threads all of it runs in each of
 *  them, on its own buffers; bench_kernel() lets them start together and sums up. */
#ifndef FUSION_BENCH_BENCH_SUITE_H
#define FUSION_BENCH_BENCH_SUITE_H

#include <fusion/bench.h>

#include "base/cpu_tier.h"
#include "bench/ceilings.h"
#include "net/channel.h"

struct bench_row {
  const char *group, *name, *unit;
  double units;  /* of one call */
  bool portable; /* no tier of its own: measured once */
  struct kernel_demand demand[FUSION_BENCH_DEMANDS];
};

struct bench_shared;
struct cot_ops;

/** One thread's view. */
struct bench {
  const fusion_bench_settings *settings;
  enum cpu_tier tier;
  bool first_tier; /* the first of the tiers that are measured */
  bool protocols;  /* the tier that was in force: two-party rows are measured */
  unsigned thread;
  struct bench_shared *shared; /* borrowed */
};

typedef void (*bench_call)(void *context);

/** Zeroed memory to be freed with mem_free(); a failure is remembered for bench_ready(). */
void *bench_alloc(struct bench *b, size_t count, size_t element_len);
/** Remembers a failure of this thread's preparations. */
void bench_check(struct bench *b, fusion_status status);
/** True in all threads when no thread failed so far. Every thread calls it, once its buffers are there. */
bool bench_ready(struct bench *b);
/** False when no row of this group or of these names is wanted, so that preparations can be left out. */
bool bench_wanted(const struct bench *b, const char *group, const char *name);

/** Measures `call` and reports the row, if it is wanted. Every thread calls it with the same row. */
void bench_kernel(struct bench *b, const struct bench_row *row, bench_call call, void *context);

/** Two parties, one thread each, over the in-memory pipe. */
struct bench_end {
  enum role role;
  struct channel *channel; /* borrowed */
  const void *task;        /* the caller's */
  void *state;             /* made by open */
};
struct bench_protocol {
  fusion_status (*open)(struct bench_end *e);
  /** One call; the first one warms caches and stocks and is not timed. */
  fusion_status (*run)(struct bench_end *e);
  void (*close)(struct bench_end *e); /* also after a failed open */
};
void bench_pair(struct bench *b, const struct bench_row *row, const struct bench_protocol *protocol, const void *task);

/** The registered kernels of a group, each on its own inputs. */
void bench_kernels(struct bench *b, const char *group);
/** The registered kernel of this name. */
void bench_kernel_named(struct bench *b, const char *name);

/** Correlations that are constants, of which a party has as many as it likes: what uses them is measured by itself. */
extern const struct cot_ops bench_constant_cots;

/* What else there is. */
void bench_packing(struct bench *b);
void bench_share(struct bench *b);
void bench_plain(struct bench *b);
void bench_protocols(struct bench *b);
void bench_matrices(struct bench *b);

/** Measures what `rows` measures, on every tier wanted. */
fusion_status bench_rows(const fusion_bench_settings *settings, void (*rows)(struct bench *b),
                         fusion_error *err) FUSION_MUST_CHECK;
/** All of them. */
fusion_status bench_micro(const fusion_bench_settings *settings, fusion_error *err) FUSION_MUST_CHECK;

#endif
