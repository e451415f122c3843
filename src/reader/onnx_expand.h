/** Nodes in the order of computation: calls of the file's own functions replaced by their bodies, then sorted. */
#ifndef FUSION_READER_ONNX_EXPAND_H
#define FUSION_READER_ONNX_EXPAND_H

#include "reader/onnx_import.h"

enum {
  FUNCTION_DEPTH_MAX = 32,          /* functions that call functions */
  FUNCTION_NODES_MAX = 1 << 18,     /* that all calls together make */
  FUNCTION_BYTES_MAX = 1 << 28,     /* that their names and attributes take */
  FUNCTION_PARAMETERS_MAX = 1 << 10 /* inputs, outputs and attributes of one function */
};

/** One of the file's functions, with the fields that older descriptions of the format lack. */
struct onnx_function {
  const Onnx__FunctionProto *proto;
  char overload[64];
  int64_t opset;                  /* of the standard operators in its body */
  Onnx__AttributeProto **presets; /* attributes with a preset value; owned unless borrowed from the model */
  size_t preset_count;
  bool borrowed;
};

/* onnx_function.c */
fusion_status functions_open(struct importer *im) FUSION_MUST_CHECK;
void functions_close(struct importer *im);
/** The function that a node calls, NULL when it calls none. */
const struct onnx_function *function_of(const struct importer *im, const Onnx__NodeProto *node);

/* onnx_order.c */
/** Sorts im->nodes so that each reads what earlier ones make, in the file's order where that is free. FUSION_E_MODEL
 * when nodes form a circle or two make one tensor. */
fusion_status order_nodes(struct importer *im) FUSION_MUST_CHECK;

#endif
