/* The verdict as a file. */
#include <fusion/verdict.h>

#include "base/base.h"
#include "data/data.h"

static bool ends_in(const char *text, const char *end) {
  const size_t len = strlen(text), end_len = strlen(end);
  return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

fusion_status fusion_verdict_save(const fusion_verdict *verdict, const char *path, fusion_error *err) {
  char *text = NULL;
  fusion_status status = ends_in(path, ".html") || ends_in(path, ".htm") ? fusion_verdict_html(verdict, &text)
                                                                         : fusion_verdict_json(verdict, &text);
  if (status != FUSION_OK) return error_set(err, status, "'%s': %s", path, fusion_status_text(status));
  const struct file_part parts[] = {{text, strlen(text)}, {"\n", 1}};
  status = file_write_atomic(path, parts, 2, err);
  fusion_text_free(text);
  return status;
}
