/** slots: the messages of slot encryption, class 8. Numbers never change and are never used again:
 *  docs/protocols/messages.md. */
#ifndef FUSION_SLOTS_SLOTS_MESSAGES_H
#define FUSION_SLOTS_SLOTS_MESSAGES_H

#include "net/channel.h"

enum slots_message {
  MSG_SLOTS_KEY = MESSAGE_TYPE(8, 1),
  MSG_SLOTS_ROTATION = MESSAGE_TYPE(8, 2),
  MSG_SLOTS_QUERY = MESSAGE_TYPE(8, 3),
  MSG_SLOTS_ANSWER = MESSAGE_TYPE(8, 4),
};

#endif
