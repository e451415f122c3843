/** Every kernel of the library, as rows of one table. A row knows how to make inputs of a given size, how to run the
 *  kernel on a given tier, what is compared afterwards, and what a unit of its work is. The tests run all rows on every
 *  tier against the portable one; `fusion bench` times them. See docs/guide/kernel.md. */
#ifndef FUSION_KERNELS_KERNEL_REGISTRY_H
#define FUSION_KERNELS_KERNEL_REGISTRY_H

#include <fusion/bench.h>

#include "base/block.h"
#include "base/kernel_tables.h"
#include "kernels/ceiling.h"

enum kernel_fill {
  KERNEL_RANDOM,  /* uniform within the kernel's contract */
  KERNEL_EXTREME, /* the ends of the contract's ranges, and a few values between */
  KERNEL_FILLS,
};

/** One set of inputs. */
struct kernel_shape {
  enum cpu_tier tier;
  size_t size;        /* what it counts is said at the row */
  unsigned parameter; /* a width, a shift, which prime: said at the row */
  enum kernel_fill fill;
  uint64_t seed; /* the same seed makes the same inputs on every tier */
};

/** Memory of a run. Outputs are compared, with GUARD_LEN bytes behind them that no kernel may touch. */
enum kernel_use { KERNEL_INPUT, KERNEL_OUTPUT };
enum { KERNEL_MEMORY_MAX = 8 };
struct kernel_memory {
  void *data; /* owned */
  size_t len;
  enum kernel_use use;
};

/** A kernel with its inputs. */
struct kernel_run {
  const struct kernel_row *row;
  struct kernel_shape shape;
  uint64_t random; /* state of the generator */
  void *work;      /* owned: the row's own */
  struct kernel_memory memory[KERNEL_MEMORY_MAX];
  size_t memories;
  fusion_status status; /* of its preparation */
};

/** What `fusion bench` measures: the kernel at one size. */
struct kernel_point {
  const char *name, *unit; /* names are unique; NULL ends a list */
  size_t size;
  unsigned parameter;
  double units; /* of one run */
  struct kernel_demand demand[FUSION_BENCH_DEMANDS];
  struct kernel_demand demand_c[FUSION_BENCH_DEMANDS]; /* of the portable tier, where it differs; else none */
};
enum { KERNEL_POINTS_MAX = 5 };

struct kernel_row {
  const char *name; /* the table's member */
  uint64_t members; /* KERNEL_MEMBER() of each that the row runs, helpers included */
  size_t work_len;
  void (*open)(struct kernel_run *r);   /* makes inputs and outputs in zeroed work; a failure goes to r->status */
  void (*run)(struct kernel_run *r);    /* may be repeated: inputs stay within the contract */
  void (*settle)(struct kernel_run *r); /* NULL; or after a run, clears what the kernel leaves undefined */
  void (*close)(struct kernel_run *r);  /* NULL; or gives back what is not memory of the run, after a failed open too */
  const size_t *sizes;                  /* for tests */
  size_t sizes_count;
  unsigned first_parameter, last_parameter;
  struct kernel_point points[KERNEL_POINTS_MAX];
};

/** The kernels of one table, struct <name>_kernels. */
struct kernel_module {
  const char *name, *group; /* group: of `fusion bench` */
  size_t members;           /* function pointers in the table */
  const struct kernel_row *rows;
  size_t count;
};

/* For the rows. */
#define KERNEL_MEMBER(module, member) \
  (UINT64_C(1) << offsetof(struct module##_kernels, member) / sizeof(void (*)(void)))
/** Function pointers in a table; `data_len`: bytes of members that are none. */
#define KERNEL_MEMBERS(module, data_len) ((sizeof(struct module##_kernels) - (data_len)) / sizeof(void (*)(void)))
#define KERNEL_SIZES(...) \
  .sizes = (const size_t[]){__VA_ARGS__}, .sizes_count = sizeof((const size_t[]){__VA_ARGS__}) / sizeof(size_t)
#define KERNEL_MODULE(name, group, data_len, rows) \
  { #name, group, KERNEL_MEMBERS(name, data_len), rows, sizeof rows / sizeof *rows }

extern const struct kernel_module *const kernel_modules[];
extern const size_t kernel_modules_count;

/** Prepares a run; close it in any case. FUSION_E_MEMORY. */
fusion_status kernel_open(struct kernel_run *r, const struct kernel_row *row,
                          const struct kernel_shape *shape) FUSION_MUST_CHECK;
void kernel_close(struct kernel_run *r);
/** One run, settled: then outputs may be compared. */
void kernel_once(struct kernel_run *r);
/** True when all outputs of two runs of the same shape are the same, and nothing behind them was touched. */
bool kernel_same(const struct kernel_run *a, const struct kernel_run *b);

/* For the rows: zeroed memory, aligned to 64 bytes (NULL, and r->status set, when out), ... */
void *kernel_memory(struct kernel_run *r, enum kernel_use use, size_t count, size_t element_len);
/** ... filled by the shape: any words, any blocks, values in [0, bound), values in [low, high]. */
uint64_t *kernel_words(struct kernel_run *r, enum kernel_use use, size_t count);
block *kernel_blocks(struct kernel_run *r, enum kernel_use use, size_t count);
uint32_t *kernel_below(struct kernel_run *r, enum kernel_use use, size_t count, uint32_t bound);
int32_t *kernel_between(struct kernel_run *r, enum kernel_use use, size_t count, int32_t low, int32_t high);
/** One word; one value in [0, bound). */
uint64_t kernel_word(struct kernel_run *r);
uint64_t kernel_value(struct kernel_run *r, uint64_t bound);

/* Modules, a file each group of them. */
extern const struct kernel_module kernels_of_lattice, kernels_of_slots, kernels_of_aes, kernels_of_ggm, kernels_of_lpn,
    kernels_of_silent_field, kernels_of_one_of_n, kernels_of_bits, kernels_of_softspoken, kernels_of_cross,
    kernels_of_planes, kernels_of_lookup, kernels_of_product, kernels_of_gemm, kernels_of_float_tile, kernels_of_garble;

#endif
