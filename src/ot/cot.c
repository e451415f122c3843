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

bool cot_work_ahead(struct cot *c) {
  return c->ops->work_ahead && c->ops->work_ahead(c);
}

void cot_postpone_check(struct cot *c) {
  if (c->ops->postpone_check) c->ops->postpone_check(c);
}

fusion_status cot_settle_check(struct cot *c) {
  return c->ops->settle_check ? c->ops->settle_check(c) : FUSION_OK;
}

/* The low 56 bits of the session, then a byte of which the direction takes one bit; the others stay free. */
uint64_t cot_domain(const struct cot *c, enum role sender) {
  return c->session << 8 | (uint64_t)(sender == ROLE_CLIENT);
}

fusion_status cot_complete(struct cot *c) {
  return c->ops->complete ? c->ops->complete(c) : FUSION_OK;
}

fusion_status cot_begin(struct cot *c) {
  return c->ops->begin ? c->ops->begin(c) : FUSION_OK;
}

void cot_close(struct cot *c) {
  if (c) c->ops->close(c);
}

void cost_take_cots(struct cost *cost, enum role sender, uint64_t count) {
  if (sender == ROLE_SERVER) cost->cots_server_sends += count;
  if (sender == ROLE_CLIENT) cost->cots_client_sends += count;
  if (cost->source) cost->source->taken(cost->source, cost, sender, count);
}

void cost_postpone_check(struct cost *cost) {
  if (cost->source && cost->source->postponed) cost->source->postponed(cost->source);
}

void cost_settle_check(struct cost *cost) {
  if (cost->source && cost->source->settled) cost->source->settled(cost->source, cost);
}

static uint64_t hash_nonces(const uint8_t *nonces, size_t len, const char *label) {
  uint8_t hash[16];
  uint64_t number;
  crypto_generichash(hash, sizeof hash, nonces, len, (const uint8_t *)label, strlen(label));
  memcpy(&number, hash, sizeof number);
  return number;
}

fusion_status cot_session_begin(struct cot_session *s, uint64_t *begun, enum role role, struct channel *channel,
                                struct prg *prg, message_type type) {
  fusion_status status = FUSION_OK;
  *s = (struct cot_session){.channel = channel, .role = role, .type = type};
  uint8_t *const own = s->nonces + (role == ROLE_SERVER ? 0 : COT_NONCE_LEN);
  prg_bytes(prg, own, COT_NONCE_LEN);
  secret_declassify(own, COT_NONCE_LEN, "a nonce");
  if (role == ROLE_SERVER) {
    TRY(channel_send(channel, type, own, COT_NONCE_LEN));
    TRY(channel_flush(channel)); /* the client begins its part of the base OTs while the server does */
  } else {
    TRY(channel_recv(channel, type, s->nonces, COT_NONCE_LEN));
  }
  *begun = hash_nonces(s->nonces, COT_NONCE_LEN, "fusion server nonce");
cleanup:
  return status;
}

fusion_status cot_session_agree(struct cot_session *s, uint64_t *session) {
  fusion_status status = FUSION_OK;
  uint8_t *const second = s->nonces + COT_NONCE_LEN;
  if (s->role == ROLE_SERVER)
    TRY(channel_recv(s->channel, s->type, second, COT_NONCE_LEN));
  else
    TRY(channel_send(s->channel, s->type, second, COT_NONCE_LEN));
  *session = hash_nonces(s->nonces, sizeof s->nonces, "fusion session number");
cleanup:
  return status;
}
