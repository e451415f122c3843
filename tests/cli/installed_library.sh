#!/bin/sh
# usage: installed_library.sh BUILD_FOLDER. A user's program finds headers and library through pkg-config.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
DESTDIR=$folder/root "$MESON" install -C "$1" --no-rebuild --quiet
pc=$(find "$folder/root" -name fusion.pc)
library=$(dirname "$(dirname "$pc")")
prefix=${library%/lib*}
cat >"$folder/use.c" <<'C'
#include <fusion/fusion.h>
#include <stdio.h>
int main(void) {
  fusion_plan_request request = fusion_plan_request_default();
  fusion_plan_choice choice = {.size = sizeof choice};
  request.queries = 512;
  if (fusion_plan_copies(&request, &choice, NULL) != FUSION_OK) return 1;
  printf("%d copies\n", (int)choice.copies);
  return choice.copies != 5;
}
C
export PKG_CONFIG_PATH="$library/pkgconfig"
flags=$(pkg-config --define-variable=prefix="$prefix" --define-variable=libdir="$library" --cflags --libs fusion)
# shellcheck disable=SC2086
$CC -std=c11 -Wall -Wextra -Werror "$folder/use.c" $flags -o "$folder/use"
LD_LIBRARY_PATH=$library "$folder/use"
[ -x "$prefix/bin/fusion" ] && LD_LIBRARY_PATH=$library "$prefix/bin/fusion" version
[ -f "$prefix/include/fusion/fusion.h" ]
