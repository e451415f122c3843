#include "session/keep.h"

#include <stdio.h>
#include <unistd.h>

#include "session/one_time_file.h"

enum { HEAD_LEN = 8 + TLS_HASH_LEN + SESSION_ENGINE_LEN + SESSION_STATE_LEN };
static const char kind[8] = {'s', 'e', 't', '-', 'u', 'p', ' ', '1'};

struct keep {
  char *path; /* owned */
  struct keep_binding binding;
  struct kept_setup *use, *next;     /* owned, guarded; NULL: none */
  uint8_t number[SESSION_STATE_LEN]; /* of `next` */
  bool ended_well;                   /* the connection that left `next` */
  struct keeping keeping;
};

static void write_head(uint8_t out[HEAD_LEN], const struct keep *k) {
  uint8_t *at = out;
  memcpy(at, kind, sizeof kind);
  memcpy(at += sizeof kind, k->binding.certificate, sizeof k->binding.certificate);
  memcpy(at += sizeof k->binding.certificate, k->binding.engine, sizeof k->binding.engine);
  memcpy(at + sizeof k->binding.engine, k->number, sizeof k->number);
}

static bool is_kept(struct one_time_binding bound) {
  return bound.len == HEAD_LEN && memcmp(bound.data, kind, sizeof kind) == 0;
}

static fusion_status check_folder(const char *path, fusion_error *err) {
  char folder[4096] = ".";
  const char *slash = strrchr(path, '/');
  if (strlen(path) >= sizeof folder) return error_set(err, FUSION_E_INPUT, "'%.60s...': the path is too long", path);
  if (slash) snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
  if (access(folder, W_OK | X_OK) == 0) return FUSION_OK;
  return error_set(err, FUSION_E_IO, "'%s': cannot write to this folder", path);
}

/* What is there now must be ours: it will be replaced. */
static fusion_status check_file(const char *path, fusion_error *err) {
  struct one_time_file *file = NULL;
  if (access(path, F_OK) != 0) return FUSION_OK;
  const bool ours = one_time_open(&file, path, NULL) == FUSION_OK && is_kept(one_time_bound(file));
  one_time_close(file);
  if (ours || access(path, F_OK) != 0) return FUSION_OK; /* or another job has just spent it */
  return error_set(err, FUSION_E_INPUT,
                   "'%s': this is no kept set-up, or it is damaged; remove it or name another file", path);
}

fusion_status keep_open(struct keep **out, const char *path, fusion_error *err) {
  fusion_status status;
  struct keep *k = NULL;
  *out = NULL;
  TRY(check_folder(path, err));
  TRY(check_file(path, err));
  k = mem_alloc(1, sizeof *k);
  FAIL_IF(!k, error_set(err, FUSION_E_MEMORY, "out of memory for a kept set-up"));
  k->path = mem_alloc(strlen(path) + 1, 1);
  FAIL_IF(!k->path, error_set(err, FUSION_E_MEMORY, "out of memory for a kept set-up"));
  strcpy(k->path, path);
  *out = k;
  return FUSION_OK;
cleanup:
  keep_close(k);
  return status;
}

static void drop(struct kept_setup **setup) {
  key_free(*setup);
  *setup = NULL;
}

/* The half in a file that is spent from here on. NULL: it is not there, or for something else. */
static struct kept_setup *spend(struct keep *k, uint8_t number[SESSION_STATE_LEN]) {
  struct one_time_file *file = NULL;
  struct kept_setup *setup = NULL;
  uint8_t due[HEAD_LEN];
  if (one_time_open(&file, k->path, NULL) != FUSION_OK) return NULL;
  const struct one_time_binding bound = one_time_bound(file);
  const bool whole = is_kept(bound) && one_time_verify(file, NULL) == FUSION_OK;
  if (whole) memcpy(number, (const uint8_t *)bound.data + HEAD_LEN - SESSION_STATE_LEN, SESSION_STATE_LEN);
  write_head(due, k);
  const bool fits =
      whole && memcmp(bound.data, due, HEAD_LEN - SESSION_STATE_LEN) == 0 && one_time_left(file) == sizeof setup->bytes;
  /* Also what does not fit: a new one takes its place. */
  const bool spent = one_time_spend(file, NULL) == FUSION_OK;
  if (fits && spent) setup = key_alloc(sizeof *setup);
  if (setup && stream_read(one_time_stream(file), setup->bytes, sizeof setup->bytes) != FUSION_OK) drop(&setup);
  one_time_close(file);
  return setup;
}

bool keep_ready(struct keep *k) {
  drop(&k->use);
  drop(&k->next);
  k->ended_well = false;
  k->next = key_alloc(sizeof *k->next);
  return k->next != NULL;
}

bool keep_take(struct keep *k, const struct keep_binding *binding, uint8_t number[SESSION_STATE_LEN]) {
  memset(number, 0, SESSION_STATE_LEN);
  memset(&k->binding, 0, sizeof k->binding);
  memcpy(k->binding.certificate, binding->certificate, sizeof k->binding.certificate);
  snprintf(k->binding.engine, sizeof k->binding.engine, "%s", binding->engine);
  k->use = spend(k, number);
  if (!k->use) memset(number, 0, SESSION_STATE_LEN);
  return k->use != NULL;
}

struct keeping *keep_keeping(struct keep *k, const struct ready *ready) {
  if (!ready->uses) drop(&k->use);
  if (!ready->keeps) drop(&k->next);
  memcpy(k->number, ready->number, sizeof k->number);
  k->keeping = (struct keeping){.use = k->use, .keep = k->next};
  return &k->keeping;
}

void keep_opened(struct keep *k) {
  drop(&k->use);
  if (!k->keeping.kept) drop(&k->next);
  k->keeping = (struct keeping){.use = NULL};
}

void keep_ended(struct keep *k, bool well) {
  drop(&k->use);
  k->ended_well = well && k->next;
  if (!well) drop(&k->next);
}

fusion_status keep_write(struct keep *k, fusion_error *err) {
  struct one_time_file *file = NULL;
  uint8_t head[HEAD_LEN];
  fusion_status status = FUSION_OK;
  if (!k->next || !k->ended_well || access(k->path, F_OK) == 0) return FUSION_OK;
  write_head(head, k);
  TRY(one_time_create(&file, k->path, NULL, err));
  status = stream_write(one_time_stream(file), k->next->bytes, sizeof k->next->bytes);
  FAIL_IF(status != FUSION_OK, error_set(err, status, "'%s': cannot be written", k->path));
  TRY(one_time_commit(file, (struct one_time_binding){head, sizeof head}, err));
cleanup:
  one_time_close(file);
  if (status != FUSION_E_BUSY) return status;
  if (err) *err = (fusion_error){.status = FUSION_OK};
  return FUSION_OK; /* a job that ended at the same moment has kept its own */
}

void keep_close(struct keep *k) {
  if (!k) return;
  drop(&k->use);
  drop(&k->next);
  mem_free(k->path);
  mem_free_secret(k, sizeof *k);
}
