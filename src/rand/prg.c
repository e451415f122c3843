#include "rand/prg.h"

#include <openssl/evp.h>
#include <sodium.h>

enum { BUFFER_BLOCKS = 64, BUFFER_LEN = 16 * BUFFER_BLOCKS };

struct prg {
  uint8_t seed[PRG_SEED_LEN];
  EVP_CIPHER_CTX *cipher; /* AES-128-CTR over zeros */
  uint8_t buffer[BUFFER_LEN];
  size_t used; /* bytes of buffer already given out */
};

struct prg *prg_new(const uint8_t seed[PRG_SEED_LEN]) {
  static const uint8_t zero_iv[16];
  struct prg *g = key_alloc(sizeof *g);
  if (!g) return NULL;
  memcpy(g->seed, seed, PRG_SEED_LEN);
  g->used = BUFFER_LEN;
  g->cipher = EVP_CIPHER_CTX_new();
  if (!g->cipher || EVP_EncryptInit_ex(g->cipher, EVP_aes_128_ctr(), NULL, seed, zero_iv) != 1) {
    prg_free(g);
    return NULL;
  }
  return g;
}

fusion_status prg_new_random(struct prg **out) {
  uint8_t seed[PRG_SEED_LEN];
  *out = NULL;
  const fusion_status status = os_random(seed, sizeof seed);
  if (status != FUSION_OK) return status;
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
  EVP_CIPHER_CTX_free(g->cipher);
  key_free(g);
}

static void stream(struct prg *g, uint8_t *out, size_t len) {
  int written;
  memset(out, 0, len);
  while (len) {
    const int part = (int)size_min(len, (size_t)1 << 30);
    /* CTR encryption of a valid context cannot fail; should it, zeros must not go out as randomness. */
    if (EVP_EncryptUpdate(g->cipher, out, &written, out, part) != 1 || written != part) __builtin_trap();
    out += part;
    len -= (size_t)part;
  }
}

void prg_bytes(struct prg *g, void *out, size_t len) {
  uint8_t *at = out;
  const size_t buffered = size_min(len, BUFFER_LEN - g->used);
  memcpy(at, g->buffer + g->used, buffered);
  mem_wipe(g->buffer + g->used, buffered);
  g->used += buffered;
  at += buffered;
  len -= buffered;
  const size_t direct = len / BUFFER_LEN * BUFFER_LEN;
  if (direct) stream(g, at, direct);
  at += direct;
  len -= direct;
  if (!len) return;
  stream(g, g->buffer, BUFFER_LEN);
  memcpy(at, g->buffer, len);
  mem_wipe(g->buffer, len);
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
