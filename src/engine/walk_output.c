/* The end of a run: the answers are selected on shares and opened to the client. */
#include "base/bits.h"
#include "base/secret.h"
#include "engine/engine_messages.h"
#include "engine/walk.h"

struct output_shares output_layout(const struct program *program, size_t samples) {
  const struct program_tensor *last = &program->steps[program->count - 1].out;
  if (program->output == OUTPUT_LOGITS)
    return (struct output_shares){.first_count = samples * shape_size(last->shape), .first_bits = last->ring_bits};
  const unsigned index_bits = log2_up(shape_size(last->shape));
  const size_t count = samples * program_winners(program);
  return (struct output_shares){.first_count = count,
                                .first_bits = index_bits ? index_bits : 1,
                                .second_count = program->output == OUTPUT_TOP_K ? count : 0,
                                .second_bits = last->ring_bits};
}

size_t output_len(const struct output_shares *o) {
  return bits_len(o->first_count, o->first_bits) + bits_len(o->second_count, o->second_bits);
}

/* Moves the last tensor into *o, or runs the selection of its largest. */
static fusion_status output_select(struct walk *w, struct output_shares *o) {
  struct engine_session *s = w->session;
  const struct program *program = s->layout.program;
  const uint32_t last = program->count - 1;
  if (program->output == OUTPUT_LOGITS) {
    o->first = w->shares[last];
    w->shares[last] = NULL;
    return FUSION_OK;
  }
  o->first = heap_take(s->party.heap, o->first_count, sizeof *o->first);
  o->second = heap_take(s->party.heap, o->second_count, sizeof *o->second);
  if (!o->first || !o->second) return FUSION_E_MEMORY;
  const uint64_t *const inputs[] = {w->shares[last]};
  const struct gate_call call = {.party = &s->party,
                                 .number = last,
                                 .samples = w->samples,
                                 .inputs = inputs,
                                 .out = o->first,
                                 .values = o->second_count ? o->second : NULL};
  return s->layout.engine->gates[GATE_TOP_K].run(s->state, &call);
}

static void output_free(struct heap *heap, struct output_shares *o) {
  heap_give(heap, o->first, o->first_count * sizeof *o->first);
  heap_give(heap, o->second, o->second_count * sizeof *o->second);
}

/** Opens the answers to the client alone: the server sends its share, the client nothing. The shares come from an exact
 *  truncation or selection, so the server's share is the answer minus the client's own uniform share: the client learns
 *  the answer and nothing else of the weights. */
static fusion_status output_send(struct channel *channel, const struct output_shares *o) {
  const size_t len = output_len(o);
  uint8_t *packed = mem_alloc(len, 1);
  if (!packed) return FUSION_E_MEMORY;
  bits_pack(packed, o->first, o->first_count, o->first_bits);
  bits_pack(packed + bits_len(o->first_count, o->first_bits), o->second, o->second_count, o->second_bits);
  secret_declassify(packed, len, "the server's share of the answers opens them to the client");
  fusion_status status = channel_send(channel, MSG_OUTPUT, packed, len);
  if (status == FUSION_OK) status = channel_flush(channel);
  mem_free(packed);
  return status;
}

static void open_values(int64_t *answers, size_t stride, const uint64_t *mine, const uint64_t *theirs, size_t count,
                        unsigned bits, bool is_signed) {
  for (size_t i = 0; i < count; i++) {
    const uint64_t v = (mine[i] + theirs[i]) & low_mask(bits);
    answers[i * stride] = is_signed ? ring_signed(v, bits) : (int64_t)v;
  }
}

static fusion_status output_receive(struct channel *channel, const struct output_shares *o, bool logits,
                                    int64_t *answers) {
  fusion_status status;
  const size_t len = output_len(o), stride = o->second_count ? 2 : 1;
  uint8_t *packed = mem_alloc(len, 1);
  uint64_t *theirs = mem_alloc(o->first_count, sizeof *theirs);
  FAIL_IF(!packed || !theirs, FUSION_E_MEMORY);
  TRY(channel_recv(channel, MSG_OUTPUT, packed, len));
  bits_unpack(theirs, packed, o->first_count, o->first_bits);
  open_values(answers, stride, o->first, theirs, o->first_count, o->first_bits, logits);
  bits_unpack(theirs, packed + bits_len(o->first_count, o->first_bits), o->second_count, o->second_bits);
  open_values(answers + 1, stride, o->second, theirs, o->second_count, o->second_bits, true);
cleanup:
  mem_free(packed);
  mem_free_secret(theirs, o->first_count * sizeof *theirs);
  return status;
}

/* The client's shares of the output, as the message packs the server's. */
static fusion_status output_keep(const struct byte_stream *to, const struct output_shares *o) {
  const size_t len = output_len(o);
  uint8_t *packed = mem_alloc(len, 1);
  if (!packed) return FUSION_E_MEMORY;
  bits_pack(packed, o->first, o->first_count, o->first_bits);
  bits_pack(packed + bits_len(o->first_count, o->first_bits), o->second, o->second_count, o->second_bits);
  const fusion_status status = stream_write(to, packed, len);
  mem_free_secret(packed, len);
  return status;
}

static fusion_status output_restore(const struct byte_stream *from, struct output_shares *o) {
  const size_t len = output_len(o);
  uint8_t *packed = mem_alloc(len, 1);
  if (!packed) return FUSION_E_MEMORY;
  const fusion_status status = stream_read(from, packed, len);
  bits_unpack(o->first, packed, o->first_count, o->first_bits);
  bits_unpack(o->second, packed + bits_len(o->first_count, o->first_bits), o->second_count, o->second_bits);
  mem_free_secret(packed, len);
  return status;
}

fusion_status walk_output(struct walk *w, int64_t *answers) {
  fusion_status status;
  struct engine_session *s = w->session;
  struct output_shares o = output_layout(s->layout.program, w->samples);
  const struct walk_mark start = walk_mark_now(s);
  TRY(output_select(w, &o));
  const bool client = s->party.role == ROLE_CLIENT, ahead = s->layout.phase == ENGINE_AHEAD;
  if (client && ahead) TRY(output_keep(s->party.stream, &o));
  if (client && !ahead && !engine_takes_input(&s->layout)) TRY(output_restore(s->party.stream, &o));
  if (!client && !ahead) TRY(output_send(s->party.channel, &o));
  if (client && !ahead) TRY(output_receive(s->party.channel, &o, s->layout.program->output == OUTPUT_LOGITS, answers));
  walk_account(s, STAGE_OUTPUT, start);
cleanup:
  output_free(s->party.heap, &o);
  return status;
}
