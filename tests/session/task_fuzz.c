/* Fuzz target of tasks: the input is what fusion_client_run_task is given. Whatever is accepted must be within the
 * limits and within its bytes. */
#include <stdlib.h>

#include "session/task.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  struct task task;
  fusion_error why = {.status = FUSION_OK};
  const fusion_status status = task_decode(&task, data, len, &why);
  if ((status == FUSION_OK) != !why.text[0]) abort();
  if (status != FUSION_OK) return 0;
  if (!task.samples || task.samples > SESSION_SHARD_MAX || task.declared < task.samples) abort();
  if (!memchr(task.engine, 0, sizeof task.engine)) abort();
  if (task.manifest_len > len || task.manifest + task.manifest_len != task.rows) abort();
  if (task.rows + task.rows_len != data + len || !task_report_len(&task)) abort();
  return 0;
}
