#!/usr/bin/python3
"""Makes tests/model/tokens: networks whose inputs are tokens, or several. Their numbers are formulas, which tokens_test.c has too.

usage: make_tokens.py OUTPUT_FOLDER (Debian: python3-onnx, python3-numpy)."""
import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ENTRIES, WIDTH, PLACES, OUTPUTS = 5, 2, 3, 2


def table(shift=0):
    return np.array([[(v * 7 + k * 3 + shift) % 5 - 2 for k in range(WIDTH)] for v in range(ENTRIES)], np.float32)


def layer(inputs):
    return np.array([[((i * 2 + o * 5) % 7 - 3) / 4 for o in range(OUTPUTS)] for i in range(inputs)], np.float32)


def save(folder, name, nodes, inputs, constants):
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(n, kind, ["N", size]) for n, kind, size in inputs],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", OUTPUTS])],
        [numpy_helper.from_array(a, n) for n, a in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, os.path.join(folder, name + ".onnx"))


def main():
    folder, size = sys.argv[1], PLACES * WIDTH
    row = np.array([-1, size], np.int64)
    tokens, ends = ("x", TensorProto.INT64, PLACES), [helper.make_node("Reshape", ["e", "row"], ["r"]), helper.make_node("MatMul", ["r", "w"], ["y"])]
    save(folder, "tokens", [helper.make_node("Gather", ["t", "x"], ["e"])] + ends, [tokens], {"t": table(), "row": row, "w": layer(size)})
    save(folder, "tokens_two_tables",
         [helper.make_node("Gather", ["t", "x"], ["a"]), helper.make_node("Gather", ["u", "x"], ["b"]), helper.make_node("Relu", ["a"], ["c"]),
          helper.make_node("Add", ["c", "b"], ["e"])] + ends, [tokens], {"t": table(), "u": table(1), "row": row, "w": layer(size)})
    save(folder, "tokens_read_otherwise",
         [helper.make_node("Gather", ["t", "x"], ["a"]), helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
          helper.make_node("Unsqueeze", ["f", "axis"], ["g"]), helper.make_node("Add", ["a", "g"], ["e"])] + ends, [tokens],
         {"t": table(), "row": row, "w": layer(size), "axis": np.array([2], np.int64)})
    save(folder, "two_inputs", [helper.make_node("Concat", ["b", "a"], ["c"], axis=1), helper.make_node("MatMul", ["c", "w"], ["y"])],
         [("a", TensorProto.FLOAT, 2), ("b", TensorProto.FLOAT, 3)], {"w": layer(5)})


main()
