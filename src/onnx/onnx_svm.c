/* Support vector machines of domain ai.onnx.ml. What decides is a sum over the support vectors of coefficients times a
 * kernel of the sample and the vector. A linear kernel makes one layer of it. Others are a function of a layer, and a
 * layer of the coefficients. The number of vectors is public as the width of that layer is; the vectors are weights. */
#include <math.h>
#include <stdio.h>

#include "onnx/onnx_ops.h"

enum { DEGREE_MOST = 8, CLASSES_MOST = 1 << 10 };
enum kernel { KERNEL_LINEAR, KERNEL_RBF, KERNEL_POLY, KERNEL_SIGMOID, KERNEL_UNKNOWN };

struct machine {
  enum kernel kernel;
  double gamma, offset; /* of the kernel: exp(-gamma |x - v|^2), or a function of gamma x v + offset */
  unsigned degree;
  const float *coefficients, *vectors, *rho; /* vectors: [supports][features] */
  size_t coefficient_count, rho_count, supports;
  uint32_t features;
};

/* What follows the sums: `count` rows over the support vectors (over the features where there are none). */
struct sums {
  double *rows, *bias; /* owned: [count][supports], [count] */
  uint32_t count;
};

static fusion_status sums_open(const struct call *c, struct sums *s, size_t count, size_t terms) {
  size_t size;
  if (!size_mul(count, terms, &size) || size > MODEL_MAX_TENSOR)
    return call_refuse(c, "use fewer vectors", "has too many coefficients");
  s->count = (uint32_t)count;
  s->rows = mem_alloc(size, sizeof *s->rows);
  s->bias = mem_alloc(count, sizeof *s->bias);
  return s->rows && s->bias ? FUSION_OK : call_out_of_memory(c);
}

static void sums_close(struct sums *s) {
  mem_free(s->rows);
  mem_free(s->bias);
}

static size_t floats_of(const struct call *c, const char *name, const float **out) {
  const Onnx__AttributeProto *a = attr_find(c, name);
  *out = a ? a->floats : NULL;
  return a ? a->n_floats : 0;
}

static fusion_status take_kernel(const struct call *c, struct machine *m) {
  static const char *const names[] = {"LINEAR", "RBF", "POLY", "SIGMOID"};
  char name[16];
  const float *v;
  const size_t count = floats_of(c, "kernel_params", &v);
  attr_string(c, "kernel_type", name, sizeof name);
  m->kernel = name[0] ? KERNEL_UNKNOWN : KERNEL_LINEAR;
  for (int k = 0; k < KERNEL_UNKNOWN; k++)
    if (!strcmp(name, names[k])) m->kernel = (enum kernel)k;
  if (m->kernel == KERNEL_LINEAR) return FUSION_OK;
  if (m->kernel == KERNEL_UNKNOWN) return call_malformed(c, "has an unknown kernel");
  if (count != 3) return call_malformed(c, "has other than three numbers for its kernel");
  m->gamma = (double)v[0];
  m->offset = (double)v[1];
  const double degree = m->kernel == KERNEL_POLY ? (double)v[2] : 1;
  if (!(fabs(m->gamma) <= 1e6 && fabs(m->offset) <= 1e6) || (m->kernel == KERNEL_RBF && !(m->gamma > 0)))
    return call_malformed(c, "has a number for its kernel that is out of range");
  if (!(degree >= 1 && degree <= DEGREE_MOST && floor(degree) >= degree))
    return call_refuse(c, "use whole degrees from 1 to 8", "has a polynomial of a degree that is not supported");
  m->degree = (unsigned)degree;
  return FUSION_OK;
}

/* `supports` 0: no vectors, the coefficients are those of the features. */
static fusion_status take_machine(const struct call *c, uint64_t supports, struct machine *m) {
  const size_t numbers = floats_of(c, "support_vectors", &m->vectors);
  fusion_status status;
  m->coefficient_count = floats_of(c, "coefficients", &m->coefficients);
  m->rho_count = floats_of(c, "rho", &m->rho);
  TRY(ml_features(c, c->in[0], &m->features));
  TRY(take_kernel(c, m));
  /* Compared by a division: the product may not fit. */
  const bool fit = numbers % m->features == 0 && numbers / m->features == supports;
  if (supports && !fit) return call_malformed(c, "has vectors that do not fit its input");
  m->supports = (size_t)supports;
  if (!supports) m->kernel = KERNEL_LINEAR;
cleanup:
  return status;
}

/* ---- The layers ---- */

static fusion_status add_layer(struct call *c, uint32_t from, uint32_t rows, const float *w, const float *b,
                               uint32_t *to) {
  const fusion_status status = call_added(c, graph_add_dense(c->im->g, from, rows, w, b, to));
  if (status == FUSION_OK) call_name_node(c, *to);
  return status;
}

/* The average of the vectors, which moves the samples close to 0: squares are small then. */
static double average(const struct machine *m, uint32_t feature) {
  double sum = 0;
  for (size_t s = 0; s < m->supports; s++) sum += (double)m->vectors[s * m->features + feature];
  return m->kernel == KERNEL_RBF ? sum / (double)m->supports : 0;
}

/* x less the average, as a row. */
static fusion_status centre(struct call *c, const struct machine *m, struct value *x) {
  float *scale = mem_alloc(m->features, sizeof *scale), *bias = mem_alloc(m->features, sizeof *bias);
  fusion_status status = scale && bias ? FUSION_OK : call_out_of_memory(c);
  for (uint32_t k = 0; status == FUSION_OK && k < m->features; k++) {
    scale[k] = 1;
    bias[k] = (float)-average(m, k);
  }
  if (status == FUSION_OK) status = call_added(c, graph_add_affine(c->im->g, x->node, scale, bias, &x->node));
  if (status == FUSION_OK) call_name_node(c, x->node);
  mem_free(scale);
  mem_free(bias);
  return status;
}

/* factor * x v + offset for every vector v; of the RBF kernel -gamma (|v|^2 - 2 x v), both less the average. */
static fusion_status add_products(struct call *c, const struct machine *m, uint32_t from, uint32_t *to) {
  const bool rbf = m->kernel == KERNEL_RBF;
  float *w = mem_alloc(m->supports * m->features, sizeof *w), *b = mem_alloc(m->supports, sizeof *b);
  fusion_status status = w && b ? FUSION_OK : call_out_of_memory(c);
  double *middle = mem_alloc(m->features, sizeof *middle);
  if (!middle) status = call_out_of_memory(c);
  for (uint32_t k = 0; status == FUSION_OK && k < m->features; k++) middle[k] = average(m, k);
  for (size_t s = 0; status == FUSION_OK && s < m->supports; s++) {
    double size = 0;
    for (uint32_t k = 0; k < m->features; k++) {
      const double v = (double)m->vectors[s * m->features + k] - (double)(float)middle[k];
      w[s * m->features + k] = (float)((rbf ? 2 : 1) * m->gamma * v);
      size += v * v;
    }
    b[s] = (float)(rbf ? -m->gamma * size : m->offset);
  }
  if (status == FUSION_OK) status = add_layer(c, from, (uint32_t)m->supports, w, b, to);
  mem_free(w);
  mem_free(b);
  mem_free(middle);
  return status;
}

/* -gamma |x|^2 for every vector. */
static fusion_status add_square(struct call *c, const struct machine *m, const struct value *x, uint32_t *to) {
  bool axis[MAX_RANK] = {false};
  struct value square;
  float *w = NULL;
  fusion_status status;
  axis[x->dims.rank - 1] = true;
  TRY(value_binary(c, '*', x, x, &square));
  TRY(value_reduce(c, REDUCE_SUM, &square, axis, &square));
  w = mem_alloc(m->supports, sizeof *w);
  FAIL_IF(!w, call_out_of_memory(c));
  for (size_t s = 0; s < m->supports; s++) w[s] = (float)-m->gamma;
  TRY(value_view(c, &square, (struct shape){1, 1, 1}, &square.node));
  TRY(add_layer(c, square.node, (uint32_t)m->supports, w, NULL, to));
cleanup:
  mem_free(w);
  return status;
}

/* The kernel of x and every vector. |x - v|^2 = |x|^2 + |v|^2 - 2 x v. */
static fusion_status add_kernel(struct call *c, const struct machine *m, struct value *x) {
  struct value square = *x;
  fusion_status status;
  if (m->kernel == KERNEL_RBF) TRY(centre(c, m, x));
  if (m->kernel == KERNEL_RBF) TRY(add_square(c, m, x, &square.node));
  TRY(add_products(c, m, x->node, &x->node));
  x->dims.d[x->dims.rank - 1] = (uint32_t)m->supports;
  square.dims = x->dims;
  if (m->kernel == KERNEL_POLY) return value_whole_power(c, x, m->degree, x);
  if (m->kernel == KERNEL_SIGMOID)
    return value_activation(c, x, (struct activation_use){ACTIVATION_TANH, 1, 1, 0, 0}, x);
  TRY(value_binary(c, '+', x, &square, x));
  TRY(value_activation(c, x, (struct activation_use){ACTIVATION_EXP, 1, 1, 0, 0}, x));
cleanup:
  return status;
}

/* x becomes the sums. With a linear kernel the vectors are summed up here. */
static fusion_status add_sums(struct call *c, const struct machine *m, const struct sums *s, struct value *x) {
  const bool folds = m->supports && m->kernel == KERNEL_LINEAR, kernel = m->kernel != KERNEL_LINEAR;
  const size_t width = kernel ? m->supports : m->features, terms = m->supports ? m->supports : m->features;
  size_t size;
  float *w = NULL, *b = NULL;
  fusion_status status;
  TRY(value_view(c, x, (struct shape){m->features, 1, 1}, &x->node));
  x->integer = false;
  if (kernel) TRY(add_kernel(c, m, x));
  FAIL_IF(!size_mul(s->count, width, &size) || size > MODEL_MAX_TENSOR,
          call_refuse(c, "use fewer features", "has too many coefficients"));
  w = mem_alloc(size, sizeof *w);
  b = mem_alloc(s->count, sizeof *b);
  FAIL_IF(!w || !b, call_out_of_memory(c));
  for (size_t i = 0; i < size; i++) {
    double sum = folds ? 0 : s->rows[i];
    for (size_t v = 0; folds && v < terms; v++)
      sum += s->rows[i / width * terms + v] * (double)m->vectors[v * m->features + i % width];
    w[i] = (float)sum;
  }
  for (uint32_t i = 0; i < s->count; i++) b[i] = (float)s->bias[i];
  TRY(add_layer(c, x->node, s->count, w, b, &x->node));
  x->dims.d[x->dims.rank - 1] = s->count;
cleanup:
  mem_free(w);
  mem_free(b);
  return status;
}

/* [x > 0]. */
static fusion_status above_zero(struct call *c, struct value *x) {
  fusion_status status;
  TRY(value_scale(c, x, -1, 0, x));
  TRY(call_added(c, graph_add_unary(c->im->g, GRAPH_COMPARE, x->node, &x->node)));
  call_name_node(c, x->node);
  TRY(value_scale(c, x, -1, 1, x));
cleanup:
  return status;
}

fusion_status op_svm_regressor(struct call *c) {
  struct value x = *c->in[0];
  struct machine m = {0};
  struct sums s = {0};
  char transform[16];
  const int64_t supports = attr_int(c, "n_supports", 0);
  fusion_status status;
  attr_string(c, "post_transform", transform, sizeof transform);
  if (transform[0] && strcmp(transform, "NONE")) return call_refuse(c, "export it without", "has a post_transform");
  TRY(take_machine(c, supports > 0 ? (uint64_t)supports : 0, &m));
  FAIL_IF(m.coefficient_count != (m.supports ? m.supports : m.features) || m.rho_count != 1,
          call_malformed(c, "has coefficients that do not fit its vectors"));
  TRY(sums_open(c, &s, 1, m.coefficient_count));
  for (size_t i = 0; i < m.coefficient_count; i++) s.rows[i] = (double)m.coefficients[i];
  s.bias[0] = (double)m.rho[0];
  TRY(add_sums(c, &m, &s, &x));
  if (attr_int(c, "one_class", 0)) {
    TRY(above_zero(c, &x));
    TRY(value_scale(c, &x, 2, -1, &x));
  }
  TRY(call_set(c, 0, &x));
cleanup:
  sums_close(&s);
  return status;
}

/* ---- Classifiers: one machine for each pair of classes ---- */

struct classifier {
  struct machine m;
  struct sums sums;
  size_t classes, pairs;
  const int64_t *each; /* [classes]: support vectors of a class */
  const float *a, *b;  /* [pairs] or NULL: the pair's first class has probability 1 / (1 + exp(a sum + b)) */
};

static size_t class_count(const struct call *c) {
  const int64_t *ints;
  const Onnx__AttributeProto *texts = attr_find(c, "classlabels_strings");
  return attr_ints(c, "classlabels_ints", &ints) + (texts ? texts->n_strings : 0);
}

static fusion_status take_classifier(const struct call *c, struct classifier *q) {
  const size_t groups = attr_ints(c, "vectors_per_class", &q->each);
  const size_t probabilities = floats_of(c, "prob_a", &q->a);
  uint64_t supports = 0;
  fusion_status status;
  q->classes = class_count(c);
  if (q->classes < 2 || q->classes > CLASSES_MOST)
    return call_refuse(c, "use 2 to 1024 classes", "has a number of classes that is not supported");
  q->pairs = q->classes * (q->classes - 1) / 2;
  for (size_t k = 0; k < groups; k++) {
    if (q->each[k] < 0 || q->each[k] > MODEL_MAX_TENSOR) return call_malformed(c, "has a wrong number of vectors");
    supports += (uint64_t)q->each[k];
  }
  TRY(take_machine(c, supports, &q->m));
  if (supports && groups != q->classes) return call_malformed(c, "has vectors for another number of classes");
  const bool fit = supports ? q->m.coefficient_count == (q->classes - 1) * q->m.supports && q->m.rho_count == q->pairs
                            : q->m.coefficient_count == q->classes * q->m.features && q->m.rho_count >= 1;
  if (!fit) return call_malformed(c, "has coefficients that do not fit its vectors");
  if (floats_of(c, "prob_b", &q->b) != probabilities || (probabilities && probabilities != q->pairs))
    return call_malformed(c, "has probabilities that do not fit its classes");
  if (probabilities && q->classes > 3)
    return call_refuse(c, "train with probability=False",
                       "has probabilities of more than three classes, each sample's a system of equations");
cleanup:
  return status;
}

/* Sum p decides between classes i < j: rows of the coefficients are those of the other class, the own left out. */
static void set_pairs(struct classifier *q) {
  const size_t v = q->m.supports;
  size_t pair = 0, first = 0;
  for (size_t i = 0; i < q->classes; first += (size_t)q->each[i], i++) {
    size_t second = first + (size_t)q->each[i];
    for (size_t j = i + 1; j < q->classes; second += (size_t)q->each[j], j++, pair++) {
      double *row = q->sums.rows + pair * v;
      for (size_t k = first; k < first + (size_t)q->each[i]; k++) row[k] = (double)q->m.coefficients[(j - 1) * v + k];
      for (size_t k = second; k < second + (size_t)q->each[j]; k++) row[k] = (double)q->m.coefficients[i * v + k];
      q->sums.bias[pair] = (double)q->m.rho[pair];
    }
  }
}

/* Two scores of the one sum: factor[k] * sum + bias[k]. */
static void set_two(struct classifier *q, const double factor[2], const double bias[2]) {
  const size_t v = q->m.supports;
  const double sum = q->sums.bias[0];
  for (size_t k = 2; k-- > 0;) {
    for (size_t i = 0; i < v; i++) q->sums.rows[k * v + i] = factor[k] * q->sums.rows[i];
    q->sums.bias[k] = factor[k] * sum + bias[k];
  }
}

/* Whether nothing computes with this tensor: it is the answer, or a copy or map of it is. */
static bool is_answer(const struct importer *im, const char *name, unsigned depth) {
  enum { COPIES_MOST = 8 };
  static const char *const copies[] = {"Cast", "Identity", "ZipMap"};
  for (size_t i = 0; i < im->node_count; i++) {
    const Onnx__NodeProto *n = im->nodes[i].node;
    bool reads = false, copy = false;
    for (size_t k = 0; k < n->n_input; k++) reads = reads || (n->input[k] && !strcmp(n->input[k], name));
    for (size_t k = 0; k < 3; k++) copy = copy || (n->op_type && !strcmp(n->op_type, copies[k]));
    if (!reads) continue;
    if (!copy || depth == COPIES_MOST || n->n_output != 1 || !is_answer(im, n->output[0], depth + 1)) return false;
  }
  return true;
}

/* How many pairs a class wins: a sum above 0 is a vote for the first of its classes, others for the second. */
static fusion_status add_votes(struct call *c, const struct classifier *q, const struct value *sums,
                               struct value *votes) {
  float *w = mem_alloc(q->classes * q->pairs, sizeof *w), *b = mem_alloc(q->classes, sizeof *b);
  size_t pair = 0;
  fusion_status status;
  *votes = *sums;
  FAIL_IF(!w || !b, call_out_of_memory(c));
  for (size_t i = 0; i < q->classes; i++) {
    for (size_t j = i + 1; j < q->classes; j++, pair++) {
      w[i * q->pairs + pair] = 1;
      w[j * q->pairs + pair] = -1;
      b[j] += 1;
    }
  }
  TRY(above_zero(c, votes));
  TRY(add_layer(c, votes->node, (uint32_t)q->classes, w, b, &votes->node));
  votes->dims.d[votes->dims.rank - 1] = (uint32_t)q->classes;
cleanup:
  mem_free(w);
  mem_free(b);
  return status;
}

static fusion_status set_scores(struct call *c, struct value x) {
  char transform[16];
  attr_string(c, "post_transform", transform, sizeof transform);
  const bool softmax = !strcmp(transform, "SOFTMAX"), logistic = !strcmp(transform, "LOGISTIC");
  fusion_status status = FUSION_OK;
  if (transform[0] && !softmax && !logistic && strcmp(transform, "NONE"))
    return call_refuse(c, "use NONE, SOFTMAX or LOGISTIC", "has a post_transform that is not supported");
  if (softmax || logistic)
    status = call_added(c, graph_add_unary(c->im->g, softmax ? GRAPH_SOFTMAX : GRAPH_SIGMOID, x.node, &x.node));
  return status == FUSION_OK ? call_set(c, 1, &x) : status;
}

/* A score a class, which decides. */
static fusion_status features_alone(struct call *c, struct classifier *q, struct value x) {
  fusion_status status;
  TRY(sums_open(c, &q->sums, q->classes, q->m.features));
  for (size_t i = 0; i < q->m.coefficient_count; i++) q->sums.rows[i] = (double)q->m.coefficients[i];
  for (size_t i = 0; i < q->classes; i++) q->sums.bias[i] = (double)q->m.rho[0];
  TRY(add_sums(c, &q->m, &q->sums, &x));
  if (call_uses_output(c, 0)) TRY(ml_classifier_label(c, x));
  TRY(set_scores(c, x));
cleanup:
  return status;
}

/* The sum is above 0 for the first class. Files have the scores (-sum, sum), the better one being the other class's;
 * where they are the answer they are turned round, so that it names the label. */
static fusion_status two_classes(struct call *c, struct classifier *q, struct value x) {
  const bool probabilities = q->a != NULL;
  const bool turned = !probabilities && is_answer(c->im, c->node->output[1], 0);
  const double factor = turned ? 1 : -1, none[2] = {0, 0};
  fusion_status status;
  TRY(sums_open(c, &q->sums, 2, q->m.supports));
  set_pairs(q);
  if (probabilities)
    set_two(q, (const double[2]){0, (double)q->a[0]}, (const double[2]){0, (double)q->b[0]});
  else
    set_two(q, (const double[2]){factor, -factor}, none);
  TRY(add_sums(c, &q->m, &q->sums, &x));
  if (call_uses_output(c, 0) && importer_needs(c->im, c->node->output[0])) {
    struct value label = x;
    if (!turned && !probabilities) TRY(value_scale(c, &x, -1, 0, &label));
    TRY(ml_classifier_label(c, label));
  }
  if (turned)
    snprintf(c->im->g->note, sizeof c->im->g->note,
             "the two classes' scores are in the order of the labels: the larger one is that of the label");
  if (probabilities) TRY(call_added(c, graph_add_unary(c->im->g, GRAPH_SOFTMAX, x.node, &x.node)));
  TRY(probabilities ? call_set(c, 1, &x) : set_scores(c, x));
cleanup:
  return status;
}

/* Of three classes: each pair's probabilities, coupled. */
static fusion_status set_probabilities(struct call *c, const struct classifier *q, const struct value *sums) {
  float scale[3], bias[3];
  struct value pairs = *sums, out;
  fusion_status status;
  for (size_t k = 0; k < q->pairs; k++) {
    scale[k] = -q->a[k];
    bias[k] = -q->b[k];
  }
  TRY(call_added(c, graph_add_affine(c->im->g, sums->node, scale, bias, &pairs.node)));
  TRY(value_activation(c, &pairs, (struct activation_use){ACTIVATION_SIGMOID, 1, 1, 0, 0}, &pairs));
  TRY(value_couple(c, &pairs, &out));
  out.dims.d[out.dims.rank - 1] = (uint32_t)q->classes;
  TRY(call_set(c, 1, &out));
cleanup:
  return status;
}

/* Files have a score a pair. Where these are the answer, the classes' votes take their place. */
static fusion_status more_classes(struct call *c, struct classifier *q, struct value x) {
  const bool answer = is_answer(c->im, c->node->output[1], 0);
  const bool label = call_uses_output(c, 0) && importer_needs(c->im, c->node->output[0]);
  struct value votes;
  fusion_status status;
  TRY(sums_open(c, &q->sums, q->pairs, q->m.supports));
  set_pairs(q);
  TRY(add_sums(c, &q->m, &q->sums, &x));
  const bool probabilities = q->a != NULL;
  if ((answer && !probabilities) || label) TRY(add_votes(c, q, &x, &votes));
  if (label) TRY(ml_classifier_label(c, votes));
  if (probabilities) return set_probabilities(c, q, &x);
  if (answer)
    snprintf(c->im->g->note, sizeof c->im->g->note,
             "answers are each class's votes by the %zu pairs of classes, instead of a score a pair", q->pairs);
  TRY(answer ? call_set(c, 1, &votes) : set_scores(c, x));
cleanup:
  return status;
}

fusion_status op_svm_classifier(struct call *c) {
  struct classifier q = {0};
  const struct value x = *c->in[0];
  fusion_status status;
  if (c->node->n_output < 2) return call_malformed(c, "lacks an output");
  TRY(take_classifier(c, &q));
  TRY(ml_take_labels(c, "classlabels_ints", "classlabels_strings", q.classes));
  status = !q.m.supports ? features_alone(c, &q, x) : q.classes == 2 ? two_classes(c, &q, x) : more_classes(c, &q, x);
cleanup:
  sums_close(&q.sums);
  return status;
}
