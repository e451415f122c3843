#include "service/clients.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>

struct clients {
  json_t *names; /* owned; checked: entries by name */
};

enum { FILE_MAX = 4 << 20 };

static const char *const keys[] = {"samples_day", "jobs", "prepared_bytes", "models"};

static bool is_count(const json_t *value, json_int_t most) {
  return json_is_integer(value) && json_integer_value(value) > 0 && json_integer_value(value) <= most;
}

static bool is_list_of_names(const json_t *value) {
  if (!json_is_array(value)) return false;
  for (size_t i = 0; i < json_array_size(value); i++)
    if (!json_is_string(json_array_get(value, i))) return false;
  return true;
}

static fusion_status check_entry(const char *path, const char *name, json_t *entry, fusion_error *err) {
  const char *key;
  json_t *value;
  if (!json_is_object(entry)) return error_set(err, FUSION_E_INPUT, "'%.200s': '%.100s' is no object", path, name);
  json_object_foreach(entry, key, value) {
    bool known = false;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) known = known || strcmp(key, keys[i]) == 0;
    if (!known)
      return error_set(err, FUSION_E_INPUT,
                       "'%.200s': '%.100s' has '%.60s'; there are samples_day, jobs, prepared_bytes and models", path,
                       name, key);
  }
  const json_t *day = json_object_get(entry, "samples_day"), *jobs = json_object_get(entry, "jobs");
  const json_t *models = json_object_get(entry, "models");
  const json_t *prepared = json_object_get(entry, "prepared_bytes");
  if (day && !is_count(day, (json_int_t)1 << 53))
    return error_set(err, FUSION_E_INPUT, "'%.200s': samples_day of '%.100s' is no whole number above 0", path, name);
  if (jobs && !is_count(jobs, 1 << 20))
    return error_set(err, FUSION_E_INPUT, "'%.200s': jobs of '%.100s' is no whole number above 0", path, name);
  if (prepared && !is_count(prepared, (json_int_t)1 << 53))
    return error_set(err, FUSION_E_INPUT, "'%.200s': prepared_bytes of '%.100s' is no whole number above 0", path,
                     name);
  if (models && !is_list_of_names(models))
    return error_set(err, FUSION_E_INPUT, "'%.200s': models of '%.100s' is no list of names", path, name);
  return FUSION_OK;
}

static fusion_status read_file(const char *path, char **text, size_t *len, fusion_error *err) {
  FILE *f = fopen(path, "re");
  *text = f ? mem_alloc(FILE_MAX + 1, 1) : NULL;
  if (!f) return error_set(err, FUSION_E_IO, "'%.200s': cannot be opened: %s", path, strerror(errno));
  *len = *text ? fread(*text, 1, FILE_MAX + 1, f) : 0;
  const bool good = *text && !ferror(f);
  fclose(f);
  if (good && *len <= FILE_MAX) return FUSION_OK;
  mem_free(*text);
  *text = NULL;
  return error_set(err, good ? FUSION_E_INPUT : FUSION_E_IO,
                   good ? "'%.200s': is longer than 4 MiB" : "'%.200s': cannot be read", path);
}

fusion_status clients_load(struct clients **out, const char *path, fusion_error *err) {
  char *text;
  size_t len = 0;
  json_error_t where;
  const char *name;
  json_t *entry;
  *out = NULL;
  fusion_status status = read_file(path, &text, &len, err);
  if (status != FUSION_OK) return status;
  json_t *names = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
  mem_free(text);
  if (!json_is_object(names)) {
    json_decref(names);
    return names ? error_set(err, FUSION_E_INPUT, "'%.200s': is no JSON object of clients", path)
                 : error_set(err, FUSION_E_INPUT, "'%.200s': line %d: %.160s", path, where.line, where.text);
  }
  json_object_foreach(names, name, entry) {
    status = check_entry(path, name, entry, err);
    if (status != FUSION_OK) break;
  }
  struct clients *c = status == FUSION_OK ? mem_alloc(1, sizeof *c) : NULL;
  if (c) {
    c->names = names;
    *out = c;
    return FUSION_OK;
  }
  json_decref(names);
  return status == FUSION_OK ? error_set(err, FUSION_E_MEMORY, "out of memory for the clients") : status;
}

void clients_free(struct clients *c) {
  if (!c) return;
  json_decref(c->names);
  mem_free(c);
}

fusion_status clients_limits(const struct clients *c, const char *client, const char *model, struct client_limits *out,
                             fusion_error *why) {
  const json_t *entry = strcmp(client, "*") != 0 ? json_object_get(c->names, client) : NULL;
  *out = (struct client_limits){0};
  if (!entry) entry = json_object_get(c->names, "*");
  if (!entry)
    return error_set(why, FUSION_E_REFUSED, "the client '%.127s' is not among those that this server serves", client);
  const json_t *models = json_object_get(entry, "models");
  bool allowed = !models || !model;
  for (size_t i = 0; !allowed && i < json_array_size(models); i++)
    allowed = model_name_matches(json_string_value(json_array_get(models, i)), model);
  if (!allowed) return error_set(why, FUSION_E_REFUSED, "the client '%.127s' may not use this model", client);
  out->samples_day = (uint64_t)json_integer_value(json_object_get(entry, "samples_day"));
  out->prepared_bytes = (uint64_t)json_integer_value(json_object_get(entry, "prepared_bytes"));
  out->jobs = (uint32_t)json_integer_value(json_object_get(entry, "jobs"));
  return FUSION_OK;
}
