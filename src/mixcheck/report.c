/* The verdict's sentence and its JSON. The page for people is in report_html.c. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include <fusion/plan.h>

#include "base/base.h"
#include "mixcheck/report.h"

void verdict_explain(fusion_verdict *v) {
  const uint64_t right = v->public_samples - v->wrong_public;
  v->accuracy = v->public_samples ? (double)right / (double)v->public_samples : 0;
  if (!(v->confidence > 0 && v->confidence < 1)) v->confidence = 0.95;
  v->accuracy_lower_bound = fusion_accuracy_lower_bound(v->public_samples, v->wrong_public, v->confidence);
  char accuracy[96], of_queries[64] = "", of_public[64] = "";
  snprintf(accuracy, sizeof accuracy, "%" PRIu64 " of %" PRIu64 " public answers are wrong, %" PRIu64 " were allowed",
           v->wrong_public, v->public_samples, v->allowed_errors);
  if (v->disagreeing_queries)
    snprintf(of_queries, sizeof of_queries, "of %" PRIu64 " of %" PRIu64 " queries", v->disagreeing_queries,
             v->queries);
  if (v->disagreeing_public)
    snprintf(of_public, sizeof of_public, "of %" PRIu64 " of %" PRIu64 " public samples", v->disagreeing_public,
             v->public_samples);
  const bool disagree = v->disagreeing_queries || v->disagreeing_public;
  const bool inaccurate = v->wrong_public > v->allowed_errors;
  const bool exact = strcmp(v->rounding, "fast") != 0; /* then nothing need be said: every number was compared */
  if (v->accepted)
    snprintf(v->reason, sizeof v->reason, "all copies agree%s%s%s; %" PRIu64 " of %" PRIu64 " public answers are right",
             exact ? "" : " (", exact ? "" : v->compared, exact ? "" : ")", right, v->public_samples);
  else
    snprintf(v->reason, sizeof v->reason, "%s%s%s%s%s%s%s", disagree ? "the copies " : "", of_queries,
             v->disagreeing_queries && v->disagreeing_public ? " and " : "", of_public, disagree ? " disagree" : "",
             disagree && inaccurate ? "; " : "", inaccurate ? accuracy : "");
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
  put_real(&r, "accuracy", v->accuracy);
  put_real(&r, "accuracy_lower_bound", v->accuracy_lower_bound);
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
  *out = r.failed ? NULL : json_dumps(r.root, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
  json_decref(r.root);
  return *out ? FUSION_OK : FUSION_E_MEMORY;
}

void fusion_text_free(char *text) {
  free(text);
}
