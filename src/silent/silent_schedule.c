#include "silent/silent_schedule.h"

#include "base/block.h"

size_t silent_batch_max(const struct silent_set *set) {
  return size_max(1, SILENT_BATCH_LEN / (silent_set_base(set) * sizeof(block)));
}

struct silent_schedule silent_schedule_start(const struct silent_params *params) {
  const struct silent_supply first = {.set = &silent_set_lan, .next = 1};
  struct silent_schedule s = {.main = params->profile == SILENT_WAN ? &silent_set_wan : &silent_set_lan,
                              .supply = {first, first}};
  s.supply[ROLE_SERVER].expected = params->expected_server_sends;
  s.supply[ROLE_CLIENT].expected = params->expected_client_sends;
  return s;
}

void silent_schedule_joins(const struct silent_schedule *s, enum role empty, bool joins[2]) {
  const enum role other = role_peer(empty);
  const struct silent_supply *d = &s->supply[other];
  joins[empty] = true;
  joins[other] = d->expected > d->released &&
                 (!d->made || d->ready <= (uint64_t)silent_batch_max(d->made) * silent_set_outputs(d->made) / 2);
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

/* Chooses the next batch's set, after `fresh` outputs of the last one; returns how many iterations are wanted in all.
 */
static uint64_t want(struct silent_supply *d, const struct silent_set *main, uint64_t fresh) {
  const uint64_t total = d->released + fresh;
  /* Beyond the expectation: half of the present total, so that batches grow with what is taken. */
  const uint64_t aim = d->expected > d->released ? d->expected : total + total / 2;
  const uint64_t left = aim > total ? aim - total : 0;
  /* A large iteration pays when at least half of it will be used. */
  d->set = left >= silent_set_outputs(main) / 2 ? main : &silent_set_lan;
  const uint64_t base = silent_set_base(d->set), net = silent_set_outputs(d->set) - base;
  /* What the batch after the next will start from is lost too. */
  if (aim + base <= total) return 1;
  return (left + base + net - 1) / net;
}

void silent_schedule_refill(struct silent_schedule *s, const bool joins[2]) {
  uint64_t fresh[2] = {0, 0}, wanted[2] = {0, 0}, rounds = 1;
  for (int r = 0; r < 2; r++) {
    struct silent_supply *d = &s->supply[r];
    if (!joins[r]) continue;
    d->made = d->set;
    d->made_count = d->next;
    d->iterations += d->next;
    fresh[r] = (uint64_t)d->next * silent_set_outputs(d->made);
    wanted[r] = want(d, s->main, fresh[r]);
    const uint64_t most = silent_batch_max(d->set), needs = (wanted[r] + most - 1) / most;
    if (needs > rounds) rounds = needs;
  }
  for (int r = 0; r < 2; r++) {
    struct silent_supply *d = &s->supply[r];
    if (!joins[r]) continue;
    /* Parts of equal number in both directions, so that they go on running out together. */
    const size_t part = (size_t)((wanted[r] + rounds - 1) / rounds), base = silent_set_base(d->set);
    d->next = size_max(1, size_min(part, (size_t)(fresh[r] / base)));
    const uint64_t usable = fresh[r] - held_back(d->made, d->made_count, (uint64_t)d->next * base);
    d->ready += usable;
    d->released += usable;
  }
}
