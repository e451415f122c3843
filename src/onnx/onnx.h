/** onnx: reads an ONNX file into a graph. Nothing after this folder knows the format. */
#ifndef FUSION_ONNX_ONNX_H
#define FUSION_ONNX_ONNX_H

#include "graph/graph.h"

/** Reads and simplifies an ONNX file; "FILE:TENSOR" ends the network at that tensor (needed when it has several outputs
 *  that are no labels). Only what the answer depends on has to be readable. Returns owned (graph_free). Errors name the
 * file, node and remedy. FUSION_E_IO, FUSION_E_MODEL (malformed), FUSION_E_UNSUPPORTED. */
fusion_status graph_from_onnx(struct graph **out, const char *path, fusion_error *err) FUSION_MUST_CHECK;

/** The same, but the first dimension is no batch: the file is the function of all of its input. */
fusion_status graph_from_onnx_whole(struct graph **out, const char *path, fusion_error *err) FUSION_MUST_CHECK;

#endif
