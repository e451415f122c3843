/** A cheating server and a client with a small job, both in this process, over a real loopback connection and the real
 *  protocols; and what became of the job. */
#ifndef FUSION_TESTS_ADVERSARY_SCENE_H
#define FUSION_TESTS_ADVERSARY_SCENE_H

#include "adversary/cheat.h"
#include "program/program.h"

/* Linear steps of the scene's network, and its classes. */
enum { SCENE_HIDDEN = 1, SCENE_MIDDLE = 5, SCENE_LAST = 9, SCENE_CLASSES = 6 };

enum outcome {
  OUTCOME_REJECTED, /* the verdict says reject; no answers */
  OUTCOME_FAILED,   /* the run ended with an error; no answers */
  OUTCOME_RIGHT,    /* accepted, and every answer is the model's */
  OUTCOME_WRONG,    /* accepted, and some answer is not: must not happen */
  OUTCOME_COUNT,
};

struct scene {
  /* Settings, with their defaults by scene_open. */
  uint64_t queries, public_samples, copies, errors;
  uint64_t mislabelled; /* public samples with a wrong label: a model that is that bad */
  uint32_t shard_samples, workers, tries;
  int timeout_ms;
  /* While a job runs that is prepared first: its server, and the client's file; else empty. */
  struct server *server;
  char prepared[64];
  char kept[64]; /* while jobs run that keep their set-ups: the client's file; else empty */
  /* The model, its inputs, its answers. Owned. */
  struct model *model;
  double *inputs; /* queries, then public samples */
  int64_t *labels, *expected;
  uint64_t canaries;             /* of the public samples: their answers are known, from an audit of the model */
  uint64_t changed, disagreeing; /* of the last job with a verdict: canaries, queries */
  const uint8_t *audited;        /* borrowed: hash of the audited manifest; NULL: the model's own */
  const int64_t *tampered; /* borrowed; not NULL: the answers of another model, and every accepted one is of the two */
  size_t row_size, answer_size;
  uint64_t random;
};

/** The engine of all scenes: FUSION_TEST_ENGINE, or the default. */
const struct engine *scene_engine(void);

/** Whether jobs are prepared ahead of their inputs and then used (FUSION_TEST_AHEAD): two connections each, and a
 * server that cheats does so on both, at the same places of the job. */
bool scene_ahead(void);

/** Whether each job is two (FUSION_TEST_KEEP), against one server: the second begins with the set-up that the first has
 * left. The outcome is that of the second, if the first one ends with a verdict. */
bool scene_keeps(void);

/** A network with every kind of step that has messages of its own, and room for `samples` inputs. */
void scene_open(struct scene *s, uint64_t seed, uint64_t samples_max);
/** The same with a model of comparisons, as a tree ensemble has: thresholds, sums of them, values. */
void scene_open_decisions(struct scene *s, uint64_t seed, uint64_t samples_max);
void scene_close(struct scene *s);

/** The model's answers to the first `samples` inputs, after these were changed. */
void scene_expect(struct scene *s, size_t samples);

/** Answers from now on with labels, the k best (`top_k`; else 0) or logits. */
void scene_set_output(struct scene *s, enum program_output output, uint32_t top_k);

/** The label that one answer gives. */
int64_t scene_label(const struct scene *s, const int64_t *answer);

/** A copy of the scene's model, to be altered. model_free. */
struct model *scene_copy_model(const struct scene *s);

/** A model of the scene's shapes whose labels are never the right ones. model_free. */
struct model *scene_wrong_model(const struct scene *s);

/** One job against the server on `port` of this machine (`tls` NULL: plaintext): what became of it. */
enum outcome scene_ask(struct scene *s, uint16_t port, struct tls_context *tls, fusion_error *why);

/** One job against a server that cheats as `cheater` does. `why`: the error or the verdict's reason. */
enum outcome scene_run(struct scene *s, struct cheater *cheater, fusion_error *why);

#endif
