/** A shaper around a channel, for benchmarks: both ends of a fast channel on one machine behave as if a slower network
 *  lay between them. */
#ifndef FUSION_NET_SHAPED_H
#define FUSION_NET_SHAPED_H

#include <pthread.h>

#include "net/channel.h"

/** What several channels of a process share when they go through one line: the time at which the last byte of any of
 * them leaves. */
struct shape_line {
  pthread_mutex_t lock; /* PTHREAD_MUTEX_INITIALIZER */
  double free_at;       /* seconds; 0 at first */
};

struct shape_settings {
  double bytes_per_second; /* each way */
  double latency_ms;       /* one way: half the round trip */
  struct shape_line *line; /* borrowed; NULL: each channel has a line of its own */
};

/** The two networks of the published measurements: 382 MB/s with 0.3 ms, 44 MB/s with 40 ms round trip. */
extern const struct shape_settings shaped_lan, shaped_wan;

/** Replaces *channel, through which nothing has passed yet, by a shaped one; both ends must do so, with the same
 * settings, on one machine (they compare its monotonic clock). On failure *channel is closed and NULL. */
fusion_status channel_shape(struct channel **channel, const struct shape_settings *settings) FUSION_MUST_CHECK;

#endif
