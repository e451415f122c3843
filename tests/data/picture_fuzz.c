/* Fuzz target: pictures from foreign bytes. Whatever decodes goes through resizing and cropping too. */
#include "data/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LARGEST_TRIED = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const struct image_file file = {"fuzz", data, size};
  for (int kind = 0; kind < 2; kind++) {
    fusion_error err = {.status = FUSION_OK};
    struct image image = {0};
    const fusion_status status = kind ? image_decode_png(&image, &file, &err) : image_decode_jpeg(&image, &file, &err);
    if ((status != FUSION_OK) != (err.text[0] != '\0')) __builtin_trap();
    if (status != FUSION_OK) {
      if (image.pixels) __builtin_trap();
      continue;
    }
    const bool small = image.width * image.height <= LARGEST_TRIED;
    if (small && image_set_channels(&image, kind ? 1 : 3) == FUSION_OK &&
        image_resize(&image, 1 + size % 31, 1 + size % 29, (fusion_filter)(size % 2)) == FUSION_OK)
      image_crop(&image, 1, 1);
    image_free(&image);
  }
  return 0;
}
