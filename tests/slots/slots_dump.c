/* Prints, as lines of JSON, what spec/slots_model.py compares with its own: transforms and rotations of a toy ring,
 * slot positions, and how layers lie in slots. */
#include <stdio.h>

#include "slots/slots_layout.h"

static void print_words(const char *name, const uint64_t *words, size_t count) {
  printf("\"%s\": [", name);
  for (size_t i = 0; i < count; i++) printf("%s%llu", i ? ", " : "", (unsigned long long)words[i]);
  printf("]");
}

static int print_transform(uint64_t p) {
  enum { LOG = 4, N = 1 << LOG };
  struct slots_table t;
  uint64_t a[N];
  if (slots_table_make(&t, LOG, p) != FUSION_OK) return 1;
  for (size_t i = 0; i < N; i++) a[i] = (i * i * 7 + 3 * i + 1) % p;
  printf("{\"kind\": \"transform\", \"p\": %llu, ", (unsigned long long)p);
  print_words("in", a, N);
  slots_forward_c(a, &t);
  printf(", ");
  print_words("out", a, N);
  printf("}\n");
  slots_table_free(&t);
  return 0;
}

static int print_positions(void) {
  struct slots_plain *plain;
  if (slots_plain_open(&plain, 20) != FUSION_OK) return 1;
  const int64_t steps[] = {1, -1, 5, 1024, 4095};
  printf("{\"kind\": \"positions\", \"p\": %llu, \"position\": [", (unsigned long long)plain->table.m.p);
  for (size_t i = 0; i < SLOTS_N; i++) printf("%s%u", i ? ", " : "", plain->position[i]);
  printf("], \"elements\": [");
  for (size_t i = 0; i < 5; i++)
    printf("%s[%lld, %u]", i ? ", " : "", (long long)steps[i], slots_rotation_element(steps[i]));
  printf("]}\n");
  slots_plain_close(plain);
  return 0;
}

static void print_axis(const char *name, const struct slots_axis *a) {
  printf(", \"%s\": {\"in\": %zu, \"out\": %zu, \"stride\": %zu, \"phase\": [", name, a->in, a->out, a->stride);
  for (size_t i = 0; i < a->phases; i++) printf("%s%u", i ? ", " : "", a->phase[i]);
  printf("], \"offset\": [");
  for (size_t i = 0; i < a->offsets; i++) printf("%s%d", i ? ", " : "", a->offset[i]);
  printf("], \"tap\": [");
  for (size_t i = 0; i < a->phases * a->offsets; i++) printf("%s%d", i ? ", " : "", (int)a->tap[i]);
  printf("]}");
}

static int print_layer(const struct layer_shape *r, size_t samples) {
  struct slots_layout l;
  const char *why;
  if (slots_layout_make(&l, r, samples, &why) != FUSION_OK) return 1;
  printf("{\"kind\": \"layer\", \"in\": [%u, %u, %u], \"out\": [%u, %u, %u], \"groups\": %u, \"kernel\": [%u, %u], ",
         r->in_channels, r->in_h, r->in_w, r->out_channels, r->out_h, r->out_w, r->groups, r->kernel_h, r->kernel_w);
  printf("\"stride\": [%u, %u], \"pad\": [%u, %u], \"dilation\": [%u, %u], \"samples\": %zu, ", r->stride_h,
         r->stride_w, r->pad_top, r->pad_left, r->dilation_h, r->dilation_w, samples);
  printf("\"grid\": [%zu, %zu], \"bands\": %zu, \"band_rows\": %zu, \"first_row\": %lld, \"together\": %zu, ", l.grid_h,
         l.grid_w, l.bands, l.band_rows, (long long)l.first_row, l.together);
  printf("\"tiles\": %zu, \"block\": %zu, \"inputs\": %zu, \"outputs\": %zu, \"period\": %zu, \"diagonals\": %zu, ",
         l.tiles, l.block, l.inputs, l.outputs, l.period, l.diagonals);
  printf("\"babies\": %zu, \"swaps\": %zu, \"folded\": %d, \"copies\": %zu", l.babies, l.swaps, l.folded, l.copies);
  print_axis("y", &l.y);
  print_axis("x", &l.x);
  printf("}\n");
  slots_layout_free(&l);
  return 0;
}

int main(void) {
  static const struct {
    struct layer_shape layer;
    size_t samples;
  } layers[] = {
      {{784, 1, 1, 128, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 20, 5}, 1},
      {{128, 1, 1, 10, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 20, 5}, 1},
      {{20, 1, 1, 7, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 20, 5}, 130},
      {{40, 1, 1, 5000, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 20, 5}, 1},
      {{3, 9, 8, 6, 9, 8, 3, 3, 3, 1, 1, 1, 1, 1, 1, 20, 5}, 4},
      {{6, 5, 4, 8, 3, 2, 1, 3, 3, 2, 2, 1, 1, 1, 1, 20, 5}, 40},
      {{64, 8, 8, 64, 8, 8, 1, 3, 3, 1, 1, 1, 1, 1, 1, 20, 5}, 1},
      {{3, 150, 150, 4, 75, 75, 1, 7, 7, 2, 2, 3, 3, 1, 1, 18, 6}, 1},
      {{6, 4, 3, 10, 1, 1, 1, 4, 3, 1, 1, 0, 0, 1, 1, 20, 8}, 9},
      {{2, 20, 20, 3, 16, 14, 1, 3, 3, 1, 1, 0, 0, 2, 3, 18, 5}, 1},
  };
  int failed = print_transform(97) | print_transform(193) | print_positions();
  for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
    failed |= print_layer(&layers[i].layer, layers[i].samples);
  return failed;
}
