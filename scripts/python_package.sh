#!/bin/sh
# Builds the Python package in BUILD/python against the library in BUILD, and prints the interpreter that it is for.
# usage: scripts/python_package.sh BUILD
set -eu
build=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
python=$(scripts/find_python.sh cffi numpy setuptools)
log=$build/python-build.log
# Tests that run side by side build it once.
exec 9>"$build/python-build.lock"
flock 9
if ! FUSION_BUILD=$build "$python" -W ignore setup.py -q build --build-base "$build/python-work" --build-lib "$build/python" \
  >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  exit 1
fi
echo "$python"
