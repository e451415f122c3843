/** Pictures as samples: PNG and JPEG files, resized, cropped and handed to a model as its network expects them. */
#ifndef FUSION_IMAGES_H
#define FUSION_IMAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fusion/array.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How pixels are weighed when an image changes its size. Both widen with the reduction (antialiasing) and give the
 *  bytes that Pillow's Image.resize gives. */
typedef enum fusion_filter {
  FUSION_FILTER_BILINEAR = 0,
  FUSION_FILTER_BICUBIC,
} fusion_filter;

typedef enum fusion_colours {
  FUSION_COLOURS_RGB = 0,
  FUSION_COLOURS_BGR,  /**< the network takes blue first */
  FUSION_COLOURS_GREY, /**< one channel: (19595 R + 38470 G + 7471 B) / 65536, rounded */
} fusion_colours;

/** What happens to an image, in this order: colours, resize, crop around the centre, normalisation. Start from
 *  fusion_image_defaults(). */
typedef struct fusion_image_settings {
  size_t size;                  /**< of this struct; see fusion.h */
  fusion_colours colours;       /**< default RGB */
  uint32_t resize_height;       /**< 0 (default): not resized */
  uint32_t resize_width;        /**< 0: resize_height is the shorter side's, the other keeps the proportion */
  uint32_t crop_height;         /**< 0 (default): not cropped */
  uint32_t crop_width;          /**< not 0 where crop_height is not */
  fusion_filter filter;         /**< default bilinear */
  bool normalise;               /**< (byte * scale - mean[c]) / deviation[c] is the network's input; default no */
  double scale;                 /**< default 1 */
  size_t count;                 /**< numbers in mean and deviation: 0 (default: 0 and 1), 1, or one for each channel */
  double mean[3], deviation[3]; /**< in the network's order of channels */
} fusion_image_settings;

FUSION_API void fusion_image_init(fusion_image_settings *settings, size_t size);
static inline fusion_image_settings fusion_image_defaults(void) {
  fusion_image_settings settings;
  fusion_image_init(&settings, sizeof settings);
  return settings;
}

/** Settings from `text`: the name of a preset (`imagenet`, `unit`, `grey`), the path of a JSON file, or JSON itself,
 *  which begins with '{'. fusion-images(7) describes them. FUSION_E_USAGE; FUSION_E_IO; FUSION_E_INPUT names the key.
 */
FUSION_API fusion_status fusion_image_settings_read(fusion_image_settings *out, const char *text,
                                                    fusion_error *err) FUSION_MUST_CHECK;

/** True for a folder, and for a name that ends as image files do (.png, .jpg, .jpeg, in any case). */
FUSION_API bool fusion_images_path(const char *path);

/** Loads an image, or every image of a folder in the order of their names' bytes, to U8 [images][height][width][3]
 *  RGB, or [..][1] grey. All must have one size in the end. The array remembers the names (fusion_array_row_name) and
 *  the normalisation, so that every call that takes raw samples brings them to the network's input, whatever layout the
 *  model's own arrays have: by the model's preprocessing if it has one (other numbers in `settings` are then an error),
 *  else by the settings'. Files are hostile until read: at most 256 MiB and 100 million pixels each; one that is
 *  damaged or cut short ends the call with its name. FUSION_E_IO, FUSION_E_INPUT, FUSION_E_MEMORY;
 *  FUSION_E_UNSUPPORTED where the library was built without libjpeg and libpng. */
FUSION_API fusion_status fusion_images_load(fusion_array **out, const char *path, const fusion_image_settings *settings,
                                            fusion_error *err) FUSION_MUST_CHECK;

/** One picture of fusion_images_create. Texts and pixels are borrowed for the call. Never changes. */
typedef struct fusion_picture {
  const char *path;               /**< a file to read; with pixels, the picture's name in messages, or NULL */
  const uint8_t *pixels;          /**< [height][width][channels], RGB or grey; NULL: they are in the file */
  size_t height, width, channels; /**< of the pixels, at least 1; channels 1 or 3; else 0 */
} fusion_picture;

/** As fusion_images_load, for `count` pictures in this order, at least 1. Pixels need no libjpeg and libpng. */
FUSION_API fusion_status fusion_images_create(fusion_array **out, const fusion_picture *pictures, size_t count,
                                              const fusion_image_settings *settings,
                                              fusion_error *err) FUSION_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
