#include "stack/cheetah.h"

#include "base/bits.h"
#include "base/secret.h"
#include "ot/cot_silent.h"
#include "stack/local_steps.h"

struct stack_session {
  enum role role;
  enum silent_profile profile;
  struct channel *channel;            /* borrowed */
  const struct plan *plan;            /* borrowed */
  const struct plan_weights *weights; /* borrowed; NULL at the client */
  struct cot *cot;
  struct rlwe *rlwe;
  struct prg *prg;
  struct heap *heap;
  struct stack_stats stats;
};

/* One run: the shares of every tensor that a later step still reads. */
struct run {
  struct stack_session *session;
  size_t samples;
  uint64_t **shares; /* [steps] owned; NULL before and after a tensor's life */
  bool *zero;     /* [steps] this party's share is known to be all zeros: the server's, until the first protocol step */
  uint32_t *uses; /* [steps] reads that are still to come */
};

struct mark {
  struct channel_stats stats;
  double seconds, cpu_seconds;
};

static struct mark mark_now(const struct stack_session *s) {
  return (struct mark){
      .stats = channel_get_stats(s->channel), .seconds = clock_seconds(), .cpu_seconds = clock_cpu_seconds()};
}

static void account(struct stack_session *s, enum stack_stage stage, struct mark since) {
  const struct mark now = mark_now(s);
  s->stats.seconds[stage] += now.seconds - since.seconds;
  s->stats.cpu_seconds[stage] += now.cpu_seconds - since.cpu_seconds;
  s->stats.bytes_sent[stage] += now.stats.bytes_sent - since.stats.bytes_sent;
  s->stats.bytes_received[stage] += now.stats.bytes_received - since.stats.bytes_received;
  s->stats.depth[stage] += now.stats.depth - since.stats.depth;
}

static void cheetah_close(struct stack_session *s) {
  if (!s) return;
  rlwe_close(s->rlwe);
  cot_close(s->cot);
  prg_free(s->prg);
  heap_free(s->heap);
  mem_free_secret(s, sizeof *s);
}

static fusion_status open_keys(struct stack_session *s, size_t expected_samples) {
  fusion_status status;
  struct prg *ot_prg = NULL;
  s->heap = heap_new();
  FAIL_IF(!s->heap, FUSION_E_MEMORY);
  TRY(prg_new_random(&s->prg));
  ot_prg = prg_fork(s->prg, "cheetah ot", 0);
  FAIL_IF(!ot_prg, FUSION_E_MEMORY);
  struct silent_params params;
  TRY(cheetah_silent_params(&params, s->plan, expected_samples, s->profile));
  TRY(cot_open_silent(&s->cot, s->role, s->channel, s->heap, ot_prg, &params));
  const struct rlwe_keys keys = cheetah_rlwe_keys(s->plan, expected_samples);
  if (s->role == ROLE_SERVER) TRY(rlwe_open_server(&s->rlwe, s->channel, s->prg, &keys));
  if (s->role == ROLE_CLIENT) TRY(rlwe_open_client(&s->rlwe, s->channel, s->prg, &keys));
cleanup:
  prg_free(ot_prg);
  return status;
}

/* What a session is opened on; `weights` NULL: the client. */
struct opening {
  enum silent_profile profile;
  const struct plan *plan;
  const struct plan_weights *weights;
  struct channel *channel;
  size_t expected_samples;
};

static fusion_status cheetah_open(struct stack_session **out, enum role role, const struct opening *o) {
  fusion_status status;
  struct stack_session *s = mem_alloc(1, sizeof *s);
  *out = NULL;
  FAIL_IF(!s, FUSION_E_MEMORY);
  *s = (struct stack_session){
      .role = role, .profile = o->profile, .channel = o->channel, .plan = o->plan, .weights = o->weights};
  const struct mark start = mark_now(s);
  TRY(open_keys(s, o->expected_samples));
  account(s, STAGE_SETUP, start);
  *out = s;
  return FUSION_OK;
cleanup:
  cheetah_close(s);
  return status;
}

static fusion_status cheetah_open_server(struct stack_session **out, const struct model *model, struct channel *c,
                                         size_t expected) {
  return cheetah_open(out, ROLE_SERVER, &(struct opening){SILENT_LAN, &model->plan, model->weights, c, expected});
}

static fusion_status cheetah_open_client(struct stack_session **out, const struct plan *plan, struct channel *c,
                                         size_t expected) {
  return cheetah_open(out, ROLE_CLIENT, &(struct opening){SILENT_LAN, plan, NULL, c, expected});
}

static fusion_status wan_open_server(struct stack_session **out, const struct model *model, struct channel *c,
                                     size_t expected) {
  return cheetah_open(out, ROLE_SERVER, &(struct opening){SILENT_WAN, &model->plan, model->weights, c, expected});
}

static fusion_status wan_open_client(struct stack_session **out, const struct plan *plan, struct channel *c,
                                     size_t expected) {
  return cheetah_open(out, ROLE_CLIENT, &(struct opening){SILENT_WAN, plan, NULL, c, expected});
}

static fusion_status step_linear(struct run *r, uint32_t number, const uint64_t *x, uint64_t *y) {
  const struct stack_session *s = r->session;
  const struct linear_layer layer = cheetah_linear(s->plan, &s->plan->steps[number]);
  if (s->role == ROLE_CLIENT) return linear_client(s->rlwe, &layer, x, y, r->samples);
  const struct plan_weights *w = &s->weights[number];
  const bool zero = r->zero[s->plan->steps[number].inputs[0]];
  return linear_server(s->rlwe, &layer, w->weights, w->bias, zero ? NULL : x, y, r->samples);
}

static fusion_status step_maxpool(struct run *r, struct party *party, const struct plan_step *step, const uint64_t *x,
                                  uint64_t *y) {
  const struct maxpool params = cheetah_maxpool(r->session->plan, step);
  return maxpool(party, &params, x, y, r->samples * step->out.shape.channels);
}

static fusion_status step_gather(struct run *r, const struct plan_step *step, uint64_t *y) {
  fusion_status status = FUSION_OK;
  const uint64_t **inputs = mem_alloc(step->input_count, sizeof *inputs);
  size_t *sizes = mem_alloc(step->input_count, sizeof *sizes);
  FAIL_IF(!inputs || !sizes, FUSION_E_MEMORY);
  for (uint32_t i = 0; i < step->input_count; i++) {
    inputs[i] = r->shares[step->inputs[i]];
    sizes[i] = shape_size(r->session->plan->steps[step->inputs[i]].out.shape);
  }
  local_gather(y, inputs, sizes, step->gather, shape_size(step->out.shape), r->samples, step->out.ring_bits);
cleanup:
  mem_free(inputs);
  mem_free(sizes);
  return status;
}

/* The server adds the bias, to its share alone. */
static void step_offset(const struct run *r, uint32_t number, const uint64_t *x, uint64_t *y) {
  const struct plan_step *step = &r->session->plan->steps[number];
  const int64_t *bias = r->session->role == ROLE_SERVER ? r->session->weights[number].bias : NULL;
  local_offset(y, x, bias, step->out.shape, step->negate, r->samples, step->out.ring_bits);
}

static void step_add(const struct run *r, const struct plan_step *step, uint64_t *y) {
  unsigned shift[2];
  for (int i = 0; i < 2; i++) {
    const struct plan_tensor *in = &r->session->plan->steps[step->inputs[i]].out;
    /* A clean share takes the guard of the raw sum; a raw one has it already. */
    shift[i] = (unsigned)step->shift_left[i] + step->out.guard_bits - in->guard_bits;
  }
  local_add(y, r->shares[step->inputs[0]], r->shares[step->inputs[1]], r->samples * shape_size(step->out.shape),
            shift[0], shift[1], cheetah_share_bits(&step->out));
}

static enum stack_stage stage_of(enum plan_kind kind) {
  switch (kind) {
    case PLAN_RELU:
    case PLAN_TRUNCATE: return STAGE_RELU;
    case PLAN_MAXPOOL:
    case PLAN_SUMPOOL: return STAGE_POOL;
    case PLAN_MUL: return STAGE_MULTIPLY;
    default: return STAGE_LINEAR;
  }
}

/* Runs step `number` into a fresh share; the plan has been validated, so inputs are alive and shapes agree. */
static fusion_status run_step(struct run *r, uint32_t number) {
  const struct stack_session *s = r->session;
  const struct plan_step *step = &s->plan->steps[number];
  const size_t count = r->samples * shape_size(step->out.shape);
  const struct plan_tensor *in = &s->plan->steps[step->inputs[0]].out;
  const uint64_t *x = r->shares[step->inputs[0]];
  struct party party = {.role = s->role, .channel = s->channel, .cot = s->cot, .prg = s->prg, .heap = s->heap};
  uint64_t *y = heap_take(s->heap, count, sizeof *y);
  if (!y) return FUSION_E_MEMORY;
  r->shares[number] = y;
  switch (step->kind) {
    case PLAN_INPUT: return FUSION_E_INTERNAL;
    case PLAN_LINEAR: return step_linear(r, number, x, y);
    case PLAN_RELU:
    case PLAN_TRUNCATE: {
      const struct relu_truncate params = cheetah_relu(s->plan, step);
      return relu_truncate(&party, &params, x, y, count);
    }
    case PLAN_ADD: step_add(r, step, y); return FUSION_OK;
    case PLAN_MUL: return multiply(&party, x, r->shares[step->inputs[1]], y, count, step->out.ring_bits);
    case PLAN_MAXPOOL: return step_maxpool(r, &party, step, x, y);
    case PLAN_SUMPOOL:
      local_sumpool(y, x, in->shape, step->out.shape, &step->window, r->samples, step->out.ring_bits);
      return FUSION_OK;
    case PLAN_GATHER: return step_gather(r, step, y);
    case PLAN_OFFSET: step_offset(r, number, x, y); return FUSION_OK;
  }
  return FUSION_E_INTERNAL;
}

static void release(struct run *r, uint32_t number) {
  const size_t size = shape_size(r->session->plan->steps[number].out.shape);
  heap_give(r->session->heap, r->shares[number], r->samples * size * sizeof(uint64_t));
  r->shares[number] = NULL;
}

static void run_close(struct run *r) {
  for (uint32_t i = 0; r->shares && i < r->session->plan->count; i++) release(r, i);
  mem_free(r->shares);
  mem_free(r->zero);
  mem_free(r->uses);
}

static fusion_status run_open(struct run *r, struct stack_session *s, size_t samples) {
  const struct plan *plan = s->plan;
  *r = (struct run){.session = s, .samples = samples};
  r->shares = mem_alloc(plan->count, sizeof *r->shares);
  r->uses = mem_alloc(plan->count, sizeof *r->uses);
  r->zero = mem_alloc(plan->count, sizeof *r->zero);
  if (!r->shares || !r->uses || !r->zero) return FUSION_E_MEMORY;
  for (uint32_t i = 1; i < plan->count; i++)
    for (uint32_t k = 0; k < plan->steps[i].input_count; k++) r->uses[plan->steps[i].inputs[k]]++;
  r->uses[plan->count - 1]++;
  const size_t count = samples * shape_size(plan->steps[0].out.shape);
  r->shares[0] = heap_take(s->heap, count, sizeof **r->shares); /* zeros: the server's share of the input */
  r->zero[0] = s->role == ROLE_SERVER;
  return r->shares[0] ? FUSION_OK : FUSION_E_MEMORY;
}

/* Rearranged or summed zeros are zeros. */
static bool stays_zero(const struct run *r, const struct plan_step *step) {
  bool zero = step->kind == PLAN_GATHER || step->kind == PLAN_SUMPOOL || step->kind == PLAN_ADD;
  for (uint32_t k = 0; k < step->input_count; k++) zero = zero && r->zero[step->inputs[k]];
  return zero;
}

static fusion_status run_steps(struct run *r) {
  struct stack_session *s = r->session;
  for (uint32_t i = 1; i < s->plan->count; i++) {
    const struct plan_step *step = &s->plan->steps[i];
    const struct mark start = mark_now(s);
    const fusion_status status = run_step(r, i);
    account(s, stage_of(step->kind), start);
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
  struct stack_session *s = r->session;
  const struct plan_tensor *last = &s->plan->steps[s->plan->count - 1].out;
  uint64_t *shares = r->shares[s->plan->count - 1];
  *o = (struct output_shares){0};
  if (s->plan->output == PLAN_OUTPUT_LOGITS) {
    o->first_count = r->samples * shape_size(last->shape);
    o->first_bits = last->ring_bits;
    o->first = shares;
    r->shares[s->plan->count - 1] = NULL; /* moves into *o */
    return FUSION_OK;
  }
  const struct top_k params = cheetah_top_k(s->plan);
  const bool values = s->plan->output == PLAN_OUTPUT_TOP_K;
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
  const size_t len = cheetah_output_len(r->session->plan, r->samples);
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
  const bool logits = r->session->plan->output == PLAN_OUTPUT_LOGITS;
  const size_t len = cheetah_output_len(r->session->plan, r->samples), stride = o->second_count ? 2 : 1;
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

static fusion_status cheetah_run(struct stack_session *s, const int64_t *inputs, int64_t *answers, size_t samples) {
  fusion_status status;
  struct run r;
  TRY(run_open(&r, s, samples));
  const struct plan_tensor *in = &s->plan->steps[0].out;
  const size_t count = inputs ? samples * shape_size(in->shape) : 0;
  for (size_t i = 0; i < count; i++) r.shares[0][i] = (uint64_t)inputs[i] & low_mask(in->ring_bits);
  TRY(run_steps(&r));
  TRY(run_output(&r, answers));
cleanup:
  run_close(&r);
  return status;
}

static fusion_status cheetah_run_server(struct stack_session *s, size_t samples) {
  return cheetah_run(s, NULL, NULL, samples);
}

static fusion_status cheetah_run_client(struct stack_session *s, const int64_t *inputs, int64_t *answers,
                                        size_t samples) {
  return cheetah_run(s, inputs, answers, samples);
}

static struct stack_stats cheetah_stats(const struct stack_session *s) {
  return s->stats;
}

static fusion_status cheetah_prepare(struct model *model, fusion_error *err) {
  for (uint32_t i = 1; i < model->plan.count; i++) {
    struct plan_step *step = &model->plan.steps[i];
    if (step->kind != PLAN_LINEAR) continue;
    const struct linear_layer layer = cheetah_linear(&model->plan, step);
    step->rlwe_set = linear_choose_set(&layer, model->weights[i].weights);
    if (!step->rlwe_set)
      return error_set(err, FUSION_E_MODEL,
                       "layer '%s': a ring of %u bits with weights of %u bits leaves no room for the encryption noise; "
                       "compile with fewer bits",
                       step->name, step->out.ring_bits, step->weight_bits);
  }
  return FUSION_OK;
}

const struct stack stack_cheetah = {
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

const struct stack stack_cheetah_wan = {
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
