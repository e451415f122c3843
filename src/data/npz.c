/* The .npz format: a zip archive of .npy members, stored or deflated (APPNOTE.TXT 4.3). Without the zip64 extension: an
 * archive of 4 GiB or more is refused with a remedy. */
#include <stdio.h>
#include <zlib.h>

#include "base/cursor.h"
#include "data/data.h"

enum {
  END_LEN = 22,
  END_SEARCH = END_LEN + 65535,
  LOCAL_LEN = 30,
  FLAG_ENCRYPTED = 1,
  METHOD_STORED = 0,
  METHOD_DEFLATED = 8,
  DEFLATE_RATIO_MAX = 1032, /* what deflate can reach */
  NAMES_LEN = 240,
};
#define SIGNATURE_END 0x06054b50u
#define SIGNATURE_ENTRY 0x02014b50u
#define SIGNATURE_LOCAL 0x04034b50u

struct entry {
  uint16_t flags, method;
  uint32_t crc, packed_len, len, offset;
  const char *name; /* borrowed from the directory */
  size_t name_len;
};

static fusion_status damaged(const struct input_file *f, fusion_error *err) {
  return error_set(err, FUSION_E_INPUT, "'%s': is not a complete .npz (zip) archive; copy it again", f->path);
}

/** Finds the end record and reads the central directory. *directory is owned by the caller. */
static fusion_status read_directory(const struct input_file *f, uint8_t **directory, size_t *len, fusion_error *err) {
  const size_t tail_len = (size_t)(f->len < END_SEARCH ? f->len : END_SEARCH);
  if (tail_len < END_LEN) return damaged(f, err);
  uint8_t *tail = mem_alloc(tail_len, 1);
  if (!tail) return FUSION_E_MEMORY;
  fusion_status status = input_read(f, f->len - tail_len, tail, tail_len, err);
  uint32_t offset = 0;
  bool found = false;
  for (size_t at = tail_len - END_LEN + 1; status == FUSION_OK && !found && at-- > 0;) {
    struct reader r = reader_of(tail + at, tail_len - at);
    if (read_u32(&r) != SIGNATURE_END) continue;
    (void)read_span(&r, 8); /* disk and entry numbers: the directory itself is walked */
    *len = read_u32(&r);
    offset = read_u32(&r);
    found = !r.failed;
  }
  mem_free(tail);
  if (status != FUSION_OK) return status;
  if (found && offset == UINT32_MAX)
    return error_set(err, FUSION_E_INPUT, "'%s': archives of 4 GiB or more are not supported; save a .npy file",
                     f->path);
  if (!found || offset > f->len || *len > f->len - offset) return damaged(f, err);
  *directory = mem_alloc(*len, 1);
  return *directory ? input_read(f, offset, *directory, *len, err) : FUSION_E_MEMORY;
}

static bool next_entry(struct reader *r, struct entry *e) {
  if (read_u32(r) != SIGNATURE_ENTRY) return false;
  read_u32(r); /* versions */
  e->flags = read_u16(r);
  e->method = read_u16(r);
  read_u32(r); /* time */
  e->crc = read_u32(r);
  e->packed_len = read_u32(r);
  e->len = read_u32(r);
  e->name_len = read_u16(r);
  const size_t extra_len = read_u16(r), comment_len = read_u16(r);
  (void)read_span(r, 8); /* disk, attributes */
  e->offset = read_u32(r);
  e->name = (const char *)read_span(r, e->name_len);
  (void)read_span(r, extra_len + comment_len);
  return !r->failed;
}

/** A member `x.npy` is called `x`. */
static size_t member_len(const struct entry *e) {
  return e->name_len > 4 && memcmp(e->name + e->name_len - 4, ".npy", 4) == 0 ? e->name_len - 4 : 0;
}

static bool same_name(const struct entry *a, const char *name, size_t len) {
  return len == member_len(a) && memcmp(a->name, name, len) == 0;
}

static bool is_whole_name(const struct entry *e, const char *name) {
  return strlen(name) == e->name_len && memcmp(e->name, name, e->name_len) == 0;
}

/** Finds the member; with no name given, the only one. Of members of one name the last counts, as for numpy. On failure
 * the text lists what there is. */
static fusion_status find_member(const struct input_file *f, struct reader directory, const char *member,
                                 struct entry *out, fusion_error *err) {
  char names[NAMES_LEN] = "";
  size_t count = 0, used = 0;
  bool found = false;
  struct entry e;
  while (reader_left(&directory)) {
    if (!next_entry(&directory, &e)) return damaged(f, err);
    const size_t len = member_len(&e);
    if (!len) continue;
    const bool again = count && same_name(out, e.name, len);
    const bool named = member && (same_name(&e, member, strlen(member)) || is_whole_name(&e, member));
    found = found || named;
    if (named || (!found && (again || !count))) *out = e;
    count += !again;
    if (!again && used < sizeof names - 1)
      used += (size_t)snprintf(names + used, sizeof names - used, "%s%.*s", count > 1 ? ", " : "", (int)len, e.name);
  }
  if (found || (!member && count == 1)) return FUSION_OK;
  if (!count) return error_set(err, FUSION_E_INPUT, "'%s': holds no .npy member", f->path);
  if (member) return error_set(err, FUSION_E_INPUT, "'%s': has no member '%s'; it has: %s", f->path, member, names);
  return error_set(err, FUSION_E_INPUT, "'%s': has several members; name one as '%s:NAME' out of: %s", f->path, f->path,
                   names);
}

static fusion_status unpack(const struct input_file *f, const struct entry *e, const uint8_t *packed, uint8_t *out,
                            fusion_error *err) {
  if (e->method == METHOD_STORED) {
    memcpy(out, packed, e->len);
    return FUSION_OK;
  }
  z_stream z = {.next_in = (Bytef *)(uintptr_t)packed, .avail_in = e->packed_len, .next_out = out, .avail_out = e->len};
  if (inflateInit2(&z, -MAX_WBITS) != Z_OK) return FUSION_E_MEMORY;
  const int result = inflate(&z, Z_FINISH);
  const bool whole = result == Z_STREAM_END && z.avail_out == 0;
  inflateEnd(&z);
  return whole ? FUSION_OK : damaged(f, err);
}

/** The member's bytes, unpacked and checked; owned by the caller. */
static fusion_status read_member(const struct input_file *f, const struct entry *e, uint8_t **out, fusion_error *err) {
  fusion_status status = FUSION_OK;
  uint8_t local[LOCAL_LEN], *packed = NULL;
  if (e->flags & FLAG_ENCRYPTED || (e->method != METHOD_STORED && e->method != METHOD_DEFLATED))
    return error_set(err, FUSION_E_INPUT, "'%s': the member is encrypted or uses a compression other than deflate",
                     f->path);
  if (e->len == UINT32_MAX || e->packed_len == UINT32_MAX)
    return error_set(err, FUSION_E_INPUT, "'%s': members of 4 GiB or more are not supported; save a .npy file",
                     f->path);
  TRY(input_read(f, e->offset, local, sizeof local, err));
  struct reader r = reader_of(local, sizeof local);
  const bool signed_local = read_u32(&r) == SIGNATURE_LOCAL;
  (void)read_span(&r, 22);
  const uint64_t skip = (uint64_t)read_u16(&r) + read_u16(&r);
  const uint64_t start = e->offset + LOCAL_LEN + skip;
  const bool plausible =
      e->method == METHOD_STORED ? e->len == e->packed_len : e->len / DEFLATE_RATIO_MAX <= e->packed_len;
  if (!signed_local || !plausible || start > f->len || e->packed_len > f->len - start) return damaged(f, err);
  packed = mem_alloc(e->packed_len, 1);
  *out = mem_alloc(e->len, 1);
  FAIL_IF(!packed || !*out, FUSION_E_MEMORY);
  TRY(input_read(f, start, packed, e->packed_len, err));
  TRY(unpack(f, e, packed, *out, err));
  if (crc32_z(0, *out, e->len) != e->crc)
    status = error_set(err, FUSION_E_INPUT, "'%s': the member's checksum is wrong; copy the file again", f->path);
cleanup:
  mem_free_secret(packed, packed ? e->packed_len : 0);
  return status;
}

fusion_status npz_load(fusion_array **out, const char *path, const char *member, fusion_error *err) {
  struct input_file f;
  fusion_status status = input_open(&f, path, err);
  if (status != FUSION_OK) return status;
  uint8_t *directory = NULL, *bytes = NULL;
  size_t directory_len = 0;
  struct entry e = {.len = 0};
  struct npy_header h;
  fusion_array *a = NULL;
  TRY(read_directory(&f, &directory, &directory_len, err));
  TRY(find_member(&f, reader_of(directory, directory_len), member, &e, err));
  TRY(read_member(&f, &e, &bytes, err));
  TRY(npy_header_parse(&h, bytes, e.len, path, err));
  TRY(npy_array_for(&a, &h, e.len - h.data_offset, path, err));
  if (a->len) memcpy(a->data, bytes + h.data_offset, a->len);
  TRY(npy_reorder(a, &h));
cleanup:
  input_close(&f);
  mem_free(directory);
  mem_free_secret(bytes, bytes ? e.len : 0);
  if (status != FUSION_OK)
    fusion_array_free(a);
  else
    *out = a;
  return status;
}
