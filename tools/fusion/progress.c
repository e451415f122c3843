/* Progress of long work on standard error: see cli.h. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

#define REDRAW_S 0.1
#define LINE_S 5.0
enum { BAR_LEN = 28 };

static double now_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void cli_progress_start(struct cli_progress *p, const char *label, const char *unit, double total, bool quiet) {
  const double now = now_seconds();
  *p = (struct cli_progress){.label = label, .unit = unit, .total = total, .started = now, .drawn_at = now};
  p->terminal = isatty(STDERR_FILENO);
  p->quiet = quiet || total <= 0;
}

static void draw_bar(struct cli_progress *p, double part, const char *tail) {
  char bar[BAR_LEN + 1];
  const int full = (int)(part * BAR_LEN);
  memset(bar, '.', BAR_LEN);
  memset(bar, '#', (size_t)full);
  bar[BAR_LEN] = 0;
  fprintf(stderr, "\r%s [%s] %3.0f%%  %s\033[K", p->label, bar, 100 * part, tail);
}

void cli_progress_update(struct cli_progress *p, double done) {
  if (p->quiet) return;
  const double now = now_seconds(), elapsed = now - p->started;
  if (now - p->drawn_at < (p->terminal ? REDRAW_S : LINE_S)) return;
  p->drawn_at = now;
  p->drawn = true;
  const double part = done >= p->total ? 1 : done > 0 ? done / p->total : 0;
  const double rate = elapsed > 0 ? done / elapsed : 0;
  char tail[160], left[CLI_TEXT_LEN];
  if (rate > 0) {
    cli_format_seconds(left, (p->total - done) / rate);
    snprintf(tail, sizeof tail, "%.0f/%.0f %s, %.3g/s, %s left", done, p->total, p->unit, rate, left);
  } else {
    const char *time = p->predicted > 0 ? cli_format_seconds(left, p->predicted) : "";
    snprintf(tail, sizeof tail, "%.0f/%.0f %s%s%s%s", done, p->total, p->unit, *time ? ", " : "", time,
             *time ? " predicted" : "");
  }
  if (p->terminal)
    draw_bar(p, part, tail);
  else
    fprintf(stderr, "%s: %3.0f%%, %s\n", p->label, 100 * part, tail);
  fflush(stderr);
}

void cli_progress_end(struct cli_progress *p) {
  if (p->quiet || !p->drawn || !p->terminal) return;
  fprintf(stderr, "\r\033[K");
  fflush(stderr);
}
