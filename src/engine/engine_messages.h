/** engine: the messages that engines have in common, class 5; an engine with messages of its own has a class of its
 * own. Numbers never change and are never used again: docs/protocols/messages.md. */
#ifndef FUSION_ENGINE_ENGINE_MESSAGES_H
#define FUSION_ENGINE_ENGINE_MESSAGES_H

#include "net/channel.h"

enum engine_message {
  MSG_OUTPUT = MESSAGE_TYPE(5, 1),
  MSG_INPUT = MESSAGE_TYPE(5, 2),
};

#endif
