#include "base/heap.h"

/* Smaller blocks are left to the C library, which gives no pages back for them; under the address sanitizer all are, so
 * that it sees their ends. */
#ifdef HEAP_KEEPS_NOTHING
static const size_t kept_from = SIZE_MAX;
#else
static const size_t kept_from = 1 << 15;
#endif
static const size_t pages_from = 2 * MEM_PAGES_LEN;
enum { BLOCKS_MAX = 256 };

struct entry {
  void *block; /* NULL: unused */
  size_t capacity;
  bool taken;
};

struct heap {
  size_t held, taken, most_taken; /* bytes: of all blocks; of taken ones, now and at most */
  size_t entries;
  struct entry entry[BLOCKS_MAX];
};

struct heap *heap_new(void) {
  return mem_alloc(1, sizeof(struct heap));
}

static bool in_pages(size_t capacity) {
  return capacity >= pages_from;
}

static void drop(struct heap *heap, struct entry *e) {
  heap->held -= e->capacity;
  if (in_pages(e->capacity))
    mem_free_pages(e->block, e->capacity);
  else
    mem_free(e->block);
  *e = (struct entry){0};
}

void heap_free(struct heap *heap) {
  if (!heap) return;
  assert(!heap->taken);
  for (size_t i = 0; i < heap->entries; i++)
    if (heap->entry[i].block) drop(heap, &heap->entry[i]);
  mem_free(heap);
}

/* Sizes in steps of at most a sixteenth (HEAP_ROUNDING), so that layers of nearly one size use the same blocks; large
 * ones in whole pages. */
static size_t capacity_of(size_t len) {
  const size_t step = ((size_t)1 << log2_up(len)) / (2 * HEAP_ROUNDING), capacity = div_up(len, step) * step;
  return in_pages(capacity) ? div_up(capacity, MEM_PAGES_LEN) * MEM_PAGES_LEN : capacity;
}

static void *block_new(size_t capacity) {
  return in_pages(capacity) ? mem_pages(capacity) : mem_alloc(capacity, 1);
}

/* The smallest free block that fits and is not much too large. */
static struct entry *find_free(struct heap *heap, size_t len) {
  struct entry *best = NULL;
  for (size_t i = 0; i < heap->entries; i++) {
    struct entry *e = &heap->entry[i];
    if (!e->block || e->taken || e->capacity < len || e->capacity / 2 > len) continue;
    if (!best || e->capacity < best->capacity) best = e;
  }
  return best;
}

/* What to drop for `excess` bytes: the smallest free block that makes them up, else the largest. */
static struct entry *find_dropped(struct heap *heap, size_t excess) {
  struct entry *best = NULL;
  for (size_t i = 0; i < heap->entries; i++) {
    struct entry *e = &heap->entry[i];
    if (!e->block || e->taken) continue;
    const bool enough = e->capacity >= excess, smaller = best && e->capacity < best->capacity;
    if (!best || (enough ? smaller || best->capacity < excess : !smaller)) best = e;
  }
  return best;
}

static struct entry *find_unused(struct heap *heap) {
  for (size_t i = 0; i < heap->entries; i++)
    if (!heap->entry[i].block) return &heap->entry[i];
  return heap->entries < BLOCKS_MAX ? &heap->entry[heap->entries++] : NULL;
}

/* A new block, in the place of free ones where the bound asks for it. NULL: no memory, or no entry left. */
static struct entry *make(struct heap *heap, size_t len) {
  const size_t capacity = capacity_of(len), most = size_max(heap->most_taken, heap->taken + capacity);
  const size_t bound = most + most / HEAP_SLACK;
  for (struct entry *e; heap->held + capacity > bound; drop(heap, e)) {
    e = find_dropped(heap, heap->held + capacity - bound);
    if (!e) break;
  }
  struct entry *e = find_unused(heap);
  if (!e) return NULL;
  void *block = block_new(capacity);
  for (struct entry *f; !block && (f = find_dropped(heap, capacity));) {
    drop(heap, f);
    block = block_new(capacity);
  }
  if (!block) return NULL;
  *e = (struct entry){.block = block, .capacity = capacity};
  heap->held += capacity;
  return e;
}

void *heap_take(struct heap *heap, size_t count, size_t element_len) {
  size_t len;
  if (!size_mul(count, element_len, &len) || len > SIZE_MAX / 2) return NULL;
  if (!heap || len < kept_from) return mem_alloc(len, 1);
  struct entry *e = find_free(heap, len);
  if (!e) e = make(heap, len);
  if (!e) return mem_alloc(len, 1);
  e->taken = true;
  heap->taken += e->capacity;
  heap->most_taken = size_max(heap->most_taken, heap->taken);
  return e->block;
}

static struct entry *entry_of(struct heap *heap, const void *block) {
  for (size_t i = 0; i < heap->entries; i++)
    if (heap->entry[i].block == block) return &heap->entry[i];
  return NULL;
}

void heap_give(struct heap *heap, void *block, size_t len) {
  if (!block) return;
  mem_wipe(block, len);
  struct entry *e = heap && len >= kept_from ? entry_of(heap, block) : NULL;
  if (!e) {
    mem_free(block);
    return;
  }
  assert(e->taken && len <= e->capacity);
  e->taken = false;
  heap->taken -= e->capacity;
}
