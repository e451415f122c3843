/** The folder of large real networks and data sets that lies beside the repository where it is at hand. */
#ifndef FUSION_TESTS_SHARED_FOLDER_H
#define FUSION_TESTS_SHARED_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

enum { TEST_SKIPPED = 77 }; /* what tells meson that a test did not run */

/** False, and a line that says so, without the folder. With it, every file that a test names must be there. */
bool shared_there(void);
void shared_path(char *out, size_t capacity, const char *name);

#endif
