#!/bin/sh
# usage: make_install.sh SOURCE. `make install PREFIX=X` in a folder that is set up already installs to X, blanks included.
# Meson and ninja are stand-ins that write down what they are asked.
set -eu
source=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/bin" "$folder/build"
for name in meson ninja; do
  printf '#!/bin/sh\n{ printf %s; printf " <%%s>" "$@"; echo; } >>"%s"\n' "$name" "$folder/asked" >"$folder/bin/$name"
  chmod +x "$folder/bin/$name"
done
touch "$folder/build/build.ninja"
PATH=$folder/bin:$PATH
unset MAKEFLAGS MFLAGS MAKELEVEL PREFIX || true
asked() { # PREFIX, what is expected to be asked
  rm -f "$folder/asked"
  make -s -C "$source" SETUP=no MESON=meson JOBS=1 BUILD="$folder/build" install "PREFIX=$1"
  sed "s|$folder|F|g" "$folder/asked" >"$folder/got"
  printf '%s\n' "$2" | diff -u - "$folder/got"
}
built='ninja <-C> <F/build> <-j> <1>'
installed='meson <install> <-C> <F/build> <--no-rebuild>'
asked "/opt/a b" "$built
meson <configure> <F/build> <-Dprefix=/opt/a b>
$built
$installed"
asked "" "$built
$installed"
