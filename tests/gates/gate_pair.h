/** Both parties of a gate in one process: runs it on shares over a channel, with dealt correlations, checks the counted
 *  traffic against the declared cost and gives back the opened result. */
#ifndef FUSION_TESTS_GATE_PAIR_H
#define FUSION_TESTS_GATE_PAIR_H

#include "gates/gates.h"
#include "silent/cot_silent.h"
#include "support/support.h"

struct gate_case;

/** One party's call of the gate under test on its shares. */
typedef fusion_status (*gate_call)(struct party *p, const struct gate_case *g, uint64_t *const *in,
                                   uint64_t *const *out);

enum gate_shares { SHARES_RANDOM = 0, SHARES_ZERO, SHARES_ONES }; /* the server's */

struct gate_case {
  gate_call call;
  const void *params;
  size_t count;                     /* the gate's own idea of a count */
  size_t in_count[2], out_count[2]; /* 0: absent */
  unsigned in_bits[2], out_bits[2];
  const uint64_t *in[2]; /* clear values */
  uint64_t *out[2];      /* opened results, modulo 2^out_bits */
  enum gate_shares shares;
  const struct silent_params *silent; /* correlations from cot_open_silent(); NULL: dealt */
};

/** Runs the case; fails the test on any error, or when traffic, depth or correlations differ from `declared`. */
void gate_run(const struct gate_case *g, const struct cost *declared, uint64_t *random);

/** Runs the case with byte `position` of the stream of `who` altered (tamper.h), or, if `leaves`, with `who` closing at
 *  once. Returns the status of the other party. Whatever it is, both parties return. */
fusion_status gate_run_disturbed(const struct gate_case *g, enum role who, uint64_t position, bool leaves,
                                 uint64_t *random);

/** Runs the case with byte `position` of the stream of `who` altered and with all randomness from `seed`, which is
 *  restored. The other party must fail with FUSION_E_CRYPTO; `sent` gets the hash of all that it has sent until then,
 *  and its length is returned. */
uint64_t gate_sent_until_failure(const struct gate_case *g, enum role who, uint64_t position, uint64_t seed,
                                 uint8_t sent[CHANNEL_HASH_LEN]);

#endif
