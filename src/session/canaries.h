/** Canaries: what an accepted audit found, in a file of the client's own. Samples as the model takes them, the exact
 * answers, and how accurate they were. Later jobs hide some of them among their samples: one answer that differs shows
 * another model. The file is secret: its samples would be recognised, and accepted queries may have joined it.
 * docs/protocols/canaries.md has the format. */
#ifndef FUSION_SESSION_CANARIES_H
#define FUSION_SESSION_CANARIES_H

#include "base/base.h"
#include "session/messages.h"

enum { CANARY_TIME_LEN = 32, CANARY_CERTIFICATE_LEN = 32, CANARY_MODEL_LEN = 32 };
#define CANARY_ROWS_MAX ((uint64_t)1 << 32)
#define CANARY_ROW_MAX ((uint32_t)1 << 26) /* numbers in a sample, and in an answer */

/** How the audited samples of a class, by their true label, were answered. */
struct canary_class {
  uint32_t label;
  uint64_t samples, wrong;
};

struct canaries {
  uint8_t manifest_hash[SESSION_HASH_LEN];
  uint8_t certificate[CANARY_CERTIFICATE_LEN]; /* SHA-256 of the server's; zeros: the audit ran without TLS */
  uint8_t model_id[CANARY_MODEL_LEN];          /* zeros: the manifest named none */
  char audited_utc[CANARY_TIME_LEN];           /* ISO 8601 */
  double min_accuracy;                         /* that the audit asked for */
  uint64_t audited, wrong;                     /* samples of the audit, the file's first ones; with a wrong label */
  struct canary_class *classes;                /* owned: [class_count], by rising label */
  size_t class_count;
  uint32_t *labels; /* owned: [audited] */
  size_t rows;      /* audited ones, then queries that joined */
  size_t input_size, answer_size;
  int64_t *inputs, *answers; /* owned, secret: [rows][input_size], [rows][answer_size] */
};

/** Wipes and frees what it owns, not the struct itself. */
void canaries_free(struct canaries *c);

/** Counts samples and wrong answers by class, and in all, from `labels` and the labels that were `answered`, both
 *  [audited]; labels below 2^32. FUSION_E_MEMORY. */
fusion_status canaries_count(struct canaries *c, const int64_t *answered) FUSION_MUST_CHECK;

/** The file's bytes, owned by the caller (mem_free_secret). FUSION_E_MEMORY. */
fusion_status canaries_encode(const struct canaries *c, uint8_t **bytes, size_t *len) FUSION_MUST_CHECK;
/** Every byte is hostile, whatever the hash at their end says. `name` is for error texts. *c is empty on failure.
 *  FUSION_E_INPUT, FUSION_E_MEMORY. */
fusion_status canaries_decode(struct canaries *c, const char *name, const uint8_t *bytes, size_t len,
                              fusion_error *err) FUSION_MUST_CHECK;

/** FUSION_E_IO, and as canaries_decode. */
fusion_status canaries_load(struct canaries *c, const char *path, fusion_error *err) FUSION_MUST_CHECK;

/** Samples that join a file. Borrowed. */
struct canary_rows {
  size_t count, input_size, answer_size;
  const int64_t *inputs, *answers;
  const uint8_t *manifest_hash;
};
/** Appends the rows that the file has not, so that doing it twice is doing it once; the rows that are there keep their
 * places. The file is replaced as a whole, under a lock: of two jobs at once none loses its rows. FUSION_E_IO,
 *  FUSION_E_INPUT (the file is of another model by now), FUSION_E_MEMORY. */
fusion_status canaries_add(const char *path, const struct canary_rows *rows, fusion_error *err) FUSION_MUST_CHECK;

#endif
