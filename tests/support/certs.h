/** Certificates for tests, made afresh: two authorities, a server ("localhost", 127.0.0.1), a client. */
#ifndef FUSION_TESTS_CERTS_H
#define FUSION_TESTS_CERTS_H

struct certs {
  char dir[64];
  char ca[96], other_ca[96];
  char server_cert[96], server_key[96];
  char client_cert[96], client_key[96];
};

/** Writes the files into a new directory under /tmp; certs_free removes them. Aborts the test program on failure. */
void certs_make(struct certs *c);
void certs_free(const struct certs *c);

#endif
