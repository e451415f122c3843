#!/usr/bin/env python3
"""Networks for MNIST: a fully connected one, a LeNet-like convolutional one, one with x*x for its activation, and, when asked for
(--only smooth), one with Sigmoid and Tanh.

Writes mlp.onnx, cnn.onnx, quadratic.onnx or smooth.onnx, and the files of a job out of the 10,000 test images: calib.npy (from the training
images), queries.npy, public.npy with their labels, and test.npy (1,000 images) for comparing accuracies. One to two minutes a
network on one core.

usage: mnist.py [--data FOLDER] [--out FOLDER] [--only mlp,cnn,quadratic,smooth]
FOLDER holds train60k.npz (images, labels), test_images.npy, test_labels.npy: uint8 [n, 28, 28]."""
import argparse
from pathlib import Path

import common  # first: it finds a Python that has the others

import numpy as np
from torch import nn

DEFAULT_DATA = Path(__file__).resolve().parents[1] / "../shared/data/mnist"


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 128),
                         nn.ReLU(), nn.Linear(128, 10))


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))


def quadratic():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), common.Square(), nn.Linear(128, 128), common.Square(),
                         nn.Linear(128, 10))


def smooth():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.Sigmoid(), nn.Linear(128, 128), nn.Tanh(), nn.Linear(128, 10))


# maker, epochs, learning rate
NETWORKS = {"mlp": (mlp, 8, 1e-3), "cnn": (cnn, 3, 2e-3), "quadratic": (quadratic, 8, 5e-4), "smooth": (smooth, 6, 2e-3)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", default=DEFAULT_DATA, type=Path)
    parser.add_argument("--out", default="mnist-out", type=Path)
    parser.add_argument("--only", default="mlp,cnn,quadratic", help="some of the networks, split by commas")
    parser.add_argument("--epochs", type=int, help="instead of each network's own number")
    parser.add_argument("--train-samples", type=int, default=60000)
    parser.add_argument("--seed", default=1, type=int)
    parser.add_argument("--threads", default=1, type=int)
    args = parser.parse_args()

    data = common.need_folder(args.data, "MNIST")
    scaled = lambda images: (images.astype("float32") / 255)[:, None]
    with np.load(data / "train60k.npz") as archive:
        images, labels = scaled(archive["images"][:args.train_samples]), archive["labels"][:args.train_samples]
    test, test_labels = scaled(np.load(data / "test_images.npy")), np.load(data / "test_labels.npy")

    common.save_job(args.out, images[:500], test[2000:4000], test_labels[2000:4000], test[1000:2000], test_labels[1000:2000])
    np.save(args.out / "test.npy", test[:1000])
    np.save(args.out / "test_labels.npy", test_labels[:1000].astype(np.int64))
    for name in args.only.split(","):
        if name not in NETWORKS:
            parser.error(f"--only: '{name}' is none of {', '.join(NETWORKS)}")
        make, epochs, rate = NETWORKS[name]
        common.set_seed(args.seed, args.threads)
        print(f"{name}:")
        model = common.train(make(), images, labels, args.epochs or epochs, rate, clip=1.0)
        common.export(model, images, args.out / f"{name}.onnx")
        print(f"{args.out / name}.onnx: accuracy {common.accuracy(model, test, test_labels):.4f} on 10,000 test images")


main()
