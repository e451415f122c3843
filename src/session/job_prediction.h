/** What a job is predicted to take: for people who wait. Nothing that a job does depends on it. */
#ifndef FUSION_SESSION_JOB_PREDICTION_H
#define FUSION_SESSION_JOB_PREDICTION_H

#include "session/prepare.h"

/** All in seconds; zeros when unknown. */
struct job_prediction {
  double server, client; /* of processor cores, all workers together */
  double whole;          /* computing and delays; what the bandwidth of the line adds is not in it */
};

/** `server`: the speeds that it told, which may be anything plausible; NULL: it is as fast as this machine. Of a job
 *  whose manifest has been taken. Unknown without this machine's speeds, and for shards that run elsewhere or were
 *  prepared. */
struct job_prediction predict_job(const struct prepared_job *p, const struct job_terms *t,
                                  const struct engine_speeds *server, double round_trip_seconds);

#endif
