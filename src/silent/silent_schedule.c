#include "silent/silent_schedule.h"

#include "base/block.h"

enum {
  TREES_MIN = 128, /* an iteration of fewer would hardly yield what it starts from */
  /* What rounding to whole trees of all iterations that share a matrix may cost a batch. */
  ROUNDING = 1 << 12,
};

/* The set with as many trees as `count` of its iterations need to yield so much: at least TREES_MIN, at most all. */
static struct silent_set yielding(const struct silent_set *set, uint64_t outputs, uint64_t count) {
  struct silent_set s = *set;
  const uint64_t unit = count << s.depth, trees = (outputs + unit - 1) / unit;
  if (trees < s.trees) s.trees = trees < TREES_MIN ? TREES_MIN : (uint32_t)trees;
  return s;
}

/* The same to yield so much more than they start from. */
static struct silent_set gaining(const struct silent_set *set, uint64_t outputs, uint64_t count) {
  const uint64_t fixed = silent_set_k(set) + SILENT_CHECK_COTS, leaves = UINT64_C(1) << set->depth;
  const uint64_t gain = leaves - set->depth, each = (outputs + count - 1) / count + fixed;
  return yielding(set, (each + gain - 1) / gain * leaves * count, count);
}

/* Whole iterations that yield so much. */
static uint64_t iterations_for(const struct silent_set *set, uint64_t yield) {
  const uint64_t outputs = silent_set_outputs(set);
  return (yield + outputs - 1) / outputs;
}

/* A batch that starts from SoftSpoken. */
static void begin(const struct silent_schedule *s, struct silent_supply *d) {
  const uint64_t left = d->expected > d->released ? d->expected - d->released : 0;
  const uint64_t count = iterations_for(&silent_set_lan, left);
  d->held = false;
  d->next = 1;
  d->set = silent_set_lan;
  if (!left) return; /* any number */
  if (count <= s->begun_together) {
    d->next = (size_t)count;
    d->set = yielding(&silent_set_lan, left, count);
    return;
  }
  /* What is left is made in the next batch, if this one can yield what that starts from. */
  const uint64_t behind = iterations_for(s->main, left + ROUNDING);
  const struct silent_set main = yielding(s->main, left + ROUNDING, behind);
  d->set = yielding(&silent_set_lan, behind * silent_set_base(&main), 1);
}

struct silent_schedule silent_schedule_start(const struct silent_params *params) {
  const bool wan = params->profile == SILENT_WAN;
  struct silent_schedule s = {.main = wan ? &silent_set_wan : &silent_set_lan,
                              .begun_together = wan ? 1 : 2,
                              .begun_early = params->begun_early};
  s.supply[ROLE_SERVER].expected = params->expected_server_sends;
  s.supply[ROLE_CLIENT].expected = params->expected_client_sends;
  for (int r = 0; r < 2; r++) begin(&s, &s.supply[r]);
  return s;
}

bool silent_schedule_early(const struct silent_schedule *s, enum role sender) {
  const struct silent_supply *d = &s->supply[sender];
  return d->expected > 0 && !d->made_count && (sender == ROLE_SERVER || s->begun_early);
}

void silent_schedule_joins(const struct silent_schedule *s, enum role empty, bool joins[2]) {
  const enum role other = role_peer(empty);
  const struct silent_supply *d = &s->supply[other];
  joins[empty] = true;
  joins[other] = d->expected > d->released && d->ready <= (uint64_t)s->main->batch * silent_set_outputs(s->main) / 2;
}

size_t silent_group_size(const struct silent_set *set, size_t first, size_t count) {
  return size_min(set->together, count - first);
}

/* What holding back `need` correlations of a batch takes: from its end, a tree of each iteration of a group at once. */
static uint64_t held_back(const struct silent_set *set, size_t count, uint64_t need) {
  uint64_t held = 0;
  for (size_t first = (count - 1) / set->together * set->together; held < need; first -= set->together) {
    const uint64_t unit = (uint64_t)silent_group_size(set, first, count) << set->depth;
    const uint64_t trees = (need - held + unit - 1) / unit;
    held += unit * (trees < set->trees ? trees : set->trees);
    assert(held >= need || first);
  }
  return held;
}

size_t silent_groups_left(const struct silent_set *set, size_t count, uint64_t need) {
  size_t groups = (count + set->together - 1) / set->together;
  for (; groups && need; groups--) {
    const uint64_t unit = (uint64_t)silent_group_size(set, (groups - 1) * set->together, count) << set->depth;
    if ((need + unit - 1) / unit < set->trees) break;
    need -= need < unit * set->trees ? need : unit * set->trees;
  }
  return groups;
}

/* What a direction will still want after the batch at hand, of `fresh` outputs, is there. */
static uint64_t wanted(const struct silent_supply *d, uint64_t fresh) {
  const uint64_t total = d->released + fresh;
  /* Beyond the expectation: three quarters of the present total, so that batches grow with what is taken. */
  const uint64_t aim = d->expected > d->released ? d->expected : total + total / 4 * 3;
  return aim > total ? aim - total + ROUNDING : 0;
}

/* The set that makes `left` more: the profile's, unless that starts from more than it is to make. */
static const struct silent_set *suited(const struct silent_schedule *s, uint64_t left) {
  return left >= silent_set_k(s->main) ? s->main : &silent_set_lan;
}

static uint64_t rounds_of(const struct silent_set *set, uint64_t left) {
  const uint64_t net = silent_set_outputs(set) - silent_set_base(set), most = set->batch;
  return ((left + net - 1) / net + most - 1) / most;
}

/* The batch behind one of `fresh` outputs: one of `rounds`, of equal size. */
static void follow(const struct silent_schedule *s, struct silent_supply *d, uint64_t fresh, uint64_t left,
                   uint64_t rounds) {
  const struct silent_set *set = suited(s, left);
  const uint64_t net = silent_set_outputs(set) - silent_set_base(set), count = (left + net - 1) / net;
  uint64_t part = (count + rounds - 1) / rounds;
  d->set = gaining(set, left, part * rounds);
  if (part * silent_set_base(&d->set) > fresh) {
    d->set = *set;
    part = fresh / silent_set_base(set);
  }
  d->next = (size_t)part;
  d->held = part > 0;
}

void silent_schedule_refill(struct silent_schedule *s, const bool joins[2]) {
  uint64_t fresh[2] = {0, 0}, left[2] = {0, 0}, rounds = 1;
  for (int r = 0; r < 2; r++) {
    struct silent_supply *d = &s->supply[r];
    if (!joins[r]) continue;
    d->made = d->set;
    d->made_count = d->next;
    d->iterations += d->next;
    fresh[r] = (uint64_t)d->next * silent_set_outputs(&d->made);
    left[r] = wanted(d, fresh[r]);
    const uint64_t needs = rounds_of(suited(s, left[r]), left[r]);
    if (needs > rounds) rounds = needs;
  }
  for (int r = 0; r < 2; r++) {
    struct silent_supply *d = &s->supply[r];
    if (!joins[r]) continue;
    uint64_t usable = fresh[r];
    d->held = false;
    /* Parts of equal number in both directions, so that they go on running out together. */
    if (left[r]) follow(s, d, fresh[r], left[r], rounds);
    if (d->held) usable -= held_back(&d->made, d->made_count, silent_supply_base(d));
    d->ready += usable;
    d->released += usable;
    if (!d->held) begin(s, d);
  }
}
