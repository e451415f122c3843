#include "session/check_inputs.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/secret.h"
#include "data/data.h"

#define REACH_MORE 2.5
#define REACH_LESS (1.0 / 32)
#define EQUAL_PART 20 /* more than one in so many equal public samples are told */

fusion_status inputs_check_width(size_t row_size, const struct preprocess *p, struct shape shape,
                                 const fusion_array *rows, fusion_error *err) {
  const size_t size = preprocess_row_size(p, shape);
  if (row_size == size) return FUSION_OK;
  if (rows && fusion_array_rank(rows) == 1 && fusion_array_rows(rows) == size)
    return error_set(err, FUSION_E_INPUT,
                     "input: one axis of %zu numbers is %zu samples of one number; as one sample, reshape it to (1, "
                     "%zu), in a .csv file to one line",
                     size, size, size);
  if (rows && fusion_array_rank(rows) <= 1)
    return error_set(
        err, FUSION_E_INPUT,
        "input: has one axis, so that each sample is one number; the model takes samples of %zu (%ux%ux%u)", size,
        shape.channels, shape.height, shape.width);
  if (p->tokens && p->numbers)
    return error_set(err, FUSION_E_INPUT,
                     "input: a row has %zu numbers, the model takes %zu: %u numbers, %zu tokens, %u numbers", row_size,
                     size, p->numbers_first, size - p->numbers, p->numbers - p->numbers_first);
  if (p->tokens)
    return error_set(err, FUSION_E_INPUT, "input: a row has %zu numbers, the model takes %zu tokens", row_size, size);
  return error_set(err, FUSION_E_INPUT, "input: a row has %zu numbers, the model takes %zu (%ux%ux%u)", row_size, size,
                   shape.channels, shape.height, shape.width);
}

fusion_status inputs_check_channels(const struct preprocess *p, struct shape shape, const fusion_array *rows,
                                    fusion_error *err) {
  if (!rows || fusion_array_rank(rows) != 4 || p->tokens) return FUSION_OK;
  const size_t first = fusion_array_axis(rows, 1), last = fusion_array_axis(rows, 3);
  if ((p->channels_last ? last : first) == shape.channels) return FUSION_OK;
  return error_set(err, FUSION_E_INPUT, "input: a row is %zux%zux%zu, the model takes %u channels %s%s", first,
                   fusion_array_axis(rows, 2), last, shape.channels, p->channels_last ? "last" : "first",
                   p->channels_last ? "" : "; compile with --channels-last if the data are so");
}

static fusion_status refuse_label(const struct class_labels *known, size_t classes, int64_t label, const char *place,
                                  fusion_error *err) {
  char labels[200];
  class_labels_text(known, classes, labels, sizeof labels);
  return error_set(err, FUSION_E_INPUT, "labels: %s holds %" PRId64 ", which is no class of the model: labels are %s%s",
                   place, label, labels,
                   !known->count && label == (int64_t)classes ? "; if labels count from 1, subtract 1 from each" : "");
}

static fusion_status refuse_text(const struct class_labels *known, size_t classes, const char *text, const char *place,
                                 fusion_error *err) {
  char labels[200];
  class_labels_text(known, classes, labels, sizeof labels);
  return error_set(err, FUSION_E_INPUT, "labels: %s holds '%.60s', which is no class of the model: labels are %s%s",
                   place, text, labels, strcmp(place, "line 1") ? "" : "; if it is a header, give --header yes");
}

/* The class of one row's label. */
static fusion_status take_label(const struct class_labels *known, size_t classes, const fusion_array *labels,
                                size_t row, int64_t *out, fusion_error *err) {
  char place[ROW_PLACE_LEN];
  const char *text = array_row_text(labels, row);
  int64_t label = 0;
  if (!text) {
    const fusion_status status = fusion_array_to_int64(labels, row, 1, &label, err);
    if (status != FUSION_OK) return status;
  }
  *out = text ? class_of_text(known, classes, text) : class_of_number(known, classes, label);
  if (*out >= 0) return FUSION_OK;
  array_row_place(labels, row, place);
  return text ? refuse_text(known, classes, text, place, err) : refuse_label(known, classes, label, place, err);
}

fusion_status inputs_take_labels(const struct class_labels *known, size_t classes, const fusion_array *labels,
                                 int64_t *out, fusion_error *err) {
  for (size_t i = 0; i < fusion_array_rows(labels); i++) {
    int64_t class_index;
    const fusion_status status = take_label(known, classes, labels, i, &class_index, err);
    if (status != FUSION_OK) return status;
    if (out) out[i] = class_index;
  }
  return FUSION_OK;
}

fusion_status inputs_take_job_labels(const struct program *program, const struct job_input *in, int64_t *out,
                                     fusion_error *err) {
  const size_t classes = program_class_count(program);
  fusion_status status = FUSION_OK;
  if (in->label_source) status = inputs_take_labels(&program->labels, classes, in->label_source, NULL, err);
  for (size_t i = 0; i < job_labelled_count(in) && status == FUSION_OK; i++) {
    char place[ROW_PLACE_LEN];
    const size_t row = in->public_rows ? in->public_rows[i] : i;
    if (in->label_source && array_row_text(in->label_source, row)) {
      status = take_label(&program->labels, classes, in->label_source, row, &out[i], err);
      continue;
    }
    out[i] = class_of_number(&program->labels, classes, in->labels[i]);
    if (out[i] < 0)
      status = refuse_label(&program->labels, classes, in->labels[i], array_row_place(NULL, i, place), err);
  }
  return status;
}

fusion_status inputs_check_probabilities(const struct program *program, fusion_error *err) {
  if (program->softmax || program->sigmoid) return FUSION_OK;
  return error_set(
      err, FUSION_E_USAGE,
      "the model has no probabilities: its network does not end in a Softmax, LogSoftmax or Sigmoid, or it "
      "answers labels; leave out --probabilities");
}

fusion_status inputs_check_canaries(const struct program *program, const struct job_canaries *c, fusion_error *err) {
  const struct program_tensor *t = &program->steps[0].out;
  if (c->input_size != shape_size(t->shape) || c->answer_size != program_answer_size(program))
    return error_set(err, FUSION_E_INPUT,
                     "canaries: their samples or answers have another size than the model's; audit again");
  const int64_t low = -((int64_t)1 << (t->value_bits - 1)), high = -low - 1;
  uint64_t outside = 0;
  for (size_t i = 0; i < c->count * c->input_size; i++)
    outside |= ((uint64_t)c->inputs[i] - (uint64_t)low) | ((uint64_t)high - (uint64_t)c->inputs[i]); /* their signs */
  outside >>= 63;
  secret_declassify(&outside, sizeof outside, "a canary file that was altered ends the job before it begins");
  if (!outside) return FUSION_OK;
  return error_set(err, FUSION_E_INPUT, "canaries: a sample has numbers that the model does not take; audit again");
}

bool inputs_labels_lack_zero(const struct job_input *in) {
  bool lacks = true;
  for (size_t i = 0; i < job_labelled_count(in); i++) lacks = lacks && in->labels[i] != 0;
  return lacks;
}

struct input_group inputs_queries(const struct job_input *in) {
  return (struct input_group){.what = "queries",
                              .pictures = in->query_pictures,
                              .raw = in->queries,
                              .count = (size_t)in->choice.queries,
                              .source = in->query_source};
}

struct input_group inputs_public(const struct job_input *in) {
  return (struct input_group){.what = "public samples",
                              .pictures = in->public_pictures,
                              .raw = in->public_samples,
                              .count = job_labelled_count(in),
                              .source = in->public_source,
                              .rows = in->public_rows};
}

static void describe_range(char text[INPUT_RANGE_TEXT], const struct program *program, const struct input_group *g,
                           const struct input_range *r) {
  char place[ROW_PLACE_LEN];
  array_row_place(g->source, g->rows ? g->rows[r->first] : r->first, place);
  input_range_text(text, program, r, g->count, g->what, place);
}

const double *inputs_read(const struct input_group *g, size_t row_size, size_t first, size_t count, double *room) {
  if (g->raw) return g->raw + first * row_size;
  assert(!g->rows);
  array_rows_real(g->source, first, count, room);
  return room;
}

fusion_status inputs_check_range(const struct input_range *range, const struct program *program,
                                 const struct input_group *g, bool clip, fusion_error *err) {
  char text[INPUT_RANGE_TEXT];
  if (clip || !input_range_refuses(range, g->count)) return FUSION_OK;
  describe_range(text, program, g, range);
  return error_set(err, FUSION_E_INPUT, "%s; %s", text, input_range_remedy(range));
}

/* The two come from one source, so that they reach about as far. A few queries may well stay far below. */
static void compare_reach(char *out, size_t len, double queries, double public_samples) {
  const double ratio = queries / public_samples;
  if (!(queries > 0 && public_samples > 0) || (ratio < REACH_MORE && ratio > REACH_LESS)) return;
  snprintf(out, len,
           "the largest value of the queries is %.3g times that of the public samples: are they scaled alike?", ratio);
}

enum { DIGEST_LEN = 16 };

static int compare_digests(const void *a, const void *b) {
  return memcmp(a, b, DIGEST_LEN);
}

size_t inputs_equal_public(const struct job_input *in) {
  const size_t count = job_labelled_count(in), row_len = in->row_size * sizeof *in->public_samples;
  uint8_t *digests = mem_alloc(count, DIGEST_LEN);
  if (!digests) return 0;
  for (size_t i = 0; i < count; i++)
    crypto_generichash(digests + i * DIGEST_LEN, DIGEST_LEN, (const uint8_t *)(in->public_samples + i * in->row_size),
                       row_len, NULL, 0);
  qsort(digests, count, DIGEST_LEN, compare_digests);
  size_t equal = 0;
  for (size_t i = 1; i < count; i++)
    equal += memcmp(digests + i * DIGEST_LEN, digests + (i - 1) * DIGEST_LEN, DIGEST_LEN) == 0;
  mem_free(digests);
  return equal;
}

void inputs_note(char *out, size_t len, const struct program *program, const struct job_input *in,
                 const struct input_range *queries, const struct input_range *public_samples) {
  const struct input_group groups[] = {inputs_queries(in), inputs_public(in)};
  const struct input_range *ranges[] = {queries, public_samples};
  size_t at = 0;
  out[0] = '\0';
  for (size_t i = 0; i < 2; i++) {
    char text[INPUT_RANGE_TEXT];
    describe_range(text, program, &groups[i], ranges[i]);
    if (!text[0] || at >= len) continue;
    at += (size_t)snprintf(out + at, len - at, "%s%s%s", at ? "; " : "", text, ranges[i]->samples ? ": clipped" : "");
  }
  if (!at) compare_reach(out, len, queries->reach, public_samples->reach);
  const size_t equal = inputs_equal_public(in), end = strlen(out);
  if (equal * EQUAL_PART > job_labelled_count(in))
    snprintf(out + end, len - end,
             "%s%zu of %zu public samples equal another one: equal samples count as one, so accuracy and bits "
             "are less certain than stated",
             end ? "; " : "", equal, job_labelled_count(in));
}
