/* Stateful fuzz target: whole jobs between a real client and a real server, over loopback, on the real protocols with a
 * tiny model; the input says which messages of either side are altered, and how. Whatever happens, both sides end
 * within their time-outs, no wrong answer is accepted, an error says what it is, and no connection or descriptor is
 * left.
 *
 * An input is a list of alterations of 8 bytes each, up to 8: kind and side, message number, which of its type, offset
 * (2 bytes), value (2 bytes), message class. A type that there is not stands for any. FUSION_TEST_ENGINE chooses the
 * engine. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "adversary/scene.h"
#include "session/serve.h"
#include "support/support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { ALTERATION_LEN = 8, ALTERATIONS_MAX = 8, TIMEOUT_MS = 400 };

static struct scene scene;
static struct cheater *client_cheater;

fusion_status __real_channel_dial(struct channel **out, const struct net_address *address, struct tls_context *tls,
                                  const struct net_limits *limits, struct net_peer *peer, fusion_error *err);
fusion_status __wrap_channel_dial(struct channel **out, const struct net_address *address, struct tls_context *tls,
                                  const struct net_limits *limits, struct net_peer *peer, fusion_error *err);

fusion_status __wrap_channel_dial(struct channel **out, const struct net_address *address, struct tls_context *tls,
                                  const struct net_limits *limits, struct net_peer *peer, fusion_error *err) {
  const fusion_status status = __real_channel_dial(out, address, tls, limits, peer, err);
  return status == FUSION_OK ? cheat_wrap(client_cheater, out) : status;
}

static void open_once(void) {
  if (scene.model) return;
  signal(SIGPIPE, SIG_IGN);
  scene_open(&scene, 7, 64);
  scene.queries = 3;
  scene.copies = 9; /* 2^-24 against a lucky alteration; see bound_log2 */
  scene.public_samples = 12;
  scene.errors = 0;
  scene.shard_samples = 16;
  scene.tries = 1;
  scene.timeout_ms = TIMEOUT_MS;
  client_cheater = mem_alloc(1, sizeof *client_cheater);
  if (!client_cheater) abort();
}

static unsigned descriptors(void) {
  unsigned count = 0;
  DIR *d = opendir("/proc/self/fd");
  if (!d) abort();
  while (readdir(d)) count++;
  closedir(d);
  return count;
}

static message_type type_of(unsigned class, unsigned number) {
  const message_type type = (message_type)MESSAGE_TYPE(class, number);
  return cheat_type_name(type) ? type : cheat_type_at(number % cheat_type_count);
}

static void add(const uint8_t *a, struct cheater *server) {
  static const enum cheat_kind kinds[] = {CHEAT_FLIP,     CHEAT_FLIP,   CHEAT_GARBAGE, CHEAT_ZERO,
                                          CHEAT_KEYED,    CHEAT_REPLAY, CHEAT_REORDER, CHEAT_DROP,
                                          CHEAT_TRUNCATE, CHEAT_CUT,    CHEAT_LENGTH,  CHEAT_FLOOD};
  const unsigned value = a[5] | (unsigned)a[6] << 8;
  const struct cheat cheat = {.kind = kinds[(a[0] >> 1) % (sizeof kinds / sizeof kinds[0])],
                              .type = type_of(a[7], a[1]),
                              .nth = a[2], /* 0: every one */
                              .offset = a[3] | (unsigned)a[4] << 8,
                              .value = value == 0xffff ? CHEAT_RANDOM : value};
  if (cheat.kind == CHEAT_KEYED && a[0] & 1) return; /* the server's */
  (void)!cheat_add(a[0] & 1 ? client_cheater : server, &cheat, NULL);
}

static void check(enum outcome outcome, const fusion_error *why, unsigned before) {
  if (outcome == OUTCOME_WRONG) abort();
  if (outcome == OUTCOME_FAILED && (why->status == FUSION_OK || !why->text[0])) abort();
  for (const char *at = why->text; *at; at++)
    if (*at < ' ' || *at > '~') abort(); /* it may be shown on a terminal */
  if (descriptors() > before) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  open_once();
  struct cheater *server = mem_alloc(1, sizeof *server);
  fusion_error why = {.status = FUSION_OK};
  uint64_t seed = 1;
  if (!server) abort();
  for (size_t i = 0; i < len && i < 8; i++) seed = seed << 8 ^ seed >> 56 ^ data[i];
  cheater_open(server, scene.model, scene_engine(), seed);
  cheater_open(client_cheater, scene.model, scene_engine(), ~seed);
  client_cheater->role = ROLE_CLIENT;
  for (size_t i = 0; i < ALTERATIONS_MAX && (i + 1) * ALTERATION_LEN <= len; i++)
    add(data + i * ALTERATION_LEN, server);
  const unsigned before = descriptors();
  const enum outcome outcome = scene_run(&scene, server, &why); /* returns when every connection has ended */
  if (getenv("FUSION_ADVERSARY_VERBOSE"))
    fprintf(stderr, "outcome %d, %llu + %llu alterations: %s\n", (int)outcome, (unsigned long long)server->applied,
            (unsigned long long)client_cheater->applied, why.text);
  check(outcome, &why, before);
  cheater_close(server);
  cheater_close(client_cheater);
  mem_free(server);
  return 0;
}
