#!/bin/sh
# usage: systemd_units.sh SOURCE FUSION: the unit files by systemd's own checks. Skipped (77) where systemd-analyze is not.
set -eu
command -v systemd-analyze >/dev/null || { echo "systemd-analyze is not installed"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
sed "s|/usr/bin/fusion|$(realpath "$2")|" "$1/packaging/systemd/fusion.service" >"$folder/fusion.service"
cp "$1/packaging/systemd/fusion.socket" "$folder"
# Lines on other units of the machine are not ours.
systemd-analyze verify --man=no --recursive-errors=no "$folder/fusion.service" "$folder/fusion.socket" >"$folder/said" 2>&1 || bad=yes
if [ "${bad:-}" ] || grep -q 'fusion\.' "$folder/said"; then
  cat "$folder/said"
  exit 1
fi
# 0 is the least exposed, 10 the most.
systemd-analyze security --offline=yes --threshold=20 --no-pager "$folder/fusion.service" | tail -1
