#include "rand/tccr.h"

#include <openssl/evp.h>

enum { BATCH = 64 };

/* The fixed key: the first 16 bytes of the fractional part of pi (3.243F6A88 85A308D3 13198A2E 03707344 ...). */
static const uint8_t fixed_key[16] = {0x24, 0x3f, 0x6a, 0x88, 0x85, 0xa3, 0x08, 0xd3,
                                      0x13, 0x19, 0x8a, 0x2e, 0x03, 0x70, 0x73, 0x44};

static void permute(EVP_CIPHER_CTX *cipher, block *out, const block *in, size_t count) {
  int written;
  if (EVP_EncryptUpdate(cipher, (uint8_t *)out, &written, (const uint8_t *)in, (int)(16 * count)) != 1) __builtin_trap();
}

void tccr_hash(const struct tccr *h, block *out, const block *in, size_t count, block offset, uint64_t first_index) {
  EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
  if (!cipher || EVP_EncryptInit_ex(cipher, EVP_aes_128_ecb(), NULL, fixed_key, NULL) != 1) __builtin_trap();
  EVP_CIPHER_CTX_set_padding(cipher, 0);
  block x[BATCH], y[BATCH];
  for (size_t done = 0; done < count; done += BATCH) {
    const size_t n = size_min(BATCH, count - done);
    for (size_t i = 0; i < n; i++) x[i] = block_xor(in[done + i], offset);
    permute(cipher, x, x, n);
    for (size_t i = 0; i < n; i++) y[i] = block_xor(x[i], block_make(h->domain, first_index + done + i));
    permute(cipher, y, y, n);
    for (size_t i = 0; i < n; i++) out[done + i] = block_xor(x[i], y[i]);
  }
  mem_wipe(x, sizeof x);
  mem_wipe(y, sizeof y);
  EVP_CIPHER_CTX_free(cipher);
}
