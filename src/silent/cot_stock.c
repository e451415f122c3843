#include "silent/cot_stock.h"

#include "base/secret.h"
#include "silent/cot_silent_cost.h"
#include "silent/cot_silent_internal.h"

/* A stock begins with eight words: Delta, the session number, correlations by who is the sender, the kind, stores by
 * who is the sender. Raw ones follow, or the stores, each behind a head of its own: of their set depth, trees, factor,
 * shift and together; members, number of the first, trees to be taken. */
enum { HEAD_WORDS = 8, STORE_WORDS = 8, KIND_RAW = 1, KIND_SILENT = 2 };
static_assert(STORE_WORDS * sizeof(uint64_t) == SILENT_STORE_HEAD_LEN, "the cost counts a store's head");
/* A stream is for fewer than silent OT begins with (engine/cheetah); a store yields 65,536 correlations or more, and no
 * run takes 2^36. */
static const uint64_t raw_max = UINT64_C(1) << 20, stores_max = UINT64_C(1) << 20;

struct head {
  block delta;
  uint64_t session, counts[2], kind, stores[2];
};

static fusion_status write_head(const struct byte_stream *to, const struct head *h) {
  uint64_t words[HEAD_WORDS] = {h->delta.lo,  h->delta.hi, h->session,   h->counts[0],
                                h->counts[1], h->kind,     h->stores[0], h->stores[1]};
  const fusion_status status = stream_write(to, words, sizeof words);
  mem_wipe(words, sizeof words);
  return status;
}

static fusion_status read_head(const struct byte_stream *from, struct head *h) {
  uint64_t words[HEAD_WORDS];
  const fusion_status status = stream_read(from, words, sizeof words);
  *h = (struct head){.delta = block_make(words[1], words[0]),
                     .session = words[2],
                     .counts = {words[3], words[4]},
                     .kind = words[5],
                     .stores = {words[6], words[7]}};
  mem_wipe(words, sizeof words);
  return status;
}

static void planned(const struct cot_stock_plan *plan, uint64_t counts[2]) {
  counts[ROLE_SERVER] = plan->params.expected_server_sends;
  counts[ROLE_CLIENT] = plan->params.expected_client_sends;
}

static struct cot cot_of(const struct cot_ops *ops, const struct cot_opening *o, const struct head *h) {
  return (struct cot){
      .ops = ops, .role = o->role, .channel = o->channel, .heap = o->heap, .delta = h->delta, .session = h->session};
}

/* ---- few: as they are ---- */

struct raw {
  struct cot cot;   /* first: a struct cot * is one of these */
  block *blocks[2]; /* owned, secret: [counts], by who is the sender */
  uint64_t counts[2], next[2];
};

static fusion_status raw_take(struct raw *r, enum role sender, block *out, size_t count) {
  if (count > r->counts[sender] - r->next[sender])
    return channel_fail(r->cot.channel, FUSION_E_INTERNAL, "a prepared run is out of correlations");
  block *from = r->blocks[sender] + r->next[sender];
  memcpy(out, from, count * sizeof *out);
  mem_wipe(from, count * sizeof *from);
  r->next[sender] += count;
  return FUSION_OK;
}

static fusion_status raw_take_sender(struct cot *c, block *keys, size_t count) {
  return raw_take((struct raw *)c, c->role, keys, count);
}
static fusion_status raw_take_receiver(struct cot *c, block *macs, size_t count) {
  return raw_take((struct raw *)c, role_peer(c->role), macs, count);
}

static void raw_close(struct cot *c) {
  struct raw *r = (struct raw *)c;
  for (int i = 0; i < 2; i++)
    if (r->blocks[i]) mem_free_secret(r->blocks[i], (size_t)r->counts[i] * sizeof(block));
  key_free(r);
}

static const struct cot_ops raw_ops = {
    .take_sender = raw_take_sender, .take_receiver = raw_take_receiver, .close = raw_close};

static fusion_status raw_open(struct cot **out, const struct cot_opening *o, const struct head *h,
                              const struct byte_stream *from) {
  fusion_status status = FUSION_OK;
  struct raw *r = key_alloc(sizeof *r);
  if (!r) return FUSION_E_MEMORY;
  r->cot = cot_of(&raw_ops, o, h);
  for (int i = 0; i < 2; i++) {
    FAIL_IF(h->counts[i] > raw_max, FUSION_E_INPUT);
    r->counts[i] = h->counts[i];
    r->blocks[i] = mem_alloc(size_max(1, (size_t)h->counts[i]), sizeof(block));
    FAIL_IF(!r->blocks[i], FUSION_E_MEMORY);
    TRY(stream_read(from, r->blocks[i], (size_t)h->counts[i] * sizeof(block)));
  }
  *out = &r->cot;
  r = NULL;
cleanup:
  if (r) raw_close(&r->cot);
  return status;
}

/* Takes and keeps one direction of a source. */
static fusion_status raw_keep(struct cot *c, enum role sender, size_t count, const struct byte_stream *to) {
  block *blocks = mem_alloc(size_max(1, count), sizeof *blocks);
  if (!blocks) return FUSION_E_MEMORY;
  fusion_status status =
      sender == c->role ? cot_take_sender(c, blocks, count, NULL) : cot_take_receiver(c, blocks, count, NULL);
  if (status == FUSION_OK) status = channel_flush(c->channel);
  if (status == FUSION_OK) status = stream_write(to, blocks, count * sizeof *blocks);
  mem_free_secret(blocks, size_max(1, count) * sizeof *blocks);
  return status;
}

static fusion_status raw_make(const struct cot_opening *opening, const struct cot_softspoken_params *params,
                              const uint64_t counts[2], const struct byte_stream *to) {
  struct cot *c;
  fusion_status status = cot_open_softspoken(&c, opening, params);
  if (status != FUSION_OK) return status;
  struct head head = {.delta = c->delta, .session = c->session, .counts = {counts[0], counts[1]}, .kind = KIND_RAW};
  TRY(write_head(to, &head));
  for (enum role sender = ROLE_SERVER; sender <= ROLE_CLIENT; sender++)
    TRY(raw_keep(c, sender, (size_t)counts[sender], to));
cleanup:
  mem_wipe(&head, sizeof head);
  cot_close(c);
  return status;
}

/* ---- many: what they grow from ---- */

static bool store_left(const struct store *t) {
  return t->next < t->end;
}

static fusion_status write_store(const struct store *t, const struct byte_stream *to) {
  const struct silent_iteration first = silent_origin(t->harvest);
  const struct silent_set *set = first.set;
  assert(!t->next); /* none of it is taken, or grown ahead */
  const uint64_t words[STORE_WORDS] = {
      set->depth, set->trees, set->factor, set->shift, set->together, silent_members(t->harvest), first.number, t->end};
  const fusion_status status = stream_write(to, words, sizeof words);
  return status == FUSION_OK ? silent_harvest_write(t->harvest, to) : status;
}

static fusion_status write_stores(const struct cot_silent *s, const uint64_t counts[2], const struct byte_stream *to) {
  struct head head = {
      .delta = s->cot.delta, .session = s->cot.session, .counts = {counts[0], counts[1]}, .kind = KIND_SILENT};
  fusion_status status;
  for (int r = 0; r < 2; r++)
    for (size_t i = s->directions[r].head; i < s->directions[r].count; i++)
      head.stores[r] += store_left(&s->directions[r].stores[i]);
  TRY(write_head(to, &head));
  for (int r = 0; r < 2; r++)
    for (size_t i = s->directions[r].head; i < s->directions[r].count; i++)
      if (store_left(&s->directions[r].stores[i])) TRY(write_store(&s->directions[r].stores[i], to));
cleanup:
  mem_wipe(&head, sizeof head);
  return status;
}

static fusion_status silent_make(const struct cot_opening *opening, const struct silent_params *params,
                                 const uint64_t counts[2], const struct byte_stream *to) {
  struct cot *c;
  fusion_status status = cot_open_silent(&c, opening, params);
  if (status != FUSION_OK) return status;
  struct cot_silent *s = (struct cot_silent *)c;
  for (enum role sender = ROLE_SERVER; sender <= ROLE_CLIENT; sender++)
    while (s->schedule.supply[sender].ready < counts[sender]) TRY(cot_silent_refill(s, sender));
  TRY(write_stores(s, counts, to));
cleanup:
  cot_close(c);
  return status;
}

/* The set that a store's head names, with its trees: one of ours, or a stock of another version. */
static bool set_named(const uint64_t words[STORE_WORDS], struct silent_set *set) {
  const struct silent_set *const ours[] = {&silent_set_lan, &silent_set_wan};
  for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
    *set = *ours[i];
    if (words[0] != set->depth || words[1] > set->trees || words[2] != set->factor || words[3] != set->shift ||
        words[4] != set->together)
      continue;
    set->trees = (uint32_t)words[1];
    return true;
  }
  return false;
}

static fusion_status read_store(struct cot_silent *s, const struct silent_party *party, enum role sender,
                                const struct byte_stream *from) {
  struct direction *d = &s->directions[sender];
  struct store *t = &d->stores[d->count];
  uint64_t words[STORE_WORDS];
  fusion_status status;
  struct silent_set set;
  TRY(stream_read(from, words, sizeof words));
  FAIL_IF(!set_named(words, &set), FUSION_E_INPUT);
  const uint64_t members = words[5], trees = words[7];
  FAIL_IF(!members || members > set.together || !trees || trees > set.trees, FUSION_E_INPUT);
  const struct silent_iteration first = {.set = &set, .sender = sender, .number = words[6]};
  TRY(silent_harvest_read(&t->harvest, party, &first, (size_t)members, from));
  t->end = t->last = (size_t)trees;
  t->unit = (size_t)members << set.depth;
  s->schedule.supply[sender].ready += t->end * t->unit;
  d->count++;
cleanup:
  return status;
}

static fusion_status silent_restore(struct cot **out, const struct cot_opening *o, const struct head *h,
                                    const struct byte_stream *from) {
  fusion_status status = FUSION_OK;
  struct cot_silent *s = key_alloc(sizeof *s);
  if (!s) return FUSION_E_MEMORY;
  s->cot = cot_of(&cot_silent_ops, o, h);
  s->stocked = true;
  struct silent_party party = {
      .role = o->role, .channel = o->channel, .heap = o->heap, .session = h->session, .delta = h->delta};
  for (enum role sender = ROLE_SERVER; sender <= ROLE_CLIENT; sender++) {
    struct direction *d = &s->directions[sender];
    uint64_t *ready = &s->schedule.supply[sender].ready;
    d->sender = sender;
    FAIL_IF(h->stores[sender] > stores_max, FUSION_E_INPUT);
    d->stores = mem_alloc(size_max(1, (size_t)h->stores[sender]), sizeof *d->stores);
    FAIL_IF(!d->stores || !grown_widen(&d->grown, o->heap, SILENT_UNIT_MAX), FUSION_E_MEMORY);
    for (uint64_t i = 0; i < h->stores[sender]; i++) TRY(read_store(s, &party, sender, from));
    FAIL_IF(*ready < h->counts[sender], FUSION_E_INPUT);
    *ready = h->counts[sender];
  }
  *out = &s->cot;
  s = NULL;
cleanup:
  mem_wipe(&party, sizeof party);
  if (s) cot_close(&s->cot);
  return status;
}

/* ---- both ---- */

fusion_status cot_stock_make(const struct cot_opening *opening, const struct cot_stock_plan *plan,
                             const struct byte_stream *to) {
  uint64_t counts[2];
  planned(plan, counts);
  return plan->stream ? raw_make(opening, &plan->stream_params, counts, to)
                      : silent_make(opening, &plan->params, counts, to);
}

fusion_status cot_stock_open(struct cot **out, const struct cot_opening *opening, const struct byte_stream *from) {
  struct head h;
  fusion_status status;
  *out = NULL;
  TRY(read_head(from, &h));
  FAIL_IF(h.kind != KIND_RAW && h.kind != KIND_SILENT, FUSION_E_INPUT);
  TRY(h.kind == KIND_RAW ? raw_open(out, opening, &h, from) : silent_restore(out, opening, &h, from));
cleanup:
  mem_wipe(&h, sizeof h);
  return status;
}

void cot_stock_cost(struct cost *cost, const struct cot_stock_plan *plan) {
  uint64_t counts[2];
  planned(plan, counts);
  cost->prepared_server += HEAD_WORDS * sizeof(uint64_t);
  cost->prepared_client += HEAD_WORDS * sizeof(uint64_t);
  if (plan->stream) {
    struct cot_softspoken_cost model;
    const uint64_t len = (counts[0] + counts[1]) * sizeof(block);
    cot_open_softspoken_cost(cost, &model, &plan->stream_params);
    for (enum role sender = ROLE_SERVER; sender <= ROLE_CLIENT; sender++) cost_take_cots(cost, sender, counts[sender]);
    cost->prepared_server += len;
    cost->prepared_client += len;
  } else {
    struct cot_cost model;
    cot_open_silent_cost(cost, &model, &plan->params);
    cot_silent_fill_cost(cost, &model, counts);
  }
  cost->source = NULL; /* the models end here */
}
