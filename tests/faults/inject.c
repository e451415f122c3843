#include "faults/inject.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <time.h>

enum { BUCKETS = 1 << 14, NODES = 1 << 17 };

static struct {
  atomic_bool counting, all;
  atomic_int kind;
  atomic_ullong first, calls[INJECT_KIND_COUNT];
} program;

static bool refuse(enum inject_kind kind) {
  if (!atomic_load(&program.counting)) return false;
  const uint64_t call = atomic_fetch_add(&program.calls[kind], 1) + 1, first = atomic_load(&program.first);
  if (!first || atomic_load(&program.kind) != (int)kind) return false;
  return atomic_load(&program.all) ? call >= first : call == first;
}

void inject_start(enum inject_kind kind, uint64_t first, bool all) {
  for (int i = 0; i < INJECT_KIND_COUNT; i++) atomic_store(&program.calls[i], 0);
  atomic_store(&program.first, first);
  atomic_store(&program.all, all);
  atomic_store(&program.kind, (int)kind);
  atomic_store(&program.counting, true);
}

void inject_stop(void) {
  atomic_store(&program.counting, false);
}

uint64_t inject_calls(enum inject_kind kind) {
  return atomic_load(&program.calls[kind]);
}

/* ---- what is allocated and not freed ---- */

struct node {
  struct node *next;
  void *p;
  void *caller;
  uint64_t number;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct node nodes[NODES], *buckets[BUCKETS], *spare;
static size_t used, live;
static uint64_t numbers;

static struct node **bucket_of(const void *p) {
  return &buckets[((uintptr_t)p >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 50];
}

static void *remember(void *p, void *caller) {
  if (!p) return p;
  pthread_mutex_lock(&lock);
  struct node *n = spare ? spare : used < NODES ? &nodes[used++] : NULL;
  if (!n) abort();
  if (n == spare) spare = n->next;
  struct node **bucket = bucket_of(p);
  *n = (struct node){.next = *bucket, .p = p, .caller = caller, .number = ++numbers};
  *bucket = n;
  live++;
  pthread_mutex_unlock(&lock);
  return p;
}

/* Memory that a library allocated is not known here. */
static void forget(const void *p) {
  if (!p) return;
  pthread_mutex_lock(&lock);
  struct node **at = bucket_of(p);
  while (*at && (*at)->p != p) at = &(*at)->next;
  struct node *n = *at;
  if (n) {
    *at = n->next;
    n->next = spare;
    n->p = NULL;
    spare = n;
    live--;
  }
  pthread_mutex_unlock(&lock);
}

size_t inject_live(void) {
  pthread_mutex_lock(&lock);
  const size_t count = live;
  pthread_mutex_unlock(&lock);
  return count;
}

void inject_print_live(size_t more_than) {
  pthread_mutex_lock(&lock);
  for (size_t i = 0; i < used; i++)
    if (nodes[i].p && nodes[i].number > numbers - numbers / 2 && live > more_than)
      fprintf(stderr, "not freed: allocation %llu of %llu, from %p (addr2line)\n", (unsigned long long)nodes[i].number,
              (unsigned long long)numbers, nodes[i].caller);
  pthread_mutex_unlock(&lock);
}

/* ---- the functions in the place of the real ones ---- */

void *__real_malloc(size_t len);
void *__real_calloc(size_t count, size_t len);
void *__real_realloc(void *p, size_t len);
void *__real_aligned_alloc(size_t alignment, size_t len);
void *__real_sodium_malloc(size_t len);
void __real_free(void *p);
void __real_sodium_free(void *p);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *arg);
ssize_t __real_getrandom(void *out, size_t len, unsigned flags);
int __real_clock_gettime(clockid_t clock, struct timespec *now);
time_t __real_time(time_t *out);

void *__wrap_malloc(size_t len);
void *__wrap_calloc(size_t count, size_t len);
void *__wrap_realloc(void *p, size_t len);
void *__wrap_aligned_alloc(size_t alignment, size_t len);
void *__wrap_sodium_malloc(size_t len);
void __wrap_free(void *p);
void __wrap_sodium_free(void *p);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *arg);
ssize_t __wrap_getrandom(void *out, size_t len, unsigned flags);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
time_t __wrap_time(time_t *out);

static bool refuse_memory(void) {
  if (!refuse(INJECT_MEMORY)) return false;
  errno = ENOMEM;
  return true;
}

void *__wrap_malloc(size_t len) {
  return refuse_memory() ? NULL : remember(__real_malloc(len), __builtin_return_address(0));
}
void *__wrap_calloc(size_t count, size_t len) {
  return refuse_memory() ? NULL : remember(__real_calloc(count, len), __builtin_return_address(0));
}
void *__wrap_aligned_alloc(size_t alignment, size_t len) {
  return refuse_memory() ? NULL : remember(__real_aligned_alloc(alignment, len), __builtin_return_address(0));
}
void *__wrap_sodium_malloc(size_t len) {
  return refuse_memory() ? NULL : remember(__real_sodium_malloc(len), __builtin_return_address(0));
}
void *__wrap_realloc(void *p, size_t len) {
  if (refuse_memory()) return NULL;
  forget(p);
  void *moved = __real_realloc(p, len);
  return remember(moved, __builtin_return_address(0));
}
void __wrap_free(void *p) {
  forget(p);
  __real_free(p);
}
void __wrap_sodium_free(void *p) {
  forget(p);
  __real_sodium_free(p);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *arg) {
  return refuse(INJECT_THREAD) ? EAGAIN : __real_pthread_create(thread, attributes, run, arg);
}

ssize_t __wrap_getrandom(void *out, size_t len, unsigned flags) {
  if (!refuse(INJECT_RANDOM)) return __real_getrandom(out, len, flags);
  errno = ENOSYS;
  return -1;
}

static atomic_llong clock_offset;

void inject_clock(int64_t seconds) {
  atomic_store(&clock_offset, seconds);
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *now) {
  const int result = __real_clock_gettime(clock, now);
  if (clock == CLOCK_REALTIME) now->tv_sec += atomic_load(&clock_offset);
  return result;
}

time_t __wrap_time(time_t *out) {
  const time_t now = __real_time(NULL) + (time_t)atomic_load(&clock_offset);
  if (out) *out = now;
  return now;
}

/* ---- libraries ---- */

static void *openssl_malloc(size_t len, const char *file, int line) {
  (void)file, (void)line;
  return refuse(INJECT_OPENSSL) ? NULL : __real_malloc(len);
}
static void *openssl_realloc(void *p, size_t len, const char *file, int line) {
  (void)file, (void)line;
  return refuse(INJECT_OPENSSL) ? NULL : __real_realloc(p, len);
}
static void openssl_free(void *p, const char *file, int line) {
  (void)file, (void)line;
  __real_free(p);
}

void inject_init(void) {
  if (CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) != 1) abort();
  json_set_alloc_funcs(__wrap_malloc, __wrap_free);
}
