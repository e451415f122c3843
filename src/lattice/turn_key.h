/** Keys that bring t(c1) back to the secret s, where t is an automorphism X -> X^(1 + 2N / 2^level).
 *
 *  c0 + t(c1) t(s) is a ciphertext under t(s). For each digit of t(c1) the client encrypts w * t(s) under s, where w is
 *  what the digit counts; the server adds the digits times these ciphertexts. What digits there are, and their w, tells
 *  a turn_kind: galois.h has residues, interleave.h has groups of bits. c1 of the keys comes from the session's public
 * seed, so c0 alone travels, transformed, 26 bits a number.
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
  unsigned set;               /* of params.h: its primes */
  size_t ring, digits, limbs; /* ring: of rlwe_ring_log_n; limbs: primes that a key has */
  /** What a digit counts, modulo the prime `limb`. */
  uint64_t (*weight)(size_t digit, size_t limb);
};

/** Payload of the message: keys of the levels 1 .. `levels`. */
size_t turn_key_len(const struct turn_kind *kind, size_t levels);
/** Part of opening a session, behind the public keys: the client makes and sends, the server receives. Nothing without
 *  levels. *keys: for mem_free(), values in Montgomery form; see turn_key_at(). */
fusion_status turn_key_send(struct rlwe *r, const struct turn_kind *kind, size_t levels) FUSION_MUST_CHECK;
fusion_status turn_key_receive(struct rlwe *r, const struct turn_kind *kind, size_t levels,
                               uint32_t **keys) FUSION_MUST_CHECK;

/** A digit's key: half 0 is c0, 1 is c1, each [limbs][N]. Halves lie one behind the other, and so do digits. */
static inline uint32_t *turn_key_at(const struct turn_kind *kind, uint32_t *keys, unsigned level, size_t digit,
                                    size_t half) {
  return keys + ((((level - 1) * kind->digits + digit) * 2 + half) * kind->limbs << rlwe_ring_log_n[kind->ring]);
}

/** Of the automorphism t for the stride 2^level. */
static inline size_t turn_exponent(size_t n, unsigned level) {
  return 1 + (2 * n >> level);
}

#endif
