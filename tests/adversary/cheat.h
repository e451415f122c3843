/** A server that cheats on command, for tests and demonstrations: the real server with a hand on what it sends and on
 *  the weights it uses. Nothing of it is installed.
 *
 *  How it takes hold: the program is linked with --wrap=listener_handshake, so that every accepted channel gets a
 *  transport that sees the frames going out (cheat_channel.c), and with --wrap of the engines' server functions, so
 * that weights can be swapped before a shard runs (cheat_engine.c). Frames are renumbered on their way, so dropping or
 *  repeating one is not given away by its number. */
#ifndef FUSION_TESTS_CHEAT_H
#define FUSION_TESTS_CHEAT_H

#include <pthread.h>

#include "base/cursor.h"
#include "engine/engine.h"
#include "engine/engine_messages.h"
#include "garble/garble_messages.h"
#include "gates/gate_messages.h"
#include "lattice/lattice_messages.h"
#include "net/connect.h"
#include "ot/ot_messages.h"
#include "session/messages.h"
#include "silent/silent_messages.h"
#include "slots/slots_messages.h"

enum { CHEATS_MAX = 16, CHEAT_TYPES = 48, CHEAT_LENGTHS_MAX = 4096 };
#define CHEAT_RANDOM UINT64_MAX /* a place that is drawn afresh each time */
#define CHEAT_ALL UINT64_MAX    /* every sample */

enum cheat_kind {
  /* What is computed. `count` samples at random places of the job, or the shards that hold them. */
  CHEAT_OTHER_MODEL, /* weights of another model of the same shapes */
  CHEAT_WEIGHTS,     /* the right weights with small errors, drawn once for the server's life */
  CHEAT_ANSWERS,     /* a random non-zero error on one integer of the answer */
  CHEAT_CONSTANT,    /* `value` added to the first integer of every answer */
  /* What is sent: the nth message of a type on each connection (0: each of them). */
  CHEAT_FLIP,     /* one bit of the payload: byte `offset`, bit `value` */
  CHEAT_GARBAGE,  /* random payload of the right length */
  CHEAT_ZERO,     /* all bytes zero */
  CHEAT_KEYED,    /* an RLWE_COMMON whose decryption depends on the client's key (cheat_keyed.c) */
  CHEAT_MANIFEST, /* one that is malformed in way `value`, with its right hash in the greeting (cheat_manifest.c) */
  CHEAT_REPLAY,   /* the payload of the message before of that type and length; without one, the message twice */
  CHEAT_REORDER,  /* after the next message, where the server has one to send before it hears from the client */
  CHEAT_DROP,     /* not sent */
  CHEAT_TRUNCATE, /* half of it, then the connection ends */
  CHEAT_CUT,      /* the connection ends before it */
  CHEAT_LENGTH,   /* a header that says `value` bytes; CHEAT_RANDOM: one more than there are */
  CHEAT_ENDLESS,  /* a header that says 4 GiB, and zeros for as long as the client takes them */
  CHEAT_FLOOD,    /* the same message for as long as the client takes it */
  CHEAT_SILENCE,  /* nothing is sent any more */
  CHEAT_DELAY,    /* sent after `value` milliseconds */
  CHEAT_KIND_COUNT,
};

struct cheat {
  enum cheat_kind kind;
  uint64_t count;  /* samples; CHEAT_ALL */
  double fraction; /* if above 0: of the job's samples, in place of count */
  uint64_t group;  /* samples are chosen so many neighbours at a time: whole shards; 0: one by one */
  const struct model *other;
  struct model *owned; /* freed by cheater_close */
  uint16_t type;       /* message_type; 0: any */
  uint64_t nth, offset, value;
};

/** What one connection's wrapper and its session know. */
struct cheat_connection {
  struct cheat_connection *next;
  struct cheater *cheater;
  struct channel *channel;               /* borrowed, for finding this */
  struct engine_session *session;        /* borrowed, likewise; NULL before it opens */
  struct model model;                    /* what the session reads: the real program with model_weights */
  struct program_weights *model_weights; /* owned array of borrowed weights */
  struct cheat_job *job;
  uint64_t first, samples; /* of the running shard, counted over the job in the order in which shards begin */
};

struct cheat_job {
  struct cheat_job *next;
  uint8_t id[SESSION_JOB_LEN];
  uint64_t samples, begun;
  uint8_t *chosen[CHEATS_MAX]; /* [samples] 1 where the cheat applies */
};

struct cheater {
  struct model model; /* what the server is told to serve; program and weights are borrowed */
  const struct engine *engine;
  struct cheat cheats[CHEATS_MAX];
  size_t cheat_count;
  bool same_places; /* the same samples of every job: of one that is prepared and then used */
  uint64_t limit;   /* wire cheats take place at most so often; 0: always */
  enum role role;   /* who cheats: ROLE_SERVER by cheater_attach, ROLE_CLIENT by cheat_wrap on a channel of its own */
  /* Shown every message that comes in (the peer's transcript); type 0 and payload NULL when the peer has closed. May be
   * NULL. From the connection's thread. */
  void (*seen)(void *context, unsigned type, const uint8_t *payload, size_t len);
  void *seen_context;
  void (*log)(void *context, const char *line);
  void *log_context;

  pthread_mutex_t lock; /* guards what follows */
  uint64_t random;
  struct cheat_connection *connections;
  struct cheat_job *jobs;
  uint64_t applied; /* times that a cheat took place: messages, shards, answers */
  /* What was sent, cheats apart: for choosing places in later runs. */
  uint32_t sent[CHEAT_TYPES]; /* by cheat_type_row */
  uint32_t lengths[CHEAT_TYPES][CHEAT_LENGTHS_MAX];
};

/** `model` and `engine` are borrowed. At most one cheater can be attached to the process's listeners at a time. */
void cheater_open(struct cheater *c, const struct model *model, const struct engine *engine, uint64_t seed);
void cheater_close(struct cheater *c);
void cheater_attach(struct cheater *c);
/** Whether this thread serves a connection of a listener. */
bool cheat_on_server(void);

/** Reads "KIND[=ARGUMENTS]" as cheating_server --help explains. FUSION_E_USAGE with a text. */
fusion_status cheat_parse(struct cheater *c, const char *text, fusion_error *err) FUSION_MUST_CHECK;
fusion_status cheat_add(struct cheater *c, const struct cheat *cheat, fusion_error *err) FUSION_MUST_CHECK;
/** "flip", ... */
const char *cheat_kind_name(enum cheat_kind kind);
/** The message types, a row each, at most CHEAT_TYPES; row 0 is 0, "ANY", and every type that has no row. */
extern const unsigned cheat_type_count;
unsigned cheat_type_row(unsigned type);
message_type cheat_type_at(unsigned row);
/** The name without MSG_, NULL when unknown. */
const char *cheat_type_name(unsigned type);
extern const char *const cheat_help;

/* Between the files. */
/** The attached cheater's connection with this channel or session (the other NULL); NULL: there is none. */
struct cheat_connection *cheat_connection_of(const struct channel *channel, const struct engine_session *session);
fusion_status cheat_wrap(struct cheater *c, struct channel **channel) FUSION_MUST_CHECK;
uint64_t cheat_random(struct cheater *c);
/** Counts one more cheat; false when the limit is reached. */
bool cheat_allowed(struct cheater *c);
void cheat_log(struct cheater *c, const char *format, ...) FUSION_PRINTF(2, 3);
/** Adds errors to the answers in an output message, in place. */
void cheat_output(struct cheater *c, const struct cheat_connection *connection, uint8_t *payload, size_t len);
/** Alters an RLWE_COMMON of a shard of `samples`, in place, so that what the client decrypts depends on its key:
 * `value` says how (cheat_keyed.c). */
void cheat_keyed(struct cheater *c, const struct cheat *cheat, size_t samples, uint8_t *payload, size_t len);
/** The served model's manifest, malformed: `how` below cheat_manifest_ways. */
void cheat_manifest(struct cheater *c, uint64_t how, struct writer *out);
extern const unsigned cheat_manifest_ways;
/** Announces it in a server's greeting. */
void cheat_greeting(const struct writer *manifest, uint8_t *greeting, size_t len);
/** The job with this identity, made at its first connection. NULL when memory is out. */
struct cheat_job *cheat_job_of(struct cheater *c, const uint8_t id[SESSION_JOB_LEN], uint64_t samples);

#endif
