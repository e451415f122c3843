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

/** A new file beside `path`, its name in `temporary`. Its mode follows the umask, as for any file that a user makes. */
static int open_beside(const char *path, char *temporary, size_t len) {
  for (int attempt = 0; attempt < NAME_ATTEMPTS; attempt++) {
    snprintf(temporary, len, "%s.%ld-%d.part", path, (long)getpid(), attempt);
    const int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0 || errno != EEXIST) return fd;
  }
  return -1;
}

fusion_status file_write_atomic(const char *path, const struct file_part *parts, size_t count, fusion_error *err) {
  fusion_status status = FUSION_OK;
  int fd = -1;
  const size_t name_len = strlen(path) + 48;
  char *temporary = mem_alloc(name_len, 1);
  FAIL_IF(!temporary, FUSION_E_MEMORY);
  fd = open_beside(path, temporary, name_len);
  FAIL_IF(fd < 0, FUSION_E_IO);
  for (size_t i = 0; i < count; i++) TRY(write_all(fd, &parts[i]));
  FAIL_IF(fsync(fd) != 0, FUSION_E_IO);
  const int close_failed = close(fd);
  fd = -1;
  if (close_failed || rename(temporary, path) != 0) {
    const int reason = errno;
    unlink(temporary);
    errno = reason;
    status = FUSION_E_IO;
  }
cleanup:
  if (status == FUSION_E_IO) error_set(err, status, "'%s': cannot be written: %s", path, strerror(errno));
  if (fd >= 0) {
    close(fd);
    unlink(temporary);
  }
  mem_free(temporary);
  return status;
}
