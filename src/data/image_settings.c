/* What happens to a picture: presets, and their JSON form. */
#include <jansson.h>
#include <math.h>

#include "base/sized.h"
#include "data/image.h"

enum { SIDE_MAX = 1 << 16 };

void fusion_image_init(fusion_image_settings *settings, size_t size) {
  const fusion_image_settings defaults = {.size = sizeof defaults, .scale = 1};
  sized_init(settings, size, &defaults);
}

static bool find_preset(const char *name, fusion_image_settings *out) {
  static const struct {
    const char *name;
    fusion_image_settings settings;
  } presets[] = {
      /* What torchvision's ImageNet networks were trained and tested on. */
      {"imagenet",
       {.resize_height = 256,
        .crop_height = 224,
        .crop_width = 224,
        .normalise = true,
        .scale = 1 / 255.0,
        .count = 3,
        .mean = {0.485, 0.456, 0.406},
        .deviation = {0.229, 0.224, 0.225}}},
      {"unit", {.normalise = true, .scale = 1 / 255.0}},
      {"grey", {.colours = FUSION_COLOURS_GREY, .normalise = true, .scale = 1 / 255.0}},
  };
  for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++) {
    if (strcmp(presets[i].name, name) != 0) continue;
    *out = presets[i].settings;
    out->size = sizeof *out;
    return true;
  }
  return false;
}

/** A number of pixels for both sides, or [height, width]. With `shorter`, one number is the shorter side's (width 0).
 */
static bool read_size(const json_t *value, bool shorter, uint32_t *height, uint32_t *width) {
  const bool pair = json_is_array(value) && json_array_size(value) == 2;
  const json_t *h = pair ? json_array_get(value, 0) : value, *w = pair ? json_array_get(value, 1) : value;
  if (!json_is_integer(h) || !json_is_integer(w)) return false;
  const json_int_t rows = json_integer_value(h), columns = json_integer_value(w);
  if (rows < 1 || rows > SIDE_MAX || columns < 1 || columns > SIDE_MAX) return false;
  *height = (uint32_t)rows;
  *width = shorter && !pair ? 0 : (uint32_t)columns;
  return true;
}

/** One number for all channels, or one for each. */
static bool read_numbers(const json_t *value, double to[3]) {
  const bool list = json_is_array(value);
  const size_t count = list ? json_array_size(value) : 1;
  if (count != 1 && count != 3) return false;
  for (size_t i = 0; i < 3; i++) {
    const json_t *number = list ? json_array_get(value, count == 1 ? 0 : i) : value;
    to[i] = json_number_value(number);
    if (!json_is_number(number) || !isfinite(to[i])) return false;
  }
  return true;
}

/** Mean or deviation; the other one gets its default when neither was given before. */
static bool read_moments(const json_t *value, bool mean, fusion_image_settings *s) {
  double *to = mean ? s->mean : s->deviation;
  for (size_t i = 0; i < 3 && !s->count; i++) s->deviation[i] = 1;
  s->count = 3;
  s->normalise = true;
  if (!read_numbers(value, to)) return false;
  return mean || (to[0] > 0 && to[1] > 0 && to[2] > 0);
}

/** Three equal numbers are one for a grey picture's channel; false when they differ. */
static bool settle_count(fusion_image_settings *s) {
  if (s->colours != FUSION_COLOURS_GREY || !s->count) return true;
  s->count = 1;
  for (size_t i = 1; i < 3; i++)
    if (s->mean[i] != s->mean[0] || s->deviation[i] != s->deviation[0]) return false;
  return true;
}

static bool read_word(const json_t *value, const char *const *words, unsigned *position) {
  for (*position = 0; json_is_string(value) && words[*position]; ++*position)
    if (strcmp(words[*position], json_string_value(value)) == 0) return true;
  return false;
}

/** What a value of this key may be; NULL when there is no such key, *good tells whether it was taken. */
static const char *read_key(const char *key, const json_t *value, fusion_image_settings *s, bool *good) {
  static const char *const colours[] = {"rgb", "bgr", "grey", NULL}, *const filters[] = {"bilinear", "bicubic", NULL};
  unsigned position = 0;
  *good = true;
  if (strcmp(key, "preset") == 0) return "imagenet, unit or grey"; /* read before all others */
  if (strcmp(key, "channels") == 0) {
    *good = read_word(value, colours, &position);
    s->colours = (fusion_colours)position;
    return "rgb, bgr or grey";
  }
  if (strcmp(key, "filter") == 0) {
    *good = read_word(value, filters, &position);
    s->filter = (fusion_filter)position;
    return "bilinear or bicubic";
  }
  if (strcmp(key, "resize") == 0) {
    *good = read_size(value, true, &s->resize_height, &s->resize_width);
    return "pixels of the shorter side, or [height, width]";
  }
  if (strcmp(key, "crop") == 0) {
    *good = read_size(value, false, &s->crop_height, &s->crop_width);
    return "pixels of both sides, or [height, width]";
  }
  if (strcmp(key, "scale") == 0) {
    s->scale = json_number_value(value);
    *good = json_is_number(value) && isfinite(s->scale) && s->scale != 0;
    s->normalise = true;
    return "a number other than 0";
  }
  if (strcmp(key, "mean") != 0 && strcmp(key, "std") != 0) return NULL;
  *good = read_moments(value, key[0] == 'm', s);
  return key[0] == 'm' ? "one number, or three" : "one positive number, or three";
}

static fusion_status read_object(fusion_image_settings *s, json_t *object, const char *where, fusion_error *err) {
  if (!json_is_object(object))
    return error_set(err, FUSION_E_INPUT, "%s: an object is expected, {\"resize\": 256, \"crop\": 224, ...}", where);
  const json_t *preset = json_object_get(object, "preset");
  if (preset && !(json_is_string(preset) && find_preset(json_string_value(preset), s)))
    return error_set(err, FUSION_E_INPUT, "%s: \"preset\": give imagenet, unit or grey", where);
  const char *key;
  json_t *value;
  json_object_foreach(object, key, value) {
    bool good;
    const char *expected = read_key(key, value, s, &good);
    if (!expected)
      return error_set(
          err, FUSION_E_INPUT,
          "%s: \"%.40s\": no such key; the keys are preset, channels, resize, crop, filter, scale, mean, std", where,
          key);
    if (!good) return error_set(err, FUSION_E_INPUT, "%s: \"%s\": give %s", where, key, expected);
  }
  if (!settle_count(s))
    return error_set(err, FUSION_E_INPUT, "%s: grey images have one channel, so one mean and one std", where);
  return FUSION_OK;
}

static fusion_status read_text(fusion_image_settings *s, const char *text, fusion_error *err) {
  char where[128] = "preprocessing";
  json_error_t error;
  if (find_preset(text, s)) return FUSION_OK;
  json_t *json;
  if (text[0] == '{') {
    json = json_loads(text, JSON_REJECT_DUPLICATES, &error);
  } else {
    json = json_load_file(text, JSON_REJECT_DUPLICATES, &error);
    snprintf(where, sizeof where, "'%.100s'", text);
  }
  if (!json && error.line < 0)
    return error_set(err, FUSION_E_IO, "%s: neither a preset (imagenet, unit, grey) nor a readable file", where);
  if (!json) return error_set(err, FUSION_E_INPUT, "%s: line %d: %.100s", where, error.line, error.text);
  const fusion_status status = read_object(s, json, where, err);
  json_decref(json);
  return status;
}

fusion_status fusion_image_settings_read(fusion_image_settings *out, const char *text, fusion_error *err) {
  fusion_image_settings settings = fusion_image_defaults();
  fusion_status status = sized_check(out, "fusion_image_settings", err);
  if (status == FUSION_OK) status = read_text(&settings, text, err);
  if (status == FUSION_OK) sized_give(out, &settings);
  return status;
}
