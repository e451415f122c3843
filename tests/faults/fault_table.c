#include "faults/fault_table.h"

#include <stdio.h>
#include <stdlib.h>

#include "support/support.h"

enum outcome scene_judge(const struct fault_scene *s, enum outcome outcome) {
  const enum found found = scene_answers(s);
  if (found == FOUND_WRONG || (outcome == OUTCOME_RECOVERED && found != FOUND_RIGHT)) return OUTCOME_LOST;
  return outcome;
}

void table_count(struct fault_table *t, const char *name, enum outcome outcome, const char *what, const char *why) {
  struct fault_row *r = t->rows;
  while (r < t->rows + t->count && strcmp(r->name, name) != 0) r++;
  if (r == t->rows + t->count) {
    assert_true(t->count < FAULTS_MAX);
    t->count++;
    *r = (struct fault_row){.runs = 0};
    snprintf(r->name, sizeof r->name, "%s", name);
  }
  r->runs++;
  r->outcomes[outcome]++;
  if (getenv("FUSION_FAULTS_VERBOSE")) fprintf(stderr, "outcome %d: %s: %s\n", (int)outcome, what, why);
  if (outcome == OUTCOME_LOST) fail_msg("LOST: %s: %s", what, why);
}

void table_print(const struct fault_table *t) {
  struct fault_row sum = {.runs = 0};
  printf("`make test-adversary%s`: %.0f s\n\n", t->long_form ? "-long" : "", clock_seconds() - t->started);
  printf("| fault | runs | recovered | failed clearly | lost |\n|---|--:|--:|--:|--:|\n");
  for (size_t i = 0; i < t->count; i++) {
    const struct fault_row *r = &t->rows[i];
    printf("| %s | %u | %u | %u | %u |\n", r->name, r->runs, r->outcomes[OUTCOME_RECOVERED],
           r->outcomes[OUTCOME_FAILED], r->outcomes[OUTCOME_LOST]);
    sum.runs += r->runs;
    for (int k = 0; k < OUTCOME_COUNT; k++) sum.outcomes[k] += r->outcomes[k];
  }
  printf("| **all** | %u | %u | %u | **%u** |\n", sum.runs, sum.outcomes[OUTCOME_RECOVERED],
         sum.outcomes[OUTCOME_FAILED], sum.outcomes[OUTCOME_LOST]);
}
