/** TLS 1.3 (OpenSSL): whom to trust and how to prove oneself. Nothing older than 1.3, no resumption, no early data. */
#ifndef FUSION_NET_TLS_H
#define FUSION_NET_TLS_H

#include <openssl/ssl.h>

#include "base/base.h"

enum { TLS_HASH_LEN = 32, NET_NAME_LEN = 128 };

struct tls_context; /* shared by any number of connections, from any thread */

/** Client: trusts the certificates in `ca_file` and no others, and of a server's certificate demands the extended key
 * usage serverAuth; `cert_file` and `key_file` (both NULL or both given)
 * prove who the client is. FUSION_E_IO (cannot be opened) and FUSION_E_TLS name the file at fault. */
fusion_status tls_client_new(struct tls_context **out, const char *ca_file, const char *cert_file, const char *key_file,
                             fusion_error *err) FUSION_MUST_CHECK;
/** Server: `client_ca_file` (may be NULL) makes client certificates signed by it compulsory, with the extended key
 * usage clientAuth. A certificate that has expired or is not valid yet is refused, the client's as the server's. */
fusion_status tls_server_new(struct tls_context **out, const char *cert_file, const char *key_file,
                             const char *client_ca_file, fusion_error *err) FUSION_MUST_CHECK;
/** Reads the files again, for handshakes from now on; on failure those that were read before stay. */
fusion_status tls_server_reload(struct tls_context *c, const char *cert_file, const char *key_file,
                                const char *client_ca_file, fusion_error *err) FUSION_MUST_CHECK;
void tls_free(struct tls_context *c);

/** One connection over the connected descriptor `fd` (borrowed), handshake done before `deadline`. A client gives the
 *  `host` that must be among the certificate's alternative names (the common name does not count); a server NULL. */
fusion_status tls_handshake(SSL **out, struct tls_context *c, int fd, const char *host, double deadline,
                            fusion_error *err) FUSION_MUST_CHECK;
void tls_close(SSL *ssl);

/** SHA-256 of the peer's certificate (DER); false when it showed none. */
bool tls_peer_hash(const SSL *ssl, uint8_t hash[TLS_HASH_LEN]);

/** The name that the peer's certificate gives it: the subject's common name, else its first alternative name (DNS, mail
 *  or URI). A name that is not printable ASCII, or longer, is the certificate's hash instead: "sha256:" and 40 hex
 * digits. Empty when it showed no certificate. */
void tls_peer_name(const SSL *ssl, char name[NET_NAME_LEN]);
/** SHA-256 of the certificate (DER) that this side showed on this connection; zeros when it showed none. */
void tls_shown_hash(const SSL *ssl, uint8_t hash[TLS_HASH_LEN]);

/** SHA-256 of the context's own certificate (DER); false when it has none. */
bool tls_own_hash(const struct tls_context *c, uint8_t hash[TLS_HASH_LEN]);

/** What the failed call on `ssl` means: FUSION_OK and *events (POLLIN or POLLOUT) when it must be repeated after a
 * wait, else FUSION_E_CLOSED, FUSION_E_IO or FUSION_E_TLS. */
fusion_status tls_outcome(const SSL *ssl, int result, short *events, fusion_error *err) FUSION_MUST_CHECK;

#endif
