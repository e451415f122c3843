#include "stack/stack.h"

#include "stack/cheetah.h"

const struct stack *stack_find(const char *name) {
  static const struct stack *const stacks[] = {&stack_cheetah};
  for (size_t i = 0; i < sizeof stacks / sizeof *stacks; i++)
    if (!strcmp(stacks[i]->name, name)) return stacks[i];
  return NULL;
}

const char *stack_stage_name(enum stack_stage stage) {
  static const char *const names[] = {"setup", "linear", "relu", "pool", "multiply", "output"};
  return stage < STAGE_COUNT ? names[stage] : "?";
}
