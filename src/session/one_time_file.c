#include "session/one_time_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATH_LEN = 4096, BUFFER_LEN = 1 << 16, HASH_LEN = 32 };
static const char magic[8] = {'F', 'U', 'S', 'I', 'O', 'N', '1', 'T'};
static const char part_magic[8] = {'F', 'U', 'S', 'I', 'O', 'N', '1', 'P'}; /* while it is being written */
static const char wipe_magic[8] = {'F', 'U', 'S', 'I', 'O', 'N', '1', 'W'}; /* from the first byte that is wiped on */

/* A file's head, in the machine's byte order: it never leaves it. The state follows, then the binding. */
struct head {
  char magic[sizeof magic];
  uint64_t len, binding_len;
  uint8_t owner[ONE_TIME_OWNER_LEN];
  uint8_t hash[HASH_LEN]; /* BLAKE2b of state, binding, and the three fields above */
};

struct one_time_file {
  crypto_generichash_state hashing; /* while it is being written */
  struct byte_stream stream;        /* its context is this */
  struct head head;
  char path[PATH_LEN], now[PATH_LEN + 8]; /* its path when complete; the one that it has */
  int fd;
  bool complete;
  uint64_t at; /* bytes read */
  uint8_t bound[ONE_TIME_BINDING_MAX];
  size_t fill; /* of the buffer, not yet written */
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

/* What is hashed beside the bytes themselves. */
static void hash_end(crypto_generichash_state *hashing, const struct head *head, const void *binding,
                     uint8_t out[HASH_LEN]) {
  crypto_generichash_update(hashing, binding, head->binding_len);
  crypto_generichash_update(hashing, (const uint8_t *)&head->len, sizeof head->len);
  crypto_generichash_update(hashing, (const uint8_t *)&head->binding_len, sizeof head->binding_len);
  crypto_generichash_update(hashing, head->owner, sizeof head->owner);
  crypto_generichash_final(hashing, out, HASH_LEN);
}

static bool flush(struct one_time_file *f) {
  const bool written = write_all(f->fd, f->buffer, f->fill);
  crypto_generichash_update(&f->hashing, f->buffer, f->fill);
  f->head.len += f->fill;
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
  if (len > f->head.len - f->at || !read_all(f->fd, data, len, sizeof f->head + f->at)) return FUSION_E_IO;
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
  return f->head.len - f->at;
}

struct one_time_binding one_time_bound(const struct one_time_file *f) {
  return (struct one_time_binding){f->bound, (size_t)f->head.binding_len};
}

const uint8_t *one_time_owner(const struct one_time_file *f) {
  return f->head.owner;
}

uint64_t one_time_file_len(uint64_t state_len, size_t binding_len) {
  return sizeof(struct head) + state_len + binding_len;
}

static fusion_status failed(const struct one_time_file *f, const char *what, fusion_error *err) {
  return error_set(err, FUSION_E_IO, "'%s': cannot %s: %s", f->path, what, strerror(errno));
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

/* Whether the head, of which `have` bytes are there, is of one of our files; of those that are being written or were
 * wiped, only a leftover's. A process may have been killed before it had written a head. */
static bool is_ours(const struct head *head, size_t have, bool leftover) {
  if (have < sizeof *head) return leftover && !memcmp(head->magic, part_magic, size_min(have, sizeof part_magic));
  return !memcmp(head->magic, magic, sizeof magic) || !memcmp(head->magic, wipe_magic, sizeof wipe_magic) ||
         (leftover && !memcmp(head->magic, part_magic, sizeof part_magic));
}

/* One entry of the folder. Files that are not ours, or that somebody uses, stay and do not count. */
static void sweep_entry(int folder, const char *name, bool leftover, const struct one_time_sweeping *sweeping) {
  struct head head;
  struct stat st;
  const int fd = openat(folder, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return;
  bool known = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
  const size_t have = known ? size_min((size_t)st.st_size, sizeof head) : 0;
  known = known && read_all(fd, &head, have, 0) && is_ours(&head, have, leftover);
  const int64_t age = known ? (int64_t)time(NULL) - (int64_t)st.st_mtime : 0;
  const bool wiped = known && have == sizeof head && !memcmp(head.magic, wipe_magic, sizeof wipe_magic);
  const bool old = leftover || wiped || (age > 0 && (uint64_t)age > sweeping->max_age_s);
  if (known && !old && sweeping->kept) sweeping->kept(sweeping->context, head.owner, (uint64_t)st.st_size);
  if (known && old && lock(fd) && is_named(fd, folder, name)) {
    wipe(fd);
    unlinkat(folder, name, 0);
  }
  close(fd);
}

/* Whether a process has the file, or has just made or finished it. */
static bool is_in_use(const char *path) {
  struct stat st;
  const int fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT;
  const bool used = !lock(fd) || (fstat(fd, &st) == 0 && st.st_size == 0);
  close(fd);
  return used;
}

fusion_status one_time_create(struct one_time_file **out, const char *path, const uint8_t *owner, fusion_error *err) {
  fusion_status status = file_new(out, path, err);
  if (status != FUSION_OK) return status;
  struct one_time_file *f = *out;
  memcpy(f->head.magic, part_magic, sizeof f->head.magic);
  if (owner) memcpy(f->head.owner, owner, sizeof f->head.owner);
  crypto_generichash_init(&f->hashing, NULL, 0, HASH_LEN);
  snprintf(f->now, sizeof f->now, "%s.part", path);
  const struct one_time_sweeping leftover = {.leftovers = true};
  const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  f->fd = open(f->now, flags, 0600);
  if (f->fd < 0 && errno == EEXIST) {
    sweep_entry(AT_FDCWD, f->now, true, &leftover); /* of a process that was killed */
    f->fd = open(f->now, flags, 0600);
  }
  if (f->fd < 0 && errno == EEXIST)
    status = error_set(err, is_in_use(f->now) ? FUSION_E_BUSY : FUSION_E_IO,
                       "'%s': this file exists; another process may be making it", f->now);
  else if (f->fd < 0 || !lock(f->fd))
    status = failed(f, "be made", err);
  if (status == FUSION_OK && !write_all(f->fd, &f->head, sizeof f->head)) status = failed(f, "be written", err);
  if (status == FUSION_OK) return FUSION_OK;
  one_time_close(f);
  *out = NULL;
  return status;
}

fusion_status one_time_commit(struct one_time_file *f, struct one_time_binding binding, fusion_error *err) {
  assert(binding.len <= ONE_TIME_BINDING_MAX);
  struct head *head = &f->head;
  if (!flush(f) || !write_all(f->fd, binding.data, binding.len)) return failed(f, "be written", err);
  head->binding_len = binding.len;
  hash_end(&f->hashing, head, binding.data, head->hash);
  memcpy(head->magic, magic, sizeof magic);
  if (pwrite(f->fd, head, sizeof *head, 0) != (ssize_t)sizeof *head || fsync(f->fd) != 0)
    return failed(f, "be written", err);
  /* A link takes no other file's place. */
  if (link(f->now, f->path) != 0) {
    const bool taken = errno == EEXIST;
    const fusion_status status = failed(f, "be made", err);
    return taken ? FUSION_E_BUSY : status;
  }
  if (unlink(f->now) != 0 || !sync_folder(f->path)) {
    const fusion_status status = failed(f, "be kept", err);
    unlink(f->path);
    return status;
  }
  f->complete = true;
  strcpy(f->now, f->path);
  return FUSION_OK;
}

static fusion_status unusable(const struct one_time_file *f, const char *why, fusion_error *err) {
  return error_set(err, FUSION_E_INPUT, "'%s': %s", f->path, why);
}

static const char damaged[] = "it is no prepared state, or damaged; prepare another";
static const char gone[] = "it is not there, or was used already; prepare another";

/* A whole file of one of ours, as far as its head tells. */
static bool read_head(struct one_time_file *f) {
  struct head *head = &f->head;
  struct stat st;
  return fstat(f->fd, &st) == 0 && S_ISREG(st.st_mode) && read_all(f->fd, head, sizeof *head, 0) &&
         memcmp(head->magic, magic, sizeof magic) == 0 && head->binding_len <= ONE_TIME_BINDING_MAX &&
         (uint64_t)st.st_size >= sizeof *head + head->binding_len &&
         (uint64_t)st.st_size - sizeof *head - head->binding_len == head->len &&
         read_all(f->fd, f->bound, (size_t)head->binding_len, sizeof *head + head->len);
}

fusion_status one_time_open(struct one_time_file **out, const char *path, fusion_error *err) {
  fusion_status status = file_new(out, path, err);
  if (status != FUSION_OK) return status;
  struct one_time_file *f = *out;
  strcpy(f->now, path);
  f->complete = true;
  f->fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
  if (f->fd < 0)
    status = unusable(f, gone, err);
  else if (!read_head(f))
    status = unusable(f, damaged, err);
  if (status == FUSION_OK) return FUSION_OK;
  one_time_close(f);
  *out = NULL;
  return status;
}

fusion_status one_time_verify(struct one_time_file *f, fusion_error *err) {
  crypto_generichash_state hashing;
  uint8_t hash[HASH_LEN];
  crypto_generichash_init(&hashing, NULL, 0, sizeof hash);
  for (uint64_t at = 0; at < f->head.len;) {
    const size_t n = size_min(f->head.len - at, BUFFER_LEN);
    if (!read_all(f->fd, f->buffer, n, sizeof f->head + at)) return unusable(f, damaged, err);
    crypto_generichash_update(&hashing, f->buffer, n);
    at += n;
  }
  hash_end(&hashing, &f->head, f->bound, hash);
  mem_wipe(&hashing, sizeof hashing);
  return memcmp(hash, f->head.hash, sizeof hash) == 0 ? FUSION_OK : unusable(f, damaged, err);
}

/* Under the lock nobody else renames or wipes the file, so it is what the path still names or it is gone. Its head
 * shows whether somebody has begun to wipe it. */
fusion_status one_time_spend(struct one_time_file *f, fusion_error *err) {
  char name[sizeof f->now];
  const struct head before = f->head;
  snprintf(name, sizeof name, "%s.spent", f->path);
  if (!lock(f->fd) || !is_named(f->fd, AT_FDCWD, f->path) || !read_head(f) ||
      memcmp(&before, &f->head, sizeof before) != 0 || rename(f->path, name) != 0)
    return unusable(f, gone, err);
  strcpy(f->now, name);
  f->complete = false;
  return sync_folder(f->path) ? FUSION_OK : failed(f, "be marked as used", err);
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

fusion_status one_time_sweep(const char *folder, const struct one_time_sweeping *sweeping, fusion_error *err) {
  const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = fd < 0 ? NULL : fdopendir(fd);
  if (!dir) {
    if (fd >= 0) close(fd);
    return error_set(err, FUSION_E_IO, "'%s': cannot be read: %s", folder, strerror(errno));
  }
  for (const struct dirent *entry; (entry = readdir(dir));) {
    const bool left = ends_in(entry->d_name, ".part") || ends_in(entry->d_name, ".spent");
    if (!left || sweeping->leftovers) sweep_entry(dirfd(dir), entry->d_name, left, sweeping);
  }
  closedir(dir);
  return FUSION_OK;
}
