/* Answers with the names of files and classes: see answers.h. */
#include "answers.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "outputs.h"

enum { LINES_MOST = 40, CLASSES_FILE_MAX = 64 << 20 };

/* Names of classes */

static char *read_text(const char *path, size_t *len) {
  FILE *f = fopen(path, "rb");
  if (!f) return NULL;
  char *text = NULL;
  size_t capacity = 0;
  *len = 0;
  do {
    capacity = capacity ? 2 * capacity : 1 << 16;
    char *more = capacity <= CLASSES_FILE_MAX ? realloc(text, capacity) : NULL;
    if (!more) break;
    text = more;
    *len += fread(text + *len, 1, capacity - 1 - *len, f);
  } while (*len == capacity - 1);
  const bool whole = text && *len < capacity - 1 && !ferror(f);
  fclose(f);
  if (whole) text[*len] = '\0';
  if (whole) return text;
  free(text);
  errno = EFBIG;
  return NULL;
}

static bool is_utf8(const char *text) {
  json_t *json = json_string(text);
  json_decref(json);
  return json != NULL;
}

int cli_classes_load(struct cli_classes *out, const char *command, const char *path) {
  size_t len, lines = 0;
  *out = (struct cli_classes){.text = read_text(path, &len)};
  if (!out->text) {
    cli_error(command, "'%s': cannot be read: %s", path, strerror(errno));
    return CLI_EXIT_IO;
  }
  const char *wrong = strlen(out->text) != len ? "holds a zero byte" : is_utf8(out->text) ? NULL : "is not UTF-8 text";
  for (size_t i = 0; i < len; i++) lines += out->text[i] == '\n';
  out->names = calloc(lines + 1, sizeof *out->names);
  if (!out->names) return cli_failed(command, FUSION_E_MEMORY, NULL);
  for (char *at = out->text; !wrong && *at;) {
    char *end = at + strcspn(at, "\n"), *next = *end ? end + 1 : end;
    while (end > at && (end[-1] == '\r' || end[-1] == ' ' || end[-1] == '\t')) end--;
    *end = '\0';
    if (!*at) wrong = "has an empty line; give one class per line";
    out->names[out->count++] = at;
    at = next;
  }
  if (!wrong && !out->count) wrong = "is empty; give one class per line";
  if (!wrong) return CLI_GO;
  cli_error(command, "'%s': %s", path, wrong);
  return CLI_EXIT_USAGE;
}

int cli_classes_take(struct cli_classes *c, const char *command,
                     bool (*class_at)(const void *source, size_t index, int64_t *number, const char **text),
                     const void *source) {
  int64_t number;
  const char *text = NULL;
  bool own = false, named = false;
  size_t count = 0;
  for (; class_at(source, count, &number, &text); count++) {
    own = own || number != (int64_t)count;
    named = named || text;
  }
  if (own) c->numbers = calloc(count, sizeof *c->numbers);
  if (named && !c->count) c->names = calloc(count, sizeof *c->names);
  if ((own && !c->numbers) || (named && !c->names)) return cli_failed(command, FUSION_E_MEMORY, NULL);
  const bool take_names = named && !c->count;
  if (own) c->number_count = count;
  if (take_names) c->count = count;
  for (size_t i = 0; i < count; i++) {
    class_at(source, i, &number, &text);
    if (own) c->numbers[i] = number;
    if (take_names) c->names[i] = text;
  }
  return CLI_GO;
}

void cli_classes_label(const struct cli_classes *c, int64_t *indices, size_t count, size_t step) {
  for (size_t i = 0; c->numbers && i < count; i += step)
    if (indices[i] >= 0 && (uint64_t)indices[i] < c->number_count) indices[i] = c->numbers[indices[i]];
}

void cli_classes_free(struct cli_classes *c) {
  free(c->numbers);
  free(c->names);
  free(c->text);
  *c = (struct cli_classes){.text = NULL};
}

/* Answers */

static const char *class_of(const struct cli_answers *a, size_t row) {
  const struct cli_classes *c = a->classes;
  int64_t place = a->labels[row];
  if (!c) return NULL;
  for (size_t i = 0; c->numbers && i < c->number_count; i++) {
    if (c->numbers[i] != a->labels[row]) continue;
    place = (int64_t)i;
    break;
  }
  return place >= 0 && (uint64_t)place < c->count ? c->names[place] : NULL;
}

static bool has_classes(const struct cli_answers *a) {
  return a->classes && a->classes->count;
}

bool cli_answers_named(const struct cli_answers *a) {
  return has_classes(a) || fusion_array_row_name(a->samples, 0);
}

/** A file's name may hold anything: what would move the cursor or break the line is shown as '?'. */
static const char *printable(const char *name, char *out, size_t len) {
  size_t i = 0;
  for (; name[i] && i + 1 < len; i++) out[i] = (char)((unsigned char)name[i] < ' ' || name[i] == 127 ? '?' : name[i]);
  out[i] = '\0';
  return out;
}

/** What a sample is called by: the line of its text file, unless it has a name there; else its number from 0. */
static const char *sample_key(const struct cli_answers *a) {
  if (!fusion_array_row_line(a->samples, 0)) return "sample";
  return fusion_array_row_name(a->samples, 0) ? "id" : "line";
}

static size_t sample_number(const struct cli_answers *a, size_t row) {
  const size_t line = fusion_array_row_line(a->samples, row);
  return line ? line : row;
}

static const char *sample_name(const struct cli_answers *a, size_t row, char *out, size_t len) {
  const char *name = fusion_array_row_name(a->samples, row);
  if (name) return printable(name, out, len);
  snprintf(out, len, "%zu", sample_number(a, row));
  return out;
}

void cli_answers_print(const struct cli_answers *a) {
  const size_t rows = fusion_array_rows(a->samples), shown = rows < LINES_MOST ? rows : LINES_MOST;
  char name[256];
  for (size_t i = 0; i < shown; i++) {
    const char *class = class_of(a, i);
    printf("answer     %s: %" PRId64 "%s%s\n", sample_name(a, i, name, sizeof name), a->labels[i], class ? " " : "",
           class ? class : "");
  }
  if (shown < rows) printf("           and %zu more\n", rows - shown);
}

json_t *cli_answers_json(const struct cli_answers *a) {
  const size_t rows = fusion_array_rows(a->samples);
  json_t *list = json_array();
  for (size_t i = 0; list && i < rows; i++) {
    const char *file = fusion_array_row_name(a->samples, i), *class = class_of(a, i);
    char name[256];
    json_t *one = json_object();
    json_t *sample =
        file ? json_string(printable(file, name, sizeof name)) : json_integer((json_int_t)sample_number(a, i));
    if (!sample) { /* a name that is not UTF-8 */
      for (char *c = name; *c; c++)
        if ((unsigned char)*c >= 128) *c = '?';
      sample = json_string(name);
    }
    json_object_set_new(one, sample_key(a), sample);
    json_object_set_new(one, "label", json_integer((json_int_t)a->labels[i]));
    if (class) json_object_set_new(one, "class", json_string(class));
    json_array_append_new(list, one);
  }
  return list;
}

/* CSV */

/** A text field, quoted where it must be. */
static void put_field(FILE *f, const char *text) {
  if (!strpbrk(text, ",\"\r\n")) {
    fputs(text, f);
    return;
  }
  fputc('"', f);
  for (; *text; text++) {
    if (*text == '"') fputc('"', f);
    fputc(*text, f);
  }
  fputc('"', f);
}

static void put_value(FILE *f, const fusion_array *values, size_t i) {
  if (fusion_array_type(values) == FUSION_I64)
    fprintf(f, ",%" PRId64, ((const int64_t *)fusion_array_data(values))[i]);
  else
    fprintf(f, ",%.9g", ((const double *)fusion_array_data(values))[i]);
}

static void put_rows(FILE *f, const struct cli_answers *a) {
  const size_t width = a->values && !a->values_are_labels ? fusion_array_row_size(a->values) : 0;
  fprintf(f, "%s,label%s", sample_key(a), has_classes(a) ? ",class" : "");
  for (size_t k = 0; k < width; k++) fprintf(f, ",value_%zu", k);
  fputc('\n', f);
  for (size_t i = 0; i < fusion_array_rows(a->samples); i++) {
    char name[256];
    put_field(f, sample_name(a, i, name, sizeof name));
    fprintf(f, ",%" PRId64, a->labels[i]);
    const char *class = class_of(a, i);
    if (has_classes(a)) fputc(',', f);
    if (class) put_field(f, class);
    for (size_t k = 0; k < width; k++) put_value(f, a->values, i * width + k);
    fputc('\n', f);
  }
}

static fusion_status add_csv(const struct cli_answers *a, fusion_files *files, const char *path, fusion_error *err) {
  char *text = NULL;
  size_t len = 0;
  FILE *f = open_memstream(&text, &len);
  if (f) put_rows(f, a);
  const bool failed = !f || ferror(f);
  if (!f || fclose(f) != 0 || failed) {
    free(text);
    return FUSION_E_MEMORY;
  }
  const fusion_status status = fusion_files_add(files, path, text, len, err);
  free(text);
  return status;
}

fusion_status cli_answers_add(const struct cli_answers *a, fusion_files *files, const char *path, fusion_error *err) {
  return cli_ends_in(path, ".csv") ? add_csv(a, files, path, err) : fusion_files_add_npy(files, path, a->values, err);
}
