/* Who may be here. A connection that has not come to START yet has no place: there are few of them from one network,
 * and when they are too many the one that is here longest makes room, so that silence keeps nobody out. START takes one
 * of the places, of which no client may have all. */
#include <fcntl.h>
#include <sodium.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "session/serve_internal.h"

enum { NICENESS_MAX = 19 };

static bool start_thread(struct connection *c) {
  pthread_attr_t attributes;
  pthread_t thread;
  if (pthread_attr_init(&attributes)) return false;
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  const bool started = pthread_create(&thread, &attributes, connection_main, c) == 0;
  pthread_attr_destroy(&attributes);
  return started;
}

static unsigned bucket_of(const struct server *s, const uint8_t network[NET_NETWORK_LEN]) {
  uint8_t hash[crypto_shorthash_BYTES];
  crypto_shorthash(hash, network, NET_NETWORK_LEN, s->bucket_key);
  return (hash[0] | (unsigned)hash[1] << 8) % ARRIVING_BUCKETS;
}

/* Who has to make room: of the network with the most arriving connections, those that have not greeted before those
 * that have, the oldest. */
static bool goes_before(const struct server *s, const struct connection *a, const struct connection *b) {
  if (!b) return true;
  if (s->arriving_of[a->bucket] != s->arriving_of[b->bucket])
    return s->arriving_of[a->bucket] > s->arriving_of[b->bucket];
  if (a->greeted != b->greeted) return !a->greeted;
  return a->since < b->since;
}

static struct connection *find_victim(const struct server *s, unsigned bucket, bool crowded) {
  const double until = clock_seconds() - ARRIVING_KEPT_MS * 1e-3;
  struct connection *found = NULL;
  for (struct connection *c = s->connections; c; c = c->next) {
    const bool may_go = !c->placed && !c->cut_off && c->since < until && (!crowded || c->bucket == bucket);
    if (may_go && goes_before(s, c, found)) found = c;
  }
  return found;
}

static void uncount(struct server *s, const struct connection *c) {
  s->arriving--;
  s->arriving_of[c->bucket]--;
}

/* Called with the lock held. */
static bool evict(struct server *s, unsigned bucket, bool crowded) {
  struct connection *victim = find_victim(s, bucket, crowded);
  if (!victim) return false;
  uncount(s, victim);
  victim->cut_off = true;
  (void)shutdown(victim->cut, SHUT_RDWR);
  return true;
}

/* `shared`: the network is a proxy's, and stands for many. Called with the lock held. */
static bool make_room(struct server *s, unsigned bucket, bool shared) {
  const bool crowded = !shared && s->arriving_of[bucket] >= ARRIVING_EACH;
  return (!crowded && s->arriving < ARRIVING_MAX) || evict(s, bucket, crowded);
}

void arrival_admit(struct server *s, int fd) {
  uint8_t network[NET_NETWORK_LEN];
  const bool proxied = s->handles.proxies && proxy_list_has(s->handles.proxies, fd);
  /* Reset while it waited for us: whether it came from a proxy cannot be told any more, and nobody is there to refuse.
   * Asked last: as long as the peer is known, so was it above. */
  if (!socket_peer_network(fd, network)) {
    close(fd);
    return;
  }
  struct connection *c = mem_alloc(1, sizeof *c);
  const int cut = c ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
  const unsigned bucket = bucket_of(s, network);
  pthread_mutex_lock(&s->lock);
  bool admitted = c && cut >= 0 && make_room(s, bucket, proxied);
  if (admitted) {
    *c = (struct connection){
        .server = s, .fd = fd, .cut = cut, .bucket = bucket, .since = clock_seconds(), .proxied = proxied};
    admitted = start_thread(c);
  }
  if (admitted) {
    c->next = s->connections;
    s->connections = c;
    s->arriving++;
    s->arriving_of[bucket]++;
  } else {
    s->totals.refused++;
  }
  pthread_mutex_unlock(&s->lock);
  if (admitted) return;
  close(fd);
  if (cut >= 0) close(cut);
  mem_free(c);
}

fusion_status arrival_move(struct server *s, struct connection *c, const uint8_t network[NET_NETWORK_LEN],
                           fusion_error *why) {
  const unsigned bucket = bucket_of(s, network);
  pthread_mutex_lock(&s->lock);
  const bool crowded = s->arriving_of[bucket] >= ARRIVING_EACH;
  const bool fits = !c->cut_off && (!crowded || evict(s, bucket, true));
  if (fits) {
    s->arriving_of[c->bucket]--;
    s->arriving_of[bucket]++;
    c->bucket = bucket;
  }
  pthread_mutex_unlock(&s->lock);
  return fits ? FUSION_OK
              : error_set(why, FUSION_E_BUSY,
                          "the server is busy with other connections of this network; try again later");
}

void arrival_leave(struct server *s, struct connection *c) {
  if (!c->cut_off) uncount(s, c);
  if (c->cut >= 0) close(c->cut);
  c->cut = -1;
}

static struct account *account_find(struct server *s, const char *name) {
  struct account *a = s->accounts;
  while (a && strcmp(a->name, name) != 0) a = a->next;
  return a;
}

void account_drop(struct server *s, struct account *a) {
  if (a->connections || a->jobs || a->day_samples || a->day_claimed) return;
  struct account **at = &s->accounts;
  while (*at != a) at = &(*at)->next;
  *at = a->next;
  mem_free(a);
}

/* Called with the lock held. */
static fusion_status check(struct server *s, const struct account *a, fusion_error *why) {
  if (atomic_load(&s->stopping)) return error_set(why, FUSION_E_BUSY, "the server is shutting down");
  if (s->active >= s->settings.max_clients)
    return error_set(why, FUSION_E_BUSY, "the server is busy (%u connections); try again later",
                     s->settings.max_clients);
  if (a && a->connections >= s->share)
    return error_set(why, FUSION_E_BUSY, "the server is busy with %u connections of this client; try again later",
                     s->share);
  return FUSION_OK;
}

fusion_status place_check(struct server *s, struct connection *c, fusion_error *why) {
  pthread_mutex_lock(&s->lock);
  const fusion_status status = check(s, account_find(s, c->client), why);
  pthread_mutex_unlock(&s->lock);
  return status;
}

/* Each step of niceness is a quarter less of a busy processor: so many steps make `count` threads no heavier than one.
 */
static int niceness_of(uint32_t count) {
  double weight = 1;
  int steps = 0;
  while (weight < count && steps < NICENESS_MAX) {
    weight *= 1.25;
    steps++;
  }
  return steps;
}

/* While several clients are here, each gets the same part of the processor, however many connections it has. Threads
 * become nicer only (to become less nice needs a privilege): what a client loses by this ends with its connections.
 * Called with the lock held. */
static void share_processor(const struct server *s) {
  const struct account *first = NULL;
  bool several = false;
  for (const struct connection *c = s->connections; c; c = c->next) {
    if (!c->placed) continue;
    several = several || (first && first != c->account);
    first = c->account;
  }
  for (const struct connection *c = s->connections; several && c; c = c->next) {
    const int niceness = s->niceness + (c->placed ? niceness_of(c->account->connections) : 0);
    if (niceness > getpriority(PRIO_PROCESS, (id_t)c->thread))
      (void)setpriority(PRIO_PROCESS, (id_t)c->thread, niceness);
  }
}

fusion_status place_take(struct server *s, struct connection *c, fusion_error *why) {
  struct account *a = account_find(s, c->client);
  const fusion_status status = check(s, a, why);
  if (status != FUSION_OK) return status;
  if (c->cut_off) return error_set(why, FUSION_E_BUSY, "the server is busy with newer connections; try again later");
  if (!a) {
    a = mem_alloc(1, sizeof *a);
    if (!a) return error_set(why, FUSION_E_MEMORY, "out of memory");
    memcpy(a->name, c->client, sizeof a->name);
    a->next = s->accounts;
    s->accounts = a;
  }
  arrival_leave(s, c);
  c->placed = true;
  c->account = a;
  c->thread = gettid();
  a->connections++;
  s->active++;
  share_processor(s);
  return FUSION_OK;
}

void place_leave(struct server *s, struct connection *c) {
  if (!c->placed) {
    arrival_leave(s, c);
    return;
  }
  s->active--;
  s->memory_reserved -= c->memory;
  c->account->memory -= c->memory;
  c->account->connections--;
  account_drop(s, c->account);
}
