#!/bin/sh
# Builds the Debian packages from a copy of the files that git knows, changes included, so that the sources stay as they
# are; without git from all files but build folders. They lie in FOLDER, with the .changes and .buildinfo.
# usage: packaging/build_deb.sh FOLDER [dpkg-buildpackage options]     (default: -us -uc -b)
set -eu
folder=$1
shift
[ $# -gt 0 ] || set -- -us -uc -b
cd "$(dirname "$0")/.."
version=$(sed -n "s/.*version: '\([0-9.]*\)'.*/\1/p" meson.build | head -n 1)
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
tree=$folder/fusion-$version
rm -rf "$tree"
mkdir "$tree"
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
  git ls-files -z --cached --others --exclude-standard
else
  find . -path './build*' -prune -o -type f -print0
fi | tar -c --null -T - | tar -x -C "$tree"
# With the sources themselves, dpkg-source wants what upstream released.
case " $* " in
  *' -b '*) ;;
  *) tar -C "$folder" -cJf "$folder/fusion_$version.orig.tar.xz" --exclude="fusion-$version/debian" "fusion-$version" ;;
esac
cd "$tree"
# Debian's tools: others may stand before them.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
if ! dpkg-buildpackage "$@" >"$folder/build.log" 2>&1; then
  tail -n 30 "$folder/build.log" | cut -c 1-200 >&2
  echo "build_deb.sh: the whole log is $folder/build.log" >&2
  exit 1
fi
find "$folder" -maxdepth 1 \( -name "*.deb" -o -name "*.dsc" \) | sort
