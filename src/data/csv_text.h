/** The text of tables: lines split into cells, and what a cell holds. */
#ifndef FUSION_DATA_CSV_TEXT_H
#define FUSION_DATA_CSV_TEXT_H

#include <locale.h>

#include "base/base.h"

/** A field of a line, without the blanks and the quotes around it. Borrowed from the text. */
struct csv_cell {
  const char *at, *end;
  bool quoted; /* a quote inside stands doubled */
};

/** A line that is being split. `at` NULL: nothing is left. */
struct csv_line {
  const char *at, *end;
  char separator; /* ' ': any run of blanks */
};

/** Starts at the first cell of [at, end). */
struct csv_line csv_line_of(const char *at, const char *end, char separator);
/** Takes the next cell; false when none is left, or (*broken) when a quote is not closed or stands within a field. */
bool csv_next(struct csv_line *line, struct csv_cell *out, bool *broken);

/** Tab, semicolon, comma or blank, whichever comes first in this order outside quotes; 0 for none: one column. */
char csv_separator(const char *at, const char *end);

/** The cell as a number; false for anything else, NaN and infinities included. `locale`: "C". */
bool csv_number(const struct csv_cell *cell, locale_t locale, double *real, int64_t *whole, bool *is_whole);
/** True for what can name a column: not empty, no number in any spelling ("50%"), no mark of a missing value ("NA"). */
bool csv_is_name(const struct csv_cell *cell, locale_t locale);
/** What is wrong with a cell that is no number, and the remedy. */
const char *csv_complaint(const struct csv_cell *cell);
/** The cell's text, unquoted; NULL when memory is out. free()d by the caller. */
char *csv_text(const struct csv_cell *cell);
/** True when the unquoted text is `name`. */
bool csv_equals(const struct csv_cell *cell, const char *name);

#endif
