/** Correlations made ahead: as many of both directions as a run is known to take, kept by either party as bytes, and
 *  restored as a source that sends nothing.
 *
 *  Functionality, once restored: `struct cot` (ot/cot.h) for the planned numbers, in the order taken; a take beyond
 *  them fails the channel. Few correlations are a SoftSpoken stream's, kept as they are; many are silent, kept as the
 *  seeds and vectors that they grow from, 1.2 to 1.7 bytes a correlation of whole iterations.
 *
 *  Why a cheating server learns nothing: the correlations are those of a session, each check of which has passed before
 *  anything is kept. They serve one run: masks that serve twice would tell the difference of what they mask. Whoever
 *  keeps them sees to that (engine/engine.h). Their session number, which enters every hash, is theirs alone.
 *  Cost: cot_stock_cost(). Source: docs/protocols/silent-cot.md. */
#ifndef FUSION_SILENT_COT_STOCK_H
#define FUSION_SILENT_COT_STOCK_H

#include "base/byte_stream.h"
#include "ot/cot_softspoken.h"
#include "silent/silent_set.h"

/** Public. */
struct cot_stock_plan {
  struct silent_params params; /* what is expected is what there will be */
  struct cot_softspoken_params stream_params;
  bool stream; /* by a SoftSpoken stream: for few */
};

/** Base OT, extension, all batches; then the party's part to `to`. Both call it at the same point with equal plans. */
fusion_status cot_stock_make(const struct cot_opening *opening, const struct cot_stock_plan *plan,
                             const struct byte_stream *to) FUSION_MUST_CHECK;
/** Of cot_stock_make(), and into cost->prepared_server and prepared_client the bytes that each party keeps. */
void cot_stock_cost(struct cost *cost, const struct cot_stock_plan *plan);

/** The party's part, all of it, from `from`. Of the opening, role, channel and heap. Returns owned (cot_close).
 * FUSION_E_INPUT for bytes that are not one's; what the stream fails with, also where they are too few; memory. */
fusion_status cot_stock_open(struct cot **out, const struct cot_opening *opening,
                             const struct byte_stream *from) FUSION_MUST_CHECK;

#endif
