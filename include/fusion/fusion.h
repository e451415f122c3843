/** fusion: private inference that a cheating server cannot spoil. The umbrella header. */
#ifndef FUSION_FUSION_H
#define FUSION_FUSION_H

#include <fusion/array.h>
#include <fusion/bench.h>
#include <fusion/client.h>
#include <fusion/cpu.h>
#include <fusion/images.h>
#include <fusion/model.h>
#include <fusion/plan.h>
#include <fusion/server.h>
#include <fusion/status.h>
#include <fusion/verdict.h>

#endif
