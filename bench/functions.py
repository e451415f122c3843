#!/usr/bin/env python3
"""What a private value of Gelu, Sigmoid, Tanh, Exp, Softmax and LayerNormalization takes, all included: networks of 1,024 values,
one function and a layer of ten outputs are compiled and run by `fusion bench model`, and every answer is compared with the
plaintext executor.

usage: functions.py FUSION [BITS ...]     12 by default: of the function's inputs and results

Rows: the function, bits, values (or rows) a second by the clock, processor time of each party and bytes of one. Needs numpy and
onnx (scripts/find_python.sh numpy onnx)."""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

WIDTH, LAST, SAMPLES, RUNS = 1024, 10, 512, 3
# Name, operator, attributes, values a row, spread of the inputs.
FUNCTIONS = [("Gelu", "Gelu", {}, 1, 2.5), ("Sigmoid", "Sigmoid", {}, 1, 2.5), ("Tanh", "Tanh", {}, 1, 2.5), ("Exp", "Exp", {}, 1, -2.5),
             ("Softmax of 64", "Softmax", {"axis": -1}, 64, 2.0), ("LayerNormalization of 192", "LayerNormalization", {}, 192, 2.5)]


def network(op, attributes, row):
    shape = [WIDTH] if row == 1 else [WIDTH // row, row]
    count = int(np.prod(shape))
    rng = np.random.default_rng(2)
    weights = helper.make_tensor("w", TensorProto.FLOAT, [count, LAST], rng.normal(0, 1, count * LAST))
    constants = [helper.make_tensor("scale", TensorProto.FLOAT, [row], [1.0] * row)] if op == "LayerNormalization" else []
    nodes = [helper.make_node(op, ["x"] + [c.name for c in constants], ["f"], **attributes),
             helper.make_node("Flatten", ["f"], ["flat"]), helper.make_node("Gemm", ["flat", "w"], ["y"])]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", LAST])
    graph = helper.make_graph(nodes, op, [x], [y], [*constants, weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=8), shape


def measure(fusion, folder, function, bits):
    name, op, attributes, row, spread = function
    model, shape = network(op, attributes, row)
    onnx.save(model, folder / "f.onnx")
    x = np.random.default_rng(1).normal(0, abs(spread), (256, *shape))
    scale = 4 * abs(spread) / 2 ** (bits - 1)
    most = 2 ** (bits - 1) - 1
    x = np.clip(np.round(x / scale), -most, most).astype(np.int16)
    np.save(folder / "x.npy", -np.abs(x) if spread < 0 else x)
    subprocess.run([fusion, "compile", folder / "f.onnx", "--calibrate", folder / "x.npy", "--input-scale", str(scale), "--bits",
                    f"8,{bits}", "-o", folder / "f.fsn"], check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run([fusion, "bench", "model", folder / "f.fsn", "--samples", str(SAMPLES), "--runs", str(RUNS), "--json", "--quiet"],
                          check=True, capture_output=True, text=True)
    report = json.loads(done.stdout)
    if report["wrong"]:
        sys.exit(f"functions.py: {name}: {report['wrong']} answers differ from the plaintext run")
    count = SAMPLES * (WIDTH // row)
    return (count / report["seconds"], report["server_cpu"] / count * 1e6, report["client_cpu"] / count * 1e6,
            (report["bytes_to_server"] + report["bytes_to_client"]) / count)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    fusion, widths = Path(sys.argv[1]).resolve(), [int(b) for b in sys.argv[2:]] or [12]
    print(f"{'function':<26} {'bits':>4} {'a second':>10} {'server us':>10} {'client us':>10} {'bytes':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for function in FUNCTIONS:
            for bits in widths:
                rate, server, client, size = measure(fusion, Path(folder), function, bits)
                print(f"{function[0]:<26} {bits:>4} {rate:>10,.0f} {server:>10.2f} {client:>10.2f} {size:>8,.0f}", flush=True)


main()
