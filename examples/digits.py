#!/usr/bin/env python3
"""A small network for real handwritten digits, 8x8 pixels, ready for `fusion compile`. Takes seconds.

The digits are the test part of the UCI set "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak, 1998, CC BY
4.0), which scikit-learn carries: 1,797 images of 43 writers.

usage: digits.py [--out FOLDER] [--queries N] [--quality good|low]"""
import argparse
from pathlib import Path

import interpreter

interpreter.need("numpy", "torch", "sklearn")

import common  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from torch import nn  # noqa: E402

TRAIN, PUBLIC = 1100, 250  # the rest are queries


def network():
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(),
        nn.Conv2d(12, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 10))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", default="digits-out", type=Path)
    parser.add_argument("--quality", choices=["good", "low"], default="good",
                        help="low: the same network, hardly trained, as a cheap server might offer")
    parser.add_argument("--queries", default=128, type=int, help="at most 447")
    parser.add_argument("--seed", default=1, type=int)
    parser.add_argument("--threads", default=1, type=int)
    args = parser.parse_args()
    common.set_seed(args.seed, args.threads)

    digits = load_digits()
    order = common.np.random.RandomState(0).permutation(len(digits.target))  # the split is always the same
    images = (digits.images[order] / 16).astype("float32")[:, None]
    labels = digits.target[order]
    split = {"train": slice(0, TRAIN), "public": slice(TRAIN, TRAIN + PUBLIC), "queries": slice(TRAIN + PUBLIC, None)}

    seen = slice(0, 170) if args.quality == "low" else split["train"]
    epochs = 20 if args.quality == "low" else 25
    model = common.train(network(), images[seen], labels[seen], epochs, rate=2e-3, batch=32)
    name = "low.onnx" if args.quality == "low" else "model.onnx"
    common.export(model, images, args.out / name)
    if args.quality == "good":
        queries, query_labels = images[split["queries"]], labels[split["queries"]]
        common.save_job(args.out, images[split["train"]][:300], queries[:args.queries], query_labels[:args.queries],
                        images[split["public"]], labels[split["public"]])
    held_out = slice(TRAIN, None)
    print(f"{args.out / name}: accuracy {common.accuracy(model, images[held_out], labels[held_out]):.4f} "
          f"on {len(labels) - TRAIN} digits it never saw")


main()
