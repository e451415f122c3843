#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"

enum { CACHE_LINE = 64 };

void *mem_alloc(size_t count, size_t element_len) {
  size_t len;
  if (!size_mul(count, element_len, &len) || len > SIZE_MAX / 2) return NULL;
  /* A layer's arrays come and go: in huge pages, where the system gives them, that costs few page faults. */
  const size_t align = len >= MEM_PAGES_LEN ? MEM_PAGES_LEN : CACHE_LINE;
  len = size_max(div_up(len, CACHE_LINE), 1) * CACHE_LINE;
  void *p = aligned_alloc(align, div_up(len, align) * align);
#ifdef MADV_HUGEPAGE
  if (p && align == MEM_PAGES_LEN) (void)madvise(p, len / MEM_PAGES_LEN * MEM_PAGES_LEN, MADV_HUGEPAGE);
#endif
  if (p) memset(p, 0, len);
  return p;
}

void mem_free(void *p) {
  free(p);
}

void mem_wipe(void *p, size_t len) {
  if (p && len) explicit_bzero(p, len);
}

void mem_free_secret(void *p, size_t len) {
  mem_wipe(p, len);
  free(p);
}

void *mem_pages(size_t len) {
  assert(len && len % MEM_PAGES_LEN == 0);
  /* A huge page more, of which the ends are given back, so that the block begins at one. */
  uint8_t *p = mmap(NULL, len + MEM_PAGES_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return NULL;
  const size_t before = (MEM_PAGES_LEN - (uintptr_t)p % MEM_PAGES_LEN) % MEM_PAGES_LEN;
  if (before) munmap(p, before);
  munmap(p + before + len, MEM_PAGES_LEN - before);
#ifdef MADV_HUGEPAGE
  (void)madvise(p + before, len, MADV_HUGEPAGE);
#endif
#ifdef MADV_DONTDUMP
  (void)madvise(p + before, len, MADV_DONTDUMP); /* shares and samples: no core file holds them */
#endif
  return p + before;
}

void mem_free_pages(void *p, size_t len) {
  munmap(p, len);
}

void *key_alloc(size_t len) {
  if (sodium_init() < 0) return NULL;
  /* sodium_malloc aligns the end of the region to the guard page: round up so that the start is aligned too. */
  const size_t rounded = div_up(len, CACHE_LINE) * CACHE_LINE;
  void *p = sodium_malloc(rounded);
  if (p) memset(p, 0, rounded);
  return p;
}

void key_free(void *p) {
  sodium_free(p);
}

fusion_status os_random(void *out, size_t len) {
  uint8_t *at = out;
  while (len) {
    const ssize_t got = getrandom(at, size_min(len, 256), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return FUSION_E_ENTROPY;
    at += got;
    len -= (size_t)got;
  }
  return FUSION_OK;
}

double clock_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double clock_cpu_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
