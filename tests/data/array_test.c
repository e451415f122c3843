/* Arrays: round trips, hostile files, conversion. Agreement with numpy itself is tested by numpy_test.py. */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "data/data.h"
#include "support/support.h"

static char folder[] = "/tmp/fusion-array-XXXXXX";

static const char *path_of(const char *name) {
  static char path[128];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

static void put_file(const char *name, const void *bytes, size_t len) {
  FILE *f = fopen(path_of(name), "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, len, f), len);
  fclose(f);
}

static void put_text(const char *name, const char *text) {
  put_file(name, text, strlen(text));
}

static size_t get_file(const char *name, uint8_t *out, size_t capacity) {
  FILE *f = fopen(path_of(name), "rb");
  assert_non_null(f);
  const size_t len = fread(out, 1, capacity, f);
  fclose(f);
  return len;
}

/** Loads a file that must be refused, in one line that names it. */
static void refuse(const char *name, const char *expected) {
  fusion_array *a = NULL;
  fusion_error err = {.status = FUSION_OK};
  const fusion_status status = fusion_array_load(&a, path_of(name), &err);
  assert_null(a);
  assert_true(status == FUSION_E_INPUT || status == FUSION_E_IO);
  assert_non_null(strstr(err.text, expected));
  assert_null(strchr(err.text, '\n'));
}

static void npy__round_trip_of_every_type(void **state) {
  (void)state;
  for (int type = FUSION_BOOL; type <= FUSION_F64; type++) {
    const size_t shape[3] = {3, 2, 2};
    uint8_t bytes[12 * 8];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(type == FUSION_BOOL ? i & 1 : i * 7);
    fusion_array *a, *b;
    assert_ok(fusion_array_create(&a, (fusion_type)type, 3, shape, bytes));
    assert_ok(fusion_array_save_npy(a, path_of("x.npy"), NULL));
    assert_ok(fusion_array_load(&b, path_of("x.npy"), NULL));
    assert_int_equal(fusion_array_type(b), type);
    assert_int_equal(fusion_array_rank(b), 3);
    assert_int_equal(fusion_array_rows(b), 3);
    assert_int_equal(fusion_array_row_size(b), 4);
    assert_memory_equal(fusion_array_data(b), bytes, 12 * fusion_type_len((fusion_type)type));
    fusion_array_free(a);
    fusion_array_free(b);
  }
}

static void npy__empty_and_scalar(void **state) {
  (void)state;
  const size_t shape[2] = {0, 5};
  fusion_array *a, *b;
  assert_ok(fusion_array_create(&a, FUSION_F32, 2, shape, NULL));
  assert_ok(fusion_array_save_npy(a, path_of("x.npy"), NULL));
  assert_ok(fusion_array_load(&b, path_of("x.npy"), NULL));
  assert_int_equal(fusion_array_rows(b), 0);
  fusion_array_free(a);
  fusion_array_free(b);
  assert_ok(fusion_array_create(&a, FUSION_F64, 0, NULL, &(double){2.5}));
  assert_ok(fusion_array_save_npy(a, path_of("x.npy"), NULL));
  assert_ok(fusion_array_load(&b, path_of("x.npy"), NULL));
  double value;
  assert_ok(fusion_array_to_double(b, 0, 1, &value, NULL));
  assert_true(value == 2.5);
  fusion_array_free(a);
  fusion_array_free(b);
}

/** A version-1 .npy of the given header text and data length. */
static void put_npy(const char *name, const char *text, size_t data_len) {
  uint8_t bytes[512] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0};
  const size_t len = strlen(text);
  bytes[8] = (uint8_t)(len & 255);
  bytes[9] = (uint8_t)(len >> 8);
  memcpy(bytes + 10, text, len);
  put_file(name, bytes, 10 + len + data_len);
}

static void npy__hostile_headers_are_refused(void **state) {
  (void)state;
  put_npy("x.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }", 16);
  fusion_array *a;
  assert_ok(fusion_array_load(&a, path_of("x.npy"), NULL));
  fusion_array_free(a);
  put_npy("x.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (5,), }", 16);
  refuse("x.npy", "promises 20 bytes");
  put_npy("x.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", 16);
  refuse("x.npy", "promises 12 bytes");
  put_npy("x.npy", "{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904, 4), }", 16);
  refuse("x.npy", "more than");
  put_npy("x.npy", "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999999,), }", 16);
  refuse("x.npy", "damaged");
  put_npy("x.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (-4,), }", 16);
  refuse("x.npy", "damaged");
  put_npy("x.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,4), }", 16);
  refuse("x.npy", "damaged");
  put_npy("x.npy", "{'descr': '<f4', 'shape': (4,), }", 16);
  refuse("x.npy", "damaged");
  put_npy("x.npy", "{'descr': '|O', 'fortran_order': False, 'shape': (4,), }", 16);
  refuse("x.npy", "not supported");
  put_npy("x.npy", "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (4,), }", 16);
  refuse("x.npy", "structured");
  put_text("x.npy", "hello");
  refuse("x.npy", "not a .npy file");
  put_text("x.txt", "1");
  refuse("x.txt", "kind of file");
  refuse("absent.npy", "cannot be opened");
}

static void npy__big_endian_elements_are_swapped(void **state) {
  (void)state;
  static const uint8_t bytes[8] = {0x3f, 0x80, 0, 0, 0xc0, 0, 0, 0};
  char text[64];
  uint8_t file[256];
  const struct {
    const char *type;
    double first;
  } cases[] = {{">f4", 1}, {">i2", 0x3f80}, {">u8", 0x3f800000c0000000}, {">i1", 0x3f}};
  for (size_t i = 0; i < 4; i++) {
    const int count = 8 / (cases[i].type[2] - '0');
    snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (%d,), }", cases[i].type, count);
    put_npy("x.npy", text, 8);
    const size_t len = get_file("x.npy", file, sizeof file);
    memcpy(file + len - 8, bytes, 8);
    put_file("x.npy", file, len);
    fusion_array *a;
    double values[8];
    assert_ok(fusion_array_load(&a, path_of("x.npy"), NULL));
    assert_ok(fusion_array_to_double(a, 0, (size_t)count, values, NULL));
    assert_true(values[0] == cases[i].first);
    fusion_array_free(a);
  }
}

/** Every truncation and changes of every byte of a file either loads or is refused; nothing reads out of bounds (the
 *  sanitizer build sees to that). */
static void mutate(const char *name, const uint8_t *bytes, size_t len) {
  fusion_array *a = NULL;
  for (size_t cut = 0; cut < len; cut++) {
    put_file(name, bytes, cut);
    assert_int_not_equal(fusion_array_load(&a, path_of(name), NULL), FUSION_OK);
  }
  uint8_t changed[1024];
  for (size_t i = 0; i < len; i++) {
    for (int bit = (int)(i % 3); bit < 8; bit += 3) { /* every byte, a few of its bits */
      memcpy(changed, bytes, len);
      changed[i] ^= (uint8_t)(1 << bit);
      put_file(name, changed, len);
      if (fusion_array_load(&a, path_of(name), NULL) == FUSION_OK) fusion_array_free(a);
    }
  }
}

static void npy__every_damage_is_survived(void **state) {
  (void)state;
  uint8_t bytes[1024];
  const size_t shape[2] = {4, 3};
  fusion_array *a;
  assert_ok(fusion_array_create(&a, FUSION_F32, 2, shape, NULL));
  assert_ok(fusion_array_save_npy(a, path_of("m.npy"), NULL));
  fusion_array_free(a);
  mutate("m.npy", bytes, get_file("m.npy", bytes, sizeof bytes));
}

/** A one-member archive, deflated when `deflated`. Returns its length. */
static size_t make_npz(uint8_t *out, const char *member, bool deflated) {
  uint8_t npy[512], packed[600];
  const size_t shape[1] = {6};
  const int32_t values[6] = {1, -2, 3, -4, 5, -6};
  fusion_array *a;
  assert_ok(fusion_array_create(&a, FUSION_I32, 1, shape, values));
  assert_ok(fusion_array_save_npy(a, path_of("member.npy"), NULL));
  fusion_array_free(a);
  const size_t len = get_file("member.npy", npy, sizeof npy);
  z_stream z = {.next_in = npy, .avail_in = (uInt)len, .next_out = packed, .avail_out = sizeof packed};
  assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
  assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
  const size_t packed_len = deflated ? z.total_out : len;
  deflateEnd(&z);
  const uint8_t *body = deflated ? packed : npy;
  const size_t name_len = strlen(member);
  const uint32_t crc = (uint32_t)crc32(0, npy, (uInt)len);
  uint8_t fields[26] = {20, 0, 0, 0, deflated ? 8 : 0, 0, 0, 0, 0, 0};
  memcpy(fields + 10, &crc, 4);
  memcpy(fields + 14, &(uint32_t){(uint32_t)packed_len}, 4);
  memcpy(fields + 18, &(uint32_t){(uint32_t)len}, 4);
  fields[22] = (uint8_t)name_len;
  uint8_t *at = out;
  memcpy(at, "PK\3\4", 4);
  memcpy(at + 4, fields, 26);
  memcpy(at + 30, member, name_len);
  memcpy(at + 30 + name_len, body, packed_len);
  at += 30 + name_len + packed_len;
  const uint32_t directory = (uint32_t)(at - out), directory_len = (uint32_t)(46 + name_len);
  memcpy(at, "PK\1\2\24\0", 6);
  memcpy(at + 6, fields, 26);
  memset(at + 32, 0, 14);
  memcpy(at + 46, member, name_len);
  at += directory_len;
  memcpy(at, "PK\5\6\0\0\0\0\1\0\1\0", 12);
  memcpy(at + 12, &directory_len, 4);
  memcpy(at + 16, &directory, 4);
  memset(at + 20, 0, 2);
  return (size_t)(at + 22 - out);
}

static void npz__stored_and_deflated(void **state) {
  (void)state;
  static const int64_t expected[6] = {1, -2, 3, -4, 5, -6};
  for (int deflated = 0; deflated < 2; deflated++) {
    uint8_t bytes[1024];
    put_file("x.npz", bytes, make_npz(bytes, "images.npy", deflated));
    for (int named = 0; named < 2; named++) {
      fusion_array *a;
      int64_t values[6];
      assert_ok(fusion_array_load(&a, path_of(named ? "x.npz:images" : "x.npz"), NULL));
      assert_ok(fusion_array_to_int64(a, 0, 6, values, NULL));
      assert_memory_equal(values, expected, sizeof values);
      fusion_array_free(a);
    }
    refuse("x.npz:labels", "it has: images");
    put_file("X.NPZ", bytes, make_npz(bytes, "images.npy", deflated));
    fusion_array *a;
    assert_ok(fusion_array_load(&a, path_of("X.NPZ:images.npy"), NULL));
    fusion_array_free(a);
  }
}

static void npz__every_damage_is_survived(void **state) {
  (void)state;
  uint8_t bytes[1024];
  mutate("m.npz", bytes, make_npz(bytes, "a.npy", true));
}

static void npz__data_changes_are_noticed(void **state) {
  (void)state;
  uint8_t bytes[1024];
  const size_t len = make_npz(bytes, "a.npy", false);
  bytes[30 + 5 + 130] ^= 1; /* in the member's data */
  put_file("x.npz", bytes, len);
  refuse("x.npz", "checksum");
  const size_t packed = make_npz(bytes, "a.npy", true);
  memcpy(bytes + packed - 22 - 46 - 5 + 24, &(uint32_t){1u << 30}, 4); /* a bomb: 1 GiB promised */
  put_file("x.npz", bytes, packed);
  refuse("x.npz", "not a complete");
}

static void csv__shapes_and_types(void **state) {
  (void)state;
  fusion_array *a;
  int64_t whole[6];
  double real[4];
  put_text("x.csv",
           "\xef\xbb\xbf"
           "one,two,three\r\n1,2,3\r\n\r\n-4, 5 ,6");
  assert_ok(fusion_array_load(&a, path_of("x.csv"), NULL));
  assert_int_equal(fusion_array_type(a), FUSION_I64);
  assert_int_equal(fusion_array_rows(a), 2);
  assert_int_equal(fusion_array_row_size(a), 3);
  assert_ok(fusion_array_to_int64(a, 0, 2, whole, NULL));
  static const int64_t expected[6] = {1, 2, 3, -4, 5, 6};
  assert_memory_equal(whole, expected, sizeof whole);
  fusion_array_free(a);
  put_text("x.csv", "1;2.5\n3e2;-.5\n");
  assert_ok(fusion_array_load(&a, path_of("x.csv"), NULL));
  assert_ok(fusion_array_to_double(a, 0, 2, real, NULL));
  assert_true(real[0] == 1 && real[1] == 2.5 && real[2] == 300 && real[3] == -0.5);
  fusion_array_free(a);
  put_text("x.csv", "label\n7\n9\n");
  assert_ok(fusion_array_load(&a, path_of("x.csv"), NULL));
  assert_int_equal(fusion_array_rank(a), 1);
  assert_int_equal(fusion_array_rows(a), 2);
  fusion_array_free(a);
}

static void csv__bad_tables_are_refused_by_line(void **state) {
  (void)state;
  static const char *const bad[][2] = {
      {"1,2\n3,x\n", "line 2, column 2: 'x'"},
      {"1,2\n3\n", "line 2: fewer columns than the 2"},
      {"1,2\n3,4,5\n", "line 2: more columns than the 2"},
      {"1,nan\n", "'nan'"},
      {"0x10,1\n1,2\n", "line 1, column 1: '0x10'"},
      {"1,2\n1,inf\n", "line 2"},
      {"", "no rows"},
      {"a,b\n", "no rows"},
      {"1,2,\n", "column 3: the field is empty"},
      {"1e999\n2\n", "line 1"},
      {"2\n3e999\n", "line 2"},
      {"1,2\n1,2 3\n", "'2 3'"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    put_text("x.csv", bad[i][0]);
    refuse("x.csv", bad[i][1]);
  }
  put_file("x.csv", "1,2\n3\0,4\n", 9);
  refuse("x.csv", "not a text file");
}

static void convert__refuses_what_does_not_fit(void **state) {
  (void)state;
  const double values[4] = {1, 2.5, -(double)INFINITY, 1e300};
  const size_t shape[1] = {4};
  fusion_array *a;
  fusion_error err;
  int64_t whole[4];
  double real[4];
  assert_ok(fusion_array_create(&a, FUSION_F64, 1, shape, values));
  assert_int_equal(fusion_array_to_int64(a, 0, 2, whole, &err), FUSION_E_INPUT);
  assert_non_null(strstr(err.text, "row 1 holds 2.5"));
  assert_int_equal(fusion_array_to_int64(a, 3, 1, whole, &err), FUSION_E_INPUT);
  assert_int_equal(fusion_array_to_double(a, 0, 4, real, &err), FUSION_E_INPUT);
  assert_non_null(strstr(err.text, "row 2 holds an infinity"));
  assert_int_equal(fusion_array_to_double(a, 3, 2, real, &err), FUSION_E_USAGE);
  assert_int_equal(fusion_array_to_double(a, SIZE_MAX, 2, real, &err), FUSION_E_USAGE);
  fusion_array_free(a);
  const uint64_t big = UINT64_MAX;
  assert_ok(fusion_array_create(&a, FUSION_U64, 1, (size_t[]){1}, &big));
  assert_int_equal(fusion_array_to_int64(a, 0, 1, whole, &err), FUSION_E_INPUT);
  fusion_array_free(a);
}

/* Zeros, denormals, infinities and NaNs too. The conversion goes by bits, without the processor's own. */
static void convert__floats_of_every_exponent_equal_the_processors(void **state) {
  (void)state;
  static uint16_t halves[1 << 16];
  static uint32_t singles[1 << 16];
  static double got[1 << 16];
  const size_t shape[1] = {1 << 16};
  uint64_t seed = test_seed();
  for (uint32_t i = 0; i < 1 << 16; i++) {
    const uint32_t fractions[] = {0, 1, 0x7fffff, (uint32_t)test_random(&seed) & 0x7fffff};
    halves[i] = (uint16_t)i;
    singles[i] = (i << 23) | fractions[i >> 9 & 3];
  }
  fusion_array *a;
  assert_ok(fusion_array_borrow(&a, FUSION_F16, 1, shape, halves));
  array_rows_real(a, 0, 1 << 16, got);
  fusion_array_free(a);
  for (uint32_t i = 0; i < 1 << 16; i++) {
    const int exponent = i >> 10 & 31, fraction = i & 1023;
    const double size = exponent ? ldexp(fraction + 1024, exponent - 25) : ldexp(fraction, -24);
    const double expected = exponent < 31 ? size : fraction ? (double)NAN : (double)INFINITY;
    assert_true(isnan(expected) ? isnan(got[i]) : got[i] == (i >> 15 ? -expected : expected));
  }
  assert_ok(fusion_array_borrow(&a, FUSION_F32, 1, shape, singles));
  array_rows_real(a, 0, 1 << 16, got);
  fusion_array_free(a);
  for (size_t i = 0; i < 1 << 16; i++) {
    float single;
    memcpy(&single, &singles[i], sizeof single);
    const double expected = (double)single;
    assert_true(isnan(expected) ? isnan(got[i]) : memcmp(&got[i], &expected, sizeof expected) == 0);
  }
}

static void convert__whole_numbers_round_as_the_processor_does(void **state) {
  (void)state;
  enum { COUNT = 4096 };
  uint64_t values[COUNT] = {0,
                            1,
                            UINT64_MAX,
                            INT64_MAX,
                            (uint64_t)1 << 63,
                            (UINT64_C(1) << 53) + 1,
                            (UINT64_C(1) << 63) + 1024,
                            (UINT64_C(1) << 63) + 1025};
  double got[COUNT];
  uint64_t seed = test_seed();
  for (size_t i = 8; i < COUNT; i++) values[i] = test_random(&seed) >> i % 64;
  fusion_array *a;
  assert_ok(fusion_array_borrow(&a, FUSION_U64, 1, (size_t[]){COUNT}, values));
  assert_ok(fusion_array_to_double(a, 0, COUNT, got, NULL));
  fusion_array_free(a);
  for (size_t i = 0; i < COUNT; i++) assert_true(got[i] == (double)values[i]);
}

static void save__leaves_nothing_behind_on_failure(void **state) {
  (void)state;
  fusion_array *a;
  fusion_error err;
  assert_ok(fusion_array_create(&a, FUSION_U8, 1, (size_t[]){1}, NULL));
  assert_int_equal(fusion_array_save_npy(a, path_of("no-such-folder/x.npy"), &err), FUSION_E_IO);
  assert_non_null(strstr(err.text, "cannot be written: No such file"));
  assert_int_equal(fusion_array_save_npy(a, folder, &err), FUSION_E_IO); /* a folder bears that name */
  fusion_array_free(a);
  char command[200];
  snprintf(command, sizeof command, "! ls %s* -d | grep part", folder);
  assert_int_equal(system(command), 0);
}

static void place__is_plain_text_for_every_name(void **state) {
  (void)state;
  char place[ROW_PLACE_LEN], longest[200];
  fusion_array *a;
  assert_ok(fusion_array_create(&a, FUSION_U8, 1, (size_t[]){3}, NULL));
  a->names = calloc(3, sizeof *a->names);
  assert_non_null(a->names);
  memset(longest, 'x', sizeof longest);
  longest[sizeof longest - 1] = '\0';
  a->names[0] = strdup("tench.jpg");
  a->names[1] = strdup("\xff\n\xc3\xa9.png");
  a->names[2] = strdup(longest);
  assert_string_equal(array_row_place(a, 0, place), "'tench.jpg'");
  assert_string_equal(array_row_place(a, 1, place), "'????.png'");
  assert_int_equal(strlen(array_row_place(a, 2, place)), 82);
  assert_string_equal(array_row_place(NULL, 7, place), "row 7");
  fusion_array_free(a);
}

static mode_t mode_of(const char *name) {
  struct stat info;
  assert_int_equal(stat(path_of(name), &info), 0);
  return info.st_mode & 0777;
}

static void files__are_private_unless_they_were_shared(void **state) {
  (void)state;
  fusion_array *a;
  const mode_t mask = umask(022);
  assert_ok(fusion_array_create(&a, FUSION_U8, 1, (size_t[]){1}, NULL));
  assert_ok(fusion_array_save_npy(a, path_of("private.npy"), NULL));
  assert_int_equal(mode_of("private.npy"), 0600);
  assert_int_equal(chmod(path_of("private.npy"), 0664), 0);
  assert_ok(fusion_array_save_npy(a, path_of("private.npy"), NULL));
  assert_int_equal(mode_of("private.npy"), 0664);
  fusion_array_free(a);
  umask(mask);
}

static void files__appear_together_or_not_at_all(void **state) {
  (void)state;
  fusion_files *files;
  fusion_error err;
  struct stat info;
  uint8_t bytes[8];
  assert_ok(fusion_files_create(&files, NULL));
  assert_ok(fusion_files_add(files, path_of("one"), "1", 1, NULL));
  assert_int_equal(fusion_files_add(files, path_of("no-such-folder/two"), "2", 1, &err), FUSION_E_IO);
  fusion_files_free(files);
  assert_int_equal(stat(path_of("one"), &info), -1);
  assert_ok(fusion_files_create(&files, NULL));
  assert_ok(fusion_files_add(files, path_of("one"), "1", 1, NULL));
  assert_ok(fusion_files_add(files, "/dev/full", "2", 1, NULL));
  assert_int_equal(fusion_files_place(files, &err), FUSION_E_IO);
  assert_non_null(strstr(err.text, "'/dev/full': cannot be written"));
  fusion_files_free(files);
  assert_int_equal(stat(path_of("one"), &info), -1);
  assert_ok(fusion_files_create(&files, NULL));
  assert_ok(fusion_files_add(files, path_of("one"), "1", 1, NULL));
  assert_ok(fusion_files_add(files, path_of("two"), "22", 2, NULL));
  assert_int_equal(stat(path_of("one"), &info), -1);
  assert_ok(fusion_files_place(files, NULL));
  fusion_files_free(files);
  assert_int_equal(get_file("one", bytes, sizeof bytes), 1);
  assert_int_equal(get_file("two", bytes, sizeof bytes), 2);
}

/* What a killed process left goes when the file is written again; what another one is writing stays, and so do others.
 */
static void files__left_by_a_kill_are_swept(void **state) {
  (void)state;
  static const char *const names[] = {"left.4294967-0.part", "left.12-3.part", "left.x-0.part",  "left.part",
                                      "left2.12-0.part",     "left.12.part",   "left.1-2-3.part"};
  const bool stays[] = {false, true, true, true, true, true, true};
  struct stat info;
  for (size_t i = 0; i < 7; i++) put_file(names[i], "old", 3);
  const int written = open(path_of(names[1]), O_RDONLY | O_CLOEXEC);
  assert_int_equal(flock(written, LOCK_EX), 0);
  assert_ok(file_write_atomic(path_of("left"), &(struct file_part){"new", 3}, 1, NULL));
  for (size_t i = 0; i < 7; i++) assert_int_equal(stat(path_of(names[i]), &info), stays[i] ? 0 : -1);
  close(written);
  assert_ok(file_write_atomic(path_of("left"), &(struct file_part){"newer", 5}, 1, NULL));
  assert_int_equal(stat(path_of(names[1]), &info), -1);
  assert_int_equal(stat(path_of("left"), &info), 0);
  assert_int_equal(info.st_size, 5);
}

static void borrow__reads_the_callers_memory_in_place(void **state) {
  (void)state;
  float values[6] = {1, 2, 3, 4, 5, 6};
  const size_t shape[2] = {2, 3};
  double row[3];
  fusion_array *a;
  assert_ok(fusion_array_borrow(&a, FUSION_F32, 2, shape, values));
  assert_ptr_equal(fusion_array_data(a), values);
  assert_null(fusion_array_data_mutable(a));
  values[3] = 7;
  assert_ok(fusion_array_to_double(a, 1, 1, row, NULL));
  assert_true(row[0] == 7 && row[1] == 5 && row[2] == 6);
  fusion_array_free(a);
  assert_true(values[0] == 1 && values[3] == 7 && values[5] == 6);
}

static void borrow__refuses_no_memory_and_too_much(void **state) {
  (void)state;
  const size_t shape[2] = {SIZE_MAX / 2, 3};
  fusion_array *a;
  assert_int_equal(fusion_array_borrow(&a, FUSION_F32, 2, shape, NULL), FUSION_E_USAGE);
  assert_null(a);
  assert_int_equal(fusion_array_borrow(&a, FUSION_F32, 2, shape, "x"), FUSION_E_MEMORY);
  assert_null(a);
  assert_int_equal(fusion_array_borrow(&a, (fusion_type)99, 2, shape, "x"), FUSION_E_USAGE);
  assert_int_equal(fusion_array_borrow(&a, FUSION_F32, FUSION_RANK_MAX + 1, shape, "x"), FUSION_E_USAGE);
}

static void labels__from_memory_equal_those_of_a_file(void **state) {
  (void)state;
  const char *const names[] = {"cat", "brown dog", "\xc3\xa9t\xc3\xa9"};
  const fusion_table_settings tables = fusion_table_defaults();
  char place[ROW_PLACE_LEN];
  fusion_array *a, *b;
  put_text("labels.txt", "cat\nbrown dog\n\xc3\xa9t\xc3\xa9\n");
  assert_ok(fusion_labels_load(&a, path_of("labels.txt"), &tables, NULL));
  assert_ok(fusion_labels_create(&b, names, 3, NULL));
  assert_int_equal(fusion_array_rows(b), 3);
  assert_memory_equal(fusion_array_data(a), fusion_array_data(b), 3 * sizeof(int64_t));
  for (size_t i = 0; i < 3; i++) assert_string_equal(array_row_text(b, i), array_row_text(a, i));
  assert_string_equal(array_row_place(b, 1, place), "row 1");
  fusion_array_free(a);
  fusion_array_free(b);
}

static void labels__refuses_empty_and_long_names(void **state) {
  (void)state;
  char longest[257];
  memset(longest, 'x', sizeof longest);
  longest[256] = 0;
  const char *const empty[] = {"a", ""}, *const full[] = {longest + 1}, *const over[] = {longest};
  fusion_error err;
  fusion_array *a;
  assert_int_equal(fusion_labels_create(&a, empty, 2, &err), FUSION_E_INPUT);
  assert_null(a);
  assert_string_equal(err.text, "row 1: a label has 1 to 255 bytes");
  assert_int_equal(fusion_labels_create(&a, over, 1, &err), FUSION_E_INPUT);
  assert_ok(fusion_labels_create(&a, full, 1, &err));
  fusion_array_free(a);
}

static int teardown(void **state) {
  (void)state;
  char command[64];
  snprintf(command, sizeof command, "rm -r %s", folder);
  return system(command);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(npy__round_trip_of_every_type),
      cmocka_unit_test(npy__empty_and_scalar),
      cmocka_unit_test(npy__hostile_headers_are_refused),
      cmocka_unit_test(npy__big_endian_elements_are_swapped),
      cmocka_unit_test(npy__every_damage_is_survived),
      cmocka_unit_test(npz__stored_and_deflated),
      cmocka_unit_test(npz__every_damage_is_survived),
      cmocka_unit_test(npz__data_changes_are_noticed),
      cmocka_unit_test(csv__shapes_and_types),
      cmocka_unit_test(csv__bad_tables_are_refused_by_line),
      cmocka_unit_test(convert__refuses_what_does_not_fit),
      cmocka_unit_test(convert__floats_of_every_exponent_equal_the_processors),
      cmocka_unit_test(convert__whole_numbers_round_as_the_processor_does),
      cmocka_unit_test(borrow__reads_the_callers_memory_in_place),
      cmocka_unit_test(borrow__refuses_no_memory_and_too_much),
      cmocka_unit_test(labels__from_memory_equal_those_of_a_file),
      cmocka_unit_test(labels__refuses_empty_and_long_names),
      cmocka_unit_test(place__is_plain_text_for_every_name),
      cmocka_unit_test(files__are_private_unless_they_were_shared),
      cmocka_unit_test(files__appear_together_or_not_at_all),
      cmocka_unit_test(files__left_by_a_kill_are_swept),
      cmocka_unit_test(save__leaves_nothing_behind_on_failure),
  };
  if (!mkdtemp(folder)) return 1;
  return cmocka_run_group_tests(tests, NULL, teardown);
}
