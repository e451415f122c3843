/** Transcripts with all randomness fixed: what both parties in this process send, as text.
 *
 *  The program is linked with --wrap for os_random, channel_send and listener_handshake (meson.build). Each thread of a
 *  party draws from a stream that its role alone decides, and each direction has its own list, so that a transcript
 *  depends neither on the time that a thread takes nor on which party is ahead. */
#ifndef FUSION_TESTS_GOLDEN_RECORD_H
#define FUSION_TESTS_GOLDEN_RECORD_H

#include "base/cursor.h"
#include "net/channel.h"

/** From now on this thread belongs to the party; its stream begins anew. A thread that says nothing is the client's,
 *  one that accepts a connection the server's. */
void golden_party(enum role role);

enum { GOLDEN_ALL = -1 };

/** Collects what is sent until golden_stop: the messages of one class, or all. One transcript at a time. */
void golden_start(int class);
/** Appends a line for each message, "LABEL DIRECTION TYPE NAME LENGTH HASH": first all to the server, then all to the
 *  client. The hash is of the payload, BLAKE2b of 8 bytes. */
void golden_stop(const char *label, struct writer *out);

/** Where two texts first differ, as one line; false when they are equal. */
bool golden_difference(const char *expected, const char *got, char *line, size_t len);

/** Removes the lines of a label from a text. */
void golden_leave_out(char *text, const char *label);

/** A file below the source folder ($FUSION_SOURCE, else the working folder); NULL when it is not there. malloc. */
char *golden_read(const char *path);
void golden_write(const char *path, const char *text);

#endif
