/** Receipts: what a server has signed of a job. A client that asks for them gets one at the end of each connection,
 *  whatever the verdict; anybody can verify them later. */
#ifndef FUSION_RECEIPTS_H
#define FUSION_RECEIPTS_H

#include <stddef.h>
#include <stdint.h>

#include <fusion/client.h>
#include <fusion/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Hexadecimal digits of a key, an id or a hash, with a NUL. */
#define FUSION_HEX_LEN 72

/** Makes a key that signs receipts, in a new file with mode 0600. public_key: 64 hexadecimal digits, for the clients.
 *  FUSION_E_IO (the file is there, or cannot be made), FUSION_E_ENTROPY. */
FUSION_API fusion_status fusion_receipt_keygen(const char *path, char public_key[FUSION_HEX_LEN],
                                               fusion_error *err) FUSION_MUST_CHECK;

/** What the receipts of a job say together. */
typedef struct fusion_receipt_info {
  size_t size;                           /**< of this struct; see fusion.h */
  uint64_t connections, shards, samples; /**< that were signed for */
  uint64_t declared;                     /**< samples that the client declared for the job */
  uint64_t earliest, latest;             /**< seconds since 1970, UTC, by the server's clock */
  char job[FUSION_HEX_LEN];              /**< the job's number, drawn by the client, 32 digits */
  char model_id[FUSION_HEX_LEN];
  char manifest_hash[FUSION_HEX_LEN];    /**< BLAKE2b, as fusion_verdict has it */
  char certificate_hash[FUSION_HEX_LEN]; /**< SHA-256 of the server's certificate; empty: no TLS, or several */
  char public_key[FUSION_HEX_LEN];       /**< of the signatures */
} fusion_receipt_info;

/** Reads and verifies a file of receipts. `public_key`: the key that must have signed them; NULL: the one in the file,
 *  which proves nothing to somebody who does not know that key. FUSION_E_USAGE (not a key), FUSION_E_IO, FUSION_E_INPUT
 * (no such file, truncated), FUSION_E_CRYPTO (altered, of different jobs, or signed by another key). */
FUSION_API fusion_status fusion_receipt_verify(const char *path, const char *public_key, fusion_receipt_info *info,
                                               fusion_error *err) FUSION_MUST_CHECK;

/** The receipts of a job, verified, as the bytes of such a file; they belong to the result. *len is 0 when the client
 *  asked for none, or when no connection ran anything to its end. */
FUSION_API const void *fusion_result_receipts(const fusion_result *result, size_t *len);

#ifdef __cplusplus
}
#endif
#endif
