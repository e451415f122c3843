#include "stack/stack.h"

#include "stack/cheetah.h"

const struct stack *stack_find(const char *name) {
  static const struct stack *const stacks[] = {&stack_cheetah, &stack_cheetah_wan};
  for (size_t i = 0; i < sizeof stacks / sizeof *stacks; i++)
    if (!strcmp(stacks[i]->name, name)) return stacks[i];
  return NULL;
}

const struct stack *stack_variant(const struct stack *served, const char *name) {
  if (!strcmp(served->name, name)) return served;
  const struct stack *other = served->family ? stack_find(name) : NULL;
  return other && other->family && !strcmp(other->family, served->family) ? other : NULL;
}

const char *stack_stage_name(enum stack_stage stage) {
  static const char *const names[] = {"setup", "linear", "relu", "pool", "multiply", "output"};
  return stage < STAGE_COUNT ? names[stage] : "?";
}
