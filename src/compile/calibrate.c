/** Ranges of every channel of every node over the calibration samples. */
#include "compile/calibrate.h"

#include <math.h>
#include <pthread.h>

struct watch {
  struct calibration *out;
  const struct graph *graph;
  uint32_t logits, chances;
  bool bad; /* a value was not finite */
  pthread_mutex_t lock;
};

void calibration_free(struct calibration *c) {
  for (uint32_t i = 0; i < c->nodes; i++) {
    if (c->low) mem_free(c->low[i]);
    if (c->high) mem_free(c->high[i]);
    if (c->mean) mem_free(c->mean[i]);
  }
  mem_free(c->low);
  mem_free(c->high);
  mem_free(c->mean);
  mem_free(c->logits);
  mem_free(c->chances);
  *c = (struct calibration){0};
}

/** May be called from several threads: the planes are scanned outside the lock. */
static void watch_node(void *context, uint32_t node, size_t sample, const float *values, size_t count) {
  struct watch *w = context;
  struct calibration *out = w->out;
  const struct shape shape = w->graph->nodes[node].shape;
  const size_t plane = count / shape.channels;
  if (node == w->logits) memcpy(out->logits + sample * out->logit_count, values, count * sizeof *values);
  if (node == w->chances && out->chances)
    memcpy(out->chances + sample * out->logit_count, values, count * sizeof *values);
  for (uint32_t c = 0; c < shape.channels; c++) {
    float low = values[c * plane], high = low, sum = 0, nothing = 0;
    for (size_t i = 0; i < plane; i++) {
      const float v = values[c * plane + i];
      low = v < low ? v : low;
      high = v > high ? v : high;
      sum += v;
      nothing += v * 0;
    }
    pthread_mutex_lock(&w->lock);
    if (!(nothing == 0)) w->bad = true;
    out->mean[node][c] += sum / ((float)plane * (float)out->samples);
    if (low < out->low[node][c]) out->low[node][c] = low;
    if (high > out->high[node][c]) out->high[node][c] = high;
    pthread_mutex_unlock(&w->lock);
  }
}

static fusion_status calibration_alloc(struct calibration *c, const struct graph *graph, uint32_t logits, bool hidden,
                                       size_t samples) {
  *c = (struct calibration){.nodes = graph->count, .samples = samples};
  c->logit_count = shape_size(graph->nodes[logits].shape);
  c->low = mem_alloc(graph->count, sizeof *c->low);
  c->high = mem_alloc(graph->count, sizeof *c->high);
  c->mean = mem_alloc(graph->count, sizeof *c->mean);
  size_t logits_len;
  if (!size_mul(samples, c->logit_count, &logits_len)) return FUSION_E_MEMORY;
  c->logits = mem_alloc(logits_len, sizeof *c->logits);
  if (hidden && !(c->chances = mem_alloc(logits_len, sizeof *c->chances))) return FUSION_E_MEMORY;
  if (!c->low || !c->high || !c->mean || !c->logits) return FUSION_E_MEMORY;
  for (uint32_t i = 0; i < graph->count; i++) {
    const uint32_t channels = graph->nodes[i].shape.channels;
    c->low[i] = mem_alloc(channels, sizeof **c->low);
    c->high[i] = mem_alloc(channels, sizeof **c->high);
    c->mean[i] = mem_alloc(channels, sizeof **c->mean);
    if (!c->low[i] || !c->high[i] || !c->mean[i]) return FUSION_E_MEMORY;
    for (uint32_t k = 0; k < channels; k++) {
      c->low[i][k] = INFINITY;
      c->high[i][k] = -INFINITY;
    }
  }
  return FUSION_OK;
}

fusion_status calibrate(struct calibration *out, const struct graph *graph, uint32_t logits, uint32_t chances,
                        const float *input, size_t samples) {
  struct watch w = {.out = out, .graph = graph, .logits = logits, .chances = chances};
  float *output = NULL;
  size_t output_len;
  fusion_status status;
  pthread_mutex_init(&w.lock, NULL);
  TRY(calibration_alloc(out, graph, logits, chances != logits, samples));
  FAIL_IF(!size_mul(samples, shape_size(graph->nodes[graph->count - 1].shape), &output_len), FUSION_E_MEMORY);
  output = mem_alloc(output_len, sizeof *output);
  FAIL_IF(!output, FUSION_E_MEMORY);
  TRY(graph_run(graph, input, samples, output, watch_node, &w));
  FAIL_IF(w.bad, FUSION_E_MODEL);
cleanup:
  pthread_mutex_destroy(&w.lock);
  mem_free(output);
  if (status != FUSION_OK) calibration_free(out);
  return status;
}
