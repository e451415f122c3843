#include "support/dealer.h"

#include "rand/prg.h"

/* One stream of blocks a direction, the same at both ends: a block is a key with the choice bit in the place of the
 * key's least significant bit, which is 0. */
struct dealer {
  struct cot cot;
  struct prg *server_sends, *client_sends;
  block server_delta, client_delta;
};

static block draw_delta(struct prg *g) {
  block delta;
  prg_bytes(g, &delta, sizeof delta);
  delta.lo |= 1;
  return delta;
}

static void draw(struct prg *g, block *out, size_t count) {
  prg_bytes(g, out, count * sizeof *out);
}

static fusion_status take_sender(struct cot *c, block *keys, size_t count) {
  struct dealer *d = (struct dealer *)c;
  draw(c->role == ROLE_SERVER ? d->server_sends : d->client_sends, keys, count);
  for (size_t i = 0; i < count; i++) keys[i].lo &= ~(uint64_t)1;
  return FUSION_OK;
}

static fusion_status take_receiver(struct cot *c, block *macs, size_t count) {
  struct dealer *d = (struct dealer *)c;
  const block delta = c->role == ROLE_SERVER ? d->client_delta : d->server_delta;
  draw(c->role == ROLE_SERVER ? d->client_sends : d->server_sends, macs, count);
  for (size_t i = 0; i < count; i++) {
    const uint64_t choice = block_lsb_mask(macs[i]);
    macs[i].lo &= ~(uint64_t)1;
    macs[i] = block_xor(macs[i], block_and_mask(delta, choice));
  }
  return FUSION_OK;
}

static void close_dealer(struct cot *c) {
  struct dealer *d = (struct dealer *)c;
  prg_free(d->server_sends);
  prg_free(d->client_sends);
  mem_free_secret(d, sizeof *d);
}

static const struct cot_ops dealer_ops = {
    .take_sender = take_sender, .take_receiver = take_receiver, .close = close_dealer};

fusion_status dealer_open(struct cot **out, enum role role, struct channel *channel, uint64_t seed) {
  uint8_t bytes[PRG_SEED_LEN] = {0};
  memcpy(bytes, &seed, sizeof seed);
  struct dealer *d = mem_alloc(1, sizeof *d);
  if (!d) return FUSION_E_MEMORY;
  struct prg *root = prg_new(bytes);
  if (root) {
    d->server_sends = prg_fork(root, "server sends", 0);
    d->client_sends = prg_fork(root, "client sends", 0);
  }
  prg_free(root);
  d->cot = (struct cot){.ops = &dealer_ops, .role = role, .channel = channel, .session = seed};
  if (!d->server_sends || !d->client_sends) {
    close_dealer(&d->cot);
    return FUSION_E_MEMORY;
  }
  d->server_delta = draw_delta(d->server_sends);
  d->client_delta = draw_delta(d->client_sends);
  d->cot.delta = role == ROLE_SERVER ? d->server_delta : d->client_delta;
  *out = &d->cot;
  return FUSION_OK;
}
