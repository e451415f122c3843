#!/bin/sh
# Builds the Debian packages twice from the same files, in folders of other names and depths, with another time zone,
# language, umask, host name and number of jobs, and compares them byte by byte. Without ccache, so that the second build is one.
# Needs root, for the host name. usage: packaging/reproducible.sh FOLDER     (packages of the first build are left there)
set -eu
first=$1
second=$(mktemp -d)
trap 'rm -rf "$second"' EXIT
# Both from one copy: what is edited meanwhile is in neither.
mkdir "$second/source"
cd "$(dirname "$0")/.."
git ls-files -z | tar -c --null -T - | tar -x -C "$second/source"
cd - >/dev/null
build=$second/source/packaging/build_deb.sh
export CCACHE_DISABLE=1
rm -f "$first"/*.deb
(umask 022 && TZ=UTC LC_ALL=C DEB_BUILD_OPTIONS=parallel=2 "$build" "$first" >/dev/null)
deeper=$second/another/folder/deeper
mkdir -p "$deeper"
unshare --uts sh -c 'hostname elsewhere && umask 002 && exec "$@"' sh env TZ=Asia/Kathmandu LC_ALL=C.UTF-8 DEB_BUILD_OPTIONS=parallel=3 \
  "$build" "$deeper" >/dev/null
count=0
for package in "$first"/*.deb; do
  if ! cmp "$package" "$deeper/${package##*/}"; then
    echo "reproducible.sh: ${package##*/} differs; diffoscope shows where" >&2
    cp "$deeper/${package##*/}" "$first/${package##*/}.second"
    failed=yes
  fi
  count=$((count + 1))
done
[ -z "${failed-}" ] && [ "$count" -gt 0 ]
echo "reproducible: $count packages, the same bytes twice"
(cd "$first" && sha256sum ./*.deb)
