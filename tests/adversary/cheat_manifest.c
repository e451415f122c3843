/* Manifests that no honest server sends, announced with their right hash and length: shapes, counts and widths that are
 * zero, huge or do not fit each other, and bytes too few or too many. */
#include <stdlib.h>

#include "adversary/cheat.h"
#include "support/support.h"

/* Places in a server's greeting: magic, version, role, the engine's name with its length. */
enum { HASH_AT = 8 + 4 + 1 + 2 + 7, LEN_AT = HASH_AT + SESSION_HASH_LEN };

/* The first step of a kind. */
static struct program_step *step_of(struct program *p, enum program_op op) {
  for (uint32_t i = 0; i < p->count; i++)
    if (p->steps[i].op == op) return &p->steps[i];
  return &p->steps[0];
}

/* The first layer's parameter set in the engine's section. */
static void spoil_section(struct program *p, uint8_t set) {
  if (p->section_count && p->sections[0].len) p->sections[0].data[0] = set;
}

static void spoil_layer(struct program *p, uint64_t how) {
  struct program_step *linear = step_of(p, OP_LINEAR), *pool = step_of(p, OP_MAXPOOL);
  switch (how) {
    case 0: linear->window.kernel_h = 0; break;
    case 1:
      pool->window.stride_w = 0;
      if (pool->op != OP_MAXPOOL) step_of(p, OP_MATMUL)->out.shape.width++; /* a scene without pools */
      break;
    case 2: linear->window.pad_top = UINT16_MAX; break;
    case 3: linear->window.dilation_h = UINT16_MAX; break;
    case 4: linear->groups = 0; break;
    case 5: linear->groups = UINT32_MAX; break;
    case 6: linear->weight_bits = 0; break;
    case 7: spoil_section(p, 0); break;
    case 8: spoil_section(p, UINT8_MAX); break;
    case 9: linear->out.ring_bits = PROGRAM_RAW_RING_MAX + 1; break;
    case 10:
      if (p->section_count) p->sections[0].len /= 2;
      break;
    case 11:
      if (p->section_count) p->sections[0].engine[0] = 'x';
      break;
    default: linear->out.raw = false; break;
  }
}

static void spoil_program(struct program *p, uint64_t how) {
  struct program_step *first = &p->steps[0], *relu = step_of(p, OP_RELU);
  switch (how) {
    case 0: p->steps[1].out.shape.channels = 0; break;
    case 1: p->steps[1].out.shape.channels = UINT32_MAX; break;
    case 2: first->out.shape = (struct shape){UINT32_MAX, UINT32_MAX, UINT32_MAX}; break;
    case 3: first->out.shape = (struct shape){1, 1, 1}; break;
    case 4: first->out.shape.height *= 2; break;
    case 5: relu->inputs[0] = p->count; break;
    case 6: relu->inputs[0] = UINT32_MAX; break;
    case 7: relu->out.ring_bits = 0; break;
    case 8: relu->out.ring_bits = UINT8_MAX; break;
    case 9: relu->out.value_bits = 0; break;
    case 10: relu->shift = UINT8_MAX; break;
    case 11: p->output = (enum program_output)200; break;
    case 12:
      p->top_k = UINT32_MAX;
      p->output = OUTPUT_TOP_K;
      break;
    case 13: p->rounding = (enum program_rounding)200; break;
    case 14: p->rounding = ROUNDING_FAST; break; /* well formed: so that copies would be compared by label */
    default: p->preprocess.scale = 0; break;
  }
}

enum { PLAN_WAYS = 16, LAYER_WAYS = 13, BYTE_WAYS = 5 };
const unsigned cheat_manifest_ways = PLAN_WAYS + LAYER_WAYS + BYTE_WAYS;

void cheat_manifest(struct cheater *c, uint64_t how, struct writer *out) {
  struct writer honest = {0};
  struct program program;
  program_encode(&honest, &c->model.program);
  struct reader r = reader_of(honest.data, honest.len);
  how %= cheat_manifest_ways;
  if (program_decode(&program, &r, NULL) != FUSION_OK) abort();
  if (how < PLAN_WAYS) spoil_program(&program, how);
  if (how >= PLAN_WAYS && how < PLAN_WAYS + LAYER_WAYS) spoil_layer(&program, how - PLAN_WAYS);
  program_encode(out, &program);
  program_free(&program);
  writer_free(&honest);
  switch (how - PLAN_WAYS - LAYER_WAYS) { /* of fewer ways: above all */
    case 0: out->len = 1; break;
    case 1: out->len /= 2; break;
    case 2: write_u8(out, 0); break;
    case 3: out->data[0] = UINT8_MAX; break;
    case 4:
      for (size_t i = 1; i < out->len; i++) out->data[i] = (uint8_t)test_random(&how); /* the same each time */
      break;
    default: break;
  }
}

void cheat_greeting(const struct writer *manifest, uint8_t *greeting, size_t len) {
  if (len < LEN_AT + 4) return;
  manifest_hash(greeting + HASH_AT, manifest->data, manifest->len);
  for (int i = 0; i < 4; i++) greeting[LEN_AT + i] = (uint8_t)(manifest->len >> (8 * i));
}
