/* The verdict's sentence and its JSON. The page for people is in report_html.c. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include <fusion/plan.h>
#include <fusion/verdict.h>

#include "base/base.h"

void fusion_verdict_explain(fusion_verdict *v) {
  const uint64_t right = v->public_samples - v->wrong_public;
  v->accuracy = v->public_samples ? (double)right / (double)v->public_samples : 0;
  if (!(v->confidence > 0 && v->confidence < 1)) v->confidence = 0.95;
  v->accuracy_lower_bound = fusion_accuracy_lower_bound(v->public_samples, v->wrong_public, v->confidence);
  char accuracy[96], copies[96];
  snprintf(accuracy, sizeof accuracy, "%" PRIu64 " of %" PRIu64 " public answers are wrong, %" PRIu64 " were allowed",
           v->wrong_public, v->public_samples, v->allowed_errors);
  snprintf(copies, sizeof copies, "the copies of %" PRIu64 " of %" PRIu64 " queries disagree", v->disagreeing_queries,
           v->queries);
  const bool inaccurate = v->wrong_public > v->allowed_errors;
  if (v->accepted)
    snprintf(v->reason, sizeof v->reason, "all copies agree; %" PRIu64 " of %" PRIu64 " public answers are right",
             right, v->public_samples);
  else
    snprintf(v->reason, sizeof v->reason, "%s%s%s", v->disagreeing_queries ? copies : "",
             v->disagreeing_queries && inaccurate ? "; " : "", inaccurate ? accuracy : "");
}

static json_t *stages_json(const fusion_verdict *v) {
  json_t *list = json_array();
  for (uint32_t i = 0; i < v->stage_count && i < FUSION_VERDICT_STAGES; i++) {
    const fusion_verdict_stage *s = &v->stages[i];
    json_array_append_new(list, json_pack("{s:s,s:f,s:I,s:I}", "name", s->name, "seconds", s->seconds, "bytes_sent",
                                          (json_int_t)s->bytes_sent, "bytes_received", (json_int_t)s->bytes_received));
  }
  return list;
}

static void put_count(json_t *root, const char *name, uint64_t value) {
  json_object_set_new(root, name, json_integer((json_int_t)value));
}

static void put_real(json_t *root, const char *name, double value) {
  json_object_set_new(root, name, json_real(value));
}

static void put_text(json_t *root, const char *name, const char *value) {
  json_object_set_new(root, name, value[0] ? json_string(value) : json_null());
}

fusion_status fusion_verdict_json(const fusion_verdict *v, char **out) {
  json_t *root = json_object();
  put_text(root, "verdict", v->accepted ? "accept" : "reject");
  put_text(root, "reason", v->reason);
  put_count(root, "queries", v->queries);
  put_count(root, "copies", v->copies);
  put_count(root, "public", v->public_samples);
  put_count(root, "samples", v->samples);
  put_count(root, "allowed_errors", v->allowed_errors);
  put_count(root, "security_bits", v->security_bits);
  put_real(root, "soundness_bits", v->soundness_bits);
  put_real(root, "paper_bits", v->paper_bits);
  put_real(root, "min_accuracy", v->min_accuracy);
  put_count(root, "wrong_public", v->wrong_public);
  put_real(root, "accuracy", v->accuracy);
  put_real(root, "accuracy_lower_bound", v->accuracy_lower_bound);
  put_real(root, "confidence", v->confidence);
  put_count(root, "disagreeing_queries", v->disagreeing_queries);
  put_real(root, "seconds", v->seconds);
  put_count(root, "bytes_sent", v->bytes_sent);
  put_count(root, "bytes_received", v->bytes_received);
  put_count(root, "rounds", v->rounds);
  put_count(root, "workers", v->workers);
  json_object_set_new(root, "stages", stages_json(v));
  put_text(root, "server", v->server);
  put_text(root, "stack", v->stack);
  put_text(root, "rounding", v->rounding);
  put_text(root, "started_utc", v->started_utc);
  put_text(root, "manifest_hash", v->manifest_hash);
  put_text(root, "certificate_hash", v->certificate_hash);
  *out = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
  json_decref(root);
  return *out ? FUSION_OK : FUSION_E_MEMORY;
}

void fusion_text_free(char *text) {
  free(text);
}
