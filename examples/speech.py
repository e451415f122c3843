#!/usr/bin/env python3
"""A recurrent network (LSTM) that recognises spoken digits, ready for `fusion compile`. Fifteen seconds on one core.

Writes speech.onnx and the files of a job out of the 300 test recordings: queries.npy, public.npy with their labels, test.npy (all
of them); and calib.npy, 300 training recordings that the network does not learn from: it is surer of those that it knows, and
`fusion compile` would choose narrower numbers than new ones need.

usage: speech.py [--data FOLDER] [--out FOLDER] [--kind lstm|gru|rnn]
FOLDER holds {train,test}_{features,labels}.npy: float32 [n, 1845], 15 frames of 123 features each."""
import argparse
from pathlib import Path

import common  # first: it finds a Python that has the others

import numpy as np
import torch
from torch import nn

DEFAULT_DATA = Path(__file__).resolve().parents[1] / "../shared/data/fsdd"
FRAMES, FEATURES = 15, 123
QUERIES = 128  # of the test recordings; the others are public
CALIB = 300    # of the training recordings
NOISE = 0.3    # deviation of what training adds to each feature, whose own is 1


class Network(nn.Module):
    def __init__(self, kind, hidden=64):
        super().__init__()
        self.layer = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[kind](FEATURES, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 10)

    def forward(self, x):
        return self.head(self.layer(x)[0][:, -1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", default=DEFAULT_DATA, type=Path)
    parser.add_argument("--out", default="speech-out", type=Path)
    parser.add_argument("--kind", choices=["lstm", "gru", "rnn"], default="lstm")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--seed", default=1, type=int)
    parser.add_argument("--threads", default=1, type=int)
    args = parser.parse_args()

    data = common.need_folder(args.data, "spoken digits")
    read = lambda name: np.load(data / f"{name}.npy")  # noqa: E731
    frames = lambda x: np.clip(x, -4, 4).astype(np.float32).reshape(-1, FRAMES, FEATURES)  # noqa: E731
    train, labels = frames(read("train_features")), read("train_labels").astype(np.int64)
    test, test_labels = frames(read("test_features")), read("test_labels").astype(np.int64)
    common.set_seed(args.seed, args.threads)
    order = np.random.permutation(len(test))
    test, test_labels = test[order], test_labels[order]
    order = np.random.permutation(len(train))
    calib, train, labels = train[order[:CALIB]], train[order[CALIB:]], labels[order[CALIB:]]

    noise = lambda x: x + NOISE * torch.randn_like(x)  # noqa: E731
    model = common.train(Network(args.kind), train, labels, args.epochs, 3e-3, augment=noise, clip=1.0)
    common.save_job(args.out, calib, test[:QUERIES], test_labels[:QUERIES], test[QUERIES:], test_labels[QUERIES:])
    np.save(args.out / "test.npy", test)
    np.save(args.out / "test_labels.npy", test_labels)
    common.export(model, train, args.out / "speech.onnx")
    print(f"{args.out / 'speech.onnx'}: accuracy {common.accuracy(model, test, test_labels):.4f} on {len(test)} test recordings")


main()
