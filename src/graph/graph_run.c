/* The float executor: chunks of samples over threads. A thread's tensors lie in slots that are used again as soon as a
 * tensor has had its last reader. With an observer every tensor of a chunk is kept, and chunks are shown in order. */
#include <pthread.h>
#include <unistd.h>

#include "graph/float_layer.h"

enum {
  MAX_THREADS = 64,
  CHUNK_SAMPLES = 32,     /* at most; enough to fill the tiles of dense layers */
  CHUNK_FLOATS = 4 << 20, /* a thread's tensors together, unless one sample alone needs more */
  SLOT_CALLER = -1,       /* the tensor lies in the caller's memory: the input and the output */
};

struct runner {
  const struct graph *g;
  const float *input;
  float *output;
  size_t samples, chunk, chunks;
  graph_observer observe;
  void *context;
  struct float_linear *linear; /* one a node; used for LINEAR */
  int32_t *slot;               /* one a node */
  size_t *slot_len;            /* floats a sample */
  size_t slot_count, scratch_len;
  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t turned;
  size_t next, turn; /* next chunk to compute; next to show */
  fusion_status status;
};

static size_t node_size(const struct runner *r, uint32_t i) {
  return shape_size(r->g->nodes[i].shape);
}

static bool works_in_place(enum graph_op op) {
  return op == GRAPH_RELU || op == GRAPH_AFFINE || op == GRAPH_ADD || op == GRAPH_MUL || op == GRAPH_QUANTISE ||
         op == GRAPH_ACTIVATION || op == GRAPH_COMPARE;
}

static int32_t slot_take(struct runner *r, bool *busy) {
  for (size_t s = 0; s < r->slot_count; s++) {
    if (!busy[s]) return (int32_t)s;
  }
  return (int32_t)r->slot_count++;
}

/* Gives every node's output a slot; `last` is the last reader of each node. */
static void slots_assign(struct runner *r, const uint32_t *last, bool *busy) {
  const struct graph *g = r->g;
  for (uint32_t i = 0; i < g->count; i++) {
    const struct graph_node *n = &g->nodes[i];
    const bool outside = i == 0 || i + 1 == g->count;
    r->slot[i] = SLOT_CALLER;
    const int32_t reuse =
        n->input_count && works_in_place(n->op) && last[n->inputs[0]] == i ? r->slot[n->inputs[0]] : -1;
    if (!outside) {
      r->slot[i] = reuse >= 0 && !r->observe ? reuse : slot_take(r, busy);
      busy[r->slot[i]] = true;
      r->slot_len[r->slot[i]] = size_max(r->slot_len[r->slot[i]], node_size(r, i));
    }
    for (uint32_t k = 0; k < n->input_count && !r->observe; k++) {
      const int32_t s = r->slot[n->inputs[k]];
      if (s >= 0 && last[n->inputs[k]] == i && s != r->slot[i]) busy[s] = false;
    }
  }
}

static fusion_status slots_program(struct runner *r) {
  const struct graph *g = r->g;
  uint32_t *last = mem_alloc(g->count, sizeof *last);
  bool *busy = mem_alloc(g->count, sizeof *busy);
  r->slot = mem_alloc(g->count, sizeof *r->slot);
  r->slot_len = mem_alloc(g->count, sizeof *r->slot_len);
  const bool ok = last && busy && r->slot && r->slot_len;
  for (uint32_t i = 0; ok && i < g->count; i++) {
    for (uint32_t k = 0; k < g->nodes[i].input_count; k++) last[g->nodes[i].inputs[k]] = i;
  }
  if (ok) slots_assign(r, last, busy);
  mem_free(last);
  mem_free(busy);
  return ok ? FUSION_OK : FUSION_E_MEMORY;
}

/* What one thread works with. */
struct worker {
  struct runner *r;
  float **slots;
  float *scratch;
  const float **in; /* the inputs of the node at hand */
};

static float *tensor_at(const struct worker *w, uint32_t node, size_t chunk) {
  const struct runner *r = w->r;
  if (r->slot[node] >= 0) return w->slots[r->slot[node]];
  return r->output + chunk * r->chunk * node_size(r, node);
}

static const float *tensor_read(const struct worker *w, uint32_t node, size_t chunk) {
  if (node == 0) return w->r->input + chunk * w->r->chunk * node_size(w->r, 0);
  return tensor_at(w, node, chunk);
}

static void chunk_compute(const struct worker *w, size_t chunk) {
  const struct runner *r = w->r;
  const size_t samples = size_min(r->chunk, r->samples - chunk * r->chunk);
  for (uint32_t i = 1; i < r->g->count; i++) {
    const struct graph_node *n = &r->g->nodes[i];
    for (uint32_t k = 0; k < n->input_count; k++) w->in[k] = tensor_read(w, n->inputs[k], chunk);
    float *out = tensor_at(w, i, chunk);
    if (n->op == GRAPH_LINEAR)
      float_linear_run(&r->linear[i], out, w->in[0], samples, w->scratch);
    else
      float_layer_run(r->g, n, out, w->in, samples);
  }
}

/* Waits until all chunks before this one have been shown; one thread at a time gets here. */
static void chunk_show(const struct worker *w, size_t chunk) {
  struct runner *r = w->r;
  const size_t first = chunk * r->chunk, samples = size_min(r->chunk, r->samples - first);
  pthread_mutex_lock(&r->lock);
  while (r->turn != chunk && r->status == FUSION_OK) pthread_cond_wait(&r->turned, &r->lock);
  const bool go = r->status == FUSION_OK;
  pthread_mutex_unlock(&r->lock);
  for (size_t s = 0; go && s < samples; s++) {
    for (uint32_t i = 0; i < r->g->count; i++)
      r->observe(r->context, i, first + s, tensor_read(w, i, chunk) + s * node_size(r, i), node_size(r, i));
  }
  pthread_mutex_lock(&r->lock);
  r->turn++;
  pthread_cond_broadcast(&r->turned);
  pthread_mutex_unlock(&r->lock);
}

static void worker_close(struct worker *w) {
  for (size_t s = 0; w->slots && s < w->r->slot_count; s++) mem_free(w->slots[s]);
  mem_free(w->slots);
  mem_free(w->scratch);
  mem_free(w->in);
}

static fusion_status worker_open(struct worker *w, struct runner *r) {
  uint32_t inputs = 1;
  for (uint32_t i = 0; i < r->g->count; i++) inputs = (uint32_t)size_max(inputs, r->g->nodes[i].input_count);
  *w = (struct worker){.r = r};
  w->slots = mem_alloc(r->slot_count, sizeof *w->slots);
  w->scratch = mem_alloc(r->scratch_len, sizeof *w->scratch);
  w->in = mem_alloc(inputs, sizeof *w->in);
  if (!w->slots || !w->scratch || !w->in) return FUSION_E_MEMORY;
  for (size_t s = 0; s < r->slot_count; s++) {
    w->slots[s] = mem_alloc(r->chunk * r->slot_len[s], sizeof **w->slots);
    if (!w->slots[s]) return FUSION_E_MEMORY;
  }
  return FUSION_OK;
}

static bool chunk_take(struct runner *r, size_t *chunk) {
  pthread_mutex_lock(&r->lock);
  const bool more = r->next < r->chunks && r->status == FUSION_OK;
  if (more) *chunk = r->next++;
  pthread_mutex_unlock(&r->lock);
  return more;
}

static void *worker_main(void *arg) {
  struct runner *r = arg;
  struct worker w;
  size_t chunk;
  const fusion_status status = worker_open(&w, r);
  if (status != FUSION_OK) {
    pthread_mutex_lock(&r->lock);
    r->status = status;
    pthread_cond_broadcast(&r->turned);
    pthread_mutex_unlock(&r->lock);
  }
  while (status == FUSION_OK && chunk_take(r, &chunk)) {
    chunk_compute(&w, chunk);
    if (r->observe) chunk_show(&w, chunk);
  }
  worker_close(&w);
  return NULL;
}

static size_t thread_limit(void) {
  const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
  return cpus < 1 ? 1 : size_min((size_t)cpus, MAX_THREADS);
}

static fusion_status runner_open(struct runner *r) {
  const struct graph *g = r->g;
  size_t floats = 1;
  fusion_status status = slots_program(r);
  if (status != FUSION_OK) return status;
  r->linear = mem_alloc(g->count, sizeof *r->linear);
  if (!r->linear) return FUSION_E_MEMORY;
  for (uint32_t i = 0; i < g->count && status == FUSION_OK; i++) {
    if (g->nodes[i].op != GRAPH_LINEAR) continue;
    status = float_linear_open(&r->linear[i], g, &g->nodes[i]);
    r->scratch_len = size_max(r->scratch_len, float_linear_scratch(&r->linear[i]));
  }
  for (size_t s = 0; s < r->slot_count; s++) floats += r->slot_len[s];
  const size_t share = div_up(r->samples, thread_limit());
  r->chunk = size_max(1, size_min(size_min(CHUNK_FLOATS / floats, CHUNK_SAMPLES), share));
  r->chunks = div_up(r->samples, r->chunk);
  return status;
}

static void runner_close(struct runner *r) {
  for (uint32_t i = 0; r->linear && i < r->g->count; i++) float_linear_close(&r->linear[i]);
  mem_free(r->linear);
  mem_free(r->slot);
  mem_free(r->slot_len);
  pthread_mutex_destroy(&r->lock);
  pthread_cond_destroy(&r->turned);
}

static void runner_work(struct runner *r) {
  pthread_t threads[MAX_THREADS];
  size_t started = 0;
  const size_t wanted = size_min(thread_limit(), r->chunks);
  while (started + 1 < wanted && !pthread_create(&threads[started], NULL, worker_main, r)) started++;
  worker_main(r);
  for (size_t t = 0; t < started; t++) pthread_join(threads[t], NULL);
}

fusion_status graph_run(const struct graph *g, const float *input, size_t samples, float *output,
                        graph_observer observe, void *context) {
  struct runner r = {
      .g = g, .input = input, .output = output, .samples = samples, .observe = observe, .context = context};
  if (samples == 0) return FUSION_OK;
  if (pthread_mutex_init(&r.lock, NULL)) return FUSION_E_RESOURCE;
  if (pthread_cond_init(&r.turned, NULL)) {
    pthread_mutex_destroy(&r.lock);
    return FUSION_E_RESOURCE;
  }
  fusion_status status = runner_open(&r);
  if (g->count == 1) memcpy(output, input, samples * node_size(&r, 0) * sizeof *output);
  if (status == FUSION_OK) {
    runner_work(&r);
    status = r.status;
  }
  runner_close(&r);
  return status;
}

static void watch_limits(void *context, uint32_t node, size_t sample, const float *values, size_t count) {
  struct graph *g = context;
  (void)sample;
  for (uint32_t i = node + 1; i < g->count; i++) {
    struct graph_node *n = &g->nodes[i];
    if (n->op != GRAPH_QUANTISE || n->inputs[0] != node) continue;
    const float low = ((float)n->low - 0.5f) * n->step, high = ((float)n->high + 0.5f) * n->step;
    for (size_t k = 0; k < count; k++) {
      n->keep_low = n->keep_low || values[k] < low;
      n->keep_high = n->keep_high || values[k] > high;
    }
  }
}

fusion_status graph_relax_limits(struct graph *g, const float *input, size_t samples) {
  bool any = false;
  for (uint32_t i = 0; i < g->count; i++) {
    any = any || g->nodes[i].op == GRAPH_QUANTISE;
    g->nodes[i].keep_low = g->nodes[i].keep_high = false;
  }
  if (!any) return FUSION_OK;
  size_t len;
  if (!size_mul(samples, shape_size(g->nodes[g->count - 1].shape), &len)) return FUSION_E_MEMORY;
  float *output = mem_alloc(len, sizeof *output);
  if (!output) return FUSION_E_MEMORY;
  const fusion_status status = graph_run(g, input, samples, output, watch_limits, g);
  mem_free(output);
  return status;
}
