/* The portable tier. */
#include "rand/aes_kernels.h"

#include <openssl/evp.h>

const uint8_t aes_fixed_key[AES_KEY_LEN] = {0x24, 0x3f, 0x6a, 0x88, 0x85, 0xa3, 0x08, 0xd3,
                                            0x13, 0x19, 0x8a, 0x2e, 0x03, 0x70, 0x73, 0x44};

const block aes_fixed_rounds[AES_ROUND_KEYS] = {
    {.lo = UINT64_C(0xd308a385886a3f24), .hi = UINT64_C(0x447370032e8a1913)},
    {.lo = UINT64_C(0x207913f1f371b074), .hi = UINT64_C(0x4a807ae10ef30ae2)},
    {.lo = UINT64_C(0x2bde6e5d0ba77dac), .hi = UINT64_C(0x6fad1e5e252d64bf)},
    {.lo = UINT64_C(0x78d18687530fe8da), .hi = UINT64_C(0x3251fc665dfce238)},
    {.lo = UINT64_C(0x18fdbfe5602c3962), .hi = UINT64_C(0x7750a1bb45015ddd)},
    {.lo = UINT64_C(0x9224d5a58ad96a40), .hi = UINT64_C(0xa07529c3d7258878)},
    {.lo = UINT64_C(0x361d2260a439f7c5), .hi = UINT64_C(0x414d83dbe138aa18)},
    {.lo = UINT64_C(0x2ba736091dba1469), .hi = UINT64_C(0x8bd21fcaca9f9c11)},
    {.lo = UINT64_C(0x422097206987a129), .hi = UINT64_C(0x036d14fb88bf0b31)},
    {.lo = UINT64_C(0x24dc0ae866fc9dc8), .hi = UINT64_C(0xaf0e1522ac6301d9)},
    {.lo = UINT64_C(0xd1593c4ff58536a7), .hi = UINT64_C(0xd23428b47d3a3d96)},
};

enum { BATCH = 64 };

static fusion_status open_c(struct aes_key *key, const uint8_t bytes[AES_KEY_LEN]) {
  EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
  if (!cipher) return FUSION_E_MEMORY;
  if (EVP_EncryptInit_ex(cipher, EVP_aes_128_ecb(), NULL, bytes, NULL) != 1) {
    EVP_CIPHER_CTX_free(cipher);
    return FUSION_E_MEMORY;
  }
  EVP_CIPHER_CTX_set_padding(cipher, 0);
  key->cipher = cipher;
  return FUSION_OK;
}

static void close_c(struct aes_key *key) {
  EVP_CIPHER_CTX_free(key->cipher);
  key->cipher = NULL;
}

/* Encryption of whole blocks in a valid context cannot fail; should it, what lies in `out` must not go on as if it were
 * encrypted: hence the trap. */
static void encrypt_c(const struct aes_key *key, block *out, const block *in, size_t count) {
  const size_t most = (size_t)1 << 26;
  for (size_t done = 0; done < count; done += most) {
    const int len = (int)(16 * size_min(most, count - done));
    int written;
    const int ok = EVP_EncryptUpdate(key->cipher, (uint8_t *)(out + done), &written, (const uint8_t *)(in + done), len);
    if (ok != 1 || written != len) __builtin_trap();
  }
}

/* A block whose bytes are `i` as a 128-bit big-endian number. */
static block counter_block(uint64_t i) {
  uint8_t bytes[16] = {0};
  block b;
  for (int k = 0; k < 8; k++) bytes[15 - k] = (uint8_t)(i >> (8 * k));
  memcpy(&b, bytes, sizeof b);
  return b;
}

static void counter_c(const struct aes_key *key, block *out, uint64_t first, size_t count) {
  for (size_t i = 0; i < count; i++) out[i] = counter_block(first + i);
  encrypt_c(key, out, out, count);
}

static void tccr_c(block *out, const block *in, size_t count, block offset, block first_tweak) {
  struct aes_key key;
  block x[BATCH], y[BATCH];
  if (open_c(&key, aes_fixed_key) != FUSION_OK) __builtin_trap();
  for (size_t done = 0; done < count; done += BATCH) {
    const size_t n = size_min(BATCH, count - done);
    for (size_t i = 0; i < n; i++) x[i] = block_xor(in[done + i], offset);
    encrypt_c(&key, x, x, n);
    for (size_t i = 0; i < n; i++) {
      y[i] = block_xor(x[i], block_make(first_tweak.hi, first_tweak.lo + done + i));
    }
    encrypt_c(&key, y, y, n);
    for (size_t i = 0; i < n; i++) out[done + i] = block_xor(x[i], y[i]);
  }
  mem_wipe(x, sizeof x);
  mem_wipe(y, sizeof y);
  close_c(&key);
}
const struct aes_kernels aes_kernels_c = {
    .open = open_c, .close = close_c, .encrypt = encrypt_c, .counter = counter_c, .tccr = tccr_c};
