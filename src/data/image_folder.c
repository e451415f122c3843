/* Pictures from files and folders to one array. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/sized.h"
#include "data/image.h"

enum { FILE_LEN_MAX = 256 << 20 };

/** The pictures to load: what to open, and the name that answers get. */
struct list {
  char **paths, **names; /* owned, each entry too */
  size_t count, capacity;
  const fusion_picture *given; /* [count], borrowed: where one has pixels, its path is no file; NULL: all are files */
};

static bool name_ends(const char *name, const char *const *ends) {
  const char *dot = strrchr(name, '.');
  for (; dot && *ends; ends++)
    if (strcasecmp(dot, *ends) == 0) return true;
  return false;
}

static bool is_picture(const char *name) {
  static const char *const ends[] = {".png", ".jpg", ".jpeg", NULL};
  return name_ends(name, ends);
}

/** Pictures that are not read: to leave them out silently would shift the rows against the labels. */
static bool is_foreign_picture(const char *name) {
  static const char *const ends[] = {".gif",  ".bmp", ".tif", ".tiff", ".webp", ".heic",
                                     ".avif", ".jp2", ".ppm", ".pgm",  ".dcm",  NULL};
  return name_ends(name, ends);
}

static bool is_folder(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool fusion_images_path(const char *path) {
  return is_folder(path) || is_picture(path);
}

static void names_free(char **names, size_t count) {
  for (size_t i = 0; names && i < count; i++) free(names[i]);
  free(names);
}

static bool list_add(struct list *l, const char *folder, const char *name) {
  if (l->count == l->capacity) {
    const size_t capacity = l->capacity ? 2 * l->capacity : 64;
    char **paths = realloc(l->paths, capacity * sizeof *paths);
    if (paths) l->paths = paths;
    char **names = realloc(l->names, capacity * sizeof *names);
    if (names) l->names = names;
    if (!paths || !names) return false;
    l->capacity = capacity;
  }
  char *path = NULL;
  if (asprintf(&path, "%s%s%s", folder ? folder : "", folder ? "/" : "", name) < 0) return false;
  const char *slash = strrchr(name, '/');
  char *copy = strdup(slash ? slash + 1 : name);
  if (!copy) free(path);
  if (!copy) return false;
  l->paths[l->count] = path;
  l->names[l->count++] = copy;
  return true;
}

static int compare_paths(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static fusion_status list_folder(struct list *l, const char *folder, fusion_error *err) {
  DIR *d = opendir(folder);
  if (!d) return error_set(err, FUSION_E_IO, "'%s': cannot be opened: %s", folder, strerror(errno));
  fusion_status status = FUSION_OK;
  for (const struct dirent *e; status == FUSION_OK && (e = readdir(d));) {
    if (e->d_name[0] == '.') continue;
    if (is_foreign_picture(e->d_name))
      status = error_set(err, FUSION_E_INPUT, "'%s/%s': only PNG and JPEG files are supported; convert it or remove it",
                         folder, e->d_name);
    else if (is_picture(e->d_name) && !list_add(l, folder, e->d_name))
      status = error_set(err, FUSION_E_MEMORY, "'%s': out of memory for its names", folder);
  }
  closedir(d);
  if (status == FUSION_OK && !l->count)
    status = error_set(err, FUSION_E_INPUT, "'%s': no .png, .jpg or .jpeg file in this folder", folder);
  if (status != FUSION_OK) return status;
  /* Both lists sort alike: the paths share their folder. */
  qsort(l->paths, l->count, sizeof *l->paths, compare_paths);
  qsort(l->names, l->count, sizeof *l->names, compare_paths);
  return FUSION_OK;
}

/* One picture */

static fusion_status decode(struct image *out, const struct image_file *f, fusion_error *err) {
#ifdef FUSION_IMAGES
  static const uint8_t png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'}, jpeg[3] = {0xff, 0xd8, 0xff};
  if (f->len >= sizeof png && memcmp(f->bytes, png, sizeof png) == 0) return image_decode_png(out, f, err);
  if (f->len >= sizeof jpeg && memcmp(f->bytes, jpeg, sizeof jpeg) == 0) return image_decode_jpeg(out, f, err);
  return error_set(err, FUSION_E_INPUT, "'%s': neither a PNG nor a JPEG file", f->path);
#else
  (void)out;
  return error_set(err, FUSION_E_UNSUPPORTED,
                   "'%s': this build cannot read images; install libjpeg-dev and libpng-dev and build again", f->path);
#endif
}

static fusion_status read_picture(struct image *out, const char *path, fusion_error *err) {
  struct input_file f;
  uint8_t *bytes = NULL;
  fusion_status status = input_open(&f, path, err);
  if (status != FUSION_OK) return status;
  FAIL_IF(f.len > FILE_LEN_MAX, error_set(err, FUSION_E_INPUT, "'%s': longer than %d MiB", path, FILE_LEN_MAX >> 20));
  bytes = mem_alloc((size_t)f.len + 1, 1);
  FAIL_IF(!bytes, error_set(err, FUSION_E_MEMORY, "'%s': out of memory", path));
  TRY(input_read(&f, 0, bytes, (size_t)f.len, err));
  const struct image_file file = {path, bytes, (size_t)f.len};
  status = decode(out, &file, err);
cleanup:
  input_close(&f);
  if (bytes) mem_free_secret(bytes, (size_t)f.len + 1);
  return status;
}

static fusion_status resize(struct image *image, const fusion_image_settings *s) {
  size_t height = s->resize_height, width = s->resize_width;
  if (!height) return FUSION_OK;
  if (!width) { /* the shorter side; the other keeps the proportion, rounded down as torchvision does */
    const size_t side = height;
    const bool tall = image->width <= image->height;
    width = tall ? side : side * image->width / image->height;
    height = tall ? side * image->height / image->width : side;
  }
  return image_resize(image, width, height, s->filter);
}

static fusion_status take_pixels(struct image *out, const fusion_picture *given, const char *path, fusion_error *err) {
  if (!given->height || !given->width || (given->channels != 1 && given->channels != 3))
    return error_set(err, FUSION_E_INPUT, "'%s': %zux%zu pixels of %zu channels; give at least one, of 1 or 3", path,
                     given->width, given->height, given->channels);
  const fusion_status status = image_alloc(out, path, given->width, given->height, given->channels, err);
  if (status == FUSION_OK) memcpy(out->pixels, given->pixels, given->height * given->width * given->channels);
  return status;
}

static fusion_status load_picture(struct image *out, const struct list *l, size_t index, const fusion_image_settings *s,
                                  fusion_error *err) {
  const char *path = l->paths[index];
  struct image image = {0};
  const bool is_file = !l->given || !l->given[index].pixels;
  fusion_status status = is_file ? read_picture(&image, path, err) : take_pixels(&image, &l->given[index], path, err);
  if (status != FUSION_OK) return status;
  status = image_set_channels(&image, s->colours == FUSION_COLOURS_GREY ? 1 : 3);
  if (status == FUSION_OK) status = resize(&image, s);
  if (status != FUSION_OK) error_set(err, status, "'%s': out of memory for the image", path);
  if (status == FUSION_OK && (image.width < s->crop_width || image.height < s->crop_height))
    status = error_set(err, FUSION_E_INPUT, "'%s': %zux%zu pixels, less than the %ux%u of the crop; resize first", path,
                       image.width, image.height, s->crop_width, s->crop_height);
  if (status == FUSION_OK && s->crop_height) image_crop(&image, s->crop_width, s->crop_height);
  if (status == FUSION_OK)
    *out = image;
  else
    image_free(&image);
  return status;
}

/* All of them */

static fusion_status start_array(fusion_array **out, struct list *l, const struct image *first,
                                 const fusion_image_settings *s, fusion_error *err) {
  const size_t shape[4] = {l->count, first->height, first->width, first->channels};
  const fusion_status status = fusion_array_create(out, FUSION_U8, 4, shape, NULL);
  if (status != FUSION_OK)
    return error_set(err, status, "out of memory for %zu images of %zux%zu", l->count, first->width, first->height);
  fusion_array *a = *out;
  a->picture = *s;
  a->is_pictures = true;
  a->names = l->names;
  l->names = NULL;
  return FUSION_OK;
}

static fusion_status load_list(fusion_array **out, struct list *l, const fusion_image_settings *s, fusion_error *err) {
  fusion_status status = FUSION_OK;
  for (size_t i = 0; i < l->count && status == FUSION_OK; i++) {
    struct image image = {0};
    status = load_picture(&image, l, i, s, err);
    if (status != FUSION_OK) break;
    if (i == 0) status = start_array(out, l, &image, s, err);
    const fusion_array *a = *out;
    if (status == FUSION_OK && (image.height != a->shape[1] || image.width != a->shape[2]))
      status = error_set(err, FUSION_E_INPUT,
                         "'%s': %zux%zu pixels, '%s' has %zux%zu; use --preprocess to make the sizes equal",
                         l->paths[i], image.width, image.height, l->paths[0], a->shape[2], a->shape[1]);
    const size_t len = image.width * image.height * image.channels;
    if (status == FUSION_OK) memcpy(a->data + i * len, image.pixels, len);
    image_free(&image);
  }
  return status;
}

/* Loads the list, and frees it; `status` is what came of making it. */
static fusion_status load_and_free(fusion_array **out, struct list *l, const fusion_image_settings *s,
                                   fusion_status status, fusion_error *err) {
  if (status == FUSION_OK) status = load_list(out, l, s, err);
  names_free(l->paths, l->count);
  names_free(l->names, l->count);
  if (status == FUSION_OK) return status;
  fusion_array_free(*out);
  *out = NULL;
  return status;
}

fusion_status fusion_images_load(fusion_array **out, const char *path, const fusion_image_settings *settings,
                                 fusion_error *err) {
  struct list l = {0};
  fusion_image_settings known = fusion_image_defaults();
  *out = NULL;
  fusion_status status = sized_take(&known, settings, "fusion_image_settings", err);
  if (status != FUSION_OK) return status;
  if (is_folder(path))
    status = list_folder(&l, path, err);
  else if (!list_add(&l, NULL, path))
    status = error_set(err, FUSION_E_MEMORY, "'%s': out of memory", path);
  return load_and_free(out, &l, &known, status, err);
}

fusion_status fusion_images_create(fusion_array **out, const fusion_picture *pictures, size_t count,
                                   const fusion_image_settings *settings, fusion_error *err) {
  struct list l = {.given = pictures};
  char unnamed[32];
  fusion_image_settings known = fusion_image_defaults();
  *out = NULL;
  fusion_status status = sized_take(&known, settings, "fusion_image_settings", err);
  if (status != FUSION_OK) return status;
  if (!count) return error_set(err, FUSION_E_INPUT, "there are no pictures; give at least one");
  for (size_t i = 0; i < count && status == FUSION_OK; i++) {
    snprintf(unnamed, sizeof unnamed, "picture %zu", i);
    const char *name = pictures[i].path ? pictures[i].path : pictures[i].pixels ? unnamed : NULL;
    if (!name)
      status = error_set(err, FUSION_E_USAGE, "%s has neither a path nor pixels", unnamed);
    else if (!list_add(&l, NULL, name))
      status = error_set(err, FUSION_E_MEMORY, "out of memory for the names of %zu pictures", count);
  }
  return load_and_free(out, &l, &known, status, err);
}
