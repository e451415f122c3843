/* Labels that are names, one a line: lines of a .txt file as they stand, of a .csv file one field each. */
#include <stdlib.h>

#include "data/csv_text.h"
#include "data/data.h"

enum { LABELS_FILE_MAX = 64 << 20, LABEL_LEN = 255 };

struct label_lines {
  char *text; /* owned */
  size_t len, rows;
  fusion_array *array; /* filled in the second pass; NULL in the first */
  bool skip_first, plain;
};

/* FNV-1a: stands for the name where arrays are compared or hashed. */
static int64_t text_hash(const char *text) {
  uint64_t h = UINT64_C(0xcbf29ce484222325);
  for (; *text; text++) h = (h ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
  return (int64_t)h;
}

/* FUSION_E_INPUT: a line is no single name. */
static fusion_status take_line(struct label_lines *l, const char *at, const char *end, size_t number) {
  struct csv_line line = csv_line_of(at, end, ',');
  struct csv_cell cell = {.at = at, .end = end}, second;
  bool broken = false;
  if (!l->plain && (!csv_next(&line, &cell, &broken) || broken || csv_next(&line, &second, &broken) || broken))
    return FUSION_E_INPUT;
  if (cell.at == cell.end || cell.end - cell.at > LABEL_LEN) return FUSION_E_INPUT;
  if (l->array) {
    char *name = csv_text(&cell);
    if (!name) return FUSION_E_MEMORY;
    const int64_t hash = text_hash(name);
    memcpy(l->array->data + l->rows * sizeof hash, &hash, sizeof hash);
    l->array->names[l->rows] = name;
    l->array->lines[l->rows] = number;
  }
  l->rows++;
  return FUSION_OK;
}

static fusion_status take_lines(struct label_lines *l) {
  const char *last = l->text + l->len;
  size_t number = 1;
  l->rows = 0;
  for (const char *at = l->text; at < last; number++) {
    const char *newline = memchr(at, '\n', (size_t)(last - at)), *end = newline ? newline : last;
    const char *next = newline ? newline + 1 : last;
    if (end > at && end[-1] == '\r') end--;
    const bool skipped = (number == 1 && l->skip_first) || (end == at && next == last);
    const fusion_status status = skipped ? FUSION_OK : take_line(l, at, end, number);
    if (status != FUSION_OK) return status;
    at = next;
  }
  return l->rows ? FUSION_OK : FUSION_E_INPUT;
}

static fusion_status read_names(struct label_lines *l, const struct input_file *f) {
  fusion_status status;
  fusion_error ignored = {.status = FUSION_OK};
  if (f->len == 0 || f->len > LABELS_FILE_MAX) return FUSION_E_INPUT;
  l->len = (size_t)f->len;
  l->text = malloc(l->len);
  if (!l->text) return FUSION_E_MEMORY;
  TRY(input_read(f, 0, l->text, l->len, &ignored));
  FAIL_IF(memchr(l->text, '\0', l->len), FUSION_E_INPUT);
  TRY(take_lines(l));
  TRY(fusion_array_create(&l->array, FUSION_I64, 1, &l->rows, NULL));
  l->array->is_text = true;
  l->array->names = calloc(l->rows, sizeof *l->array->names);
  l->array->lines = calloc(l->rows, sizeof *l->array->lines);
  FAIL_IF(!l->array->names || !l->array->lines, FUSION_E_MEMORY);
  TRY(take_lines(l));
cleanup:
  return status;
}

fusion_status fusion_labels_create(fusion_array **out, const char *const *names, size_t count, fusion_error *err) {
  fusion_status status = fusion_array_create(out, FUSION_I64, 1, &count, NULL);
  if (status != FUSION_OK) return error_set(err, status, "out of memory for %zu labels", count);
  fusion_array *a = *out;
  a->is_text = true;
  a->names = calloc(count + 1, sizeof *a->names);
  FAIL_IF(!a->names, error_set(err, FUSION_E_MEMORY, "out of memory for %zu labels", count));
  for (size_t i = 0; i < count; i++) {
    const size_t len = strlen(names[i]);
    FAIL_IF(len == 0 || len > LABEL_LEN,
            error_set(err, FUSION_E_INPUT, "row %zu: a label has 1 to %d bytes", i, (int)LABEL_LEN));
    a->names[i] = strdup(names[i]);
    FAIL_IF(!a->names[i], error_set(err, FUSION_E_MEMORY, "out of memory for %zu labels", count));
    const int64_t hash = text_hash(names[i]);
    memcpy(a->data + i * sizeof hash, &hash, sizeof hash);
  }
  return FUSION_OK;
cleanup:
  fusion_array_free(a);
  *out = NULL;
  return status;
}

const char *array_row_text(const fusion_array *a, size_t row) {
  return a && a->is_text ? fusion_array_row_name(a, row) : NULL;
}

fusion_status fusion_labels_load(fusion_array **out, const char *path, const fusion_table_settings *settings,
                                 fusion_error *err) {
  struct input_file f;
  fusion_error ignored = {.status = FUSION_OK};
  const bool text = path_ends_in(path, ".txt"), table = path_ends_in(path, ".csv");
  fusion_status status = text ? FUSION_E_INPUT : fusion_array_load_table(out, path, settings, err);
  if (status != FUSION_E_INPUT || (!text && !table)) return status;
  struct label_lines l = {.skip_first = settings->header == FUSION_HEADER_YES, .plain = text};
  *out = NULL;
  status = input_open(&f, path, text ? err : &ignored);
  if (status != FUSION_OK) return text ? status : FUSION_E_INPUT;
  status = read_names(&l, &f);
  input_close(&f);
  free(l.text);
  if (status == FUSION_OK) {
    *out = l.array;
    return FUSION_OK;
  }
  fusion_array_free(l.array);
  if (status == FUSION_E_MEMORY) return error_set(err, status, "'%s': out of memory for this file", path);
  /* Of a table what is wrong with it as numbers has been said. */
  return text ? error_set(err, FUSION_E_INPUT, "'%s': give one label per line, of at most %d bytes", path,
                          (int)LABEL_LEN)
              : FUSION_E_INPUT;
}
