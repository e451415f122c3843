/** Whole networks: both parties in this process, each worker a thread a party, over loopback TCP that may be shaped. */
#ifndef FUSION_BENCH_BENCH_NETWORK_H
#define FUSION_BENCH_BENCH_NETWORK_H

#include <fusion/bench.h>

#include "program/program.h"

/** See fusion_bench_model. */
fusion_status bench_model(const struct model *model, const fusion_bench_model_settings *settings,
                          fusion_bench_model_result *result, fusion_error *err) FUSION_MUST_CHECK;

#endif
