/* libsodium is not compiled with MemorySanitizer: what it writes keeps the marks that the memory had before. So its
 * functions are wrapped here, as far as the protocols call them, and carry the marks over by hand: an output is secret,
 * all of it, when any bit of an input is. What libsodium does inside with a secret is not seen here; valgrind sees it,
 * in the other tiers' runs. Every crypto_ and sodium_ function that src/ calls with secrets must be in this file:
 * scripts/check_constant_time.py looks. */
#include <sodium.h>

#include "base/base.h"

#ifdef FUSION_MSAN
#include <sanitizer/msan_interface.h>

static bool is_secret(const void *p, size_t len) {
  return p && len && __msan_test_shadow(p, len) >= 0;
}

static void set_secret(void *p, size_t len, bool secret) {
  if (secret)
    __msan_poison(p, len);
  else
    __msan_unpoison(p, len);
}
#else
static bool is_secret(const void *p, size_t len) {
  (void)p, (void)len;
  return false;
}

static void set_secret(void *p, size_t len, bool secret) {
  (void)p, (void)len, (void)secret;
}
#endif

/* The declarations that --wrap needs, then the wrapper itself. */
#define WRAP(name, parameters)  \
  int __real_##name parameters; \
  int __wrap_##name parameters; \
  int __wrap_##name parameters

static int marked(int result, bool secret) {
  set_secret(&result, sizeof result, secret);
  return result;
}

WRAP(crypto_generichash_init,
     (crypto_generichash_state * state, const unsigned char *key, const size_t keylen, const size_t outlen)) {
  const bool secret = is_secret(key, keylen);
  const int result = __real_crypto_generichash_init(state, key, keylen, outlen);
  set_secret(state, sizeof *state, secret);
  return result;
}

WRAP(crypto_generichash_update, (crypto_generichash_state * state, const unsigned char *in, unsigned long long inlen)) {
  const bool secret = is_secret(state, sizeof *state) || is_secret(in, (size_t)inlen);
  const int result = __real_crypto_generichash_update(state, in, inlen);
  set_secret(state, sizeof *state, secret);
  return result;
}

WRAP(crypto_generichash_final, (crypto_generichash_state * state, unsigned char *out, const size_t outlen)) {
  const bool secret = is_secret(state, sizeof *state);
  const int result = __real_crypto_generichash_final(state, out, outlen);
  set_secret(out, outlen, secret);
  return result;
}

WRAP(crypto_generichash, (unsigned char *out, size_t outlen, const unsigned char *in, unsigned long long inlen,
                          const unsigned char *key, size_t keylen)) {
  const bool secret = is_secret(in, (size_t)inlen) || is_secret(key, keylen);
  const int result = __real_crypto_generichash(out, outlen, in, inlen, key, keylen);
  set_secret(out, outlen, secret);
  return result;
}

WRAP(sodium_memcmp, (const void *const a, const void *const b, size_t len)) {
  const bool secret = is_secret(a, len) || is_secret(b, len);
  return marked(__real_sodium_memcmp(a, b, len), secret);
}

WRAP(crypto_core_ristretto255_add, (unsigned char *r, const unsigned char *p, const unsigned char *q)) {
  const bool secret = is_secret(p, 32) || is_secret(q, 32);
  const int result = __real_crypto_core_ristretto255_add(r, p, q);
  set_secret(r, 32, secret);
  return marked(result, secret);
}

WRAP(crypto_core_ristretto255_sub, (unsigned char *r, const unsigned char *p, const unsigned char *q)) {
  const bool secret = is_secret(p, 32) || is_secret(q, 32);
  const int result = __real_crypto_core_ristretto255_sub(r, p, q);
  set_secret(r, 32, secret);
  return marked(result, secret);
}

WRAP(crypto_core_ristretto255_from_hash, (unsigned char *p, const unsigned char *r)) {
  const bool secret = is_secret(r, 64);
  const int result = __real_crypto_core_ristretto255_from_hash(p, r);
  set_secret(p, 32, secret);
  return result;
}

WRAP(crypto_scalarmult_ristretto255, (unsigned char *q, const unsigned char *n, const unsigned char *p)) {
  const bool secret = is_secret(n, 32) || is_secret(p, 32);
  const int result = __real_crypto_scalarmult_ristretto255(q, n, p);
  set_secret(q, 32, secret);
  return marked(result, secret);
}

WRAP(crypto_scalarmult_ristretto255_base, (unsigned char *q, const unsigned char *n)) {
  const bool secret = is_secret(n, 32);
  const int result = __real_crypto_scalarmult_ristretto255_base(q, n);
  set_secret(q, 32, secret);
  return marked(result, secret);
}

void __real_crypto_core_ristretto255_scalar_reduce(unsigned char *r, const unsigned char *s);
void __wrap_crypto_core_ristretto255_scalar_reduce(unsigned char *r, const unsigned char *s);

void __wrap_crypto_core_ristretto255_scalar_reduce(unsigned char *r, const unsigned char *s) {
  const bool secret = is_secret(s, 64);
  __real_crypto_core_ristretto255_scalar_reduce(r, s);
  set_secret(r, 32, secret);
}
