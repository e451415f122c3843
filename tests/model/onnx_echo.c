/* Runs a network in floats: what onnx_oracle_test.py drives. usage: onnx_echo MODEL.onnx IN.npy OUT.npy */
#include <stdio.h>

#include <fusion/array.h>

#include "onnx/onnx.h"

static fusion_status echo(const char *model, const char *in, const char *out, fusion_error *err) {
  struct graph *g = NULL;
  fusion_array *x = NULL, *y = NULL;
  fusion_status status;
  TRY(graph_from_onnx(&g, model, err));
  TRY(fusion_array_load(&x, in, err));
  const size_t shape[2] = {fusion_array_rows(x), shape_size(g->nodes[g->count - 1].shape)};
  FAIL_IF(fusion_array_row_size(x) != shape_size(g->nodes[0].shape), FUSION_E_USAGE);
  TRY(fusion_array_create(&y, FUSION_F32, 2, shape, NULL));
  TRY(graph_run(g, fusion_array_data(x), shape[0], fusion_array_data_mutable(y), NULL, NULL));
  TRY(fusion_array_save_npy(y, out, err));
cleanup:
  graph_free(g);
  fusion_array_free(x);
  fusion_array_free(y);
  return status;
}

int main(int argc, char **argv) {
  fusion_error err = {.status = FUSION_OK};
  if (argc != 4) return 2;
  const fusion_status status = echo(argv[1], argv[2], argv[3], &err);
  if (status != FUSION_OK) fprintf(stderr, "%s\n", err.text);
  return status == FUSION_OK ? 0 : 1;
}
