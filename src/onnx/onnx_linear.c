/* Layers with weights. Each becomes a LINEAR node; biases that come as separate constants become AFFINE nodes, which
 * the simplification folds. */
#include <math.h>

#include "onnx/onnx_ops.h"

enum { BLOCK = 32 };

/* rows x cols of `t` as floats, transposed when asked (block by block, for the cache). NULL when out of memory. */
static float *matrix_copy(const struct tensor *t, size_t rows, size_t cols, bool transposed) {
  float *out = mem_alloc(rows * cols, sizeof *out);
  if (!out) return NULL;
  if (t->f && !transposed) {
    memcpy(out, t->f, rows * cols * sizeof *out);
    return out;
  }
  for (size_t r0 = 0; r0 < rows; r0 += BLOCK) {
    for (size_t k0 = 0; k0 < cols; k0 += BLOCK) {
      for (size_t r = r0; r < size_min(r0 + BLOCK, rows); r++) {
        for (size_t k = k0; k < size_min(k0 + BLOCK, cols); k++)
          out[transposed ? k * rows + r : r * cols + k] = (float)tensor_get(t, r * cols + k);
      }
    }
  }
  return out;
}

/* The same of a constant input, whose own array it may be: large weights that nothing else reads are not copied. */
static float *matrix_of(const struct call *c, size_t input, size_t rows, size_t cols, bool transposed) {
  struct tensor *t = c->in[input]->constant;
  const bool last = importer_uses(c->im, c->in[input]->name) == 1 && t->f;
  float *out = last && !transposed ? t->f : matrix_copy(t, rows, cols, transposed);
  if (!last || !out) return out;
  if (transposed) mem_free(t->f);
  t->f = NULL;
  return out;
}

/* A LINEAR node that takes the weights over, also when it fails. */
static fusion_status linear_node(struct call *c, float *weights, struct graph_linear_spec *spec, uint32_t *node) {
  spec->taken = weights;
  const fusion_status status = call_added(c, graph_add_linear(c->im->g, spec, node));
  if (status != FUSION_OK) mem_free(weights);
  if (status == FUSION_OK) call_name_node(c, *node);
  return status;
}

/* x [.., rows, in] times weights [out][in] along the last dimension; the weights are taken over. */
static fusion_status last_axis(struct call *c, const struct value *x, float *weights, uint32_t out,
                               struct value *result) {
  struct value v = *x;
  const uint32_t rank = x->dims.rank, in = x->dims.d[rank - 1];
  const uint32_t rows = (uint32_t)dims_span(&x->dims, 0, rank - 1);
  struct graph_linear_spec spec = {.out_channels = out, .groups = 1, .window = window_make(1, 1, 1)};
  fusion_status status;
  if (rows > 1) {
    struct value flat = *x, turned;
    flat.dims = (struct dims){3, {1, rows, in}};
    flat.batched = false;
    TRY(value_transpose(c, &flat, (const uint32_t[]){0, 2, 1}, &turned));
    v.node = turned.node;
  }
  TRY(value_view(c, &v, (struct shape){in, 1, rows}, &spec.input));
  float *const handed = weights;
  weights = NULL;
  TRY(linear_node(c, handed, &spec, &v.node));
  if (rows > 1) {
    struct value turned = v, back;
    turned.dims = (struct dims){3, {1, out, rows}};
    turned.batched = false;
    TRY(value_transpose(c, &turned, (const uint32_t[]){0, 2, 1}, &back));
    v.node = back.node;
  }
  v.dims.d[rank - 1] = out;
  *result = v;
cleanup:
  mem_free(weights);
  return status;
}

/* Weights given by input 1 as [in][out], or [out][in] when `transposed`. */
static fusion_status times_matrix(struct call *c, const struct value *x, bool transposed, struct value *result) {
  const struct tensor *w = c->in[1]->constant;
  const uint32_t rank = w->dims.rank, rows = w->dims.d[rank - 2], cols = w->dims.d[rank - 1];
  const uint32_t in = transposed ? cols : rows, out = transposed ? rows : cols;
  if (x->dims.rank == 0 || x->dims.d[x->dims.rank - 1] != in || out == 0)
    return call_malformed(c, "has a matrix that does not fit its input");
  if (x->dims.rank == 1 && x->batched)
    return call_refuse(c, "add a feature dimension", "works across the batch dimension");
  float *weights = matrix_of(c, 1, rows, cols, !transposed);
  return weights ? last_axis(c, x, weights, out, result) : call_out_of_memory(c);
}

/* scale * v for either kind; a constant result is owned. */
static fusion_status scaled(struct call *c, const struct value *v, double scale, struct value *out) {
  if (!v->constant) return value_scale(c, v, scale, 0, out);
  float s = (float)scale;
  *out = (struct value){0};
  return fold_binary(c, "Mul", v->constant, &(struct tensor){.f = &s}, &out->constant);
}

static bool is_one(double v) {
  return v >= 1 && v <= 1;
}

fusion_status value_times_constant(struct call *c, const struct value *x, const struct tensor *w, struct value *out) {
  const uint32_t in = x->dims.d[x->dims.rank - 1], outs = (uint32_t)(dims_size(&w->dims) / in);
  float *weights = matrix_copy(w, in, outs, true);
  return weights ? last_axis(c, x, weights, outs, out) : call_out_of_memory(c);
}

/* Gemm's second factor is an activation. */
static fusion_status times_activation(struct call *c, const struct value *x, struct value *result) {
  struct value b = *c->in[1];
  fusion_status status = FUSION_OK;
  if (attr_int(c, "transB", 0)) status = value_transpose(c, c->in[1], (const uint32_t[]){1, 0}, &b);
  return status == FUSION_OK ? value_matmul(c, x, &b, result) : status;
}

fusion_status op_gemm(struct call *c) {
  struct value x = *c->in[0], y, scaled_c = {0};
  const struct tensor *w = call_constant(c, 1);
  const double alpha = attr_float(c, "alpha", 1), beta = attr_float(c, "beta", 1);
  fusion_status status = FUSION_OK;
  if (x.constant) return call_refuse(c, "swap the factors", "multiplies a constant by an activation");
  if (x.dims.rank != 2 || value_dims(c->in[1])->rank != 2)
    return call_malformed(c, "has operands that are not matrices");
  if (attr_int(c, "transA", 0)) TRY(value_transpose(c, c->in[0], (const uint32_t[]){1, 0}, &x));
  TRY(w ? times_matrix(c, &x, attr_int(c, "transB", 0) != 0, &y) : times_activation(c, &x, &y));
  if (!is_one(alpha)) TRY(value_scale(c, &y, alpha, 0, &y));
  const struct value *bias = call_input(c, 2);
  if (bias && !is_one(beta)) {
    TRY(scaled(c, bias, beta, &scaled_c));
    bias = &scaled_c;
  }
  if (bias) TRY(value_binary(c, '+', &y, bias, &y));
  TRY(call_set(c, 0, &y));
cleanup:
  tensor_free(scaled_c.constant);
  return status;
}

/* Constant [out][in] times x [1.., in, columns]. */
static fusion_status constant_left(struct call *c, const struct tensor *w, const struct value *x) {
  const uint32_t rank = x->dims.rank;
  if (w->dims.rank != 2 || rank < 2 || dims_span(&x->dims, 0, rank - 2) != 1 || (rank == 2 && x->batched))
    return call_refuse(c, "multiply by one constant matrix", "multiplies matrices of these ranks");
  const uint32_t out = w->dims.d[0], in = w->dims.d[1], columns = x->dims.d[rank - 1];
  if (x->dims.d[rank - 2] != in) return call_malformed(c, "has a matrix that does not fit its input");
  struct graph_linear_spec spec = {.out_channels = out, .groups = 1, .window = window_make(1, 1, 1)};
  struct value y = *x;
  fusion_status status = value_view(c, x, (struct shape){in, 1, columns}, &spec.input);
  if (status != FUSION_OK) return status;
  float *weights = matrix_of(c, 0, out, in, false);
  status = weights ? linear_node(c, weights, &spec, &y.node) : call_out_of_memory(c);
  if (status != FUSION_OK) return status;
  y.dims.d[rank - 2] = out;
  return call_set(c, 0, &y);
}

/* A constant of rows times a constant matrix, as in the first step of an unrolled loop. */
static fusion_status multiply_constants(struct call *c, const struct tensor *a, const struct tensor *w) {
  enum { PRODUCTS_MOST = 1 << 28 };
  const uint32_t rank = a->dims.rank, inner = rank ? a->dims.d[rank - 1] : 0;
  const size_t rows = rank ? dims_span(&a->dims, 0, rank - 1) : 0;
  if (!a->f || !w->f || rank < 2 || w->dims.rank != 2 || w->dims.d[0] != inner ||
      (uint64_t)dims_size(&a->dims) * w->dims.d[1] > PRODUCTS_MOST)
    return call_refuse(c, "simplify the model before export", "multiplies two constants");
  struct dims dims = a->dims;
  dims.d[rank - 1] = w->dims.d[1];
  struct tensor *out = tensor_alloc(&dims, a->type);
  if (!out) return call_out_of_memory(c);
  for (size_t i = 0; i < rows * w->dims.d[1]; i++) {
    const size_t row = i / w->dims.d[1], column = i % w->dims.d[1];
    double sum = 0;
    for (size_t k = 0; k < inner; k++) sum += (double)a->f[row * inner + k] * (double)w->f[k * w->dims.d[1] + column];
    tensor_set(out, i, sum);
  }
  return call_set_constant(c, 0, out);
}

fusion_status op_matmul(struct call *c) {
  const struct value *x = c->in[0];
  const struct tensor *w = call_constant(c, 1);
  if (x->constant && !w) return constant_left(c, x->constant, c->in[1]);
  struct value y;
  fusion_status status;
  if (!w) {
    status = value_matmul(c, x, c->in[1], &y);
    return status == FUSION_OK ? call_set(c, 0, &y) : status;
  }
  if (x->constant) return multiply_constants(c, x->constant, w);
  if (w->dims.rank < 2 || dims_span(&w->dims, 0, w->dims.rank - 2) != 1 || w->dims.rank > size_max(2, x->dims.rank))
    return call_refuse(c, "multiply by one constant matrix", "multiplies matrices of these ranks");
  status = times_matrix(c, x, false, &y);
  return status == FUSION_OK ? call_set(c, 0, &y) : status;
}

/* Kernel size from the weights [out][in/groups][..]. */
static fusion_status conv_kernel(const struct call *c, const struct tensor *w, uint32_t rank, uint32_t kernel[2]) {
  const int64_t *given;
  const size_t count = attr_ints(c, "kernel_shape", &given);
  if (w->dims.rank != rank || dims_size(&w->dims) == 0)
    return call_malformed(c, "has weights that do not fit its input");
  kernel[0] = rank == 4 ? w->dims.d[2] : 1;
  kernel[1] = w->dims.d[rank - 1];
  for (size_t i = 0; i < count; i++) {
    if (count != rank - 2 || given[i] != w->dims.d[2 + i])
      return call_malformed(c, "has a 'kernel_shape' that differs from its weights'");
  }
  return FUSION_OK;
}

static fusion_status conv_node(struct call *c, const struct tensor *b, struct graph_linear_spec *spec) {
  const struct tensor *w = c->in[1]->constant;
  float *bias = b ? matrix_copy(b, 1, w->dims.d[0], false) : NULL;
  float *weights = b && !bias ? NULL : matrix_of(c, 1, w->dims.d[0], dims_span(&w->dims, 1, w->dims.rank), false);
  spec->bias = bias;
  const fusion_status status = weights ? linear_node(c, weights, spec, &spec->input) : call_out_of_memory(c);
  mem_free(bias);
  return status;
}

fusion_status op_conv(struct call *c) {
  struct value x = *c->in[0];
  const struct tensor *w = call_constant(c, 1), *b = call_constant(c, 2);
  const int64_t groups = attr_int(c, "group", 1);
  struct shape in;
  uint32_t kernel[2], overhang[2], node;
  fusion_status status;
  if (x.constant || !w || (call_input(c, 2) && !b))
    return call_refuse(c, "use constant weights and bias", "has weights that depend on the input");
  TRY(call_spatial(c, &x, &in));
  TRY(conv_kernel(c, w, x.dims.rank, kernel));
  const uint32_t out = w->dims.d[0];
  if (groups < 1 || groups > in.channels || (uint64_t)w->dims.d[1] * (uint64_t)groups != in.channels ||
      (b && dims_size(&b->dims) != out))
    return call_malformed(c, "has groups, weights or bias that do not fit its input");
  struct graph_linear_spec spec = {.out_channels = out, .groups = (uint32_t)groups};
  TRY(call_window(c, &x, kernel, &spec.window, overhang));
  TRY(value_view(c, &x, in, &node));
  spec.input = node;
  TRY(conv_node(c, b, &spec));
  const struct shape s = c->im->g->nodes[spec.input].shape;
  x.node = spec.input;
  x.dims.d[1] = s.channels;
  if (x.dims.rank == 4) x.dims.d[2] = s.height;
  x.dims.d[x.dims.rank - 1] = s.width;
  TRY(call_set(c, 0, &x));
cleanup:
  return status;
}

fusion_status op_batch_norm(struct call *c) {
  struct value x = *c->in[0];
  const double epsilon = attr_float(c, "epsilon", 1e-5);
  const uint32_t channels = x.dims.rank >= 2 ? x.dims.d[1] : 0;
  const struct tensor *p[4]; /* scale, bias, mean, variance */
  const bool training = attr_int(c, "training_mode", 0) || (c->im->opset < 7 && !attr_int(c, "is_test", 0));
  if (training || call_uses_output(c, 1))
    return call_refuse(c, "export the model in evaluation mode", "is in training mode");
  if (attr_int(c, "spatial", 1) == 0) return call_refuse(c, "normalise per channel", "normalises per element");
  for (size_t i = 0; i < 4; i++) {
    p[i] = call_constant(c, i + 1);
    if (!p[i] || x.constant)
      return call_refuse(c, "use constant statistics", "has statistics that depend on the input");
    if (dims_size(&p[i]->dims) != channels || x.dims.d[0] != 1)
      return call_malformed(c, "has statistics of another size");
  }
  struct shape shape = dims_shape(&x.dims);
  if (shape.channels != channels) shape = (struct shape){channels, 1, (uint32_t)dims_span(&x.dims, 2, x.dims.rank)};
  float *scale = mem_alloc(channels, sizeof *scale), *bias = mem_alloc(channels, sizeof *bias);
  fusion_status status = scale && bias ? value_view(c, &x, shape, &x.node) : call_out_of_memory(c);
  for (size_t i = 0; i < channels && status == FUSION_OK; i++) {
    const double s = tensor_get(p[0], i) / sqrt(tensor_get(p[3], i) + epsilon);
    scale[i] = (float)s;
    bias[i] = (float)(tensor_get(p[1], i) - s * tensor_get(p[2], i));
  }
  if (status == FUSION_OK) status = call_added(c, graph_add_affine(c->im->g, x.node, scale, bias, &x.node));
  mem_free(scale);
  mem_free(bias);
  if (status != FUSION_OK) return status;
  call_name_node(c, x.node);
  return call_set(c, 0, &x);
}
