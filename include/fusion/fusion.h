/** fusion: private inference that a cheating server cannot spoil. The umbrella header.
 *
 *  Structs that may grow. Settings, requests and results begin with a field `size`, the struct's size as the caller was
 *  compiled. A later release may add fields at the end, never within or in padding, so that callers go on working
 *  without being compiled again:
 *  - settings and requests start from their ..._defaults(), which sets the size; fields that an older caller lacks have
 *    their defaults. A field that the library is too old to know must be zero: else FUSION_E_USAGE.
 *  - results are declared with their size, `fusion_plan_choice choice = {.size = sizeof choice};`. The library writes
 * no byte beyond it, and zeros to fields that it does not know. A failed call writes nothing. Structs that the library
 * hands out by pointer to const may grow at their end too: read them where they are, do not copy them whole. Structs
 * that lie within others (fusion_preprocess, fusion_bench_network, ...) and fusion_error never change. */
#ifndef FUSION_FUSION_H
#define FUSION_FUSION_H

#include <fusion/array.h>
#include <fusion/bench.h>
#include <fusion/client.h>
#include <fusion/cpu.h>
#include <fusion/files.h>
#include <fusion/images.h>
#include <fusion/model.h>
#include <fusion/plan.h>
#include <fusion/receipts.h>
#include <fusion/server.h>
#include <fusion/status.h>
#include <fusion/verdict.h>

#endif
