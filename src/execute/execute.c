/** Runs a program on integers: samples in blocks over threads, tensors freed after their last reader. What a step means
 * stands in its operator's row; products with weights are in execute_linear.c. */
#include "execute/execute.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "execute/execute_linear.h"
#include "program/operators.h"

enum {
  BLOCK_ELEMENTS = 1 << 18, /* a block of samples keeps its largest tensor at 2 MiB, near the processor */
  BLOCK_SAMPLES = 96,
  THREADS_MAX = 256,
  SPARES = 4,
};

struct executor {
  const struct model *model;
  const int64_t *inputs;
  int64_t *answers;
  size_t samples, block, input_size, answer_size;
  unsigned team; /* threads that share a large step, where there are fewer samples than threads */
  struct execute_options options;
  struct linear_packed *packed; /* one per step */
  uint32_t *last_use;           /* last step that reads the tensor; UINT32_MAX for the output */
  atomic_size_t next;           /* first sample that no thread has taken */
  atomic_int status;
};

/** One thread's tensors of one block: values[step] is [block][size] or NULL. */
struct block {
  const struct executor *e;
  int64_t **values;
  size_t *room; /* elements that values[step] has room for */
  size_t first, count;
  struct {
    int64_t *values;
    size_t room;
  } spare[SPARES]; /* tensors that nobody reads any more: the next ones, with no page to be cleared */
};

static int64_t *take_tensor(struct block *b, size_t count, size_t *room) {
  size_t best = SPARES;
  for (size_t i = 0; i < SPARES; i++)
    if (b->spare[i].room >= count && b->spare[i].room / 2 <= count &&
        (best == SPARES || b->spare[i].room < b->spare[best].room))
      best = i;
  if (best == SPARES) {
    *room = count;
    return mem_alloc(count, sizeof(int64_t));
  }
  int64_t *out = b->spare[best].values;
  *room = b->spare[best].room;
  b->spare[best].values = NULL;
  b->spare[best].room = 0;
  return out;
}

/** The smallest spare makes place. */
static void give_tensor(struct block *b, int64_t *values, size_t room) {
  size_t least = 0;
  for (size_t i = 1; i < SPARES; i++)
    if (b->spare[i].room < b->spare[least].room) least = i;
  if (b->spare[least].room >= room) {
    mem_free(values);
    return;
  }
  mem_free(b->spare[least].values);
  b->spare[least].values = values;
  b->spare[least].room = room;
}

static fusion_status run_step(struct block *b, uint32_t i) {
  const struct executor *e = b->e;
  const struct program_step *s = &e->model->program.steps[i];
  const int64_t *inputs[PROGRAM_INPUTS_MAX] = {e->inputs + b->first * e->input_size};
  int64_t *y = take_tensor(b, shape_size(s->out.shape) * b->count, &b->room[i]);
  if (!y) return FUSION_E_MEMORY;
  b->values[i] = y;
  for (uint32_t k = 0; k < s->input_count; k++) inputs[k] = b->values[s->inputs[k]];
  if (step_has_matrix(s)) return execute_linear(&e->packed[i], inputs[0], y, b->count, e->team);
  step_operator(s)->run(&(struct operator_run){.program = &e->model->program,
                                               .step = s,
                                               .weights = &e->model->weights[i],
                                               .inputs = inputs,
                                               .out = y,
                                               .samples = b->count,
                                               .first = b->first,
                                               .dither = e->options.dither});
  return FUSION_OK;
}

static void release(struct block *b, uint32_t step) {
  if (b->values[step]) give_tensor(b, b->values[step], b->room[step]);
  b->values[step] = NULL;
}

static fusion_status run_block(struct block *b) {
  const struct executor *e = b->e;
  const struct program *program = &e->model->program;
  fusion_status status = FUSION_OK;
  for (uint32_t i = 0; i < program->count && status == FUSION_OK; i++) {
    const struct program_step *s = &program->steps[i];
    const size_t size = shape_size(s->out.shape);
    status = run_step(b, i);
    for (size_t k = 0; status == FUSION_OK && e->options.observe && k < b->count; k++)
      e->options.observe(e->options.context, i, b->first + k, b->values[i] + k * size, size);
    for (uint32_t k = 0; k < s->input_count; k++)
      if (e->last_use[s->inputs[k]] == i) release(b, s->inputs[k]);
    if (e->last_use[i] == i) release(b, i);
  }
  const uint32_t last = program->count - 1;
  const size_t size = shape_size(program->steps[last].out.shape);
  for (size_t k = 0; status == FUSION_OK && k < b->count; k++)
    program_select_answer(program, b->values[last] + k * size, e->answers + (b->first + k) * e->answer_size);
  for (uint32_t i = 0; i < program->count; i++) release(b, i);
  return status;
}

static void *worker(void *arg) {
  struct executor *e = arg;
  struct block b = {.e = e,
                    .values = mem_alloc(e->model->program.count, sizeof *b.values),
                    .room = mem_alloc(e->model->program.count, sizeof *b.room)};
  fusion_status status = b.values && b.room ? FUSION_OK : FUSION_E_MEMORY;
  while (status == FUSION_OK && atomic_load(&e->status) == FUSION_OK) {
    b.first = atomic_fetch_add(&e->next, e->block);
    if (b.first >= e->samples) break;
    b.count = size_min(e->block, e->samples - b.first);
    status = run_block(&b);
  }
  if (status != FUSION_OK) atomic_store(&e->status, (int)status);
  for (size_t i = 0; i < SPARES; i++) mem_free(b.spare[i].values);
  mem_free(b.values);
  mem_free(b.room);
  return NULL;
}

static fusion_status prepare(struct executor *e) {
  const struct program *program = &e->model->program;
  e->packed = mem_alloc(program->count, sizeof *e->packed);
  e->last_use = mem_alloc(program->count, sizeof *e->last_use);
  if (!e->packed || !e->last_use) return FUSION_E_MEMORY;
  size_t largest = 1;
  for (uint32_t i = 0; i < program->count; i++) {
    const struct program_step *s = &program->steps[i];
    e->last_use[i] = i;
    for (uint32_t k = 0; k < s->input_count; k++) e->last_use[s->inputs[k]] = i;
    largest = size_max(largest, shape_size(s->out.shape));
    if (!step_has_matrix(s)) continue;
    const fusion_status status = linear_pack(&e->packed[i], e->model, i);
    if (status != FUSION_OK) return status;
  }
  e->last_use[program->count - 1] = UINT32_MAX;
  e->block = size_max(1, size_min(BLOCK_SAMPLES, BLOCK_ELEMENTS / largest));
  return FUSION_OK;
}

/** Samples over threads first; threads that are left over share the large steps of one sample. */
static unsigned thread_count(struct executor *e) {
  const long online = sysconf(_SC_NPROCESSORS_ONLN);
  size_t threads = e->options.threads ? e->options.threads : online > 0 ? (size_t)online : 1;
  threads = size_max(size_min(threads, THREADS_MAX), 1);
  const size_t workers = size_max(size_min(threads, e->samples), 1);
  e->team = (unsigned)(threads / workers);
  return (unsigned)workers;
}

fusion_status program_execute(const struct model *model, const int64_t *inputs, size_t samples, int64_t *answers,
                              const struct execute_options *options) {
  struct executor e = {.model = model, .inputs = inputs, .answers = answers, .samples = samples};
  pthread_t threads[THREADS_MAX];
  unsigned started = 0;
  if (options) e.options = *options;
  e.input_size = shape_size(model->program.steps[0].out.shape);
  e.answer_size = program_answer_size(&model->program);
  atomic_init(&e.next, 0);
  atomic_init(&e.status, FUSION_OK);
  fusion_status status;
  TRY(prepare(&e));
  const unsigned wanted = thread_count(&e);
  e.block = size_max(1, size_min(e.block, div_up(samples, wanted)));
  while (started + 1 < wanted && pthread_create(&threads[started], NULL, worker, &e) == 0) started++;
  worker(&e);
  for (unsigned t = 0; t < started; t++) pthread_join(threads[t], NULL);
  status = (fusion_status)atomic_load(&e.status);
cleanup:
  for (uint32_t i = 0; e.packed && i < model->program.count; i++) linear_packed_free(&e.packed[i]);
  mem_free(e.packed);
  mem_free(e.last_use);
  return status;
}

void program_select_answer(const struct program *program, const int64_t *logits, int64_t *answer) {
  const size_t size = shape_size(program->steps[program->count - 1].out.shape);
  if (program->output == OUTPUT_LOGITS) {
    memcpy(answer, logits, size * sizeof *answer);
    return;
  }
  const size_t k = program->output == OUTPUT_LABEL ? 1 : program->top_k;
  size_t previous = SIZE_MAX;
  for (size_t place = 0; place < k; place++) {
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < size; i++) {
      /* Ranked below the one found before: smaller, or equal and later. */
      if (previous != SIZE_MAX && (logits[i] > logits[previous] || (logits[i] == logits[previous] && i <= previous)))
        continue;
      if (best == SIZE_MAX || logits[i] > logits[best]) best = i;
    }
    answer[program->output == OUTPUT_LABEL ? 0 : 2 * place] = (int64_t)best;
    if (program->output == OUTPUT_TOP_K) answer[2 * place + 1] = logits[best];
    previous = best;
  }
}
