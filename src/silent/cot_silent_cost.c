#include "silent/cot_silent_cost.h"

#include "ot/softspoken.h"
#include "silent/cot_silent.h"
#include "silent/silent.h"

/* SoftSpoken correlations for the directions that start from them, in one flight. */
static void begin_cost(struct cost *cost, const struct silent_schedule *s, const bool joins[2]) {
  const struct cost begun = *cost;
  uint32_t server = begun.depth_server, client = begun.depth_client;
  for (enum role sender = ROLE_SERVER; sender <= ROLE_CLIENT; sender++) {
    const struct silent_supply *d = &s->supply[sender];
    if (!joins[sender] || d->held) continue;
    if (sender == ROLE_SERVER && silent_schedule_early(s)) continue; /* since the opening */
    cost->depth_server = begun.depth_server;
    cost->depth_client = begun.depth_client;
    if (sender == ROLE_CLIENT && !d->made_count) softspoken_begin_cost(cost, SILENT_FIELD_BITS, sender);
    softspoken_extend_cost(cost, SILENT_FIELD_BITS, sender, d->next * silent_set_base(&d->set));
    if (cost->depth_server > server) server = cost->depth_server;
    if (cost->depth_client > client) client = cost->depth_client;
  }
  cost->depth_server = server;
  cost->depth_client = client;
}

static void refill_cost(struct cost *cost, struct silent_schedule *s, enum role empty) {
  bool joins[2];
  silent_schedule_joins(s, empty, joins);
  begin_cost(cost, s, joins);
  const struct silent_set *const sets[2] = {&s->supply[0].set, &s->supply[1].set};
  const size_t counts[2] = {joins[0] ? s->supply[0].next : 0, joins[1] ? s->supply[1].next : 0};
  silent_iterate_cost(cost, sets, counts);
  silent_schedule_refill(s, joins);
}

static void taken(struct cost_source *source, struct cost *cost, enum role sender, uint64_t count) {
  struct silent_schedule *schedule = &((struct cot_cost *)source)->schedule;
  struct silent_supply *d = &schedule->supply[sender];
  while (d->ready < count) {
    count -= d->ready;
    d->ready = 0;
    refill_cost(cost, schedule, sender);
  }
  d->ready -= count;
}

void cot_open_silent_cost(struct cost *cost, struct cot_cost *model, const struct silent_params *params) {
  *model = (struct cot_cost){.source.taken = taken, .schedule = silent_schedule_start(params)};
  cot_agree_session_cost(cost);
  softspoken_open_cost(cost, SILENT_FIELD_BITS);
  if (silent_schedule_early(&model->schedule)) {
    const struct silent_supply *d = &model->schedule.supply[ROLE_SERVER];
    softspoken_extend_cost(cost, SILENT_FIELD_BITS, ROLE_SERVER, d->next * silent_set_base(&d->set));
  }
  cost->source = &model->source;
}
