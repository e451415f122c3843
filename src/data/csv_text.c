#include "data/csv_text.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <strings.h>

#define UNICODE_MINUS "\xe2\x88\x92"
#define NO_BREAK_SPACE "\xc2\xa0"
#define NARROW_NO_BREAK_SPACE "\xe2\x80\xaf"

static bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

/* Blanks around a cell, but never the tab that separates cells. */
static bool is_padding(char c, char separator) {
  return is_blank(c) && c != separator;
}

struct csv_line csv_line_of(const char *at, const char *end, char separator) {
  if (separator == ' ') {
    while (at < end && is_blank(*at)) at++;
    while (end > at && is_blank(end[-1])) end--;
  }
  return (struct csv_line){at, end, separator};
}

static bool ends_cell(const struct csv_line *line, const char *at) {
  if (at == line->end) return true;
  return line->separator == ' ' ? is_blank(*at) : line->separator && *at == line->separator;
}

/* Behind a cell: over the separator, or to the end. */
static void pass_separator(struct csv_line *line, const char *at) {
  if (at == line->end) {
    line->at = NULL;
    return;
  }
  at++;
  while (line->separator == ' ' && at < line->end && is_blank(*at)) at++;
  line->at = at;
}

static bool take_quoted(struct csv_line *line, const char *at, struct csv_cell *out) {
  out->quoted = true;
  out->at = ++at;
  for (;;) {
    at = memchr(at, '"', (size_t)(line->end - at));
    if (!at) return false;
    if (at + 1 == line->end || at[1] != '"') break;
    at += 2; /* a quote within the cell */
  }
  out->end = at++;
  while (at < line->end && !ends_cell(line, at) && is_blank(*at)) at++;
  if (!ends_cell(line, at)) return false;
  pass_separator(line, at);
  return true;
}

bool csv_next(struct csv_line *line, struct csv_cell *out, bool *broken) {
  *broken = false;
  if (!line->at) return false;
  const char *at = line->at;
  while (at < line->end && is_padding(*at, line->separator)) at++;
  *out = (struct csv_cell){.at = at};
  if (at < line->end && *at == '"') {
    *broken = !take_quoted(line, at, out);
    return !*broken;
  }
  while (!ends_cell(line, at)) at++;
  out->end = at;
  while (out->end > out->at && is_blank(out->end[-1])) out->end--;
  pass_separator(line, at);
  return true;
}

char csv_separator(const char *at, const char *end) {
  static const char order[] = "\t;,";
  bool seen[sizeof order] = {false}, blank = false, quoted = false, text = false;
  while (end > at && is_blank(end[-1])) end--;
  for (; at < end; at++) {
    quoted ^= *at == '"';
    const char *which = quoted ? NULL : memchr(order, *at, sizeof order - 1);
    if (which) seen[which - order] = true;
    blank = blank || (*at == ' ' && !quoted && text);
    text = text || !is_blank(*at);
  }
  for (size_t i = 0; i < sizeof order - 1; i++)
    if (seen[i]) return order[i];
  return blank ? ' ' : 0;
}

bool csv_number(const struct csv_cell *cell, locale_t locale, double *real, int64_t *whole, bool *is_whole) {
  const char *at = cell->at, *end = cell->end;
  while (cell->quoted && at < end && is_blank(*at)) at++;
  while (cell->quoted && end > at && is_blank(end[-1])) end--;
  if (at == end || !(isdigit((unsigned char)*at) || strchr("+-.", *at))) return false;
  for (const char *c = at; c < end; c++)
    if (!isdigit((unsigned char)*c) && !strchr("+-.eE", *c)) return false;
  char *stop;
  *real = strtod_l(at, &stop, locale);
  if (stop != end || !isfinite(*real)) return false;
  errno = 0;
  *whole = strtoll(at, &stop, 10);
  *is_whole = stop == end && errno == 0;
  return true;
}

static bool holds(const struct csv_cell *cell, const char *what) {
  return memmem(cell->at, (size_t)(cell->end - cell->at), what, strlen(what)) != NULL;
}

static bool is_missing(const struct csv_cell *cell) {
  static const char *const marks[] = {"NA", "N/A", "#N/A", "NaN", "-nan", "null", "None",     "nil",       "?",
                                      "-",  "--",  ".",    "inf", "+inf", "-inf", "infinity", "-infinity", "missing"};
  const size_t len = (size_t)(cell->end - cell->at);
  for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
    if (strlen(marks[i]) == len && strncasecmp(marks[i], cell->at, len) == 0) return true;
  return false;
}

/* A digit, and no letter but an exponent's: a number in a spelling that is not ours. */
static bool is_odd_number(const struct csv_cell *cell) {
  bool digit = false;
  for (const char *c = cell->at; c < cell->end; c++) {
    const size_t left = (size_t)(cell->end - c);
    const bool minus = left >= 3 && memcmp(c, UNICODE_MINUS, 3) == 0;
    const bool narrow = left >= 3 && memcmp(c, NARROW_NO_BREAK_SPACE, 3) == 0;
    const bool space = left >= 2 && memcmp(c, NO_BREAK_SPACE, 2) == 0;
    if (minus || narrow || space) {
      c += space ? 1 : 2;
      continue;
    }
    const bool exponent = digit && (*c == 'e' || *c == 'E');
    if ((unsigned char)*c >= 128 || (isalpha((unsigned char)*c) && !exponent) || *c == '_') return false;
    digit = digit || isdigit((unsigned char)*c);
  }
  return digit;
}

bool csv_is_name(const struct csv_cell *cell, locale_t locale) {
  double real;
  int64_t whole;
  bool is_whole;
  return cell->at < cell->end && !csv_number(cell, locale, &real, &whole, &is_whole) && !is_missing(cell) &&
         !is_odd_number(cell);
}

const char *csv_complaint(const struct csv_cell *cell) {
  if (cell->at == cell->end) return "the field is empty; fill in every value";
  if (is_missing(cell)) return "is a missing or infinite value; fill in a finite number";
  if (holds(cell, "\r")) return "has a carriage return within; end each line with a line feed";
  if (holds(cell, UNICODE_MINUS)) return "has a Unicode minus sign; write '-'";
  if (holds(cell, NO_BREAK_SPACE) || holds(cell, NARROW_NO_BREAK_SPACE)) return "has a no-break space; remove it";
  if (!is_odd_number(cell)) return "is not a number";
  if (holds(cell, "%")) return "is a percentage; write a fraction (0.5)";
  return holds(cell, ",") ? "is not a number; write a decimal point" : "is not a number";
}

char *csv_text(const struct csv_cell *cell) {
  char *text = malloc((size_t)(cell->end - cell->at) + 1), *to = text;
  if (!text) return NULL;
  for (const char *c = cell->at; c < cell->end; c++) {
    *to++ = *c;
    if (cell->quoted && *c == '"') c++;
  }
  *to = '\0';
  return text;
}

bool csv_equals(const struct csv_cell *cell, const char *name) {
  char *text = csv_text(cell);
  const bool same = text && strcmp(text, name) == 0;
  free(text);
  return same;
}
