/** Keys that bring t(c1) back to the secret s, where t is an automorphism X -> X^(1 + 2N / 2^level).
 *
 *  c0 + t(c1) t(s) is a ciphertext under t(s). For each digit of t(c1) the client encrypts w * t(s) under s, where w is
 *  what the digit counts; the server adds the digits times these ciphertexts. What digits there are, and their w, tells
 *  a turn_kind: galois.h has residues, interleave.h has groups of bits. c1 of the keys comes from the session's public
 * seed, so c0 alone travels, transformed, 26 bits a number. Several secrets have keys on the same c1, as bundles of
 * tiles need it; the same argument holds (rlwe.c).
 *
 *  Security: what the server gets are encryptions of functions of s under s itself; that they look uniform is the
 *  assumption of circular security that all schemes with automorphisms make, beside RLWE at the bits of the set. They
 * are made before anything of the client's input is used. */
#ifndef FUSION_LATTICE_TURN_KEY_H
#define FUSION_LATTICE_TURN_KEY_H

#include "lattice/lattice_messages.h"
#include "lattice/rlwe.h"

struct turn_kind {
  const char *label; /* of the public streams */
  message_type message;
  unsigned set;                      /* of params.h: its primes */
  size_t ring, digits, limbs;        /* ring: of rlwe_ring_log_n; limbs: primes that a key has */
  unsigned digit_bits, skipped_bits; /* interleave.h; 0 where digits are residues */
  /** What a digit counts, modulo the prime `limb`. */
  uint64_t (*weight)(const struct turn_kind *kind, size_t digit, size_t limb);
};

/** Payload of the message: keys of the levels 1 .. `levels` of so many secrets. */
size_t turn_key_len(const struct turn_kind *kind, size_t levels, size_t secrets);
/** Part of opening a session, behind the public keys: the client makes and sends, the server reads the payload. Nothing
 *  without levels. *keys: for mem_free(), values in Montgomery form; see turn_key_at(). */
fusion_status turn_key_send(struct rlwe *r, const struct turn_kind *kind, size_t levels,
                            size_t secrets) FUSION_MUST_CHECK;
fusion_status turn_key_take(const struct rlwe *r, const struct turn_kind *kind, size_t levels, size_t secrets,
                            const uint8_t *payload, uint32_t **keys) FUSION_MUST_CHECK;

/** Words of a digit's key: c0 under each secret, then the c1 that all have in common, [limbs][N] each. */
static inline size_t turn_key_words(const struct turn_kind *kind, size_t secrets) {
  return (secrets + 1) * kind->limbs << rlwe_ring_log_n[kind->ring];
}
/** Bytes of what turn_key_take() gives. */
static inline size_t turn_key_memory(const struct turn_kind *kind, size_t levels, size_t secrets) {
  return levels * kind->digits * turn_key_words(kind, secrets) * sizeof(uint32_t);
}
/** c0 under the secret number `half`, or c1 for half = secrets. Digits lie one behind the other. */
static inline uint32_t *turn_key_at(const struct turn_kind *kind, uint32_t *keys, size_t secrets, unsigned level,
                                    size_t digit, size_t half) {
  return keys + ((level - 1) * kind->digits + digit) * turn_key_words(kind, secrets) +
         (half * kind->limbs << rlwe_ring_log_n[kind->ring]);
}

/** Of the automorphism t for the stride 2^level. */
static inline size_t turn_exponent(size_t n, unsigned level) {
  return 1 + (2 * n >> level);
}

#endif
