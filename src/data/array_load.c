/* Which reader a file is for. */
#include "data/data.h"

static fusion_status load_by_name(fusion_array **out, const char *path, fusion_error *err) {
  const size_t len = strlen(path);
  if (len > 4 && strcmp(path + len - 4, ".npy") == 0) return npy_load(out, path, err);
  if (len > 4 && strcmp(path + len - 4, ".csv") == 0) return csv_load(out, path, err);
  if (len > 4 && strcmp(path + len - 4, ".npz") == 0) return npz_load(out, path, NULL, err);
  const char *member = strrchr(path, ':');
  if (!member || member - path < 4 || strncmp(member - 4, ".npz", 4) != 0)
    return error_set(err, FUSION_E_INPUT,
                     "'%s': the kind of file is unknown; give a .npy, .npz, .npz:name or .csv file", path);
  const size_t file_len = (size_t)(member - path);
  char *file = mem_alloc(file_len + 1, 1);
  if (!file) return FUSION_E_MEMORY;
  memcpy(file, path, file_len);
  const fusion_status status = npz_load(out, file, member + 1, err);
  mem_free(file);
  return status;
}

fusion_status fusion_array_load(fusion_array **out, const char *path, fusion_error *err) {
  *out = NULL;
  const fusion_status status = load_by_name(out, path, err);
  if (status == FUSION_E_MEMORY) error_set(err, status, "'%s': out of memory for this file", path);
  return status;
}
