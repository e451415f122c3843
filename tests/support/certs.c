#include "support/certs.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct identity {
  EVP_PKEY *key;
  X509 *cert;
};

static void need(bool good, const char *what) {
  if (good) return;
  fprintf(stderr, "certificates for the tests: %s failed\n", what);
  abort();
}

static void extend(X509 *cert, X509 *issuer, int nid, const char *value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
  X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &context, nid, value);
  need(e && X509_add_ext(cert, e, -1), "extension");
  X509_EXTENSION_free(e);
}

static struct identity identity_make(const char *name, const struct identity *issuer, long serial) {
  struct identity id = {.key = EVP_EC_gen("P-256"), .cert = X509_new()};
  need(id.key && id.cert, "key");
  X509_set_version(id.cert, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(id.cert), serial);
  X509_gmtime_adj(X509_getm_notBefore(id.cert), -3600);
  X509_gmtime_adj(X509_getm_notAfter(id.cert), 24 * 3600);
  X509_set_pubkey(id.cert, id.key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(id.cert), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1,
                             0);
  X509 *signer = issuer ? issuer->cert : id.cert;
  X509_set_issuer_name(id.cert, X509_get_subject_name(signer));
  extend(id.cert, signer, NID_basic_constraints, issuer ? "critical,CA:FALSE" : "critical,CA:TRUE");
  if (issuer) extend(id.cert, signer, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
  need(X509_sign(id.cert, issuer ? issuer->key : id.key, EVP_sha256()) > 0, "signature");
  return id;
}

static void write_pem(const char *path, X509 *cert, EVP_PKEY *key) {
  FILE *f = fopen(path, "w");
  need(f, path);
  if (cert) need(PEM_write_X509(f, cert), path);
  if (key) need(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), path);
  need(fclose(f) == 0, path);
}

static void identity_free(struct identity *id) {
  EVP_PKEY_free(id->key);
  X509_free(id->cert);
}

void certs_make(struct certs *c) {
  snprintf(c->dir, sizeof c->dir, "/tmp/fusion-test-XXXXXX");
  need(mkdtemp(c->dir), "mkdtemp");
  snprintf(c->ca, sizeof c->ca, "%s/ca.pem", c->dir);
  snprintf(c->other_ca, sizeof c->other_ca, "%s/other.pem", c->dir);
  snprintf(c->server_cert, sizeof c->server_cert, "%s/server.pem", c->dir);
  snprintf(c->server_key, sizeof c->server_key, "%s/server.key", c->dir);
  snprintf(c->client_cert, sizeof c->client_cert, "%s/client.pem", c->dir);
  snprintf(c->client_key, sizeof c->client_key, "%s/client.key", c->dir);
  struct identity ca = identity_make("fusion test authority", NULL, 1);
  struct identity other = identity_make("another authority", NULL, 2);
  struct identity server = identity_make("localhost", &ca, 3);
  struct identity client = identity_make("a client", &ca, 4);
  write_pem(c->ca, ca.cert, NULL);
  write_pem(c->other_ca, other.cert, NULL);
  write_pem(c->server_cert, server.cert, NULL);
  write_pem(c->server_key, NULL, server.key);
  write_pem(c->client_cert, client.cert, NULL);
  write_pem(c->client_key, NULL, client.key);
  identity_free(&ca);
  identity_free(&other);
  identity_free(&server);
  identity_free(&client);
}

void certs_free(const struct certs *c) {
  unlink(c->ca);
  unlink(c->other_ca);
  unlink(c->server_cert);
  unlink(c->server_key);
  unlink(c->client_cert);
  unlink(c->client_key);
  rmdir(c->dir);
}
