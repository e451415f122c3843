/* Canaries on the disk: read, and added to by several jobs at once. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/data.h"
#include "session/canaries.h"

static fusion_status read_file(struct canaries *c, const struct input_file *f, fusion_error *err) {
  uint8_t *bytes = f->len < SIZE_MAX / 2 ? mem_alloc((size_t)f->len, 1) : NULL;
  if (!bytes) return error_set(err, FUSION_E_MEMORY, "'%s': out of memory for the canaries", f->path);
  fusion_status status = input_read(f, 0, bytes, (size_t)f->len, err);
  if (status == FUSION_OK) status = canaries_decode(c, f->path, bytes, (size_t)f->len, err);
  mem_free_secret(bytes, (size_t)f->len);
  return status;
}

fusion_status canaries_load(struct canaries *c, const char *path, fusion_error *err) {
  struct input_file f;
  *c = (struct canaries){.rows = 0};
  fusion_status status = input_open(&f, path, err);
  if (status != FUSION_OK) return status;
  status = read_file(c, &f, err);
  input_close(&f);
  return status;
}

/* ---- joining ---- */

/* The open file, locked, is what has the name now: another job may have replaced it while this one waited. */
static fusion_status lock_file(struct input_file *f, const char *path, fusion_error *err) {
  struct stat mine, named;
  for (;;) {
    const fusion_status status = input_open(f, path, err);
    if (status != FUSION_OK) return status;
    while (flock(f->fd, LOCK_EX) != 0)
      if (errno != EINTR) {
        error_set(err, FUSION_E_IO, "'%s': cannot be locked: %s", path, strerror(errno));
        input_close(f);
        return FUSION_E_IO;
      }
    if (fstat(f->fd, &mine) == 0 && stat(path, &named) == 0 && mine.st_dev == named.st_dev &&
        mine.st_ino == named.st_ino) {
      f->len = (uint64_t)mine.st_size;
      return FUSION_OK;
    }
    input_close(f);
  }
}

/* A sample by its hash, so that equal ones are found by sorting. */
struct key {
  uint8_t hash[16];
  size_t row;
};

static int compare_keys(const void *a, const void *b) {
  const struct key *x = a, *y = b;
  const int order = memcmp(x->hash, y->hash, sizeof x->hash);
  return order ? order : (x->row > y->row) - (x->row < y->row);
}

/* Copies new rows behind those of `c` that are not there. Which are there already shows in the file's length in any
 * case, and no peer sees how long this takes. */
static fusion_status join_rows(struct canaries *c, const struct canary_rows *rows) {
  size_t all = 0, inputs = 0, answers = 0;
  if (!size_add(c->rows, rows->count, &all) || !size_mul(all, c->input_size, &inputs) ||
      !size_mul(all, c->answer_size, &answers))
    return FUSION_E_MEMORY;
  int64_t *wide_inputs = mem_alloc(inputs, sizeof *wide_inputs);
  int64_t *wide_answers = mem_alloc(answers, sizeof *wide_answers);
  struct key *keys = mem_alloc(all, sizeof *keys);
  bool *twice = mem_alloc(all, sizeof *twice);
  fusion_status status = FUSION_OK;
  FAIL_IF(!wide_inputs || !wide_answers || !keys || !twice, FUSION_E_MEMORY);
  for (size_t i = 0; i < all; i++) {
    const int64_t *row = i < c->rows ? c->inputs + i * c->input_size : rows->inputs + (i - c->rows) * c->input_size;
    crypto_generichash(keys[i].hash, sizeof keys[i].hash, (const uint8_t *)row, c->input_size * sizeof *row, NULL, 0);
    keys[i].row = i;
  }
  qsort(keys, all, sizeof *keys, compare_keys);
  for (size_t i = 1; i < all; i++)
    twice[keys[i].row] = memcmp(keys[i].hash, keys[i - 1].hash, sizeof keys[i].hash) == 0;
  memcpy(wide_inputs, c->inputs, c->rows * c->input_size * sizeof *wide_inputs);
  memcpy(wide_answers, c->answers, c->rows * c->answer_size * sizeof *wide_answers);
  size_t kept = c->rows;
  for (size_t i = 0; i < rows->count; i++) {
    if (twice[c->rows + i]) continue;
    memcpy(wide_inputs + kept * c->input_size, rows->inputs + i * c->input_size, c->input_size * sizeof *wide_inputs);
    memcpy(wide_answers + kept * c->answer_size, rows->answers + i * c->answer_size,
           c->answer_size * sizeof *wide_answers);
    kept++;
  }
  mem_free_secret(c->inputs, c->rows * c->input_size * sizeof *c->inputs);
  mem_free_secret(c->answers, c->rows * c->answer_size * sizeof *c->answers);
  c->inputs = wide_inputs;
  c->answers = wide_answers;
  c->rows = kept;
  wide_inputs = wide_answers = NULL;
cleanup:
  mem_free_secret(wide_inputs, wide_inputs ? inputs * sizeof *wide_inputs : 0);
  mem_free_secret(wide_answers, wide_answers ? answers * sizeof *wide_answers : 0);
  mem_free_secret(keys, keys ? all * sizeof *keys : 0);
  mem_free(twice);
  return status;
}

static fusion_status replace_file(const char *path, const struct canaries *c, fusion_error *err) {
  uint8_t *bytes;
  size_t len;
  fusion_status status = canaries_encode(c, &bytes, &len);
  if (status != FUSION_OK) return error_set(err, status, "'%s': out of memory for the canaries", path);
  const struct file_part part = {bytes, len};
  status = file_write_atomic(path, &part, 1, err);
  mem_free_secret(bytes, len);
  return status;
}

fusion_status canaries_add(const char *path, const struct canary_rows *rows, fusion_error *err) {
  struct canaries c;
  struct input_file f;
  fusion_status status = lock_file(&f, path, err);
  if (status != FUSION_OK) return status;
  status = read_file(&c, &f, err);
  if (status == FUSION_OK && (memcmp(c.manifest_hash, rows->manifest_hash, sizeof c.manifest_hash) != 0 ||
                              c.input_size != rows->input_size || c.answer_size != rows->answer_size))
    status = error_set(err, FUSION_E_INPUT, "'%s': the canaries are of another model by now; nothing was added", path);
  const size_t before = status == FUSION_OK ? c.rows : 0;
  if (status == FUSION_OK && join_rows(&c, rows) != FUSION_OK)
    status = error_set(err, FUSION_E_MEMORY, "'%s': out of memory for the canaries", path);
  if (status == FUSION_OK && c.rows != before) status = replace_file(path, &c, err);
  canaries_free(&c);
  input_close(&f); /* and with it the lock */
  return status;
}
