#include "gates/matmul.h"

#include "gates/product_cot.h"

enum { CHUNK_ELEMENTS = 1 << 20 /* of the largest matrix, over the samples that go together */ };

/* A few samples' worth, and everything that one party holds. */
struct work {
  const struct matmul *q;
  struct party *p;
  size_t samples; /* of a chunk */
  /* Taken from the heap: */
  uint64_t *left;                        /* A, transposed: [groups][depth][rows] */
  uint64_t *right;                       /* B: [groups][depth][columns] */
  uint64_t *cross;                       /* a cross term */
  size_t left_len, right_len, cross_len; /* elements */
};

static struct work work_of(const struct matmul *q, struct party *p, size_t samples) {
  const struct matrix_product *m = &q->product;
  const size_t left = matrix_product_left(m), right = matrix_product_right(m), size = matrix_product_size(m);
  const size_t most = size_max(1, CHUNK_ELEMENTS / size_max(size_max(left, right), size));
  struct work w = {.q = q, .p = p, .samples = size_min(samples, most)};
  w.left_len = w.samples * left;
  w.right_len = w.samples * right;
  w.cross_len = w.samples * size;
  return w;
}

static fusion_status work_open(struct work *w) {
  w->left = heap_take(w->p->heap, w->left_len, sizeof *w->left);
  w->right = heap_take(w->p->heap, w->right_len, sizeof *w->right);
  w->cross = heap_take(w->p->heap, w->cross_len, sizeof *w->cross);
  return w->left && w->right && w->cross ? FUSION_OK : FUSION_E_MEMORY;
}

static void work_close(const struct work *w) {
  heap_give(w->p->heap, w->left, w->left_len * sizeof *w->left);
  heap_give(w->p->heap, w->right, w->right_len * sizeof *w->right);
  heap_give(w->p->heap, w->cross, w->cross_len * sizeof *w->cross);
}

/* The layer whose weights are one party's matrices, a group for each channel of each sample, and whose input are the
 * other's: outs x depth times depth x columns. */
static struct layer_shape layer_of(const struct work *w, size_t samples, uint32_t outs, uint32_t columns) {
  const uint32_t groups = w->q->product.channels * (uint32_t)samples;
  return (struct layer_shape){.in_channels = groups * w->q->product.depth,
                              .in_h = 1,
                              .in_w = columns,
                              .out_channels = groups * outs,
                              .out_h = 1,
                              .out_w = columns,
                              .groups = groups,
                              .kernel_h = 1,
                              .kernel_w = 1,
                              .stride_h = 1,
                              .stride_w = 1,
                              .dilation_h = 1,
                              .dilation_w = 1,
                              .ring_bits = w->q->ring_bits,
                              .weight_bits = w->q->ring_bits};
}
/* A_S * B_C, [groups][rows][columns]. */
static struct layer_shape left_layer(const struct work *w, size_t samples) {
  return layer_of(w, samples, w->q->product.rows, w->q->product.columns);
}
/* The transpose of A_C * B_S, [groups][columns][rows]. */
static struct layer_shape right_layer(const struct work *w, size_t samples) {
  return layer_of(w, samples, w->q->product.columns, w->q->product.rows);
}

/* Both orders are those in which product_cot_words() takes words, too. */
static void arrange(const struct work *w, const uint64_t *a, const uint64_t *b, size_t samples) {
  const struct matrix_product *m = &w->q->product;
  uint64_t *left = w->left, *right = w->right;
  for (size_t g = 0; g < samples * m->channels; g++) {
    for (size_t j = 0; j < m->depth; j++) {
      for (size_t i = 0; i < m->rows; i++) *left++ = a[i * m->depth + j];
      for (size_t c = 0; c < m->columns; c++) *right++ = b[matrix_product_place(m, j, c)];
    }
    a += (size_t)m->rows * m->depth;
    b += (size_t)m->depth * m->columns;
  }
}

static void add_transposed(const struct work *w, uint64_t *y, size_t samples) {
  const struct matrix_product *m = &w->q->product;
  const uint64_t *from = w->cross;
  for (size_t g = 0; g < samples * m->channels; g++, y += (size_t)m->rows * m->columns)
    for (size_t c = 0; c < m->columns; c++)
      for (size_t i = 0; i < m->rows; i++) y[i * m->columns + c] += *from++;
}

static fusion_status cross_term(const struct work *w, const struct layer_shape *layer, const uint64_t *words,
                                const uint64_t *x) {
  if (w->p->role == ROLE_SERVER) return product_cot_words(w->p, layer, words, w->cross, 1);
  return product_cot_client(w->p, layer, x, w->cross, 1);
}

static fusion_status run_chunk(const struct work *w, const uint64_t *a, const uint64_t *b, uint64_t *y,
                               size_t samples) {
  fusion_status status = FUSION_OK;
  const struct matrix_product *m = &w->q->product;
  const size_t left = matrix_product_left(m), right = matrix_product_right(m), size = matrix_product_size(m);
  const struct layer_shape first = left_layer(w, samples), second = right_layer(w, samples);
  for (size_t s = 0; s < samples; s++) matrix_product_run(m, a + s * left, b + s * right, y + s * size);
  arrange(w, a, b, samples);
  TRY(cross_term(w, &first, w->left, w->right));
  for (size_t i = 0; i < samples * size; i++) y[i] += w->cross[i];
  TRY(cross_term(w, &second, w->right, w->left));
  add_transposed(w, y, samples);
  for (size_t i = 0; i < samples * size; i++) y[i] &= low_mask(w->q->ring_bits);
cleanup:
  return status;
}

fusion_status matmul(struct party *p, const struct matmul *q, const uint64_t *a, const uint64_t *b, uint64_t *y,
                     size_t samples) {
  if (q->ring_bits < 2 || q->ring_bits > 62) return FUSION_E_INTERNAL;
  if (!samples) return FUSION_OK;
  fusion_status status;
  const struct matrix_product *m = &q->product;
  const size_t left = matrix_product_left(m), right = matrix_product_right(m), size = matrix_product_size(m);
  struct work w = work_of(q, p, samples);
  TRY(work_open(&w));
  for (size_t done = 0; done < samples; done += w.samples)
    TRY(run_chunk(&w, a + done * left, b + done * right, y + done * size, size_min(w.samples, samples - done)));
cleanup:
  work_close(&w);
  return status;
}

void matmul_cost(struct cost *cost, const struct matmul *q, size_t samples) {
  if (!samples) return;
  const struct work w = work_of(q, NULL, samples);
  for (size_t done = 0; done < samples; done += w.samples) {
    const size_t n = size_min(w.samples, samples - done);
    const struct layer_shape first = left_layer(&w, n), second = right_layer(&w, n);
    product_cot_cost(cost, &first, 1);
    product_cot_cost(cost, &second, 1);
  }
}

size_t matmul_memory(const struct matmul *q, enum role role, size_t samples) {
  const struct work w = work_of(q, NULL, size_max(1, samples));
  const struct layer_shape first = left_layer(&w, w.samples), second = right_layer(&w, w.samples);
  const size_t products = size_max(product_cot_memory(&first, role, 1), product_cot_memory(&second, role, 1));
  return (w.left_len + w.right_len + w.cross_len) * sizeof(uint64_t) + products;
}
