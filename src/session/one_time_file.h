/** Files of secrets that may be used once: a party's prepared state of a run (engine/engine.h). Using one twice would
 * tell the peer what the secrets hide, so a file is spent before its first byte is used, and stays so whatever happens.
 *
 *      PATH.part    being written; nobody takes it for a state
 *      PATH         complete and on the disk; not used
 *      PATH.spent   spent: nobody opens it again; wiped and removed when its user is done, or by one_time_sweep
 *
 *  Each step is one rename, made durable before the next: a process that is killed, or a machine that loses power,
 * leaves one of the three. Who writes, uses or wipes a file holds a lock on it, so that of several processes that want
 * to spend a file one succeeds, and a sweep passes by what is in use. A hash of all its bytes finds what a disk has
 * damaged, before a damaged secret could make answers wrong; it is not keyed: who can write the folder can do anything
 * to the states in it. Wiping overwrites the bytes; a disk that keeps old copies of blocks may keep these. A file that
 * is restored from a backup or a snapshot can be spent again: keep these files out of both. Mode 0600. */
#ifndef FUSION_SESSION_ONE_TIME_FILE_H
#define FUSION_SESSION_ONE_TIME_FILE_H

#include "base/byte_stream.h"

enum { ONE_TIME_BINDING_MAX = 1 << 12, ONE_TIME_OWNER_LEN = 16 };

struct one_time_file;

/** What a file is for: the caller's bytes, to compare before it is spent. Borrowed. */
struct one_time_binding {
  const void *data;
  size_t len; /* at most ONE_TIME_BINDING_MAX */
};

/** Begins a file. `owner`: ONE_TIME_OWNER_LEN bytes by which one_time_sweep tells whose it is; NULL: zeros.
 * FUSION_E_IO, FUSION_E_MEMORY, FUSION_E_INPUT for a path that is too long, FUSION_E_BUSY if another process is at it.
 */
fusion_status one_time_create(struct one_time_file **out, const char *path, const uint8_t *owner,
                              fusion_error *err) FUSION_MUST_CHECK;
/** Its bytes: to write before one_time_commit, to read in a file that was opened. */
const struct byte_stream *one_time_stream(const struct one_time_file *f);
/** Bytes of an opened file that are left to read. */
uint64_t one_time_left(const struct one_time_file *f);
/** The file is complete: on the disk under its path when this returns. FUSION_E_IO: nothing is there. FUSION_E_BUSY: a
 *  file had the path, and stays. */
fusion_status one_time_commit(struct one_time_file *f, struct one_time_binding binding,
                              fusion_error *err) FUSION_MUST_CHECK;

/** Opens a complete file, which stays unspent, and reads what it is bound to. FUSION_E_INPUT: it is not there (or was
 *  used), or is no such file. FUSION_E_MEMORY. */
fusion_status one_time_open(struct one_time_file **out, const char *path, fusion_error *err) FUSION_MUST_CHECK;
/** What an opened file is bound to. */
struct one_time_binding one_time_bound(const struct one_time_file *f);
/** Whose it is: ONE_TIME_OWNER_LEN bytes; borrowed. */
const uint8_t *one_time_owner(const struct one_time_file *f);
/** Bytes that a file takes in all. */
uint64_t one_time_file_len(uint64_t state_len, size_t binding_len);
/** Reads an opened file from end to end and compares its hash. FUSION_E_INPUT: it is damaged. */
fusion_status one_time_verify(struct one_time_file *f, fusion_error *err) FUSION_MUST_CHECK;
/** Spends an opened file: once this has returned FUSION_OK nobody can do so again. FUSION_E_INPUT: it was used or
 *  removed since it was opened; FUSION_E_IO: it may be spent, but was not used. */
fusion_status one_time_spend(struct one_time_file *f, fusion_error *err) FUSION_MUST_CHECK;

/** Wipes and removes a file that is spent or not complete; leaves a complete one. NULL is allowed. */
void one_time_close(struct one_time_file *f);

/** What a sweep is to do, and with whom it talks. */
struct one_time_sweeping {
  uint64_t max_age_s; /* complete files that are older go */
  bool leftovers;     /* so do *.part and *.spent that no process holds, which killed processes have left */
  /** Told of each complete file that stays; NULL: nobody. */
  void (*kept)(void *context, const uint8_t owner[ONE_TIME_OWNER_LEN], uint64_t bytes);
  void *context;
};
/** Wipes and removes what is old or was left in a folder. FUSION_E_IO. */
fusion_status one_time_sweep(const char *folder, const struct one_time_sweeping *sweeping,
                             fusion_error *err) FUSION_MUST_CHECK;

#endif
