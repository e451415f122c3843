#include <stdio.h>

#include "engine/engine.h"
#include "engine/engine_list.h" /* made by meson.build: ENGINES(X) */

/* The engines' folders name them to the build: X(NAME) is engine_NAME. No folder is included here. */
enum { TEXT_LEN = 160 };

#define ENGINE_DECLARED(name) extern const struct engine engine_##name;
ENGINES(ENGINE_DECLARED)

#define ENGINE_POINTER(name) &engine_##name,
static const struct engine *const engines[] = {ENGINES(ENGINE_POINTER)};

const struct engine *engine_at(size_t i) {
  return i < sizeof engines / sizeof *engines ? engines[i] : NULL;
}

const struct engine *engine_find(const char *name) {
  for (size_t i = 0; i < sizeof engines / sizeof *engines; i++)
    if (!strcmp(engines[i]->name, name)) return engines[i];
  return NULL;
}

static struct engine_list list_all(void) {
  struct engine_list list = {.count = 0};
  _Static_assert(sizeof engines / sizeof *engines <= ENGINES_MAX, "a list holds all engines");
  for (size_t i = 0; i < sizeof engines / sizeof *engines; i++) list.at[list.count++] = engines[i];
  return list;
}

bool engine_runs_ahead(const struct engine *engine) {
  return engine->begin;
}

fusion_status engine_named(const struct engine **out, const char *name, fusion_error *err) {
  char names[TEXT_LEN];
  *out = engine_find(name ? name : ENGINE_DEFAULT);
  if (*out) return FUSION_OK;
  const struct engine_list all = list_all();
  engine_list_text(&all, names, sizeof names);
  return error_set(err, FUSION_E_USAGE, "'%.40s': no such protocol engine; there are %s", name, names);
}

static void add_family(struct engine_list *list, const struct engine *member) {
  if (engine_list_find(list, member->name)) return;
  for (size_t i = 0; i < sizeof engines / sizeof *engines; i++)
    if (!strcmp(engines[i]->family, member->family)) list->at[list->count++] = engines[i];
}

fusion_status engine_list_parse(struct engine_list *out, const char *names, fusion_error *err) {
  struct engine_list list = {.count = 0};
  *out = list;
  if (!names) names = ENGINE_DEFAULT;
  if (!strcmp(names, "all")) {
    *out = list_all();
    return FUSION_OK;
  }
  for (const char *at = names;; at++) {
    char name[TEXT_LEN];
    const struct engine *engine;
    const size_t len = strcspn(at, ",");
    snprintf(name, sizeof name, "%.*s", (int)size_min(len, sizeof name - 1), at);
    const fusion_status status = engine_named(&engine, name, err);
    if (status != FUSION_OK) return status;
    add_family(&list, engine);
    at += len;
    if (!*at) break;
  }
  *out = list;
  return FUSION_OK;
}

void engine_list_keep_able(struct engine_list *list, const struct program *program) {
  size_t kept = 0;
  for (size_t i = 0; i < list->count; i++)
    if (engine_check(list->at[i], program, NULL) == FUSION_OK) list->at[kept++] = list->at[i];
  list->count = kept;
}

const struct engine *engine_list_find(const struct engine_list *list, const char *name) {
  for (size_t i = 0; i < list->count; i++)
    if (!strcmp(list->at[i]->name, name)) return list->at[i];
  return NULL;
}

void engine_list_text(const struct engine_list *list, char *text, size_t capacity) {
  size_t len = 0;
  text[0] = '\0';
  for (size_t i = 0; i < list->count; i++) {
    const char *comma = i ? ", " : "";
    if (len + strlen(comma) + strlen(list->at[i]->name) >= capacity) return;
    len += (size_t)snprintf(text + len, capacity - len, "%s%s", comma, list->at[i]->name);
  }
}

const char *engine_stage_name(enum operator_stage stage) {
  static const char *const names[] = {"setup", "linear", "relu", "pool", "multiply", "output"};
  return stage < STAGE_COUNT ? names[stage] : "?";
}
