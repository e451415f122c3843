#include "silent/silent_set.h"

/* More samples make the attacks on few columns easier: the trees of each set, in whole messages of 64, are about the
 * most that its k and depth bear at 131 bits. security_bits: floor of what scripts/lpn_security.py computes (132.2 for
 * one iteration of `lan`, 130.2 for four that share a matrix; 132.6 for `wan`), in both by the bound over all choices
 * of columns. */
const struct silent_set silent_set_lan = {.name = "lan",
                                          .depth = 9,
                                          .trees = 1536,
                                          .factor = 1,
                                          .shift = 16,
                                          .together = 4,
                                          .security_bits = 130,
                                          .batch = 16};
const struct silent_set silent_set_wan = {.name = "wan",
                                          .depth = 11,
                                          .trees = 1856,
                                          .factor = 1,
                                          .shift = 18,
                                          .together = 1,
                                          .security_bits = 132,
                                          .batch = 4};
