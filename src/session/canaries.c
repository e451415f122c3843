#include "session/canaries.h"

#include <sodium.h>
#include <stdlib.h>

#include "base/cursor.h"

enum {
  VERSION = 1,
  HASH_LEN = 32,
  /* Bytes of everything before the classes but the time, and of a class. */
  FIXED_LEN = 8 + 4 + 2 + SESSION_HASH_LEN + CANARY_CERTIFICATE_LEN + CANARY_MODEL_LEN + 2 + 8 + 8 + 8 + 4,
  CLASS_LEN = 4 + 8 + 8,
  SIZES_LEN = 8 + 4 + 4,
};
static const uint8_t magic[8] = {'F', 'U', 'S', 'I', 'O', 'N', 'C', '\n'};

void canaries_free(struct canaries *c) {
  mem_free(c->classes);
  mem_free(c->labels);
  mem_free_secret(c->inputs, c->rows * c->input_size * sizeof *c->inputs);
  mem_free_secret(c->answers, c->rows * c->answer_size * sizeof *c->answers);
  *c = (struct canaries){.rows = 0};
}

/* ---- classes ---- */

static int compare_labels(const void *a, const void *b) {
  const uint32_t x = ((const struct canary_class *)a)->label, y = ((const struct canary_class *)b)->label;
  return (x > y) - (x < y);
}

fusion_status canaries_count(struct canaries *c, const int64_t *answered) {
  c->classes = mem_alloc((size_t)c->audited, sizeof *c->classes);
  if (!c->classes) return FUSION_E_MEMORY;
  for (size_t i = 0; i < c->audited; i++)
    c->classes[i] = (struct canary_class){c->labels[i], 1, answered[i] != (int64_t)c->labels[i]};
  qsort(c->classes, (size_t)c->audited, sizeof *c->classes, compare_labels);
  c->class_count = 0;
  c->wrong = 0;
  for (size_t i = 0; i < c->audited; i++) {
    const struct canary_class one = c->classes[i];
    struct canary_class *last = c->class_count ? &c->classes[c->class_count - 1] : NULL;
    c->wrong += one.wrong;
    if (!last || last->label != one.label) {
      c->classes[c->class_count++] = one;
      continue;
    }
    last->samples++;
    last->wrong += one.wrong;
  }
  return FUSION_OK;
}

/* ---- numbers: as few bytes each as all of them need, 1, 2, 4 or 8 ---- */

/* How many depends on the largest of all numbers alone, which is in the file anyway. */
static uint8_t width_of(const int64_t *values, size_t count) {
  uint64_t bits = 0;
  for (size_t i = 0; i < count; i++) bits |= (uint64_t)(values[i] ^ (values[i] >> 63));
  return bits >> 31 ? 8 : bits >> 15 ? 4 : bits >> 7 ? 2 : 1;
}

static void write_number(struct writer *w, int64_t value, unsigned width) {
  uint8_t bytes[8];
  for (unsigned i = 0; i < width; i++) bytes[i] = (uint8_t)((uint64_t)value >> (8 * i));
  write_bytes(w, bytes, width);
}

static int64_t number_at(const uint8_t *bytes, unsigned width) {
  uint64_t value = 0;
  for (unsigned i = 0; i < width; i++) value |= (uint64_t)bytes[i] << (8 * i);
  return ring_signed(value, 8 * width);
}

/* ---- writing ---- */

/* Everything behind the magic and in front of the hash. */
static void write_body(struct writer *w, const struct canaries *c, unsigned input_width, unsigned answer_width) {
  write_u8(w, (uint8_t)input_width);
  write_u8(w, (uint8_t)answer_width);
  write_bytes(w, c->manifest_hash, sizeof c->manifest_hash);
  write_bytes(w, c->certificate, sizeof c->certificate);
  write_bytes(w, c->model_id, sizeof c->model_id);
  write_string(w, c->audited_utc);
  write_f64(w, c->min_accuracy);
  write_u64(w, c->audited);
  write_u64(w, c->wrong);
  write_u32(w, (uint32_t)c->class_count);
  for (size_t i = 0; i < c->class_count; i++) {
    write_u32(w, c->classes[i].label);
    write_u64(w, c->classes[i].samples);
    write_u64(w, c->classes[i].wrong);
  }
  write_u64(w, c->rows);
  write_u32(w, (uint32_t)c->input_size);
  write_u32(w, (uint32_t)c->answer_size);
  for (size_t i = 0; i < c->audited; i++) write_u32(w, c->labels[i]);
  for (size_t row = 0; row < c->rows; row++) {
    for (size_t i = 0; i < c->input_size; i++) write_number(w, c->inputs[row * c->input_size + i], input_width);
    for (size_t i = 0; i < c->answer_size; i++) write_number(w, c->answers[row * c->answer_size + i], answer_width);
  }
}

fusion_status canaries_encode(const struct canaries *c, uint8_t **bytes, size_t *len) {
  const unsigned input_width = width_of(c->inputs, c->rows * c->input_size);
  const unsigned answer_width = width_of(c->answers, c->rows * c->answer_size);
  size_t need;
  uint8_t hash[HASH_LEN];
  *bytes = NULL;
  *len = 0;
  if (!size_mul(c->rows, c->input_size * input_width + c->answer_size * answer_width, &need) ||
      !size_add(need, (size_t)c->audited * 4 + c->class_count * CLASS_LEN, &need) ||
      !size_add(need, FIXED_LEN + SIZES_LEN + CANARY_TIME_LEN + HASH_LEN, &need))
    return FUSION_E_MEMORY;
  struct writer w = {.data = malloc(need), .capacity = need}; /* never moved: nothing is left behind unwiped */
  w.failed = !w.data;
  write_bytes(&w, magic, sizeof magic);
  write_u32(&w, VERSION);
  write_body(&w, c, input_width, answer_width);
  if (!w.failed) crypto_generichash(hash, sizeof hash, w.data, w.len, NULL, 0);
  write_bytes(&w, hash, sizeof hash);
  if (!w.failed && (*bytes = mem_alloc(w.len, 1))) {
    memcpy(*bytes, w.data, w.len);
    *len = w.len;
  }
  if (w.data) mem_wipe(w.data, w.len);
  writer_free(&w);
  return *bytes ? FUSION_OK : FUSION_E_MEMORY;
}

/* ---- reading ---- */

static bool is_plain(const char *text) {
  for (; *text; text++)
    if (*text < 0x20 || *text > 0x7e) return false;
  return true;
}

static bool is_width(unsigned width) {
  return width == 1 || width == 2 || width == 4 || width == 8;
}

/* Classes: by rising label, and together all of the audit. */
static fusion_status read_classes(struct canaries *c, struct reader *r) {
  uint64_t samples = 0, wrong = 0;
  if (c->class_count > reader_left(r) / CLASS_LEN) return FUSION_E_INPUT;
  c->classes = mem_alloc(c->class_count, sizeof *c->classes);
  if (!c->classes) return FUSION_E_MEMORY;
  for (size_t i = 0; i < c->class_count; i++) {
    struct canary_class *k = &c->classes[i];
    k->label = read_u32(r);
    k->samples = read_u64(r);
    k->wrong = read_u64(r);
    if (r->failed || (i && k->label <= k[-1].label)) return FUSION_E_INPUT;
    if (!k->samples || k->samples > c->audited || k->wrong > k->samples) return FUSION_E_INPUT;
    samples += k->samples; /* at most 2^32 times 2^32 below 2^64: class_count is below 2^32, audited at most 2^32 */
    wrong += k->wrong;
    if (samples > c->audited) return FUSION_E_INPUT;
  }
  return samples == c->audited && wrong == c->wrong ? FUSION_OK : FUSION_E_INPUT;
}

static fusion_status read_head(struct canaries *c, struct reader *r) {
  read_bytes(r, c->manifest_hash, sizeof c->manifest_hash);
  read_bytes(r, c->certificate, sizeof c->certificate);
  read_bytes(r, c->model_id, sizeof c->model_id);
  read_string(r, c->audited_utc, sizeof c->audited_utc);
  c->min_accuracy = read_f64(r);
  c->audited = read_u64(r);
  c->wrong = read_u64(r);
  c->class_count = read_u32(r);
  if (r->failed || !is_plain(c->audited_utc) || !(c->min_accuracy > 0 && c->min_accuracy <= 1)) return FUSION_E_INPUT;
  if (!c->audited || c->audited > CANARY_ROWS_MAX || c->wrong > c->audited) return FUSION_E_INPUT;
  return read_classes(c, r);
}

/* Nothing is taken that the bytes have not room for. */
static fusion_status read_rows(struct canaries *c, struct reader *r, unsigned input_width, unsigned answer_width) {
  const uint64_t rows = read_u64(r);
  const uint32_t inputs = read_u32(r), answers = read_u32(r);
  const uint64_t row_len = (uint64_t)inputs * input_width + (uint64_t)answers * answer_width;
  if (r->failed || !inputs || !answers || inputs > CANARY_ROW_MAX || answers > CANARY_ROW_MAX) return FUSION_E_INPUT;
  if (rows < c->audited || rows > CANARY_ROWS_MAX) return FUSION_E_INPUT;
  if (reader_left(r) < c->audited * 4 || (reader_left(r) - c->audited * 4) / row_len != rows ||
      (reader_left(r) - c->audited * 4) % row_len)
    return FUSION_E_INPUT;
  c->labels = mem_alloc((size_t)c->audited, sizeof *c->labels);
  c->inputs = mem_alloc((size_t)rows * inputs, sizeof *c->inputs);
  c->answers = mem_alloc((size_t)rows * answers, sizeof *c->answers);
  if (!c->labels || !c->inputs || !c->answers) return FUSION_E_MEMORY;
  c->rows = (size_t)rows;
  c->input_size = inputs;
  c->answer_size = answers;
  for (size_t i = 0; i < c->audited; i++) c->labels[i] = read_u32(r);
  for (size_t row = 0; row < rows; row++) {
    const uint8_t *at = read_span(r, (size_t)row_len);
    for (size_t i = 0; i < inputs; i++, at += input_width) c->inputs[row * inputs + i] = number_at(at, input_width);
    for (size_t i = 0; i < answers; i++, at += answer_width)
      c->answers[row * answers + i] = number_at(at, answer_width);
  }
  return reader_done(r) ? FUSION_OK : FUSION_E_INPUT;
}

static fusion_status damaged(const char *name, fusion_error *err) {
  return error_set(err, FUSION_E_INPUT, "'%s': this canary file is cut short or altered; audit again", name);
}

fusion_status canaries_decode(struct canaries *c, const char *name, const uint8_t *bytes, size_t len,
                              fusion_error *err) {
  uint8_t hash[HASH_LEN];
  *c = (struct canaries){.rows = 0};
  struct reader r = reader_of(bytes, len);
  const uint8_t *start = read_span(&r, sizeof magic);
  if (!start || memcmp(start, magic, sizeof magic) != 0)
    return error_set(err, FUSION_E_INPUT, "'%s': not a canary file; 'fusion audit' makes one", name);
  const uint32_t version = read_u32(&r);
  if (!r.failed && version != VERSION)
    return error_set(err, FUSION_E_INPUT, "'%s': this canary file was made by another version of fusion; audit again",
                     name);
  if (r.failed || reader_left(&r) < HASH_LEN) return damaged(name, err);
  crypto_generichash(hash, sizeof hash, bytes, len - HASH_LEN, NULL, 0);
  if (memcmp(hash, bytes + len - HASH_LEN, HASH_LEN) != 0) return damaged(name, err);
  r.len -= HASH_LEN;
  const unsigned input_width = read_u8(&r), answer_width = read_u8(&r);
  fusion_status status = is_width(input_width) && is_width(answer_width) ? read_head(c, &r) : FUSION_E_INPUT;
  if (status == FUSION_OK) status = read_rows(c, &r, input_width, answer_width);
  if (status == FUSION_OK) return status;
  canaries_free(c);
  if (status == FUSION_E_MEMORY) return error_set(err, status, "'%s': out of memory for the canaries", name);
  return damaged(name, err);
}
