"""The data sets and networks of the paper, as far as they are there; with --quick small sets of scikit-learn in their place.

load(context, name) gives a Set; network(context, name) trains (once) and compiles. Both raise Missing."""
import contextlib
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import paper_context

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))


@dataclass
class Set:
    title: str
    train: np.ndarray  # float32 [n][...], as the network takes them
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    classes: int
    note: str = ""


@dataclass
class Network:
    model: object  # fusion.Model
    path: Path
    onnx: Path
    float_accuracy: float  # on the test samples


def scaled(images):
    return (np.asarray(images, dtype=np.float32) / 255).reshape(len(images), -1)


def standardised(train, test):
    mean, deviation = train.mean(axis=0), train.std(axis=0) + 1e-6
    return [np.clip((x - mean) / deviation, -4, 4).astype(np.float32) for x in (train, test)]


def mnist(c):
    folder = c.folder("mnist")
    with np.load(folder / "train60k.npz") as archive:
        train, labels = scaled(archive["images"]), archive["labels"].astype(np.int64)
    return Set("MNIST", train, labels, scaled(np.load(folder / "test_images.npy")),
               np.load(folder / "test_labels.npy").astype(np.int64), 10)


def pneumonia(c):
    folder = c.folder("pneumoniamnist")
    read = lambda kind: (scaled(np.load(folder / f"{kind}_images.npy")),  # noqa: E731
                         np.load(folder / f"{kind}_labels.npy").reshape(-1).astype(np.int64))
    (train, labels), (test, test_labels) = read("train"), read("test")
    return Set("PneumoniaMNIST", train, labels, test, test_labels, 2)


def genes(c, name, title, note):
    folder = c.folder(name)
    read = lambda kind: np.load(folder / f"{kind}.npy")  # noqa: E731
    train, test = standardised(read("train_x").astype(np.float32), read("test_x").astype(np.float32))
    return Set(title, train, read("train_y").reshape(-1).astype(np.int64), test, read("test_y").reshape(-1).astype(np.int64), 2, note)


def skin(c):
    """CIFAR-10 cut to DermaMNIST's shape, 28 x 28 x 3 and seven classes: as large as the paper's set, with another content."""
    folder = c.folder("cifar10")
    def read(kind):
        images, labels = np.load(folder / f"{kind}_lossless_images.npy"), np.load(folder / f"{kind}_lossless_labels.npy")
        keep = labels < 7
        return scaled(images[keep][:, 2:30, 2:30, :]), labels[keep].astype(np.int64)
    (train, labels), (test, test_labels) = read("train4000"), read("test1000")
    return Set("skin lesions (stand-in)", train, labels, test, test_labels, 7, "CIFAR-10 cut to DermaMNIST's shape")


def speech(c):
    folder = c.folder("fsdd")
    read = lambda kind: np.load(folder / f"{kind}.npy")  # noqa: E731
    train, test = standardised(read("train_features").astype(np.float32), read("test_features").astype(np.float32))
    return Set("spoken digits", train, read("train_labels").astype(np.int64), test, read("test_labels").astype(np.int64), 10)


def digits(c):
    from sklearn.datasets import load_digits
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    return Set("digits", x[:1000], y[:1000].astype(np.int64), x[1000:], y[1000:].astype(np.int64), 10, "of scikit-learn")


def breast(c):
    from sklearn.datasets import load_breast_cancer
    x, y = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(3).permutation(len(x))
    train, test = standardised(x[order[:350]].astype(np.float32), x[order[350:]].astype(np.float32))
    return Set("breast cancer", train, y[order[:350]].astype(np.int64), test, y[order[350:]].astype(np.int64), 2, "of scikit-learn")


SETS = {
    "mnist": mnist, "pneumonia": pneumonia, "skin": skin, "speech": speech, "digits": digits, "breast": breast,
    "tcga": lambda c: genes(c, "gene_tcga_brca", "BC-TCGA (subset)", "1,492 of 17,814 genes"),
    "gse2034": lambda c: genes(c, "gene_gse2034_subset", "GSE2034 (subset)", "966 of 12,634 probes"),
}
# Hidden layers, epochs, learning rate, Relu or square.
SHAPES = {
    "mnist": ((128, 128, 128), 8, 1e-3), "pneumonia": ((128, 128, 128), 8, 1e-3), "skin": ((128, 128), 10, 1e-3),
    "speech": ((128, 128), 8, 1e-3), "digits": ((32,), 40, 3e-3), "breast": ((16,), 40, 3e-3), "tcga": ((64,), 15, 1e-3),
    "gse2034": ((50,), 15, 1e-3),
}


def load(c, name):
    try:
        return SETS[name](c)
    except paper_context.Missing as e:
        c.missing.append(str(e))
        raise


def all_of(c, names):
    """The sets that are there, as (name, Set)."""
    there = []
    for name in names:
        try:
            there.append((name, load(c, name)))
        except paper_context.Missing:
            pass
    return there


def network(c, name, data, defence="logits"):
    """The network compiled with a defence, trained unless it is kept."""
    import common
    from torch import nn
    folder = c.work / "networks" / name
    onnx, fsn, note = folder / "model.onnx", folder / f"model-{defence}.fsn", folder / "accuracy"
    if not note.exists():
        hidden, epochs, rate = SHAPES[name]
        common.set_seed(1, 1)
        sizes = [data.train.shape[1], *hidden]
        layers = [layer for a, b in zip(sizes, sizes[1:]) for layer in (nn.Linear(a, b), nn.ReLU())]
        with contextlib.redirect_stdout(sys.stderr):
            model = common.train(nn.Sequential(*layers, nn.Linear(sizes[-1], data.classes)), data.train, data.train_labels, epochs, rate,
                                 clip=1.0)
        common.export(model, data.train, onnx)
        paper_context.write_whole(note, str(common.accuracy(model, data.test, data.test_labels)))
    if not fsn.exists() or fsn.stat().st_mtime < c.program.stat().st_mtime:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            c.fusion.compile(str(onnx), data.train[:500], data.train_labels[:500], defence=defence).save(fsn)
    return Network(c.fusion.load(str(fsn)), fsn, onnx, float(note.read_text()))


def answers(model, x):
    """Model.run() on samples that may pass the calibrated range: they are cut to it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.run(x, clip=True)
