/** What the processor of a party takes for units of work: the unit prices of predicted seconds. Measured by
 *  bench/bench_speeds.c, or those of one machine. Predictions alone use them: nothing that a session does, and no
 * choice that both parties must make alike, depends on them. */
#ifndef FUSION_ENGINE_SPEEDS_H
#define FUSION_ENGINE_SPEEDS_H

#include "base/base.h"

/* Name, text, seconds on the usual machine: one core of an AMD Zen 3 with AVX2 that other work shares. */
#define ENGINE_SPEEDS(X)                                                                                           \
  X(SETUP, "set-up", 0.037)                    /* keys and base OT; the mean of both parties */                    \
  X(BASE, "base-correlation", 60e-9)           /* made by SoftSpoken with k = 8 */                                 \
  X(SILENT, "silent-correlation", 37e-9)       /* grown by one iteration of the set `lan` (silent/silent_set.h) */ \
  X(ROW, "silent-row", 65e-9)                  /* of its code, through the vectors of four */                      \
  X(STREAM, "softspoken-correlation", 21e-9)   /* made by SoftSpoken with k = 4 */                                 \
  X(GATE, "gate-correlation", 8e-9)            /* used by a gate */                                                \
  X(SENT, "sent-entry", 11e-9)                 /* of a table, masked and sent (gates/lookup.h) */                  \
  X(TAKEN, "taken-entry", 1e-9)                /* of a peer's table, read */                                       \
  X(DELAY, "delay", 3e-5)                      /* a message, sent or waited for */                                 \
  X(GARBLE, "garbled-byte", 2e-9)              /* of a circuit's messages */                                       \
  X(EVALUATE, "evaluated-byte", 1.4e-9)        /* the same */                                                      \
  X(SERVER_CIPHER, "server-ciphertext", 90e-6) /* that comes or goes: 2,048 coefficients of two limbs */           \
  X(CLIENT_CIPHER, "client-ciphertext", 60e-6) /* the same */                                                      \
  X(PRODUCT, "encrypted-product", 5.5e-11)     /* multiply-add on a coefficient, of one limb */                    \
  X(MERGE, "merge", 125e-6)                    /* of two ciphertexts (lattice/interleave.h) */                     \
  X(SLOTS, "slots-butterfly", 5.3e-10)         /* of a transform of 8,192 */

#define ENGINE_SPEED_NAME(name, text, seconds) SPEED_##name,
enum engine_speed { ENGINE_SPEEDS(ENGINE_SPEED_NAME) SPEED_COUNT };
#undef ENGINE_SPEED_NAME

struct engine_speeds {
  double seconds[SPEED_COUNT]; /* a unit, one core */
};
extern const struct engine_speeds engine_speeds_usual;
/** The parties' waiting for each other, beyond what the slower one takes of each step. */
extern const double engine_waiting;

/** "silent-correlation"; NULL past the end. */
const char *engine_speed_name(size_t i);
/** Whether every price is finite and between 2^-7 and 2^7 times the usual one: those of a file or a peer must be. */
bool engine_speeds_plausible(const struct engine_speeds *speeds);

#endif
