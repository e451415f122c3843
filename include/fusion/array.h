/** Arrays from files: .npy, .npz and .csv in, .npy out. How queries, labels and answers enter and leave. */
#ifndef FUSION_ARRAY_H
#define FUSION_ARRAY_H

#include <stddef.h>
#include <stdint.h>

#include <fusion/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Type of an element. F16 is IEEE half precision. */
typedef enum fusion_type {
  FUSION_BOOL,
  FUSION_U8,
  FUSION_U16,
  FUSION_U32,
  FUSION_U64,
  FUSION_I8,
  FUSION_I16,
  FUSION_I32,
  FUSION_I64,
  FUSION_F16,
  FUSION_F32,
  FUSION_F64,
} fusion_type;

#define FUSION_RANK_MAX 8

/** A dense array in C order. Its first axis counts rows (samples); a scalar has one row. */
typedef struct fusion_array fusion_array;

/** Loads a file. The kind follows from the name:
 *  - `x.npy`: version 1-3, either byte order, C or Fortran order, element types of fusion_type;
 *  - `x.npz` or `x.npz:member`: stored or deflated; the member may be left out when there is only one,
 *    and of two of one name the last counts;
 *  - `x.csv`: numbers split by comma, semicolon, tab or blanks, quoted or not. A first line in which every field is a
 *    name (no number, not empty, no mark of a missing value) is a header, and so are lines before it that begin with
 *    '#'. A field that is no number is refused. Whole numbers give I64, others F64; one column gives a vector.
 *  Case does not matter in `.npy` and the like. Nothing in the file is trusted: sizes are checked against the file's
 *  length before memory is taken. FUSION_E_IO, FUSION_E_INPUT, FUSION_E_MEMORY; `err` (may be NULL) gets one line. *out
 *  is owned by the caller. */
FUSION_API fusion_status fusion_array_load(fusion_array **out, const char *path, fusion_error *err) FUSION_MUST_CHECK;

/** Whether a text file's first line is a header. AUTO: it is when it can be nothing else. */
typedef enum fusion_header { FUSION_HEADER_AUTO, FUSION_HEADER_YES, FUSION_HEADER_NO } fusion_header;

/** How text files are read. Start from fusion_table_defaults(). */
typedef struct fusion_table_settings {
  size_t size;           /**< of this struct; see fusion.h */
  fusion_header header;  /**< default AUTO */
  const char *id_column; /**< the column, by its name in the header or by its number from 1, that names the rows and is
                              no part of them; NULL (default): none */
} fusion_table_settings;

FUSION_API void fusion_table_init(fusion_table_settings *settings, size_t size);
static inline fusion_table_settings fusion_table_defaults(void) {
  fusion_table_settings settings;
  fusion_table_init(&settings, sizeof settings);
  return settings;
}

/** As fusion_array_load, for text files by these settings. FUSION_E_USAGE for an id column of another kind of file. */
FUSION_API fusion_status fusion_array_load_table(fusion_array **out, const char *path,
                                                 const fusion_table_settings *settings,
                                                 fusion_error *err) FUSION_MUST_CHECK;

/** Labels: as fusion_array_load_table; a .csv file of one name a line gives the names (fusion_array_row_name), for
 * models whose file has names for labels. Of a .txt file every line is a name as it stands; numbers may be written so,
 * too. */
FUSION_API fusion_status fusion_labels_load(fusion_array **out, const char *path, const fusion_table_settings *settings,
                                            fusion_error *err) FUSION_MUST_CHECK;

/** A copy of `data` ([shape[0]]...[shape[rank-1]], C order); NULL data gives zeros. FUSION_E_USAGE, FUSION_E_MEMORY. */
FUSION_API fusion_status fusion_array_create(fusion_array **out, fusion_type type, size_t rank, const size_t *shape,
                                             const void *data) FUSION_MUST_CHECK;

/** As fusion_array_create, but `data` (not NULL, any alignment) is read where it is: it is borrowed, must not change
 *  until fusion_array_free, and is neither wiped nor freed then. FUSION_E_USAGE, FUSION_E_MEMORY. */
FUSION_API fusion_status fusion_array_borrow(fusion_array **out, fusion_type type, size_t rank, const size_t *shape,
                                             const void *data) FUSION_MUST_CHECK;

/** Labels that are names, as fusion_labels_load reads them from a file: `names` [count], copied, 1 to 255 bytes each.
 *  FUSION_E_INPUT names the row; FUSION_E_MEMORY. */
FUSION_API fusion_status fusion_labels_create(fusion_array **out, const char *const *names, size_t count,
                                              fusion_error *err) FUSION_MUST_CHECK;

/** Wipes and frees; NULL is allowed. */
FUSION_API void fusion_array_free(fusion_array *a);

FUSION_API fusion_type fusion_array_type(const fusion_array *a);
FUSION_API size_t fusion_array_rank(const fusion_array *a);
/** Length of an axis; 1 beyond the rank. */
FUSION_API size_t fusion_array_axis(const fusion_array *a, size_t axis);
/** Rows (length of the first axis; 1 for a scalar) and elements in each row. */
FUSION_API size_t fusion_array_rows(const fusion_array *a);
FUSION_API size_t fusion_array_row_size(const fusion_array *a);
/** The name of a row, borrowed: of its file, where each row is an image (fusion_images_load), or its text in the id
 *  column; else NULL. */
FUSION_API const char *fusion_array_row_name(const fusion_array *a, size_t row);
/** The line of a text file that a row comes from, counted from 1; 0 for other files. */
FUSION_API size_t fusion_array_row_line(const fusion_array *a, size_t row);
/** The line that was taken as a header, borrowed, and its number in *line (may be NULL); NULL when there was none. */
FUSION_API const char *fusion_array_header(const fusion_array *a, size_t *line);
/** The elements, borrowed. */
FUSION_API const void *fusion_array_data(const fusion_array *a);
/** The same, to be written to; NULL for an array that borrows them. */
FUSION_API void *fusion_array_data_mutable(fusion_array *a);
FUSION_API size_t fusion_type_len(fusion_type type);
FUSION_API const char *fusion_type_name(fusion_type type);

/** Rows [first, first + rows) into `out` [rows][row size]. to_double refuses NaN and infinities; to_int64 refuses
 * values that are not whole or do not fit. FUSION_E_INPUT names the row; FUSION_E_USAGE when the rows do not exist. */
FUSION_API fusion_status fusion_array_to_double(const fusion_array *a, size_t first, size_t rows, double *out,
                                                fusion_error *err) FUSION_MUST_CHECK;
FUSION_API fusion_status fusion_array_to_int64(const fusion_array *a, size_t first, size_t rows, int64_t *out,
                                               fusion_error *err) FUSION_MUST_CHECK;

/** Writes a .npy file (version 1.0). It appears under its name complete or not at all. FUSION_E_IO. */
FUSION_API fusion_status fusion_array_save_npy(const fusion_array *a, const char *path,
                                               fusion_error *err) FUSION_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
