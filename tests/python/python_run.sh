#!/bin/sh
# Builds the Python package and runs a program with it. Exits 77, a skip that shows, where the interpreter lacks a module.
# usage: python_run.sh BUILD "MODULE..." PROGRAM [argument...]
set -eu
FUSION_BUILD=$(cd "$1" && pwd)
export FUSION_BUILD
modules=$2
shift 2
root=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck disable=SC2086
"$root/scripts/find_python.sh" cffi numpy setuptools $modules >/dev/null || exit 77
python=$("$root/scripts/python_package.sh" "$FUSION_BUILD")
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$FUSION_BUILD/python exec "$python" "$@"
