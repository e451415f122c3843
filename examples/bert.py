#!/usr/bin/env python3
"""A small BERT that sorts notes of patients by urgency, ready for `fusion compile`. Some 80 seconds on one core, no download.

The notes are made by a grammar: complaints that are reported, denied or past, with how bad they are. What counts is which word stands
where: "denies chest pain but reports mild cough" is routine, "denies cough but reports chest pain" an emergency. The network's input are the
numbers of words, int64 [notes, places]; the client sends each privately. Two layers of the original BERT: attention of two heads and two
dense layers with a GELU, LayerNorm behind each, the answer from the first place.

usage: bert.py [--out FOLDER] [--data-only] [--layers N] [--width N]"""
import argparse
from pathlib import Path

import common  # first: it finds a Python that has the others

import numpy as np
import torch
from torch import nn

PLACES = 16
GRAVE = ["chest-pain", "dyspnoea", "syncope", "haematemesis", "paralysis", "seizure", "aphasia", "anaphylaxis"]
PLAIN = ["cough", "headache", "rash", "nausea", "backache", "fever", "earache", "fatigue", "dizziness", "diarrhoea"]
AFFIRM, DENY, PAST = ["reports", "has", "notes", "describes"], ["denies", "without", "no", "never"], ["had", "resolved", "former"]
BAD, SLIGHT = ["severe", "worsening", "unbearable"], ["mild", "slight", "occasional"]
TIMES = ["today", "yesterday", "weeks", "months"]
WHO = ["patient", "man", "woman", "child"]
WORDS = ["[CLS]", "[PAD]", ".", "and", "but"] + GRAVE + PLAIN + AFFIRM + DENY + PAST + BAD + SLIGHT + TIMES + WHO
CLASSES = ["routine", "soon", "emergency"]


def clause(draw):
    """Words, and how urgent they are. What a word at its beginning says holds for all complaints that follow."""
    kind = draw.choice(["affirm", "affirm", "deny", "past"])
    words, urgency = [draw.choice({"affirm": AFFIRM, "deny": DENY, "past": PAST}[kind])], 0
    for k in range(draw.choice([1, 1, 2])):
        words += ["and"] * (k > 0)
        how = draw.choice([None, "bad", "slight"])
        words += [draw.choice({"bad": BAD, "slight": SLIGHT}[how])] if how else []
        grave = draw.random() < 0.4
        words.append(draw.choice(GRAVE if grave else PLAIN))
        words += [draw.choice(TIMES)] * (draw.random() < 0.3)
        if kind == "affirm":
            urgency = max(urgency, 2 if grave and how != "slight" else 1 if grave or how == "bad" else 0)
    return words, urgency


def note(draw):
    """PLACES numbers of words, and the class."""
    words, urgency = ["[CLS]", draw.choice(WHO)], 0
    for k in range(draw.choice([1, 2, 2])):
        more, level = clause(draw)
        if len(words) + len(more) + 2 > PLACES:
            break
        words += [draw.choice(["and", "but"])] * (k > 0) + more
        urgency = max(urgency, level)
    words.append(".")
    words += ["[PAD]"] * (PLACES - len(words))
    return [WORDS.index(w) for w in words], urgency


def notes(count, seed):
    import random
    draw = random.Random(seed)
    made = [note(draw) for _ in range(count)]
    return np.array([m[0] for m in made], dtype=np.int64), np.array([m[1] for m in made], dtype=np.int64)


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dense = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def attention(self, x):
        width = x.shape[2]
        q, k, v = (part.reshape(-1, PLACES, self.heads, width // self.heads).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        weights = (q * (width // self.heads) ** -0.5 @ k.transpose(-2, -1)).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).reshape(-1, PLACES, width))

    def forward(self, x):
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.dense(x))


class Bert(nn.Module):
    def __init__(self, width, layers, heads=2):
        super().__init__()
        self.words = nn.Embedding(len(WORDS), width)
        self.places = nn.Parameter(torch.randn(1, PLACES, width))  # as large as words: order counts
        self.norm, self.layers = nn.LayerNorm(width), nn.Sequential(*(Layer(width, heads) for _ in range(layers)))
        self.pool, self.classes = nn.Linear(width, width), nn.Linear(width, len(CLASSES))

    def forward(self, tokens):
        x = self.layers(self.norm(self.words(tokens) + self.places))
        return self.classes(torch.tanh(self.pool(x[:, 0])))


def save_job(folder, calib, test, test_labels):
    """calib: notes that the network did not learn from. It is surer of those that it knows."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {"calib": calib, "queries": test[300:], "query_labels": test_labels[300:], "public": test[:300],
             "public_labels": test_labels[:300], "test": test, "test_labels": test_labels}
    for name, array in parts.items():
        np.save(folder / f"{name}.npy", array)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", default="bert-out", type=Path)
    parser.add_argument("--data-only", action="store_true", help="write the job's files, train nothing")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--notes", type=int, default=40000, help="to train on")
    parser.add_argument("--seed", default=1, type=int)
    parser.add_argument("--threads", default=1, type=int)
    args = parser.parse_args()

    train, labels = notes(args.notes, args.seed)
    test, test_labels = notes(1000, args.seed + 1000)
    save_job(args.out, notes(500, args.seed + 2000)[0], test, test_labels)
    if args.data_only:
        return
    common.set_seed(args.seed, args.threads)
    model = Bert(args.width, args.layers)
    model = common.train(model, train, labels, args.epochs, 2e-3, batch=64)
    common.export(model, train, args.out / "model.onnx", opset=17)
    print(f"{args.out / 'model.onnx'}: accuracy {common.accuracy(model, test, test_labels):.4f} on 1,000 notes, "
          f"the largest class is {np.bincount(test_labels).max() / len(test):.3f} of them")


main()
