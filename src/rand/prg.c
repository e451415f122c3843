#include "rand/prg.h"

#include <sodium.h>

#include "base/secret.h"
#include "rand/aes_kernels.h"

enum { BUFFER_BLOCKS = 64, BUFFER_LEN = 16 * BUFFER_BLOCKS };

struct prg {
  struct aes_key key;
  _Alignas(64) block buffer[BUFFER_BLOCKS];
  uint8_t seed[PRG_SEED_LEN];
  const struct aes_kernels *ops; /* the tier that opened `key` */
  uint64_t counter;              /* blocks of the stream made so far */
  size_t used;                   /* bytes of buffer already given out */
};

/* On failure `ops` is NULL: there is no key to close. */
static fusion_status start(struct prg *g, const uint8_t seed[PRG_SEED_LEN]) {
  memcpy(g->seed, seed, PRG_SEED_LEN);
  g->counter = 0;
  g->used = BUFFER_LEN;
  g->ops = aes_kernels();
  const fusion_status status = g->ops->open(&g->key, seed);
  if (status != FUSION_OK) g->ops = NULL;
  return status;
}

struct prg *prg_new(const uint8_t seed[PRG_SEED_LEN]) {
  struct prg *g = key_alloc(sizeof *g);
  if (!g) return NULL;
  if (start(g, seed) == FUSION_OK) return g;
  key_free(g);
  return NULL;
}

fusion_status prg_restart(struct prg *g, const uint8_t seed[PRG_SEED_LEN]) {
  if (g->ops) g->ops->close(&g->key);
  mem_wipe(g->buffer, sizeof g->buffer);
  return start(g, seed);
}

fusion_status prg_new_random(struct prg **out) {
  uint8_t seed[PRG_SEED_LEN];
  *out = NULL;
  const fusion_status status = os_random(seed, sizeof seed);
  if (status != FUSION_OK) return status;
  secret_mark(seed, sizeof seed);
  *out = prg_new(seed);
  mem_wipe(seed, sizeof seed);
  return *out ? FUSION_OK : FUSION_E_MEMORY;
}

struct prg *prg_fork(const struct prg *parent, const char *label, uint64_t index) {
  uint8_t seed[PRG_SEED_LEN], key[PRG_SEED_LEN], number[8];
  crypto_generichash_state hash;
  for (int i = 0; i < 8; i++) number[i] = (uint8_t)(index >> (8 * i));
  memcpy(key, parent->seed, sizeof key);
  crypto_generichash_init(&hash, key, sizeof key, sizeof seed);
  crypto_generichash_update(&hash, number, sizeof number);
  crypto_generichash_update(&hash, (const uint8_t *)label, strlen(label));
  crypto_generichash_final(&hash, seed, sizeof seed);
  struct prg *child = prg_new(seed);
  mem_wipe(seed, sizeof seed);
  mem_wipe(key, sizeof key);
  mem_wipe(&hash, sizeof hash);
  return child;
}

void prg_free(struct prg *g) {
  if (!g) return;
  if (g->ops) g->ops->close(&g->key);
  key_free(g);
}

static void next_blocks(struct prg *g, block *out, size_t count) {
  g->ops->counter(&g->key, out, g->counter, count);
  g->counter += count;
}

/* Whole blocks of the stream to memory that need not be aligned. */
static void next_direct(struct prg *g, uint8_t *out, size_t count) {
  if ((uintptr_t)out % _Alignof(block) == 0) {
    next_blocks(g, (block *)(void *)out, count);
    return;
  }
  for (size_t done = 0; done < count; done += BUFFER_BLOCKS) {
    const size_t n = size_min(BUFFER_BLOCKS, count - done);
    next_blocks(g, g->buffer, n);
    memcpy(out + 16 * done, g->buffer, 16 * n);
  }
  mem_wipe(g->buffer, BUFFER_LEN);
}

void prg_bytes(struct prg *g, void *out, size_t len) {
  uint8_t *at = out;
  uint8_t *const buffer = (uint8_t *)g->buffer;
  const size_t buffered = size_min(len, BUFFER_LEN - g->used);
  if (buffered) {
    memcpy(at, buffer + g->used, buffered);
    mem_wipe(buffer + g->used, buffered);
  }
  g->used += buffered;
  len -= buffered;
  if (!len) return;
  at += buffered;
  const size_t direct = len / BUFFER_LEN * BUFFER_LEN;
  if (direct) next_direct(g, at, direct / 16);
  at += direct;
  len -= direct;
  if (!len) return;
  next_blocks(g, g->buffer, BUFFER_BLOCKS);
  memcpy(at, buffer, len);
  mem_wipe(buffer, len);
  g->used = len;
}

void prg_ring(struct prg *g, uint64_t *out, size_t count, unsigned bits) {
  prg_bytes(g, out, count * sizeof *out);
  for (size_t i = 0; i < count; i++) out[i] &= low_mask(bits);
}

uint64_t prg_below(struct prg *g, uint64_t bound) {
  assert(bound > 0);
  const uint64_t mask = low_mask(log2_up(bound));
  for (;;) {
    uint64_t v;
    prg_bytes(g, &v, sizeof v);
    if ((v & mask) < bound) return v & mask;
  }
}
