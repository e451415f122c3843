#include "silent/grown.h"

/* The empty ring has next = end; one that goes on from the start has end < next. */
static bool wraps(const struct grown *g) {
  return g->end < g->next;
}

size_t grown_left(const struct grown *g) {
  return wraps(g) ? g->lap - g->next + g->end : g->end - g->next;
}

block *grown_add(struct grown *g, size_t count) {
  if (g->next == g->end) g->next = g->end = 0;
  if (!wraps(g) && g->room - g->end < count) {
    if (g->next <= count) return NULL;
    g->lap = g->end;
    g->end = 0;
  }
  if (wraps(g) && g->next - g->end <= count) return NULL; /* or it would look empty */
  block *const added = g->blocks + g->end;
  g->end += count;
  return added;
}

size_t grown_take(struct grown *g, block *out, size_t count) {
  if (wraps(g) && g->next == g->lap) g->next = 0;
  const size_t stop = wraps(g) ? g->lap : g->end, n = size_min(count, stop - g->next);
  if (!n) return 0;
  memcpy(out, g->blocks + g->next, n * sizeof *out);
  mem_wipe(g->blocks + g->next, n * sizeof *out);
  g->next += n;
  return n;
}

bool grown_widen(struct grown *g, struct heap *heap, size_t room) {
  struct grown wide = {.blocks = heap_take(heap, room, sizeof *wide.blocks), .room = room};
  assert(room > g->room);
  if (!wide.blocks) return false;
  for (size_t n; (n = grown_take(g, wide.blocks + wide.end, g->room)) > 0;) wide.end += n;
  grown_close(g, heap);
  *g = wide;
  return true;
}

void grown_close(struct grown *g, struct heap *heap) {
  heap_give(heap, g->blocks, g->room * sizeof *g->blocks);
  *g = (struct grown){0};
}
