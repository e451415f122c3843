#include "session/messages.h"

#include <sodium.h>
#include <stdio.h>

#include "base/cursor.h"

static const uint8_t magic[8] = {'F', 'U', 'S', 'I', 'O', 'N', '\r', '\n'};
enum { ROLE_BYTE_CLIENT = 'C', ROLE_BYTE_SERVER = 'S', PART_LEN = 64 };

static size_t part_len(const char *text) {
  size_t len = 0;
  for (; text[len]; len++) {
    const char c = text[len];
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!plain && (!len || !strchr("._-", c))) break;
  }
  return len;
}

bool model_name_is_valid(const char *text) {
  const size_t name = part_len(text);
  if (!name || name >= PART_LEN) return false;
  if (!text[name]) return true;
  const size_t version = text[name] == '@' ? part_len(text + name + 1) : 0;
  return version && version < PART_LEN && !text[name + 1 + version];
}

static fusion_status send_writer(struct channel *c, message_type type, struct writer *w) {
  fusion_status status = FUSION_E_MEMORY;
  if (w->failed) channel_fail(c, status, "out of memory for a message");
  if (!w->failed) status = channel_send(c, type, w->data, w->len);
  if (status == FUSION_OK) status = channel_flush(c);
  writer_free(w);
  return status;
}

/* The beginning of every version's HELLO: magic, version, role. */
static void write_hello_head(struct writer *w, uint32_t version, uint8_t role) {
  write_bytes(w, magic, sizeof magic);
  write_u32(w, version);
  write_u8(w, role);
}

static fusion_status read_hello_head(struct channel *c, struct reader *r, uint8_t role, uint32_t *version) {
  uint8_t got[sizeof magic];
  read_bytes(r, got, sizeof got);
  *version = read_u32(r);
  const uint8_t got_role = read_u8(r);
  if (r->failed || memcmp(got, magic, sizeof magic) != 0)
    return channel_fail(c, FUSION_E_PEER, "the peer does not speak this protocol");
  if (got_role != role)
    return channel_fail(c, FUSION_E_PEER, "the peer is a %s too", role == ROLE_BYTE_SERVER ? "client" : "server");
  return FUSION_OK;
}

static fusion_status malformed(struct channel *c, const char *what) {
  return channel_fail(c, FUSION_E_PEER, "the peer sent a %s that cannot be read", what);
}

enum { RANGE_TEXT_LEN = 48 };

static const char *range_text(char out[RANGE_TEXT_LEN], uint32_t oldest, uint32_t newest) {
  if (oldest == newest)
    snprintf(out, RANGE_TEXT_LEN, "version %u", newest);
  else
    snprintf(out, RANGE_TEXT_LEN, "versions %u to %u", oldest, newest);
  return out;
}

static fusion_status version_error(fusion_error *err, uint32_t oldest, uint32_t newest) {
  char theirs[RANGE_TEXT_LEN], ours[RANGE_TEXT_LEN];
  return error_set(err, FUSION_E_VERSION,
                   "the peer speaks %s of the protocol; this is %s: use the same release on both sides",
                   range_text(theirs, oldest, newest), range_text(ours, SESSION_VERSION_OLDEST, SESSION_VERSION));
}

static fusion_status fail_version(struct channel *c, uint32_t oldest, uint32_t newest) {
  fusion_error err;
  const fusion_status status = version_error(&err, oldest, newest);
  return channel_fail(c, status, "%s", err.text);
}

void version_refuse(struct channel *c) {
  char ours[RANGE_TEXT_LEN], text[160];
  snprintf(text, sizeof text, "it speaks %s of the protocol; use the same release on both sides",
           range_text(ours, SESSION_VERSION_OLDEST, SESSION_VERSION));
  channel_refuse(c, false, text);
}

bool version_1_refused(const struct channel *c, fusion_error *why) {
  const fusion_error *e = channel_error(c);
  if (e->status != FUSION_E_REFUSED || strcmp(e->text, "the peer refused: the protocol was not followed") != 0)
    return false;
  version_error(why, 1, 1);
  return true;
}

/* The newest version that both speak. Clients of version 1 say no more than that. */
static fusion_status agree(struct channel *c, struct reader *r, uint32_t newest, uint32_t *version) {
  const uint32_t oldest = newest > 1 ? read_u32(r) : newest;
  if (r->failed || oldest > newest || (newest && !oldest)) return malformed(c, "range of versions");
  if (oldest > SESSION_VERSION || newest < SESSION_VERSION_OLDEST) return fail_version(c, oldest, newest);
  *version = newest < SESSION_VERSION ? newest : SESSION_VERSION;
  return FUSION_OK;
}

fusion_status client_hello_send(struct channel *c, const struct client_hello *m) {
  struct writer w = {0};
  write_hello_head(&w, SESSION_VERSION, ROLE_BYTE_CLIENT);
  write_u32(&w, SESSION_VERSION_OLDEST);
  write_string(&w, m->engine);
  write_bytes(&w, m->job, sizeof m->job);
  write_u64(&w, m->samples);
  write_u8(&w, m->has_manifest);
  write_bytes(&w, m->manifest_hash, sizeof m->manifest_hash);
  write_u8(&w, m->wants_receipt);
  write_string(&w, m->model);
  return send_writer(c, MSG_HELLO, &w);
}

fusion_status client_hello_recv(struct channel *c, struct client_hello *m) {
  uint8_t *data;
  size_t len;
  uint32_t newest;
  fusion_status status = channel_recv_sized(c, MSG_HELLO, SESSION_HELLO_MAX, &data, &len);
  if (status != FUSION_OK) return status;
  struct reader r = reader_of(data, len);
  *m = (struct client_hello){0};
  TRY(read_hello_head(c, &r, ROLE_BYTE_CLIENT, &newest));
  TRY(agree(c, &r, newest, &m->version));
  read_string(&r, m->engine, sizeof m->engine);
  read_bytes(&r, m->job, sizeof m->job);
  m->samples = read_u64(&r);
  const uint8_t flag = read_u8(&r);
  m->has_manifest = flag == 1;
  read_bytes(&r, m->manifest_hash, sizeof m->manifest_hash);
  const uint8_t receipt = read_u8(&r);
  m->wants_receipt = receipt == 1;
  read_string(&r, m->model, sizeof m->model);
  /* A newer client may say more behind what this version knows. */
  const bool whole = newest > SESSION_VERSION ? !r.failed : reader_done(&r);
  const bool named = !m->model[0] || model_name_is_valid(m->model);
  if (!whole || !named || flag > 1 || receipt > 1 || !m->samples || m->samples > SESSION_SAMPLES_MAX)
    status = malformed(c, "greeting");
cleanup:
  mem_free(data);
  return status;
}

static_assert((int)SPEED_COUNT <= (int)SESSION_SPEEDS_MAX, "a greeting has room for every speed");

static void write_speeds(struct writer *w, const struct engine_speeds *speeds) {
  write_u8(w, SPEED_COUNT);
  for (size_t i = 0; i < SPEED_COUNT; i++) write_f64(w, speeds->seconds[i]);
}

/* Speeds that a peer of another release does not know are the usual ones; those that we do not know are left. False
 * when they cannot be of any machine. */
static bool read_speeds(struct reader *r, struct engine_speeds *speeds) {
  const uint8_t count = read_u8(r);
  *speeds = engine_speeds_usual;
  if (!count || count > SESSION_SPEEDS_MAX) return false;
  for (size_t i = 0; i < count; i++) {
    const double seconds = read_f64(r);
    if (i < SPEED_COUNT) speeds->seconds[i] = seconds;
  }
  return !r->failed && engine_speeds_plausible(speeds);
}

fusion_status server_hello_send(struct channel *c, const struct server_hello *m) {
  struct writer w = {0};
  write_hello_head(&w, m->version, ROLE_BYTE_SERVER);
  write_string(&w, m->engine);
  write_bytes(&w, m->manifest_hash, sizeof m->manifest_hash);
  write_u32(&w, m->manifest_len);
  write_u8(&w, m->gives_receipt);
  write_bytes(&w, m->receipt_key, sizeof m->receipt_key);
  if (m->has_speeds) write_speeds(&w, &m->speeds);
  return send_writer(c, MSG_HELLO, &w);
}

fusion_status server_hello_recv(struct channel *c, struct server_hello *m) {
  uint8_t *data;
  size_t len;
  fusion_status status = channel_recv_sized(c, MSG_HELLO, SESSION_HELLO_MAX, &data, &len);
  if (status != FUSION_OK) return status;
  struct reader r = reader_of(data, len);
  *m = (struct server_hello){0};
  TRY(read_hello_head(c, &r, ROLE_BYTE_SERVER, &m->version));
  FAIL_IF(m->version < SESSION_VERSION_OLDEST || m->version > SESSION_VERSION, fail_version(c, m->version, m->version));
  read_string(&r, m->engine, sizeof m->engine);
  read_bytes(&r, m->manifest_hash, sizeof m->manifest_hash);
  m->manifest_len = read_u32(&r);
  const uint8_t receipt = read_u8(&r);
  m->gives_receipt = receipt == 1;
  read_bytes(&r, m->receipt_key, sizeof m->receipt_key);
  m->has_speeds = reader_left(&r) > 0;
  const bool plausible = !m->has_speeds || read_speeds(&r, &m->speeds);
  if (!reader_done(&r) || !plausible || !m->manifest_len || receipt > 1) status = malformed(c, "greeting");
cleanup:
  mem_free(data);
  return status;
}

static fusion_status recv_exact(struct channel *c, message_type type, void *bytes, size_t len, struct reader *r) {
  const fusion_status status = channel_recv(c, type, bytes, len);
  *r = reader_of(bytes, len);
  return status;
}

static bool shard_size_fits(uint32_t samples) {
  return samples && samples <= SESSION_SHARD_MAX;
}

static bool is_zero(const uint8_t number[SESSION_STATE_LEN]) {
  static const uint8_t zeros[SESSION_STATE_LEN];
  return memcmp(number, zeros, sizeof zeros) == 0;
}

fusion_status start_send(struct channel *c, const struct start *m) {
  struct writer w = {0};
  write_u32(&w, m->shard_samples);
  write_u64(&w, m->expected_samples);
  write_u8(&w, (uint8_t)m->purpose);
  write_u8(&w, (uint8_t)(m->keep + m->has_kept));
  write_bytes(&w, m->kept, sizeof m->kept);
  return send_writer(c, MSG_START, &w);
}

fusion_status start_recv(struct channel *c, struct start *m) {
  uint8_t bytes[14 + SESSION_STATE_LEN];
  struct reader r;
  const fusion_status status = recv_exact(c, MSG_START, bytes, sizeof bytes, &r);
  if (status != FUSION_OK) return status;
  m->shard_samples = read_u32(&r);
  m->expected_samples = read_u64(&r);
  const uint8_t purpose = read_u8(&r), keeping = read_u8(&r);
  m->purpose = (enum session_purpose)purpose;
  m->keep = keeping >= 1;
  m->has_kept = keeping == 2;
  read_bytes(&r, m->kept, sizeof m->kept);
  if (!shard_size_fits(m->shard_samples) || !m->expected_samples || m->expected_samples > SESSION_SAMPLES_MAX ||
      purpose > PURPOSE_RUN_PREPARED || keeping > 2 || (!m->has_kept && !is_zero(m->kept)))
    return malformed(c, "start");
  return FUSION_OK;
}

static fusion_status send_u32(struct channel *c, message_type type, uint32_t v) {
  struct writer w = {0};
  write_u32(&w, v);
  return send_writer(c, type, &w);
}

static fusion_status recv_u32(struct channel *c, message_type type, uint32_t *v) {
  uint8_t bytes[4];
  struct reader r;
  const fusion_status status = recv_exact(c, type, bytes, sizeof bytes, &r);
  *v = status == FUSION_OK ? read_u32(&r) : 0;
  return status;
}

fusion_status ready_send(struct channel *c, const struct ready *m) {
  struct writer w = {0};
  write_u32(&w, m->shard_samples);
  write_u8(&w, m->keeps);
  write_u8(&w, m->uses);
  write_bytes(&w, m->number, sizeof m->number);
  return send_writer(c, MSG_READY, &w);
}

fusion_status ready_recv(struct channel *c, const struct start *start, struct ready *m) {
  uint8_t bytes[6 + SESSION_STATE_LEN];
  struct reader r;
  const fusion_status status = recv_exact(c, MSG_READY, bytes, sizeof bytes, &r);
  if (status != FUSION_OK) return status;
  m->shard_samples = read_u32(&r);
  const uint8_t keeps = read_u8(&r), uses = read_u8(&r);
  m->keeps = keeps == 1;
  m->uses = uses == 1;
  read_bytes(&r, m->number, sizeof m->number);
  if (!shard_size_fits(m->shard_samples)) return malformed(c, "shard size");
  if (keeps > 1 || uses > 1 || (keeps && !start->keep) || (uses && !start->has_kept) || (!keeps && !is_zero(m->number)))
    return malformed(c, "answer about a kept set-up");
  return FUSION_OK;
}

fusion_status shard_send(struct channel *c, uint32_t samples) {
  return send_u32(c, MSG_SHARD, samples);
}

fusion_status shard_recv(struct channel *c, uint32_t *samples) {
  const fusion_status status = recv_u32(c, MSG_SHARD, samples);
  if (status != FUSION_OK) return status;
  return *samples <= SESSION_SHARD_MAX ? FUSION_OK : malformed(c, "shard size");
}

fusion_status receipt_send(struct channel *c, const uint8_t receipt[RECEIPT_LEN]) {
  const fusion_status status = channel_send(c, MSG_RECEIPT, receipt, RECEIPT_LEN);
  return status == FUSION_OK ? channel_flush(c) : status;
}

fusion_status receipt_recv(struct channel *c, uint8_t receipt[RECEIPT_LEN]) {
  return channel_recv(c, MSG_RECEIPT, receipt, RECEIPT_LEN);
}

void manifest_hash(uint8_t hash[SESSION_HASH_LEN], const void *manifest, size_t len) {
  crypto_generichash(hash, SESSION_HASH_LEN, manifest, len, NULL, 0);
}

fusion_status prepared_send(struct channel *c, const uint8_t state[SESSION_STATE_LEN]) {
  const fusion_status status = channel_send(c, MSG_PREPARED, state, SESSION_STATE_LEN);
  return status == FUSION_OK ? channel_flush(c) : status;
}

fusion_status prepared_recv(struct channel *c, uint8_t state[SESSION_STATE_LEN]) {
  return channel_recv(c, MSG_PREPARED, state, SESSION_STATE_LEN);
}

enum { STATE_NAME_LEN = 4 + SESSION_STATE_LEN };

fusion_status states_send(struct channel *c, const struct state_name *states, size_t count) {
  struct writer w = {0};
  for (size_t i = 0; i < count; i++) {
    write_u32(&w, states[i].samples);
    write_bytes(&w, states[i].number, sizeof states[i].number);
  }
  return send_writer(c, MSG_STATES, &w);
}

fusion_status states_recv(struct channel *c, struct state_name **states, size_t *count) {
  uint8_t *data;
  size_t len;
  *states = NULL;
  fusion_status status = channel_recv_sized(c, MSG_STATES, SESSION_STATES_MAX * STATE_NAME_LEN, &data, &len);
  if (status != FUSION_OK) return status;
  struct reader r = reader_of(data, len);
  *count = len / STATE_NAME_LEN;
  FAIL_IF(!len || len % STATE_NAME_LEN, malformed(c, "list of states"));
  *states = mem_alloc(*count, sizeof **states);
  FAIL_IF(!*states, channel_fail(c, FUSION_E_MEMORY, "out of memory for a list of states"));
  for (size_t i = 0; i < *count; i++) {
    (*states)[i].samples = read_u32(&r);
    read_bytes(&r, (*states)[i].number, SESSION_STATE_LEN);
    FAIL_IF(!shard_size_fits((*states)[i].samples), malformed(c, "list of states"));
  }
cleanup:
  mem_free(data);
  if (status != FUSION_OK) {
    mem_free(*states);
    *states = NULL;
  }
  return status;
}
