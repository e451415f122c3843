#!/usr/bin/env python3
"""Measures `fusion run` in fixed point beside PyTorch's float networks: same networks, images, threads; turn by turn, medians.

Prints for each network: seconds an image of both, and their ratio. The time of `fusion run` is that of its report (the
model is loaded, the images are read); PyTorch's is of the forward pass. Weights are random: times do not depend on them.

usage: plaintext.py [--build FOLDER] [--threads N] [--images N] [--rounds N] [--bits W,A] [NETWORK...]"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))
import common  # noqa: E402  first: it finds a Python that has the others
import imagenet  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402


def prepare(name, fusion, folder, images, bits):
    """The torch network and its compiled twin."""
    common.set_seed(1, 1)
    model = imagenet.settle(imagenet.build(name, None), images)
    common.export(model, images.numpy(), folder / f"{name}.onnx")
    np.save(folder / "images.npy", images.numpy())
    subprocess.run([fusion, "compile", folder / f"{name}.onnx", "--calibrate", folder / "images.npy", "--bits", bits,
                    "-o", folder / f"{name}.fsn"], check=True, stdout=subprocess.DEVNULL)
    return model


def measure(name, model, fusion, folder, images, threads, rounds):
    torch.set_num_threads(threads)
    command = [fusion, "run", folder / f"{name}.fsn", "--input", folder / "images.npy", "--clip", "yes", "--threads", str(threads),
               "--json"]
    ours, theirs = [], []
    with torch.no_grad():
        model(images[:1])
        for _ in range(rounds):
            start = time.perf_counter()
            model(images)
            theirs.append((time.perf_counter() - start) / len(images))
            report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            ours.append(report["seconds"] / len(images))
    return statistics.median(ours), statistics.median(theirs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("networks", nargs="*", default=["resnet50", "squeezenet1_1", "mobilenet_v2"])
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--bits", default="9,9")
    args = parser.parse_args()
    print(f"{args.threads} threads, {args.images} images, medians of {args.rounds} turns, weights and activations {args.bits} bits")
    print(f"{'network':16} {'fusion run s':>12} {'PyTorch s':>10} {'ratio':>6}")
    with tempfile.TemporaryDirectory() as folder:
        for name in args.networks:
            images = imagenet.load_images(None, args.images, imagenet.SIDES.get(name, 224))
            model = prepare(name, args.build / "fusion", Path(folder), images, args.bits)
            ours, theirs = measure(name, model, args.build / "fusion", Path(folder), images, args.threads, args.rounds)
            print(f"{name:16} {ours:12.4f} {theirs:10.4f} {ours / theirs:6.2f}", flush=True)


main()
