/* Whole reads of files. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/data.h"

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
