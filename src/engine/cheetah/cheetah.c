#include "engine/cheetah/cheetah.h"

#include "base/bits.h"
#include "base/secret.h"
#include "engine/local_steps.h"
#include "silent/cot_silent.h"

struct engine_session {
  enum role role;
  enum silent_profile profile;
  struct channel *channel;               /* borrowed */
  const struct program *program;         /* borrowed */
  const struct program_weights *weights; /* borrowed; NULL at the client */
  struct cot *cot;
  struct rlwe *rlwe;
  struct prg *prg;
  struct heap *heap;
  struct engine_stats stats;
};

/* One run: the shares of every tensor that a later step still reads. */
struct run {
  struct engine_session *session;
  size_t samples;
  uint64_t **shares; /* [steps] owned; NULL before and after a tensor's life */
  bool *zero;     /* [steps] this party's share is known to be all zeros: the server's, until the first protocol step */
  uint32_t *uses; /* [steps] reads that are still to come */
};

struct mark {
  struct channel_stats stats;
  double seconds, cpu_seconds;
};

static struct mark mark_now(const struct engine_session *s) {
  return (struct mark){
      .stats = channel_get_stats(s->channel), .seconds = clock_seconds(), .cpu_seconds = clock_cpu_seconds()};
}

static void account(struct engine_session *s, enum operator_stage stage, struct mark since) {
  const struct mark now = mark_now(s);
  s->stats.seconds[stage] += now.seconds - since.seconds;
  s->stats.cpu_seconds[stage] += now.cpu_seconds - since.cpu_seconds;
  s->stats.bytes_sent[stage] += now.stats.bytes_sent - since.stats.bytes_sent;
  s->stats.bytes_received[stage] += now.stats.bytes_received - since.stats.bytes_received;
  s->stats.depth[stage] += now.stats.depth - since.stats.depth;
}

static void cheetah_close(struct engine_session *s) {
  if (!s) return;
  rlwe_close(s->rlwe);
  cot_close(s->cot);
  prg_free(s->prg);
  heap_free(s->heap);
  mem_free_secret(s, sizeof *s);
}

static fusion_status open_keys(struct engine_session *s, size_t expected_samples) {
  fusion_status status;
  struct prg *ot_prg = NULL;
  s->heap = heap_new();
  FAIL_IF(!s->heap, FUSION_E_MEMORY);
  TRY(prg_new_random(&s->prg));
  ot_prg = prg_fork(s->prg, "cheetah ot", 0);
  FAIL_IF(!ot_prg, FUSION_E_MEMORY);
  struct silent_params params;
  TRY(cheetah_silent_params(&params, s->program, expected_samples, s->profile));
  TRY(cot_open_silent(&s->cot, s->role, s->channel, s->heap, ot_prg, &params));
  const struct rlwe_keys keys = cheetah_rlwe_keys(s->program, expected_samples);
  if (s->role == ROLE_SERVER) TRY(rlwe_open_server(&s->rlwe, s->channel, s->prg, &keys));
  if (s->role == ROLE_CLIENT) TRY(rlwe_open_client(&s->rlwe, s->channel, s->prg, &keys));
cleanup:
  prg_free(ot_prg);
  return status;
}

/* What a session is opened on; `weights` NULL: the client. */
struct opening {
  enum silent_profile profile;
  const struct program *program;
  const struct program_weights *weights;
  struct channel *channel;
  size_t expected_samples;
};

static fusion_status cheetah_open(struct engine_session **out, enum role role, const struct opening *o) {
  fusion_status status;
  struct engine_session *s = mem_alloc(1, sizeof *s);
  *out = NULL;
  FAIL_IF(!s, FUSION_E_MEMORY);
  *s = (struct engine_session){
      .role = role, .profile = o->profile, .channel = o->channel, .program = o->program, .weights = o->weights};
  const struct mark start = mark_now(s);
  TRY(open_keys(s, o->expected_samples));
  account(s, STAGE_SETUP, start);
  *out = s;
  return FUSION_OK;
cleanup:
  cheetah_close(s);
  return status;
}

static fusion_status cheetah_open_server(struct engine_session **out, const struct model *model, struct channel *c,
                                         size_t expected) {
  return cheetah_open(out, ROLE_SERVER, &(struct opening){SILENT_LAN, &model->program, model->weights, c, expected});
}

static fusion_status cheetah_open_client(struct engine_session **out, const struct program *program, struct channel *c,
                                         size_t expected) {
  return cheetah_open(out, ROLE_CLIENT, &(struct opening){SILENT_LAN, program, NULL, c, expected});
}

static fusion_status wan_open_server(struct engine_session **out, const struct model *model, struct channel *c,
                                     size_t expected) {
  return cheetah_open(out, ROLE_SERVER, &(struct opening){SILENT_WAN, &model->program, model->weights, c, expected});
}

static fusion_status wan_open_client(struct engine_session **out, const struct program *program, struct channel *c,
                                     size_t expected) {
  return cheetah_open(out, ROLE_CLIENT, &(struct opening){SILENT_WAN, program, NULL, c, expected});
}

static fusion_status step_linear(struct run *r, uint32_t number, const uint64_t *x, uint64_t *y) {
  const struct engine_session *s = r->session;
  const struct linear_layer layer = cheetah_linear(s->program, &s->program->steps[number]);
  if (s->role == ROLE_CLIENT) return linear_client(s->rlwe, &layer, x, y, r->samples);
  const struct program_weights *w = &s->weights[number];
  const bool zero = r->zero[s->program->steps[number].inputs[0]];
  return linear_server(s->rlwe, &layer, w->weights, w->bias, zero ? NULL : x, y, r->samples);
}

static fusion_status step_maxpool(struct run *r, struct party *party, const struct program_step *step,
                                  const uint64_t *x, uint64_t *y) {
  const struct maxpool params = cheetah_maxpool(r->session->program, step);
  return maxpool(party, &params, x, y, r->samples * step->out.shape.channels);
}

static fusion_status step_gather(struct run *r, const struct program_step *step, uint64_t *y) {
  fusion_status status = FUSION_OK;
  const uint64_t **inputs = mem_alloc(step->input_count, sizeof *inputs);
  size_t *sizes = mem_alloc(step->input_count, sizeof *sizes);
  FAIL_IF(!inputs || !sizes, FUSION_E_MEMORY);
  for (uint32_t i = 0; i < step->input_count; i++) {
    inputs[i] = r->shares[step->inputs[i]];
    sizes[i] = shape_size(r->session->program->steps[step->inputs[i]].out.shape);
  }
  local_gather(y, inputs, sizes, step->gather, shape_size(step->out.shape), r->samples, step->out.ring_bits);
cleanup:
  mem_free(inputs);
  mem_free(sizes);
  return status;
}

/* The server adds the bias, to its share alone. */
static void step_offset(const struct run *r, uint32_t number, const uint64_t *x, uint64_t *y) {
  const struct program_step *step = &r->session->program->steps[number];
  const int64_t *bias = r->session->role == ROLE_SERVER ? r->session->weights[number].bias : NULL;
  local_offset(y, x, bias, step->out.shape, step->negate, r->samples, step->out.ring_bits);
}

static void step_add(const struct run *r, const struct program_step *step, uint64_t *y) {
  unsigned shift[2];
  for (int i = 0; i < 2; i++) {
    const struct program_tensor *in = &r->session->program->steps[step->inputs[i]].out;
    /* A clean share takes the guard of the raw sum; a raw one has it already. */
    shift[i] = (unsigned)step->shift_left[i] + step->out.guard_bits - in->guard_bits;
  }
  local_add(y, r->shares[step->inputs[0]], r->shares[step->inputs[1]], r->samples * shape_size(step->out.shape),
            shift[0], shift[1], cheetah_share_bits(&step->out));
}

static enum operator_stage stage_of(enum program_op op) {
  switch (op) {
    case OP_RELU:
    case OP_TRUNCATE: return STAGE_RELU;
    case OP_MAXPOOL:
    case OP_SUMPOOL: return STAGE_POOL;
    case OP_MUL: return STAGE_MULTIPLY;
    default: return STAGE_LINEAR;
  }
}

/* Runs step `number` into a fresh share; the program has been validated, so inputs are alive and shapes agree. */
static fusion_status run_step(struct run *r, uint32_t number) {
  const struct engine_session *s = r->session;
  const struct program_step *step = &s->program->steps[number];
  const size_t count = r->samples * shape_size(step->out.shape);
  const struct program_tensor *in = &s->program->steps[step->inputs[0]].out;
  const uint64_t *x = r->shares[step->inputs[0]];
  struct party party = {.role = s->role, .channel = s->channel, .cot = s->cot, .prg = s->prg, .heap = s->heap};
  uint64_t *y = heap_take(s->heap, count, sizeof *y);
  if (!y) return FUSION_E_MEMORY;
  r->shares[number] = y;
  switch (step->op) {
    case OP_INPUT: return FUSION_E_INTERNAL;
    case OP_LINEAR: return step_linear(r, number, x, y);
    case OP_RELU:
    case OP_TRUNCATE: {
      const struct relu_truncate params = cheetah_relu(s->program, step);
      return relu_truncate(&party, &params, x, y, count);
    }
    case OP_ADD: step_add(r, step, y); return FUSION_OK;
    case OP_MUL: return multiply(&party, x, r->shares[step->inputs[1]], y, count, step->out.ring_bits);
    case OP_MAXPOOL: return step_maxpool(r, &party, step, x, y);
    case OP_SUMPOOL:
      local_sumpool(y, x, in->shape, step->out.shape, &step->window, r->samples, step->out.ring_bits);
      return FUSION_OK;
    case OP_GATHER: return step_gather(r, step, y);
    case OP_OFFSET: step_offset(r, number, x, y); return FUSION_OK;
  }
  return FUSION_E_INTERNAL;
}

static void release(struct run *r, uint32_t number) {
  const size_t size = shape_size(r->session->program->steps[number].out.shape);
  heap_give(r->session->heap, r->shares[number], r->samples * size * sizeof(uint64_t));
  r->shares[number] = NULL;
}

static void run_close(struct run *r) {
  for (uint32_t i = 0; r->shares && i < r->session->program->count; i++) release(r, i);
  mem_free(r->shares);
  mem_free(r->zero);
  mem_free(r->uses);
}

static fusion_status run_open(struct run *r, struct engine_session *s, size_t samples) {
  const struct program *program = s->program;
  *r = (struct run){.session = s, .samples = samples};
  r->shares = mem_alloc(program->count, sizeof *r->shares);
  r->uses = mem_alloc(program->count, sizeof *r->uses);
  r->zero = mem_alloc(program->count, sizeof *r->zero);
  if (!r->shares || !r->uses || !r->zero) return FUSION_E_MEMORY;
  for (uint32_t i = 1; i < program->count; i++)
    for (uint32_t k = 0; k < program->steps[i].input_count; k++) r->uses[program->steps[i].inputs[k]]++;
  r->uses[program->count - 1]++;
  const size_t count = samples * shape_size(program->steps[0].out.shape);
  r->shares[0] = heap_take(s->heap, count, sizeof **r->shares); /* zeros: the server's share of the input */
  r->zero[0] = s->role == ROLE_SERVER;
  return r->shares[0] ? FUSION_OK : FUSION_E_MEMORY;
}

/* Rearranged or summed zeros are zeros. */
static bool stays_zero(const struct run *r, const struct program_step *step) {
  bool zero = step->op == OP_GATHER || step->op == OP_SUMPOOL || step->op == OP_ADD;
  for (uint32_t k = 0; k < step->input_count; k++) zero = zero && r->zero[step->inputs[k]];
  return zero;
}

static fusion_status run_steps(struct run *r) {
  struct engine_session *s = r->session;
  for (uint32_t i = 1; i < s->program->count; i++) {
    const struct program_step *step = &s->program->steps[i];
    const struct mark start = mark_now(s);
    const fusion_status status = run_step(r, i);
    account(s, stage_of(step->op), start);
    if (status != FUSION_OK) return status;
    r->zero[i] = stays_zero(r, step);
    for (uint32_t k = 0; k < step->input_count; k++)
      if (--r->uses[step->inputs[k]] == 0) release(r, step->inputs[k]);
    if (r->uses[i] == 0) release(r, i); /* a tensor that nobody reads */
  }
  return FUSION_OK;
}

/* The last tensor, or the winners of each row, as shares in the order in which the output message packs them. */
struct output_shares {
  uint64_t *first, *second;
  size_t first_count, second_count;
  unsigned first_bits, second_bits;
};

static fusion_status output_select(struct run *r, struct output_shares *o) {
  struct engine_session *s = r->session;
  const struct program_tensor *last = &s->program->steps[s->program->count - 1].out;
  uint64_t *shares = r->shares[s->program->count - 1];
  *o = (struct output_shares){0};
  if (s->program->output == OUTPUT_LOGITS) {
    o->first_count = r->samples * shape_size(last->shape);
    o->first_bits = last->ring_bits;
    o->first = shares;
    r->shares[s->program->count - 1] = NULL; /* moves into *o */
    return FUSION_OK;
  }
  const struct top_k params = cheetah_top_k(s->program);
  const bool values = s->program->output == OUTPUT_TOP_K;
  struct party party = {.role = s->role, .channel = s->channel, .cot = s->cot, .prg = s->prg, .heap = s->heap};
  o->first_count = r->samples * params.k;
  o->first_bits = top_k_index_bits(&params);
  o->first = heap_take(s->heap, o->first_count, sizeof *o->first);
  o->second_count = values ? o->first_count : 0;
  o->second_bits = last->ring_bits;
  o->second = heap_take(s->heap, o->second_count, sizeof *o->second);
  if (!o->first || !o->second) return FUSION_E_MEMORY;
  return top_k(&party, &params, shares, o->first, values ? o->second : NULL, r->samples);
}

static void output_free(struct heap *heap, struct output_shares *o) {
  heap_give(heap, o->first, o->first_count * sizeof *o->first);
  heap_give(heap, o->second, o->second_count * sizeof *o->second);
}

/** Opens the answers to the client alone: the server sends its share, the client nothing. The shares come from an exact
 *  truncation or selection, so the server's share is the answer minus the client's own uniform share: the client learns
 *  the answer and nothing else of the weights. */
static fusion_status output_send(struct run *r, const struct output_shares *o) {
  const size_t len = cheetah_output_len(r->session->program, r->samples);
  uint8_t *packed = mem_alloc(len, 1);
  if (!packed) return FUSION_E_MEMORY;
  bits_pack(packed, o->first, o->first_count, o->first_bits);
  bits_pack(packed + bits_len(o->first_count, o->first_bits), o->second, o->second_count, o->second_bits);
  secret_declassify(packed, len, "the server's share of the answers opens them to the client");
  fusion_status status = channel_send(r->session->channel, MSG_OUTPUT, packed, len);
  if (status == FUSION_OK) status = channel_flush(r->session->channel);
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

static fusion_status output_receive(struct run *r, const struct output_shares *o, int64_t *answers) {
  fusion_status status;
  const bool logits = r->session->program->output == OUTPUT_LOGITS;
  const size_t len = cheetah_output_len(r->session->program, r->samples), stride = o->second_count ? 2 : 1;
  uint8_t *packed = mem_alloc(len, 1);
  uint64_t *theirs = mem_alloc(o->first_count, sizeof *theirs);
  FAIL_IF(!packed || !theirs, FUSION_E_MEMORY);
  TRY(channel_recv(r->session->channel, MSG_OUTPUT, packed, len));
  bits_unpack(theirs, packed, o->first_count, o->first_bits);
  open_values(answers, stride, o->first, theirs, o->first_count, o->first_bits, logits);
  bits_unpack(theirs, packed + bits_len(o->first_count, o->first_bits), o->second_count, o->second_bits);
  open_values(answers + 1, stride, o->second, theirs, o->second_count, o->second_bits, true);
cleanup:
  mem_free(packed);
  mem_free_secret(theirs, o->first_count * sizeof *theirs);
  return status;
}

static fusion_status run_output(struct run *r, int64_t *answers) {
  fusion_status status;
  struct output_shares o;
  const struct mark start = mark_now(r->session);
  TRY(output_select(r, &o));
  if (r->session->role == ROLE_SERVER) TRY(output_send(r, &o));
  if (r->session->role == ROLE_CLIENT) TRY(output_receive(r, &o, answers));
  account(r->session, STAGE_OUTPUT, start);
cleanup:
  output_free(r->session->heap, &o);
  return status;
}

static fusion_status cheetah_run(struct engine_session *s, const int64_t *inputs, int64_t *answers, size_t samples) {
  fusion_status status;
  struct run r;
  TRY(run_open(&r, s, samples));
  const struct program_tensor *in = &s->program->steps[0].out;
  const size_t count = inputs ? samples * shape_size(in->shape) : 0;
  for (size_t i = 0; i < count; i++) r.shares[0][i] = (uint64_t)inputs[i] & low_mask(in->ring_bits);
  TRY(run_steps(&r));
  TRY(run_output(&r, answers));
cleanup:
  run_close(&r);
  return status;
}

static fusion_status cheetah_run_server(struct engine_session *s, size_t samples) {
  return cheetah_run(s, NULL, NULL, samples);
}

static fusion_status cheetah_run_client(struct engine_session *s, const int64_t *inputs, int64_t *answers,
                                        size_t samples) {
  return cheetah_run(s, inputs, answers, samples);
}

static struct engine_stats cheetah_stats(const struct engine_session *s) {
  return s->stats;
}

static fusion_status cheetah_prepare(struct model *model, fusion_error *err) {
  for (uint32_t i = 1; i < model->program.count; i++) {
    struct program_step *step = &model->program.steps[i];
    if (step->op != OP_LINEAR) continue;
    const struct linear_layer layer = cheetah_linear(&model->program, step);
    step->rlwe_set = linear_choose_set(&layer, model->weights[i].weights);
    if (!step->rlwe_set)
      return error_set(err, FUSION_E_MODEL,
                       "layer '%s': a ring of %u bits with weights of %u bits leaves no room for the encryption noise; "
                       "compile with fewer bits",
                       step->name, step->out.ring_bits, step->weight_bits);
  }
  return FUSION_OK;
}

const struct engine engine_cheetah = {
    .name = "cheetah",
    .family = "cheetah",
    .prepare = cheetah_prepare,
    .open_server = cheetah_open_server,
    .open_client = cheetah_open_client,
    .run_server = cheetah_run_server,
    .run_client = cheetah_run_client,
    .stats = cheetah_stats,
    .close = cheetah_close,
    .cost = cheetah_cost,
    .work = cheetah_work,
    .memory = cheetah_memory,
};

const struct engine engine_cheetah_wan = {
    .name = "cheetah-wan",
    .family = "cheetah",
    .prepare = cheetah_prepare,
    .open_server = wan_open_server,
    .open_client = wan_open_client,
    .run_server = cheetah_run_server,
    .run_client = cheetah_run_client,
    .stats = cheetah_stats,
    .close = cheetah_close,
    .cost = cheetah_wan_cost,
    .work = cheetah_work,
    .memory = cheetah_wan_memory,
};
