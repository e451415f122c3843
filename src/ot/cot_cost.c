#include "ot/cot_cost.h"

#include "ot/cot_silent.h"
#include "ot/silent.h"
#include "ot/softspoken.h"

void cost_take_cots(struct cost *cost, enum role sender, uint64_t count) {
  struct cot_cost *model = cost->refill;
  if (sender == ROLE_SERVER) cost->cots_server_sends += count;
  if (sender == ROLE_CLIENT) cost->cots_client_sends += count;
  if (!model) return;
  uint64_t *ready = sender == ROLE_SERVER ? &model->server_sends.ready : &model->client_sends.ready;
  uint64_t *refills = sender == ROLE_SERVER ? &model->server_sends.refills : &model->client_sends.refills;
  struct silent_schedule *schedule =
      sender == ROLE_SERVER ? &model->server_sends.schedule : &model->client_sends.schedule;
  while (*ready < count) {
    count -= *ready;
    if (*refills == 0) {
      softspoken_extend_cost(cost, SOFTSPOKEN_FIELD_BITS, sender, silent_set_base(schedule->set));
    }
    silent_iterate_cost(cost, schedule->set, sender);
    *ready = silent_schedule_step(schedule);
    ++*refills;
  }
  *ready -= count;
}

void cot_open_silent_cost(struct cost *cost, struct cot_cost *model, const struct silent_params *params) {
  *model = (struct cot_cost){.server_sends.schedule = silent_schedule_start(params, ROLE_SERVER),
                             .client_sends.schedule = silent_schedule_start(params, ROLE_CLIENT)};
  cost_to_client(cost, COT_SILENT_NONCE_LEN);
  cost_to_server(cost, COT_SILENT_NONCE_LEN);
  softspoken_open_cost(cost, SOFTSPOKEN_FIELD_BITS, true, true);
  cost->refill = model;
}
