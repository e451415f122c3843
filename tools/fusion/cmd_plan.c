/* fusion plan: copies and public samples for a job, and what they cost. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

enum { NEIGHBOUR_REACH = 2, POWER_TRIES = 2000, MENDING_PUBLIC = 100, CANARIES_DEFAULT = 20 };
/* From both on a server gains nothing by putting wrong public answers right; oracle_test.py computes it. */
#define MENDING_ACCURACY 0.7
#define NEIGHBOUR_COST_FACTOR 4.0 /* a neighbour that costs more than this many times the best is not worth a line */

struct plan_options {
  fusion_plan_request request;
  fusion_power power;
  fusion_sensitivity sensitivity;
  const char *model, *engine;
  bool json, sensitive, canaries, has_power, has_accuracy, has_promise, has_below, has_rate, has_public, has_canaries;
};

static const char notes[] =
    "Every query is sent as several copies, hidden among public samples whose labels the\n"
    "client knows. The plan is the cheapest one with which a server that makes answers\n"
    "wrong wherever it tampers gets a wrong one accepted with probability at most 2^-BITS.\n"
    "With canaries, small jobs are cheaper.\n\n"
    "examples:\n"
    "  fusion plan --queries 512 --min-accuracy 0.95\n"
    "  fusion plan --queries 512 --promise 0.98 --reject-below 0.90 --error-rate 0.01";

static void add_plan_options(struct plan_options *o, struct cli_option *table) {
  fusion_plan_request *q = &o->request;
  const struct cli_option options[] = {
      CLI_OPT_COUNT("queries", &q->queries, 1, (double)FUSION_QUERIES_MAX, "R", "Number of queries.", .letter = 'q',
                    .required = true),
      CLI_OPT_COUNT("security", &q->security_bits, 1, FUSION_SECURITY_MAX, "BITS",
                    "A server that makes answers wrong wherever it tampers gets a wrong one accepted with "
                    "probability at most 2^-BITS. Default: 40.",
                    .letter = 's'),
      CLI_OPT_COUNT("min-public", &q->min_public, 0, (double)FUSION_PUBLIC_MAX, "T",
                    "Use at least T public samples. Default: 100. With --canaries: exactly T labelled "
                    "ones, default 0.",
                    .letter = 'p', .given = &o->has_public),
      CLI_OPT_NUMBER("min-accuracy", &q->min_accuracy, 1e-9, 1, "A",
                     "Accept only if at least this share of the public answers is right. Default: 0.95.", .letter = 'a',
                     .given = &o->has_accuracy),
      CLI_OPT_COUNT("public-copies", &q->public_copies, 1, FUSION_PUBLIC_COPIES_MAX, "K",
                    "Send each public sample K times, and compare its copies like those of a query. "
                    "Default: 1."),
      CLI_OPT_TEXT("model", &o->model, "FILE.fsn",
                   "Also predict the job's traffic with this compiled model over one connection.", .letter = 'm'),
      {.name = NULL}};
  cli_add_options(table, options);
  cli_add_engine(table, &o->engine);
}

static void add_more_options(struct plan_options *o, struct cli_option *table) {
  const struct cli_option options[] = {
      CLI_OPT_NUMBER("promise", &o->power.promise, 0, 1, "P",
                     "With --reject-below: find how many public samples tell a model of accuracy P from one "
                     "of accuracy Q, and the --min-accuracy to use.",
                     .given = &o->has_promise),
      CLI_OPT_NUMBER("reject-below", &o->power.reject_below, 0, 1, "Q",
                     "The accuracy of a model that must be rejected; see --promise.", .given = &o->has_below),
      CLI_OPT_NUMBER("error-rate", &o->power.error_rate, 1e-12, 0.499, "X",
                     "Probability of rejecting the good model, and of accepting the bad one. Default: 0.01.",
                     .given = &o->has_rate),
      CLI_OPT_NUMBER("sensitive", &o->sensitivity.part, 1e-9, 1, "RHO",
                     "Also show what a server gains by tampering that makes only this share of all labels "
                     "wrong.",
                     .given = &o->sensitive),
      CLI_OPT_FLAG("canaries", &o->canaries,
                   "Use canaries of 'fusion audit' as public samples: their whole answers are known, and "
                   "none may differ."),
      CLI_OPT_COUNT("min-canaries", &o->request.min_canaries, 1, (double)FUSION_PUBLIC_MAX, "C",
                    "With --canaries: use at least C. Default: 20.", .given = &o->has_canaries),
      CLI_OPT_FLAG("json", &o->json, "Print the report as JSON.", .letter = 'j'),
      {.name = NULL}};
  cli_add_options(table, options);
}

static int parse(struct plan_options *o, int argc, char **argv) {
  struct cli_option options[CLI_OPTIONS_MAX + 1] = {{.name = NULL}};
  add_plan_options(o, options);
  add_more_options(o, options);
  const struct cli_syntax syntax = {
      .command = "plan",
      .synopsis = "--queries R [options]",
      .about = "Finds how many copies of each query and how many public samples a job needs, and what that costs.",
      .options = options,
      .notes = notes,
  };
  const int done = cli_parse(&syntax, argc, argv, NULL, NULL);
  if (done != CLI_GO) return done;
  o->has_power = o->has_promise && o->has_below;
  if (o->has_promise != o->has_below || (o->has_rate && !o->has_power))
    return cli_usage("plan", "give both --promise and --reject-below (--error-rate needs them)");
  if (o->has_power && o->has_accuracy)
    return cli_usage("plan", "give either --min-accuracy or --promise: --promise finds the accuracy to ask for");
  if (o->has_canaries && !o->canaries) return cli_usage("plan", "--min-canaries needs --canaries");
  if (o->canaries && !o->has_canaries) o->request.min_canaries = CANARIES_DEFAULT;
  if (o->canaries && !o->has_public) o->request.min_public = 0;
  if (o->engine && !o->model) return cli_usage("plan", "--engine needs --model");
  return CLI_GO;
}

static json_t *choice_json(const fusion_plan_choice *c) {
  return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:f,s:f}", "queries", (json_int_t)c->queries, "copies",
                   (json_int_t)c->copies, "public", (json_int_t)c->public_samples, "public_copies",
                   (json_int_t)c->public_copies, "canaries", (json_int_t)c->canaries, "samples", (json_int_t)c->samples,
                   "allowed_errors", (json_int_t)c->allowed_errors, "cost_per_query", c->cost_per_query,
                   "soundness_bits", c->soundness_bits, "paper_bits", c->paper_bits);
}

static bool neighbour(const struct plan_options *o, const fusion_plan_choice *best, int offset,
                      fusion_plan_choice *out) {
  const int64_t copies = (int64_t)best->copies + offset;
  if (copies < 2 || offset == 0) return false;
  return fusion_plan_with_copies(&o->request, (uint64_t)copies, NEIGHBOUR_COST_FACTOR * best->cost_per_query, out,
                                 NULL) == FUSION_OK;
}

/** The job's cost with a model, from the declared cost of every message. */
static fusion_status predict(const struct plan_options *o, uint64_t samples, fusion_prediction *out,
                             fusion_error *err) {
  fusion_model *model;
  fusion_status status = fusion_engine_check(o->engine, err);
  if (status == FUSION_OK) status = fusion_model_load(&model, o->model, err);
  if (status != FUSION_OK) return status;
  status = fusion_model_predict(model, o->engine, (size_t)samples, 0, out, err);
  fusion_model_free(model);
  return status;
}

static json_t *prediction_json(const fusion_prediction *p) {
  return json_pack("{s:I,s:I,s:I}", "bytes_to_server", (json_int_t)p->bytes_to_server, "bytes_to_client",
                   (json_int_t)p->bytes_to_client, "one_way_delays", (json_int_t)p->rounds);
}

static json_t *sensitivity_json(const fusion_sensitivity *s) {
  return json_pack("{s:f,s:f,s:I,s:f,s:I}", "part", s->part, "given_bits", s->given_bits, "given_positions",
                   (json_int_t)s->given_positions, "any_bits", s->any_bits, "any_positions",
                   (json_int_t)s->any_positions);
}

/** -log2 of the chance that a model is accepted that answers the part of all samples otherwise, at all positions. */
static double other_model_bits(const struct plan_options *o, const fusion_plan_choice *c) {
  return -(double)c->canaries * log2(1 - o->sensitivity.part);
}

static int print_json(const struct plan_options *o, const fusion_plan_choice *best, const fusion_prediction *cost) {
  json_t *root = choice_json(best), *list = json_array();
  json_object_set_new(root, "security_bits", json_integer(o->request.security_bits));
  json_object_set_new(root, "min_accuracy", json_real(o->request.min_accuracy));
  for (int offset = -NEIGHBOUR_REACH; offset <= NEIGHBOUR_REACH; offset++) {
    fusion_plan_choice c = {.size = sizeof c};
    if (neighbour(o, best, offset, &c)) json_array_append_new(list, choice_json(&c));
  }
  json_object_set_new(root, "neighbours", list);
  if (cost) json_object_set_new(root, "prediction", prediction_json(cost));
  if (o->sensitive) json_object_set_new(root, "sensitive", sensitivity_json(&o->sensitivity));
  if (o->sensitive && o->canaries) json_object_set_new(root, "other_model_bits", json_real(other_model_bits(o, best)));
  if (o->has_power)
    json_object_set_new(
        root, "power",
        json_pack("{s:f,s:f,s:f,s:I,s:I,s:f,s:f}", "promise", o->power.promise, "reject_below", o->power.reject_below,
                  "error_rate", o->power.error_rate, "public", (json_int_t)o->power.public_samples, "allowed_errors",
                  (json_int_t)o->power.allowed_errors, "refuse_good", o->power.refuse_good, "accept_bad",
                  o->power.accept_bad));
  return cli_print_json(root);
}

static void print_other_model(const struct plan_options *o, const fusion_plan_choice *c) {
  printf("Another model that answers %.4g %% of all samples differently than the audited one passes all %" PRIu64
         " canaries with\nprobability 2^-%.2f, that is %.3g. More canaries (--min-canaries) lower this.\n",
         100 * o->sensitivity.part, c->canaries, other_model_bits(o, c), exp2(-other_model_bits(o, c)));
}

static void print_row(const fusion_plan_choice *c, const char *remark) {
  printf("  %6" PRIu64 " %9" PRIu64 " %8" PRIu64 " %12" PRIu64 " %11.3f %10.2f %7.2f%s\n", c->copies, c->public_samples,
         c->allowed_errors, c->samples, c->cost_per_query, c->soundness_bits, c->paper_bits, remark);
}

static void print_sensitivity(const fusion_sensitivity *s, uint64_t samples) {
  printf(
      "\nTampering that makes the labels of %.4g %% of all samples wrong is accepted with probability at most\n"
      "  2^-%-6.2f for one query that it makes wrong (tampering with %" PRIu64 " of %" PRIu64
      " positions)\n"
      "  2^-%-6.2f for any of the queries (with %" PRIu64 " positions)\n",
      100 * s->part, s->given_bits, s->given_positions, samples, s->any_bits, s->any_positions);
}

static void print_text(const struct plan_options *o, const fusion_plan_choice *best, const fusion_prediction *cost) {
  if (o->has_power)
    printf("%" PRIu64 " public samples, at most %" PRIu64
           " answered wrongly, tell the models apart:\n"
           "  a model of accuracy %.9g is refused with probability  %.3g\n"
           "  a model of accuracy %.9g is accepted with probability %.3g\n"
           "  to ask for this: --min-public %" PRIu64 " --min-accuracy %.9g\n\n",
           o->power.public_samples, o->power.allowed_errors, o->power.promise, o->power.refuse_good,
           o->power.reject_below, o->power.accept_bad, o->power.public_samples, o->power.min_accuracy);
  printf("%" PRIu64 " quer%s, security %u bits", best->queries, best->queries == 1 ? "y" : "ies",
         o->request.security_bits);
  if (best->public_samples > best->canaries) printf(", accuracy at least %.9g", o->request.min_accuracy);
  if (best->canaries) printf(", %" PRIu64 " canaries among the public samples", best->canaries);
  if (best->public_copies > 1) printf(", %" PRIu64 " copies of each public sample", best->public_copies);
  printf("\n\n");
  printf("  copies    public  allowed      samples     samples  soundness   paper\n");
  printf("          samples   errors       in all   per query       bits    bits\n");
  for (int offset = -NEIGHBOUR_REACH; offset <= NEIGHBOUR_REACH; offset++) {
    fusion_plan_choice c = {.size = sizeof c};
    if (offset == 0)
      print_row(best, "  <- the plan");
    else if (neighbour(o, best, offset, &c))
      print_row(&c, "");
    else if ((int64_t)best->copies + offset >= 2)
      printf("  %6" PRIu64 "   more than %.3g samples per query\n", best->copies + (uint64_t)offset,
             NEIGHBOUR_COST_FACTOR * best->cost_per_query);
  }
  printf(
      "\n'paper' is the bound R / C(N, B) of the NDSS 2023 paper, which holds when no public answer may be wrong.\n");
  const uint64_t labelled = best->public_samples - best->canaries;
  if (labelled && (o->request.min_accuracy < MENDING_ACCURACY || labelled < MENDING_PUBLIC))
    printf(
        "\nBelow %d public samples or an accuracy of %.9g the bits take it that wrong answers stay wrong: tampering "
        "that\n"
        "happens to put some right may do better.\n",
        MENDING_PUBLIC, MENDING_ACCURACY);
  if (o->sensitive) print_sensitivity(&o->sensitivity, best->samples);
  if (o->sensitive && o->canaries) print_other_model(o, best);
  if (o->sensitive && !o->canaries)
    printf("More public samples (--min-public) and fewer errors among them (--min-accuracy) lower these.\n");
  if (!cost) return;
  char up[CLI_TEXT_LEN], down[CLI_TEXT_LEN];
  printf("\nwith '%s': %s to the server, %s to the client, %" PRIu32 " one-way delays\n", o->model,
         cli_format_bytes(up, (double)cost->bytes_to_server), cli_format_bytes(down, (double)cost->bytes_to_client),
         cost->rounds);
}

/** A plan whose own numbers of public samples and errors tell the models apart: errors come in whole numbers, so some
 * larger T do and some do not. The probabilities at the plan's numbers take the place of those at the least T. */
static fusion_status plan_with_power(struct plan_options *o, fusion_plan_choice *best, fusion_error *err) {
  fusion_power *p = &o->power;
  if (o->request.min_public < p->public_samples) o->request.min_public = p->public_samples;
  o->request.min_accuracy = p->min_accuracy;
  for (int tries = 0; tries < POWER_TRIES; tries++) {
    const fusion_status status = fusion_plan_copies(&o->request, best, err);
    if (status != FUSION_OK) return status;
    p->refuse_good = 1 - fusion_accept_probability(p->promise, best->public_samples, best->allowed_errors);
    p->accept_bad = fusion_accept_probability(p->reject_below, best->public_samples, best->allowed_errors);
    if (p->refuse_good <= p->error_rate && p->accept_bad <= p->error_rate) {
      p->public_samples = best->public_samples;
      p->allowed_errors = best->allowed_errors;
      return FUSION_OK;
    }
    o->request.min_public = best->public_samples + 1;
  }
  snprintf(err->text, sizeof err->text, "no plan tells the models apart with this error rate; move them apart");
  return err->status = FUSION_E_UNREACHABLE;
}

int cmd_plan(int argc, char **argv) {
  struct plan_options o = {.request = fusion_plan_request_default(),
                           .power = {.size = sizeof(fusion_power), .error_rate = 0.01},
                           .sensitivity = {.size = sizeof(fusion_sensitivity)}};
  const int done = parse(&o, argc, argv);
  if (done != CLI_GO) return done;
  fusion_error err = {.status = FUSION_OK};
  fusion_plan_choice best = {.size = sizeof best};
  fusion_status status = FUSION_OK;
  if (o.has_power) {
    status = fusion_plan_power(&o.power, &err);
    if (status != FUSION_OK) return cli_failed("plan", status, &err);
    status = plan_with_power(&o, &best, &err);
  } else {
    status = fusion_plan_copies(&o.request, &best, &err);
  }
  if (status != FUSION_OK) return cli_failed("plan", status, &err);
  fusion_prediction prediction = {.size = sizeof prediction};
  if (o.model) status = predict(&o, best.samples, &prediction, &err);
  if (status == FUSION_OK && o.sensitive) status = fusion_plan_sensitivity(&best, &o.sensitivity, &err);
  if (status != FUSION_OK) return cli_failed("plan", status, &err);
  const fusion_prediction *cost = o.model ? &prediction : NULL;
  if (o.json) return print_json(&o, &best, cost);
  print_text(&o, &best, cost);
  return CLI_EXIT_OK;
}
