/** Serving a model: `fusion serve`. A server listens, runs the jobs of many clients side by side within limits, and
 * stops gracefully. It learns how many samples were run, when, and for whom, and nothing about inputs and answers. */
#ifndef FUSION_SERVER_H
#define FUSION_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fusion/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fusion_server fusion_server;

/** How a line of the log is written: for people, or a JSON object with "time", "event" and what belongs to it. */
typedef enum fusion_log_format { FUSION_LOG_TEXT = 0, FUSION_LOG_JSON = 1 } fusion_log_format;

/** All settings of a server. Start from fusion_server_defaults(). Texts are borrowed only until fusion_server_open
 * returns. */
typedef struct fusion_server_settings {
  size_t size;           /**< of this struct; see fusion.h */
  const char *listen;    /**< "HOST:PORT", "[::1]:PORT"; port 0: any free one; no default */
  const char *tls_cert;  /**< PEM: the certificate, then its chain */
  const char *tls_key;   /**< PEM, without a password */
  const char *client_ca; /**< PEM: clients must show a certificate signed by it; NULL (default): any client */
  bool plaintext;        /**< no TLS; allowed only with loopback addresses; default false */
  /** Protocol engines that clients may ask for: names of fusion_engine_name split by commas, each with its tunings; or
   * "all": those that can run the model. Default "cheetah", with "cheetah-wan". */
  const char *engine;
  uint32_t max_clients;     /**< connections at once; each worker of a client is one; default 32 */
  uint64_t max_samples_job; /**< samples of one job, copies and public ones included; default 1,000,000 */
  uint64_t max_samples_day; /**< samples of all jobs in 24 hours; default 100,000,000 */
  /** A file that keeps this count, so that it survives a restart. It is written before samples run; if it cannot be
   * written, they do not run. NULL (default): the count begins when the server starts. */
  const char *state;
  uint64_t max_memory; /**< bytes for all running shards together; 0 (default): half of the machine's memory */
  uint32_t max_shard;  /**< samples that run at once on one connection; default 16,384 */
  uint32_t handshake_timeout_ms; /**< how long a client may be silent before its job; default 15,000 */
  uint32_t timeout_ms;           /**< how long a client may be silent in its job; default 120,000 */
  uint32_t stop_grace_ms;        /**< how long running jobs may go on after fusion_server_stop; default 30,000 */
  /** Called with a line for each job that ends and each connection that is refused: number, peer address, outcome,
   * samples, seconds, bytes. Called from any thread, one line at a time. NULL (default): no log. */
  void (*log)(void *context, const char *line);
  void *log_context;
  const char
      *receipt_key; /**< file of fusion_receipt_keygen: sign receipts for clients that ask; NULL (default): none */
  /** A folder, of this server alone, that keeps what fusion_client_prepare has prepared here. NULL (default): none. */
  const char *prepared_folder;
  uint64_t prepared_bytes;      /**< at most so many bytes in it, a client half of what others leave; default 10 GiB */
  uint64_t prepared_hours;      /**< what is older is removed; default 168 */
  fusion_log_format log_format; /**< default text */
  uint32_t max_connections_client; /**< of max_clients for one client; 0 (default): three quarters */
  /** JSON: limits of clients by the names in their certificates; read again by fusion_server_reload. NULL (default):
   * all clients that may connect have the server's limits. See fusion-serve(1). */
  const char *clients;
  /** A row a job, and the day's counts: an SQLite file, made when it is not there, or PostgreSQL,
   * "postgresql://USER@HOST:PORT/DATABASE" (FUSION_E_UNSUPPORTED where the library was built without libpq). NULL
   * (default): none. */
  const char *ledger;
  const char *admin;      /**< "HOST:PORT" of metrics, health and status pages over plain HTTP; NULL (default): none */
  const char *model_name; /**< for clients' limits, ledger and pages; default "model" */
  int64_t listen_fd;      /**< a listening socket to take in place of `listen`, above 2; 0 (default): none */
  /** A folder of models, NAME.fsn and NAME@VERSION.fsn, in place of one; read again by fusion_server_reload. Clients
   * say which they want. See fusion-serve(1). NULL (default): none. */
  const char *models;
  /** Addresses and networks, split by commas, of load balancers that say by the PROXY protocol, version 2, whom a
   * connection comes from: they must say it, nobody else is asked. NULL (default): none. */
  const char *proxies;
  /** Seconds for which the server keeps, in memory, its part of what clients keep of a connection's set-up
   * (fusion_client_settings.keep): 16 at most for a client, 1,024 in all. 0: it keeps nothing. Default 3600. */
  uint64_t keep_for_s;
  /** This machine's speeds (fusion_bench_calibrate), told to clients for their predictions. Borrowed until
   * fusion_server_open returns. NULL (default): they are not told. */
  const fusion_speeds *speeds;
} fusion_server_settings;

FUSION_API void fusion_server_init(fusion_server_settings *settings, size_t size);
static inline fusion_server_settings fusion_server_defaults(void) {
  fusion_server_settings settings;
  fusion_server_init(&settings, sizeof settings);
  return settings;
}

/** Listens. The model (NULL: those of settings->models) is borrowed until fusion_server_close. FUSION_E_USAGE,
 * FUSION_E_TLS (names the file), FUSION_E_IO (the address), FUSION_E_LIMIT (a sample of this model does not fit the
 * memory), FUSION_E_MEMORY. */
FUSION_API fusion_status fusion_server_open(fusion_server **out, const fusion_model *model,
                                            const fusion_server_settings *settings,
                                            fusion_error *err) FUSION_MUST_CHECK;

/** The port in use. */
FUSION_API uint16_t fusion_server_port(const fusion_server *server);

/** Serves until fusion_server_stop, in this thread and one for each connection; returns when all of them have ended. */
FUSION_API fusion_status fusion_server_run(fusion_server *server, fusion_error *err) FUSION_MUST_CHECK;

/** First call: no new connections; running jobs get stop_grace_ms. Second call: they are cut. May be called from any
 *  thread and from a signal handler. */
FUSION_API void fusion_server_stop(fusion_server *server);

/** Reads certificates, keys, the clients' file and the folder of models again within a second; running jobs go on as
 * they began. When one of them cannot be taken, all stay as they were and the log says why. May be called from any
 * thread and from a signal handler. */
FUSION_API void fusion_server_reload(fusion_server *server);

/** The port of the admin address; 0 without one. */
FUSION_API uint16_t fusion_server_admin_port(const fusion_server *server);

/** Checks a ledger's chain of hashes, row by row; *rows gets how many there are. FUSION_E_CRYPTO names the first row
 * that was altered, left out or put elsewhere. FUSION_E_IO, FUSION_E_INPUT: no ledger; FUSION_E_NETWORK: its
 * database cannot be reached; FUSION_E_UNSUPPORTED: it is in PostgreSQL, and the library was built without libpq.
 * *head (65 bytes, may be NULL) gets the last row's hash in hexadecimal: kept elsewhere, it shows later that no rows
 * were cut off at the end. */
FUSION_API fusion_status fusion_ledger_verify(const char *path, uint64_t *rows, char *head,
                                              fusion_error *err) FUSION_MUST_CHECK;

typedef struct fusion_server_totals {
  size_t size; /**< of this struct */
  uint64_t jobs_done, jobs_failed, refused, samples;
  uint64_t connections; /**< now */
} fusion_server_totals;
FUSION_API void fusion_server_read_totals(fusion_server *server, fusion_server_totals *totals);
static inline fusion_server_totals fusion_server_count(fusion_server *server) {
  fusion_server_totals totals;
  totals.size = sizeof totals;
  fusion_server_read_totals(server, &totals);
  return totals;
}

/** After fusion_server_run has returned, or instead of it. NULL is allowed. */
FUSION_API void fusion_server_close(fusion_server *server);

#ifdef __cplusplus
}
#endif
#endif
