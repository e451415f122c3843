/** lattice: the messages of encrypted linear layers, class 4. Numbers never change and are never used again:
 *  docs/protocols/messages.md. */
#ifndef FUSION_LATTICE_LATTICE_MESSAGES_H
#define FUSION_LATTICE_LATTICE_MESSAGES_H

#include "net/channel.h"

enum lattice_message {
  MSG_RLWE_KEY = MESSAGE_TYPE(4, 1),
  MSG_RLWE_QUERY = MESSAGE_TYPE(4, 2),
  MSG_RLWE_COMMON = MESSAGE_TYPE(4, 3),
  MSG_RLWE_ANSWER = MESSAGE_TYPE(4, 4),
  MSG_RLWE_GALOIS = MESSAGE_TYPE(4, 5),
  MSG_MATRIX_QUERY = MESSAGE_TYPE(4, 6),
  MSG_MATRIX_ANSWER = MESSAGE_TYPE(4, 7),
  MSG_RLWE_TURN = MESSAGE_TYPE(4, 8),
};

#endif
