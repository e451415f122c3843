/* Tables of numbers as text. Parsed in two passes: the first finds the shape and whether all is whole, the second
 * fills. */
#include <ctype.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>

#include "data/data.h"

struct table {
  const char *path;
  char *text; /* owned; NUL-terminated */
  size_t len;
  locale_t locale; /* "C": a decimal point whatever the user's language */
  char separator;
  size_t rows, columns;
  bool whole;          /* every field is a whole number of 64 bits */
  fusion_array *array; /* filled in the second pass; NULL in the first */
};

/** One field as a number. Spaces around it are allowed. False for anything else, NaN and infinities included. */
static bool parse_field(const struct table *t, const char *at, const char *end, double *real, int64_t *whole,
                        bool *is_whole) {
  while (at < end && *at == ' ') at++;
  while (end > at && end[-1] == ' ') end--;
  if (at == end || !(isdigit((unsigned char)*at) || strchr("+-.", *at))) return false;
  for (const char *c = at; c < end; c++)
    if (!isdigit((unsigned char)*c) && !strchr("+-.eE", *c)) return false;
  char *stop;
  *real = strtod_l(at, &stop, t->locale);
  if (stop != end || !isfinite(*real)) return false;
  errno = 0;
  *whole = strtoll(at, &stop, 10);
  *is_whole = stop == end && errno == 0;
  return true;
}

static fusion_status take_field(struct table *t, size_t line, size_t column, const char *at, const char *end,
                                fusion_error *err) {
  double real;
  int64_t whole;
  bool is_whole;
  if (!parse_field(t, at, end, &real, &whole, &is_whole))
    return error_set(err, FUSION_E_INPUT, "'%s' line %zu, column %zu: '%.*s' is not a number", t->path, line,
                     column + 1, (int)size_min((size_t)(end - at), 40), at);
  if (!t->array) {
    t->whole = t->whole && is_whole;
    return FUSION_OK;
  }
  const size_t i = t->rows * t->columns + column;
  if (t->whole)
    memcpy(t->array->data + i * sizeof whole, &whole, sizeof whole);
  else
    memcpy(t->array->data + i * sizeof real, &real, sizeof real);
  return FUSION_OK;
}

static fusion_status take_line(struct table *t, size_t line, const char *at, const char *end, fusion_error *err) {
  size_t column = 0;
  for (const char *field = at; field <= end; column++) {
    const char *stop = memchr(field, t->separator, (size_t)(end - field));
    if (!stop) stop = end;
    if (t->rows && column == t->columns) {
      column++;
      break;
    }
    const fusion_status status = take_field(t, line, column, field, stop, err);
    if (status != FUSION_OK) return status;
    field = stop + 1;
  }
  if (!t->rows) t->columns = column;
  if (column != t->columns)
    return error_set(err, FUSION_E_INPUT, "'%s' line %zu: %s than %zu columns, which the lines before it have", t->path,
                     line, column > t->columns ? "more" : "fewer", t->columns);
  t->rows++;
  return FUSION_OK;
}

static bool is_header(const struct table *t, const char *at, const char *end) {
  const char *stop = memchr(at, t->separator, (size_t)(end - at));
  double real;
  int64_t whole;
  bool is_whole;
  return !parse_field(t, at, stop ? stop : end, &real, &whole, &is_whole);
}

/** The first line decides. */
static char find_separator(const char *line, size_t len) {
  if (memchr(line, '\t', len)) return '\t';
  return memchr(line, ';', len) ? ';' : ',';
}

static fusion_status pass(struct table *t, fusion_error *err) {
  t->rows = 0;
  const char *at = t->text, *last = t->text + t->len;
  if (t->len >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0) at += 3; /* byte order mark */
  bool first = true;
  for (size_t line = 1; at < last; line++) {
    const char *newline = memchr(at, '\n', (size_t)(last - at));
    const char *next = newline ? newline + 1 : last, *end = newline ? newline : last;
    if (end > at && end[-1] == '\r') end--;
    if (end > at) {
      if (first) t->separator = find_separator(at, (size_t)(end - at));
      const fusion_status status = first && is_header(t, at, end) ? FUSION_OK : take_line(t, line, at, end, err);
      if (status != FUSION_OK) return status;
      first = false;
    }
    at = next;
  }
  return t->rows ? FUSION_OK : error_set(err, FUSION_E_INPUT, "'%s': holds no rows of numbers", t->path);
}

static fusion_status read_text(struct table *t, fusion_error *err) {
  struct input_file f;
  fusion_status status = input_open(&f, t->path, err);
  if (status != FUSION_OK) return status;
  t->len = (size_t)f.len;
  t->text = mem_alloc(t->len + 1, 1);
  FAIL_IF(!t->text, FUSION_E_MEMORY);
  TRY(input_read(&f, 0, t->text, t->len, err));
  t->text[t->len] = 0;
  if (memchr(t->text, 0, t->len)) status = error_set(err, FUSION_E_INPUT, "'%s': is not a text file", t->path);
cleanup:
  input_close(&f);
  return status;
}

fusion_status csv_load(fusion_array **out, const char *path, fusion_error *err) {
  fusion_status status = FUSION_OK;
  struct table t = {.path = path, .whole = true, .locale = newlocale(LC_ALL_MASK, "C", (locale_t)0)};
  FAIL_IF(!t.locale, FUSION_E_MEMORY);
  TRY(read_text(&t, err));
  TRY(pass(&t, err));
  const size_t shape[2] = {t.rows, t.columns};
  TRY(fusion_array_create(&t.array, t.whole ? FUSION_I64 : FUSION_F64, t.columns > 1 ? 2 : 1, shape, NULL));
  TRY(pass(&t, err));
cleanup:
  if (t.locale) freelocale(t.locale);
  mem_free_secret(t.text, t.len);
  if (status != FUSION_OK)
    fusion_array_free(t.array);
  else
    *out = t.array;
  return status;
}
