/** How much of the machine this process may use. */
#ifndef FUSION_BASE_MACHINE_H
#define FUSION_BASE_MACHINE_H

#include "base/base.h"

/** Bytes of memory that a process's control group (version 2) and the groups above it allow; UINT64_MAX: any. `self` is
 *  "/proc/self/cgroup", `mount` "/sys/fs/cgroup". */
uint64_t machine_cgroup_limit(const char *self, const char *mount);

#endif
