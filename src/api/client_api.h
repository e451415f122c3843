/** The client's handles from inside the library: what a client and a result are. */
#ifndef FUSION_API_CLIENT_API_H
#define FUSION_API_CLIENT_API_H

#include <fusion/client.h>

#include "continuity/receipt.h"
#include "session/canaries.h"
#include "session/job.h"

struct fusion_client {
  fusion_client_settings settings; /* its texts are gone */
  struct job_handles handles;      /* its TLS context is owned; no journal yet */
  char model[SESSION_MODEL_LEN];   /* what the handles point to, if the settings name one */
  char *prepared, *keep;           /* owned; NULL: none */
  char *journal;                   /* owned: path, NULL for none */
  char *canary_path;               /* owned: NULL for none */
  struct canaries canaries;        /* owned: as the file was when the client was opened */
  uint8_t manifest[SESSION_HASH_LEN], model_id[MODEL_ID_LEN],
      receipt_key[RECEIPT_KEY_LEN]; /* what the handles point to, if anything */
  /* How the last job was rejected, for the journal; empty if it was not. */
  char rejected_utc[JOURNAL_WHEN_LEN], rejected_why[JOURNAL_WHY_LEN];
  struct engine_speeds speeds; /* what the handles point to, if the settings name some */
  atomic_int cancelled;
};

struct fusion_result {
  fusion_verdict verdict;
  struct job_output output;
  fusion_verdict_class *classes; /* owned: the verdict's */
  struct canaries found;         /* owned: of an accepted audit, all but the rows, which are the output's */
};

/** Fills `found` of an accepted audit. FUSION_E_MEMORY. */
fusion_status result_count_audit(fusion_result *r, fusion_error *err) FUSION_MUST_CHECK;

#endif
