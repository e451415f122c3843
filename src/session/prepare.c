#include "session/prepare.h"

#include <sodium.h>
#include <stdio.h>

#include "base/cpu_tier.h"
#include "base/cursor.h"
#include "base/packed.h"
#include "session/ahead.h"
#include "session/shards.h"
#include "session/workers.h"

enum {
  SHARD_DEFAULT = 4096,   /* samples */
  PART_NUMBERS = 1 << 18, /* of raw samples that are held at once */
};

/* ---- randomness ---- */

/* The operating system's own. */
static fusion_status random_bytes(void *context, void *out, size_t len) {
  (void)context;
  return os_random(out, len);
}

static fusion_status seeded_bytes(void *prg, void *out, size_t len) {
  prg_bytes(prg, out, len);
  return FUSION_OK;
}

/* With a journal everything is drawn from its seed, under a label each, so that a resumed job has the same. NULL
 * without one. */
static fusion_status open_stream(struct prg **out, const struct journal *journal, const char *label) {
  *out = NULL;
  if (!journal) return FUSION_OK;
  struct prg *root = prg_new(journal_seed(journal));
  *out = root ? prg_fork(root, label, 0) : NULL;
  prg_free(root);
  return *out ? FUSION_OK : FUSION_E_MEMORY;
}

static fusion_status draw_rows(size_t *out, size_t count, size_t rows, const struct journal *journal, const char *label,
                               fusion_error *why) {
  struct prg *stream;
  fusion_status status = open_stream(&stream, journal, label);
  if (status == FUSION_OK) status = mix_draw_rows(out, count, rows, stream ? seeded_bytes : random_bytes, stream);
  prg_free(stream);
  return status == FUSION_OK ? status : error_set(why, status, "%s: %s", label, fusion_status_text(status));
}

fusion_status prepare_public_rows(size_t *out, size_t count, size_t rows, const struct journal *journal,
                                  fusion_error *why) {
  return draw_rows(out, count, rows, journal, "public samples", why);
}

fusion_status prepare_canary_rows(size_t *out, size_t count, uint64_t *rows, const struct journal *journal,
                                  fusion_error *why) {
  const struct journal_job *kept = journal ? journal_resumed(journal) : NULL;
  if (kept && kept->canary_rows && kept->canary_rows < *rows) *rows = kept->canary_rows;
  if (count > *rows)
    return error_set(why, FUSION_E_INPUT,
                     "this job needs %zu canaries; there are %llu: audit with more samples, or add queries", count,
                     (unsigned long long)*rows);
  return draw_rows(out, count, (size_t)*rows, journal, "canaries", why);
}

static fusion_status draw_mix(struct prepared_job *p, const struct job_terms *t, fusion_error *why) {
  struct prg *stream;
  fusion_status status = open_stream(&stream, t->handles->journal, "permutation");
  if (status == FUSION_OK) status = mix_draw(&p->mix, &t->input->choice, stream ? seeded_bytes : random_bytes, stream);
  prg_free(stream);
  return status == FUSION_OK ? status
                             : error_set(why, status, "the mix cannot be drawn: %s", fusion_status_text(status));
}

/* ---- the journal ---- */

/* How pictures are normalised belongs to what is asked. */
static void hash_pictures(crypto_generichash_state *state, const struct picture_form *p) {
  const uint64_t flags[] = {p != NULL, p && p->normalise, p && p->preprocess.reverse_channels,
                            p ? p->preprocess.count : 0};
  crypto_generichash_update(state, (const uint8_t *)flags, sizeof flags);
  if (!p) return;
  const size_t len = p->preprocess.count * sizeof *p->preprocess.mean;
  crypto_generichash_update(state, (const uint8_t *)&p->preprocess.scale, sizeof p->preprocess.scale);
  crypto_generichash_update(state, (const uint8_t *)p->preprocess.mean, len);
  crypto_generichash_update(state, (const uint8_t *)p->preprocess.deviation, len);
}

/* Samples of a part: about PART_NUMBERS numbers. */
static size_t part_rows(size_t row_size, size_t count) {
  return size_max(size_min(count, PART_NUMBERS / size_max(row_size, 1)), 1);
}

/* The raw queries, as doubles. */
static fusion_status hash_queries(crypto_generichash_state *state, const struct job_input *in) {
  const struct input_group g = inputs_queries(in);
  const size_t most = part_rows(in->row_size, g.count), room_len = most * in->row_size * sizeof(double);
  double *room = mem_alloc(room_len, 1);
  if (!room) return FUSION_E_MEMORY;
  for (size_t first = 0; first < g.count; first += most) {
    const size_t count = size_min(most, g.count - first);
    const double *raw = inputs_read(&g, in->row_size, first, count, room);
    crypto_generichash_update(state, (const uint8_t *)raw, count * in->row_size * sizeof *raw);
  }
  mem_free_secret(room, room_len);
  return FUSION_OK;
}

/* What the journal is told of the job. The hash is of all that the verdict depends on, keyed by the seed that the
 * public samples and the permutation come from. */
static fusion_status describe(struct journal_job *out, const struct prepared_job *p, const struct job_terms *t,
                              fusion_error *why) {
  const struct job_input *in = t->input;
  const struct mix_choice *c = &in->choice;
  const uint64_t numbers[] = {c->queries,          c->copies,    c->public_samples,        c->errors,
                              c->public_copies,    in->row_size, t->settings->accept_fast, t->settings->tolerance,
                              job_canary_count(in)};
  const struct job_canaries *canaries = in->canaries;
  const size_t labelled = job_labelled_count(in);
  *out = (struct journal_job){
      .samples = p->samples, .answer_size = p->answer_size, .canary_rows = canaries ? canaries->rows : 0};
  crypto_generichash_state state;
  snprintf(out->engine, sizeof out->engine, "%s", t->handles->engine->name);
  crypto_generichash_init(&state, journal_seed(t->handles->journal), PRG_SEED_LEN, sizeof out->input_hash);
  crypto_generichash_update(&state, (const uint8_t *)numbers, sizeof numbers);
  hash_pictures(&state, in->query_pictures);
  hash_pictures(&state, in->public_pictures);
  const fusion_status status = hash_queries(&state, in);
  crypto_generichash_update(&state, (const uint8_t *)in->public_samples,
                            labelled * in->row_size * sizeof *in->public_samples);
  crypto_generichash_update(&state, (const uint8_t *)in->labels, labelled * sizeof *in->labels);
  if (canaries) {
    crypto_generichash_update(&state, (const uint8_t *)canaries->inputs,
                              canaries->count * canaries->input_size * sizeof *canaries->inputs);
    crypto_generichash_update(&state, (const uint8_t *)canaries->answers,
                              canaries->count * canaries->answer_size * sizeof *canaries->answers);
  }
  crypto_generichash_final(&state, out->input_hash, sizeof out->input_hash);
  mem_wipe(&state, sizeof state);
  return status == FUSION_OK ? status : error_set(why, status, "out of memory for the journal");
}

/* Room for the answers, and those that a resumed job has already. */
static fusion_status take_answers(struct prepared_job *p, const struct job_terms *t, fusion_error *why) {
  struct journal *journal = t->handles->journal;
  size_t count;
  if (size_mul(p->samples, p->answer_size, &count)) p->answers = mem_alloc(count, sizeof *p->answers);
  if (!p->answers) return error_set(why, FUSION_E_MEMORY, "out of memory for %zu answers", p->samples);
  if (!journal || !journal_resumed(journal)) return FUSION_OK;
  if (journal_resumed(journal)->answer_size != p->answer_size)
    return error_set(why, FUSION_E_INPUT, "the journal is damaged; remove it to begin a new job");
  p->done = mem_alloc(p->samples, sizeof *p->done);
  if (!p->done) return error_set(why, FUSION_E_MEMORY, "out of memory for the journal");
  const fusion_status status = journal_replay(journal, p->answers, p->done, why);
  for (size_t i = 0; i < p->samples; i++) p->todo -= p->done[i];
  return status;
}

/* ---- the manifest ---- */

/* The one manifest that the client takes, if it named one. */
static fusion_status check_hash(const uint8_t hash[SESSION_HASH_LEN], const uint8_t *wanted, fusion_error *why) {
  char text[2 * SESSION_HASH_LEN + 1];
  if (!wanted || memcmp(hash, wanted, SESSION_HASH_LEN) == 0) return FUSION_OK;
  sodium_bin2hex(text, sizeof text, hash, SESSION_HASH_LEN);
  return error_set(why, FUSION_E_OTHER_MODEL,
                   "the server's model is not the one that --manifest names: its manifest has the hash %s", text);
}

/* The owner announces a new model by its id: no accusation, but what was known of the old one does not hold. */
static fusion_status check_id(const uint8_t id[MODEL_ID_LEN], const uint8_t *before, const char *audited,
                              fusion_error *why) {
  char now[2 * MODEL_ID_LEN + 1], was[2 * MODEL_ID_LEN + 1];
  if (!before || memcmp(id, before, MODEL_ID_LEN) == 0) return FUSION_OK;
  sodium_bin2hex(now, sizeof now, id, MODEL_ID_LEN);
  sodium_bin2hex(was, sizeof was, before, MODEL_ID_LEN);
  return error_set(why, FUSION_E_MODEL_CHANGED, "model changed%s%s (id %s, was %s): audit again",
                   audited ? " since the audit of " : "", audited ? audited : "", now, was);
}

/* Answers that an audit found say something of the audited model alone. */
static fusion_status check_audited(const struct program *program, const uint8_t hash[SESSION_HASH_LEN],
                                   const struct job_canaries *canaries, fusion_error *why) {
  static const uint8_t none[MODEL_ID_LEN];
  char text[2 * SESSION_HASH_LEN + 1];
  if (!canaries || memcmp(hash, canaries->manifest_hash, SESSION_HASH_LEN) == 0) return FUSION_OK;
  if (canaries->model_id && memcmp(canaries->model_id, none, sizeof none) != 0) {
    const fusion_status status = check_id(program->model_id, canaries->model_id, canaries->audited_utc, why);
    if (status != FUSION_OK) return status;
  }
  sodium_bin2hex(text, sizeof text, hash, SESSION_HASH_LEN);
  return error_set(why, FUSION_E_OTHER_MODEL,
                   "the canaries are of another model, audited at %s; the server's manifest has the hash %s: audit it",
                   canaries->audited_utc, text);
}

enum mix_answer_kind prepare_answer_kind(const struct program *program) {
  static const enum mix_answer_kind kinds[] = {
      [OUTPUT_LOGITS] = MIX_ANSWER_LOGITS, [OUTPUT_LABEL] = MIX_ANSWER_INDEX, [OUTPUT_TOP_K] = MIX_ANSWER_TOP_K};
  return kinds[program->output];
}

/* What is compared is for the client to say, or a cheating server would choose what it may alter; the manifest only
 * tells whether the model fits. */
static fusion_status choose_check(struct prepared_job *p, const struct job_terms *t, fusion_error *why) {
  const fusion_client_settings *set = t->settings;
  const struct job_canaries *canaries = t->input->canaries;
  const bool fast = p->program.rounding == ROUNDING_FAST;
  if (fast && (canaries || job_is_audit(t->input)))
    return error_set(why, FUSION_E_ROUNDING,
                     "the server's model uses fast rounding, so an answer may differ from one time to the next and "
                     "shows nothing of the model: no audit and no canaries");
  if (fast && !set->accept_fast)
    return error_set(why, FUSION_E_ROUNDING,
                     "the server's model uses fast rounding, so copies cannot be compared exactly; --accept-fast takes "
                     "it and compares labels");
  if (set->tolerance && p->program.output == OUTPUT_LABEL)
    return error_set(why, FUSION_E_USAGE,
                     "the server's model answers labels, which are always compared exactly; leave out --tolerance");
  if (set->tolerance && !set->accept_fast)
    return error_set(why, FUSION_E_USAGE,
                     "the server's model is exact: its answers are compared bit for bit; leave out --tolerance");
  p->check = (struct mix_check){.kind = prepare_answer_kind(&p->program),
                                .agreement = !fast            ? MIX_AGREE_EXACT
                                             : set->tolerance ? MIX_AGREE_WITHIN
                                                              : MIX_AGREE_LABEL,
                                .tolerance = set->tolerance,
                                .answer_size = p->answer_size,
                                .canaries = job_canary_count(t->input),
                                .canary_answers = canaries ? canaries->answers : NULL};
  return FUSION_OK;
}

/* Predicted traffic of what is left: every worker opens once and runs its part of the shards. */
static fusion_status predict_traffic(struct prepared_job *p, const struct job_terms *t, size_t shards,
                                     fusion_error *why) {
  const uint64_t limit = t->settings->max_traffic;
  const size_t workers = size_min(p->worker_count, shards);
  size_t *sizes = mem_alloc(shards, sizeof *sizes);
  if (!sizes) return error_set(why, FUSION_E_MEMORY, "out of memory");
  fusion_status status = FUSION_OK;
  uint64_t bytes = 0;
  for (size_t w = 0; w < workers && status == FUSION_OK; w++) {
    struct cost cost = {0};
    size_t count = 0;
    for (size_t i = w; i < shards; i += workers) sizes[count++] = shard_at(p->todo, shards, i).count;
    status = engine_cost(t->handles->engine, &p->program, sizes, count, &cost);
    bytes += cost.bytes_to_client + cost.bytes_to_server;
  }
  mem_free(sizes);
  if (status != FUSION_OK) return error_set(why, status, "out of memory for the prediction of traffic");
  p->predicted_bytes = bytes;
  if (!limit || bytes <= limit) return FUSION_OK;
  return error_set(why, FUSION_E_LIMIT, "the job would move %llu MiB; the limit is %llu MiB",
                   (unsigned long long)(bytes >> 20), (unsigned long long)(limit >> 20));
}

fusion_status prepare_cut(struct prepared_job *p, const struct job_terms *t, double round_trip_seconds,
                          fusion_error *why) {
  const fusion_client_settings *set = t->settings;
  const struct engine *engine = t->handles->engine;
  const struct ahead *ahead = t->handles->ahead;
  const uint64_t max_memory = set->max_memory ? set->max_memory : mem_half_of_machine();
  if (ahead) {
    p->worker_count = 1;
    const fusion_status status = ahead_check(ahead, engine, p->manifest_hash, p->todo, &p->shard_samples, why);
    return status == FUSION_OK ? ahead_check_states(ahead, engine, &p->program, max_memory, why) : status;
  }
  const size_t most = set->shard_samples ? set->shard_samples : SHARD_DEFAULT;
  const size_t wanted = size_min(size_min(most, p->todo), SESSION_SHARD_MAX);
  const struct workers_choice choice = {.engine = engine,
                                        .program = &p->program,
                                        .samples = p->todo,
                                        .shard_samples = wanted,
                                        .max_memory = max_memory,
                                        .round_trip_seconds = round_trip_seconds,
                                        .cores = cpu_cores()};
  p->worker_count = set->workers ? set->workers : workers_choose(&choice);
  const uint64_t share = max_memory / (set->run_task ? 1 : p->worker_count); /* tasks take their memory elsewhere */
  p->shard_samples = (uint32_t)shard_limit(engine, &p->program, ROLE_CLIENT, wanted, share);
  if (!p->shard_samples)
    return error_set(why, FUSION_E_LIMIT,
                     "one sample of the server's model takes %zu MiB here; a worker may use %llu MiB",
                     engine_memory(engine, &p->program, 1, ROLE_CLIENT) >> 20, (unsigned long long)(share >> 20));
  const size_t even = div_up(p->todo, shards_count(p->todo, p->shard_samples, p->worker_count));
  p->shard_samples = (uint32_t)even;
  return predict_traffic(p, t, div_up(p->todo, even), why);
}

/* A part of a group on its way from raw numbers to packed integers. */
struct part {
  size_t most, len; /* samples and numbers, at most */
  size_t raw_len;
  double *raw; /* owned, secret, as are: */
  float *real;
  int64_t *whole;
};

static fusion_status part_open(struct part *part, size_t row_size, size_t raw_size, size_t count) {
  const size_t most = part_rows(row_size, count), len = most * row_size;
  *part = (struct part){.most = most,
                        .len = len,
                        .raw_len = most * raw_size,
                        .raw = mem_alloc(most * raw_size, sizeof *part->raw),
                        .real = mem_alloc(len, sizeof *part->real),
                        .whole = mem_alloc(len, sizeof *part->whole)};
  return part->raw && part->real && part->whole ? FUSION_OK : FUSION_E_MEMORY;
}

static void part_close(struct part *part) {
  if (part->raw) mem_free_secret(part->raw, part->raw_len * sizeof *part->raw);
  if (part->real) mem_free_secret(part->real, part->len * sizeof *part->real);
  if (part->whole) mem_free_secret(part->whole, part->len * sizeof *part->whole);
}

/* Into out [g->count][prepare_row_len(p)]. */
static fusion_status quantise(const struct prepared_job *p, const struct input_group *g, bool clip,
                              struct input_range *range, uint8_t *out, fusion_error *why) {
  *range = (struct input_range){0};
  if (!g->count) return FUSION_OK;
  const struct program *program = &p->program;
  const struct shape shape = program->steps[0].out.shape;
  struct preprocess chosen;
  struct part part = {0};
  fusion_status status = preprocess_choose(&chosen, &program->preprocess, shape, g->pictures, why);
  if (status == FUSION_OK) status = inputs_check_channels(&chosen, shape, g->source, why);
  if (status != FUSION_OK) return status;
  const size_t raw_size = preprocess_row_size(&chosen, shape);
  FAIL_IF(part_open(&part, p->input_size, raw_size, g->count) != FUSION_OK,
          error_set(why, FUSION_E_MEMORY, "out of memory for the inputs"));
  for (size_t first = 0; first < g->count; first += part.most) {
    const size_t count = size_min(part.most, g->count - first);
    struct input_range found;
    const double *raw = inputs_read(g, raw_size, first, count, part.raw);
    TRY(preprocess_check_tokens(&chosen, shape, raw, count, first, why));
    preprocess_apply(&chosen, shape, raw, count, part.real);
    TRY(program_quantise_input(program, part.real, count, part.whole, why));
    program_input_range(program, part.real, count, &found);
    input_range_add(range, &found, first);
    packed_write(out + first * prepare_row_len(p), part.whole, count * p->input_size, p->input_len);
  }
  status = inputs_check_range(range, program, g, clip, why);
cleanup:
  part_close(&part);
  return status;
}

static fusion_status take_room(struct prepared_job *p, const struct mix_choice *c, fusion_error *why) {
  size_t queries, public_samples;
  if (size_mul((size_t)c->queries, prepare_row_len(p), &queries)) p->queries = mem_alloc(queries, 1);
  if (size_mul((size_t)c->public_samples, prepare_row_len(p), &public_samples))
    p->public_samples = mem_alloc(public_samples, 1);
  if (p->queries && p->public_samples) return FUSION_OK;
  return error_set(why, FUSION_E_MEMORY, "out of memory for the inputs");
}

/* The public samples first: a range that does not hold them tells nothing of the queries. */
static fusion_status take_inputs(struct prepared_job *p, const struct job_terms *t, fusion_error *why) {
  const struct input_group queries = inputs_queries(t->input), labelled = inputs_public(t->input);
  const struct job_canaries *canaries = t->input->canaries;
  const size_t canaries_kept = job_canary_count(t->input);
  const bool clip = t->settings->clip != 0;
  p->labels = mem_alloc(size_max(job_labelled_count(t->input), 1), sizeof *p->labels);
  if (!p->labels) return error_set(why, FUSION_E_MEMORY, "out of memory for the labels");
  fusion_status status = inputs_take_job_labels(&p->program, t->input, p->labels, why);
  if (status == FUSION_OK && t->settings->probabilities) status = inputs_check_probabilities(&p->program, why);
  if (status == FUSION_OK && canaries) status = inputs_check_canaries(&p->program, canaries, why);
  if (status == FUSION_OK) status = take_room(p, &t->input->choice, why);
  if (status != FUSION_OK) return status;
  if (canaries) packed_write(p->public_samples, canaries->inputs, canaries_kept * p->input_size, p->input_len);
  uint8_t *after = p->public_samples + canaries_kept * prepare_row_len(p);
  TRY(quantise(p, &labelled, clip, &p->public_range, after, why));
  TRY(quantise(p, &queries, clip, &p->query_range, p->queries, why));
cleanup:
  return status;
}

fusion_status prepare_program(struct prepared_job *p, const struct job_terms *t, const uint8_t *bytes, size_t len,
                              fusion_error *why) {
  struct reader r = reader_of(bytes, len);
  fusion_error program_error = {.status = FUSION_OK};
  manifest_hash(p->manifest_hash, bytes, len);
  fusion_status status = check_hash(p->manifest_hash, t->handles->manifest, why);
  if (status != FUSION_OK) return status;
  status = program_decode(&p->program, &r, &program_error);
  if (status != FUSION_OK)
    return error_set(why, FUSION_E_PEER, "the server's manifest is not valid: %s", program_error.text);
  p->has_program = true;
  status = check_id(p->program.model_id, t->handles->model_id, NULL, why);
  if (status == FUSION_OK) status = check_audited(&p->program, p->manifest_hash, t->input->canaries, why);
  if (status != FUSION_OK) return status;
  status = engine_check(t->handles->engine, &p->program, &program_error);
  if (status == FUSION_E_MEMORY) return error_set(why, status, "%s", program_error.text);
  if (status != FUSION_OK) return error_set(why, FUSION_E_PEER, "the server's model: %s", program_error.text);
  if (!reader_done(&r)) return error_set(why, FUSION_E_PEER, "the server's manifest has bytes left over");
  p->input_size = shape_size(p->program.steps[0].out.shape);
  p->answer_size = program_answer_size(&p->program);
  p->input_len = packed_len(p->program.steps[0].out.value_bits);
  return FUSION_OK;
}

/* A copy for tasks, which bring the manifest along. */
static fusion_status keep_manifest(struct prepared_job *p, const uint8_t *bytes, size_t len, fusion_error *why) {
  p->manifest = mem_alloc(len, 1);
  if (!p->manifest) return error_set(why, FUSION_E_MEMORY, "out of memory for the manifest");
  memcpy(p->manifest, bytes, len);
  p->manifest_len = len;
  return FUSION_OK;
}

/* Everything but the journal's part: a resumed job knows its manifest too. */
static fusion_status take_manifest(struct prepared_job *p, const struct job_terms *t, const uint8_t *bytes, size_t len,
                                   double round_trip_seconds, fusion_error *why) {
  const struct job_input *in = t->input;
  fusion_status status = prepare_program(p, t, bytes, len, why);
  if (status == FUSION_OK && t->settings->run_task) status = keep_manifest(p, bytes, len, why);
  if (status != FUSION_OK) return status;
  TRY(inputs_check_width(in->row_size, &p->program.preprocess, p->program.steps[0].out.shape,
                         job_is_audit(in) ? in->public_source : in->query_source, why));
  TRY(choose_check(p, t, why));
  TRY(take_answers(p, t, why));
  if (p->todo) TRY(prepare_cut(p, t, round_trip_seconds, why));
  TRY(take_inputs(p, t, why));
  TRY(draw_mix(p, t, why));
cleanup:
  return status;
}

fusion_status prepare_manifest(struct prepared_job *p, const struct job_terms *t, const uint8_t *bytes, size_t len,
                               double round_trip_seconds, fusion_error *why) {
  struct journal *journal = t->handles->journal;
  fusion_status status = take_manifest(p, t, bytes, len, round_trip_seconds, why);
  if (status != FUSION_OK || !journal) return status;
  struct journal_job described;
  status = describe(&described, p, t, why);
  if (status != FUSION_OK) return status;
  described.manifest = bytes;
  described.manifest_len = len;
  return journal_begin(journal, &described, why);
}

fusion_status prepare_resume(struct prepared_job *p, const struct job_terms *t, fusion_error *why) {
  const struct journal *journal = t->handles->journal;
  const struct journal_job *kept = journal_resumed(journal);
  struct journal_job here;
  fusion_status status = describe(&here, p, t, why);
  if (status == FUSION_OK) status = journal_check(journal, &here, why);
  return status == FUSION_OK ? take_manifest(p, t, kept->manifest, kept->manifest_len, 0, why) : status;
}

struct prepared_job prepare_begin(const struct job_terms *t) {
  const struct mix_choice *c = &t->input->choice;
  const size_t samples = (size_t)mix_choice_samples(c);
  return (struct prepared_job){.samples = samples, .todo = samples};
}

void prepare_rows(const struct prepared_job *p, uint8_t *out, size_t first, size_t count) {
  const size_t row_len = prepare_row_len(p);
  if (p->rows)
    memcpy(out, p->rows + first * row_len, count * row_len);
  else
    mix_rows(p->mix, out, p->queries, p->public_samples, row_len, first, count);
}

void prepare_free(struct prepared_job *p, const struct job_terms *t) {
  if (p->queries) mem_free_secret(p->queries, (size_t)t->input->choice.queries * prepare_row_len(p));
  if (p->public_samples)
    mem_free_secret(p->public_samples, (size_t)t->input->choice.public_samples * prepare_row_len(p));
  mem_free_secret(p->labels, size_max(job_labelled_count(t->input), 1) * sizeof *p->labels);
  mem_free_secret(p->answers, p->samples * p->answer_size * sizeof *p->answers);
  mem_free(p->manifest);
  mem_free(p->done);
  mix_free(p->mix);
  if (p->has_program) program_free(&p->program);
  *p = (struct prepared_job){0};
}
