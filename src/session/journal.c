#include "session/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cursor.h"

enum {
  TOMBSTONE_MAX = 256, /* payload */
  HEADER_LEN = 24,
  RECORD_HEAD_LEN = 8, /* u32 length of the payload, u32 kind */
  TAG_LEN = 16,
  RECORD_JOB = 1,
  RECORD_SHARD = 2,
  RECORD_REJECTED = 3, /* of a tombstone, alone: strings when, why */
  SHARD_HEAD_LEN = 12, /* u64 first sample, u32 samples; the answers follow */
  ENDED_AT = 16,       /* in the header: how the job ended, 0 while it may go on */
  JOB_LEN_AT = 20,     /* in the header: length of the first record's payload */
  /* 1: without copies of public samples among what the hash is of. 2: without canaries. */
  JOURNAL_VERSION = 3,
  /* How a job ended; failures are negative. */
  ENDED_WELL = 1,     /* the journal is being removed */
  ENDED_REJECTED = 2, /* the journal is a tombstone */
};
/* Answers are kept in the machine's own byte order: a journal stays where it was made. */
static const uint32_t byte_order = 0x01020304;
static const uint8_t magic[8] = {'F', 'U', 'S', 'I', 'O', 'N', 'J', '\n'};

struct journal {
  const char *path; /* borrowed */
  int fd;
  bool begun, spoiled;
  bool over;                  /* the file is that of an ended job, and stays so until journal_begin */
  uint8_t seed[PRG_SEED_LEN]; /* secret */
  struct journal_job job;     /* once begun or resumed */
  uint8_t *manifest;          /* owned: of a resumed job */
  pthread_mutex_t lock;       /* guards what follows */
  uint64_t end;               /* bytes that are good */
  uint8_t tag[TAG_LEN];       /* of the last record */
};

static fusion_status io_failed(const char *path, const char *what, fusion_error *err) {
  return error_set(err, FUSION_E_IO, "'%s': the journal cannot be %s: %s", path, what, strerror(errno));
}

static fusion_status damaged(const struct journal *j, fusion_error *err) {
  return error_set(err, FUSION_E_INPUT, "'%s': this journal is damaged; remove it to begin a new job", j->path);
}

static bool write_at(int fd, const void *data, size_t len, uint64_t at) {
  const uint8_t *bytes = data;
  while (len) {
    const ssize_t done = pwrite(fd, bytes, size_min(len, (size_t)1 << 30), (off_t)at);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return false;
    bytes += done;
    at += (uint64_t)done;
    len -= (size_t)done;
  }
  return true;
}

/* False at the end of the file, with errno 0, and on failure. */
static bool read_at(int fd, void *data, size_t len, uint64_t at) {
  uint8_t *bytes = data;
  while (len) {
    const ssize_t got = pread(fd, bytes, size_min(len, (size_t)1 << 30), (off_t)at);
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) errno = 0;
    if (got <= 0) return false;
    bytes += got;
    at += (uint64_t)got;
    len -= (size_t)got;
  }
  return true;
}

/* ---- records ---- */

/* Parts of a record's payload; the second may be large. */
struct payload {
  const void *head, *body;
  size_t head_len, body_len;
};

static void record_head(uint8_t out[RECORD_HEAD_LEN], uint32_t len, uint32_t kind) {
  memcpy(out, &len, 4);
  memcpy(out + 4, &kind, 4);
}

static void record_tag(uint8_t tag[TAG_LEN], const uint8_t before[TAG_LEN], const uint8_t head[RECORD_HEAD_LEN],
                       const struct payload *p) {
  crypto_generichash_state state;
  crypto_generichash_init(&state, NULL, 0, TAG_LEN);
  crypto_generichash_update(&state, before, TAG_LEN);
  crypto_generichash_update(&state, head, RECORD_HEAD_LEN);
  crypto_generichash_update(&state, p->head, p->head_len);
  if (p->body_len) crypto_generichash_update(&state, p->body, p->body_len);
  crypto_generichash_final(&state, tag, TAG_LEN);
  mem_wipe(&state, sizeof state);
}

/* Behind the good bytes, all or nothing: what a failed write leaves is cut off, or else a torn tail. */
static fusion_status append(struct journal *j, uint32_t kind, const struct payload *p, fusion_error *err) {
  uint8_t head[RECORD_HEAD_LEN], tag[TAG_LEN];
  const size_t len = p->head_len + p->body_len;
  if (len > UINT32_MAX) return error_set(err, FUSION_E_LIMIT, "'%s': a shard is too large for the journal", j->path);
  record_head(head, (uint32_t)len, kind);
  record_tag(tag, j->tag, head, p);
  const uint64_t at = j->end + RECORD_HEAD_LEN;
  const bool written = write_at(j->fd, head, sizeof head, j->end) && write_at(j->fd, p->head, p->head_len, at) &&
                       write_at(j->fd, p->body, p->body_len, at + p->head_len) &&
                       write_at(j->fd, tag, sizeof tag, at + len) && fdatasync(j->fd) == 0;
  if (!written) {
    const int reason = errno;
    (void)!ftruncate(j->fd, (off_t)j->end);
    errno = reason;
    return io_failed(j->path, "written", err);
  }
  j->end = at + len + TAG_LEN;
  memcpy(j->tag, tag, sizeof tag);
  return FUSION_OK;
}

/* What the file holds at an offset. */
enum found { FOUND_RECORD, FOUND_END, FOUND_TORN };

static enum found find_record(const struct journal *j, uint64_t at, uint64_t file_len, uint32_t *len, uint32_t *kind) {
  uint8_t head[RECORD_HEAD_LEN];
  if (at == file_len) return FOUND_END;
  if (file_len - at < RECORD_HEAD_LEN + TAG_LEN || !read_at(j->fd, head, sizeof head, at)) return FOUND_TORN;
  memcpy(len, head, 4);
  memcpy(kind, head + 4, 4);
  return file_len - at - RECORD_HEAD_LEN - TAG_LEN < *len ? FOUND_TORN : FOUND_RECORD;
}

/* Takes the record whose payload was read if its tag is right. */
static bool accept_record(struct journal *j, uint32_t kind, const struct payload *p) {
  uint8_t head[RECORD_HEAD_LEN], tag[TAG_LEN], stored[TAG_LEN];
  const size_t len = p->head_len + p->body_len;
  record_head(head, (uint32_t)len, kind);
  record_tag(tag, j->tag, head, p);
  if (!read_at(j->fd, stored, sizeof stored, j->end + RECORD_HEAD_LEN + len)) return false;
  if (memcmp(tag, stored, sizeof tag) != 0) return false;
  memcpy(j->tag, tag, sizeof tag);
  j->end += RECORD_HEAD_LEN + len + TAG_LEN;
  return true;
}

/* ---- opening ---- */

static fusion_status check_header(const struct journal *j, const uint8_t header[HEADER_LEN], fusion_error *err) {
  uint32_t order, version;
  memcpy(&order, header + 8, 4);
  memcpy(&version, header + 12, 4);
  if (order != byte_order || version != JOURNAL_VERSION)
    return error_set(err, FUSION_E_INPUT, "'%s': this journal was made by another version of fusion", j->path);
  return FUSION_OK;
}

/* What a tombstone says. Damage costs the words, never the rejection. */
static fusion_status refuse_rejected(struct journal *j, uint64_t file_len, fusion_error *err) {
  uint8_t bytes[TOMBSTONE_MAX];
  char when[JOURNAL_WHEN_LEN] = "", why[JOURNAL_WHY_LEN] = "";
  uint32_t len, kind;
  const bool found = find_record(j, HEADER_LEN, file_len, &len, &kind) == FOUND_RECORD && kind == RECORD_REJECTED &&
                     len <= sizeof bytes && read_at(j->fd, bytes, len, HEADER_LEN + RECORD_HEAD_LEN);
  const struct payload payload = {.head = bytes, .head_len = found ? len : 0};
  j->end = HEADER_LEN;
  if (found && accept_record(j, kind, &payload)) {
    struct reader r = reader_of(bytes, len);
    read_string(&r, when, sizeof when);
    read_string(&r, why, sizeof why);
    if (reader_done(&r))
      return error_set(err, FUSION_E_REJECTED, "'%s': this job was rejected at %s: %s; --again begins a new job",
                       j->path, when, why);
  }
  return error_set(err, FUSION_E_REJECTED, "'%s': this job was rejected; --again begins a new job", j->path);
}

/* The job in the file cannot go on; only one who asks for it may begin a new one there. */
static fusion_status take_ended(struct journal *j, int32_t ended, uint64_t file_len, bool again, fusion_error *err) {
  j->over = again;
  if (again) return FUSION_OK;
  if (ended == ENDED_REJECTED) return refuse_rejected(j, file_len, err);
  return error_set(err, FUSION_E_INPUT, "'%s': the job of this journal ended (%s); --again begins a new job", j->path,
                   fusion_status_text((fusion_status)ended));
}

static fusion_status parse_job(struct journal *j, const uint8_t *bytes, size_t len, fusion_error *err) {
  struct reader r = reader_of(bytes, len);
  read_bytes(&r, j->seed, sizeof j->seed);
  read_string(&r, j->job.engine, sizeof j->job.engine);
  read_bytes(&r, j->job.input_hash, sizeof j->job.input_hash);
  j->job.samples = read_u64(&r);
  j->job.answer_size = read_u64(&r);
  j->job.canary_rows = read_u64(&r);
  j->job.manifest_len = reader_left(&r);
  const uint8_t *manifest = read_span(&r, j->job.manifest_len);
  if (!reader_done(&r) || !j->job.manifest_len || !j->job.samples || j->job.samples > SESSION_SAMPLES_MAX ||
      !j->job.answer_size)
    return damaged(j, err);
  j->manifest = mem_alloc(j->job.manifest_len, 1);
  if (!j->manifest) return error_set(err, FUSION_E_MEMORY, "out of memory for the journal");
  memcpy(j->manifest, manifest, j->job.manifest_len);
  j->job.manifest = j->manifest;
  return FUSION_OK;
}

/* The header and the job's record. A file that ends within them is one in which nothing had begun. */
static fusion_status load(struct journal *j, uint64_t file_len, bool again, fusion_error *err) {
  uint8_t header[HEADER_LEN] = {0};
  uint32_t len = 0, kind = 0, job_len;
  int32_t ended;
  const size_t there = file_len < HEADER_LEN ? (size_t)file_len : HEADER_LEN;
  if (!read_at(j->fd, header, there, 0)) return io_failed(j->path, "read", err);
  if (memcmp(header, magic, size_min(there, sizeof magic)) != 0)
    return error_set(err, FUSION_E_INPUT, "'%s': not a journal of fusion; give another name", j->path);
  if (there < HEADER_LEN) return FUSION_OK;
  fusion_status status = check_header(j, header, err);
  if (status != FUSION_OK) return status;
  memcpy(&ended, header + ENDED_AT, 4);
  memcpy(&job_len, header + JOB_LEN_AT, 4);
  if (ended == ENDED_WELL) return FUSION_OK;
  if (ended) return take_ended(j, ended, file_len, again, err);
  if (file_len < HEADER_LEN + RECORD_HEAD_LEN + (uint64_t)job_len + TAG_LEN) return FUSION_OK;
  if (find_record(j, HEADER_LEN, file_len, &len, &kind) != FOUND_RECORD || len != job_len || kind != RECORD_JOB)
    return damaged(j, err);
  uint8_t *bytes = mem_alloc(len, 1);
  if (!bytes) return error_set(err, FUSION_E_MEMORY, "out of memory for the journal");
  const struct payload payload = {.head = bytes, .head_len = len};
  j->end = HEADER_LEN;
  if (!read_at(j->fd, bytes, len, HEADER_LEN + RECORD_HEAD_LEN))
    status = io_failed(j->path, "read", err);
  else if (!accept_record(j, kind, &payload))
    status = damaged(j, err);
  if (status == FUSION_OK) status = parse_job(j, bytes, len, err);
  mem_free_secret(bytes, len);
  j->begun = status == FUSION_OK;
  return status;
}

static fusion_status claim(struct journal *j, uint64_t *len, fusion_error *err) {
  struct stat info;
  j->fd = open(j->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
  if (j->fd < 0) return io_failed(j->path, "opened", err);
  if (fstat(j->fd, &info)) return io_failed(j->path, "opened", err);
  if (!S_ISREG(info.st_mode)) return error_set(err, FUSION_E_IO, "'%s': is not a regular file", j->path);
  if (flock(j->fd, LOCK_EX | LOCK_NB) || fstat(j->fd, &info) || info.st_nlink == 0)
    return error_set(err, FUSION_E_IO, "'%s': another job uses this journal", j->path);
  *len = (uint64_t)info.st_size;
  return FUSION_OK;
}

fusion_status journal_open(struct journal **out, const char *path, bool again, fusion_error *err) {
  *out = NULL;
  uint64_t len = 0;
  struct journal *j = mem_alloc(1, sizeof *j);
  if (!j || sodium_init() < 0) {
    mem_free(j);
    return error_set(err, FUSION_E_MEMORY, "out of memory for the journal");
  }
  j->path = path;
  pthread_mutex_init(&j->lock, NULL);
  fusion_status status = claim(j, &len, err);
  if (status == FUSION_OK) status = load(j, len, again, err);
  if (status == FUSION_OK && !j->begun) {
    status = os_random(j->seed, sizeof j->seed);
    if (status != FUSION_OK) error_set(err, status, "%s", fusion_status_text(status));
  }
  if (status == FUSION_OK && !j->begun && (fchmod(j->fd, 0600) || (!j->over && ftruncate(j->fd, 0))))
    status = io_failed(path, "written", err);
  if (status == FUSION_OK) {
    *out = j;
    return status;
  }
  j->begun = true; /* the file stays as it is */
  journal_close(j);
  return status;
}

const struct journal_job *journal_resumed(const struct journal *j) {
  return j->manifest ? &j->job : NULL;
}

fusion_status journal_check(const struct journal *j, const struct journal_job *job, fusion_error *err) {
  if (strcmp(j->job.engine, job->engine) == 0 && j->job.samples == job->samples &&
      memcmp(j->job.input_hash, job->input_hash, sizeof job->input_hash) == 0)
    return FUSION_OK;
  return error_set(err, FUSION_E_INPUT,
                   "'%s': the journal's job has other data or other settings of the check; give these, or remove the "
                   "journal to begin a new job",
                   j->path);
}

const uint8_t *journal_seed(const struct journal *j) {
  return j->seed;
}

/* ---- running ---- */

/* So that a crash of the machine does not lose the file's name. */
static void sync_folder(const char *path) {
  char folder[4096] = ".";
  const char *slash = strrchr(path, '/');
  if (slash) snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
  const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  (void)!fsync(fd);
  close(fd);
}

fusion_status journal_begin(struct journal *j, const struct journal_job *job, fusion_error *err) {
  uint8_t header[HEADER_LEN] = {0};
  struct writer w = {0};
  memcpy(header, magic, sizeof magic);
  memcpy(header + 8, &byte_order, 4);
  memcpy(header + 12, &(uint32_t){JOURNAL_VERSION}, 4);
  write_bytes(&w, j->seed, sizeof j->seed); /* within the writer's first 256 bytes: never moved, wiped below */
  write_string(&w, job->engine);
  write_bytes(&w, job->input_hash, sizeof job->input_hash);
  write_u64(&w, job->samples);
  write_u64(&w, job->answer_size);
  write_u64(&w, job->canary_rows);
  fusion_status status = FUSION_OK;
  FAIL_IF(w.failed, error_set(err, FUSION_E_MEMORY, "out of memory for the journal"));
  const struct payload payload = {w.data, job->manifest, w.len, job->manifest_len};
  memcpy(header + JOB_LEN_AT, &(uint32_t){(uint32_t)(w.len + job->manifest_len)}, 4);
  FAIL_IF(ftruncate(j->fd, 0), io_failed(j->path, "written", err));
  j->over = false;
  FAIL_IF(!write_at(j->fd, header, sizeof header, 0), io_failed(j->path, "written", err));
  j->end = HEADER_LEN;
  TRY(append(j, RECORD_JOB, &payload, err));
  sync_folder(j->path);
  j->job = *job;
  j->job.manifest = NULL;
  j->begun = true;
cleanup:
  mem_wipe(w.data, w.len);
  writer_free(&w);
  return status;
}

/* One shard's record at the good end. False when it is not a record of this job. */
static bool replay_shard(struct journal *j, uint32_t len, int64_t *answers, bool *done) {
  uint8_t head[SHARD_HEAD_LEN];
  uint64_t first;
  uint32_t count;
  const uint64_t row = j->job.answer_size * sizeof *answers, at = j->end + RECORD_HEAD_LEN;
  if (len < sizeof head || !read_at(j->fd, head, sizeof head, at)) return false;
  memcpy(&first, head, 8);
  memcpy(&count, head + 8, 4);
  if (first > j->job.samples || !count || count > j->job.samples - first) return false;
  if (len - sizeof head != count * row) return false;
  for (uint64_t i = first; i < first + count; i++)
    if (done[i]) return false;
  int64_t *rows = answers + first * j->job.answer_size;
  const struct payload payload = {head, rows, sizeof head, len - sizeof head};
  if (!read_at(j->fd, rows, payload.body_len, at + sizeof head) || !accept_record(j, RECORD_SHARD, &payload)) {
    mem_wipe(rows, payload.body_len);
    return false;
  }
  for (uint64_t i = first; i < first + count; i++) done[i] = true;
  return true;
}

fusion_status journal_replay(struct journal *j, int64_t *answers, bool *done, fusion_error *err) {
  struct stat info;
  uint32_t len, kind;
  if (fstat(j->fd, &info)) return io_failed(j->path, "read", err);
  const uint64_t file_len = (uint64_t)info.st_size;
  for (;;) {
    const enum found found = find_record(j, j->end, file_len, &len, &kind);
    if (found == FOUND_END) return FUSION_OK;
    if (found == FOUND_RECORD && kind == RECORD_SHARD && replay_shard(j, len, answers, done)) continue;
    /* A last record that is short or wrong was being written when the client died; one before others was not. */
    const bool last = found == FOUND_TORN || j->end + RECORD_HEAD_LEN + len + TAG_LEN == file_len;
    if (!last) return damaged(j, err);
    return ftruncate(j->fd, (off_t)j->end) ? io_failed(j->path, "written", err) : FUSION_OK;
  }
}

fusion_status journal_keep(struct journal *j, uint64_t first, uint32_t count, const int64_t *answers,
                           fusion_error *err) {
  uint8_t head[SHARD_HEAD_LEN];
  memcpy(head, &first, 8);
  memcpy(head + 8, &count, 4);
  const struct payload payload = {head, answers, sizeof head, count * j->job.answer_size * sizeof *answers};
  pthread_mutex_lock(&j->lock);
  const fusion_status status =
      j->spoiled ? error_set(err, FUSION_E_CLOSED, "the job has ended") : append(j, RECORD_SHARD, &payload, err);
  pthread_mutex_unlock(&j->lock);
  return status;
}

/* Zeros over bytes [from, len), then none of them. */
static bool wipe_file(int fd, uint64_t from, uint64_t len) {
  static const uint8_t zeros[1 << 16];
  bool good = true;
  for (uint64_t at = from; at < len && good; at += sizeof zeros)
    good = write_at(fd, zeros, size_min(sizeof zeros, len - at), at);
  good = fdatasync(fd) == 0 && good;
  return ftruncate(fd, (off_t)from) == 0 && good;
}

void journal_spoil(struct journal *j, fusion_status status) {
  const int32_t ended = (int32_t)status;
  pthread_mutex_lock(&j->lock);
  (void)!write_at(j->fd, &ended, sizeof ended, ENDED_AT); /* in place: needs no room on the disk */
  (void)!wipe_file(j->fd, HEADER_LEN, j->end);
  j->end = HEADER_LEN;
  j->spoiled = true;
  pthread_mutex_unlock(&j->lock);
}

void journal_close(struct journal *j) {
  if (!j) return;
  if (j->fd >= 0 && !j->begun && !j->over) unlink(j->path);
  if (j->fd >= 0) close(j->fd);
  mem_free(j->manifest);
  pthread_mutex_destroy(&j->lock);
  mem_free_secret(j, sizeof *j);
}

/* Takes over a journal that nobody uses: its descriptor and length. *fd is -1 when there is no file. */
static fusion_status take_over(const char *path, int *fd, uint64_t *len, fusion_error *err) {
  uint8_t start[sizeof magic];
  struct stat info;
  *fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (*fd < 0) return errno == ENOENT ? FUSION_OK : io_failed(path, "opened", err);
  if (flock(*fd, LOCK_EX | LOCK_NB)) return error_set(err, FUSION_E_IO, "'%s': another job uses this journal", path);
  if (fstat(*fd, &info) || !read_at(*fd, start, sizeof start, 0) || memcmp(start, magic, sizeof magic) != 0)
    return error_set(err, FUSION_E_INPUT, "'%s': not a journal of fusion", path);
  *len = (uint64_t)info.st_size;
  return FUSION_OK;
}

fusion_status journal_remove(const char *path, fusion_error *err) {
  const int32_t ended = ENDED_WELL; /* said first: half-wiped it is no job any more */
  int32_t before = 0;
  uint64_t len = 0;
  int fd;
  fusion_status status = take_over(path, &fd, &len, err);
  if (fd < 0) return status;
  const bool tombstone = read_at(fd, &before, sizeof before, ENDED_AT) && before == ENDED_REJECTED;
  if (status == FUSION_OK && !tombstone &&
      (!write_at(fd, &ended, sizeof ended, ENDED_AT) || !wipe_file(fd, HEADER_LEN, len) || unlink(path)))
    status = io_failed(path, "removed", err);
  close(fd);
  return status;
}

fusion_status journal_reject(const char *path, const char *when, const char *why, fusion_error *err) {
  static const uint8_t before[TAG_LEN];
  const int32_t ended[2] = {ENDED_REJECTED, 0}; /* and no first payload */
  uint8_t head[RECORD_HEAD_LEN], tag[TAG_LEN];
  struct writer text = {0}, w = {0};
  uint64_t len = 0;
  int fd = -1;
  fusion_status status = take_over(path, &fd, &len, err);
  if (status != FUSION_OK || fd < 0) goto cleanup;
  write_string(&text, when);
  write_string(&text, why);
  const struct payload payload = {.head = text.data, .head_len = text.len};
  if (!text.failed) {
    record_head(head, (uint32_t)text.len, RECORD_REJECTED);
    record_tag(tag, before, head, &payload);
    write_bytes(&w, ended, sizeof ended);
    write_bytes(&w, head, sizeof head);
    write_bytes(&w, text.data, text.len);
    write_bytes(&w, tag, sizeof tag);
  }
  FAIL_IF(text.failed || w.failed, error_set(err, FUSION_E_MEMORY, "out of memory for the journal"));
  /* In one piece over the start of the job's record: no moment at which the job could go on or begin anew. */
  FAIL_IF(!write_at(fd, w.data, w.len, ENDED_AT) || !wipe_file(fd, ENDED_AT + w.len, len),
          io_failed(path, "wiped", err));
cleanup:
  writer_free(&text);
  writer_free(&w);
  if (fd >= 0) close(fd);
  return status;
}
