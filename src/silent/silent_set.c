#include "silent/silent_set.h"

/* The trees of each set are about the most that its k and depth bear at 128 bits: more samples make the hybrid attack
 * easier. security_bits: floor of what scripts/lpn_security.py computes (130.5 for one iteration and 128.5 for four
 * that share a matrix; 128.1; both by the hybrid attack). */
const struct silent_set silent_set_lan = {
    .name = "lan", .depth = 10, .trees = 900, .factor = 33, .shift = 11, .together = 4, .security_bits = 128};
const struct silent_set silent_set_wan = {
    .name = "wan", .depth = 12, .trees = 1520, .factor = 1, .shift = 18, .together = 1, .security_bits = 128};
