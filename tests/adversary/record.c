#include "adversary/record.h"

#include "support/support.h"

void record_open(struct record *r) {
  *r = (struct record){0};
  pthread_mutex_init(&r->lock, NULL);
}

void record_close(struct record *r) {
  for (size_t i = 0; i < r->count; i++) mem_free(r->messages[i].payload);
  mem_free(r->messages);
  pthread_mutex_destroy(&r->lock);
}

void record_message(void *record, unsigned type, const uint8_t *payload, size_t len) {
  struct record *r = record;
  pthread_mutex_lock(&r->lock);
  if (r->count == r->capacity) {
    const size_t capacity = 2 * r->capacity + 256;
    struct recorded *grown = mem_alloc(capacity, sizeof *grown);
    assert_non_null(grown);
    if (r->count) memcpy(grown, r->messages, r->count * sizeof *grown);
    mem_free(r->messages);
    r->messages = grown;
    r->capacity = capacity;
  }
  struct recorded *m = &r->messages[r->count++];
  *m = (struct recorded){.type = type, .len = len, .payload = mem_alloc(len ? len : 1, 1)};
  assert_non_null(m->payload);
  if (len) memcpy(m->payload, payload, len);
  r->greetings += type == MSG_HELLO;
  r->ends += type == 0;
  *(type ? &r->last : &r->end) = clock_seconds();
  pthread_mutex_unlock(&r->lock);
}

size_t record_open_ends(struct record *r) {
  pthread_mutex_lock(&r->lock);
  const size_t left = r->greetings - r->ends;
  pthread_mutex_unlock(&r->lock);
  return left;
}

enum outcome record_job(struct scene *s, const struct cheat *cheats, size_t count, struct record *r,
                        uint64_t *applied) {
  struct cheater *c = mem_alloc(1, sizeof *c);
  fusion_error why = {.status = FUSION_OK};
  assert_non_null(c);
  cheater_open(c, s->model, scene_engine(), test_random(&s->random));
  c->seen = record_message;
  c->seen_context = r;
  for (size_t i = 0; i < count; i++) assert_ok(cheat_add(c, &cheats[i], &why));
  const enum outcome outcome = scene_run(s, c, &why);
  if (outcome == OUTCOME_FAILED) fail_msg("a recorded job failed: %s", why.text);
  if (applied) *applied = c->applied;
  cheater_close(c);
  mem_free(c);
  return outcome;
}
