/** Two channels over a socket pair, one byte of one party's outgoing stream altered, or the
 *  stream cut there: what a cheating party or a broken
 *  network does at a single place. */
#ifndef FUSION_TESTS_TAMPER_H
#define FUSION_TESTS_TAMPER_H

#include "net/channel.h"

struct tamper {
  enum role who;                /* whose stream */
  uint64_t position;            /* byte of the stream, frame headers included; UINT64_MAX: nothing is altered */
  uint8_t flip;                 /* bits to flip there; 0: the stream ends before it */
  void (*waits)(void *context); /* before an end reads; NULL: nothing */
  void *contexts[2];            /* of the ends, by role */
};

fusion_status tamper_pair(struct channel **server, struct channel **client, struct tamper tamper);

#endif
