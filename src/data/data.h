/** data: arrays from files and to files. This header is the folder's inside; the outside is <fusion/array.h>.
 *  Every file is treated as hostile: sizes are compared with the file's real length before memory is taken. */
#ifndef FUSION_DATA_DATA_H
#define FUSION_DATA_DATA_H

#include <fusion/array.h>
#include <fusion/files.h>
#include <fusion/images.h>

#include "base/base.h"

struct fusion_array {
  fusion_type type;
  size_t rank, shape[FUSION_RANK_MAX];
  size_t count, len; /* elements; bytes */
  uint8_t *data;     /* owned unless `borrowed`, C order, native byte order (little endian) */
  bool borrowed;     /* the data are the caller's: never written, wiped or freed */
  bool is_pictures;  /* [n][height][width][3 RGB or 1 grey], to be treated as `picture` says */
  fusion_image_settings picture;
  char **names;  /* owned, one a row; NULL when rows have no names */
  bool is_text;  /* the names are the rows' values; the elements are hashes of them */
  size_t *lines; /* owned: each row's line in its text file, from 1; NULL for other files */
  char *header;  /* owned: the line that was taken as a header; NULL: none */
  size_t header_line;
};

/** A regular file, open for reading. `path` is borrowed and only for error texts. */
struct input_file {
  const char *path;
  int fd;
  uint64_t len;
};

fusion_status input_open(struct input_file *f, const char *path, fusion_error *err) FUSION_MUST_CHECK;
/** Exactly `len` bytes from `offset`; FUSION_E_INPUT when the file ends before. */
fusion_status input_read(const struct input_file *f, uint64_t offset, void *out, size_t len,
                         fusion_error *err) FUSION_MUST_CHECK;
void input_close(struct input_file *f);

struct file_part {
  const void *data;
  size_t len;
};

/** Writes the parts one after the other into a new file, then gives it the name `path`: all or nothing, also when the
 *  process is killed. A device or a pipe is written through. Mode 0600, or that of the file that had the name. */
fusion_status file_write_atomic(const char *path, const struct file_part *parts, size_t count,
                                fusion_error *err) FUSION_MUST_CHECK;

/** As fusion_files_add, in parts. */
fusion_status files_add(fusion_files *files, const char *path, const struct file_part *parts, size_t count,
                        fusion_error *err) FUSION_MUST_CHECK;

/** The same for what nobody else may read: mode 0600, whatever file had the name. */
fusion_status files_add_private(fusion_files *files, const char *path, const struct file_part *parts, size_t count,
                                fusion_error *err) FUSION_MUST_CHECK;

/** What a .npy header says. */
struct npy_header {
  fusion_type type;
  bool fortran, big_endian;
  size_t rank, shape[FUSION_RANK_MAX];
  size_t data_offset;
};

/** Bytes from a .npy file's start that surely hold its header, if it is one that we accept. */
enum { NPY_HEADER_MAX = 1 << 16 };

/** Reads a .npy header from the first `len` bytes of a file. `path` is for error texts. */
fusion_status npy_header_parse(struct npy_header *out, const uint8_t *bytes, size_t len, const char *path,
                               fusion_error *err) FUSION_MUST_CHECK;
/** An array of the header's shape, its data still zero; refuses one that needs other than `data_len` bytes. */
fusion_status npy_array_for(fusion_array **out, const struct npy_header *h, uint64_t data_len, const char *path,
                            fusion_error *err) FUSION_MUST_CHECK;
/** Big-endian elements to native ones, and Fortran order to C order, in place (with a temporary copy). */
fusion_status npy_reorder(fusion_array *a, const struct npy_header *h) FUSION_MUST_CHECK;

fusion_status npy_load(fusion_array **out, const char *path, fusion_error *err) FUSION_MUST_CHECK;
/** `member` NULL: the only one. */
fusion_status npz_load(fusion_array **out, const char *path, const char *member, fusion_error *err) FUSION_MUST_CHECK;
fusion_status csv_load(fusion_array **out, const char *path, const fusion_table_settings *settings,
                       fusion_error *err) FUSION_MUST_CHECK;

/** Where a row stands, for people: "line 12" of a text file, the image's 'name', else "row 11". ASCII: what else a
 *  name holds is '?', so that reports of any kind can repeat it. */
enum { ROW_PLACE_LEN = 96 };
char *array_row_place(const fusion_array *a, size_t row, char out[ROW_PLACE_LEN]);

/** Rows that exist (assert), as fusion_array_to_double has them but unchecked: any number may come out. Constant flow.
 */
void array_rows_real(const fusion_array *a, size_t first, size_t rows, double *out);

/** The value of a row of names (fusion_labels_load), borrowed; NULL for rows of numbers. */
const char *array_row_text(const fusion_array *a, size_t row);

/** True when the name ends so, in any case: ends_in("A.CSV", ".csv"). */
bool path_ends_in(const char *path, const char *end);

#endif
