/* Names of protocol engines. */
#include "api/model_api.h"
#include "engine/engine.h"

fusion_status fusion_engine_check(const char *name, fusion_error *err) {
  const struct engine *engine;
  return engine_named(&engine, name, err);
}

const char *fusion_engine_name(size_t index) {
  const struct engine *engine = engine_at(index);
  return engine ? engine->name : NULL;
}

const char *fusion_engine_summary(size_t index) {
  const struct engine *engine = engine_at(index);
  return engine ? engine->summary : NULL;
}
