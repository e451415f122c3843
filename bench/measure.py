#!/usr/bin/env python3
"""Takes the figures of docs/performance.md, and keeps them as JSON, one file a section; bench/render.py writes them down.

usage: measure.py [--build build] [--work FOLDER] [--data FOLDER] [--only SECTION]... [--prepare]
--work holds what the example scripts wrote: mnist/ (mlp.onnx, cnn.onnx, quadratic.onnx and their data), cifar/ (model.onnx);
what is absent is left out. --data holds imagenet_samples/ and models/ for the ImageNet networks. Results go to WORK/results.
--prepare compiles the networks and measures nothing. Sections, with their minutes on two quiet cores:
"""
import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BATCHES = [109, 868, 2660, 8292, 32868]  # a query alone, then the paper's R = 2^7, 2^9, 2^11 and 2^13
IMAGENET = {"SqueezeNet-1.1": 16, "ResNet50": 16}
ENGINES = ("cheetah", "cheetah-wan")
SMALL = {"mlp": "MLP", "quadratic": "quadratic", "cnn": "LeNet-like CNN", "cifar": "CIFAR-10 CNN"}
LINES = [("mlp", 868, (1, 2, 4)), ("mlp", 2660, (1, 2, 4)), ("mlp", 16384, (1, 4, 8)), ("cnn", 868, (1, 2, 4)),
         ("SqueezeNet-1.1", 16, (1, 4))]


class Bench:
    def __init__(self, args):
        self.args = args
        self.fusion = (args.build / "fusion").resolve()
        self.models = {}

    def call(self, *words, check=True, **more):
        done = subprocess.run([str(w) for w in words], capture_output=True, text=True, **more)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(str(w) for w in words)}: {done.stderr.strip() or done.returncode}")
        return done.stdout

    def json(self, *words, **more):
        return json.loads(self.call(*words, **more))

    def model(self, name, samples, network="none", workers=1, runs=3, engine="cheetah", **more):
        return self.json(self.fusion, "bench", "model", self.models[name], "--samples", samples, "--network", network,
                         "--workers", workers, "--runs", runs, "--engine", engine, "--quiet", "--json", **more)

    def folder(self, name):
        return self.args.work / ("cifar" if name == "cifar" else "mnist")

    def prepare(self):
        """Compiles what is there; a compiled model that is newer than the program is kept."""
        made = self.args.work / "compiled"
        made.mkdir(parents=True, exist_ok=True)
        jobs = {}
        for name in SMALL:
            onnx = self.folder(name) / ("model.onnx" if name == "cifar" else f"{name}.onnx")
            jobs[name] = (onnx, ["--calibrate", self.folder(name) / "calib.npy"])
        listed = json.loads((ROOT / "scripts/models.json").read_text())
        for name in IMAGENET:
            entry = listed[name]
            onnx = self.args.data / entry["onnx"]
            if onnx.suffix == ".xz" and onnx.is_file():
                plain = made / onnx.stem
                if not plain.exists():
                    subprocess.run(["xz", "-dc", onnx], stdout=plain.open("wb"), check=True)
                onnx = plain
            jobs[name] = (onnx, ["--calibrate", self.args.data / entry["images"], *entry["compile"]])
        for name, (onnx, options) in jobs.items():
            fsn = made / f"{name}.fsn"
            if not onnx.is_file():
                print(f"measure.py: {onnx}: not there, left out", file=sys.stderr)
                continue
            if not fsn.exists() or fsn.stat().st_mtime < self.fusion.stat().st_mtime:
                print(f"compile {name}", file=sys.stderr)
                self.call(self.fusion, "compile", onnx, *options, "-o", fsn)
            self.models[name] = fsn


def machine(b):
    """0.0  the processor and the program"""
    lines = b.call("lscpu").splitlines()
    cpu = {k.strip(): v.strip() for k, v in (line.split(":", 1) for line in lines if ":" in line)}
    commit = b.call("git", "-C", ROOT, "rev-parse", "--short", "HEAD", check=False).strip()
    return {"processor": cpu.get("Model name", platform.processor()), "cores": os.cpu_count(),
            "family": f"{cpu.get('CPU family', '?')}.{cpu.get('Model', '?')}",
            "l1d": cpu.get("L1d cache", "?"), "l2": cpu.get("L2 cache", "?"), "l3": cpu.get("L3 cache", "?"),
            "version": b.call(b.fusion, "version").strip(), "commit": commit, "date": time.strftime("%Y-%m-%d", time.gmtime())}


def micro(b):
    """2.5  ceilings, every kernel on every tier, protocols"""
    return b.json("taskset", "-c", "0,1", b.fusion, "bench", "micro", "--quiet", "--json")


def threads(b):
    """0.6  kernels and the plaintext run on two threads"""
    best = b.call(b.fusion, "version").split("(")[1].split()[0]
    found = {"kernels": {}, "run": {}}
    for count in (1, 2):
        rows = [r for only in ("lattice", "ot", "share", "model")
                for r in b.json(b.fusion, "bench", "micro", "--cpu-tier", best, "--threads", count, "--runs", 5,
                                "--seconds", "0.02", "--only", only, "--quiet", "--json")["rows"]]
        found["kernels"][count] = {r["name"]: r for r in rows if r["group"] != "ceiling"}
        for name in ("cnn", "SqueezeNet-1.1"):
            if name not in b.models:
                continue
            data = b.folder(name) / "test.npy" if name in SMALL else b.args.data / "imagenet_samples/images_224.npy"
            ran = [b.json(b.fusion, "run", b.models[name], "--input", data, "--clip", "yes", "--threads", count, "--json") for _ in range(3)]
            found["run"].setdefault(name, {})[count] = sorted(r["seconds"] / r["samples"] for r in ran)[1]
    return found


def jobs(b):
    """2.0  fusion serve and fusion query over TLS, answers compared"""
    rows = []
    for folder, accuracy, queries in (("mnist", 0.92, (128, 512)), ("cifar", 0.4, (128,))):
        if not any(b.args.work.glob(f"{folder}/*.onnx")):
            continue
        text = b.call(ROOT / "bench/jobs.sh", b.args.work / folder, accuracy, *queries,
                      env={**os.environ, "BUILD": str(b.args.build.resolve())})
        rows += [[folder, *line.split()] for line in text.splitlines()[1:]]
    return rows


def stages(b):
    """1.5  networks by stage"""
    return [{"model": name, **b.model(name, samples, runs=1 if name in ("cnn", "cifar") else 5)}
            for name in SMALL if name in b.models for samples in (868, 2660) if (name, samples) != ("cifar", 2660)]


def networks(b):
    """5.0  LAN and WAN by a shaped channel, one and more connections"""
    return [{"model": name, **b.model(name, samples, network, workers, runs=3 if name == "mlp" and samples < 8000 else 1)}
            for name, samples, connections in LINES if name in b.models
            for network in ("lan", "wan") for workers in connections]


def netns(b):
    """0.8  LAN and WAN between two processes over TLS, in network namespaces (as root)"""
    if os.geteuid():
        print("measure.py: netns needs root, left out", file=sys.stderr)
        return []
    rows = []
    for name, queries in (("mlp", 512), ("cnn", 128)):
        for network in ("none", "lan", "wan"):
            if name not in b.models:
                continue
            row = b.json(ROOT / "bench/netns.sh", b.models[name], b.folder(name), network, queries,
                         env={**os.environ, "BUILD": str(b.args.build.resolve())})
            rows.append({"model": name, **{k: v for k, v in row.items() if k != "stages"}})
    return rows


def scale(b):
    """1.2  the MLP as the batch grows"""
    return [b.model("mlp", samples, workers=workers, runs=1 if samples > 8000 else 5)
            for samples in BATCHES for workers in (1, 2)] if "mlp" in b.models else []


def imagenet(b):
    """6.0  SqueezeNet 1.1 and ResNet50, 16 samples, on both engines"""
    return [{"model": name, "engine": engine, **b.model(name, samples, runs=1, engine=engine)}
            for name, samples in IMAGENET.items() if name in b.models for engine in ENGINES]


SECTIONS = [machine, micro, jobs, stages, imagenet, networks, netns, scale, threads]


def main():
    listing = "".join(f"  {s.__name__:<10} {s.__doc__}\n" for s in SECTIONS)
    parser = argparse.ArgumentParser(description=__doc__ + listing, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=ROOT / "build", type=Path)
    parser.add_argument("--work", default=ROOT / "build/bench-work", type=Path)
    parser.add_argument("--data", default=ROOT / "../shared/data", type=Path)
    parser.add_argument("--only", action="append", choices=[s.__name__ for s in SECTIONS], default=[])
    parser.add_argument("--prepare", action="store_true")
    args = parser.parse_args()
    b = Bench(args)
    b.prepare()
    results = args.work / "results"
    results.mkdir(parents=True, exist_ok=True)
    failed = 0
    for section in [] if args.prepare else SECTIONS:
        if args.only and section.__name__ not in args.only:
            continue
        start = time.time()
        try:
            found = section(b)
            partial = results / f"{section.__name__}.json.part"
            partial.write_text(json.dumps(found, indent=1))
            partial.replace(results / f"{section.__name__}.json")
        except (RuntimeError, ValueError, OSError) as e:
            print(f"measure.py: {section.__name__}: {e}", file=sys.stderr)
            failed = 1
        print(f"{section.__name__}: {time.time() - start:.0f} s", file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main())
