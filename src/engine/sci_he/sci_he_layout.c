/* What the engine derives from a program, and which programs it refuses. */
#include "engine/sci_he/sci_he.h"

static fusion_status refuse(const struct program *program, uint32_t number, const char *why, fusion_error *err) {
  return error_set(err, FUSION_E_MODEL, "layer '%s': %s", program->steps[number].name, why);
}

static fusion_status out_of_memory(fusion_error *err) {
  return error_set(err, FUSION_E_MEMORY, "out of memory for a layout of the program");
}

struct sci_he_piece sci_he_piece(const struct engine_layout *layout, uint32_t number, unsigned piece) {
  const unsigned ring = layout->program->steps[number].out.ring_bits, pieces = sci_he_own(layout)->pieces[number];
  const unsigned width = (unsigned)div_up(ring, pieces), shift = piece * width;
  const unsigned bits = ring - shift < width ? ring - shift : width;
  struct sci_he_piece out = {.layer = step_layer(layout->program, number), .shift = shift};
  out.layer.ring_bits = (uint8_t)bits;
  return out;
}

struct field_ring sci_he_field(const struct slots_layout *l, const struct engine_layout *layout, uint32_t number,
                               unsigned shift) {
  return (struct field_ring){.modulus = slots_plain_prime(l->plain_bits),
                             .offset = l->offset,
                             .ring_bits = (uint8_t)(layout->program->steps[number].out.ring_bits - shift),
                             .shape = CARRY_FIXED};
}

void sci_he_linear_cost(struct cost *cost, const struct engine_layout *layout, uint32_t number, size_t samples,
                        struct slots_elements *have) {
  for (unsigned k = 0; k < sci_he_own(layout)->pieces[number]; k++) {
    const struct sci_he_piece piece = sci_he_piece(layout, number, k);
    struct slots_layout l;
    const char *why;
    if (slots_layout_make(&l, &piece.layer, samples, &why) != FUSION_OK) {
      cost->out_of_memory = true; /* layout_open has seen to the rest */
      return;
    }
    const struct field_ring params = sci_he_field(&l, layout, number, piece.shift);
    slots_linear_cost(cost, &l, have);
    field_ring_cost(cost, &params, samples * shape_size(layout->program->steps[number].out.shape));
    slots_layout_free(&l);
  }
}

/* The least number of pieces that fit; a piece is at least two bits wide. */
static fusion_status choose_pieces(const struct engine_layout *layout, uint32_t number, struct slots_elements *all,
                                   fusion_error *err) {
  const struct program *program = layout->program;
  const unsigned ring = program->steps[number].out.ring_bits;
  uint8_t *pieces = &sci_he_own(layout)->pieces[number];
  const char *why = NULL;
  for (*pieces = 1; *pieces <= SCI_HE_PIECES_MAX; ++*pieces) {
    const struct sci_he_piece first = sci_he_piece(layout, number, 0),
                              last = sci_he_piece(layout, number, *pieces - 1u);
    struct slots_layout l;
    if (last.layer.ring_bits < 2 || last.shift >= ring) continue;
    const fusion_status status = slots_layout_make(&l, &first.layer, 1, &why);
    if (status == FUSION_E_MEMORY) return out_of_memory(err);
    if (status != FUSION_OK) continue;
    const bool room = slots_layout_elements(&l, all);
    slots_layout_free(&l);
    if (room) return FUSION_OK;
    why = "the images of the network have too many widths; use another engine";
    break;
  }
  return refuse(program, number, why, err);
}

/* Refuses programs whose ciphertexts of one sample would take too much traffic, with the largest layer. */
static fusion_status check_traffic(const struct engine_layout *layout, fusion_error *err) {
  const struct program *program = layout->program;
  struct slots_elements keys = {0};
  uint64_t sum = 0, most = 0;
  uint32_t largest = 0;
  for (uint32_t i = 1; i < program->count; i++) {
    struct cost cost = {0};
    if (step_operator(&program->steps[i])->gate != GATE_LINEAR) continue;
    sci_he_linear_cost(&cost, layout, i, 1, &keys);
    if (cost.out_of_memory) return out_of_memory(err);
    const uint64_t bytes = cost.bytes_to_server + cost.bytes_to_client;
    sum = bytes > UINT64_MAX - sum ? UINT64_MAX : sum + bytes;
    if (bytes <= most) continue;
    most = bytes;
    largest = i;
  }
  if (sum <= SCI_HE_SAMPLE_MAX) return FUSION_OK;
  return error_set(err, FUSION_E_MODEL,
                   "layer '%s': it takes %.3g GiB a sample and all linear layers %.3g GiB, where the %s engine takes "
                   "%.3g at most; use another engine (cheetah)",
                   program->steps[largest].name, (double)most / 0x1p30, (double)sum / 0x1p30, layout->engine->name,
                   (double)SCI_HE_SAMPLE_MAX / 0x1p30);
}

/* Every linear layer can be laid out, for any number of samples: what fits one fits all, and so do narrower pieces. The
 * rotation keys of all sizes of blocks together are no more than a session has room for. */
static fusion_status check_layers(const struct engine_layout *layout, fusion_error *err) {
  struct slots_elements all = {0};
  fusion_status status = FUSION_OK;
  for (size_t step = 1; step < SLOTS_ROW; step *= 2)
    (void)slots_elements_add(&all, slots_rotation_element((int64_t)step));
  (void)slots_elements_add(&all, SLOTS_SWAP);
  for (uint32_t i = 1; i < layout->program->count; i++)
    if (step_operator(&layout->program->steps[i])->gate == GATE_LINEAR) TRY(choose_pieces(layout, i, &all, err));
cleanup:
  return status;
}

/* Correlations for the session: how many it will take in each direction. */
static fusion_status size_silent(const struct engine_layout *layout, struct sci_he_layout *own, fusion_error *err) {
  struct cost cost = {0};
  if (!sci_he_is_silent(layout)) return FUSION_OK;
  engine_run_cost(&cost, layout, layout->expected_samples);
  own->silent = (struct silent_params){.profile = SILENT_LAN,
                                       .expected_server_sends = cost.cots_server_sends,
                                       .expected_client_sends = cost.cots_client_sends};
  return cost.out_of_memory ? out_of_memory(err) : FUSION_OK;
}

fusion_status sci_he_layout_open(struct engine_layout *layout, fusion_error *err) {
  fusion_status status;
  struct sci_he_layout *own = layout->own = mem_alloc(1, sizeof *own);
  FAIL_IF(!own, out_of_memory(err));
  own->style.shape = CARRY_FIXED;
  own->pieces = mem_alloc(layout->program->count, sizeof *own->pieces);
  FAIL_IF(!own->pieces, out_of_memory(err));
  TRY(check_layers(layout, err));
  TRY(check_traffic(layout, err));
  TRY(size_silent(layout, own, err));
  return FUSION_OK;
cleanup:
  sci_he_layout_close(layout);
  return status;
}

void sci_he_layout_close(struct engine_layout *layout) {
  struct sci_he_layout *own = layout->own;
  if (!own) return;
  mem_free(own->pieces);
  mem_free(own);
  layout->own = NULL;
}
