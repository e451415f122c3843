#include "ot/cot_softspoken.h"

#include "ot/ot_messages.h"

const struct cot_softspoken_params cot_softspoken_usual = {0};

/* What is left of a direction's last chunk: blocks [SOFTSPOKEN_CHUNK - ready, SOFTSPOKEN_CHUNK). */
struct stock {
  block *blocks; /* secret */
  size_t ready;
  uint64_t expected, made; /* of the session, so far */
};

struct cot_softspoken {
  struct cot base;                    /* first: a struct cot * is one of these */
  struct softspoken_opening *opening; /* NULL: it is complete, or failed */
  struct softspoken_sender *sender;
  struct softspoken_receiver *receiver;
  bool begun_early;
  struct stock sending, receiving;
  fusion_status failed; /* the first failure; nothing is handed out after it */
};

static unsigned field_bits_of(const struct cot_softspoken_params *params) {
  return params->field_bits ? params->field_bits : SOFTSPOKEN_FIELD_BITS;
}

/* Of the next extension: a chunk, but no more than is still expected, in whole blocks of a plane. */
static size_t next_count(uint64_t expected, uint64_t made) {
  const uint64_t left = expected > made ? expected - made : SOFTSPOKEN_CHUNK;
  return left < SOFTSPOKEN_CHUNK ? div_up((size_t)left, 128) * 128 : SOFTSPOKEN_CHUNK;
}

static fusion_status extend(struct cot_softspoken *s, bool sends, block *out, size_t count) {
  struct stock *stock = sends ? &s->sending : &s->receiving;
  stock->made += count;
  return sends ? softspoken_send(s->sender, out, count) : softspoken_receive(s->receiver, out, count);
}

/* Whole extensions go where they are wanted, the last one through the stock. */
static fusion_status take(struct cot_softspoken *s, bool sends, block *out, size_t count) {
  fusion_status status = FUSION_OK;
  struct stock *stock = sends ? &s->sending : &s->receiving;
  assert(!s->opening);
  if (s->failed != FUSION_OK) return s->failed;
  while (count) {
    const size_t next = next_count(stock->expected, stock->made);
    if (!stock->ready && count >= next) {
      TRY(extend(s, sends, out, next));
      out += next;
      count -= next;
      continue;
    }
    if (!stock->ready) {
      TRY(extend(s, sends, stock->blocks + (SOFTSPOKEN_CHUNK - next), next));
      stock->ready = next;
    }
    const size_t n = size_min(count, stock->ready);
    block *from = stock->blocks + (SOFTSPOKEN_CHUNK - stock->ready);
    memcpy(out, from, n * sizeof *out);
    mem_wipe(from, n * sizeof *from);
    stock->ready -= n;
    out += n;
    count -= n;
  }
cleanup:
  s->failed = status;
  return status;
}

static fusion_status take_sender(struct cot *c, block *keys, size_t count) {
  return take((struct cot_softspoken *)c, true, keys, count);
}

static fusion_status take_receiver(struct cot *c, block *macs, size_t count) {
  return take((struct cot_softspoken *)c, false, macs, count);
}

static void stream_close(struct cot *c) {
  struct cot_softspoken *s = (struct cot_softspoken *)c;
  softspoken_opening_free(s->opening);
  softspoken_sender_free(s->sender);
  softspoken_receiver_free(s->receiver);
  mem_free_secret(s->sending.blocks, SOFTSPOKEN_CHUNK * sizeof(block));
  mem_free_secret(s->receiving.blocks, SOFTSPOKEN_CHUNK * sizeof(block));
  key_free(s);
}

/* A direction's first extension before its first take. */
static fusion_status begin_early(struct cot_softspoken *s, enum role sender) {
  const bool sends = s->base.role == sender;
  struct stock *stock = sends ? &s->sending : &s->receiving;
  const size_t next = next_count(stock->expected, stock->made);
  if (!s->begun_early || !stock->expected || stock->made) return FUSION_OK;
  const fusion_status status = extend(s, sends, stock->blocks + (SOFTSPOKEN_CHUNK - next), next);
  if (status == FUSION_OK) stock->ready = next;
  return status;
}

static fusion_status stream_begin(struct cot *c) {
  struct cot_softspoken *s = (struct cot_softspoken *)c;
  assert(!s->opening);
  if (s->failed == FUSION_OK) s->failed = begin_early(s, ROLE_CLIENT);
  return s->failed;
}

static fusion_status stream_complete(struct cot *c) {
  struct cot_softspoken *s = (struct cot_softspoken *)c;
  struct softspoken_opening *opening = s->opening;
  if (!opening) return s->failed;
  s->opening = NULL;
  s->failed = softspoken_complete_source(&s->sender, &s->receiver, opening);
  if (s->failed != FUSION_OK) return s->failed;
  c->delta = softspoken_delta(s->sender);
  return s->failed = begin_early(s, ROLE_SERVER);
}

fusion_status cot_open_softspoken(struct cot **out, const struct cot_opening *opening,
                                  const struct cot_softspoken_params *params) {
  static const struct cot_ops ops = {.take_sender = take_sender,
                                     .take_receiver = take_receiver,
                                     .complete = stream_complete,
                                     .begin = stream_begin,
                                     .close = stream_close};
  fusion_status status = FUSION_OK;
  struct cot_softspoken *s = key_alloc(sizeof *s);
  *out = NULL;
  FAIL_IF(!s, FUSION_E_MEMORY);
  s->base = (struct cot){.ops = &ops, .role = opening->role, .channel = opening->channel, .heap = opening->heap};
  s->begun_early = params->begun_early;
  s->sending.expected = params->expected[opening->role];
  s->receiving.expected = params->expected[role_peer(opening->role)];
  s->sending.blocks = mem_alloc(SOFTSPOKEN_CHUNK, sizeof(block));
  s->receiving.blocks = mem_alloc(SOFTSPOKEN_CHUNK, sizeof(block));
  FAIL_IF(!s->sending.blocks || !s->receiving.blocks, FUSION_E_MEMORY);
  TRY(softspoken_begin_source(&s->opening, &s->base.session, opening, MSG_OT_SESSION, field_bits_of(params)));
  if (!opening->deferred) TRY(stream_complete(&s->base));
  *out = &s->base;
  s = NULL;
cleanup:
  if (s) stream_close(&s->base);
  return status;
}

size_t cot_softspoken_memory(const struct cot_softspoken_params *params) {
  return softspoken_memory(field_bits_of(params)) + 2 * SOFTSPOKEN_CHUNK * sizeof(block);
}

/* Whole extensions on the way to `count` > 0 more. */
static uint64_t whole_chunks(const struct cot_softspoken_cost *model, enum role sender, uint64_t count) {
  const uint64_t expected = model->params.expected[sender], made = model->made[sender];
  const uint64_t most = count / SOFTSPOKEN_CHUNK;
  if (expected <= made) return most;
  const uint64_t whole = (expected - made) / SOFTSPOKEN_CHUNK; /* before the expectation cuts one short */
  return whole < most ? whole : most;
}

static bool begins_early(const struct cot_softspoken_cost *model, enum role sender) {
  return model->params.begun_early && model->params.expected[sender] && !model->made[sender];
}

static void early_cost(struct cot_softspoken_cost *model, struct cost *cost, enum role sender) {
  const unsigned field_bits = field_bits_of(&model->params);
  const size_t next = next_count(model->params.expected[sender], 0);
  if (sender == ROLE_CLIENT) softspoken_begin_cost(cost, field_bits, sender);
  model->begun = model->begun || sender == ROLE_CLIENT;
  softspoken_extend_cost(cost, field_bits, sender, next);
  model->made[sender] = model->ready[sender] = next;
}

/* By cot_begin(): it has waited for nothing since the opening. */
static void client_begins_cost(struct cot_softspoken_cost *model, struct cost *cost) {
  const uint32_t server = cost->depth_server, client = cost->depth_client;
  cost->depth_server = model->opened_server;
  cost->depth_client = model->opened_client;
  early_cost(model, cost, ROLE_CLIENT);
  if (cost->depth_server < server) cost->depth_server = server;
  if (cost->depth_client < client) cost->depth_client = client;
}

static void taken(struct cost_source *source, struct cost *cost, enum role sender, uint64_t count) {
  struct cot_softspoken_cost *model = (struct cot_softspoken_cost *)source;
  const unsigned field_bits = field_bits_of(&model->params);
  uint64_t *ready = &model->ready[sender], *made = &model->made[sender];
  if (sender == ROLE_CLIENT && begins_early(model, sender)) client_begins_cost(model, cost);
  while (*ready < count) {
    count -= *ready;
    /* All whole chunks at once, or the last. A prediction must not take time in proportion to a peer's numbers. */
    const uint64_t whole = whole_chunks(model, sender, count);
    const size_t next = whole ? (size_t)whole * SOFTSPOKEN_CHUNK : next_count(model->params.expected[sender], *made);
    if (sender == ROLE_CLIENT && !model->begun) softspoken_begin_cost(cost, field_bits, sender);
    model->begun = model->begun || sender == ROLE_CLIENT;
    softspoken_extend_cost(cost, field_bits, sender, next);
    *made += next;
    *ready = next;
  }
  *ready -= count;
}

void cot_open_softspoken_cost(struct cost *cost, struct cot_softspoken_cost *model,
                              const struct cot_softspoken_params *params) {
  *model = (struct cot_softspoken_cost){.source.taken = taken, .params = *params};
  softspoken_open_source_cost(cost, field_bits_of(params));
  if (begins_early(model, ROLE_SERVER)) early_cost(model, cost, ROLE_SERVER);
  model->opened_server = cost->depth_server;
  model->opened_client = cost->depth_client;
  cost->source = &model->source;
}
