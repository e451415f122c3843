/** Samples that are files of any kind, and answers for people: a line, a CSV row or a JSON object for each sample, with
 *  the file's and the class's name. */
#ifndef FUSION_TOOLS_ANSWERS_H
#define FUSION_TOOLS_ANSWERS_H

#include "cli.h"

/** Names of classes, and the labels of a model whose file has its own. */
struct cli_classes {
  char *text;         /* owned */
  const char **names; /* owned array: name i is class i; entries point into `text` or are the model's */
  size_t count;
  int64_t *numbers; /* owned: the labels of the classes; NULL: 0, 1, 2, ... */
  size_t number_count;
};

/** One name a line. CLI_GO, or the exit code after saying what is wrong. */
int cli_classes_load(struct cli_classes *out, const char *command, const char *path);
/** Takes the labels of a model from `class_at` (fusion_model_class, fusion_result_class), and its names of classes
 * where none were loaded. They live as long as `source`. CLI_GO, or the exit code. */
int cli_classes_take(struct cli_classes *c, const char *command,
                     bool (*class_at)(const void *source, size_t index, int64_t *number, const char **text),
                     const void *source);
/** Class indices to labels. */
void cli_classes_label(const struct cli_classes *c, int64_t *indices, size_t count, size_t step);
void cli_classes_free(struct cli_classes *c);

/** Answers beside what they are about. Borrows. */
struct cli_answers {
  const fusion_array *samples;       /* for the names of its rows */
  const int64_t *labels;             /* one a row */
  const fusion_array *values;        /* [rows][values]; may be NULL */
  const struct cli_classes *classes; /* may be NULL or empty */
  bool values_are_labels;            /* nothing to show besides the label */
};

/** True when there are names to show: of files or of classes. */
bool cli_answers_named(const struct cli_answers *a);
/** A line each for the first samples, then how many are left. */
void cli_answers_print(const struct cli_answers *a);
/** [{"sample": name or number, "label": n, "class": name}, ...]; NULL when memory is out. Of a text file "id" or "line"
 *  instead of "sample". */
json_t *cli_answers_json(const struct cli_answers *a);
/** As the name says: .csv (sample,label[,class][,value...], with id or line as above), else `values` as .npy. */
fusion_status cli_answers_add(const struct cli_answers *a, fusion_files *files, const char *path,
                              fusion_error *err) FUSION_MUST_CHECK;

#endif
