/** Certificates for tests, made afresh: two authorities, servers and clients, some of which must be
 *  refused. All name localhost and 127.0.0.1 and state their purpose unless their name here says otherwise. */
#ifndef FUSION_TESTS_CERTS_H
#define FUSION_TESTS_CERTS_H

/** Certificates that the first authority signed. */
enum cert {
  CERT_SERVER,
  CERT_SERVER_COMMON_NAME, /* "localhost" as its common name alone */
  CERT_SERVER_NO_PURPOSE,
  CERT_CLIENT,
  CERT_CLIENT_NO_PURPOSE,
  CERT_SERVER_EXPIRED,   /* yesterday */
  CERT_SERVER_TOO_EARLY, /* from tomorrow on */
  CERT_CLIENT_NAMELESS,  /* without a common name; the second alternative name is "mail@example.org" */
  CERTS,
};

struct certs {
  char dir[64];
  char ca[96], other_ca[96];
  char cert[CERTS][96], key[CERTS][96];
  const char *server_cert, *server_key; /* CERT_SERVER's */
  const char *client_cert, *client_key; /* CERT_CLIENT's */
};

/** Writes the files into a new directory under /tmp; certs_free removes them. Aborts the test program on failure. */
void certs_make(struct certs *c);
void certs_free(const struct certs *c);

#endif
