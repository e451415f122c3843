/** AES-128 by tier: OpenSSL (portable, constant time), AES-NI, VAES, VAES-512, ARMv8 AES. What the generator, the hash
 *  and the silent extension are built on. Every tier gives the same bytes. Time depends on counts alone, never on keys
 * or data.
 */
#ifndef FUSION_RAND_AES_KERNELS_H
#define FUSION_RAND_AES_KERNELS_H

#include "base/block.h"
#include "base/kernel_tables.h"

enum { AES_KEY_LEN = 16, AES_ROUND_KEYS = 11 };

/** An expanded key. Secret as the key is: aes_close() wipes it. */
struct aes_key {
  _Alignas(64) block round[AES_ROUND_KEYS]; /* FIPS-197 key schedule; the native tiers' */
  void *cipher;                             /* OpenSSL's context; the portable tier's */
};

/** One tier's functions. A key opened by one tier serves that tier only. out == in is allowed; `count` is in blocks. */
struct aes_kernels {
  fusion_status (*open)(struct aes_key *key, const uint8_t bytes[AES_KEY_LEN]);
  void (*close)(struct aes_key *key);
  /** out[i] = AES(in[i]). */
  void (*encrypt)(const struct aes_key *key, block *out, const block *in, size_t count);
  /** out[i] = AES(first + i), the counter as a 128-bit big-endian number (SP 800-38A, CTR over zeros). */
  void (*counter)(const struct aes_key *key, block *out, uint64_t first, size_t count);
  /** out[k] = TCCR(in[k] ^ offset, (domain, first_index + k)) under aes_fixed_key, see rand/tccr.h. */
  void (*tccr)(block *out, const block *in, size_t count, block offset, block first_tweak);
};

KERNEL_TABLES_VAES_NEON(aes);

/** The public key of the fixed permutation: the first 16 bytes of the fractional part of pi. */
extern const uint8_t aes_fixed_key[AES_KEY_LEN];
/** Its key schedule. */
extern const block aes_fixed_rounds[AES_ROUND_KEYS];

#endif
