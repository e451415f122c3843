/** What the network's file calls its classes: numbers such as 1, 2, 3 or -1, 1, or texts. Class i of a program is what
 *  its output i stands for. Public: a client names its labels so, and reads answers so. */
#ifndef FUSION_PROGRAM_CLASS_LABELS_H
#define FUSION_PROGRAM_CLASS_LABELS_H

#include "base/cursor.h"

enum { CLASS_LABELS_MAX = 1 << 16, CLASS_TEXT_LEN = 256 /* with its end */ };

/** One of numbers and texts is set where count is not 0. Count 0: labels are 0, 1, 2, ... */
struct class_labels {
  uint32_t count;
  int64_t *numbers; /* owned, different */
  char **texts;     /* owned, each too: different, UTF-8 without control characters, not empty */
};

/** Room for `count` labels of one kind. FUSION_E_MEMORY, FUSION_E_LIMIT. */
fusion_status class_labels_open(struct class_labels *l, size_t count, bool texts) FUSION_MUST_CHECK;
/** Gives label i a copy of a text. FUSION_E_MEMORY; FUSION_E_MODEL for one that is none. */
fusion_status class_labels_set_text(struct class_labels *l, uint32_t i, const void *text, size_t len) FUSION_MUST_CHECK;
void class_labels_free(struct class_labels *l);
/** True when they are 0, 1, 2, ... and need not be kept. */
bool class_labels_plain(const struct class_labels *l);
/** What is wrong with labels for `classes` classes, or NULL. */
const char *class_labels_check(const struct class_labels *l, size_t classes);

/** The class of a label, below 0 when it is none. Without labels, and by number where labels are texts: 0 to
 * `classes` - 1. */
int64_t class_of_number(const struct class_labels *l, size_t classes, int64_t number);
int64_t class_of_text(const struct class_labels *l, size_t classes, const char *text);
/** The label of a class as a number: its place where labels are texts. */
int64_t class_number(const struct class_labels *l, int64_t class_index);
/** "0 to 9", or the first labels: for error lines. */
void class_labels_text(const struct class_labels *l, size_t classes, char *out, size_t capacity);

void class_labels_encode(struct writer *w, const struct class_labels *l);
/** FUSION_E_MODEL, FUSION_E_MEMORY; what was read is freed by class_labels_free. */
fusion_status class_labels_decode(struct class_labels *l, struct reader *r) FUSION_MUST_CHECK;

#endif
