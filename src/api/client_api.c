#include <sodium.h>
#include <time.h>
#include <unistd.h>

#include <fusion/client.h>
#include <fusion/receipts.h>

#include "api/model_api.h"
#include "base/sized.h"
#include "mixcheck/report.h"
#include "session/job.h"
#include "session/prepare.h"

enum { WORKERS_MAX = 256 };

struct fusion_client {
  fusion_client_settings settings; /* its texts are gone */
  struct job_handles handles;      /* its TLS context is owned; no journal yet */
  char *journal;                   /* owned: path, NULL for none */
  uint8_t manifest[SESSION_HASH_LEN], model_id[MODEL_ID_LEN],
      receipt_key[RECEIPT_KEY_LEN]; /* what the handles point to, if anything */
  /* How the last job was rejected, for the journal; empty if it was not. */
  char rejected_utc[JOURNAL_WHEN_LEN], rejected_why[JOURNAL_WHY_LEN];
  atomic_int cancelled;
};

struct fusion_result {
  fusion_verdict verdict;
  struct job_output output;
};

/* The arrays of a job, real and contiguous. */
struct inputs {
  double *queries, *public_samples; /* owned; queries secret */
  int64_t *labels;                  /* owned, secret */
  size_t *public_rows;              /* owned, secret: which rows were drawn */
  size_t query_count, public_count; /* numbers in each */
  size_t drawn;
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
                                           .confidence = 0.95};
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
  if (!(s->confidence > 0 && s->confidence < 1))
    return error_set(err, FUSION_E_USAGE, "the confidence lies between 0 and 1");
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
  TRY(take_pin(c->manifest, &c->handles.manifest, s->manifest, "a manifest's hash; give the verdict's manifest_hash",
               err));
  TRY(take_pin(c->model_id, &c->handles.model_id, s->model_id, "a model's id; give the verdict's model_id", err));
  c->handles.receipts = s->receipts != 0;
  TRY(take_pin(c->receipt_key, &c->handles.receipt_key, s->receipt_key, "a receipt key; 'fusion keygen' prints it",
               err));
  if (s->journal) {
    c->journal = mem_alloc(strlen(s->journal) + 1, 1);
    FAIL_IF(!c->journal, error_set(err, FUSION_E_MEMORY, "out of memory for a client"));
    strcpy(c->journal, s->journal);
  }
  if (!s->plaintext) TRY(tls_client_new(&c->handles.tls, s->tls_ca, s->tls_cert, s->tls_key, err));
  *out = c;
  return FUSION_OK;
cleanup:
  fusion_client_close(c);
  return status;
}

void fusion_client_cancel(fusion_client *client) {
  atomic_store(&client->cancelled, 1);
}

void fusion_client_close(fusion_client *client) {
  if (!client) return;
  tls_free(client->handles.tls);
  mem_free(client->journal);
  mem_free(client);
}

fusion_status fusion_client_plan(const fusion_client *c, uint64_t queries, fusion_plan_choice *choice,
                                 fusion_error *err) {
  const fusion_plan_request request = {.size = sizeof request,
                                       .queries = queries,
                                       .security_bits = c->settings.security_bits,
                                       .min_public = c->settings.min_public,
                                       .min_accuracy = c->settings.min_accuracy,
                                       .public_copies = c->settings.public_copies};
  return fusion_plan_copies(&request, choice, err);
}

static void inputs_free(struct inputs *in) {
  mem_free_secret(in->queries, in->query_count * sizeof *in->queries);
  mem_free(in->public_samples);
  mem_free(in->labels);
  mem_free_secret(in->public_rows, in->drawn * sizeof *in->public_rows);
}

static fusion_status check_arrays(const fusion_array *queries, const fusion_array *public_samples,
                                  const fusion_array *labels, const fusion_plan_choice *choice, fusion_error *err) {
  const size_t rows = fusion_array_rows(public_samples), width = fusion_array_row_size(queries);
  if (fusion_array_row_size(public_samples) != width)
    return error_set(err, FUSION_E_INPUT, "queries have %zu numbers each, public samples %zu; they must be alike",
                     width, fusion_array_row_size(public_samples));
  if (fusion_array_rows(labels) != rows || fusion_array_row_size(labels) != 1)
    return error_set(err, FUSION_E_INPUT, "%zu public samples need one label each; there are %zu rows of %zu", rows,
                     fusion_array_rows(labels), fusion_array_row_size(labels));
  if (rows < choice->public_samples)
    return error_set(err, FUSION_E_INPUT, "this job needs %llu public samples with labels; there are %zu",
                     (unsigned long long)choice->public_samples, rows);
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

static fusion_status take_inputs(struct inputs *in, const fusion_array *queries, const fusion_array *public_samples,
                                 const fusion_array *labels, const fusion_plan_choice *choice,
                                 const struct journal *journal, fusion_error *err) {
  const size_t width = fusion_array_row_size(queries), count = (size_t)choice->public_samples;
  size_t query_count, public_count;
  if (!size_mul((size_t)choice->queries, width, &query_count) || !size_mul(count, width, &public_count))
    return error_set(err, FUSION_E_MEMORY, "the arrays are too large");
  in->query_count = query_count;
  in->public_count = public_count;
  in->queries = mem_alloc(query_count, sizeof *in->queries);
  in->public_samples = mem_alloc(public_count, sizeof *in->public_samples);
  in->labels = mem_alloc(count, sizeof *in->labels);
  if (!in->queries || !in->public_samples || !in->labels)
    return error_set(err, FUSION_E_MEMORY, "out of memory for the inputs");
  const fusion_status status = fusion_array_to_double(queries, 0, (size_t)choice->queries, in->queries, err);
  return status == FUSION_OK ? take_public(in, public_samples, labels, journal, count, err) : status;
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
  v->samples = choice->samples;
  v->allowed_errors = choice->allowed_errors;
  v->soundness_bits = choice->soundness_bits;
  v->paper_bits = choice->paper_bits;
  v->security_bits = c->settings.security_bits;
  v->min_accuracy = c->settings.min_accuracy;
  v->confidence = c->settings.confidence;
  write_utc(v->started_utc, sizeof v->started_utc);
}

fusion_status fusion_client_query(fusion_client *client, const fusion_array *queries,
                                  const fusion_array *public_samples, const fusion_array *labels,
                                  fusion_result **result, fusion_error *err) {
  struct inputs in = {0};
  struct job_handles handles = client->handles;
  fusion_plan_choice choice = {.size = sizeof choice};
  fusion_result *r = NULL;
  *result = NULL;
  client->rejected_utc[0] = '\0';
  fusion_status status = fusion_client_plan(client, fusion_array_rows(queries), &choice, err);
  if (status != FUSION_OK) return status;
  TRY(check_arrays(queries, public_samples, labels, &choice, err));
  if (client->journal) TRY(journal_open(&handles.journal, client->journal, client->settings.again != 0, err));
  TRY(take_inputs(&in, queries, public_samples, labels, &choice, handles.journal, err));
  r = mem_alloc(1, sizeof *r);
  FAIL_IF(!r, error_set(err, FUSION_E_MEMORY, "out of memory for the result"));
  start_verdict(&r->verdict, client, &choice);
  struct picture_form query_form, public_form;
  const bool query_pictures = array_picture_form(queries, &query_form);
  const bool public_pictures = array_picture_form(public_samples, &public_form);
  const struct job_input input = {
      .query_pictures = query_pictures ? &query_form : NULL,
      .public_pictures = public_pictures ? &public_form : NULL,
      .query_source = queries,
      .public_source = public_samples,
      .label_source = labels,
      .public_rows = in.public_rows,
      .queries = in.queries,
      .public_samples = in.public_samples,
      .labels = in.labels,
      .row_size = fusion_array_row_size(queries),
      .choice = {choice.queries, choice.copies, choice.public_samples, choice.allowed_errors, choice.public_copies}};
  const struct job_terms terms = {&client->settings, &handles, &input};
  TRY(job_run(&terms, &r->output, &r->verdict, err));
  verdict_explain(&r->verdict);
  remember_verdict(client, &r->verdict);
  *result = r;
  r = NULL;
cleanup:
  journal_close(handles.journal);
  inputs_free(&in);
  fusion_result_free(r);
  return status;
}

fusion_status fusion_client_forget(fusion_client *client, fusion_error *err) {
  if (!client->journal) return FUSION_OK;
  if (client->rejected_utc[0]) return journal_reject(client->journal, client->rejected_utc, client->rejected_why, err);
  return journal_remove(client->journal, err);
}

const void *fusion_result_receipts(const fusion_result *result, size_t *len) {
  *len = result->output.receipts.len;
  return result->output.receipts.data;
}

const fusion_verdict *fusion_result_verdict(const fusion_result *result) {
  return &result->verdict;
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
  mem_free(result);
}
