/* All-or-nothing writes: of one file, and of several that belong together. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/data.h"

enum { NAME_ATTEMPTS = 100, FILES_MAX = 16, PRIVATE = 0600, LINK_LEN = 48 };

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

static void link_of(char link[LINK_LEN], int fd) {
  snprintf(link, LINK_LEN, "/proc/self/fd/%d", fd);
}

/* A file without a name, in the folder f->temporary; -1 where the system has none, or could not give it a name later (a
 * root without /proc). */
static int open_nameless(const struct new_file *f) {
  char link[LINK_LEN];
  const int fd = open(f->temporary, O_WRONLY | O_TMPFILE | O_CLOEXEC, PRIVATE);
  if (fd < 0) return -1;
  link_of(link, fd);
  if (access(link, F_OK) == 0) {
    (void)flock(fd, LOCK_EX);
    return fd;
  }
  close(fd);
  return -1;
}

/* Held until the file is in its place: whoever can take it too finds a file that nobody writes any more. False:
 * somebody found it first, just made, and took it away. */
static bool take_lock(int fd) {
  struct stat info;
  return flock(fd, LOCK_EX) != 0 || fstat(fd, &info) != 0 || info.st_nlink > 0;
}

static int make_file(const char *path) {
  const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, PRIVATE);
  if (fd < 0 || take_lock(fd)) return fd;
  close(fd);
  errno = EEXIST;
  return -1;
}

/* "answers.npy.1234-0.part" for answers.npy. */
static bool is_part_of(const char *name, const char *base) {
  const size_t len = strlen(base);
  if (strncmp(name, base, len) != 0 || name[len] != '.') return false;
  const char *pid = name + len + 1, *attempt = pid + strspn(pid, "0123456789");
  if (attempt == pid || *attempt++ != '-') return false;
  const size_t digits = strspn(attempt, "0123456789");
  return digits && strcmp(attempt + digits, ".part") == 0;
}

/* Removes what processes left beside `path` that were killed between giving a name and putting the file in its place.
 */
static void sweep(const char *folder, const char *base) {
  DIR *d = opendir(folder);
  for (const struct dirent *e; d && (e = readdir(d));) {
    const int fd =
        is_part_of(e->d_name, base) ? openat(dirfd(d), e->d_name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;
    if (fd < 0) continue;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) (void)unlinkat(dirfd(d), e->d_name, 0);
    close(fd);
  }
  if (d) closedir(d);
}

/* A name beside `path` that nobody has: makes the file there, or (fd >= 0) gives the nameless one that name. */
static int take_name(struct new_file *f, const char *path) {
  char link[LINK_LEN];
  link_of(link, f->fd);
  for (int attempt = 0; attempt < NAME_ATTEMPTS; attempt++) {
    snprintf(f->temporary, f->name_len, "%s.%ld-%d.part", path, (long)getpid(), attempt);
    const int result =
        f->fd >= 0 ? linkat(AT_FDCWD, link, AT_FDCWD, f->temporary, AT_SYMLINK_FOLLOW) : make_file(f->temporary);
    if (result >= 0 || errno != EEXIST) return result;
  }
  return -1;
}

/* Without a name where the system can, so that nothing is left of a process that is killed while it writes. What is
 * written may be private, so it is its owner's alone, unless a file of that name was shared before. */
static fusion_status new_file_open(struct new_file *f, const char *path) {
  *f = (struct new_file){.fd = -1, .name_len = strlen(path) + 48};
  f->temporary = mem_alloc(f->name_len, 1);
  if (!f->temporary) return FUSION_E_MEMORY;
  const char *slash = strrchr(path, '/');
  snprintf(f->temporary, f->name_len, "%.*s", slash ? (int)(slash - path) + 1 : 2, slash ? path : "./");
  sweep(f->temporary, slash ? slash + 1 : path);
  f->fd = open_nameless(f);
  if (f->fd < 0) {
    f->fd = take_name(f, path);
    f->named = f->fd >= 0;
  }
  if (f->fd < 0) return FUSION_E_IO;
  struct stat old;
  if (stat(path, &old) == 0 && S_ISREG(old.st_mode)) (void)!fchmod(f->fd, old.st_mode & 0777);
  return FUSION_OK;
}

static fusion_status new_file_place(struct new_file *f, const char *path) {
  const int lock = fcntl(f->fd, F_DUPFD_CLOEXEC, 0);
  const int closed = close(f->fd); /* may fail, and is to do so before the file is in its place */
  f->fd = -1;
  const bool placed = lock >= 0 && closed == 0 && rename(f->temporary, path) == 0;
  const int kept = errno;
  if (lock >= 0) close(lock);
  errno = kept;
  if (placed) f->named = false;
  return placed ? FUSION_OK : FUSION_E_IO;
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

/* ---- several files ---- */

struct pending {
  char *path; /* owned */
  struct new_file file;
  void *kept; /* owned, secret: what a device is to get; NULL for a file */
  size_t kept_len;
};

struct fusion_files {
  struct pending files[FILES_MAX];
  size_t count;
};

fusion_status fusion_files_create(fusion_files **out, fusion_error *err) {
  *out = mem_alloc(1, sizeof **out);
  return *out ? FUSION_OK : error_set(err, FUSION_E_MEMORY, "out of memory for the files");
}

static fusion_status cannot_write(const char *path, fusion_status status, fusion_error *err) {
  if (status == FUSION_E_IO) error_set(err, status, "'%s': cannot be written: %s", path, strerror(errno));
  if (status == FUSION_E_MEMORY) error_set(err, status, "'%s': out of memory", path);
  return status;
}

static fusion_status keep_for_device(struct pending *p, const struct file_part *parts, size_t count) {
  for (size_t i = 0; i < count; i++) p->kept_len += parts[i].len;
  uint8_t *at = p->kept = mem_alloc(p->kept_len + 1, 1);
  if (!at) return FUSION_E_MEMORY;
  for (size_t i = 0; i < count; at += parts[i++].len)
    if (parts[i].len) memcpy(at, parts[i].data, parts[i].len);
  return FUSION_OK;
}

static fusion_status write_nameless(struct pending *p, const struct file_part *parts, size_t count) {
  fusion_status status = new_file_open(&p->file, p->path);
  for (size_t i = 0; i < count && status == FUSION_OK; i++) status = write_all(p->file.fd, &parts[i]);
  return status == FUSION_OK && fsync(p->file.fd) != 0 ? FUSION_E_IO : status;
}

fusion_status files_add(fusion_files *f, const char *path, const struct file_part *parts, size_t count,
                        fusion_error *err) {
  struct stat info;
  if (f->count == FILES_MAX) return error_set(err, FUSION_E_USAGE, "at most %d files are written together", FILES_MAX);
  struct pending *p = &f->files[f->count++];
  *p = (struct pending){.path = strdup(path), .file = {.fd = -1}};
  if (!p->path) return cannot_write(path, FUSION_E_MEMORY, err);
  const bool device = stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode);
  return cannot_write(path, device ? keep_for_device(p, parts, count) : write_nameless(p, parts, count), err);
}

fusion_status files_add_private(fusion_files *f, const char *path, const struct file_part *parts, size_t count,
                                fusion_error *err) {
  const fusion_status status = files_add(f, path, parts, count, err);
  if (status != FUSION_OK) return status;
  const struct pending *p = &f->files[f->count - 1];
  return p->file.fd >= 0 && fchmod(p->file.fd, PRIVATE) ? cannot_write(path, FUSION_E_IO, err) : FUSION_OK;
}

fusion_status fusion_files_add(fusion_files *f, const char *path, const void *bytes, size_t len, fusion_error *err) {
  const struct file_part part = {bytes, len};
  return files_add(f, path, &part, 1, err);
}

/* Devices first, then names beside the places: what can fail has been done when the first file takes its place. */
fusion_status fusion_files_place(fusion_files *f, fusion_error *err) {
  fusion_status status = FUSION_OK;
  for (struct pending *p = f->files; p < f->files + f->count && status == FUSION_OK; p++) {
    const struct file_part part = {p->kept, p->kept_len};
    if (p->kept) status = cannot_write(p->path, write_through(p->path, &part, 1), err);
  }
  for (struct pending *p = f->files; p < f->files + f->count && status == FUSION_OK; p++) {
    if (p->kept || p->file.named) continue;
    p->file.named = take_name(&p->file, p->path) >= 0;
    if (!p->file.named) status = cannot_write(p->path, FUSION_E_IO, err);
  }
  for (struct pending *p = f->files; p < f->files + f->count && status == FUSION_OK; p++)
    if (!p->kept) status = cannot_write(p->path, new_file_place(&p->file, p->path), err);
  return status;
}

void fusion_files_free(fusion_files *f) {
  if (!f) return;
  for (struct pending *p = f->files; p < f->files + f->count; p++) {
    new_file_close(&p->file);
    mem_free_secret(p->kept, p->kept_len);
    free(p->path);
  }
  mem_free(f);
}

fusion_status file_write_atomic(const char *path, const struct file_part *parts, size_t count, fusion_error *err) {
  fusion_files *f;
  fusion_status status = fusion_files_create(&f, err);
  if (status != FUSION_OK) return status;
  status = files_add(f, path, parts, count, err);
  if (status == FUSION_OK) status = fusion_files_place(f, err);
  fusion_files_free(f);
  return status;
}
