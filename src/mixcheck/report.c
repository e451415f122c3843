/* The verdict's sentence and its JSON. The page for people is in report_html.c. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include <fusion/plan.h>

#include "base/base.h"
#include "mixcheck/report.h"

/* What was compared of which nothing differs; exact models need not say it, since every number was. */
static void explain_accept(fusion_verdict *v, uint64_t labelled, uint64_t right) {
  const bool exact = strcmp(v->rounding, "fast") != 0;
  char canaries[80] = "", labels[64] = "";
  if (v->canaries)
    snprintf(canaries, sizeof canaries, "; %" PRIu64 " canaries are answered as in the audit of %.10s", v->canaries,
             v->audited_utc);
  if (labelled)
    snprintf(labels, sizeof labels, "; %" PRIu64 " of %" PRIu64 " public answers are right", right, labelled);
  snprintf(v->reason, sizeof v->reason, "all copies agree%s%s%s%s%s", exact ? "" : " (", exact ? "" : v->compared,
           exact ? "" : ")", canaries, labels);
}

static void explain_reject(fusion_verdict *v, uint64_t labelled) {
  char accuracy[96], of_queries[64] = "", of_public[64] = "", changed[128] = "";
  snprintf(accuracy, sizeof accuracy, "%" PRIu64 " of %" PRIu64 " public answers are wrong, %" PRIu64 " were allowed",
           v->wrong_public, labelled, v->allowed_errors);
  if (v->disagreeing_queries)
    snprintf(of_queries, sizeof of_queries, "of %" PRIu64 " of %" PRIu64 " queries", v->disagreeing_queries,
             v->queries);
  if (v->disagreeing_public)
    snprintf(of_public, sizeof of_public, "of %" PRIu64 " of %" PRIu64 " public samples", v->disagreeing_public,
             v->public_samples);
  if (v->changed_canaries)
    snprintf(changed, sizeof changed,
             "the model is not the one audited on %.10s: %" PRIu64 " of %" PRIu64 " canaries differ", v->audited_utc,
             v->changed_canaries, v->canaries);
  const bool disagree = v->disagreeing_queries || v->disagreeing_public;
  const bool all_wrong = changed[0] && disagree; /* the sentence is long enough */
  const bool inaccurate = v->wrong_public > v->allowed_errors && !all_wrong;
  snprintf(v->reason, sizeof v->reason, "%s%s%s%s%s%s%s%s%s", changed,
           changed[0] && (disagree || inaccurate) ? "; " : "", disagree ? "the copies " : "", of_queries,
           v->disagreeing_queries && v->disagreeing_public ? " and " : "", of_public, disagree ? " disagree" : "",
           disagree && inaccurate ? "; " : "", inaccurate ? accuracy : "");
}

void verdict_explain(fusion_verdict *v) {
  const uint64_t labelled = v->public_samples - v->canaries, right = labelled - v->wrong_public;
  v->accuracy = labelled ? (double)right / (double)labelled : 0;
  if (!(v->confidence > 0 && v->confidence < 1)) v->confidence = 0.95;
  v->accuracy_lower_bound = labelled ? fusion_accuracy_lower_bound(labelled, v->wrong_public, v->confidence) : 0;
  if (v->accepted)
    explain_accept(v, labelled, right);
  else
    explain_reject(v, labelled);
}

void verdict_rate_audit(fusion_verdict *v, fusion_verdict_class *classes) {
  const double right = (double)(v->audited_samples - v->audited_wrong);
  v->audited_accuracy = right / (double)v->audited_samples;
  v->audited_lower_bound = fusion_accuracy_lower_bound(v->audited_samples, v->audited_wrong, v->confidence);
  for (size_t i = 0; i < v->class_count; i++) {
    fusion_verdict_class *c = &classes[i];
    c->accuracy = (double)(c->samples - c->wrong) / (double)c->samples;
    c->accuracy_lower_bound = fusion_accuracy_lower_bound(c->samples, c->wrong, v->confidence);
  }
  v->classes = classes;
}

/* An object under construction. A member for which memory is out spoils the whole: no half reports. */
struct record {
  json_t *root; /* owned */
  bool failed;
};

static json_t *stages_json(const fusion_verdict *v) {
  json_t *list = json_array();
  for (uint32_t i = 0; i < v->stage_count && i < FUSION_VERDICT_STAGES; i++) {
    const fusion_verdict_stage *s = &v->stages[i];
    json_t *stage = json_pack("{s:s,s:f,s:I,s:I}", "name", s->name, "seconds", s->seconds, "bytes_sent",
                              (json_int_t)s->bytes_sent, "bytes_received", (json_int_t)s->bytes_received);
    if (json_array_append_new(list, stage) == 0) continue;
    json_decref(list);
    return NULL;
  }
  return list;
}

static json_t *class_json(const fusion_verdict_class *c) {
  return json_pack("{s:I,s:I,s:I,s:f,s:f}", "label", (json_int_t)c->label, "samples", (json_int_t)c->samples, "wrong",
                   (json_int_t)c->wrong, "accuracy", c->accuracy, "accuracy_lower_bound", c->accuracy_lower_bound);
}

/* The audit that the accuracy is from; null when there was none. */
static json_t *audit_json(const fusion_verdict *v) {
  if (!v->audited_samples) return json_null();
  json_t *classes = json_array();
  for (size_t i = 0; i < v->class_count; i++) {
    if (json_array_append_new(classes, class_json(&v->classes[i])) == 0) continue;
    json_decref(classes);
    return NULL;
  }
  return json_pack("{s:b,s:s,s:I,s:I,s:f,s:f,s:o}", "this_job", v->audit, "audited_utc", v->audited_utc, "samples",
                   (json_int_t)v->audited_samples, "wrong", (json_int_t)v->audited_wrong, "accuracy",
                   v->audited_accuracy, "accuracy_lower_bound", v->audited_lower_bound, "classes", classes);
}

/* Null when nothing was predicted. */
static json_t *prediction_json(const fusion_verdict *v) {
  if (!(v->predicted_seconds > 0)) return json_null();
  return json_pack("{s:f,s:f,s:f}", "seconds", v->predicted_seconds, "server_seconds", v->predicted_server,
                   "client_seconds", v->predicted_client);
}

static void put(struct record *r, const char *name, json_t *value) {
  if (json_object_set_new(r->root, name, value)) r->failed = true;
}

static void put_count(struct record *r, const char *name, uint64_t value) {
  put(r, name, json_integer((json_int_t)value));
}

static void put_real(struct record *r, const char *name, double value) {
  put(r, name, json_real(value));
}

static void put_text(struct record *r, const char *name, const char *value) {
  put(r, name, value[0] ? json_string(value) : json_null());
}

fusion_status fusion_verdict_json(const fusion_verdict *v, char **out) {
  struct record r = {.root = json_object()};
  const bool labelled = v->public_samples > v->canaries;
  put_text(&r, "verdict", v->accepted ? "accept" : "reject");
  put_text(&r, "reason", v->reason);
  put_count(&r, "queries", v->queries);
  put_count(&r, "copies", v->copies);
  put_count(&r, "public", v->public_samples);
  put_count(&r, "public_copies", v->public_copies);
  put_count(&r, "samples", v->samples);
  put_count(&r, "allowed_errors", v->allowed_errors);
  put_count(&r, "security_bits", v->security_bits);
  put_real(&r, "soundness_bits", v->soundness_bits);
  put_real(&r, "paper_bits", v->paper_bits);
  put_real(&r, "min_accuracy", v->min_accuracy);
  put_count(&r, "wrong_public", v->wrong_public);
  put(&r, "accuracy", labelled ? json_real(v->accuracy) : json_null());
  put(&r, "accuracy_lower_bound", labelled ? json_real(v->accuracy_lower_bound) : json_null());
  put_real(&r, "confidence", v->confidence);
  put_count(&r, "disagreeing_queries", v->disagreeing_queries);
  put_count(&r, "disagreeing_public", v->disagreeing_public);
  put_real(&r, "seconds", v->seconds);
  put_count(&r, "bytes_sent", v->bytes_sent);
  put_count(&r, "bytes_received", v->bytes_received);
  put_count(&r, "rounds", v->rounds);
  put_count(&r, "workers", v->workers);
  put(&r, "stages", stages_json(v));
  put_text(&r, "server", v->server);
  put_text(&r, "engine", v->engine);
  put_text(&r, "rounding", v->rounding);
  put_text(&r, "started_utc", v->started_utc);
  put_text(&r, "manifest_hash", v->manifest_hash);
  put_text(&r, "model_id", v->model_id);
  put_count(&r, "receipt_samples", v->receipt_samples);
  put_text(&r, "certificate_hash", v->certificate_hash);
  put_text(&r, "compared", v->compared);
  put_count(&r, "clipped_queries", v->clipped_queries);
  put_count(&r, "clipped_public", v->clipped_public);
  put_text(&r, "note", v->note);
  put_count(&r, "canaries", v->canaries);
  put_count(&r, "changed_canaries", v->changed_canaries);
  put(&r, "audit", audit_json(v));
  put(&r, "predicted", prediction_json(v));
  *out = r.failed ? NULL : json_dumps(r.root, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
  json_decref(r.root);
  return *out ? FUSION_OK : FUSION_E_MEMORY;
}

void fusion_text_free(char *text) {
  free(text);
}
