/** Messages of tests: class 0xff, which no module uses. */
#ifndef FUSION_TESTS_TEST_MESSAGES_H
#define FUSION_TESTS_TEST_MESSAGES_H

#include "net/channel.h"

enum test_message {
  MSG_TEST = MESSAGE_TYPE(0xff, 1),
  MSG_TEST_OTHER = MESSAGE_TYPE(0xff, 2),
};

#endif
