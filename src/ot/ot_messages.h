/** ot: the messages of oblivious transfer, class 1. Numbers never change and are never used again:
 *  docs/protocols/messages.md. */
#ifndef FUSION_OT_OT_MESSAGES_H
#define FUSION_OT_OT_MESSAGES_H

#include "net/channel.h"

enum ot_message {
  MSG_BASE_OT = MESSAGE_TYPE(1, 1),
  MSG_SOFTSPOKEN = MESSAGE_TYPE(1, 2),
  MSG_OT_SESSION = MESSAGE_TYPE(1, 3),
};

#endif
