/* Reading samples and labels: see cli.h. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

enum { HEADER_SHOWN = 60 /* characters */ };

void cli_add_reading(struct cli_option *table, struct cli_reading *reading) {
  const struct cli_option options[] = {
      CLI_OPT_CHOICE("header", &reading->header, "auto|yes|no",
                     "Whether the first line of each .csv file is a header. Default: auto; it is one if "
                     "every field is a name."),
      CLI_OPT_TEXT("preprocess", &reading->preprocess, "FILE",
                   "How to prepare images: a preset (imagenet, unit, grey), a JSON file, or JSON itself; see "
                   "fusion-images(7)."),
      {.name = NULL}};
  cli_add_options(table, options);
}

void cli_add_public_reading(struct cli_option *table, struct cli_reading *reading) {
  const struct cli_option options[] = {
      CLI_OPT_TEXT("public-id-column", &reading->public_id_column, "NAME|NUMBER",
                   "The column of a .csv file of public samples that names them, by its name or its number from 1. It "
                   "is not part of the sample."),
      {.name = NULL}};
  cli_add_options(table, options);
}

void cli_add_clip(struct cli_option *table, enum cli_clip *clip) {
  const struct cli_option options[] = {
      CLI_OPT_CHOICE("clip", clip, "refuse|yes",
                     "What to do with samples that exceed the model's input range, whose answers would be wrong: "
                     "refuse them (default), or clip them (yes)."),
      {.name = NULL}};
  cli_add_options(table, options);
}

void cli_add_input(struct cli_option *table, struct cli_input *input) {
  const struct cli_option options[] = {
      CLI_OPT_TEXT("input", &input->path, "FILE",
                   "The samples: a .npy, .npz or .csv file with one sample per row, as they are before the model's "
                   "preprocessing; or a PNG or JPEG image, or a folder of images.",
                   .letter = 'i', .required = true),
      CLI_OPT_TEXT("id-column", &input->reading.id_column, "NAME|NUMBER",
                   "The column of a .csv input that names the samples: its name in the header, or its number, counted "
                   "from 1. The answers repeat the names."),
      CLI_OPT_TEXT("classes", &input->classes, "FILE",
                   "Names of the classes, one per line, for printed answers, .csv and JSON."),
      {.name = NULL}};
  cli_add_options(table, options);
  cli_add_clip(table, &input->clip);
  cli_add_reading(table, &input->reading);
}

/* A header that nobody announced may be a row: say what was done. */
static void tell_header(const fusion_array *a, const struct cli_reading *how, const char *path) {
  char shown[HEADER_SHOWN + 1];
  size_t line, len = 0;
  const char *header = fusion_array_header(a, &line);
  if (!header || how->header != FUSION_HEADER_AUTO) return;
  for (; header[len] && len < HEADER_SHOWN; len++) {
    shown[len] = header[len];
    if ((unsigned char)header[len] < ' ' || header[len] == 127) shown[len] = ' ';
  }
  while (len && ((unsigned char)header[len] & 0xc0) == 0x80) len--; /* not within a character of UTF-8 */
  cli_error(how->command, "note: '%s': line %zu is taken as a header: %.*s%s", path, line, (int)len, shown,
            header[len] ? "..." : "");
}

static fusion_table_settings tables_of(const struct cli_reading *how, const char *id_column) {
  fusion_table_settings tables = fusion_table_defaults();
  tables.header = how->header;
  tables.id_column = id_column;
  return tables;
}

static fusion_status load(fusion_array **out, const struct cli_reading *how, const char *path, const char *id_column,
                          fusion_error *err) {
  fusion_image_settings pictures = fusion_image_defaults();
  const fusion_table_settings tables = tables_of(how, id_column);
  *out = NULL;
  fusion_status status = FUSION_OK;
  if (fusion_images_path(path)) {
    if (how->preprocess) status = fusion_image_settings_read(&pictures, how->preprocess, err);
    return status == FUSION_OK ? fusion_images_load(out, path, &pictures, err) : status;
  }
  status = fusion_array_load_table(out, path, &tables, err);
  if (status == FUSION_OK) tell_header(*out, how, path);
  return status;
}

fusion_status cli_load_samples(fusion_array **out, const struct cli_reading *how, const char *path, fusion_error *err) {
  return load(out, how, path, how->id_column, err);
}

fusion_status cli_load_public(fusion_array **out, const struct cli_reading *how, const char *path, fusion_error *err) {
  return load(out, how, path, how->public_id_column, err);
}

fusion_status cli_load_labels(fusion_array **out, const struct cli_reading *how, const char *path, fusion_error *err) {
  const fusion_table_settings tables = tables_of(how, NULL);
  const fusion_status status = fusion_labels_load(out, path, &tables, err);
  if (status == FUSION_OK) tell_header(*out, how, path);
  return status;
}
