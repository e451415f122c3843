#include "program/program_section.h"

static struct program_section *find(const struct program *program, const char *engine) {
  for (uint32_t i = 0; i < program->section_count; i++)
    if (strcmp(program->sections[i].engine, engine) == 0) return &program->sections[i];
  return NULL;
}

const struct program_section *program_find_section(const struct program *program, const char *engine) {
  return find(program, engine);
}

/* Small letters, digits and '-', and an end. */
static bool name_fits(const char *name) {
  size_t len = 0;
  for (; len < PROGRAM_ENGINE_LEN && name[len]; len++) {
    const char c = name[len];
    if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-') return false;
  }
  return len > 0 && len < PROGRAM_ENGINE_LEN;
}

const char *program_check_sections(const struct program *program) {
  if (program->section_count > PROGRAM_SECTIONS_MAX) return "it has too many sections of engines";
  if (program->section_count && !program->sections) return "its sections are missing";
  for (uint32_t i = 0; i < program->section_count; i++) {
    const struct program_section *s = &program->sections[i];
    if (!name_fits(s->engine)) return "a section's engine has an unusable name";
    if (s->len > PROGRAM_SECTION_MAX) return "a section is too long";
    if (s->len && !s->data) return "a section's bytes are missing";
    if (i && strcmp(program->sections[i - 1].engine, s->engine) >= 0) return "its sections are out of order";
  }
  return NULL;
}

/* Room for a section of this name, in order. NULL: memory is out. */
static struct program_section *insert(struct program *program, const char *engine) {
  uint32_t at = 0;
  struct program_section *grown = mem_alloc(program->section_count + 1, sizeof *grown);
  if (!grown) return NULL;
  while (at < program->section_count && strcmp(program->sections[at].engine, engine) < 0) at++;
  for (uint32_t i = 0; i < program->section_count; i++) grown[i + (i >= at)] = program->sections[i];
  strcpy(grown[at].engine, engine); /* name_fits */
  mem_free(program->sections);
  program->sections = grown;
  program->section_count++;
  return &grown[at];
}

fusion_status program_set_section(struct program *program, const char *engine, const void *data, size_t len) {
  struct program_section *s = find(program, engine);
  if (!name_fits(engine) || len > PROGRAM_SECTION_MAX) return FUSION_E_LIMIT;
  if (!s && program->section_count >= PROGRAM_SECTIONS_MAX) return FUSION_E_LIMIT;
  uint8_t *copy = mem_alloc(size_max(1, len), 1);
  if (copy && !s) s = insert(program, engine);
  if (!copy || !s) {
    mem_free(copy);
    return FUSION_E_MEMORY;
  }
  if (len) memcpy(copy, data, len);
  mem_free(s->data);
  s->data = copy;
  s->len = (uint32_t)len;
  return FUSION_OK;
}

void program_encode_sections(struct writer *w, const struct program *program) {
  write_u8(w, (uint8_t)program->section_count);
  for (uint32_t i = 0; i < program->section_count; i++) {
    const struct program_section *s = &program->sections[i];
    write_string(w, s->engine);
    write_u32(w, s->len);
    write_bytes(w, s->data, s->len);
  }
}

fusion_status program_decode_sections(struct reader *r, struct program *program) {
  const uint32_t count = read_u8(r);
  if (r->failed || count > PROGRAM_SECTIONS_MAX) return FUSION_E_MODEL;
  if (!count) return FUSION_OK;
  program->sections = mem_alloc(count, sizeof *program->sections);
  if (!program->sections) return FUSION_E_MEMORY;
  program->section_count = count;
  for (uint32_t i = 0; i < count; i++) {
    struct program_section *s = &program->sections[i];
    read_string(r, s->engine, sizeof s->engine);
    s->len = read_u32(r);
    if (r->failed || s->len > PROGRAM_SECTION_MAX || s->len > reader_left(r)) return FUSION_E_MODEL;
    s->data = mem_alloc(size_max(1, s->len), 1);
    if (!s->data) return FUSION_E_MEMORY;
    read_bytes(r, s->data, s->len);
  }
  return FUSION_OK;
}

void program_free_sections(struct program *program) {
  for (uint32_t i = 0; program->sections && i < program->section_count; i++) mem_free(program->sections[i].data);
  mem_free(program->sections);
  program->sections = NULL;
  program->section_count = 0;
}
