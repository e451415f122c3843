/* The official ONNX backend tests (Debian's libonnx-testdata) through the importer and the float executor. A node test
 * gives weights and parameters as inputs: all inputs but the first become constants here. Every case must pass or be
 * refused with a message; none may give a wrong answer.
 * Usage: test_onnx_conformance [--list] [case ...]; the folder is taken from ONNX_TESTDATA. */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "model/onnx_import.h"

enum { SKIPPED = 77, NAME_LEN = 256 };

static const char *const families[] = {"node", "pytorch-converted", "pytorch-operator", "simple"};

enum verdict { PASSED, FAILED, REFUSED };

struct tally {
  size_t count[3];
  bool list;
  char scratch[64]; /* the rewritten model, a file in memory */
};

static uint8_t *read_all(const char *path, size_t *len) {
  FILE *f = fopen(path, "rb");
  if (!f) return NULL;
  fseek(f, 0, SEEK_END);
  *len = (size_t)ftell(f);
  rewind(f);
  uint8_t *data = malloc(*len + 1);
  if (data && fread(data, 1, *len, f) != *len) {
    free(data);
    data = NULL;
  }
  fclose(f);
  return data;
}

static Onnx__TensorProto *read_proto(const char *folder, const char *kind, size_t number) {
  char path[1200];
  size_t len;
  snprintf(path, sizeof path, "%.1000s/test_data_set_0/%s_%zu.pb", folder, kind, number);
  uint8_t *data = read_all(path, &len);
  Onnx__TensorProto *p = data ? onnx__tensor_proto__unpack(NULL, len, data) : NULL;
  free(data);
  return p;
}

static struct tensor *to_tensor(const Onnx__TensorProto *p) {
  struct tensor *t = NULL;
  fusion_error err;
  const struct importer im = {.path = "test data", .err = &err};
  return p && tensor_from_proto(&im, p, &t) == FUSION_OK ? t : NULL;
}

/* Writes the model with its inputs 1, 2, ... as initialisers and only its first output. */
static bool rewrite(const char *folder, const char *to) {
  char path[1200];
  size_t len;
  snprintf(path, sizeof path, "%.1000s/model.onnx", folder);
  uint8_t *data = read_all(path, &len);
  Onnx__ModelProto *m = data ? onnx__model_proto__unpack(NULL, len, data) : NULL;
  free(data);
  if (!m || !m->graph) return false;
  Onnx__GraphProto *g = m->graph;
  const size_t had = g->n_initializer;
  Onnx__TensorProto **all = calloc(had + g->n_input + 1, sizeof *all), **const before = g->initializer;
  for (size_t i = 0; i < had; i++) all[i] = before[i];
  bool ok = true;
  size_t data_input = 0;
  for (size_t i = 0; i < g->n_input && ok; i++) {
    bool given = false;
    for (size_t k = 0; k < had; k++) given = given || !strcmp(before[k]->name, g->input[i]->name);
    if (given) continue;
    const size_t number = data_input++;
    if (number == 0) continue;
    Onnx__TensorProto *p = read_proto(folder, "input", number);
    ok = p != NULL;
    if (!ok) break;
    free(p->name);
    p->name = strdup(g->input[i]->name);
    all[g->n_initializer++] = p;
  }
  g->initializer = all;
  uint8_t *packed = malloc(onnx__model_proto__get_packed_size(m) + 1);
  const size_t packed_len = onnx__model_proto__pack(m, packed);
  FILE *f = fopen(to, "wb");
  ok = ok && f && fwrite(packed, 1, packed_len, f) == packed_len;
  if (f) fclose(f);
  free(packed);
  free(before);
  onnx__model_proto__free_unpacked(m, NULL);
  return ok;
}

/* The suite's own tolerance: relative 1e-3, absolute 1e-7. */
static bool close_enough(const struct tensor *want, const float *got, size_t count) {
  if (dims_size(&want->dims) != count) return false;
  for (size_t i = 0; i < count; i++) {
    const double w = tensor_get(want, i);
    if (!(fabs((double)got[i] - w) <= 1e-7 + 1e-3 * fabs(w))) return false;
  }
  return true;
}

/* Some cases of the suite hold uninitialised doubles. */
static bool fits_float(const struct tensor *t) {
  for (size_t i = 0; t && i < dims_size(&t->dims); i++) {
    if (fabs(tensor_get(t, i)) > 1e37) return false;
  }
  return true;
}

static enum verdict run(const struct graph *g, const char *folder, char *why) {
  Onnx__TensorProto *in = read_proto(folder, "input", 0), *out = read_proto(folder, "output", 0);
  struct tensor *x = to_tensor(in), *want = to_tensor(out);
  const size_t in_size = shape_size(g->nodes[0].shape), out_size = shape_size(g->nodes[g->count - 1].shape);
  const size_t total = x ? dims_size(&x->dims) : 0, samples = total / in_size;
  enum verdict v = FAILED;
  snprintf(why, NAME_LEN, "wrong values");
  float *input = malloc((total + 1) * sizeof *input), *output = malloc((samples * out_size + 1) * sizeof *output);
  for (size_t i = 0; i < total; i++) input[i] = (float)tensor_get(x, i);
  if (!x || !want) snprintf(why, NAME_LEN, "no test data");
  if (!fits_float(x) || !fits_float(want)) {
    v = REFUSED;
    snprintf(why, NAME_LEN, "its data lie outside the range of float");
  }
  if (v == FAILED && x && want && total % in_size == 0 &&
      graph_run(g, input, samples, output, NULL, NULL) == FUSION_OK && close_enough(want, output, samples * out_size))
    v = PASSED;
  free(input);
  free(output);
  tensor_free(x);
  tensor_free(want);
  if (in) onnx__tensor_proto__free_unpacked(in, NULL);
  if (out) onnx__tensor_proto__free_unpacked(out, NULL);
  return v;
}

static enum verdict run_case(const struct tally *t, const char *folder, char *why) {
  struct graph *g = NULL;
  fusion_error err = {0};
  if (!rewrite(folder, t->scratch)) {
    snprintf(why, NAME_LEN, "its inputs are not plain tensors");
    return REFUSED;
  }
  const fusion_status status = graph_from_onnx(&g, t->scratch, &err);
  if (status != FUSION_OK) {
    const char *text = strstr(err.text, "': ");
    snprintf(why, NAME_LEN, "%.*s", NAME_LEN - 1, text ? text + 3 : err.text);
    return err.text[0] ? REFUSED : FAILED;
  }
  const enum verdict v = run(g, folder, why);
  graph_free(g);
  return v;
}

static void judge(struct tally *t, const char *family, const char *name, const char *folder) {
  static const char *const words[] = {"passed", "FAILED", "unsupported"};
  char why[NAME_LEN] = "";
  const enum verdict v = run_case(t, folder, why);
  t->count[v]++;
  if (t->list || v == FAILED)
    printf("%-11s %s/%s%s%s\n", words[v], family, name, v == PASSED ? "" : ": ", v == PASSED ? "" : why);
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static void run_family(struct tally *t, const char *root, const char *family, int only_count, char **only) {
  char folder[768];
  snprintf(folder, sizeof folder, "%s/%s", root, family);
  DIR *d = opendir(folder);
  char **names = NULL;
  size_t count = 0;
  for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
    bool wanted = e->d_name[0] != '.' && only_count == 0;
    for (int i = 0; i < only_count; i++) wanted = wanted || !strcmp(e->d_name, only[i]);
    if (!wanted) continue;
    names = realloc(names, (count + 1) * sizeof *names);
    names[count++] = strdup(e->d_name);
  }
  if (d) closedir(d);
  if (count) qsort(names, count, sizeof *names, by_name);
  for (size_t i = 0; i < count; i++) {
    char path[1200];
    snprintf(path, sizeof path, "%.700s/%.255s", folder, names[i]);
    judge(t, family, names[i], path);
    free(names[i]);
  }
  free(names);
}

int main(int argc, char **argv) {
  const char *root = getenv("ONNX_TESTDATA");
  if (!root) root = "/usr/share/libonnx-testdata/data";
  if (access(root, R_OK)) {
    printf("skipped: no folder %s (Debian package libonnx-testdata)\n", root);
    return SKIPPED;
  }
  struct tally t = {.list = argc > 1 && !strcmp(argv[1], "--list")};
  const int scratch = memfd_create("model", 0);
  snprintf(t.scratch, sizeof t.scratch, "/proc/self/fd/%d", scratch);
  const int skip = t.list ? 2 : 1;
  for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
    run_family(&t, root, families[i], argc - skip, argv + skip);
  close(scratch);
  printf("passed %zu, failed %zu, unsupported %zu\n", t.count[PASSED], t.count[FAILED], t.count[REFUSED]);
  return t.count[FAILED] != 0;
}
