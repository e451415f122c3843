/* Element types of constants: what each can hold, and arithmetic on integers as the standard defines it. A result wraps
 * at its type's width; division rounds towards zero. */
#include <math.h>

#include "reader/onnx_import.h"

enum type_kind type_kind(int64_t type) {
  switch (type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
    case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE:
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16:
    case ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16: return TYPE_REAL;
    case TYPE_UINT4:
    case TYPE_INT4:
    case ONNX__TENSOR_PROTO__DATA_TYPE__BOOL:
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT8:
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT16:
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT32:
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT8:
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT16:
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT32:
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT64: return TYPE_INTEGER;
    default: return TYPE_UNKNOWN;
  }
}

const char *type_name(int64_t type) {
  static const char *const names[] = {
      "UNDEFINED", "FLOAT",      "UINT8",      "INT8",         "UINT16",         "INT16",      "INT32",
      "INT64",     "STRING",     "BOOL",       "FLOAT16",      "DOUBLE",         "UINT32",     "UINT64",
      "COMPLEX64", "COMPLEX128", "BFLOAT16",   "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ",
      "UINT4",     "INT4",       "FLOAT4E2M1", "FLOAT8E8M0",   "UINT2",          "INT2"};
  return type >= 0 && type < (int64_t)(sizeof names / sizeof names[0]) ? names[type] : "?";
}

int64_t integer_wrap(int64_t type, uint64_t bits) {
  switch (type) {
    case TYPE_UINT4: return (int64_t)(bits & 15);
    case TYPE_INT4: return (int64_t)((bits & 15) ^ 8) - 8;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT8: return (int8_t)bits;
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT8: return (uint8_t)bits;
    case ONNX__TENSOR_PROTO__DATA_TYPE__BOOL: return (bits & 0xff) != 0;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT16: return (int16_t)bits;
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT16: return (uint16_t)bits;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT32: return (int32_t)bits;
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT32: return (uint32_t)bits;
    default: return (int64_t)bits;
  }
}

/* To the nearest number of `digits` binary digits, even ones at ties; below 2^lowest the spacing stays what it is
 * there. */
static float round_digits(float v, int digits, int lowest) {
  int exponent;
  if (!isfinite(v)) return v;
  frexp((double)v, &exponent);
  const double step = ldexp(1, (exponent - 1 < lowest ? lowest : exponent - 1) - (digits - 1));
  return (float)(nearbyint((double)v / step) * step);
}

float real_round(int64_t type, float v) {
  if (type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16) return round_digits(v, 8, -126);
  if (type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16) return v;
  const float half = round_digits(v, 11, -14);
  return half > 65504 ? INFINITY : half < -65504 ? -INFINITY : half;
}

static int64_t add(int64_t a, int64_t b) {
  return (int64_t)((uint64_t)a + (uint64_t)b);
}

static int64_t subtract(int64_t a, int64_t b) {
  return (int64_t)((uint64_t)a - (uint64_t)b);
}

static int64_t multiply(int64_t a, int64_t b) {
  return (int64_t)((uint64_t)a * (uint64_t)b);
}

/* b is not 0 here and below; the smallest number by -1 wraps. */
static int64_t divide(int64_t a, int64_t b) {
  return b == -1 ? subtract(0, a) : a / b;
}

static int64_t divide_unsigned(int64_t a, int64_t b) {
  return (int64_t)((uint64_t)a / (uint64_t)b);
}

/* Sign of the dividend. */
static int64_t remainder_c(int64_t a, int64_t b) {
  return b == -1 ? 0 : a % b;
}

/* Sign of the divisor. */
static int64_t modulo(int64_t a, int64_t b) {
  const int64_t r = remainder_c(a, b);
  return r != 0 && (a < 0) != (b < 0) ? r + b : r;
}

static int64_t modulo_unsigned(int64_t a, int64_t b) {
  return (int64_t)((uint64_t)a % (uint64_t)b);
}

static int64_t power_unsigned(int64_t a, int64_t b) {
  int64_t result = 1;
  for (uint64_t left = (uint64_t)b; left; left >>= 1) {
    if (left & 1) result = multiply(result, a);
    a = multiply(a, a);
  }
  return result;
}

/* A negative exponent gives a fraction, rounded towards zero. */
static int64_t power(int64_t a, int64_t b) {
  if (b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 ? -1 : 1) : 0;
  return power_unsigned(a, b);
}

static int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

static int64_t smaller_unsigned(int64_t a, int64_t b) {
  return (uint64_t)a < (uint64_t)b ? a : b;
}

static int64_t larger(int64_t a, int64_t b) {
  return a > b ? a : b;
}

static int64_t larger_unsigned(int64_t a, int64_t b) {
  return (uint64_t)a > (uint64_t)b ? a : b;
}

static int64_t equal(int64_t a, int64_t b) {
  return a == b;
}

static int64_t less(int64_t a, int64_t b) {
  return a < b;
}

static int64_t less_unsigned(int64_t a, int64_t b) {
  return (uint64_t)a < (uint64_t)b;
}

static int64_t greater(int64_t a, int64_t b) {
  return a > b;
}

static int64_t greater_unsigned(int64_t a, int64_t b) {
  return (uint64_t)a > (uint64_t)b;
}

static int64_t at_least(int64_t a, int64_t b) {
  return a >= b;
}

static int64_t at_least_unsigned(int64_t a, int64_t b) {
  return (uint64_t)a >= (uint64_t)b;
}

static int64_t at_most(int64_t a, int64_t b) {
  return a <= b;
}

static int64_t at_most_unsigned(int64_t a, int64_t b) {
  return (uint64_t)a <= (uint64_t)b;
}

static int64_t both(int64_t a, int64_t b) {
  return a && b;
}

static int64_t either(int64_t a, int64_t b) {
  return a || b;
}

static int64_t one_only(int64_t a, int64_t b) {
  return !a != !b;
}

static int64_t bits_and(int64_t a, int64_t b) {
  return a & b;
}

static int64_t bits_or(int64_t a, int64_t b) {
  return a | b;
}

static int64_t bits_xor(int64_t a, int64_t b) {
  return a ^ b;
}

/* Unsigned types only; a shift by the whole width leaves nothing. */
static int64_t shift_left(int64_t a, int64_t b) {
  return (uint64_t)b < 64 ? (int64_t)((uint64_t)a << b) : 0;
}

static int64_t shift_right(int64_t a, int64_t b) {
  return (uint64_t)b < 64 ? (int64_t)((uint64_t)a >> b) : 0;
}

static const struct integer_op binary_ops[] = {
    {"Add", false, false, add, add},
    {"Sub", false, false, subtract, subtract},
    {"Mul", false, false, multiply, multiply},
    {"Div", true, false, divide, divide_unsigned},
    {"Mod", true, false, modulo, modulo_unsigned},
    {"Fmod", true, false, remainder_c, modulo_unsigned},
    {"Pow", false, false, power, power_unsigned},
    {"Min", false, false, smaller, smaller_unsigned},
    {"Max", false, false, larger, larger_unsigned},
    {"Equal", false, true, equal, equal},
    {"Less", false, true, less, less_unsigned},
    {"Greater", false, true, greater, greater_unsigned},
    {"LessOrEqual", false, true, at_most, at_most_unsigned},
    {"GreaterOrEqual", false, true, at_least, at_least_unsigned},
    {"And", false, true, both, both},
    {"Or", false, true, either, either},
    {"Xor", false, true, one_only, one_only},
    {"BitwiseAnd", false, false, bits_and, bits_and},
    {"BitwiseOr", false, false, bits_or, bits_or},
    {"BitwiseXor", false, false, bits_xor, bits_xor},
    {"ShiftLeft", false, false, shift_left, shift_left},
    {"ShiftRight", false, false, shift_right, shift_right},
};

const struct integer_op *integer_op_find(const char *name) {
  for (size_t i = 0; i < sizeof binary_ops / sizeof binary_ops[0]; i++) {
    if (!strcmp(name, binary_ops[i].name)) return &binary_ops[i];
  }
  return NULL;
}

bool integer_apply(const struct integer_op *op, int64_t type, int64_t a, int64_t b, int64_t *out) {
  const bool wide = type == ONNX__TENSOR_PROTO__DATA_TYPE__UINT64;
  if (op->divides && b == 0) return false;
  const int64_t v = wide ? op->run_unsigned(a, b) : op->run(a, b);
  *out = op->compares ? v : integer_wrap(type, (uint64_t)v);
  return true;
}

bool integer_unary(const char *op, int64_t type, int64_t a, int64_t *out) {
  const bool negative = a < 0 && type != ONNX__TENSOR_PROTO__DATA_TYPE__UINT64;
  if (!strcmp(op, "Neg"))
    *out = subtract(0, a);
  else if (!strcmp(op, "Abs"))
    *out = negative ? subtract(0, a) : a;
  else if (!strcmp(op, "Sign"))
    *out = negative ? -1 : a != 0;
  else if (!strcmp(op, "Not"))
    *out = !a;
  else if (!strcmp(op, "BitwiseNot"))
    *out = ~a;
  else if (!strcmp(op, "Relu"))
    *out = negative ? 0 : a;
  else
    return false;
  *out = integer_wrap(type, (uint64_t)*out);
  return true;
}
