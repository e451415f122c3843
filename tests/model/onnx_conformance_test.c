/* The official ONNX backend tests (Debian's libonnx-testdata) through the importer, the float executor, and the
 * fixed-point executor. A node test gives weights and parameters as inputs: all inputs but the first become constants
 * here. The first dimension is the batch; where an operator looks along it, all of the input is one sample instead.
 * Every case must pass (float: within the suite's tolerance; fixed: within the error that its program predicts) or be
 * refused with a message; none may give a wrong answer.
 * Usage: test_onnx_conformance [--list] [case ...]; the folder is taken from ONNX_TESTDATA. */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "model/conformance_fixed.h"
#include "onnx/onnx.h"
#include "program/preprocess.h"
#include "reader/onnx_import.h"

enum { SKIPPED = 77, NAME_LEN = 256, MAX_OUTPUTS = 8, MAX_CASES = 4096 };

/* Of the largest value, with 12 bits throughout; what a rounded input does is not the program's error, and sums with it
 * are no finer than its unit. */
#define OWN_ERROR 0.01

static const char *const families[] = {"node", "pytorch-converted", "pytorch-operator", "simple"};

enum verdict { PASSED, FAILED, REFUSED };

/* One case: its verdicts and their reasons. */
struct outcome {
  enum verdict real, fixed;
  char why[NAME_LEN], fixed_why[NAME_LEN];
  double tightness, error; /* largest predicted error, and largest on rounded inputs, relative to the largest value */
};

struct tally {
  size_t count[3], fixed[3];
  double tightness[MAX_CASES]; /* of those that passed in fixed point */
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

static struct tensor *to_tensor(Onnx__TensorProto *p) {
  struct tensor *t = NULL;
  fusion_error err;
  const struct importer im = {.path = "test data", .err = &err};
  return p && tensor_from_proto(&im, p, &t) == FUSION_OK ? t : NULL;
}

/* Writes the model with its inputs 1, 2, ... as initialisers. Returns the number of its outputs, 0 on failure. */
static size_t rewrite(const char *folder, const char *to, char names[MAX_OUTPUTS][256]) {
  char path[1200];
  size_t len;
  snprintf(path, sizeof path, "%.1000s/model.onnx", folder);
  uint8_t *data = read_all(path, &len);
  Onnx__ModelProto *m = data ? onnx__model_proto__unpack(NULL, len, data) : NULL;
  free(data);
  if (!m || !m->graph || m->graph->n_output > MAX_OUTPUTS) return 0;
  Onnx__GraphProto *g = m->graph;
  const size_t outputs = g->n_output;
  for (size_t i = 0; i < outputs; i++) snprintf(names[i], sizeof names[i], "%s", g->output[i]->name);
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
  return ok ? outputs : 0;
}

/* The suite's own tolerance: relative 1e-3, absolute 1e-7. */
static bool close_enough(const struct tensor *want, const float *got, size_t count) {
  if (dims_size(&want->dims) != count) return false;
  for (size_t i = 0; i < count; i++) {
    const double w = tensor_get(want, i);
    if (isnan(w) && isnan(got[i])) continue;
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

static void run_fixed(struct outcome *o, struct graph *g, const float *input, size_t samples) {
  const struct fixed_result r = fixed_run(g, input, samples);
  o->fixed = REFUSED;
  if (!r.compiled) {
    snprintf(o->fixed_why, NAME_LEN, "%.200s", r.why);
    return;
  }
  o->fixed = r.error <= r.bound && r.own_error <= OWN_ERROR * r.top + r.input_unit ? PASSED : FAILED;
  o->tightness = r.top > 0 ? r.bound / r.top : 0;
  o->error = r.top > 0 ? r.own_error / r.top : 0;
  if (o->fixed == FAILED)
    snprintf(o->fixed_why, NAME_LEN, "error %g (%g on rounded inputs), predicted at most %g, largest value %g", r.error,
             r.own_error, r.bound, r.top);
}

static bool matches(const struct graph *g, const float *input, size_t samples, const struct tensor *want) {
  const size_t size = shape_size(g->nodes[g->count - 1].shape) * samples;
  float *output = malloc((size + 1) * sizeof *output);
  const bool ok =
      output && graph_run(g, input, samples, output, NULL, NULL) == FUSION_OK && close_enough(want, output, size);
  free(output);
  return ok;
}

/* The file's numbers as the graph takes them; owned. */
static float *graph_input(const struct graph *g, const struct tensor *x, size_t total, size_t *samples) {
  const struct preprocess p = {.scale = 1, .tokens = g->tokens};
  const struct shape shape = g->nodes[0].shape;
  const size_t row = preprocess_row_size(&p, shape);
  *samples = total % row ? 0 : total / row;
  double *raw = malloc((total + 1) * sizeof *raw);
  float *input = malloc((*samples * shape_size(shape) + 1) * sizeof *input);
  for (size_t i = 0; i < total; i++) raw[i] = tensor_get(x, i);
  preprocess_apply(&p, shape, raw, *samples, input);
  free(raw);
  return input;
}

static void run(struct outcome *o, struct graph *g, const char *folder, size_t output) {
  Onnx__TensorProto *in = read_proto(folder, "input", 0), *out = read_proto(folder, "output", output);
  struct tensor *x = to_tensor(in), *want = to_tensor(out);
  const size_t total = x ? dims_size(&x->dims) : 0;
  size_t samples;
  float *input = graph_input(g, x, total, &samples);
  o->real = o->fixed = FAILED;
  snprintf(o->why, NAME_LEN, x && want ? "wrong values" : "no test data");
  if (!fits_float(x) || !fits_float(want)) {
    o->real = o->fixed = REFUSED;
    snprintf(o->why, NAME_LEN, "its data lie outside the range of float");
  } else if (x && want && samples && matches(g, input, samples, want)) {
    o->real = PASSED;
    run_fixed(o, g, input, samples);
  }
  free(input);
  tensor_free(x);
  tensor_free(want);
  if (in) onnx__tensor_proto__free_unpacked(in, NULL);
  if (out) onnx__tensor_proto__free_unpacked(out, NULL);
}

/* One output of the rewritten model. */
static void run_output(struct outcome *o, const char *model, const char *folder, const char *name, size_t number) {
  char path[512];
  struct graph *g = NULL;
  fusion_error err = {0}, ignored = {0};
  snprintf(path, sizeof path, "%.64s:%.400s", model, name);
  fusion_status status = graph_from_onnx(&g, path, &err);
  if (status != FUSION_OK && err.text[0]) status = graph_from_onnx_whole(&g, path, &ignored);
  if (status == FUSION_OK) {
    run(o, g, folder, number);
    graph_free(g);
    return;
  }
  const char *text = strstr(err.text, "': ");
  o->real = o->fixed = err.text[0] ? REFUSED : FAILED;
  snprintf(o->why, NAME_LEN, "%.*s", NAME_LEN - 1, text ? text + 3 : err.text);
}

static enum verdict worse(enum verdict a, enum verdict b) {
  if (a == FAILED || b == FAILED) return FAILED;
  return a == REFUSED || b == REFUSED ? REFUSED : PASSED;
}

/* Every output that the file names has to be right. */
static void run_case(struct outcome *o, const struct tally *t, const char *folder) {
  char names[MAX_OUTPUTS][256];
  const size_t count = rewrite(folder, t->scratch, names);
  if (count == 0) {
    o->real = o->fixed = REFUSED;
    snprintf(o->why, NAME_LEN, "its inputs are not plain tensors");
  }
  for (size_t i = 0; i < count; i++) {
    struct outcome one = {0};
    run_output(&one, t->scratch, folder, names[i], i);
    if (one.real != PASSED) snprintf(o->why, NAME_LEN, "%s", one.why);
    if (one.fixed != PASSED) snprintf(o->fixed_why, NAME_LEN, "%s", one.fixed_why);
    o->real = worse(o->real, one.real);
    o->fixed = worse(o->fixed, one.fixed);
    o->tightness = fmax(o->tightness, one.tightness);
    o->error = fmax(o->error, one.error);
  }
}

static void judge(struct tally *t, const char *family, const char *name, const char *folder) {
  static const char *const words[] = {"passed", "FAILED", "unsupported"};
  struct outcome o = {.real = PASSED, .fixed = PASSED};
  run_case(&o, t, folder);
  t->count[o.real]++;
  const bool fixed = o.real == PASSED; /* what cannot be read is not compiled either */
  if (fixed) t->fixed[o.fixed]++;
  if (t->list || o.real == FAILED)
    printf("%-11s %s/%s%s%s\n", words[o.real], family, name, o.why[0] ? ": " : "", o.why);
  if (fixed && (o.fixed != PASSED)) printf("%-11s fixed %s/%s: %s\n", words[o.fixed], family, name, o.fixed_why);
  if (fixed && t->list && o.fixed == PASSED)
    printf("%-11s fixed %s/%s: %.2g of the largest value, predicted at most %.2g\n", words[o.fixed], family, name,
           o.error, o.tightness);
  if (fixed && o.fixed == PASSED) t->tightness[t->fixed[PASSED] - 1] = o.tightness;
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static int by_value(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
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
  static struct tally t;
  t = (struct tally){.list = argc > 1 && !strcmp(argv[1], "--list")};
  const int scratch = memfd_create("model", 0);
  snprintf(t.scratch, sizeof t.scratch, "/proc/self/fd/%d", scratch);
  const int skip = t.list ? 2 : 1;
  for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
    run_family(&t, root, families[i], argc - skip, argv + skip);
  close(scratch);
  qsort(t.tightness, t.fixed[PASSED], sizeof t.tightness[0], by_value);
  const size_t middle = t.fixed[PASSED] / 2;
  printf("float: passed %zu, failed %zu, unsupported %zu\n", t.count[PASSED], t.count[FAILED], t.count[REFUSED]);
  printf(
      "fixed: passed %zu, failed %zu, unsupported %zu of those; predicted error relative to the largest value: median "
      "%.2g\n",
      t.fixed[PASSED], t.fixed[FAILED], t.fixed[REFUSED], t.fixed[PASSED] ? t.tightness[middle] : 0);
  return t.count[FAILED] != 0 || t.fixed[FAILED] != 0;
}
