/* Clients' limits and the metrics, without a server. The command as a whole: tests/cli/service.py. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "service/clients.h"
#include "service/metrics.h"
#include "support/support.h"

static char folder[] = "/tmp/fusion-service-XXXXXX";
static char clients_path[64];

/* ---- clients ---- */

static void write_clients(const char *text) {
  FILE *f = fopen(clients_path, "w");
  assert_non_null(f);
  fputs(text, f);
  fclose(f);
}

static void clients__have_the_limits_of_their_entry(void **state) {
  (void)state;
  struct clients *c;
  struct client_limits limits;
  fusion_error why;
  write_clients(
      "{\"hospital-a\": {\"samples_day\": 2000, \"jobs\": 4, \"prepared_bytes\": 9000000000, "
      "\"models\": [\"tumour\"]}, \"bank\": {}}");
  assert_ok(clients_load(&c, clients_path, &why));
  assert_ok(clients_limits(c, "hospital-a", "tumour", &limits, &why));
  assert_int_equal(limits.samples_day, 2000);
  assert_int_equal(limits.jobs, 4);
  assert_int_equal(limits.prepared_bytes, 9000000000);
  assert_int_equal(clients_limits(c, "hospital-a", "other", &limits, &why), FUSION_E_REFUSED);
  assert_string_equal(why.text, "the client 'hospital-a' may not use this model");
  assert_ok(clients_limits(c, "bank", "other", &limits, &why));
  assert_int_equal(limits.samples_day, 0);
  assert_int_equal(limits.prepared_bytes, 0);
  assert_int_equal(clients_limits(c, "stranger", "tumour", &limits, &why), FUSION_E_REFUSED);
  clients_free(c);
  write_clients("{\"*\": {\"samples_day\": 5}}");
  assert_ok(clients_load(&c, clients_path, &why));
  assert_ok(clients_limits(c, "stranger", "tumour", &limits, &why));
  assert_int_equal(limits.samples_day, 5);
  clients_free(c);
}

static void clients__a_file_that_is_wrong_is_refused(void **state) {
  (void)state;
  static const struct {
    const char *text, *why;
  } cases[] = {
      {"", "line"},
      {"[]", "is no JSON object of clients"},
      {"{\"a\": 1}", "'a' is no object"},
      {"{\"a\": {\"sample_day\": 1}}", "'a' has 'sample_day'"},
      {"{\"a\": {\"samples_day\": 0}}", "samples_day of 'a' is no whole number above 0"},
      {"{\"a\": {\"jobs\": 1.5}}", "jobs of 'a' is no whole number above 0"},
      {"{\"a\": {\"prepared_bytes\": \"1G\"}}", "prepared_bytes of 'a' is no whole number above 0"},
      {"{\"a\": {\"models\": [1]}}", "models of 'a' is no list of names"},
      {"{\"a\": {}, \"a\": {}}", "duplicate"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct clients *c;
    fusion_error err;
    write_clients(cases[i].text);
    assert_int_equal(clients_load(&c, clients_path, &err), FUSION_E_INPUT);
    if (!strstr(err.text, cases[i].why)) fail_msg("'%s': %s", cases[i].text, err.text);
  }
  struct clients *c;
  assert_int_equal(clients_load(&c, "/nonexistent", NULL), FUSION_E_IO);
}

/* ---- metrics ---- */

static void metrics__count_what_is_told(void **state) {
  (void)state;
  struct metrics m;
  struct writer w = {0};
  metrics_open(&m);
  struct event e = event_of(EVENT_JOB_BEGUN);
  e.model = "tumour";
  metrics_take(&m, &e);
  e = event_of(EVENT_JOB_ENDED);
  e.model = "tumour";
  e.seconds = 5;
  metrics_take(&m, &e);
  e = event_of(EVENT_REFUSED);
  e.status = FUSION_E_BUSY;
  metrics_take(&m, &e);
  metrics_take(&m, &e);
  metrics_write(&m, &(struct metrics_now){.connections = 3, .ready = true}, &w);
  write_u8(&w, 0);
  static const char *const lines[] = {"\nfusion_jobs_begun_total{model=\"tumour\"} 1\n",
                                      "\nfusion_jobs_running 0\n",
                                      "\nfusion_jobs_ended_total{model=\"tumour\",outcome=\"done\"} 1\n",
                                      "\nfusion_connections_refused_total{reason=\"busy\"} 2\n",
                                      "\nfusion_job_duration_seconds_bucket{le=\"1\"} 0\n",
                                      "\nfusion_job_duration_seconds_bucket{le=\"10\"} 1\n",
                                      "\nfusion_ready 1\n",
                                      "\nfusion_connections 3\n"};
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
    if (!strstr((const char *)w.data, lines[i])) fail_msg("no '%s' in\n%s", lines[i], (const char *)w.data);
  writer_free(&w);
  metrics_close(&m);
}

static int make_folder(void **state) {
  (void)state;
  if (!mkdtemp(folder)) return 1;
  snprintf(clients_path, sizeof clients_path, "%s/clients.json", folder);
  return 0;
}

static int remove_folder(void **state) {
  (void)state;
  unlink(clients_path);
  return rmdir(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(clients__have_the_limits_of_their_entry),
      cmocka_unit_test(clients__a_file_that_is_wrong_is_refused),
      cmocka_unit_test(metrics__count_what_is_told),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
