#!/usr/bin/env bash
# The short set of `make bench`, under five minutes on two cores: every kernel, then an MLP with random weights (784-128-128-128-10)
# over an unhindered, a LAN and a WAN line. It needs no data; bench/all.sh takes the published figures. usage: bench/short.sh [BUILD]
set -eu
top=$(realpath "$(dirname "$0")/..")
fusion=$(realpath "${1:-$top/build}")/fusion
python=$("$top/scripts/find_python.sh" numpy onnx)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$fusion" bench micro
cd "$work"
"$python" - <<'P'
import numpy as np
import onnx
from onnx import helper as h, numpy_helper

rng, widths = np.random.default_rng(1), [784, 128, 128, 128, 10]
nodes, weights, x = [], [], "x"
for i, (a, b) in enumerate(zip(widths, widths[1:])):
    weights += [numpy_helper.from_array(rng.normal(0, (2 / a) ** 0.5, (b, a)).astype("f4"), f"w{i}"),
                numpy_helper.from_array(np.zeros(b, "f4"), f"b{i}")]
    nodes.append(h.make_node("Gemm", [x, f"w{i}", f"b{i}"], [f"h{i}"], transB=1))
    x = f"h{i}"
    if b != widths[-1]:
        nodes.append(h.make_node("Relu", [x], [f"r{i}"]))
        x = f"r{i}"
value = onnx.TensorProto.FLOAT
graph = h.make_graph(nodes, "mlp", [h.make_tensor_value_info("x", value, ["n", 784])], [h.make_tensor_value_info(x, value, ["n", 10])], weights)
onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 13)], ir_version=8), "mlp.onnx")
np.save("calib.npy", rng.random((200, 784), "f4"))
P
"$fusion" compile mlp.onnx --calibrate calib.npy --bits 8,6 -o mlp.fsn >/dev/null
for line in "none 1" "lan 1" "wan 1" "wan 4"; do
  set -- $line
  printf '\nMLP 784-128-128-128-10, 868 samples, line %s, connections %s\n\n' "$1" "$2"
  "$fusion" bench model mlp.fsn --network "$1" --workers "$2" --quiet
done
