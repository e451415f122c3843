#include "silent/cot_silent_internal.h"
#include "silent/silent_messages.h"

static void direction_close(struct direction *d, struct heap *heap) {
  for (size_t i = d->head; i < d->count; i++) silent_free(d->stores[i].harvest);
  mem_free(d->stores);
  grown_close(&d->grown, heap);
}

/* Grows what is held back into the base correlations of `count` iterations, `base` each. */
static fusion_status grow_held(struct direction *d, struct heap *heap, struct silent_iteration *its, size_t count,
                               size_t base) {
  block *unit = heap_take(heap, SILENT_UNIT_MAX, sizeof(block));
  size_t at = 0; /* of all correlations wanted */
  if (!unit) return FUSION_E_MEMORY;
  for (size_t i = d->head; i < d->count; i++) {
    struct store *t = &d->stores[i];
    for (size_t tree = t->end; tree < t->last; tree++) {
      silent_grow(t->harvest, unit, tree, 1);
      for (size_t used = 0; used < t->unit && at < count * base;) {
        const size_t n = size_min(t->unit - used, base - at % base);
        memcpy(its[at / base].base + at % base, unit + used, n * sizeof(block));
        used += n;
        at += n;
      }
    }
    t->last = t->end;
  }
  assert(at == count * base);
  heap_give(heap, unit, SILENT_UNIT_MAX * sizeof(block));
  return FUSION_OK;
}

/* Holds back the last `need` correlations of the stock, rounded up to whole units. */
static void hold_back(struct direction *d, size_t need) {
  for (size_t i = d->count; i-- > d->head && need;) {
    struct store *t = &d->stores[i];
    const size_t n = size_min(div_up(need, t->unit), t->end - t->next);
    t->end -= n;
    need -= size_min(need, n * t->unit);
  }
  assert(!need);
}

/* Moves what is left of the stock to an array with room for `more` stores. */
static fusion_status make_room(struct direction *d, struct heap *heap, size_t more) {
  struct store *stores = mem_alloc(d->count - d->head + more, sizeof *stores);
  size_t count = 0;
  if (!stores || (!d->grown.room && !grown_widen(&d->grown, heap, SILENT_UNIT_MAX))) {
    mem_free(stores);
    return FUSION_E_MEMORY;
  }
  for (size_t i = d->head; i < d->count; i++) {
    if (d->stores[i].next < d->stores[i].last)
      stores[count++] = d->stores[i];
    else
      silent_free(d->stores[i].harvest);
  }
  mem_free(d->stores);
  d->stores = stores;
  d->head = 0;
  d->count = count;
  return FUSION_OK;
}

/* Base correlations of a direction's first batch before it is due, if it is expected to be used. */
static fusion_status begin_early(struct cot_silent *s, enum role sender) {
  const struct silent_supply *supply = &s->schedule.supply[sender];
  const size_t count = silent_supply_base(supply);
  block **early = &s->early[sender];
  if (!silent_schedule_early(&s->schedule, sender) || *early) return FUSION_OK;
  *early = heap_take(s->cot.heap, count, sizeof(block));
  if (!*early) return FUSION_E_MEMORY;
  return s->cot.role == sender ? softspoken_send(s->sender, *early, count)
                               : softspoken_receive(s->receiver, *early, count);
}

/* The base correlations of a direction's next batch, its[0 .. supply.next). */
static fusion_status find_bases(struct cot_silent *s, struct direction *d, struct silent_iteration *its) {
  const struct silent_supply *supply = &s->schedule.supply[d->sender];
  const size_t base = silent_set_base(&supply->set);
  block *const early = s->early[d->sender];
  fusion_status status = FUSION_OK;
  for (size_t first = 0; first < supply->next; first += supply->set.together) {
    const size_t members = silent_group_size(&supply->set, first, supply->next), len = members * base * sizeof(block);
    block *memory = early ? early : heap_take(s->cot.heap, len, 1);
    if (!memory) return FUSION_E_MEMORY;
    for (size_t i = 0; i < members; i++)
      its[first + i] = (struct silent_iteration){.set = &supply->set,
                                                 .sender = d->sender,
                                                 .number = supply->iterations + first + i,
                                                 .base = memory + i * base};
    its[first].memory = memory;
    its[first].memory_len = len;
  }
  if (early)
    s->early[d->sender] = NULL;
  else if (supply->held) {
    status = grow_held(d, s->cot.heap, its, supply->next, base);
    for (size_t i = 0; i < supply->next; i++) its[i].chained = true; /* of these alone: see silent.h */
  } else if (d->sender == s->cot.role)
    status = softspoken_send(s->sender, its[0].base, silent_supply_base(supply));
  else
    status = softspoken_receive(s->receiver, its[0].base, silent_supply_base(supply));
  return status == FUSION_OK ? make_room(d, s->cot.heap, supply->next) : status;
}

static void store_harvests(struct direction *d, const struct silent_iteration *its, size_t count) {
  for (size_t i = 0; i < count; i++) {
    const size_t trees = its[i].set->trees;
    if (!its[i].harvest) continue; /* a member of the one before */
    const size_t unit = silent_members(its[i].harvest) << its[i].set->depth;
    assert(unit <= SILENT_UNIT_MAX);
    d->stores[d->count++] = (struct store){.harvest = its[i].harvest, .end = trees, .last = trees, .unit = unit};
  }
}

/* The last batch is complete. */
static fusion_status settle(struct cot_silent *s) {
  return s->check ? silent_settle(&s->check) : FUSION_OK;
}

fusion_status cot_silent_refill(struct cot_silent *s, enum role empty) {
  fusion_status status = settle(s);
  bool joins[2];
  if (status != FUSION_OK) return status;
  silent_schedule_joins(&s->schedule, empty, joins);
  const struct silent_supply *supply = s->schedule.supply;
  const enum role self = s->cot.role, turns[2] = {role_peer(self), self};
  const size_t counts[2] = {joins[0] ? supply[0].next : 0, joins[1] ? supply[1].next : 0};
  const size_t count = counts[0] + counts[1], starts[2] = {0, counts[0]};
  const struct silent_party party = {.role = self,
                                     .channel = s->cot.channel,
                                     .heap = s->cot.heap,
                                     .prg = s->prg,
                                     .session = s->cot.session,
                                     .delta = s->cot.delta};
  struct silent_iteration *its = mem_alloc(count, sizeof *its);
  FAIL_IF(!its, FUSION_E_MEMORY);
  /* Where the direction begins, its receiver speaks first: so both parties send before they receive. */
  for (int i = 0; i < 2; i++) {
    const enum role sender = turns[i];
    if (joins[sender]) TRY(find_bases(s, &s->directions[sender], its + starts[sender]));
  }
  TRY(silent_iterate(&party, its, count, &s->check));
  for (int r = 0; r < 2; r++)
    if (joins[r]) store_harvests(&s->directions[r], its + starts[r], counts[r]);
  silent_schedule_refill(&s->schedule, joins);
  for (int r = 0; r < 2; r++)
    if (joins[r] && supply[r].held) hold_back(&s->directions[r], silent_supply_base(&supply[r]));
  if (!s->postponed) TRY(settle(s));
cleanup:
  for (size_t i = 0; its && i < count; i++) {
    heap_give(s->cot.heap, its[i].memory, its[i].memory_len);
  }
  mem_free(its);
  return status;
}

/* The store to grow from, of a stock that has trees to grow. */
static struct store *first_store(struct direction *d) {
  while (d->stores[d->head].next == d->stores[d->head].end) {
    /* Only behind all that may be taken are trees held back. */
    assert(d->stores[d->head].last == d->stores[d->head].end);
    silent_free(d->stores[d->head++].harvest);
  }
  return &d->stores[d->head];
}

/* Grows the next unit. False: there is no room for it. */
static bool grow_unit(struct direction *d) {
  struct store *t = first_store(d);
  block *unit = grown_add(&d->grown, t->unit);
  if (unit) silent_grow(t->harvest, unit, t->next++, 1);
  return unit;
}

/* Gives out between one and `count` of the stock, which is not empty: whole units grow where they are wanted. Returns
 * how many. */
static size_t take_some(struct direction *d, block *out, size_t count) {
  if (!grown_left(&d->grown)) {
    struct store *t = first_store(d);
    const size_t trees = size_min(count / t->unit, t->end - t->next);
    if (trees) {
      silent_grow(t->harvest, out, t->next, trees);
      t->next += trees;
      return trees * t->unit;
    }
    (void)grow_unit(d); /* there is room for one where nothing is left */
  }
  return grown_take(&d->grown, out, count);
}

static fusion_status take(struct cot_silent *s, enum role sender, block *out, size_t count) {
  struct silent_supply *supply = &s->schedule.supply[sender];
  assert(!s->opening && (s->postponed || !s->check));
  while (count) {
    if (s->failed != FUSION_OK) return s->failed;
    if (!supply->ready) {
      s->failed = s->stocked ? channel_fail(s->cot.channel, FUSION_E_INTERNAL, "a prepared run is out of correlations")
                             : cot_silent_refill(s, sender);
      continue;
    }
    const uint64_t most = supply->ready < count ? supply->ready : count;
    const size_t n = take_some(&s->directions[sender], out, (size_t)most);
    supply->ready -= n;
    out += n;
    count -= n;
  }
  return FUSION_OK;
}

static fusion_status take_sender(struct cot *c, block *keys, size_t count) {
  struct cot_silent *s = (struct cot_silent *)c;
  return take(s, c->role, keys, count);
}

static fusion_status take_receiver(struct cot *c, block *macs, size_t count) {
  struct cot_silent *s = (struct cot_silent *)c;
  return take(s, role_peer(c->role), macs, count);
}

enum { AHEAD_STEP = 4 /* room for what is grown ahead becomes so many times larger */ };

/* Room for what a direction that takes so many in all grows ahead; 0: any number. */
static size_t ahead_room(uint64_t takes) {
  return takes && takes < SILENT_AHEAD_MAX - SILENT_UNIT_MAX ? (size_t)takes + SILENT_UNIT_MAX : SILENT_AHEAD_MAX;
}

/* What of the stock takes are expected to want. */
static uint64_t wanted_ahead(const struct silent_supply *supply) {
  if (!supply->expected) return supply->ready; /* unknown, or all of a stock */
  const uint64_t taken = supply->released - supply->ready;
  if (taken >= supply->expected) return 0;
  return supply->ready < supply->expected - taken ? supply->ready : supply->expected - taken;
}

/* The room becomes larger in steps, as the waits turn out: a large step would take as long as a dozen units. */
static bool grow_ahead(struct cot_silent *s, enum role sender) {
  const struct silent_supply *supply = &s->schedule.supply[sender];
  struct direction *d = &s->directions[sender];
  if (grown_left(&d->grown) >= wanted_ahead(supply)) return false;
  if (grow_unit(d)) return true;
  const size_t most = ahead_room(s->stocked ? supply->ready : supply->expected);
  const size_t room = size_min(AHEAD_STEP * d->grown.room, most);
  return room > d->grown.room && grown_widen(&d->grown, s->cot.heap, room) && grow_unit(d);
}

/* In the direction of which less is grown, of what is wanted. */
static bool silent_work_ahead(struct cot *c) {
  struct cot_silent *s = (struct cot_silent *)c;
  uint64_t left[2], wanted[2];
  if (s->opening || s->failed != FUSION_OK) return false;
  for (int r = 0; r < 2; r++) {
    left[r] = grown_left(&s->directions[r].grown);
    wanted[r] = wanted_ahead(&s->schedule.supply[r]);
  }
  const enum role first = left[0] * wanted[1] <= left[1] * wanted[0] ? ROLE_SERVER : ROLE_CLIENT;
  return grow_ahead(s, first) || grow_ahead(s, role_peer(first));
}

static void silent_close(struct cot *c) {
  struct cot_silent *s = (struct cot_silent *)c;
  if (!s) return;
  direction_close(&s->directions[ROLE_SERVER], s->cot.heap);
  direction_close(&s->directions[ROLE_CLIENT], s->cot.heap);
  silent_check_free(s->check);
  for (int r = 0; r < 2; r++)
    if (s->early[r]) heap_give(s->cot.heap, s->early[r], silent_supply_base(&s->schedule.supply[r]) * sizeof(block));
  softspoken_opening_free(s->opening);
  softspoken_sender_free(s->sender);
  softspoken_receiver_free(s->receiver);
  prg_free(s->prg);
  key_free(s);
}

/* The client's first extension leaves with its last message of the set-up, so that the server's first corrections can
 * leave with its answer to whatever the client says next. */
static fusion_status silent_complete(struct cot *c) {
  struct cot_silent *s = (struct cot_silent *)c;
  struct softspoken_opening *opening = s->opening;
  if (!opening) return s->failed;
  s->opening = NULL;
  s->failed = softspoken_complete_source(&s->sender, &s->receiver, opening);
  if (s->failed != FUSION_OK) return s->failed;
  c->delta = softspoken_delta(s->sender);
  return s->failed = begin_early(s, ROLE_SERVER);
}

static fusion_status silent_begin(struct cot *c) {
  struct cot_silent *s = (struct cot_silent *)c;
  assert(!s->opening);
  if (s->failed == FUSION_OK) s->failed = begin_early(s, ROLE_CLIENT);
  return s->failed;
}

static void postpone_check(struct cot *c) {
  ((struct cot_silent *)c)->postponed = true;
}

static fusion_status settle_check(struct cot *c) {
  struct cot_silent *s = (struct cot_silent *)c;
  s->postponed = false;
  if (s->failed == FUSION_OK) s->failed = settle(s);
  return s->failed;
}

const struct cot_ops cot_silent_ops = {.take_sender = take_sender,
                                       .take_receiver = take_receiver,
                                       .work_ahead = silent_work_ahead,
                                       .postpone_check = postpone_check,
                                       .settle_check = settle_check,
                                       .complete = silent_complete,
                                       .begin = silent_begin,
                                       .close = silent_close};

fusion_status cot_open_silent(struct cot **out, const struct cot_opening *opening, const struct silent_params *params) {
  fusion_status status = FUSION_OK;
  uint8_t seed[PRG_SEED_LEN];
  struct cot_silent *s = NULL;
  *out = NULL;
  FAIL_IF(params->profile != SILENT_LAN && params->profile != SILENT_WAN, FUSION_E_USAGE);
  s = key_alloc(sizeof *s);
  FAIL_IF(!s, FUSION_E_MEMORY);
  s->cot.ops = &cot_silent_ops;
  s->cot.role = opening->role;
  s->cot.channel = opening->channel;
  s->cot.heap = opening->heap;
  s->schedule = silent_schedule_start(params);
  s->directions[ROLE_CLIENT].sender = ROLE_CLIENT;
  prg_bytes(opening->prg, seed, sizeof seed);
  s->prg = prg_new(seed);
  FAIL_IF(!s->prg, FUSION_E_MEMORY);
  const struct cot_opening own = {
      .role = opening->role, .channel = opening->channel, .prg = s->prg, .keeping = opening->keeping};
  TRY(softspoken_begin_source(&s->opening, &s->cot.session, &own, MSG_SILENT, SILENT_FIELD_BITS));
  if (!opening->deferred) TRY(silent_complete(&s->cot));
  *out = &s->cot;
  s = NULL;
cleanup:
  mem_wipe(seed, sizeof seed);
  if (s) silent_close(&s->cot);
  return status;
}

static size_t iteration_memory(const struct silent_set *set) {
  return sizeof(block) * (silent_set_base(set) + set->trees);
}

static size_t batch_most(const struct silent_set *set, uint64_t expected) {
  const uint64_t needed = expected / silent_set_outputs(set) + 2;
  return expected && needed < set->batch ? (size_t)needed : set->batch;
}

/* One direction in a refill: a batch; the trees in use and those grown ahead, while their room becomes larger. */
static size_t direction_memory(const struct silent_set *set, uint64_t expected) {
  const size_t ahead = ahead_room(expected), smaller = size_min(ahead, SILENT_AHEAD_MAX / AHEAD_STEP);
  return iteration_memory(set) * batch_most(set, expected) + (2 * SILENT_UNIT_MAX + ahead + smaller) * sizeof(block);
}

/* What only one of them can have beside it, as the stock of the other is empty: what was left when it joined in. And
 * two groups that share a matrix: at the start of a refill what is used up or held back, at its end what is being put
 * side by side. */
static size_t joining_memory(const struct silent_set *set, uint64_t expected) {
  const size_t most = batch_most(set, expected), left = size_min(most, most / 2 + set->together);
  return iteration_memory(set) * (left + 2 * size_min(most, set->together));
}

/* The larger one of the set that begins and the one that follows. */
static size_t larger(size_t (*memory)(const struct silent_set *set, uint64_t expected), const struct silent_set *main,
                     uint64_t expected) {
  const size_t begun = memory(&silent_set_lan, expected);
  if (expected && expected <= silent_set_outputs(&silent_set_lan)) return begun;
  return size_max(begun, memory(main, expected));
}

size_t cot_silent_memory(const struct silent_params *params) {
  const struct silent_set *main = silent_schedule_start(params).main;
  const uint64_t server = params->expected_server_sends, client = params->expected_client_sends;
  return softspoken_memory(SILENT_FIELD_BITS) + larger(direction_memory, main, server) +
         larger(direction_memory, main, client) +
         size_max(larger(joining_memory, main, server), larger(joining_memory, main, client));
}
