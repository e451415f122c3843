/* The end of a connection: the client is done, and the server signs. Whether the client asks was settled in its HELLO,
 * so it does not depend on anything that the connection ran; and nothing is verified before all connections have ended.
 */
#include <sodium.h>
#include <stdio.h>

#include "session/job_internal.h"

fusion_status worker_check_offer(struct worker *w, const struct server_hello *hello, fusion_error *why) {
  struct client_job *job = w->job;
  const struct job_handles *handles = job->terms.handles;
  char key[2 * RECEIPT_KEY_LEN + 1];
  if (!handles->receipts)
    return hello->gives_receipt ? error_set(why, FUSION_E_PEER, "the server offers receipts unasked") : FUSION_OK;
  if (!hello->gives_receipt)
    return error_set(why, FUSION_E_REFUSED,
                     "the server signs no receipts (it has no --receipt-key); leave out --receipt to go without");
  sodium_bin2hex(key, sizeof key, hello->receipt_key, sizeof hello->receipt_key);
  if (handles->receipt_key && memcmp(handles->receipt_key, hello->receipt_key, RECEIPT_KEY_LEN) != 0)
    return error_set(why, FUSION_E_CRYPTO, "the server's receipt key is %s, not the one that --receipt-key names", key);
  if (job->queue.shards && memcmp(job->receipt_key, hello->receipt_key, RECEIPT_KEY_LEN) != 0)
    return error_set(why, FUSION_E_PEER, "the server has another receipt key than at the start of the job");
  if (!job->queue.shards) memcpy(job->receipt_key, hello->receipt_key, RECEIPT_KEY_LEN);
  return FUSION_OK;
}

/* What this connection's receipt must say; its time is the server's to say. */
static struct receipt expect(const struct worker *w) {
  const struct client_job *job = w->job;
  struct receipt r = {.declared = job->ready.todo, .samples = w->samples, .shards = w->shards};
  memcpy(r.job, job->id, sizeof r.job);
  memcpy(r.model_id, job->ready.program.model_id, sizeof r.model_id);
  memcpy(r.manifest_hash, job->ready.manifest_hash, sizeof r.manifest_hash);
  if (w->peer.has_certificate) memcpy(r.certificate, w->peer.certificate_sha256, sizeof r.certificate);
  memcpy(r.key, job->receipt_key, sizeof r.key);
  channel_recorded(w->channel, r.received, r.sent); /* what we sent it received */
  return r;
}

/* What differs, or NULL. */
static const char *difference(const struct receipt *is, const struct receipt *due) {
  if (memcmp(is->key, due->key, sizeof is->key) != 0) return "the key";
  if (memcmp(is->job, due->job, sizeof is->job) != 0) return "the job's number";
  if (memcmp(is->model_id, due->model_id, sizeof is->model_id) != 0) return "the model's id";
  if (memcmp(is->manifest_hash, due->manifest_hash, sizeof is->manifest_hash) != 0) return "the manifest's hash";
  if (memcmp(is->certificate, due->certificate, sizeof is->certificate) != 0) return "the server's certificate";
  if (is->declared != due->declared || is->samples != due->samples || is->shards != due->shards)
    return "the number of samples";
  if (memcmp(is->sent, due->sent, sizeof is->sent) != 0 ||
      memcmp(is->received, due->received, sizeof is->received) != 0)
    return "the hash of the messages";
  return NULL;
}

static fusion_status keep_receipt(struct client_job *job, const uint8_t bytes[RECEIPT_LEN], uint64_t samples) {
  fusion_status status = FUSION_OK;
  pthread_mutex_lock(&job->lock);
  if (job->receipt_count == job->receipt_room) {
    const size_t room = job->receipt_room ? 2 * job->receipt_room : 16;
    uint8_t(*grown)[RECEIPT_LEN] = room <= RECEIPTS_MAX ? mem_alloc(room, sizeof *grown) : NULL;
    if (grown && job->receipt_count) memcpy(grown, job->receipts, job->receipt_count * sizeof *grown);
    if (grown) {
      mem_free(job->receipts);
      job->receipts = grown;
      job->receipt_room = room;
    } else {
      status = FUSION_E_MEMORY;
    }
  }
  if (status == FUSION_OK) {
    memcpy(job->receipts[job->receipt_count++], bytes, RECEIPT_LEN);
    job->receipt_samples += samples;
  }
  pthread_mutex_unlock(&job->lock);
  return status;
}

static void take_receipt(struct worker *w) {
  const struct receipt due = expect(w);
  struct receipt got;
  uint8_t bytes[RECEIPT_LEN];
  char text[160];
  const fusion_status status = receipt_recv(w->channel, bytes);
  if (status == FUSION_E_PEER) job_fail(w->job, status, channel_error(w->channel)->text);
  if (status != FUSION_OK) return;
  const bool valid = receipt_open(&got, bytes) == FUSION_OK;
  const char *wrong = valid ? difference(&got, &due) : "the signature";
  if (wrong) {
    snprintf(text, sizeof text, "the server's receipt is not of this connection: %s is wrong", wrong);
    job_fail(w->job, FUSION_E_PEER, text);
    return;
  }
  /* A connection that ran nothing has nothing to be signed for. */
  if (w->samples && keep_receipt(w->job, bytes, w->samples) != FUSION_OK)
    job_fail(w->job, FUSION_E_MEMORY, "out of memory for the receipts");
}

void worker_finish(struct worker *w) {
  if (!w->channel) return;
  fusion_status status = shard_send(w->channel, 0);
  if (status == FUSION_OK) status = channel_flush(w->channel);
  if (status == FUSION_OK && w->job->terms.handles->receipts) take_receipt(w);
  w->finished = status == FUSION_OK && w->session;
  worker_disconnect(w);
}
