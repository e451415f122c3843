/* Which reader a file is for. */
#include <stdlib.h>
#include <strings.h>

#include "base/sized.h"
#include "data/data.h"

bool path_ends_in(const char *path, const char *end) {
  const size_t len = strlen(path), end_len = strlen(end);
  return len > end_len && strcasecmp(path + len - end_len, end) == 0;
}

/* FILE.npz:MEMBER; *file is owned by the caller, NULL for another path. */
static fusion_status split_member(const char *path, char **file, const char **member) {
  const char *colon = strrchr(path, ':');
  *file = colon ? strndup(path, (size_t)(colon - path)) : NULL;
  if (colon && !*file) return FUSION_E_MEMORY;
  if (colon && path_ends_in(*file, ".npz")) {
    *member = colon + 1;
    return FUSION_OK;
  }
  free(*file);
  *file = NULL;
  return FUSION_OK;
}

static fusion_status load_by_name(fusion_array **out, const char *path, const fusion_table_settings *settings,
                                  fusion_error *err) {
  char *file;
  const char *member = NULL;
  if (path_ends_in(path, ".csv")) return csv_load(out, path, settings, err);
  if (settings->id_column)
    return error_set(err, FUSION_E_USAGE, "'%s': only .csv files can have a column of names", path);
  fusion_status status = split_member(path, &file, &member);
  if (status != FUSION_OK) return status;
  if (member)
    status = npz_load(out, file, member, err);
  else if (path_ends_in(path, ".npy"))
    status = npy_load(out, path, err);
  else if (path_ends_in(path, ".npz"))
    status = npz_load(out, path, NULL, err);
  else
    status = error_set(err, FUSION_E_INPUT,
                       "'%s': the kind of file is unknown; give a .npy, .npz, .npz:name or .csv file", path);
  free(file);
  return status;
}

void fusion_table_init(fusion_table_settings *settings, size_t size) {
  const fusion_table_settings defaults = {.size = sizeof defaults};
  sized_init(settings, size, &defaults);
}

fusion_status fusion_array_load_table(fusion_array **out, const char *path, const fusion_table_settings *settings,
                                      fusion_error *err) {
  *out = NULL;
  fusion_table_settings known = fusion_table_defaults();
  fusion_status status = sized_take(&known, settings, "fusion_table_settings", err);
  if (status != FUSION_OK) return status;
  status = load_by_name(out, path, &known, err);
  if (status == FUSION_E_MEMORY) error_set(err, status, "'%s': out of memory for this file", path);
  return status;
}

fusion_status fusion_array_load(fusion_array **out, const char *path, fusion_error *err) {
  const fusion_table_settings defaults = fusion_table_defaults();
  return fusion_array_load_table(out, path, &defaults, err);
}
