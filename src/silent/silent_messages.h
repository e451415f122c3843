/** silent: the messages of silent correlated OT, class 2. Numbers never change and are never used again:
 *  docs/protocols/messages.md. */
#ifndef FUSION_SILENT_SILENT_MESSAGES_H
#define FUSION_SILENT_SILENT_MESSAGES_H

#include "net/channel.h"

enum silent_message {
  MSG_SILENT = MESSAGE_TYPE(2, 1),
};

#endif
