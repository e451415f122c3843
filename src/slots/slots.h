/** slots: encryption whose plaintexts are vectors that can be multiplied slot by slot and rotated (BFV), and linear
 *  layers on it with CrypTFlow2's packing. The folder is apart from `lattice`, whose encryption has neither slots nor
 *  rotations and shares no arithmetic with this one (26-bit primes there, 50-bit primes here).
 *
 *  This file: a session's keys, ciphertexts, and what a party may do with them.
 *
 *  Encryption of m(X) modulo t under the client's ternary secret s: c0 + c1*s = round(q*m/t) + e modulo q, c1 from a
 *  public seed. Polynomials are kept transformed (slots_ntt.h), limb k at `k * SLOTS_N`, values in [0, p_k).
 *  Slot i of row 0 is the value of m at psi^(3^i), of row 1 at psi^(-3^i), psi a primitive 2N-th root modulo t. The
 *  automorphism X -> X^(3^k) rotates both rows to the left by k, X -> X^-1 swaps them. It turns the key s into another
 *  one; a rotation key, an encryption of that key's multiples, turns it back (Brakerski, Vaikuntanathan 2011; digits by
 *  the primes of q and one special prime as Bajard et al. 2016 and SEAL have it).
 *
 *  Why a cheating server learns nothing: it gets encryptions under fresh keys of the client, each on its own uniform
 *  half; rotation keys are encryptions of functions of s (circular security, as all schemes with rotations assume).
 *  What it answers is decrypted and never sent back. */
#ifndef FUSION_SLOTS_SLOTS_H
#define FUSION_SLOTS_SLOTS_H

#include "net/channel.h"
#include "net/cost.h"
#include "rand/prg.h"
#include "slots/slots_kernels.h"
#include "slots/slots_params.h"

enum { SLOTS_KEYS_MAX = 96 };

/** Galois elements g of automorphisms X -> X^g, none twice, in the order in which their keys are sent. */
struct slots_elements {
  size_t count;
  uint32_t element[SLOTS_KEYS_MAX];
};
/** Adds one if it is not there; false when there is no room. */
bool slots_elements_add(struct slots_elements *e, uint32_t element);
/** The element that rotates rows to the left by `steps` (of any sign), and that which swaps them. */
uint32_t slots_rotation_element(int64_t steps);
#define SLOTS_SWAP ((uint32_t)(2 * SLOTS_N - 1))

/** A plaintext modulus with its tables. */
struct slots_plain {
  struct slots_table table;
  struct slots_fraction fraction;
  uint64_t q_mod;                   /* q mod t */
  uint64_t inverse_of[SLOTS_LIMBS]; /* 1/t mod p_k */
  uint32_t position[SLOTS_N];       /* of slot row * SLOTS_ROW + i in the transform */
};
fusion_status slots_plain_open(struct slots_plain **out, unsigned bits) FUSION_MUST_CHECK;
void slots_plain_close(struct slots_plain *p);

struct slots_rotation_key {
  uint32_t *permutation; /* owned: [N]: where a transformed value comes from */
  uint64_t *half[2];     /* owned: [SLOTS_LIMBS digits][SLOTS_PRIMES][N] */
};

struct slots {
  enum role role;
  struct channel *channel; /* borrowed */
  const struct slots_kernels *kernels;
  struct prg *secret; /* owned: keys, noise, masks */
  struct prg *shared; /* owned: from the public seed */
  uint64_t queries;   /* ciphertexts so far: numbers the forks of `shared` */
  struct slots_table table[SLOTS_PRIMES];
  struct slots_fraction fraction[SLOTS_LIMBS];
  uint64_t punctured[SLOTS_LIMBS];                    /* (q / p_k)^-1 mod p_k */
  uint64_t *key;                                      /* client: [SLOTS_PRIMES][N], guarded memory */
  uint64_t *public_key[2];                            /* server: [SLOTS_LIMBS][N] */
  struct slots_elements elements;                     /* whose keys both parties have */
  struct slots_rotation_key rotation[SLOTS_KEYS_MAX]; /* server, in the order of `elements` */
};

/** Client: fresh keys, sends the public one. Server: receives it. Cost: slots_open_cost. */
fusion_status slots_open(struct slots **out, enum role role, struct channel *channel,
                         const struct prg *seed) FUSION_MUST_CHECK;
void slots_open_cost(struct cost *cost);
/** NULL is allowed. */
void slots_close(struct slots *s);
/** Bytes that a session's state takes with so many rotation keys. */
size_t slots_memory(enum role role, size_t keys);

/** The client makes and sends the keys of `wanted` that the session does not have yet, one message each. */
fusion_status slots_add_rotations(struct slots *s, const struct slots_elements *wanted) FUSION_MUST_CHECK;
/** Declares it; `have` is what the session has, and gets them. */
void slots_add_rotations_cost(struct cost *cost, struct slots_elements *have, const struct slots_elements *wanted);

/** Words of a ciphertext: c0, then c1, each [SLOTS_LIMBS][N]. */
enum { SLOTS_POLY = SLOTS_LIMBS * SLOTS_N, SLOTS_CIPHER = 2 * SLOTS_POLY };

/* The client. */
size_t slots_query_len(void);
size_t slots_answer_len(unsigned plain_bits);
/** Encrypts and sends slots [N], each below t. `work`: SLOTS_CLIENT_WORK words, secret. */
enum { SLOTS_CLIENT_WORK = 4 * SLOTS_N };
fusion_status slots_send_query(struct slots *s, const struct slots_plain *plain, const uint64_t *slots, uint64_t *work,
                               uint8_t *message) FUSION_MUST_CHECK;
/** Receives an answer and decrypts it to slots [N], each below t, whatever was sent. */
fusion_status slots_receive_answer(struct slots *s, const struct slots_plain *plain, uint64_t *slots, uint64_t *work,
                                   uint8_t *message) FUSION_MUST_CHECK;

/* The server. */
fusion_status slots_receive_query(struct slots *s, uint64_t *cipher, uint8_t *message) FUSION_MUST_CHECK;
/** Slots [N] to a plaintext that ciphertexts can be multiplied with, [SLOTS_LIMBS][N]. work: [N]. */
void slots_encode(const struct slots *s, const struct slots_plain *plain, const uint64_t *slots, uint64_t *out,
                  uint64_t *work);
/** sum += plaintext * cipher. */
void slots_multiply_add(const struct slots *s, uint64_t *sum, const uint64_t *plaintext, const uint64_t *cipher);
void slots_add_cipher(const struct slots *s, uint64_t *sum, const uint64_t *cipher);
/** out = the automorphism of `element`, whose key the session has, on cipher; out may be cipher. work:
 *  SLOTS_ROTATE_WORK words. */
enum { SLOTS_ROTATE_WORK = SLOTS_CIPHER + (2 * SLOTS_PRIMES + 2) * SLOTS_N };
void slots_rotate(const struct slots *s, uint64_t *out, const uint64_t *cipher, uint32_t element, uint64_t *work);
/** Draws a uniform mask, re-randomises, floods, rounds and sends cipher - mask; `slots` gets the mask's [N].
 *  cipher is overwritten. work: SLOTS_ANSWER_WORK words. */
enum { SLOTS_ANSWER_WORK = 5 * SLOTS_N };
fusion_status slots_send_answer(struct slots *s, const struct slots_plain *plain, uint64_t *cipher, uint64_t *slots,
                                uint64_t *work, uint8_t *message) FUSION_MUST_CHECK;

#endif
