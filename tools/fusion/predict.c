/* What a private run is predicted to cost: shared by `compile` and `inspect`. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "machine_speeds.h"

bool cli_parse_network(const char *text, fusion_bench_network *out) {
  if (fusion_bench_network_named(text, out)) return true;
  char *end;
  double rate = strtod(text, &end);
  if (end == text) return false;
  static const char suffixes[] = "kMG";
  const char *suffix = *end ? strchr(suffixes, *end) : NULL;
  if (suffix) {
    rate *= pow(1000, (double)(suffix - suffixes) + 1);
    end++;
  }
  if (*end != ',') return false;
  const char *round_trip = end + 1;
  *out = (fusion_bench_network){rate, strtod(round_trip, &end)};
  return end != round_trip && !*end && isfinite(rate) && rate > 0 && isfinite(out->round_trip_ms) &&
         out->round_trip_ms >= 0;
}

void cli_add_prediction(struct cli_option *table, struct cli_prediction *p) {
  const struct cli_option options[] = {
      CLI_OPT_COUNT("samples", &p->samples, 0, 1e9, "N",
                    "Predict a private run of N samples, counting copies and public samples; 0: no prediction. "
                    "Default: 128.",
                    .letter = 'n'),
      CLI_OPT_BYTES("max-memory", &p->memory, 0,
                    "Peak memory of either party; limits how many samples run at once (a shard). Default: 4G."),
      CLI_OPT_TEXT("network", &p->network, "none|lan|wan|RATE,RTT",
                   "The link that the time is predicted for: bytes per second each way (k, M, G) and round trip in ms. "
                   "lan: 382M,0.3; wan: 44M,40. Default: lan."),
      CLI_OPT_TEXT("server-speeds", &p->server_speeds, "FILE",
                   "What 'fusion bench calibrate' wrote on the server's machine. Default: it is as fast as this one."),
      CLI_OPT_CLEAR("no-calibration", &p->calibrate,
                    "Predict the time for a usual processor, without measuring this one."),
      {.name = NULL}};
  cli_add_options(table, options);
  cli_add_engine(table, &p->engine);
}

int cli_check_prediction(const char *command, struct cli_prediction *p) {
  fusion_error err = {.status = FUSION_OK};
  if (!cli_parse_network(p->network, &p->link))
    return cli_usage(command, "--network '%s': expected none, lan, wan or RATE,RTT as in 100M,5", p->network);
  const fusion_status status = fusion_engine_check(p->engine, &err);
  return status == FUSION_OK ? CLI_GO : cli_failed(command, status, &err);
}

fusion_status cli_predict(const char *command, const fusion_model *model, struct cli_prediction *p, fusion_error *err) {
  fusion_speeds here, there;
  if (!p->samples) return FUSION_OK;
  const size_t most = p->samples < CLI_SHARD_MOST ? (size_t)p->samples : CLI_SHARD_MOST;
  p->shard = fusion_model_shard(model, p->engine, most, p->memory);
  if (!p->shard) p->shard = 1;
  fusion_speeds_init(&here, sizeof here);
  if (p->calibrate && !cli_speeds(command, &here)) fusion_speeds_init(&here, sizeof here);
  there = here;
  if (p->server_speeds && !cli_speeds_load(p->server_speeds, &there)) {
    snprintf(err->text, sizeof err->text, "'%s': no file of 'fusion bench calibrate'", p->server_speeds);
    return FUSION_E_USAGE;
  }
  const fusion_prediction_settings settings = {.size = sizeof settings,
                                               .engine = p->engine,
                                               .samples = (size_t)p->samples,
                                               .shard = p->shard,
                                               .server = &there,
                                               .client = &here};
  const fusion_status status = fusion_model_predict_on(model, &settings, &p->result, err);
  if (status == FUSION_OK)
    p->seconds = fusion_prediction_seconds(&p->result, p->link.bytes_per_second, p->link.round_trip_ms);
  return status;
}

void cli_print_prediction(const struct cli_prediction *p, const char *first, const char *second, const char *third) {
  char total[CLI_TEXT_LEN], each[CLI_TEXT_LEN], server[CLI_TEXT_LEN], client[CLI_TEXT_LEN], seconds[CLI_TEXT_LEN];
  const fusion_prediction *r = &p->result;
  const double bytes = (double)r->bytes_to_server + (double)r->bytes_to_client;
  if (!p->samples) return;
  printf("%s%zu samples over one connection: %s both ways (%s a sample), %u one-way delays\n", first, r->samples,
         cli_format_bytes(total, bytes), cli_format_bytes(each, bytes / (double)r->samples), r->rounds);
  printf("%s%s (%.3g s a sample) over %s; processor %.3g s a sample at the server, %.3g s at the client (estimated)\n",
         second, cli_format_seconds(seconds, p->seconds), p->seconds / (double)r->samples, p->network,
         r->server_seconds / (double)r->samples, r->client_seconds / (double)r->samples);
  printf("%s%s at the server, %s at the client, in shards of %zu\n", third,
         cli_format_bytes(server, (double)r->server_memory), cli_format_bytes(client, (double)r->client_memory),
         r->shard);
}

json_t *cli_prediction_json(const struct cli_prediction *p) {
  const fusion_prediction *r = &p->result;
  return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:s}", "samples", (json_int_t)r->samples,
                   "shard", (json_int_t)r->shard, "bytes_to_server", (json_int_t)r->bytes_to_server, "bytes_to_client",
                   (json_int_t)r->bytes_to_client, "messages", (json_int_t)r->messages, "rounds", (json_int_t)r->rounds,
                   "server_memory", (json_int_t)r->server_memory, "client_memory", (json_int_t)r->client_memory,
                   "server_seconds", r->server_seconds, "client_seconds", r->client_seconds, "seconds", p->seconds,
                   "network", p->network);
}
