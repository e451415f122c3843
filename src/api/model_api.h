/** The public model handle from inside the library: sessions take the compiled model and quantised rows from here. */
#ifndef FUSION_API_MODEL_API_H
#define FUSION_API_MODEL_API_H

#include <fusion/model.h>

#include "compile/quantise.h"
#include "execute/execute.h"

struct fusion_model {
  struct model *model;                /* owned */
  struct quantise_step_report *steps; /* owned: one for each step, of a model compiled here; else NULL */
};

struct engine;

/** Rows [first, first + rows) of raw data as the program's input integers, [rows][input size]. Usable with a program
 * alone, as a client has it. FUSION_E_INPUT when the rows do not fit the program's input. */
fusion_status program_quantise_rows(const struct program *program, const fusion_array *input, size_t first, size_t rows,
                                    int64_t *out, fusion_error *err) FUSION_MUST_CHECK;

/** fusion_model_class of a program alone. */
bool program_class(const struct program *program, size_t index, int64_t *number, const char **text);

/** What an array of pictures brings along (true), borrowed from it; false for any other array. */
bool array_picture_form(const fusion_array *a, struct picture_form *out);

/** The same up to the real-valued input. */
fusion_status program_real_rows(const struct preprocess *preprocess, struct shape shape, const fusion_array *input,
                                size_t first, size_t rows, float *out, fusion_error *err) FUSION_MUST_CHECK;

#endif
