/** Which processor kernels the library uses. It chooses the best by itself; a lower tier serves tests and comparisons.
 */
#ifndef FUSION_CPU_H
#define FUSION_CPU_H

#include <fusion/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Forces a tier: "c" (portable), "avx2", "vaes" or "avx512" (x86-64), "neon" (ARMv8). Call it before any session
 * opens; it holds for the whole process. FUSION_E_USAGE when the name is unknown or this processor lacks the tier;
 * `err` (may be NULL) gets the text. */
FUSION_API fusion_status fusion_cpu_tier_set(const char *name, fusion_error *err) FUSION_MUST_CHECK;

/** Name of the tier in force. */
FUSION_API const char *fusion_cpu_tier(void);

#ifdef __cplusplus
}
#endif
#endif
