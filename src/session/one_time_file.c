#include "session/one_time_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATH_LEN = 4096, BUFFER_LEN = 1 << 16 };
static const char magic[8] = {'F', 'U', 'S', 'I', 'O', 'N', '1', 'T'};
static const char part_magic[8] = {'F', 'U', 'S', 'I', 'O', 'N', '1', 'P'}; /* while it is being written */
static const char wipe_magic[8] = {'F', 'U', 'S', 'I', 'O', 'N', '1', 'W'}; /* from the first byte that is wiped on */

/* A file's head, in the machine's byte order: it never leaves it. */
struct head {
  char magic[sizeof magic];
  uint64_t len;
  uint32_t binding_len;
};

struct one_time_file {
  struct byte_stream stream;              /* its context is this */
  char path[PATH_LEN], now[PATH_LEN + 8]; /* its path when complete; the one that it has */
  int fd;
  bool complete;
  uint64_t start, len, at; /* of the state in the file; bytes written; bytes read */
  size_t fill;             /* of the buffer, not yet written */
  uint8_t buffer[BUFFER_LEN];
};

static bool write_all(int fd, const void *data, size_t len) {
  for (const uint8_t *at = data; len;) {
    const ssize_t n = write(fd, at, len);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    at += n;
    len -= (size_t)n;
  }
  return true;
}

static bool read_all(int fd, void *data, size_t len, uint64_t offset) {
  for (uint8_t *at = data; len;) {
    const ssize_t n = pread(fd, at, len, (off_t)offset);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    at += n;
    offset += (uint64_t)n;
    len -= (size_t)n;
  }
  return true;
}

/* Makes renames in the folder of `path` durable. */
static bool sync_folder(const char *path) {
  char folder[PATH_LEN] = ".";
  const char *slash = strrchr(path, '/');
  if (slash) snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
  const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool synced = fsync(fd) == 0;
  close(fd);
  return synced;
}

static bool flush(struct one_time_file *f) {
  const bool written = write_all(f->fd, f->buffer, f->fill);
  f->len += f->fill;
  f->fill = 0;
  return written;
}

static fusion_status stream_put(void *context, const void *data, size_t len) {
  struct one_time_file *f = context;
  for (const uint8_t *at = data; len;) {
    const size_t n = size_min(len, BUFFER_LEN - f->fill);
    memcpy(f->buffer + f->fill, at, n);
    f->fill += n;
    at += n;
    len -= n;
    if (f->fill == BUFFER_LEN && !flush(f)) return FUSION_E_IO;
  }
  return FUSION_OK;
}

static fusion_status stream_get(void *context, void *data, size_t len) {
  struct one_time_file *f = context;
  if (len > f->len - f->at || !read_all(f->fd, data, len, f->start + f->at)) return FUSION_E_IO;
  f->at += len;
  return FUSION_OK;
}

/* Whoever writes, uses or wipes a file holds its lock; a process that ends lets go of it. */
static bool lock(int fd) {
  return flock(fd, LOCK_EX | LOCK_NB) == 0;
}

/* Whether `name` in the folder (or, with AT_FDCWD, the path) is the open file. */
static bool is_named(int fd, int folder, const char *name) {
  struct stat own, other;
  return fstat(fd, &own) == 0 && fstatat(folder, name, &other, AT_SYMLINK_NOFOLLOW) == 0 &&
         own.st_ino == other.st_ino && own.st_dev == other.st_dev;
}

static fusion_status file_new(struct one_time_file **out, const char *path, fusion_error *err) {
  struct one_time_file *f;
  *out = NULL;
  if (strlen(path) >= PATH_LEN) return error_set(err, FUSION_E_INPUT, "'%.60s...': the path is too long", path);
  f = mem_alloc(1, sizeof *f);
  if (!f) return error_set(err, FUSION_E_MEMORY, "'%s': out of memory", path);
  f->stream = (struct byte_stream){stream_put, stream_get, f};
  f->fd = -1;
  strcpy(f->path, path);
  *out = f;
  return FUSION_OK;
}

const struct byte_stream *one_time_stream(const struct one_time_file *f) {
  return &f->stream;
}

uint64_t one_time_left(const struct one_time_file *f) {
  return f->len - f->at;
}

static fusion_status failed(const struct one_time_file *f, const char *what, fusion_error *err) {
  return error_set(err, FUSION_E_IO, "'%s': cannot %s: %s", f->path, what, strerror(errno));
}

fusion_status one_time_create(struct one_time_file **out, const char *path, struct one_time_binding binding,
                              fusion_error *err) {
  struct head head = {.binding_len = (uint32_t)binding.len};
  fusion_status status = file_new(out, path, err);
  if (status != FUSION_OK) return status;
  struct one_time_file *f = *out;
  assert(binding.len <= ONE_TIME_BINDING_MAX);
  memcpy(head.magic, part_magic, sizeof head.magic);
  snprintf(f->now, sizeof f->now, "%s.part", path);
  f->fd = open(f->now, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (f->fd < 0 || !lock(f->fd)) status = failed(f, "be made", err);
  if (status == FUSION_OK && !(write_all(f->fd, &head, sizeof head) && write_all(f->fd, binding.data, binding.len)))
    status = failed(f, "be written", err);
  f->start = sizeof head + binding.len;
  if (status == FUSION_OK) return FUSION_OK;
  one_time_close(f);
  *out = NULL;
  return status;
}

fusion_status one_time_commit(struct one_time_file *f, uint64_t *len, fusion_error *err) {
  if (!flush(f)) return failed(f, "be written", err);
  struct head head = {.len = f->len, .binding_len = (uint32_t)(f->start - sizeof head)};
  memcpy(head.magic, magic, sizeof magic);
  if (pwrite(f->fd, &head, sizeof head, 0) != (ssize_t)sizeof head || fsync(f->fd) != 0)
    return failed(f, "be written", err);
  /* A link takes no other file's place. */
  if (link(f->now, f->path) != 0) return failed(f, "be made", err);
  if (unlink(f->now) != 0 || !sync_folder(f->path)) {
    const fusion_status status = failed(f, "be kept", err);
    unlink(f->path);
    return status;
  }
  f->complete = true;
  strcpy(f->now, f->path);
  if (len) *len = f->start + f->len;
  return FUSION_OK;
}

static fusion_status unusable(const struct one_time_file *f, const char *why, fusion_error *err) {
  return error_set(err, FUSION_E_INPUT, "'%s': %s", f->path, why);
}

/* Before it is spent: a whole file of one of ours. Reads what it is bound to. */
static fusion_status read_head(struct one_time_file *f, uint8_t bound[ONE_TIME_BINDING_MAX], size_t *bound_len,
                               fusion_error *err) {
  struct head head;
  struct stat st;
  if (fstat(f->fd, &st) != 0 || !S_ISREG(st.st_mode) || !read_all(f->fd, &head, sizeof head, 0) ||
      memcmp(head.magic, magic, sizeof magic) != 0 || head.binding_len > ONE_TIME_BINDING_MAX ||
      (uint64_t)st.st_size < sizeof head + head.binding_len ||
      (uint64_t)st.st_size - sizeof head - head.binding_len != head.len ||
      !read_all(f->fd, bound, head.binding_len, sizeof head))
    return unusable(f, "it is no prepared state, or damaged; prepare another", err);
  *bound_len = head.binding_len;
  f->start = sizeof head + head.binding_len;
  f->len = head.len;
  return FUSION_OK;
}

static fusion_status check(struct one_time_file *f, struct one_time_binding binding, fusion_error *err) {
  uint8_t bound[ONE_TIME_BINDING_MAX];
  size_t len = 0;
  const fusion_status status = read_head(f, bound, &len, err);
  if (status != FUSION_OK) return status;
  if (len != binding.len || memcmp(bound, binding.data, len) != 0)
    return unusable(f, "it was prepared for something else (another model, client, engine or number of samples)", err);
  return FUSION_OK;
}

/* Under the lock nobody else renames or wipes the file, so it is what the path still names or it is gone. */
static fusion_status spend(struct one_time_file *f, fusion_error *err) {
  char name[sizeof f->now];
  snprintf(name, sizeof name, "%s.spent", f->path);
  if (!lock(f->fd) || !is_named(f->fd, AT_FDCWD, f->path) || rename(f->path, name) != 0)
    return unusable(f, "it is not there, or was used already; prepare another", err);
  strcpy(f->now, name);
  f->complete = false;
  return sync_folder(f->path) ? FUSION_OK : failed(f, "be marked as used", err);
}

/* A complete file, as it is. */
static fusion_status open_complete(struct one_time_file **out, const char *path, fusion_error *err) {
  const fusion_status status = file_new(out, path, err);
  if (status != FUSION_OK) return status;
  struct one_time_file *f = *out;
  strcpy(f->now, path);
  f->complete = true;
  f->fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
  return f->fd < 0 ? unusable(f, "it is not there, or was used already; prepare another", err) : FUSION_OK;
}

fusion_status one_time_look(const char *path, void *out, size_t room, size_t *len, fusion_error *err) {
  struct one_time_file *f;
  uint8_t bound[ONE_TIME_BINDING_MAX];
  fusion_status status = open_complete(&f, path, err);
  if (status == FUSION_OK) status = read_head(f, bound, len, err);
  if (status == FUSION_OK && *len > room) status = unusable(f, "it is no such state", err);
  if (status == FUSION_OK) memcpy(out, bound, *len);
  one_time_close(f);
  return status;
}

fusion_status one_time_spend(struct one_time_file **out, const char *path, struct one_time_binding binding,
                             fusion_error *err) {
  fusion_status status = open_complete(out, path, err);
  struct one_time_file *f = *out;
  if (status != FUSION_OK) goto cleanup;
  TRY(check(f, binding, err));
  TRY(spend(f, err));
  TRY(check(f, binding, err)); /* now that nobody wipes it */
  return FUSION_OK;
cleanup:
  one_time_close(f);
  *out = NULL;
  return status;
}

/* The magic first, so that what is wiped in part is never taken for a state, and is found again. */
static void wipe(int fd) {
  static const uint8_t zeros[BUFFER_LEN];
  struct stat st;
  if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size < sizeof(struct head) ||
      pwrite(fd, wipe_magic, sizeof wipe_magic, 0) != (ssize_t)sizeof wipe_magic || fsync(fd) != 0 ||
      lseek(fd, sizeof(struct head), SEEK_SET) < 0)
    return;
  for (uint64_t left = (uint64_t)st.st_size - sizeof(struct head); left;) {
    const size_t n = size_min(left, sizeof zeros);
    if (!write_all(fd, zeros, n)) return;
    left -= n;
  }
  (void)!fsync(fd);
}

void one_time_close(struct one_time_file *f) {
  if (!f) return;
  if (f->fd >= 0 && !f->complete) {
    wipe(f->fd);
    unlink(f->now);
  }
  if (f->fd >= 0) close(f->fd);
  mem_free_secret(f, sizeof *f);
}

static bool ends_in(const char *name, const char *end) {
  const size_t len = strlen(name), end_len = strlen(end);
  return len >= end_len && !strcmp(name + len - end_len, end);
}

/* Whether the head is of one of our files; of those that are being written or were wiped, only a leftover's. */
static bool is_ours(const struct head *head, bool leftover) {
  return !memcmp(head->magic, magic, sizeof magic) || !memcmp(head->magic, wipe_magic, sizeof wipe_magic) ||
         (leftover && !memcmp(head->magic, part_magic, sizeof part_magic));
}

/* One entry of the folder: adds what stays. Files that are not ours, or that somebody uses, stay and do not count. */
static void sweep_entry(int folder, const char *name, bool leftover, uint64_t max_age_s, uint64_t *bytes) {
  struct head head;
  struct stat st;
  const int fd = openat(folder, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return;
  const bool known =
      fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && read_all(fd, &head, sizeof head, 0) && is_ours(&head, leftover);
  const int64_t age = known ? (int64_t)time(NULL) - (int64_t)st.st_mtime : 0;
  const bool old = leftover || (age > 0 && (uint64_t)age > max_age_s);
  if (known && !old) *bytes += (uint64_t)st.st_size;
  if (known && old && lock(fd) && is_named(fd, folder, name)) {
    wipe(fd);
    unlinkat(folder, name, 0);
  }
  close(fd);
}

fusion_status one_time_sweep(const char *folder, uint64_t max_age_s, bool leftovers, uint64_t *bytes,
                             fusion_error *err) {
  *bytes = 0;
  const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = fd < 0 ? NULL : fdopendir(fd);
  if (!dir) {
    if (fd >= 0) close(fd);
    return error_set(err, FUSION_E_IO, "'%s': cannot be read: %s", folder, strerror(errno));
  }
  for (const struct dirent *entry; (entry = readdir(dir));) {
    const bool left = ends_in(entry->d_name, ".part") || ends_in(entry->d_name, ".spent");
    if (!left || leftovers) sweep_entry(dirfd(dir), entry->d_name, left, max_age_s, bytes);
  }
  closedir(dir);
  return FUSION_OK;
}
