#!/usr/bin/env python3
"""Two ensembles of decision trees for a medical table: breast cancer, malignant or benign, by 30 measurements of a cell image.

Writes boosted.onnx (gradient boosting), forest.onnx (a random forest), and the files of a job: calib.npy (the training rows, so
that the compiler sees what every threshold divides), queries.npy, public.npy with their labels, and test.npy. Seconds.

usage: trees.py [--out FOLDER] [--trees N] [--depth N]"""
import argparse
import sys
from pathlib import Path

import interpreter

interpreter.need("numpy", "sklearn", "onnx")

import numpy as np  # noqa: E402
from sklearn.datasets import load_breast_cancer  # noqa: E402
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python/fusion"))
from _trees import tree_model  # noqa: E402

SPLITS = (269, 100, 100)  # training, queries, public samples; the other 100 rows are for tests


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", default="trees-out", type=Path)
    parser.add_argument("--trees", default=100, type=int)
    parser.add_argument("--depth", default=4, type=int)
    parser.add_argument("--seed", default=1, type=int)
    args = parser.parse_args()

    rows, labels = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(args.seed).permutation(len(rows))
    rows, labels = rows[order].astype("float32"), labels[order].astype(np.int64)
    parts = np.split(np.arange(len(rows)), np.cumsum(SPLITS))
    args.out.mkdir(parents=True, exist_ok=True)
    for name, part in zip(("calib", "queries", "public", "test"), parts):
        np.save(args.out / f"{name}.npy", rows[part])
        np.save(args.out / f"{name}_labels.npy", labels[part])

    train, test = parts[0], parts[3]
    boosted = GradientBoostingClassifier(n_estimators=args.trees, max_depth=args.depth, random_state=args.seed)
    forest = RandomForestClassifier(n_estimators=args.trees, max_depth=args.depth, random_state=args.seed)
    for name, model in (("boosted", boosted), ("forest", forest)):
        model.fit(rows[train], labels[train])
        (args.out / f"{name}.onnx").write_bytes(tree_model(model).SerializeToString())
        np.save(args.out / f"{name}_probabilities.npy", model.predict_proba(rows[test]))
        right = np.mean(model.predict(rows[test]) == labels[test])
        print(f"{args.out / name}.onnx: accuracy {right:.2f} on {len(test)} test rows")


main()
