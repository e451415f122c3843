/** Sections: what engines keep in a program, each its own bytes. The program carries them and does not read them; the
 *  engine that does takes them as hostile, like the rest of a manifest. */
#ifndef FUSION_PROGRAM_PROGRAM_SECTION_H
#define FUSION_PROGRAM_PROGRAM_SECTION_H

#include "program/program.h"

/** The section of an engine's family; NULL: the program was not prepared for it. */
const struct program_section *program_find_section(const struct program *program, const char *engine);
/** Gives the program a copy of `len` bytes as the engine's section, in place of the one that it has. FUSION_E_MEMORY;
 *  FUSION_E_LIMIT for a name, a length or a number of sections that program_validate would refuse. */
fusion_status program_set_section(struct program *program, const char *engine, const void *data,
                                  size_t len) FUSION_MUST_CHECK;

/* For program_validate, program_encode, program_decode, program_free and the .fsn file. */

/** The manifest has the scales of the first and the last step alone. */
static inline bool program_scale_is_public(const struct program *program, uint32_t step) {
  return step == 0 || step + 1 == program->count;
}

/** The manifest's part that says what is computed: all but version, model id and sections. */
void program_encode_function(struct writer *w, const struct program *program);
/** What is wrong with the sections, or NULL. */
const char *program_check_sections(const struct program *program);
void program_encode_sections(struct writer *w, const struct program *program);
/** FUSION_E_MODEL, FUSION_E_MEMORY; program_free frees what was read. */
fusion_status program_decode_sections(struct reader *r, struct program *program) FUSION_MUST_CHECK;
void program_free_sections(struct program *program);

#endif
