/* cheating_client HOST:PORT (--tls-ca FILE | --plaintext) [--attack NAME] [--seconds NUMBER]
 * Attacks a server on the wire, once with every attack or with one of them. For tests of a server's health; not
 * installed. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "adversary/attack.h"
#include "support/support.h"

static void usage(FILE *out) {
  fprintf(
      out,
      "usage: cheating_client HOST:PORT (--tls-ca FILE | --plaintext) [--attack NAME] [--wait SECONDS]\n"
      "Attacks a server on the wire: every attack in turn, or one. Exits with 1 when the server was not reached, or\n"
      "held a connection for longer than --wait (default 90; the server's own time-outs are shorter).\nAttacks:\n");
  for (size_t i = 0; i < attack_count; i++) fprintf(out, "  %s\n", attacks[i].name);
}

static bool run_one(const struct attack *a, const struct attack_target *target, uint64_t *random) {
  static const char *const ends[] = {"ended by the server", "served to the end", "STILL HELD by the server",
                                     "NOT REACHED"};
  const double start = clock_seconds();
  const enum attack_end end = a->run(a, target, random);
  printf("%-45s %s (%.1f s)\n", a->name, ends[end], clock_seconds() - start);
  fflush(stdout);
  return end == ATTACK_ENDED || end == ATTACK_SERVED;
}

int main(int argc, char **argv) {
  static const struct option table[] = {
      {"tls-ca", required_argument, NULL, 'c'}, {"plaintext", no_argument, NULL, 'p'},
      {"attack", required_argument, NULL, 'a'}, {"wait", required_argument, NULL, 'w'},
      {"help", no_argument, NULL, 'h'},         {0}};
  struct attack_target target = {.give_up_ms = 90000};
  const char *ca = NULL, *name = NULL;
  bool plaintext = false, good = true;
  fusion_error err = {.status = FUSION_OK};
  uint64_t random;
  size_t run = 0;
  for (int code; (code = getopt_long(argc, argv, "", table, NULL)) != -1;) switch (code) {
      case 'c': ca = optarg; break;
      case 'p': plaintext = true; break;
      case 'a': name = optarg; break;
      case 'w': target.give_up_ms = (int)(1000 * atof(optarg)); break;
      case 'h': usage(stdout); return 0;
      default: usage(stderr); return 2;
    }
  if (optind + 1 != argc || plaintext == !!ca || target.give_up_ms <= 0) {
    usage(stderr);
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  fusion_status status = net_address_parse(&target.address, argv[optind], &err);
  if (status == FUSION_OK && ca) status = tls_client_new(&target.tls, ca, NULL, NULL, &err);
  if (status == FUSION_OK) status = os_random(&random, sizeof random);
  if (status != FUSION_OK) {
    fprintf(stderr, "cheating_client: %s\n", err.text[0] ? err.text : fusion_status_text(status));
    return 1;
  }
  for (size_t i = 0; i < attack_count; i++) {
    if ((name && strcmp(name, attacks[i].name) != 0) || (attacks[i].tls_only && !ca)) continue;
    good = run_one(&attacks[i], &target, &random) && good;
    run++;
  }
  if (!run) fprintf(stderr, "cheating_client: no attack is called '%s'\n", name ? name : "");
  tls_free(target.tls);
  return good && run ? 0 : 1;
}
