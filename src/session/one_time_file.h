/** Files of secrets that may be used once: a party's prepared state of a run (engine/engine.h). Using one twice would
 * tell the peer what the secrets hide, so a file is spent before its first byte is used, and stays so whatever happens.
 *
 *      PATH.part    being written; nobody takes it for a state
 *      PATH         complete and on the disk; not used
 *      PATH.spent   spent: nobody opens it again; wiped and removed when its user is done, or by one_time_sweep
 *
 *  Each step is one rename, made durable before the next: a process that is killed, or a machine that loses power,
 * leaves one of the three. Who writes, uses or wipes a file holds a lock on it, so that of several processes that want
 * to spend a file one succeeds, and a sweep passes by what is in use. Wiping overwrites the bytes; a disk that keeps
 * old copies of blocks may keep these. A file that is restored from a backup or a snapshot can be spent again: keep
 * these files out of both. Mode 0600. */
#ifndef FUSION_SESSION_ONE_TIME_FILE_H
#define FUSION_SESSION_ONE_TIME_FILE_H

#include "base/byte_stream.h"

enum { ONE_TIME_BINDING_MAX = 1 << 12 };

struct one_time_file;

/** What a file is for: public bytes, the caller's, that must be the same when it is spent. Borrowed. */
struct one_time_binding {
  const void *data;
  size_t len; /* at most ONE_TIME_BINDING_MAX */
};

/** Begins a file. FUSION_E_IO, FUSION_E_MEMORY, FUSION_E_INPUT for a path that is too long. */
fusion_status one_time_create(struct one_time_file **out, const char *path, struct one_time_binding binding,
                              fusion_error *err) FUSION_MUST_CHECK;
/** Its bytes: to write before one_time_commit, to read in a spent file. */
const struct byte_stream *one_time_stream(const struct one_time_file *f);
/** Bytes of a spent file that are left to read. */
uint64_t one_time_left(const struct one_time_file *f);
/** The file is complete: on the disk under its path when this returns, of `*len` bytes in all (may be NULL).
 *  FUSION_E_IO: nothing is there; a file that had the path stays. */
fusion_status one_time_commit(struct one_time_file *f, uint64_t *len, fusion_error *err) FUSION_MUST_CHECK;

/** Spends a complete file: once this has returned FUSION_OK nobody can do so again. FUSION_E_INPUT: it is not there (or
 *  was used), is damaged, or is for something else, and stays as it is; FUSION_E_IO: it may be spent, but was not used.
 */
fusion_status one_time_spend(struct one_time_file **out, const char *path, struct one_time_binding binding,
                             fusion_error *err) FUSION_MUST_CHECK;

/** Reads what a complete file is bound to, without spending it: at most `room` bytes into `out`. Errors as above. */
fusion_status one_time_look(const char *path, void *out, size_t room, size_t *len, fusion_error *err) FUSION_MUST_CHECK;

/** Wipes and removes a file that is spent or not complete; leaves a complete one. NULL is allowed. */
void one_time_close(struct one_time_file *f);

/** Wipes and removes complete files that are older than `max_age_s` seconds; with `leftovers` also
 *  what killed processes have left: *.part and *.spent that no process holds. *bytes: of the complete files that stay.
 *  FUSION_E_IO. */
fusion_status one_time_sweep(const char *folder, uint64_t max_age_s, bool leftovers, uint64_t *bytes,
                             fusion_error *err) FUSION_MUST_CHECK;

#endif
