#include "silent/cot_silent_cost.h"

#include "ot/softspoken.h"
#include "silent/cot_silent.h"
#include "silent/silent.h"

/* SoftSpoken correlations for the directions that start from them, in one flight. Those of the client that were made
 * early have waited for nothing since the opening. */
static void begin_cost(struct cost *cost, const struct cot_cost *model, const bool joins[2]) {
  const struct silent_schedule *s = &model->schedule;
  const struct cost begun = *cost;
  uint32_t server = begun.depth_server, client = begun.depth_client;
  for (enum role sender = ROLE_SERVER; sender <= ROLE_CLIENT; sender++) {
    const struct silent_supply *d = &s->supply[sender];
    if (!joins[sender] || d->held) continue;
    const bool early = silent_schedule_early(s, sender);
    if (early && sender == ROLE_SERVER) continue; /* declared by the opening */
    cost->depth_server = early ? model->opened_server : begun.depth_server;
    cost->depth_client = early ? model->opened_client : begun.depth_client;
    if (sender == ROLE_CLIENT && !d->made_count) softspoken_begin_cost(cost, SILENT_FIELD_BITS, sender);
    softspoken_extend_cost(cost, SILENT_FIELD_BITS, sender, silent_supply_base(d));
    if (cost->depth_server > server) server = cost->depth_server;
    if (cost->depth_client > client) client = cost->depth_client;
  }
  cost->depth_server = server;
  cost->depth_client = client;
}

static void settle_cost(struct cost *cost, struct cot_cost *model) {
  silent_settle_cost(cost, &model->settled);
  model->settled = (struct silent_settled){0};
}

static void refill_cost(struct cost *cost, struct cot_cost *model, enum role empty) {
  struct silent_schedule *s = &model->schedule;
  bool joins[2];
  settle_cost(cost, model);
  silent_schedule_joins(s, empty, joins);
  begin_cost(cost, model, joins);
  struct silent_part parts[2];
  for (int r = 0; r < 2; r++) {
    const struct silent_supply *d = &s->supply[r];
    parts[r] = (struct silent_part){.set = &d->set, .count = joins[r] ? d->next : 0, .chained = d->held};
  }
  silent_iterate_cost(cost, parts, &model->settled);
  if (!model->postponed) settle_cost(cost, model);
  silent_schedule_refill(s, joins);
}

/* What a direction's last batch leaves in a stock, at either party. */
static void keep_batch(struct cost *cost, const struct silent_supply *d, enum role sender) {
  const struct silent_set *set = &d->made;
  const uint64_t held = d->held ? silent_supply_base(d) : 0;
  const size_t groups = silent_groups_left(set, d->made_count, held);
  for (size_t g = 0; g < groups; g++) {
    const size_t members = silent_group_size(set, g * set->together, d->made_count);
    cost->prepared_server += SILENT_STORE_HEAD_LEN + silent_harvest_len(set, members, sender == ROLE_SERVER);
    cost->prepared_client += SILENT_STORE_HEAD_LEN + silent_harvest_len(set, members, sender == ROLE_CLIENT);
  }
}

void cot_silent_fill_cost(struct cost *cost, struct cot_cost *model, const uint64_t counts[2]) {
  struct silent_schedule *s = &model->schedule;
  for (enum role sender = ROLE_SERVER; sender <= ROLE_CLIENT; sender++)
    while (s->supply[sender].ready < counts[sender]) {
      bool joins[2];
      silent_schedule_joins(s, sender, joins);
      refill_cost(cost, model, sender);
      for (enum role r = ROLE_SERVER; r <= ROLE_CLIENT; r++)
        if (joins[r]) keep_batch(cost, &s->supply[r], r);
    }
}

static void taken(struct cost_source *source, struct cost *cost, enum role sender, uint64_t count) {
  struct cot_cost *model = (struct cot_cost *)source;
  struct silent_supply *d = &model->schedule.supply[sender];
  while (d->ready < count) {
    count -= d->ready;
    d->ready = 0;
    refill_cost(cost, model, sender);
  }
  d->ready -= count;
}

static void postponed(struct cost_source *source) {
  ((struct cot_cost *)source)->postponed = true;
}

static void settled(struct cost_source *source, struct cost *cost) {
  struct cot_cost *model = (struct cot_cost *)source;
  model->postponed = false;
  settle_cost(cost, model);
}

void cot_open_silent_cost(struct cost *cost, struct cot_cost *model, const struct silent_params *params) {
  *model = (struct cot_cost){.source = {.taken = taken, .postponed = postponed, .settled = settled},
                             .schedule = silent_schedule_start(params)};
  softspoken_open_source_cost(cost, SILENT_FIELD_BITS);
  if (silent_schedule_early(&model->schedule, ROLE_SERVER)) {
    const struct silent_supply *d = &model->schedule.supply[ROLE_SERVER];
    softspoken_extend_cost(cost, SILENT_FIELD_BITS, ROLE_SERVER, silent_supply_base(d));
  }
  model->opened_server = cost->depth_server;
  model->opened_client = cost->depth_client;
  cost->source = &model->source;
}

/* What making correlations takes, in units of a price. */
struct making {
  double bases, grown, rows;
};

/* Of a correlation, the part that is not its row of the code: three growths of its tree, and the check. A row of `wan`,
 * in those of `lan`. Fitted to runs of 0.3 to 12.5 million correlations (Zen 3, VAES and AVX2). */
static const double beside_rows = 0.35, wan_row = 0.4;

static void add_batch(struct making *m, const struct silent_supply *d) {
  const struct silent_set *set = &d->set;
  const double outputs = (double)silent_set_outputs(set), iterations = (double)d->next;
  if (!d->held) m->bases += iterations * (double)silent_set_base(set);
  if (set->depth == silent_set_wan.depth) {
    m->grown += beside_rows * iterations * outputs;
    m->rows += wan_row * iterations * outputs;
    return;
  }
  for (size_t first = 0; first < d->next; first += set->together) {
    const size_t members = silent_group_size(set, first, d->next);
    m->grown += (members > 1 ? beside_rows : 1) * (double)members * outputs;
    m->rows += members > 1 ? outputs : 0;
  }
}

double cot_silent_price(const struct silent_params *params, double base, double grown, double row) {
  enum { BATCHES = 64 }; /* the next ones are alike */
  struct silent_schedule s = silent_schedule_start(params);
  struct making m = {0};
  struct silent_supply *const server = &s.supply[ROLE_SERVER], *const client = &s.supply[ROLE_CLIENT];
  for (size_t i = 0; i < BATCHES; i++) {
    const bool wants[2] = {server->released < server->expected, client->released < client->expected};
    bool joins[2];
    if (!wants[0] && !wants[1]) break;
    silent_schedule_joins(&s, wants[ROLE_SERVER] ? ROLE_SERVER : ROLE_CLIENT, joins);
    for (int r = 0; r < 2; r++)
      if (joins[r]) add_batch(&m, &s.supply[r]);
    silent_schedule_refill(&s, joins);
    server->ready = client->ready = 0; /* all of it is taken */
  }
  uint64_t used = 0;
  for (int r = 0; r < 2; r++)
    used += s.supply[r].released < s.supply[r].expected ? s.supply[r].released : s.supply[r].expected;
  return used ? (m.bases * base + m.grown * grown + m.rows * row) / (double)used : grown;
}
