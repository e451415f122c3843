#!/bin/sh
# Installs the Debian packages of scripts/packages.txt that are missing; says nothing and returns at once when none is.
# usage: scripts/setup.sh [extra package ...]
set -eu
folder=$(dirname "$0")
wanted="$(sed 's/#.*//' "$folder/packages.txt" | tr '\n' ' ') $*"

if ! command -v dpkg-query >/dev/null 2>&1; then
  echo "setup.sh: this is not a Debian-like system; install the equivalents of:" $wanted >&2
  exit 0
fi
# shellcheck disable=SC2086
installed=" $(dpkg-query -W -f '${binary:Package} ${db:Status-Status}\n' $wanted 2>/dev/null |
  sed -n 's/^\([^ :]*\)[^ ]* installed$/\1/p' | tr '\n' ' ')"
missing=
for package in $wanted; do
  case $installed in *" $package "*) ;; *) missing="$missing $package" ;; esac
done
[ -n "$missing" ] || exit 0

root=
if [ "$(id -u)" != 0 ]; then
  if ! command -v sudo >/dev/null 2>&1; then
    echo "setup.sh: missing packages; install them as root: apt-get install$missing" >&2
    exit 1
  fi
  root=sudo
fi
install_missing() {
  # shellcheck disable=SC2086
  $root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing
}
echo "setup.sh: installing:$missing" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# The package lists may be absent or old: fetch them only when the first try fails.
if ! install_missing >"$log" 2>&1; then
  if ! { $root apt-get update && install_missing; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "setup.sh: the packages could not be installed:$missing" >&2
    exit 1
  fi
fi
