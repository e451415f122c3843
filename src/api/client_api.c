#include <sodium.h>
#include <time.h>
#include <unistd.h>

#include <fusion/client.h>
#include <fusion/receipts.h>

#include "api/client_api.h"
#include "api/model_api.h"
#include "api/speeds_api.h"
#include "base/sized.h"
#include "mixcheck/report.h"
#include "session/ahead.h"
#include "session/keep.h"
#include "session/messages.h"
#include "session/prepare.h"
#include "session/task.h"

enum {
  WORKERS_MAX = 256,
  CHECKED_NUMBERS = 1 << 16, /* of a part of the queries that is looked at */
};

/* The arrays of a job, real and contiguous. */
struct inputs {
  double *public_samples; /* owned */
  int64_t *labels;        /* owned, secret */
  size_t *public_rows;    /* owned, secret: which rows were drawn */
  size_t drawn;           /* public samples */
  struct job_canaries canaries;
  int64_t *canary_inputs, *canary_answers; /* owned, secret: its arrays */
};

/* What the caller gives; NULL where a job has none. */
struct asked {
  const fusion_array *queries, *public_samples, *labels;
};

void fusion_client_init(fusion_client_settings *settings, size_t size) {
  const fusion_plan_request plan = fusion_plan_request_default();
  const fusion_client_settings defaults = {.size = sizeof defaults,
                                           .engine = "cheetah",
                                           .tries = 3,
                                           .max_manifest = UINT64_C(64) << 20,
                                           .connect_timeout_ms = 10000,
                                           .timeout_ms = 120000,
                                           .security_bits = plan.security_bits,
                                           .min_public = plan.min_public,
                                           .min_accuracy = plan.min_accuracy,
                                           .confidence = 0.95,
                                           .min_canaries = 20};
  sized_init(settings, size, &defaults);
}

enum { PIN_LEN = 32 }; /* bytes of what a client can pin */
static_assert((int)PIN_LEN == (int)SESSION_HASH_LEN && (int)PIN_LEN == (int)MODEL_ID_LEN &&
                  (int)PIN_LEN == (int)RECEIPT_KEY_LEN,
              "pins have one length");

/* 64 hexadecimal digits to `bytes`, to which *pin then points; NULL: none. */
static fusion_status take_pin(uint8_t bytes[PIN_LEN], const uint8_t **pin, const char *text, const char *what,
                              fusion_error *err) {
  size_t len;
  if (!text) return FUSION_OK;
  if (strlen(text) != 2 * PIN_LEN || sodium_hex2bin(bytes, PIN_LEN, text, strlen(text), NULL, &len, NULL) ||
      len != PIN_LEN)
    return error_set(err, FUSION_E_USAGE, "'%.80s': not %s, %d hexadecimal digits", text, what, 2 * PIN_LEN);
  *pin = bytes;
  return FUSION_OK;
}

static fusion_status check_settings(const fusion_client_settings *s, fusion_error *err) {
  if (!s->server) return error_set(err, FUSION_E_USAGE, "a client needs a server's address");
  const fusion_status status = fusion_engine_check(s->engine, err);
  if (status != FUSION_OK) return status;
  if (s->plaintext && (s->tls_ca || s->tls_cert || s->tls_key))
    return error_set(err, FUSION_E_USAGE, "plaintext and TLS files exclude each other");
  if (s->workers > WORKERS_MAX)
    return error_set(err, FUSION_E_USAGE, "the number of workers is 1 to %d, or 0 to have it chosen", WORKERS_MAX);
  if (!s->tries || !s->connect_timeout_ms || !s->timeout_ms || s->connect_timeout_ms > INT32_MAX ||
      s->timeout_ms > INT32_MAX)
    return error_set(err, FUSION_E_USAGE, "tries and time-outs must not be 0; time-outs are 24 days at most");
  if (s->receipt_key && !s->receipts)
    return error_set(err, FUSION_E_USAGE, "a receipt key is for a client that asks for receipts");
  if (s->run_task && s->receipts)
    return error_set(err, FUSION_E_USAGE, "receipts are for jobs that run here, not for tasks");
  if (!(s->confidence > 0 && s->confidence < 1))
    return error_set(err, FUSION_E_USAGE, "the confidence lies between 0 and 1");
  if (s->prepared && s->journal)
    return error_set(err, FUSION_E_USAGE, "a prepared job cannot be resumed: it takes no journal");
  if (s->prepared && s->run_task) return error_set(err, FUSION_E_USAGE, "a prepared job runs here, not as tasks");
  if (s->keep && (s->prepared || s->run_task))
    return error_set(err, FUSION_E_USAGE, "a prepared job, and one of tasks, makes no set-up of its own to keep");
  if (s->min_canaries < 1 || s->min_canaries > FUSION_PUBLIC_MAX)
    return error_set(err, FUSION_E_USAGE, "the least number of canaries is 1 to 2^32");
  return FUSION_OK;
}

static fusion_status take_model(fusion_client *c, const char *name, fusion_error *err) {
  if (!name) return FUSION_OK;
  if (!model_name_is_valid(name))
    return error_set(err, FUSION_E_USAGE, "'%.130s': not a model's name; write NAME or NAME@VERSION", name);
  strcpy(c->model, name);
  c->handles.model = c->model;
  return FUSION_OK;
}

static fusion_status copy_path(char **out, const char *path, fusion_error *err) {
  if (!path) return FUSION_OK;
  *out = mem_alloc(strlen(path) + 1, 1);
  if (!*out) return error_set(err, FUSION_E_MEMORY, "out of memory for a client");
  strcpy(*out, path);
  return FUSION_OK;
}

fusion_status fusion_client_open(fusion_client **out, const fusion_client_settings *settings, fusion_error *err) {
  *out = NULL;
  fusion_client *c = NULL;
  fusion_client_settings known = fusion_client_defaults();
  const fusion_client_settings *s = &known;
  fusion_status status = sized_take(&known, settings, "fusion_client_settings", err);
  if (status == FUSION_OK) status = check_settings(s, err);
  if (status != FUSION_OK) return status;
  c = mem_alloc(1, sizeof *c);
  if (!c) return error_set(err, FUSION_E_MEMORY, "out of memory for a client");
  c->settings = *s;
  c->handles.cancelled = &c->cancelled;
  TRY(engine_named(&c->handles.engine, s->engine, err));
  TRY(net_address_parse(&c->handles.address, s->server, err));
  TRY(take_model(c, s->model, err));
  TRY(take_pin(c->manifest, &c->handles.manifest, s->manifest, "a manifest's hash; give the verdict's manifest_hash",
               err));
  TRY(take_pin(c->model_id, &c->handles.model_id, s->model_id, "a model's id; give the verdict's model_id", err));
  c->handles.receipts = s->receipts != 0;
  TRY(take_pin(c->receipt_key, &c->handles.receipt_key, s->receipt_key, "a receipt key; 'fusion keygen' prints it",
               err));
  TRY(copy_path(&c->journal, s->journal, err));
  TRY(copy_path(&c->prepared, s->prepared, err));
  TRY(copy_path(&c->keep, s->keep, err));
  TRY(copy_path(&c->canary_path, s->canaries, err));
  TRY(speeds_take(&c->speeds, s->speeds, "client", err));
  if (s->speeds) c->handles.speeds = &c->speeds;
  if (s->canaries) TRY(canaries_load(&c->canaries, s->canaries, err));
  if (!s->plaintext) TRY(tls_client_new(&c->handles.tls, s->tls_ca, s->tls_cert, s->tls_key, err));
  *out = c;
  return FUSION_OK;
cleanup:
  fusion_client_close(c);
  return status;
}

fusion_status fusion_client_prepare(fusion_client *client, uint64_t samples, const char *path, fusion_error *err) {
  return ahead_prepare(&client->settings, &client->handles, samples, path, err);
}

void fusion_client_cancel(fusion_client *client) {
  atomic_store(&client->cancelled, 1);
}

void fusion_client_close(fusion_client *client) {
  if (!client) return;
  tls_free(client->handles.tls);
  mem_free(client->journal);
  mem_free(client->prepared);
  mem_free(client->keep);
  mem_free(client->canary_path);
  canaries_free(&client->canaries);
  mem_free(client);
}

static fusion_plan_request request_of(const fusion_client *c, uint64_t queries) {
  return (fusion_plan_request){.size = sizeof(fusion_plan_request),
                               .queries = queries,
                               .security_bits = c->settings.security_bits,
                               .min_public = c->settings.min_public,
                               .min_accuracy = c->settings.min_accuracy,
                               .public_copies = c->settings.public_copies,
                               .min_canaries = c->canary_path ? c->settings.min_canaries : 0};
}

fusion_status fusion_client_plan(const fusion_client *c, uint64_t queries, fusion_plan_choice *choice,
                                 fusion_error *err) {
  const fusion_plan_request request = request_of(c, queries);
  return fusion_plan_copies(&request, choice, err);
}

static void inputs_free(struct inputs *in) {
  mem_free(in->public_samples);
  mem_free(in->labels);
  mem_free_secret(in->canary_inputs, in->canaries.count * in->canaries.input_size * sizeof *in->canary_inputs);
  mem_free_secret(in->canary_answers, in->canaries.count * in->canaries.answer_size * sizeof *in->canary_answers);
  mem_free_secret(in->public_rows, in->drawn * sizeof *in->public_rows);
}

static fusion_status check_arrays(const struct asked *a, uint64_t labelled, fusion_error *err) {
  if (!a->public_samples) return FUSION_OK;
  const size_t rows = fusion_array_rows(a->public_samples), width = fusion_array_row_size(a->public_samples);
  if (a->queries && fusion_array_row_size(a->queries) != width)
    return error_set(err, FUSION_E_INPUT, "queries have %zu numbers each, public samples %zu; they must be alike",
                     fusion_array_row_size(a->queries), width);
  if (fusion_array_rows(a->labels) != rows || fusion_array_row_size(a->labels) != 1)
    return error_set(err, FUSION_E_INPUT, "%zu public samples need one label each; there are %zu rows of %zu", rows,
                     fusion_array_rows(a->labels), fusion_array_row_size(a->labels));
  if (rows < labelled)
    return error_set(err, FUSION_E_INPUT, "this job needs %llu public samples with labels; there are %zu",
                     (unsigned long long)labelled, rows);
  return FUSION_OK;
}

/* The drawn rows and their labels. */
static fusion_status take_public(struct inputs *in, const fusion_array *samples, const fusion_array *labels,
                                 const struct journal *journal, size_t count, fusion_error *err) {
  const size_t width = fusion_array_row_size(samples);
  in->drawn = count;
  in->public_rows = mem_alloc(count, sizeof *in->public_rows);
  if (!in->public_rows) return error_set(err, FUSION_E_MEMORY, "out of memory for the public samples");
  fusion_status status = prepare_public_rows(in->public_rows, count, fusion_array_rows(samples), journal, err);
  for (size_t i = 0; i < count && status == FUSION_OK; i++) {
    const size_t row = in->public_rows[i];
    status = fusion_array_to_double(samples, row, 1, in->public_samples + i * width, err);
    if (status == FUSION_OK) status = fusion_array_to_int64(labels, row, 1, in->labels + i, err);
  }
  return status;
}

/* The drawn canaries. */
static fusion_status take_canaries(struct inputs *in, const struct canaries *c, const struct journal *journal,
                                   size_t count, fusion_error *err) {
  fusion_status status = FUSION_OK;
  uint64_t rows = c->rows;
  size_t *drawn = mem_alloc(count, sizeof *drawn);
  int64_t *inputs = in->canary_inputs = mem_alloc(count, c->input_size * sizeof *inputs);
  int64_t *answers = in->canary_answers = mem_alloc(count, c->answer_size * sizeof *answers);
  in->canaries = (struct job_canaries){.count = count,
                                       .input_size = c->input_size,
                                       .answer_size = c->answer_size,
                                       .inputs = inputs,
                                       .answers = answers,
                                       .manifest_hash = c->manifest_hash,
                                       .model_id = c->model_id,
                                       .audited_utc = c->audited_utc};
  FAIL_IF(!drawn || !inputs || !answers, error_set(err, FUSION_E_MEMORY, "out of memory for the canaries"));
  TRY(prepare_canary_rows(drawn, count, &rows, journal, err));
  in->canaries.rows = rows;
  for (size_t i = 0; i < count; i++) {
    memcpy(inputs + i * c->input_size, c->inputs + drawn[i] * c->input_size, c->input_size * sizeof *inputs);
    memcpy(answers + i * c->answer_size, c->answers + drawn[i] * c->answer_size, c->answer_size * sizeof *answers);
  }
cleanup:
  mem_free_secret(drawn, drawn ? count * sizeof *drawn : 0);
  return status;
}

/* Finite throughout, before the server hears of the job: after its first message only constant flow reads them. */
static fusion_status check_numbers(const fusion_array *a, fusion_error *err) {
  const size_t rows = fusion_array_rows(a), width = fusion_array_row_size(a);
  const size_t most = size_max(CHECKED_NUMBERS / size_max(width, 1), 1);
  double *room = mem_alloc(size_min(most, rows) * width, sizeof *room);
  if (!room) return error_set(err, FUSION_E_MEMORY, "out of memory for the inputs");
  fusion_status status = FUSION_OK;
  for (size_t first = 0; first < rows && status == FUSION_OK; first += most)
    status = fusion_array_to_double(a, first, size_min(most, rows - first), room, err);
  mem_free_secret(room, size_min(most, rows) * width * sizeof *room);
  return status;
}

static fusion_status take_inputs(struct inputs *in, const struct asked *a, size_t labelled,
                                 const struct journal *journal, fusion_error *err) {
  const size_t width = fusion_array_row_size(a->queries ? a->queries : a->public_samples);
  size_t public_count;
  if (!size_mul(labelled, width, &public_count)) return error_set(err, FUSION_E_MEMORY, "the arrays are too large");
  in->public_samples = mem_alloc(public_count, sizeof *in->public_samples);
  in->labels = mem_alloc(labelled, sizeof *in->labels);
  if (!in->public_samples || !in->labels) return error_set(err, FUSION_E_MEMORY, "out of memory for the inputs");
  fusion_status status = FUSION_OK;
  if (a->queries) status = check_numbers(a->queries, err);
  if (status == FUSION_OK && labelled) status = take_public(in, a->public_samples, a->labels, journal, labelled, err);
  return status;
}

static void write_utc(char *out, size_t len) {
  const time_t now = time(NULL);
  struct tm utc;
  if (!gmtime_r(&now, &utc) || !strftime(out, len, "%Y-%m-%dT%H:%M:%SZ", &utc)) snprintf(out, len, "unknown time");
}

static void remember_verdict(fusion_client *c, const fusion_verdict *v) {
  c->rejected_utc[0] = '\0';
  if (v->accepted) return;
  write_utc(c->rejected_utc, sizeof c->rejected_utc);
  snprintf(c->rejected_why, sizeof c->rejected_why, "%s", v->reason);
}

static void start_verdict(fusion_verdict *v, const fusion_client *c, const fusion_plan_choice *choice) {
  v->queries = choice->queries;
  v->copies = choice->copies;
  v->public_samples = choice->public_samples;
  v->public_copies = choice->public_copies;
  v->canaries = choice->canaries;
  v->audit = choice->queries == 0;
  v->samples = choice->samples;
  v->allowed_errors = choice->allowed_errors;
  v->soundness_bits = choice->soundness_bits;
  v->paper_bits = choice->paper_bits;
  v->security_bits = c->settings.security_bits;
  v->min_accuracy = c->settings.min_accuracy;
  v->confidence = c->settings.confidence;
  write_utc(v->started_utc, sizeof v->started_utc);
}

/* The audit that the canaries are of. */
static fusion_status tell_audit(fusion_result *r, const struct canaries *c, const char *utc, fusion_error *err) {
  fusion_verdict *v = &r->verdict;
  r->classes = mem_alloc(c->class_count, sizeof *r->classes);
  if (!r->classes) return error_set(err, FUSION_E_MEMORY, "out of memory for the result");
  for (size_t i = 0; i < c->class_count; i++)
    r->classes[i] = (fusion_verdict_class){.label = class_number(&r->output.program.labels, c->classes[i].label),
                                           .samples = c->classes[i].samples,
                                           .wrong = c->classes[i].wrong};
  v->class_count = c->class_count;
  v->audited_samples = c->audited;
  v->audited_wrong = c->wrong;
  snprintf(v->audited_utc, sizeof v->audited_utc, "%s", utc);
  verdict_rate_audit(v, r->classes);
  return FUSION_OK;
}

/* That nothing is kept costs the next job time, and this one nothing. */
static void keep_set_up(struct keep *keep, fusion_verdict *v) {
  fusion_error why = {.status = FUSION_OK};
  if (keep_write(keep, &why) == FUSION_OK) return;
  const size_t end = strlen(v->note);
  snprintf(v->note + end, sizeof v->note - end, "%sthe set-up is not kept: %s", end ? "; " : "", why.text);
}

static fusion_status run_job(fusion_client *client, const struct asked *a, const fusion_plan_choice *choice,
                             fusion_result *r, fusion_error *err) {
  struct inputs in = {0};
  struct job_handles handles = client->handles;
  struct picture_form query_form, public_form;
  const bool query_pictures = a->queries && array_picture_form(a->queries, &query_form);
  const bool public_pictures = a->public_samples && array_picture_form(a->public_samples, &public_form);
  const size_t labelled = (size_t)(choice->public_samples - choice->canaries);
  const struct mix_choice mix = {choice->queries, choice->copies, choice->public_samples, choice->allowed_errors,
                                 choice->public_copies};
  fusion_status status = FUSION_OK;
  client->rejected_utc[0] = '\0';
  TRY(check_arrays(a, labelled, err));
  if (client->keep) TRY(keep_open(&handles.keep, client->keep, err));
  if (client->prepared) TRY(ahead_open(&handles.ahead, client->prepared, err));
  if (client->journal) TRY(journal_open(&handles.journal, client->journal, client->settings.again != 0, err));
  TRY(take_inputs(&in, a, labelled, handles.journal, err));
  if (choice->canaries) TRY(take_canaries(&in, &client->canaries, handles.journal, (size_t)choice->canaries, err));
  start_verdict(&r->verdict, client, choice);
  const struct job_input input = {.query_pictures = query_pictures ? &query_form : NULL,
                                  .public_pictures = public_pictures ? &public_form : NULL,
                                  .query_source = a->queries,
                                  .public_source = a->public_samples,
                                  .label_source = labelled ? a->labels : NULL,
                                  .public_rows = in.public_rows,
                                  .public_samples = in.public_samples,
                                  .labels = in.labels,
                                  .canaries = choice->canaries ? &in.canaries : NULL,
                                  .row_size = fusion_array_row_size(a->queries ? a->queries : a->public_samples),
                                  .choice = mix};
  const struct job_terms terms = {&client->settings, &handles, &input};
  TRY(job_run(&terms, &r->output, &r->verdict, err));
  if (handles.keep) keep_set_up(handles.keep, &r->verdict);
  if (choice->canaries) TRY(tell_audit(r, &client->canaries, client->canaries.audited_utc, err));
  if (r->verdict.audit && r->verdict.accepted) {
    TRY(result_count_audit(r, err));
    TRY(tell_audit(r, &r->found, r->verdict.started_utc, err));
  }
  verdict_explain(&r->verdict);
  remember_verdict(client, &r->verdict);
cleanup:
  journal_close(handles.journal);
  ahead_close(handles.ahead);
  keep_close(handles.keep);
  inputs_free(&in);
  return status;
}

/* Runs the job of the choice into a result of its own. */
static fusion_status answer(fusion_client *client, const struct asked *a, const fusion_plan_choice *choice,
                            fusion_result **result, fusion_error *err) {
  fusion_result *r = mem_alloc(1, sizeof *r);
  if (!r) return error_set(err, FUSION_E_MEMORY, "out of memory for the result");
  const fusion_status status = run_job(client, a, choice, r, err);
  if (status == FUSION_OK) *result = r;
  if (status != FUSION_OK) fusion_result_free(r);
  return status;
}

fusion_status fusion_client_query(fusion_client *client, const fusion_array *queries,
                                  const fusion_array *public_samples, const fusion_array *labels,
                                  fusion_result **result, fusion_error *err) {
  const struct asked asked = {queries, public_samples, labels};
  fusion_plan_choice choice = {.size = sizeof choice};
  fusion_plan_request request = request_of(client, fusion_array_rows(queries));
  *result = NULL;
  if (!public_samples != !labels || (!public_samples && !client->canary_path))
    return error_set(err, FUSION_E_USAGE, "a job needs public samples with their labels, or canaries");
  if (!public_samples) request.min_public = 0;
  const fusion_status status = fusion_plan_copies(&request, &choice, err);
  return status == FUSION_OK ? answer(client, &asked, &choice, result, err) : status;
}

fusion_status fusion_client_audit(fusion_client *client, const fusion_array *public_samples, const fusion_array *labels,
                                  fusion_result **result, fusion_error *err) {
  const struct asked asked = {.public_samples = public_samples, .labels = labels};
  fusion_plan_choice choice = {.size = sizeof choice};
  const fusion_plan_request request = request_of(client, 0);
  *result = NULL;
  const fusion_status status = fusion_plan_audit(&request, fusion_array_rows(public_samples), &choice, err);
  return status == FUSION_OK ? answer(client, &asked, &choice, result, err) : status;
}

fusion_status fusion_client_forget(fusion_client *client, fusion_error *err) {
  if (!client->journal) return FUSION_OK;
  if (client->rejected_utc[0]) return journal_reject(client->journal, client->rejected_utc, client->rejected_why, err);
  return journal_remove(client->journal, err);
}

size_t fusion_task_report_len(const void *task, size_t len) {
  struct task decoded;
  fusion_error ignored = {.status = FUSION_OK};
  return task_decode(&decoded, task, len, &ignored) == FUSION_OK ? task_report_len(&decoded) : 0;
}

fusion_status fusion_client_run_task(fusion_client *client, const void *task, size_t len, void *report,
                                     fusion_error *err) {
  struct task decoded;
  struct job_handles handles = client->handles;
  fusion_client_settings settings = client->settings;
  const struct job_input none = {.row_size = 0};
  const struct job_terms terms = {&settings, &handles, &none};
  fusion_status status = task_decode(&decoded, task, len, err);
  if (status == FUSION_OK) status = engine_named(&handles.engine, decoded.engine, err);
  if (status != FUSION_OK) return status;
  settings.run_task = NULL;
  handles.receipts = false;
  return task_run(&terms, &decoded, report, err);
}

const void *fusion_result_receipts(const fusion_result *result, size_t *len) {
  *len = result->output.receipts.len;
  return result->output.receipts.data;
}

const fusion_verdict *fusion_result_verdict(const fusion_result *result) {
  return &result->verdict;
}

fusion_status fusion_result_describe(const fusion_result *result, fusion_model_info *info, fusion_error *err) {
  struct model program_alone = {.program = result->output.program};
  const fusion_model model = {.model = &program_alone};
  if (!result->output.program.count) return error_set(err, FUSION_E_USAGE, "the result has no model's manifest");
  return fusion_model_describe(&model, info, err);
}

bool fusion_result_is_label(const fusion_result *result) {
  return result->output.program.output == OUTPUT_LABEL || result->output.labels_only;
}

static fusion_status to_labels(const fusion_model *model, const fusion_array *raw, fusion_array **out,
                               fusion_error *err) {
  const size_t rows = fusion_array_rows(raw);
  fusion_status status = fusion_array_create(out, FUSION_I64, 1, &rows, NULL);
  if (status != FUSION_OK) return error_set(err, status, "out of memory for the labels");
  status = fusion_model_labels(model, raw, fusion_array_data_mutable(*out), err);
  if (status == FUSION_OK) return status;
  fusion_array_free(*out);
  *out = NULL;
  return status;
}

/* Numbers of an answer whose label alone was compared could be anything. */
static fusion_status compared_labels(const struct job_output *output, fusion_answer_form form, fusion_array **out,
                                     fusion_error *err) {
  if (form != FUSION_ANSWERS_LABELS)
    return error_set(err, FUSION_E_USAGE, "only labels were compared, so only labels can be read");
  const fusion_status status = fusion_array_create(out, FUSION_I64, 1, &output->queries, output->answers);
  if (status != FUSION_OK) return error_set(err, status, "out of memory for the labels");
  int64_t *labels = fusion_array_data_mutable(*out);
  for (size_t i = 0; i < output->queries; i++) labels[i] = class_number(&output->program.labels, labels[i]);
  return FUSION_OK;
}

fusion_status fusion_result_answers(const fusion_result *r, fusion_answer_form form, fusion_array **out,
                                    fusion_error *err) {
  *out = NULL;
  if (!r->output.answers) return error_set(err, FUSION_E_USAGE, "rejected answers cannot be read");
  if (r->output.labels_only) return compared_labels(&r->output, form, out, err);
  struct model program_alone = {.program = r->output.program};
  const fusion_model model = {.model = &program_alone};
  const size_t shape[2] = {r->output.queries, r->output.answer_size};
  fusion_array *raw;
  fusion_status status = fusion_array_create(&raw, FUSION_I64, 2, shape, r->output.answers);
  if (status != FUSION_OK) return error_set(err, status, "out of memory for the answers");
  switch (form) {
    case FUSION_ANSWERS_RAW: *out = raw; return FUSION_OK;
    case FUSION_ANSWERS_REAL:
    case FUSION_ANSWERS_PROBABILITIES:
      status = fusion_model_real_answers(&model, raw, form == FUSION_ANSWERS_PROBABILITIES, out, err);
      break;
    case FUSION_ANSWERS_LABELS: status = to_labels(&model, raw, out, err); break;
    default: status = error_set(err, FUSION_E_USAGE, "unknown form of answers"); break;
  }
  fusion_array_free(raw);
  return status;
}

bool fusion_result_class(const fusion_result *result, size_t index, int64_t *number, const char **text) {
  return program_class(&result->output.program, index, number, text);
}

void fusion_result_free(fusion_result *result) {
  if (!result) return;
  job_output_free(&result->output);
  canaries_free(&result->found);
  mem_free(result->classes);
  mem_free(result);
}
