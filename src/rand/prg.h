/** rand: generators and hashes built on AES-128: counter-mode generator, samplers, the correlation-breaking hash.
 *  This file: an AES-128 counter-mode generator. A generator is forked with a label, never copied. */
#ifndef FUSION_RAND_PRG_H
#define FUSION_RAND_PRG_H

#include "base/base.h"
#include "base/block.h"

enum { PRG_SEED_LEN = 16 };

struct prg; /* opaque: holds secrets, wiped on free */

/** A generator from a seed (secret or public as the seed is). Returns owned; NULL when memory is out. */
struct prg *prg_new(const uint8_t seed[PRG_SEED_LEN]);
/** A generator seeded by the operating system. */
fusion_status prg_new_random(struct prg **out) FUSION_MUST_CHECK;
/** A child whose stream is independent of its parent's and of every other (label, index) child's. Does not move the
 *  parent. */
struct prg *prg_fork(const struct prg *parent, const char *label, uint64_t index);
void prg_free(struct prg *g);
/** Begins the stream of another seed, as a new generator would, in the same guarded memory: that takes a dozen system
 *  calls to get and return. On failure the generator must not be used but for prg_free(). */
fusion_status prg_restart(struct prg *g, const uint8_t seed[PRG_SEED_LEN]) FUSION_MUST_CHECK;

/** The next `len` bytes of the stream. Successive calls of lengths a, b give the bytes of one call of a + b. */
void prg_bytes(struct prg *g, void *out, size_t len);
/** `count` uniform elements of Z_{2^bits}, 1 <= bits <= 64. */
void prg_ring(struct prg *g, uint64_t *out, size_t count, unsigned bits);
/** Uniform below `bound` without bias (rejection: time depends on public chance only, not on the result kept). */
uint64_t prg_below(struct prg *g, uint64_t bound);

#endif
