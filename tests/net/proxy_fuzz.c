/* Headers of the PROXY protocol. */
#include <stdlib.h>

#include "net/proxy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct proxy_source source;
  fusion_error why = {.status = FUSION_OK};
  const fusion_status status = proxy_parse(data, size, &source, &why);
  if (status != FUSION_OK && (status != FUSION_E_PEER || !why.text[0] || source.known)) abort();
  if (status == FUSION_OK && size > PROXY_FIXED_LEN + PROXY_REST_MAX) abort();
  if (source.known && (!memchr(source.address, 0, sizeof source.address) || !strchr(source.address, ':'))) abort();
  return 0;
}
