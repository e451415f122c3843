/* Getting an ONNX file into memory: the file, its protobuf tree and its tensors. Everything that the file states is
 * checked here before memory is taken for it: nesting and number of messages before unpacking, sizes before copying. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cursor.h"
#include "reader/onnx_import.h"

enum {
  MAX_FILE_LEN = INT32_MAX, /* protobuf's own limit */
  MAX_MESSAGE_DEPTH = 24,   /* protobuf-c recurses once a level */
  MAX_MESSAGES = 1 << 22,   /* an empty message takes 2 bytes in the file but some hundred in memory */
};

/* A walk over the wire format along the schema, for depth and number of messages. */
struct scan {
  size_t messages;
};

static bool scan_varint(struct reader *r, uint64_t *out) {
  uint64_t v = 0;
  for (unsigned shift = 0; shift < 70; shift += 7) {
    const uint8_t byte = read_u8(r);
    if (shift < 64) v |= (uint64_t)(byte & 0x7f) << shift;
    if (!(byte & 0x80)) {
      *out = v;
      return !r->failed;
    }
  }
  return false;
}

static bool scan_message(struct scan *s, struct reader r, const ProtobufCMessageDescriptor *type, unsigned depth);

static bool scan_delimited(struct scan *s, struct reader *r, const ProtobufCFieldDescriptor *field, unsigned depth) {
  uint64_t len;
  if (!scan_varint(r, &len) || len > reader_left(r)) return false;
  const uint8_t *span = read_span(r, (size_t)len);
  if (!field || field->type != PROTOBUF_C_TYPE_MESSAGE) return true;
  return scan_message(s, reader_of(span, (size_t)len), field->descriptor, depth + 1);
}

static bool scan_message(struct scan *s, struct reader r, const ProtobufCMessageDescriptor *type, unsigned depth) {
  if (depth > MAX_MESSAGE_DEPTH || ++s->messages > MAX_MESSAGES) return false;
  while (reader_left(&r)) {
    uint64_t key, skipped;
    if (!scan_varint(&r, &key) || key >> 3 > UINT32_MAX) return false;
    bool ok = false;
    switch (key & 7) {
      case 0: ok = scan_varint(&r, &skipped); break;
      case 1: ok = read_span(&r, 8) != NULL; break;
      case 2:
        ok = scan_delimited(s, &r, protobuf_c_message_descriptor_get_field(type, (unsigned)(key >> 3)), depth);
        break;
      case 5: ok = read_span(&r, 4) != NULL; break;
      default: break;
    }
    if (!ok) return false;
  }
  return !r.failed;
}

bool onnx_scan(const uint8_t *data, size_t len, const ProtobufCMessageDescriptor *type) {
  struct scan scan = {0};
  return scan_message(&scan, reader_of(data, len), type, 0);
}

static fusion_status unpack(struct importer *im, const uint8_t *data, size_t len) {
  struct scan scan = {0};
  if (len && scan_message(&scan, reader_of(data, len), &onnx__model_proto__descriptor, 0))
    im->model = onnx__model_proto__unpack(NULL, len, data);
  if (im->model && im->model->graph) return FUSION_OK;
  return error_set(im->err, FUSION_E_MODEL, "'%s' is not a valid ONNX file%s; export it again", im->path,
                   scan.messages > MAX_MESSAGES ? " (too many parts)" : "");
}

static fusion_status read_at(int fd, uint64_t offset, uint8_t *out, size_t len) {
  while (len) {
    const ssize_t got = pread(fd, out, size_min(len, 1 << 30), (off_t)offset);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return got < 0 ? FUSION_E_IO : FUSION_E_MODEL;
    out += got;
    len -= (size_t)got;
    offset += (uint64_t)got;
  }
  return FUSION_OK;
}

/* Read rather than mapped: another process may change the file between the checks and the reading. */
static fusion_status load_open(struct importer *im, int fd) {
  struct stat info;
  if (fstat(fd, &info)) return error_set(im->err, FUSION_E_IO, "'%s': %s", im->path, strerror(errno));
  if (!S_ISREG(info.st_mode)) return error_set(im->err, FUSION_E_IO, "'%s' is not a file; name an ONNX file", im->path);
  if (info.st_size > MAX_FILE_LEN)
    return error_set(im->err, FUSION_E_UNSUPPORTED,
                     "'%s' is larger than 2 GB; export it with its weights as external data", im->path);
  const size_t len = (size_t)info.st_size;
  uint8_t *data = malloc(size_max(len, 1)); /* as large as the model: not cleared before it is filled */
  if (!data) return error_set(im->err, FUSION_E_MEMORY, "'%s': out of memory", im->path);
  fusion_status status = read_at(fd, 0, data, len);
  if (status == FUSION_OK)
    status = unpack(im, data, len);
  else
    error_set(im->err, status, "'%s' could not be read to its end; try again", im->path);
  free(data);
  return status;
}

fusion_status onnx_load(struct importer *im) {
  const int fd = open(im->path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return error_set(im->err, FUSION_E_IO, "'%s': %s", im->path, strerror(errno));
  const fusion_status status = load_open(im, fd);
  close(fd);
  return status;
}

/* Bytes of an element as the file holds it, little-endian; 0 for a type that is not read. */
static size_t element_len(int32_t type) {
  switch (type) {
    case TYPE_UINT4: /* with another */
    case TYPE_INT4:
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT8:
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT8:
    case ONNX__TENSOR_PROTO__DATA_TYPE__BOOL: return 1;
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16:
    case ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16:
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT16:
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT16: return 2;
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT32:
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT32: return 4;
    case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE:
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT64: return 8;
    default: return 0;
  }
}

/* Two elements of 4 bits share a byte, the first in its low half. */
static bool is_packed(int32_t type) {
  return type == TYPE_UINT4 || type == TYPE_INT4;
}

static size_t elements_len(int32_t type, size_t count) {
  return is_packed(type) ? (count + 1) / 2 : count * element_len(type);
}

static float float_of_bits(uint32_t bits) {
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

/* IEEE 754 binary16. */
static float float_of_half(uint16_t h) {
  const uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, fraction = h & 0x3ff;
  if (exponent == 31) return float_of_bits(sign | 0x7f800000 | fraction << 13);
  if (exponent) return float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
  const float small = (float)fraction * 0x1p-24f;
  return sign ? -small : small;
}

static float real_of(int32_t type, uint64_t bits) {
  if (type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT) return float_of_bits((uint32_t)bits);
  if (type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16) return float_of_half((uint16_t)bits);
  if (type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16) return float_of_bits((uint32_t)(bits & 0xffff) << 16);
  double v;
  memcpy(&v, &bits, sizeof v);
  return (float)v;
}

static void store(struct tensor *t, size_t index, int32_t type, uint64_t bits) {
  if (t->i) t->i[index] = integer_wrap(type, bits);
  if (t->f) t->f[index] = real_of(type, bits);
}

static void from_raw(struct tensor *t, int32_t type, const uint8_t *data) {
  const size_t len = element_len(type), count = dims_size(&t->dims);
  if (type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__) {
    if (count) memcpy(t->f, data, count * sizeof *t->f);
    return;
  }
  for (size_t i = 0; i < count; i++) {
    uint64_t bits = 0;
    if (is_packed(type)) {
      store(t, i, type, (uint64_t)data[i / 2] >> (i % 2 * 4));
      continue;
    }
    for (size_t b = 0; b < len; b++) bits |= (uint64_t)data[i * len + b] << (8 * b);
    store(t, i, type, bits);
  }
}

/* The typed field that this element type is kept in when there is no raw data. False when it holds another number. */
static bool from_fields(struct tensor *t, const Onnx__TensorProto *p) {
  const size_t count = dims_size(&t->dims);
  switch (p->data_type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
      if (p->n_float_data != count) return false;
      if (count) memcpy(t->f, p->float_data, count * sizeof *t->f);
      return true;
    case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE:
      if (p->n_double_data != count) return false;
      for (size_t i = 0; i < count; i++) t->f[i] = (float)p->double_data[i];
      return true;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
      if (p->n_int64_data != count) return false;
      if (count) memcpy(t->i, p->int64_data, count * sizeof *t->i);
      return true;
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT32:
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT64:
      if (p->n_uint64_data != count) return false;
      for (size_t i = 0; i < count; i++) store(t, i, p->data_type, p->uint64_data[i]);
      return true;
    case TYPE_UINT4:
    case TYPE_INT4:
      if (p->n_int32_data != (count + 1) / 2) return false;
      for (size_t i = 0; i < count; i++) store(t, i, p->data_type, (uint64_t)p->int32_data[i / 2] >> (i % 2 * 4));
      return true;
    default:
      if (p->n_int32_data != count) return false;
      for (size_t i = 0; i < count; i++) store(t, i, p->data_type, (uint64_t)(int64_t)p->int32_data[i]);
      return true;
  }
}

/* Where external data lies. Only files beside or below the model are opened. */
struct external {
  const char *location;
  uint64_t offset, len;
  bool has_len;
};

static bool parse_number(const char *text, uint64_t *out) {
  uint64_t v = 0;
  if (!text || !*text) return false;
  for (; *text; text++) {
    if (*text < '0' || *text > '9' || v > (UINT64_MAX >> 1) / 10 - 1) return false;
    v = 10 * v + (uint64_t)(*text - '0');
  }
  *out = v;
  return true;
}

static bool parse_external(const Onnx__TensorProto *p, struct external *e) {
  for (size_t i = 0; i < p->n_external_data; i++) {
    const Onnx__StringStringEntryProto *entry = p->external_data[i];
    if (!entry->key || !entry->value) return false;
    if (!strcmp(entry->key, "location")) e->location = entry->value;
    if (!strcmp(entry->key, "offset") && !parse_number(entry->value, &e->offset)) return false;
    if (!strcmp(entry->key, "length")) {
      if (!parse_number(entry->value, &e->len)) return false;
      e->has_len = true;
    }
  }
  return e->location && e->location[0] && e->location[0] != '/' && !strstr(e->location, "..");
}

static fusion_status read_file_part(const struct importer *im, const char *path, uint64_t offset, uint8_t *out,
                                    size_t len) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return error_set(im->err, FUSION_E_IO, "'%s', external data of '%s': %s", path, im->path, strerror(errno));
  const fusion_status status = read_at(fd, offset, out, len);
  close(fd);
  if (status == FUSION_OK) return FUSION_OK;
  return error_set(im->err, status, "'%s', external data of '%s', is too short; copy it again", path, im->path);
}

static fusion_status from_external(const struct importer *im, struct tensor *t, const Onnx__TensorProto *p) {
  struct external e = {0};
  char path[PATH_MAX], name[64];
  name_for_print(name, p->name);
  const size_t len = elements_len(p->data_type, dims_size(&t->dims));
  const char *slash = strrchr(im->path, '/');
  const int folder = slash ? (int)size_min((size_t)(slash + 1 - im->path), PATH_MAX) : 0;
  if (!parse_external(p, &e) || (e.has_len && e.len != len) || e.offset > INT64_MAX / 2 ||
      snprintf(path, sizeof path, "%.*s%s", folder, im->path, e.location) >= PATH_MAX)
    return error_set(
        im->err, FUSION_E_MODEL,
        "'%s': the external data of tensor '%s' has a wrong description; it must name a file beside the model "
        "and the tensor's own length",
        im->path, name);
  uint8_t *data = mem_alloc(len, 1);
  if (!data) return error_set(im->err, FUSION_E_MEMORY, "'%s': out of memory", im->path);
  const fusion_status status = read_file_part(im, path, e.offset, data, len);
  if (status == FUSION_OK) from_raw(t, p->data_type, data);
  mem_free(data);
  return status;
}

static fusion_status tensor_fill(const struct importer *im, struct tensor *t, const Onnx__TensorProto *p) {
  if (p->has_data_location && p->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
    return from_external(im, t, p);
  bool ok = false;
  if (p->has_raw_data) {
    ok = p->raw_data.len == elements_len(p->data_type, dims_size(&t->dims));
    if (ok) from_raw(t, p->data_type, p->raw_data.data);
  }
  if (!p->has_raw_data) ok = from_fields(t, p);
  if (ok) return FUSION_OK;
  char name[64];
  name_for_print(name, p->name);
  return error_set(im->err, FUSION_E_MODEL,
                   "'%s': tensor '%s' does not hold as much data as its shape says; export it again", im->path, name);
}

/* The protobuf message's own bytes become the tensor, where they are floats in this machine's order: large weights are
 * not held twice. False when they do not fit that, or memory is out. */
static bool tensor_take_raw(Onnx__TensorProto *p, const struct dims *dims, struct tensor **out) {
  const bool external = p->has_data_location && p->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
  if (p->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT || !p->has_raw_data || external || !p->raw_data.data ||
      p->raw_data.len != dims_size(dims) * sizeof(float) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
    return false;
  struct tensor *t = mem_alloc(1, sizeof *t);
  if (!t) return false;
  *t = (struct tensor){.dims = *dims, .type = p->data_type, .f = (void *)p->raw_data.data};
  p->raw_data = (ProtobufCBinaryData){0};
  *out = t;
  return true;
}

fusion_status tensor_from_proto(const struct importer *im, Onnx__TensorProto *p, struct tensor **out) {
  char name[64];
  name_for_print(name, p->name);
  if (element_len(p->data_type) == 0 || p->segment)
    return error_set(
        im->err, FUSION_E_UNSUPPORTED,
        "'%s': tensor '%s' has elements of type %s (%d), which is not supported; export with float weights", im->path,
        name, type_name(p->data_type), p->data_type);
  struct dims dims = {0};
  for (size_t i = 0; i < p->n_dims; i++) {
    if (p->dims[i] < 0)
      return error_set(im->err, FUSION_E_MODEL, "'%s': tensor '%s' has a negative dimension (%lld); export it again",
                       im->path, name, (long long)p->dims[i]);
    if (!dims_push(&dims, (uint64_t)p->dims[i]))
      return error_set(im->err, FUSION_E_MODEL, "'%s': tensor '%s' is too large: at most %d elements and %d dimensions",
                       im->path, name, MODEL_MAX_TENSOR, MAX_RANK);
  }
  /* What the file must hold is compared before memory is taken for it. */
  const size_t count = dims_size(&dims);
  const bool external = p->has_data_location && p->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
  const size_t held = p->has_raw_data
                          ? p->raw_data.len
                          : p->n_float_data + p->n_int32_data + p->n_int64_data + p->n_double_data + p->n_uint64_data;
  if (!external && held < (is_packed(p->data_type) ? (count + 1) / 2 : count))
    return error_set(im->err, FUSION_E_MODEL, "'%s': tensor '%s' holds less data than its shape says; export it again",
                     im->path, name);
  if (!im->shared && tensor_take_raw(p, &dims, out)) return FUSION_OK;
  struct tensor *t = tensor_alloc(&dims, p->data_type);
  if (!t) return error_set(im->err, FUSION_E_MEMORY, "'%s': out of memory", im->path);
  const fusion_status status = tensor_fill(im, t, p);
  if (status == FUSION_OK)
    *out = t;
  else
    tensor_free(t);
  return status;
}
