/* JPEG through libjpeg: from memory, every complaint an error that names the file. */
#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>
/* after jpeglib.h, on which it depends */
#include <jerror.h>

#include "data/image.h"

enum { SCANS_MAX = 500 }; /* a progressive file may claim any number, and each takes the time of a whole decoding */
#define DECODER_MEMORY (1L << 30)

struct jpeg_state {
  struct jpeg_decompress_struct info;
  struct jpeg_error_mgr errors;
  struct jpeg_progress_mgr progress;
  const struct image_file *file;
  fusion_error *err;
  fusion_status status;
  struct image image;
  uint8_t *row; /* of a CMYK file */
  jmp_buf leave;
};

static struct jpeg_state *state_of(j_common_ptr info) {
  return info->client_data;
}

static _Noreturn void fail(j_common_ptr info) {
  struct jpeg_state *s = state_of(info);
  char text[JMSG_LENGTH_MAX];
  const int code = info->err->msg_code;
  info->err->format_message(info, text);
  if (code == JERR_OUT_OF_MEMORY)
    s->status = error_set(s->err, FUSION_E_MEMORY, "'%s': out of memory for the image", s->file->path);
  else
    s->status = error_set(s->err, FUSION_E_INPUT, "'%s': not a valid JPEG file: %s", s->file->path, text);
  longjmp(s->leave, 1);
}

/** Damage that libjpeg would paint over is refused: an answer about a half-grey picture is no answer. */
static void complain(j_common_ptr info, int level) {
  if (level < 0 && (info->err->msg_code == JWRN_JPEG_EOF || info->err->msg_code == JWRN_HIT_MARKER)) fail(info);
}

static void watch_scans(j_common_ptr info) {
  struct jpeg_state *s = state_of(info);
  if (s->info.input_scan_number <= SCANS_MAX) return;
  s->status = error_set(s->err, FUSION_E_INPUT, "'%s': a JPEG file of more than %d scans", s->file->path, SCANS_MAX);
  longjmp(s->leave, 1);
}

/** Inks, which files hold inverted, to RGB: 255 - ink, less what black covers; a product of bytes is rounded. */
static void row_of_inks(const uint8_t *inks, size_t width, uint8_t *rgb) {
  for (size_t i = 0; i < width; i++, inks += 4) {
    const unsigned white = inks[3];
    for (size_t c = 0; c < 3; c++) {
      const unsigned product = (255u - inks[c]) * white + 128u;
      const unsigned covered = ((product >> 8) + product) >> 8;
      *rgb++ = (uint8_t)(white > covered ? white - covered : 0);
    }
  }
}

/** May leave through fail(). */
static void read_rows(struct jpeg_state *s) {
  struct jpeg_decompress_struct *info = &s->info;
  const bool inks = info->jpeg_color_space == JCS_CMYK || info->jpeg_color_space == JCS_YCCK;
  const bool grey = info->jpeg_color_space == JCS_GRAYSCALE;
  info->out_color_space = inks ? JCS_CMYK : grey ? JCS_GRAYSCALE : JCS_RGB;
  s->status = image_alloc(&s->image, s->file->path, info->image_width, info->image_height, grey ? 1 : 3, s->err);
  if (s->status == FUSION_OK && inks && !(s->row = mem_alloc(info->image_width, 4)))
    s->status = error_set(s->err, FUSION_E_MEMORY, "'%s': out of memory for the image", s->file->path);
  if (s->status != FUSION_OK) return;
  jpeg_start_decompress(info);
  const size_t row_len = s->image.width * s->image.channels;
  while (info->output_scanline < info->output_height) {
    uint8_t *to = s->image.pixels + info->output_scanline * row_len;
    JSAMPROW row = inks ? s->row : to;
    jpeg_read_scanlines(info, &row, 1);
    if (inks) row_of_inks(s->row, s->image.width, to);
  }
  jpeg_finish_decompress(info);
}

static void decode(struct jpeg_state *s) {
  if (setjmp(s->leave)) return;
  jpeg_create_decompress(&s->info);
  s->info.client_data = s;
  s->info.progress = &s->progress;
  s->info.mem->max_memory_to_use = DECODER_MEMORY;
  jpeg_mem_src(&s->info, s->file->bytes, s->file->len);
  jpeg_read_header(&s->info, TRUE);
  read_rows(s);
}

fusion_status image_decode_jpeg(struct image *out, const struct image_file *file, fusion_error *err) {
  struct jpeg_state s = {.file = file, .err = err, .status = FUSION_OK};
  s.info.err = jpeg_std_error(&s.errors);
  s.errors.error_exit = fail;
  s.errors.emit_message = complain;
  s.progress.progress_monitor = watch_scans;
  s.info.client_data = &s;
  decode(&s);
  jpeg_destroy_decompress(&s.info);
  if (s.row) mem_free_secret(s.row, s.image.width * 4);
  if (s.status != FUSION_OK) image_free(&s.image);
  *out = s.image;
  return s.status;
}
