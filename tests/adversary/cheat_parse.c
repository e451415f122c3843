/* Cheats as text: "flip=OT_TABLE:3:17". */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "adversary/cheat.h"
#include "program/fsn.h"

const char *const cheat_help =
    "Cheats on what is computed (COUNT samples at random places of each job; a number below 1 is a share of them;\n"
    "nothing: all of them):\n"
    "  other-model=FILE.fsn[:COUNT]  the shards that hold them run with the weights of another model of equal shapes\n"
    "  weights[=COUNT]               the same with small errors in the right weights\n"
    "  answers=COUNT                 a random error is added to each of their answers\n"
    "  constant[=VALUE]              VALUE is added to the first integer of every answer (default: a quarter of the "
    "ring)\n"
    "Cheats on what is sent (the NTH message of a type on each connection, from 1; 0: every one of them):\n"
    "  flip=TYPE:NTH[:BYTE[:BIT]]    one bit of the message (default: a random one)\n"
    "  garbage=TYPE:NTH              random bytes\n"
    "  zero=TYPE:NTH                 zeros\n"
    "  keyed=RLWE_COMMON:NTH[:HOW]   a ciphertext whose decryption depends on the client's key: HOW 0 wraps where a "
    "key\n"
    "                                coefficient is not 0, 1 stays near the noise bound, 2 shifts by one, 3 is\n"
    "                                the key itself; default: any\n"
    "  manifest=ANY:0:HOW            a malformed manifest (HOW: a number), announced with its hash\n"
    "  replay=TYPE:NTH               the message of that type before it once more\n"
    "  reorder=TYPE:NTH              after the message that follows it\n"
    "  drop=TYPE:NTH  truncate=TYPE:NTH  cut=TYPE:NTH  silence=TYPE:NTH  delay=TYPE:NTH[:MILLISECONDS]\n"
    "  length=TYPE:NTH[:BYTES]       a wrong length in the header\n"
    "  endless=TYPE:NTH  flood=TYPE:NTH\n"
    "Types: ANY HELLO MANIFEST READY BASE_OT SOFTSPOKEN OT_SESSION SILENT OT_CHOICE OT_TABLE AND MULTIPLY\n"
    "PRODUCT_CHOICE TRIPLE GARBLED_CHOICE RLWE_COMMON RLWE_ANSWER MATRIX_ANSWER SLOTS_ANSWER OUTPUT RECEIPT\n";

static const struct {
  message_type type;
  const char *name;
} types[] = {
    {0, "ANY"},
    {MSG_HELLO, "HELLO"},
    {MSG_MANIFEST, "MANIFEST"},
    {MSG_SHARD, "SHARD"},
    {MSG_START, "START"},
    {MSG_READY, "READY"},
    {MSG_BASE_OT, "BASE_OT"},
    {MSG_SOFTSPOKEN, "SOFTSPOKEN"},
    {MSG_OT_SESSION, "OT_SESSION"},
    {MSG_SILENT, "SILENT"},
    {MSG_OT_CHOICE, "OT_CHOICE"},
    {MSG_OT_TABLE, "OT_TABLE"},
    {MSG_AND, "AND"},
    {MSG_MULTIPLY, "MULTIPLY"},
    {MSG_PRODUCT_CHOICE, "PRODUCT_CHOICE"},
    {MSG_PRODUCT, "PRODUCT"},
    {MSG_TRIPLE, "TRIPLE"},
    {MSG_RLWE_KEY, "RLWE_KEY"},
    {MSG_RLWE_QUERY, "RLWE_QUERY"},
    {MSG_RLWE_COMMON, "RLWE_COMMON"},
    {MSG_RLWE_ANSWER, "RLWE_ANSWER"},
    {MSG_RLWE_GALOIS, "RLWE_GALOIS"},
    {MSG_RLWE_TURN, "RLWE_TURN"},
    {MSG_MATRIX_QUERY, "MATRIX_QUERY"},
    {MSG_MATRIX_ANSWER, "MATRIX_ANSWER"},
    {MSG_SLOTS_KEY, "SLOTS_KEY"},
    {MSG_SLOTS_ROTATION, "SLOTS_ROTATION"},
    {MSG_SLOTS_QUERY, "SLOTS_QUERY"},
    {MSG_SLOTS_ANSWER, "SLOTS_ANSWER"},
    {MSG_OUTPUT, "OUTPUT"},
    {MSG_INPUT, "INPUT"},
    {MSG_GARBLED_CHOICE, "GARBLED_CHOICE"},
    {MSG_GARBLED_TABLE, "GARBLED_TABLE"},
    {MSG_GARBLED_LABEL, "GARBLED_LABEL"},
    {MSG_PREPARED, "PREPARED"},
    {MSG_STATES, "STATES"},
    {MSG_RECEIPT, "RECEIPT"},
    {MSG_REFUSAL, "REFUSAL"},
};
_Static_assert(sizeof types / sizeof *types <= CHEAT_TYPES, "raise CHEAT_TYPES");
const unsigned cheat_type_count = sizeof types / sizeof *types;

static const char *const kinds[CHEAT_KIND_COUNT] = {
    [CHEAT_OTHER_MODEL] = "other-model",
    [CHEAT_WEIGHTS] = "weights",
    [CHEAT_ANSWERS] = "answers",
    [CHEAT_CONSTANT] = "constant",
    [CHEAT_FLIP] = "flip",
    [CHEAT_GARBAGE] = "garbage",
    [CHEAT_ZERO] = "zero",
    [CHEAT_KEYED] = "keyed",
    [CHEAT_MANIFEST] = "manifest",
    [CHEAT_REPLAY] = "replay",
    [CHEAT_REORDER] = "reorder",
    [CHEAT_DROP] = "drop",
    [CHEAT_TRUNCATE] = "truncate",
    [CHEAT_CUT] = "cut",
    [CHEAT_LENGTH] = "length",
    [CHEAT_ENDLESS] = "endless",
    [CHEAT_FLOOD] = "flood",
    [CHEAT_SILENCE] = "silence",
    [CHEAT_DELAY] = "delay",
};

const char *cheat_kind_name(enum cheat_kind kind) {
  return kinds[kind];
}

unsigned cheat_type_row(unsigned type) {
  unsigned row = cheat_type_count - 1;
  while (row && types[row].type != type) row--;
  return row;
}

message_type cheat_type_at(unsigned row) {
  return types[row].type;
}

const char *cheat_type_name(unsigned type) {
  const unsigned row = cheat_type_row(type);
  return types[row].type == type ? types[row].name : NULL;
}

/* Cuts the text's next part, up to ':'; NULL when there is none. */
static char *next_part(char **text) {
  char *part = *text;
  if (!part || !*part) return NULL;
  char *end = strchr(part, ':');
  *text = end ? end + 1 : NULL;
  if (end) *end = '\0';
  return part;
}

/* An absent part leaves *out as it is. */
static bool read_number(const char *part, uint64_t *out) {
  char *end;
  if (!part) return true;
  errno = 0;
  *out = strtoull(part, &end, 10);
  return !errno && !*end && *part >= '0' && *part <= '9';
}

static bool read_count(const char *part, struct cheat *cheat) {
  char *end;
  cheat->count = CHEAT_ALL;
  if (!part) return true;
  const double value = strtod(part, &end);
  if (*end || !(value > 0)) return false;
  if (value < 1)
    cheat->fraction = value;
  else
    cheat->count = (uint64_t)value;
  return true;
}

static bool same_shapes(const struct program *a, const struct program *b) {
  if (a->count != b->count) return false;
  for (uint32_t i = 0; i < a->count; i++) {
    const struct program_step *x = &a->steps[i], *y = &b->steps[i];
    if (x->op != y->op || x->out.shape.channels != y->out.shape.channels) return false;
    if (x->op == OP_LINEAR && program_weight_count(a, i) != program_weight_count(b, i)) return false;
  }
  return true;
}

static fusion_status parse_model(struct cheater *c, struct cheat *cheat, char *rest, fusion_error *err) {
  const char *path = next_part(&rest);
  if (!path || !read_count(next_part(&rest), cheat))
    return error_set(err, FUSION_E_USAGE, "other-model takes FILE.fsn[:COUNT]");
  const fusion_status status = fsn_load(&cheat->owned, path, err);
  if (status != FUSION_OK) return status;
  cheat->other = cheat->owned;
  if (same_shapes(&c->model.program, &cheat->owned->program)) return FUSION_OK;
  model_free(cheat->owned);
  return error_set(err, FUSION_E_USAGE, "'%s': its layers differ from those of the model that is served", path);
}

static fusion_status parse_wire(struct cheat *cheat, char *rest, fusion_error *err) {
  const char *type = next_part(&rest);
  size_t i = 0;
  if (type && strncmp(type, "MSG_", 4) == 0) type += 4;
  while (type && i < cheat_type_count && strcmp(types[i].name, type) != 0) i++;
  if (!type || i == cheat_type_count)
    return error_set(err, FUSION_E_USAGE, "'%s' is no message type", type ? type : "");
  cheat->type = types[i].type;
  cheat->nth = 1;
  cheat->offset = cheat->value = CHEAT_RANDOM;
  bool good = read_number(next_part(&rest), &cheat->nth);
  if (cheat->kind == CHEAT_FLIP) good = good && read_number(next_part(&rest), &cheat->offset);
  good = good && read_number(next_part(&rest), &cheat->value) && !rest;
  return good ? FUSION_OK : error_set(err, FUSION_E_USAGE, "a message cheat is TYPE:NTH and numbers");
}

fusion_status cheat_parse(struct cheater *c, const char *text, fusion_error *err) {
  char copy[1024];
  if (snprintf(copy, sizeof copy, "%s", text) >= (int)sizeof copy)
    return error_set(err, FUSION_E_USAGE, "a cheat is too long");
  char *rest = strchr(copy, '=');
  if (rest) *rest++ = '\0';
  struct cheat cheat = {.kind = CHEAT_OTHER_MODEL, .count = CHEAT_ALL, .value = CHEAT_RANDOM};
  while (cheat.kind < CHEAT_KIND_COUNT && strcmp(kinds[cheat.kind], copy) != 0) cheat.kind++;
  fusion_status status = FUSION_OK;
  switch (cheat.kind) {
    case CHEAT_KIND_COUNT: return error_set(err, FUSION_E_USAGE, "'%s' is no cheat", copy);
    case CHEAT_OTHER_MODEL: status = parse_model(c, &cheat, rest, err); break;
    case CHEAT_WEIGHTS:
    case CHEAT_ANSWERS:
      if (!read_count(next_part(&rest), &cheat)) status = error_set(err, FUSION_E_USAGE, "%s takes a COUNT", copy);
      break;
    case CHEAT_CONSTANT:
      if (!read_number(next_part(&rest), &cheat.value))
        status = error_set(err, FUSION_E_USAGE, "constant takes a whole number");
      break;
    default: status = parse_wire(&cheat, rest, err);
  }
  return status == FUSION_OK ? cheat_add(c, &cheat, err) : status;
}
