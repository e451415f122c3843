#include "steps/encrypted_steps.h"

#include "program/program_section.h"

/* Units of noise that a sum of raw tensors may have: 2^8 > 255. */
enum { TERMS_MAX = 255 };

static fusion_status refuse(const struct program *program, uint32_t number, const char *why, fusion_error *err) {
  return error_set(err, FUSION_E_MODEL, "layer '%s': %s", program->steps[number].name, why);
}

static fusion_status out_of_memory(fusion_error *err) {
  return error_set(err, FUSION_E_MEMORY, "out of memory for a layout of the program");
}

/* Least guard for so many terms: 2^guard > terms. */
static uint8_t guard_for(unsigned terms) {
  return (uint8_t)log2_up((uint64_t)terms + 1);
}

/* A linear layer makes one term, a product of two shared matrices one for each of its cross terms; a sum of raw
 * tensors, or of a raw and a clean one, has all of theirs. */
static fusion_status find_terms(uint8_t *terms, const struct program *program, fusion_error *err) {
  for (uint32_t i = 1; i < program->count; i++) {
    const struct program_step *s = &program->steps[i];
    const enum operator_raw raw = step_operator(s)->raw;
    if (raw == RAW_MAKES) terms[i] = step_operator(s)->gate == GATE_MATMUL ? 2 : 1;
    if (raw != RAW_SUMS) continue;
    unsigned sum = 0;
    for (uint32_t k = 0; k < s->input_count; k++) sum += terms[s->inputs[k]];
    if (sum > TERMS_MAX) return refuse(program, i, "it sums too many linear layers; add in smaller groups", err);
    terms[i] = (uint8_t)sum;
  }
  return FUSION_OK;
}

/* The first of a group of tensors. */
static uint32_t group_of(uint32_t *groups, uint32_t i) {
  while (groups[i] != i) i = groups[i] = groups[groups[i]];
  return i;
}

/* Raw tensors that are added have one guard, wide enough for the sum: that of the top of their tree of additions. */
static fusion_status find_guards(uint8_t *guard_bits, const uint8_t *terms, const struct program *program,
                                 fusion_error *err) {
  fusion_status status = FUSION_OK;
  uint32_t *groups = mem_alloc(program->count, sizeof *groups);
  FAIL_IF(!groups, out_of_memory(err));
  for (uint32_t i = 0; i < program->count; i++) groups[i] = i;
  for (uint32_t i = 1; i < program->count; i++) {
    const struct program_step *s = &program->steps[i];
    for (uint32_t k = 0; step_operator(s)->raw == RAW_SUMS && k < s->input_count; k++)
      if (terms[s->inputs[k]]) groups[group_of(groups, s->inputs[k])] = group_of(groups, i);
  }
  for (uint32_t i = 0; i < program->count; i++) {
    uint8_t *guard = &guard_bits[group_of(groups, i)];
    *guard = (uint8_t)size_max(*guard, guard_for(terms[i]));
  }
  for (uint32_t i = 0; i < program->count; i++) {
    guard_bits[i] = guard_bits[group_of(groups, i)];
    if (program->steps[i].out.ring_bits + guard_bits[i] > PROGRAM_RING_MAX)
      TRY(refuse(program, i, "its ring leaves no room for guard bits; compile with fewer bits", err));
  }
cleanup:
  mem_free(groups);
  return status;
}

static struct linear_layer linear_of(const struct program *program, uint32_t number, uint8_t guard_bits, uint8_t set) {
  return (struct linear_layer){.shape = step_layer(program, number), .guard_bits = guard_bits, .rlwe_set = set};
}

struct linear_layer step_linear(const struct encrypted_steps *s, uint32_t number) {
  return linear_of(s->program, number, s->guard_bits[number], s->sets[number]);
}

static fusion_status choose_sets(struct model *model, const uint8_t *guard_bits, uint8_t *sets, size_t *count,
                                 fusion_error *err) {
  *count = 0;
  for (uint32_t i = 1; i < model->program.count; i++) {
    const struct program_step *step = &model->program.steps[i];
    if (step_operator(step)->gate != GATE_LINEAR) continue;
    const struct linear_layer layer = linear_of(&model->program, i, guard_bits[i], 0);
    const uint8_t set = linear_choose_set(&layer, model->weights[i].weights);
    if (!set)
      return error_set(err, FUSION_E_MODEL,
                       "layer '%s': a ring of %u bits with weights of %u bits leaves no room for the encryption noise; "
                       "compile with fewer bits",
                       step->name, step->out.ring_bits, step->weight_bits);
    sets[(*count)++] = set;
  }
  return FUSION_OK;
}

fusion_status encrypted_steps_prepare(struct model *model, fusion_error *err) {
  struct program *program = &model->program;
  uint8_t *terms = mem_alloc(program->count, 1), *guard_bits = mem_alloc(program->count, 1);
  uint8_t *sets = mem_alloc(program->count, 1);
  fusion_status status;
  size_t count;
  FAIL_IF(!terms || !guard_bits || !sets, out_of_memory(err));
  TRY(find_terms(terms, program, err));
  TRY(find_guards(guard_bits, terms, program, err));
  TRY(choose_sets(model, guard_bits, sets, &count, err));
  if (program_set_section(program, ENCRYPTED_SECTION, sets, count) != FUSION_OK) status = out_of_memory(err);
cleanup:
  mem_free(terms);
  mem_free(guard_bits);
  mem_free(sets);
  return status;
}

/* Takes each linear layer's parameter set, and checks that the layer can be laid out with it. */
static fusion_status read_sets(struct encrypted_steps *s, size_t expected_samples, fusion_error *err) {
  const struct program *program = s->program;
  const struct program_section *section = program_find_section(program, ENCRYPTED_SECTION); /* it is there */
  struct reader r = reader_of(section->data, section->len);
  for (uint32_t i = 1; i < program->count; i++) {
    if (step_operator(&program->steps[i])->gate != GATE_LINEAR) continue;
    s->sets[i] = read_u8(&r);
    const struct linear_layer layer = step_linear(s, i);
    const fusion_status status = linear_check(&layer);
    if (status == FUSION_E_MEMORY) return out_of_memory(err);
    if (status != FUSION_OK) return refuse(program, i, "its encryption parameters do not fit; compile it again", err);
    rlwe_keys_add(&s->keys, &layer, expected_samples);
  }
  if (reader_done(&r)) return FUSION_OK;
  return error_set(err, FUSION_E_MODEL, "its " ENCRYPTED_SECTION " section is damaged; compile it again");
}

static double layers_price(const struct encrypted_steps *s, const struct rlwe_keys *keys, size_t expected_samples) {
  double price = 0;
  for (uint32_t i = 1; i < s->program->count; i++) {
    if (step_operator(&s->program->steps[i])->gate != GATE_LINEAR) continue;
    const struct linear_layer layer = step_linear(s, i);
    price += linear_keys_price(&layer, keys, expected_samples);
  }
  return price;
}

static struct rlwe_keys with_turns(struct rlwe_keys keys, size_t turns, size_t turned, size_t cut) {
  keys.cut = cut;
  keys.turns = turns;
  keys.turned = turned;
  keys.of_ring[0] = size_max(keys.of_ring[0], turned);
  return keys;
}

/* The keys that interleave answers: as many as take the fewest bytes for the samples of the session. */
static void choose_turns(struct encrypted_steps *s, size_t expected_samples) {
  const struct rlwe_keys none = s->keys, most = with_turns(none, INTERLEAVE_LEVELS_MAX, RLWE_KEYS_MAX, 0);
  const double without = layers_price(s, &none, expected_samples);
  double least = without + rlwe_keys_price(&none);
  if (layers_price(s, &most, expected_samples) >= without) return; /* many samples: nothing to gain */
  for (size_t turned = 1; turned <= RLWE_KEYS_MAX; turned *= 2) {
    for (size_t turns = 1; turns <= INTERLEAVE_LEVELS_MAX; turns++) {
      for (size_t cut = 0; cut < INTERLEAVE_CUTS; cut++) {
        const struct rlwe_keys keys = with_turns(none, turns, turned, cut);
        const double price = layers_price(s, &keys, expected_samples) + rlwe_keys_price(&keys);
        if (price >= least) continue;
        least = price;
        s->keys = keys;
      }
    }
  }
}

fusion_status encrypted_steps_open(struct encrypted_steps *out, const struct program *program, uint8_t *guard_bits,
                                   size_t expected_samples, fusion_error *err) {
  fusion_status status;
  *out = (struct encrypted_steps){.program = program, .guard_bits = guard_bits};
  out->terms = mem_alloc(program->count, sizeof *out->terms);
  out->sets = mem_alloc(program->count, sizeof *out->sets);
  FAIL_IF(!out->terms || !out->sets, out_of_memory(err));
  out->style.terms = out->terms;
  TRY(find_terms(out->terms, program, err));
  TRY(find_guards(guard_bits, out->terms, program, err));
  TRY(read_sets(out, expected_samples, err));
  choose_turns(out, expected_samples);
  return FUSION_OK;
cleanup:
  encrypted_steps_close(out);
  return status;
}

void encrypted_steps_close(struct encrypted_steps *s) {
  mem_free(s->terms);
  mem_free(s->sets);
  *s = (struct encrypted_steps){0};
}
