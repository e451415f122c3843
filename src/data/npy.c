/* The .npy format, versions 1 to 3: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
#include <inttypes.h>
#include <stdio.h>

#include "base/cursor.h"
#include "data/data.h"

static const char magic[6] = {(char)0x93, 'N', 'U', 'M', 'P', 'Y'};

static const struct {
  char code[3];
  fusion_type type;
} codes[] = {
    {"b1", FUSION_BOOL}, {"u1", FUSION_U8},  {"u2", FUSION_U16}, {"u4", FUSION_U32},
    {"u8", FUSION_U64},  {"i1", FUSION_I8},  {"i2", FUSION_I16}, {"i4", FUSION_I32},
    {"i8", FUSION_I64},  {"f2", FUSION_F16}, {"f4", FUSION_F32}, {"f8", FUSION_F64},
};
enum { CODE_COUNT = sizeof codes / sizeof codes[0] };

/* The header is a Python dictionary literal: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } */

struct text {
  const char *at, *end;
};

static void skip_spaces(struct text *t) {
  while (t->at < t->end && (*t->at == ' ' || *t->at == '\n')) t->at++;
}

static bool take(struct text *t, const char *word) {
  skip_spaces(t);
  const size_t len = strlen(word);
  if ((size_t)(t->end - t->at) < len || memcmp(t->at, word, len) != 0) return false;
  t->at += len;
  return true;
}

/** A quoted string without escapes, borrowed. */
static bool take_string(struct text *t, const char **out, size_t *len) {
  skip_spaces(t);
  if (t->at == t->end || (*t->at != '\'' && *t->at != '"')) return false;
  const char quote = *t->at;
  *out = t->at + 1;
  const char *close = memchr(*out, quote, (size_t)(t->end - *out));
  if (!close) return false;
  *len = (size_t)(close - *out);
  t->at = close + 1;
  return true;
}

static bool take_size(struct text *t, size_t *out) {
  skip_spaces(t);
  const char *start = t->at;
  *out = 0;
  for (; t->at < t->end && *t->at >= '0' && *t->at <= '9'; t->at++)
    if (!size_mul(*out, 10, out) || !size_add(*out, (size_t)(*t->at - '0'), out)) return false;
  return t->at > start;
}

static bool take_shape(struct text *t, struct npy_header *h) {
  if (!take(t, "(")) return false;
  for (h->rank = 0; !take(t, ")"); h->rank++) {
    if (h->rank == FUSION_RANK_MAX || !take_size(t, &h->shape[h->rank])) return false;
    const bool comma = take(t, ",");
    if (!comma) {
      h->rank++;
      return take(t, ")");
    }
  }
  return true;
}

static fusion_status set_type(struct npy_header *h, const char *descr, size_t len, const char *path,
                              fusion_error *err) {
  for (size_t i = 0; len == 3 && strchr("<|=>", descr[0]) && i < CODE_COUNT; i++) {
    if (memcmp(codes[i].code, descr + 1, 2) != 0) continue;
    h->type = codes[i].type;
    h->big_endian = descr[0] == '>';
    return FUSION_OK;
  }
  return error_set(
      err, FUSION_E_INPUT,
      "'%s': elements of type '%.*s' are not supported; save it with .astype('float32') or .astype('int64')", path,
      (int)size_min(len, 16), descr);
}

static fusion_status parse_dictionary(struct npy_header *h, struct text t, const char *path, fusion_error *err) {
  enum { DESCR = 1, ORDER = 2, SHAPE = 4 };
  unsigned seen = 0;
  const char *key, *descr;
  size_t key_len, descr_len;
  bool well_formed = take(&t, "{");
  while (well_formed && !take(&t, "}")) {
    well_formed = take_string(&t, &key, &key_len) && take(&t, ":");
    if (well_formed && key_len == 5 && memcmp(key, "descr", 5) == 0) {
      if (!take_string(&t, &descr, &descr_len))
        return error_set(err, FUSION_E_INPUT, "'%s': structured elements are not supported; save one field", path);
      const fusion_status status = set_type(h, descr, descr_len, path, err);
      if (status != FUSION_OK) return status;
      seen |= DESCR;
    } else if (well_formed && key_len == 13 && memcmp(key, "fortran_order", 13) == 0) {
      h->fortran = take(&t, "True");
      well_formed = h->fortran || take(&t, "False");
      seen |= ORDER;
    } else {
      well_formed = well_formed && key_len == 5 && memcmp(key, "shape", 5) == 0 && take_shape(&t, h);
      seen |= SHAPE;
    }
    if (well_formed && !take(&t, ",")) {
      well_formed = take(&t, "}");
      break;
    }
  }
  if (!well_formed || seen != (DESCR | ORDER | SHAPE))
    return error_set(err, FUSION_E_INPUT, "'%s': its .npy header is damaged or has more than %d axes", path,
                     FUSION_RANK_MAX);
  return FUSION_OK;
}

fusion_status npy_header_parse(struct npy_header *out, const uint8_t *bytes, size_t len, const char *path,
                               fusion_error *err) {
  *out = (struct npy_header){.rank = 0};
  struct reader r = reader_of(bytes, len);
  const uint8_t *start = read_span(&r, sizeof magic);
  if (!start || memcmp(start, magic, sizeof magic) != 0)
    return error_set(err, FUSION_E_INPUT, "'%s': is not a .npy file (its first bytes are wrong)", path);
  const uint8_t major = read_u8(&r);
  read_u8(&r);
  if (major < 1 || major > 3) return error_set(err, FUSION_E_INPUT, "'%s': .npy version %u is unknown", path, major);
  const size_t text_len = major == 1 ? read_u16(&r) : read_u32(&r);
  const char *text = (const char *)read_span(&r, text_len);
  if (!text) return error_set(err, FUSION_E_INPUT, "'%s': the file ends within its .npy header", path);
  out->data_offset = r.pos;
  return parse_dictionary(out, (struct text){text, text + text_len}, path, err);
}

fusion_status npy_array_for(fusion_array **out, const struct npy_header *h, uint64_t data_len, const char *path,
                            fusion_error *err) {
  size_t len = fusion_type_len(h->type);
  bool fits = true;
  for (size_t i = 0; i < h->rank; i++) fits = size_mul(len, h->shape[i], &len) && fits;
  if (!fits || len != data_len)
    return error_set(err, FUSION_E_INPUT, "'%s': its header promises %s%zu bytes of data, but %" PRIu64 " are there",
                     path, fits ? "" : "more than ", fits ? len : SIZE_MAX, data_len);
  const fusion_status status = fusion_array_create(out, h->type, h->rank, h->shape, NULL);
  return status == FUSION_OK ? status : error_set(err, status, "'%s': no memory for %zu bytes", path, len);
}

static void swap_bytes(fusion_array *a) {
  const size_t len = fusion_type_len(a->type);
  for (uint8_t *at = a->data; at < a->data + a->len; at += len)
    for (size_t i = 0; i < len / 2; i++) {
      const uint8_t kept = at[i];
      at[i] = at[len - 1 - i];
      at[len - 1 - i] = kept;
    }
}

fusion_status npy_reorder(fusion_array *a, const struct npy_header *h) {
  if (h->big_endian) swap_bytes(a);
  if (!h->fortran || a->rank < 2 || !a->count) return FUSION_OK;
  const size_t len = fusion_type_len(a->type);
  uint8_t *from = mem_alloc(a->len, 1);
  if (!from) return FUSION_E_MEMORY;
  memcpy(from, a->data, a->len);
  size_t index[FUSION_RANK_MAX] = {0};
  for (size_t i = 0; i < a->count; i++) {
    size_t source = 0; /* first axis fastest */
    for (size_t axis = a->rank; axis-- > 0;) source = source * a->shape[axis] + index[axis];
    memcpy(a->data + i * len, from + source * len, len);
    for (size_t axis = a->rank; axis-- > 0 && ++index[axis] == a->shape[axis];) index[axis] = 0;
  }
  mem_free_secret(from, a->len);
  return FUSION_OK;
}

fusion_status npy_load(fusion_array **out, const char *path, fusion_error *err) {
  struct input_file f;
  fusion_status status = input_open(&f, path, err);
  if (status != FUSION_OK) return status;
  fusion_array *a = NULL;
  struct npy_header h;
  const size_t head_len = (size_t)(f.len < NPY_HEADER_MAX ? f.len : NPY_HEADER_MAX);
  uint8_t *head = mem_alloc(head_len, 1);
  FAIL_IF(!head, FUSION_E_MEMORY);
  TRY(input_read(&f, 0, head, head_len, err));
  TRY(npy_header_parse(&h, head, head_len, path, err));
  TRY(npy_array_for(&a, &h, f.len - h.data_offset, path, err));
  TRY(input_read(&f, h.data_offset, a->data, a->len, err));
  TRY(npy_reorder(a, &h));
cleanup:
  input_close(&f);
  mem_free(head);
  if (status != FUSION_OK)
    fusion_array_free(a);
  else
    *out = a;
  return status;
}

fusion_status fusion_files_add_npy(fusion_files *files, const char *path, const fusion_array *a, fusion_error *err) {
  enum { ALIGNMENT = 64, PREFIX = 10, TEXT_MAX = 512 };
  char head[PREFIX + TEXT_MAX], shape[24 * FUSION_RANK_MAX + 1] = "";
  size_t at = 0;
  for (size_t i = 0; i < a->rank; i++)
    at += (size_t)snprintf(shape + at, sizeof shape - at, "%zu,%s", a->shape[i], i + 1 < a->rank ? " " : "");
  if (a->rank > 1) shape[at - 1] = 0;
  const char *code = "";
  for (size_t i = 0; i < CODE_COUNT; i++)
    if (codes[i].type == a->type) code = codes[i].code;
  const int text = snprintf(head + PREFIX, TEXT_MAX, "{'descr': '%c%s', 'fortran_order': False, 'shape': (%s), }",
                            fusion_type_len(a->type) == 1 ? '|' : '<', code, shape);
  const size_t len = div_up(PREFIX + (size_t)text + 1, ALIGNMENT) * ALIGNMENT;
  memset(head + PREFIX + text, ' ', len - PREFIX - (size_t)text);
  head[len - 1] = '\n';
  memcpy(head, magic, sizeof magic);
  head[6] = 1;
  head[7] = 0;
  head[8] = (char)((len - PREFIX) & 255);
  head[9] = (char)((len - PREFIX) >> 8);
  const struct file_part parts[] = {{head, len}, {a->data, a->len}};
  return files_add(files, path, parts, 2, err);
}

fusion_status fusion_array_save_npy(const fusion_array *a, const char *path, fusion_error *err) {
  fusion_files *files;
  fusion_status status = fusion_files_create(&files, err);
  if (status != FUSION_OK) return status;
  status = fusion_files_add_npy(files, path, a, err);
  if (status == FUSION_OK) status = fusion_files_place(files, err);
  fusion_files_free(files);
  return status;
}
