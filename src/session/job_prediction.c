#include "session/job_prediction.h"

#include <math.h>

#include "base/cpu_tier.h"

/* Of the worker that runs most, on each processor, and the delays on its path: those of a session of one shard and of
 * one of two tell those of many. The server says how small shards are: their number must not cost time here. */
static fusion_status predict_worker(const struct engine_run *run, struct engine_seconds *seconds, double *depth) {
  const double shards = (double)div_up(run->samples, run->shard);
  const size_t sizes[2] = {run->shard, run->shard};
  struct cost one = {0}, two = {0};
  fusion_status status = engine_cost(run->engine, run->program, sizes, 1, &one);
  if (status == FUSION_OK && shards > 1) status = engine_cost(run->engine, run->program, sizes, 2, &two);
  if (status == FUSION_OK) status = engine_seconds(run, seconds);
  *depth = one.depth_client;
  if (shards > 1) *depth += (shards - 1) * ((double)two.depth_client - one.depth_client);
  return status;
}

struct job_prediction predict_job(const struct prepared_job *p, const struct job_terms *t,
                                  const struct engine_speeds *server, double round_trip_seconds) {
  const struct engine_speeds *here = t->handles->speeds;
  struct engine_seconds seconds;
  double depth;
  if (!here || !p->todo || t->settings->run_task || t->handles->ahead) return (struct job_prediction){0};
  const size_t shards = div_up(p->todo, p->shard_samples), workers = size_min(p->worker_count, shards);
  const struct engine_run run = {.engine = t->handles->engine,
                                 .program = &p->program,
                                 .samples = div_up(p->todo, workers),
                                 .shard = size_min(p->shard_samples, div_up(p->todo, workers)),
                                 .server = server ? server : here,
                                 .client = here};
  if (predict_worker(&run, &seconds, &depth) != FUSION_OK) return (struct job_prediction){0};
  const double computing = engine_waiting * seconds.together;
  const double a_core = (double)workers / (double)size_min(workers, cpu_cores()); /* the server's are as many */
  struct job_prediction job = {
      .server = (double)workers * seconds.server,
      .client = (double)workers * seconds.client,
      .whole = fmax(computing + depth * round_trip_seconds / 2, a_core * computing),
  };
  /* Or the same ones, where the server need not keep to those of this process. */
  if (net_address_is_local(&t->handles->address))
    job.whole = fmax(job.whole, engine_waiting * (job.server + job.client) / (double)cpu_cores_of_all());
  return job;
}
