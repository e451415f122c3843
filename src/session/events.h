/** What happens at a server, told once: the log, the metrics and the ledger are fed from here. */
#ifndef FUSION_SESSION_EVENTS_H
#define FUSION_SESSION_EVENTS_H

#include "net/connect.h"

enum event_kind {
  EVENT_REFUSED,   /* a connection ended before its job began */
  EVENT_JOB_BEGUN, /* the first connection of a job was granted its place */
  EVENT_SHARD,     /* samples have run */
  EVENT_JOB_ENDED, /* done (status FUSION_OK), also when other servers ran a part of it; or failed */
  EVENT_DRAINING,  /* no new connections; `connections` are left */
  EVENT_DRAINED,
  EVENT_RELOADED, /* certificates and clients were read again; or not (status, reason): the old ones stay */
  EVENT_KINDS,
};

enum { EVENT_JOB_ID_LEN = 17, EVENT_LINE_LEN = 2048 };

/** Fields that do not belong to the kind are zero; texts are never NULL. */
struct event {
  enum event_kind kind;
  bool unlogged;        /* counted alone: there may be thousands */
  fusion_status status; /* of refusals, ends and reloads */
  const char *reason;   /* a line for people; may hold what a peer sent, in printable ASCII or not */
  const char *client;   /* the certificate's name, or the address without its port */
  const char *address;
  const char *engine;
  const char *model; /* as the server calls it */
  uint64_t job;      /* this server's number; 0: none */
  /* The same at every server that runs a part of the job: the beginning of a hash of the client's number for it. That
   * number itself would let others join the job. */
  char job_id[EVENT_JOB_ID_LEN];
  uint64_t declared, samples;
  uint32_t connections;
  double seconds;
  double left; /* of a job that ended: when its last connection did (clock_seconds) */
  uint64_t bytes_received, bytes_sent;
};

/** An event with empty texts. */
struct event event_of(enum event_kind kind);
/** The id of a job by what the client calls it. */
void event_job_id(char out[EVENT_JOB_ID_LEN], const void *id, size_t len);
/** Whether it is a line of the log: shards are counted, not logged. */
bool event_is_logged(enum event_kind kind);
/** One line of text, without the time. */
void event_text(char out[EVENT_LINE_LEN], const struct event *e);
/** One line of JSON: an object with "time" (UTC), "event", and the fields that belong to the kind. */
void event_json(char out[EVENT_LINE_LEN], const struct event *e);
/** A status as one word for people and machines: "busy", "limit", "tls", ... Never NULL. */
const char *event_status_word(fusion_status status);

#endif
