/* Tables of numbers as text. Parsed in two passes: the first finds the shape and whether all is whole, the second
 * fills. */
#include <stdlib.h>

#include "data/csv_text.h"
#include "data/data.h"

struct table {
  const char *path;
  const fusion_table_settings *settings;
  char *text; /* owned; NUL-terminated */
  size_t len;
  locale_t locale; /* "C": a decimal point whatever the user's language */
  char separator;
  struct csv_cell header; /* the whole line, without '#'; `at` NULL: none */
  bool commented;         /* it begins with '#' */
  size_t header_line;
  const char *first; /* where the rows begin */
  size_t first_line;
  size_t id_column; /* counted from 1 in the file; 0: none */
  size_t rows, columns;
  size_t empty_line;   /* the last one that is empty; 0: none */
  bool whole;          /* every field is a whole number of 64 bits */
  fusion_array *array; /* filled in the second pass; NULL in the first */
};

struct line {
  const char *at, *end, *next; /* next: the following line, or the text's end */
};

static struct line line_at(const struct table *t, const char *at) {
  const char *last = t->text + t->len, *newline = memchr(at, '\n', (size_t)(last - at));
  struct line l = {at, newline ? newline : last, newline ? newline + 1 : last};
  if (l.end > l.at && l.end[-1] == '\r') l.end--;
  return l;
}

static bool is_empty(const struct line *l) {
  for (const char *c = l->at; c < l->end; c++)
    if (*c != ' ' && *c != '\t') return false;
  return true;
}

static fusion_status quote_broken(const struct table *t, size_t line, fusion_error *err) {
  return error_set(err, FUSION_E_INPUT, "'%s' line %zu: a quoted field does not end within the line", t->path, line);
}

/* ---- before the rows: comments, separator, header, the column of names ---- */

/* The line's cells that can name a column, and those that are numbers. */
struct kinds {
  size_t cells, names, numbers;
};

static struct kinds count_kinds(const struct table *t, const char *at, const char *end) {
  struct csv_line line = csv_line_of(at, end, t->separator);
  struct csv_cell cell;
  struct kinds k = {0};
  bool broken, is_whole;
  double real;
  int64_t whole;
  for (; csv_next(&line, &cell, &broken); k.cells++) {
    k.names += csv_is_name(&cell, t->locale);
    k.numbers += csv_number(&cell, t->locale, &real, &whole, &is_whole);
  }
  return k;
}

/* The second line says how columns are split, since the first may be a title of several words. */
static void find_separator(struct table *t, const struct line *first) {
  struct line second = *first;
  while (second.next < t->text + t->len) {
    second = line_at(t, second.next);
    if (!is_empty(&second)) break;
  }
  const char own = csv_separator(first->at, first->end);
  t->separator = own;
  if (second.at != first->at) t->separator = csv_separator(second.at, second.end);
  if (!t->separator && own != ' ') t->separator = own;
}

static void take_comment(struct table *t, const struct line *l, size_t number) {
  const char *at = l->at + 1;
  while (at < l->end && *at == ' ') at++;
  t->header = (struct csv_cell){.at = at, .end = l->end};
  t->header_line = number;
  t->commented = true;
}

/* Finds where the rows begin. Lines that begin with '#' lead as numpy's savetxt writes a header. */
static void find_rows(struct table *t) {
  const char *last = t->text + t->len, *at = t->text;
  if (t->len >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0) at += 3; /* byte order mark */
  size_t number = 1;
  struct line l = line_at(t, at);
  for (; l.next < last && (is_empty(&l) || *l.at == '#'); number++) {
    if (!is_empty(&l)) take_comment(t, &l, number);
    l = line_at(t, l.next);
  }
  find_separator(t, &l);
  const struct kinds k = count_kinds(t, l.at, l.end);
  const fusion_header wanted = t->settings->header;
  const bool forced = wanted == FUSION_HEADER_YES && !t->header.at;
  if (forced || (wanted != FUSION_HEADER_NO && k.cells && k.names == k.cells)) {
    t->header = (struct csv_cell){.at = l.at, .end = l.end};
    t->header_line = number++;
    t->commented = false;
    l.at = l.next;
  }
  t->first = l.at;
  t->first_line = number;
}

static fusion_status find_id(struct table *t, fusion_error *err) {
  const char *wanted = t->settings->id_column;
  if (!wanted) return FUSION_OK;
  if (wanted[strspn(wanted, "0123456789")] == '\0') {
    const size_t columns = count_kinds(t, t->first, line_at(t, t->first).end).cells;
    t->id_column = strtoul(wanted, NULL, 10);
    if (!t->id_column) return error_set(err, FUSION_E_USAGE, "the column of names: columns are counted from 1");
    if (t->id_column <= columns) return FUSION_OK;
    return error_set(err, FUSION_E_INPUT, "'%s': has %zu columns, so no column %.20s for the samples' names", t->path,
                     columns, wanted);
  }
  if (!t->header.at)
    return error_set(err, FUSION_E_INPUT, "'%s': has no header, so no column '%.80s'; give the column's number",
                     t->path, wanted);
  struct csv_line line = csv_line_of(t->header.at, t->header.end, t->separator);
  struct csv_cell cell;
  bool broken;
  size_t found = 0;
  for (size_t i = 1; csv_next(&line, &cell, &broken); i++) {
    if (!csv_equals(&cell, wanted)) continue;
    if (found) return error_set(err, FUSION_E_INPUT, "'%s': has two columns '%.80s'; give a number", t->path, wanted);
    found = i;
  }
  if (!found) return error_set(err, FUSION_E_INPUT, "'%s': its header has no column '%.80s'", t->path, wanted);
  t->id_column = found;
  return FUSION_OK;
}

/* ---- the rows ---- */

static fusion_status refuse_cell(const struct table *t, size_t line, size_t column, const struct csv_cell *cell,
                                 fusion_error *err) {
  const char *what = csv_complaint(cell), *hint = "";
  if (line == t->first_line && !t->header.at && t->settings->header == FUSION_HEADER_AUTO &&
      count_kinds(t, t->first, line_at(t, t->first).end).names)
    hint = "; if the line is a header, say so (--header yes)";
  if (cell->at == cell->end)
    return error_set(err, FUSION_E_INPUT, "'%s' line %zu, column %zu: %s%s", t->path, line, column, what, hint);
  return error_set(err, FUSION_E_INPUT, "'%s' line %zu, column %zu: '%.*s' %s%s", t->path, line, column,
                   (int)size_min((size_t)(cell->end - cell->at), 40), cell->at, what, hint);
}

/* `at` counts the numbers of the row. */
static fusion_status take_number(struct table *t, size_t line, size_t column, size_t at, const struct csv_cell *cell,
                                 fusion_error *err) {
  double real;
  int64_t whole;
  bool is_whole;
  if (!csv_number(cell, t->locale, &real, &whole, &is_whole)) return refuse_cell(t, line, column, cell, err);
  if (!t->array) {
    t->whole = t->whole && is_whole;
    return FUSION_OK;
  }
  uint8_t *to = t->array->data + (t->rows * t->columns + at) * sizeof real;
  if (t->whole)
    memcpy(to, &whole, sizeof whole);
  else
    memcpy(to, &real, sizeof real);
  return FUSION_OK;
}

static fusion_status take_id(struct table *t, size_t line, const struct csv_cell *cell, fusion_error *err) {
  if (cell->at == cell->end)
    return error_set(err, FUSION_E_INPUT, "'%s' line %zu, column %zu: the sample's name is empty", t->path, line,
                     t->id_column);
  if (!t->array) return FUSION_OK;
  t->array->names[t->rows] = csv_text(cell);
  return t->array->names[t->rows] ? FUSION_OK : FUSION_E_MEMORY;
}

static fusion_status take_line(struct table *t, size_t number, const struct line *l, fusion_error *err) {
  struct csv_line line = csv_line_of(l->at, l->end, t->separator);
  struct csv_cell cell;
  bool broken;
  size_t column = 0, numbers = 0;
  if (t->array) t->array->lines[t->rows] = number;
  while (csv_next(&line, &cell, &broken)) {
    const bool is_id = ++column == t->id_column;
    const bool surplus = !is_id && t->rows && numbers >= t->columns;
    const fusion_status status = is_id     ? take_id(t, number, &cell, err)
                                 : surplus ? FUSION_OK
                                           : take_number(t, number, column, numbers, &cell, err);
    if (status != FUSION_OK) return status;
    numbers += !is_id;
  }
  if (broken) return quote_broken(t, number, err);
  if (!t->rows) t->columns = numbers;
  if (numbers != t->columns || column < t->id_column)
    return error_set(err, FUSION_E_INPUT, "'%s' line %zu: %s columns than the %zu of the lines before it", t->path,
                     number, numbers > t->columns ? "more" : "fewer", t->columns + (t->id_column != 0));
  t->rows++;
  return FUSION_OK;
}

static fusion_status pass(struct table *t, fusion_error *err) {
  t->rows = t->empty_line = 0;
  size_t number = t->first_line;
  for (const char *at = t->first; at < t->text + t->len; number++) {
    const struct line l = line_at(t, at);
    at = l.next;
    if (is_empty(&l)) {
      t->empty_line = t->rows ? number : 0;
      continue;
    }
    /* Where a row is one number, an empty line may be a row without it. */
    if (t->rows && t->empty_line && t->columns == 1 && !t->id_column)
      return error_set(err, FUSION_E_INPUT, "'%s' line %zu: is empty; fill in the value or remove the line", t->path,
                       t->empty_line);
    const fusion_status status = take_line(t, number, &l, err);
    if (status != FUSION_OK) return status;
  }
  if (!t->rows) return error_set(err, FUSION_E_INPUT, "'%s': holds no rows of numbers", t->path);
  if (t->columns) return FUSION_OK;
  return error_set(err, FUSION_E_INPUT, "'%s': has no column besides the samples' names", t->path);
}

/* A header that does not name every column is another file's, or a row. */
static fusion_status check_header(const struct table *t, fusion_error *err) {
  if (!t->header.at || t->commented) return FUSION_OK;
  const size_t names = count_kinds(t, t->header.at, t->header.end).cells;
  const size_t columns = t->columns + (t->id_column != 0);
  if (names == columns) return FUSION_OK;
  return error_set(err, FUSION_E_INPUT, "'%s': the header in line %zu has %zu fields, but the rows have %zu", t->path,
                   t->header_line, names, columns);
}

static fusion_status keep_header(const struct table *t) {
  if (!t->header.at) return FUSION_OK;
  t->array->header = csv_text(&t->header);
  t->array->header_line = t->header_line;
  return t->array->header ? FUSION_OK : FUSION_E_MEMORY;
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

fusion_status csv_load(fusion_array **out, const char *path, const fusion_table_settings *settings, fusion_error *err) {
  fusion_status status = FUSION_OK;
  struct table t = {
      .path = path, .settings = settings, .whole = true, .locale = newlocale(LC_ALL_MASK, "C", (locale_t)0)};
  FAIL_IF(!t.locale, FUSION_E_MEMORY);
  TRY(read_text(&t, err));
  find_rows(&t);
  TRY(find_id(&t, err));
  TRY(pass(&t, err));
  TRY(check_header(&t, err));
  const size_t shape[2] = {t.rows, t.columns};
  TRY(fusion_array_create(&t.array, t.whole ? FUSION_I64 : FUSION_F64, t.columns > 1 ? 2 : 1, shape, NULL));
  t.array->lines = calloc(t.rows, sizeof *t.array->lines);
  if (t.id_column) t.array->names = calloc(t.rows, sizeof *t.array->names);
  FAIL_IF(!t.array->lines || (t.id_column && !t.array->names), FUSION_E_MEMORY);
  TRY(pass(&t, err));
  TRY(keep_header(&t));
cleanup:
  if (t.locale) freelocale(t.locale);
  mem_free_secret(t.text, t.len);
  if (status != FUSION_OK)
    fusion_array_free(t.array);
  else
    *out = t.array;
  return status;
}
