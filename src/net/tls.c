#include "net/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/socket.h"

struct tls_context {
  SSL_CTX *ctx;
  BIO_METHOD *bio; /* OpenSSL's own socket BIO would raise SIGPIPE */
  bool server;
};

static int bio_write(BIO *b, const char *data, int len) {
  BIO_clear_retry_flags(b);
  const ssize_t n = send((int)(intptr_t)BIO_get_data(b), data, (size_t)len, MSG_NOSIGNAL);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) BIO_set_retry_write(b);
  return (int)n;
}

static int bio_read(BIO *b, char *data, int len) {
  BIO_clear_retry_flags(b);
  const ssize_t n = recv((int)(intptr_t)BIO_get_data(b), data, (size_t)len, 0);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) BIO_set_retry_read(b);
  return (int)n;
}

static long bio_ctrl(BIO *b, int command, long number, void *pointer) {
  (void)b, (void)number, (void)pointer;
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *bio_method_new(void) {
  BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "fusion socket");
  if (m && BIO_meth_set_write(m, bio_write) && BIO_meth_set_read(m, bio_read) && BIO_meth_set_ctrl(m, bio_ctrl))
    return m;
  BIO_meth_free(m);
  return NULL;
}

/* An encrypted key file is refused: the library never asks on the terminal. */
static int no_password(char *out, int capacity, int writing, void *context) {
  (void)out, (void)capacity, (void)writing, (void)context;
  return -1;
}

static const char *last_reason(void) {
  const unsigned long code = ERR_peek_last_error();
  if (ERR_GET_LIB(code) == ERR_LIB_SYS) return strerror(ERR_GET_REASON(code));
  const char *reason = ERR_reason_error_string(code);
  return reason ? reason : "unknown reason";
}

static fusion_status context_new(struct tls_context **out, bool server, fusion_error *err) {
  struct tls_context *c = mem_alloc(1, sizeof *c);
  *out = NULL;
  if (!c) return error_set(err, FUSION_E_MEMORY, "out of memory for the TLS settings");
  ERR_clear_error();
  c->server = server;
  c->ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
  c->bio = bio_method_new();
  const bool good =
      c->ctx && c->bio && SSL_CTX_set_min_proto_version(c->ctx, TLS1_3_VERSION) &&
      SSL_CTX_set_max_proto_version(c->ctx, TLS1_3_VERSION) &&
      SSL_CTX_set_ciphersuites(c->ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256") &&
      SSL_CTX_set_num_tickets(c->ctx, 0);
  if (!good) {
    tls_free(c);
    return error_set(err, FUSION_E_TLS, "TLS 1.3 cannot be set up: %s", last_reason());
  }
  SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(c->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(c->ctx, 1);
  SSL_CTX_set_default_read_buffer_len(c->ctx, 1 << 17);
  SSL_CTX_set_default_passwd_cb(c->ctx, no_password);
  *out = c;
  return FUSION_OK;
}

/* OpenSSL's own words for a missing file help nobody. */
static fusion_status check_readable(const char *path, fusion_error *err) {
  if (access(path, R_OK) == 0) return FUSION_OK;
  return error_set(err, FUSION_E_IO, "'%.200s': cannot be opened: %s", path, strerror(errno));
}

static fusion_status load_identity(SSL_CTX *ctx, const char *cert_file, const char *key_file, fusion_error *err) {
  fusion_status status = check_readable(cert_file, err);
  if (status == FUSION_OK) status = check_readable(key_file, err);
  if (status != FUSION_OK) return status;
  if (SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1)
    return error_set(err, FUSION_E_TLS, "'%.200s': cannot read a PEM certificate: %s", cert_file, last_reason());
  if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1)
    return error_set(err, FUSION_E_TLS, "'%.200s': cannot read a PEM key without password for '%.200s': %s", key_file,
                     cert_file, last_reason());
  return FUSION_OK;
}

static fusion_status load_trust(SSL_CTX *ctx, const char *ca_file, fusion_error *err) {
  const fusion_status status = check_readable(ca_file, err);
  if (status != FUSION_OK) return status;
  if (SSL_CTX_load_verify_file(ctx, ca_file) == 1) return FUSION_OK;
  return error_set(err, FUSION_E_TLS, "'%.200s': cannot read PEM certificates to trust: %s", ca_file, last_reason());
}

/* OpenSSL takes a certificate that states no purpose for any. Here the purpose must be stated: whoever holds a
 * certificate of the same authority for something else can pass for nobody. */
static int require_purpose(int good, X509_STORE_CTX *store, uint32_t purpose) {
  if (!good || X509_STORE_CTX_get_error_depth(store) != 0) return good;
  const uint32_t stated = X509_get_extended_key_usage(X509_STORE_CTX_get_current_cert(store));
  if (stated != UINT32_MAX && (stated & purpose)) return 1; /* UINT32_MAX: the extension is missing */
  X509_STORE_CTX_set_error(store, X509_V_ERR_INVALID_PURPOSE);
  return 0;
}

static int verify_server(int good, X509_STORE_CTX *store) {
  return require_purpose(good, store, XKU_SSL_SERVER);
}

static int verify_client(int good, X509_STORE_CTX *store) {
  return require_purpose(good, store, XKU_SSL_CLIENT);
}

fusion_status tls_client_new(struct tls_context **out, const char *ca_file, const char *cert_file, const char *key_file,
                             fusion_error *err) {
  *out = NULL;
  if (!ca_file) return error_set(err, FUSION_E_USAGE, "TLS needs a file with the certificate authority to trust");
  if (!cert_file != !key_file)
    return error_set(err, FUSION_E_USAGE, "a client certificate and its key are given together or not at all");
  struct tls_context *c;
  fusion_status status = context_new(&c, false, err);
  if (status != FUSION_OK) return status;
  TRY(load_trust(c->ctx, ca_file, err));
  if (cert_file) TRY(load_identity(c->ctx, cert_file, key_file, err));
  SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, verify_server);
  *out = c;
  return FUSION_OK;
cleanup:
  tls_free(c);
  return status;
}

fusion_status tls_server_new(struct tls_context **out, const char *cert_file, const char *key_file,
                             const char *client_ca_file, fusion_error *err) {
  *out = NULL;
  if (!cert_file || !key_file) return error_set(err, FUSION_E_USAGE, "TLS needs a certificate file and its key file");
  struct tls_context *c;
  fusion_status status = context_new(&c, true, err);
  if (status != FUSION_OK) return status;
  TRY(load_identity(c->ctx, cert_file, key_file, err));
  if (client_ca_file) {
    TRY(load_trust(c->ctx, client_ca_file, err));
    SSL_CTX_set_client_CA_list(c->ctx, SSL_load_client_CA_file(client_ca_file));
    SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verify_client);
  }
  *out = c;
  return FUSION_OK;
cleanup:
  tls_free(c);
  return status;
}

void tls_free(struct tls_context *c) {
  if (!c) return;
  SSL_CTX_free(c->ctx);
  BIO_meth_free(c->bio);
  mem_free(c);
}

/* A peer that does not want this side says so after its own part of the handshake. */
static bool is_rejection(int reason) {
  static const int reasons[] = {
      SSL_R_SSLV3_ALERT_BAD_CERTIFICATE,       SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE,
      SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED,   SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED,
      SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN,   SSL_R_TLSV1_ALERT_UNKNOWN_CA,
      SSL_R_TLSV1_ALERT_ACCESS_DENIED,         SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED,
      SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE,     SSL_R_TLSV1_ALERT_PROTOCOL_VERSION,
      SSL_R_TLSV1_ALERT_INSUFFICIENT_SECURITY,
  };
  for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
    if (reason == reasons[i]) return true;
  return false;
}

/* Records that are broken, as the peers see them. Once the keys are agreed on nobody but the network makes those: the
 * connection is lost as if it had been cut. */
static bool is_damage(const SSL *ssl, int reason) {
  if (SSL_is_init_finished(ssl)) return !is_rejection(reason);
  return reason == SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC || reason == SSL_R_SSLV3_ALERT_BAD_RECORD_MAC ||
         reason == SSL_R_DIGEST_CHECK_FAILED || reason == SSL_R_TLSV1_ALERT_DECRYPT_ERROR;
}

fusion_status tls_outcome(const SSL *ssl, int result, short *events, fusion_error *err) {
  const int problem = errno;
  *events = 0;
  switch (SSL_get_error(ssl, result)) {
    case SSL_ERROR_WANT_READ: *events = POLLIN; return FUSION_OK;
    case SSL_ERROR_WANT_WRITE: *events = POLLOUT; return FUSION_OK;
    case SSL_ERROR_ZERO_RETURN: return error_set(err, FUSION_E_CLOSED, "the peer closed the connection");
    case SSL_ERROR_SYSCALL:
      if (problem == 0 || problem == ECONNRESET || problem == EPIPE)
        return error_set(err, FUSION_E_CLOSED, "the connection broke off");
      return error_set(err, FUSION_E_NETWORK, "the connection failed: %s", strerror(problem));
    default: break;
  }
  const int reason = ERR_GET_REASON(ERR_peek_last_error());
  if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) return error_set(err, FUSION_E_CLOSED, "the connection broke off");
  if (is_damage(ssl, reason))
    return error_set(err, FUSION_E_NETWORK, "the network altered the connection's bytes (TLS: %s)", last_reason());
  return error_set(err, FUSION_E_TLS, "TLS failed: %s", last_reason());
}

/* The alternative names in the certificate must include `host`, be it a name or an address. The common name does not
 * count: it is free text (RFC 6125, 6.4.4), and OpenSSL falls back to it unless told otherwise. */
static bool expect_host(SSL *ssl, const char *host) {
  unsigned char address[16];
  if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
    return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

static fusion_status explain_failure(const SSL *ssl, fusion_status status, fusion_error *err) {
  const long verdict = SSL_get_verify_result(ssl);
  if (status == FUSION_E_TLS && verdict == X509_V_ERR_INVALID_PURPOSE)
    return error_set(err, status,
                     "the peer's certificate is not for this purpose: a server's needs the extended key usage "
                     "serverAuth, a client's clientAuth");
  if (status == FUSION_E_TLS && verdict != X509_V_OK)
    return error_set(err, status, "the peer's certificate is not acceptable: %s",
                     X509_verify_cert_error_string(verdict));
  if (status == FUSION_E_TIMEOUT) return error_set(err, status, "the peer did not finish the TLS handshake in time");
  if (status == FUSION_E_CLOSED)
    return error_set(err, status, "the peer broke off the TLS handshake (does it expect plaintext?)");
  return status;
}

fusion_status tls_handshake(SSL **out, struct tls_context *c, int fd, const char *host, double deadline,
                            fusion_error *err) {
  *out = NULL;
  SSL *ssl = SSL_new(c->ctx);
  BIO *bio = BIO_new(c->bio);
  fusion_status status = FUSION_OK;
  if (!ssl || !bio || (host && !expect_host(ssl, host))) {
    BIO_free(bio);
    SSL_free(ssl);
    return error_set(err, FUSION_E_MEMORY, "out of memory for a TLS connection");
  }
  BIO_set_data(bio, (void *)(intptr_t)fd);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl, bio, bio);
  for (;;) {
    short events;
    ERR_clear_error();
    errno = 0;
    const int result = c->server ? SSL_accept(ssl) : SSL_connect(ssl);
    if (result == 1) break;
    TRY(tls_outcome(ssl, result, &events, err));
    TRY(socket_wait(fd, events, deadline));
  }
  *out = ssl;
  return FUSION_OK;
cleanup:
  status = explain_failure(ssl, status, err);
  SSL_free(ssl);
  return status;
}

void tls_close(SSL *ssl) {
  if (!ssl) return;
  ERR_clear_error();
  SSL_shutdown(ssl); /* says goodbye if the socket takes it at once; the answer is not awaited */
  SSL_free(ssl);
}

static bool hash_certificate(const X509 *cert, uint8_t hash[TLS_HASH_LEN]) {
  unsigned len = 0;
  return cert && X509_digest(cert, EVP_sha256(), hash, &len) == 1 && len == TLS_HASH_LEN;
}

bool tls_peer_hash(const SSL *ssl, uint8_t hash[TLS_HASH_LEN]) {
  X509 *cert = SSL_get1_peer_certificate(ssl);
  const bool good = hash_certificate(cert, hash);
  X509_free(cert);
  return good;
}

bool tls_own_hash(const struct tls_context *c, uint8_t hash[TLS_HASH_LEN]) {
  return hash_certificate(SSL_CTX_get0_certificate(c->ctx), hash);
}
