/** The client's data against what the manifest says: shape, classes, range. Before START, and never the server's fault.
 */
#ifndef FUSION_SESSION_CHECK_INPUTS_H
#define FUSION_SESSION_CHECK_INPUTS_H

#include "program/input_range.h"
#include "session/job.h"

/** A row has as many numbers as the model takes. `rows` NULL: its shape is unknown. FUSION_E_INPUT. */
fusion_status inputs_check_width(size_t row_size, const struct preprocess *p, struct shape shape,
                                 const fusion_array *rows, fusion_error *err) FUSION_MUST_CHECK;
/** Images must not have their channels where the model has not. `rows` NULL: raw rows whose shape is unknown.
 *  FUSION_E_INPUT. */
fusion_status inputs_check_channels(const struct preprocess *preprocess, struct shape shape, const fusion_array *rows,
                                    fusion_error *err) FUSION_MUST_CHECK;

/** The classes, from 0 on, of the labels of `labels`, into out [rows] (NULL: they are checked only). Labels are what
 * the model's file calls its classes, 0 to `classes` - 1 where it says nothing; of texts, also their places.
 *  FUSION_E_INPUT names the first that is none. */
fusion_status inputs_take_labels(const struct class_labels *known, size_t classes, const fusion_array *labels,
                                 int64_t *out, fusion_error *err) FUSION_MUST_CHECK;
/** The same of a job's labels, out [public samples]; every label of the array, drawn or not, is checked. */
fusion_status inputs_take_job_labels(const struct program *program, const struct job_input *in, int64_t *out,
                                     fusion_error *err) FUSION_MUST_CHECK;

/** Canaries have the model's sizes and its range of inputs. FUSION_E_INPUT. */
fusion_status inputs_check_canaries(const struct program *program, const struct job_canaries *canaries,
                                    fusion_error *err) FUSION_MUST_CHECK;

/** The network ended in what makes probabilities, or their logarithms, of logits. FUSION_E_USAGE. */
fusion_status inputs_check_probabilities(const struct program *program, fusion_error *err) FUSION_MUST_CHECK;

/** A group of a job's samples. */
struct input_group {
  const char *what; /* "queries" */
  const struct picture_form *pictures;
  const double *raw; /* NULL: those of `source` */
  size_t count;
  const fusion_array *source; /* NULL: unknown */
  const size_t *rows;         /* of `source`, by sample; NULL: each its own */
};
struct input_group inputs_queries(const struct job_input *in);
struct input_group inputs_public(const struct job_input *in);

/** Samples [first, first + count) of `row_size` numbers: the group's own, or read into `room`. Constant flow. */
const double *inputs_read(const struct input_group *g, size_t row_size, size_t first, size_t count, double *room);

/** Refuses samples that the model would clip, unless `clip`; `range` says how many there are. FUSION_E_INPUT. */
fusion_status inputs_check_range(const struct input_range *range, const struct program *program,
                                 const struct input_group *g, bool clip, fusion_error *err) FUSION_MUST_CHECK;
/** How many public samples equal one before them: the checks take them as independent. */
size_t inputs_equal_public(const struct job_input *in);
/** True when no label is the first class, as when they count from 1 and the last class is absent. */
bool inputs_labels_lack_zero(const struct job_input *in);

/** What the owner is to know of samples that were taken; empty when there is nothing to say. */
void inputs_note(char *out, size_t len, const struct program *program, const struct job_input *in,
                 const struct input_range *queries, const struct input_range *public_samples);

#endif
