#!/usr/bin/env bash
# Every figure of docs/performance.md, measured anew and written there: about a quarter of an hour on two quiet cores, so run
# nothing beside it. As root the lines in network namespaces are measured too.
# usage: bench/all.sh [WORK [DATA]]
#   WORK  default build/bench-work: mnist/ and cifar/ as `examples/mnist.py --out WORK/mnist` and `examples/cifar10.py --out
#         WORK/cifar` wrote them; results and compiled networks are kept there. What is absent is left out.
#   DATA  default ../shared/data: the ImageNet networks (models/) and their images (imagenet_samples/)
set -eu
top=$(realpath "$(dirname "$0")/..")
cd "$top"
work=${1:-${BUILD:-build}/bench-work} data=${2:-../shared/data}
python=$(scripts/find_python.sh numpy)
trap '"$python" bench/render.py --work "$work"' EXIT # what was measured is written, whatever happens
"$python" bench/measure.py --build "${BUILD:-build}" --work "$work" --data "$data"
