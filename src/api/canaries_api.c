/* Canaries: what an audit writes, and what joins later. */
#include <fusion/client.h>

#include "api/client_api.h"
#include "base/packed.h"
#include "data/data.h"
#include "session/prepare.h"

fusion_status result_count_audit(fusion_result *r, fusion_error *err) {
  const struct job_output *out = &r->output;
  const struct mix_check check = {.kind = prepare_answer_kind(&out->program), .answer_size = out->answer_size};
  struct canaries *found = &r->found;
  int64_t *answered = mem_alloc(out->queries, sizeof *answered);
  fusion_status status = FUSION_OK;
  found->audited = out->queries;
  found->labels = mem_alloc(out->queries, sizeof *found->labels);
  FAIL_IF(!answered || !found->labels, FUSION_E_MEMORY);
  for (size_t i = 0; i < out->queries; i++) {
    answered[i] = mix_label(&check, out->answers + i * out->answer_size);
    found->labels[i] = (uint32_t)out->labels[i]; /* a class of the model: below 2^26 */
  }
  TRY(canaries_count(found, answered));
  found->min_accuracy = r->verdict.min_accuracy;
  memcpy(found->manifest_hash, out->manifest_hash, sizeof found->manifest_hash);
  static_assert((int)CANARY_MODEL_LEN == (int)MODEL_ID_LEN, "a file's id is the manifest's");
  memcpy(found->model_id, out->program.model_id, sizeof found->model_id);
  memcpy(found->certificate, out->certificate, sizeof found->certificate);
  snprintf(found->audited_utc, sizeof found->audited_utc, "%s", r->verdict.started_utc);
cleanup:
  mem_free(answered);
  return status == FUSION_OK ? status : error_set(err, status, "out of memory for the audit");
}

/* The job's samples as integers; *out is the caller's (mem_free_secret of *len bytes). FUSION_E_MEMORY. */
static fusion_status unpack_inputs(int64_t **out, size_t *len, const struct job_output *o) {
  const size_t count = o->queries * o->input_size;
  *out = NULL;
  if (size_mul(count, sizeof **out, len)) *out = mem_alloc(*len, 1);
  if (!*out) return FUSION_E_MEMORY;
  packed_read(*out, o->inputs, count, o->input_len);
  return FUSION_OK;
}

fusion_status fusion_files_add_canaries(fusion_files *files, const char *path, const fusion_result *r,
                                        fusion_error *err) {
  if (!r->verdict.audit || !r->verdict.accepted)
    return error_set(err, FUSION_E_USAGE, "canaries are of accepted audits");
  struct canaries all = r->found; /* the rows are borrowed */
  int64_t *inputs;
  uint8_t *bytes;
  size_t len, inputs_len;
  fusion_status status = unpack_inputs(&inputs, &inputs_len, &r->output);
  if (status != FUSION_OK) return error_set(err, status, "'%s': out of memory for the canaries", path);
  all.rows = r->output.queries;
  all.input_size = r->output.input_size;
  all.answer_size = r->output.answer_size;
  all.inputs = inputs;
  all.answers = r->output.answers;
  status = canaries_encode(&all, &bytes, &len);
  mem_free_secret(inputs, inputs_len);
  if (status != FUSION_OK) return error_set(err, status, "'%s': out of memory for the canaries", path);
  const struct file_part part = {bytes, len};
  status = files_add_private(files, path, &part, 1, err);
  mem_free_secret(bytes, len);
  return status;
}

fusion_status fusion_client_add_canaries(const fusion_client *c, const fusion_result *r, fusion_error *err) {
  if (!c->canary_path || !r->verdict.accepted || !r->verdict.canaries)
    return error_set(err, FUSION_E_USAGE, "accepted queries of a job with canaries can join these, no others");
  int64_t *inputs;
  size_t inputs_len;
  fusion_status status = unpack_inputs(&inputs, &inputs_len, &r->output);
  if (status != FUSION_OK) return error_set(err, status, "'%s': out of memory for the canaries", c->canary_path);
  const struct canary_rows rows = {.count = r->output.queries,
                                   .input_size = r->output.input_size,
                                   .answer_size = r->output.answer_size,
                                   .inputs = inputs,
                                   .answers = r->output.answers,
                                   .manifest_hash = r->output.manifest_hash};
  status = canaries_add(c->canary_path, &rows, err);
  mem_free_secret(inputs, inputs_len);
  return status;
}
