/* Names of protocol engines. */
#include "api/model_api.h"
#include "engine/engine.h"

fusion_status engine_named(const struct engine **out, const char *name, fusion_error *err) {
  *out = engine_find(name ? name : "cheetah");
  return *out ? FUSION_OK : error_set(err, FUSION_E_USAGE, "'%.40s': no such protocol engine", name);
}

fusion_status fusion_engine_check(const char *name, fusion_error *err) {
  const struct engine *engine;
  return engine_named(&engine, name, err);
}
