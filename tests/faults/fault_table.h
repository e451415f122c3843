/** The table of faults and what became of the jobs. */
#ifndef FUSION_TESTS_FAULT_TABLE_H
#define FUSION_TESTS_FAULT_TABLE_H

#include "faults/fault_scene.h"

enum { FAULTS_MAX = 40 };

struct fault_row {
  char name[96];
  unsigned runs, outcomes[OUTCOME_COUNT];
};

struct fault_table {
  struct fault_scene scene;
  struct fault_row rows[FAULTS_MAX];
  size_t count;
  bool long_form;
  double started;
  uint32_t patience_ms; /* time-out of jobs that must meet one */
};

/** The outcome with the answers' file taken into account. */
enum outcome scene_judge(const struct fault_scene *s, enum outcome outcome);
/** Counts a run. A lost one fails the test; `what` and `why` say which. */
void table_count(struct fault_table *t, const char *name, enum outcome outcome, const char *what, const char *why);
void table_print(const struct fault_table *t);

/** Client and server as processes: killed, stopped, interrupted, out of disk. */
void run_processes(struct fault_table *t);

#endif
