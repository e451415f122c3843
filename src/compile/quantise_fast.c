/** Fast rounding: how far apart two honest runs of one sample may come. Measured by running the program twice with
 * rounding at random, as the protocol has it, on the calibration samples. */
#include <math.h>

#include "compile/quantise_internal.h"
#include "execute/execute.h"

enum { RUNS = 2, SAMPLES_MOST = 128 };
static const double differing = 1e-6; /* probability that may remain, for a pair of copies */

fusion_status quantise_tolerance(uint64_t *out, const struct quantise_job *job, const struct model *model,
                                 fusion_error *err) {
  const struct program *program = &model->program;
  const size_t samples = size_min(job->calibration->samples, SAMPLES_MOST), width = job->calibration->logit_count;
  int64_t *inputs = mem_alloc(samples * shape_size(program->steps[0].out.shape), sizeof *inputs);
  int64_t *answers = mem_alloc(RUNS * samples * width, sizeof *answers);
  struct step_extremes extremes = {0};
  struct step_bound bound;
  fusion_status status;
  struct model plain = *model; /* borrows everything; its answers are logits whatever the model's are */
  plain.program.output = OUTPUT_LOGITS;
  FAIL_IF(!inputs || !answers, FUSION_E_MEMORY);
  TRY(extremes_open(&extremes, 1, samples));
  TRY(program_quantise_input(program, job->input, samples, inputs, err));
  for (unsigned r = 0; r < RUNS; r++) {
    const struct execute_options options = {.threads = job->options->threads, .dither = r + 1};
    TRY(program_execute(&plain, inputs, samples, answers + r * samples * width, &options));
  }
  for (size_t s = 0; s < samples; s++) {
    int64_t *first = answers + s * width, *second = first + samples * width;
    for (size_t k = 0; k < width; k++) first[k] -= second[k];
    extremes_take(&extremes, 0, s, first, width, 1);
  }
  extremes_bound(&bound, &extremes, differing, 1);
  *out = (uint64_t)ceil(bound.magnitude);
cleanup:
  mem_free(inputs);
  mem_free(answers);
  extremes_close(&extremes);
  return status;
}
