/** session: jobs between a client and a server: handshake, shards, limits, retries. This file: the messages of a
 * session.
 *
 *      client                                   server
 *      HELLO  versions, engine, model, job... ->
 *                                           <-  HELLO     version, engine, hash and length of the manifest, speeds
 *                                           <-  MANIFEST  the program's bytes; not if the client has them
 *      START  samples a shard, samples here ->            the client has checked the manifest; which kept set-up it has
 *      STATES the prepared states           ->            if START is to use such
 *                                           <-  READY     samples a shard that the server grants; whether it has that
 *      ... the engine opens ...
 *      SHARD  samples                       ->
 *      ... the engine runs ...                            any number of times
 *                                           <-  PREPARED  after each, if START was to prepare runs ahead of inputs;
 *                                                         from the client before each, if START is to use such
 *      SHARD  0: the client is done         ->
 *                                           <-  RECEIPT   what the server signs of this connection; if HELLO asked
 *
 *  In place of any message either side may send a REFUSAL (net/channel.h). See docs/protocols/session.md. */
#ifndef FUSION_SESSION_MESSAGES_H
#define FUSION_SESSION_MESSAGES_H

#include "continuity/receipt.h"
#include "engine/speeds.h"
#include "net/channel.h"

/** The messages of a session, class 0; number 4 is MSG_REFUSAL (net/channel.h). Numbers never change and are never used
 *  again: docs/protocols/messages.md. */
enum session_message {
  MSG_HELLO = MESSAGE_TYPE(0, 1),
  MSG_MANIFEST = MESSAGE_TYPE(0, 2),
  MSG_SHARD = MESSAGE_TYPE(0, 3),
  MSG_START = MESSAGE_TYPE(0, 5),
  MSG_READY = MESSAGE_TYPE(0, 6),
  MSG_RECEIPT = MESSAGE_TYPE(0, 7),
  MSG_PREPARED = MESSAGE_TYPE(0, 8),
  MSG_STATES = MESSAGE_TYPE(0, 9),
};

enum {
  /* Of the protocol: everything that the parties say to each other, not only a session's own messages. A change that a
   * peer could not follow needs a new one. */
  SESSION_VERSION = 2,        /* the newest that this release speaks */
  SESSION_VERSION_OLDEST = 2, /* and the oldest */
  SESSION_HASH_LEN = 32,
  SESSION_JOB_LEN = 16,
  SESSION_STATE_LEN = 16,       /* the number of a prepared state or a kept set-up, which the server draws */
  SESSION_STATES_MAX = 1 << 16, /* prepared states of a job */
  SESSION_ENGINE_LEN = 24,
  SESSION_MODEL_LEN = 128,     /* NAME@VERSION, each of 63 bytes at most */
  SESSION_HELLO_MAX = 1024,    /* bytes of a HELLO, with room for what later versions add */
  SESSION_SPEEDS_MAX = 64,     /* speeds in a HELLO: later releases may tell more than this one knows */
  SESSION_SHARD_MAX = 1 << 20, /* samples in a shard */
};
#define SESSION_SAMPLES_MAX ((uint64_t)1 << 32) /* samples in a job */

struct client_hello {
  uint32_t version; /* received: the newest that both sides speak */
  char engine[SESSION_ENGINE_LEN];
  uint8_t job[SESSION_JOB_LEN]; /* random, the same for all connections of a job */
  uint64_t samples;             /* of the job */
  bool has_manifest;            /* manifest_hash is the one that the client has */
  uint8_t manifest_hash[SESSION_HASH_LEN];
  bool wants_receipt;
  char model[SESSION_MODEL_LEN]; /* NAME or NAME@VERSION; "": the server's only one */
};

struct server_hello {
  uint32_t version; /* that both sides speak from here on */
  char engine[SESSION_ENGINE_LEN];
  uint8_t manifest_hash[SESSION_HASH_LEN];
  uint32_t manifest_len;
  bool gives_receipt; /* the client wants one, and gets it */
  uint8_t receipt_key[RECEIPT_KEY_LEN];
  bool has_speeds; /* the server tells how fast it is: the client's prediction of seconds, and nothing else, reads it */
  struct engine_speeds speeds; /* plausible (engine_speeds_plausible) */
};

/** What a connection's shards are: whole runs; runs prepared ahead of their inputs, each followed by PREPARED from the
 *  server; runs that were prepared, each announced by PREPARED from the client after SHARD. */
enum session_purpose { PURPOSE_RUN, PURPOSE_PREPARE, PURPOSE_RUN_PREPARED };

struct start {
  uint32_t shard_samples;
  uint64_t expected_samples; /* this connection's likely share of the job: sizes the correlations */
  enum session_purpose purpose;
  bool keep;                       /* the client would keep what this connection's set-up leaves (session/keep.h) */
  bool has_kept;                   /* with `keep`: it has what an earlier one left, of this number */
  uint8_t kept[SESSION_STATE_LEN]; /* zeros without */
};

struct ready {
  uint32_t shard_samples;            /* granted: at most those asked for */
  bool keeps;                        /* the server keeps what this set-up leaves, under this number */
  bool uses;                         /* this set-up begins from what the client named */
  uint8_t number[SESSION_STATE_LEN]; /* zeros when nothing is kept */
};

/** Whether it is NAME or NAME@VERSION: each 1 to 63 letters, digits, '.', '_' or '-', the first a letter or digit. */
bool model_name_is_valid(const char *text);

/** The client's greeting says which versions this release speaks; the server's says which of them it is. Each refuses a
 *  peer that speaks none of its own versions with FUSION_E_VERSION. */
fusion_status client_hello_send(struct channel *c, const struct client_hello *m) FUSION_MUST_CHECK;
fusion_status client_hello_recv(struct channel *c, struct client_hello *m) FUSION_MUST_CHECK;
fusion_status server_hello_send(struct channel *c, const struct server_hello *m) FUSION_MUST_CHECK;
fusion_status server_hello_recv(struct channel *c, struct server_hello *m) FUSION_MUST_CHECK;
/** Tells a peer that speaks no common version so, in a REFUSAL as every version knows it. */
void version_refuse(struct channel *c);
/** Servers of version 1 answered a greeting of another version with a general refusal. Was this it? Newer ones never
 * say that. If so, *why says it clearly. */
bool version_1_refused(const struct channel *c, fusion_error *why);
fusion_status start_send(struct channel *c, const struct start *m) FUSION_MUST_CHECK;
fusion_status start_recv(struct channel *c, struct start *m) FUSION_MUST_CHECK;
fusion_status ready_send(struct channel *c, const struct ready *m) FUSION_MUST_CHECK;
/** `start`: what was sent; the answer must be one to it. */
fusion_status ready_recv(struct channel *c, const struct start *start, struct ready *m) FUSION_MUST_CHECK;

/** A shard's announcement; 0 samples: the client is done. */
fusion_status shard_send(struct channel *c, uint32_t samples) FUSION_MUST_CHECK;
fusion_status shard_recv(struct channel *c, uint32_t *samples) FUSION_MUST_CHECK;

/** The number of the prepared state that was made, or is to be used. */
fusion_status prepared_send(struct channel *c, const uint8_t state[SESSION_STATE_LEN]) FUSION_MUST_CHECK;
fusion_status prepared_recv(struct channel *c, uint8_t state[SESSION_STATE_LEN]) FUSION_MUST_CHECK;

/** A prepared state, as the client names it. */
struct state_name {
  uint32_t samples; /* of its run */
  uint8_t number[SESSION_STATE_LEN];
};
/** All that a job is to use, before anything of them is spent: 1 to SESSION_STATES_MAX. *states is the caller's to
 * free. */
fusion_status states_send(struct channel *c, const struct state_name *states, size_t count) FUSION_MUST_CHECK;
fusion_status states_recv(struct channel *c, struct state_name **states, size_t *count) FUSION_MUST_CHECK;

/** The server's last message, if it gives receipts. */
fusion_status receipt_send(struct channel *c, const uint8_t receipt[RECEIPT_LEN]) FUSION_MUST_CHECK;
fusion_status receipt_recv(struct channel *c, uint8_t receipt[RECEIPT_LEN]) FUSION_MUST_CHECK;

/** BLAKE2b-256 of the manifest's bytes. */
void manifest_hash(uint8_t hash[SESSION_HASH_LEN], const void *manifest, size_t len);

#endif
