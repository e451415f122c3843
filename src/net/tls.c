#include "net/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "net/socket.h"

struct tls_context {
  pthread_mutex_t lock; /* guards the pointer, which reloading changes; connections hold on to what they began with */
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

static fusion_status ctx_new(SSL_CTX **out, bool server, fusion_error *err) {
  ERR_clear_error();
  SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
  const bool good =
      ctx && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) && SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) &&
      SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256") &&
      SSL_CTX_set_num_tickets(ctx, 0);
  if (!good) {
    SSL_CTX_free(ctx);
    return error_set(err, FUSION_E_TLS, "TLS 1.3 cannot be set up: %s", last_reason());
  }
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(ctx, 1);
  SSL_CTX_set_default_read_buffer_len(ctx, 1 << 17);
  SSL_CTX_set_default_passwd_cb(ctx, no_password);
  *out = ctx;
  return FUSION_OK;
}

/* Takes ctx. */
static fusion_status context_new(struct tls_context **out, SSL_CTX *ctx, bool server, fusion_error *err) {
  struct tls_context *c = mem_alloc(1, sizeof *c);
  BIO_METHOD *bio = bio_method_new();
  *out = NULL;
  if (!c || !bio) {
    mem_free(c);
    BIO_meth_free(bio);
    SSL_CTX_free(ctx);
    return error_set(err, FUSION_E_MEMORY, "out of memory for the TLS settings");
  }
  c->ctx = ctx;
  c->bio = bio;
  c->server = server;
  pthread_mutex_init(&c->lock, NULL);
  *out = c;
  return FUSION_OK;
}

/* OpenSSL's own words for a missing file help nobody. */
static fusion_status check_readable(const char *path, fusion_error *err) {
  if (access(path, R_OK) == 0) return FUSION_OK;
  return error_set(err, FUSION_E_IO, "'%.200s': cannot be opened: %s", path, strerror(errno));
}

static void format_time(const ASN1_TIME *time, char out[32]) {
  struct tm utc;
  if (ASN1_TIME_to_tm(time, &utc) != 1 || !strftime(out, 32, "%Y-%m-%d %H:%M UTC", &utc)) out[0] = '\0';
}

/* The peer would refuse it, and say so to nobody here. */
static fusion_status check_dates(const X509 *cert, const char *path, fusion_error *err) {
  char when[32];
  if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0) {
    format_time(X509_get0_notAfter(cert), when);
    return error_set(err, FUSION_E_TLS, "'%.200s': this certificate expired on %s; get a new one", path, when);
  }
  if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0) {
    format_time(X509_get0_notBefore(cert), when);
    return error_set(err, FUSION_E_TLS,
                     "'%.200s': this certificate is not valid before %s; is this machine's clock right?", path, when);
  }
  return FUSION_OK;
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
  return check_dates(SSL_CTX_get0_certificate(ctx), cert_file, err);
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
  SSL_CTX *ctx;
  fusion_status status = ctx_new(&ctx, false, err);
  if (status != FUSION_OK) return status;
  TRY(load_trust(ctx, ca_file, err));
  if (cert_file) TRY(load_identity(ctx, cert_file, key_file, err));
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, verify_server);
  return context_new(out, ctx, false, err);
cleanup:
  SSL_CTX_free(ctx);
  return status;
}

static fusion_status server_ctx(SSL_CTX **out, const char *cert_file, const char *key_file, const char *client_ca_file,
                                fusion_error *err) {
  if (!cert_file || !key_file) return error_set(err, FUSION_E_USAGE, "TLS needs a certificate file and its key file");
  SSL_CTX *ctx;
  fusion_status status = ctx_new(&ctx, true, err);
  if (status != FUSION_OK) return status;
  TRY(load_identity(ctx, cert_file, key_file, err));
  if (client_ca_file) {
    TRY(load_trust(ctx, client_ca_file, err));
    SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(client_ca_file));
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verify_client);
  }
  *out = ctx;
  return FUSION_OK;
cleanup:
  SSL_CTX_free(ctx);
  return status;
}

fusion_status tls_server_new(struct tls_context **out, const char *cert_file, const char *key_file,
                             const char *client_ca_file, fusion_error *err) {
  *out = NULL;
  SSL_CTX *ctx = NULL;
  const fusion_status status = server_ctx(&ctx, cert_file, key_file, client_ca_file, err);
  return status == FUSION_OK ? context_new(out, ctx, true, err) : status;
}

fusion_status tls_server_reload(struct tls_context *c, const char *cert_file, const char *key_file,
                                const char *client_ca_file, fusion_error *err) {
  SSL_CTX *fresh = NULL;
  const fusion_status status = server_ctx(&fresh, cert_file, key_file, client_ca_file, err);
  if (status != FUSION_OK) return status;
  pthread_mutex_lock(&c->lock);
  SSL_CTX *old = c->ctx;
  c->ctx = fresh;
  pthread_mutex_unlock(&c->lock);
  SSL_CTX_free(old);
  return FUSION_OK;
}

void tls_free(struct tls_context *c) {
  if (!c) return;
  SSL_CTX_free(c->ctx);
  BIO_meth_free(c->bio);
  pthread_mutex_destroy(&c->lock);
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
  pthread_mutex_lock(&c->lock);
  SSL *ssl = SSL_new(c->ctx);
  pthread_mutex_unlock(&c->lock);
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

void tls_shown_hash(const SSL *ssl, uint8_t hash[TLS_HASH_LEN]) {
  if (!hash_certificate(SSL_get_certificate(ssl), hash)) memset(hash, 0, TLS_HASH_LEN);
}

/* Copies a name if it is printable ASCII and fits. */
static bool take_name(const ASN1_STRING *text, char name[NET_NAME_LEN]) {
  const unsigned char *data = text ? ASN1_STRING_get0_data(text) : NULL;
  const int len = text ? ASN1_STRING_length(text) : 0;
  if (!data || len < 1 || len >= NET_NAME_LEN) return false;
  for (int i = 0; i < len; i++)
    if (data[i] < ' ' || data[i] > '~') return false;
  memcpy(name, data, (size_t)len);
  name[len] = '\0';
  return true;
}

static bool common_name(const X509 *cert, char name[NET_NAME_LEN], bool *there) {
  const X509_NAME *subject = X509_get_subject_name(cert);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  *there = at >= 0;
  return at >= 0 && take_name(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), name);
}

static bool alternative_name(const X509 *cert, char name[NET_NAME_LEN]) {
  GENERAL_NAMES *list = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
  bool taken = false;
  for (int i = 0; !taken && i < sk_GENERAL_NAME_num(list); i++) {
    const GENERAL_NAME *g = sk_GENERAL_NAME_value(list, i);
    const bool text = g->type == GEN_DNS || g->type == GEN_EMAIL || g->type == GEN_URI;
    taken = text && take_name(g->d.ia5, name);
  }
  GENERAL_NAMES_free(list);
  return taken;
}

void tls_peer_name(const SSL *ssl, char name[NET_NAME_LEN]) {
  X509 *cert = SSL_get1_peer_certificate(ssl);
  uint8_t hash[TLS_HASH_LEN];
  bool there = false;
  name[0] = '\0';
  if (cert && !common_name(cert, name, &there) && (there || !alternative_name(cert, name)) &&
      hash_certificate(cert, hash)) {
    size_t len = (size_t)snprintf(name, NET_NAME_LEN, "sha256:");
    for (int i = 0; i < 20; i++) len += (size_t)snprintf(name + len, NET_NAME_LEN - len, "%02x", hash[i]);
  }
  X509_free(cert);
}
