/** Files that belong together, as answers and their report: all of them appear, complete, or none does. */
#ifndef FUSION_FILES_H
#define FUSION_FILES_H

#include <fusion/array.h>
#include <fusion/verdict.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fusion_files fusion_files;

/** An empty set, owned by the caller. FUSION_E_MEMORY. */
FUSION_API fusion_status fusion_files_create(fusion_files **out, fusion_error *err) FUSION_MUST_CHECK;

/** Writes a file out, without its name; what cannot be written is found here. At most 16 files. A file is for its
 *  owner alone (mode 0600), or has the permissions of the file that it is to replace. What is for a device or a pipe
 *  waits in memory. FUSION_E_IO, FUSION_E_MEMORY, FUSION_E_USAGE. */
FUSION_API fusion_status fusion_files_add(fusion_files *files, const char *path, const void *bytes, size_t len,
                                          fusion_error *err) FUSION_MUST_CHECK;
/** The same for an array, as .npy, and for a verdict, by the name's end as HTML or JSON. */
FUSION_API fusion_status fusion_files_add_npy(fusion_files *files, const char *path, const fusion_array *a,
                                              fusion_error *err) FUSION_MUST_CHECK;
FUSION_API fusion_status fusion_files_add_verdict(fusion_files *files, const char *path, const fusion_verdict *verdict,
                                                  fusion_error *err) FUSION_MUST_CHECK;

/** All take their places; once. FUSION_E_IO: none has, unless the last renaming itself failed. */
FUSION_API fusion_status fusion_files_place(fusion_files *files, fusion_error *err) FUSION_MUST_CHECK;

/** What has not taken its place vanishes. NULL is allowed. */
FUSION_API void fusion_files_free(fusion_files *files);

#ifdef __cplusplus
}
#endif
#endif
