/* The verdict as a file. */
#include <fusion/verdict.h>

#include "base/base.h"
#include "data/data.h"

fusion_status fusion_files_add_verdict(fusion_files *files, const char *path, const fusion_verdict *verdict,
                                       fusion_error *err) {
  char *text = NULL;
  fusion_status status = path_ends_in(path, ".html") || path_ends_in(path, ".htm")
                             ? fusion_verdict_html(verdict, &text)
                             : fusion_verdict_json(verdict, &text);
  if (status != FUSION_OK) return error_set(err, status, "'%s': %s", path, fusion_status_text(status));
  const struct file_part parts[] = {{text, strlen(text)}, {"\n", 1}};
  status = files_add(files, path, parts, 2, err);
  fusion_text_free(text);
  return status;
}

fusion_status fusion_verdict_save(const fusion_verdict *verdict, const char *path, fusion_error *err) {
  fusion_files *files;
  fusion_status status = fusion_files_create(&files, err);
  if (status != FUSION_OK) return status;
  status = fusion_files_add_verdict(files, path, verdict, err);
  if (status == FUSION_OK) status = fusion_files_place(files, err);
  fusion_files_free(files);
  return status;
}
