#include "gates/planes.h"

#include "base/secret.h"
#include "gates/planes_kernels.h"

void planes_from_values(uint64_t *planes, size_t stride, const uint64_t *values, size_t count, unsigned bits) {
  const struct planes_kernels *kernels = planes_kernels();
  const size_t whole = count / 64, left = count % 64;
  kernels->split(planes, stride, values, whole, bits);
  if (!left) return;
  _Alignas(64) uint64_t rows[64] = {0};
  memcpy(rows, values + 64 * whole, left * sizeof *rows);
  kernels->split(planes + whole, stride, rows, 1, bits);
  mem_wipe(rows, sizeof rows);
}

void flight_put_plane(struct flight *f, const uint64_t *plane, size_t count) {
  const size_t len = plane_len(count);
  assert(len <= f->len - f->at);
  memcpy(f->data + f->at, plane, len);
  f->at += len;
}

void flight_get_plane(struct flight *f, uint64_t *plane, size_t count) {
  const size_t len = plane_len(count);
  assert(len <= f->len - f->at);
  if (count) plane[plane_words(count) - 1] = 0;
  memcpy(plane, f->data + f->at, len);
  f->at += len;
}

void flight_put_values(struct flight *f, const uint64_t *values, size_t count, unsigned bits) {
  const size_t len = bits_len(count, bits);
  assert(len <= f->len - f->at);
  bits_pack(f->data + f->at, values, count, bits);
  f->at += len;
}

void flight_get_values(struct flight *f, uint64_t *values, size_t count, unsigned bits) {
  const size_t len = bits_len(count, bits);
  assert(len <= f->len - f->at);
  bits_unpack(values, f->data + f->at, count, bits);
  f->at += len;
}

fusion_status flight_exchange(struct party *p, message_type type, const struct flight *out, struct flight *in) {
  assert(out->at == out->len);
  fusion_status status = FUSION_OK;
  secret_declassify(out->data, out->len, "masked by this party's uniform correlations: the gates' headers");
  if (out->len) TRY(channel_send(p->channel, type, out->data, out->len));
  if (p->cot) TRY(cot_settle_check(p->cot));
  if (in->len) TRY(channel_recv(p->channel, type, in->data, in->len));
  in->at = 0;
cleanup:
  return status;
}

void flight_exchange_cost(struct cost *cost, size_t to_server_len, size_t to_client_len) {
  if (to_server_len && to_client_len)
    cost_exchange(cost, to_server_len, to_client_len);
  else if (to_server_len)
    cost_to_server(cost, to_server_len);
  else if (to_client_len)
    cost_to_client(cost, to_client_len);
  cost_settle_check(cost);
}
