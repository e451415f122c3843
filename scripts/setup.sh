#!/bin/sh
# Installs the Debian packages of scripts/packages.txt that are missing; says nothing and returns at once when none is.
# usage: scripts/setup.sh [--arm64] [extra package ...]
# --arm64: also the cross compiler, the emulator and the libraries of that architecture (make arm64),
# for which no native package is ever removed.
set -eu
foreign=
if [ "${1-}" = --arm64 ]; then
  foreign=arm64
  shift
  set -- gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user libsodium-dev:arm64 libssl-dev:arm64 libprotobuf-c-dev:arm64 \
    libgmp-dev:arm64 zlib1g-dev:arm64 libjansson-dev:arm64 libmicrohttpd-dev:arm64 \
    libsqlite3-dev:arm64 libjpeg-dev:arm64 libpng-dev:arm64 libcmocka-dev:arm64 "$@"
fi
folder=$(dirname "$0")
wanted="$(sed 's/#.*//' "$folder/packages.txt" | tr '\n' ' ') $*"

if ! command -v dpkg-query >/dev/null 2>&1; then
  echo "setup.sh: this is not a Debian-like system; install the equivalents of:" $wanted >&2
  exit 0
fi
# Only packages of a foreign architecture keep its name.
native=$(dpkg --print-architecture)
# shellcheck disable=SC2086
installed=" $(dpkg-query -W -f '${Package}:${Architecture} ${db:Status-Status}\n' $wanted 2>/dev/null |
  sed -n 's/ installed$//p' | sed -e "s/:$native\$//" -e 's/:all$//' | tr '\n' ' ')"
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
if [ -n "$foreign" ]; then $root dpkg --add-architecture "$foreign"; fi
install_missing() {
  # shellcheck disable=SC2086
  $root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ${foreign:+--no-remove} $missing
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
