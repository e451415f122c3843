/** What the parts of `fusion bench` share. */
#ifndef FUSION_TOOL_BENCH_LINE_H
#define FUSION_TOOL_BENCH_LINE_H

#include "cli.h"

enum { BENCH_RUNS_MAX = 99 };

/** The command line of a measured network. */
struct bench_line {
  fusion_bench_model_settings settings;
  uint64_t runs;
  const char *network;
  bool json, quiet;
};

/** Runs the model `runs` times: the run of median time. */
fusion_status bench_runs(const struct bench_line *l, const fusion_model *model, fusion_bench_model_result *median,
                         fusion_error *err);
json_t *bench_model_json(const struct bench_line *l, const fusion_bench_model_result *r);
/** False after a line to the user. */
bool bench_take_network(const char *command, const char *name, fusion_bench_network *out);

int bench_calibrate(int argc, char **argv);
int bench_model(int argc, char **argv);
int bench_engines(int argc, char **argv);

#endif
