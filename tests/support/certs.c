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

/* What a certificate says; NULL leaves the extension out. */
struct wish {
  const char *name;    /* common name */
  const char *names;   /* alternative names */
  const char *purpose; /* extended key usage */
  long shift;          /* seconds by which its day is later than today */
};

static const char localhost_names[] = "DNS:localhost,IP:127.0.0.1";

static struct identity identity_make(const struct wish *wish, const struct identity *issuer, long serial) {
  struct identity id = {.key = EVP_EC_gen("P-256"), .cert = X509_new()};
  need(id.key && id.cert, "key");
  X509_set_version(id.cert, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(id.cert), serial);
  X509_gmtime_adj(X509_getm_notBefore(id.cert), wish->shift - 3600);
  X509_gmtime_adj(X509_getm_notAfter(id.cert), wish->shift + 24 * 3600);
  X509_set_pubkey(id.cert, id.key);
  if (wish->name)
    X509_NAME_add_entry_by_txt(X509_get_subject_name(id.cert), "CN", MBSTRING_ASC, (const unsigned char *)wish->name,
                               -1, -1, 0);
  X509 *signer = issuer ? issuer->cert : id.cert;
  X509_set_issuer_name(id.cert, X509_get_subject_name(signer));
  extend(id.cert, signer, NID_basic_constraints, issuer ? "critical,CA:FALSE" : "critical,CA:TRUE");
  if (wish->names) extend(id.cert, signer, NID_subject_alt_name, wish->names);
  if (wish->purpose) extend(id.cert, signer, NID_ext_key_usage, wish->purpose);
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

/* An identity signed by `ca`: DIR/NAME.pem and DIR/NAME.key. */
static void issue(struct certs *c, const struct identity *ca, enum cert which, const struct wish *wish) {
  struct identity id = identity_make(wish, ca, 10 + (long)which);
  snprintf(c->cert[which], sizeof c->cert[which], "%s/%d.pem", c->dir, (int)which);
  snprintf(c->key[which], sizeof c->key[which], "%s/%d.key", c->dir, (int)which);
  write_pem(c->cert[which], id.cert, NULL);
  write_pem(c->key[which], NULL, id.key);
  identity_free(&id);
}

void certs_make(struct certs *c) {
  static const struct wish wishes[CERTS] = {
      [CERT_SERVER] = {"localhost", localhost_names, "serverAuth", 0},
      [CERT_SERVER_COMMON_NAME] = {"localhost", NULL, "serverAuth", 0},
      [CERT_SERVER_NO_PURPOSE] = {"localhost", localhost_names, NULL, 0},
      [CERT_CLIENT] = {"a client", localhost_names, "clientAuth", 0},
      [CERT_CLIENT_NO_PURPOSE] = {"a client", NULL, NULL, 0},
      [CERT_SERVER_EXPIRED] = {"localhost", localhost_names, "serverAuth", -48 * 3600},
      [CERT_SERVER_TOO_EARLY] = {"localhost", localhost_names, "serverAuth", 48 * 3600},
      [CERT_CLIENT_NAMELESS] = {NULL, "IP:127.0.0.1,email:mail@example.org", "clientAuth", 0},
  };
  snprintf(c->dir, sizeof c->dir, "/tmp/fusion-test-XXXXXX");
  need(mkdtemp(c->dir), "mkdtemp");
  snprintf(c->ca, sizeof c->ca, "%s/ca.pem", c->dir);
  snprintf(c->other_ca, sizeof c->other_ca, "%s/other.pem", c->dir);
  struct identity ca = identity_make(&(struct wish){.name = "fusion test authority"}, NULL, 1);
  struct identity other = identity_make(&(struct wish){.name = "another authority"}, NULL, 2);
  write_pem(c->ca, ca.cert, NULL);
  write_pem(c->other_ca, other.cert, NULL);
  for (int i = 0; i < CERTS; i++) issue(c, &ca, (enum cert)i, &wishes[i]);
  c->server_cert = c->cert[CERT_SERVER], c->server_key = c->key[CERT_SERVER];
  c->client_cert = c->cert[CERT_CLIENT], c->client_key = c->key[CERT_CLIENT];
  identity_free(&ca);
  identity_free(&other);
}

void certs_free(const struct certs *c) {
  unlink(c->ca);
  unlink(c->other_ca);
  for (int i = 0; i < CERTS; i++) {
    unlink(c->cert[i]);
    unlink(c->key[i]);
  }
  rmdir(c->dir);
}
