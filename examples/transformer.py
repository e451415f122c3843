#!/usr/bin/env python3
"""A small vision transformer for CIFAR-10, trained on few images, ready for `fusion compile`. Some two and a half minutes on one core.

Patches of 8x8 pixels make 16 tokens of 64 numbers; each of the layers has attention of four heads, LayerNorm before it and before two
dense layers with a GELU. Few training images make it a poor classifier (48 %): it shows the path, not the state of the art.

usage: transformer.py [--data FOLDER] [--out FOLDER] [--data-only] [--patch N] [--layers N] [--width N]
FOLDER holds train4000_lossless_{images,labels}.npy and test1000_lossless_{images,labels}.npy: uint8 [n, 32, 32, 3]."""
import argparse
from pathlib import Path

import common  # first: it finds a Python that has the others

import numpy as np
import torch
from torch import nn

DEFAULT_DATA = Path(__file__).resolve().parents[1] / "../shared/data/cifar10"


class Attention(nn.Module):
    """Scaled products of queries and keys, Softmax, products with values, for all heads at once."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        tokens, width = x.shape[1], x.shape[2]
        q, k, v = (part.reshape(-1, tokens, self.heads, width // self.heads).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        weights = (q * (width // self.heads) ** -0.5 @ k.transpose(-2, -1)).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).reshape(-1, tokens, width))


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.dense = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.dense(self.norm2(x))


class VisionTransformer(nn.Module):
    """Patches to tokens by a convolution, a learned number for each place, layers, the tokens' mean, classes."""

    def __init__(self, patch, width, layers, heads=4, classes=10):
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, stride=patch)
        self.places = nn.Parameter(torch.randn(1, (32 // patch) ** 2, width) * 0.02)
        self.layers = nn.Sequential(*(Layer(width, heads) for _ in range(layers)))
        self.norm, self.classes = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2) + self.places
        return self.classes(self.norm(self.layers(x)).mean(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", default=DEFAULT_DATA, type=Path)
    parser.add_argument("--out", default="transformer-out", type=Path)
    parser.add_argument("--data-only", action="store_true", help="write the job's files, train nothing")
    parser.add_argument("--patch", type=int, default=8, choices=(4, 8, 16))
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", default=1, type=int)
    parser.add_argument("--threads", default=1, type=int)
    args = parser.parse_args()

    data = common.need_folder(args.data, "CIFAR-10")

    def load(name):
        images = np.load(data / f"{name}_images.npy").astype("float32").transpose(0, 3, 1, 2) / 255
        return np.ascontiguousarray(images), np.load(data / f"{name}_labels.npy")

    images, labels = load("train4000_lossless")
    test, test_labels = load("test1000_lossless")
    # What calibrates is not learnt from: the network is surer of images that it knows.
    calib, images, labels = images[:300], images[300:], labels[300:]
    common.save_job(args.out, calib, test[300:], test_labels[300:], test[:300], test_labels[:300])
    np.save(args.out / "test.npy", test)
    np.save(args.out / "test_labels.npy", test_labels.astype(np.int64))
    if args.data_only:
        return
    common.set_seed(args.seed, args.threads)
    model = VisionTransformer(args.patch, args.width, args.layers)
    model = common.train(model, images, labels, args.epochs, augment=lambda x: common.mirror_and_shift(x, 3), batch=64)
    common.export(model, images, args.out / "model.onnx", opset=17)
    print(f"{args.out / 'model.onnx'}: accuracy {common.accuracy(model, test, test_labels):.4f} on 1,000 test images")


main()
