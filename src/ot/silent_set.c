#include "ot/silent_set.h"

/* The trees of each set are about the most that its (log_k, depth) bears at 128 bits: more samples make the hybrid
 * attack easier. security_bits: floor of what scripts/lpn_security.py computes (128.6 by BJMM, 128.1 by the hybrid
 * attack). */
const struct silent_set silent_set_lan = {.name = "lan", .depth = 10, .trees = 850, .log_k = 16, .security_bits = 128};
const struct silent_set silent_set_wan = {.name = "wan", .depth = 12, .trees = 1520, .log_k = 18, .security_bits = 128};

struct silent_schedule silent_schedule_start(const struct silent_params *params, enum role sender) {
  const uint64_t expected = sender == ROLE_SERVER ? params->expected_server_sends : params->expected_client_sends;
  return (struct silent_schedule){.set = &silent_set_lan,
                                  .main = params->profile == SILENT_WAN ? &silent_set_wan : &silent_set_lan,
                                  .expected = expected ? expected : UINT64_MAX};
}

size_t silent_schedule_step(struct silent_schedule *s) {
  const size_t made = silent_set_outputs(s->set), depth = s->set->depth, leaves = (size_t)1 << depth;
  s->produced += made;
  const uint64_t left = s->expected > s->produced ? s->expected - s->produced : 0;
  /* A large iteration pays when at least half of it will be used. Past the expected count the last choice stays. */
  if (left > 0) s->set = left >= silent_set_outputs(s->main) / 2 ? s->main : &silent_set_lan;
  return made - (div_up(silent_set_base(s->set), leaves) << depth);
}
