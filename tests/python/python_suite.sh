#!/bin/sh
# Builds the Python package and runs its tests. Exits 77, a skip that shows, where the interpreter lacks a module.
# usage: python_suite.sh BUILD [pytest arguments]
set -eu
FUSION_BUILD=$(cd "$1" && pwd)
export FUSION_BUILD
shift
cd "$(dirname "$0")/../.."
scripts/find_python.sh cffi numpy setuptools wheel pip pytest pandas sklearn onnx PIL tqdm >/dev/null || exit 77
python=$(scripts/python_package.sh "$FUSION_BUILD")
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$FUSION_BUILD/python exec "$python" -m pytest "$@"
