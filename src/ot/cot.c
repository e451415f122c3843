#include "ot/cot.h"

/* The index counts what was taken, whether or not the taking went well: a tweak is never used twice. */
fusion_status cot_take_sender(struct cot *c, block *keys, size_t count, uint64_t *first_index) {
  if (first_index) *first_index = c->sent;
  c->sent += count;
  return c->ops->take_sender(c, keys, count);
}

fusion_status cot_take_receiver(struct cot *c, block *macs, size_t count, uint64_t *first_index) {
  if (first_index) *first_index = c->received;
  c->received += count;
  return c->ops->take_receiver(c, macs, count);
}

/* The low 56 bits of the session, then a byte of which the direction takes one bit; the others stay free. */
uint64_t cot_domain(const struct cot *c, enum role sender) {
  return c->session << 8 | (uint64_t)(sender == ROLE_CLIENT);
}

void cot_close(struct cot *c) {
  if (c) c->ops->close(c);
}

void cost_take_cots(struct cost *cost, enum role sender, uint64_t count) {
  if (sender == ROLE_SERVER) cost->cots_server_sends += count;
  if (sender == ROLE_CLIENT) cost->cots_client_sends += count;
  if (cost->source) cost->source->taken(cost->source, cost, sender, count);
}
