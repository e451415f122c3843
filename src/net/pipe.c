/* The in-memory pipe: two queues between two threads of one process. */
#include <pthread.h>
#include <stdlib.h>

#include "net/channel_internal.h"

struct queue {
  uint8_t *data; /* bytes [begin, end) wait */
  size_t begin, end, capacity;
  bool closed;
};

struct shared {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  struct queue to_server, to_client;
  unsigned ends;
};

struct pipe_end {
  struct transport base;
  struct shared *shared;
  struct queue *in, *out;
  struct channel_idle idle;
};

static bool queue_push(struct queue *q, const void *data, size_t len) {
  if (q->begin == q->end) q->begin = q->end = 0;
  if (len > q->capacity - q->end && q->begin) {
    memmove(q->data, q->data + q->begin, q->end - q->begin);
    q->end -= q->begin;
    q->begin = 0;
  }
  if (len > q->capacity - q->end) {
    const size_t capacity = size_max(2 * q->capacity, q->end + len);
    uint8_t *grown = realloc(q->data, capacity);
    if (!grown) return false;
    q->data = grown;
    q->capacity = capacity;
  }
  memcpy(q->data + q->end, data, len);
  q->end += len;
  return true;
}

static fusion_status pipe_write(struct transport *t, const void *data, size_t len, fusion_error *err) {
  struct pipe_end *p = (struct pipe_end *)t;
  fusion_status status = FUSION_OK;
  (void)err;
  pthread_mutex_lock(&p->shared->lock);
  if (p->in->closed || p->out->closed) status = FUSION_E_CLOSED;
  if (status == FUSION_OK && !queue_push(p->out, data, len)) status = FUSION_E_MEMORY;
  pthread_cond_broadcast(&p->shared->changed);
  pthread_mutex_unlock(&p->shared->lock);
  return status;
}

static fusion_status pipe_read(struct transport *t, void *data, size_t len, fusion_error *err) {
  struct pipe_end *p = (struct pipe_end *)t;
  uint8_t *at = data;
  bool works = p->idle.work != NULL;
  (void)err;
  pthread_mutex_lock(&p->shared->lock);
  while (len) {
    struct queue *q = p->in;
    const size_t part = size_min(len, q->end - q->begin);
    if (!part && q->closed) break;
    if (!part && works) {
      pthread_mutex_unlock(&p->shared->lock);
      works = p->idle.work(p->idle.context);
      pthread_mutex_lock(&p->shared->lock);
      continue;
    }
    if (!part) {
      pthread_cond_wait(&p->shared->changed, &p->shared->lock);
      continue;
    }
    memcpy(at, q->data + q->begin, part);
    q->begin += part;
    at += part;
    len -= part;
  }
  pthread_mutex_unlock(&p->shared->lock);
  return len ? FUSION_E_CLOSED : FUSION_OK;
}

static void pipe_cancel(struct transport *t) {
  struct pipe_end *p = (struct pipe_end *)t;
  pthread_mutex_lock(&p->shared->lock);
  p->in->closed = p->out->closed = true;
  p->in->begin = p->in->end;
  pthread_cond_broadcast(&p->shared->changed);
  pthread_mutex_unlock(&p->shared->lock);
}

/* What was written stays readable after the close: there is nothing to wait for. */
static void pipe_linger(struct transport *t, int limit_ms) {
  (void)t, (void)limit_ms;
}

static void pipe_set_idle(struct transport *t, struct channel_idle idle) {
  ((struct pipe_end *)t)->idle = idle;
}

static void pipe_close(struct transport *t) {
  struct pipe_end *p = (struct pipe_end *)t;
  struct shared *s = p->shared;
  pthread_mutex_lock(&s->lock);
  p->out->closed = true;
  const unsigned left = --s->ends;
  pthread_cond_broadcast(&s->changed);
  pthread_mutex_unlock(&s->lock);
  mem_free(p);
  if (left) return;
  free(s->to_server.data);
  free(s->to_client.data);
  pthread_mutex_destroy(&s->lock);
  pthread_cond_destroy(&s->changed);
  mem_free(s);
}

static const struct transport_ops pipe_ops = {.write = pipe_write,
                                              .read = pipe_read,
                                              .cancel = pipe_cancel,
                                              .linger = pipe_linger,
                                              .set_idle = pipe_set_idle,
                                              .close = pipe_close};

fusion_status channel_pipe(struct channel **server_end, struct channel **client_end) {
  struct shared *s = mem_alloc(1, sizeof *s);
  struct pipe_end *server = mem_alloc(1, sizeof *server), *client = mem_alloc(1, sizeof *client);
  *server_end = *client_end = NULL;
  if (!s || !server || !client) {
    mem_free(s);
    mem_free(server);
    mem_free(client);
    return FUSION_E_MEMORY;
  }
  pthread_mutex_init(&s->lock, NULL);
  pthread_cond_init(&s->changed, NULL);
  s->ends = 2;
  *server = (struct pipe_end){.base = {&pipe_ops}, .shared = s, .in = &s->to_server, .out = &s->to_client};
  *client = (struct pipe_end){.base = {&pipe_ops}, .shared = s, .in = &s->to_client, .out = &s->to_server};
  fusion_status status = channel_new(server_end, &server->base);
  if (status != FUSION_OK) {
    pipe_close(&client->base);
    return status;
  }
  status = channel_new(client_end, &client->base);
  if (status == FUSION_OK) return status;
  channel_close(*server_end);
  *server_end = NULL;
  return status;
}
