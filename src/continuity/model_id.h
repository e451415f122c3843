/** continuity: what shows a client that the model of yesterday answers today, and what a server has signed of it. This
 *  file: the model id.
 *
 *  id = BLAKE2b-256, keyed by the salt, of fsn_encode_function: everything that determines answers. It is in the
 *  manifest, the salt in the .fsn file's private part alone. Leaks: that two models are the same function under the
 * same salt, nothing else: without the 256 bits of the salt the id is that of a random function, so weights cannot be
 * tried out against it. It commits the server, too: the hash is collision resistant whoever chooses the salt. */
#ifndef FUSION_CONTINUITY_MODEL_ID_H
#define FUSION_CONTINUITY_MODEL_ID_H

#include "program/program.h"

/** Gives the model this salt and the id that follows. Time and memory: one pass over the weights. FUSION_E_MEMORY. */
fusion_status model_id_set(struct model *model, const uint8_t salt[MODEL_SALT_LEN]) FUSION_MUST_CHECK;

/** BLAKE2b-256 of fsn_encode_function, without a salt: which function a server answers with, model id or not. Weights
 *  can be tried out against it, so it never leaves the server. FUSION_E_MEMORY. */
fusion_status model_function_hash(uint8_t hash[MODEL_ID_LEN], const struct model *model) FUSION_MUST_CHECK;

/** A salt of 64 hexadecimal digits, or a random one where `text` is NULL. FUSION_E_USAGE, FUSION_E_ENTROPY. */
fusion_status model_salt_take(uint8_t salt[MODEL_SALT_LEN], const char *text, fusion_error *err) FUSION_MUST_CHECK;

#endif
