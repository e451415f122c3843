/* What sessions cost beside their gates, and the engine's prices. */
#include "engine/sci_he/sci_he.h"
#include "silent/cot_silent.h"
#include "steps/step_seconds.h"

/* In butterflies of a transform of 8,192 (53,248 a transform): at the server a plaintext's encoding, a product, a
 * rotation, a ciphertext that comes or goes, a rotation key; at the client a ciphertext, a rotation key's making. A
 * product of the server's weights with its own share. Fitted to runs of networks by stage. */
static const double encoding = 400e3, product = 100e3, rotation = 2.2e6, server_cipher = 2.2e6, server_key = 2.2e6;
static const double client_cipher = 2.2e6, client_key = 8e6, local = 2;

void sci_he_open_cost(const struct engine_layout *layout, struct cost *cost) {
  struct sci_he_layout *own = sci_he_own(layout);
  own->sent = (struct slots_elements){0};
  if (sci_he_is_silent(layout))
    cot_open_silent_cost(cost, &own->silent_cost, &own->silent);
  else
    cot_open_softspoken_cost(cost, &own->stream_cost, &cot_softspoken_usual);
  slots_open_cost(cost);
}

/* Rotation keys that a run of so many samples needs. */
static size_t count_keys(const struct engine_layout *layout, size_t samples) {
  struct slots_elements keys = {0};
  for (uint32_t i = 1; i < layout->program->count; i++) {
    struct cost cost = {0};
    if (step_operator(&layout->program->steps[i])->gate == GATE_LINEAR)
      sci_he_linear_cost(&cost, layout, i, samples, &keys);
  }
  return keys.count;
}

size_t sci_he_memory(const struct engine_layout *layout, enum role role) {
  /* Shards of other sizes may need keys of their own. */
  const size_t keys = size_min(count_keys(layout, layout->expected_samples) + 4, SLOTS_KEYS_MAX);
  const size_t correlations = sci_he_is_silent(layout) ? cot_silent_memory(&sci_he_own(layout)->silent)
                                                       : cot_softspoken_memory(&cot_softspoken_usual);
  return correlations + slots_memory(role, keys);
}

static double local_products(const struct program *program, uint32_t number, size_t samples) {
  const struct shape out = program->steps[number].out.shape;
  return (double)samples * (double)program_weight_count(program, number) * (double)out.height * (double)out.width;
}

static struct engine_seconds exchange_seconds(const struct engine_layout *layout, const struct engine_speeds *speeds,
                                              const struct cost *cost) {
  const double *s = speeds->seconds;
  const double correlation = sci_he_is_silent(layout) ? cot_silent_price(&sci_he_own(layout)->silent, s[SPEED_BASE],
                                                                         s[SPEED_SILENT], s[SPEED_ROW])
                                                      : s[SPEED_STREAM];
  return step_seconds(cost, speeds, correlation);
}

/* A piece of a linear layer: ciphertexts, then a conversion, which is a gate like others. */
static void add_piece(struct engine_seconds *s, const struct engine_layout *layout, const struct engine_speeds *speeds,
                      const struct engine_step *step, const struct sci_he_piece *piece) {
  struct slots_layout l;
  struct cost cost = {0};
  const char *why;
  if (slots_layout_make(&l, &piece->layer, step->samples, &why) != FUSION_OK) return;
  const struct slots_work w = slots_layout_work(&l);
  const struct field_ring params = sci_he_field(&l, layout, step->number, piece->shift);
  const double ciphers = (double)(l.tiles * (l.inputs + l.outputs));
  field_ring_cost(&cost, &params, step_count(layout, step->number, step->samples));
  const double butterflies = (double)w.encodings * encoding + (double)w.products * product +
                             (double)w.rotations * rotation + ciphers * server_cipher;
  step_seconds_add(s, exchange_seconds(layout, speeds, &cost));
  s->server += butterflies * speeds->seconds[SPEED_SLOTS];
  s->client += ciphers * client_cipher * speeds->seconds[SPEED_SLOTS];
  slots_layout_free(&l);
}

struct engine_seconds sci_he_open_seconds(const struct engine_layout *layout, size_t samples,
                                          const struct engine_speeds *speeds) {
  const double setup = speeds->seconds[SPEED_SETUP];
  const double keys = (double)count_keys(layout, samples) * speeds->seconds[SPEED_SLOTS];
  return (struct engine_seconds){.server = setup + keys * server_key, .client = setup + keys * client_key};
}

struct engine_seconds sci_he_gate_seconds(const struct engine_layout *layout, const struct engine_step *step,
                                          const struct engine_speeds *speeds) {
  struct engine_seconds seconds = {0};
  if (step->gate != GATE_LINEAR) return exchange_seconds(layout, speeds, &step->cost);
  for (unsigned k = 0; k < sci_he_own(layout)->pieces[step->number]; k++) {
    const struct sci_he_piece piece = sci_he_piece(layout, step->number, k);
    add_piece(&seconds, layout, speeds, step, &piece);
  }
  seconds.server += local_products(layout->program, step->number, step->samples) * local * speeds->seconds[SPEED_SLOTS];
  return seconds;
}
