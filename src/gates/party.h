/** One party in a session, as the gates see it. */
#ifndef FUSION_GATES_PARTY_H
#define FUSION_GATES_PARTY_H

#include "garble/garbled.h"
#include "net/channel.h"
#include "net/cost.h"
#include "ot/cot.h"
#include "rand/prg.h"

struct party {
  enum role role;
  struct channel *channel; /* borrowed */
  struct cot *cot;         /* borrowed */
  struct prg *prg;         /* borrowed: this party's own secret randomness */
  struct heap *heap;       /* borrowed: large temporaries; NULL: none */
  struct garble *garble;   /* borrowed; NULL: no gate is garbled */
};

#endif
