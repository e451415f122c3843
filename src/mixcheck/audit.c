#include "mixcheck/audit.h"

#include <fusion/plan.h>

#include <gmp.h>
#include <inttypes.h>
#include <math.h>

#include "base/sized.h"

long double audit_bits(uint64_t samples, uint64_t copies) {
  if (samples == 1) return HUGE_VALL;
  long double bits = -log2l((long double)samples);
  for (uint64_t j = 0; j < copies; j++) bits += log2l((long double)(samples * copies - j) / (long double)(j + 1));
  return bits;
}

bool audit_holds(uint64_t samples, uint64_t copies, uint32_t bits) {
  if (samples == 1) return true;
  mpz_t ways, all;
  mpz_inits(ways, all, NULL);
  mpz_set_ui(ways, samples);
  mpz_mul_2exp(ways, ways, bits);
  mpz_bin_uiui(all, samples * copies, copies);
  const bool holds = mpz_cmp(ways, all) <= 0;
  mpz_clears(ways, all, NULL);
  return holds;
}

static fusion_status check_request(const fusion_plan_request *q, uint64_t samples, fusion_error *err) {
  if (samples < 1 || samples > FUSION_PUBLIC_MAX / FUSION_PUBLIC_COPIES_MAX)
    return error_set(err, FUSION_E_USAGE, "an audit of %" PRIu64 " samples: give 1 to 2^26", samples);
  if (q->security_bits < 1 || q->security_bits > FUSION_SECURITY_MAX)
    return error_set(err, FUSION_E_USAGE, "security of %u bits: give 1 to %d", q->security_bits, FUSION_SECURITY_MAX);
  if (q->public_copies == 1 || q->public_copies > FUSION_PUBLIC_COPIES_MAX)
    return error_set(err, FUSION_E_USAGE, "%" PRIu64 " copies of an audit's samples: give 2 to %d", q->public_copies,
                     FUSION_PUBLIC_COPIES_MAX);
  if (!(q->min_accuracy > 0 && q->min_accuracy <= 1))
    return error_set(err, FUSION_E_USAGE, "an accuracy of %.9g: give a number above 0 and at most 1", q->min_accuracy);
  return FUSION_OK;
}

fusion_status fusion_plan_audit(const fusion_plan_request *request, uint64_t samples, fusion_plan_choice *out,
                                fusion_error *err) {
  fusion_plan_request q = fusion_plan_request_default();
  fusion_status status = sized_take(&q, request, "fusion_plan_request", err);
  if (status == FUSION_OK) status = sized_check(out, "fusion_plan_choice", err);
  if (status == FUSION_OK) status = check_request(&q, samples, err);
  if (status != FUSION_OK) return status;
  uint64_t copies = q.public_copies ? q.public_copies : 2;
  while (!q.public_copies && copies < FUSION_PUBLIC_COPIES_MAX && !audit_holds(samples, copies, q.security_bits))
    copies++;
  if (!audit_holds(samples, copies, q.security_bits))
    return error_set(err, FUSION_E_UNREACHABLE,
                     "%u bits of security cannot be reached by an audit of %" PRIu64 " samples with %" PRIu64
                     " copies each; take more samples or copies",
                     q.security_bits, samples, copies);
  fusion_plan_choice choice = {.size = sizeof choice,
                               .public_samples = samples,
                               .samples = samples * copies,
                               .allowed_errors = fusion_plan_allowed_errors(q.min_accuracy, samples),
                               .public_copies = copies};
  choice.soundness_bits = choice.paper_bits = (double)fminl(audit_bits(samples, copies), FUSION_AUDIT_BITS_MAX);
  sized_give(out, &choice);
  return FUSION_OK;
}
