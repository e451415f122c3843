/* Whole reads and all-or-nothing writes of files. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/data.h"

enum { NAME_ATTEMPTS = 100 };

fusion_status input_open(struct input_file *f, const char *path, fusion_error *err) {
  *f = (struct input_file){.path = path, .fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (f->fd < 0) return error_set(err, FUSION_E_IO, "'%s': cannot be opened: %s", path, strerror(errno));
  struct stat info;
  fusion_status status = FUSION_OK;
  if (fstat(f->fd, &info) != 0) {
    status = error_set(err, FUSION_E_IO, "'%s': cannot be examined: %s", path, strerror(errno));
  } else if (!S_ISREG(info.st_mode)) {
    status = error_set(err, FUSION_E_IO, "'%s': is not a regular file; give a file", path);
  }
  if (status != FUSION_OK) {
    input_close(f);
    return status;
  }
  f->len = (uint64_t)info.st_size;
  return FUSION_OK;
}

fusion_status input_read(const struct input_file *f, uint64_t offset, void *out, size_t len, fusion_error *err) {
  uint8_t *at = out;
  while (len) {
    const ssize_t got = pread(f->fd, at, size_min(len, (size_t)1 << 30), (off_t)offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return error_set(err, FUSION_E_IO, "'%s': cannot be read: %s", f->path, strerror(errno));
    if (got == 0) return error_set(err, FUSION_E_INPUT, "'%s': the file ends too early; copy it again", f->path);
    at += got;
    offset += (uint64_t)got;
    len -= (size_t)got;
  }
  return FUSION_OK;
}

void input_close(struct input_file *f) {
  if (f->fd >= 0) close(f->fd);
  f->fd = -1;
}

static fusion_status write_all(int fd, const struct file_part *part) {
  const uint8_t *at = part->data;
  for (size_t left = part->len; left;) {
    const ssize_t done = write(fd, at, size_min(left, (size_t)1 << 30));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return FUSION_E_IO;
    at += done;
    left -= (size_t)done;
  }
  return FUSION_OK;
}

/* A file that is to take a place when it is complete. */
struct new_file {
  int fd;
  bool named;      /* it lies beside its place; else it has no name yet, and vanishes with this process */
  char *temporary; /* owned: the name beside its place */
  size_t name_len;
};

/* A name beside `path` that nobody has: makes the file there, or (fd >= 0) gives the nameless one that name. */
static int take_name(struct new_file *f, const char *path) {
  char link[48];
  snprintf(link, sizeof link, "/proc/self/fd/%d", f->fd);
  for (int attempt = 0; attempt < NAME_ATTEMPTS; attempt++) {
    snprintf(f->temporary, f->name_len, "%s.%ld-%d.part", path, (long)getpid(), attempt);
    const int result = f->fd >= 0 ? linkat(AT_FDCWD, link, AT_FDCWD, f->temporary, AT_SYMLINK_FOLLOW)
                                  : open(f->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (result >= 0 || errno != EEXIST) return result;
  }
  return -1;
}

/* Without a name where the system can, so that nothing is left of a process that is killed while it writes. The mode
 * follows the umask, as for any file that a user makes. */
static fusion_status new_file_open(struct new_file *f, const char *path) {
  *f = (struct new_file){.fd = -1, .name_len = strlen(path) + 48};
  f->temporary = mem_alloc(f->name_len, 1);
  if (!f->temporary) return FUSION_E_MEMORY;
  const char *slash = strrchr(path, '/');
  snprintf(f->temporary, f->name_len, "%.*s", slash ? (int)(slash - path) + 1 : 2, slash ? path : "./");
  f->fd = open(f->temporary, O_WRONLY | O_TMPFILE | O_CLOEXEC, 0666);
  if (f->fd >= 0) return FUSION_OK;
  f->fd = take_name(f, path);
  f->named = f->fd >= 0;
  return f->named ? FUSION_OK : FUSION_E_IO;
}

static fusion_status new_file_place(struct new_file *f, const char *path) {
  if (fsync(f->fd) != 0) return FUSION_E_IO;
  if (!f->named) f->named = take_name(f, path) >= 0;
  if (!f->named) return FUSION_E_IO;
  const int closed = close(f->fd);
  f->fd = -1;
  if (closed != 0 || rename(f->temporary, path) != 0) return FUSION_E_IO;
  f->named = false;
  return FUSION_OK;
}

static void new_file_close(struct new_file *f) {
  const int kept = errno;
  if (f->fd >= 0) close(f->fd);
  if (f->named) unlink(f->temporary);
  mem_free(f->temporary);
  errno = kept;
}

/* A device, a pipe: written as it stands; there is nothing to be replaced. */
static fusion_status write_through(const char *path, const struct file_part *parts, size_t count) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) return FUSION_E_IO;
  fusion_status status = FUSION_OK;
  for (size_t i = 0; i < count && status == FUSION_OK; i++) status = write_all(fd, &parts[i]);
  const int kept = errno;
  if (close(fd) != 0 && status == FUSION_OK) return FUSION_E_IO;
  errno = status == FUSION_OK ? errno : kept;
  return status;
}

fusion_status file_write_atomic(const char *path, const struct file_part *parts, size_t count, fusion_error *err) {
  struct stat info;
  struct new_file f = {.fd = -1};
  fusion_status status = FUSION_OK;
  if (stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) {
    status = write_through(path, parts, count);
  } else {
    status = new_file_open(&f, path);
    for (size_t i = 0; i < count && status == FUSION_OK; i++) status = write_all(f.fd, &parts[i]);
    if (status == FUSION_OK) status = new_file_place(&f, path);
    new_file_close(&f);
  }
  if (status == FUSION_E_IO) error_set(err, status, "'%s': cannot be written: %s", path, strerror(errno));
  if (status == FUSION_E_MEMORY) error_set(err, status, "'%s': out of memory", path);
  return status;
}
