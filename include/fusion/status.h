/** Status codes and error texts: what every call of the library answers. */
#ifndef FUSION_STATUS_H
#define FUSION_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define FUSION_API __attribute__((visibility("default")))
#define FUSION_MUST_CHECK __attribute__((warn_unused_result))
#define FUSION_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define FUSION_API
#define FUSION_MUST_CHECK
#define FUSION_PRINTF(text, first)
#endif

/** Zero is success. A failure is negative; its hundreds are its class (see fusion_status_class). */
typedef enum fusion_status {
  FUSION_OK = 0,
  /* The caller's or user's fault: a flag, an argument, an input file's content. */
  FUSION_E_USAGE = -100,
  FUSION_E_UNREACHABLE = -101, /**< no parameters satisfy the request */
  FUSION_E_INPUT = -102,       /**< a data file holds something else than expected */
  /* The machine cannot give it: memory, randomness, threads. */
  FUSION_E_RESOURCE = -200,
  FUSION_E_MEMORY = -201,
  FUSION_E_ENTROPY = -202,
  FUSION_E_LIMIT = -203, /**< a configured limit would be passed */
  /* The operating system refused a file or socket. */
  FUSION_E_IO = -300,
  FUSION_E_CLOSED = -301,  /**< the peer closed the connection */
  FUSION_E_TIMEOUT = -302, /**< the peer stayed silent too long */
  FUSION_E_NETWORK = -303, /**< the peer cannot be reached, or the network damaged what it sent */
  /* The peer sent something that the protocol does not allow. */
  FUSION_E_PEER = -400,
  FUSION_E_REFUSED = -401,  /**< the peer declined, saying why */
  FUSION_E_BUSY = -402,     /**< the same, but it may be asked again later */
  FUSION_E_VERSION = -403,  /**< the peer speaks no version of the protocol that this side speaks */
  FUSION_E_REJECTED = -404, /**< the job of this journal was rejected; it does not run again unasked */
  /* The model cannot be taken: format, operator, precision. */
  FUSION_E_MODEL = -500,
  FUSION_E_UNSUPPORTED = -501,
  FUSION_E_ROUNDING = -502,      /**< the server's model uses fast rounding, which the client did not accept */
  FUSION_E_OTHER_MODEL = -503,   /**< the server's model is not the one that the client asked for */
  FUSION_E_MODEL_CHANGED = -505, /**< the server announces another model than before: audit it again */
  /* A cryptographic check failed. */
  FUSION_E_CRYPTO = -600,
  FUSION_E_TLS = -601,
  /* A defect of this library. */
  FUSION_E_INTERNAL = -700,
} fusion_status;

/** A failure with its text: one line that names the thing and the remedy. Never changes. */
typedef struct fusion_error {
  fusion_status status;
  char text[480];
} fusion_error;

/** The class of a status as one word: "ok", "usage", "resource", "io", "peer", "model", "crypto", "internal". */
FUSION_API const char *fusion_status_class(fusion_status status);

/** A short general sentence for a status, for when no text came with it. */
FUSION_API const char *fusion_status_text(fusion_status status);

/** Version of the library, "major.minor.patch". */
FUSION_API const char *fusion_version(void);

#ifdef __cplusplus
}
#endif
#endif
