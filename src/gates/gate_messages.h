/** gates: the messages of two-party gates, class 3. Numbers never change and are never used again:
 *  docs/protocols/messages.md. */
#ifndef FUSION_GATES_GATE_MESSAGES_H
#define FUSION_GATES_GATE_MESSAGES_H

#include "net/channel.h"

enum gate_message {
  MSG_OT_CHOICE = MESSAGE_TYPE(3, 1),
  MSG_OT_TABLE = MESSAGE_TYPE(3, 2),
  MSG_AND = MESSAGE_TYPE(3, 3),
  MSG_MULTIPLY = MESSAGE_TYPE(3, 4),
  MSG_PRODUCT_CHOICE = MESSAGE_TYPE(3, 5),
  MSG_PRODUCT = MESSAGE_TYPE(3, 6),
  MSG_TRIPLE = MESSAGE_TYPE(3, 7),
};

#endif
