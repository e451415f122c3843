#include "ot/silent_set.h"

/* The trees of each set are about the most that its (log_k, depth) bears at 128 bits: more samples make the hybrid
 * attack easier. security_bits: floor of what scripts/lpn_security.py computes (128.6 by BJMM, 128.1 by the hybrid
 * attack). */
const struct silent_set silent_set_lan = {.name = "lan", .depth = 10, .trees = 850, .log_k = 16, .security_bits = 128};
const struct silent_set silent_set_wan = {.name = "wan", .depth = 12, .trees = 1520, .log_k = 18, .security_bits = 128};
