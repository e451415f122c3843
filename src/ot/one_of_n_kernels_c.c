/* Portable kernels of one_of_n.c. */
#include "ot/one_of_n_kernels.h"

static void bit_planes_c(uint64_t *plane0, uint64_t *plane1, const block *in, size_t words) {
  for (size_t w = 0; w < words; w++, in += 64) {
    uint64_t low = 0, high = 0;
    for (unsigned i = 0; i < 64; i++) {
      low |= (in[i].lo & 1) << i;
      high |= (in[i].lo >> 1 & 1) << i;
    }
    plane0[w] = low;
    if (plane1) plane1[w] = high;
  }
}

static void pack_c(block *out, const block *in, size_t count, unsigned width) {
  for (size_t k = 0; k < count; k++) {
    block sum = in[(width - 1) * count + k];
    for (unsigned i = width - 1; i-- > 0;) sum = block_xor(block_times_alpha(sum), in[i * count + k]);
    out[k] = sum;
  }
}

static void low_words_c(uint64_t *out, const block *in, size_t count) {
  for (size_t k = 0; k < count; k++) out[k] = in[k].lo;
}

const struct one_of_n_kernels one_of_n_kernels_c = {
    .bit_planes = bit_planes_c, .pack = pack_c, .low_words = low_words_c};
