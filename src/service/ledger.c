#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "service/ledger_store.h"

enum {
  MS_A_DAY = 86400000,
  TIME_LEN = 32,
  REASON_LEN = 256,
  CELL_LEN = 512,
  PAUSE_MS = 100,    /* between tries while the database cannot be reached */
  PENDING_MAX = 4096 /* ends of jobs that are kept meanwhile */
};
/* How long an operation waits for a database that cannot be reached, in seconds. A client waits at START; samples that
 * run already are worth more. */
#define RESERVE_PATIENCE 3.0
#define BOOK_PATIENCE 20.0
#define RELEASE_PATIENCE 1.0

struct ledger;

/* An operation: one transaction, at most once. Borrowed. */
struct operation {
  fusion_status (*run)(struct ledger *l, const struct operation *o, fusion_error *why);
  const struct allowance *a;
  const struct event *ended;
  uint64_t samples;
  double patience;
  uint64_t number; /* 0: not tried yet */
  bool doubtful;   /* tried; whether it took place is not known */
};

/* The end of a job that the database has not taken yet, with copies of what it borrows. */
struct pending {
  struct pending *next;
  struct operation operation;
  struct allowance a;
  struct event ended;
  char job_id[EVENT_JOB_ID_LEN], client[NET_NAME_LEN], reason[REASON_LEN];
};

struct ledger {
  pthread_mutex_t lock;          /* guards what follows; one transaction at a time on this connection */
  struct store *store;           /* owned */
  char server[STORE_SERVER_LEN]; /* random: whose holds are ours */
  int64_t now_ms;                /* of this transaction, by the database's clock */
  uint64_t operations;           /* ever */
  double down_since;             /* when the database was first found not to answer; 0: it answers */
  struct pending *pending;       /* owned, the oldest first */
  size_t pending_count;
};

static fusion_status failed(struct ledger *l, fusion_error *why) {
  return l->store->calls->failed(l->store, why);
}

static int64_t today(const struct ledger *l) {
  return l->now_ms / MS_A_DAY;
}

/* ---- rows of jobs; all within a transaction ---- */

struct row_copy {
  bool found;
  int count;
  char text[STORE_CELLS_MAX][CELL_LEN];
};

static bool copy_row(void *context, const struct store_cell *cells) {
  struct row_copy *c = context;
  c->found = true;
  for (int i = 0; i < c->count; i++) snprintf(c->text[i], CELL_LEN, "%s", cells[i].text);
  return false;
}

static int64_t number_of(const struct row_copy *c, int i) {
  return strtoll(c->text[i], NULL, 10);
}

/* The place of a new row: its number and the hash before it. */
static bool find_place(struct ledger *l, int64_t *seq, char previous[LEDGER_HEX_LEN]) {
  struct row_copy last = {.count = 2};
  previous[0] = '\0';
  *seq = 1;
  if (!store_query(l->store, copy_row, &last, "SELECT seq, hash FROM jobs ORDER BY seq DESC LIMIT 1", "")) return false;
  if (!last.found) return true;
  *seq = number_of(&last, 0) + 1;
  snprintf(previous, LEDGER_HEX_LEN, "%.*s", LEDGER_HEX_LEN - 1, last.text[1]);
  return true;
}

/* `open`: client, job, model, engine, outcome, reason, declared, samples, bytes_received, bytes_sent, begun,
 * connections. */
static bool add_row(struct ledger *l, const struct row_copy *open) {
  struct ledger_row row = {.number = {0}};
  char when[TIME_LEN] = "", previous[LEDGER_HEX_LEN], hash[LEDGER_HEX_LEN];
  const time_t now = (time_t)(l->now_ms / 1000);
  struct tm utc;
  if (!find_place(l, &row.number[0], previous)) return false;
  if (gmtime_r(&now, &utc)) strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
  row.text[0] = when;
  for (int i = 0; i < 6; i++) row.text[i + 1] = open->text[i];
  row.text[ROW_TEXTS - 1] = previous;
  for (int i = 0; i < 4; i++) row.number[i + 1] = number_of(open, 6 + i);
  const int64_t took = l->now_ms - number_of(open, 10);
  row.number[5] = took > 0 ? took : 0;
  row.number[6] = number_of(open, 11);
  ledger_hash(hash, &row);
  const char *const *t = row.text;
  const int64_t *n = row.number;
  return store_query(l->store, NULL, NULL,
                     "INSERT INTO jobs (" LEDGER_COLUMNS
                     ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
                     "ssssssssiiiiiiis", t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7], n[0], n[1], n[2], n[3], n[4],
                     n[5], n[6], hash);
}

/* Adds the row of an open job and forgets the job; one of which nothing ran leaves no row. */
static bool close_job(struct ledger *l, const char *job, const char *client) {
  struct row_copy open = {.count = 13};
  if (!store_query(l->store, copy_row, &open,
                   "SELECT client, job, model, engine, outcome, reason, declared, samples, bytes_received, bytes_sent,"
                   " begun, connections, booked FROM open_jobs WHERE job = $1 AND client = $2",
                   "ss", job, client))
    return false;
  if (!open.found) return true;
  return (!number_of(&open, 12) || add_row(l, &open)) &&
         store_query(l->store, NULL, NULL, "DELETE FROM holds WHERE job = $1 AND client = $2", "ss", job, client) &&
         store_query(l->store, NULL, NULL, "DELETE FROM open_jobs WHERE job = $1 AND client = $2", "ss", job, client);
}

/* What servers that do not renew their holds had run. */
static bool drop_old_holds(struct ledger *l) {
  const int64_t now = l->now_ms / 1000;
  return store_query(l->store, NULL, NULL,
                     "UPDATE open_jobs SET samples = samples + (SELECT CAST(SUM(ran) AS BIGINT) FROM holds"
                     " WHERE holds.job = open_jobs.job AND holds.client = open_jobs.client AND until < $1)"
                     " WHERE EXISTS (SELECT 1 FROM holds WHERE holds.job = open_jobs.job"
                     " AND holds.client = open_jobs.client AND until < $1)",
                     "i", now) &&
         store_query(l->store, NULL, NULL, "DELETE FROM holds WHERE until < $1", "i", now);
}

/* Closes the jobs that no living server holds. */
static bool close_abandoned(struct ledger *l) {
  if (!drop_old_holds(l)) return false;
  for (;;) {
    struct row_copy found = {.count = 2};
    if (!store_query(l->store, copy_row, &found,
                     "SELECT job, client FROM open_jobs o WHERE NOT EXISTS"
                     " (SELECT 1 FROM holds h WHERE h.job = o.job AND h.client = o.client) LIMIT 1",
                     ""))
      return false;
    if (!found.found) return true;
    if (!close_job(l, found.text[0], found.text[1])) return false;
  }
}

/* ---- the operations; each within a transaction ---- */

static fusion_status check_limit(const char *whose, uint64_t limit, int64_t used, uint64_t samples, fusion_error *why) {
  const uint64_t left = (uint64_t)used < limit ? limit - (uint64_t)used : 0;
  if (samples <= left) return FUSION_OK;
  return error_set(why, samples > limit ? FUSION_E_LIMIT : FUSION_E_BUSY,
                   "%s has %llu samples left; the job needs %llu", whose, (unsigned long long)left,
                   (unsigned long long)samples);
}

/* Whether `samples` more fit, beside what has run today and what is claimed. */
static fusion_status check_day(struct ledger *l, const struct allowance *a, uint64_t samples, fusion_error *why) {
  int64_t ran, claimed;
  if (!store_number(l->store, &ran, "SELECT CAST(COALESCE(SUM(samples), 0) AS BIGINT) FROM days WHERE day = $1", "i",
                    today(l)) ||
      !store_number(l->store, &claimed, "SELECT CAST(COALESCE(SUM(claimed), 0) AS BIGINT) FROM open_jobs", ""))
    return failed(l, why);
  const fusion_status status = check_limit("today's allowance", a->all_day, ran + claimed, samples, why);
  if (status != FUSION_OK || !a->client_day) return status;
  if (!store_number(l->store, &ran, "SELECT samples FROM days WHERE day = $1 AND client = $2", "is", today(l),
                    a->client) ||
      !store_number(l->store, &claimed,
                    "SELECT CAST(COALESCE(SUM(claimed), 0) AS BIGINT) FROM open_jobs WHERE client = $1", "s",
                    a->client))
    return failed(l, why);
  return check_limit("this client's allowance of today", a->client_day, ran + claimed, samples, why);
}

static bool hold(struct ledger *l, const struct allowance *a) {
  return store_query(l->store, NULL, NULL,
                     "INSERT INTO holds VALUES ($1, $2, $3, $4, $5) ON CONFLICT (job, client, server)"
                     " DO UPDATE SET until = excluded.until, ran = excluded.ran",
                     "sssii", a->job_id, a->client, l->server, l->now_ms / 1000 + LEDGER_HOLD_S, (int64_t)a->ran);
}

static fusion_status reserve(struct ledger *l, const struct operation *o, fusion_error *why) {
  const struct allowance *a = o->a;
  int64_t there;
  if (!close_abandoned(l)) return failed(l, why);
  if (!store_number(l->store, &there, "SELECT COUNT(*) FROM open_jobs WHERE job = $1 AND client = $2", "ss", a->job_id,
                    a->client))
    return failed(l, why);
  if (!there) {
    const fusion_status status = check_day(l, a, a->declared, why);
    if (status != FUSION_OK) return status;
    if (!store_query(l->store, NULL, NULL,
                     "INSERT INTO open_jobs (job, client, model, engine, declared, claimed, begun)"
                     " VALUES ($1, $2, $3, $4, $5, $6, $7)",
                     "ssssiii", a->job_id, a->client, a->model, a->engine, (int64_t)a->declared, (int64_t)a->declared,
                     l->now_ms))
      return failed(l, why);
  }
  return hold(l, a) ? FUSION_OK : failed(l, why);
}

/* The claim is used up first; samples that run again, after a loss, were not claimed. */
static fusion_status book(struct ledger *l, const struct operation *o, fusion_error *why) {
  const struct allowance *a = o->a;
  struct row_copy open = {.count = 1};
  if (!store_query(l->store, copy_row, &open, "SELECT claimed FROM open_jobs WHERE job = $1 AND client = $2", "ss",
                   a->job_id, a->client))
    return failed(l, why);
  if (!open.found)
    return error_set(why, FUSION_E_BUSY,
                     "the ledger has closed this job, which was not renewed in time; try again later");
  const uint64_t claimed = (uint64_t)number_of(&open, 0), used = o->samples < claimed ? o->samples : claimed;
  if (used < o->samples) {
    const fusion_status status = check_day(l, a, o->samples - used, why);
    if (status != FUSION_OK) return status;
  }
  const bool good =
      store_query(l->store, NULL, NULL,
                  "UPDATE open_jobs SET claimed = claimed - $1, booked = booked + $2 WHERE job = $3 AND client = $4",
                  "iiss", (int64_t)used, (int64_t)o->samples, a->job_id, a->client) &&
      store_query(l->store, NULL, NULL,
                  "INSERT INTO days VALUES ($1, $2, $3) ON CONFLICT (day, client)"
                  " DO UPDATE SET samples = days.samples + excluded.samples",
                  "isi", today(l), a->client, (int64_t)o->samples) &&
      hold(l, a);
  return good ? FUSION_OK : failed(l, why);
}

/* Bytes that are no printable ASCII become '?': what a peer sent is not to keep a row out. */
static void clean(char out[REASON_LEN], const char *text) {
  size_t i = 0;
  for (; text[i] && i < REASON_LEN - 1; i++) {
    out[i] = text[i];
    if (text[i] < ' ' || text[i] > '~') out[i] = '?';
  }
  out[i] = '\0';
}

static fusion_status release(struct ledger *l, const struct operation *o, fusion_error *why) {
  const struct allowance *a = o->a;
  const struct event *ended = o->ended;
  char reason[REASON_LEN];
  bool good = true;
  if (ended) {
    /* Servers tell late, each in its own time: what the job came to is what the one says that had it last. */
    const int64_t left_ms = l->now_ms - (int64_t)((clock_seconds() - ended->left) * 1e3);
    clean(reason, ended->reason);
    good = store_query(l->store, NULL, NULL,
                       "UPDATE open_jobs SET samples = samples + $1, bytes_received = bytes_received + $2,"
                       " bytes_sent = bytes_sent + $3, connections = connections + $4,"
                       " outcome = CASE WHEN ended <= $5 THEN $6 ELSE outcome END,"
                       " reason = CASE WHEN ended <= $5 THEN $7 ELSE reason END,"
                       " ended = CASE WHEN ended <= $5 THEN $5 ELSE ended END WHERE job = $8 AND client = $9",
                       "iiiiissss", (int64_t)ended->samples, (int64_t)ended->bytes_received, (int64_t)ended->bytes_sent,
                       (int64_t)ended->connections, left_ms, ended->status == FUSION_OK ? "done" : "failed", reason,
                       a->job_id, a->client);
  }
  good = good && store_query(l->store, NULL, NULL, "DELETE FROM holds WHERE job = $1 AND client = $2 AND server = $3",
                             "sss", a->job_id, a->client, l->server);
  good = good && close_abandoned(l);
  return good ? FUSION_OK : failed(l, why);
}

static fusion_status renew(struct ledger *l, const struct operation *o, fusion_error *why) {
  (void)o;
  const bool good = store_query(l->store, NULL, NULL, "UPDATE holds SET until = $1 WHERE server = $2", "is",
                                l->now_ms / 1000 + LEDGER_HOLD_S, l->server) &&
                    close_abandoned(l);
  return good ? FUSION_OK : failed(l, why);
}

/* ---- transactions ---- */

static bool is_outage(fusion_status status) {
  return status == FUSION_E_NETWORK || status == FUSION_E_CLOSED;
}

/* One try. */
static fusion_status attempt(struct ledger *l, struct operation *o, fusion_error *why) {
  const struct store_calls *calls = l->store->calls;
  bool done = false;
  if (!o->number) o->number = ++l->operations;
  const struct store_mark mark = {l->server, o->number, o->doubtful};
  fusion_status status = calls->begin(l->store, &mark, &l->now_ms, &done, why);
  if (status == FUSION_OK && !done) status = o->run(l, o, why);
  if (status == FUSION_OK && !done) status = calls->commit(l->store, &mark, why);
  if (status != FUSION_OK || done) calls->rollback(l->store);
  if (status == FUSION_E_CLOSED) o->doubtful = true;
  if (!is_outage(status))
    l->down_since = 0;
  else if (l->down_since <= 0)
    l->down_since = clock_seconds();
  return status;
}

/* The ends of jobs that wait. One that is doubtful stands first, so that no operation comes between its tries. */
static fusion_status settle(struct ledger *l, fusion_error *why) {
  while (l->pending) {
    struct pending *p = l->pending;
    const fusion_status status = attempt(l, &p->operation, why);
    if (is_outage(status)) return status;
    l->pending = p->next;
    l->pending_count--;
    mem_free(p);
  }
  return FUSION_OK;
}

/* Called with the lock held. */
static fusion_status try_until(struct ledger *l, struct operation *o, fusion_error *why) {
  for (;;) {
    fusion_status status = settle(l, why);
    if (status == FUSION_OK) status = attempt(l, o, why);
    if (!is_outage(status) || clock_seconds() > l->down_since + o->patience) return status;
    nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000}, NULL);
  }
}

/* Keeps a release for later. Called with the lock held. */
static fusion_status put_off(struct ledger *l, const struct operation *o, fusion_error *why) {
  struct pending *p = l->pending_count < PENDING_MAX ? mem_alloc(1, sizeof *p) : NULL;
  if (!p) return error_set(why, FUSION_E_MEMORY, "no room for the end of a job until the ledger can be reached");
  p->operation = *o;
  p->a = *o->a;
  p->operation.a = &p->a;
  snprintf(p->job_id, sizeof p->job_id, "%s", o->a->job_id);
  snprintf(p->client, sizeof p->client, "%s", o->a->client);
  p->a.job_id = p->job_id;
  p->a.client = p->client;
  p->a.engine = p->a.model = ""; /* not written by a release */
  if (o->ended) {
    p->ended = *o->ended;
    clean(p->reason, o->ended->reason);
    p->ended.reason = p->reason;
    p->operation.ended = &p->ended;
  }
  struct pending **at = &l->pending;
  while (*at) at = &(*at)->next;
  *at = p;
  l->pending_count++;
  return FUSION_OK;
}

/* A job that did not get its claim, as far as its server knows, holds none. */
static fusion_status give_up(struct ledger *l, const struct operation *o, fusion_error *why) {
  if (o->run == release) return put_off(l, o, why);
  if (o->run == reserve && o->doubtful) {
    const struct operation back = {.run = release, .a = o->a};
    const fusion_status status = put_off(l, &back, why);
    if (status != FUSION_OK) return status;
  }
  return error_set(why, FUSION_E_BUSY, "the server's ledger cannot be reached; try again later");
}

static fusion_status transact(struct ledger *l, struct operation *o, fusion_error *why) {
  pthread_mutex_lock(&l->lock);
  fusion_status status = try_until(l, o, why);
  if (is_outage(status)) status = give_up(l, o, why);
  pthread_mutex_unlock(&l->lock);
  return status;
}

fusion_status ledger_reserve(struct ledger *l, const struct allowance *a, fusion_error *why) {
  struct operation o = {.run = reserve, .a = a, .patience = RESERVE_PATIENCE};
  return transact(l, &o, why);
}

fusion_status ledger_book(struct ledger *l, const struct allowance *a, uint64_t samples, fusion_error *why) {
  struct operation o = {.run = book, .a = a, .samples = samples, .patience = BOOK_PATIENCE};
  return transact(l, &o, why);
}

fusion_status ledger_release(struct ledger *l, const struct allowance *a, const struct event *ended,
                             fusion_error *why) {
  struct operation o = {.run = release, .a = a, .ended = ended, .patience = RELEASE_PATIENCE};
  return transact(l, &o, why);
}

fusion_status ledger_renew(struct ledger *l, fusion_error *why) {
  struct operation o = {.run = renew};
  return transact(l, &o, why);
}

bool ledger_answers(struct ledger *l) {
  pthread_mutex_lock(&l->lock);
  const bool answers = l->down_since <= 0;
  pthread_mutex_unlock(&l->lock);
  return answers;
}

fusion_status ledger_open(struct ledger **out, const char *where, fusion_error *err) {
  uint8_t random[(STORE_SERVER_LEN - 1) / 2];
  *out = NULL;
  struct ledger *l = os_random(random, sizeof random) == FUSION_OK ? mem_alloc(1, sizeof *l) : NULL;
  if (!l) return error_set(err, FUSION_E_MEMORY, "out of memory for the ledger");
  for (size_t i = 0; i < sizeof random; i++) snprintf(l->server + 2 * i, 3, "%02x", random[i]);
  pthread_mutex_init(&l->lock, NULL);
  const fusion_status status = store_open(&l->store, where, false, err);
  if (status == FUSION_OK)
    *out = l;
  else
    ledger_close(l);
  return status;
}

void ledger_close(struct ledger *l) {
  fusion_error ignored;
  if (!l) return;
  if (l->store) (void)settle(l, &ignored);
  while (l->pending) {
    struct pending *next = l->pending->next;
    mem_free(l->pending);
    l->pending = next;
  }
  if (l->store) l->store->calls->close(l->store);
  pthread_mutex_destroy(&l->lock);
  mem_free(l);
}
