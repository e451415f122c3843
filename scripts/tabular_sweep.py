#!/usr/bin/env python3
"""Tabular networks, raw and scaled, against the float network on rows that calibrated nothing.

usage: tabular_sweep.py FUSION [--data FOLDER] [--sets NAME,...] [--markdown]

Trains small networks on scikit-learn's sets, and on the gene and speech sets of FOLDER where it is given. Writes each as
the usual exporters do, with the scaler in the file, in the first layer's weights, or left to the client; compiles it with
training rows, runs the held-out rows, and compares the accuracy with that of the library that trained it. A case fails
where `fusion compile` fails or the accuracies differ by more than half a point and more than one row. Exit status: 0,
1 when a case fails, 77 where the interpreter lacks numpy, scikit-learn, onnx or torch."""
import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

try:
    import numpy as np
    import onnx
    import torch
    from onnx import TensorProto, helper, numpy_helper
    from sklearn import datasets
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier
    from sklearn.preprocessing import StandardScaler
except ImportError as missing:
    print(f"tabular_sweep.py: {missing}: skipped")
    sys.exit(77)

POINTS, ROWS = 0.5, 1  # allowed: the larger of the two
CALIBRATION_ROWS = 512


def synthetic_ranges(rows=3000):
    """20 features with deviations from 1e-3 to 1e5, half of them far from 0, some with long tails; 3 classes."""
    random = np.random.default_rng(5)
    z = random.standard_normal((rows, 20))
    z[:, ::5] = np.exp(z[:, ::5])
    hidden = np.tanh(z @ random.standard_normal((20, 8)) / 2) @ random.standard_normal((8, 3))
    scale = 10.0 ** np.linspace(-3, 5, 20)
    offset = np.where(np.arange(20) % 2, 30, 0)
    return (z + offset) * scale, hidden.argmax(1)


def scikit_sets():
    for name in ("iris", "wine", "breast_cancer", "digits"):
        x, y = getattr(datasets, "load_" + name)(return_X_y=True)
        yield name, x, y, None
    x, y = datasets.load_diabetes(return_X_y=True, scaled=False)
    yield "diabetes", x, np.digitize(y, np.quantile(y, [1 / 3, 2 / 3])), None
    x, y = synthetic_ranges()
    yield "synthetic", x, y, None


def folder_sets(folder):
    for name, x, y in (("gene_tcga_brca", "x", "y"), ("gene_gse2034_subset", "x", "y"), ("fsdd", "features", "labels")):
        at = Path(folder) / name
        if not at.is_dir():
            continue
        train, test = [(np.load(at / f"{part}_{x}.npy"), np.load(at / f"{part}_{y}.npy").astype(int))
                       for part in ("train", "test")]
        mean, deviation = at / "norm_mean.npy", at / "norm_std.npy"
        if mean.exists():  # as measured, before the set's own standardisation
            m, d = np.load(mean), np.load(deviation)
            train, test = [((v * d + m).astype(np.float32), labels) for v, labels in (train, test)]
        yield name, train[0], train[1], test


# ---- networks as ONNX, in the nodes that exporters write ----

def model_of(nodes, weights, features, outputs):
    graph = helper.make_graph(
        nodes, "network", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, features])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, outputs])],
        [numpy_helper.from_array(np.ascontiguousarray(w), n) for n, w in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 1)])


def head(kind, scaler, weights):
    """Nodes from x to s, and the name of the first layer's input."""
    if kind == "none":
        return [], "x"
    mean, scale = scaler.mean_.astype(np.float32), scaler.scale_.astype(np.float32)
    if kind == "Scaler":  # skl2onnx: Pipeline(StandardScaler, ...)
        return [helper.make_node("Scaler", ["x"], ["s"], domain="ai.onnx.ml", offset=mean.tolist(),
                                 scale=(1 / scale).tolist()),
                helper.make_node("Cast", ["s"], ["cast"], to=TensorProto.FLOAT)], "cast"
    if kind == "BatchNormalization":
        weights.update(gamma=np.ones_like(mean), beta=np.zeros_like(mean), running_mean=mean,
                       running_var=scaler.var_.astype(np.float32) + 1e-12)
        return [helper.make_node("BatchNormalization", ["x", "gamma", "beta", "running_mean", "running_var"], ["s"],
                                 epsilon=1e-12)], "s"
    weights.update(mean=mean, scale=scale)
    return [helper.make_node("Sub", ["x", "mean"], ["centred"]), helper.make_node("Div", ["centred", "scale"], ["d"]),
            helper.make_node("Flatten", ["d"], ["s"], axis=1)], "s"


def logistic(kind, scaler, classifier, features):
    """LinearClassifier and Normalizer, as skl2onnx writes logistic regression."""
    weights = {}
    nodes, at = head(kind, scaler, weights)
    coefficients, intercepts = classifier.coef_, classifier.intercept_
    if len(intercepts) == 1:
        coefficients, intercepts = np.vstack([-coefficients, coefficients]), np.array([-intercepts[0], intercepts[0]])
    two = len(classifier.classes_) == 2
    nodes += [helper.make_node("LinearClassifier", [at], ["label", "p"], domain="ai.onnx.ml",
                               coefficients=coefficients.astype(np.float32).ravel().tolist(),
                               intercepts=intercepts.astype(np.float32).tolist(),
                               classlabels_ints=list(range(len(intercepts))),
                               post_transform="LOGISTIC" if two else "SOFTMAX"),
              helper.make_node("Normalizer", ["p"], ["y"], domain="ai.onnx.ml", norm="L1")]
    return model_of(nodes, weights, features, len(intercepts))


def perceptron(kind, scaler, classifier, features):
    """MatMul, Add and Relu, as skl2onnx writes MLPClassifier; two classes from one score."""
    weights = {}
    nodes, at = head(kind, scaler, weights)
    last = len(classifier.coefs_) - 1
    for i, (w, b) in enumerate(zip(classifier.coefs_, classifier.intercepts_)):
        weights.update({f"w{i}": w.astype(np.float32), f"b{i}": b.astype(np.float32)})
        nodes += [helper.make_node("MatMul", [at, f"w{i}"], [f"m{i}"]),
                  helper.make_node("Add", [f"m{i}", f"b{i}"], [f"a{i}" if i < last else "score"])]
        if i < last:
            nodes.append(helper.make_node("Relu", [f"a{i}"], [f"r{i}"]))
        at = f"r{i}"
    outputs = classifier.coefs_[-1].shape[1]
    nodes.append(helper.make_node("Sigmoid" if outputs == 1 else "Softmax", ["score"], ["y"]))
    return model_of(nodes, weights, features, outputs)


def fold_scaler(coefficients, intercepts, scaler):
    """The scaler in the first layer: [features][out]."""
    folded = coefficients / scaler.scale_[:, None]
    return folded, intercepts - scaler.mean_ @ folded


class TorchNetwork(torch.nn.Module):
    """x = (x - mean) / std, then a perceptron; `first` "BatchNorm1d" learns its own mean and deviation."""

    def __init__(self, features, classes, scaler, first, hidden=32):
        super().__init__()
        self.first = torch.nn.BatchNorm1d(features) if first == "BatchNorm1d" else None
        self.register_buffer("mean", torch.tensor(scaler.mean_, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(scaler.scale_, dtype=torch.float32))
        self.layers = torch.nn.Sequential(torch.nn.Linear(features, hidden), torch.nn.ReLU(),
                                          torch.nn.Linear(hidden, classes))

    def forward(self, x):
        return self.layers(self.first(x) if self.first else (x - self.mean) / self.std)


def train_torch(network, x, y, epochs):
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    x, y = torch.tensor(x), torch.tensor(y)
    network.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            if len(rows) < 2:
                continue
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
            optimizer.step()
    return network.eval()


# ---- cases ----

def scikit_cases(x, y, features):
    scaler = StandardScaler().fit(x)
    scaled = scaler.transform(x)
    lines = LogisticRegression(max_iter=300).fit(scaled, y)
    mlp = MLPClassifier((32,), max_iter=300, random_state=1).fit(scaled, y)
    for kind, build, classifier in (("logistic", logistic, lines), ("MLP", perceptron, mlp)):
        predict = lambda v, c=classifier: c.predict(scaler.transform(v))  # noqa: E731
        for at in ("Scaler", "Sub, Div", "BatchNormalization"):
            yield f"{kind}, {at}", build(at, scaler, classifier, features), None, predict
        yield f"{kind}, scaled by the client", build("none", scaler, classifier, features), scaler, predict
    first, bias = fold_scaler(mlp.coefs_[0], mlp.intercepts_[0], scaler)
    folded = MLPClassifier()
    folded.coefs_, folded.intercepts_ = [first] + mlp.coefs_[1:], [bias] + mlp.intercepts_[1:]
    yield "MLP, scaler in the weights", perceptron("none", scaler, folded, features), None, predict


def torch_cases(x, y, features, folder):
    scaler = StandardScaler().fit(x)
    scaler.scale_ = np.maximum(scaler.scale_, 1e-6)
    for first in ("(x - mean) / std", "BatchNorm1d"):
        torch.manual_seed(3)
        network = train_torch(TorchNetwork(features, int(y.max()) + 1, scaler, first), x, y, 40 if len(x) < 2000 else 8)
        path = folder / "torch.onnx"
        torch.onnx.export(network, torch.tensor(x[:1]), str(path), opset_version=13, input_names=["x"],
                          output_names=["y"], dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}})
        yield (f"torch, {first}", onnx.load(str(path)), None,
               lambda v, n=network: n(torch.tensor(v)).argmax(1).detach().numpy())


def fusion(command, *arguments):
    done = subprocess.run([command, *map(str, arguments)], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr.strip()


def run_case(command, folder, network, scaler, predict, train, test):
    """(float accuracy, fixed accuracy or None, what compile expects of the agreement, agreement, words)."""
    paths = {n: folder / n for n in ("network.onnx", "model.fsn", "calibration.npy", "test.npy", "answers.npy")}
    prepare = (lambda v: scaler.transform(v).astype(np.float32)) if scaler else (lambda v: v)
    onnx.save(network, str(paths["network.onnx"]))
    np.save(paths["calibration.npy"], prepare(train[0][:CALIBRATION_ROWS]))
    np.save(paths["test.npy"], prepare(test[0]))
    right = predict(test[0])
    at_float = 100 * float(np.mean(right == test[1]))
    code, out, err = fusion(command, "compile", paths["network.onnx"], "--calibrate", paths["calibration.npy"], "--json",
                            "-o", paths["model.fsn"])
    if code:
        return at_float, None, None, None, err
    report = json.loads(out)
    code, out, err = fusion(command, "run", paths["model.fsn"], "--input", paths["test.npy"], "--clip", "yes", "-o", paths["answers.npy"])
    if code:
        return at_float, None, None, None, err
    answers = np.load(paths["answers.npy"])
    labels = answers[:, 0] > 0 if answers.shape[1] == 1 else answers.argmax(1)
    expected = f"{100 * report['expected_agreement']:.1f} +- {100 * report['expected_agreement_error']:.1f}"
    return at_float, 100 * float(np.mean(labels == test[1])), expected, 100 * float(np.mean(labels == right)), err


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("fusion")
    parser.add_argument("--data", help="folder of the gene and speech sets")
    parser.add_argument("--sets", help="names split by commas; all by default")
    parser.add_argument("--markdown", action="store_true", help="print the table as a page takes it")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    row = "{:<20} {:<32} {:>8} {:>8} {:>12} {:>9} {}"
    if given.markdown:
        row = "| " + row.replace(" {", " | {")
    print(row.format("set", "network", "float", "fixed", "expected", "agreement", ""))
    if given.markdown:
        print("|---|---|--:|--:|--:|--:|---|")
    bad = cases = 0
    sets = [*scikit_sets(), *(folder_sets(given.data) if given.data else [])]
    sets = [s for s in sets if not given.sets or s[0] in given.sets.split(",")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for title, x, y, test in sets:
            x = x.astype(np.float32)
            if test is None:
                x, held_out, y, labels = train_test_split(x, y, test_size=0.4, random_state=0, stratify=y)
                test = held_out, labels
            networks = [*scikit_cases(x, y, x.shape[1]), *torch_cases(x, y, x.shape[1], folder)]
            for network_title, network, scaler, predict in networks:
                at_float, fixed, expected, agreement, words = run_case(given.fusion, folder, network, scaler, predict,
                                                                       (x, y), test)
                allowed = max(POINTS, 100 * ROWS / len(test[1])) + 1e-9
                wrong = fixed is None or abs(fixed - at_float) > allowed
                bad, cases = bad + wrong, cases + 1
                numbers = ["-"] * 3 if fixed is None else [f"{fixed:.2f}", expected, f"{agreement:.2f}"]
                print(row.format(title, network_title, f"{at_float:.2f}", *numbers, ("FAILS " if wrong else "") +
                                 words.replace("\n", " ")), flush=True)
    print(f"{cases} networks, {bad} fail")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
