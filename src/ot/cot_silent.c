#include "ot/cot_silent.h"

#include <sodium.h>

#include "ot/silent.h"
#include "ot/softspoken.h"

/* One direction's stock. */
struct direction {
  struct silent_schedule schedule;
  block *base; /* silent_set_base(schedule.set) correlations for the next iteration; NULL before the first */
  size_t base_count;
  block *stock; /* outputs of the last iteration */
  size_t stock_count;
  size_t next; /* first of the stock not yet taken; all before are wiped */
  uint64_t iterations;
};

struct cot_silent {
  struct cot cot; /* first: a struct cot * is one of these */
  struct prg *prg;
  struct softspoken_sender *sender;
  struct softspoken_receiver *receiver;
  struct direction sends, receives;
  fusion_status failed; /* the first failure; nothing is handed out after it */
};

static enum role other(enum role role) {
  return role == ROLE_SERVER ? ROLE_CLIENT : ROLE_SERVER;
}

static void blocks_free(block **blocks, size_t count) {
  mem_free_secret(*blocks, count * sizeof(block));
  *blocks = NULL;
}

static void direction_close(struct direction *d) {
  blocks_free(&d->base, d->base_count);
  blocks_free(&d->stock, d->stock_count);
}

/* Holds back from the fresh stock what the next iteration starts from. */
static fusion_status hold_back(struct direction *d) {
  silent_schedule_step(&d->schedule);
  const size_t need = silent_set_base(d->schedule.set);
  if (need != d->base_count) {
    blocks_free(&d->base, d->base_count);
    d->base_count = 0;
    d->base = mem_alloc(need, sizeof(block));
    if (!d->base) return FUSION_E_MEMORY;
    d->base_count = need;
  }
  memcpy(d->base, d->stock, need * sizeof(block));
  mem_wipe(d->stock, need * sizeof(block));
  d->next = need;
  d->iterations++;
  return FUSION_OK;
}

static fusion_status refill(struct cot_silent *s, struct direction *d, bool sending) {
  const struct silent_set *set = d->schedule.set;
  const size_t outputs = silent_set_outputs(set);
  fusion_status status = FUSION_OK;
  const struct silent_iteration it = {.set = set,
                                      .channel = s->cot.channel,
                                      .prg = s->prg,
                                      .session = s->cot.session,
                                      .sender = sending ? s->cot.role : other(s->cot.role),
                                      .number = d->iterations};
  if (!d->base) {
    d->base = mem_alloc(silent_set_base(set), sizeof(block));
    FAIL_IF(!d->base, FUSION_E_MEMORY);
    d->base_count = silent_set_base(set);
    TRY(sending ? softspoken_send(s->sender, d->base, d->base_count)
                : softspoken_receive(s->receiver, d->base, d->base_count));
  }
  if (outputs != d->stock_count) {
    blocks_free(&d->stock, d->stock_count);
    d->stock_count = 0;
    d->stock = mem_alloc(outputs, sizeof(block));
    FAIL_IF(!d->stock, FUSION_E_MEMORY);
    d->stock_count = outputs;
  }
  d->next = outputs;
  TRY(sending ? silent_iterate_sender(&it, s->cot.delta, d->base, d->stock)
              : silent_iterate_receiver(&it, d->base, d->stock));
  TRY(hold_back(d));
cleanup:
  return status;
}

static fusion_status take(struct cot_silent *s, struct direction *d, bool sending, block *out, size_t count) {
  if (s->failed != FUSION_OK) return s->failed;
  for (;;) {
    const size_t n = size_min(count, d->stock_count - d->next);
    if (n) {
      memcpy(out, d->stock + d->next, n * sizeof(block));
      mem_wipe(d->stock + d->next, n * sizeof(block));
    }
    d->next += n;
    out += n;
    count -= n;
    if (!count) return FUSION_OK;
    s->failed = refill(s, d, sending);
    if (s->failed != FUSION_OK) return s->failed;
  }
}

static fusion_status take_sender(struct cot *c, block *keys, size_t count) {
  struct cot_silent *s = (struct cot_silent *)c;
  return take(s, &s->sends, true, keys, count);
}

static fusion_status take_receiver(struct cot *c, block *macs, size_t count) {
  struct cot_silent *s = (struct cot_silent *)c;
  return take(s, &s->receives, false, macs, count);
}

static void close_silent(struct cot *c) {
  struct cot_silent *s = (struct cot_silent *)c;
  if (!s) return;
  direction_close(&s->sends);
  direction_close(&s->receives);
  softspoken_sender_free(s->sender);
  softspoken_receiver_free(s->receiver);
  prg_free(s->prg);
  key_free(s);
}

/* The server's nonce goes first, so that a cheating server cannot choose the session number. */
static fusion_status agree_session(uint64_t *session, enum role role, struct channel *channel, struct prg *prg) {
  fusion_status status = FUSION_OK;
  static const uint8_t label[] = "fusion session number";
  uint8_t nonces[2 * COT_SILENT_NONCE_LEN], hash[16];
  uint8_t *const first = nonces, *const second = nonces + COT_SILENT_NONCE_LEN;
  prg_bytes(prg, role == ROLE_SERVER ? first : second, COT_SILENT_NONCE_LEN);
  if (role == ROLE_SERVER) {
    TRY(channel_send(channel, MSG_SILENT, first, COT_SILENT_NONCE_LEN));
    TRY(channel_recv(channel, MSG_SILENT, second, COT_SILENT_NONCE_LEN));
  } else {
    TRY(channel_recv(channel, MSG_SILENT, first, COT_SILENT_NONCE_LEN));
    TRY(channel_send(channel, MSG_SILENT, second, COT_SILENT_NONCE_LEN));
  }
  crypto_generichash(hash, sizeof hash, nonces, sizeof nonces, label, sizeof label);
  memcpy(session, hash, sizeof *session);
cleanup:
  return status;
}

fusion_status cot_open_silent(struct cot **out, enum role role, struct channel *channel, struct prg *prg,
                              const struct silent_params *params) {
  static const struct cot_ops ops = {.take_sender = take_sender, .take_receiver = take_receiver, .close = close_silent};
  fusion_status status = FUSION_OK;
  uint8_t seed[PRG_SEED_LEN];
  struct cot_silent *s = NULL;
  *out = NULL;
  FAIL_IF(params->profile != SILENT_LAN && params->profile != SILENT_WAN, FUSION_E_USAGE);
  s = key_alloc(sizeof *s);
  FAIL_IF(!s, FUSION_E_MEMORY);
  s->cot.ops = &ops;
  s->cot.role = role;
  s->cot.channel = channel;
  s->sends.schedule = silent_schedule_start(params, role);
  s->receives.schedule = silent_schedule_start(params, other(role));
  prg_bytes(prg, seed, sizeof seed);
  s->prg = prg_new(seed);
  FAIL_IF(!s->prg, FUSION_E_MEMORY);
  TRY(agree_session(&s->cot.session, role, channel, s->prg));
  const struct softspoken_setup setup = {
      .channel = channel, .prg = s->prg, .role = role, .session = s->cot.session, .field_bits = SOFTSPOKEN_FIELD_BITS};
  TRY(softspoken_open(&s->sender, &s->receiver, &setup));
  s->cot.delta = softspoken_delta(s->sender);
  *out = &s->cot;
  s = NULL;
cleanup:
  mem_wipe(seed, sizeof seed);
  if (s) close_silent(&s->cot);
  return status;
}
