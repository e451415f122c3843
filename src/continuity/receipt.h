/** Receipts: what a server signs at the end of a connection: whose model, which messages, how many samples, when.
 * Nothing in a receipt depends on inputs, answers or the verdict; it is made before the client verifies.
 *  docs/protocols/receipts.md has every byte.
 *
 *  Ed25519 (libsodium). The signed bytes begin with a magic of their own, so that the key signs nothing else by
 * mistake. */
#ifndef FUSION_CONTINUITY_RECEIPT_H
#define FUSION_CONTINUITY_RECEIPT_H

#include "base/cursor.h"
#include "program/program.h"

enum {
  RECEIPT_LEN = 312, /* signature included */
  RECEIPT_JOB_LEN = 16,
  RECEIPT_HASH_LEN = 32,
  RECEIPT_KEY_LEN = 32,     /* public */
  RECEIPT_SECRET_LEN = 64,  /* as libsodium keeps it: seed and public key */
  RECEIPT_SEED_LEN = 32,    /* what a key file holds */
  RECEIPTS_MAX = 1 << 16,   /* in a file: connections of a job that ran samples */
  RECEIPTS_HEADER_LEN = 16, /* of a file */
};

/** What a receipt says of one connection. */
struct receipt {
  uint8_t job[RECEIPT_JOB_LEN];
  uint8_t model_id[MODEL_ID_LEN];
  uint8_t manifest_hash[RECEIPT_HASH_LEN];
  uint64_t declared;                     /* samples that the client declared for the whole job */
  uint64_t samples;                      /* that ran on this connection */
  uint32_t shards;                       /* in which they ran */
  uint64_t time;                         /* seconds since 1970, UTC, by the server's clock */
  uint8_t certificate[RECEIPT_HASH_LEN]; /* SHA-256 of the server's TLS certificate (DER); zeros without TLS */
  uint8_t sent[RECEIPT_HASH_LEN];        /* BLAKE2b of all frames that the server sent before this one */
  uint8_t received[RECEIPT_HASH_LEN];    /* and of all that it received */
  uint8_t key[RECEIPT_KEY_LEN];          /* public key of the signature; receipt_sign fills it in */
};

/** Needs sodium_init. */
void receipt_key_from_seed(uint8_t secret[RECEIPT_SECRET_LEN], const uint8_t seed[RECEIPT_SEED_LEN]);
/** The public key of a secret one. */
const uint8_t *receipt_public_key(const uint8_t secret[RECEIPT_SECRET_LEN]);

void receipt_sign(uint8_t out[RECEIPT_LEN], const struct receipt *r, const uint8_t secret[RECEIPT_SECRET_LEN]);
/** Reads a receipt whose signature fits the key in it. Whose key it is, and whether the rest is as expected, is for the
 *  caller to check. FUSION_E_CRYPTO. */
fusion_status receipt_open(struct receipt *out, const uint8_t bytes[RECEIPT_LEN]) FUSION_MUST_CHECK;

/** A key file: one line of text that holds the seed. */
enum { RECEIPT_KEY_TEXT_LEN = 90 /* with its end of line, without a NUL */ };
void receipt_key_write(char out[RECEIPT_KEY_TEXT_LEN + 1], const uint8_t seed[RECEIPT_SEED_LEN]);
/** FUSION_E_INPUT. */
fusion_status receipt_key_read(uint8_t seed[RECEIPT_SEED_LEN], const char *text, size_t len) FUSION_MUST_CHECK;

/** What the receipts of a job say together. */
struct receipts_summary {
  struct receipt first; /* the first in the file; what is of the job holds for all */
  uint64_t samples, shards;
  uint32_t connections;
  uint64_t earliest, latest; /* times */
  bool one_certificate;      /* first.certificate is that of all */
};

/** Sorts `count` receipts in place and writes them as a file. A failure to grow sticks in the writer. */
void receipts_encode(struct writer *w, uint8_t (*receipts)[RECEIPT_LEN], size_t count);
/** Takes every byte as hostile: FUSION_E_INPUT (no such file, of another length), FUSION_E_CRYPTO (a signature is
 * wrong, receipts of different jobs or keys, one twice). `name` is for error texts. */
fusion_status receipts_decode(struct receipts_summary *out, const void *data, size_t len, const char *name,
                              fusion_error *err) FUSION_MUST_CHECK;

#endif
