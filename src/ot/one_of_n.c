#include "ot/one_of_n.h"

#include "ot/one_of_n_kernels.h"
#include "rand/tccr.h"

/* Instances handled at a time, so that keys and hashes stay in the second cache level; as many as a silent harvest
 * grows at once (cot_silent.c), which then need not be copied. A multiple of 64. */
enum { BATCH = 4096 };

/* Working memory of one call. All of it is secret. */
struct work {
  block *keys; /* [width][n], n the batch rounded up to 64; the filling is stale, never used */
  block *packed, *hashed;
  size_t len;
};

static fusion_status work_open(struct work *w, const struct cot *c, unsigned width, size_t count) {
  const size_t rows = div_up(size_min(BATCH, size_max(count, 1)), 64) * 64;
  w->len = (width + 2) * rows * sizeof(block);
  w->keys = heap_take(c->heap, w->len, 1);
  if (!w->keys) return FUSION_E_MEMORY;
  w->packed = w->keys + width * rows;
  w->hashed = w->packed + rows;
  return FUSION_OK;
}
static void work_close(const struct cot *c, const struct work *w) {
  heap_give(c->heap, w->keys, w->len);
}

/* Clears the filling of a plane's last word. */
static void trim(uint64_t *plane, size_t n) {
  if (n % 64) plane[n / 64] &= low_mask(n % 64);
}

/* Spreads width*n consecutive correlations to rows of `rounded`. */
static void spread(block *keys, unsigned width, size_t n, size_t rounded) {
  for (unsigned i = width; n != rounded && i-- > 1;) memmove(keys + i * rounded, keys + i * n, n * sizeof *keys);
}

/* z * Delta. z and so the branches are public. */
static block multiple(block delta, unsigned z) {
  block sum = block_make(0, 0);
  for (; z; z >>= 1, delta = block_times_alpha(delta)) {
    if (z & 1) sum = block_xor(sum, delta);
  }
  return sum;
}

fusion_status ot_bits_send(struct cot *c, unsigned width, unsigned string_bits, size_t count, uint64_t *pads) {
  fusion_status status = FUSION_OK;
  const struct one_of_n_kernels *kernels = one_of_n_kernels();
  const struct tccr hash = {cot_domain(c, c->role)};
  const size_t stride = plane_words(count);
  struct work w = {0};
  TRY(work_open(&w, c, width, count));
  for (size_t done = 0; done < count; done += BATCH) {
    const size_t n = size_min(BATCH, count - done), words = plane_words(n);
    uint64_t first;
    TRY(cot_take_sender(c, w.keys, width * n, &first));
    spread(w.keys, width, n, 64 * words);
    const block *packed = w.keys;
    if (width > 1) {
      kernels->pack(w.packed, w.keys, 64 * words, width);
      packed = w.packed;
    }
    for (unsigned z = 0; z < 1u << width; z++) {
      tccr_hash(&hash, w.hashed, packed, n, multiple(c->delta, z), first);
      uint64_t *plane0 = pads + z * string_bits * stride + done / 64;
      uint64_t *plane1 = string_bits > 1 ? plane0 + stride : NULL;
      kernels->bit_planes(plane0, plane1, w.hashed, words);
      trim(plane0, n);
      if (plane1) trim(plane1, n);
    }
  }
cleanup:
  work_close(c, &w);
  return status;
}

/* The macs of n instances, spread, and their choices: a plane a bit, `stride` words apart. */
static fusion_status take_choices(struct work *w, struct cot *c, unsigned width, size_t n, uint64_t *first,
                                  uint64_t *choices, size_t stride) {
  const size_t words = plane_words(n);
  const fusion_status status = cot_take_receiver(c, w->keys, width * n, first);
  if (status != FUSION_OK) return status;
  spread(w->keys, width, n, 64 * words);
  for (unsigned i = 0; i < width; i++) {
    one_of_n_kernels()->bit_planes(choices + i * stride, NULL, w->keys + i * 64 * words, words);
    trim(choices + i * stride, n);
  }
  return FUSION_OK;
}

fusion_status ot_bits_receive(struct cot *c, unsigned width, unsigned string_bits, size_t count, uint64_t *choices,
                              uint64_t *pads) {
  fusion_status status = FUSION_OK;
  const struct one_of_n_kernels *kernels = one_of_n_kernels();
  const struct tccr hash = {cot_domain(c, c->role == ROLE_SERVER ? ROLE_CLIENT : ROLE_SERVER)};
  const size_t stride = plane_words(count);
  struct work w = {0};
  TRY(work_open(&w, c, width, count));
  for (size_t done = 0; done < count; done += BATCH) {
    const size_t n = size_min(BATCH, count - done), words = plane_words(n);
    uint64_t first;
    TRY(take_choices(&w, c, width, n, &first, choices + done / 64, stride));
    const block *packed = w.keys;
    if (width > 1) {
      kernels->pack(w.packed, w.keys, 64 * words, width);
      packed = w.packed;
    }
    tccr_hash(&hash, w.hashed, packed, n, block_make(0, 0), first);
    uint64_t *plane0 = pads + done / 64, *plane1 = string_bits > 1 ? plane0 + stride : NULL;
    kernels->bit_planes(plane0, plane1, w.hashed, words);
    trim(plane0, n);
    if (plane1) trim(plane1, n);
  }
cleanup:
  work_close(c, &w);
  return status;
}

/* Low halves of n hashes; BATCH is a multiple of 4, so a rounded n stays inside `in`, and the rest goes to no one. */
static void store_words(const struct one_of_n_kernels *kernels, uint64_t *out, const block *in, size_t n) {
  const size_t whole = n / 4 * 4;
  kernels->low_words(out, in, whole);
  for (size_t k = whole; k < n; k++) out[k] = in[k].lo;
}

fusion_status ot_words_send(struct cot *c, size_t count, uint64_t *pad0, uint64_t *pad1) {
  fusion_status status = FUSION_OK;
  const struct one_of_n_kernels *kernels = one_of_n_kernels();
  const struct tccr hash = {cot_domain(c, c->role)};
  struct work w = {0};
  TRY(work_open(&w, c, 1, count));
  for (size_t done = 0; done < count; done += BATCH) {
    const size_t n = size_min(BATCH, count - done);
    uint64_t first;
    TRY(cot_take_sender(c, w.keys, n, &first));
    tccr_hash(&hash, w.hashed, w.keys, n, block_make(0, 0), first);
    store_words(kernels, pad0 + done, w.hashed, n);
    tccr_hash(&hash, w.hashed, w.keys, n, c->delta, first);
    store_words(kernels, pad1 + done, w.hashed, n);
  }
cleanup:
  work_close(c, &w);
  return status;
}

fusion_status ot_words_receive(struct cot *c, size_t count, uint64_t *choices, uint64_t *pads) {
  fusion_status status = FUSION_OK;
  const struct one_of_n_kernels *kernels = one_of_n_kernels();
  const struct tccr hash = {cot_domain(c, c->role == ROLE_SERVER ? ROLE_CLIENT : ROLE_SERVER)};
  struct work w = {0};
  TRY(work_open(&w, c, 1, count));
  for (size_t done = 0; done < count; done += BATCH) {
    const size_t n = size_min(BATCH, count - done);
    uint64_t first;
    TRY(cot_take_receiver(c, w.keys, n, &first));
    kernels->bit_planes(choices + done / 64, NULL, w.keys, plane_words(n));
    trim(choices + done / 64, n);
    tccr_hash(&hash, w.hashed, w.keys, n, block_make(0, 0), first);
    store_words(kernels, pads + done, w.hashed, n);
  }
cleanup:
  work_close(c, &w);
  return status;
}

fusion_status ot_entries_send(struct cot *c, unsigned width, size_t count, uint64_t *pads, size_t stride) {
  fusion_status status = FUSION_OK;
  const struct one_of_n_kernels *kernels = one_of_n_kernels();
  const struct tccr hash = {cot_domain(c, c->role)};
  struct work w = {0};
  TRY(work_open(&w, c, width, count));
  for (size_t done = 0; done < count; done += BATCH) {
    const size_t n = size_min(BATCH, count - done), rounded = 64 * plane_words(n);
    uint64_t first;
    TRY(cot_take_sender(c, w.keys, width * n, &first));
    spread(w.keys, width, n, rounded);
    kernels->pack(w.packed, w.keys, rounded, width);
    for (unsigned z = 0; z < 1u << width; z++) {
      tccr_hash(&hash, w.hashed, w.packed, n, multiple(c->delta, z), first);
      store_words(kernels, pads + z * stride + done, w.hashed, n);
    }
  }
cleanup:
  work_close(c, &w);
  return status;
}

fusion_status ot_entries_receive(struct cot *c, unsigned width, size_t count, uint64_t *choices, uint64_t *pads) {
  fusion_status status = FUSION_OK;
  const struct one_of_n_kernels *kernels = one_of_n_kernels();
  const struct tccr hash = {cot_domain(c, c->role == ROLE_SERVER ? ROLE_CLIENT : ROLE_SERVER)};
  const size_t stride = plane_words(count);
  struct work w = {0};
  TRY(work_open(&w, c, width, count));
  for (size_t done = 0; done < count; done += BATCH) {
    const size_t n = size_min(BATCH, count - done), words = plane_words(n);
    uint64_t first;
    TRY(take_choices(&w, c, width, n, &first, choices + done / 64, stride));
    kernels->pack(w.packed, w.keys, 64 * words, width);
    tccr_hash(&hash, w.hashed, w.packed, n, block_make(0, 0), first);
    store_words(kernels, pads + done, w.hashed, n);
  }
cleanup:
  work_close(c, &w);
  return status;
}

/* When refills happen follows from how many were taken before, not from how they are cut into takes. */
void ot_random_cost(struct cost *cost, enum role sender, unsigned width, size_t count) {
  cost_take_cots(cost, sender, (uint64_t)width * count);
}
