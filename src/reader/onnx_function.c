/* The functions that a file brings along. The format grew: overloads and preset attributes may be unknown to the
 * description that this reader was built with, and are then taken from the unknown fields. */
#include "base/cursor.h"
#include "reader/onnx_expand.h"

enum { NODE_OVERLOAD = 8, FUNCTION_PRESETS = 11, FUNCTION_OVERLOAD = 13 };

/* The bytes of a length-delimited field that the description does not have: as protobuf-c keeps them, the length first.
 */
static bool unknown_bytes(const ProtobufCMessageUnknownField *field, const uint8_t **data, size_t *len) {
  size_t at = 0;
  if (field->wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED) return false;
  while (at < field->len && field->data[at] & 0x80) at++;
  if (at >= field->len) return false;
  *data = field->data + at + 1;
  *len = field->len - at - 1;
  return true;
}

/* A text field by its number; empty when absent. Longer ones are cut: no function that is found has such a name. */
static void text_field(const ProtobufCMessage *m, unsigned number, char *out, size_t capacity) {
  const ProtobufCFieldDescriptor *known = protobuf_c_message_descriptor_get_field(m->descriptor, number);
  const uint8_t *data = NULL;
  size_t len = 0;
  if (known && known->type == PROTOBUF_C_TYPE_STRING) {
    memcpy(&data, (const uint8_t *)m + known->offset, sizeof data);
    len = data ? strlen((const char *)data) : 0;
  }
  for (unsigned i = 0; !known && i < m->n_unknown_fields; i++) {
    if (m->unknown_fields[i].tag == number && !unknown_bytes(&m->unknown_fields[i], &data, &len)) len = 0;
  }
  len = size_min(len, capacity - 1);
  if (len) memcpy(out, data, len);
  out[len] = 0;
}

static fusion_status function_damaged(const struct importer *im, const Onnx__FunctionProto *f) {
  char shown[64];
  name_for_print(shown, f->name);
  return error_set(im->err, FUSION_E_MODEL,
                   "'%s': function '%s' is damaged or has too many parameters; export it again", im->path, shown);
}

static fusion_status function_presets(const struct importer *im, struct onnx_function *f) {
  const ProtobufCMessage *m = &f->proto->base;
  const ProtobufCFieldDescriptor *known = protobuf_c_message_descriptor_get_field(m->descriptor, FUNCTION_PRESETS);
  if (known) {
    memcpy(&f->presets, (const uint8_t *)m + known->offset, sizeof f->presets);
    memcpy(&f->preset_count, (const uint8_t *)m + known->quantifier_offset, sizeof f->preset_count);
    f->borrowed = true;
    return FUSION_OK;
  }
  size_t count = 0;
  for (unsigned i = 0; i < m->n_unknown_fields; i++) count += m->unknown_fields[i].tag == FUNCTION_PRESETS;
  if (count > FUNCTION_PARAMETERS_MAX) return function_damaged(im, f->proto);
  f->presets = mem_alloc(size_max(count, 1), sizeof *f->presets);
  if (!f->presets) return error_set(im->err, FUSION_E_MEMORY, "'%s': out of memory", im->path);
  for (unsigned i = 0; i < m->n_unknown_fields; i++) {
    const uint8_t *data = NULL;
    size_t len = 0;
    if (m->unknown_fields[i].tag != FUNCTION_PRESETS) continue;
    if (!unknown_bytes(&m->unknown_fields[i], &data, &len) || !onnx_scan(data, len, &onnx__attribute_proto__descriptor))
      return function_damaged(im, f->proto);
    f->presets[f->preset_count] = onnx__attribute_proto__unpack(NULL, len, data);
    if (!f->presets[f->preset_count]) return function_damaged(im, f->proto);
    f->preset_count++;
  }
  return FUSION_OK;
}

static bool standard_domain(const char *domain) {
  return !domain || !domain[0] || !strcmp(domain, "ai.onnx");
}

fusion_status functions_open(struct importer *im) {
  const Onnx__ModelProto *m = im->model;
  if (!m->n_functions) return FUSION_OK;
  im->functions = mem_alloc(m->n_functions, sizeof *im->functions);
  if (!im->functions) return error_set(im->err, FUSION_E_MEMORY, "'%s': out of memory", im->path);
  for (size_t i = 0; i < m->n_functions; i++) {
    struct onnx_function *f = &im->functions[i];
    *f = (struct onnx_function){.proto = m->functions[i], .opset = im->opset};
    im->function_count = i + 1;
    if (f->proto->n_input > FUNCTION_PARAMETERS_MAX || f->proto->n_output > FUNCTION_PARAMETERS_MAX)
      return function_damaged(im, f->proto);
    text_field(&f->proto->base, FUNCTION_OVERLOAD, f->overload, sizeof f->overload);
    for (size_t k = 0; k < f->proto->n_opset_import; k++) {
      const Onnx__OperatorSetIdProto *o = f->proto->opset_import[k];
      if (standard_domain(o->domain)) f->opset = o->version;
    }
    const fusion_status status = function_presets(im, f);
    if (status != FUSION_OK) return status;
  }
  return FUSION_OK;
}

void functions_close(struct importer *im) {
  for (size_t i = 0; i < im->function_count; i++) {
    struct onnx_function *f = &im->functions[i];
    if (f->borrowed) continue;
    for (size_t k = 0; k < f->preset_count; k++) onnx__attribute_proto__free_unpacked(f->presets[k], NULL);
    mem_free(f->presets);
  }
  mem_free(im->functions);
  im->functions = NULL;
  im->function_count = 0;
}

static bool same_text(const char *a, const char *b) {
  return !strcmp(a ? a : "", b ? b : "");
}

const struct onnx_function *function_of(const struct importer *im, const Onnx__NodeProto *node) {
  char overload[64];
  if (!im->function_count || !node->op_type) return NULL;
  text_field(&node->base, NODE_OVERLOAD, overload, sizeof overload);
  for (size_t i = 0; i < im->function_count; i++) {
    const struct onnx_function *f = &im->functions[i];
    if (!same_text(f->proto->name, node->op_type) || strcmp(f->overload, overload)) continue;
    if (same_text(f->proto->domain, node->domain) ||
        (standard_domain(f->proto->domain) && standard_domain(node->domain)))
      return f;
  }
  return NULL;
}
