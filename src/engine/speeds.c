#include "engine/speeds.h"

static const double farthest = 128; /* from the usual machine */

const double engine_waiting = 1.08;

#define USUAL(name, text, seconds) [SPEED_##name] = (seconds),
const struct engine_speeds engine_speeds_usual = {{ENGINE_SPEEDS(USUAL)}};
#undef USUAL

const char *engine_speed_name(size_t i) {
#define TEXT(name, text, seconds) [SPEED_##name] = (text),
  static const char *const names[SPEED_COUNT] = {ENGINE_SPEEDS(TEXT)};
#undef TEXT
  return i < SPEED_COUNT ? names[i] : NULL;
}

bool engine_speeds_plausible(const struct engine_speeds *speeds) {
  for (size_t i = 0; i < SPEED_COUNT; i++) {
    const double ratio = speeds->seconds[i] / engine_speeds_usual.seconds[i];
    if (!(ratio >= 1 / farthest && ratio <= farthest)) return false; /* NaN fails both */
  }
  return true;
}
