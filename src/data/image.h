/** Pictures inside data: decoding, colours, size. The outside is <fusion/images.h>. */
#ifndef FUSION_DATA_IMAGE_H
#define FUSION_DATA_IMAGE_H

#include <fusion/images.h>

#include "data/data.h"

/** Rows of pixels, channels interleaved: RGB or grey. */
struct image {
  size_t width, height, channels; /* channels: 1 or 3 */
  uint8_t *pixels;                /* owned (image_free) */
};

/** A file's bytes. `path` is borrowed and for error texts. */
struct image_file {
  const char *path;
  const uint8_t *bytes;
  size_t len;
};

/** Memory for an image of this size; refuses more pixels than are allowed. */
fusion_status image_alloc(struct image *out, const char *path, size_t width, size_t height, size_t channels,
                          fusion_error *err) FUSION_MUST_CHECK;
void image_free(struct image *image);

/** Each decodes what its name says; FUSION_E_INPUT for a damaged file. *out is valid only on success. */
fusion_status image_decode_jpeg(struct image *out, const struct image_file *file, fusion_error *err) FUSION_MUST_CHECK;
fusion_status image_decode_png(struct image *out, const struct image_file *file, fusion_error *err) FUSION_MUST_CHECK;

/** In place: grey to RGB, or RGB to grey. */
fusion_status image_set_channels(struct image *image, size_t channels) FUSION_MUST_CHECK;
/** In place; sizes are not 0. Equal to Pillow's resize byte for byte. */
fusion_status image_resize(struct image *image, size_t width, size_t height, fusion_filter filter) FUSION_MUST_CHECK;
/** In place; the image must be as large as the crop. Where the rest is odd, the half pixel is rounded to even. */
void image_crop(struct image *image, size_t width, size_t height);

#endif
