#!/usr/bin/python3
"""Makes the small networks of tests/model/real that are trained on real data, and samples to try them with.

real_digits: a convolutional network for handwritten digits (E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten
Digits, UCI 1998, CC BY 4.0): 8x8 pixels of 0..16.
real_tumours: three layers on tables (W. Wolberg, O. Mangasarian, N. Street, W. Street, Breast Cancer Wisconsin
(Diagnostic), UCI 1995, CC BY 4.0): 30 measures of a tumour, each as a byte of its range among the training samples.

real_rows: the digits of real_digits as eight rows, each a token: LayerNorm, GELU, a softmax over the rows; of these the
network alone.
real_boosted, real_forest: scikit-learn's GradientBoostingClassifier and RandomForestClassifier for the tables of real_tumours.
real_tanh, real_logistic: scikit-learn's MLPClassifier with these activations, for the digits of real_digits.

For each: NAME.onnx, NAME_calibration.npy, NAME_test.npy (bytes), NAME_labels.npy (bytes), NAME_logits.npy (PyTorch's); of
scikit-learn's networks the first alone, of its trees the first and the last (its own scores).
The test samples are none that the network was trained on. scikit-learn carries both sets.

usage: make_real_models.py OUTPUT_FOLDER"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
import interpreter  # noqa: E402

interpreter.need("numpy", "torch", "sklearn", "onnx")

import common  # noqa: E402
import numpy as np  # noqa: E402
import onnx  # noqa: E402
import torch  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from sklearn.datasets import load_breast_cancer, load_digits  # noqa: E402
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier  # noqa: E402
from sklearn.neural_network import MLPClassifier  # noqa: E402
from torch import nn  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python/fusion"))
from _trees import tree_model  # noqa: E402

CALIBRATION = 100


def digits():
    data = load_digits()
    network = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                            nn.Flatten(), nn.Linear(256, 32), nn.ReLU(), nn.Linear(32, 10))
    return data.images[:, None], data.target, 797, network, 16, 30


class Rows(nn.Module):
    """Rows are mixed by a sum that a softmax weighs."""
    def __init__(self, width=16):
        super().__init__()
        self.embed, self.norm, self.last = nn.Linear(8, width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.place = nn.Parameter(torch.randn(8, width) / 4)
        self.inner = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.weigh, self.value, self.classes = nn.Linear(width, 2 * width), nn.Linear(width, 2 * width), nn.Linear(2 * width, 10)

    def forward(self, x):
        rows = self.embed(x.flatten(1, 2)) + self.place
        rows = self.last(rows + self.inner(self.norm(rows)))
        return self.classes((torch.softmax(self.weigh(rows), 1) * self.value(rows)).sum(1))


def rows():
    data = load_digits()
    return data.images[:, None], data.target, 797, Rows(), 16, 60


def tumours():
    data = load_breast_cancer()
    network = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 2))
    return data.data, data.target, 269, network, 255, 60


def make(folder, name, samples, labels, train, network, top, epochs, only_network=False):
    order = np.random.RandomState(0).permutation(len(labels))
    samples, labels = samples[order], labels[order]
    if top == 255:
        low, high = samples[:train].min(0), samples[:train].max(0)
        samples = np.clip((samples - low) / (high - low), 0, 1) * top
    samples = np.rint(samples).astype(np.uint8)
    scaled = (samples / top).astype(np.float32)
    common.train(network, scaled[:train], labels[:train], epochs, rate=3e-3, batch=32)
    common.export(network, scaled, folder / f"{name}.onnx")
    with torch.no_grad():
        logits = network(torch.from_numpy(scaled[train:])).numpy()
    right = int((logits.argmax(1) == labels[train:]).sum())
    print(f"{name}: {right} of {len(logits)} test samples right")
    if only_network:
        return
    np.save(folder / f"{name}_calibration.npy", samples[:CALIBRATION])
    np.save(folder / f"{name}_test.npy", samples[train:])
    np.save(folder / f"{name}_labels.npy", labels[train:].astype(np.uint8))
    np.save(folder / f"{name}_logits.npy", logits.astype(np.float32))


def make_classical(folder, name, activation, operator):
    data = load_digits()
    order = np.random.RandomState(0).permutation(len(data.target))
    samples, labels = data.data[order].astype(np.float32) / 16, data.target[order]
    network = MLPClassifier((48, 24), activation=activation, max_iter=400, random_state=0).fit(samples[:797], labels[:797])
    nodes, constants, at = [], [], "x"
    for i, (w, b) in enumerate(zip(network.coefs_, network.intercepts_)):
        constants += [numpy_helper.from_array(w.astype(np.float32), f"w{i}"), numpy_helper.from_array(b.astype(np.float32), f"b{i}")]
        nodes += [helper.make_node("MatMul", [at, f"w{i}"], [f"m{i}"]), helper.make_node("Add", [f"m{i}", f"b{i}"], [f"a{i}"])]
        at = f"a{i}"
        if i + 1 < len(network.coefs_):
            nodes.append(helper.make_node(operator, [at], [f"h{i}"]))
            at = f"h{i}"
    nodes.append(helper.make_node("Softmax", [at], ["probabilities"], axis=1))
    graph = helper.make_graph(nodes, name, [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 64])],
                              [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 10])], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), folder / f"{name}.onnx")
    print(f"{name}: {network.score(samples[797:], labels[797:]):.4f} of the test samples right")


def make_trees(folder):
    data, labels, train, _, top, _ = tumours()
    order = np.random.RandomState(0).permutation(len(labels))
    samples, labels = data[order], labels[order]
    low, high = samples[:train].min(0), samples[:train].max(0)
    samples = np.rint(np.clip((samples - low) / (high - low), 0, 1) * top).astype(np.float32) / 256  # exact
    boosted = GradientBoostingClassifier(n_estimators=12, max_depth=3, random_state=0).fit(samples[:train], labels[:train])
    forest = RandomForestClassifier(n_estimators=8, max_depth=5, random_state=0).fit(samples[:train], labels[:train])
    onnx.save(tree_model(boosted), folder / "real_boosted.onnx")
    onnx.save(tree_model(forest), folder / "real_forest.onnx")
    probabilities = boosted.predict_proba(samples[train:])
    np.save(folder / "real_boosted_logits.npy", probabilities.astype(np.float32))
    np.save(folder / "real_forest_logits.npy", forest.predict_proba(samples[train:]).astype(np.float32))
    for name, model in (("real_boosted", boosted), ("real_forest", forest)):
        print(f"{name}: {model.score(samples[train:], labels[train:]):.4f} of the test samples right")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    common.set_seed(1, 1)
    make(Path(sys.argv[1]), "real_digits", *digits())
    make(Path(sys.argv[1]), "real_tumours", *tumours())
    make(Path(sys.argv[1]), "real_rows", *rows(), only_network=True)
    make_trees(Path(sys.argv[1]))
    make_classical(Path(sys.argv[1]), "real_tanh", "tanh", "Tanh")
    make_classical(Path(sys.argv[1]), "real_logistic", "logistic", "Sigmoid")


main()
