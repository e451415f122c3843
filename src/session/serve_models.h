/** The models that a server offers, by name and version: one that its caller has, or those of a folder, which can be
 * read again while jobs run.
 *
 *  NAME@VERSION.fsn is version VERSION of the model NAME; NAME.fsn has no version. Who asks for NAME alone gets
 * NAME.fsn if it is there (a symbolic link will do), else the highest version, numbers within it by their value (1.9
 * < 1.10). */
#ifndef FUSION_SESSION_SERVE_MODELS_H
#define FUSION_SESSION_SERVE_MODELS_H

#include <time.h>

#include "base/cursor.h"
#include "engine/engine.h"
#include "session/messages.h"

enum { MODEL_ID_TEXT_LEN = 2 * MODEL_ID_LEN + 1 };

/** One of them. Constant while it is held. */
struct served_model {
  char name[SESSION_MODEL_LEN]; /* NAME or NAME@VERSION */
  char id[MODEL_ID_TEXT_LEN];   /* hexadecimal */
  const struct model *model;    /* what `owned` is, or the caller's */
  struct engine_list engines;   /* that clients may ask for; each can run the model */
  struct writer manifest;       /* owned */
  uint8_t manifest_hash[SESSION_HASH_LEN];
  uint8_t function_hash[MODEL_ID_LEN]; /* secret: of what determines answers, which prepared runs are bound to; zeros
                                          where no engine prepares */
};

struct model_list;

/** What holds for each model. */
struct model_terms {
  const char *engines;             /* as in fusion_server_settings; borrowed for the call */
  uint64_t max_memory;             /* bytes that a sample may take */
  const struct engine_list *those; /* in place of `engines`; NULL: none */
};

/** A list of one model (borrowed) of the name. FUSION_E_MODEL, FUSION_E_LIMIT, FUSION_E_USAGE (engines),
 * FUSION_E_MEMORY. */
fusion_status model_list_open_one(struct model_list **out, const struct model *model, const struct model_terms *terms,
                                  const char *name, fusion_error *err) FUSION_MUST_CHECK;
/** The models of a folder: at least one, 256 at most. The same, and FUSION_E_IO, FUSION_E_INPUT (a name). */
fusion_status model_list_open_folder(struct model_list **out, const char *folder, const struct model_terms *terms,
                                     fusion_error *err) FUSION_MUST_CHECK;
/** When nobody holds a model of it any more. NULL is allowed. */
void model_list_close(struct model_list *l);

/** Reads the folder again, files that have changed; nothing changes before model_list_take. `fresh` is to be taken or
 *  dropped. A list without a folder gives none. */
struct model_set;
fusion_status model_list_read(struct model_list *l, struct model_set **fresh, fusion_error *err) FUSION_MUST_CHECK;
/** Puts it in the place of what was there. Running jobs keep their models, and for ten minutes so do the jobs that come
 *  again with the hash of a manifest that is gone. */
void model_list_take(struct model_list *l, struct model_set *fresh);
void model_list_drop(struct model_list *l, struct model_set *fresh);
/** Lets go of models that were replaced long ago. Once in a while. */
void model_list_tidy(struct model_list *l);

/** Whether a client may use the model of this name. */
typedef bool model_allowed(void *context, const char *name);

/** The model that a client asks for, by a name, a name and a version, or "" where only one name is for it; held until
 *  model_release. `hash`: of the manifest that the client has, NULL: none; a model with it goes before others of the
 *  name asked for. NULL with a line, which lists the models for this client, when there is none. */
const struct served_model *model_find(struct model_list *l, const char *asked, const uint8_t *hash,
                                      model_allowed *allowed, void *context, fusion_error *why);
/** Holds it once more. */
const struct served_model *model_hold(struct model_list *l, const struct served_model *m);
void model_release(struct model_list *l, const struct served_model *m);

/** The i-th in order of names and versions, held; NULL behind the last. */
const struct served_model *model_at(struct model_list *l, size_t i);

/** Whether `text`, NAME or NAME@VERSION, stands for the model called `name`. */
bool model_name_matches(const char *text, const char *name);

#endif
