/** Points at which a process of a test may be killed: before each call that changes a file or folder, in the middle of
 * it where it writes, and wherever the test says so. The program is linked with --wrap for these calls
 * (tests/meson.build). */
#ifndef FUSION_TESTS_KILL_POINTS_H
#define FUSION_TESTS_KILL_POINTS_H

#include <sys/types.h>

#include "net/channel.h"

/** From now on this process dies, by SIGKILL, at its n-th point; 0: at none. */
void kill_at(unsigned n);
/** A point. */
void kill_point(void);

/* What the test itself does is no point. */
ssize_t __real_write(int fd, const void *data, size_t len);
int __real_unlink(const char *path);
fusion_status __real_channel_send(struct channel *c, message_type type, const void *data, size_t len);
/** The test's own. */
fusion_status __wrap_channel_send(struct channel *c, message_type type, const void *data, size_t len);

#endif
