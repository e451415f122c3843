#include "program/class_labels.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { KIND_NUMBERS = 1, KIND_TEXTS = 2 };

fusion_status class_labels_open(struct class_labels *l, size_t count, bool texts) {
  *l = (struct class_labels){0};
  if (count < 2 || count > CLASS_LABELS_MAX) return FUSION_E_LIMIT;
  if (texts) l->texts = mem_alloc(count, sizeof *l->texts);
  if (!texts) l->numbers = mem_alloc(count, sizeof *l->numbers);
  if (!l->texts && !l->numbers) return FUSION_E_MEMORY;
  l->count = (uint32_t)count;
  return FUSION_OK;
}

/* Bytes of the UTF-8 character that begins here; 0 when none does. Overlong forms and surrogates are none. */
static size_t character_len(const uint8_t *c, size_t left) {
  static const struct {
    uint8_t first, last, len, second_least, second_most;
  } forms[] = {{0x20, 0x7e, 1, 0, 0},       {0xc2, 0xdf, 2, 0x80, 0xbf}, {0xe0, 0xe0, 3, 0xa0, 0xbf},
               {0xe1, 0xec, 3, 0x80, 0xbf}, {0xed, 0xed, 3, 0x80, 0x9f}, {0xee, 0xef, 3, 0x80, 0xbf},
               {0xf0, 0xf0, 4, 0x90, 0xbf}, {0xf1, 0xf3, 4, 0x80, 0xbf}, {0xf4, 0xf4, 4, 0x80, 0x8f}};
  for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
    if (c[0] < forms[i].first || c[0] > forms[i].last) continue;
    if (forms[i].len > left) return 0;
    if (forms[i].len > 1 && (c[1] < forms[i].second_least || c[1] > forms[i].second_most)) return 0;
    for (size_t k = 2; k < forms[i].len; k++)
      if ((c[k] & 0xc0) != 0x80) return 0;
    return forms[i].len;
  }
  return 0;
}

static bool is_label_text(const uint8_t *text, size_t len) {
  if (len == 0 || len >= CLASS_TEXT_LEN) return false;
  for (size_t at = 0; at < len;) {
    const size_t one = character_len(text + at, len - at);
    if (!one) return false;
    at += one;
  }
  return true;
}

fusion_status class_labels_set_text(struct class_labels *l, uint32_t i, const void *text, size_t len) {
  if (!text || !is_label_text(text, len)) return FUSION_E_MODEL;
  l->texts[i] = mem_alloc(len + 1, 1);
  if (!l->texts[i]) return FUSION_E_MEMORY;
  memcpy(l->texts[i], text, len);
  return FUSION_OK;
}

void class_labels_free(struct class_labels *l) {
  for (uint32_t i = 0; l->texts && i < l->count; i++) mem_free(l->texts[i]);
  mem_free(l->texts);
  mem_free(l->numbers);
  *l = (struct class_labels){0};
}

bool class_labels_plain(const struct class_labels *l) {
  bool plain = !l->texts;
  for (uint32_t i = 0; plain && i < l->count; i++) plain = l->numbers[i] == (int64_t)i;
  return plain;
}

static int by_number(const void *a, const void *b) {
  const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static int by_text(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Of a sorted copy; true as well when memory for it is out, which is told as damage. */
static bool has_doubles(const struct class_labels *l) {
  const size_t size = l->texts ? sizeof *l->texts : sizeof *l->numbers;
  const void *from = l->texts ? (const void *)l->texts : l->numbers;
  uint8_t *sorted = mem_alloc(l->count, size);
  if (!sorted) return true;
  memcpy(sorted, from, l->count * size);
  int (*const order)(const void *, const void *) = l->texts ? by_text : by_number;
  qsort(sorted, l->count, size, order);
  bool doubles = false;
  for (uint32_t i = 1; i < l->count; i++) doubles = doubles || !order(sorted + (i - 1) * size, sorted + i * size);
  mem_free(sorted);
  return doubles;
}

const char *class_labels_check(const struct class_labels *l, size_t classes) {
  if (!l->count) return l->numbers || l->texts ? "its labels have no number" : NULL;
  if (l->count > CLASS_LABELS_MAX || l->count != classes) return "it has another number of labels than of classes";
  if (!l->numbers == !l->texts) return "its labels are of no kind, or of two";
  for (uint32_t i = 0; l->texts && i < l->count; i++)
    if (!l->texts[i] || !is_label_text((const uint8_t *)l->texts[i], strlen(l->texts[i])))
      return "a label is no text, or too long";
  if (class_labels_plain(l)) return "its labels are those that it would have without any";
  return has_doubles(l) ? "two of its labels are the same" : NULL;
}

int64_t class_of_number(const struct class_labels *l, size_t classes, int64_t number) {
  if (!l->numbers) return number >= 0 && (uint64_t)number < classes ? number : -1;
  for (uint32_t i = 0; i < l->count; i++)
    if (l->numbers[i] == number) return i;
  return -1;
}

int64_t class_of_text(const struct class_labels *l, size_t classes, const char *text) {
  for (uint32_t i = 0; l->texts && i < l->count; i++)
    if (!strcmp(l->texts[i], text)) return i;
  char *end;
  errno = 0;
  const long long number = strtoll(text, &end, 10);
  return *text && !*end && !errno ? class_of_number(l, classes, number) : -1;
}

int64_t class_number(const struct class_labels *l, int64_t class_index) {
  return l->numbers && class_index >= 0 && class_index < (int64_t)l->count ? l->numbers[class_index] : class_index;
}

void class_labels_text(const struct class_labels *l, size_t classes, char *out, size_t capacity) {
  enum { SHOWN = 8 };
  size_t len = 0;
  if (!l->count) snprintf(out, capacity, "0 to %zu", classes - 1);
  for (uint32_t i = 0; i < l->count && i < SHOWN && len + 60 < capacity; i++) {
    const char *comma = i ? ", " : "";
    if (l->texts) len += (size_t)snprintf(out + len, capacity - len, "%s%.40s", comma, l->texts[i]);
    if (l->numbers) len += (size_t)snprintf(out + len, capacity - len, "%s%" PRId64, comma, l->numbers[i]);
    if (i + 1 == SHOWN && l->count > SHOWN) snprintf(out + len, capacity - len, ", ... (%u)", l->count);
  }
}

void class_labels_encode(struct writer *w, const struct class_labels *l) {
  write_u8(w, l->texts ? KIND_TEXTS : KIND_NUMBERS);
  write_u32(w, l->count);
  for (uint32_t i = 0; i < l->count; i++) {
    if (l->texts) write_string(w, l->texts[i]);
    if (l->numbers) write_u64(w, (uint64_t)l->numbers[i]);
  }
}

fusion_status class_labels_decode(struct class_labels *l, struct reader *r) {
  char text[CLASS_TEXT_LEN];
  const uint8_t kind = read_u8(r);
  const uint32_t count = read_u32(r);
  if (r->failed || (kind != KIND_NUMBERS && kind != KIND_TEXTS) || count > reader_left(r)) return FUSION_E_MODEL;
  fusion_status status = class_labels_open(l, count, kind == KIND_TEXTS);
  for (uint32_t i = 0; i < count && status == FUSION_OK; i++) {
    if (l->numbers) l->numbers[i] = (int64_t)read_u64(r);
    if (l->texts) {
      read_string(r, text, sizeof text);
      if (!r->failed) status = class_labels_set_text(l, i, text, strlen(text));
    }
    if (r->failed) status = FUSION_E_MODEL;
  }
  return status;
}
