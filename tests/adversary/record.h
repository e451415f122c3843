/** What a server gets to see of a client: every message of a job, in the order in which it came. */
#ifndef FUSION_TESTS_RECORD_H
#define FUSION_TESTS_RECORD_H

#include "adversary/scene.h"

struct recorded {
  unsigned type; /* 0: the end of a connection */
  size_t len;
  uint8_t *payload;
};

struct record {
  pthread_mutex_t lock;
  struct recorded *messages;
  size_t count, capacity, greetings, ends;
  double last, end; /* when the last message came, and when the client had closed */
};

void record_open(struct record *r);
void record_close(struct record *r);
/** For cheater.seen, with the record as context. */
void record_message(void *record, unsigned type, const uint8_t *payload, size_t len);
/** How many connections have greeted and are not closed by the client yet. */
size_t record_open_ends(struct record *r);

/** One job of the scene against a server that cheats as `cheats` say; what the server saw goes to *r. */
enum outcome record_job(struct scene *s, const struct cheat *cheats, size_t count, struct record *r, uint64_t *applied);

#endif
