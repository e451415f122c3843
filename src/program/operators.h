/** The operator table: everything that the house has to know of an operator stands in its row. The reader of a
 * manifest, the executor, the compiler and the engines' walker all look here, so that a new operator is a line in
 *  PROGRAM_OPERATORS (program.h), a row with its functions in an op_*.c file, and the place in compile/lower.c that
 * makes it of the network. docs/guide/operator.md walks through it. */
#ifndef FUSION_PROGRAM_OPERATORS_H
#define FUSION_PROGRAM_OPERATORS_H

#include "base/matrix_product.h"
#include "program/program.h"

/** Fields of a step that an operator has: the manifest holds these alone, in this order. */
enum operator_field {
  FIELD_WINDOW = 1,
  FIELD_GROUPS = 2, /* groups, weight_bits */
  FIELD_SHIFT = 4,
  FIELD_SHIFT_LEFT = 8,
  FIELD_NEGATE = 16,
  FIELD_GATHER = 32,
  FIELD_TABLE = 64,
  FIELD_TRANSPOSE = 128,
};

/** What an operator does with raw tensors (program.h). */
enum operator_raw {
  RAW_NEVER, /* reads and makes clean tensors */
  RAW_MAKES, /* reads clean ones, makes a raw one */
  RAW_SUMS,  /* reads either; raw if an input is */
  RAW_CLEANS /* reads either, makes a clean one */
};

enum operator_weights { WEIGHTS_NONE, WEIGHTS_BIAS, WEIGHTS_MATRIX /* and a bias */ };

/** How the real value of one unit of the output follows from the inputs'. */
enum operator_scale {
  SCALE_FREE,        /* nothing given */
  SCALE_ACCUMULATOR, /* set by the step that cleans it, its weights take up the rest */
  SCALE_KEEPS,       /* the inputs' own, the same for all */
  SCALE_SHIFTS,      /* a power of two times the input's */
  SCALE_SHIFTS_RAW,  /* the same for a raw input; a clean one keeps its own */
  SCALE_SUM,         /* clean: as SCALE_KEEPS; raw: the accumulator's, clean inputs a power of two times it */
  SCALE_PRODUCT,     /* the inputs' product */
  SCALE_TABLE,       /* the table's: the compiler's choice with it */
  SCALE_WHOLE,       /* 1, whatever the input's: the values are whole numbers */
  SCALE_MEAN,        /* the input's over the window's size: the sum stands for the average */
};

/** The protocols that steps need, and how a line to the user calls them. An engine has at most one implementation of
 * each (engine/engine.h); the last is for answers that are labels or a top-k. */
#define OPERATOR_GATES(X)                 \
  X(LINEAR, "linear layers")              \
  X(RELU_TRUNCATE, "Relu and truncation") \
  X(MULTIPLY, "products of tensors")      \
  X(MAXPOOL, "max pooling")               \
  X(LOOKUP, "functions by tables")        \
  X(COMPARE, "comparisons")               \
  X(MATMUL, "products of matrices")       \
  X(TOP_K, "the choice of the largest outputs")

#define OPERATOR_GATE_NUMBER(name, text) GATE_##name,
enum operator_gate { GATE_LOCAL, OPERATOR_GATES(OPERATOR_GATE_NUMBER) GATE_COUNT };
#undef OPERATOR_GATE_NUMBER

/** Where time and bytes are booked. */
enum operator_stage { STAGE_SETUP, STAGE_LINEAR, STAGE_RELU, STAGE_POOL, STAGE_MULTIPLY, STAGE_OUTPUT, STAGE_COUNT };

/** One step's integers, for a block of samples. */
struct operator_run {
  const struct program *program;
  const struct program_step *step;
  const struct program_weights *weights;
  const int64_t *const *inputs; /* each [samples][its size]; of INPUT: what the client gave */
  int64_t *out;                 /* [samples][size], in its ring, signed */
  size_t samples;
  size_t first;    /* of the whole run's samples */
  uint64_t dither; /* see execute.h; 0: none */
};

/** One party's shares, for a step that needs no message. Bits above a share are ignored on input and zero on output. */
struct operator_share {
  const struct program *program;
  uint32_t step;
  const struct program_weights *weights; /* the server's; NULL at the client */
  const uint64_t *const *inputs;         /* each [samples][its size] */
  uint64_t *out;                         /* [samples][size] */
  size_t samples;
  const uint8_t *guard_bits; /* [steps]: what the engine holds below a raw tensor's value; NULL: nothing */
};

/** What the width of a clean output follows from. */
struct operator_width {
  const struct program *program;
  uint32_t step;
  const struct program_weights *weights;
  const unsigned *in;  /* value_bits of each input; of a raw one the ring that its tree has */
  unsigned calibrated; /* what the values seen in calibration need */
};

/** What is wrong with a step, or NULL. */
typedef const char *complaint;

struct program_operator {
  const char *name; /* "maxpool" */
  uint32_t inputs_least, inputs_most;
  uint32_t fields; /* of enum operator_field */
  enum operator_raw raw;
  enum operator_weights weights;
  enum operator_scale scale;
  enum operator_gate gate;
  enum operator_stage stage;
  bool keeps_zero; /* GATE_LOCAL: shares that are all zero give zeros */
  bool free_ring;  /* its input may have a narrower ring than the output: `check` says how wide it must be */
  bool free_shape; /* the output's shape is checked by `check`; else it is that of every input */
  /** Beyond the counts of inputs, raw rules and rings that all operators share. NULL: nothing more. */
  complaint (*check)(const struct program *program, const struct program_step *step);
  /** The meaning, on integers. NULL: a product with the weights' matrix (execute/execute_linear.h). */
  void (*run)(const struct operator_run *r);
  /** GATE_LOCAL only: the same on one party's shares. */
  void (*run_share)(const struct operator_share *s);
  /** Signed width of the output for any input within its widths. NULL: the widest input's. Of raw outputs for products
   * only: of others the compiler knows it. */
  unsigned (*width)(const struct operator_width *w);
  /** Ring that the k-th input, a clean one, must have. NULL: the output's. */
  unsigned (*needs)(const struct program *program, const struct program_step *step, uint32_t k);
};

/** The row of an operator; NULL for a number that none has. */
const struct program_operator *program_operator(enum program_op op);
static inline const struct program_operator *step_operator(const struct program_step *step) {
  return program_operator(step->op);
}
static inline bool step_has(const struct program_step *step, enum operator_field field) {
  return (step_operator(step)->fields & field) != 0;
}
/** The step has a matrix of weights. */
static inline bool step_has_matrix(const struct program_step *step) {
  return step_operator(step)->weights == WEIGHTS_MATRIX;
}
/** Rounding constant of a step with FIELD_SHIFT: half a unit of what it makes; 0 without a shift. */
static inline uint64_t step_rounding(const struct program_step *step) {
  return step->shift ? UINT64_C(1) << (step->shift - 1) : 0;
}

#define PROGRAM_OPERATOR_ROW(number, name, row) extern const struct program_operator operator_##row;
PROGRAM_OPERATORS(PROGRAM_OPERATOR_ROW)
#undef PROGRAM_OPERATOR_ROW

/** Both axes of a window fit, and the input with its padding stays of a size that can be laid out. `touch`: every
 * window must hold a real element. */
bool operator_window_fits(const struct window *w, struct shape in, struct shape out, bool touch);

/** What a valid MATMUL step multiplies. */
struct matrix_product step_matrix_product(const struct program *program, const struct program_step *step);

static inline const struct program_tensor *step_input(const struct program *program, const struct program_step *step,
                                                      uint32_t k) {
  return &program->steps[step->inputs[k]].out;
}

#endif
