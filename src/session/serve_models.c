#include "session/serve_models.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "continuity/model_id.h"
#include "program/fsn.h"

enum { MODELS_MAX = 256, RETIRED_KEPT_S = 600, PATH_LEN = 4096, LIST_TEXT_LEN = 256 };

/* A model, whoever holds it. */
struct entry {
  struct served_model served; /* first: what is handed out */
  struct model *owned;        /* NULL: the caller's */
  struct stat file;           /* of the folder: tells whether it has changed */
  unsigned holders;           /* guarded by the list's lock */
  struct entry *next;         /* of those that were replaced */
  double retired;             /* when */
};

struct model_set {
  struct entry *at[MODELS_MAX]; /* each held once; by name and version */
  size_t count;
};

struct model_list {
  char *folder;  /* owned; NULL: one model, for good */
  char *engines; /* owned; NULL: the default, or: */
  struct engine_list those;
  uint64_t max_memory;
  pthread_mutex_t lock;  /* guards what follows, and each entry's holders */
  struct model_set *set; /* owned */
  struct entry *retired; /* each held once */
};

/* ---- names ---- */

bool model_name_matches(const char *text, const char *name) {
  const size_t len = strlen(text);
  return strncmp(text, name, len) == 0 && (!name[len] || (name[len] == '@' && !strchr(text, '@')));
}

/* By name; then without a version, then by version, the highest first: the first of a name is what the name alone
 * stands for. */
static int compare_names(const char *a, const char *b) {
  const size_t a_len = strcspn(a, "@"), b_len = strcspn(b, "@");
  const int by_name = strncmp(a, b, size_min(a_len, b_len));
  if (by_name) return by_name;
  if (a_len != b_len) return a_len < b_len ? -1 : 1;
  if (!a[a_len] || !b[b_len]) return (b[b_len] == '\0') - (a[a_len] == '\0');
  return strverscmp(b + b_len, a + a_len);
}

static int compare_entries(const void *a, const void *b) {
  const struct entry *const *x = a, *const *y = b;
  return compare_names((*x)->served.name, (*y)->served.name);
}

/* ---- entries ---- */

static void entry_free(struct entry *e) {
  mem_wipe(e->served.function_hash, sizeof e->served.function_hash);
  writer_free(&e->served.manifest);
  model_free(e->owned);
  mem_free(e);
}

/* Called with the lock held. */
static void let_go(struct entry *e) {
  if (--e->holders == 0) entry_free(e);
}

static fusion_status check_engines(const struct served_model *m, uint64_t max_memory, fusion_error *err) {
  for (size_t i = 0; i < m->engines.count; i++) {
    const struct engine *engine = m->engines.at[i];
    const fusion_status status = engine_check(engine, &m->model->program, err);
    if (status != FUSION_OK) return status;
    const size_t one = engine_memory(engine, &m->model->program, 1, ROLE_SERVER);
    if (one > max_memory)
      return error_set(err, FUSION_E_LIMIT,
                       "one sample of this model takes %zu MiB with the %s engine; the memory limit is %llu MiB",
                       one >> 20, engine->name, (unsigned long long)(max_memory >> 20));
  }
  return FUSION_OK;
}

/* Takes `owned` (NULL: `model` is borrowed). The entry is held once. */
static fusion_status entry_new(struct entry **out, const struct served_model *what, struct model *owned,
                               uint64_t max_memory, fusion_error *err) {
  *out = NULL;
  struct entry *e = mem_alloc(1, sizeof *e);
  if (!e) {
    model_free(owned);
    return error_set(err, FUSION_E_MEMORY, "out of memory for a model");
  }
  e->served = *what;
  e->owned = owned;
  e->holders = 1;
  struct served_model *m = &e->served;
  fusion_status status = check_engines(m, max_memory, err);
  if (status == FUSION_OK) program_encode(&m->manifest, &m->model->program);
  if (status == FUSION_OK && (m->manifest.failed || m->manifest.len > CHANNEL_FRAME_MAX))
    status = error_set(err, FUSION_E_MEMORY, "out of memory for the manifest");
  bool ahead = false;
  for (size_t i = 0; i < m->engines.count; i++) ahead = ahead || engine_runs_ahead(m->engines.at[i]);
  if (status == FUSION_OK && ahead && model_function_hash(m->function_hash, m->model) != FUSION_OK)
    status = error_set(err, FUSION_E_MEMORY, "out of memory for a model");
  if (status != FUSION_OK) {
    entry_free(e);
    return status;
  }
  manifest_hash(m->manifest_hash, m->manifest.data, m->manifest.len);
  sodium_bin2hex(m->id, sizeof m->id, m->model->program.model_id, MODEL_ID_LEN);
  *out = e;
  return FUSION_OK;
}

/* Engines that are named must be able to run the model; of all, those that can are taken. */
static fusion_status take_engines(struct engine_list *out, const char *names, const struct program *program,
                                  fusion_error *err) {
  const fusion_status status = engine_list_parse(out, names, err);
  if (status != FUSION_OK || !names || strcmp(names, "all") != 0) return status;
  engine_list_keep_able(out, program);
  return out->count ? FUSION_OK : error_set(err, FUSION_E_MODEL, "no protocol engine can run this model");
}

static fusion_status load(struct entry **out, const struct model_list *l, const char *path, const char *name,
                          fusion_error *err) {
  struct served_model what = {.model = NULL};
  struct model *model;
  fusion_error why = {.status = FUSION_OK};
  *out = NULL;
  fusion_status status = fsn_load(&model, path, err);
  if (status != FUSION_OK) return status;
  what.model = model;
  snprintf(what.name, sizeof what.name, "%s", name);
  what.engines = l->those;
  if (!l->those.count) status = take_engines(&what.engines, l->engines, &model->program, &why);
  if (status == FUSION_OK)
    status = entry_new(out, &what, model, l->max_memory, &why);
  else
    model_free(model);
  return status == FUSION_OK ? status : error_set(err, status, "'%.200s': %s", path, why.text);
}

/* ---- the folder ---- */

static bool is_same_file(const struct stat *a, const struct stat *b) {
  return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
         a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
         a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* The model that is there under this name, if its file has not changed. */
static struct entry *find_unchanged(const struct model_list *l, const char *name, const struct stat *file) {
  for (size_t i = 0; l->set && i < l->set->count; i++)
    if (strcmp(l->set->at[i]->served.name, name) == 0 && is_same_file(&l->set->at[i]->file, file)) return l->set->at[i];
  return NULL;
}

/* "tumour@2.fsn" to "tumour@2"; false: no model's file. Files whose names begin with a dot are being written. */
static bool is_model_file(const char *file, size_t *name_len) {
  const size_t len = strlen(file);
  if (file[0] == '.' || len < 5 || strcmp(file + len - 4, ".fsn") != 0) return false;
  *name_len = len - 4;
  return true;
}

static fusion_status add_file(struct model_list *l, struct model_set *set, const char *file, size_t name_len,
                              fusion_error *err) {
  char path[PATH_LEN], name[SESSION_MODEL_LEN];
  struct stat info;
  if (snprintf(path, sizeof path, "%s/%s", l->folder, file) >= (int)sizeof path)
    return error_set(err, FUSION_E_INPUT, "'%.200s': the path is too long", file);
  if (name_len < sizeof name) snprintf(name, sizeof name, "%.*s", (int)name_len, file);
  if (name_len >= sizeof name || !model_name_is_valid(name))
    return error_set(err, FUSION_E_INPUT,
                     "'%.200s': not a model's name; NAME.fsn or NAME@VERSION.fsn, letters, digits, '.', '_' and '-'",
                     path);
  if (set->count == MODELS_MAX)
    return error_set(err, FUSION_E_LIMIT, "'%.200s': holds more than %d models", l->folder, MODELS_MAX);
  if (stat(path, &info)) return error_set(err, FUSION_E_IO, "'%.200s': cannot be opened: %s", path, strerror(errno));
  pthread_mutex_lock(&l->lock);
  struct entry *e = find_unchanged(l, name, &info);
  if (e) e->holders++;
  pthread_mutex_unlock(&l->lock);
  const fusion_status status = e ? FUSION_OK : load(&e, l, path, name, err);
  if (status != FUSION_OK) return status;
  e->file = info;
  set->at[set->count++] = e;
  return FUSION_OK;
}

void model_list_drop(struct model_list *l, struct model_set *fresh) {
  if (!fresh) return;
  pthread_mutex_lock(&l->lock);
  for (size_t i = 0; i < fresh->count; i++) let_go(fresh->at[i]);
  pthread_mutex_unlock(&l->lock);
  mem_free(fresh);
}

fusion_status model_list_read(struct model_list *l, struct model_set **fresh, fusion_error *err) {
  fusion_status status = FUSION_OK;
  size_t name_len;
  *fresh = NULL;
  if (!l->folder) return FUSION_OK;
  DIR *folder = opendir(l->folder);
  if (!folder) return error_set(err, FUSION_E_IO, "'%.200s': cannot be opened: %s", l->folder, strerror(errno));
  struct model_set *set = mem_alloc(1, sizeof *set);
  if (!set) status = error_set(err, FUSION_E_MEMORY, "out of memory for the models");
  for (const struct dirent *d = readdir(folder); d && status == FUSION_OK; d = readdir(folder))
    if (is_model_file(d->d_name, &name_len)) status = add_file(l, set, d->d_name, name_len, err);
  closedir(folder);
  if (status == FUSION_OK && !set->count)
    status = error_set(err, FUSION_E_INPUT, "'%.200s': holds no models (NAME.fsn, NAME@VERSION.fsn)", l->folder);
  if (status != FUSION_OK) {
    model_list_drop(l, set);
    return status;
  }
  qsort(set->at, set->count, sizeof *set->at, compare_entries);
  *fresh = set;
  return FUSION_OK;
}

static bool holds(const struct model_set *set, const struct entry *e) {
  for (size_t i = 0; i < set->count; i++)
    if (set->at[i] == e) return true;
  return false;
}

void model_list_take(struct model_list *l, struct model_set *fresh) {
  if (!fresh) return;
  pthread_mutex_lock(&l->lock);
  struct model_set *old = l->set;
  l->set = fresh;
  for (size_t i = 0; old && i < old->count; i++) {
    struct entry *e = old->at[i];
    if (holds(fresh, e)) {
      let_go(e);
      continue;
    }
    e->retired = clock_seconds();
    e->next = l->retired;
    l->retired = e;
  }
  pthread_mutex_unlock(&l->lock);
  mem_free(old);
}

/* Called with the lock held. */
static void drop_retired(struct model_list *l, double since) {
  struct entry **at = &l->retired;
  while (*at) {
    struct entry *e = *at;
    if (e->retired > since) {
      at = &e->next;
      continue;
    }
    *at = e->next;
    let_go(e);
  }
}

void model_list_tidy(struct model_list *l) {
  pthread_mutex_lock(&l->lock);
  drop_retired(l, clock_seconds() - RETIRED_KEPT_S);
  pthread_mutex_unlock(&l->lock);
}

/* ---- opening ---- */

static fusion_status list_new(struct model_list **out, fusion_error *err) {
  *out = mem_alloc(1, sizeof **out);
  if (!*out) return error_set(err, FUSION_E_MEMORY, "out of memory for the models");
  pthread_mutex_init(&(*out)->lock, NULL);
  return FUSION_OK;
}

fusion_status model_list_open_one(struct model_list **out, const struct model *model, const struct model_terms *terms,
                                  const char *name, fusion_error *err) {
  struct served_model what = {.model = model};
  struct model_list *l;
  *out = NULL;
  fusion_status status = list_new(&l, err);
  if (status != FUSION_OK) return status;
  snprintf(what.name, sizeof what.name, "%s", name);
  if (terms->those)
    what.engines = *terms->those;
  else
    TRY(take_engines(&what.engines, terms->engines, &model->program, err));
  l->set = mem_alloc(1, sizeof *l->set);
  FAIL_IF(!l->set, error_set(err, FUSION_E_MEMORY, "out of memory for the models"));
  TRY(entry_new(&l->set->at[0], &what, NULL, terms->max_memory, err));
  l->set->count = 1;
  *out = l;
  return FUSION_OK;
cleanup:
  model_list_close(l);
  return status;
}

static fusion_status keep_text(char **out, const char *text, fusion_error *err) {
  *out = mem_alloc(strlen(text) + 1, 1);
  if (!*out) return error_set(err, FUSION_E_MEMORY, "out of memory for the models");
  strcpy(*out, text);
  return FUSION_OK;
}

fusion_status model_list_open_folder(struct model_list **out, const char *folder, const struct model_terms *terms,
                                     fusion_error *err) {
  struct model_list *l;
  struct model_set *set;
  *out = NULL;
  fusion_status status = list_new(&l, err);
  if (status != FUSION_OK) return status;
  l->max_memory = terms->max_memory;
  TRY(keep_text(&l->folder, folder, err));
  if (terms->those) l->those = *terms->those;
  if (terms->engines) TRY(keep_text(&l->engines, terms->engines, err));
  TRY(model_list_read(l, &set, err));
  model_list_take(l, set);
  *out = l;
  return FUSION_OK;
cleanup:
  model_list_close(l);
  return status;
}

void model_list_close(struct model_list *l) {
  if (!l) return;
  pthread_mutex_lock(&l->lock);
  drop_retired(l, clock_seconds() + 1);
  pthread_mutex_unlock(&l->lock);
  model_list_drop(l, l->set);
  pthread_mutex_destroy(&l->lock);
  mem_free(l->folder);
  mem_free(l->engines);
  mem_free(l);
}

/* ---- finding ---- */

/* One of the names that the client may use, other than `than` ("": any); NULL: none. Called with the lock held. */
static const struct entry *find_other(const struct model_list *l, const char *than, model_allowed *allowed,
                                      void *context) {
  for (size_t i = 0; i < l->set->count; i++) {
    const char *name = l->set->at[i]->served.name;
    const size_t len = strcspn(name, "@");
    const bool other = strncmp(than, name, len) != 0 || (than[len] && than[len] != '@');
    if (other && allowed(context, name)) return l->set->at[i];
  }
  return NULL;
}

/* The models for this client in a line; as many as fit. Called with the lock held. */
static void list_names(const struct model_list *l, model_allowed *allowed, void *context, char out[LIST_TEXT_LEN]) {
  size_t len = 0, left_out = 0;
  out[0] = '\0';
  for (size_t i = 0; i < l->set->count; i++) {
    const char *name = l->set->at[i]->served.name;
    if (!allowed(context, name)) continue;
    if (left_out || len + strlen(name) + 24 > LIST_TEXT_LEN) {
      left_out++;
      continue;
    }
    len += (size_t)snprintf(out + len, LIST_TEXT_LEN - len, "%s%s", len ? ", " : "", name);
  }
  if (left_out) snprintf(out + len, LIST_TEXT_LEN - len, " and %zu more", left_out);
}

static fusion_status refuse(const struct model_list *l, const char *asked, model_allowed *allowed, void *context,
                            fusion_error *why) {
  char names[LIST_TEXT_LEN];
  list_names(l, allowed, context, names);
  if (!names[0]) return error_set(why, FUSION_E_REFUSED, "this client may use no model of this server");
  if (!asked[0])
    return error_set(why, FUSION_E_REFUSED, "this server has several models; name one with --model: %s", names);
  return error_set(why, FUSION_E_REFUSED, "there is no model '%s' for this client; there are: %s", asked, names);
}

/* Called with the lock held. */
static struct entry *find(const struct model_list *l, const char *asked, const uint8_t *hash, model_allowed *allowed,
                          void *context) {
  struct entry *found = NULL;
  for (size_t i = 0; i < l->set->count; i++) {
    struct entry *e = l->set->at[i];
    if (!model_name_matches(asked, e->served.name) || !allowed(context, e->served.name)) continue;
    if (hash && memcmp(hash, e->served.manifest_hash, SESSION_HASH_LEN) == 0) return e;
    if (!found) found = e;
  }
  for (struct entry *e = l->retired; e && hash; e = e->next)
    if (memcmp(hash, e->served.manifest_hash, SESSION_HASH_LEN) == 0 && model_name_matches(asked, e->served.name) &&
        allowed(context, e->served.name))
      return e;
  return found;
}

const struct served_model *model_find(struct model_list *l, const char *asked, const uint8_t *hash,
                                      model_allowed *allowed, void *context, fusion_error *why) {
  char only[SESSION_MODEL_LEN] = "";
  pthread_mutex_lock(&l->lock);
  struct entry *found = NULL;
  if (asked[0]) {
    found = find(l, asked, hash, allowed, context);
  } else {
    const struct entry *one = find_other(l, "", allowed, context);
    if (one) snprintf(only, sizeof only, "%.*s", (int)strcspn(one->served.name, "@"), one->served.name);
    if (one && !find_other(l, only, allowed, context)) found = find(l, only, hash, allowed, context);
  }
  if (found)
    found->holders++;
  else
    (void)refuse(l, asked, allowed, context, why);
  pthread_mutex_unlock(&l->lock);
  return found ? &found->served : NULL;
}

static struct entry *entry_of(const struct served_model *m) {
  return (struct entry *)(uintptr_t)m;
}

const struct served_model *model_hold(struct model_list *l, const struct served_model *m) {
  pthread_mutex_lock(&l->lock);
  entry_of(m)->holders++;
  pthread_mutex_unlock(&l->lock);
  return m;
}

void model_release(struct model_list *l, const struct served_model *m) {
  if (!m) return;
  pthread_mutex_lock(&l->lock);
  let_go(entry_of(m));
  pthread_mutex_unlock(&l->lock);
}

const struct served_model *model_at(struct model_list *l, size_t i) {
  pthread_mutex_lock(&l->lock);
  struct entry *e = i < l->set->count ? l->set->at[i] : NULL;
  if (e) e->holders++;
  pthread_mutex_unlock(&l->lock);
  return e ? &e->served : NULL;
}
