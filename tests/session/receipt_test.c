/* Receipts: their bytes against the page, damage at every byte, and whole jobs that collect them. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "continuity/receipt.h"
#include "session/session_scene.h"
#include "support/certs.h"
#include "support/support.h"

static struct certs certs;

/* ---- the format ---- */

static void count_up(uint8_t *out, size_t len, unsigned from) {
  for (size_t i = 0; i < len; i++) out[i] = (uint8_t)(from + i);
}

/* The receipt of the page's test vectors. */
static struct receipt page_receipt(void) {
  struct receipt r = {.shards = 2, .declared = 2660, .samples = 1330, .time = 1767225600};
  count_up(r.job, sizeof r.job, 0);
  count_up(r.model_id, sizeof r.model_id, 0x20);
  count_up(r.manifest_hash, sizeof r.manifest_hash, 0x40);
  count_up(r.certificate, sizeof r.certificate, 0x60);
  count_up(r.sent, sizeof r.sent, 0x80);
  count_up(r.received, sizeof r.received, 0xa0);
  return r;
}

static void page_secret(uint8_t secret[RECEIPT_SECRET_LEN]) {
  uint8_t seed[RECEIPT_SEED_LEN];
  count_up(seed, sizeof seed, 0xe0);
  receipt_key_from_seed(secret, seed);
}

/* A vector of the page: the line that begins with `label`, and lines that continue it. Its length. */
static size_t page_vector(const char *label, uint8_t *out, size_t room) {
  char path[512], line[256], word[16], digits[128];
  const char *source = getenv("FUSION_SOURCE");
  assert_non_null(source);
  snprintf(path, sizeof path, "%s/docs/protocols/receipts.md", source);
  FILE *f = fopen(path, "r");
  assert_non_null(f);
  size_t len = 0, part;
  bool found = false;
  while (fgets(line, sizeof line, f)) {
    const bool labelled = strncmp(line, "    ", 4) == 0 && line[4] != ' ';
    const bool first = labelled && sscanf(line, "    %15[a-z] %127[0-9a-f]", word, digits) == 2;
    if (first) found = strcmp(word, label) == 0;
    const bool more = !first && found && sscanf(line, "              %127[0-9a-f]", digits) == 1;
    if (!(first && found) && !more) continue;
    assert_int_equal(sodium_hex2bin(out + len, room - len, digits, strlen(digits), NULL, &part, NULL), 0);
    len += part;
  }
  fclose(f);
  return len;
}

static void receipt_sign__gives_the_vectors_of_the_page(void **state) {
  (void)state;
  uint8_t secret[RECEIPT_SECRET_LEN], bytes[1][RECEIPT_LEN], page[2 * RECEIPT_LEN], seed[RECEIPT_SEED_LEN];
  const struct receipt r = page_receipt();
  struct writer w = {0};
  page_secret(secret);
  count_up(seed, sizeof seed, 0xe0);
  assert_int_equal(page_vector("seed", page, sizeof page), sizeof seed);
  assert_memory_equal(page, seed, sizeof seed);
  assert_int_equal(page_vector("public", page, sizeof page), RECEIPT_KEY_LEN);
  assert_memory_equal(page, receipt_public_key(secret), RECEIPT_KEY_LEN);
  receipt_sign(bytes[0], &r, secret);
  assert_int_equal(page_vector("receipt", page, sizeof page), RECEIPT_LEN);
  assert_memory_equal(page, bytes[0], RECEIPT_LEN);
  receipts_encode(&w, bytes, 1);
  assert_int_equal(page_vector("file", page, sizeof page), w.len);
  assert_memory_equal(page, w.data, w.len);
  struct receipt back;
  assert_ok(receipt_open(&back, bytes[0]));
  assert_int_equal(back.samples, 1330);
  assert_int_equal(back.declared, 2660);
  assert_int_equal(back.shards, 2);
  assert_int_equal(back.time, 1767225600);
  assert_memory_equal(back.received, r.received, sizeof r.received);
  writer_free(&w);
}

/* Three receipts of one job, in any order, as a file. */
static struct writer three(const uint8_t secret[RECEIPT_SECRET_LEN]) {
  uint8_t bytes[3][RECEIPT_LEN];
  struct writer w = {0};
  struct receipt r = page_receipt();
  for (uint8_t i = 0; i < 3; i++) {
    r.sent[0] = (uint8_t)(7 - i);
    r.time += i;
    receipt_sign(bytes[i], &r, secret);
  }
  receipts_encode(&w, bytes, 3);
  return w;
}

static fusion_status decode(const void *data, size_t len, struct receipts_summary *sum) {
  fusion_error err = {.status = FUSION_OK};
  const fusion_status status = receipts_decode(sum, data, len, "x.receipt", &err);
  if (status != FUSION_OK) assert_non_null(strstr(err.text, "'x.receipt': "));
  if (status != FUSION_OK) assert_null(strchr(err.text, '\n'));
  return status;
}

static void receipts_decode__every_altered_byte_is_refused(void **state) {
  (void)state;
  uint8_t secret[RECEIPT_SECRET_LEN];
  struct receipts_summary sum;
  page_secret(secret);
  struct writer w = three(secret);
  assert_ok(decode(w.data, w.len, &sum));
  assert_int_equal(sum.connections, 3);
  assert_int_equal(sum.samples, 3 * 1330);
  assert_int_equal(sum.shards, 6);
  assert_int_equal(sum.latest - sum.earliest, 3);
  assert_true(sum.one_certificate);
  for (size_t i = 0; i < w.len; i++) {
    for (unsigned bit = i % 2; bit < 8; bit += 2) {
      w.data[i] ^= (uint8_t)(1u << bit);
      if (decode(w.data, w.len, &sum) == FUSION_OK) fail_msg("bit %u of byte %zu does not matter", bit, i);
      w.data[i] ^= (uint8_t)(1u << bit);
    }
    if (i % 5 == 0) assert_int_equal(decode(w.data, i, &sum), FUSION_E_INPUT);
  }
  writer_free(&w);
}

/* Signed all the same: one twice, in another order, of different jobs, by different keys. */
static void receipts_decode__what_does_not_belong_together_is_refused(void **state) {
  (void)state;
  uint8_t secret[RECEIPT_SECRET_LEN], other[RECEIPT_SECRET_LEN], seed[RECEIPT_SEED_LEN] = {1};
  struct receipts_summary sum;
  page_secret(secret);
  receipt_key_from_seed(other, seed);
  struct writer w = three(secret);
  uint8_t *first = w.data + RECEIPTS_HEADER_LEN, kept[RECEIPT_LEN];
  memcpy(kept, first, RECEIPT_LEN);
  memcpy(first, first + RECEIPT_LEN, RECEIPT_LEN);
  assert_int_equal(decode(w.data, w.len, &sum), FUSION_E_CRYPTO);
  memcpy(first + RECEIPT_LEN, kept, RECEIPT_LEN);
  assert_int_equal(decode(w.data, w.len, &sum), FUSION_E_CRYPTO);
  writer_free(&w);
  for (int i = 0; i < 7; i++) {
    uint8_t bytes[2][RECEIPT_LEN];
    struct receipt r = page_receipt();
    receipt_sign(bytes[0], &r, secret);
    r.sent[0] ^= 1;
    r.job[15] ^= i == 0;
    r.model_id[0] ^= i == 1;
    r.manifest_hash[0] ^= i == 2;
    r.declared ^= i == 3;
    if (i == 6) r.samples = UINT64_MAX;
    receipt_sign(bytes[1], &r, i == 4 ? other : secret);
    receipts_encode(&w, bytes, 2);
    const fusion_status status = decode(w.data, w.len, &sum);
    assert_int_equal(status, i == 5 ? FUSION_OK : FUSION_E_CRYPTO);
    writer_free(&w);
    w = (struct writer){0};
  }
}

static void receipt_key_read__takes_what_was_written(void **state) {
  (void)state;
  char text[RECEIPT_KEY_TEXT_LEN + 1];
  uint8_t seed[RECEIPT_SEED_LEN], back[RECEIPT_SEED_LEN];
  count_up(seed, sizeof seed, 3);
  receipt_key_write(text, seed);
  const size_t len = strlen(text);
  assert_true(len <= RECEIPT_KEY_TEXT_LEN);
  assert_ok(receipt_key_read(back, text, len));
  assert_memory_equal(back, seed, sizeof seed);
  assert_ok(receipt_key_read(back, text, len - 1)); /* without its end of line */
  for (size_t i = 0; i < len - 1; i++) assert_int_equal(receipt_key_read(back, text, i), FUSION_E_INPUT);
  text[3] ^= 1;
  assert_int_equal(receipt_key_read(back, text, len), FUSION_E_INPUT);
  text[3] ^= 1;
  text[len - 2] = 'g';
  assert_int_equal(receipt_key_read(back, text, len), FUSION_E_INPUT);
}

/* ---- jobs ---- */

static uint8_t key[RECEIPT_SECRET_LEN];

static void prepare(struct session_scene *s) {
  scene_prepare(s);
  page_secret(key);
  count_up(s->model->program.model_id, MODEL_ID_LEN, 9);
  s->serve_handles.receipt_key = key;
  s->ask_handles.receipts = true;
}

static struct receipts_summary collect(struct session_scene *s, bool accepted) {
  struct job_output out;
  fusion_verdict v = {0};
  fusion_error err = {.status = FUSION_OK};
  struct receipts_summary sum = {0};
  if (scene_ask(s, &out, &v, &err) != FUSION_OK) fail_msg("job failed: %s", err.text);
  assert_int_equal(v.accepted, accepted);
  if (out.receipts.len) assert_ok(decode(out.receipts.data, out.receipts.len, &sum));
  assert_int_equal(v.receipt_samples, sum.samples);
  job_output_free(&out);
  return sum;
}

static void job__receipts_cover_every_sample(void **state) {
  (void)state;
  struct session_scene s;
  uint8_t hash[TLS_HASH_LEN];
  prepare(&s);
  assert_ok(tls_server_new(&s.server_tls, certs.server_cert, certs.server_key, NULL, NULL));
  assert_ok(tls_client_new(&s.client_tls, certs.ca, NULL, NULL, NULL));
  s.serve_handles.tls = s.server_tls;
  s.ask_handles.tls = s.client_tls;
  s.ask_handles.receipt_key = receipt_public_key(key);
  s.ask.workers = 3;
  s.ask.shard_samples = 10;
  fake.delay_ms = 5;
  scene_start(&s);
  const struct receipts_summary sum = collect(&s, true);
  assert_int_equal(sum.samples, SAMPLES);
  assert_int_equal(sum.first.declared, SAMPLES);
  assert_int_equal(sum.shards, 9);
  assert_in_range(sum.connections, 2, 3);
  assert_true(tls_own_hash(s.server_tls, hash));
  assert_true(sum.one_certificate);
  assert_memory_equal(sum.first.certificate, hash, sizeof hash);
  assert_memory_equal(sum.first.model_id, s.model->program.model_id, MODEL_ID_LEN);
  assert_memory_equal(sum.first.key, receipt_public_key(key), RECEIPT_KEY_LEN);
  scene_end(&s);
}

/* What the server signs, and that it is asked, is the same when the client rejects. */
static void job__receipts_are_there_for_every_verdict(void **state) {
  (void)state;
  struct session_scene s;
  prepare(&s);
  s.ask.shard_samples = 4; /* an answer of each is altered: that all of them are public ones is out of the question */
  scene_start(&s);
  const struct receipts_summary accepted = collect(&s, true);
  fake.alter_from = 1000;
  const struct receipts_summary rejected = collect(&s, false);
  assert_int_equal(accepted.samples, SAMPLES);
  assert_int_equal(rejected.samples, accepted.samples);
  assert_int_equal(rejected.shards, accepted.shards);
  assert_int_equal(rejected.connections, accepted.connections);
  scene_end(&s);
}

static void job__none_unless_asked(void **state) {
  (void)state;
  struct session_scene s;
  prepare(&s);
  s.ask_handles.receipts = false;
  scene_start(&s);
  assert_int_equal(collect(&s, true).connections, 0);
  scene_end(&s);
}

static void job__a_server_without_a_key_is_refused_before_the_job(void **state) {
  (void)state;
  struct session_scene s;
  prepare(&s);
  s.serve_handles.receipt_key = NULL;
  scene_start(&s);
  expect_failure(&s, FUSION_E_REFUSED, "the server signs no receipts");
  assert_int_equal(fake.opened, 0);
  scene_end(&s);
}

static void job__another_key_is_refused_before_the_job(void **state) {
  (void)state;
  struct session_scene s;
  uint8_t other[RECEIPT_KEY_LEN] = {1};
  prepare(&s);
  s.ask_handles.receipt_key = other;
  scene_start(&s);
  expect_failure(&s, FUSION_E_CRYPTO, "not the one that --receipt-key names");
  assert_int_equal(fake.opened, 0);
  scene_end(&s);
}

/* The server announces one model and signs for another, its signature does not fit, or it signs for other messages. */
static void job__a_receipt_of_something_else_is_the_servers_fault(void **state) {
  (void)state;
  struct session_scene s;
  prepare(&s);
  scene_start(&s);
  s.model->program.model_id[0] ^= 1; /* the manifest is made already */
  expect_failure(&s, FUSION_E_PEER, "the server's receipt is not of this connection: the model's id is wrong");
  s.model->program.model_id[0] ^= 1;
  key[40] ^= 1; /* its public half: the signature no longer fits */
  expect_failure(&s, FUSION_E_PEER, "the signature is wrong");
  key[40] ^= 1;
  fake.forget_runs = 1;
  expect_failure(&s, FUSION_E_PEER, "the hash of the messages is wrong");
  assert_int_equal(collect(&s, true).samples, SAMPLES);
  scene_end(&s);
}

static bool cut_once(void *context, const fusion_progress *p) {
  bool *done = context;
  (void)p;
  if (!*done && fake.runs >= 2) {
    fake.cut_runs = 1;
    *done = true;
  }
  return true;
}

/* The connection's finished shards have no receipt; the job goes on, and says how many samples there are receipts for.
 */
static void job__a_lost_connection_has_no_receipt(void **state) {
  (void)state;
  struct session_scene s;
  bool cut = false;
  prepare(&s);
  fake.delay_ms = 150;
  s.ask.progress = cut_once;
  s.ask.progress_context = &cut;
  scene_start(&s);
  const struct receipts_summary sum = collect(&s, true);
  assert_true(cut);
  assert_in_range(sum.samples, 1, SAMPLES - 1);
  assert_int_equal(sum.connections, 1);
  scene_end(&s);
}

static int make_certs(void **state) {
  (void)state;
  if (sodium_init() < 0) return 1;
  certs_make(&certs);
  return 0;
}

static int remove_certs(void **state) {
  (void)state;
  certs_free(&certs);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(receipt_sign__gives_the_vectors_of_the_page),
      cmocka_unit_test(receipts_decode__every_altered_byte_is_refused),
      cmocka_unit_test(receipts_decode__what_does_not_belong_together_is_refused),
      cmocka_unit_test(receipt_key_read__takes_what_was_written),
      cmocka_unit_test(job__receipts_cover_every_sample),
      cmocka_unit_test(job__receipts_are_there_for_every_verdict),
      cmocka_unit_test(job__none_unless_asked),
      cmocka_unit_test(job__a_server_without_a_key_is_refused_before_the_job),
      cmocka_unit_test(job__another_key_is_refused_before_the_job),
      cmocka_unit_test(job__a_receipt_of_something_else_is_the_servers_fault),
      cmocka_unit_test(job__a_lost_connection_has_no_receipt),
  };
  return cmocka_run_group_tests(tests, make_certs, remove_certs);
}
