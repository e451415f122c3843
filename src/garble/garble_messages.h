/** garble: its messages, class 9. Numbers never change and are never used again: docs/protocols/messages.md. */
#ifndef FUSION_GARBLE_GARBLE_MESSAGES_H
#define FUSION_GARBLE_GARBLE_MESSAGES_H

#include "net/channel.h"

enum garble_message {
  MSG_GARBLED_CHOICE = MESSAGE_TYPE(9, 1),
  MSG_GARBLED_TABLE = MESSAGE_TYPE(9, 2),
  MSG_GARBLED_LABEL = MESSAGE_TYPE(9, 3),
};

#endif
