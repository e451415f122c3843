/** Resizing in two passes, each a weighted sum of neighbours whose weights are a filter stretched by the reduction.
 *
 *  Users' networks were trained on what Pillow makes (torchvision's Resize is it), so the numbers are Pillow's: 8 bits
 *  between the passes, horizontal first; weights normalised in double, then rounded to 22 bits. */
#include <math.h>

#include "data/image.h"

enum { WEIGHT_BITS = 32 - 8 - 2 }; /* 8-bit pixels times weights, with room for the overshoot of negative lobes */

/** The weights of one axis: output i is the sum over k < count[i] of weights[i * taps + k] * input[first[i] + k]. */
struct axis {
  size_t taps, *first, *count;
  int32_t *weights;
};

static double bilinear(double x) {
  x = fabs(x);
  return x < 1 ? 1 - x : 0;
}

/** Keys' cubic convolution with a = -1/2. */
static double bicubic(double x) {
  const double a = -0.5;
  x = fabs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static const struct {
  double (*weight)(double x);
  double support;
} filters[] = {[FUSION_FILTER_BILINEAR] = {bilinear, 1}, [FUSION_FILTER_BICUBIC] = {bicubic, 2}};

static void axis_free(struct axis *a) {
  mem_free(a->first);
  mem_free(a->count);
  mem_free(a->weights);
}

static void fill_output(struct axis *a, size_t i, size_t from, double scale, fusion_filter filter, double *work) {
  const double stretch = fmax(scale, 1), support = filters[filter].support * stretch;
  const double centre = ((double)i + 0.5) * scale;
  const double low = centre - support + 0.5, high = centre + support + 0.5;
  const size_t first = low < 0 ? 0 : (size_t)low, end = high > (double)from ? from : (size_t)high;
  double sum = 0;
  a->first[i] = first;
  a->count[i] = end - first;
  for (size_t k = 0; k < end - first; k++) {
    work[k] = filters[filter].weight(((double)(first + k) - centre + 0.5) / stretch);
    sum += work[k];
  }
  for (size_t k = 0; k < end - first; k++) {
    const double weight = (sum != 0 ? work[k] / sum : work[k]) * (1 << WEIGHT_BITS);
    a->weights[i * a->taps + k] = (int32_t)(weight < 0 ? weight - 0.5 : weight + 0.5);
  }
}

static fusion_status axis_fill(struct axis *a, size_t from, size_t to, fusion_filter filter) {
  const double scale = (double)from / (double)to;
  *a = (struct axis){.taps = 2 * (size_t)ceil(filters[filter].support * fmax(scale, 1)) + 1};
  size_t len;
  fusion_status status = FUSION_OK;
  double *work = mem_alloc(a->taps, sizeof *work);
  FAIL_IF(!size_mul(to, a->taps, &len), FUSION_E_MEMORY);
  a->first = mem_alloc(to, sizeof *a->first);
  a->count = mem_alloc(to, sizeof *a->count);
  a->weights = mem_alloc(len, sizeof *a->weights);
  FAIL_IF(!work || !a->first || !a->count || !a->weights, FUSION_E_MEMORY);
  for (size_t i = 0; i < to; i++) fill_output(a, i, from, scale, filter, work);
cleanup:
  mem_free(work);
  if (status != FUSION_OK) axis_free(a);
  return status;
}

static uint8_t clip(int32_t sum) {
  const int32_t v = sum >> WEIGHT_BITS;
  return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/** One row: `to` pixels from a row of pixels. */
static void pass_across(const struct axis *a, const uint8_t *x, size_t channels, uint8_t *y, size_t to) {
  for (size_t i = 0; i < to; i++) {
    const int32_t *weights = a->weights + i * a->taps;
    const uint8_t *from = x + a->first[i] * channels;
    for (size_t c = 0; c < channels; c++) {
      int32_t sum = 1 << (WEIGHT_BITS - 1);
      for (size_t k = 0; k < a->count[i]; k++) sum += weights[k] * from[k * channels + c];
      *y++ = clip(sum);
    }
  }
}

/** Output row i from the rows that it reaches; `sums` has room for a row. */
static void pass_down(const struct axis *a, size_t i, const uint8_t *x, size_t row, int32_t *restrict sums,
                      uint8_t *restrict y) {
  for (size_t p = 0; p < row; p++) sums[p] = 1 << (WEIGHT_BITS - 1);
  for (size_t k = 0; k < a->count[i]; k++) {
    const int32_t weight = a->weights[i * a->taps + k];
    const uint8_t *restrict from = x + (a->first[i] + k) * row;
    for (size_t p = 0; p < row; p++) sums[p] += weight * from[p];
  }
  for (size_t p = 0; p < row; p++) y[p] = clip(sums[p]);
}

static fusion_status resize_width(struct image *image, size_t width, fusion_filter filter) {
  if (image->width == width) return FUSION_OK;
  struct image out = {width, image->height, image->channels, NULL};
  struct axis axis;
  size_t len;
  fusion_status status = axis_fill(&axis, image->width, width, filter);
  if (status != FUSION_OK) return status;
  FAIL_IF(!size_mul(width * image->channels, image->height, &len) || !(out.pixels = mem_alloc(len, 1)),
          FUSION_E_MEMORY);
  for (size_t y = 0; y < image->height; y++)
    pass_across(&axis, image->pixels + y * image->width * image->channels, image->channels,
                out.pixels + y * width * image->channels, width);
  image_free(image);
  *image = out;
cleanup:
  axis_free(&axis);
  return status;
}

static fusion_status resize_height(struct image *image, size_t height, fusion_filter filter) {
  if (image->height == height) return FUSION_OK;
  struct image out = {image->width, height, image->channels, NULL};
  const size_t row = image->width * image->channels;
  struct axis axis;
  int32_t *sums = NULL;
  size_t len;
  fusion_status status = axis_fill(&axis, image->height, height, filter);
  if (status != FUSION_OK) return status;
  sums = mem_alloc(row, sizeof *sums);
  FAIL_IF(!sums || !size_mul(row, height, &len) || !(out.pixels = mem_alloc(len, 1)), FUSION_E_MEMORY);
  for (size_t y = 0; y < height; y++) pass_down(&axis, y, image->pixels, row, sums, out.pixels + y * row);
  image_free(image);
  *image = out;
cleanup:
  mem_free_secret(sums, row * sizeof *sums);
  axis_free(&axis);
  return status;
}

fusion_status image_resize(struct image *image, size_t width, size_t height, fusion_filter filter) {
  const fusion_status status = resize_width(image, width, filter);
  return status == FUSION_OK ? resize_height(image, height, filter) : status;
}
