#include "service/ledger_store.h"

#include <stdarg.h>
#include <stdlib.h>

#ifndef FUSION_POSTGRES
fusion_status store_open_postgres(struct store **out, const char *url, bool to_read, fusion_error *err) {
  (void)url, (void)to_read;
  *out = NULL;
  return error_set(
      err, FUSION_E_UNSUPPORTED,
      "this build keeps no ledger in PostgreSQL; install libpq-dev and build again with -Dpostgres=enabled");
}
#endif

fusion_status store_open(struct store **out, const char *where, bool to_read, fusion_error *err) {
  static const char *const schemes[] = {"postgresql://", "postgres://"};
  for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
    if (strncmp(where, schemes[i], strlen(schemes[i])) == 0) return store_open_postgres(out, where, to_read, err);
  return store_open_sqlite(out, where, to_read, err);
}

static bool query(struct store *s, store_row *row, void *context, const char *sql, const char *kinds, va_list list) {
  struct store_arg args[STORE_ARGS_MAX];
  size_t count = 0;
  for (; kinds[count]; count++) {
    assert(count < STORE_ARGS_MAX);
    args[count] = (struct store_arg){0};
    if (kinds[count] == 's')
      args[count].text = va_arg(list, const char *);
    else
      args[count].number = va_arg(list, int64_t);
  }
  return s->calls->query(s, sql, args, count, row, context);
}

bool store_query(struct store *s, store_row *row, void *context, const char *sql, const char *kinds, ...) {
  va_list list;
  va_start(list, kinds);
  const bool good = query(s, row, context, sql, kinds, list);
  va_end(list);
  return good;
}

static bool take_number(void *context, const struct store_cell *cells) {
  *(int64_t *)context = strtoll(cells[0].text, NULL, 10);
  return false;
}

bool store_number(struct store *s, int64_t *out, const char *sql, const char *kinds, ...) {
  va_list list;
  *out = 0;
  va_start(list, kinds);
  const bool good = query(s, take_number, out, sql, kinds, list);
  va_end(list);
  return good;
}
