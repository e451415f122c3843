/** The .fsn file: a compiled model on disk.
 *
 *  magic "FUSIONML", u32 version, u64 manifest length, manifest (program_encode), u64 length, private part, u64
 * checksum of everything before it. Little endian. The private part has for each step, in order, its name (u16 length,
 * bytes), its scale (f64) unless the manifest has it, weights as i16 and biases as i64 where it has such; before them
 * the 32 bytes of salt that the model's id was made with (continuity/model_id.h). The checksum
 * finds accidents, not attacks: whoever may write the file owns the model. */
#ifndef FUSION_PROGRAM_FSN_H
#define FUSION_PROGRAM_FSN_H

#include "program/program.h"

/** Writes atomically: a temporary file beside `path`, then a rename. FUSION_E_IO, FUSION_E_MEMORY. */
fusion_status fsn_save(const struct model *model, const char *path, fusion_error *err) FUSION_MUST_CHECK;

/** Returns owned (model_free). FUSION_E_IO; FUSION_E_MODEL when the file is not one, of an unknown version, truncated
 * or altered. */
fusion_status fsn_load(struct model **out, const char *path, fusion_error *err) FUSION_MUST_CHECK;

/** The same on bytes in memory; `name` is for error texts. */
fusion_status fsn_encode(struct writer *w, const struct model *model) FUSION_MUST_CHECK;
fusion_status fsn_decode(struct model **out, const void *data, size_t len, const char *name,
                         fusion_error *err) FUSION_MUST_CHECK;

/** What determines a model's answers, canonical: the manifest without version, model id and sections, then the private
 * part without salt and names. */
void fsn_encode_function(struct writer *w, const struct model *model);

/** The file's checksum. Every step is a bijection of the state for fixed other input, so any change confined to one
 *  eight-byte word is always found, others but for 2^-64. */
uint64_t fsn_checksum(const void *data, size_t len);

#endif
