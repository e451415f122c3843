/* The list of modules, and how a run is made. */
#include "kernels/kernel_registry.h"

enum { GUARD_LEN = 64, GUARD_BYTE = 0xa5 };

/* In the order of `fusion bench`. */
const struct kernel_module *const kernel_modules[] = {
    &kernels_of_lattice, &kernels_of_slots,        &kernels_of_aes,      &kernels_of_ggm,
    &kernels_of_lpn,     &kernels_of_silent_field, &kernels_of_one_of_n, &kernels_of_softspoken,
    &kernels_of_bits,    &kernels_of_garble,       &kernels_of_cross,    &kernels_of_planes,
    &kernels_of_lookup,  &kernels_of_product,      &kernels_of_gemm,     &kernels_of_float_tile,
};
const size_t kernel_modules_count = sizeof kernel_modules / sizeof *kernel_modules;

/* splitmix64 */
static uint64_t next(struct kernel_run *r) {
  uint64_t z = (r->random += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

uint64_t kernel_word(struct kernel_run *r) {
  static const uint64_t ends[] = {0, UINT64_MAX, 1, UINT64_MAX - 1, UINT64_C(1) << 63, UINT64_MAX >> 1};
  const uint64_t word = next(r);
  if (r->shape.fill == KERNEL_RANDOM || word % 8 >= sizeof ends / sizeof *ends) return word;
  return ends[word % 8];
}

uint64_t kernel_value(struct kernel_run *r, uint64_t bound) {
  const uint64_t word = next(r);
  if (r->shape.fill == KERNEL_EXTREME) {
    const uint64_t ends[] = {0, bound - 1, bound / 2, bound / 2 + (bound > 1 && bound % 2), bound - 1};
    if (word % 8 < sizeof ends / sizeof *ends) return ends[word % 8];
  }
  return next(r) % bound;
}

void *kernel_memory(struct kernel_run *r, enum kernel_use use, size_t count, size_t element_len) {
  size_t len, whole;
  assert(r->memories < KERNEL_MEMORY_MAX);
  const size_t guard_len = use == KERNEL_OUTPUT ? GUARD_LEN : 0;
  uint8_t *data = size_mul(count, element_len, &len) && size_add(len, guard_len, &whole) ? mem_alloc(whole, 1) : NULL;
  if (!data) {
    r->status = FUSION_E_MEMORY;
    return NULL;
  }
  memset(data + len, GUARD_BYTE, guard_len);
  r->memory[r->memories++] = (struct kernel_memory){data, len + guard_len, use};
  return data;
}

uint64_t *kernel_words(struct kernel_run *r, enum kernel_use use, size_t count) {
  uint64_t *out = kernel_memory(r, use, count, sizeof *out);
  for (size_t i = 0; out && i < count; i++) out[i] = kernel_word(r);
  return out;
}

block *kernel_blocks(struct kernel_run *r, enum kernel_use use, size_t count) {
  block *out = kernel_memory(r, use, count, sizeof *out);
  for (size_t i = 0; out && i < count; i++) {
    const uint64_t high = kernel_word(r);
    out[i] = block_make(high, kernel_word(r));
  }
  return out;
}

uint32_t *kernel_below(struct kernel_run *r, enum kernel_use use, size_t count, uint32_t bound) {
  uint32_t *out = kernel_memory(r, use, count, sizeof *out);
  for (size_t i = 0; out && i < count; i++) out[i] = (uint32_t)kernel_value(r, bound);
  return out;
}

int32_t *kernel_between(struct kernel_run *r, enum kernel_use use, size_t count, int32_t low, int32_t high) {
  int32_t *out = kernel_memory(r, use, count, sizeof *out);
  const uint64_t bound = (uint64_t)((int64_t)high - low + 1);
  for (size_t i = 0; out && i < count; i++) out[i] = (int32_t)(low + (int64_t)kernel_value(r, bound));
  return out;
}

fusion_status kernel_open(struct kernel_run *r, const struct kernel_row *row, const struct kernel_shape *shape) {
  *r = (struct kernel_run){.row = row, .shape = *shape, .random = shape->seed, .work = mem_alloc(1, row->work_len)};
  if (!r->work) return FUSION_E_MEMORY;
  row->open(r);
  return r->status;
}

void kernel_close(struct kernel_run *r) {
  if (r->work && r->row->close) r->row->close(r);
  for (size_t i = 0; i < r->memories; i++) mem_free(r->memory[i].data);
  mem_free(r->work);
  *r = (struct kernel_run){0};
}

void kernel_once(struct kernel_run *r) {
  r->row->run(r);
  if (r->row->settle) r->row->settle(r);
}

bool kernel_same(const struct kernel_run *a, const struct kernel_run *b) {
  bool same = a->memories == b->memories;
  for (size_t i = 0; same && i < a->memories; i++) {
    const struct kernel_memory *x = &a->memory[i], *y = &b->memory[i];
    if (x->use == KERNEL_OUTPUT) same = x->len == y->len && !memcmp(x->data, y->data, x->len);
  }
  return same;
}
