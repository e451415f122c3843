#include "ot/cot_cost.h"

void cost_take_cots(struct cost *cost, enum role sender, uint64_t count) {
  if (sender == ROLE_SERVER) cost->cots_server_sends += count;
  if (sender == ROLE_CLIENT) cost->cots_client_sends += count;
}
