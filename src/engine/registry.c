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

const struct engine *engine_variant(const struct engine *served, const char *name) {
  if (!strcmp(served->name, name)) return served;
  const struct engine *other = engine_find(name);
  return other && !strcmp(other->family, served->family) ? other : NULL;
}

fusion_status engine_named(const struct engine **out, const char *name, fusion_error *err) {
  char names[TEXT_LEN];
  *out = engine_find(name ? name : ENGINE_DEFAULT);
  if (*out) return FUSION_OK;
  engine_offered(NULL, names, sizeof names);
  return error_set(err, FUSION_E_USAGE, "'%.40s': no such protocol engine; there are %s", name, names);
}

void engine_offered(const struct engine *served, char *text, size_t capacity) {
  size_t len = (size_t)snprintf(text, capacity, "%s", served ? served->name : "");
  bool first = true;
  for (size_t i = 0; i < sizeof engines / sizeof *engines; i++) {
    if (served && strcmp(engines[i]->family, served->family) != 0) continue;
    if (first) len = 0;
    const size_t more = strlen(engines[i]->name) + (first ? 0 : 2);
    if (len + more >= capacity) return;
    len += (size_t)snprintf(text + len, capacity - len, "%s%s", first ? "" : ", ", engines[i]->name);
    first = false;
  }
}

const char *engine_stage_name(enum operator_stage stage) {
  static const char *const names[] = {"setup", "linear", "relu", "pool", "multiply", "output"};
  return stage < STAGE_COUNT ? names[stage] : "?";
}
