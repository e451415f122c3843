#include "golden/golden_record.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/connect.h"
#include "support/support.h"

enum { MESSAGES_MAX = 4096, HASH_LEN = 16, HASH_SHOWN = 8, PATH_LEN = 1024, LINE_MAX_LEN = 200 };

struct message {
  message_type type;
  size_t len;
  uint8_t hash[HASH_LEN];
};

static struct {
  pthread_mutex_t lock;
  bool running;
  int class;
  size_t count[2];
  struct message messages[2][MESSAGES_MAX]; /* by the role that receives */
} transcript = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local enum role self = ROLE_CLIENT;
static _Thread_local uint64_t stream = ROLE_CLIENT;

void golden_party(enum role role) {
  self = role;
  stream = role;
}

fusion_status __wrap_os_random(void *out, size_t len);
fusion_status __wrap_os_random(void *out, size_t len) {
  uint8_t *at = out;
  for (size_t i = 0; i < len; i++) at[i] = (uint8_t)(test_random(&stream) >> 32);
  return FUSION_OK;
}

fusion_status __real_channel_send(struct channel *c, message_type type, const void *data, size_t len);
fusion_status __wrap_channel_send(struct channel *c, message_type type, const void *data, size_t len);
fusion_status __wrap_channel_send(struct channel *c, message_type type, const void *data, size_t len) {
  const enum role to = role_peer(self);
  pthread_mutex_lock(&transcript.lock);
  if (transcript.running && (transcript.class == GOLDEN_ALL || transcript.class == (int)message_class(type))) {
    if (transcript.count[to] == MESSAGES_MAX) abort();
    struct message *m = &transcript.messages[to][transcript.count[to]++];
    *m = (struct message){.type = type, .len = len};
    crypto_generichash(m->hash, sizeof m->hash, data, len, NULL, 0);
  }
  pthread_mutex_unlock(&transcript.lock);
  return __real_channel_send(c, type, data, len);
}

fusion_status __real_listener_handshake(struct listener *l, struct channel **out, int fd,
                                        const struct net_limits *limits, struct net_peer *peer, fusion_error *err);
fusion_status __wrap_listener_handshake(struct listener *l, struct channel **out, int fd,
                                        const struct net_limits *limits, struct net_peer *peer, fusion_error *err);
fusion_status __wrap_listener_handshake(struct listener *l, struct channel **out, int fd,
                                        const struct net_limits *limits, struct net_peer *peer, fusion_error *err) {
  golden_party(ROLE_SERVER);
  return __real_listener_handshake(l, out, fd, limits, peer, err);
}

void golden_start(int class) {
  pthread_mutex_lock(&transcript.lock);
  transcript.running = true;
  transcript.class = class;
  transcript.count[0] = transcript.count[1] = 0;
  pthread_mutex_unlock(&transcript.lock);
}

/* The message's name, from the page that lists them all: "| 3.1 | OT_CHOICE |". */
static void name_of(message_type type, const char *page, char out[32]) {
  char row[24], format[] = "%31[A-Z0-9_]";
  snprintf(row, sizeof row, "| %u.%u | ", message_class(type), message_number(type));
  const char *found = page ? strstr(page, row) : NULL;
  if (!found || sscanf(found + strlen(row), format, out) != 1) snprintf(out, 32, "?");
}

static void write_line(struct writer *out, const char *label, enum role to, const struct message *m, const char *page) {
  char name[32], hash[2 * HASH_SHOWN + 1], line[256];
  name_of(m->type, page, name);
  for (int i = 0; i < HASH_SHOWN; i++) snprintf(hash + 2 * i, 3, "%02x", m->hash[i]);
  snprintf(line, sizeof line, "%s %s %u.%u %s %zu %s\n", label, to == ROLE_SERVER ? "to-server" : "to-client",
           message_class(m->type), message_number(m->type), name, m->len, hash);
  write_bytes(out, line, strlen(line));
}

void golden_stop(const char *label, struct writer *out) {
  char *page = golden_read("docs/protocols/messages.md");
  pthread_mutex_lock(&transcript.lock);
  transcript.running = false;
  for (int to = ROLE_SERVER; to <= ROLE_CLIENT; to++)
    for (size_t i = 0; i < transcript.count[to]; i++)
      write_line(out, label, (enum role)to, &transcript.messages[to][i], page);
  pthread_mutex_unlock(&transcript.lock);
  free(page);
}

/* "'LINE'", or what to say where there is none. */
static void quote(char out[LINE_MAX_LEN], const char *text, size_t len) {
  if (*text)
    snprintf(out, LINE_MAX_LEN, "'%.*s'", (int)len, text);
  else
    snprintf(out, LINE_MAX_LEN, "nothing more");
}

bool golden_difference(const char *expected, const char *got, char *line, size_t len) {
  char wanted[LINE_MAX_LEN], sent[LINE_MAX_LEN];
  for (unsigned number = 1; *expected || *got; number++) {
    const size_t a = strcspn(expected, "\n"), b = strcspn(got, "\n");
    if (a != b || memcmp(expected, got, a) != 0) {
      quote(wanted, expected, a);
      quote(sent, got, b);
      snprintf(line, len, "line %u: %s is expected, %s is sent", number, wanted, sent);
      return true;
    }
    expected += a + (expected[a] == '\n');
    got += b + (got[b] == '\n');
  }
  return false;
}

void golden_leave_out(char *text, const char *label) {
  const size_t len = strlen(label);
  char *to = text;
  for (const char *at = text; *at;) {
    const size_t line = strcspn(at, "\n"), whole = line + (at[line] == '\n');
    const bool out = line > len && memcmp(at, label, len) == 0 && at[len] == ' ';
    if (!out) memmove(to, at, whole);
    to += out ? 0 : whole;
    at += whole;
  }
  *to = '\0';
}

static void path_of(char out[PATH_LEN], const char *path) {
  const char *source = getenv("FUSION_SOURCE");
  snprintf(out, PATH_LEN, "%s/%s", source ? source : ".", path);
}

char *golden_read(const char *path) {
  char full[PATH_LEN];
  path_of(full, path);
  FILE *f = fopen(full, "r");
  if (!f) return NULL;
  char *text = calloc(1, 1 << 20);
  if (!text) abort();
  const size_t len = fread(text, 1, (1 << 20) - 1, f);
  text[len] = '\0';
  fclose(f);
  return text;
}

void golden_write(const char *path, const char *text) {
  char full[PATH_LEN];
  path_of(full, path);
  FILE *f = fopen(full, "w");
  if (!f || fputs(text, f) == EOF || fclose(f) != 0) fail_msg("%s: cannot be written", full);
}
