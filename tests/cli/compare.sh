#!/bin/sh
# usage: compare.sh FUSION SCRIPT EXPECTED. Runs the script in an empty folder and compares what it prints.
set -eu
FUSION=$(realpath "$1")
script=$(realpath "$2") expected=$(realpath "$3")
SOURCE=$(realpath "$(dirname "$2")/../..")
export FUSION SOURCE
# no measurement, nothing in the user's cache
export FUSION_CALIBRATION=no XDG_CACHE_HOME=/nonexistent
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
sh "$script" >printed 2>&1 || echo "script ended with $?" >>printed
# how many are equal depends on which are drawn
sed -i -E 's/[0-9]+ of ([0-9]+) public samples equal/some of \1 public samples equal/' printed
# the engines change from release to release
sed -i -E 's/(no such protocol engine; there are) [a-z, -]+$/\1 ENGINES/' printed
diff -u "$expected" printed
