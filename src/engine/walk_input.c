/* The beginning of a run: the shares of the input. */
#include "base/bits.h"
#include "base/secret.h"
#include "engine/engine_messages.h"
#include "engine/walk.h"

static size_t input_count(const struct engine_layout *layout, size_t samples) {
  return samples * shape_size(layout->program->steps[0].out.shape);
}

/* The client's share ahead of the input, and online again: `count` numbers from a seed. */
static fusion_status expand_share(uint64_t *share, const uint8_t seed[PRG_SEED_LEN], size_t count, unsigned bits) {
  struct prg *g = prg_new(seed);
  if (!g) return FUSION_E_MEMORY;
  prg_ring(g, share, count, bits);
  prg_free(g);
  return FUSION_OK;
}

static fusion_status draw_share(struct walk *w, size_t count, unsigned bits) {
  const struct engine_party *p = &w->session->party;
  uint8_t seed[PRG_SEED_LEN];
  prg_bytes(p->prg, seed, sizeof seed);
  fusion_status status = stream_write(p->stream, seed, sizeof seed);
  if (status == FUSION_OK) status = expand_share(w->shares[0], seed, count, bits);
  mem_wipe(seed, sizeof seed);
  return status;
}

/** The input less the client's share, which is uniform and serves once: it tells the server nothing. */
static fusion_status send_input(struct walk *w, const int64_t *inputs, size_t count, unsigned bits) {
  const struct engine_party *p = &w->session->party;
  uint64_t *share = w->shares[0];
  uint8_t seed[PRG_SEED_LEN];
  fusion_status status;
  const size_t len = bits_len(count, bits);
  uint8_t *packed = mem_alloc(len, 1);
  FAIL_IF(!packed, FUSION_E_MEMORY);
  TRY(stream_read(p->stream, seed, sizeof seed));
  TRY(expand_share(share, seed, count, bits));
  for (size_t i = 0; i < count; i++) share[i] = ((uint64_t)inputs[i] - share[i]) & low_mask(bits);
  bits_pack(packed, share, count, bits);
  secret_declassify(packed, len, "the input less a uniform share that serves once");
  TRY(channel_send(p->channel, MSG_INPUT, packed, len));
  TRY(channel_flush(p->channel));
cleanup:
  mem_wipe(seed, sizeof seed);
  mem_free(packed);
  return status;
}

static fusion_status receive_input(struct walk *w, size_t count, unsigned bits) {
  const size_t len = bits_len(count, bits);
  uint8_t *packed = mem_alloc(len, 1);
  if (!packed) return FUSION_E_MEMORY;
  const fusion_status status = channel_recv(w->session->party.channel, MSG_INPUT, packed, len);
  bits_unpack(w->shares[0], packed, count, bits);
  mem_free(packed);
  return status;
}

fusion_status walk_input(struct walk *w, const struct walk_call *call) {
  const struct engine_session *s = w->session;
  const unsigned bits = s->layout.program->steps[0].out.ring_bits;
  const size_t count = input_count(&s->layout, call->samples);
  const bool client = s->party.role == ROLE_CLIENT;
  if (s->layout.phase == ENGINE_ONLINE && !engine_takes_input(&s->layout))
    return client ? send_input(w, call->inputs, count, bits) : receive_input(w, count, bits);
  if (!client) return FUSION_OK;
  if (s->layout.phase == ENGINE_AHEAD) return draw_share(w, count, bits);
  for (size_t i = 0; i < count; i++) w->shares[0][i] = (uint64_t)call->inputs[i] & low_mask(bits);
  return FUSION_OK;
}

void walk_input_cost(struct cost *cost, const struct engine_layout *layout, size_t samples) {
  if (engine_takes_input(layout)) return;
  if (layout->phase == ENGINE_AHEAD) cost->prepared_client += PRG_SEED_LEN;
  if (layout->phase == ENGINE_ONLINE)
    cost_to_server(cost, bits_len(input_count(layout, samples), layout->program->steps[0].out.ring_bits));
  layout->engine->begin_cost(layout, cost);
}
