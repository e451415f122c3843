/* From an ONNX file to a graph: inputs and initialisers get their values, each node is folded, moved or mapped in the
 * file's order, and the result is simplified and checked. */
#include "onnx/onnx.h"
#include "onnx/onnx_ops.h"

/* What an operator accepts and who reads it. */
struct op_entry {
  const char *name;
  const char *attributes; /* all that are understood, each followed by a space */
  uint8_t min_in, max_in; /* inputs; the first min_in must be there */
  bool constants;         /* `run` takes constants as well */
  fusion_status (*run)(struct call *c);
  fusion_status (*fold)(struct call *c); /* when all inputs are constant; may be NULL */
};

enum { MANY = 255, SOME = 254 /* any of which may be left out */ };

#define WINDOW "auto_pad kernel_shape pads strides dilations "
#define BROADCAST "axis broadcast " /* operator set 6 */
#define RECURRENT "activation_alpha activation_beta activations clip direction hidden_size layout "
#define RESIZE                                                                      \
  "mode coordinate_transformation_mode nearest_mode cubic_coeff_a exclude_outside " \
  "extrapolation_value keep_aspect_ratio_policy axes antialias "

static const struct op_entry ops[] = {
    {"Abs", "", 1, 1, false, op_abs, op_fold_unary},
    {"Add", BROADCAST, 2, 2, true, op_binary, NULL},
    {"And", "", 2, 2, true, op_logic, op_fold_binary},
    {"ArgMax", "axis keepdims select_last_index ", 1, 1, false, op_argmax, NULL},
    {"ArgMin", "axis keepdims select_last_index ", 1, 1, false, op_argmax, NULL},
    {"AveragePool", WINDOW "ceil_mode count_include_pad ", 1, 1, false, op_pool, NULL},
    {"BatchNormalization", "epsilon momentum spatial training_mode is_test ", 5, 5, false, op_batch_norm, NULL},
    {"BitShift", "direction ", 2, 2, true, op_fold_binary, NULL},
    {"BitwiseAnd", "", 2, 2, true, op_fold_binary, NULL},
    {"BitwiseNot", "", 1, 1, true, op_fold_unary, NULL},
    {"BitwiseOr", "", 2, 2, true, op_fold_binary, NULL},
    {"BitwiseXor", "", 2, 2, true, op_fold_binary, NULL},
    {"Cast", "to saturate round_mode ", 1, 1, true, op_cast, NULL},
    {"CastLike", "saturate round_mode ", 2, 2, true, op_cast_like, NULL},
    {"Ceil", "", 1, 1, false, op_round, op_fold_unary},
    {"Celu", "alpha ", 1, 1, false, op_elu, NULL},
    {"Clip", "min max ", 1, 3, false, op_clip, NULL},
    {"Concat", "axis ", 1, MANY, true, op_concat, NULL},
    {"Constant", "value value_float value_floats value_int value_ints ", 0, 0, true, op_constant, NULL},
    {"ConstantOfShape", "value ", 1, 1, true, op_constant_of_shape, NULL},
    {"Conv", WINDOW "group ", 2, 3, false, op_conv, NULL},
    {"ConvTranspose", WINDOW "group output_padding output_shape ", 2, 3, false, op_conv_transpose, NULL},
    {"Cos", "", 1, 1, false, op_activation, NULL},
    {"DepthToSpace", "blocksize mode ", 1, 1, false, op_depth_to_space, NULL},
    {"DequantizeLinear", "axis block_size output_dtype ", 2, 3, true, op_dequantize, NULL},
    {"Div", BROADCAST, 2, 2, true, op_binary, NULL},
    {"Dropout", "ratio seed is_test ", 1, 3, true, op_dropout, NULL},
    {"Einsum", "equation ", 1, MANY, false, op_einsum, NULL},
    {"Elu", "alpha ", 1, 1, false, op_elu, NULL},
    {"Equal", "", 2, 2, true, op_compare, op_fold_binary},
    {"Erf", "", 1, 1, false, op_activation, NULL},
    {"Exp", "", 1, 1, false, op_activation, op_fold_unary},
    {"Expand", "", 2, 2, true, op_expand, NULL},
    {"Flatten", "axis ", 1, 1, true, op_flatten, NULL},
    {"Floor", "", 1, 1, false, op_round, op_fold_unary},
    {"Gather", "axis ", 2, 2, true, op_gather, NULL},
    {"GatherElements", "axis ", 2, 2, true, op_gather_elements, NULL},
    {"GRU", RECURRENT "linear_before_reset ", 3, 6, false, op_recurrent, NULL},
    {"Gelu", "approximate ", 1, 1, false, op_gelu, NULL},
    {"Gemm", "alpha beta transA transB broadcast ", 2, 3, false, op_gemm, NULL},
    {"GlobalAveragePool", "", 1, 1, false, op_global_pool, NULL},
    {"GlobalMaxPool", "", 1, 1, false, op_global_pool, NULL},
    {"Greater", "", 2, 2, true, op_compare, op_fold_binary},
    {"GreaterOrEqual", "", 2, 2, true, op_compare, op_fold_binary},
    {"GroupNormalization", "epsilon num_groups stash_type ", 3, 3, false, op_group_norm, NULL},
    {"HardSigmoid", "alpha beta ", 1, 1, false, op_hard_sigmoid, NULL},
    {"HardSwish", "", 1, 1, false, op_hard_swish, NULL},
    {"Identity", "", 1, 1, true, op_identity, NULL},
    {"If", "", 1, 1, true, op_identity, NULL},
    {"InstanceNormalization", "epsilon ", 3, 3, false, op_instance_norm, NULL},
    {"LayerNormalization", "axis epsilon stash_type ", 2, 3, false, op_layer_norm, NULL},
    {"LSTM", RECURRENT "input_forget ", 3, 8, false, op_recurrent, NULL},
    {"LeakyRelu", "alpha ", 1, 1, false, op_leaky_relu, NULL},
    {"Less", "", 2, 2, true, op_compare, op_fold_binary},
    {"LessOrEqual", "", 2, 2, true, op_compare, op_fold_binary},
    {"Log", "", 1, 1, false, op_log, op_fold_unary},
    {"LogSoftmax", "axis ", 1, 1, false, op_softmax, NULL},
    {"LpNormalization", "axis p ", 1, 1, false, op_lp_norm, NULL},
    {"Loop", "body ", 0, SOME, true, op_loop, NULL},
    {"MatMul", "", 2, 2, true, op_matmul, NULL},
    {"Max", "", 1, MANY, true, op_max_min, NULL},
    {"MaxPool", WINDOW "ceil_mode storage_order ", 1, 1, false, op_pool, NULL},
    {"Mean", "", 1, MANY, true, op_sum, NULL},
    {"MeanVarianceNormalization", "axes ", 1, 1, false, op_mean_variance_norm, NULL},
    {"Min", "", 1, MANY, true, op_max_min, NULL},
    {"Mish", "", 1, 1, false, op_mish, NULL},
    {"Mod", "fmod ", 2, 2, true, op_fold_binary, NULL},
    {"Mul", BROADCAST, 2, 2, true, op_binary, NULL},
    {"Neg", "", 1, 1, false, op_neg, op_fold_unary},
    {"Not", "", 1, 1, true, op_not, op_fold_unary},
    {"Or", "", 2, 2, true, op_logic, op_fold_binary},
    {"PRelu", "", 2, 2, false, op_prelu, NULL},
    {"Pad", "mode pads value ", 1, 4, true, op_pad, NULL},
    {"Pow", "", 2, 2, true, op_pow, op_fold_binary},
    {"QuantizeLinear", "axis block_size output_dtype saturate ", 2, 3, true, op_quantize, NULL},
    {"RMSNormalization", "axis epsilon stash_type ", 2, 2, false, op_layer_norm, NULL},
    {"RNN", RECURRENT, 3, 6, false, op_recurrent, NULL},
    {"Range", "", 3, 3, true, op_range, NULL},
    {"Reciprocal", "", 1, 1, false, op_activation, op_fold_unary},
    {"ReduceL1", "axes keepdims noop_with_empty_axes ", 1, 2, true, op_reduce, NULL},
    {"ReduceL2", "axes keepdims noop_with_empty_axes ", 1, 2, true, op_reduce, NULL},
    {"ReduceLogSum", "axes keepdims noop_with_empty_axes ", 1, 2, true, op_reduce, NULL},
    {"ReduceLogSumExp", "axes keepdims noop_with_empty_axes ", 1, 2, true, op_reduce, NULL},
    {"ReduceMax", "axes keepdims noop_with_empty_axes ", 1, 2, true, op_reduce, NULL},
    {"ReduceMean", "axes keepdims noop_with_empty_axes ", 1, 2, true, op_reduce, NULL},
    {"ReduceMin", "axes keepdims noop_with_empty_axes ", 1, 2, true, op_reduce, NULL},
    {"ReduceProd", "axes keepdims noop_with_empty_axes ", 1, 2, true, op_reduce, NULL},
    {"ReduceSum", "axes keepdims noop_with_empty_axes ", 1, 2, true, op_reduce, NULL},
    {"ReduceSumSquare", "axes keepdims noop_with_empty_axes ", 1, 2, true, op_reduce, NULL},
    {"Relu", "", 1, 1, false, op_relu, op_fold_unary},
    {"Reshape", "allowzero ", 2, 2, true, op_reshape, NULL},
    {"Resize", RESIZE, 1, 4, true, op_resize, NULL},
    {"Round", "", 1, 1, false, op_round, op_fold_unary},
    {"Scan", "body num_scan_inputs scan_input_axes scan_input_directions scan_output_axes scan_output_directions ", 1,
     SOME, true, op_scan, NULL},
    {"Selu", "alpha gamma ", 1, 1, false, op_elu, NULL},
    {"Shape", "start end ", 1, 1, true, op_shape, NULL},
    {"Sigmoid", "", 1, 1, false, op_sigmoid, op_fold_unary},
    {"Sign", "", 1, 1, true, op_sign, op_fold_unary},
    {"Sin", "", 1, 1, false, op_activation, NULL},
    {"Size", "", 1, 1, true, op_size, NULL},
    {"Slice", "starts ends axes ", 1, 5, true, op_slice, NULL},
    {"Softmax", "axis ", 1, 1, false, op_softmax, NULL},
    {"Softplus", "", 1, 1, false, op_softplus, NULL},
    {"Softsign", "", 1, 1, false, op_softsign, NULL},
    {"SpaceToDepth", "blocksize ", 1, 1, false, op_space_to_depth, NULL},
    {"Split", "axis split num_outputs ", 1, 2, true, op_split, NULL},
    {"Sqrt", "", 1, 1, false, op_activation, op_fold_unary},
    {"Squeeze", "axes ", 1, 2, true, op_squeeze, NULL},
    {"Sub", BROADCAST, 2, 2, true, op_binary, NULL},
    {"Sum", "", 1, MANY, true, op_sum, NULL},
    {"Swish", "alpha ", 1, 1, false, op_swish, NULL},
    {"Tanh", "", 1, 1, false, op_activation, op_fold_unary},
    {"Tile", "", 2, 2, true, op_tile, NULL},
    {"Transpose", "perm ", 1, 1, true, op_transpose, NULL},
    {"Trilu", "upper ", 1, 2, true, op_trilu, NULL},
    {"Unsqueeze", "axes ", 1, 2, true, op_unsqueeze, NULL},
    {"Upsample", "mode scales ", 1, 2, true, op_resize, NULL},
    {"Where", "", 3, 3, true, op_choose, op_where},
    {"Xor", "", 2, 2, true, op_logic, op_fold_binary},
};

/* Of trees. Missing values do not occur (onnx_trees.c); hit rates say nothing of the answer. */
#define TREE_NODES                                                                             \
  "nodes_falsenodeids nodes_featureids nodes_hitrates nodes_hitrates_as_tensor "               \
  "nodes_missing_value_tracks_true nodes_modes nodes_nodeids nodes_treeids nodes_truenodeids " \
  "nodes_values nodes_values_as_tensor base_values base_values_as_tensor post_transform "
#define TREE_CLASSES                                                             \
  "class_ids class_nodeids class_treeids class_weights class_weights_as_tensor " \
  "classlabels_int64s classlabels_strings "
#define TREE_TARGETS \
  "n_targets target_ids target_nodeids target_treeids target_weights target_weights_as_tensor aggregate_function "
#define TREE_PLACES                                                                                                 \
  "aggregate_function leaf_targetids leaf_weights membership_values n_targets nodes_falseleafs nodes_falsenodeids " \
  "nodes_featureids nodes_hitrates nodes_missing_value_tracks_true nodes_modes nodes_splits "                       \
  "nodes_trueleafs nodes_truenodeids post_transform tree_roots "

/* Domain ai.onnx.ml. */
static const struct op_entry ml_ops[] = {
    {"ArrayFeatureExtractor", "", 2, 2, false, op_feature_extractor, NULL},
    {"Binarizer", "threshold ", 1, 1, false, op_binarizer, NULL},
    {"FeatureVectorizer", "inputdimensions ", 1, MANY, false, op_feature_vectorizer, NULL},
    {"Imputer", "imputed_value_floats replaced_value_float imputed_value_int64s replaced_value_int64 ", 1, 1, false,
     op_imputer, NULL},
    {"LinearClassifier", "classlabels_ints classlabels_strings coefficients intercepts multi_class post_transform ", 1,
     1, false, op_linear_classifier, NULL},
    {"LinearRegressor", "coefficients intercepts post_transform targets ", 1, 1, false, op_linear_regressor, NULL},
    {"Normalizer", "norm ", 1, 1, false, op_normalizer, NULL},
    {"OneHotEncoder", "cats_int64s cats_strings zeros ", 1, 1, false, op_one_hot, NULL},
    {"SVMClassifier",
     "classlabels_ints classlabels_strings coefficients kernel_params kernel_type post_transform prob_a prob_b rho "
     "support_vectors vectors_per_class ",
     1, 1, false, op_svm_classifier, NULL},
    {"SVMRegressor",
     "coefficients kernel_params kernel_type n_supports one_class post_transform rho support_vectors n_targets ", 1, 1,
     false, op_svm_regressor, NULL},
    {"Scaler", "offset scale ", 1, 1, false, op_scaler, NULL},
    {"TreeEnsemble", TREE_PLACES, 1, 1, false, op_tree_ensemble, NULL},
    {"TreeEnsembleClassifier", TREE_NODES TREE_CLASSES, 1, 1, false, op_tree_classifier, NULL},
    {"TreeEnsembleRegressor", TREE_NODES TREE_TARGETS, 1, 1, false, op_tree_regressor, NULL},
    {"ZipMap", "classlabels_int64s classlabels_strings ", 1, 1, false, op_zip_map, NULL},
};

/* Operators that people meet and cannot use here: what to do about each. */
static const struct {
  const char *name, *remedy;
} remedies[] = {
    {"QLinearConv", "export in the QDQ format (QuantizeLinear and DequantizeLinear)"},
    {"QLinearMatMul", "export in the QDQ format (QuantizeLinear and DequantizeLinear)"},
    {"ConvInteger", "export in the QDQ format (QuantizeLinear and DequantizeLinear)"},
    {"MatMulInteger", "export in the QDQ format (QuantizeLinear and DequantizeLinear)"},
    {"DynamicQuantizeLinear", "quantise the model statically, or not at all"},
    {"LabelEncoder", "answer with the scores instead of the label: FILE:TENSOR names them"},
    {"LRN", "use BatchNormalization instead, or none"},
    {"NonMaxSuppression", "cut the model before it"},
};

static const char *remedy_of(const char *name) {
  for (size_t i = 0; i < sizeof remedies / sizeof remedies[0]; i++) {
    if (!strcmp(name, remedies[i].name)) return remedies[i].remedy;
  }
  return "rewrite the model with the operators of docs/operators.md, or cut it there";
}

static const struct op_entry *op_find(const char *domain, const char *name) {
  const bool ml = !strcmp(domain, "ai.onnx.ml");
  const struct op_entry *table = ml ? ml_ops : ops;
  const size_t count = ml ? sizeof ml_ops / sizeof ml_ops[0] : sizeof ops / sizeof ops[0];
  for (size_t i = 0; i < count; i++) {
    if (!strcmp(name, table[i].name)) return &table[i];
  }
  return NULL;
}

/* The domains that are read: the standard, its classical models, and the standard operators that ONNX Runtime's
 * quantiser writes under its own name. */
static bool domain_known(const char *domain, const char *name) {
  if (!strcmp(domain, "com.microsoft")) return !strcmp(name, "QuantizeLinear") || !strcmp(name, "DequantizeLinear");
  return !domain[0] || !strcmp(domain, "ai.onnx") || !strcmp(domain, "ai.onnx.ml");
}

/* A list of names, each followed by a space. */
static bool is_listed(const char *list, const char *name) {
  const size_t len = strlen(name);
  while (*list && (strncmp(list, name, len) || list[len] != ' ')) list = strchr(list, ' ') + 1;
  return *list != 0;
}

static fusion_status check_attributes(const struct call *c, const struct op_entry *op) {
  for (size_t i = 0; i < c->node->n_attribute; i++) {
    const char *name = c->node->attribute[i]->name ? c->node->attribute[i]->name : "";
    char shown[64];
    name_for_print(shown, name);
    if (c->node->attribute[i]->ref_attr_name && c->node->attribute[i]->ref_attr_name[0])
      return call_malformed(c, "refers to an attribute of a function that it is not part of");
    if (!is_listed(op->attributes, name))
      return call_refuse(c, "export the model without it", "has the attribute '%s', which is not supported", shown);
  }
  return FUSION_OK;
}

static fusion_status check_inputs(const struct call *c, const struct op_entry *op) {
  if (c->in_count > op->max_in && op->max_in != MANY) return call_malformed(c, "has too many inputs");
  /* Of any number of inputs none is optional. */
  const size_t needed = op->max_in == MANY ? size_max(op->min_in, c->in_count) : op->min_in;
  for (size_t i = 0; i < needed; i++) {
    if (!call_input(c, i)) return call_malformed(c, "lacks an input");
  }
  return FUSION_OK;
}

/* Integers wrap around and divide towards 0; activations here are reals. */
static bool computes_integers(const struct call *c) {
  static const char names[] = "Add Sub Mul Div Sum Mean Neg Pow ReduceMean ReduceSum ";
  bool integer = false;
  for (size_t i = 0; i < c->in_count; i++) integer = integer || (c->in[i] && !c->in[i]->constant && c->in[i]->integer);
  return integer && is_listed(names, c->node->op_type);
}

/* Between QuantizeLinear and DequantizeLinear: what moves or compares whole numbers gives what it would on reals. */
static bool spoils_quantised(const struct call *c) {
  static const char names[] =
      "DequantizeLinear Reshape Flatten Squeeze Unsqueeze Transpose Identity MaxPool Slice Split "
      "Gather Shape Size GlobalMaxPool ";
  bool quantised = false;
  for (size_t i = 0; i < c->in_count; i++) quantised = quantised || (c->in[i] && c->in[i]->quantised);
  return quantised && !is_listed(names, c->node->op_type);
}

/* Operators that work wherever the batch is, each followed by a space; the others need it in the first dimension. */
static const char any_place[] =
    "Transpose If Loop Scan Reshape Squeeze Unsqueeze Identity Slice Split Gather Concat Shape Size Cast CastLike "
    "Dropout Add Sub Mul Div Sum Mean Max Min Neg Abs Relu LeakyRelu Clip Sigmoid Tanh Erf Elu Selu Celu "
    "Softplus Gelu Pow Gemm MatMul Einsum LSTM GRU RNN HardSigmoid HardSwish Exp Log Sqrt Reciprocal "
    "Softsign Mish Softmax LogSoftmax LayerNormalization RMSNormalization ReduceMean ReduceSum ReduceMax "
    "ReduceMin ReduceL1 ReduceL2 ReduceSumSquare ";

static bool needs_batch_first(const struct call *c) {
  bool moved = false;
  for (size_t i = 0; i < c->in_count; i++)
    moved = moved || (c->in[i] && value_is_batched(c->in[i]) && c->in[i]->batch_axis);
  return moved && !is_listed(any_place, c->node->op_type);
}

static fusion_status call_dispatch(struct call *c, const struct op_entry *op) {
  bool all = true;
  if (spoils_quantised(c))
    return call_refuse(c, "export in the QDQ format, a DequantizeLinear before each operator",
                       "computes with quantised integers");
  if (computes_integers(c)) return call_refuse(c, "cast them to float first", "computes with integer activations");
  if (needs_batch_first(c))
    return call_refuse(c, "keep the batch as the first dimension", "does not have the batch in its first dimension");
  for (size_t i = 0; i < c->in_count; i++) all = all && (!c->in[i] || c->in[i]->constant);
  if (all && op->fold) return op->fold(c);
  if (c->in_count && c->in[0] && c->in[0]->constant && !op->constants)
    return call_refuse(c, "simplify the model before export, so that constants are folded", "works on a constant");
  return op->run(c);
}

/* If(condition, then, else) of which the condition is known: a copy of one of them. */
static fusion_status choose_branch(struct call *c) {
  const struct value *v = c->node->n_input == 3 ? importer_find(c->im, c->node->input[0]) : NULL;
  if (!v) return call_malformed(c, "uses a tensor that no node makes");
  if (!v->constant || dims_size(&v->constant->dims) != 1)
    return call_refuse(c, "export the model for inference with fixed shapes",
                       "has a condition that depends on the input");
  const bool is = tensor_get(v->constant, 0) > 0 || tensor_get(v->constant, 0) < 0;
  c->in[0] = importer_find(c->im, c->node->input[is ? 1 : 2]);
  c->in_count = 1;
  return c->in[0] ? FUSION_OK : call_malformed(c, "uses a tensor that no node makes");
}

static fusion_status call_open(struct importer *im, const Onnx__NodeProto *node, struct call *c) {
  *c = (struct call){.im = im, .node = node};
  if (!node->op_type) return call_malformed(c, "without a type");
  const char *domain = node->domain ? node->domain : "";
  if (!domain_known(domain, node->op_type)) {
    char shown[64];
    name_for_print(shown, domain);
    return call_refuse(c, "export with standard ONNX operators", "of domain '%s' is not supported", shown);
  }
  c->in = mem_alloc(node->n_input, sizeof *c->in);
  if (!c->in) return call_out_of_memory(c);
  if (!strcmp(node->op_type, "If")) return choose_branch(c);
  c->in_count = node->n_input;
  for (size_t i = 0; i < node->n_input; i++) {
    if (!node->input[i] || !node->input[i][0]) continue;
    c->in[i] = importer_find(im, node->input[i]);
    if (!c->in[i]) return call_malformed(c, "uses a tensor that no node makes");
  }
  while (c->in_count && !c->in[c->in_count - 1]) c->in_count--;
  return FUSION_OK;
}

fusion_status import_node(struct importer *im, const Onnx__NodeProto *node) {
  struct call c;
  fusion_status status;
  TRY(call_open(im, node, &c));
  const struct op_entry *op = op_find(node->domain ? node->domain : "", node->op_type);
  if (!op) status = call_refuse(&c, remedy_of(node->op_type), "is not supported");
  if (op) {
    TRY(check_attributes(&c, op));
    TRY(check_inputs(&c, op));
    TRY(call_dispatch(&c, op));
    TRY(output_check_shapes(&c));
  }
cleanup:
  mem_free(c.in);
  return status;
}

static fusion_status check_opset(const struct importer *im) {
  if (im->opset >= MIN_OPSET && im->opset <= MAX_OPSET) return FUSION_OK;
  return error_set(im->err, FUSION_E_UNSUPPORTED,
                   "'%s': operator set version %lld is not supported; export with opset 13", im->path,
                   (long long)im->opset);
}

static fusion_status import_opset(struct importer *im) {
  for (size_t i = 0; i < im->model->n_opset_import; i++) {
    const Onnx__OperatorSetIdProto *o = im->model->opset_import[i];
    if (!o->domain || !o->domain[0] || !strcmp(o->domain, "ai.onnx")) im->opset = o->version;
  }
  return check_opset(im);
}

/* Those that the answer needs. */
static fusion_status import_initialisers(struct importer *im, const struct importer *needed) {
  Onnx__GraphProto *g = im->model->graph;
  if (g->n_sparse_initializer)
    return error_set(im->err, FUSION_E_UNSUPPORTED, "'%s': sparse initialisers are not supported; export dense weights",
                     im->path);
  for (size_t i = 0; i < g->n_initializer; i++) {
    Onnx__TensorProto *p = g->initializer[i];
    if (p->name && importer_find(needed, p->name)) {
      struct tensor *t = NULL;
      fusion_status status = tensor_from_proto(im, p, &t);
      if (status == FUSION_OK) status = importer_define(im, p->name, &(struct value){.constant = t});
      if (status != FUSION_OK) return status;
    }
    /* The copy is ours now: do not hold large weights twice. */
    protobuf_c_message_free_unpacked(&p->base, NULL);
    g->initializer[i] = NULL;
  }
  g->n_initializer = 0;
  return FUSION_OK;
}

/* By the bits, without an early end: the compiler makes vectors of it. */
static bool all_finite(const float *v, size_t count) {
  const uint32_t exponent = UINT32_C(0x7f800000);
  uint32_t bad = 0;
  for (size_t i = 0; v && i < count; i++) {
    uint32_t bits;
    memcpy(&bits, v + i, sizeof bits);
    bad |= (bits & exponent) == exponent;
  }
  return !bad;
}

static fusion_status check_result(const struct importer *im) {
  const struct graph *g = im->g;
  for (uint32_t i = 0; i < g->count; i++) {
    const struct graph_node *n = &g->nodes[i];
    const bool last = n->op == GRAPH_SOFTMAX || n->op == GRAPH_ARGMAX;
    if (last && i + 1 < g->count)
      return error_set(im->err, FUSION_E_UNSUPPORTED,
                       "'%s': %s is followed by other layers (node '%s'); use it at the end only", im->path,
                       n->op == GRAPH_SOFTMAX ? "Softmax" : "ArgMax", n->name);
    const size_t fan = n->op == GRAPH_LINEAR ? (size_t)g->nodes[n->inputs[0]].shape.channels / n->groups *
                                                   n->window.kernel_h * n->window.kernel_w
                                             : 1;
    if (!all_finite(n->weights, n->weights ? n->shape.channels * fan : 0) || !all_finite(n->bias, n->shape.channels))
      return error_set(im->err, FUSION_E_MODEL,
                       "'%s': node '%s' has weights that are not finite; train the model again", im->path, n->name);
  }
  return graph_validate(g, im->err);
}

/* Labels of classes that the answer is not about, as when the network ends at a tensor before. */
static void drop_other_labels(struct graph *g) {
  const struct graph_node *last = &g->nodes[g->count - 1];
  const size_t outputs = shape_size(last->op == GRAPH_ARGMAX ? g->nodes[last->inputs[0]].shape : last->shape);
  if (g->labels.count != (outputs == 1 ? 2 : outputs)) class_labels_free(&g->labels);
}

static fusion_status import_nodes(struct importer *im, const struct importer *needed) {
  for (size_t i = 0; i < im->node_count; i++) {
    const struct flat_node *n = &im->nodes[i];
    if (!output_is_needed(needed, n->node) || !expand_is_read(im, n)) continue;
    im->opset = n->opset;
    im->shared = n->shared;
    fusion_status status = check_opset(im);
    if (status == FUSION_OK) status = import_node(im, n->node);
    if (status != FUSION_OK) return status;
  }
  return FUSION_OK;
}

static fusion_status import_model(struct importer *im, const char *path) {
  struct importer needed = {.err = im->err};
  uint32_t output = 0;
  fusion_status status;
  TRY(output_split(im, path));
  needed.path = im->path;
  TRY(onnx_load(im));
  TRY(import_opset(im));
  TRY(expand_nodes(im));
  TRY(output_find_needed(im, &needed));
  im->needed = &needed;
  im->g = graph_alloc();
  FAIL_IF(!im->g, error_set(im->err, FUSION_E_MEMORY, "'%s': out of memory", im->path));
  TRY(import_initialisers(im, &needed));
  TRY(import_input(im, &needed));
  TRY(import_nodes(im, &needed));
  TRY(output_find(im, &output));
  status = graph_simplify(im->g, output);
  if (status == FUSION_OK) status = ends_inside(im->g);
  if (status == FUSION_OK) status = tail_fold(im->g);
  if (status != FUSION_OK) error_set(im->err, status, "'%s': %s", im->path, fusion_status_text(status));
  if (status == FUSION_OK) sigmoids_inside(im->g);
  if (status == FUSION_OK) drop_other_labels(im->g);
  if (status == FUSION_OK) status = check_result(im);
cleanup:
  importer_clear(&needed);
  return status;
}

static fusion_status import_file(struct graph **out, const char *path, bool whole, fusion_error *err) {
  struct importer im = {.path = path, .err = err, .batch = 1, .whole = whole};
  const fusion_status status = import_model(&im, path);
  if (status == FUSION_OK) {
    *out = im.g;
    im.g = NULL;
  }
  importer_clear(&im);
  return status;
}

fusion_status graph_from_onnx(struct graph **out, const char *path, fusion_error *err) {
  return import_file(out, path, false, err);
}

fusion_status graph_from_onnx_whole(struct graph **out, const char *path, fusion_error *err) {
  return import_file(out, path, true, err);
}
