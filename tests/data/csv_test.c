/* Tables of numbers as people export them: headers, quotes, names of rows, and what is refused where. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "data/data.h"
#include "support/support.h"

static char path[] = "/tmp/fusion-csv-XXXXXX.csv";

static void put_text(const char *text) {
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
  fclose(f);
}

static fusion_array *load(const char *text, fusion_header header, const char *id_column) {
  fusion_table_settings settings = fusion_table_defaults();
  fusion_error err = {.status = FUSION_OK};
  fusion_array *a;
  settings.header = header;
  settings.id_column = id_column;
  put_text(text);
  if (fusion_array_load_table(&a, path, &settings, &err) != FUSION_OK) fail_msg("%s: %s", text, err.text);
  return a;
}

static void refuse_with(const char *text, fusion_header header, const char *id_column, const char *expected) {
  fusion_table_settings settings = fusion_table_defaults();
  fusion_error err = {.status = FUSION_OK};
  fusion_array *a;
  settings.header = header;
  settings.id_column = id_column;
  put_text(text);
  if (fusion_array_load_table(&a, path, &settings, &err) == FUSION_OK) fail_msg("taken: %s", text);
  assert_null(a);
  assert_true(err.status == FUSION_E_INPUT || err.status == FUSION_E_USAGE);
  if (!strstr(err.text, expected)) fail_msg("%s: %s", text, err.text);
  assert_null(strchr(err.text, '\n'));
}

/** `numbers` in rows of `columns`; the first row stands in `line`. */
struct table_case {
  const char *text;
  size_t rows, columns, line;
  double first, last;
};

static void check(const struct table_case *c, const fusion_array *a) {
  double values[64];
  if (fusion_array_rows(a) != c->rows || fusion_array_row_size(a) != c->columns)
    fail_msg("%s: %zu rows of %zu", c->text, fusion_array_rows(a), fusion_array_row_size(a));
  assert_true(c->rows * c->columns <= 64);
  assert_ok(fusion_array_to_double(a, 0, c->rows, values, NULL));
  if (values[0] != c->first || values[c->rows * c->columns - 1] != c->last) fail_msg("%s: wrong numbers", c->text);
  assert_int_equal(fusion_array_row_line(a, 0), c->line);
}

static void load__takes_what_programs_export(void **state) {
  (void)state;
  static const struct table_case cases[] = {
      {"age,weight\n30,70\n40,80\n", 2, 2, 2, 30, 80},
      {"\"age\",\"weight, kg\"\n\"30\",\"70\"\n", 1, 2, 2, 30, 70},
      {"\"1.5\",\"2\",\"3\",\"4\"\n-2.6,-0.9,-3.8,-2.5\n", 2, 4, 1, 1.5, -2.5},
      {"1.500e+00 2.5e+00\n-3e+00  4e+00\n", 2, 2, 1, 1.5, 4}, /* numpy's savetxt */
      {"  1   2\n 10  20 \n", 2, 2, 1, 1, 20},
      {"# a b\n1 2\n3 4\n", 2, 2, 2, 1, 4},                 /* savetxt with a header */
      {"# made by us\n# again\na,b\n1,2\n", 1, 2, 4, 1, 2}, /* comments, then a header */
      {"systolic pressure\n120\n130\n", 2, 1, 2, 120, 130},
      {"e1,e2,1st_exam\n1,2,3\n", 1, 3, 2, 1, 3},
      {"\xc3\xa9t\xc3\xa9,m\n1,2\n", 1, 2, 2, 1, 2}, /* names in other alphabets */
      {"a;b\r\n\r\n1;2\r\n", 1, 2, 3, 1, 2},
      {"a\tb\n1\t2\n", 1, 2, 2, 1, 2},
      {" \"1\" , \" 2 \" \n3,4\n", 2, 2, 1, 1, 4},
      {"7\n9\n\n\n", 2, 1, 1, 7, 9},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    fusion_array *a = load(cases[i].text, FUSION_HEADER_AUTO, NULL);
    check(&cases[i], a);
    fusion_array_free(a);
  }
}

static void load__never_drops_a_row_with_an_odd_field(void **state) {
  (void)state;
  static const char *const bad[][2] = {
      {",2,3,4\n-2.6,-0.9,-3.8,-2.5\n", "line 1, column 1: the field is empty"},
      {"NA,2,3,4\n-2.6,-0.9,-3.8,-2.5\n", "line 1, column 1: 'NA' is a missing"},
      {"nan,2\n1,2\n", "line 1, column 1: 'nan' is a missing"},
      {"1,2,3,4\r-2.6,-0.9,-3.8,-2.5\r", "has a carriage return within"}, /* as old Macintoshes wrote them */
      {"50%,2,3,4\n-2.6,-0.9,-3.8,-2.5\n", "line 1, column 1: '50%' is a percentage"},
      {"\xe2\x88\x92"
       "3,2\n1,2\n",
       "Unicode minus sign"},
      {"\xc2\xa0"
       "3,2\n1,2\n",
       "no-break space"},
      {"1\xe2\x80\xaf"
       "000,2\n1,2\n",
       "no-break space"},
      {"50%\n1\n", "line 1, column 1: '50%'"},
      {"NA\n1\n", "line 1, column 1: 'NA'"},
      {"NA,NA\n1,2\n", "line 1, column 1: 'NA'"},
      {"\xe2\x88\x92"
       "3\n1\n",
       "Unicode minus sign"},
      {"1\n\n3\n", "line 2: is empty"}, /* a label that is missing */
      {"1,2\n\"3,4\n", "line 2: a quoted field does not end"},
      {"1,2\n\"3\"x,4\n", "line 2: a quoted field does not end"},
      {"1,5;2\n3;4\n", "decimal point"},
      {"age,2\n1,2\n", "--header yes"},
      {",age,weight\n0,30,70\n", "--header yes"}, /* a pandas index */
      {"a,b,c\n1,2\n", "the header in line 1 has 3 fields, but the rows have 2"},
      {"1 2\n3 4 5\n", "line 2: more columns than the 2 of the lines before it"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) refuse_with(bad[i][0], FUSION_HEADER_AUTO, NULL, bad[i][1]);
}

static void load__header_yes_and_no_are_obeyed(void **state) {
  (void)state;
  size_t line = 9;
  fusion_array *a = load("2020,2021\n1,2\n", FUSION_HEADER_YES, NULL);
  check(&(struct table_case){"years", 1, 2, 2, 1, 2}, a);
  assert_string_equal(fusion_array_header(a, &line), "2020,2021");
  assert_int_equal(line, 1);
  fusion_array_free(a);
  a = load("2020,2021\n1,2\n", FUSION_HEADER_AUTO, NULL);
  check(&(struct table_case){"years", 2, 2, 1, 2020, 2}, a);
  assert_null(fusion_array_header(a, NULL));
  fusion_array_free(a);
  a = load("# a,b\n1,2\n", FUSION_HEADER_YES, NULL); /* the comment is the header: no row goes with it */
  check(&(struct table_case){"comment", 1, 2, 2, 1, 2}, a);
  fusion_array_free(a);
  refuse_with("a,b\n1,2\n", FUSION_HEADER_NO, NULL, "line 1, column 1: 'a' is not a number");
}

static void load__id_column_names_the_rows(void **state) {
  (void)state;
  static const char text[] = "patient,age,weight\nP-7,30,70\n\n\"Q, \"\"x\"\"\",40,80\n";
  for (int by_number = 0; by_number < 2; by_number++) {
    fusion_array *a = load(text, FUSION_HEADER_AUTO, by_number ? "1" : "patient");
    check(&(struct table_case){text, 2, 2, 2, 30, 80}, a);
    assert_string_equal(fusion_array_row_name(a, 0), "P-7");
    assert_string_equal(fusion_array_row_name(a, 1), "Q, \"x\"");
    assert_int_equal(fusion_array_row_line(a, 1), 4);
    fusion_array_free(a);
  }
  fusion_array *a = load("1,A\n2,B\n", FUSION_HEADER_AUTO, "2");
  check(&(struct table_case){"last", 2, 1, 1, 1, 2}, a);
  assert_string_equal(fusion_array_row_name(a, 1), "B");
  fusion_array_free(a);
  refuse_with(text, FUSION_HEADER_AUTO, "name", "no column 'name'");
  refuse_with(text, FUSION_HEADER_AUTO, "4", "no column 4");
  refuse_with("A,1\nB\n", FUSION_HEADER_AUTO, "1", "line 2: fewer columns than the 2");
  refuse_with("1,A\n2\n", FUSION_HEADER_AUTO, "2", "line 2: fewer columns than the 2");
  refuse_with("1,A\n2,B,3,4,5\n", FUSION_HEADER_AUTO, "2", "line 2: more columns than the 2");
  refuse_with(text, FUSION_HEADER_AUTO, "0", "counted from 1");
  refuse_with("P-7,30\nP-8,40\n", FUSION_HEADER_AUTO, "patient", "has no header");
  refuse_with("id,age\n,30\n", FUSION_HEADER_AUTO, "id", "line 2, column 1: the sample's name is empty");
  refuse_with("id,id,age\nA,B,30\n", FUSION_HEADER_AUTO, "id", "two columns 'id'");
  refuse_with("id\nA\n", FUSION_HEADER_AUTO, "id", "no column besides");
}

static void load__id_column_is_for_text_files(void **state) {
  (void)state;
  fusion_table_settings settings = fusion_table_defaults();
  fusion_error err;
  fusion_array *a;
  settings.id_column = "1";
  assert_int_equal(fusion_array_load_table(&a, "x.npy", &settings, &err), FUSION_E_USAGE);
  assert_non_null(strstr(err.text, "only .csv files"));
}

/** Every cut and changes of every byte: loaded or refused, and nothing is read out of bounds (the sanitizer build sees
 *  to that). */
static void load__every_damage_is_survived(void **state) {
  (void)state;
  static const char whole[] = "# made\nid,\"a, b\",c\n\"x\"\"y\",1.5,-2\nz,\"3\", 4e1\n\n w ,5,6\n";
  static const char odd[] = {'"', ',', '\n', ' ', '#', 'e', '\xe2', '\xff'};
  char text[sizeof whole];
  fusion_table_settings settings = fusion_table_defaults();
  fusion_array *a;
  settings.id_column = "id";
  for (size_t i = 0; i < sizeof whole - 1; i++)
    for (size_t k = 0; k <= sizeof odd; k++) {
      memcpy(text, whole, sizeof whole);
      text[i] = k < sizeof odd ? odd[k] : '\0';
      put_text(text);
      if (fusion_array_load_table(&a, path, &settings, NULL) != FUSION_OK) {
        assert_null(a);
        continue;
      }
      for (size_t r = 0; r < fusion_array_rows(a); r++) assert_non_null(fusion_array_row_name(a, r));
      fusion_array_free(a);
    }
}

static void convert__names_the_line(void **state) {
  (void)state;
  fusion_error err;
  int64_t whole[2];
  fusion_array *a = load("label\n1\n2.5\n", FUSION_HEADER_AUTO, NULL);
  assert_int_equal(fusion_array_to_int64(a, 0, 2, whole, &err), FUSION_E_INPUT);
  assert_non_null(strstr(err.text, "line 3 holds 2.5"));
  fusion_array_free(a);
}

static int teardown(void **state) {
  (void)state;
  return remove(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(load__takes_what_programs_export),
      cmocka_unit_test(load__never_drops_a_row_with_an_odd_field),
      cmocka_unit_test(load__header_yes_and_no_are_obeyed),
      cmocka_unit_test(load__id_column_names_the_rows),
      cmocka_unit_test(load__id_column_is_for_text_files),
      cmocka_unit_test(load__every_damage_is_survived),
      cmocka_unit_test(convert__names_the_line),
  };
  const int fd = mkstemps(path, 4);
  if (fd < 0) return 1;
  close(fd);
  return cmocka_run_group_tests(tests, NULL, teardown);
}
