#include "ot/cot.h"

#include <sodium.h>

#include "base/secret.h"

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

fusion_status cot_agree_session(uint64_t *session, enum role role, struct channel *channel, struct prg *prg,
                                message_type type) {
  fusion_status status = FUSION_OK;
  static const uint8_t label[] = "fusion session number";
  uint8_t nonces[2 * COT_NONCE_LEN], hash[16];
  uint8_t *const first = nonces, *const second = nonces + COT_NONCE_LEN;
  prg_bytes(prg, role == ROLE_SERVER ? first : second, COT_NONCE_LEN);
  secret_declassify(role == ROLE_SERVER ? first : second, COT_NONCE_LEN, "a nonce");
  if (role == ROLE_SERVER) {
    TRY(channel_send(channel, type, first, COT_NONCE_LEN));
    TRY(channel_recv(channel, type, second, COT_NONCE_LEN));
  } else {
    TRY(channel_recv(channel, type, first, COT_NONCE_LEN));
    TRY(channel_send(channel, type, second, COT_NONCE_LEN));
    TRY(channel_flush(channel)); /* the server begins its part of the base OTs while the client does */
  }
  crypto_generichash(hash, sizeof hash, nonces, sizeof nonces, label, sizeof label);
  memcpy(session, hash, sizeof *session);
cleanup:
  return status;
}

void cot_agree_session_cost(struct cost *cost) {
  cost_to_client(cost, COT_NONCE_LEN);
  cost_to_server(cost, COT_NONCE_LEN);
}
