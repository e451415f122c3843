#include <stdio.h>

#include <fusion/server.h>

#include "service/ledger.h"

fusion_status fusion_ledger_verify(const char *path, uint64_t *rows, char *head, fusion_error *err) {
  char last[LEDGER_HEX_LEN];
  const fusion_status status = ledger_verify(path, rows, last, err);
  if (head) memcpy(head, last, sizeof last);
  return status;
}
