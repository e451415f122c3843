#!/usr/bin/env python3
"""Attack 2: the weights themselves, read off exact answers (Carlini, Jagielski, Mironov, "Cryptanalytic extraction of neural network
models", CRYPTO 2020), for networks with one hidden layer of Relus.

Along a line such a network is piecewise linear. Where it bends, one hidden unit is 0; there the second difference along axis j is the
size of the unit's j-th weight, up to a factor of the unit. So every bend gives a unit's weights up to sign and scale, and its place the
bias. A least-squares fit of the answers on the units gives the rest; what the unknown signs leave behind is an affine map, which the fit holds too:
the result is the same function.

It lives on second differences of exact real numbers. Answers in fixed point are staircases: how many bits an answer must
have for it, main() shows with answers rounded to fewer and fewer bits, and then with a compiled model.

steal() is the attack, for any function of real vectors; bench/paper uses it."""
import argparse
import json
import sys

import oracle as oracles  # first: it finds a Python that has the others

import numpy as np


class Counted:
    """f: float64 [n][inputs] -> [n][outputs]; counts."""

    def __init__(self, f):
        self.f, self.queries = f, 0

    def __call__(self, x):
        x = np.atleast_2d(x)
        self.queries += len(x)
        return np.asarray(self.f(x), dtype=np.float64)


def bends(f, start, direction, low, high, tolerance, found, depth=0):
    """Parameters t in (low, high) where the first output of f(start + t * direction) bends, one unit at a time, into `found`."""
    if depth > 40 or high - low < 1e-6:
        return
    step = (high - low) * 1e-3
    points = np.array([low, low + step, high - step, high, (low + high) / 2])
    y = f(start + points[:, None] * direction)[:, 0]
    left, right = (y[1] - y[0]) / step, (y[3] - y[2]) / step
    size = max(1.0, abs(left), abs(right))
    if abs(left - right) < tolerance * size and abs(y[4] - (y[0] + y[3]) / 2) < tolerance * size * (high - low):
        return
    if abs(left - right) >= tolerance * size:
        t = (y[3] - y[0] + left * low - right * high) / (left - right)
        if low < t < high:
            at = y[0] + left * (t - low)
            if abs(f(start + t * direction)[0, 0] - at) < tolerance * size * (high - low):
                found.append(t)
                return
    middle = (low + high) / 2
    bends(f, start, direction, low, middle, tolerance, found, depth + 1)
    bends(f, start, direction, middle, high, tolerance, found, depth + 1)


def unit_at(f, x, reach):
    """The weights of the unit that is 0 at x, the largest being 1; None where there is no clean bend."""
    n = len(x)
    eye = np.eye(n) * reach
    here = f(x)[0, 0]

    def second(directions):
        y = f(np.concatenate([x + directions, x - directions]))[:, 0]
        return y[:len(directions)] + y[len(directions):] - 2 * here

    sizes = second(eye)
    top = int(np.abs(sizes).argmax())
    if sizes[top] == 0:
        return None
    ratio = np.abs(sizes / sizes[top])
    both = np.abs(second(eye[top] + eye) / sizes[top])  # |1 + r_j|
    weights = np.where(np.abs(both - (1 + ratio)) <= np.abs(both - np.abs(1 - ratio)), ratio, -ratio)
    weights[top] = 1.0
    return weights


def distinct(units, tolerance):
    """One of each: (weights, bias) seen at least twice, as a bend that is none gives a different answer each time."""
    kept = []
    for weights, bias in units:
        for other in kept:
            if np.abs(other[0] - weights).max() < tolerance and abs(other[1] - bias) < tolerance * max(1, abs(bias)):
                other[2] += 1
                break
        else:
            kept.append([weights, bias, 1])
    return [(w, b) for w, b, seen in kept if seen > 1]


def steal(f, inputs, hidden, span=1.0, lines=None, reach=1e-4, tolerance=1e-6, same=1e-3, seed=0):
    """The stolen function (None when no unit was found), the units found (weights, bias) and the queries asked. f: [n][inputs] ->
    [n][outputs]; its inputs may lie in [-span, span]. hidden: the units that there are, at most."""
    f, generator = Counted(f), np.random.default_rng(seed)
    units, kept = [], []
    for _ in range(lines or 4 * hidden):
        start = generator.uniform(-span / 2, span / 2, inputs)
        direction = generator.normal(size=inputs)
        direction *= span / 2 / np.abs(direction).max()
        found = []
        bends(f, start, direction, -1.0, 1.0, tolerance, found)
        for t in found[:2 * hidden]:
            x = start + t * direction
            weights = unit_at(f, x, reach)
            if weights is not None:
                units.append((weights, -float(weights @ x)))
        kept = distinct(units, same)
        if len(kept) >= hidden:
            break
    if not kept:
        return None, kept, f.queries
    x = generator.uniform(-span, span, (20 * (len(kept) + inputs + 1), inputs))

    def features(x):
        return np.concatenate([np.maximum(x @ w + b, 0)[:, None] for w, b in kept] + [x, np.ones((len(x), 1))], axis=1)

    fitted = np.linalg.lstsq(features(x), f(x), rcond=None)[0]
    return lambda x: features(np.atleast_2d(x)) @ fitted, kept, f.queries


def found_units(units, weights, tolerance=0.01):
    """How many of the true units (rows of `weights`) are among those found, each up to sign and scale within `tolerance`."""
    count = 0
    for row in weights:
        scaled = row / row[np.abs(row).argmax()]
        count += any(np.abs(scaled - w).max() < tolerance or np.abs(scaled + w).max() < tolerance for w, _ in units)
    return count


def random_network(inputs, hidden, outputs, seed):
    generator = np.random.default_rng(seed)
    first = generator.normal(size=(hidden, inputs)) / np.sqrt(inputs)
    bias, second = generator.normal(size=hidden) * 0.2, generator.normal(size=(outputs, hidden)) / np.sqrt(hidden)
    return first, bias, second, generator.normal(size=outputs) * 0.1


def forward(network, x):
    first, bias, second, last = network
    return np.maximum(np.atleast_2d(x) @ first.T + bias, 0) @ second.T + last


def onnx_of(network):
    """The network as ONNX bytes."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    first, bias, second, last = (a.astype(np.float32) for a in network)
    named = dict(w1=first, b1=bias, w2=second, b2=last)
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w1", "b1"], ["u"], transB=1), helper.make_node("Relu", ["u"], ["h"]),
         helper.make_node("Gemm", ["h", "w2", "b2"], ["y"], transB=1)], "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", first.shape[1]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", second.shape[0]])],
        [numpy_helper.from_array(a, name) for name, a in named.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    return model.SerializeToString()


def report(name, network, f, span=1.0, **settings):
    """Attacks f, which is `network` or what is served of it; the error is the largest on fresh samples, over the answers' spread."""
    hidden, inputs = network[0].shape
    stolen, units, queries = steal(f, inputs, hidden, span=span, **settings)
    x = np.random.default_rng(99).uniform(-span, span, (1000, inputs))
    true = forward(network, x)
    error = float(np.abs(stolen(x) - true).max() / true.std()) if stolen else None
    return {"answers": name, "queries": queries, "units": hidden, "found": found_units(units, network[0]), "error": error}


def adapted(unit):
    """Settings for answers in steps of `unit`: wider differences and coarser decisions, the best that the same attack can do."""
    reach = min(0.25, max(1e-4, 30 * unit ** 0.5))
    return {"reach": reach, "tolerance": max(1e-6, 20 * unit / reach), "same": max(1e-3, min(0.2, 50 * unit / reach))}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--inputs", type=int, default=20)
    parser.add_argument("--hidden", type=int, default=16)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    import fusion
    network = random_network(args.inputs, args.hidden, 3, seed=1)
    rows = [report("exact float64", network, lambda x: forward(network, x))]
    for bits in (44, 36, 28, 20, 12):
        unit = 2.0 ** -bits
        rows.append(report(f"rounded to 2^-{bits}", network, lambda x: np.round(forward(network, x) / unit) * unit, **adapted(unit)))
    calibration = np.random.default_rng(5).uniform(-1, 1, (500, args.inputs)).astype(np.float32)
    model = fusion.compile(onnx_of(network), calibration)
    ask = oracles.in_the_clear(model)
    served = lambda x: ask(np.clip(x, -1, 1).astype(np.float32)).answers  # noqa: E731
    rows.append(report("fusion, fixed point", network, served, **adapted(2.0 ** -10)))
    if args.json:
        json.dump(rows, sys.stdout)
        return
    for r in rows:
        error = "none" if r["error"] is None else f"{r['error']:.2g}"
        print(f"{r['answers']:>22}: {r['found']} of {r['units']} units, error {error}, {r['queries']} queries")


if __name__ == "__main__":
    main()
