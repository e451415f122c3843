/* Pairwise coupling: probabilities of three classes from those of each pair (Wu, Lin and Weng, JMLR 5, 2004,
 * section 4.2).
 *
 *  r_ij is how probable class i is if it is i or j. The probabilities minimise sum (r_ji p_i - r_ij p_j)^2 over all
 * pairs, which is p' Q p with Q_ii = sum r_ji^2 over j, Q_ij = -r_ji r_ij. So they are in the proportions of the sums
 * of the rows of Q's adjugate: polynomials of r, whose sum lies between 1.5 and 3, so that a division costs no
 * precision. libsvm and ONNX Runtime iterate instead, and stop at half a percent. */
#include "onnx/onnx_ops.h"

enum { CLASSES = 3, POWERS = 2 * CLASSES, ENTRIES = 6, PRODUCTS = 12 };

/* Entries of Q: 11, 22, 33, 12, 13, 23, of r_12, r_13, r_23 and their squares. */
static const float entry_weights[ENTRIES][POWERS] = {{-2, -2, 0, 1, 1, 0}, {0, 0, -2, 1, 0, 1}, {0, 0, 0, 0, 1, 1},
                                                     {-1, 0, 0, 1, 0, 0},  {0, -1, 0, 0, 1, 0}, {0, 0, -1, 0, 0, 1}};
static const float entry_bias[ENTRIES] = {2, 1, 0, 0, 0, 0};

enum entry { Q11, Q22, Q33, Q12, Q13, Q23 };

/* The products that cofactors are made of, with their signs in those: 11, 22, 33, 12, 13, 23. */
static const struct {
  enum entry left, right;
  int cofactor;
  float sign;
} products[PRODUCTS] = {{Q22, Q33, Q11, 1}, {Q23, Q23, Q11, -1}, {Q11, Q33, Q22, 1}, {Q13, Q13, Q22, -1},
                        {Q11, Q22, Q33, 1}, {Q12, Q12, Q33, -1}, {Q13, Q23, Q12, 1}, {Q12, Q33, Q12, -1},
                        {Q12, Q23, Q13, 1}, {Q13, Q22, Q13, -1}, {Q12, Q13, Q23, 1}, {Q11, Q23, Q23, -1}};

/* Whether cofactor `c` stands in row i. */
static bool in_row(int c, int i) {
  static const bool rows[ENTRIES][CLASSES] = {{true, false, false}, {false, true, false}, {false, false, true},
                                              {true, true, false},  {true, false, true},  {false, true, true}};
  return rows[c][i];
}

static fusion_status dense(struct call *c, uint32_t from, uint32_t rows, const float *w, const float *b, uint32_t *to) {
  const fusion_status status = call_added(c, graph_add_dense(c->im->g, from, rows, w, b, to));
  if (status == FUSION_OK) call_name_node(c, *to);
  return status;
}

/* r and its squares in one row. */
static fusion_status add_powers(struct call *c, uint32_t r, uint32_t *to) {
  struct gather_source sources[POWERS];
  uint32_t both[2] = {r, 0};
  for (uint32_t i = 0; i < POWERS; i++) sources[i] = (struct gather_source){i / CLASSES, i % CLASSES};
  fusion_status status = call_added(c, graph_add_binary(c->im->g, GRAPH_MUL, r, r, &both[1]));
  if (status != FUSION_OK) return status;
  const struct graph_gather_spec spec = {
      .name = "powers", .inputs = both, .input_count = 2, .shape = {POWERS, 1, 1}, .sources = sources};
  return call_added(c, graph_add_gather(c->im->g, &spec, to));
}

/* One factor of every product. */
static fusion_status add_factor(struct call *c, uint32_t powers, bool right, uint32_t *to) {
  float w[PRODUCTS][POWERS], b[PRODUCTS];
  for (int k = 0; k < PRODUCTS; k++) {
    const enum entry e = right ? products[k].right : products[k].left;
    memcpy(w[k], entry_weights[e], sizeof w[k]);
    b[k] = entry_bias[e];
  }
  return dense(c, powers, PRODUCTS, w[0], b, to);
}

fusion_status value_couple(struct call *c, const struct value *pairs, struct value *out) {
  struct value rows = *pairs, sum = *pairs;
  uint32_t powers, left, right;
  float w[CLASSES][PRODUCTS], all[PRODUCTS] = {0};
  fusion_status status;
  for (int i = 0; i < CLASSES; i++)
    for (int k = 0; k < PRODUCTS; k++) {
      w[i][k] = in_row(products[k].cofactor, i) ? products[k].sign : 0;
      all[k] += w[i][k];
    }
  TRY(add_powers(c, pairs->node, &powers));
  TRY(add_factor(c, powers, false, &left));
  TRY(add_factor(c, powers, true, &right));
  TRY(call_added(c, graph_add_binary(c->im->g, GRAPH_MUL, left, right, &left)));
  TRY(dense(c, left, CLASSES, w[0], NULL, &rows.node));
  TRY(dense(c, left, 1, all, NULL, &sum.node));
  sum.dims.d[sum.dims.rank - 1] = 1;
  TRY(value_binary(c, '/', &rows, &sum, out));
cleanup:
  return status;
}
