/* The verdict as a page for people: one file, no scripts, nothing loaded from elsewhere, light and dark. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <fusion/verdict.h>

#include "base/base.h"

struct page {
  char *text; /* owned; malloc'ed, as fusion_text_free expects */
  size_t len;
  FILE *stream;
};

static const char style[] =
    ":root{color-scheme:light "
    "dark;--ink:#1c2430;--soft:#5d6b7c;--line:#d9dfe7;--page:#f6f8fa;--card:#fff;--good:#11734b;"
    "--good-bg:#e2f5ec;--bad:#a3271c;--bad-bg:#fbe9e7;--bar:#3c6fd1}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa7b8;--line:#333d4a;--page:#12171d;--card:#1a2129;"
    "--good:#63d3a2;--good-bg:#12301f;--bad:#ff9b8f;--bad-bg:#3a1a17;--bar:#6f9cf0}}"
    "*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);"
    "font:15px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif}"
    "main{max-width:54rem;margin:0 auto;padding:2.5rem 1.2rem}"
    ".verdict{border-radius:14px;padding:1.4rem 1.6rem;margin-bottom:1.4rem}"
    ".accept{background:var(--good-bg);color:var(--good)}.reject{background:var(--bad-bg);color:var(--bad)}"
    ".verdict h1{margin:0;font-size:2rem;letter-spacing:-.02em}.verdict p{margin:.3rem 0 0;font-size:1.05rem}"
    ".verdict p::first-letter,section>p::first-letter{text-transform:uppercase}"
    ".grid{display:grid;gap:1rem;margin-bottom:1rem}.grid>section{margin:0}"
    "@media(min-width:44rem){.grid{grid-template-columns:repeat(3,1fr)}}"
    "section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:1.1rem "
    "1.3rem;margin-bottom:1rem}"
    "h2{margin:0 0 .6rem;font-size:.8rem;text-transform:uppercase;letter-spacing:.07em;color:var(--soft)}"
    ".big{font-size:1.9rem;font-weight:600;letter-spacing:-.02em}.big sup{font-size:.6em;line-height:0}"
    ".note{color:var(--soft);font-size:.88rem;margin:.3rem 0 0}"
    "table{width:100%;border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "td,th{padding:.32rem 0 .32rem .9rem;border-top:1px solid var(--line);text-align:right;font-weight:400}"
    "tr:first-child td,tr:first-child th{border-top:0}"
    "td:first-child,th:first-child{text-align:left;color:var(--soft);padding-left:0}"
    ".figures td{white-space:nowrap}.figures td.host{white-space:normal;overflow-wrap:anywhere}section>p{margin:0}"
    "@media(max-width:44rem){section{padding:1rem}td,th{padding-left:.5rem}}"
    "th{color:var(--soft);font-size:.85rem}.bar{height:.5rem;border-radius:.25rem;background:var(--bar);min-width:2px}"
    ".wide{width:40%}@media(max-width:44rem){.wide{display:none}}code{font-size:.8rem;overflow-wrap:anywhere}";

static void put(struct page *p, const char *format, ...) FUSION_PRINTF(2, 3);
static void put(struct page *p, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vfprintf(p->stream, format, args);
  va_end(args);
}

/** Text from outside (a host name, a reason): nothing in it is taken as markup. */
static void put_escaped(struct page *p, const char *text) {
  for (; *text; text++) {
    switch (*text) {
      case '&': put(p, "&amp;"); break;
      case '<': put(p, "&lt;"); break;
      case '>': put(p, "&gt;"); break;
      case '"': put(p, "&quot;"); break;
      case '\'': put(p, "&#39;"); break;
      default: put(p, "%c", *text);
    }
  }
}

static void put_row(struct page *p, const char *name, const char *format, ...) FUSION_PRINTF(3, 4);
static void put_row(struct page *p, const char *name, const char *format, ...) {
  char value[100]; /* the longest says what was compared */
  va_list args;
  va_start(args, format);
  vsnprintf(value, sizeof value, format, args);
  va_end(args);
  put(p, "<tr><td>%s</td><td>", name);
  put_escaped(p, value);
  put(p, "</td></tr>\n");
}

static void put_bytes(struct page *p, double bytes) {
  const bool small = bytes < 1048576;
  const double count = bytes / (small ? 1024 : 1048576);
  put(p, "%.*f %s", count < 10 ? 2 : count < 100 ? 1 : 0, count, small ? "KiB" : "MiB");
}

static void put_host(struct page *p, const char *host) {
  put(p, "<tr><td>Server</td><td class=\"host\">");
  put_escaped(p, host);
  put(p, "</td></tr>\n");
}

static void put_bytes_row(struct page *p, const char *name, uint64_t bytes) {
  put(p, "<tr><td>%s</td><td>", name);
  put_bytes(p, (double)bytes);
  put(p, "</td></tr>\n");
}

static void put_verdict(struct page *p, const fusion_verdict *v) {
  put(p, "<div class=\"verdict %s\"><h1>%s</h1><p>", v->accepted ? "accept" : "reject",
      v->accepted ? "Accepted" : "Rejected");
  put_escaped(p, v->reason);
  put(p, ".</p>");
  if (!v->accepted) put(p, "<p>%s</p>", v->audit ? "No canaries are written." : "The answers are withheld.");
  put(p, "</div>\n");
  if (!v->note[0]) return;
  put(p, "<section><h2>Note</h2><p>");
  put_escaped(p, v->note);
  put(p, ".</p></section>\n");
}

static void put_accuracy(struct page *p, const fusion_verdict *v) {
  const uint64_t labelled = v->public_samples - v->canaries;
  put(p, "<section><h2>%s</h2><div class=\"big\">%.2f&nbsp;%%</div>", labelled ? "Accuracy" : "Accuracy in the audit",
      100 * (labelled ? v->accuracy : v->audited_accuracy));
  if (labelled)
    put(p,
        "<p class=\"note\">on %" PRIu64
        " public samples; at least %.2f&nbsp;%% with %.4g&nbsp;%% confidence. Asked for: %.4g&nbsp;%%.</p>",
        labelled, 100 * v->accuracy_lower_bound, 100 * v->confidence, 100 * v->min_accuracy);
  if (v->canaries) {
    put(p, "<p class=\"note\">In the audit of ");
    put_escaped(p, v->audited_utc);
    put(p,
        ", not in this job: %.2f&nbsp;%% of %" PRIu64
        " samples right; at least %.2f&nbsp;%% with %.4g&nbsp;%% confidence. "
        "In this job the model gave the same answers as in the audit to %" PRIu64 " of its samples.</p>",
        100 * v->audited_accuracy, v->audited_samples, 100 * v->audited_lower_bound, 100 * v->confidence,
        v->canaries - v->changed_canaries);
  }
  put(p, "</section>\n");
}

static void put_classes(struct page *p, const fusion_verdict *v) {
  if (!v->class_count) return;
  put(p,
      "<section><h2>Classes in the audit</h2><table class=\"figures\">\n"
      "<tr><th>class</th><th>samples</th><th>right</th><th>at least</th></tr>\n");
  for (size_t i = 0; i < v->class_count; i++) {
    const fusion_verdict_class *c = &v->classes[i];
    put(p, "<tr><td>%" PRId64 "</td><td>%" PRIu64 "</td><td>%.2f %%</td><td>%.2f %%</td></tr>\n", c->label, c->samples,
        100 * c->accuracy, 100 * c->accuracy_lower_bound);
  }
  put(p,
      "</table><p class=\"note\">Each lower bound (at least) holds with %.4g&nbsp;%% confidence for its class "
      "alone.</p></section>\n",
      100 * v->confidence);
}

static void put_cards(struct page *p, const fusion_verdict *v) {
  const char *chance = "a server that makes answers wrong wherever it tampers gets a wrong one accepted";
  if (v->canaries == v->public_samples)
    chance = "a server that changes answers wherever it tampers gets a changed one accepted";
  if (v->audit) chance = "a server that answers with two models is accepted";
  put(p, "<div class=\"grid\"><section><h2>Correctness</h2><div class=\"big\">2<sup>&minus;%.1f</sup></div>",
      v->soundness_bits);
  put(p, "<p class=\"note\">The chance, at most, that %s. Compared: %s. %u bits were asked for.", chance, v->compared,
      v->security_bits);
  if (!v->audit) put(p, " The paper's bound: %.1f bits.", v->paper_bits);
  put(p, "</p></section>\n");
  put_accuracy(p, v);
  const uint64_t asked = v->audit ? v->public_samples : v->queries;
  const double queries = asked ? (double)asked : 1;
  put(p, "<section><h2>Cost</h2><div class=\"big\">%.3g s</div><p class=\"note\">%.3g s and ", v->seconds,
      v->seconds / queries);
  put_bytes(p, (double)(v->bytes_sent + v->bytes_received) / queries);
  put(p, " a %s</p></section></div>\n", v->audit ? "sample" : "query");
}

static void put_stages(struct page *p, const fusion_verdict *v) {
  double most = 1e-9;
  const uint32_t count = v->stage_count < FUSION_VERDICT_STAGES ? v->stage_count : FUSION_VERDICT_STAGES;
  for (uint32_t i = 0; i < count; i++) most = v->stages[i].seconds > most ? v->stages[i].seconds : most;
  if (!count) return;
  put(p,
      "<section><h2>Where time and traffic went</h2><table class=\"figures\">\n"
      "<tr><th>stage</th><th>seconds</th><th>sent</th><th>received</th><th class=\"wide\"></th></tr>\n");
  for (uint32_t i = 0; i < count; i++) {
    const fusion_verdict_stage *s = &v->stages[i];
    if (s->bytes_sent + s->bytes_received == 0 && s->seconds < 0.0005) continue; /* the network has no such step */
    put(p, "<tr><td>");
    put_escaped(p, s->name);
    put(p, "</td><td>%.3f</td><td>", s->seconds);
    put_bytes(p, (double)s->bytes_sent);
    put(p, "</td><td>");
    put_bytes(p, (double)s->bytes_received);
    put(p, "</td><td class=\"wide\"><div class=\"bar\" style=\"width:%.1f%%\"></div></td></tr>\n",
        100 * s->seconds / most);
  }
  put(p, "</table>%s</section>\n",
      v->workers > 1 ? "<p class=\"note\">Seconds are summed over the connections.</p>" : "");
}

static void put_fingerprint(struct page *p, const char *name, const char *hash) {
  if (!hash[0]) return;
  put(p, "<p class=\"note\">%s<br><code>", name);
  put_escaped(p, hash);
  put(p, "</code></p>");
}

static void put_job(struct page *p, const fusion_verdict *v) {
  put(p, "<section><h2>The check</h2><table>\n");
  if (!v->audit) put_row(p, "Queries", "%" PRIu64, v->queries);
  if (!v->audit) put_row(p, "Copies of each", "%" PRIu64, v->copies);
  put_row(p, v->audit ? "Audited samples" : "Public samples", "%" PRIu64, v->public_samples);
  if (v->public_copies > 1) put_row(p, "Copies of each of these", "%" PRIu64, v->public_copies);
  if (v->canaries) put_row(p, "Canaries among these", "%" PRIu64, v->canaries);
  put_row(p, "Samples in all", "%" PRIu64, v->samples);
  if (v->canaries)
    put_row(p, "Canaries answered differently than in the audit", "%" PRIu64 " (allowed 0)", v->changed_canaries);
  if (v->public_samples > v->canaries)
    put_row(p, "Wrong public answers", "%" PRIu64 " (allowed %" PRIu64 ")", v->wrong_public, v->allowed_errors);
  put_row(p, "Compared", "%s", v->compared);
  if (!v->audit) put_row(p, "Queries whose copies disagree", "%" PRIu64, v->disagreeing_queries);
  if (v->public_copies > 1) put_row(p, "Public samples whose copies disagree", "%" PRIu64, v->disagreeing_public);
  put(p, "</table></section>\n<section><h2>The run</h2><table class=\"figures\">\n");
  if (v->server[0]) put_host(p, v->server);
  if (v->started_utc[0]) put_row(p, "Started (UTC)", "%s", v->started_utc);
  if (v->engine[0]) put_row(p, "Protocol", "%s, rounding %s", v->engine, v->rounding[0] ? v->rounding : "exact");
  put_row(p, "Connections", "%u", v->workers);
  put_row(p, "Rounds", "%u", v->rounds);
  if (v->predicted_seconds > 0) put_row(p, "Predicted", "%.3g s", v->predicted_seconds);
  put_bytes_row(p, "Sent", v->bytes_sent);
  put_bytes_row(p, "Received", v->bytes_received);
  put(p, "</table></section>\n");
  put_classes(p, v);
  put_stages(p, v);
  if (!v->manifest_hash[0] && !v->certificate_hash[0]) return;
  put(p, "<section><h2>Fingerprints</h2>");
  put_fingerprint(p, "manifest", v->manifest_hash);
  put_fingerprint(p, "model id", v->model_id);
  put_fingerprint(p, "server certificate", v->certificate_hash);
  put(p, "</section>\n");
}

fusion_status fusion_verdict_html(const fusion_verdict *v, char **out) {
  struct page p = {.text = NULL};
  *out = NULL;
  p.stream = open_memstream(&p.text, &p.len);
  if (!p.stream) return FUSION_E_MEMORY;
  put(&p,
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>fusion: "
      "%s</title><style>%s</style></head>"
      "<body><main>\n",
      v->accepted ? "accepted" : "rejected", style);
  put_verdict(&p, v);
  put_cards(&p, v);
  put_job(&p, v);
  put(&p, "<p class=\"note\">fusion %s</p></main></body></html>\n", fusion_version());
  const bool failed = ferror(p.stream) != 0;
  if (fclose(p.stream) != 0 || failed) {
    free(p.text);
    return FUSION_E_MEMORY;
  }
  *out = p.text;
  return FUSION_OK;
}
