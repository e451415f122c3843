/* Attacks in the messages of a session: greeting, START, shards, and the protocols' own messages. */
#include "adversary/attack.h"
#include "base/cursor.h"
#include "program/program.h"
#include "support/support.h"

enum { HELLO_MAX = 300, SAMPLES = 4 };

/* Every field of a greeting, as a peer may send it. */
struct raw_hello {
  char magic[8];
  uint32_t version; /* newest */
  uint8_t role;
  uint32_t oldest;
  char engine[64];
  uint16_t engine_len; /* as announced */
  uint64_t samples;
  uint8_t flag, receipt;
};

static const struct raw_hello good_hello = {.magic = {'F', 'U', 'S', 'I', 'O', 'N', '\r', '\n'},
                                            .version = SESSION_VERSION,
                                            .role = 'C',
                                            .oldest = SESSION_VERSION_OLDEST,
                                            .engine = "cheetah",
                                            .engine_len = 7,
                                            .samples = SAMPLES};

static size_t put_hello(uint8_t out[HELLO_MAX], const struct raw_hello *h, const uint8_t job[SESSION_JOB_LEN]) {
  static const uint8_t no_manifest[SESSION_HASH_LEN] = {0};
  struct writer w = {0};
  write_bytes(&w, h->magic, sizeof h->magic);
  write_u32(&w, h->version);
  write_u8(&w, h->role);
  write_u32(&w, h->oldest);
  write_u16(&w, h->engine_len);
  write_bytes(&w, h->engine, strlen(h->engine));
  write_bytes(&w, job, SESSION_JOB_LEN);
  write_u64(&w, h->samples);
  write_u8(&w, h->flag);
  write_bytes(&w, no_manifest, sizeof no_manifest);
  write_u8(&w, h->receipt);
  const size_t len = size_min(w.len, HELLO_MAX);
  memcpy(out, w.data, len);
  writer_free(&w);
  return len;
}

static void draw_job(uint8_t job[SESSION_JOB_LEN], uint64_t *random) {
  for (size_t i = 0; i < SESSION_JOB_LEN; i++) job[i] = (uint8_t)test_random(random);
}

static fusion_status dial(struct channel **c, const struct attack_target *target) {
  const struct net_limits limits = {.connect_timeout_ms = 5000, .timeout_ms = target->give_up_ms};
  struct net_peer peer;
  return channel_dial(c, &target->address, target->tls, &limits, &peer, NULL);
}

/* What a channel's end says about the server: it must not be our own time-out. */
static enum attack_end end_of(fusion_status status) {
  if (status == FUSION_OK) return ATTACK_SERVED;
  return status == FUSION_E_TIMEOUT ? ATTACK_ENDURED : ATTACK_ENDED;
}

/* One greeting of the given bytes; the server must not answer with its own. */
static enum attack_end refuse_hello(const struct attack_target *target, const uint8_t *bytes, size_t len) {
  struct channel *c;
  struct server_hello answer;
  if (dial(&c, target) != FUSION_OK) return ATTACK_NO_START;
  fusion_status status = channel_send(c, MSG_HELLO, bytes, len);
  if (status == FUSION_OK) status = server_hello_recv(c, &answer);
  channel_close(c);
  return status == FUSION_OK ? ATTACK_ENDURED : end_of(status);
}

static enum attack_end wrong_fields(const struct attack_target *target, uint64_t *random) {
  enum { VARIANTS = 18 };
  struct raw_hello h[VARIANTS];
  enum attack_end end = ATTACK_ENDED;
  for (int i = 0; i < VARIANTS; i++) h[i] = good_hello;
  h[0].magic[3] = 'X';
  h[1].version = 0;
  h[2].version = h[2].oldest = UINT32_MAX;
  h[3].role = 'S';
  h[4].role = 0;
  strcpy(h[5].engine, "delphii");
  strcpy(h[6].engine, "cheetah-with-a-name-that-is-far-too-long-for-the-field");
  h[6].engine_len = (uint16_t)strlen(h[6].engine);
  h[7].engine_len = UINT16_MAX;
  h[8].engine_len = 0;
  h[9].samples = 0;
  h[10].samples = SESSION_SAMPLES_MAX + 1;
  h[11].samples = UINT64_MAX;
  h[12].samples = SESSION_SAMPLES_MAX; /* well-formed, but above the server's limits */
  h[13].flag = 2;
  h[14].oldest = SESSION_VERSION + 1; /* above the newest */
  h[15].oldest = 0;
  h[16].version = 1; /* the rest is of version 2 */
  h[17].receipt = 2;
  for (int i = 0; i < VARIANTS && end == ATTACK_ENDED; i++) {
    uint8_t job[SESSION_JOB_LEN], bytes[HELLO_MAX];
    draw_job(job, random);
    const size_t len = put_hello(bytes, &h[i], job);
    end = refuse_hello(target, bytes, len);
  }
  return end;
}

/* value: 1 cut at every byte and one byte too long, 2 with a flipped bit (which may be one that does not matter). */
static enum attack_end damaged_hellos(const struct attack *a, const struct attack_target *target, uint64_t *random) {
  uint8_t job[SESSION_JOB_LEN], bytes[HELLO_MAX] = {0};
  enum attack_end end = ATTACK_ENDED;
  draw_job(job, random);
  const size_t len = put_hello(bytes, &good_hello, job);
  for (size_t i = 0; a->value == 1 && i <= len + 1 && end == ATTACK_ENDED; i += i > 10 && i + 10 < len ? 7 : 1)
    if (i != len) end = refuse_hello(target, bytes, i);
  for (size_t i = 0; a->value == 2 && i < 24 && end != ATTACK_NO_START; i++) {
    const uint8_t bit = (uint8_t)(1u << test_random(random) % 8);
    const size_t at = test_random(random) % len;
    bytes[at] ^= bit;
    end = refuse_hello(target, bytes, len);
    bytes[at] ^= bit;
  }
  return a->value == 2 && end != ATTACK_NO_START ? ATTACK_ENDED : end;
}

/* Greets well and takes the manifest. */
static fusion_status greet(struct channel *c, uint64_t samples, uint64_t *random, struct program *program) {
  struct client_hello hello = {.engine = "cheetah", .samples = samples};
  struct server_hello answer;
  uint8_t *bytes = NULL;
  size_t len;
  draw_job(hello.job, random);
  fusion_status status = client_hello_send(c, &hello);
  if (status == FUSION_OK) status = server_hello_recv(c, &answer);
  if (status == FUSION_OK) status = channel_recv_sized(c, MSG_MANIFEST, 1 << 24, &bytes, &len);
  if (status == FUSION_OK) {
    struct reader r = reader_of(bytes, len);
    status = program_decode(program, &r, NULL);
  }
  mem_free(bytes);
  return status;
}

enum attack_end attack_hello(const struct attack *a, const struct attack_target *target, uint64_t *random) {
  if (a->value == 0) return wrong_fields(target, random);
  if (a->value < 3) return damaged_hellos(a, target, random);
  enum attack_end end = ATTACK_ENDED;
  for (int twice = 0; twice < 2 && end == ATTACK_ENDED; twice++) {
    struct channel *c;
    struct program program = {0};
    struct ready granted;
    const struct start start = {.shard_samples = 1, .expected_samples = 1};
    const struct client_hello again = {.engine = "cheetah", .samples = SAMPLES};
    fusion_status status = dial(&c, target);
    if (status != FUSION_OK) return ATTACK_NO_START;
    if (twice) status = greet(c, SAMPLES, random, &program);
    if (status == FUSION_OK) status = twice ? client_hello_send(c, &again) : start_send(c, &start);
    if (status == FUSION_OK) status = ready_recv(c, &start, &granted);
    end = status == FUSION_OK ? ATTACK_ENDURED : end_of(status);
    channel_close(c);
    program_free(&program);
  }
  return end;
}

enum attack_end attack_start(const struct attack *a, const struct attack_target *target, uint64_t *random) {
  static const struct {
    uint64_t samples; /* of the job */
    struct start start;
  } wrong[] = {{SAMPLES, {.shard_samples = 0, .expected_samples = 1}},
               {SAMPLES, {.shard_samples = SESSION_SHARD_MAX + 1, .expected_samples = 1}},
               {SAMPLES, {.shard_samples = UINT32_MAX, .expected_samples = SAMPLES}},
               {SAMPLES, {.shard_samples = 1, .expected_samples = 0}},
               {SAMPLES, {.shard_samples = 1, .expected_samples = SAMPLES + 1}},
               {SAMPLES, {.shard_samples = 1, .expected_samples = SESSION_SAMPLES_MAX}},
               {SAMPLES, {.shard_samples = 1, .expected_samples = UINT64_MAX}}};
  const size_t count = a->value ? 1 : sizeof wrong / sizeof wrong[0];
  enum attack_end end = ATTACK_ENDED;
  for (size_t i = 0; i < count && end == ATTACK_ENDED; i++) {
    struct channel *c;
    struct program program = {0};
    struct ready granted;
    /* The largest that is allowed, in a job of 2^19 samples, reserves all that a client may; then silence. */
    const struct start start =
        a->value ? (struct start){.shard_samples = 1 << 19, .expected_samples = 1 << 19} : wrong[i].start;
    fusion_status status = dial(&c, target);
    if (status != FUSION_OK) return ATTACK_NO_START;
    status = greet(c, a->value ? 1 << 19 : wrong[i].samples, random, &program);
    if (status == FUSION_OK) status = start_send(c, &start);
    if (status == FUSION_OK) status = ready_recv(c, &start, &granted);
    if (status == FUSION_OK && a->value) {
      uint8_t nonce[16];
      status = channel_recv(c, MSG_SILENT, nonce, sizeof nonce);
      if (status == FUSION_OK) status = channel_recv(c, MSG_SILENT, nonce, sizeof nonce);
    }
    end = status == FUSION_OK ? ATTACK_ENDURED : end_of(status);
    channel_close(c);
    program_free(&program);
  }
  return end;
}

/* A whole session with `samples` announced as `claimed` in each shard. `c` is taken. */
static enum attack_end run_session(struct channel *c, uint64_t claimed, unsigned shards, uint64_t *random) {
  const struct engine *engine = engine_find("cheetah");
  struct program program = {0};
  struct engine_session *session = NULL;
  int64_t *inputs = NULL, *answers = NULL;
  struct ready granted;
  const struct start start = {.shard_samples = SAMPLES, .expected_samples = SAMPLES};
  fusion_status status = greet(c, SAMPLES, random, &program);
  if (status == FUSION_OK) status = start_send(c, &start);
  if (status == FUSION_OK) status = ready_recv(c, &start, &granted);
  if (status == FUSION_OK) {
    inputs = mem_alloc(SAMPLES * shape_size(program.steps[0].out.shape), sizeof *inputs);
    answers = mem_alloc(SAMPLES * program_answer_size(&program), sizeof *answers);
    status = inputs && answers ? engine_open_client(&session, engine, &program, c, SAMPLES) : FUSION_E_MEMORY;
  }
  for (unsigned i = 0; i < shards && status == FUSION_OK; i++) {
    status = shard_send(c, (uint32_t)claimed);
    if (status == FUSION_OK) status = engine_run_client(session, inputs, answers, SAMPLES);
  }
  if (status == FUSION_OK) status = shard_send(c, 0);
  engine_close(session);
  channel_close(c);
  mem_free(inputs);
  mem_free(answers);
  program_free(&program);
  return end_of(status);
}

enum attack_end attack_shard(const struct attack *a, const struct attack_target *target, uint64_t *random) {
  static const uint64_t claims[] = {SAMPLES + 1, SESSION_SHARD_MAX, SESSION_SHARD_MAX + 1, UINT32_MAX};
  const size_t count = a->value ? 1 : sizeof claims / sizeof claims[0];
  enum attack_end end = ATTACK_ENDED;
  for (size_t i = 0; i < count && end == ATTACK_ENDED; i++) {
    struct channel *c;
    if (dial(&c, target) != FUSION_OK) return ATTACK_NO_START;
    end = run_session(c, a->value ? SAMPLES : claims[i], a->value == 2 ? 0 : a->value ? 1000 : 1, random);
    if (end == ATTACK_SERVED) end = a->value == 2 ? ATTACK_ENDED : ATTACK_ENDURED;
  }
  return end;
}

/* A session with one cheat (value) on a message that a client sends. */
enum attack_end attack_session(const struct attack *a, const struct attack_target *target, uint64_t *random) {
  static const uint16_t types[] = {MSG_HELLO,    MSG_START, MSG_BASE_OT,  MSG_SOFTSPOKEN, MSG_SILENT,     MSG_OT_CHOICE,
                                   MSG_OT_TABLE, MSG_AND,   MSG_MULTIPLY, MSG_RLWE_KEY,   MSG_RLWE_QUERY, MSG_SHARD};
  struct channel *c;
  struct cheater *cheater = mem_alloc(1, sizeof *cheater);
  const struct model none = {0};
  if (!cheater) return ATTACK_NO_START;
  cheater_open(cheater, &none, engine_find("cheetah"), test_random(random));
  cheater->role = ROLE_CLIENT;
  const uint16_t type = types[test_random(random) % (sizeof types / sizeof types[0])];
  const bool once = type == MSG_HELLO || type == MSG_START || type == MSG_RLWE_KEY;
  const struct cheat cheat = {.kind = (enum cheat_kind)a->value,
                              .type = type,
                              .nth = once ? 1 : 1 + test_random(random) % 2,
                              .offset = CHEAT_RANDOM,
                              .value = CHEAT_RANDOM};
  enum attack_end end = ATTACK_NO_START;
  if (cheat_add(cheater, &cheat, NULL) == FUSION_OK && dial(&c, target) == FUSION_OK) {
    end = cheat_wrap(cheater, &c) == FUSION_OK ? run_session(c, SAMPLES, 2, random) : ATTACK_NO_START;
  }
  cheater_close(cheater);
  mem_free(cheater);
  return end;
}
