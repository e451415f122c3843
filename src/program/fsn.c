/** Reading and writing .fsn files. */
#include "program/fsn.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "program/operators.h"
#include "program/program_section.h"

enum { FSN_VERSION = 3, MAGIC_LEN = 8, CHECKSUM_LEN = 8 };
static const char magic[MAGIC_LEN] = {'F', 'U', 'S', 'I', 'O', 'N', 'M', 'L'};

static uint64_t rotate(uint64_t v, unsigned by) {
  return v << by | v >> (64 - by);
}

uint64_t fsn_checksum(const void *data, size_t len) {
  uint64_t state = UINT64_C(0x9e3779b97f4a7c15) ^ len;
  struct reader r = reader_of(data, len);
  while (reader_left(&r)) {
    uint64_t word = 0;
    if (reader_left(&r) >= 8)
      word = read_u64(&r);
    else
      for (unsigned shift = 0; reader_left(&r); shift += 8) word |= (uint64_t)read_u8(&r) << shift;
    state = rotate(state ^ word * UINT64_C(0xc2b2ae3d27d4eb4f), 27) * UINT64_C(0x9e3779b185ebca87) + 1;
  }
  state ^= state >> 33;
  state *= UINT64_C(0xff51afd7ed558ccd);
  return state ^ state >> 29;
}

static void encode_steps(struct writer *w, const struct model *model, bool names) {
  for (uint32_t i = 0; i < model->program.count; i++) {
    const struct program_step *s = &model->program.steps[i];
    if (names) write_string(w, s->name);
    if (!program_scale_is_public(&model->program, i)) write_f64(w, s->out.scale);
    if (step_operator(s)->weights == WEIGHTS_NONE) continue;
    const size_t count = program_weight_count(&model->program, i);
    for (size_t k = 0; k < count; k++) write_u16(w, (uint16_t)model->weights[i].weights[k]);
    for (uint32_t c = 0; c < s->out.shape.channels; c++) write_u64(w, (uint64_t)model->weights[i].bias[c]);
  }
}

void fsn_encode_function(struct writer *w, const struct model *model) {
  program_encode_function(w, &model->program);
  encode_steps(w, model, false);
}

/** Writes a u64 length in front of what `body` appended after `at`. */
static void patch_len(struct writer *w, size_t at) {
  if (w->failed) return;
  const uint64_t len = w->len - at - 8;
  for (unsigned k = 0; k < 8; k++) w->data[at + k] = (uint8_t)(len >> (8 * k));
}

fusion_status fsn_encode(struct writer *w, const struct model *model) {
  const size_t start = w->len;
  write_bytes(w, magic, sizeof magic);
  write_u32(w, FSN_VERSION);
  size_t at = w->len;
  write_u64(w, 0);
  program_encode(w, &model->program);
  patch_len(w, at);
  at = w->len;
  write_u64(w, 0);
  write_bytes(w, model->salt, sizeof model->salt);
  encode_steps(w, model, true);
  patch_len(w, at);
  if (!w->failed) write_u64(w, fsn_checksum(w->data + start, w->len - start));
  return w->failed ? FUSION_E_MEMORY : FUSION_OK;
}

static fusion_status decode_weights(struct program_weights *out, struct reader *r, const struct program *program,
                                    uint32_t step) {
  const struct program_step *s = &program->steps[step];
  const size_t count = program_weight_count(program, step);
  if (count > reader_left(r) / sizeof(int16_t)) return FUSION_E_MODEL;
  out->weights = mem_alloc(count, sizeof *out->weights);
  out->bias = mem_alloc(s->out.shape.channels, sizeof *out->bias);
  if (!out->weights || !out->bias) return FUSION_E_MEMORY;
  const int32_t limit = count ? 1 << (s->weight_bits - 1) : 0;
  for (size_t k = 0; k < count; k++) {
    out->weights[k] = (int16_t)read_u16(r);
    if (out->weights[k] < -limit || out->weights[k] >= limit) return FUSION_E_MODEL;
  }
  for (uint32_t c = 0; c < s->out.shape.channels; c++) {
    out->bias[c] = (int64_t)read_u64(r);
    if (ring_signed((uint64_t)out->bias[c], s->out.ring_bits) != out->bias[c]) return FUSION_E_MODEL;
  }
  return r->failed ? FUSION_E_MODEL : FUSION_OK;
}

static fusion_status decode_private(struct model *m, struct reader *r, uint32_t i) {
  struct program_step *s = &m->program.steps[i];
  read_string(r, s->name, sizeof s->name);
  if (!program_scale_is_public(&m->program, i)) {
    s->out.scale = read_f64(r);
    if (!(s->out.scale > 0)) return FUSION_E_MODEL; /* 0 is for clients */
  }
  if (r->failed) return FUSION_E_MODEL;
  return step_operator(s)->weights == WEIGHTS_NONE ? FUSION_OK : decode_weights(&m->weights[i], r, &m->program, i);
}

static fusion_status decode_model(struct model *m, struct reader *r, const char *name, fusion_error *err) {
  const uint64_t manifest_len = read_u64(r);
  const uint8_t *manifest = manifest_len > reader_left(r) ? NULL : read_span(r, (size_t)manifest_len);
  if (!manifest) return error_set(err, FUSION_E_MODEL, "'%s': the manifest is damaged", name);
  struct reader inner = reader_of(manifest, (size_t)manifest_len);
  fusion_error inside = {.status = FUSION_OK};
  fusion_status status = program_decode(&m->program, &inner, &inside);
  if (status != FUSION_OK) return error_set(err, status, "'%s': %.300s", name, inside.text);
  if (!reader_done(&inner)) return error_set(err, FUSION_E_MODEL, "'%s': the manifest is damaged", name);
  if (read_u64(r) != reader_left(r)) return error_set(err, FUSION_E_MODEL, "'%s': the private part is damaged", name);
  read_bytes(r, m->salt, sizeof m->salt);
  m->weights = mem_alloc(m->program.count, sizeof *m->weights);
  if (!m->weights) return error_set(err, FUSION_E_MEMORY, "'%s': out of memory", name);
  for (uint32_t i = 0; i < m->program.count; i++) {
    status = decode_private(m, r, i);
    if (status != FUSION_OK) return error_set(err, status, "'%s': the weights of step %u are damaged", name, i);
  }
  if (!reader_done(r)) return error_set(err, FUSION_E_MODEL, "'%s': the private part is damaged", name);
  status = program_validate(&m->program, &inside); /* names and scales are new */
  return status == FUSION_OK ? FUSION_OK : error_set(err, status, "'%s': %.300s", name, inside.text);
}

fusion_status fsn_decode(struct model **out, const void *data, size_t len, const char *name, fusion_error *err) {
  *out = NULL;
  const uint8_t *bytes = data;
  if (len < MAGIC_LEN || memcmp(bytes, magic, MAGIC_LEN) != 0)
    return error_set(err, FUSION_E_MODEL, "'%s': not a .fsn file; make one with 'fusion compile'", name);
  struct reader r = reader_of(bytes, len < CHECKSUM_LEN ? 0 : len - CHECKSUM_LEN);
  read_span(&r, MAGIC_LEN);
  const uint32_t version = read_u32(&r);
  if (r.failed) return error_set(err, FUSION_E_MODEL, "'%s': truncated", name);
  if (version != FSN_VERSION)
    return error_set(err, FUSION_E_MODEL,
                     "'%s': version %u is not known here (this release reads %d); compile it again", name, version,
                     (int)FSN_VERSION);
  struct reader tail = reader_of(bytes + len - CHECKSUM_LEN, CHECKSUM_LEN);
  if (read_u64(&tail) != fsn_checksum(bytes, len - CHECKSUM_LEN))
    return error_set(err, FUSION_E_MODEL, "'%s': truncated or altered (its checksum does not match)", name);
  struct model *m = mem_alloc(1, sizeof *m);
  if (!m) return error_set(err, FUSION_E_MEMORY, "'%s': out of memory", name);
  const fusion_status status = decode_model(m, &r, name, err);
  if (status == FUSION_OK)
    *out = m;
  else
    model_free(m);
  return status;
}

static fusion_status read_file(uint8_t **data, size_t *len, const char *path, fusion_error *err) {
  FILE *f = fopen(path, "rb");
  if (!f) return error_set(err, FUSION_E_IO, "'%s': %s", path, strerror(errno));
  struct stat st;
  fusion_status status = FUSION_OK;
  if (fstat(fileno(f), &st) || !S_ISREG(st.st_mode) || st.st_size < 0)
    status = error_set(err, FUSION_E_IO, "'%s': not a regular file", path);
  *len = status == FUSION_OK ? (size_t)st.st_size : 0;
  *data = status == FUSION_OK ? mem_alloc(*len + 1, 1) : NULL;
  if (status == FUSION_OK && !*data) status = error_set(err, FUSION_E_MEMORY, "'%s': out of memory", path);
  if (status == FUSION_OK && fread(*data, 1, *len, f) != *len)
    status = error_set(err, FUSION_E_IO, "'%s': cannot be read", path);
  fclose(f);
  return status;
}

fusion_status fsn_load(struct model **out, const char *path, fusion_error *err) {
  uint8_t *data = NULL;
  size_t len = 0;
  *out = NULL;
  fusion_status status = read_file(&data, &len, path, err);
  if (status == FUSION_OK) status = fsn_decode(out, data, len, path, err);
  mem_free(data);
  return status;
}

static bool write_all(int fd, const uint8_t *data, size_t len) {
  while (len) {
    const ssize_t n = write(fd, data, len);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    data += n;
    len -= (size_t)n;
  }
  return fsync(fd) == 0;
}

static bool write_and_rename(int fd, const char *temporary, const char *path, const struct writer *w) {
  const bool written = write_all(fd, w->data, w->len);
  const bool closed = close(fd) == 0;
  if (written && closed && rename(temporary, path) == 0) return true;
  const int why = errno;
  unlink(temporary);
  errno = why;
  return false;
}

fusion_status fsn_save(const struct model *model, const char *path, fusion_error *err) {
  enum { SUFFIX_LEN = sizeof ".0123456789abcdef" };
  struct writer w = {0};
  uint64_t unique;
  char *temporary = NULL;
  fusion_status status;
  const size_t name_len = strlen(path) + SUFFIX_LEN;
  TRY(os_random(&unique, sizeof unique));
  TRY(fsn_encode(&w, model));
  temporary = mem_alloc(name_len, 1);
  FAIL_IF(!temporary, FUSION_E_MEMORY);
  snprintf(temporary, name_len, "%s.%016" PRIx64, path, unique);
  const int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0 || !write_and_rename(fd, temporary, path, &w))
    status = error_set(err, FUSION_E_IO, "'%s': cannot be written: %s", path, strerror(errno));
cleanup:
  if (status != FUSION_OK && status != FUSION_E_IO)
    error_set(err, status, "'%s': %s", path, fusion_status_text(status));
  mem_free(temporary);
  writer_free(&w);
  return status;
}
