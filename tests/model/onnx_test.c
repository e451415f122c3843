/* The importer and the float executor on small models (tests/model/make_models.py): answers computed by PyTorch or
 * NumPy, refusals with their message, damaged files. */
#include <dirent.h>
#include <fusion/array.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "onnx/onnx.h"
#include "support/support.h"

/* In `data`, or in a folder beside it: "../faults/NAME". */
static void data_path(char *out, size_t capacity, const char *name, const char *ending) {
  const char *source = getenv("FUSION_SOURCE");
  snprintf(out, capacity, "%s/tests/model/data/%s%s", source ? source : ".", name, ending);
}

static struct graph *import(const char *name) {
  char path[4096];
  struct graph *g = NULL;
  fusion_error err = {0};
  data_path(path, sizeof path, name, ".onnx");
  if (graph_from_onnx(&g, path, &err) != FUSION_OK) fail_msg("%s: %s", name, err.text);
  return g;
}

static fusion_array *expected(const char *name, const char *which) {
  char path[4096], member[512];
  fusion_array *a = NULL;
  fusion_error err = {0};
  const char *slash = strrchr(name, '/');
  const int folder = slash ? (int)(slash + 1 - name) : 0;
  snprintf(member, sizeof member, "%.*sexpected.npz:%s.%s", folder, name, name + folder, which);
  data_path(path, sizeof path, member, "");
  if (fusion_array_load(&a, path, &err) != FUSION_OK) fail_msg("%s: %s", name, err.text);
  return a;
}

static size_t output_size(const struct graph *g) {
  return shape_size(g->nodes[g->count - 1].shape);
}

static void check_case(const char *name) {
  struct graph *g = import(name);
  fusion_array *in = expected(name, "in"), *out = expected(name, "out");
  const size_t samples = fusion_array_rows(in), size = output_size(g);
  assert_ok(graph_validate(g, NULL));
  assert_int_equal(fusion_array_row_size(in), shape_size(g->nodes[0].shape));
  assert_int_equal(fusion_array_row_size(out), size);
  float *y = mem_alloc(samples * size, sizeof *y);
  const float *want = fusion_array_data(out);
  assert_ok(graph_run(g, fusion_array_data(in), samples, y, NULL, NULL));
  for (size_t i = 0; i < samples * size; i++) {
    if (!(fabs((double)y[i] - (double)want[i]) <= 1e-5 + 1e-5 * fabs((double)want[i])))
      fail_msg("%s: element %zu is %g, not %g", name, i, (double)y[i], (double)want[i]);
  }
  mem_free(y);
  fusion_array_free(in);
  fusion_array_free(out);
  graph_free(g);
}

/* All networks of a folder that are not to be refused. */
static size_t check_folder(const char *prefix) {
  char folder[4096];
  size_t count = 0;
  data_path(folder, sizeof folder, prefix, "");
  DIR *d = opendir(folder);
  assert_non_null(d);
  for (struct dirent *e = readdir(d); e; e = readdir(d)) {
    char name[300];
    const size_t len = strlen(e->d_name);
    if (len < 6 || strcmp(e->d_name + len - 5, ".onnx") || !strncmp(e->d_name, "refused_", 8)) continue;
    snprintf(name, sizeof name, "%s%.*s", prefix, (int)len - 5, e->d_name);
    check_case(name);
    count++;
  }
  closedir(d);
  return count;
}

static void graph_from_onnx__every_case_gives_the_expected_answer(void **state) {
  (void)state;
  assert_true(check_folder("") >= 152);
}

static void graph_from_onnx__every_former_fault_gives_the_expected_answer(void **state) {
  (void)state;
  assert_true(check_folder("../faults/") >= 28);
}

static void graph_from_onnx__recurrent_layers_give_the_expected_answer(void **state) {
  (void)state;
  assert_true(check_folder("../recurrent/") >= 8);
}

static void graph_from_onnx__products_of_activations_give_the_expected_answer(void **state) {
  (void)state;
  assert_true(check_folder("../attention/") >= 15);
}

static void graph_from_onnx__rarer_operators_give_the_expected_answer(void **state) {
  (void)state;
  assert_true(check_folder("../operators/") >= 72);
}

struct refusal {
  const char *name;
  fusion_status status;
  const char *words;
};

static void check_refused(const char *folder, const char *which, fusion_status status, const char *words) {
  char path[4096], name[96], file[128];
  struct graph *g = NULL;
  fusion_error err = {0};
  snprintf(name, sizeof name, "refused_%s.onnx", which);
  snprintf(file, sizeof file, "%s%s", folder, name);
  data_path(path, sizeof path, file, "");
  assert_int_equal(graph_from_onnx(&g, path, &err), status);
  assert_null(g);
  if (!strstr(err.text, words) || !strstr(err.text, name)) fail_msg("%s: %s", name, err.text);
}

static void graph_from_onnx__refuses_with_the_reason(void **state) {
  (void)state;
  static const struct refusal refused[] = {
      {"lstm", FUSION_E_UNSUPPORTED,
       "operator LSTM has an input of another shape (node 'rnn1'); give the network [batch][sequence][features]"},
      {"lrn", FUSION_E_UNSUPPORTED, "operator LRN is not supported (node 'norm1')"},
      {"attribute", FUSION_E_UNSUPPORTED, "operator Relu has the attribute 'slope'"},
      {"open_dimension", FUSION_E_UNSUPPORTED, "input 'x' has an open dimension"},
      {"batch_slice", FUSION_E_UNSUPPORTED, "works across the batch dimension (node 'cut')"},
      {"batch_concat", FUSION_E_UNSUPPORTED, "works across the batch dimension (node 'cat')"},
      {"integers", FUSION_E_UNSUPPORTED, "operator Div computes with integer activations (node 'half')"},
      {"domain", FUSION_E_UNSUPPORTED, "of domain 'com.example' is not supported"},
      {"undefined", FUSION_E_MODEL, "uses a tensor that no node makes"},
      {"infinite", FUSION_E_MODEL, "weights that are not finite"},
      {"short_tensor", FUSION_E_MODEL, "tensor 'w' does not hold as much data as its shape says"},
      {"huge_tensor", FUSION_E_MODEL, "tensor 'w' is too large"},
      {"two_outputs", FUSION_E_UNSUPPORTED, "has 2 outputs ('a', 'b'); name one of them"},
      {"quantised_sum", FUSION_E_UNSUPPORTED, "computes with quantised integers (node 'sum')"},
      {"trees", FUSION_E_MODEL, "puts its trees together in an unknown way"},
      {"interpolation", FUSION_E_UNSUPPORTED, "has a mode that is not supported (node 'up')"},
      {"external_outside", FUSION_E_MODEL, "external data of tensor 'w' has a wrong description"},
  };
  for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
    check_refused("", refused[i].name, refused[i].status, refused[i].words);
}

static void graph_from_onnx__refuses_former_faults_with_the_reason(void **state) {
  (void)state;
  static const struct refusal refused[] = {
      {"declared_shape", FUSION_E_MODEL,
       "Resize makes a tensor of 1x1x14x14 where the file declares ?x1x13x14 (node 'up')"},
      {"declared_rank", FUSION_E_MODEL, "Relu makes a tensor of 1x4 where the file declares ?x4x1 (node 'r')"},
      {"recursion", FUSION_E_MODEL, "function 'f' calls itself"},
      {"expansion", FUSION_E_MODEL, "grows beyond the limit of expanded functions"},
      {"overload", FUSION_E_UNSUPPORTED, "operator f of domain 'own' is not supported (node 'call')"},
      {"circle", FUSION_E_MODEL, "nodes form a cycle (operator Add)"},
      {"reference", FUSION_E_MODEL, "refers to an attribute of a function that it is not part of (node 'r')"},
      {"opset26", FUSION_E_UNSUPPORTED, "operator set version 26 is not supported; export with opset 13"},
      {"float8", FUSION_E_UNSUPPORTED, "tensor 'q' has elements of type FLOAT8E4M3FN (17), which is not supported"},
      {"negative", FUSION_E_MODEL, "tensor 'w' has a negative dimension (-1)"},
      {"conv3d", FUSION_E_UNSUPPORTED, "has an input of 5 dimensions (node 'c3'); use one- or two-dimensional windows"},
      {"labels", FUSION_E_MODEL, "LinearClassifier has labels that are not 2 to 65536 different ones"},
      {"label_count", FUSION_E_MODEL, "LinearClassifier has another number of labels than of classes (node 'lc')"},
      {"old_down", FUSION_E_UNSUPPORTED,
       "does not say which neighbours it uses (node 'down'); export with operator set 11"},
  };
  for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
    check_refused("../faults/", refused[i].name, refused[i].status, refused[i].words);
}

static void graph_from_onnx__refuses_rarer_operators_with_the_reason(void **state) {
  (void)state;
  static const struct refusal refused[] = {
      {"clip_none", FUSION_E_MODEL, "operator LSTM has a 'clip' that is not a number above 0 (node 's_node')"},
      {"clip_endless", FUSION_E_MODEL, "operator LSTM has a 'clip' that is not a number above 0 (node 's_node')"},
      {"gather_elements", FUSION_E_MODEL, "operator GatherElements has an index outside its input (node 'y_node')"},
      {"gather_elements_batch", FUSION_E_UNSUPPORTED,
       "has indices for each sample of a batch (node 'y_node'); use the same indices for all samples"},
      {"trilu", FUSION_E_UNSUPPORTED, "operator Trilu works across the batch dimension (node 'y_node')"},
      {"svc_four_probability", FUSION_E_UNSUPPORTED,
       "has probabilities of more than three classes, each sample's a system of equations (node 'label_node')"},
      {"loop_open", FUSION_E_UNSUPPORTED, "operator Loop runs as often as the input says (node 'y_node')"},
      {"loop_long", FUSION_E_UNSUPPORTED, "operator Loop runs more than 1024 times, or too many nodes (node 'y_node')"},
      {"loop_nested", FUSION_E_UNSUPPORTED, "the body of a loop holds another loop, a branch or a function; export"},
      {"trees_bare", FUSION_E_UNSUPPORTED,
       "takes the least or the largest of trees that may give output 2 no value (node 'y_node')"},
  };
  for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
    check_refused("../operators/", refused[i].name, refused[i].status, refused[i].words);
}

/* Exporters write x * sigmoid(x) and the like: a Relu and a table, no product. */
static void graph_from_onnx__exported_activations_are_one_table(void **state) {
  (void)state;
  static const char *const names[] = {"sigmoid_inside", "gelu_exported",      "exported_silu",      "exported_gelu",
                                      "exported_mish",  "exported_gelu_tanh", "exported_hard_swish"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    struct graph *g = import(names[i]);
    size_t tables = 0;
    for (uint32_t k = 0; k < g->count; k++) {
      if (g->nodes[k].op == GRAPH_MUL) fail_msg("%s: a product is left", names[i]);
      tables += g->nodes[k].op == GRAPH_ACTIVATION;
    }
    assert_int_equal(tables, 1);
    graph_free(g);
  }
}

/* Variance, epsilon, root and division: one power of a sum, whose divisor is part of it. */
static void graph_from_onnx__exported_layer_norm_is_one_inverse_root(void **state) {
  (void)state;
  static const char *const names[] = {"exported_layer_norm", "layer_norm"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    struct graph *g = import(names[i]);
    size_t powers = 0, sums = 0;
    for (uint32_t k = 0; k < g->count; k++) {
      const struct graph_node *n = &g->nodes[k];
      sums += n->op == GRAPH_AVGPOOL && n->sum;
      if (n->op != GRAPH_ACTIVATION) continue;
      powers++;
      assert_int_equal(n->use.kind, ACTIVATION_POWER);
      assert_true(fabsf(n->use.power + 0.5f) < 1e-6f && fabsf(n->use.stretch - 6) < 1e-5f);
    }
    assert_int_equal(powers, 1);
    assert_int_equal(sums, 1);
    graph_free(g);
  }
}

static void graph_from_onnx__refuses_other_products_of_activations(void **state) {
  (void)state;
  static const struct refusal refused[] = {
      {"einsum_trace", FUSION_E_UNSUPPORTED, "has an equation that is no product of matrices (node 'trace')"},
      {"einsum_batch", FUSION_E_UNSUPPORTED, "works across the batch dimension (node 'all')"},
      {"einsum_sizes", FUSION_E_MODEL, "has axes of one label and two sizes (node 'e')"},
      {"matmul_sizes", FUSION_E_MODEL, "has matrices that do not fit each other (node 'm')"},
  };
  for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
    check_refused("../attention/", refused[i].name, refused[i].status, refused[i].words);
}

/* "FILE:TENSOR" ends the network at any tensor; a name that nobody makes is told. */
static void graph_from_onnx__ends_at_a_named_tensor(void **state) {
  (void)state;
  char path[4096];
  struct graph *g = NULL;
  fusion_error err = {0};
  const float x[4] = {1, -2, 3, -4};
  float y[5];
  data_path(path, sizeof path, "refused_two_outputs", ".onnx:b");
  assert_ok(graph_from_onnx(&g, path, &err));
  assert_ok(graph_run(g, x, 1, y, NULL, NULL));
  for (int i = 0; i < 4; i++) assert_true(y[i] >= -x[i] && y[i] <= -x[i]);
  graph_free(g);
  g = NULL;
  data_path(path, sizeof path, "softmax", ".onnx:h"); /* before the Softmax */
  assert_ok(graph_from_onnx(&g, path, &err));
  assert_int_equal(g->nodes[g->count - 1].op, GRAPH_LINEAR);
  graph_free(g);
  g = NULL;
  data_path(path, sizeof path, "softmax", ".onnx:nothing");
  assert_int_equal(graph_from_onnx(&g, path, &err), FUSION_E_MODEL);
  assert_non_null(strstr(err.text, "nothing"));
}

/* What the file calls its classes is kept, unless it says no more than their places. */
static void graph_from_onnx__keeps_the_labels_of_classes(void **state) {
  (void)state;
  static const int64_t kept[3][3] = {{3, 1, 2}, {-1, 0, 1}, {7, 9, 8}};
  static const char *const names[3] = {"../faults/labels_312", "../faults/labels_signed", "../faults/labels_map"};
  for (int i = 0; i < 3; i++) {
    struct graph *g = import(names[i]);
    assert_int_equal(g->labels.count, 3);
    assert_memory_equal(g->labels.numbers, kept[i], sizeof kept[i]);
    graph_free(g);
  }
  struct graph *g = import("../faults/labels_text");
  assert_int_equal(g->labels.count, 3);
  assert_string_equal(g->labels.texts[2], "Iris virg\xc3\xadnica, late");
  graph_free(g);
  g = import("../faults/labels_plain");
  assert_int_equal(g->labels.count, 0);
  graph_free(g);
}

/* What is left out is said; what is merely written differently is not. */
static void graph_from_onnx__notes_what_it_leaves_out(void **state) {
  (void)state;
  struct graph *g = import("logistic_network");
  assert_string_equal(g->note, "");
  assert_int_equal(g->nodes[g->count - 1].op, GRAPH_SOFTMAX);
  graph_free(g);
}

static void graph_from_onnx__a_missing_file_is_an_io_error(void **state) {
  (void)state;
  struct graph *g = NULL;
  fusion_error err = {0};
  assert_int_equal(graph_from_onnx(&g, "/nonexistent/net.onnx", &err), FUSION_E_IO);
  assert_non_null(strstr(err.text, "'/nonexistent/net.onnx'"));
  assert_int_equal(graph_from_onnx(&g, "/tmp", &err), FUSION_E_IO);
}

/* A file in memory under a path of its own. */
struct memory_file {
  int fd;
  char path[64];
};

static struct memory_file memory_file_open(void) {
  struct memory_file f = {.fd = memfd_create("model", 0)};
  assert_true(f.fd >= 0);
  snprintf(f.path, sizeof f.path, "/proc/self/fd/%d", f.fd);
  return f;
}

/* Any bytes at all: a graph that is valid, or an error with its line. */
static bool import_bytes(const struct memory_file *f, const uint8_t *data, size_t len) {
  struct graph *g = NULL;
  fusion_error err = {0};
  assert_int_equal(ftruncate(f->fd, 0), 0);
  assert_int_equal(pwrite(f->fd, data, len, 0), len);
  const fusion_status status = graph_from_onnx(&g, f->path, &err);
  if (status == FUSION_OK) assert_ok(graph_validate(g, NULL));
  if (status != FUSION_OK) assert_non_null(strstr(err.text, f->path));
  graph_free(g);
  return status == FUSION_OK;
}

static void graph_from_onnx__survives_damaged_files(void **state) {
  (void)state;
  static const char *const names[] = {"exported_squeeze", "split_concat", "shape_computation", "avgpool_ceil1"};
  uint64_t seed = test_seed();
  char source[4096];
  const struct memory_file file = memory_file_open();
  for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
    uint8_t data[8192], damaged[8192];
    data_path(source, sizeof source, names[n], ".onnx");
    FILE *f = fopen(source, "rb");
    assert_non_null(f);
    const size_t len = fread(data, 1, sizeof data, f);
    fclose(f);
    assert_true(import_bytes(&file, data, len));
    for (size_t cut = 0; cut < len; cut += 1 + len / 60) import_bytes(&file, data, cut);
    for (int i = 0; i < 400; i++) {
      memcpy(damaged, data, len);
      for (uint64_t k = test_random(&seed) % 3 + 1; k > 0; k--)
        damaged[test_random(&seed) % len] ^= (uint8_t)(1u << test_random(&seed) % 8);
      import_bytes(&file, damaged, len);
    }
  }
  close(file.fd);
}

/* Messages within messages: model, graph, node, attribute, graph, ... must not be followed without end. */
static void graph_from_onnx__refuses_deep_nesting(void **state) {
  (void)state;
  enum { LEVELS = 3001, CAPACITY = 1 << 16 };
  static uint8_t bytes[CAPACITY];
  size_t at = CAPACITY;
  const struct memory_file file = memory_file_open();
  for (int i = 0; i < LEVELS; i++) {
    /* field numbers: attribute.g = 6, node.attribute = 5, graph.node = 1; the outermost model.graph = 7 */
    static const uint8_t keys[3] = {6 << 3 | 2, 5 << 3 | 2, 1 << 3 | 2};
    const size_t len = CAPACITY - at;
    bytes[--at] = (uint8_t)(len >> 14 & 0x7f);
    bytes[--at] = (uint8_t)(len >> 7 | 0x80);
    bytes[--at] = (uint8_t)(len | 0x80);
    bytes[--at] = i + 1 == LEVELS ? 7 << 3 | 2 : keys[i % 3];
  }
  assert_false(import_bytes(&file, bytes + at, CAPACITY - at));
  close(file.fd);
}

static size_t count_ops(const struct graph *g, enum graph_op op) {
  size_t n = 0;
  for (uint32_t i = 0; i < g->count; i++) n += g->nodes[i].op == op;
  return n;
}

static void graph_simplify__folds_what_can_be_folded(void **state) {
  (void)state;
  struct graph *g = import("exported_residual");
  /* conv + relu, pooled normalisation, conv with folded normalisation, ...: only what meets zero padding or feeds two
   * layers stays an AFFINE of its own. */
  assert_int_equal(count_ops(g, GRAPH_LINEAR), 4);
  assert_int_equal(count_ops(g, GRAPH_AFFINE), 2);
  assert_int_equal(count_ops(g, GRAPH_GATHER), 2);
  assert_int_equal(count_ops(g, GRAPH_MAXPOOL), 1);
  assert_true(g->nodes[g->count - 1].op == GRAPH_SOFTMAX && g->nodes[g->count - 1].log);
  graph_free(g);
  g = import("rows_bias_relu");
  assert_int_equal(count_ops(g, GRAPH_AFFINE), 0);
  assert_int_equal(count_ops(g, GRAPH_LINEAR), 1);
  graph_free(g);
  g = import("argmax_of_softmax");
  assert_int_equal(count_ops(g, GRAPH_SOFTMAX), 0);
  graph_free(g);
  g = import("shape_computation");
  assert_int_equal(g->count, 1);
  graph_free(g);
}

struct seen {
  size_t calls, nodes;
  float last;
};

static void observe(void *context, uint32_t node, size_t sample, const float *values, size_t count) {
  struct seen *s = context;
  assert_int_equal(node, s->calls % s->nodes);
  assert_int_equal(sample, s->calls / s->nodes);
  s->last = values[count - 1];
  s->calls++;
}

static void graph_run__is_the_same_in_any_batch_and_observed(void **state) {
  (void)state;
  enum { SAMPLES = 71 };
  struct graph *g = import("exported_squeeze");
  const size_t in = shape_size(g->nodes[0].shape), out = output_size(g);
  uint64_t seed = test_seed();
  float *x = mem_alloc(SAMPLES * in, sizeof *x), *all = mem_alloc(SAMPLES * out, sizeof *all);
  float *again = mem_alloc(SAMPLES * out, sizeof *again);
  for (size_t i = 0; i < SAMPLES * in; i++) x[i] = (float)(test_random(&seed) % 2001) / 1000 - 1;
  assert_ok(graph_run(g, x, SAMPLES, all, NULL, NULL));
  for (size_t i = 0; i < SAMPLES; i++) assert_ok(graph_run(g, x + i * in, 1, again + i * out, NULL, NULL));
  assert_memory_equal(all, again, SAMPLES * out * sizeof *all);
  struct seen seen = {.nodes = g->count};
  memset(again, 0, SAMPLES * out * sizeof *again);
  assert_ok(graph_run(g, x, SAMPLES, again, observe, &seen));
  assert_int_equal(seen.calls, SAMPLES * g->count);
  assert_memory_equal(all, again, SAMPLES * out * sizeof *all);
  assert_memory_equal(&seen.last, &all[SAMPLES * out - 1], sizeof seen.last);
  mem_free(x);
  mem_free(all);
  mem_free(again);
  graph_free(g);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(graph_from_onnx__every_case_gives_the_expected_answer),
      cmocka_unit_test(graph_from_onnx__every_former_fault_gives_the_expected_answer),
      cmocka_unit_test(graph_from_onnx__recurrent_layers_give_the_expected_answer),
      cmocka_unit_test(graph_from_onnx__products_of_activations_give_the_expected_answer),
      cmocka_unit_test(graph_from_onnx__rarer_operators_give_the_expected_answer),
      cmocka_unit_test(graph_from_onnx__refuses_other_products_of_activations),
      cmocka_unit_test(graph_from_onnx__refuses_with_the_reason),
      cmocka_unit_test(graph_from_onnx__refuses_former_faults_with_the_reason),
      cmocka_unit_test(graph_from_onnx__refuses_rarer_operators_with_the_reason),
      cmocka_unit_test(graph_from_onnx__exported_activations_are_one_table),
      cmocka_unit_test(graph_from_onnx__exported_layer_norm_is_one_inverse_root),
      cmocka_unit_test(graph_from_onnx__ends_at_a_named_tensor),
      cmocka_unit_test(graph_from_onnx__keeps_the_labels_of_classes),
      cmocka_unit_test(graph_from_onnx__notes_what_it_leaves_out),
      cmocka_unit_test(graph_from_onnx__a_missing_file_is_an_io_error),
      cmocka_unit_test(graph_from_onnx__survives_damaged_files),
      cmocka_unit_test(graph_from_onnx__refuses_deep_nesting),
      cmocka_unit_test(graph_simplify__folds_what_can_be_folded),
      cmocka_unit_test(graph_run__is_the_same_in_any_batch_and_observed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
