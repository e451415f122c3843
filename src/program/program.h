/** The program: what both parties execute, step by step, on integers. Its plaintext meaning (execute.h) is exact, and
 * the two-party run equals it bit for bit.
 *
 *  Rings. A tensor's values are integers known modulo 2^ring_bits, read as signed. A tensor is either clean or raw. Raw
 *  are the outputs of LINEAR and MATMUL steps and sums of such: an engine may hold their shares with noise below the
 *  value, and for that with more bits than the ring (engine/engine.h). A clean tensor's shares sum to the very value.
 *  Raw tensors are read by RELU, TRUNCATE, COMPARE and ADD only. Any step may read a clean tensor modulo a smaller
 * power of two than its ring.
 */
#ifndef FUSION_PROGRAM_PROGRAM_H
#define FUSION_PROGRAM_PROGRAM_H

#include "base/cursor.h"
#include "program/class_labels.h"
#include "program/defence.h"
#include "program/preprocess.h"

/** The operators: number in the manifest (fixed for good), name, row of the operator table (program/operators.h).
 *
 *  INPUT     step 0: the client's quantised input
 *  LINEAR    y = weights * x + bias modulo 2^ring_bits. Output raw
 *  RELU      y = max(x + round, 0) >> shift, round = shift ? 2^(shift-1) : 0; x + round read as signed in its ring
 *  TRUNCATE  y = (x + round) >> shift, arithmetic
 *  ADD       y = (x0 << shift_left[0]) + (x1 << shift_left[1]); a raw input has shift 0; raw if an input is
 *  MUL       y = x0 * x1 modulo 2^ring_bits; inputs clean; the same tensor twice is a square
 *  MAXPOOL   clean; padding never wins. Pairwise, max(a, b) = b + max(a - b, 0), the difference read as signed modulo
 *            2^(value_bits+1): true maxima while values are in range. Along the width, then along the height; of n taps
 *            the first 2^(ceil(log2 n) - 1) against the others
 *  SUMPOOL   clean; sum over the window, padding is 0
 *  GATHER    clean; fixed rearrangement, 0 where GATHER_ZERO
 *  OFFSET    clean, local: y = bias + x, or bias - x where `negate`; one bias a channel, the server's
 *  LOOKUP    clean: y = base[h] + slope[h] * l modulo 2^ring_bits, h and l parts of x (program_table). Public: a
 *            function of the network, not a weight
 *  COMPARE   y = 1 if x >= 0, else 0; x raw or clean, read as signed in its ring
 *  MATMUL    y = x0 * x1 modulo 2^ring_bits, a product of matrices for each channel: x0 [height][width] times
 *            x1 [height][width], or times the transpose of x1 where `transpose`; inputs clean. Output raw */
#define PROGRAM_OPERATORS(X) \
  X(0, INPUT, input)         \
  X(1, LINEAR, linear)       \
  X(2, RELU, relu)           \
  X(3, TRUNCATE, truncate)   \
  X(4, ADD, add)             \
  X(5, MUL, mul)             \
  X(6, MAXPOOL, maxpool)     \
  X(7, SUMPOOL, sumpool)     \
  X(8, GATHER, gather)       \
  X(9, OFFSET, offset)       \
  X(10, LOOKUP, lookup)      \
  X(11, COMPARE, compare)    \
  X(12, MATMUL, matmul)

#define PROGRAM_OPERATOR_NUMBER(number, name, row) OP_##name = number,
enum program_op { PROGRAM_OPERATORS(PROGRAM_OPERATOR_NUMBER) };
#undef PROGRAM_OPERATOR_NUMBER

enum program_output {
  OUTPUT_LOGITS = 0, /**< every element of the last tensor (clean) */
  OUTPUT_LABEL,      /**< index of the largest; the lowest index wins ties */
  OUTPUT_TOP_K,      /**< the k best as (index, value), best first; ties as above */
};

enum program_rounding { ROUNDING_EXACT = 0, ROUNDING_FAST };

struct program_tensor {
  struct shape shape;
  uint8_t ring_bits;  /* 2..62; of a raw tensor at most PROGRAM_RAW_RING_MAX */
  uint8_t value_bits; /* every calibrated value v, with its margin, satisfies -2^(value_bits-1) <= v < 2^(value_bits-1);
                         value_bits <= ring_bits. RELU and TRUNCATE guarantee it only if their input was in range */
  bool raw;
  double scale; /* real value = integer * scale; a client has 0 but for the first and the last step */
};

enum {
  PROGRAM_TABLE_INDEX_BITS = 5,
  PROGRAM_TABLE_BITS = 16,
  PROGRAM_TABLE_SLOPE_BITS = 31,
  PROGRAM_TABLE_PIECES = 1 << PROGRAM_TABLE_INDEX_BITS,
};

/** A function of x modulo 2^(index_bits + low_bits), read as not negative, in 2^index_bits straight pieces:
 *  h = x >> low_bits, l = x mod 2^low_bits - 2^(low_bits-1), y = base[h] + slope[h] * l. Without low bits: base[x]. */
struct program_table {
  uint8_t index_bits;                  /* 1..PROGRAM_TABLE_INDEX_BITS */
  uint8_t low_bits;                    /* 0 or 2..PROGRAM_TABLE_BITS - index_bits */
  int64_t base[PROGRAM_TABLE_PIECES];  /* in the output's ring */
  int64_t slope[PROGRAM_TABLE_PIECES]; /* in [-2^31, 2^31) */
};

struct program_step {
  enum program_op op;
  char name[MODEL_NAME_LEN];
  uint32_t input_count;
  uint32_t *inputs; /* owned: step numbers (a step and the tensor it makes share a number) */
  struct program_tensor out;
  struct window window;         /* LINEAR, MAXPOOL, SUMPOOL */
  uint32_t groups;              /* LINEAR */
  uint8_t weight_bits;          /* LINEAR: weights lie in [-2^(weight_bits-1), 2^(weight_bits-1)), 2..16 */
  uint8_t shift;                /* RELU, TRUNCATE */
  uint8_t shift_left[2];        /* ADD */
  bool negate;                  /* OFFSET */
  bool transpose;               /* MATMUL */
  struct program_table *table;  /* owned. LOOKUP */
  struct gather_source *gather; /* owned. GATHER: source.input counts in `inputs`; {GATHER_ZERO, 0} gives 0 */
};

enum {
  PROGRAM_ENGINE_LEN = 24, /* an engine's name with its end */
  MODEL_ID_LEN = 32,
  MODEL_SALT_LEN = 32,
};

/** What an engine keeps in a program (program_section.h): its own bytes, made by it at compile time. */
struct program_section {
  char engine[PROGRAM_ENGINE_LEN]; /* the family's name: small letters, digits, '-' */
  uint8_t *data;                   /* owned */
  uint32_t len;
};

struct program {
  struct program_step *steps;
  uint32_t count;
  struct preprocess preprocess;
  struct input_units input_units;
  uint8_t reach_bits; /* every calibration sample's integers v satisfy |v| < 2^(reach_bits-1); at most the input's
                         value_bits. With units: half a unit, or a whole one if features are many. 0: not known */
  enum program_output output;
  uint32_t top_k;
  enum program_rounding rounding;
  struct defence defence;           /* with logits: what they are instead */
  bool softmax;                     /* the client may turn logits into probabilities; of a defence: its rows too */
  bool log_softmax;                 /* with softmax: into their logarithms */
  bool sigmoid;                     /* the same, each by itself; not both */
  struct class_labels labels;       /* owned: what the outputs stand for; none: 0, 1, 2, ... */
  struct program_section *sections; /* owned: sorted by engine, one for each at most */
  uint32_t section_count;
  uint8_t model_id[MODEL_ID_LEN]; /* continuity/model_id.h; zeros: the model has none */
};

/** What only the server has. */
struct program_weights {
  int16_t *weights; /* owned: [out][in/groups][kernel_h][kernel_w]; NULL for OFFSET */
  int64_t *bias;    /* owned: [out], at the output's scale, reduced modulo 2^ring_bits and signed */
};

struct model {
  struct program program;          /* public */
  struct program_weights *weights; /* one per step, empty but for LINEAR and OFFSET; NULL at the client */
  uint8_t salt[MODEL_SALT_LEN];    /* secret: of the model's id */
};

/** Limits that program_validate enforces. */
enum {
  PROGRAM_STEPS_MAX = 4096,
  PROGRAM_INPUTS_MAX = 256,      /* of one step */
  PROGRAM_TENSOR_MAX = 1 << 26,  /* elements of one tensor */
  PROGRAM_PADDED_MAX = 1 << 28,  /* elements of a window's input with its padding */
  PROGRAM_MAPS_MAX = 1 << 24,    /* elements of all GATHER maps together */
  PROGRAM_WEIGHTS_MAX = 1 << 28, /* weights of one step */
  PROGRAM_RING_MAX = 62,
  PROGRAM_RAW_RING_MAX = 58, /* leaves engines room for noise below a raw value */
  PROGRAM_WEIGHT_BITS_MAX = 16,
  PROGRAM_SECTIONS_MAX = 16,
  PROGRAM_SECTION_MAX = 1 << 20, /* bytes of one section */
};

/** Number of integers that an answer has: the output size, 1, or 2*top_k. */
size_t program_answer_size(const struct program *program);

/** Rows' largest elements that are selected for a label or a top-k. */
static inline uint32_t program_winners(const struct program *program) {
  return program->output == OUTPUT_TOP_K ? program->top_k : 1;
}

/** Number of weights of a step of a valid program; 0 where it has no matrix of them. */
size_t program_weight_count(const struct program *program, uint32_t step);

/** Structural check of a program from anywhere (peer, file): ranges, shapes that follow from the inputs, raw/clean
 * rules, sizes below the limits. Every consumer may rely on it. */
fusion_status program_validate(const struct program *program, fusion_error *err) FUSION_MUST_CHECK;

/** The public manifest, without names and inner scales. Canonical: equal programs give equal bytes. program_encode
 * needs a valid program; a failure to grow sticks in the writer. program_decode takes every byte of `r` as hostile,
 * validates, and leaves *out empty on failure, else owned by the caller. The cursor ends behind the program. */
void program_encode(struct writer *w, const struct program *program);
fusion_status program_decode(struct program *out, struct reader *r, fusion_error *err) FUSION_MUST_CHECK;

/** Real inputs to integers, by the input's units: nearest, halves to even, clamped to the input's value_bits.
 * FUSION_E_INPUT on a NaN. */
fusion_status program_quantise_input(const struct program *program, const float *real, size_t samples, int64_t *out,
                                     fusion_error *err) FUSION_MUST_CHECK;

/** Integers of the last tensor to real values; with a defence, to what it makes of probabilities. */
void program_dequantise(const struct program *program, const int64_t *values, size_t count, double *out);

/** Frees what the program owns, not the struct itself. */
void program_free(struct program *program);

/** Frees the model, its program and weights, and the struct (from mem_alloc). NULL is fine. */
void model_free(struct model *m);

#endif
