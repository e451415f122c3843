/** Models: an ONNX file becomes a fixed-point model (.fsn) whose answers are exact integers. These functions compile,
 * save, load, inspect and run models in the clear. What two parties compute on shares equals fusion_model_run bit for
 * bit. */
#ifndef FUSION_MODEL_H
#define FUSION_MODEL_H

#include <stdbool.h>

#include <fusion/array.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fusion_model fusion_model;

/** Protocol engines by name; "cheetah" is the default, also for NULL. FUSION_E_USAGE for an unknown name, with the same
 * text as every call that takes an engine. */
FUSION_API fusion_status fusion_engine_check(const char *name, fusion_error *err) FUSION_MUST_CHECK;
/** The names of all engines, from index 0; NULL past the last one. */
FUSION_API const char *fusion_engine_name(size_t index);
/** What engine `index` does, in one line. */
FUSION_API const char *fusion_engine_summary(size_t index);

/** What an answer is. */
typedef enum fusion_output {
  FUSION_OUTPUT_LOGITS = 0,      /**< every output of the network */
  FUSION_OUTPUT_LABEL,           /**< the index of the largest; the lowest index wins ties */
  FUSION_OUTPUT_TOP_K,           /**< the k best as (index, value), best first */
  FUSION_OUTPUT_REVERSE_SIGMOID, /**< s(u) - beta * (s(gamma * u) - 1/2) of every output, s the logistic function and u
                                    = log(p / (1 - p)) of its probability p (Lee et al. 2019), computed on shares */
  FUSION_OUTPUT_ROUND,           /**< every output's probability, rounded to `digits` decimals, computed on shares */
} fusion_output;

typedef enum fusion_rounding {
  FUSION_ROUNDING_EXACT = 0, /**< both parties' result equals fusion_model_run bit for bit */
  FUSION_ROUNDING_FAST,      /**< cheaper; each truncation may be one unit in the last place off */
} fusion_rounding;

/** How raw data becomes the network's input: (raw * scale - mean[c]) / deviation[c]. Stored, public, in the model.
 *  Never changes. */
typedef struct fusion_preprocess {
  bool channels_last;      /**< raw samples are [height][width][channels]; default channels first */
  bool reverse_channels;   /**< raw channels come in the opposite order, BGR for RGB; default no */
  double scale;            /**< 1/255 for images of bytes; default 1 */
  size_t count;            /**< numbers in mean and deviation: 0 (default: 0 and 1), 1, or one for each channel */
  const double *mean;      /**< borrowed for the call */
  const double *deviation; /**< borrowed for the call; positive */
} fusion_preprocess;

/** All settings of a compilation. Start from fusion_compile_defaults(). */
typedef struct fusion_compile_settings {
  size_t size;              /**< of this struct; see fusion.h */
  unsigned weight_bits;     /**< 2..16; 0 (default): searched, for each layer */
  unsigned activation_bits; /**< 4..16, signed; 0 (default): likewise */
  unsigned input_bits;      /**< 2..16; 0 (default): the activation width, at least 9 */
  unsigned output_bits;     /**< of the last tensor, 2..32; 0 (default): 16 */
  double overflow; /**< estimated probability of ring overflow to accept, per sample, 0..0.1; default 1e-3. It decides
                      the rings; with 0, or with fewer than eight samples, margin_bits do */
  unsigned margin_bits;    /**< room above the calibrated ranges, 0..8; default 2 */
  double accuracy_loss;    /**< accuracy that a test of 1,000 samples may lose, with 95 % confidence, 0..1; default
                              0.005. From the logits' errors and leads, the float network's own probabilities taken as
                              true: no labels are needed, and few samples suffice */
  double agreement;        /**< expected share of samples that must keep their argmax, 0..1; default 0.9 */
  double logit_error;      /**< largest root mean square error of the logits, relative to their spread; default 1/16 */
  bool equalise;           /**< rescale channels between layers; with given widths only where that errs less. Default
                              true */
  bool layer_errors;       /**< measure the error of every layer's values (fusion_model_layer_error); default false */
  bool best_effort;        /**< if no widths keep the limits above, take the nearest ones instead of failing with
                              FUSION_E_UNREACHABLE; default false */
  bool single_input_scale; /**< one scale for the whole input, so that the manifest shows nothing about single features;
                              default false: a unit for each feature or channel where one scale is not enough */
  fusion_output output;    /**< default logits */
  unsigned top_k;          /**< for FUSION_OUTPUT_TOP_K */
  fusion_rounding rounding; /**< default exact */
  size_t calibration_rows;  /**< calibrate with the first rows, at most this many; default 512, 0 for all */
  unsigned threads;         /**< 0 (default): one for every core */
  fusion_preprocess preprocess;
  const char *engine; /**< protocol engine (fusion_engine_check) whose costs the search weighs and that the model is
                           prepared for; NULL (default): "cheetah" */
  const char *salt; /**< 64 hexadecimal digits: the secret that the model's id is made with; the same network under the
                         same salt compiles to the same bytes. NULL (default): random */
  double beta;      /**< for FUSION_OUTPUT_REVERSE_SIGMOID, 0.01..0.95; default 0.7 */
  double gamma;     /**< likewise, 0.01..100, beta * gamma at most 0.95; default 0.2 */
  uint64_t digits;  /**< for FUSION_OUTPUT_ROUND, 1..3; default 2 */
  uint64_t publish_embeddings; /**< not 0, of a network whose input is tokens: the client looks embeddings up in a table
                                    that the manifest holds, publicly; default 0: they are a private layer */
} fusion_compile_settings;

FUSION_API void fusion_compile_init(fusion_compile_settings *settings, size_t size);
static inline fusion_compile_settings fusion_compile_defaults(void) {
  fusion_compile_settings settings;
  fusion_compile_init(&settings, sizeof settings);
  return settings;
}

typedef struct fusion_compile_report {
  size_t size;                                   /**< of this struct */
  unsigned weight_bits, activation_bits;         /**< the widest of any layer */
  double mean_weight_bits, mean_activation_bits; /**< over all weights, over all values that layers exchange */
  unsigned candidates;                           /**< models that were tried */
  size_t samples;                                /**< that calibrated */
  double agreement;                              /**< share of them with the float network's argmax */
  double expected, expected_error; /**< the same of other samples, from the logits' errors and leads and from what such
                                      errors change elsewhere, +- one deviation */
  double loss;                     /**< accuracy that is expected to be lost */
  double logit_error;              /**< root mean square error of their logits, relative to the logits' spread */
  double logit_deviation;          /**< largest deviation of any logit from the float network's, real */
  double overflow;                 /**< estimated probability that a sample's value leaves a ring */
  uint64_t tolerance; /**< rounding fast: units by which the logits of two honest runs of a sample differ but with
                         probability 1e-6, estimated: what a query may tolerate between copies; else 0 */
  size_t accumulators, guaranteed;       /**< how many there are, and how many of them no input can overflow */
  bool enough;                           /**< loss_bound, expected and logit_error satisfy the settings */
  bool labelled;                         /**< labels were given; then: */
  double float_accuracy, fixed_accuracy; /**< over all rows of the calibration array */
  double seconds;
  char note[160];           /**< what the file's answers have and the model's lack; empty when nothing */
  double loss_bound;        /**< accuracy that a test of 1,000 samples loses at most, with 95 % confidence */
  char warning[160];        /**< what is odd about the calibration samples; empty when nothing is */
  double defended_accuracy; /**< labelled: of the float network behind the defence of the settings' output; else that of
                                 the float network */
} fusion_compile_report;

/** Compiles `onnx_path` ("FILE", or "FILE:TENSOR" to end the network at a tensor of the file) with the rows of
 * `calibration` (raw data). `labels` (may be NULL): whole numbers, one for each row: accuracies are measured, and a
 * search of widths keeps the calibrating rows' within half a point. `report` may be NULL. *out is owned by the caller
 * (fusion_model_free). FUSION_E_IO, FUSION_E_USAGE, FUSION_E_INPUT, FUSION_E_MODEL, FUSION_E_UNSUPPORTED,
 * FUSION_E_UNREACHABLE (also when a search does not reach the limits: see best_effort), FUSION_E_MEMORY. */
FUSION_API fusion_status fusion_model_compile(fusion_model **out, const char *onnx_path,
                                              const fusion_array *calibration, const fusion_array *labels,
                                              const fusion_compile_settings *settings, fusion_compile_report *report,
                                              fusion_error *err) FUSION_MUST_CHECK;

/** Writes a .fsn file. It appears complete or not at all. FUSION_E_IO. */
FUSION_API fusion_status fusion_model_save(const fusion_model *model, const char *path,
                                           fusion_error *err) FUSION_MUST_CHECK;
/** FUSION_E_IO; FUSION_E_MODEL: no .fsn file, of an unknown version, truncated or altered. */
FUSION_API fusion_status fusion_model_load(fusion_model **out, const char *path, fusion_error *err) FUSION_MUST_CHECK;
FUSION_API void fusion_model_free(fusion_model *model);

/** How samples compare with the input range that a model was calibrated for. Values beyond it are clipped, so that such
 * a sample's answer may be wrong. */
typedef struct fusion_input_check {
  size_t size;            /**< of this struct */
  size_t values, samples; /**< values beyond the range; samples that have such */
  size_t first;           /**< row of the first of them */
  double reach;           /**< the largest magnitude, in units of the range's end */
  char text[400];         /**< one line on samples beyond the range, or scaled otherwise; empty: nothing to say */
  size_t unusual;         /**< samples with values beyond what calibrated the model, those beyond the range included */
  uint64_t refused;       /**< not 0: some are beyond the range, or of 10 or more samples most are unusual */
} fusion_input_check;

/** FUSION_E_USAGE, FUSION_E_INPUT, FUSION_E_MEMORY. */
FUSION_API fusion_status fusion_model_check_input(const fusion_model *model, const fusion_array *input,
                                                  fusion_input_check *check, fusion_error *err) FUSION_MUST_CHECK;
/** What the network's file calls class `index` (0 to the model's classes - 1): its label, a number, and where labels
 * are names its name, borrowed, else NULL. A name's number is its index. False beyond the last class. */
FUSION_API bool fusion_model_class(const fusion_model *model, size_t index, int64_t *number, const char **text);
/** The classes of labels, from 0 on, into classes [rows]. FUSION_E_INPUT as below. */
FUSION_API fusion_status fusion_model_classes(const fusion_model *model, const fusion_array *labels, int64_t *classes,
                                              fusion_error *err) FUSION_MUST_CHECK;
/** Labels are the file's, or 0 to the model's classes - 1 where it has none or has names: FUSION_E_INPUT names the
 * first row that holds another. */
FUSION_API fusion_status fusion_model_check_labels(const fusion_model *model, const fusion_array *labels,
                                                   fusion_error *err) FUSION_MUST_CHECK;

/** Runs rows of raw data in fixed point, the plaintext meaning of the model. *answers: I64 [rows][answer size]:
 * integers of the last tensor for logits, an index for a label, (index, integer) pairs for top-k. Owned by the caller.
 *  `threads` 0: one for every core. FUSION_E_INPUT, FUSION_E_MEMORY. */
FUSION_API fusion_status fusion_model_run(const fusion_model *model, const fusion_array *input, unsigned threads,
                                          fusion_array **answers, fusion_error *err) FUSION_MUST_CHECK;

/** The float network of `onnx_path` on the same raw data, with the model's preprocessing. *answers: F32
 * [rows][outputs]. The reference that fixed point is judged by. */
FUSION_API fusion_status fusion_model_run_float(const fusion_model *model, const char *onnx_path,
                                                const fusion_array *input, fusion_array **answers,
                                                fusion_error *err) FUSION_MUST_CHECK;

/** Integer answers to real ones, F64 of the same shape: logits and top-k values are scaled; where the network ended in
 * a Softmax or Sigmoid and `probabilities` is set, logits become probabilities, behind a LogSoftmax their logarithms.
 * Reversed and rounded outputs are real numbers near probabilities; with `probabilities` reversed ones of classes are
 * divided by their sum.
 *  FUSION_E_USAGE when `probabilities` is set for another network. Indices become the labels that the file has. */
FUSION_API fusion_status fusion_model_real_answers(const fusion_model *model, const fusion_array *answers,
                                                   bool probabilities, fusion_array **real,
                                                   fusion_error *err) FUSION_MUST_CHECK;

/** The label that each row of answers decides for (argmax; of one logit its sign, of one probability whether it is
 * above 1/2), as the network's file has it (fusion_model_class), into labels [rows].
 */
FUSION_API fusion_status fusion_model_labels(const fusion_model *model, const fusion_array *answers, int64_t *labels,
                                             fusion_error *err) FUSION_MUST_CHECK;

typedef struct fusion_model_info {
  size_t size; /**< of this struct */
  size_t layers;
  size_t input_channels, input_height, input_width;
  size_t outputs;     /**< elements of the last tensor */
  size_t answer_size; /**< integers in an answer */
  fusion_output output;
  unsigned top_k;
  fusion_rounding rounding;
  bool softmax;                 /**< logits may be turned into probabilities */
  bool sigmoid;                 /**< the same, each logit by itself */
  double output_scale;          /**< real value of one unit of the last tensor */
  fusion_preprocess preprocess; /**< mean and deviation are borrowed from the model */
  unsigned widest_ring;         /**< guard included */
  size_t manifest_len;          /**< bytes of the public manifest */
  uint64_t weights;             /**< number of weights */
  uint64_t multiplications;     /**< multiply-accumulates of a sample */
  uint64_t log_softmax;         /**< not 0, with softmax: into logarithms of probabilities */
  size_t input_units;           /**< units of the quantised input: 0 (one for all), or one a channel or an element */
  char model_id[72];            /**< 64 hexadecimal digits: the same for the same function under the same salt */
  double beta, gamma;           /**< of FUSION_OUTPUT_REVERSE_SIGMOID, else 0 */
  uint64_t digits;              /**< of FUSION_OUTPUT_ROUND, else 0 */
  uint64_t tokens;              /**< not 0: a raw sample is input_height * input_width tokens, whole numbers below it */
  uint64_t publishes_embeddings; /**< not 0: the manifest holds what each token becomes */
  uint64_t numbers;              /**< with tokens: numbers of a raw sample beside them, which stay what they are */
  uint64_t numbers_first;        /**< of them, those before the tokens; the others follow the tokens */
} fusion_model_info;

/** FUSION_E_USAGE, FUSION_E_MEMORY. */
FUSION_API fusion_status fusion_model_describe(const fusion_model *model, fusion_model_info *info,
                                               fusion_error *err) FUSION_MUST_CHECK;

/** One step of the program. The texts are borrowed from the model. */
typedef struct fusion_layer {
  size_t size;      /**< of this struct */
  const char *kind; /**< "input", "linear", "relu", "truncate", "add", "mul", "maxpool", "sumpool", "gather" */
  const char *name;
  size_t channels, height, width;
  unsigned ring_bits, value_bits, shift;
  bool raw;             /**< a sum of products whose low bits may be noise until the next step cuts them off */
  unsigned weight_bits; /**< 0 where there are no weights */
  uint64_t weights, multiplications;
  double scale; /**< real value of one unit */
} fusion_layer;

/** False when there is no step `index` (they are info.layers), or no such size of the struct. */
FUSION_API bool fusion_model_layer(const fusion_model *model, size_t index, fusion_layer *layer);

/** Which layer costs accuracy. value_error and weight_error are what a step of a model just compiled adds to the mean
 * square error of the logits, relative to their spread: estimated by the search of widths, zeros where widths were
 * given. */
typedef struct fusion_layer_error {
  size_t size;         /**< of this struct */
  double value_error;  /**< by rounding its values (of the first step of those that share a scale) */
  double weight_error; /**< by rounding the weights whose sums it cleans */
  double overflow;     /**< estimated probability for a sample that its ring overflows, of accumulators */
  bool guaranteed;     /**< an accumulator that no input can overflow */
  double error;        /**< where settings.layer_errors: root mean square error of its values on up to 16 calibration
                          samples, all layers before it included, relative to the float values' spread about each
                          sample's mean; 0 for a step inside what the file has as one operator */
} fusion_layer_error;

/** As fusion_model_layer; false, with zeros, for a model that was loaded: a file does not keep it. */
FUSION_API bool fusion_model_layer_error(const fusion_model *model, size_t index, fusion_layer_error *error);

#define FUSION_SPEEDS_MAX 32

/** How fast a party's processor does what predictions count: seconds of one core for a unit of each kind of work, in
 *  the order of fusion_speed_name(). Start from fusion_speeds_init(). */
typedef struct fusion_speeds {
  size_t size; /**< of this struct */
  double seconds[FUSION_SPEEDS_MAX];
} fusion_speeds;
/** The speeds of the processor that predictions assume unless told otherwise. fusion_bench_calibrate() measures. */
FUSION_API void fusion_speeds_init(fusion_speeds *speeds, size_t size);
/** "silent-correlation"; NULL past the last. Static. Names never change; later releases may have more. */
FUSION_API const char *fusion_speed_name(size_t index);

/** What a private run of `samples` samples over one connection costs, from the declared cost of every message. */
typedef struct fusion_prediction {
  size_t size;                               /**< of this struct */
  uint64_t bytes_to_server, bytes_to_client; /**< set-up and correlations included, before TLS */
  uint64_t messages;                         /**< both ways */
  uint32_t rounds;                           /**< one-way delays on the client's path */
  uint64_t server_memory, client_memory;     /**< peak bytes of a party */
  double server_seconds, client_seconds;     /**< of one processor core each, estimated from the speeds */
  size_t samples, shard;                     /**< of the whole run; at once */
  double computing_seconds; /**< of both together: of each step, those of the party that takes longer */
} fusion_prediction;

/** `shard`: samples that run at once (0: all). `engine`: see fusion_engine_check. FUSION_E_USAGE for 0 samples or an
 * unknown engine, FUSION_E_MODEL when the model was not
 * compiled for private runs, FUSION_E_MEMORY. */
FUSION_API fusion_status fusion_model_predict(const fusion_model *model, const char *engine, size_t samples,
                                              size_t shard, fusion_prediction *out,
                                              fusion_error *err) FUSION_MUST_CHECK;

/** Start from zeros and the size. */
typedef struct fusion_prediction_settings {
  size_t size;                          /**< of this struct */
  const char *engine;                   /**< see fusion_engine_check */
  size_t samples, shard;                /**< as of fusion_model_predict */
  const fusion_speeds *server, *client; /**< of the parties' processors; NULL: those of fusion_speeds_init() */
} fusion_prediction_settings;
/** fusion_model_predict() on given processors: they change the seconds alone. FUSION_E_USAGE also for speeds more than
 *  128 times those of fusion_speeds_init(), or less than a 128th of them. */
FUSION_API fusion_status fusion_model_predict_on(const fusion_model *model, const fusion_prediction_settings *settings,
                                                 fusion_prediction *out, fusion_error *err) FUSION_MUST_CHECK;

/** Wall time of such a run over a link of `bytes_per_second` each way with `round_trip_ms`: computing together, then
 * traffic of the busier direction, then delays, none hidden behind another. 0 bytes a second: no link to speak of. NaN
 * for a prediction without a size. */
FUSION_API double fusion_prediction_seconds(const fusion_prediction *prediction, double bytes_per_second,
                                            double round_trip_ms);

/** The most samples that may run at once so that neither party's peak passes `memory` bytes; at most `limit`. 0: not
 * even one, or an unknown engine. */
FUSION_API size_t fusion_model_shard(const fusion_model *model, const char *engine, size_t limit, uint64_t memory);

#ifdef __cplusplus
}
#endif
#endif
