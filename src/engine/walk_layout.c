/* Before a program runs: what the engine derives from it, and whether it can run it. */
#include "engine/engine.h"
#include "program/program_section.h"

#define GATE_TEXT(name, text) [GATE_##name] = text,
static const char *const gate_names[GATE_COUNT] = {OPERATOR_GATES(GATE_TEXT)};
#undef GATE_TEXT

/* A gate that a program needs and the engine lacks. */
static fusion_status check_gate(const struct engine_layout *layout, enum operator_gate gate, uint32_t number,
                                fusion_error *err) {
  if (layout->engine->gates[gate].run) return FUSION_OK;
  return error_set(err, FUSION_E_MODEL, "layer '%s': the %s engine cannot run %s; use another engine",
                   layout->program->steps[number].name, layout->engine->name, gate_names[gate]);
}

static fusion_status check_gates(const struct engine_layout *layout, fusion_error *err) {
  const struct program *program = layout->program;
  fusion_status status = FUSION_OK;
  for (uint32_t i = 1; i < program->count; i++) {
    const enum operator_gate gate = step_operator(&program->steps[i])->gate;
    if (gate != GATE_LOCAL) TRY(check_gate(layout, gate, i, err));
  }
  if (program->output != OUTPUT_LOGITS) TRY(check_gate(layout, GATE_TOP_K, program->count - 1, err));
cleanup:
  return status;
}

fusion_status engine_layout_open(struct engine_layout *out, const struct engine *engine, const struct program *program,
                                 size_t expected_samples, fusion_error *err) {
  return engine_layout_open_phase(out, engine, ENGINE_AT_ONCE, program, expected_samples, err);
}

fusion_status engine_layout_open_phase(struct engine_layout *out, const struct engine *engine, enum engine_phase phase,
                                       const struct program *program, size_t expected_samples, fusion_error *err) {
  struct engine_layout layout = {
      .engine = engine, .program = program, .phase = phase, .expected_samples = size_max(1, expected_samples)};
  fusion_status status;
  *out = (struct engine_layout){0};
  if (phase != ENGINE_AT_ONCE && !engine_runs_ahead(engine))
    return error_set(err, FUSION_E_UNSUPPORTED, "the %s engine cannot prepare runs ahead; use cheetah or delphi",
                     engine->name);
  layout.guard_bits = mem_alloc(program->count, sizeof *layout.guard_bits);
  FAIL_IF(!layout.guard_bits, error_set(err, FUSION_E_MEMORY, "out of memory for a layout of the program"));
  TRY(check_gates(&layout, err));
  FAIL_IF(
      engine->prepare && !program_find_section(program, engine->section ? engine->section : engine->family),
      error_set(err, FUSION_E_MODEL, "this model was not prepared for the %s engine; compile it again (--engine %s)",
                engine->name, engine->name));
  if (engine->layout_open) TRY(engine->layout_open(&layout, err));
  *out = layout;
  return FUSION_OK;
cleanup:
  mem_free(layout.guard_bits);
  return status;
}

void engine_layout_close(struct engine_layout *layout) {
  if (layout->own) layout->engine->layout_close(layout);
  mem_free(layout->guard_bits);
  *layout = (struct engine_layout){0};
}

fusion_status engine_check(const struct engine *engine, const struct program *program, fusion_error *err) {
  struct engine_layout layout;
  const fusion_status status = engine_layout_open(&layout, engine, program, 1, err);
  if (status == FUSION_OK) engine_layout_close(&layout);
  return status;
}

fusion_status engine_prepare(const struct engine *engine, struct model *model, fusion_error *err) {
  const fusion_status status = engine->prepare ? engine->prepare(engine, model, err) : FUSION_OK;
  return status == FUSION_OK ? engine_check(engine, &model->program, err) : status;
}
