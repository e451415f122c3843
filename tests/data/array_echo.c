/* Loads an array and saves it as .npy: what numpy_test.py drives. usage: array_echo IN OUT.npy */
#include <stdio.h>

#include <fusion/array.h>

int main(int argc, char **argv) {
  fusion_array *a = NULL;
  fusion_error err = {.status = FUSION_OK};
  if (argc != 3) return 2;
  fusion_status status = fusion_array_load(&a, argv[1], &err);
  if (status == FUSION_OK) status = fusion_array_save_npy(a, argv[2], &err);
  fusion_array_free(a);
  if (status != FUSION_OK) fprintf(stderr, "%s\n", err.text);
  return status == FUSION_OK ? 0 : 1;
}
