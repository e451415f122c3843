#include "session/kill_points.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static atomic_uint until; /* the point at which this process dies; 0: never */

void kill_at(unsigned n) {
  atomic_store(&until, n);
}

static bool is_last(void) {
  return atomic_load(&until) && atomic_fetch_sub(&until, 1) == 1;
}

void kill_point(void) {
  if (is_last()) raise(SIGKILL);
}

/* ---- the functions in the place of the real ones ---- */

ssize_t __real_pwrite(int fd, const void *data, size_t len, off_t at);
int __real_fsync(int fd);
int __real_link(const char *from, const char *to);
int __real_rename(const char *from, const char *to);
int __real_unlinkat(int folder, const char *path, int flags);

ssize_t __wrap_write(int fd, const void *data, size_t len);
ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t at);
int __wrap_fsync(int fd);
int __wrap_link(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __wrap_unlink(const char *path);
int __wrap_unlinkat(int folder, const char *path, int flags);

ssize_t __wrap_write(int fd, const void *data, size_t len) {
  if (!is_last()) return __real_write(fd, data, len);
  (void)!__real_write(fd, data, len / 2);
  raise(SIGKILL);
  return -1;
}
ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t at) {
  if (!is_last()) return __real_pwrite(fd, data, len, at);
  (void)!__real_pwrite(fd, data, len / 2, at);
  raise(SIGKILL);
  return -1;
}
int __wrap_fsync(int fd) {
  kill_point();
  return __real_fsync(fd);
}
int __wrap_link(const char *from, const char *to) {
  kill_point();
  return __real_link(from, to);
}
int __wrap_rename(const char *from, const char *to) {
  kill_point();
  return __real_rename(from, to);
}
int __wrap_unlink(const char *path) {
  kill_point();
  return __real_unlink(path);
}
int __wrap_unlinkat(int folder, const char *path, int flags) {
  kill_point();
  return __real_unlinkat(folder, path, flags);
}
