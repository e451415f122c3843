/* Fuzz target of .fsn files, checksum mended so that what lies behind it is reached. Whatever loads must be valid, run,
 * and be written back as the very same bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "execute/execute.h"
#include "program/fsn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { RUN_LIMIT = 1 << 16, CHECKSUM_LEN = 8 };

/* Runs one sample of ones when neither tensors nor products are many. */
static void run_small(const struct model *m) {
  const struct program *program = &m->program;
  const struct execute_options options = {.threads = 1};
  uint64_t work = 0;
  for (uint32_t i = 0; i < program->count; i++) {
    const struct program_step *s = &program->steps[i];
    const uint64_t taps = (uint64_t)s->window.kernel_h * s->window.kernel_w + 1;
    const uint64_t plane = (uint64_t)s->out.shape.height * s->out.shape.width;
    work += s->op == OP_LINEAR ? plane * program_weight_count(program, i) : plane * s->out.shape.channels * taps;
    work += (uint64_t)s->window.pad_top + s->window.pad_left + s->window.pad_bottom + s->window.pad_right;
    if (work > RUN_LIMIT) return;
  }
  const size_t in = shape_size(program->steps[0].out.shape);
  int64_t *x = mem_alloc(in, sizeof *x), *y = mem_alloc(program_answer_size(program), sizeof *y);
  if (!x || !y) abort();
  for (size_t i = 0; i < in; i++) x[i] = 1;
  if (program_execute(m, x, 1, y, &options) != FUSION_OK) abort();
  mem_free(x);
  mem_free(y);
}

static void try_file(const uint8_t *data, size_t len) {
  struct model *m = NULL;
  struct writer w = {0};
  fusion_error err = {.status = FUSION_OK};
  if (fsn_decode(&m, data, len, "fuzz.fsn", &err) != FUSION_OK) {
    if (m || !err.text[0]) abort();
    return;
  }
  if (program_validate(&m->program, NULL) != FUSION_OK || fsn_encode(&w, m) != FUSION_OK) abort();
  if (w.len != len || memcmp(w.data, data, len) != 0) abort();
  run_small(m);
  writer_free(&w);
  model_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  try_file(data, len);
  if (len < CHECKSUM_LEN) return 0;
  uint8_t *mended = malloc(len);
  if (!mended) return 0;
  memcpy(mended, data, len);
  const uint64_t sum = fsn_checksum(data, len - CHECKSUM_LEN);
  for (unsigned k = 0; k < CHECKSUM_LEN; k++) mended[len - CHECKSUM_LEN + k] = (uint8_t)(sum >> (8 * k));
  try_file(mended, len);
  free(mended);
  return 0;
}
