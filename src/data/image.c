/* An image's memory, colours and crop. */
#include "data/image.h"

enum { PIXELS_MAX = 100000000, SIDE_MAX = 1 << 20 };

fusion_status image_alloc(struct image *out, const char *path, size_t width, size_t height, size_t channels,
                          fusion_error *err) {
  if (!width || !height || width > SIDE_MAX || height > SIDE_MAX || width * height > PIXELS_MAX)
    return error_set(err, FUSION_E_INPUT, "'%s': %zux%zu pixels; at most %d million are read", path, width, height,
                     PIXELS_MAX / 1000000);
  *out = (struct image){width, height, channels, mem_alloc(width * height, channels)};
  return out->pixels ? FUSION_OK : error_set(err, FUSION_E_MEMORY, "'%s': out of memory for the image", path);
}

void image_free(struct image *image) {
  if (image->pixels) mem_free_secret(image->pixels, image->width * image->height * image->channels);
  image->pixels = NULL;
}

fusion_status image_set_channels(struct image *image, size_t channels) {
  if (image->channels == channels) return FUSION_OK;
  const size_t count = image->width * image->height;
  struct image to = {image->width, image->height, channels, mem_alloc(count, channels)};
  if (!to.pixels) return FUSION_E_MEMORY;
  const uint8_t *x = image->pixels;
  for (size_t i = 0; i < count; i++) {
    if (channels == 3)
      memset(to.pixels + 3 * i, x[i], 3);
    else /* ITU-R 601 luma in sixteenths of a bit, as Pillow computes it */
      to.pixels[i] = (uint8_t)((19595u * x[3 * i] + 38470u * x[3 * i + 1] + 7471u * x[3 * i + 2] + 0x8000u) >> 16);
  }
  image_free(image);
  *image = to;
  return FUSION_OK;
}

/** Half of the difference, halves to even. */
static size_t half_to_even(size_t rest) {
  const size_t half = rest / 2;
  return half + (rest % 2 && half % 2);
}

void image_crop(struct image *image, size_t width, size_t height) {
  assert(width <= image->width && height <= image->height);
  const size_t top = half_to_even(image->height - height), left = half_to_even(image->width - width);
  const size_t from = image->width * image->channels, to = width * image->channels;
  for (size_t y = 0; y < height; y++)
    memmove(image->pixels + y * to, image->pixels + (y + top) * from + left * image->channels, to);
  mem_wipe(image->pixels + height * to, from * image->height - height * to);
  image->width = width;
  image->height = height;
}
