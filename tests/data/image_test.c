/* Pictures: equal to what Pillow makes of them (tests/data/pictures, written by make_pictures.py), presets and JSON,
 * folders, hostile files. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/image.h"
#include "support/support.h"

static char folder[] = "/tmp/fusion-image-XXXXXX";
static const char *const names[] = {"alpha.png",        "bits.png", "grey.jpg",    "grey.png",
                                    "grey_alpha.png",   "ink.jpg",  "palette.png", "palette_clear.png",
                                    "progressive.jpeg", "rgb.jpg",  "rgb.png"};
enum { NAMES = sizeof names / sizeof names[0] };

static const char *picture(const char *name) {
  static char path[512];
  snprintf(path, sizeof path, "%s/tests/data/pictures/%s", getenv("FUSION_SOURCE"), name);
  return path;
}

static const char *scratch(const char *name) {
  static char path[512];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

static void load(fusion_array **out, const char *path, const char *settings) {
  fusion_image_settings s = fusion_image_defaults();
  fusion_error err = {.status = FUSION_OK};
  if (fusion_image_settings_read(&s, settings, &err) != FUSION_OK ||
      fusion_images_load(out, path, &s, &err) != FUSION_OK)
    fail_msg("%s", err.text);
}

static void refuse(const char *path, const char *settings, const char *expected) {
  fusion_image_settings s = fusion_image_defaults();
  fusion_array *a = NULL;
  fusion_error err = {.status = FUSION_OK};
  fusion_status status = fusion_image_settings_read(&s, settings, &err);
  if (status == FUSION_OK) status = fusion_images_load(&a, path, &s, &err);
  assert_null(a);
  assert_int_not_equal(status, FUSION_OK);
  assert_int_equal(status, err.status);
  if (!strstr(err.text, expected)) fail_msg("'%s' is not in: %s", expected, err.text);
  assert_null(strchr(err.text, '\n'));
}

static void assert_expected(const fusion_array *a, const char *key) {
  char path[1024];
  fusion_array *expected;
  snprintf(path, sizeof path, "%s:%s", picture("expected.npz"), key);
  assert_ok(fusion_array_load(&expected, path, NULL));
  assert_int_equal(fusion_array_rows(a), 1);
  assert_int_equal(fusion_array_axis(a, 1), fusion_array_axis(expected, 0));
  assert_int_equal(fusion_array_axis(a, 2), fusion_array_axis(expected, 1));
  assert_int_equal(fusion_array_axis(a, 3), fusion_array_axis(expected, 2));
  assert_memory_equal(fusion_array_data(a), fusion_array_data(expected), fusion_array_row_size(a));
  fusion_array_free(expected);
}

static void decode__equals_pillow(void **state) {
  (void)state;
  for (size_t i = 0; i < NAMES; i++) {
    fusion_array *a;
    char key[64];
    load(&a, picture(names[i]), "{}");
    assert_expected(a, names[i]);
    assert_string_equal(fusion_array_row_name(a, 0), names[i]);
    assert_null(fusion_array_row_name(a, 1));
    fusion_array_free(a);
    load(&a, picture(names[i]), "grey");
    snprintf(key, sizeof key, "%s_in_grey", names[i]);
    assert_expected(a, key);
    fusion_array_free(a);
  }
}

static void resize__equals_pillow(void **state) {
  (void)state;
  static const char *const filters[] = {"bilinear", "bicubic"};
  static const struct {
    const char *json, *key;
  } cases[] = {{"\"resize\": 20", "shorter_20"},
               {"\"resize\": 20, \"crop\": 17", "shorter_20_crop_17"},
               {"\"resize\": [50, 13]", "to_50x13"},
               {"\"resize\": [90, 100]", "to_90x100"}};
  for (size_t f = 0; f < 2; f++) {
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
      char json[128], key[64];
      fusion_array *a;
      snprintf(json, sizeof json, "{%s, \"filter\": \"%s\"}", cases[i].json, filters[f]);
      snprintf(key, sizeof key, "%s_%s", cases[i].key, filters[f]);
      load(&a, picture("rgb.jpg"), json);
      assert_expected(a, key);
      fusion_array_free(a);
    }
  }
}

static void settings__presets_and_json(void **state) {
  (void)state;
  fusion_image_settings s = fusion_image_defaults();
  assert_ok(fusion_image_settings_read(&s, "imagenet", NULL));
  assert_true(s.resize_height == 256 && s.crop_width == 224 && s.normalise && s.count == 3);
  assert_true(s.mean[2] == 0.406 && s.deviation[0] == 0.229);
  assert_ok(fusion_image_settings_read(&s, "{\"preset\": \"imagenet\", \"crop\": [227, 200], \"mean\": 0.5}", NULL));
  assert_true(s.crop_height == 227 && s.crop_width == 200 && s.mean[1] == 0.5 && s.deviation[1] == 0.224);
  assert_ok(fusion_image_settings_read(&s, "{\"channels\": \"grey\", \"std\": 2}", NULL));
  assert_true(s.colours == FUSION_COLOURS_GREY && s.count == 1 && s.mean[0] == 0 && s.deviation[0] == 2);
  assert_ok(fusion_image_settings_read(&s, "{}", NULL));
  assert_true(!s.normalise && s.scale == 1);
  refuse(picture("rgb.png"), "{\"size\": 3}", "\"size\": no such key");
  refuse(picture("rgb.png"), "{\"crop\": 0}", "\"crop\": give pixels");
  refuse(picture("rgb.png"), "{\"std\": [1, 0, 1]}", "\"std\": give one positive");
  refuse(picture("rgb.png"), "{\"mean\": [1, 2]}", "\"mean\": give one number");
  refuse(picture("rgb.png"), "{\"preset\": \"imagenet\", \"channels\": \"grey\"}", "one mean");
  refuse(picture("rgb.png"), "{\"preset\": \"vgg\"}", "imagenet, unit or grey");
  refuse(picture("rgb.png"), "{\"crop\": 4", "line 1");
  refuse(picture("rgb.png"), "imagenett", "'imagenett': neither a preset");
}

static void copy(const char *from, const char *to, size_t keep) {
  uint8_t bytes[1 << 14];
  FILE *in = fopen(picture(from), "rb");
  assert_non_null(in);
  const size_t len = fread(bytes, 1, sizeof bytes, in);
  fclose(in);
  FILE *out = fopen(scratch(to), "wb");
  assert_non_null(out);
  fwrite(bytes, 1, size_min(len, keep), out);
  fclose(out);
}

static void folder__sorted_by_name(void **state) {
  (void)state;
  fusion_array *a;
  copy("rgb.png", "b.PNG", SIZE_MAX);
  copy("rgb.jpg", "a.jpg", SIZE_MAX);
  copy("rgb.jpg", "C.jpeg", SIZE_MAX);
  copy("rgb.jpg", "notes.txt", SIZE_MAX);
  load(&a, folder, "{}");
  assert_int_equal(fusion_array_rows(a), 3);
  assert_string_equal(fusion_array_row_name(a, 0), "C.jpeg");
  assert_string_equal(fusion_array_row_name(a, 1), "a.jpg");
  assert_string_equal(fusion_array_row_name(a, 2), "b.PNG");
  assert_memory_equal(fusion_array_data(a), (const uint8_t *)fusion_array_data(a) + fusion_array_row_size(a), 100);
  fusion_array_free(a);
  copy("rgb.jpg", "d.gif", SIZE_MAX);
  refuse(folder, "{}", "d.gif': only PNG and JPEG");
  unlink(scratch("d.gif"));
  copy("expected.npz", "e.png", 100);
  refuse(folder, "{}", "e.png': neither a PNG nor a JPEG");
  unlink(scratch("e.png"));
  refuse(folder, "{\"crop\": 40}", "less than the 40x40 of the crop");
  unlink(scratch("a.jpg"));
  unlink(scratch("C.jpeg"));
  unlink(scratch("b.PNG"));
  refuse(folder, "{}", "no .png, .jpg or .jpeg file");
}

static void create__pixels_equal_their_file(void **state) {
  (void)state;
  fusion_array *plain, *a;
  fusion_image_settings s = fusion_image_defaults();
  load(&plain, picture("rgb.png"), "{}");
  char path[512];
  snprintf(path, sizeof path, "%s", picture("rgb.png"));
  const fusion_picture both[2] = {{.path = path},
                                  {.pixels = fusion_array_data(plain),
                                   .height = fusion_array_axis(plain, 1),
                                   .width = fusion_array_axis(plain, 2),
                                   .channels = 3}};
  assert_ok(fusion_image_settings_read(&s, "{\"resize\": [9, 7], \"channels\": \"grey\"}", NULL));
  assert_ok(fusion_images_create(&a, both, 2, &s, NULL));
  assert_int_equal(fusion_array_rows(a), 2);
  assert_int_equal(fusion_array_row_size(a), 9 * 7);
  const uint8_t *pixels = fusion_array_data(a);
  assert_memory_equal(pixels, pixels + 9 * 7, 9 * 7);
  assert_string_equal(fusion_array_row_name(a, 0), "rgb.png");
  assert_string_equal(fusion_array_row_name(a, 1), "picture 1");
  fusion_array_free(a);
  fusion_array_free(plain);
}

static void create__refuses_what_is_no_picture(void **state) {
  (void)state;
  static const uint8_t pixels[8] = {0};
  static const struct {
    fusion_picture picture;
    const char *expected;
  } cases[] = {
      {{.pixels = pixels, .height = 2, .width = 1, .channels = 4}, "'picture 0': 1x2 pixels of 4 channels"},
      {{.pixels = pixels, .height = 0, .width = 1, .channels = 3}, "'picture 0': 1x0 pixels of 3 channels"},
      {{.path = "scan", .pixels = pixels, .height = SIZE_MAX, .width = 3, .channels = 1}, "'scan'"},
      {{.path = "no-such.png"}, "no-such.png"},
      {{.path = NULL}, "picture 0 has neither a path nor pixels"},
  };
  const fusion_image_settings s = fusion_image_defaults();
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    fusion_array *a;
    fusion_error err = {.status = FUSION_OK};
    assert_int_not_equal(fusion_images_create(&a, &cases[i].picture, 1, &s, &err), FUSION_OK);
    assert_null(a);
    if (!strstr(err.text, cases[i].expected)) fail_msg("'%s' is not in: %s", cases[i].expected, err.text);
  }
}

static void hostile__cut_files_are_refused(void **state) {
  (void)state;
  for (size_t i = 0; i < NAMES; i++) {
    struct stat info;
    char to[64];
    assert_int_equal(stat(picture(names[i]), &info), 0);
    snprintf(to, sizeof to, "cut-%s", names[i]);
    for (size_t keep = 0; keep < (size_t)info.st_size; keep += keep < 64 ? 1 : 41) {
      copy(names[i], to, keep);
      refuse(scratch(to), "{}", names[i]);
    }
    copy(names[i], to, (size_t)info.st_size - 1);
    refuse(scratch(to), "{}", names[i]);
    unlink(scratch(to));
  }
}

static void hostile__claimed_sizes_take_no_memory(void **state) {
  (void)state;
  uint8_t bytes[4096];
  FILE *in = fopen(picture("rgb.jpg"), "rb");
  assert_non_null(in);
  const size_t len = fread(bytes, 1, sizeof bytes, in);
  fclose(in);
  /* The frame header: ff c0, length, precision, height, width. */
  size_t at = 0;
  while (!(bytes[at] == 0xff && bytes[at + 1] == 0xc0)) at++;
  memset(bytes + at + 5, 0xf0, 4);
  FILE *out = fopen(scratch("huge.jpg"), "wb");
  assert_non_null(out);
  fwrite(bytes, 1, len, out);
  fclose(out);
  refuse(scratch("huge.jpg"), "{}", "61680x61680 pixels; at most 100 million");
  unlink(scratch("huge.jpg"));
}

static int teardown(void **state) {
  (void)state;
  char command[64];
  snprintf(command, sizeof command, "rm -r %s", folder);
  return system(command);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(decode__equals_pillow),           cmocka_unit_test(resize__equals_pillow),
      cmocka_unit_test(settings__presets_and_json),      cmocka_unit_test(folder__sorted_by_name),
      cmocka_unit_test(create__pixels_equal_their_file), cmocka_unit_test(create__refuses_what_is_no_picture),
      cmocka_unit_test(hostile__cut_files_are_refused),  cmocka_unit_test(hostile__claimed_sizes_take_no_memory),
  };
  if (!mkdtemp(folder)) return 1;
  return cmocka_run_group_tests(tests, NULL, teardown);
}
