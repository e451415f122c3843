/* The array itself: shape, elements, conversion. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "data/data.h"

static const struct {
  const char *name;
  size_t len;
} types[] = {
    [FUSION_BOOL] = {"bool", 1},   [FUSION_U8] = {"uint8", 1},    [FUSION_U16] = {"uint16", 2},
    [FUSION_U32] = {"uint32", 4},  [FUSION_U64] = {"uint64", 8},  [FUSION_I8] = {"int8", 1},
    [FUSION_I16] = {"int16", 2},   [FUSION_I32] = {"int32", 4},   [FUSION_I64] = {"int64", 8},
    [FUSION_F16] = {"float16", 2}, [FUSION_F32] = {"float32", 4}, [FUSION_F64] = {"float64", 8},
};
enum { TYPE_COUNT = sizeof types / sizeof types[0] };

size_t fusion_type_len(fusion_type type) {
  return (unsigned)type < TYPE_COUNT ? types[type].len : 0;
}
const char *fusion_type_name(fusion_type type) {
  return (unsigned)type < TYPE_COUNT ? types[type].name : "?";
}

/* An array without its elements. FUSION_E_MEMORY also when there would be too many. */
static fusion_status array_begin(fusion_array **out, fusion_type type, size_t rank, const size_t *shape) {
  *out = NULL;
  if ((unsigned)type >= TYPE_COUNT || rank > FUSION_RANK_MAX) return FUSION_E_USAGE;
  fusion_array *a = mem_alloc(1, sizeof *a);
  if (!a) return FUSION_E_MEMORY;
  a->type = type;
  a->rank = rank;
  a->count = 1;
  bool fits = true;
  for (size_t i = 0; i < rank; i++) {
    a->shape[i] = shape[i];
    fits = fits && size_mul(a->count, shape[i], &a->count);
  }
  if (!fits || !size_mul(a->count, fusion_type_len(type), &a->len)) {
    mem_free(a);
    return FUSION_E_MEMORY;
  }
  *out = a;
  return FUSION_OK;
}

fusion_status fusion_array_create(fusion_array **out, fusion_type type, size_t rank, const size_t *shape,
                                  const void *data) {
  const fusion_status status = array_begin(out, type, rank, shape);
  if (status != FUSION_OK) return status;
  fusion_array *a = *out;
  a->data = mem_alloc(a->len, 1);
  if (!a->data) {
    mem_free(a);
    *out = NULL;
    return FUSION_E_MEMORY;
  }
  if (data && a->len) memcpy(a->data, data, a->len);
  return FUSION_OK;
}

fusion_status fusion_array_borrow(fusion_array **out, fusion_type type, size_t rank, const size_t *shape,
                                  const void *data) {
  *out = NULL;
  if (!data) return FUSION_E_USAGE;
  const fusion_status status = array_begin(out, type, rank, shape);
  if (status != FUSION_OK) return status;
  (*out)->data = (uint8_t *)(uintptr_t)data;
  (*out)->borrowed = true;
  return FUSION_OK;
}

void fusion_array_free(fusion_array *a) {
  if (!a) return;
  for (size_t i = 0; a->names && i < a->shape[0]; i++) free(a->names[i]);
  free(a->names);
  free(a->lines);
  free(a->header);
  if (!a->borrowed) mem_free_secret(a->data, a->len);
  mem_free(a);
}

fusion_type fusion_array_type(const fusion_array *a) {
  return a->type;
}
size_t fusion_array_rank(const fusion_array *a) {
  return a->rank;
}
size_t fusion_array_axis(const fusion_array *a, size_t axis) {
  return axis < a->rank ? a->shape[axis] : 1;
}
size_t fusion_array_rows(const fusion_array *a) {
  return fusion_array_axis(a, 0);
}
const char *fusion_array_row_name(const fusion_array *a, size_t row) {
  return a->names && row < a->shape[0] ? a->names[row] : NULL;
}
size_t fusion_array_row_line(const fusion_array *a, size_t row) {
  return a->lines && row < a->shape[0] ? a->lines[row] : 0;
}
const char *fusion_array_header(const fusion_array *a, size_t *line) {
  if (line) *line = a->header_line;
  return a->header;
}

char *array_row_place(const fusion_array *a, size_t row, char out[ROW_PLACE_LEN]) {
  const char *name = a && !a->is_text ? fusion_array_row_name(a, row) : NULL;
  const size_t line = a ? fusion_array_row_line(a, row) : 0;
  if (line)
    snprintf(out, ROW_PLACE_LEN, "line %zu", line);
  else if (name)
    snprintf(out, ROW_PLACE_LEN, "'%.80s'", name);
  else
    snprintf(out, ROW_PLACE_LEN, "row %zu", row);
  for (char *c = out; *c; c++)
    if ((unsigned char)*c < ' ' || (unsigned char)*c >= 127) *c = '?';
  return out;
}

const void *fusion_array_data(const fusion_array *a) {
  return a->data;
}
void *fusion_array_data_mutable(fusion_array *a) {
  return a->borrowed ? NULL : a->data;
}

size_t fusion_array_row_size(const fusion_array *a) {
  size_t size = 1;
  for (size_t i = 1; i < a->rank; i++)
    if (!size_mul(size, a->shape[i], &size)) return 0; /* only beside a zero axis: there are no elements */
  return size;
}

/* Conversion. memcpy keeps the reads defined; compilers turn it into loads. */

static double double_of_bits(uint64_t bits) {
  double v;
  memcpy(&v, &bits, sizeof v);
  return v;
}

/* A float of fewer bits, by its bits: constant flow, and no time that a processor takes for denormals. `fraction_bits`
 * of its fraction lie below `exponent_bits` of its exponent and the sign; `least` is what a fraction of 1 counts in a
 * denormal. */
static double narrow_to_double(uint32_t bits, unsigned fraction_bits, unsigned exponent_bits, double least) {
  const uint64_t fraction = bits & ((UINT32_C(1) << fraction_bits) - 1);
  const uint64_t top = (UINT64_C(1) << exponent_bits) - 1, exponent = bits >> fraction_bits & top;
  const uint64_t sign = (uint64_t)(bits >> (fraction_bits + exponent_bits)) << 63;
  const uint64_t is_denormal = 0 - (uint64_t)(exponent == 0), is_last = 0 - (uint64_t)(exponent == top);
  const uint64_t wide = ((exponent + 1023 - top / 2) & ~is_last) | (0x7ff & is_last);
  const double denormal = (double)(int64_t)fraction * least;
  uint64_t small;
  memcpy(&small, &denormal, sizeof small);
  const uint64_t normal = wide << 52 | fraction << (52 - fraction_bits);
  return double_of_bits(sign | (normal & ~is_denormal) | (small & is_denormal));
}

static double half_to_double(uint16_t h) {
  return narrow_to_double(h, 10, 5, 0x1p-24);
}

static double float_to_double(uint32_t f) {
  return narrow_to_double(f, 23, 8, 0x1p-149);
}

/* Both halves are exact, so that their sum is rounded once. Compilers branch on the sign where they convert a whole. */
static double whole_to_double(uint64_t v) {
  return (double)(int64_t)(v >> 32) * 0x1p32 + (double)(int64_t)(v & UINT32_MAX);
}

static double element_double(const fusion_array *a, size_t i) {
  union {
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    int8_t i8;
    int16_t i16;
    int32_t i32;
    int64_t i64;
    double f64;
  } v;
  const size_t len = types[a->type].len;
  memcpy(&v, a->data + i * len, len);
  switch (a->type) {
    case FUSION_BOOL: return (double)(int)((0 - (uint32_t)v.u8) >> 31); /* a comparison becomes a branch */
    case FUSION_U8: return v.u8;
    case FUSION_U16: return v.u16;
    case FUSION_U32: return v.u32;
    case FUSION_U64: return whole_to_double(v.u64);
    case FUSION_I8: return v.i8;
    case FUSION_I16: return v.i16;
    case FUSION_I32: return v.i32;
    case FUSION_I64: return (double)v.i64;
    case FUSION_F16: return half_to_double(v.u16);
    case FUSION_F32: return float_to_double(v.u32);
    case FUSION_F64: break;
  }
  return v.f64;
}

struct range {
  size_t start, count; /* elements */
};

/** Where the rows lie; false when they do not exist. */
static bool row_range(const fusion_array *a, size_t first, size_t rows, struct range *out, fusion_error *err) {
  const size_t row_size = fusion_array_row_size(a);
  size_t end;
  if (!size_add(first, rows, &end) || end > fusion_array_rows(a)) {
    error_set(err, FUSION_E_USAGE, "rows from %zu on, %zu of them, are asked for, but there are %zu", first, rows,
              fusion_array_rows(a));
    return false;
  }
  *out = (struct range){first * row_size, rows * row_size};
  return true;
}

fusion_status fusion_array_to_double(const fusion_array *a, size_t first, size_t rows, double *out, fusion_error *err) {
  char place[ROW_PLACE_LEN];
  struct range r;
  if (!row_range(a, first, rows, &r, err)) return FUSION_E_USAGE;
  for (size_t i = 0; i < r.count; i++) {
    out[i] = element_double(a, r.start + i);
    if (!isfinite(out[i]))
      return error_set(err, FUSION_E_INPUT, "%s holds %s; give finite numbers",
                       array_row_place(a, first + i / fusion_array_row_size(a), place),
                       isnan(out[i]) ? "NaN" : "an infinity");
  }
  return FUSION_OK;
}

void array_rows_real(const fusion_array *a, size_t first, size_t rows, double *out) {
  struct range r;
  const bool exist = row_range(a, first, rows, &r, NULL);
  assert(exist);
  for (size_t i = 0; exist && i < r.count; i++) out[i] = element_double(a, r.start + i);
}

fusion_status fusion_array_to_int64(const fusion_array *a, size_t first, size_t rows, int64_t *out, fusion_error *err) {
  char place[ROW_PLACE_LEN];
  struct range r;
  if (!row_range(a, first, rows, &r, err)) return FUSION_E_USAGE;
  for (size_t i = 0; i < r.count; i++) {
    if (a->type == FUSION_I64) {
      memcpy(&out[i], a->data + (r.start + i) * sizeof *out, sizeof *out);
      continue;
    }
    const double v = element_double(a, r.start + i);
    if (!(v >= -0x1p63 && v < 0x1p63) || v != floor(v))
      return error_set(err, FUSION_E_INPUT, "%s holds %.9g; give whole numbers of at most 64 bits",
                       array_row_place(a, first + i / fusion_array_row_size(a), place), v);
    out[i] = (int64_t)v;
    if (a->type == FUSION_U64) memcpy(&out[i], a->data + (r.start + i) * sizeof *out, sizeof *out);
  }
  return FUSION_OK;
}
