#!/usr/bin/env python3
"""A LeNet-like network for CIFAR-10, trained on few images, ready for `fusion compile`. A few minutes on one core.

With 4,000 training images it reaches about 60 %: it shows the path for colour images, not the state of the art. A pretrained
network takes the same files: they are images in [0, 1], or normalised per channel with --mean and --std.

usage: cifar10.py [--data FOLDER] [--out FOLDER] [--data-only]
FOLDER holds train4000_lossless_{images,labels}.npy and test1000_lossless_{images,labels}.npy: uint8 [n, 32, 32, 3]."""
import argparse
from pathlib import Path

import common  # first: it finds a Python that has the others

import numpy as np
from torch import nn

DEFAULT_DATA = Path(__file__).resolve().parents[1] / "../shared/data/cifar10"


def network():
    return nn.Sequential(
        nn.Conv2d(3, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(2048, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", default=DEFAULT_DATA, type=Path)
    parser.add_argument("--out", default="cifar10-out", type=Path)
    parser.add_argument("--data-only", action="store_true", help="write the job's files, train nothing")
    parser.add_argument("--mean", type=float, nargs=3, default=[0, 0, 0])
    parser.add_argument("--std", type=float, nargs=3, default=[1, 1, 1])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", default=1, type=int)
    parser.add_argument("--threads", default=1, type=int)
    args = parser.parse_args()

    data = common.need_folder(args.data, "CIFAR-10")
    mean, std = (np.array(v, dtype="float32")[:, None, None] for v in (args.mean, args.std))

    def load(name):
        images = np.load(data / f"{name}_images.npy").astype("float32").transpose(0, 3, 1, 2) / 255
        return np.ascontiguousarray((images - mean) / std), np.load(data / f"{name}_labels.npy")

    images, labels = load("train4000_lossless")
    test, test_labels = load("test1000_lossless")
    common.save_job(args.out, images[:300], test[300:], test_labels[300:], test[:300], test_labels[:300])
    np.save(args.out / "test.npy", test)
    np.save(args.out / "test_labels.npy", test_labels.astype(np.int64))
    if args.data_only:
        return
    common.set_seed(args.seed, args.threads)
    model = common.train(network(), images, labels, args.epochs, augment=lambda x: common.mirror_and_shift(x, 2), batch=64)
    common.export(model, images, args.out / "model.onnx")
    print(f"{args.out / 'model.onnx'}: accuracy {common.accuracy(model, test, test_labels):.4f} on 1,000 test images")


main()
