/* PNG through libpng: from memory, to 8 bits a channel without alpha, every complaint an error that names the file. */
#include <png.h>

#include "data/image.h"

enum { CHUNK_MAX = 16 << 20, CHUNKS_MAX = 256, SIDE_MAX = 1 << 20 };

struct png_state {
  const struct image_file *file;
  size_t at;
  fusion_error *err;
  fusion_status status;
  struct image image;
  png_bytep *rows; /* owned */
  png_structp png;
  png_infop info;
};

static PNG_CALLBACK(void, fail, (png_structp png, png_const_charp text)) {
  struct png_state *s = png_get_error_ptr(png);
  s->status = error_set(s->err, FUSION_E_INPUT, "'%s': not a valid PNG file: %s", s->file->path, text);
  png_longjmp(png, 1);
}

static PNG_CALLBACK(void, ignore_warning, (png_structp png, png_const_charp text)) {
  (void)png;
  (void)text;
}

static PNG_CALLBACK(void, take_bytes, (png_structp png, png_bytep out, size_t len)) {
  struct png_state *s = png_get_io_ptr(png);
  if (len > s->file->len - s->at) png_error(png, "the file ends too early");
  memcpy(out, s->file->bytes + s->at, len);
  s->at += len;
}

/** Whatever the file holds, 8-bit grey or RGB comes out: the high byte of 16, palettes looked up, alpha dropped. */
static void ask_for_bytes(struct png_state *s) {
  const png_byte colour = png_get_color_type(s->png, s->info);
  if (colour == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(s->png);
  if (colour == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(s->png);
  png_set_strip_16(s->png);
  png_set_strip_alpha(s->png);
  png_set_interlace_handling(s->png);
  png_read_update_info(s->png, s->info);
}

/** May leave through fail(). */
static void read_rows(struct png_state *s) {
  png_read_info(s->png, s->info);
  ask_for_bytes(s);
  const size_t channels = png_get_channels(s->png, s->info), height = png_get_image_height(s->png, s->info);
  if (channels != 1 && channels != 3) png_error(s->png, "neither grey nor colour");
  s->status = image_alloc(&s->image, s->file->path, png_get_image_width(s->png, s->info), height, channels, s->err);
  if (s->status == FUSION_OK && !(s->rows = mem_alloc(height, sizeof *s->rows)))
    s->status = error_set(s->err, FUSION_E_MEMORY, "'%s': out of memory for the image", s->file->path);
  if (s->status != FUSION_OK) return;
  const size_t row_len = s->image.width * channels;
  if (png_get_rowbytes(s->png, s->info) != row_len) png_error(s->png, "unexpected length of a row");
  for (size_t y = 0; y < height; y++) s->rows[y] = s->image.pixels + y * row_len;
  png_read_image(s->png, s->rows);
  png_read_end(s->png, NULL);
}

static void decode(struct png_state *s) {
  if (setjmp(png_jmpbuf(s->png))) return;
  png_set_user_limits(s->png, SIDE_MAX, SIDE_MAX);
  png_set_chunk_malloc_max(s->png, CHUNK_MAX);
  png_set_chunk_cache_max(s->png, CHUNKS_MAX);
  png_set_read_fn(s->png, s, take_bytes);
  read_rows(s);
}

fusion_status image_decode_png(struct image *out, const struct image_file *file, fusion_error *err) {
  struct png_state s = {.file = file, .err = err, .status = FUSION_OK};
  s.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &s, fail, ignore_warning);
  s.info = s.png ? png_create_info_struct(s.png) : NULL;
  if (s.info)
    decode(&s);
  else
    s.status = error_set(err, FUSION_E_MEMORY, "'%s': out of memory for the image", file->path);
  png_destroy_read_struct(&s.png, &s.info, NULL);
  mem_free(s.rows);
  if (s.status != FUSION_OK) image_free(&s.image);
  *out = s.image;
  return s.status;
}
